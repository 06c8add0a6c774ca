//! The sources of refused input: for the log, and for the explanations of members.
//!
//! The counters tell how often input was refused, but not where the input came from. Two bounded
//! lists add the sources. The first counts the refusals by reason and source until the driver takes
//! them for the log; a service has such a list as well. The second remembers the addresses whose
//! bytes cannot be read at all, because keys or labels differ: a member at such an address looks
//! silent, and the explanation has to say that it is not.

use crate::time::Time;
use crate::wire::Refusal;
use std::net::SocketAddr;
use std::time::Duration;

/// The maximum number of pairs of reason and source that are counted until the driver takes them.
/// The counters still count the refusals of further pairs.
const SOURCES: usize = 64;
/// The maximum number of addresses that are remembered because their bytes cannot be read.
const UNREADABLE: usize = 64;
/// The time for which such an address is remembered. It is longer than the usual longest pause
/// between two attempts to reach a lost member.
const REMEMBERED: Duration = Duration::from_secs(90);

/// The source of input from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address of the other side.
    pub addr: SocketAddr,
    /// The way in which the input arrived.
    pub transport: Transport,
}

/// The way in which input arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram. Members send datagrams from the address at which they listen.
    Datagram,
    /// A stream that this node dialled: the other side listens at this address.
    Dialled,
    /// A stream that the other side dialled, from a port that says nothing about the node.
    Accepted,
}

/// The number of refusals of one reason and source since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCount<Why = Refusal> {
    /// The reason.
    pub why: Why,
    /// The latest source. All streams that one host dialled count as one source.
    pub source: Source,
    /// The number of refusals.
    pub count: u64,
}

/// Counts of refusals by reason and source, bounded in number.
#[derive(Debug)]
pub struct SourceCounts<Why>(Vec<SourceCount<Why>>);

/// An address whose bytes cannot be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::swim) struct Unreadable {
    pub addr: SocketAddr,
    /// The reason; [`Refusal::is_mismatch`] is true for it.
    pub why: Refusal,
    /// True if the bytes came on a stream that this node had dialled, so this node looks for a
    /// member there.
    pub dialled: bool,
    at: Time,
}

/// The sources of refused input.
#[derive(Default)]
pub(in crate::swim) struct RefusalSources {
    /// The source of the input that is being handled.
    current: Option<Source>,
    counts: SourceCounts<Refusal>,
    unreadable: Vec<Unreadable>,
}

impl Source {
    /// The source of a datagram.
    pub(in crate::swim) fn datagram(addr: SocketAddr) -> Source {
        Source {
            addr,
            transport: Transport::Datagram,
        }
    }

    /// Returns true if both count as one source.
    pub(crate) fn is_same(&self, other: &Source) -> bool {
        let accepted = |it: &Source| it.transport == Transport::Accepted;
        self == other || accepted(self) && accepted(other) && self.addr.ip() == other.addr.ip()
    }
}

impl<Why> SourceCount<Why> {
    /// Returns the same count with another reason.
    pub(crate) fn with_reason<Other>(
        self,
        reason: impl FnOnce(Why) -> Other,
    ) -> SourceCount<Other> {
        let SourceCount { why, source, count } = self;
        SourceCount {
            why: reason(why),
            source,
            count,
        }
    }
}

impl<Why> Default for SourceCounts<Why> {
    fn default() -> SourceCounts<Why> {
        SourceCounts(Vec::new())
    }
}

impl<Why: PartialEq> SourceCounts<Why> {
    /// Counts a refusal.
    pub(crate) fn count(&mut self, why: Why, source: Source) {
        let same = |it: &&mut SourceCount<Why>| it.why == why && it.source.is_same(&source);
        if let Some(counted) = self.0.iter_mut().find(same) {
            counted.source = source;
            counted.count += 1;
        } else if self.0.len() < SOURCES {
            let count = 1;
            self.0.push(SourceCount { why, source, count });
        }
    }

    /// Takes the counts since the last call.
    pub(crate) fn take(&mut self) -> Vec<SourceCount<Why>> {
        std::mem::take(&mut self.0)
    }
}

impl RefusalSources {
    /// Sets the source of the input that is handled from now on: `None` if the input does not come
    /// from the network. Returns the previous source.
    pub fn set_current(&mut self, source: Option<Source>) -> Option<Source> {
        std::mem::replace(&mut self.current, source)
    }

    /// The source of the input that is being handled.
    pub fn current(&self) -> Option<Source> {
        self.current
    }

    /// The address at which this node dialled the node whose answer is being handled; `None` if the
    /// input is not an answer on a stream.
    pub fn answering(&self) -> Option<SocketAddr> {
        let current = self.current?;
        (current.transport == Transport::Dialled).then_some(current.addr)
    }

    /// The address from which the other side dialled, if a request on a stream is being handled;
    /// otherwise `None`.
    pub fn accepted(&self) -> Option<SocketAddr> {
        let current = self.current?;
        (current.transport == Transport::Accepted).then_some(current.addr)
    }

    /// Counts a refusal of the input that is being handled.
    pub fn count(&mut self, why: Refusal) {
        if let Some(source) = self.current {
            self.counts.count(why, source);
        }
    }

    /// Takes the counts since the last call.
    pub fn take_counts(&mut self) -> Vec<SourceCount> {
        self.counts.take()
    }

    /// Remembers the source of the input that is being handled, because the input could not be read
    /// at all. Only a source that listens at its address is remembered, and only if keys or labels
    /// differ.
    pub fn note_unreadable(&mut self, now: Time, why: Refusal) {
        let listening = |it: &Source| it.transport != Transport::Accepted;
        let Some(Source { addr, transport }) = self.current.filter(listening) else {
            return;
        };
        if !why.is_mismatch() {
            return;
        }
        let new = Unreadable {
            addr,
            why,
            dialled: transport == Transport::Dialled,
            at: now,
        };
        if let Some(known) = self.unreadable.iter_mut().find(|it| it.addr == addr) {
            *known = new;
            return;
        }
        if self.unreadable.len() == UNREADABLE {
            // The list is short, and the addresses may be forged: the oldest gives way.
            let oldest = (0..UNREADABLE).min_by_key(|place| self.unreadable[*place].at);
            self.unreadable.swap_remove(oldest.unwrap_or(0));
        }
        self.unreadable.push(new);
    }

    /// Returns the addresses that recently sent bytes that cannot be read.
    pub fn unreadable(&self, now: Time) -> impl Iterator<Item = &Unreadable> {
        let is_recent = move |it: &&Unreadable| now.since(it.at) <= REMEMBERED;
        self.unreadable.iter().filter(is_recent)
    }

    /// Returns why bytes from this address cannot be read, and the time since the last of them;
    /// `None` if no such bytes arrived recently.
    pub fn unreadable_from(&self, now: Time, addr: SocketAddr) -> Option<(Refusal, Duration)> {
        let last = self.unreadable(now).find(|it| it.addr == addr)?;
        Some((last.why, now.since(last.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    fn source(port: u16, transport: Transport) -> Source {
        let addr = addr(port);
        Source { addr, transport }
    }

    #[test]
    fn refusals_are_counted_by_reason_and_source_until_they_are_taken() {
        let mut sources = RefusalSources::default();
        sources.count(Refusal::Label);
        for (why, port, transport) in [
            (Refusal::Label, 1, Transport::Datagram),
            (Refusal::Label, 1, Transport::Datagram),
            (Refusal::Label, 2, Transport::Datagram),
            (Refusal::Msgpack, 1, Transport::Datagram),
            (Refusal::Label, 50_001, Transport::Accepted),
            (Refusal::Label, 50_002, Transport::Accepted),
        ] {
            sources.set_current(Some(source(port, transport)));
            sources.count(why);
        }
        let taken = sources.take_counts();
        let counts = taken
            .iter()
            .map(|it| (it.why, it.source.addr.port(), it.count));
        let counts: Vec<_> = counts.collect();
        assert_eq!(
            counts,
            [
                (Refusal::Label, 1, 2),
                (Refusal::Label, 2, 1),
                (Refusal::Msgpack, 1, 1),
                (Refusal::Label, 50_002, 2),
            ]
        );
        assert_eq!(sources.take_counts(), []);
    }

    #[test]
    fn forged_sources_take_bounded_space() {
        let mut sources = RefusalSources::default();
        for port in 1..=10_000 {
            sources.set_current(Some(source(port, Transport::Datagram)));
            sources.count(Refusal::Undecryptable);
            sources.note_unreadable(Time::from_nanos(u64::from(port)), Refusal::Undecryptable);
        }
        assert_eq!(sources.take_counts().len(), SOURCES);
        assert_eq!(sources.unreadable.len(), UNREADABLE);
        let now = Time::from_nanos(10_000);
        assert!(sources.unreadable_from(now, addr(10_000)).is_some());
        assert_eq!(sources.unreadable_from(now, addr(1)), None);
    }

    #[test]
    fn an_address_is_unreadable_for_a_while_after_its_last_unreadable_bytes() {
        let (mut sources, start) = (RefusalSources::default(), Time::ZERO);
        for (port, transport, why) in [
            (1, Transport::Datagram, Refusal::Undecryptable),
            (2, Transport::Dialled, Refusal::Label),
            (3, Transport::Accepted, Refusal::Undecryptable),
            (4, Transport::Datagram, Refusal::Msgpack),
        ] {
            sources.set_current(Some(source(port, transport)));
            sources.note_unreadable(start, why);
        }
        let at = |seconds| start + Duration::from_secs(seconds);
        let why = |port, seconds| sources.unreadable_from(at(seconds), addr(port));
        assert_eq!(
            why(1, 2),
            Some((Refusal::Undecryptable, Duration::from_secs(2)))
        );
        assert_eq!(why(2, 2).map(|it| it.0), Some(Refusal::Label));
        assert_eq!((why(3, 2), why(4, 2)), (None, None));
        assert_eq!(why(1, 91), None);
    }
}
