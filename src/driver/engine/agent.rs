//! The SPOE agent: a thread that answers what HAProxy asks about requests.
//!
//! One thread has all connections, and none of them blocks: an answer takes microseconds. It looks
//! at the members when somebody asks, and not while this node may be cut off from them: answers
//! are then those of before. A connection that does not take its answers is not read; when all
//! places are taken, the one that has been silent longest makes room.

use crate::driver::engine::Engine;
use crate::driver::engine::shared::{Counter, Shared};
use crate::driver::net::sockets;
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFd, PollFlags, Wakeup, is_shortage};
use crate::driver::os::fork::CloseOnFork;
use crate::driver::os::oneshot::{Waited, oneshot};
use crate::error::{Error, Result};
use crate::service::spoe::candidate::Rules;
use crate::service::spoe::questions::Known;
use crate::service::spoe::talk::{Reply, Talk};
use crate::time::Time;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Connections at once: each HAProxy has one per thread, and a few more under load.
const PLACES: usize = 256;
/// Between two looks at members that change all the time.
const REFRESH: Duration = Duration::from_millis(20);
/// How long the engine may take to say how it is; HAProxy waits.
const PATIENCE: Duration = Duration::from_millis(10);
/// After an engine that did not say it.
const REFRESH_STUCK: Duration = Duration::from_secs(1);
/// How long nobody is let in when the process has no descriptors left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);
/// Bytes taken from one connection before others have their turn.
const PORTION: usize = 64 * 1024;

/// What the rest of the node sees of the agent.
pub(in crate::driver) struct Door {
    stop: Wakeup,
    open: AtomicU64,
    questions: AtomicU64,
    refused: AtomicU64,
}

impl Door {
    fn new() -> io::Result<Door> {
        Ok(Door {
            stop: Wakeup::new()?,
            open: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Lets the agent end.
    pub fn close(&self) {
        self.stop.raise();
    }
}

/// The counters of the agent; zeros if there is none.
pub(in crate::driver) fn counters(door: Option<&Door>) -> [Counter; 3] {
    let count = |of: fn(&Door) -> &AtomicU64| {
        let value = door.map_or(0, |door| of(door).load(Ordering::Relaxed));
        i64::try_from(value).unwrap_or(i64::MAX)
    };
    [
        (
            "spoe_connections",
            count(|it| &it.open),
            "Connections of HAProxy's SPOE that are open now.",
        ),
        (
            "spoe_questions",
            count(|it| &it.questions),
            "Questions of HAProxy that were answered, with or without a value.",
        ),
        (
            "spoe_refused",
            count(|it| &it.refused),
            "Connections of SPOE that made no sense or gave their place up.",
        ),
    ]
}

/// The place where an agent will listen; bound before there is a node.
pub(in crate::driver) struct Place(TcpListener);

impl Place {
    /// # Errors
    /// `Address` if it is taken or not of this host, `Io` for anything else.
    pub fn bind(addr: Option<SocketAddr>) -> Result<(Option<Place>, Option<Arc<Door>>)> {
        let Some(addr) = addr else {
            return Ok((None, None));
        };
        let listener = sockets::listen_for("spoe_bind", addr)?;
        let door = Door::new().map_err(|error| Error::io("no descriptor", &error))?;
        Ok((Some(Place(listener)), Some(Arc::new(door))))
    }
}

/// A connection of HAProxy.
struct Visit {
    socket: CloseOnFork<TcpStream>,
    talk: Talk,
    /// Answers that were not taken yet.
    out: Vec<u8>,
    /// Ends when they are.
    closing: bool,
    heard: Time,
}

/// What the agent's thread owns.
pub(in crate::driver) struct Agent {
    shared: Arc<Shared>,
    door: Arc<Door>,
    listener: CloseOnFork<TcpListener>,
    rules: Rules,
    visits: Vec<Visit>,
    known: Known,
    /// Of the members that are known.
    version: Option<u64>,
    look_from: Time,
    accept_from: Time,
    buffer: Vec<u8>,
}

impl Agent {
    pub fn new(shared: Arc<Shared>, door: Arc<Door>, place: Place, rules: Rules) -> Agent {
        Agent {
            shared,
            door,
            listener: CloseOnFork::new(place.0),
            rules,
            visits: Vec::new(),
            known: Known::default(),
            version: None,
            look_from: Time::ZERO,
            accept_from: Time::ZERO,
            buffer: vec![0; PORTION],
        }
    }

    /// Answers until the node ends.
    pub fn run(&mut self) {
        while !self.shared.is_ending() {
            let ready = self.wait();
            if ready.iter().any(|it| it.contains(PollFlags::POLLNVAL)) {
                let text = "this process closed descriptors that belong to a node";
                return self.shared.break_down(text.to_owned());
            }
            let now = clock::now();
            let visited = self.visits.len();
            // From the last to the first: who takes the place of one that goes was served already.
            for at in (0..self.visits.len()).rev() {
                if !ready[1 + at].is_empty() && !self.serve(now, at) {
                    self.visits.swap_remove(at);
                }
            }
            if ready.get(1 + visited).is_some_and(|it| !it.is_empty()) {
                self.accept(now);
            }
            let open = self.visits.len() as u64;
            self.door.open.store(open, Ordering::Relaxed);
        }
    }

    /// What poll finds: of the end, of each connection, and of the listener unless it pauses.
    fn wait(&self) -> Vec<PollFlags> {
        let mut fds = vec![PollFd::new(self.door.stop.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.visits.iter().map(|visit| {
            let wanted = if visit.out.is_empty() {
                PollFlags::POLLIN
            } else {
                PollFlags::POLLOUT
            };
            PollFd::new(visit.socket.as_fd(), wanted)
        }));
        let pause = self.accept_from.since(clock::now());
        if pause.is_zero() {
            fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        descriptors::wait(&mut fds, (!pause.is_zero()).then_some(pause))
    }

    fn accept(&mut self, now: Time) {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if is_shortage(&error) => {
                    self.accept_from = now + OUT_OF_DESCRIPTORS;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => continue, // that connection broke while it waited
            };
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            let _ = socket.set_nodelay(true); // only latency depends on it
            self.make_room();
            self.visits.push(Visit {
                socket: CloseOnFork::new(socket),
                talk: Talk::default(),
                out: Vec::new(),
                closing: false,
                heard: now,
            });
        }
    }

    fn make_room(&mut self) {
        if self.visits.len() < PLACES {
            return;
        }
        let visits = self.visits.iter().enumerate();
        if let Some((at, _)) = visits.min_by_key(|(_, visit)| visit.heard) {
            self.visits.swap_remove(at);
            self.door.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads, answers and writes as much as goes without waiting; false if it is over.
    fn serve(&mut self, now: Time, at: usize) -> bool {
        if !self.visits[at].out.is_empty() {
            return self.visits[at].flush();
        }
        let read = (&*self.visits[at].socket).read(&mut self.buffer);
        let len = match read {
            Ok(0) => return false,
            Ok(len) => len,
            Err(error) => {
                return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
            }
        };
        self.look(now);
        let visit = &mut self.visits[at];
        let Reply {
            bytes,
            close,
            refused,
            questions,
        } = visit.talk.hear(&self.buffer[..len], &self.known);
        self.door.questions.fetch_add(questions, Ordering::Relaxed);
        self.door
            .refused
            .fetch_add(refused.into(), Ordering::Relaxed);
        (visit.out, visit.closing, visit.heard) = (bytes, close, now);
        visit.flush()
    }

    /// Takes in the members if they have changed and this node can be trusted.
    fn look(&mut self, now: Time) {
        let version = self.shared.view.version();
        if self.version == Some(version) || now < self.look_from {
            return;
        }
        self.look_from = now + REFRESH;
        if self.version.is_some() {
            match self.is_isolated() {
                Some(false) => {}
                Some(true) => return,
                None => {
                    self.look_from = now + REFRESH_STUCK;
                    return;
                }
            }
        }
        self.known = Known::new(self.shared.view.all(), &self.rules);
        self.version = Some(version);
    }

    /// Whether the node may be cut off; `None` if the engine does not say.
    fn is_isolated(&self) -> Option<bool> {
        let (reply, answer) = oneshot();
        let question = move |engine: &mut Engine| reply.send(engine.health().isolated);
        self.shared.order(question).ok()?;
        match answer.wait(Some(PATIENCE)) {
            Waited::Answered(isolated) => Some(isolated),
            Waited::TimedOut | Waited::Dropped => None,
        }
    }
}

impl Visit {
    /// Writes what is left; false if the connection is over.
    fn flush(&mut self) -> bool {
        let mut sent = 0;
        let going_on = loop {
            if sent == self.out.len() {
                break !self.closing;
            }
            match (&*self.socket).write(&self.out[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
        };
        self.out.drain(..sent);
        going_on
    }
}
