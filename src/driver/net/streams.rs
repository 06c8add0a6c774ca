//! TCP streams that never block: those of gossip, and those of services.
//!
//! ```text
//!   dialled: connecting -> open -> flushing -> gone
//!   accepted:              open -> flushing -> lingering -> gone
//! ```
//!
//! The owner of a set closes a stream and forgets it. Bytes that the owner has written still go
//! out, for a bounded time. An accepted stream then waits a moment for the peer to close first. If
//! this side closed first while bytes were unread, the kernel would reset the connection and the
//! answer could be lost.
//!
//! The number of gossip streams is limited, and so are the descriptors of the process. Any host can
//! connect and send nothing, or a byte now and then. When a limit is reached, an accepted stream of
//! gossip is dropped for the next one: the oldest stream from which nothing has arrived, or else
//! the oldest stream. An honest request takes milliseconds, and the engine leaves an accepted
//! stream open for a minimum time, unless a stream that it opens itself needs the descriptor.

use crate::driver::os::descriptors::{PollFd, PollFlags};
use crate::driver::os::own_fd::OwnFd;
use crate::sorted_map::SortedMap;
use crate::swim::{StreamEnd, StreamId};
use crate::time::Time;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// The time that an accepted stream waits for its peer to close.
const LINGER: Duration = Duration::from_secs(1);
/// The age from which it matters whether the peer of an accepted stream has ended its side: a node
/// that is busy for so long should not work for peers that have given up.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// The maximum number of streams of a set that may be flushing or lingering. If there is one more,
/// the stream that would end first is closed at once.
const CLOSING: usize = 128;
/// The maximum number of bytes that the closing streams of a set may still have to write. If there
/// are more, the streams that would end first are closed at once, but one stream always remains.
/// Without this bound, peers that ask for much and read nothing could fill the memory.
const CLOSING_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// Closed by its owner. The stream ends when everything is written, or at this time.
    Flushing(Time),
    /// Everything is written. The stream ends when the peer closes, or at this time.
    Lingering(Time),
}

impl Phase {
    fn closing_until(self) -> Option<Time> {
        match self {
            Phase::Connecting | Phase::Open => None,
            Phase::Flushing(until) | Phase::Lingering(until) => Some(until),
        }
    }
}

struct Stream {
    socket: OwnFd<TcpStream>,
    phase: Phase,
    out: VecDeque<Vec<u8>>,
    /// The number of bytes of the first element of `out` that have been written.
    sent: usize,
    /// The time at which the stream was accepted; `None` for a dialled stream.
    accepted: Option<Time>,
    /// True once bytes have arrived.
    heard: bool,
    /// True once the peer has ended its side: it writes no more, but may still read.
    eof: bool,
}

/// Returns the end of a stream that could not be opened because of this error.
pub(in crate::driver) fn stream_end(error: &io::Error) -> StreamEnd {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => StreamEnd::Refused,
        _ => StreamEnd::Failed,
    }
}

/// Returns the end of an open stream that broke with this error. A program that closes a connection
/// before it has read everything resets the connection.
fn open_end(error: &io::Error) -> StreamEnd {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => StreamEnd::Reset,
        _ => StreamEnd::Failed,
    }
}

/// An event of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum StreamEvent {
    /// A dialled stream is open.
    Connected,
    /// Bytes have arrived.
    Data,
    /// Bytes have arrived on an accepted stream that had to wait, and its peer has ended its side
    /// after them.
    LastData,
    /// The peer writes no more, the stream broke, or it could not be opened.
    End(StreamEnd),
}

/// The streams of one owner.
pub(in crate::driver) struct StreamSet {
    streams: SortedMap<StreamId, Stream>,
    last_accepted: u64,
    /// The address from which streams are dialled; `None` leaves the choice to the system.
    from: Option<IpAddr>,
    /// The maximum number of reads from one stream before the other streams have their turn.
    reads: usize,
    /// True if a stream is read even while its peer has not taken everything that was written.
    reads_while_writing: bool,
}

impl StreamSet {
    /// A set of streams on which both sides may send large amounts at the same time, as in a
    /// push/pull. Streams are dialled from `bound` unless it is a wildcard, because members
    /// recognise a node by its address.
    pub fn for_gossip(bound: IpAddr) -> StreamSet {
        StreamSet {
            streams: SortedMap::default(),
            last_accepted: 0,
            from: Some(bound).filter(|ip| !ip.is_unspecified()),
            reads: 4,
            reads_while_writing: true,
        }
    }

    /// A set of streams of questions and answers. Nothing more is read from a peer until it has
    /// taken its answers.
    pub fn for_services() -> StreamSet {
        StreamSet {
            reads: 1,
            reads_while_writing: false,
            ..StreamSet::for_gossip(Ipv4Addr::UNSPECIFIED.into())
        }
    }

    /// The number of streams that still have a descriptor.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// The number of bytes that the peer of a stream has not taken yet.
    pub fn unsent(&self, id: StreamId) -> usize {
        self.streams.get(id).map_or(0, |stream| {
            stream.out.iter().map(Vec::len).sum::<usize>() - stream.sent
        })
    }

    /// Returns true unless the host program has closed or replaced a descriptor.
    pub fn are_intact(&self) -> bool {
        self.streams.iter().all(|(_, it)| it.socket.is_intact())
    }

    /// Takes over an accepted connection, and returns its number.
    ///
    /// # Errors
    /// The connection is already broken.
    pub fn accept(&mut self, now: Time, socket: OwnFd<TcpStream>) -> io::Result<StreamId> {
        socket.set_nonblocking(true)?;
        let _ = socket.set_nodelay(true); // only latency depends on it
        let stream = Stream::new(socket, Phase::Open, Some(now));
        self.last_accepted += 2;
        let id = StreamId(self.last_accepted);
        self.streams.insert(id, stream);
        Ok(id)
    }

    /// The accepted stream to drop first for another one, and the time at which it was accepted.
    /// Streams that are being closed do not count: their requests are done, and another bound
    /// limits their number.
    pub fn first_to_drop(&self) -> Option<(StreamId, Time)> {
        // The map is in the order of the ids, and ids of accepted streams only grow.
        let open = || {
            self.streams
                .iter()
                .filter(|(_, it)| it.phase == Phase::Open)
        };
        let accepted = |(id, it): (StreamId, &Stream)| Some((id, it.accepted?));
        let silent = open().filter(|(_, it)| !it.heard).find_map(accepted);
        silent.or_else(|| open().find_map(accepted))
    }

    /// Drops a stream on which everything is written and that only waits for its peer to close.
    /// Returns false if there is no such stream.
    pub fn drop_lingering(&mut self) -> bool {
        let is_lingering = |it: &Stream| matches!(it.phase, Phase::Lingering(_));
        let found = self.streams.iter().find(|(_, it)| is_lingering(it));
        let id = found.map(|(id, _)| id);
        id.is_some_and(|id| self.streams.remove(id).is_some())
    }

    /// Notes that bytes of a stream have arrived, although none was read yet.
    pub fn note_heard(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.heard = true;
        }
    }

    /// Drops a stream at once.
    pub fn give_up(&mut self, id: StreamId) {
        self.streams.remove(id);
    }

    /// Begins to open a connection. A later event says whether that succeeded.
    ///
    /// # Errors
    /// The connection fails immediately, or the system has no descriptor left.
    pub fn dial(&mut self, id: StreamId, to: SocketAddr) -> io::Result<()> {
        let socket = OwnFd::open(|| dialled(self.from, to))?;
        self.streams
            .insert(id, Stream::new(socket, Phase::Connecting, None));
        Ok(())
    }

    /// Writes bytes after those that were written before, now or when the kernel can take them.
    /// Does nothing for a stream that has ended.
    pub fn write(&mut self, id: StreamId, bytes: Vec<u8>) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.out.push_back(bytes);
            if stream.phase == Phase::Open {
                // An error shows up again when the stream is polled, and is reported then.
                let _ = stream.flush();
            }
        }
    }

    /// Closes a stream once everything is written, or after `patience`. A stream that is still
    /// connecting, or is being closed already, is dropped.
    pub fn close(&mut self, now: Time, id: StreamId, patience: Duration) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if stream.phase == Phase::Connecting || stream.phase.closing_until().is_some() {
            self.streams.remove(id);
            return;
        }
        stream.phase = Phase::Flushing(now + patience);
        self.go_on_closing(now, id);
        self.bound_closing();
    }

    /// Writes the rest of a stream that is being closed, and drops it when it is done.
    fn go_on_closing(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let gone = match (stream.phase, stream.flush()) {
            (Phase::Flushing(_), Ok(true)) if stream.accepted.is_some() && !stream.eof => {
                stream.phase = Phase::Lingering(now + LINGER);
                stream.socket.shutdown(Shutdown::Write).is_err()
            }
            (_, Ok(done)) => done,
            (_, Err(_)) => true,
        };
        if gone {
            self.streams.remove(id);
        }
    }

    fn bound_closing(&mut self) {
        let closing = || {
            let streams = self.streams.iter();
            streams.filter_map(|(id, stream)| Some((stream.phase.closing_until()?, id)))
        };
        let writing = || closing().filter(|(_, id)| self.unsent(*id) > 0);
        let unsent: usize = writing().map(|(_, id)| self.unsent(id)).sum();
        let first = if closing().count() > CLOSING {
            closing().min()
        } else if unsent > CLOSING_BYTES && writing().count() > 1 {
            writing().min()
        } else {
            None
        };
        if let Some((_, id)) = first {
            self.streams.remove(id);
            self.bound_closing();
        }
    }

    /// Drops streams that are being closed and whose time is up.
    pub fn expire(&mut self, now: Time) {
        let over = |stream: &Stream| stream.phase.closing_until().is_some_and(|at| at <= now);
        self.streams.retain(|stream| !over(stream));
    }

    /// The next time at which [`StreamSet::expire`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        let closing = self.streams.iter();
        closing.filter_map(|(_, it)| it.phase.closing_until()).min()
    }

    /// All streams, each with its entry for polling.
    pub fn poll_entries(&self) -> impl Iterator<Item = (StreamId, PollFd<'_>)> {
        self.streams.iter().map(|(id, stream)| {
            (
                id,
                PollFd::new(stream.socket.as_fd(), self.interest(stream)),
            )
        })
    }

    /// The conditions for which a stream is polled.
    fn interest(&self, stream: &Stream) -> PollFlags {
        if stream.phase == Phase::Connecting {
            return PollFlags::POLLOUT;
        }
        let writes = !stream.out.is_empty();
        let mut interest = PollFlags::empty();
        let reads = !stream.eof && (self.reads_while_writing || !writes);
        interest.set(PollFlags::POLLIN, reads);
        interest.set(PollFlags::POLLOUT, writes);
        interest
    }

    /// Reads and writes a stream as far as polling found it `ready`, and passes each event to
    /// `tell` with the bytes that were read. A stream that is being closed has no more events.
    pub fn ready(
        &mut self,
        now: Time,
        id: StreamId,
        ready: PollFlags,
        buffer: &mut [u8],
        tell: &mut dyn FnMut(StreamEvent, &[u8]),
    ) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if stream.phase == Phase::Connecting {
            let event = match stream.socket.take_error() {
                // A stream also counts as ready if the kernel refuses to poll it.
                Ok(None) if !stream.is_connected() => return,
                Ok(None) => {
                    stream.phase = Phase::Open;
                    StreamEvent::Connected
                }
                Ok(Some(error)) | Err(error) => {
                    self.streams.remove(id);
                    StreamEvent::End(stream_end(&error))
                }
            };
            return tell(event, &[]);
        }
        if ready.contains(PollFlags::POLLOUT) {
            if stream.phase != Phase::Open {
                self.go_on_closing(now, id);
            } else if let Err(error) = stream.flush() {
                self.streams.remove(id);
                return tell(StreamEvent::End(open_end(&error)), &[]);
            }
        }
        if !ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        match self.streams.get(id) {
            // Both directions have ended.
            Some(stream) if stream.eof => drop(self.streams.remove(id)),
            Some(_) => self.read(now, id, buffer, tell),
            None => {}
        }
    }

    fn read(
        &mut self,
        now: Time,
        id: StreamId,
        buffer: &mut [u8],
        tell: &mut dyn FnMut(StreamEvent, &[u8]),
    ) {
        for _ in 0..self.reads {
            let Some(stream) = self.streams.get_mut(id) else {
                return;
            };
            let closing = stream.phase.closing_until().is_some();
            let (event, len) = match (&*stream.socket).read(buffer) {
                Ok(0) => (StreamEvent::End(stream.end_of_input()), 0),
                Ok(len) => (stream.arrival(now), len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => (StreamEvent::End(open_end(&error)), 0),
            };
            let stays = match event {
                StreamEvent::End(StreamEnd::Eof) => {
                    stream.eof = true;
                    !matches!(stream.phase, Phase::Lingering(_))
                }
                StreamEvent::End(StreamEnd::Refused | StreamEnd::Reset | StreamEnd::Failed) => {
                    false
                }
                StreamEvent::Connected | StreamEvent::Data | StreamEvent::LastData => true,
            };
            stream.heard |= len > 0;
            if !stays {
                self.streams.remove(id);
            }
            if !closing {
                tell(event, &buffer[..len]);
            }
            if len == 0 {
                return;
            }
        }
    }
}

/// Returns a socket that is being connected, from the address `from` if that can reach `to`.
fn dialled(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let _ = socket.set_tcp_nodelay(true); // only latency depends on it
    let is_usable = |from: &IpAddr| {
        from.is_ipv4() == to.is_ipv4() && from.is_loopback() == to.ip().is_loopback()
    };
    if let Some(from) = from.filter(is_usable) {
        // If the address is gone or has no free port, the system chooses another address.
        let _ = socket.bind(&SockAddr::from(SocketAddr::new(from, 0)));
    }
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}

impl Stream {
    /// Returns the end of a stream whose peer writes no more. If this node dialled, and the peer
    /// has not taken everything that was written, it has cut the request short.
    fn end_of_input(&self) -> StreamEnd {
        let is_request = self.accepted.is_none() && self.phase == Phase::Open;
        match is_request && !self.out.is_empty() {
            true => StreamEnd::Reset,
            false => StreamEnd::Eof,
        }
    }

    /// Returns the event for bytes that were read. A peer that has ended its side may still read,
    /// but one that has waited for some time has probably given up.
    fn arrival(&self, now: Time) -> StreamEvent {
        let waited = self.accepted.is_some_and(|at| at + SHORT_WAIT <= now);
        match waited && matches!(self.socket.peek(&mut [0]), Ok(0)) {
            true => StreamEvent::LastData,
            false => StreamEvent::Data,
        }
    }

    fn new(socket: OwnFd<TcpStream>, phase: Phase, accepted: Option<Time>) -> Stream {
        Stream {
            socket,
            phase,
            out: VecDeque::new(),
            sent: 0,
            accepted,
            heard: false,
            eof: false,
        }
    }

    fn is_connected(&self) -> bool {
        let peer = self.socket.peer_addr();
        peer.map_err(|error| error.kind()) != Err(io::ErrorKind::NotConnected)
    }

    /// Writes as much as the kernel takes, and returns whether nothing is left. Writing to a socket
    /// of std never raises SIGPIPE.
    fn flush(&mut self) -> io::Result<bool> {
        while let Some(first) = self.out.front() {
            match (&*self.socket).write(&first[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.sent == first.len() {
                self.out.pop_front();
                self.sent = 0;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::os::clock;
    use crate::driver::os::descriptors;
    use std::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// One turn of an engine that only has streams.
    fn turn(set: &mut StreamSet, events: &mut Vec<(StreamId, StreamEvent)>) {
        let mut buffer = vec![0; 4096];
        let (ids, mut fds): (Vec<_>, Vec<_>) = set.poll_entries().unzip();
        let ready = descriptors::wait(&mut fds, Some(Duration::from_millis(20)));
        for (id, ready) in ids.into_iter().zip(ready) {
            let mut tell = |event: StreamEvent, _: &[u8]| events.push((id, event));
            if !ready.is_empty() {
                set.ready(clock::now(), id, ready, &mut buffer, &mut tell);
            }
        }
        set.expire(clock::now());
    }

    fn until(
        set: &mut StreamSet,
        mut done: impl FnMut(&StreamSet, &[(StreamId, StreamEvent)]) -> bool,
    ) {
        let (begun, mut events) = (std::time::Instant::now(), Vec::new());
        while !done(set, &events) {
            assert!(begun.elapsed() < PATIENCE, "not done after {events:?}");
            turn(set, &mut events);
        }
    }

    fn pair() -> (OwnFd<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = OwnFd::open(|| listener.accept().map(|it| it.0));
        (accepted.unwrap(), dialled)
    }

    #[test]
    fn dialling_reports_whether_a_program_listens_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        set.dial(StreamId(1), there).unwrap();
        until(&mut set, |_, events| {
            events == [(StreamId(1), StreamEvent::Connected)]
        });
        drop(listener);
        set.dial(StreamId(3), there).unwrap();
        until(&mut set, |_, events| {
            events.contains(&(StreamId(3), StreamEvent::End(StreamEnd::Refused)))
        });
    }

    #[test]
    fn a_large_answer_arrives_whole_although_the_stream_is_closed_at_once_with_bytes_unread() {
        let (accepted, mut other) = pair();
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let id = set.accept(clock::now(), accepted).unwrap();
        other
            .write_all(b"a question, and bytes that are never read")
            .unwrap();
        let answer: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
        set.write(id, answer.clone());
        set.close(clock::now(), id, PATIENCE);
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            other.read_to_end(&mut read).map(|_| read)
        });
        until(&mut set, |set, events| {
            assert!(
                events.is_empty(),
                "a stream that is being closed has no events"
            );
            set.len() == 0
        });
        assert!(reader.join().unwrap().unwrap() == answer);
    }

    #[test]
    fn a_peer_that_hangs_up_while_it_waits_is_noticed_with_its_last_bytes() {
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let long_ago = Time::ZERO;
        let mut accepted = || {
            let (accepted, mut other) = pair();
            other.write_all(b"question").unwrap();
            (set.accept(long_ago, accepted).unwrap(), other)
        };
        let ((waiting, _open), (gone, other)) = (accepted(), accepted());
        drop(other);
        let mut all = Vec::new();
        until(&mut set, |_, events| {
            all = events.to_vec();
            all.len() >= 3
        });
        all.sort_by_key(|(id, _)| *id);
        let expected = [
            (waiting, StreamEvent::Data),
            (gone, StreamEvent::LastData),
            (gone, StreamEvent::End(StreamEnd::Eof)),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_peer_that_half_closes_after_its_question_still_gets_the_answer() {
        let (accepted, mut other) = pair();
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let id = set.accept(clock::now(), accepted).unwrap();
        other.write_all(b"question").unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        until(&mut set, |_, events| {
            events
                == [
                    (id, StreamEvent::Data),
                    (id, StreamEvent::End(StreamEnd::Eof)),
                ]
        });
        let answer = vec![7; 4_000_000];
        set.write(id, answer.clone());
        set.close(clock::now(), id, PATIENCE);
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            other.read_to_end(&mut read).map(|_| read)
        });
        until(&mut set, |set, _| set.len() == 0);
        assert!(reader.join().unwrap().unwrap() == answer);
    }

    #[test]
    fn a_closed_stream_whose_peer_does_not_read_is_dropped_in_time() {
        let (accepted, _other) = pair();
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let id = set.accept(clock::now(), accepted).unwrap();
        set.write(id, vec![0; 16_000_000]);
        let now = clock::now();
        set.close(now, id, Duration::from_secs(5));
        assert_eq!(set.deadline(), Some(now + Duration::from_secs(5)));
        set.expire(now + Duration::from_secs(4));
        assert_eq!(set.len(), 1);
        set.expire(now + Duration::from_secs(5));
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn peers_that_read_nothing_make_a_node_hold_a_bounded_number_of_bytes() {
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let mut others = Vec::new();
        for second in 0..8 {
            let (accepted, other) = pair();
            others.push(other);
            let now = clock::now() + second * SECOND;
            let id = set.accept(now, accepted).unwrap();
            set.write(id, vec![0; CLOSING_BYTES / 4]);
            set.close(now, id, PATIENCE);
        }
        let held = |set: &StreamSet| -> usize {
            let ids: Vec<StreamId> = set.streams.iter().map(|(id, _)| id).collect();
            ids.into_iter().map(|id| set.unsent(id)).sum()
        };
        assert!(held(&set) <= CLOSING_BYTES, "{} bytes", held(&set));
        assert!(set.len() >= 4, "{} streams", set.len());
    }

    #[test]
    fn the_oldest_silent_stream_is_dropped_first_and_then_the_oldest_one() {
        let now = clock::now();
        let mut set = StreamSet::for_gossip(Ipv4Addr::LOCALHOST.into());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set.dial(StreamId(1), listener.local_addr().unwrap())
            .unwrap();
        assert_eq!(
            set.first_to_drop(),
            None,
            "a stream that this node opened is never dropped for another"
        );
        let mut others = Vec::new();
        let mut ids = Vec::new();
        for second in 0..3 {
            let (accepted, other) = pair();
            others.push(other);
            ids.push(set.accept(now + second * SECOND, accepted).unwrap());
        }
        assert_eq!(set.first_to_drop(), Some((ids[0], now)));
        set.write(ids[0], vec![0; 16_000_000]);
        set.close(now, ids[0], PATIENCE);
        assert_eq!(
            set.first_to_drop(),
            Some((ids[1], now + SECOND)),
            "a stream that is being closed does not count"
        );
        others[1].write_all(b"a question").unwrap();
        until(&mut set, |_, events| {
            events.contains(&(ids[1], StreamEvent::Data))
        });
        assert_eq!(set.first_to_drop(), Some((ids[2], now + 2 * SECOND)));
        set.give_up(ids[2]);
        assert_eq!(set.first_to_drop(), Some((ids[1], now + SECOND)));
    }
}
