//! Finding other nodes on the local network with mDNS, as agents of Serf do with `-discover`.
//!
//! While the node runs, it announces itself at its advertised address, answers questions about its
//! cluster, and asks for the nodes of its cluster: a few times at first, and then once a minute. It
//! joins the addresses that it hears of, unless an alive member has the address. When it leaves or
//! ends, it says goodbye.
//!
//! Everything runs on the engine's thread, and nothing waits. A failure, such as a network that is
//! down, is logged and tried again; it never ends the node.

use crate::Config;
use crate::driver::engine::Engine;
use crate::driver::engine::found::FoundAddrs;
use crate::driver::events::completion::Waiter;
use crate::driver::net::mdns::links::{self, Choice};
use crate::driver::net::mdns::message::{Announced, Asked, Meaning, News, Service};
use crate::driver::net::mdns::sockets::{self, MulticastSockets};
use crate::driver::os::descriptors::PollFd;
use crate::event::Level;
use crate::networks;
use crate::serf::Counter;
use crate::swim::OpId;
use crate::time::Time;
use crate::vocabulary::NodeState;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The pauses between the first rounds. A round consists of an announcement and a question.
const FIRST_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// The time between two questions after the first rounds, the same as in Serf.
const INTERVAL: Duration = Duration::from_secs(60);
/// The time after a failure until mDNS is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// The minimum time between two warnings about failures.
const REPEAT: Duration = Duration::from_secs(5 * 60);
/// The time from an announcement until the node joins, so that it hears of several nodes first.
const QUIET: Duration = Duration::from_millis(100);
/// The minimum time between two groups of joins.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of joins at a time.
const JOINS: usize = 4;
/// The maximum number of messages that are read in one turn before other work is done.
const BURST: usize = 64;
/// The maximum number of answers in a second. One question of every node of a large cluster in a
/// minute takes less.
const ANSWERS: u32 = 50;
/// The period of [`ANSWERS`]. An answer to everybody is not repeated earlier (RFC 6762, section 6).
const SECOND: Duration = Duration::from_secs(1);

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
    /// The address that this node has announced last; `None` after its goodbye.
    announced: Option<SocketAddr>,
    /// The number of rounds since the address was first announced.
    rounds: usize,
    /// The time of the next round.
    next: Time,
    /// The time of the last warning about a failure.
    warned: Option<Time>,
    is_failing: bool,
    found: FoundAddrs,
    /// The joins under way.
    joins: Vec<OpId>,
    /// The time of the next joins, if addresses wait.
    join_at: Time,
    /// The second in which answers are counted, and their number.
    answers: (Time, u32),
    /// The time of the last answer to everybody.
    answered_all: Option<Time>,
    joined: u64,
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
            rounds: 0,
            next: now,
            warned: None,
            is_failing: false,
            found: FoundAddrs::default(),
            joins: Vec::new(),
            join_at: now,
            answers: (now, 0),
            answered_all: None,
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
        let round = (self.announced.is_some() || self.is_failing).then_some(self.next);
        round.into_iter().chain(joins).min()
    }

    fn may_join(&self) -> bool {
        self.joins.is_empty() && self.found.any_waits()
    }

    /// Says goodbye, and forgets everything.
    pub fn stop(&mut self) {
        self.say_goodbye();
        self.sockets = None;
        self.is_failing = false;
        self.found.clear();
    }

    fn say_goodbye(&mut self) {
        let Some(addr) = self.announced.take() else {
            return;
        };
        let node = Announced {
            name: &self.name,
            addr,
        };
        if let (Some(sockets), Some(bytes)) = (&self.sockets, self.service.goodbye(&node)) {
            // If nobody hears it, the others notice in some other way that the node is gone.
            let _ = sockets.announce(&bytes);
        }
    }

    /// Announces this node at this address and asks for others, if a round is due. Returns the
    /// failure if one is to be logged.
    fn run_rounds(&mut self, now: Time, own: SocketAddr) -> Option<io::Error> {
        if self.announced.is_some_and(|addr| addr != own) {
            self.say_goodbye();
            self.sockets = None;
        }
        let is_first = self.announced.is_none();
        if now < self.next && !(is_first && !self.is_failing) {
            return None;
        }
        if is_first {
            self.rounds = 0;
        }
        match self.run_round(own) {
            Ok(()) => {
                self.announced = Some(own);
                let pause = FIRST_PAUSES.get(self.rounds).copied();
                self.next = now + pause.unwrap_or(INTERVAL);
                self.rounds += 1;
                self.is_failing = false;
                None
            }
            Err(error) => {
                (self.sockets, self.announced, self.is_failing) = (None, None, true);
                self.next = now + RETRY;
                let is_due = self.warned.is_none_or(|at| now.since(at) >= REPEAT);
                is_due.then(|| {
                    self.warned = Some(now);
                    error
                })
            }
        }
    }

    /// Opens the sockets if necessary, and sends a question. In the first rounds, and if there is a
    /// new interface, it also sends an announcement.
    fn run_round(&mut self, own: SocketAddr) -> io::Result<()> {
        let links = links::links(&self.choice(own));
        let sockets = match self.sockets.take() {
            None => MulticastSockets::open(links)?,
            Some(mut sockets) => {
                if sockets.use_links(links)? {
                    self.rounds = 0;
                }
                sockets
            }
        };
        let node = Announced {
            name: &self.name,
            addr: own,
        };
        let too_long = || io::Error::other("a message is too long");
        if self.rounds <= FIRST_PAUSES.len() {
            let bytes = self.service.announcement(&node).ok_or_else(too_long)?;
            sockets.announce(&bytes)?;
        }
        let bytes = self.service.question().ok_or_else(too_long)?;
        sockets.ask(&bytes)?;
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

    /// Reads a message that has arrived, and answers a question. Returns the announcements in it.
    fn read(&mut self, now: Time, bytes: &[u8], from: SocketAddr) -> Vec<News> {
        if !self.service.is_mentioned(bytes) {
            return Vec::new();
        }
        let is_local = (self.sockets.as_ref()).is_some_and(|it| it.is_local(from));
        let meaning = self.service.read(bytes, &self.name);
        match meaning.filter(|_| is_local) {
            None => self.refused += 1,
            Some(Meaning::Nothing) => {}
            Some(Meaning::Question(asked)) => self.answer(now, &asked, from),
            Some(Meaning::News(news)) => return news,
        }
        Vec::new()
    }

    fn answer(&mut self, now: Time, asked: &Asked, from: SocketAddr) {
        let (Some(sockets), Some(addr)) = (&self.sockets, self.announced) else {
            return;
        };
        let is_responder = from.port() == sockets::PORT;
        let to_all = is_responder && !asked.to_sender;
        let is_recent = |at: Time| now.since(at) < SECOND;
        if to_all && self.answered_all.is_some_and(is_recent) {
            return; // the last answer went to everybody
        }
        if !is_recent(self.answers.0) {
            self.answers = (now, 0);
        }
        if self.answers.1 >= ANSWERS {
            self.refused += 1;
            return;
        }
        self.answers.1 += 1;
        let node = Announced {
            name: &self.name,
            addr,
        };
        let bytes = match is_responder {
            true => self.service.announcement(&node),
            false => self.service.answer(asked.id, &node),
        };
        match bytes {
            Some(bytes) if to_all => {
                self.answered_all = Some(now);
                let _ = sockets.announce(&bytes); // the next round reports a failure
            }
            Some(bytes) => sockets.answer(from, &bytes),
            None => {}
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

    /// Notes the announcement of a node. `is_member` is true if an alive member has the address.
    fn hear(&mut self, now: Time, news: &News, own: SocketAddr, is_member: bool) {
        let addr = news.addr;
        if news.is_goodbye || is_member || addr == own || !self.has_family_of(addr) {
            return self.found.forget(addr);
        }
        if !self.is_allowed(addr, own) {
            self.refused += 1;
            return;
        }
        if !self.found.any_waits() {
            self.join_at = self.join_at.max(now + QUIET);
        }
        self.found.hear(now, addr);
    }

    /// Returns the addresses to join now.
    fn take_found(&mut self, now: Time) -> Vec<SocketAddr> {
        if !self.may_join() || now < self.join_at {
            return Vec::new();
        }
        self.join_at = now + JOIN_PAUSE;
        self.found.take(now, JOINS)
    }

    /// The counters.
    pub fn counters(&self) -> [Counter; 2] {
        [
            (
                "mdns_joins",
                self.joined,
                "Joins of addresses that mDNS has found.",
            ),
            (
                "mdns_refused",
                self.refused,
                "Messages of mDNS, and addresses in them, that were not used: malformed, from \
                 another network, not allowed, or too many.",
            ),
        ]
        .map(|(name, value, help)| Counter::new(name, value, help))
    }
}

impl Engine {
    /// Does what mDNS has to do now.
    pub(super) fn discover(&mut self) {
        let own = self.handle.addr();
        let is_running = self.handle.lifecycle.state() == NodeState::Running;
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        if !is_running {
            return discovery.stop();
        }
        if let Some(error) = discovery.run_rounds(self.now, own) {
            let text = format!("mDNS does not work, and is tried again: {error}");
            self.warn("mdns", text);
        }
        self.join_found();
    }

    fn join_found(&mut self) {
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        let under_way = self.operations.joins();
        discovery.joins.retain(|op| under_way.contains(op));
        for addr in discovery.take_found(self.now) {
            // It may have become a member since it was found.
            if self.core.is_alive_at(addr) {
                discovery.found.forget(addr);
                continue;
            }
            let text = || format!("mDNS has found {addr}; joining it");
            self.log
                .line(&self.handle.events, Level::Info, "mdns", text);
            let op = self.core.join_found(self.now, addr);
            self.operations.begin_join(op, Waiter::Nobody);
            discovery.joins.push(op);
            discovery.joined += 1;
        }
    }

    /// Receives messages of mDNS.
    pub(super) fn receive_discovery(&mut self) {
        let own = self.handle.addr();
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        for _ in 0..BURST {
            let received = (discovery.sockets.as_ref()).and_then(|it| it.receive(&mut self.buffer));
            let Some((len, from)) = received else {
                return;
            };
            for news in discovery.read(self.now, &self.buffer[..len], from) {
                let is_member = self.core.is_alive_at(news.addr);
                discovery.hear(self.now, &news, own, is_member);
            }
        }
    }

    /// Says goodbye at the end of the node.
    pub(super) fn end_discovery(&mut self) {
        if let Some(discovery) = &mut self.discovery {
            discovery.stop();
        }
    }
}
