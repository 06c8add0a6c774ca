//! Opening, accepting and serving streams, as long as there are places and descriptors for them.
//!
//! If places or descriptors are short, a new stream can take the place of an older stream. Only
//! accepted streams give way, because any host can open one; silent streams give way first. The
//! streams that this node opens itself never give way.

use crate::driver::engine::Engine;
use crate::driver::engine::shortage::Consequence;
use crate::driver::net::listener::{Acceptor, Listener, accept_waiting};
use crate::driver::net::streams::{StreamEvent, stream_end};
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFlags, is_shortage};
use crate::driver::os::own_fd::OwnFd;
use crate::limits;
use crate::swim::{StreamEnd, StreamId};
use crate::time::Time;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The time after which a turn serves no further stream. A single request can cost milliseconds,
/// because its answer can be the state of the whole cluster.
const STREAM_TIME: Duration = Duration::from_millis(10);
/// The maximum number of streams that may hold a descriptor, including those that are being closed.
const DESCRIPTORS: usize = limits::STREAMS + 64;

impl Engine {
    fn has_place(&self) -> bool {
        self.core.accepts_streams() && self.streams.len() < DESCRIPTORS
    }

    /// The time for which an accepted stream does not give way. The fewer streams are open, the
    /// shorter it is: where descriptors allow only a few streams, an honest peer should not wait
    /// longer for its turn than where they allow many.
    fn protection(&self) -> Duration {
        let most = self.stream_timeout / 10;
        let share = most * self.streams.len().min(limits::STREAMS) as u32 / limits::STREAMS as u32;
        share.max(most / 4)
    }

    /// The time from which the next connection can be accepted: the pause of the listener is over,
    /// and a place is free or can be freed. `None` if no place is free and no accepted stream can
    /// give way.
    pub(super) fn accept_from(&self, now: Time) -> Option<Time> {
        let place = match self.has_place() {
            true => now,
            false => self.streams.first_to_drop()?.1 + self.protection(),
        };
        Some(place.max(self.sockets.listener.resumes()))
    }

    /// Accepts the connections that wait.
    pub(super) fn accept(&mut self) {
        let now = self.now;
        accept_waiting(self, now);
    }

    /// Opens a connection for the core.
    pub(super) fn connect(&mut self, id: StreamId, to: SocketAddr) {
        self.debug("net", || format!("connecting to {to}"));
        self.check_own_address_for(to);
        let mut dialled = self.streams.dial(id, to);
        if let Some(error) = dialled.as_ref().err().filter(|error| is_shortage(error)) {
            let what = format!("cannot open a connection to {to}");
            self.on_refusal(Consequence::Connect, &what, error);
            if self.free_descriptor_for_dial() {
                dialled = self.streams.dial(id, to);
            }
        }
        if let Err(error) = dialled {
            // To the core, a shortage looks like a member that does not answer.
            let end = stream_end(&error);
            self.core.handle_stream_end(self.now, id, end);
        }
    }

    /// Logs that the system has refused a descriptor, unless a line about the same consequence was
    /// logged within the last minute.
    fn on_refusal(&mut self, consequence: Consequence, what: &str, error: &io::Error) {
        if self.shortage.on_refusal(self.now, consequence) {
            let limit = descriptors::limit();
            self.warn(
                "engine",
                format!(
                    "{what} without dropping another connection: {error}; this process may open \
                     {limit} descriptors (RLIMIT_NOFILE, ulimit -n)"
                ),
            );
        }
    }

    /// Frees a descriptor for a connection that this node opens, and returns whether that was
    /// possible. The node's own probes and joins come before accepted streams.
    fn free_descriptor_for_dial(&mut self) -> bool {
        self.streams.drop_lingering()
            || self.drop_accepted(self.protection())
            || self.shortage.spend_reserve()
            || self.drop_accepted(Duration::ZERO)
    }

    /// Drops the accepted stream that gives way first, if it has been open for at least `least`.
    /// Returns whether a stream was dropped.
    fn drop_accepted(&mut self, least: Duration) -> bool {
        let first = self.streams.first_to_drop();
        let Some((id, _)) = first.filter(|(_, accepted)| *accepted + least <= self.now) else {
            return false;
        };
        self.counts.streams_given_up += 1;
        self.streams.give_up(id);
        self.core.handle_stream_end(self.now, id, StreamEnd::Failed);
        true
    }

    /// Serves the streams that are ready, for a limited time. The streams that are left over are
    /// ready again in the next turn, after datagrams and timers have been handled. That turn serves
    /// them first, in the order in which they have waited.
    pub(super) fn serve_streams(&mut self, mut ready: Vec<(StreamId, PollFlags)>) {
        let waited = std::mem::take(&mut self.left_over);
        let turn = |id: StreamId| waited.iter().position(|it| *it == id);
        ready.sort_by_key(|(id, _)| turn(*id).unwrap_or(usize::MAX));
        let began = clock::now();
        for (id, ready) in ready {
            if clock::now().since(began) > STREAM_TIME {
                self.left_over.push(id);
                // Its bytes have arrived, so it does not give way as a silent stream.
                self.streams.note_heard(id);
            } else {
                self.serve_stream(id, ready);
            }
        }
    }

    /// Reads and writes a stream that is ready.
    fn serve_stream(&mut self, id: StreamId, ready: PollFlags) {
        let (core, now) = (&mut self.core, self.now);
        let mut tell = |event: StreamEvent, bytes: &[u8]| match event {
            StreamEvent::Connected => core.handle_stream_connected(now, id),
            StreamEvent::Data => core.handle_stream_data(now, id, bytes),
            StreamEvent::LastData => core.handle_stream_last_data(now, id, bytes),
            StreamEvent::End(end) => core.handle_stream_end(now, id, end),
        };
        self.streams
            .ready(now, id, ready, &mut self.buffer, &mut tell);
        self.settle();
    }
}

impl Acceptor for Engine {
    fn listener(&mut self) -> &mut Listener {
        &mut self.sockets.listener
    }

    fn has_room(&self, now: Time) -> bool {
        self.accept_from(now).is_some_and(|from| from <= now)
    }

    fn take(&mut self, now: Time, socket: OwnFd<TcpStream>, peer: SocketAddr) {
        self.debug("net", || format!("accepted a connection from {peer}"));
        if !self.core.admits_stream(peer) {
            return;
        }
        if !self.has_place() {
            self.drop_accepted(Duration::ZERO);
        }
        self.check_own_address_for(peer);
        if let Ok(id) = self.streams.accept(now, socket) {
            self.core.handle_stream_accepted(now, id, peer);
            self.settle();
        }
    }

    /// The reserve is spent only if this node has no accepted stream.
    fn free_descriptor(&mut self, _: Time, error: &io::Error) -> bool {
        self.on_refusal(Consequence::Accept, "cannot accept connections", error);
        if self.streams.drop_lingering() {
            return true;
        }
        match self.streams.first_to_drop() {
            Some(_) => self.drop_accepted(self.protection()),
            None => self.shortage.spend_reserve(),
        }
    }

    fn count_failure(&mut self) {
        self.counts.accept_failures += 1;
    }
}
