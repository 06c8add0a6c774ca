//! What the pilot's thread does.

use super::handover::{self, Heirs};
use super::isolation::Isolation;
use super::join_diagnosis::Alone;
use super::notices::Notices;
use super::own_listeners::Own;
use super::report::{self, Census};
use super::{Order, Phase, Plan, Pool, Shared, Word};
use crate::balance::Balance;
use crate::snapshot::{Snapshot, Store};
use sprat::driver::Subscription;
use sprat::service::spoe::candidate::is_present;
use sprat::service::spoe::questions::Known;
use sprat::time::Time;
use sprat::{Config, EventKind, Member, MemberState, Node, NodeState, Status};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Longest pause: the heartbeat, and looks at what no event tells.
const BEAT: Duration = Duration::from_millis(250);
/// Between two attempts to bind: the process before us gives the port up any moment.
const BIND: Duration = Duration::from_millis(5);
/// Between two attempts to start after another failure, which will not go away as quickly.
const START: Duration = Duration::from_secs(1);
/// Between two writes of the snapshot.
const SNAPSHOT: Duration = Duration::from_millis(500);
/// Longest wait for the own departure to spread.
const LEAVE: Duration = Duration::from_secs(5);
/// Sentences that wait for somebody who reads them.
const NOTICES: usize = 128;
/// Peers that are remembered.
const PEERS: usize = 256;

/// A pool at work.
pub(super) struct Crew {
    pub pool: Pool,
    pub balance: Balance,
}

/// The thread.
struct Work<'a> {
    shared: &'a Shared,
    woken: &'a UnixStream,
    began: Instant,
    crews: Vec<Crew>,
    notices: Notices,
    store: Option<Store>,
    /// When the snapshot was written.
    stored: Option<Instant>,
    /// The version of the members that questions are answered from.
    informed: Option<u64>,
    peers: Vec<SocketAddr>,
    addrs: BTreeSet<IpAddr>,
    /// Another member was heard in this life.
    has_heard: bool,
    isolation: Isolation,
    /// If this process is the load balancer.
    own: Option<Own>,
    alone: Alone,
    /// Members that HAProxy cannot reach, of whom the node does not know it yet.
    accused: Vec<Arc<str>>,
    /// Where the node listens, as its settings say.
    bind: SocketAddr,
    /// The end was asked for, and an heir is waited for so long.
    release: Option<Duration>,
    heirs: Option<Heirs>,
    /// Who waits for the orders that follow from what was said.
    waiting: Vec<Sender<()>>,
}

/// Runs until it is released.
pub(super) fn run(shared: &Shared, plan: Plan, woken: &UnixStream) {
    let began = Instant::now();
    let snapshot = plan.remembered;
    let crews = plan.pools.into_iter().map(|pool| {
        let balance = Balance::new(pool.limits.clone(), pool.slots);
        Crew { pool, balance }
    });
    let mut work = Work {
        shared,
        woken,
        began,
        crews: crews.collect(),
        notices: Notices::default(),
        store: plan.store,
        stored: Some(began),
        informed: None,
        peers: snapshot.peers.clone(),
        addrs: snapshot.peers.iter().map(SocketAddr::ip).collect(),
        has_heard: false,
        isolation: Isolation::default(),
        own: plan.inside.then(Own::new),
        alone: Alone::new(&plan.config.get("seeds").unwrap_or_default()),
        accused: Vec::new(),
        bind: bind(&plan.config),
        release: None,
        heirs: None,
        waiting: Vec::new(),
    };
    shared.picture().bind = Some(work.bind);
    work.look_at_own_addresses();
    work.remember(&snapshot);
    work.publish(Census::default(), None);
    if let Some(node) = work.start(plan.config) {
        work.fly(&node);
        work.end(&node);
    }
    work.set_phase(Phase::Released);
}

/// Where a node with these settings listens.
fn bind(config: &Config) -> SocketAddr {
    let text = config.get("bind").unwrap_or_default();
    text.parse().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
}

impl Work<'_> {
    fn now(&self) -> Time {
        Time::from_nanos(self.began.elapsed().as_nanos() as u64 + 1)
    }

    /// Where this process listens, if that has changed: addresses come and go.
    fn look_at_own_addresses(&mut self) {
        let now = Instant::now();
        if let Some(addrs) = self.own.as_mut().and_then(|own| own.look(now)) {
            for crew in &mut self.crews {
                crew.pool.rules.own.clone_from(&addrs);
            }
        }
    }

    fn remember(&mut self, snapshot: &Snapshot) {
        let now = self.now();
        for (pool, order) in &snapshot.servers {
            let of_pool = |it: &&mut Crew| it.pool.key() == **pool && it.pool.takes(order);
            if let Some(crew) = self.crews.iter_mut().find(of_pool) {
                crew.balance.remember(now, order.slot, order);
            }
        }
        for crew in &mut self.crews {
            crew.balance.freeze(now, snapshot.frozen);
        }
    }

    /// Starts the node, however long the port is taken. `None` if it was released before.
    fn start(&mut self, mut config: Config) -> Option<Node> {
        self.add_peers(&mut config);
        let mut claim = None;
        loop {
            self.listen();
            if self.release.is_some() {
                return None;
            }
            if self.stored.is_none() {
                self.save(); // a freeze
            }
            let error = match Node::start(&config) {
                Ok(node) => {
                    self.set_phase(Phase::Running);
                    return Some(node);
                }
                Err(error) => error,
            };
            let pause = match error.status {
                Status::Address => {
                    // Whoever has the port may be our former life, which gives it to its heir.
                    claim = claim.or_else(|| handover::claim(self.bind));
                    BIND
                }
                _ => START,
            };
            self.set_phase(Phase::Starting(Some(error.message)));
            self.pause(pause, None);
        }
    }

    /// Who was a member before is a seed, too: those of the settings may all be gone.
    fn add_peers(&self, config: &mut Config) {
        let seeds = config.get("seeds").unwrap_or_default();
        let seeds = (!seeds.is_empty()).then_some(seeds);
        let peers = self.peers.iter().map(ToString::to_string);
        let all: Vec<String> = seeds.into_iter().chain(peers).collect();
        // They were written by this program; one that is no seed is no reason not to start.
        let _ = config.set("seeds", &all.join(","));
    }

    /// Is a member until it is released or broken.
    fn fly(&mut self, node: &Node) {
        let of_members = EventKind::ALL.into_iter().filter(|it| it.is_of_member());
        let kinds: Vec<EventKind> = of_members.collect();
        let events = match node.subscribe(1024, &kinds) {
            Ok(events) => events,
            Err(error) => return self.give_up(error.message),
        };
        while self.release.is_none() {
            self.look(node);
            if self.heirs.is_none() {
                self.heirs = Heirs::listen(self.bind); // once our former life has let it go
            }
            if node.state() == NodeState::Broken {
                let why = node.health().err().map(|error| error.message);
                return self.give_up(why.unwrap_or_default());
            }
            let now = self.now();
            let due = self
                .crews
                .iter()
                .filter_map(|it| it.balance.next_timeout(now));
            let pause = due.min().map_or(BEAT, |at| at.since(now).min(BEAT));
            self.pause(pause, Some(&events));
            // Only that something happened counts: the members are looked at afresh.
            let _ = events.drain(usize::MAX);
            self.listen();
            self.hint(node);
        }
    }

    /// HAProxy's evidence has these members probed at once, not when it is their turn. The verdict
    /// comes as every other one; who is asked about too often, or is failed already, needs none.
    fn hint(&mut self, node: &Node) {
        for name in self.accused.drain(..) {
            let _ = node.begin_hint(&name);
        }
    }

    /// Takes in how things are, and publishes what follows.
    fn look(&mut self, node: &Node) {
        self.look_at_own_addresses();
        let version = node.members_version(); // before the members: they are as new or newer
        let members = node.members();
        // Asked after the members: it has to be as new as they are.
        let health = node.health().ok();
        let cut_off = |it: &sprat::swim::Health| it.isolated || it.score == it.score_max;
        let (now, own) = (self.now(), node.name());
        let others = || members.iter().filter(|it| *it.name != *own);
        let count = |state: MemberState| others().filter(|it| it.state == state).count();
        let alive = count(MemberState::Alive);
        let there = others().filter(|it| is_present(it)).count();
        self.isolation.count_on(there + count(MemberState::Failed));
        let isolated = health.as_ref().is_some_and(cut_off);
        let isolated = self.isolation.look(isolated, there, alive);
        for Crew { pool, balance } in &mut self.crews {
            let candidates: Vec<_> = others().filter_map(|it| pool.rules.candidate(it)).collect();
            balance.set_isolated(now, isolated);
            balance.observe(now, &candidates);
        }
        // Alone at the start nobody has been heard yet: those of an earlier life may be there.
        self.has_heard |= members.len() > 1;
        if !isolated && self.has_heard {
            let present = others().filter(|it| is_present(it)).map(|it| it.addr);
            self.peers = present.take(PEERS).collect();
            self.addrs.clear();
        }
        let present = members.iter().filter(|it| is_present(it));
        self.addrs.extend(present.map(|it| it.addr.ip()));
        self.inform(version, &members, isolated);
        let census = Census::of(&members);
        let why = self.alone.look(node, members.len() == 1).map(str::to_owned);
        let told = health.as_ref().map(|it| match &why {
            Some(why) => format!("{}: {why}", it.summary),
            None => it.summary.to_owned(),
        });
        self.publish(census, told.as_deref());
        self.notice(why);
        self.save();
    }

    /// Who asks about members gets what was known before this node was cut off, if it is.
    fn inform(&mut self, version: u64, members: &Arc<Vec<Arc<Member>>>, isolated: bool) {
        let is_new = self.informed != Some(version);
        if !is_new || (isolated && self.informed.is_some()) {
            return;
        }
        self.informed = Some(version);
        let pools = self.crews.iter().map(|crew| &crew.pool.rules);
        let known = pools.map(|rules| Known::new(members.clone(), rules));
        let known = Arc::new(known.collect::<Vec<_>>());
        let before = std::mem::replace(&mut *self.shared.known(), known);
        drop(before); // after the lock: it may be the last one
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    fn publish(&mut self, census: Census, health: Option<&str>) {
        let mut changed = false;
        for (number, crew) in self.crews.iter_mut().enumerate() {
            for order in crew.balance.take_orders() {
                let mut orders = self.shared.orders();
                orders.retain(|(pool, it)| (*pool, it.slot) != (number, order.slot));
                orders.push_back((number, order));
                changed = true;
            }
        }
        let report = report::text(&self.crews, census, health);
        let mut picture = self.shared.picture();
        picture.report = report;
        drop(picture);
        if **self.shared.addrs() != self.addrs {
            let addrs = Arc::new(self.addrs.clone());
            let before = std::mem::replace(&mut *self.shared.addrs(), addrs);
            drop(before); // after the lock: it may be the last one
            changed = true;
        }
        if changed {
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        for done in self.waiting.drain(..) {
            let _ = done.send(()); // who waits no longer needs no answer
        }
        self.beat();
    }

    /// Tells of what has gone wrong since.
    fn notice(&mut self, alone: Option<String>) {
        let mut wrong = report::wrongs(&self.crews);
        wrong.extend(alone.map(|why| format!("alone in the cluster: {why}")));
        let news = self.notices.news(self.now(), wrong);
        let mut notices = self.shared.notices();
        let room = NOTICES.saturating_sub(notices.len());
        notices.extend(news.into_iter().take(room));
    }

    fn beat(&self) {
        let now = self.shared.elapsed();
        self.shared.heartbeat.store(now, Ordering::Relaxed);
    }

    fn set_phase(&self, phase: Phase) {
        self.shared.picture().phase = phase;
        self.beat();
    }

    fn save(&mut self) {
        let (frozen, servers) = (self.is_frozen_by_hand(), self.servers());
        if let Some(store) = &mut self.store
            && self.stored.is_none_or(|at| at.elapsed() >= SNAPSHOT)
        {
            self.stored = Some(Instant::now());
            let peers = self.peers.clone();
            // A full disk costs the memory of this life, not the life.
            let _ = store.write(&Snapshot {
                frozen,
                servers,
                peers,
            });
        }
    }

    /// All backends are frozen together.
    fn is_frozen_by_hand(&self) -> bool {
        self.crews
            .iter()
            .any(|crew| crew.balance.is_frozen_by_hand())
    }

    fn servers(&self) -> Vec<(Arc<str>, Order)> {
        let orders = self.crews.iter().flat_map(|crew| {
            let key: Arc<str> = crew.pool.key().into();
            let slots = crew.balance.picture().into_iter();
            slots.map(move |(order, _)| (key.clone(), order))
        });
        orders.filter(|(_, order)| order.name.is_some()).collect()
    }

    /// Does what HAProxy's threads have asked for.
    fn listen(&mut self) {
        let mut ignored = [0; 64];
        while matches!((&*self.woken).read(&mut ignored), Ok(read) if read > 0) {}
        let words = &self.shared.words;
        let said = std::mem::take(&mut *words.lock().unwrap_or_else(PoisonError::into_inner));
        let now = self.now();
        for word in said {
            match word {
                Word::Doubt(pool, slot, doubted) => {
                    let crew = self.crews.get_mut(pool);
                    let accused = crew.and_then(|it| it.balance.doubt(now, slot, doubted));
                    self.accused.extend(accused);
                }
                Word::Remember(pool, orders, done) => {
                    if let Some(crew) = self.crews.get_mut(pool) {
                        for order in orders.iter().filter(|it| crew.pool.takes(it)) {
                            crew.balance.remember(now, order.slot, order);
                        }
                    }
                    self.waiting.push(done);
                }
                Word::Taken(pool, names) => {
                    if let Some(crew) = self.crews.get_mut(pool) {
                        crew.pool.rules.taken = names;
                    }
                }
                Word::Freeze(frozen) => {
                    self.stored = None; // it is worth a write of its own
                    if !frozen {
                        // Somebody has looked, and says that all is well.
                        self.isolation.count_on(0);
                    }
                    for crew in &mut self.crews {
                        crew.balance.freeze(now, frozen);
                    }
                }
                Word::Release { patience } => self.release = Some(patience),
            }
        }
    }

    /// Waits for the end; the servers stay as they are.
    fn give_up(&mut self, why: String) {
        self.set_phase(Phase::Broken(why));
        while self.release.is_none() {
            self.pause(BEAT, None);
            self.listen();
        }
    }

    fn end(&mut self, node: &Node) {
        let until = Instant::now() + self.release.unwrap_or_default();
        while !self.has_heir() && Instant::now() < until {
            self.pause(BIND, None);
        }
        if !self.has_heir() {
            // Who does not hear of it in time sees a failure, which is no worse.
            let _ = node.leave(Some(LEAVE));
        }
        node.shutdown();
    }

    fn has_heir(&mut self) -> bool {
        self.heirs.as_mut().is_some_and(Heirs::found)
    }

    /// Sleeps until something is said or happens, or the time is up.
    fn pause(&self, time: Duration, events: Option<&Subscription>) {
        self.beat();
        let wanted = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let events = events.and_then(|events| events.fd().ok()).unwrap_or(-1);
        let mut fds = [wanted(self.woken.as_raw_fd()), wanted(events)];
        let millis = time.as_millis().max(1) as i32;
        // SAFETY: two places, and their number; the descriptors live as long as this call.
        unsafe { libc::poll(fds.as_mut_ptr(), 2, millis) };
    }
}
