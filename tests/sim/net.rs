//! The network: loss, duplication, reordering, delay, cut links, partitions.
//!
//! Faults are set for one direction of a link, for all links, or between groups of hosts. The
//! faults that occur are counted, so that a test can prove that they happened; a stream that meets
//! a cut link is counted only when it breaks.

use super::rng::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// The faults of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a datagram is held back so that later datagrams overtake it.
    pub reorder: f64,
    /// One-way delay: the minimum, and the exclusive maximum.
    pub delay: (Duration, Duration),
}

impl Link {
    /// A quiet local network.
    pub fn lan() -> Link {
        let delay = (Duration::from_micros(100), Duration::from_micros(300));
        Link {
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay,
        }
    }

    pub fn lossy(loss: f64) -> Link {
        Link {
            loss,
            ..Link::lan()
        }
    }

    fn is_clean(&self) -> bool {
        self.loss == 0.0 && self.duplicate == 0.0 && self.reorder == 0.0
    }
}

/// Counters of the traffic and the faults so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub datagrams: u64,
    /// The bytes that all hosts sent, including those that were lost. A datagram counts its payload
    /// and 28 bytes of headers. A stream counts its payload, 40 bytes of headers for each 1,460
    /// bytes, and seven segments of 40 bytes to set it up and tear it down. A connection that is
    /// refused counts two such segments.
    pub bytes: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Datagrams that met a cut link or a partition.
    pub cut: u64,
    /// Datagrams to an address at which no process runs.
    pub undeliverable: u64,
    /// Datagrams that did not fit the receive buffer of a paused process, and all inputs of a
    /// suspended machine.
    pub overflowed: u64,
    pub streams: u64,
    pub refused: u64,
    pub streams_broken: u64,
    /// Streams that waited in a backlog, because the core took no more or its process was stopped.
    pub backlogged: u64,
    pub crashed: u64,
    pub restarted: u64,
    pub paused: u64,
    pub stalled: u64,
    pub clocks_changed: u64,
    pub left: u64,
}

impl Counters {
    /// Adds the counters of another run.
    pub fn add(&mut self, other: &Counters) {
        let Counters {
            datagrams,
            bytes,
            lost,
            duplicated,
            reordered,
            cut,
            undeliverable,
            overflowed,
            streams,
            refused,
            streams_broken,
            backlogged,
            crashed,
            restarted,
            paused,
            stalled,
            clocks_changed,
            left,
        } = other;
        self.datagrams += datagrams;
        self.bytes += bytes;
        self.lost += lost;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.cut += cut;
        self.undeliverable += undeliverable;
        self.overflowed += overflowed;
        self.streams += streams;
        self.refused += refused;
        self.streams_broken += streams_broken;
        self.backlogged += backlogged;
        self.crashed += crashed;
        self.restarted += restarted;
        self.paused += paused;
        self.stalled += stalled;
        self.clocks_changed += clocks_changed;
        self.left += left;
    }
}

/// All links.
pub struct Net {
    pub link: Link,
    links: BTreeMap<(usize, usize), Link>,
    cut_datagrams: BTreeSet<(usize, usize)>,
    cut_streams: BTreeSet<(usize, usize)>,
    /// Hosts in different groups do not reach one another. A host that is not listed is in group 0.
    groups: BTreeMap<usize, u32>,
    /// The number of the latest datagram that has arrived from one host at another.
    latest_arrived: HashMap<(usize, usize), u64>,
    rng: Rng,
    pub count: Counters,
}

impl Net {
    pub fn new(rng: Rng) -> Net {
        Net {
            link: Link::lan(),
            links: BTreeMap::new(),
            cut_datagrams: BTreeSet::new(),
            cut_streams: BTreeSet::new(),
            groups: BTreeMap::new(),
            latest_arrived: HashMap::new(),
            rng,
            count: Counters::default(),
        }
    }

    pub fn set_link(&mut self, from: usize, to: usize, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Cuts one direction of a link. Streams stop in both directions, because acknowledgements are
    /// lost.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut_datagrams.insert((from, to));
        self.cut_streams.insert((from, to));
    }

    pub fn cut_datagrams(&mut self, from: usize, to: usize) {
        self.cut_datagrams.insert((from, to));
    }

    pub fn partition(&mut self, groups: &[&[usize]]) {
        for (group, hosts) in groups.iter().enumerate() {
            self.groups
                .extend(hosts.iter().map(|&host| (host, group as u32)));
        }
    }

    /// Restores all links to the state in which they started.
    pub fn heal(&mut self) {
        self.link = Link::lan();
        self.links.clear();
        self.cut_datagrams.clear();
        self.cut_streams.clear();
        self.groups.clear();
    }

    pub fn is_clean(&self) -> bool {
        self.link.is_clean()
            && self.links.values().all(Link::is_clean)
            && self.cut_datagrams.is_empty()
            && self.cut_streams.is_empty()
            && self.groups.is_empty()
    }

    fn link(&self, from: usize, to: usize) -> Link {
        if self.links.is_empty() {
            return self.link;
        }
        self.links.get(&(from, to)).copied().unwrap_or(self.link)
    }

    fn are_separated(&self, a: usize, b: usize) -> bool {
        let group = |host| self.groups.get(&host).copied().unwrap_or(0);
        !self.groups.is_empty() && group(a) != group(b)
    }

    /// Returns the delays after which the two possible copies of this datagram arrive; `None` for a
    /// copy that does not arrive.
    pub fn datagram(&mut self, from: usize, to: usize, len: usize) -> [Option<Duration>; 2] {
        self.count.datagrams += 1;
        self.count.bytes += len as u64 + 28;
        let blocked = !self.cut_datagrams.is_empty() && self.cut_datagrams.contains(&(from, to));
        if blocked || self.are_separated(from, to) {
            self.count.cut += 1;
            return [None, None];
        }
        let link = self.link(from, to);
        if self.rng.chance(link.loss) {
            self.count.lost += 1;
            return [None, None];
        }
        let (low, high) = link.delay;
        let mut delay = self.rng.between(low, high);
        if self.rng.chance(link.reorder) {
            delay += self.rng.between(high, high * 20);
        }
        let again = self.rng.chance(link.duplicate);
        self.count.duplicated += u64::from(again);
        let second = again.then(|| self.rng.between(low, high * 5));
        [Some(delay), second]
    }

    /// Returns true if the order of arrival has to be reported with [`Net::arrived`].
    pub fn watches_order(&self) -> bool {
        self.link.reorder > 0.0 || self.links.values().any(|link| link.reorder > 0.0)
    }

    /// Notes that the datagram with this number has arrived. Counts it as reordered if a datagram
    /// that was sent later arrived earlier.
    pub fn arrived(&mut self, from: usize, to: usize, number: u64) {
        let latest = self.latest_arrived.entry((from, to)).or_default();
        if number < *latest {
            self.count.reordered += 1;
        }
        *latest = number.max(*latest);
    }

    /// Returns the delay after which a flight of stream segments arrives; `None` if it is lost.
    /// Both directions must work, because acknowledgements come back.
    pub fn flight(&mut self, from: usize, to: usize) -> Option<Duration> {
        let cut = &self.cut_streams;
        let blocked = !cut.is_empty() && (cut.contains(&(from, to)) || cut.contains(&(to, from)));
        if blocked || self.are_separated(from, to) {
            return None;
        }
        let (there, back) = (self.link(from, to), self.link(to, from));
        let (lost, unheard) = (self.rng.chance(there.loss), self.rng.chance(back.loss));
        if lost || unheard {
            self.count.lost += u64::from(lost) + u64::from(unheard);
            return None;
        }
        Some(self.rng.between(there.delay.0, there.delay.1))
    }
}

#[test]
fn loss_duplication_and_delay_are_as_configured() {
    let mut net = Net::new(Rng::new(1));
    let delay = (Duration::from_millis(1), Duration::from_millis(2));
    net.link = Link {
        loss: 0.25,
        duplicate: 0.1,
        reorder: 0.1,
        delay,
    };
    let (mut first, mut second, mut late) = (0, 0, 0);
    for _ in 0..10_000 {
        let arrivals = net.datagram(0, 1, 72);
        first += u32::from(arrivals[0].is_some());
        second += u32::from(arrivals[1].is_some());
        late += u32::from(arrivals[0].is_some_and(|d| d >= delay.1));
        assert!(arrivals[0].is_none_or(|d| d >= delay.0));
    }
    assert!((7_300..7_700).contains(&first), "{first}");
    assert!((650..850).contains(&second), "{second}");
    assert!((650..850).contains(&late), "{late}");
    assert_eq!(net.count.lost, 10_000 - u64::from(first));
    assert_eq!(net.count.bytes, 10_000 * 100);
}

#[test]
fn a_one_way_cut_lets_datagrams_pass_the_other_way_but_no_stream() {
    let mut net = Net::new(Rng::new(1));
    net.cut(0, 1);
    assert_eq!(net.datagram(0, 1, 1), [None, None]);
    assert!(net.datagram(1, 0, 1)[0].is_some());
    assert_eq!((net.flight(0, 1), net.flight(1, 0)), (None, None));
    assert!(net.flight(0, 2).is_some());
    net.heal();
    net.partition(&[&[0, 1], &[2]]);
    assert!(net.flight(0, 1).is_some());
    assert!(net.flight(0, 2).is_none());
    assert_eq!(net.datagram(2, 1, 1), [None, None]);
    assert!(!net.is_clean());
    net.heal();
    assert!(net.is_clean() && net.flight(0, 2).is_some());
}
