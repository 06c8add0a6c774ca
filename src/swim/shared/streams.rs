//! The streams that are open or being opened: the purpose of each, the bytes that have arrived, and
//! its deadline.
//!
//! A stream carries one request and at most one answer. The number of accepted streams is bounded,
//! and so are the bytes that all streams hold; a share of the streams is kept for those that this
//! node dials.

use super::refusals::{Source, Transport};
use crate::limits;
use crate::sorted_map::SortedMap;
use crate::swim::output::{OpId, StreamId};
use crate::time::Time;
use crate::wire::stream::{Side, StreamReader};
use crate::wire::{Codec, Refusal};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The number of streams that are reserved for dialling. While that many are open, this node dials
/// further streams only for looks, for user messages, for one target of a join if no other target
/// of that join is being asked, and for the push/pull that follows one in which it showed nothing.
const DIALLED: usize = limits::STREAMS / 4;

/// The number of streams that `reconnect` may have open at the same time. Hosts that are off do not
/// answer, and each attempt at one holds its stream until it times out: without this bound, many of
/// them would keep this node from probing its members by stream, and from exchanging states.
const RECONNECTING: usize = DIALLED / 4;

/// A push/pull that this node began.
#[derive(Clone, Debug)]
pub(in crate::swim) struct Exchange {
    pub cause: ExchangeCause,
    pub peer: SocketAddr,
    /// The join flag of its header.
    pub join: bool,
    /// The entries that this node sends.
    pub shows: Shows,
    /// The number of members that became known or alive again by the exchange before this one, in
    /// which this node showed nothing; 0 if there was none.
    pub gained: u32,
}

/// The entries that this node sends in a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum Shows {
    Everything,
    /// Only the entry of this node: the push/pull is about the answer.
    Own,
    /// All entries but that of this node, in an answer to a node that lists this node's name at
    /// another address.
    Others,
    /// No entry: this node is finding out whether its name is taken, or is only looking.
    Nothing,
}

impl Exchange {
    /// A push/pull in which both sides send everything.
    pub fn new(cause: ExchangeCause, peer: SocketAddr) -> Exchange {
        Exchange {
            cause,
            peer,
            join: false,
            shows: Shows::Everything,
            gained: 0,
        }
    }

    /// A push/pull in which this node sends its own entry only.
    pub fn pull(cause: ExchangeCause, peer: SocketAddr) -> Exchange {
        Exchange {
            shows: Shows::Own,
            ..Exchange::new(cause, peer)
        }
    }

    /// A push/pull that only asks another node for its state, because that node may not know this
    /// one yet. An agent that learns of another node with its own name lets the members vote, and
    /// ends if it does not get a majority. So this node shows itself, in the exchange of
    /// [`Exchange::introduction`], only to a node that does not list this node's name at another
    /// address.
    pub fn showing_nothing(cause: ExchangeCause, peer: SocketAddr) -> Exchange {
        Exchange {
            shows: Shows::Nothing,
            ..Exchange::new(cause, peer)
        }
    }

    /// Returns true if this node shows nothing of itself.
    pub fn shows_nothing(&self) -> bool {
        self.shows == Shows::Nothing
    }

    /// Returns the exchange that follows this one if the other side does not list this node's name
    /// at another address. `gained` is the number of members that this exchange made known.
    pub fn introduction(self, gained: u32) -> Exchange {
        Exchange {
            join: !matches!(self.cause, ExchangeCause::Doubt),
            shows: Shows::Everything,
            gained,
            ..self
        }
    }
}

/// The reason for a push/pull.
#[derive(Clone, Debug)]
pub(in crate::swim) enum ExchangeCause {
    /// A join command, with the target as the caller wrote it.
    Join { op: OpId, target: String },
    /// A look, whose answer is not merged.
    Look { op: OpId },
    /// The regular exchange with a random member.
    Periodic,
    /// The join sync: after a burst of joins, or after this node itself has joined.
    JoinSync,
    /// `reconnect` asks a seed or a lost member again.
    Reconnect,
    /// A suspect answers pings, but its refutation has not arrived.
    Suspect,
    /// A node that is unknown or gone here pinged this one or announced itself, or a message gave a
    /// member an incarnation far ahead of the known one.
    Doubt,
    /// A member lists this node's name at another address.
    NameConflict,
}

/// A user message of this node, and the operation that ends with it.
#[derive(Clone, Debug)]
pub(in crate::swim) struct StreamMessage {
    pub op: OpId,
    pub to: SocketAddr,
    pub content: Arc<[u8]>,
}

/// The purpose of a stream.
pub(in crate::swim) enum Purpose {
    /// The stream ping of the probe with this sequence number.
    Ping { seq: u32, to: SocketAddr },
    /// A push/pull that this node began.
    PushPull(Exchange),
    /// The stream was accepted, and the request has not arrived completely yet.
    Serve,
    /// The stream was accepted and brought the request of a push/pull. The answer waits for the
    /// user state of the layer above.
    Answer {
        join: bool,
        shows: Shows,
        request: Vec<u8>,
    },
    /// A user message of this node.
    Message(StreamMessage),
}

impl Purpose {
    /// Returns true for a push/pull of a join command.
    pub fn is_join(&self) -> bool {
        matches!(self, Purpose::PushPull(it) if matches!(it.cause, ExchangeCause::Join { .. }))
    }

    /// Returns true for a push/pull of `reconnect`.
    pub fn is_reconnect(&self) -> bool {
        matches!(self, Purpose::PushPull(it) if matches!(it.cause, ExchangeCause::Reconnect))
    }
}

/// One open stream.
pub(in crate::swim) struct Stream {
    pub purpose: Purpose,
    pub side: Side,
    /// The address of the other side.
    peer: SocketAddr,
    /// True if this process stalled while the stream was open.
    pub stalled: bool,
    /// True if this node dialled, and the connection has been established.
    pub connected: bool,
    /// True if bytes have arrived.
    pub heard: bool,
    /// True if the other side has ended its side of the stream.
    pub hung_up: bool,
    reader: StreamReader,
    deadline: Time,
}

impl Stream {
    /// The source of the bytes that arrive.
    pub fn source(&self) -> Source {
        let transport = match self.side {
            Side::Dialled => Transport::Dialled,
            Side::Accepted => Transport::Accepted,
        };
        let addr = self.peer;
        Source { addr, transport }
    }
}

/// All open streams.
#[derive(Default)]
pub(in crate::swim) struct Streams {
    open: SortedMap<StreamId, Stream>,
    dialled: usize,
    last_id: u64,
    /// The bytes that the readers hold, indexed by [`Side`].
    held: [usize; 2],
}

impl Streams {
    /// Returns true if a further accepted stream would be served.
    pub fn may_accept(&self) -> bool {
        self.open.len() - self.dialled < limits::STREAMS - DIALLED
    }

    /// Returns true if this node may dial another stream.
    pub fn may_dial(&self) -> bool {
        self.dialled < DIALLED
    }

    /// Returns true if `reconnect` may dial another stream.
    pub fn may_reconnect(&self) -> bool {
        let open = self.open.iter().filter(|(_, it)| it.purpose.is_reconnect());
        self.may_dial() && open.count() < RECONNECTING
    }

    /// The number of push/pulls under way that this node began with the node at `addr`. Looks do
    /// not count.
    pub fn exchanges_with(&self, addr: SocketAddr) -> usize {
        let with = |it: &Stream| match &it.purpose {
            Purpose::PushPull(it) => {
                it.peer == addr && !matches!(it.cause, ExchangeCause::Look { .. })
            }
            Purpose::Ping { .. }
            | Purpose::Serve
            | Purpose::Answer { .. }
            | Purpose::Message(_) => false,
        };
        self.open.iter().filter(|(_, it)| with(it)).count()
    }

    /// Adds a stream that this node dials. Its number is odd.
    pub fn dial(&mut self, to: SocketAddr, purpose: Purpose, deadline: Time) -> StreamId {
        self.last_id += 1;
        let id = StreamId(2 * self.last_id - 1);
        self.insert(id, purpose, (Side::Dialled, to), deadline);
        id
    }

    /// Adds a stream that another node dialled.
    pub fn accept(&mut self, id: StreamId, from: SocketAddr, deadline: Time) {
        self.insert(id, Purpose::Serve, (Side::Accepted, from), deadline);
    }

    fn insert(
        &mut self,
        id: StreamId,
        purpose: Purpose,
        (side, peer): (Side, SocketAddr),
        deadline: Time,
    ) {
        self.dialled += usize::from(side == Side::Dialled);
        let stream = Stream {
            purpose,
            side,
            peer,
            stalled: false,
            connected: false,
            heard: false,
            hung_up: false,
            reader: StreamReader::new(side),
            deadline,
        };
        self.open.insert(id, stream);
    }

    pub fn get(&self, id: StreamId) -> Option<&Stream> {
        self.open.get(id)
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.open.get_mut(id)
    }

    /// Takes bytes that arrived on an open stream; returns the message once it is complete.
    ///
    /// # Errors
    /// The reader refuses the bytes, or the streams that this node dialled hold too many bytes
    /// together.
    pub fn read(
        &mut self,
        codec: &Codec,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(stream) = self.open.get_mut(id) else {
            return Ok(None);
        };
        stream.heard = true;
        let before = stream.reader.held();
        let read = stream.reader.push(codec, bytes);
        let held = &mut self.held[stream.side as usize];
        *held = *held + stream.reader.held() - before;
        if stream.side == Side::Dialled && *held > limits::ALL_STREAMS_LEN {
            return Err(Refusal::TooLarge);
        }
        read
    }

    /// Returns the accepted stream that has to give way, or `None` if the accepted streams hold no
    /// more than their bound. It is the largest stream of the host whose streams together hold the
    /// most bytes, so one host cannot keep others from being served.
    pub fn to_give_way(&self) -> Option<StreamId> {
        if self.held[Side::Accepted as usize] <= limits::ALL_STREAMS_LEN {
            return None;
        }
        let accepted = || {
            let accepted = self.open.iter().filter(|(_, it)| it.side == Side::Accepted);
            accepted.map(|(id, it)| (host(it.peer), it.reader.held(), id))
        };
        let of_host = |host: IpAddr| accepted().filter(move |(it, ..)| *it == host);
        let held_by = |host| of_host(host).map(|(_, held, _)| held).sum::<usize>();
        let (most, ..) = accepted().max_by_key(|(host, ..)| held_by(*host))?;
        of_host(most)
            .max_by_key(|(_, held, _)| *held)
            .map(|(.., id)| id)
    }

    pub fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(id)?;
        self.held[stream.side as usize] -= stream.reader.held();
        self.dialled -= usize::from(stream.side == Side::Dialled);
        Some(stream)
    }

    /// Makes each stream of such a purpose overdue if it has brought no byte and its deadline is at
    /// most `deadline_until`, so that other targets can be asked.
    pub fn end_silent(
        &mut self,
        is_such: impl Fn(&Purpose) -> bool,
        deadline_until: Time,
        now: Time,
    ) {
        for stream in self.open.values_mut() {
            if is_such(&stream.purpose) && !stream.heard && stream.deadline <= deadline_until {
                stream.deadline = now;
            }
        }
    }

    /// Removes the stream whose deadline is the earliest, if that deadline has passed.
    pub fn take_overdue(&mut self, now: Time) -> Option<(StreamId, Stream)> {
        let due = self.deadlines().min().filter(|(at, _)| *at <= now);
        let (_, id) = due?;
        Some((id, self.remove(id)?))
    }

    /// The numbers of all open streams, in order.
    pub fn ids(&self) -> Vec<StreamId> {
        self.open.iter().map(|(id, _)| id).collect()
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines().min().map(|(at, _)| at)
    }

    fn deadlines(&self) -> impl Iterator<Item = (Time, StreamId)> {
        let streams = self.open.iter();
        streams.map(|(id, stream)| (stream.deadline, id))
    }

    /// This process stalled while its clock advanced by `missed`: every stream gets that much more
    /// time.
    pub fn on_stall(&mut self, missed: Duration) {
        for stream in self.open.values_mut() {
            stream.deadline = stream.deadline + missed;
            stream.stalled = true;
        }
    }

    /// Returns the number of bytes that wait in all streams for the rest of their messages.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.iter().sum()
    }
}

/// Returns the part of an address that stands for a host: an IPv4 address, or the /64 network of an
/// IPv6 address, since one host may use any address in it.
fn host(addr: SocketAddr) -> IpAddr {
    match addr.ip() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}
