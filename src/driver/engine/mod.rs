//! The engine: one thread, one `poll(2)`, everything that the core is told and orders.
//!
//! Nothing else touches the core, so it needs no lock. Each turn: tell the core the time, carry
//! out what it orders, hand its events on, sleep until its next deadline or until a socket or an
//! order from the application is there.

pub(in crate::driver) mod agent;
pub(in crate::driver) mod commands;
mod operations;
pub(in crate::driver) mod shared;
mod stall;

use crate::driver::engine::commands::Orders;
use crate::driver::engine::shared::{Counter, Shared};
use crate::driver::engine::stall::{Stall, StallDetector};
use crate::driver::events::completion::Waiter;
use crate::driver::events::log::Journal;
use crate::driver::net::resolve::Lookup;
use crate::driver::net::sockets::Sockets;
use crate::driver::net::streams::{StreamNews, StreamSet, stream_end};
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFd, PollFlags, is_shortage};
use crate::driver::os::lock::lock;
use crate::driver::os::panic;
use crate::event::Level;
use crate::limits;
use crate::serf::Core;
use crate::swim::{LookupId, OpId, Output, StreamEnd, StreamId};
use crate::time::Time;
use crate::vocabulary::NodeState;
use crate::wire::Refusal;
use crossbeam_channel::Sender;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Datagrams taken in one turn before others have their turn.
const BURST: usize = 256;
/// Connections accepted in one turn.
const ACCEPTS: usize = 32;
/// Streams that hold a descriptor, those that are being closed included.
const DESCRIPTORS: usize = limits::STREAMS + 64;
/// How long no connection is accepted when the process has no descriptors left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);
/// Longest sleep: a bound for what is only looked at in passing.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the engine's thread owns.
pub(in crate::driver) struct Engine {
    pub core: Core,
    pub shared: Arc<Shared>,
    sockets: Sockets,
    streams: StreamSet,
    lookups: Sender<Lookup>,
    stream_timeout: Duration,
    /// The time of this turn: everything in it happens then. What passes meanwhile is noticed at
    /// the end of it, and not before the core has been told of an absence.
    pub now: Time,
    stall_detector: StallDetector,
    /// No connection is accepted before.
    accept_after: Time,
    buffer: Vec<u8>,
    pub waiters: HashMap<OpId, Waiter>,
    /// Those of them that wait for a join.
    pub joins: HashSet<OpId>,
    pub journal: Journal,
    counts: Counts,
}

/// Counters of the driver.
#[derive(Default)]
struct Counts {
    stalls: u64,
    accept_failures: u64,
    streams_given_up: u64,
    turns: u64,
}

/// What an engine is made of.
pub(in crate::driver) struct Parts {
    pub core: Core,
    pub shared: Arc<Shared>,
    pub sockets: Sockets,
    pub lookups: Sender<Lookup>,
    pub stream_timeout: Duration,
    pub probe_interval: Duration,
    pub log_level: Option<Level>,
}

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        let now = clock::now();
        let mut engine = Engine {
            core: parts.core,
            journal: Journal::new(parts.log_level, now),
            shared: parts.shared,
            sockets: parts.sockets,
            streams: StreamSet::default(),
            lookups: parts.lookups,
            stream_timeout: parts.stream_timeout,
            now,
            stall_detector: StallDetector::new(now, clock::suspended(), parts.probe_interval),
            accept_after: Time::ZERO,
            buffer: vec![0; limits::DATAGRAM_LEN],
            waiters: HashMap::new(),
            joins: HashSet::new(),
            counts: Counts::default(),
        };
        engine.update_view(0, true);
        engine
    }

    /// Runs until the node is shut down.
    pub fn run(&mut self) {
        loop {
            let now = clock::now();
            self.now = now;
            if let Some(stall) = self.stall_detector.on_work(now) {
                self.on_stall(now, stall);
            }
            self.core.handle_timeout(now);
            self.settle(now);
            let woken = self.sleep();
            let now = clock::now();
            self.now = now;
            if let Some(stall) = self
                .stall_detector
                .on_wake(now, woken.wanted, clock::suspended())
            {
                self.on_stall(now, stall);
            }
            self.counts.turns += 1;
            if woken.fd_closed {
                // It would never sleep again, and the numbers may soon mean something else.
                let text = "this process closed descriptors that belong to a node";
                return self.shared.break_down(text.to_owned());
            }
            if woken.commands && self.run_commands() {
                return;
            }
            if woken.datagrams {
                self.receive(now);
            }
            for (id, ready) in woken.streams {
                self.serve_stream(now, id, ready);
            }
            if woken.connections {
                self.accept(now);
            }
            self.streams.expire(now);
        }
    }

    fn on_stall(&mut self, now: Time, stall: Stall) {
        self.counts.stalls += 1;
        let Stall { missed, suspended } = stall;
        if self.core.handle_stall(now, missed, suspended) {
            self.discard();
        }
        let (missed, suspended) = (missed.as_millis(), suspended.as_millis());
        let text = if suspended > 0 {
            format!("this machine was suspended for {suspended} ms")
        } else {
            format!("this process did not run for {missed} ms")
        };
        self.journal.warn(&self.shared, "engine", text);
    }

    /// Old news can bury the living: what waited for too long is not heard any more.
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
            match self.sockets.accept() {
                Ok(Some(_)) => self.core.refuse(Refusal::Stale),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Carries out what the core orders and hands its events on, until there is neither.
    pub fn settle(&mut self, now: Time) {
        loop {
            while let Some(order) = self.core.poll_output() {
                self.carry_out(now, order);
            }
            if !self.hand_on_events() {
                break;
            }
        }
        self.journal.look(&self.shared, &self.core, now);
    }

    /// A line for who looks for a mistake; made only if it is wanted.
    pub fn debug(&mut self, target: &'static str, text: impl FnOnce() -> String) {
        self.journal.line(&self.shared, Level::Debug, target, text);
    }

    fn carry_out(&mut self, now: Time, order: Output) {
        match order {
            Output::Datagram { to, bytes, probe } => {
                if let (Err(why), Some(probe)) = (self.sockets.send(to, &bytes), probe) {
                    self.core.handle_send_failure(now, probe, why);
                }
            }
            Output::Connect { id, to } => {
                self.debug("net", || format!("connects to {to}"));
                if let Err(error) = self.streams.dial(id, to) {
                    if is_shortage(&error) {
                        // For the core it is as if nobody answered; a person has to know better.
                        let text = format!("cannot open a connection to {to}: {error}");
                        self.journal.warn(&self.shared, "engine", text);
                    }
                    self.core.handle_stream_end(now, id, stream_end(&error));
                }
            }
            Output::Write { id, bytes } => self.streams.write(id, bytes),
            Output::Close { id } => self.streams.close(now, id, self.stream_timeout),
            Output::Resolve { id, host } => {
                self.debug("net", || format!("looks for the addresses of {host}"));
                if self.lookups.send(Lookup { id, host }).is_err() {
                    self.core.handle_resolved(now, id, &[]);
                }
            }
        }
    }

    /// Waits until something is to be done.
    fn sleep(&mut self) -> Woken {
        let now = clock::now();
        let mut wanted = now + LONGEST_SLEEP;
        for deadline in [self.core.poll_timeout(), self.streams.deadline()] {
            wanted = wanted.min(deadline.unwrap_or(wanted));
        }
        let accept_from = self.accept_from(now);
        let listening = accept_from.is_some_and(|from| from <= now);
        if !listening {
            wanted = wanted.min(accept_from.unwrap_or(wanted));
        }
        let mut sources = vec![Source::Commands, Source::Datagrams];
        let mut fds = vec![
            PollFd::new(self.shared.commands.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.sockets.udp(), PollFlags::POLLIN),
        ];
        if listening {
            sources.push(Source::Connections);
            fds.push(PollFd::new(self.sockets.listener(), PollFlags::POLLIN));
        }
        for (id, fd) in self.streams.poll_entries() {
            sources.push(Source::Stream(id));
            fds.push(fd);
        }
        let ready = descriptors::wait(&mut fds, Some(wanted.since(now)));
        Woken::new(wanted, sources.into_iter().zip(ready))
    }

    /// Does what the application wants; true if it wants the end.
    fn run_commands(&mut self) -> bool {
        let Orders { commands, stop } = self.shared.commands.take();
        for command in commands {
            command(self);
            // At the end nothing is sent any more: what begins now is given up, and its end told.
            if !stop {
                self.settle(self.now);
            }
        }
        stop
    }

    fn receive(&mut self, now: Time) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..BURST {
            let Some((len, from)) = self.sockets.receive(&mut buffer) else {
                break;
            };
            self.core.handle_datagram(now, from, &buffer[..len]);
            self.settle(now);
        }
        self.buffer = buffer;
    }

    fn has_place(&self) -> bool {
        self.core.accepts_streams() && self.streams.len() < DESCRIPTORS
    }

    /// When the next connection can be accepted: there are descriptors, and a place is free or
    /// can be made free. `None` while all that is open is this node's own.
    fn accept_from(&self, now: Time) -> Option<Time> {
        let place = match self.has_place() {
            true => now,
            false => self.streams.oldest()?.1,
        };
        Some(place.max(self.accept_after))
    }

    /// Makes a place free for somebody who is there already.
    fn make_place(&mut self, now: Time) {
        if !self.has_place()
            && let Some((id, _)) = self.streams.oldest()
        {
            self.counts.streams_given_up += 1;
            self.streams.give_up(id);
            self.core.handle_stream_end(now, id, StreamEnd::Failed);
        }
    }

    fn accept(&mut self, now: Time) {
        let tenure = now + self.stream_timeout / 10;
        for _ in 0..ACCEPTS {
            if self.accept_from(now).is_none_or(|from| from > now) {
                return;
            }
            match self.sockets.accept() {
                Ok(None) => return,
                Ok(Some((socket, from))) => {
                    self.debug("net", || format!("takes a connection from {from}"));
                    self.make_place(now);
                    if let Ok(id) = self.streams.accept(tenure, socket) {
                        self.core.handle_stream_accepted(now, id, from);
                        self.settle(now);
                    }
                }
                Err(error) => {
                    self.counts.accept_failures += 1;
                    self.accept_after = now + OUT_OF_DESCRIPTORS;
                    let text = format!("cannot accept connections: {error}");
                    return self.journal.warn(&self.shared, "engine", text);
                }
            }
        }
    }

    fn serve_stream(&mut self, now: Time, id: StreamId, ready: PollFlags) {
        let core = &mut self.core;
        let mut tell = |news: StreamNews, bytes: &[u8]| match news {
            StreamNews::Connected(id) => core.handle_stream_connected(now, id),
            StreamNews::Data(id, _) => core.handle_stream_data(now, id, bytes),
            StreamNews::Eof(id) => core.handle_stream_end(now, id, StreamEnd::Eof),
            StreamNews::Failed(id) => core.handle_stream_end(now, id, StreamEnd::Failed),
            StreamNews::Refused(id) => core.handle_stream_end(now, id, StreamEnd::Refused),
        };
        self.streams
            .ready(now, id, ready, &mut self.buffer, &mut tell);
        self.settle(now);
    }

    /// The helper has resolved a name.
    pub fn resolved(&mut self, id: LookupId, addrs: &[IpAddr]) {
        self.core.handle_resolved(self.now, id, addrs);
    }

    /// All counters.
    pub fn counters(&self) -> Vec<Counter> {
        let small = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let counters = self.core.stats().into_iter();
        let mut all: Vec<Counter> = counters
            .map(|(name, value, help)| (name, small(value), help))
            .collect();
        let own = [
            (
                "events_waiting",
                self.shared.events.waiting() as u64,
                "Events that wait to be taken.",
            ),
            (
                "events_lost",
                self.shared.events.lost(),
                "Events merged or dropped because the queue was full.",
            ),
            (
                "streams_open",
                self.streams.len() as u64,
                "Streams that are open now.",
            ),
            (
                "accept_failures",
                self.counts.accept_failures,
                "Times that no connection could be accepted for want of descriptors.",
            ),
            (
                "streams_given_up",
                self.counts.streams_given_up,
                "Accepted streams that lost their place to others, for they said too little.",
            ),
            (
                "stalls",
                self.counts.stalls,
                "Times that this process or machine did not run for long.",
            ),
            (
                "engine_turns",
                self.counts.turns,
                "Times that the engine woke up.",
            ),
        ];
        all.extend(own.map(|(name, value, help)| (name, small(value), help)));
        all.extend(agent::counters(self.shared.door.as_deref()));
        all
    }
}

/// A descriptor that the engine waits for.
enum Source {
    Commands,
    Datagrams,
    Connections,
    Stream(StreamId),
}

/// Why the engine woke up.
#[derive(Default)]
struct Woken {
    /// The latest moment at which the sleep was to end.
    wanted: Time,
    /// A descriptor is not open any more, and this library did not close it.
    fd_closed: bool,
    commands: bool,
    datagrams: bool,
    connections: bool,
    streams: Vec<(StreamId, PollFlags)>,
}

impl Woken {
    fn new(wanted: Time, ready: impl Iterator<Item = (Source, PollFlags)>) -> Woken {
        let mut woken = Woken {
            wanted,
            ..Woken::default()
        };
        for (source, flags) in ready.filter(|(_, flags)| !flags.is_empty()) {
            woken.fd_closed |= flags.contains(PollFlags::POLLNVAL);
            match source {
                Source::Commands => woken.commands = true,
                Source::Datagrams => woken.datagrams = true,
                Source::Connections => woken.connections = true,
                Source::Stream(id) => woken.streams.push((id, flags)),
            }
        }
        woken
    }
}

impl Drop for Engine {
    /// However the engine ends, those who wait for it are told, and the events have an end.
    fn drop(&mut self) {
        if let Ok(counters) = panic::caught(|| self.counters()) {
            *lock(&self.shared.final_stats) = counters;
        }
        self.shared.set_state(NodeState::Shutdown);
        for (_, waiter) in self.waiters.drain() {
            waiter.give_up(&self.shared);
        }
        self.shared.commands.end();
        self.shared.events.end();
    }
}
