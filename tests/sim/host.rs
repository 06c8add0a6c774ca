//! A host: one process with a core in it, its clock, and the inputs that wait while it is stopped.

use super::checker::View;
use super::clock::Clock;
use super::tcp::Item;
use sprat::serf::{Config, Core, CoreEvent};
use sprat::swim::{LookupId, StreamId};
use sprat::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The size in bytes of the receive buffer of a socket: as much as memberlist asks the kernel for.
const BUFFER: usize = 2 * 1024 * 1024;
/// The bytes that the kernel charges to the buffer for a datagram, in addition to its payload.
const ACCOUNTED: usize = 768;

/// An input of a process.
#[derive(Debug)]
pub enum Input {
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Connected { conn: u64 },
    Arrived { conn: u64, side: usize, item: Item },
    Broken { stream: StreamId },
    Resolved { id: LookupId, addrs: Vec<IpAddr> },
}

/// A host. The fields that each wake-up reads come first, next to each other, because most wake-ups
/// find nothing to do and should load little memory.
#[repr(C)]
pub struct Host {
    /// A number that grows whenever a process starts or ends. Wake-ups and lookups of an earlier
    /// process are dropped.
    pub life: u32,
    /// The earliest wake-up of this process in the queue of the world.
    pub armed: Option<Time>,
    /// The time of its own clock at which this process wants to be woken up.
    pub wanted: Time,
    /// The time since which the process has been stopped; `None` if it is not.
    pub paused: Option<Time>,
    pub clock: Clock,
    pub addr: SocketAddr,
    pub name: Arc<str>,
    pub config: Config,
    /// The process; `None` while it does not run.
    pub core: Option<Core>,
    /// The time at which the current process last started, was asked to join, or went on after a
    /// pause.
    pub well_since: Time,
    /// True if the whole machine is suspended: no input is kept for the process.
    pub asleep: bool,
    /// True if the node was asked to leave, and since then has neither been asked to join nor been
    /// restarted.
    pub leaving: bool,
    /// Inputs that arrived while the process was stopped.
    pub inbox: VecDeque<Input>,
    buffered: usize,
    pub streams: BTreeMap<StreamId, (u64, usize)>,
    pub last_accepted: u64,
    pub backlog: VecDeque<u64>,
    pub view: View,
    pub events: Vec<(Time, CoreEvent)>,
    /// The number of steps since the member list was last checked.
    pub unchecked: u32,
    /// The version of the member list at its last check.
    pub checked_version: u64,
}

impl Host {
    pub fn new(index: usize, addr: SocketAddr, config: Config, clock: Clock) -> Host {
        Host {
            name: format!("n{index}").into(),
            addr,
            config,
            core: None,
            life: 0,
            well_since: Time::ZERO,
            clock,
            paused: None,
            asleep: false,
            leaving: false,
            inbox: VecDeque::new(),
            buffered: 0,
            streams: BTreeMap::new(),
            last_accepted: 0,
            backlog: VecDeque::new(),
            armed: None,
            wanted: Time::ZERO,
            view: View::new(index, true),
            events: Vec::new(),
            unchecked: 0,
            checked_version: 0,
        }
    }

    pub fn local(&self, world: Time) -> Time {
        self.clock.local(world)
    }

    /// Returns true if the process exists and is not stopped.
    pub fn is_running(&self) -> bool {
        self.core.is_some() && self.paused.is_none()
    }

    /// Returns true if the node takes part: it has a process, which may be stopped, and is not
    /// leaving.
    pub fn is_member(&self) -> bool {
        self.core.is_some() && !self.leaving
    }

    /// Returns true if this stream waits to be accepted.
    pub fn has_in_backlog(&self, conn: u64) -> bool {
        self.backlog.contains(&conn)
    }

    /// Keeps an input until the process runs again. Returns false, and drops the input, if it is a
    /// datagram for which the receive buffer has no room.
    pub fn keep(&mut self, input: Input) -> bool {
        if let Input::Datagram { bytes, .. } = &input {
            let size = bytes.len() + ACCOUNTED;
            if self.buffered + size > BUFFER {
                return false;
            }
            self.buffered += size;
        }
        self.inbox.push_back(input);
        true
    }

    pub fn take_inbox(&mut self) -> VecDeque<Input> {
        self.buffered = 0;
        std::mem::take(&mut self.inbox)
    }
}
