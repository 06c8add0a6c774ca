//! Looks: asking a node which members its cluster has, without joining it.

use super::Node;
use crate::config::address;
use crate::driver::engine::command::Command;
use crate::driver::events::pending::Pending;
use crate::error::Result;
use crate::serf::Member;
use crate::swim::Seed;
use std::sync::Arc;
use std::time::Duration;

impl Node {
    /// Asks a node which members its cluster has, without joining: no member of that cluster learns
    /// of this node. Returns the members that the asked node lists, in any state, sorted by name. A
    /// node forgets the address and the tags of a member soon after the member has failed or left
    /// (`gossip_to_the_dead_ms`). In serf mode it then lists the member for about another day, with
    /// the address 0.0.0.0, the port 0 and no tags. In memberlist mode it no longer lists the
    /// member. A `timeout` of `None` waits without limit; an address that is silent is given up
    /// after `stream_timeout_ms`.
    ///
    /// # Errors
    /// `Address` if the address cannot be parsed or the host name has no address; `Unreachable`,
    /// `Crypto` or `Protocol` if no node answers; `State` if too many looks are under way;
    /// `Timeout`; `Invalid`; `TooLarge`; `Closed`; `Forked`.
    pub fn look(&self, addr: &str, timeout: Option<Duration>) -> Result<Arc<Vec<Member>>> {
        let target = self.target(addr)?;
        let look = |waiter| Command::Look { target, waiter };
        let outcome = self.run(timeout, "the look", look)?;
        outcome.result.map(|_| outcome.members)
    }

    /// Like [`Node::look`], but does not wait: the returned value has a descriptor of its own to
    /// wait on, and holds the members that were found.
    ///
    /// # Errors
    /// `Address`, `Invalid`, `TooLarge`; `Io` if the system refuses a descriptor; `Closed`;
    /// `Forked`.
    pub fn begin_look(&self, addr: &str) -> Result<Pending> {
        let target = self.target(addr)?;
        self.start_pending(|waiter| Command::Look { target, waiter })
    }

    fn target(&self, addr: &str) -> Result<Seed> {
        self.running.origin.check()?;
        address::target(addr)
    }
}
