//! The thread between a node and HAProxy: it asks the node, keeps the balances, and leaves orders
//! where HAProxy's threads find them without ever waiting.
//!
//! ```text
//! node --events--> pilot --orders--> shared picture <--poll-- HAProxy
//!                    ^                                            |
//!                    +------------------ doubts, words -----------+
//! ```
//!
//! If the node or this thread is stuck or dead, no order comes any more, and HAProxy goes on with
//! what it has: nothing has to notice that for the servers to stay.

mod handover;
mod isolation;
mod join_diagnosis;
mod notices;
mod own_listeners;
mod report;
mod thread;

use crate::balance::{Limits, Order};
use crate::snapshot::{Snapshot, Store};
use sprat::Config;
use sprat::driver::PreparedThreads;
use sprat::service::spoe::candidate::Rules;
use sprat::service::spoe::questions::Known;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Threads of a running pilot: those of the node, and its own.
pub fn threads(config: &Config) -> usize {
    config.threads(false) + 1
}

/// A backend of HAProxy and who serves it.
#[derive(Clone, Debug)]
pub struct Pool {
    /// What it is called in reports.
    pub name: String,
    /// Which members serve it.
    pub rules: Rules,
    /// How many slots it has.
    pub slots: usize,
    /// How careful it is.
    pub limits: Limits,
}

impl Pool {
    /// What it is called across lives: configurations change, and numbers with them.
    pub fn key(&self) -> String {
        let (key, value) = &self.rules.tag;
        format!("{}:{key}={value}", self.name)
    }

    /// Whether what an earlier life knew of one of its slots may still be so.
    pub fn takes(&self, order: &Order) -> bool {
        let served = |addr: SocketAddr| self.rules.objection(addr).is_none();
        order.slot < self.slots && order.addr.is_some_and(served)
    }
}

/// What a pilot is started with.
pub struct Plan {
    /// Settings of the node.
    pub config: Config,
    /// The backends.
    pub pools: Vec<Pool>,
    /// This process is the load balancer: no server may be where it listens.
    pub inside: bool,
    /// What an earlier life knew.
    pub remembered: Snapshot,
    /// Where to remember what this one knows.
    pub store: Option<Store>,
}

/// Something for the pilot to do.
enum Word {
    /// HAProxy cannot reach the server in a slot of a pool, or can again.
    Doubt(usize, usize, bool),
    /// Take nobody away, or do so again.
    Freeze(bool),
    /// What an earlier life knew of a pool; who waits until that has led to orders.
    Remember(usize, Vec<Order>, Sender<()>),
    /// Names of servers of a pool that are not for members.
    Taken(usize, BTreeSet<String>),
    /// End: without a word if somebody waits for our place, else after a farewell.
    Release { patience: Duration },
}

/// What the pilot is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The node does not run yet, for this reason if one is known.
    Starting(Option<String>),
    /// The node is a member.
    #[default]
    Running,
    /// The port is free.
    Released,
    /// The node is broken, for this reason.
    Broken(String),
}

/// What HAProxy's threads see.
#[derive(Default)]
struct Picture {
    phase: Phase,
    report: String,
    /// Where the node listens, as its settings say.
    bind: Option<SocketAddr>,
}

/// What both sides share.
struct Shared {
    /// Changes with every order.
    generation: AtomicU64,
    /// When the pilot was last seen at work, in milliseconds since `began`.
    heartbeat: AtomicU64,
    began: Instant,
    picture: Mutex<Picture>,
    /// Those not taken yet, one for each slot at most. Held for one of them only.
    orders: Mutex<VecDeque<(usize, Order)>>,
    /// What each pool knows. Held for the exchange of a pointer only: requests wait for it.
    known: Mutex<Arc<Vec<Known>>>,
    /// Where members listen. Held for the exchange of a pointer only.
    addrs: Mutex<Arc<BTreeSet<IpAddr>>>,
    /// Sentences that somebody should read. Held for one of them only.
    notices: Mutex<VecDeque<String>>,
    words: Mutex<Vec<Word>>,
    wake: UnixStream,
}

impl Shared {
    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<(usize, Order)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Arc<Vec<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addrs(&self) -> MutexGuard<'_, Arc<BTreeSet<IpAddr>>> {
        self.addrs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notices(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// The side of HAProxy. No call waits for more than a pointer or an order.
pub struct Pilot {
    shared: Arc<Shared>,
}

impl Pilot {
    /// Starts the thread, which starts the node.
    ///
    /// # Errors
    /// No descriptor, or no thread.
    pub fn start(plan: Plan) -> io::Result<Pilot> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            heartbeat: AtomicU64::new(0),
            began: Instant::now(),
            picture: Mutex::new(Picture {
                phase: Phase::Starting(None),
                ..Picture::default()
            }),
            orders: Mutex::default(),
            known: Mutex::default(),
            addrs: Mutex::default(),
            notices: Mutex::default(),
            words: Mutex::default(),
            wake,
        });
        let for_thread = shared.clone();
        PreparedThreads::run("sprat-pilot", move || {
            thread::run(&for_thread, plan, &woken);
        })?;
        Ok(Pilot { shared })
    }

    /// Changes when there is something to take.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// The next order, with the number of its pool.
    pub fn take_order(&self) -> Option<(usize, Order)> {
        self.shared.orders().pop_front()
    }

    /// The next sentence that somebody should read: each is told once, as long as it is so.
    pub fn take_notice(&self) -> Option<String> {
        self.shared.notices().pop_front()
    }

    /// A look at the picture, unless the pilot is just changing it.
    fn look<R>(&self, look: impl FnOnce(&mut Picture) -> R) -> Option<R> {
        match self.shared.picture.try_lock() {
            Ok(mut picture) => Some(look(&mut picture)),
            Err(TryLockError::Poisoned(broken)) => Some(look(&mut broken.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How long ago the pilot was last seen at work.
    pub fn silent_for(&self) -> Duration {
        let beat = self.shared.heartbeat.load(Ordering::Relaxed);
        Duration::from_millis(self.shared.elapsed().saturating_sub(beat))
    }

    /// What it is doing.
    pub fn phase(&self) -> Option<Phase> {
        self.look(|picture| picture.phase.clone())
    }

    /// Members, slots and what holds them, for a person.
    pub fn report(&self) -> String {
        let silent = self.silent_for();
        let report = self.look(|picture| picture.report.clone());
        let mut report = report.unwrap_or_else(|| "busy, ask again\n".to_owned());
        if silent > Duration::from_secs(5) {
            let text = format!("the node has not answered for {} s\n", silent.as_secs());
            report.insert_str(0, &text);
        }
        report
    }

    /// The members, as each pool sees them; nothing before the node runs.
    pub fn known(&self) -> Arc<Vec<Known>> {
        self.shared.known().clone()
    }

    /// Addresses of members. While this node may be cut off nobody is taken from them, and at the
    /// start they are those of an earlier life.
    pub fn addrs(&self) -> Arc<BTreeSet<IpAddr>> {
        self.shared.addrs().clone()
    }

    /// HAProxy cannot reach the server in this slot of this pool, or can again.
    pub fn doubt(&self, pool: usize, slot: usize, doubted: bool) {
        self.say(Word::Doubt(pool, slot, doubted));
    }

    /// The name of an abstract socket that lives as long as the node, for `abns@` of HAProxy: who
    /// is connected to it keeps a stopping HAProxy alive.
    pub fn socket(&self) -> Option<String> {
        self.look(|picture| picture.bind.map(handover::name))
            .flatten()
    }

    /// Takes nobody away until it is thawed.
    pub fn freeze(&self, frozen: bool) {
        self.say(Word::Freeze(frozen));
    }

    /// Takes up what an earlier life knew of a pool, if nobody has been heard who knows better. The
    /// answer is sent when the orders that follow from it are there; not before the node runs.
    pub fn remember(&self, pool: usize, orders: Vec<Order>) -> Receiver<()> {
        let (done, waits) = std::sync::mpsc::channel();
        self.say(Word::Remember(pool, orders, done));
        waits
    }

    /// Names of servers of a pool that are not for members: who is called so is no server.
    pub fn taken(&self, pool: usize, names: BTreeSet<String>) {
        self.say(Word::Taken(pool, names));
    }

    /// Ends the node. Who has an heir on this host goes without a word; else, after waiting for
    /// one for so long, it tells the cluster. [`Phase::Released`] tells the end.
    pub fn release(&self, patience: Duration) {
        self.say(Word::Release { patience });
    }

    fn say(&self, word: Word) {
        let mut words = self
            .shared
            .words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        words.push(word);
        drop(words);
        // A full pipe has woken it already.
        let _ = (&self.shared.wake).write(&[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_come_all_at_once_are_all_answered() {
        let mut config = Config::default();
        for (key, value) in [
            ("bind", "127.0.0.1:0"),
            ("name", "asked"),
            ("profile", "local"),
        ] {
            config.set(key, value).unwrap();
        }
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            loopback: true,
            ..Rules::default()
        };
        let pool = Pool {
            name: "nodes".to_owned(),
            rules,
            slots: 4,
            limits: Limits::default(),
        };
        let plan = Plan {
            config,
            pools: vec![pool],
            inside: true,
            remembered: Snapshot::default(),
            store: None,
        };
        let pilot = Pilot::start(plan).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let size = || pilot.known().first().map(Known::size);
        while size() != Some(1) {
            assert!(Instant::now() < until, "the node does not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200_000 {
                        assert_eq!(size(), Some(1));
                    }
                });
            }
        });
        assert!(pilot.known().get(1).is_none());
        pilot.release(Duration::ZERO);
    }
}
