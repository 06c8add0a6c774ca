//! Finding other nodes on the local network with mDNS, as agents of Serf do with `-discover`.
//!
//! While the node runs, it asks for the nodes of its cluster: a few times at first, and then once a
//! minute. It answers the questions of others with its advertised address. It joins the addresses
//! that it hears of and may reach, a few at a time, unless an alive member has the address. When it
//! leaves or ends, it says goodbye.
//!
//! Nothing waits. A failure, such as a network that is down, is logged and tried again; it never
//! ends the node.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `absent` | the face of this module in a library without the feature `mdns` |
//! | `found` | the addresses that were announced, and when the node asks each of them |
//! | `run` | running mDNS on the engine's thread |

mod found;
mod run;

use crate::Config;
use crate::driver::engine::discovery::found::FoundAddrs;
use crate::driver::net::mdns::links::{self, Choice};
use crate::driver::net::mdns::message::{Announced, Meaning, Notification, QuestionId, Service};
use crate::driver::net::mdns::sockets::MulticastSockets;
use crate::driver::os::descriptors::PollFd;
use crate::driver::os::panic;
use crate::networks;
use crate::per_second::PerSecond;
use crate::serf::Counter;
use crate::swim::OpId;
use crate::time::Time;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The pauses between the first questions.
const FIRST_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// The time between two further questions, the same as in Serf.
const INTERVAL: Duration = Duration::from_secs(60);
/// The time after a failure until mDNS is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// The minimum time between two warnings about failures.
const REPEAT: Duration = Duration::from_secs(5 * 60);
/// The time for which the node waits after an announcement, so that it hears of several nodes
/// before it joins.
const QUIET: Duration = Duration::from_millis(100);
/// The minimum time between two groups of joins.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of joins at a time.
const JOINS: usize = 4;
/// The maximum number of answers in a second. 3,000 nodes that each ask once a minute cause as
/// many.
const ANSWERS: u32 = 50;

/// The state of mDNS.
pub(super) struct Discovery {
    service: Service,
    /// The name of this node.
    name: String,
    /// The interface in the settings; empty for all that are suitable.
    interface: String,
    /// The address that the node is bound to.
    bound: IpAddr,
    /// The networks of `cidrs_allowed`.
    networks: Vec<IpNet>,
    /// `None` while the node does not run, and after a failure.
    sockets: Option<MulticastSockets>,
    /// The address that the answers give; `None` before the first question and after the goodbye.
    announced: Option<SocketAddr>,
    /// The number of questions with this address.
    asked: usize,
    /// The time of the next question.
    next: Time,
    /// The time of the last warning about a failure.
    warned: Option<Time>,
    is_failing: bool,
    found: FoundAddrs,
    /// The joins under way.
    joins: Vec<OpId>,
    /// The time of the next joins, if addresses wait.
    join_at: Time,
    answers: PerSecond,
    /// The number of joins so far.
    joined: u64,
    /// The number of messages and addresses that were not used.
    refused: u64,
}

impl Discovery {
    /// The state of a node that has not announced itself; `None` if the setting `discover` is
    /// empty.
    pub fn new(config: &Config, name: &str, bound: SocketAddr, now: Time) -> Option<Discovery> {
        let settings = &config.settings;
        let cluster = &settings.discover.0;
        (!cluster.is_empty()).then(|| Discovery {
            service: Service::new(cluster),
            name: name.to_owned(),
            interface: settings.discover_interface.0.clone(),
            bound: bound.ip(),
            networks: settings.core.swim.cidrs_allowed.clone(),
            sockets: None,
            announced: None,
            asked: 0,
            next: now,
            warned: None,
            is_failing: false,
            found: FoundAddrs::default(),
            joins: Vec::new(),
            join_at: now,
            answers: PerSecond::new(ANSWERS),
            joined: 0,
            refused: 0,
        })
    }

    /// Returns true unless the host program has closed or replaced a descriptor.
    pub fn is_intact(&self) -> bool {
        self.sockets
            .as_ref()
            .is_none_or(MulticastSockets::are_intact)
    }

    /// The entries that poll for messages.
    pub fn poll_entries(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sockets = self.sockets.iter();
        sockets.flat_map(MulticastSockets::poll_entries)
    }

    /// The time at which something is due; `None` while the node does not run.
    pub fn deadline(&self) -> Option<Time> {
        let joins = self.may_join().then_some(self.join_at);
        let question = (self.announced.is_some() || self.is_failing).then_some(self.next);
        question.into_iter().chain(joins).min()
    }

    fn may_join(&self) -> bool {
        self.joins.is_empty() && self.found.any_waits()
    }

    /// Says goodbye, closes the sockets, and forgets the addresses.
    pub fn stop(&mut self) {
        self.say_goodbye();
        self.sockets = None;
        self.is_failing = false;
        self.found.clear();
    }

    fn say_goodbye(&mut self) {
        let sockets = self.announced.take().and(self.sockets.as_ref());
        if let (Some(sockets), Some(bytes)) = (sockets, self.service.goodbye(&self.name)) {
            // If the message is lost, failure detection still shows that the node is gone.
            let _ = sockets.tell_all(&bytes);
        }
    }

    /// Asks for other nodes if a question is due, and answers with the address `own` from then on.
    /// Returns a warning if one is to be logged.
    pub fn ask_if_due(&mut self, now: Time, own: SocketAddr) -> Option<String> {
        if self.announced.is_some_and(|addr| addr != own) {
            self.say_goodbye();
            self.sockets = None;
        }
        if self.announced.is_none() {
            self.asked = 0;
        }
        // After the start, and after a goodbye, the first question is due immediately.
        let waits = self.announced.is_some() || self.is_failing;
        if waits && now < self.next {
            return None;
        }
        match self.ask(own) {
            Ok(()) => {
                (self.announced, self.is_failing) = (Some(own), false);
                let pause = FIRST_PAUSES.get(self.asked).copied();
                self.next = now + pause.unwrap_or(INTERVAL);
                self.asked += 1;
                None
            }
            Err(error) => {
                (self.sockets, self.announced, self.is_failing) = (None, None, true);
                self.next = now + RETRY;
                let is_due = self.warned.is_none_or(|at| now.since(at) >= REPEAT);
                is_due.then(|| {
                    self.warned = Some(now);
                    self.warning(&error)
                })
            }
        }
    }

    fn warning(&self, error: &io::Error) -> String {
        let place = match &*self.interface {
            "" => String::new(),
            name => format!(" on {name}"),
        };
        format!("mDNS does not work{place}, and is tried again: {error}")
    }

    /// Sends a question on all interfaces. Opens the sockets if necessary.
    fn ask(&mut self, own: SocketAddr) -> io::Result<()> {
        let links = links::links(&self.choice(own));
        let sockets = match self.sockets.take() {
            None => MulticastSockets::open(links)?,
            Some(mut sockets) => {
                if sockets.use_links(links)? {
                    self.asked = 0;
                }
                sockets
            }
        };
        let bytes = self.service.question();
        sockets.ask(&bytes.ok_or_else(|| io::Error::other("the question is too long"))?)?;
        self.sockets = Some(sockets);
        Ok(())
    }

    /// The interfaces for a node with this address. A loopback address means nothing to other
    /// hosts, so it is announced on the loopback interface only.
    fn choice(&self, own: SocketAddr) -> Choice {
        match (&*self.interface, own.ip().is_loopback()) {
            ("", true) => Choice::Loopback,
            ("", false) => Choice::Lan,
            (name, _) => Choice::Named(name.to_owned()),
        }
    }

    /// Receives the next message that waits; `None` if none waits.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.sockets.as_ref()?.receive(buffer)
    }

    /// Reads a message that has arrived, and answers a question. Returns what it says about other
    /// nodes.
    pub fn read(&mut self, now: Time, bytes: &[u8], from: SocketAddr) -> Vec<Notification> {
        if !self.service.is_mentioned(bytes) {
            return Vec::new();
        }
        let is_local = (self.sockets.as_ref()).is_some_and(|it| it.is_local(from));
        // The crate that decodes may panic on malformed input, and a panic must not end the node.
        let read = panic::caught(|| self.service.read(bytes, &self.name));
        let meaning = read.ok().flatten();
        match meaning.filter(|_| is_local) {
            None => self.refused += 1,
            Some(Meaning::Nothing) => {}
            Some(Meaning::Question(id)) => self.answer(now, id, from),
            Some(Meaning::Notifications(all)) => return all,
        }
        Vec::new()
    }

    fn answer(&mut self, now: Time, id: QuestionId, from: SocketAddr) {
        let (Some(sockets), Some(addr)) = (&self.sockets, self.announced) else {
            return;
        };
        if !self.answers.has_room(now) {
            self.refused += 1;
            return;
        }
        let node = Announced {
            name: &self.name,
            addr,
        };
        if let Some(bytes) = self.service.answer(id, &node) {
            sockets.answer(from, &bytes);
        }
    }

    /// Returns true if this node, at the address `own`, may join a node at this address.
    fn is_allowed(&self, addr: SocketAddr, own: SocketAddr) -> bool {
        let ip = addr.ip();
        networks::unreachable(ip).is_none()
            && networks::allow(&self.networks, ip)
            && (!ip.is_loopback() || own.ip().is_loopback())
    }

    /// Returns true if the family of the address is one that this node uses.
    fn has_family_of(&self, addr: SocketAddr) -> bool {
        addr.is_ipv4() == self.bound.is_ipv4()
            || (self.bound.is_ipv6() && self.bound.is_unspecified())
    }

    /// Notes a message about another node. `is_alive_at` returns true if an alive member has an
    /// address.
    pub fn on_notification(
        &mut self,
        now: Time,
        notification: &Notification,
        own: SocketAddr,
        is_alive_at: impl Fn(SocketAddr) -> bool,
    ) {
        let Some(addr) = notification.addr else {
            return self.found.on_goodbye(notification.name);
        };
        if addr == own || !self.has_family_of(addr) || is_alive_at(addr) {
            return self.found.forget(addr);
        }
        if !self.is_allowed(addr, own) {
            self.refused += 1;
            return;
        }
        if !self.found.any_waits() {
            self.join_at = self.join_at.max(now + QUIET);
        }
        self.found.on_announcement(now, addr, notification.name);
    }

    /// Forgets an address that an alive member has.
    pub fn forget(&mut self, addr: SocketAddr) {
        self.found.forget(addr);
    }

    /// Returns true if joins of addresses that were found are under way.
    pub fn is_joining(&self) -> bool {
        !self.joins.is_empty()
    }

    /// Forgets the joins that have ended: those that are not among the joins under way.
    pub fn keep_joins(&mut self, under_way: &[OpId]) {
        self.joins.retain(|op| under_way.contains(op));
    }

    /// Notes a join of an address that was found.
    pub fn on_join_begun(&mut self, op: OpId) {
        self.joins.push(op);
        self.joined += 1;
    }

    /// Returns the addresses to join now.
    pub fn take_found(&mut self, now: Time) -> Vec<SocketAddr> {
        if !self.may_join() || now < self.join_at {
            return Vec::new();
        }
        self.join_at = now + JOIN_PAUSE;
        self.found.take(now, JOINS)
    }

    /// The counters.
    pub fn counters(&self) -> [Counter; 2] {
        let help = "Joins of addresses that mDNS has found.";
        [
            Counter::new("mdns_joins", self.joined, help),
            self.refusals(),
        ]
    }

    /// The counter of refusals.
    pub fn refusals(&self) -> Counter {
        let help = "Messages of mDNS, and addresses in them, that were not used: malformed, from \
                    another network, not allowed, or too many.";
        Counter::new("mdns_refused", self.refused, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "10.0.0.1:7946";

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_nanos(1) + Duration::from_millis(millis)
    }

    /// An announcement of an address, or a goodbye.
    fn notification(text: Option<&str>) -> Notification {
        let (name, addr) = (1, text.map(addr));
        Notification { name, addr }
    }

    fn discovery(settings: &[(&str, &str)]) -> Discovery {
        let mut config = Config::new();
        config.set("discover", "prod").unwrap();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        let bound = config.bind_addr();
        Discovery::new(&config, "a", bound, at(0)).unwrap()
    }

    /// The addresses that a node joins after it has heard these announcements.
    fn joined(discovery: &mut Discovery, own: &str, heard: &[&str]) -> Vec<SocketAddr> {
        for text in heard {
            discovery.on_notification(at(0), &notification(Some(text)), addr(own), |_| false);
        }
        discovery.take_found(at(100))
    }

    #[test]
    fn a_node_without_the_name_of_a_cluster_has_no_mdns() {
        let config = Config::new();
        assert!(Discovery::new(&config, "a", config.bind_addr(), at(0)).is_none());
    }

    #[test]
    fn an_address_is_joined_only_if_it_is_allowed_and_can_be_reached() {
        for (own, heard, is_joined) in [
            (OWN, "10.0.0.2:7946", true),
            (OWN, "10.0.0.1:7947", true),
            (OWN, OWN, false),
            (OWN, "127.0.0.1:7946", false),
            ("127.0.0.1:7946", "127.0.0.1:1", true),
            (OWN, "0.0.0.0:7946", false),
            (OWN, "224.0.0.1:7946", false),
            (OWN, "[fd00::2]:7946", false),
        ] {
            let mut it = discovery(&[]);
            let found = joined(&mut it, own, &[heard]);
            assert_eq!(!found.is_empty(), is_joined, "{heard}");
        }
        let mut both = discovery(&[("bind", "[::]:7946")]);
        let heard = ["[fd00::2]:7946", "10.0.0.2:7946", "[fe80::2]:7946"];
        assert_eq!(joined(&mut both, OWN, &heard).len(), 2);
        assert_eq!(both.refused, 1);
        let mut some = discovery(&[("cidrs_allowed", "10.0.0.0/24")]);
        let heard = ["10.0.1.1:7946", "10.0.0.9:7946"];
        assert_eq!(joined(&mut some, OWN, &heard), [addr("10.0.0.9:7946")]);
        assert_eq!(some.refused, 1);
    }

    #[test]
    fn a_member_and_a_node_that_has_said_goodbye_are_not_joined() {
        let other = "10.0.0.2:7946";
        for (said, is_member) in [(Some(other), true), (None, false)] {
            let mut it = discovery(&[]);
            it.on_notification(at(0), &notification(Some(other)), addr(OWN), |_| false);
            it.on_notification(at(1), &notification(said), addr(OWN), |_| is_member);
            assert_eq!(it.take_found(at(9999)), []);
        }
    }

    #[test]
    fn four_addresses_are_joined_at_a_time_and_the_next_after_a_second_when_these_have_ended() {
        let mut it = discovery(&[]);
        let heard: Vec<String> = (2..12).map(|host| format!("10.0.0.{host}:7946")).collect();
        let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
        assert_eq!(it.deadline(), None);
        assert_eq!(joined(&mut it, OWN, &heard).len(), JOINS);
        assert_eq!(it.deadline(), Some(at(1100)));
        it.on_join_begun(OpId(1));
        it.keep_joins(&[OpId(1)]);
        assert_eq!(it.deadline(), None, "the end of a join wakes the engine");
        assert_eq!(it.take_found(at(1100)), []);
        it.keep_joins(&[OpId(2)]);
        assert!(!it.is_joining());
        assert_eq!(it.take_found(at(1099)), []);
        assert_eq!(it.take_found(at(1100)).len(), JOINS);
        assert_eq!(it.take_found(at(2100)).len(), 2);
        assert_eq!(it.deadline(), None);
    }

    #[test]
    fn a_message_from_elsewhere_is_refused_and_one_about_something_else_is_not_read() {
        let mut it = discovery(&[]);
        let from = addr("10.0.0.2:5353");
        let node = Announced {
            name: "b",
            addr: from,
        };
        let bytes = Service::new("prod").answer(QuestionId(7), &node).unwrap();
        assert_eq!(it.read(at(0), &bytes, from), [], "there is no link yet");
        assert_eq!(it.refused, 1);
        let bytes = Service::new("test").answer(QuestionId(7), &node).unwrap();
        assert_eq!(it.read(at(0), &bytes, from), []);
        assert_eq!(it.refused, 1);
    }
}
