//! Streams: bytes arrive in order, and are sent again when a flight is lost. A stream breaks when
//! no flight gets through for a long time.
//!
//! The kernel of the other host accepts a connection even while its process is stopped: the
//! connection and the bytes that arrive on it wait in the backlog until the core takes them. A
//! connection to a host without a process is refused after a round trip. A connection to an address
//! without a host fails after [`GIVE_UP`].

use super::host::Input;
use super::world::{Action, World, host_at};
use sprat::swim::{StreamEnd, StreamId};
use sprat::time::Time;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The first pause before a connection attempt is repeated.
const SYN_AGAIN: Duration = Duration::from_secs(1);
/// The first pause before a flight of data is repeated.
const DATA_AGAIN: Duration = Duration::from_millis(200);
/// The time after which a stream breaks if no flight gets through.
const GIVE_UP: Duration = Duration::from_secs(15);
/// The payload of a segment in bytes.
const SEGMENT: usize = 1460;
/// The bytes of headers of a segment.
const HEADERS: u64 = 40;
/// The number of segments without payload: three set a stream up, and four tear it down.
const BARE_SEGMENTS: u64 = 7;

/// An item on its way along a stream.
#[derive(Debug)]
pub enum Item {
    Data(Vec<u8>),
    End(StreamEnd),
}

/// One side of a stream. The dialler is side 0.
#[derive(Debug, Default)]
struct Side {
    host: usize,
    /// The number of the stream at this host; `None` if the core there does not know the stream.
    id: Option<StreamId>,
    outbox: VecDeque<Item>,
    /// The time since which the first item of the outbox has been under way.
    trying_since: Option<Time>,
    attempts: u32,
    last_arrival: Time,
}

#[derive(Debug)]
pub struct Conn {
    to: SocketAddr,
    began: Time,
    established: bool,
    sides: [Side; 2],
    /// Items that arrived before the core took the stream.
    unread: Vec<Item>,
}

impl World {
    pub(super) fn connect(&mut self, host: usize, id: StreamId, to: SocketAddr) {
        self.next_conn += 1;
        let conn = self.next_conn;
        let sides = [
            Side {
                host,
                id: Some(id),
                ..Side::default()
            },
            Side::default(),
        ];
        let (began, unread) = (self.now, Vec::new());
        self.conns.insert(
            conn,
            Conn {
                to,
                began,
                established: false,
                sides,
                unread,
            },
        );
        self.hosts[host].streams.insert(id, (conn, 0));
        self.syn(conn, 0);
    }

    /// Sends a connection request, and sends it again later if it is lost.
    pub(super) fn syn(&mut self, id: u64, attempt: u32) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let from = conn.sides[0].host;
        let to = host_at(&self.hosts, conn.to);
        let flight = to.and_then(|to| self.net.flight(from, to));
        if let (Some(to), Some(delay)) = (to, flight) {
            conn.sides[1].host = to;
            self.queue
                .push(self.now + delay, Action::SynArrived { conn: id });
            return;
        }
        let pause = SYN_AGAIN * (1 << attempt.min(3));
        if (self.now + pause).since(conn.began) > GIVE_UP {
            let at = conn.began + GIVE_UP;
            self.queue.push(at, Action::Broken { conn: id });
        } else {
            self.queue.push(
                self.now + pause,
                Action::Syn {
                    conn: id,
                    attempt: attempt + 1,
                },
            );
        }
    }

    pub(super) fn syn_arrived(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let (dialler, to) = (conn.sides[0].host, conn.sides[1].host);
        let delay = self.net.flight(dialler, to).unwrap_or(DATA_AGAIN);
        if self.hosts[to].core.is_none() || self.hosts[to].addr != conn.to {
            self.net.count.refused += 1;
            self.net.count.bytes += 2 * HEADERS;
            self.queue
                .push(self.now + delay, Action::Broken { conn: id });
            return;
        }
        conn.established = true;
        self.net.count.streams += 1;
        self.net.count.bytes += BARE_SEGMENTS * HEADERS;
        self.queue
            .push(self.now + delay, Action::SynAcked { conn: id });
        self.hosts[to].backlog.push_back(id);
        if self.hosts[to].is_running() {
            self.touch(to);
        }
        if self.hosts[to].backlog.contains(&id) {
            self.net.count.backlogged += 1;
        }
    }

    /// Tells the dialler that its connection request was answered: it may write now.
    pub(super) fn syn_acked(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let side = &conn.sides[0];
        if side.id.is_some() {
            self.input(side.host, Input::Connected { conn: id });
        }
    }

    /// Returns the number of a stream at its dialler; `None` if the core there does not know it.
    pub(super) fn dialled(&self, id: u64) -> Option<StreamId> {
        self.conns.get(&id)?.sides[0].id
    }

    /// Lets the core of a host take the next stream from its backlog. Returns false if the backlog
    /// is empty, or if the core takes no more.
    pub(super) fn accept(&mut self, host: usize) -> bool {
        let state = &mut self.hosts[host];
        if !state
            .core
            .as_ref()
            .is_some_and(|core| core.accepts_streams())
        {
            return false;
        }
        let Some(id) = state.backlog.pop_front() else {
            return false;
        };
        let Some(conn) = self.conns.get_mut(&id) else {
            return true;
        };
        state.last_accepted += 2;
        let stream = StreamId(state.last_accepted);
        state.streams.insert(stream, (id, 1));
        conn.sides[1].id = Some(stream);
        let from = self.hosts[conn.sides[0].host].addr;
        let unread = std::mem::take(&mut conn.unread);
        let local = self.hosts[host].local(self.now);
        if let Some(core) = &mut self.hosts[host].core {
            core.handle_stream_accepted(local, stream, from);
        }
        for item in unread {
            self.apply(
                host,
                Input::Arrived {
                    conn: id,
                    side: 1,
                    item,
                },
            );
        }
        true
    }

    pub(super) fn write(&mut self, host: usize, stream: StreamId, bytes: Vec<u8>) {
        let Some(&(id, side)) = self.hosts[host].streams.get(&stream) else {
            return;
        };
        let segments = bytes.len().div_ceil(SEGMENT) as u64;
        self.net.count.bytes += bytes.len() as u64 + segments * HEADERS;
        self.send(id, side, Item::Data(bytes));
    }

    /// Closes the side of a stream that its core has forgotten. The other side sees the end after
    /// all written bytes.
    pub(super) fn close(&mut self, host: usize, stream: StreamId) {
        let Some((id, side)) = self.hosts[host].streams.remove(&stream) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if !conn.established {
            self.conns.remove(&id);
            return;
        }
        conn.sides[side].id = None;
        self.send(id, side, Item::End(StreamEnd::Eof));
    }

    fn send(&mut self, id: u64, side: usize, item: Item) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.sides[side].outbox.push_back(item);
        if conn.sides[side].trying_since.is_none() {
            self.fly(id, side);
        }
    }

    /// Sends the items that wait on one side, until one is lost.
    pub(super) fn fly(&mut self, id: u64, side: usize) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let other = conn.sides[1 - side].host;
        let this = &mut conn.sides[side];
        this.trying_since.get_or_insert(now);
        while !this.outbox.is_empty() {
            let Some(delay) = self.net.flight(this.host, other) else {
                let pause = DATA_AGAIN * (1 << this.attempts.min(5));
                this.attempts += 1;
                if now.since(this.trying_since.unwrap_or(now)) > GIVE_UP {
                    return self.broken(id);
                }
                self.queue.push(now + pause, Action::Fly { conn: id, side });
                return;
            };
            let Some(item) = this.outbox.pop_front() else {
                break;
            };
            this.attempts = 0;
            this.trying_since = Some(now);
            this.last_arrival = this.last_arrival.max(now + delay);
            let what = Action::Arrived {
                conn: id,
                side: 1 - side,
                item,
            };
            self.queue.push(this.last_arrival, what);
        }
        this.trying_since = None;
    }

    /// Handles an item that arrived at this side.
    pub(super) fn arrived(&mut self, id: u64, side: usize, item: Item) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let (host, waits) = (
            conn.sides[side].host,
            self.hosts[conn.sides[side].host].has_in_backlog(id),
        );
        if side == 1 && waits {
            return conn.unread.push(item);
        }
        self.input(
            host,
            Input::Arrived {
                conn: id,
                side,
                item,
            },
        );
    }

    /// Hands an item to the core.
    pub(super) fn deliver(&mut self, id: u64, side: usize, item: Item) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let host = conn.sides[side].host;
        let Some(stream) = conn.sides[side].id else {
            // The core has closed this side. When the other side has ended too, the stream is over.
            if matches!(item, Item::End(_)) {
                self.conns.remove(&id);
            }
            return;
        };
        let local = self.hosts[host].local(self.now);
        let Some(core) = &mut self.hosts[host].core else {
            return;
        };
        match item {
            Item::Data(bytes) => core.handle_stream_data(local, stream, &bytes),
            Item::End(end) => {
                core.handle_stream_end(local, stream, end);
                self.hosts[host].streams.remove(&stream);
                self.conns.remove(&id);
            }
        }
    }

    /// Breaks a stream, because no flight gets through or the other host has no process. Both sides
    /// are notified.
    pub(super) fn broken(&mut self, id: u64) {
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        self.net.count.streams_broken += 1;
        for side in conn.sides {
            if let Some(stream) = side.id {
                self.hosts[side.host].streams.remove(&stream);
                self.input(side.host, Input::Broken { stream });
            }
        }
    }

    /// Resets all streams of a host, whose process has ended or was stopped for too long. The hosts
    /// at the other ends see the streams fail.
    pub(super) fn reset_streams(&mut self, host: usize) {
        let streams = std::mem::take(&mut self.hosts[host].streams);
        let mut gone: Vec<(u64, usize)> = streams.into_values().collect();
        gone.extend(self.hosts[host].backlog.drain(..).map(|id| (id, 1)));
        for (id, side) in gone {
            let Some(conn) = self.conns.get_mut(&id) else {
                continue;
            };
            if !conn.established {
                self.conns.remove(&id);
                continue;
            }
            conn.sides[side].id = None;
            conn.sides[side].outbox.clear();
            self.send(id, side, Item::End(StreamEnd::Failed));
        }
    }
}
