//! Commands to the engine, and the queue in which they wait for it.
//!
//! A command names what is to be done and, if a caller waits for it, carries the means to answer
//! that caller. The queue is a list under a lock, with a descriptor that wakes the engine. It is
//! not a channel from a crate: sending on such a channel leaves thread-local memory behind on the
//! application's threads.

use crate::driver::events::completion::Waiter;
use crate::driver::os::descriptors::Wakeup;
use crate::driver::os::lock::lock;
use crate::driver::os::oneshot::Reply;
use crate::error::Result;
use crate::event::Coalescing;
use crate::serf::{Coordinate, Counter, KeyQuery, QueryOptions, Tags};
use crate::swim::{Explanation, Health, LookupId, Seed};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Changes of tags: each is a key with its new value, or with `None` to remove the tag.
pub(in crate::driver) type TagChanges = Vec<(String, Option<String>)>;

/// Something for the engine to do. A `waiter` gets the outcome when the operation has ended, and a
/// `reply` is sent as soon as the command has run. By then, the list of members already shows the
/// effects of the command.
pub(in crate::driver) enum Command {
    /// Joins the clusters of these seeds.
    Join { seeds: Vec<Seed>, waiter: Waiter },
    /// Asks a node which members its cluster has.
    Look { target: Seed, waiter: Waiter },
    /// Leaves the cluster.
    Leave { waiter: Waiter },
    /// Probes a member at once. The reply says whether the probe began; the waiter gets the verdict
    /// of the probe.
    Hint {
        name: String,
        waiter: Waiter,
        reply: Reply<Result<()>>,
    },
    /// Sets or removes some tags of this node.
    UpdateTags { changes: TagChanges, waiter: Waiter },
    /// Replaces all tags of this node.
    SetTags { tags: Tags, waiter: Waiter },
    /// Replaces the meta of this node.
    SetMeta { meta: Vec<u8>, waiter: Waiter },
    /// Waits until the last change of this node has been gossiped.
    Spread { waiter: Waiter },
    /// Sends or answers a message of the application.
    Message(MessageCommand),
    /// Manages the keys of the cluster, or of this node.
    Keys(KeyCommand),
    /// Marks a failed member as left; with `prune`, erases a member that failed or left.
    RemoveFailed {
        name: String,
        prune: bool,
        waiter: Waiter,
    },
    /// Explains the state of a member.
    Explain {
        name: String,
        reply: Reply<Result<Explanation>>,
    },
    /// Reads the network coordinate of a member.
    Coordinate {
        name: String,
        reply: Reply<Result<Coordinate>>,
    },
    /// Describes the health of this node.
    Health { reply: Reply<Health> },
    /// Reads all counters.
    Counters { reply: Reply<Vec<Counter>> },
    /// Delivers the addresses of a host name that the core asked the driver to resolve.
    Resolved { id: LookupId, addrs: Vec<IpAddr> },
    /// Runs a closure of a test on the engine's thread.
    #[cfg(test)]
    Test(Box<dyn FnOnce() + Send>),
}

/// A command about messages between the applications of a cluster.
pub(in crate::driver) enum MessageCommand {
    /// Sends a user event.
    SendEvent {
        name: String,
        payload: Vec<u8>,
        coalescing: Coalescing,
        waiter: Waiter,
    },
    /// Sends a query. The reply, if any, says whether it was sent; the waiter gets the end, and
    /// without a reply also the reason why the query was not sent. Acks and answers go to the queue
    /// of the waiter, or to all readers of events.
    Query {
        number: u64,
        name: String,
        payload: Vec<u8>,
        options: QueryOptions,
        waiter: Waiter,
        reply: Option<Reply<Result<()>>>,
    },
    /// Ends a query of this node.
    CancelQuery { number: u64 },
    /// Sends a message to a member in a datagram.
    SendDatagram {
        to: String,
        payload: Vec<u8>,
        waiter: Waiter,
    },
    /// Sends a message to a member by stream. The reply says whether the message was accepted; the
    /// waiter gets the end.
    SendMessage {
        to: String,
        payload: Arc<[u8]>,
        waiter: Waiter,
        reply: Reply<Result<()>>,
    },
    /// Gossips a message.
    Broadcast {
        payload: Vec<u8>,
        name: Option<String>,
        waiter: Waiter,
    },
    /// Sets the state that push/pulls carry.
    SetLocalState { state: Arc<[u8]>, waiter: Waiter },
    /// Sets the bytes that acks carry.
    SetAckPayload { payload: Vec<u8>, waiter: Waiter },
    /// Answers a query from another node.
    Respond {
        query: u64,
        payload: Vec<u8>,
        waiter: Waiter,
    },
}

/// A command about keys.
pub(in crate::driver) enum KeyCommand {
    /// Lets all members change or list their keys. The waiter gets the end.
    Manage {
        number: u64,
        query: KeyQuery,
        timeout: Option<Duration>,
        waiter: Waiter,
    },
    /// The writer of the keyring file has stored the change with this number, or could not; then
    /// the result says why.
    Stored {
        number: u64,
        result: std::result::Result<(), String>,
    },
}

impl Command {
    /// Returns the waiter, if any, of a command that will not run. A caller that waits for a
    /// `reply` is woken when the command is dropped.
    pub fn into_waiter(self) -> Option<Waiter> {
        match self {
            Command::Join { waiter, .. }
            | Command::Look { waiter, .. }
            | Command::Leave { waiter }
            | Command::UpdateTags { waiter, .. }
            | Command::SetTags { waiter, .. }
            | Command::SetMeta { waiter, .. }
            | Command::Spread { waiter }
            | Command::RemoveFailed { waiter, .. } => Some(waiter),
            Command::Keys(KeyCommand::Manage { waiter, .. }) => Some(waiter),
            Command::Message(
                MessageCommand::SendEvent { waiter, .. }
                | MessageCommand::Query {
                    waiter,
                    reply: None,
                    ..
                }
                | MessageCommand::Respond { waiter, .. }
                | MessageCommand::SendDatagram { waiter, .. }
                | MessageCommand::Broadcast { waiter, .. }
                | MessageCommand::SetLocalState { waiter, .. }
                | MessageCommand::SetAckPayload { waiter, .. },
            ) => Some(waiter),
            // The `reply` of a hint, a query or a message by stream tells the caller that the
            // operation did not begin, so its end is not reported.
            Command::Message(
                MessageCommand::Query { .. }
                | MessageCommand::CancelQuery { .. }
                | MessageCommand::SendMessage { .. },
            )
            | Command::Keys(KeyCommand::Stored { .. })
            | Command::Hint { .. }
            | Command::Explain { .. }
            | Command::Coordinate { .. }
            | Command::Health { .. }
            | Command::Counters { .. }
            | Command::Resolved { .. } => None,
            #[cfg(test)]
            Command::Test(_) => None,
        }
    }
}

struct Queue {
    waiting: VecDeque<Command>,
    /// True once the engine has been asked to end. It still runs the commands that wait, but the
    /// queue accepts no further command.
    stopping: bool,
    /// True once the engine has ended.
    ended: bool,
}

/// The commands that wait for the engine.
pub(in crate::driver) struct CommandQueue {
    queue: Mutex<Queue>,
    wakeup: Wakeup,
}

/// Everything that the engine takes from the queue at one time.
pub(in crate::driver) struct Taken {
    pub commands: VecDeque<Command>,
    /// True if the engine must end once it has run these commands.
    pub stop: bool,
}

impl AsFd for CommandQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

impl CommandQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// The system refuses the descriptor.
    pub fn new() -> io::Result<CommandQueue> {
        let queue = Queue {
            waiting: VecDeque::new(),
            stopping: false,
            ended: false,
        };
        Ok(CommandQueue {
            queue: Mutex::new(queue),
            wakeup: Wakeup::new()?,
        })
    }

    /// Returns true unless the host has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.wakeup.is_intact()
    }

    /// Queues a command. Returns false, and drops the command, if the engine was asked to end or
    /// has ended. Counters can be asked for until it has ended, because their last values are
    /// stored only then.
    pub fn send(&self, command: Command) -> bool {
        let mut queue = lock(&self.queue);
        let is_late = queue.stopping && !matches!(command, Command::Counters { .. });
        if queue.ended || is_late {
            return false;
        }
        if queue.waiting.is_empty() {
            self.wakeup.raise();
        }
        queue.waiting.push_back(command);
        true
    }

    /// Asks the engine to end once it has run the commands that wait.
    pub fn stop(&self) {
        let mut queue = lock(&self.queue);
        queue.stopping = true;
        if !queue.ended {
            self.wakeup.raise();
        }
    }

    /// Takes all commands that wait. Only the engine calls this.
    pub fn take(&self) -> Taken {
        let mut queue = lock(&self.queue);
        self.wakeup.lower();
        Taken {
            commands: std::mem::take(&mut queue.waiting),
            stop: queue.stopping,
        }
    }

    /// Closes the queue: the engine has ended. Returns the commands that still wait.
    pub fn end(&self) -> VecDeque<Command> {
        let mut queue = lock(&self.queue);
        queue.ended = true;
        std::mem::take(&mut queue.waiting)
    }
}
