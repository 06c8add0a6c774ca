//! TCP streams, none of which blocks.
//!
//! ```text
//!   dialled: connecting -> open -> flushing -> gone
//!   accepted:              open -> flushing -> lingering -> gone
//! ```
//!
//! The core forgets a stream when it orders `Close`; what was written still goes out here, for a
//! bounded time. An accepted stream then waits a moment for the other side to close first: closing
//! with unread bytes would make the kernel reset the connection and destroy the answer on its way.
//!
//! Places are few, and anybody can connect and say nothing, or a byte now and then. While all
//! places are taken the accepted stream that has had one longest gives it up for the next. An
//! honest request takes milliseconds, and everybody has a tenth of the ordinary patience.

use crate::driver::os::descriptors::{PollFd, PollFlags};
use crate::driver::os::fork::CloseOnFork;
use crate::swim::{StreamEnd, StreamId};
use crate::time::Time;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// Reads of one stream in a row before others have their turn.
const READS: usize = 4;
/// How long an accepted stream waits for the other side to close.
const LINGER: Duration = Duration::from_secs(1);
/// Streams that may be flushing or lingering; then the one that ends first goes at once.
const CLOSING: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// Closed for the core: goes when everything is written, at this time at the latest.
    Flushing(Time),
    /// Everything is written; goes when the other side closes, at this time at the latest.
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
    socket: CloseOnFork<TcpStream>,
    phase: Phase,
    out: VecDeque<Vec<u8>>,
    /// Bytes of the first element that are gone.
    sent: usize,
    /// Until when it keeps its place although others wait for it, if it was accepted.
    accepted: Option<Time>,
    /// The other side writes no more; it may still read.
    eof: bool,
}

/// Why a stream could not be opened.
pub(in crate::driver) fn stream_end(error: &io::Error) -> StreamEnd {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        StreamEnd::Refused
    } else {
        StreamEnd::Failed
    }
}

/// What the core has to hear.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum StreamNews {
    /// A dialled stream is open.
    Connected(StreamId),
    /// Bytes arrived; they are in the buffer that was given.
    Data(StreamId, usize),
    /// The other side closed it.
    Eof(StreamId),
    /// It could not be opened, or broke.
    Failed(StreamId),
    /// Nobody listens there.
    Refused(StreamId),
}

/// All streams of a node.
#[derive(Default)]
pub(in crate::driver) struct StreamSet {
    open: BTreeMap<StreamId, Stream>,
    accepted: u64,
}

impl StreamSet {
    /// Streams that still have a descriptor.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes over an accepted connection and numbers it. It keeps its place until `tenure` ends.
    ///
    /// # Errors
    /// The connection is already broken.
    pub fn accept(&mut self, tenure: Time, socket: TcpStream) -> io::Result<StreamId> {
        socket.set_nonblocking(true)?;
        let _ = socket.set_nodelay(true); // only latency depends on it
        self.accepted += 2;
        let id = StreamId(self.accepted);
        let stream = Stream::new(socket, Phase::Open, Some(tenure));
        self.open.insert(id, stream);
        Ok(id)
    }

    /// The accepted stream whose request has been awaited longest, and until when it keeps its
    /// place. Those that are closing have been served, and are bounded by themselves.
    pub fn oldest(&self) -> Option<(StreamId, Time)> {
        let mut streams = self.open.iter(); // in the order of their numbers, which only grow
        streams.find_map(|(id, stream)| match stream.phase {
            Phase::Open => Some((*id, stream.accepted?)),
            Phase::Connecting | Phase::Flushing(_) | Phase::Lingering(_) => None,
        })
    }

    /// Lets go of a stream at once.
    pub fn give_up(&mut self, id: StreamId) {
        self.open.remove(&id);
    }

    /// Opens a connection; `Connected` or `Failed` tells how it went.
    ///
    /// # Errors
    /// It cannot even be begun.
    pub fn dial(&mut self, id: StreamId, to: SocketAddr) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        let _ = socket.set_tcp_nodelay(true); // only latency depends on it
        match socket.connect(&SockAddr::from(to)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream = Stream::new(socket.into(), Phase::Connecting, None);
        self.open.insert(id, stream);
        Ok(())
    }

    /// Writes after what was written before. A stream that is gone swallows it: its end was told.
    pub fn write(&mut self, id: StreamId, bytes: Vec<u8>) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.out.push_back(bytes);
            if stream.phase == Phase::Open {
                // An error shows up again when the stream is polled, and is told then.
                let _ = stream.flush();
            }
        }
    }

    /// Closes a stream once everything written has gone out, or after `patience`.
    pub fn close(&mut self, now: Time, id: StreamId, patience: Duration) {
        let Some(stream) = self.open.get_mut(&id) else {
            return;
        };
        if stream.phase == Phase::Connecting || stream.phase.closing_until().is_some() {
            self.open.remove(&id);
            return;
        }
        stream.phase = Phase::Flushing(now + patience);
        self.go_on_closing(now, id);
        self.bound_closing();
    }

    /// Writes what is left of a closing stream, and lets it go when it is done.
    fn go_on_closing(&mut self, now: Time, id: StreamId) {
        let Some(stream) = self.open.get_mut(&id) else {
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
            self.open.remove(&id);
        }
    }

    fn bound_closing(&mut self) {
        let closing = || {
            let of =
                |(id, stream): (&StreamId, &Stream)| Some((stream.phase.closing_until()?, *id));
            self.open.iter().filter_map(of)
        };
        if closing().count() > CLOSING
            && let Some((_, first)) = closing().min()
        {
            self.open.remove(&first);
        }
    }

    /// Lets go of closing streams whose time is up.
    pub fn expire(&mut self, now: Time) {
        let over = |stream: &Stream| stream.phase.closing_until().is_some_and(|at| at <= now);
        self.open.retain(|_, stream| !over(stream));
    }

    /// When [`StreamSet::expire`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.open
            .values()
            .filter_map(|it| it.phase.closing_until())
            .min()
    }

    /// Each stream with the entry that polls it.
    pub fn poll_entries(&self) -> impl Iterator<Item = (StreamId, PollFd<'_>)> {
        self.open
            .iter()
            .map(|(id, stream)| (*id, PollFd::new(stream.socket.as_fd(), stream.interest())))
    }

    /// Does what poll found to be possible, and tells one thing at a time to `tell`, which is
    /// given the bytes that were read.
    pub fn ready(
        &mut self,
        now: Time,
        id: StreamId,
        ready: PollFlags,
        buffer: &mut [u8],
        tell: &mut dyn FnMut(StreamNews, &[u8]),
    ) {
        let Some(stream) = self.open.get_mut(&id) else {
            return;
        };
        if stream.phase == Phase::Connecting {
            let news = match stream.socket.take_error() {
                Ok(None) => {
                    stream.phase = Phase::Open;
                    StreamNews::Connected(id)
                }
                Ok(Some(error)) | Err(error) => {
                    self.open.remove(&id);
                    match stream_end(&error) {
                        StreamEnd::Refused => StreamNews::Refused(id),
                        StreamEnd::Failed | StreamEnd::Eof => StreamNews::Failed(id),
                    }
                }
            };
            return tell(news, &[]);
        }
        if ready.contains(PollFlags::POLLOUT) {
            if stream.phase != Phase::Open {
                self.go_on_closing(now, id);
            } else if stream.flush().is_err() {
                self.open.remove(&id);
                return tell(StreamNews::Failed(id), &[]);
            }
        }
        if !ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        match self.open.get(&id) {
            // It wrote its last, and now it reads no more either.
            Some(stream) if stream.eof => drop(self.open.remove(&id)),
            Some(_) => self.read(id, buffer, tell),
            None => {}
        }
    }

    fn read(&mut self, id: StreamId, buffer: &mut [u8], tell: &mut dyn FnMut(StreamNews, &[u8])) {
        for _ in 0..READS {
            let Some(stream) = self.open.get_mut(&id) else {
                return;
            };
            let closing = stream.phase.closing_until().is_some();
            let news = match (&*stream.socket).read(buffer) {
                Ok(0) => StreamNews::Eof(id),
                Ok(len) => StreamNews::Data(id, len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => StreamNews::Failed(id),
            };
            let len = match news {
                StreamNews::Data(_, len) => len,
                StreamNews::Eof(_) => {
                    stream.eof = true;
                    if matches!(stream.phase, Phase::Lingering(_)) {
                        self.open.remove(&id);
                    }
                    0
                }
                StreamNews::Connected(_) | StreamNews::Failed(_) | StreamNews::Refused(_) => {
                    self.open.remove(&id);
                    0
                }
            };
            if !closing {
                tell(news, &buffer[..len]);
            }
            if len == 0 {
                return;
            }
        }
    }
}

impl Stream {
    fn new(socket: TcpStream, phase: Phase, accepted: Option<Time>) -> Stream {
        Stream {
            socket: CloseOnFork::new(socket),
            phase,
            out: VecDeque::new(),
            sent: 0,
            accepted,
            eof: false,
        }
    }

    /// The events that the stream waits for.
    fn interest(&self) -> PollFlags {
        if self.phase == Phase::Connecting {
            return PollFlags::POLLOUT;
        }
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::POLLIN, !self.eof);
        interest.set(PollFlags::POLLOUT, !self.out.is_empty());
        interest
    }

    /// Writes as much as the kernel takes; true if nothing is left. `write` on a socket of std's
    /// never raises SIGPIPE.
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
    fn turn(set: &mut StreamSet, told: &mut Vec<StreamNews>, bytes: &mut Vec<u8>) {
        let mut buffer = vec![0; 4096];
        let (ids, mut fds): (Vec<_>, Vec<_>) = set.poll_entries().unzip();
        let ready = descriptors::wait(&mut fds, Some(Duration::from_millis(20)));
        for (id, ready) in ids.into_iter().zip(ready) {
            let mut tell = |news: StreamNews, data: &[u8]| {
                told.push(news);
                bytes.extend_from_slice(data);
            };
            if !ready.is_empty() {
                set.ready(clock::now(), id, ready, &mut buffer, &mut tell);
            }
        }
        set.expire(clock::now());
    }

    fn until(set: &mut StreamSet, mut done: impl FnMut(&StreamSet, &[StreamNews]) -> bool) {
        let (begun, mut told) = (std::time::Instant::now(), Vec::new());
        while !done(set, &told) {
            assert!(begun.elapsed() < PATIENCE, "only {told:?}");
            turn(set, &mut told, &mut Vec::new());
        }
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, dialled)
    }

    #[test]
    fn dialling_tells_whether_somebody_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let mut set = StreamSet::default();
        set.dial(StreamId(1), there).unwrap();
        until(&mut set, |_, told| {
            told == [StreamNews::Connected(StreamId(1))]
        });
        drop(listener);
        set.dial(StreamId(3), there).unwrap();
        until(&mut set, |_, told| {
            told.contains(&StreamNews::Refused(StreamId(3)))
        });
    }

    #[test]
    fn a_large_answer_arrives_whole_although_it_is_closed_at_once_with_bytes_unread() {
        let (accepted, mut other) = pair();
        let mut set = StreamSet::default();
        let id = set.accept(clock::now(), accepted).unwrap();
        other
            .write_all(b"a question and something that nobody reads")
            .unwrap();
        let answer: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
        set.write(id, answer.clone());
        set.close(clock::now(), id, PATIENCE);
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            other.read_to_end(&mut read).map(|_| read)
        });
        until(&mut set, |set, told| {
            assert!(told.is_empty(), "the core has forgotten the stream");
            set.len() == 0
        });
        assert!(reader.join().unwrap().unwrap() == answer);
    }

    #[test]
    fn half_closing_after_the_question_does_not_cost_the_answer() {
        let (accepted, mut other) = pair();
        let mut set = StreamSet::default();
        let id = set.accept(clock::now(), accepted).unwrap();
        other.write_all(b"question").unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        until(&mut set, |_, told| {
            told == [StreamNews::Data(id, 8), StreamNews::Eof(id)]
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
    fn a_stream_that_nobody_reads_is_given_up_in_time() {
        let (accepted, _other) = pair();
        let mut set = StreamSet::default();
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
    fn the_oldest_stream_that_was_accepted_and_not_served_is_the_first_to_go() {
        let now = clock::now();
        let mut set = StreamSet::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set.dial(StreamId(1), listener.local_addr().unwrap())
            .unwrap();
        assert_eq!(
            set.oldest(),
            None,
            "those that this node dialled are its own business"
        );
        let mut others = Vec::new();
        let mut ids = Vec::new();
        for second in 0..3 {
            let (accepted, other) = pair();
            others.push(other);
            ids.push(set.accept(now + second * SECOND, accepted).unwrap());
        }
        assert_eq!(set.oldest(), Some((ids[0], now)));
        set.write(ids[0], vec![0; 16_000_000]);
        set.close(now, ids[0], PATIENCE);
        assert_eq!(
            set.oldest(),
            Some((ids[1], now + SECOND)),
            "the first is being served"
        );
        set.give_up(ids[1]);
        assert_eq!(set.oldest(), Some((ids[2], now + 2 * SECOND)));
    }
}
