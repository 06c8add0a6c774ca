//! The engine: one thread, one `poll(2)`, and all input and output of the core.
//!
//! No other thread touches the core, so it needs no lock. In each turn, the engine tells the core
//! the time, carries out the outputs of the core, passes on its reports, sleeps until the next
//! deadline or until a socket is ready or a command arrives, and handles what has arrived.
//!
//! | file or folder | what it holds |
//! | --- | --- |
//! | [`command`] | the commands of other threads, and their queue |
//! | `counters` | the counters of the engine and of all other parts |
//! | `discovery` | finding other nodes with mDNS |
//! | [`handle`] | the handle that other threads hold |
//! | `own_address` | noticing that the addresses of this host have changed |
//! | `reports` | reports of the core on their way to the application |
//! | `running` | running commands, and the operations under way |
//! | `shortage` | running out of descriptors |
//! | [`snapshot`] | the file that keeps members and clocks for the next run |
//! | `stall` | noticing that the engine did not run for a while |
//! | `streams` | opening, accepting and serving streams |
//! | [`threads`] | the other threads that talk to the engine: resolvers, services, key writer |
//! | `woken` | the reasons why the engine woke up |

pub(in crate::driver) mod command;
mod counters;
#[cfg_attr(not(feature = "mdns"), path = "discovery/absent.rs")]
mod discovery;
pub(in crate::driver) mod handle;
mod own_address;
mod reports;
mod running;
mod shortage;
pub(in crate::driver) mod snapshot;
mod stall;
mod streams;
pub(in crate::driver) mod threads;
mod woken;

use crate::Config;
use crate::driver::engine::command::Command;
use crate::driver::engine::discovery::Discovery;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::engine::own_address::OwnAddress;
use crate::driver::engine::running::operations::Operations;
use crate::driver::engine::shortage::Shortage;
use crate::driver::engine::snapshot::SnapshotKeeper;
use crate::driver::engine::stall::{Stall, StallDetector};
use crate::driver::engine::threads::key_writer::KeyWriter;
use crate::driver::engine::threads::resolvers::{Lookup, Resolvers};
use crate::driver::engine::woken::{PollSource, Woken};
use crate::driver::events::log::Log;
use crate::driver::net::sockets::Sockets;
use crate::driver::net::streams::StreamSet;
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFd, PollFlags};
use crate::driver::os::interfaces::HostAddresses;
use crate::driver::os::lock::lock;
use crate::driver::os::panic;
use crate::event::Level;
use crate::limits;
use crate::serf::Core;
use crate::swim::{Health, Output, StreamId};
use crate::time::Time;
use crate::vocabulary::NodeState;
use crate::wire::Refusal;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of datagrams received in one turn before other work is done.
const BURST: usize = 256;
/// The longest sleep. It bounds the delay until the log reads the counters, and until a thread
/// notices that the host program has closed its descriptors, since no call can wake a thread whose
/// descriptors are closed.
const LONGEST_SLEEP: Duration = Duration::from_secs(3);
/// The minimum time between two checks of all eventfds.
const EVENTFD_CHECK: Duration = Duration::from_secs(1);

/// The state of the engine's thread.
pub(in crate::driver) struct Engine {
    core: Core,
    handle: Arc<EngineHandle>,
    sockets: Sockets,
    streams: StreamSet,
    resolvers: Arc<Resolvers>,
    /// `None` if the keys are not stored.
    key_writer: Option<KeyWriter>,
    stream_timeout: Duration,
    /// The time that the core sees. It is read from the clock at the beginning of each turn and
    /// after the sleep of the turn, and nowhere else, so that the core learns of a stall before it
    /// sees the new time.
    now: Time,
    stall_detector: StallDetector,
    buffer: Vec<u8>,
    /// Commands that were taken from the queue and have not run yet. After a panic they end with
    /// the engine, so their callers are woken only when the reason for the engine's end is known.
    commands: VecDeque<Command>,
    operations: Operations,
    log: Log,
    shortage: Shortage,
    own_address: OwnAddress,
    /// `None` if no snapshot is kept.
    snapshot: Option<SnapshotKeeper>,
    /// `None` if the node does not use mDNS.
    discovery: Option<Discovery>,
    counts: Counts,
    /// The time of the next check of all eventfds.
    eventfds_due: Time,
    /// The streams that were ready in the last turn, which had no time left to serve them.
    left_over: Vec<StreamId>,
}

/// The counters of the engine.
#[derive(Default)]
struct Counts {
    stalls: u64,
    accept_failures: u64,
    streams_given_up: u64,
    turns: u64,
}

impl Engine {
    /// An engine that has not run yet. The list of members already shows this node.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new(
        config: &Config,
        core: Core,
        handle: Arc<EngineHandle>,
        sockets: Sockets,
        resolvers: Arc<Resolvers>,
        snapshot: Option<SnapshotKeeper>,
    ) -> io::Result<Engine> {
        let (now, swim) = (clock::now(), &config.settings.core.swim);
        let mut engine = Engine {
            core,
            discovery: Discovery::new(config, &handle.name, sockets.bound, now),
            log: Log::new(config.settings.log_level.0, now),
            handle,
            own_address: OwnAddress::new(config, sockets.bound, now),
            streams: StreamSet::for_gossip(sockets.bound.ip()),
            sockets,
            resolvers,
            key_writer: None,
            stream_timeout: swim.stream_timeout,
            now,
            stall_detector: StallDetector::new(now, clock::suspended(), swim.probe_interval),
            buffer: vec![0; limits::DATAGRAM_LEN],
            commands: VecDeque::new(),
            operations: Operations::default(),
            shortage: Shortage::new()?,
            snapshot,
            counts: Counts::default(),
            eventfds_due: now,
            left_over: Vec::new(),
        };
        engine.update_members();
        Ok(engine)
    }

    /// The handle that other threads hold.
    pub fn handle(&self) -> Arc<EngineHandle> {
        self.handle.clone()
    }

    /// Runs until the node is asked to end, or has lost a descriptor to the host program.
    pub fn run(&mut self) {
        loop {
            self.now = clock::now();
            if let Some(stall) = self.stall_detector.on_work(self.now) {
                self.on_stall(stall);
            }
            self.shortage.renew_reserve();
            self.check_own_address();
            self.discover();
            self.core.handle_timeout(self.now);
            self.settle();
            self.write_snapshot();
            let woken = self.sleep();
            self.now = clock::now();
            let suspended = clock::suspended();
            if let Some(stall) = (self.stall_detector).on_wake(self.now, woken.wanted, suspended) {
                self.on_stall(stall);
            }
            self.counts.turns += 1;
            if !self.owns_its_descriptors() {
                return self.handle.on_lost_descriptors();
            }
            if woken.commands && self.run_commands() {
                self.end_discovery();
                return self.end_snapshot();
            }
            if woken.datagrams {
                self.receive();
            }
            if woken.discovery {
                self.receive_discovery();
            }
            self.serve_streams(woken.streams);
            if woken.connections {
                self.accept();
            }
            self.streams.expire(self.now);
        }
    }

    /// Returns true unless the host program has closed or replaced a descriptor of the engine. The
    /// number of such a descriptor may meanwhile stand for a file of the host program.
    ///
    /// Sockets are checked in each turn, after the sleep. An eventfd is checked whenever it is
    /// written or read, so all eventfds are checked here only from time to time, to notice a loss.
    fn owns_its_descriptors(&mut self) -> bool {
        let owns_sockets = self.sockets.are_intact()
            && self.streams.are_intact()
            && self.discovery.as_ref().is_none_or(Discovery::is_intact);
        if !owns_sockets || self.now < self.eventfds_due {
            return owns_sockets;
        }
        self.eventfds_due = self.now + EVENTFD_CHECK;
        self.handle.commands.is_intact()
            && self.handle.events.are_intact()
            && self.shortage.is_intact()
            && (self.snapshot.as_ref()).is_none_or(SnapshotKeeper::is_intact)
    }

    /// Checks the interfaces of this host if a check is due.
    fn check_own_address(&mut self) {
        if self.own_address.is_due(self.now) {
            let alone = self.is_alone();
            self.choose_own_address(alone);
        }
    }

    /// Checks the interfaces before a stream with another host is opened or accepted, if this node
    /// chooses its own address, and has a loopback address or knows no other member. If the network
    /// has just come up, the other host could otherwise learn an address that is no longer the best
    /// one.
    pub(super) fn check_own_address_for(&mut self, peer: SocketAddr) {
        if self.own_address.is_chosen() && !peer.ip().is_loopback() {
            let alone = self.is_alone();
            if alone || self.handle.addr().ip().is_loopback() {
                self.choose_own_address(alone);
            }
        }
    }

    /// Returns true if this node knows no other member, not even a lost one. Members that have left
    /// do not count.
    fn is_alone(&self) -> bool {
        !self.core.knows_others()
    }

    /// Chooses the address of this node again, and logs a problem with it if a line is due.
    fn choose_own_address(&mut self, alone: bool) {
        let (host, own) = (HostAddresses::read(), self.handle.addr());
        let chosen = &mut self.own_address;
        let new = chosen.choose(self.now, host.as_ref(), own.ip(), alone);
        if let Some(ip) = new {
            let new = SocketAddr::new(ip, own.port());
            self.core.set_addr(self.now, new);
            // A reader that sees the new address finds it in the list of members as well.
            self.update_members();
            self.handle.set_addr(new);
            let text = format!("this node now advertises {new} instead of {own}");
            self.warn("net", text);
        }
        if let Some(problem) = self.own_address.take_warning(self.now) {
            self.warn("net", problem.to_owned());
        }
    }

    fn on_stall(&mut self, stall: Stall) {
        self.counts.stalls += 1;
        let Stall { missed, suspended } = stall;
        let is_long = self.core.handle_stall(self.now, missed, suspended);
        // The host program may have replaced a descriptor while this thread did not run.
        if is_long && self.owns_its_descriptors() {
            self.discard();
        }
        let (missed, suspended) = (missed.as_millis(), suspended.as_millis());
        let text = if suspended > 0 {
            format!("this machine was suspended for {suspended} ms")
        } else {
            format!("this process did not run for {missed} ms")
        };
        self.warn("engine", text);
    }

    /// Discards the datagrams and connections that waited during a stall: old messages could
    /// declare live members failed.
    fn discard(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..limits::RECEIVE_QUEUE {
            if self.sockets.receive(&mut buffer).is_none() {
                break;
            }
            self.core.refuse(Refusal::Stale);
        }
        self.buffer = buffer;
        for _ in 0..limits::ACCEPT_QUEUE {
            match self.sockets.listener.accept() {
                Ok(Some(_)) => self.core.refuse(Refusal::Stale),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Carries out the outputs of the core and passes on its reports, until none are left.
    fn settle(&mut self) {
        loop {
            while let Some(order) = self.core.poll_output() {
                self.carry_out(order);
            }
            if !self.pass_on_reports() {
                break;
            }
        }
        let handle = &self.handle;
        (self.log).check(&handle.events, &mut self.core, &handle.services, self.now);
    }

    /// Writes the lines of the snapshot that are due.
    fn write_snapshot(&mut self) {
        let Some(keeper) = &mut self.snapshot else {
            return;
        };
        keeper.write_due(&mut self.core, self.now);
        if let Some(text) = keeper.take_warning() {
            self.warn("snapshot", text);
        }
    }

    /// Writes the last lines of the snapshot.
    fn end_snapshot(&mut self) {
        if let Some(keeper) = &mut self.snapshot {
            keeper.end(&mut self.core, self.now);
        }
    }

    /// Logs a debug line. The text is only created if debug lines are logged.
    fn debug(&mut self, target: &'static str, text: impl FnOnce() -> String) {
        self.log
            .line(&self.handle.events, Level::Debug, target, text);
    }

    /// Logs a warning.
    fn warn(&mut self, target: &'static str, text: String) {
        self.log.warn(&self.handle.events, target, text);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Datagram { to, bytes, probe } => {
                if let (Err(why), Some(probe)) = (self.sockets.send(to, &bytes), probe) {
                    self.core.handle_send_failure(self.now, probe, why);
                }
            }
            Output::Connect { id, to } => self.connect(id, to),
            Output::Write { id, bytes } => self.streams.write(id, bytes),
            Output::Close { id } => self.streams.close(self.now, id, self.stream_timeout),
            Output::Resolve { id, host } => {
                self.debug("net", || format!("resolving {host}"));
                self.shortage.begin_lookup(self.now);
                let lookup = Lookup {
                    id,
                    host: host.clone(),
                };
                if let Err(error) = self.resolvers.submit(&self.handle, lookup) {
                    let text = format!("cannot create a thread to resolve {host}: {error}");
                    self.warn("net", text);
                    self.shortage.end_lookup();
                    self.core.handle_resolved(self.now, id, &[]);
                }
            }
        }
    }

    /// Sleeps until there is something to do, and returns the reasons for waking up.
    fn sleep(&mut self) -> Woken {
        let now = clock::now();
        let mut wanted = now + LONGEST_SLEEP;
        for deadline in [
            self.core.poll_timeout(),
            self.core.snapshot_deadline(),
            self.streams.deadline(),
        ] {
            wanted = wanted.min(deadline.unwrap_or(wanted));
        }
        let accept_from = self.accept_from(now);
        let listening = accept_from.is_some_and(|from| from <= now);
        if !listening {
            wanted = wanted.min(accept_from.unwrap_or(wanted));
        }
        let mut sources = vec![PollSource::Commands, PollSource::Datagrams];
        let mut fds = vec![
            PollFd::new(self.handle.commands.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.sockets.udp(), PollFlags::POLLIN),
        ];
        if listening {
            sources.push(PollSource::Connections);
            fds.push(self.sockets.listener.poll_entry());
        }
        if let Some(discovery) = &self.discovery {
            wanted = wanted.min(discovery.deadline().unwrap_or(wanted));
            for fd in discovery.poll_entries() {
                sources.push(PollSource::Discovery);
                fds.push(fd);
            }
        }
        for (id, fd) in self.streams.poll_entries() {
            sources.push(PollSource::Stream(id));
            fds.push(fd);
        }
        let ready = descriptors::wait(&mut fds, Some(wanted.since(now)));
        Woken::new(wanted, sources.into_iter().zip(ready))
    }

    fn receive(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..BURST {
            let Some((len, from)) = self.sockets.receive(&mut buffer) else {
                break;
            };
            self.core.handle_datagram(self.now, from, &buffer[..len]);
            self.settle();
        }
        self.buffer = buffer;
    }

    /// The health of this node. The core does not see a shortage of descriptors or a problem with
    /// this node's address, so the text about one of these replaces the summary of the core, unless
    /// there is a name conflict.
    pub(super) fn health(&mut self) -> Health {
        let mut health = self.core.health(self.now);
        if health.name_conflict.is_some() {
            return health;
        }
        let services = self.handle.services.iter();
        let service = services.filter_map(|it| it.last_shortage()).max();
        let shortage = self.shortage.summary(self.now, service);
        let problem = shortage.or_else(|| self.own_address.problem());
        health.summary = problem.unwrap_or(health.summary);
        health
    }
}

impl Drop for Engine {
    /// Notifies the parties that wait for the engine and ends the events, whatever ended the
    /// engine.
    fn drop(&mut self) {
        if let Ok(counters) = panic::caught(|| self.counters()) {
            *lock(&self.handle.final_counters) = counters;
        }
        self.handle.lifecycle.enter(NodeState::Shutdown);
        // If the engine panicked, some of the commands that it took have not run.
        let mut commands = std::mem::take(&mut self.commands);
        commands.extend(self.handle.commands.end());
        let unrun = commands.into_iter().filter_map(Command::into_waiter);
        for waiter in self.operations.drain().chain(unrun) {
            let ended = Err(self.handle.lifecycle.end_error());
            waiter.complete(&self.handle.events, ended.into());
        }
        self.resolvers.end();
        self.handle.events.end();
    }
}
