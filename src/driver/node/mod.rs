//! The public interface of a running member: the [`Node`].
//!
//! | file | what it holds |
//! | --- | --- |
//! | `start`, `running` | starting a node, and the threads of a running one |
//! | `tags` | tags and meta of this node, and the wait until a change has been gossiped |
//! | `messages` | user events and queries |
//! | `memberlist` | messages and states in memberlist mode |
//! | `keys`, `coordinates`, `look` | keys, coordinates, looks at other clusters |

mod coordinates;
mod keys;
mod look;
mod memberlist;
mod messages;
mod running;
#[cfg(all(test, feature = "spoe"))]
mod services_tests;
mod start;
mod tags;
#[cfg(test)]
mod tests;

use crate::Config;
use crate::config::address;
use crate::driver::engine::command::Command;
use crate::driver::events::completion::{Operation, Waiter};
use crate::driver::events::pending::{Outcome, Pending};
use crate::driver::events::queue::Ended;
use crate::driver::events::subscriptions::Subscription;
pub use crate::driver::node::running::EventCallback;
use crate::driver::node::running::RunningNode;
use crate::driver::os::oneshot::{Answer, Waited, oneshot};
#[cfg(doc)]
use crate::driver::os::worker::PreparedThreads;
use crate::driver::os::worker::Spawn;
use crate::error::{Error, Result, Status};
use crate::event::{Event, EventKind};
use crate::serf::{Counter, Member};
use crate::swim::{Explanation, Health, Seed};
use crate::vocabulary::NodeState;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// A running member of a cluster. Clones refer to the same node, and any number of threads may use
/// it at the same time. The node ends with [`Node::shutdown`], with [`Node::close`], or when its
/// last clone is dropped. Calls that need a running node then return [`Status::Closed`], or
/// [`Status::Internal`] if the node has broken down.
///
/// A node that a forked child inherits does not run in the child: calls that can fail return
/// [`Status::Forked`] there, and lists such as [`Node::members`] are empty.
#[derive(Clone)]
pub struct Node {
    pub(in crate::driver) running: Arc<RunningNode>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name())
            .field("addr", &self.addr())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Binds the sockets, starts the threads, and begins to join the addresses of the setting
    /// `seeds`. Events wait until the application takes them.
    ///
    /// # Errors
    /// `Config` if a value is not allowed, if settings contradict each other, or if they do not fit
    /// the name or the address of this host; `Invalid` or `TooLarge` for tags that are not allowed;
    /// `Address` if an address cannot be bound or this host has no usable address; `Io` if the
    /// system refuses a thread, a descriptor or a file.
    pub fn start(config: &Config) -> Result<Node> {
        Node::start_with(config, None, None)
    }

    /// Like [`Node::start`], with a callback that runs on an event thread, and with threads that
    /// `spawn` creates. Without `spawn` the node takes prepared threads first
    /// ([`PreparedThreads::prepare`]). The callback may run before this function returns.
    ///
    /// # Errors
    /// Same as [`Node::start`].
    pub fn start_with(
        config: &Config,
        callback: Option<EventCallback>,
        spawn: Option<Arc<dyn Spawn>>,
    ) -> Result<Node> {
        let running = Arc::new(start::start(config, callback, spawn)?);
        Ok(Node { running })
    }

    /// Joins a cluster: exchanges lists of members with every address. Returns a moment after the
    /// first address has answered, with the number of addresses that have answered by then. The
    /// node goes on asking the other addresses. If at least one of these addresses has answered and
    /// `reconnect` is not false, the node later asks an address again whenever it knows no alive
    /// member there. A node that has left becomes a member again. After the timeout the join goes
    /// on without the caller; a `timeout` of `None` waits without limit.
    ///
    /// Addresses look like `host`, `host:port`, `1.2.3.4` or `[::1]:7946`, with an optional node
    /// name in front as in `name/host:port`. The port is 7946 if none is given.
    ///
    /// # Errors
    /// `Invalid` if no address is given; `TooLarge` if more than 4,096 are given; `Address` if one
    /// cannot be parsed; if no address answers, the most useful reason: `Crypto`, `Protocol`,
    /// `Address` or `Unreachable`; `NameConflict` if another node has the name of this node and the
    /// join learns of that before it ends (a `Fatal` event reports it in any case); `Timeout`;
    /// `Closed`; `Forked`.
    pub fn join(&self, addrs: &[&str], timeout: Option<Duration>) -> Result<usize> {
        let seeds = self.seeds(addrs)?;
        let join = |waiter| Command::Join { seeds, waiter };
        self.run(timeout, "the join", join)?.result
    }

    /// A new operation, for a call that does not wait; its `Done` event hands back `token`. The
    /// operation has not begun yet, so the event cannot come before the program has stored the
    /// number of the operation.
    pub fn operation(&self, token: usize) -> Operation {
        let id = self.running.next_id();
        Operation { id, token }
    }

    /// Like [`Node::join`], but does not wait: a `Done` event of this operation reports the
    /// outcome.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `Address`, `Closed`, `Forked`; no event follows such an error.
    pub fn join_async(&self, operation: Operation, addrs: &[&str]) -> Result<()> {
        let seeds = self.seeds(addrs)?;
        let waiter = Waiter::Event(operation);
        self.running.send(Command::Join { seeds, waiter })
    }

    /// Like [`Node::join`], but does not wait: the returned value has a descriptor of its own to
    /// wait on, and holds the reason for each address that was not reached.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `Address`, `Io` if the system refuses a descriptor, `Closed`,
    /// `Forked`.
    pub fn begin_join(&self, addrs: &[&str]) -> Result<Pending> {
        let seeds = self.seeds(addrs)?;
        self.start_pending(|waiter| Command::Join { seeds, waiter })
    }

    /// Leaves the cluster, and waits until every live member has acknowledged the leave or has been
    /// given up as unreachable. In a cluster of more than 1,024 live members with the default
    /// `retransmit_mult`, it waits for 1,024 of them, and gossip reaches the others. Afterwards the
    /// node still lists members, and leaving again has the same result. A `timeout` of `None` waits
    /// without limit.
    ///
    /// # Errors
    /// `Unreachable` if this node has left but some members did not acknowledge the leave and may
    /// list this node as failed (the message names up to five of them); `State` if a join cancels
    /// the leave; `Timeout`, after which the leave goes on; `Closed`; `Forked`.
    pub fn leave(&self, timeout: Option<Duration>) -> Result<()> {
        self.leave_and_report(timeout)?.result.map(drop)
    }

    /// Like [`Node::leave`], but the outcome names the members that did not acknowledge the leave.
    ///
    /// # Errors
    /// `Timeout`; `Closed`; `Forked`.
    pub fn leave_and_report(&self, timeout: Option<Duration>) -> Result<Outcome> {
        self.run(timeout, "the leave", |waiter| Command::Leave { waiter })
    }

    /// Like [`Node::leave`], but does not wait: a `Done` event of this operation reports the end.
    ///
    /// # Errors
    /// `Closed`, `Forked`; no event follows such an error.
    pub fn leave_async(&self, operation: Operation) -> Result<()> {
        let waiter = Waiter::Event(operation);
        self.running.send(Command::Leave { waiter })
    }

    /// Like [`Node::leave`], but does not wait: the returned value has a descriptor of its own to
    /// wait on, and lists the members that did not acknowledge the leave.
    ///
    /// # Errors
    /// `Io` if the system refuses a descriptor, `Closed`, `Forked`.
    pub fn begin_leave(&self) -> Result<Pending> {
        self.start_pending(|waiter| Command::Leave { waiter })
    }

    /// Stops the node immediately without telling the other members, which will see it fail unless
    /// it has left. Calls that wait for the node return `Closed`; queued events, members, counters
    /// and the state can still be read. Waits for the threads of the engine and of the services,
    /// but not for a callback. A second call changes nothing.
    pub fn shutdown(&self) {
        self.running.shut_down();
    }

    /// Like [`Node::shutdown`], but also waits for all other threads, and no further callback
    /// starts. Inside the callback it returns immediately, and the event thread waits for the other
    /// threads when the callback has returned. A host name that is being resolved delays the end by
    /// at most a second.
    pub fn close(&self) {
        self.running.close();
    }

    /// Checks that this process started the node.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn check_process(&self) -> Result<()> {
        self.running.origin.check()
    }

    /// The state of the node; `Shutdown` in a forked child.
    pub fn state(&self) -> NodeState {
        if self.running.origin.is_elsewhere() {
            return NodeState::Shutdown;
        }
        self.running.lifecycle.state()
    }

    /// The address at which other members reach this node, with the real port. It can change while
    /// the node runs if `bind` is a wildcard and `advertise` is not set.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// The name of this node.
    pub fn name(&self) -> &str {
        &self.running.name
    }

    /// This node and all members that the filters of the settings let through, sorted by name. The
    /// list is shared instead of copied, never changes once it is returned, and can outlive the
    /// node. It is empty in a forked child.
    pub fn members(&self) -> Arc<Vec<Member>> {
        if self.running.origin.is_elsewhere() {
            return Arc::default();
        }
        self.running.members.all()
    }

    /// The member of this name; `None` if there is no such member, if a filter hides it, or in a
    /// forked child.
    pub fn member(&self, name: &str) -> Option<Member> {
        if self.running.origin.is_elsewhere() {
            return None;
        }
        self.running.members.find(name)
    }

    /// A number that changes whenever the members change.
    pub fn members_version(&self) -> u64 {
        self.running.members.version()
    }

    /// Declares that a failed member has left and will not come back.
    ///
    /// # Errors
    /// `NotFound`; `State` if the member has not failed, in memberlist mode, or once this node has
    /// begun to leave; `Closed`; `Forked`.
    pub fn remove_failed(&self, name: &str) -> Result<()> {
        self.remove(name, false)
    }

    /// Declares that a failed member has left and will not come back, and erases it from the list;
    /// also erases a member that has left already.
    ///
    /// # Errors
    /// Same as [`Node::remove_failed`], except that a member that has left is not an error.
    pub fn prune(&self, name: &str) -> Result<()> {
        self.remove(name, true)
    }

    fn remove(&self, name: &str, prune: bool) -> Result<()> {
        let name = name.to_owned();
        self.change(|waiter| Command::RemoveFailed {
            name,
            prune,
            waiter,
        })
    }

    /// Probes a member at once, because the application could not reach it. A `Done` event of this
    /// operation reports the verdict: success if the member answered, `Unreachable` if not.
    ///
    /// # Errors
    /// `NotFound` if there is no such member; `State` if the member is this node, if it has failed
    /// or left, if a hint about it or too many other hints are under way, or once this node has
    /// begun to leave; `Closed`; `Forked`.
    pub fn hint(&self, operation: Operation, name: &str) -> Result<()> {
        self.hint_for(name, Waiter::Event(operation))
    }

    /// Like [`Node::hint`], but the returned value has a descriptor of its own to wait on.
    ///
    /// # Errors
    /// Same as [`Node::hint`]; `Io` if the system refuses a descriptor.
    pub fn begin_hint(&self, name: &str) -> Result<Pending> {
        let (promise, pending) = Pending::new()?;
        self.hint_for(name, Waiter::Pending(promise))?;
        Ok(pending)
    }

    fn hint_for(&self, name: &str, waiter: Waiter) -> Result<()> {
        let name = name.to_owned();
        self.running.ask(|reply| Command::Hint {
            name,
            waiter,
            reply,
        })?
    }

    /// Explains the state of a member.
    ///
    /// # Errors
    /// `NotFound` if there is no such member, if a filter hides it, or if it failed or left so long
    /// ago that this node has forgotten the reasons (more than `gossip_to_the_dead_ms`); `Closed`;
    /// `Forked`.
    pub fn explain(&self, name: &str) -> Result<Explanation> {
        let name = name.to_owned();
        self.running.ask(|reply| Command::Explain { name, reply })?
    }

    /// Describes the health of this node.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn health(&self) -> Result<Health> {
        self.running.ask(|reply| Command::Health { reply })
    }

    /// The counters. After the end of the node they keep their last values; in a forked child the
    /// list is empty.
    pub fn stats(&self) -> Vec<Counter> {
        self.running.counters()
    }

    /// A descriptor that is readable while events are queued, and permanently once the node has
    /// ended. It is for polling only.
    ///
    /// # Errors
    /// `State` if a callback takes the events; `Forked`.
    pub fn fd(&self) -> Result<RawFd> {
        self.running.origin.check()?;
        self.running.events.fd().ok_or_else(with_callback)
    }

    /// Takes the next event; returns `Ok(None)` after the timeout. A `timeout` of `None` waits
    /// without limit.
    ///
    /// # Errors
    /// Once the node has ended and no event is left: `Closed`, or `Internal` if the node is broken.
    /// `State` if a callback takes the events; `Forked`.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>> {
        self.running.origin.check()?;
        if self.running.with_callback {
            return Err(with_callback());
        }
        let taken = self.running.events.take(timeout);
        taken.map_err(|Ended| self.running.lifecycle.end_error())
    }

    /// The number of events that wait for [`Node::next_event`].
    #[cfg(feature = "capi")]
    pub(crate) fn events_waiting(&self) -> usize {
        self.running.events.own_waiting()
    }

    /// Signals the descriptor again if events wait, for pollers that report only changes.
    #[cfg(feature = "capi")]
    pub(crate) fn signal_again(&self) {
        if !self.running.origin.is_elsewhere() {
            self.running.events.signal_again();
        }
    }

    /// Makes a separate reader for events of these kinds; an empty list stands for all kinds. Up to
    /// `capacity` events can wait for it. Any number of subscriptions may exist, and each sees
    /// every event of its kinds. An overflow is reported to the subscription that it concerns, and
    /// a fatal event to all of them. The first subscription to a kind also gets the events of that
    /// kind that still wait for [`Node::next_event`], which returns no further event of that kind.
    ///
    /// # Errors
    /// `State` if a callback takes the events; `Io` if the system refuses a descriptor; after the
    /// end of the node `Closed`, or `Internal` if it is broken; `Forked`.
    pub fn subscribe(&self, capacity: usize, kinds: &[EventKind]) -> Result<Subscription> {
        self.running.origin.check()?;
        if self.running.with_callback {
            return Err(with_callback());
        }
        self.running.lifecycle.check()?;
        let lifecycle = self.running.lifecycle.clone();
        Subscription::new(&self.running.events, lifecycle, capacity, kinds.to_vec())
    }

    fn seeds(&self, addrs: &[&str]) -> Result<Vec<Seed>> {
        self.running.origin.check()?;
        if addrs.is_empty() {
            return Err(Error::new(Status::Invalid, "no address to join is given"));
        }
        address::check_count(addrs.len())?;
        addrs.iter().map(|addr| address::target(addr)).collect()
    }

    /// Sends a command, and returns a value with a descriptor that reports its outcome.
    fn start_pending(&self, command: impl FnOnce(Waiter) -> Command) -> Result<Pending> {
        self.running.origin.check()?;
        let (promise, pending) = Pending::new()?;
        self.running.send(command(Waiter::Pending(promise)))?;
        Ok(pending)
    }

    /// Sends a command whose operation may take a while, and waits for the outcome.
    fn run(
        &self,
        timeout: Option<Duration>,
        what: &str,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Result<Outcome> {
        let (reply, answer) = oneshot();
        self.finish(timeout, what, command(Waiter::Caller(reply)), answer)
    }

    /// Sends a command, and waits for the answer. This function is not generic, because the library
    /// would otherwise contain a copy of it for each command.
    fn finish(
        &self,
        timeout: Option<Duration>,
        what: &str,
        command: Command,
        answer: Answer<Outcome>,
    ) -> Result<Outcome> {
        self.running.check_wait()?;
        self.running.send(command)?;
        match answer.wait(timeout) {
            Waited::Answered(outcome) => Ok(outcome),
            Waited::Dropped => Err(self.running.lifecycle.end_error()),
            Waited::TimedOut => {
                let message = format!("the timeout has passed; {what} goes on");
                Err(Error::new(Status::Timeout, message))
            }
        }
    }

    /// Sends a command that the engine finishes at once, and waits for its result.
    fn change(&self, command: impl FnOnce(Waiter) -> Command) -> Result<()> {
        self.run(None, "the change", command)?.result.map(drop)
    }
}

/// Runs `work`, and turns a panic in it into an error. The panic is not printed. Bindings to other
/// languages need this, since no panic may reach their callers.
///
/// # Errors
/// `Internal` after a panic.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R> {
    crate::driver::os::panic::caught(work).map_err(|text| Error::new(Status::Internal, text))
}

fn with_callback() -> Error {
    Error::new(Status::State, "the callback of this node takes its events")
}
