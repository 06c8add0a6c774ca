//! The public face of a running member: the [`Node`].

mod running;
#[cfg(all(test, feature = "spoe"))]
mod services_tests;
mod start;
#[cfg(test)]
mod tests;

use crate::Config;
use crate::config::address;
use crate::driver::engine::command::Command;
use crate::driver::events::completion::Waiter;
use crate::driver::events::pending::Pending;
use crate::driver::events::queue::Ended;
use crate::driver::events::subscriptions::Subscription;
use crate::driver::node::running::RunningNode;
use crate::driver::os::oneshot::{Waited, oneshot};
#[cfg(doc)]
use crate::driver::os::worker::PreparedThreads;
use crate::driver::os::worker::Spawn;
use crate::error::{Error, Result, Status};
use crate::event::{Event, EventKind};
use crate::serf::{Member, Tags};
use crate::swim::{Explanation, Health, Seed};
use crate::vocabulary::NodeState;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// Called on the event thread, one event at a time.
pub type EventCallback = Box<dyn FnMut(&Event) + Send>;

/// A running member of a cluster. Clones refer to the same node, and any number of threads may use
/// it at once. It ends with [`Node::shutdown`], [`Node::close`] or with its last clone.
///
/// In a forked child an inherited node is dead: calls give [`Status::Forked`], and what cannot fail
/// gives nothing.
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
    /// Binds the sockets and starts the threads; events wait to be taken.
    ///
    /// # Errors
    /// `Config` for settings that do not fit together, `Address` if the address cannot be bound or
    /// this host has none, `Io` if a thread, a descriptor or a file is refused.
    pub fn start(config: &Config) -> Result<Node> {
        Node::start_with(config, None, None)
    }

    /// As [`Node::start`], with a callback on an event thread and threads from `spawn`. Without
    /// `spawn`, prepared threads are taken first ([`PreparedThreads::prepare`]). The callback may run before
    /// this returns.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(
        config: &Config,
        callback: Option<EventCallback>,
        spawn: Option<Arc<dyn Spawn>>,
    ) -> Result<Node> {
        let running = Arc::new(start::start(config, callback, spawn)?);
        Ok(Node { running })
    }

    /// Joins a cluster: exchanges lists of members with every address. Returns how many answered.
    /// After a leave the node takes part again first. `timeout` `None` waits without limit; when
    /// the time is up the attempt goes on.
    ///
    /// Addresses are `host`, `host:port`, `1.2.3.4`, `[::1]:7946`, with a node name in front as in
    /// `name/host:port` if need be; the port is 7946 if none is given.
    ///
    /// # Errors
    /// `Invalid` for no address, `Address` for one that cannot be read; `Unreachable`, or `Crypto`,
    /// `Protocol`, `Address` if that is why, when nobody answered; `Timeout`; `Closed`; `Forked`.
    pub fn join(&self, addrs: &[&str], timeout: Option<Duration>) -> Result<usize> {
        let seeds = self.seeds(addrs)?;
        self.run(timeout, "the join", move |waiter| Command::Join {
            seeds,
            waiter,
        })
    }

    /// As [`Node::join`] without waiting: `Done` with the returned number tells how it went.
    ///
    /// # Errors
    /// `Invalid`, `Address`, `Closed`, `Forked`.
    pub fn join_async(&self, addrs: &[&str]) -> Result<u64> {
        let seeds = self.seeds(addrs)?;
        let id = self.running.next_id();
        let waiter = Waiter::Event(id);
        self.running.send(Command::Join { seeds, waiter })?;
        Ok(id)
    }

    /// As [`Node::join`] without waiting, with a descriptor of its own to wait on, and the reason
    /// for each address that was not reached.
    ///
    /// # Errors
    /// `Invalid`, `Address`, `Io` without a descriptor, `Closed`, `Forked`.
    pub fn begin_join(&self, addrs: &[&str]) -> Result<Pending> {
        let seeds = self.seeds(addrs)?;
        let (promise, pending) = Pending::new()?;
        let waiter = Waiter::Pending(promise);
        self.running.send(Command::Join { seeds, waiter })?;
        Ok(pending)
    }

    /// Leaves the cluster: announces it and waits until it has spread. Afterwards the node still
    /// lists members; leaving again does nothing. `timeout` `None` waits without limit.
    ///
    /// # Errors
    /// `Timeout`, the leave goes on then; `Closed`; `Forked`.
    pub fn leave(&self, timeout: Option<Duration>) -> Result<()> {
        let leave = |waiter| Command::Leave { waiter };
        self.run(timeout, "the leave", leave).map(drop)
    }

    /// As [`Node::leave`] without waiting: `Done` with the returned number tells the end.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn leave_async(&self) -> Result<u64> {
        self.running.origin.check()?;
        let id = self.running.next_id();
        let waiter = Waiter::Event(id);
        self.running.send(Command::Leave { waiter })?;
        Ok(id)
    }

    /// As [`Node::leave`] without waiting, with a descriptor of its own to wait on.
    ///
    /// # Errors
    /// `Io` without a descriptor, `Closed`, `Forked`.
    pub fn begin_leave(&self) -> Result<Pending> {
        self.running.origin.check()?;
        let (promise, pending) = Pending::new()?;
        let waiter = Waiter::Pending(promise);
        self.running.send(Command::Leave { waiter })?;
        Ok(pending)
    }

    /// Stops at once, without a word: the others will see a failure. Calls that wait give `Closed`;
    /// queued events, members, counters and state can still be read. Waits for the engine's thread,
    /// not for a callback. A second call does nothing.
    pub fn shutdown(&self) {
        self.running.shut_down();
    }

    /// As [`Node::shutdown`], and no further callback starts; waits for all threads. Called inside
    /// the callback it returns at once, and the event thread does the waiting when that callback
    /// has returned. A name that is being resolved is waited for at most a second.
    pub fn close(&self) {
        self.running.close();
    }

    /// Whether this is the process that started the node.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn check_process(&self) -> Result<()> {
        self.running.origin.check()
    }

    /// What the node is doing; `Shutdown` in a forked child.
    pub fn state(&self) -> NodeState {
        if self.running.origin.is_elsewhere() {
            return NodeState::Shutdown;
        }
        self.running.lifecycle.state()
    }

    /// Where others reach this node, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// The name of this node.
    pub fn name(&self) -> &str {
        &self.running.name
    }

    /// All members sorted by name, this node included. A consistent picture, shared and not copied;
    /// it may outlive the node. Empty in a forked child.
    pub fn members(&self) -> Arc<Vec<Arc<Member>>> {
        if self.running.origin.is_elsewhere() {
            return Arc::default();
        }
        self.running.members.all()
    }

    /// One member; `None` if there is none of this name, and in a forked child.
    pub fn member(&self, name: &str) -> Option<Arc<Member>> {
        if self.running.origin.is_elsewhere() {
            return None;
        }
        self.running.members.find(name)
    }

    /// Changes whenever the members changed.
    pub fn members_version(&self) -> u64 {
        self.running.members.version()
    }

    /// Sets a tag of this node; `None` removes it.
    ///
    /// # Errors
    /// `Invalid` for an empty key; `TooLarge` if all tags together take more than 512 bytes;
    /// `State` in memberlist mode and after a leave; `Closed`; `Forked`. Nothing changes then.
    pub fn set_tag(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.update_tags(vec![(key.to_owned(), value.map(str::to_owned))])
    }

    /// Sets some tags of this node and removes those whose value is `None`, in one step: the
    /// others hear of it once.
    ///
    /// # Errors
    /// As [`Node::set_tag`].
    pub fn update_tags(&self, changes: Vec<(String, Option<String>)>) -> Result<()> {
        changes.iter().try_for_each(|(key, _)| check_tag_key(key))?;
        self.change(|waiter| Command::UpdateTags { changes, waiter })
    }

    /// Replaces all tags of this node.
    ///
    /// # Errors
    /// As [`Node::set_tag`].
    pub fn set_tags(&self, tags: Tags) -> Result<()> {
        tags.keys().try_for_each(|key| check_tag_key(key))?;
        self.change(|waiter| Command::SetTags { tags, waiter })
    }

    /// Replaces the meta of this node.
    ///
    /// # Errors
    /// `TooLarge` for more than 512 bytes; `State` in Serf mode and after a leave; `Closed`;
    /// `Forked`. Nothing changes then.
    pub fn set_meta(&self, meta: &[u8]) -> Result<()> {
        let meta = meta.to_vec();
        self.change(|waiter| Command::SetMeta { meta, waiter })
    }

    /// Makes a failed member one that has left; with `prune` it is erased, and one that has left
    /// already too.
    ///
    /// # Errors
    /// `NotFound`; `State` if it has not failed, in memberlist mode and after a leave; `Closed`;
    /// `Forked`.
    pub fn remove_failed(&self, name: &str, prune: bool) -> Result<()> {
        let name = name.to_owned();
        self.change(|waiter| Command::RemoveFailed {
            name,
            prune,
            waiter,
        })
    }

    /// "I could not reach NAME just now": probes it at once. The verdict comes as `Done` with the
    /// returned number: status 0 if it answered, `Unreachable` if not.
    ///
    /// # Errors
    /// `NotFound` unless it is another member that is there; `State` if asked too often or after a
    /// leave; `Closed`; `Forked`.
    pub fn hint(&self, name: &str) -> Result<u64> {
        let id = self.running.next_id();
        self.hint_for(name, Waiter::Event(id))?;
        Ok(id)
    }

    /// As [`Node::hint`], with a descriptor of its own to wait on.
    ///
    /// # Errors
    /// As [`Node::hint`]; `Io` without a descriptor.
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

    /// Why a member is in its state.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Forked`.
    pub fn explain(&self, name: &str) -> Result<Explanation> {
        let name = name.to_owned();
        self.running.ask(|reply| Command::Explain { name, reply })?
    }

    /// How this node itself is doing.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn health(&self) -> Result<Health> {
        self.running.ask(|reply| Command::Health { reply })
    }

    /// Counters as (name, value, what it means); the last ones after the end of the node, none in
    /// a forked child.
    pub fn stats(&self) -> Vec<(&'static str, i64, &'static str)> {
        self.running.counters()
    }

    /// A descriptor that is readable while events are queued, and for ever after the end of the
    /// node. For polling only.
    ///
    /// # Errors
    /// `State` if a callback takes the events; `Forked`.
    pub fn fd(&self) -> Result<RawFd> {
        self.running.origin.check()?;
        self.running.events.fd().ok_or_else(with_callback)
    }

    /// The next event; `Ok(None)` when the time is up. `timeout` `None` waits without limit.
    ///
    /// # Errors
    /// `Closed`, or `Internal` if the node is broken, once it has ended and no event is left;
    /// `State` if a callback takes the events; `Forked`.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>> {
        self.running.origin.check()?;
        if self.running.with_callback {
            return Err(with_callback());
        }
        let taken = self.running.events.take(timeout);
        taken.map_err(|Ended| self.running.lifecycle.ended())
    }

    /// A reader of its own for events of these kinds (none: all), `capacity` of which may wait.
    /// Any number of them may exist, and each sees everything; an overflow is told to the one that
    /// it concerns. The first to subscribe to a kind also gets what waits since the start, and
    /// events of that kind then come no more to [`Node::next_event`].
    ///
    /// # Errors
    /// `State` if a callback takes the events; `Io` without a descriptor; `Closed`, or `Internal`
    /// if the node is broken; `Forked`.
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
            return Err(Error::new(Status::Invalid, "no address to join"));
        }
        address::check_count(addrs.len())?;
        addrs.iter().map(|addr| address::target(addr)).collect()
    }

    /// Sends a command whose operation may take a while, and waits for the outcome.
    fn run(
        &self,
        timeout: Option<Duration>,
        what: &str,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Result<usize> {
        self.running.check_wait()?;
        let (reply, answer) = oneshot();
        self.running.send(command(Waiter::Caller(reply)))?;
        match answer.wait(timeout) {
            Waited::Answered(result) => result,
            Waited::Dropped => Err(self.running.lifecycle.ended()),
            Waited::TimedOut => {
                let message = format!("the timeout has passed; {what} goes on");
                Err(Error::new(Status::Timeout, message))
            }
        }
    }

    /// Sends a command that the engine finishes at once, and waits for its result.
    fn change(&self, command: impl FnOnce(Waiter) -> Command) -> Result<()> {
        self.run(None, "the change", command).map(drop)
    }
}

/// Runs `work`; a panic in it is an error, and is not printed. For bindings to other languages,
/// whose callers no panic may reach.
///
/// # Errors
/// `Internal` after a panic.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R> {
    crate::driver::os::panic::caught(work).map_err(|told| Error::new(Status::Internal, told))
}

fn with_callback() -> Error {
    Error::new(Status::State, "the events of this node go to its callback")
}

fn check_tag_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::new(Status::Invalid, "the key of a tag is empty"));
    }
    Ok(())
}
