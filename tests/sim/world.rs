//! The world: hosts, a network between them, and one queue of events.
//!
//! Virtual time jumps from one event to the next. A wake-up of a host is queued unless `armed`
//! notes one at the same time or earlier. When a wake-up comes, the next one is queued, even if
//! nothing is due. Every event of a core for the application goes through a checker; so does every
//! datagram, if `check_closely` is true.

use super::checker::{self, Truth};
use super::clock::Clock;
use super::facts;
use super::host::{Host, Input};
use super::net::Net;
use super::queue::Queue;
use super::rng::Rng;
use super::tcp::{Conn, Item};
use sprat::EventBody;
use sprat::serf::{Config, Core, CoreEvent, Member};
use sprat::swim::{LookupId, Output};
use sprat::time::Time;
use sprat::wire::{Codec, Refusal};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The checker examines a host closely at least once in this many steps.
const CHECK_EVERY: u32 = 64;
/// The time that the name server takes to answer.
const LOOKUP: Duration = Duration::from_millis(5);
/// The longest stop of a process that its driver does not notice.
const STALL: Duration = Duration::from_secs(2);

/// An event in the queue.
pub enum Action {
    Wake {
        host: usize,
        life: u32,
    },
    Datagram {
        to: usize,
        at: SocketAddr,
        from: usize,
        number: u64,
        bytes: Vec<u8>,
    },
    Syn {
        conn: u64,
        attempt: u32,
    },
    SynArrived {
        conn: u64,
    },
    SynAcked {
        conn: u64,
    },
    Fly {
        conn: u64,
        side: usize,
    },
    Arrived {
        conn: u64,
        side: usize,
        item: Item,
    },
    Broken {
        conn: u64,
    },
    Resolved {
        host: usize,
        life: u32,
        id: LookupId,
        name: String,
    },
    Do(Box<dyn FnOnce(&mut World)>),
}

pub struct World {
    pub random_seed: u64,
    pub now: Time,
    pub rng: Rng,
    pub net: Net,
    pub hosts: Vec<Host>,
    pub dns: BTreeMap<String, Vec<IpAddr>>,
    pub(super) queue: Queue<Action>,
    pub(super) conns: BTreeMap<u64, Conn>,
    pub(super) next_conn: u64,
    /// True if member lists, health and datagrams are checked, which is too slow for a thousand
    /// nodes.
    pub check_closely: bool,
    /// True if every event of every host is kept, and the digest is updated.
    pub keep_events: bool,
    /// The time since which the network has had no fault; `None` while it has one.
    pub calm_since: Option<Time>,
    /// The command that repeats this run, for failure messages.
    pub repeat: String,
    /// Keys, label and compression of all hosts that are started from now on.
    pub codec: Codec,
    /// A digest of all datagrams, stream bytes and events.
    pub digest: u64,
    pub verdicts: Verdicts,
    /// Datagrams that a hostile member has overheard; `None` if there is none.
    pub(super) overheard: Option<VecDeque<Vec<u8>>>,
    /// The number of names that a hostile member may invent. They follow those of the hosts.
    pub invented: usize,
}

/// The numbers of suspicions and failures that all nodes together have reported.
#[derive(Clone, Copy, Default)]
pub struct Verdicts {
    pub suspected: u64,
    pub failed: u64,
}

impl World {
    pub fn new(random_seed: u64) -> World {
        facts::forget();
        let mut rng = Rng::new(random_seed);
        World {
            random_seed,
            now: Time::ZERO,
            net: Net::new(Rng::new(rng.next())),
            rng,
            hosts: Vec::new(),
            dns: BTreeMap::new(),
            queue: Queue::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            check_closely: true,
            keep_events: true,
            calm_since: Some(Time::ZERO),
            repeat: String::new(),
            codec: Codec::default(),
            digest: random_seed,
            verdicts: Verdicts::default(),
            overheard: None,
            invented: 0,
        }
    }

    /// Fails the test, because the condition that `what` describes is violated at this host.
    pub fn fail(&self, host: usize, what: &str) -> ! {
        let at = self.now.since(Time::ZERO);
        panic!(
            "random seed {}, {at:?}, host n{host}: {what}\n{}",
            self.random_seed, self.repeat
        );
    }

    /// Adds a host whose process is not started yet. Its clock begins at a random time.
    pub fn add_host(&mut self, config: Config) -> usize {
        let index = self.hosts.len();
        let addr = address(index, 0);
        let uptime = self
            .rng
            .between(Duration::ZERO, Duration::from_secs(1_000_000));
        let clock = Clock::new(self.now, Time::ZERO + uptime);
        self.hosts.push(Host::new(index, addr, config, clock));
        index
    }

    /// Starts the process of a host.
    pub fn boot(&mut self, host: usize) {
        let seed = self.rng.seed();
        let (now, h) = (self.now, &mut self.hosts[host]);
        assert!(h.core.is_none(), "n{host} runs already");
        let local = h.local(now);
        let (config, name) = (h.config.clone(), h.name.clone());
        let core = Core::new(config, self.codec.clone(), name, h.addr, seed, local);
        let mut core = core.expect("the settings of a test are legal");
        core.set_share_facts(facts::share);
        h.core = Some(core);
        h.life += 1;
        h.well_since = now;
        h.leaving = false;
        h.armed = None;
        h.view = checker::View::new(host, self.check_closely);
        self.touch(host);
    }

    /// Ends the process of a host without a leave.
    pub fn crash(&mut self, host: usize) {
        assert!(
            self.hosts[host].core.take().is_some(),
            "n{host} does not run"
        );
        self.hosts[host].paused = None;
        self.hosts[host].take_inbox();
        self.hosts[host].life += 1;
        self.reset_streams(host);
    }

    /// Gives a host another address. The old address then belongs to no host.
    pub fn readdress(&mut self, host: usize, generation: u8) {
        let addr = address(host, generation);
        self.hosts[host].addr = addr;
    }

    /// Stops a process.
    pub fn pause(&mut self, host: usize) {
        assert!(self.hosts[host].is_running(), "n{host} does not run");
        self.net.count.paused += 1;
        self.hosts[host].paused = Some(self.now);
    }

    /// Continues a stopped process, and gives it the inputs that arrived while it was stopped.
    /// After a long stall, its streams are reset, and the datagrams among these inputs are refused.
    pub fn resume(&mut self, host: usize) {
        let Some(since) = self.hosts[host].paused.take() else {
            return;
        };
        self.hosts[host].well_since = self.now;
        let stale = self.note_stall(host, self.now.since(since), Duration::ZERO);
        if stale {
            self.flush(host);
            self.reset_streams(host);
        }
        for input in self.hosts[host].take_inbox() {
            match (&mut self.hosts[host].core, &input) {
                (Some(core), Input::Datagram { .. }) if stale => core.refuse(Refusal::Stale),
                _ => self.apply(host, input),
            }
            self.flush(host);
        }
        self.wake(host);
    }

    /// Suspends a whole machine: packets to it are lost.
    pub fn suspend(&mut self, host: usize) {
        self.pause(host);
        self.hosts[host].asleep = true;
    }

    /// Wakes a machine up. `counted` is true if its clock ran during the suspension; otherwise the
    /// clock stood still.
    pub fn awaken(&mut self, host: usize, counted: bool) {
        let h = &mut self.hosts[host];
        h.asleep = false;
        if let (false, Some(since)) = (counted, h.paused) {
            h.clock.hold(since, self.now);
            h.paused = Some(self.now);
            self.note_stall(host, Duration::ZERO, self.now.since(since));
        }
        self.resume(host);
    }

    /// Lets the clock of a host jump forward.
    pub fn step_clock(&mut self, host: usize, by: Duration) {
        self.net.count.clocks_changed += 1;
        self.hosts[host].clock.step(self.now, by);
        self.note_stall(host, by, Duration::ZERO);
        self.wake(host);
    }

    /// Reports a stall to the core, if it is longer than [`STALL`]. Returns true if the datagrams
    /// that arrived during the stall are too old.
    fn note_stall(&mut self, host: usize, missed: Duration, suspended: Duration) -> bool {
        if missed + suspended <= STALL {
            return false;
        }
        self.net.count.stalled += 1;
        let h = &mut self.hosts[host];
        let local = h.local(self.now);
        let core = h.core.as_mut();
        core.is_some_and(|core| core.handle_stall(local, missed, suspended))
    }

    /// Runs a command on the core of a host, and carries out its outputs.
    pub fn command<R>(&mut self, host: usize, run: impl FnOnce(&mut Core, Time) -> R) -> R {
        let local = self.hosts[host].local(self.now);
        let Some(core) = &mut self.hosts[host].core else {
            panic!("n{host} does not run")
        };
        let result = run(core, local);
        self.touch(host);
        result
    }

    /// Runs a function after this time.
    pub fn later(&mut self, after: Duration, what: impl FnOnce(&mut World) + 'static) {
        self.queue
            .push(self.now + after, Action::Do(Box::new(what)));
    }

    /// Runs all events up to this time.
    pub fn run_to(&mut self, end: Time) {
        while let Some((at, what)) = self.queue.pop_by(end) {
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: Action) {
        match what {
            Action::Wake { host, life } => {
                // An earlier wake-up may have replaced this one.
                if self.hosts[host].life == life && self.hosts[host].armed == Some(self.now) {
                    self.alarm(host);
                }
            }
            Action::Datagram {
                to,
                at,
                from,
                number,
                bytes,
            } => {
                if self.net.watches_order() {
                    self.net.arrived(from, to, number);
                }
                if self.hosts[to].core.is_none() || self.hosts[to].addr != at {
                    self.net.count.undeliverable += 1;
                    return;
                }
                let from = self.hosts[from].addr;
                self.input(to, Input::Datagram { from, bytes });
            }
            Action::Syn { conn, attempt } => self.syn(conn, attempt),
            Action::SynArrived { conn } => self.syn_arrived(conn),
            Action::SynAcked { conn } => self.syn_acked(conn),
            Action::Fly { conn, side } => self.fly(conn, side),
            Action::Arrived { conn, side, item } => self.arrived(conn, side, item),
            Action::Broken { conn } => self.broken(conn),
            Action::Resolved {
                host,
                life,
                id,
                name,
            } => {
                if self.hosts[host].life == life {
                    let addrs = self.dns.get(&name).cloned().unwrap_or_default();
                    self.input(host, Input::Resolved { id, addrs });
                }
            }
            Action::Do(what) => what(self),
        }
    }

    /// Gives an input to the process of a host. A stopped process handles it when it continues; a
    /// suspended machine loses it.
    pub(super) fn input(&mut self, host: usize, input: Input) {
        let h = &mut self.hosts[host];
        if h.paused.is_some() {
            let kept = !h.asleep && h.keep(input);
            self.net.count.overflowed += u64::from(!kept);
            return;
        }
        self.apply(host, input);
        self.touch(host);
    }

    pub(super) fn apply(&mut self, host: usize, input: Input) {
        let h = &mut self.hosts[host];
        let local = h.local(self.now);
        let Some(core) = &mut h.core else { return };
        match input {
            Input::Datagram { from, bytes } => core.handle_datagram(local, from, &bytes),
            Input::Resolved { id, addrs } => core.handle_resolved(local, id, &addrs),
            Input::Arrived { conn, side, item } => self.deliver(conn, side, item),
            Input::Broken { stream } => {
                core.handle_stream_end(local, stream, sprat::swim::StreamEnd::Failed);
            }
            Input::Connected { conn } => {
                let Some(stream) = self.dialled(conn) else {
                    return;
                };
                if let Some(core) = &mut self.hosts[host].core {
                    core.handle_stream_connected(local, stream);
                }
            }
        }
    }

    /// Handles the wake-up for which a process was armed. The process may want to be woken up later
    /// now, for example because the ack that it waited for has arrived.
    fn alarm(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        h.armed = None;
        if h.paused.is_some() {
            return;
        }
        if h.local(self.now) < h.wanted {
            self.arm(host);
        } else {
            self.wake(host);
        }
    }

    fn wake(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let local = h.local(self.now);
        let is_due = |core: &&mut Core| core.poll_timeout().is_some_and(|at| at <= local);
        if let Some(core) = h.core.as_mut().filter(is_due) {
            core.handle_timeout(local);
        }
        self.touch(host);
    }

    /// Carries out the outputs of a core and lets it accept streams, until nothing is left to do.
    /// Then queues its next wake-up.
    pub(super) fn touch(&mut self, host: usize) {
        loop {
            self.flush(host);
            if !self.accept(host) {
                break;
            }
        }
        let h = &mut self.hosts[host];
        if let Some(wanted) = h.core.as_ref().and_then(Core::poll_timeout) {
            h.wanted = wanted;
            self.arm(host);
        }
    }

    /// Queues the next wake-up of a process, unless one is queued that comes no later.
    fn arm(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let at = h.clock.world(h.wanted).max(self.now);
        if h.armed.is_none_or(|armed| at < armed) {
            h.armed = Some(at);
            self.queue.push(at, Action::Wake { host, life: h.life });
        }
    }

    fn flush(&mut self, host: usize) {
        loop {
            let Some(core) = &mut self.hosts[host].core else {
                return;
            };
            let Some(output) = core.poll_output() else {
                break;
            };
            self.carry_out(host, output);
        }
        while let Some(event) = self.hosts[host].core.as_mut().and_then(Core::poll_event) {
            self.take_event(host, event);
        }
        if self.check_closely {
            self.check_host(host);
        }
        if let Some(core) = &mut self.hosts[host].core {
            core.take_changed();
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes, .. } => {
                self.mix(&bytes);
                self.overhear(&bytes);
                if self.check_closely {
                    if let Err(why) = checker::datagram(&self.codec, &bytes) {
                        self.fail(host, &why);
                    }
                }
                let target = host_at(&self.hosts, to);
                let arrivals = self.net.datagram(host, target.unwrap_or(host), bytes.len());
                let Some(target) = target else {
                    return self.net.count.undeliverable += 1;
                };
                let number = self.net.count.datagrams;
                let [first, second] = arrivals.map(|delay| delay.map(|delay| self.now + delay));
                let packet = |bytes| Action::Datagram {
                    to: target,
                    at: to,
                    from: host,
                    number,
                    bytes,
                };
                if let Some(at) = second {
                    self.queue.push(at, packet(bytes.clone()));
                }
                if let Some(at) = first {
                    self.queue.push(at, packet(bytes));
                }
            }
            Output::Connect { id, to } => self.connect(host, id, to),
            Output::Write { id, bytes } => {
                self.mix(&bytes);
                self.write(host, id, bytes);
            }
            Output::Close { id } => self.close(host, id),
            Output::Resolve { id, host: name } => {
                let life = self.hosts[host].life;
                self.queue.push(
                    self.now + LOOKUP,
                    Action::Resolved {
                        host,
                        life,
                        id,
                        name,
                    },
                );
            }
        }
    }

    /// Checks an event of a core if it is for the application, and keeps it if `keep_events` is
    /// true.
    fn take_event(&mut self, host: usize, event: CoreEvent) {
        if let CoreEvent::App(body) = &event {
            if let Err(why) = self.hosts[host].view.event(body) {
                self.fail(host, &why);
            }
        }
        match &event {
            CoreEvent::App(EventBody::MemberFail(member)) => {
                self.verdicts.failed += 1;
                self.check_failure(host, member);
            }
            CoreEvent::App(EventBody::MemberSuspect(_)) => self.verdicts.suspected += 1,
            _ => {}
        }
        if self.keep_events {
            self.mix(format!("{event:?}").as_bytes());
            self.hosts[host].events.push((self.now, event));
        }
    }

    fn check_failure(&self, observer: usize, member: &Member) {
        let name = &*member.name;
        let index = checker::number(name).unwrap_or(usize::MAX);
        let Some(subject) = self.hosts.get(index) else {
            if index < self.names() {
                return; // a hostile member has invented it
            }
            let why = format!("{name} was declared failed, but no host has this name");
            self.fail(observer, &why);
        };
        if subject.addr != member.addr {
            return; // the host has moved, so nobody answers at this address
        }
        // An observer that was stopped has an outdated view, so its verdict is not a fault.
        let well = |host: &Host| host.is_running().then_some(host.well_since);
        let both = well(subject).zip(well(&self.hosts[observer]));
        let truth = Truth {
            now: self.now,
            member: subject.is_member(),
            well_since: both.map(|(a, b)| a.max(b)),
            calm_since: self.calm_since,
            grace: self.grace(),
        };
        if let Err(why) = checker::failure(&truth) {
            self.fail(observer, &format!("{name} was {why}"));
        }
    }

    /// Checks the member list and the health of a host: at every change of the list, and at least
    /// once in every [`CHECK_EVERY`] steps.
    fn check_host(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let Some(core) = &h.core else { return };
        h.unchecked += 1;
        if h.unchecked < CHECK_EVERY && core.version() == h.checked_version {
            return;
        }
        (h.unchecked, h.checked_version) = (0, core.version());
        let found = h.view.compare(core.members());
        let found = found.and_then(|()| checker::health(&core.health(h.clock.local(self.now))));
        if let Err(why) = found {
            self.fail(host, &why);
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        if !self.keep_events {
            return;
        }
        let mut digest = self.digest ^ self.now.as_nanos();
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest = digest;
    }
}

/// Returns the number of the host that has this address now.
pub(super) fn host_at(hosts: &[Host], addr: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = addr.ip() else {
        return None;
    };
    let [_, _, high, low] = ip.octets();
    let host = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
    let is_there = hosts.get(host)?.addr == addr;
    is_there.then_some(host)
}

/// The address of host `index`; `generation` distinguishes its addresses. [`host_at`] is the
/// inverse function.
pub fn address(index: usize, generation: u8) -> SocketAddr {
    let [_, _, high, low] = (index as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, generation, high, low], 7946))
}
