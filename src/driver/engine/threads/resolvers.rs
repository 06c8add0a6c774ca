//! The threads that resolve host names, which is the only work of a node that can block.
//!
//! A thread is created when a name has to wait because all threads are busy, so that a silent name
//! server does not hold up other names. There are at most [`THREADS`] threads, and each one ends
//! when no name has come for a while.
//!
//! If the host program has prepared threads, or creates the threads of a node itself, it may be
//! unable to create threads later. The node then gets its only resolver thread when it starts.

use crate::driver::engine::command::Command;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::net::resolve::resolve;
use crate::driver::os::lock::lock;
use crate::driver::os::prepared;
use crate::driver::os::worker::{STACK, Spawn, Worker};
use crate::swim::LookupId;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The maximum number of threads of one node that resolve names. Each may wait half a minute for a
/// name whose servers do not answer, and a join may list many such names before a good one.
const THREADS: usize = 16;
/// The time without a name after which a thread ends.
const IDLE: Duration = Duration::from_secs(10);

/// A host name to resolve.
pub(in crate::driver) struct Lookup {
    pub id: LookupId,
    pub host: String,
}

/// The names that wait, and the threads that resolve them.
pub(in crate::driver) struct Resolvers {
    /// Returns the addresses of a host name. The call may block.
    resolve: fn(&str) -> Vec<IpAddr>,
    /// The time without a name after which a thread ends.
    idle_time: Duration,
    waiting: Receiver<Lookup>,
    state: Mutex<State>,
}

struct State {
    /// `None` after the end of the engine.
    queue: Option<Sender<Lookup>>,
    /// The number of names that wait or are being resolved.
    names: usize,
    /// The number of threads that wait for names or resolve them.
    threads: usize,
    /// True if the only thread is the one that was created at the start and lives as long as the
    /// engine.
    fixed: bool,
    /// The threads, including some that have ended.
    workers: Vec<Arc<Worker>>,
}

impl Default for Resolvers {
    /// A queue without threads.
    fn default() -> Resolvers {
        let (queue, waiting) = unbounded();
        let state = State {
            queue: Some(queue),
            names: 0,
            threads: 0,
            fixed: false,
            workers: Vec::new(),
        };
        Resolvers {
            resolve,
            idle_time: IDLE,
            waiting,
            state: Mutex::new(state),
        }
    }
}

impl Resolvers {
    /// Starts the only thread now if the host program may be unable to create one later.
    ///
    /// # Errors
    /// The host program or the system refuses the thread.
    pub fn start(
        self: &Arc<Resolvers>,
        handle: &Arc<EngineHandle>,
        spawn: Option<&dyn Spawn>,
    ) -> io::Result<()> {
        if spawn.is_none() && prepared::idle() == 0 {
            return Ok(());
        }
        let mut state = lock(&self.state);
        state.fixed = true;
        self.add_thread(&mut state, handle, spawn)
    }

    /// Queues a name, and creates a thread if all are busy. The addresses arrive as
    /// [`Command::Resolved`].
    ///
    /// # Errors
    /// The system refuses a thread and there is no other, or the engine has ended; the name is
    /// dropped.
    pub fn submit(
        self: &Arc<Resolvers>,
        handle: &Arc<EngineHandle>,
        lookup: Lookup,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        let Some(queue) = state.queue.clone() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        if state.names >= state.threads && state.threads < state.most_threads() {
            // If the thread is refused, an existing one resolves the name later.
            let added = self.add_thread(&mut state, handle, None);
            if state.threads == 0 {
                return added;
            }
        }
        let _ = queue.send(lookup); // cannot fail, because `self` holds a receiver
        state.names += 1;
        Ok(())
    }

    fn add_thread(
        self: &Arc<Resolvers>,
        state: &mut State,
        handle: &Arc<EngineHandle>,
        spawn: Option<&dyn Spawn>,
    ) -> io::Result<()> {
        state.workers.retain(|it| !it.has_finished());
        let (resolvers, fixed) = (self.clone(), state.fixed);
        let work = move |handle: &EngineHandle| resolvers.run(handle, fixed);
        let worker = handle.start_worker("sprat-resolver", STACK, spawn, work)?;
        state.workers.push(Arc::new(worker));
        state.threads += 1;
        Ok(())
    }

    /// Lets the threads end. A thread that is resolving a name ends when it is done with that name.
    pub fn end(&self) {
        lock(&self.state).queue = None;
    }

    /// Waits until all threads have ended or `patience` has passed.
    pub fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let workers = lock(&self.state).workers.clone();
        for worker in workers {
            worker.finish(Some(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Returns true if the caller runs on one of the threads.
    pub fn is_current(&self) -> bool {
        lock(&self.state).workers.iter().any(|it| it.is_current())
    }

    /// Resolves names until the engine ends or, unless the thread is the fixed one, until no name
    /// has come for a while.
    fn run(&self, handle: &EngineHandle, fixed: bool) {
        while let Some(Lookup { id, host }) = self.next(fixed) {
            if handle.lifecycle.is_ending() {
                break;
            }
            let addrs = (self.resolve)(&host);
            lock(&self.state).names -= 1;
            if !handle.commands.send(Command::Resolved { id, addrs }) {
                break;
            }
        }
    }

    /// Waits for the next name. Returns `None` if the calling thread is to end.
    fn next(&self, fixed: bool) -> Option<Lookup> {
        if fixed {
            return self.waiting.recv().ok();
        }
        if let Ok(lookup) = self.waiting.recv_timeout(self.idle_time) {
            return Some(lookup);
        }
        let mut state = lock(&self.state);
        // A name that was queued since the timeout may have been left for this thread.
        let late = self.waiting.try_recv().ok();
        if late.is_none() {
            state.threads -= 1;
        }
        late
    }
}

impl State {
    fn most_threads(&self) -> usize {
        if self.fixed { 1 } else { THREADS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::engine::command::CommandQueue;
    use crate::driver::events::queue::EventQueue;
    use crate::driver::events::subscriptions::Subscriptions;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;
    use std::sync::Barrier;

    const LONG: Duration = Duration::from_secs(60);

    struct Rig {
        handle: Arc<EngineHandle>,
        resolvers: Arc<Resolvers>,
    }

    fn rig(resolve: fn(&str) -> Vec<IpAddr>, idle_time: Duration) -> Rig {
        let events = EventQueue::new(16, Vec::new(), false).unwrap();
        let handle = EngineHandle::new(
            "a".to_owned(),
            "127.0.0.1:1".parse().unwrap(),
            CommandQueue::new().unwrap(),
            Subscriptions::new(events),
            Vec::new(),
        );
        let resolvers = Resolvers {
            resolve,
            idle_time,
            ..Resolvers::default()
        };
        Rig {
            handle: Arc::new(handle),
            resolvers: Arc::new(resolvers),
        }
    }

    impl Rig {
        fn submit(&self, id: u64) -> io::Result<()> {
            let (id, host) = (LookupId(id), format!("host-{id}"));
            self.resolvers.submit(&self.handle, Lookup { id, host })
        }

        fn threads(&self) -> usize {
            lock(&self.resolvers.state).threads
        }
    }

    /// Waits until `count` names are resolved.
    fn resolved(handle: &EngineHandle, count: usize) {
        let mut ids = BTreeSet::new();
        while ids.len() < count {
            for command in handle.commands.take().commands {
                let Command::Resolved { id, addrs } = command else {
                    panic!("the command does not come from a lookup");
                };
                assert_eq!(addrs, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
                assert!(ids.insert(id.0));
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn names_are_resolved_at_the_same_time() {
        static ALL: Barrier = Barrier::new(THREADS);
        fn together(_: &str) -> Vec<IpAddr> {
            ALL.wait();
            vec![Ipv4Addr::LOCALHOST.into()]
        }
        let rig = rig(together, LONG);
        for id in 0..2 * THREADS {
            rig.submit(id as u64).unwrap();
        }
        resolved(&rig.handle, 2 * THREADS);
        assert_eq!(rig.threads(), THREADS);
        rig.resolvers.end();
        rig.resolvers.finish(LONG);
        assert!(rig.submit(99).is_err(), "the engine has ended");
    }

    #[test]
    fn a_thread_without_names_ends_and_another_takes_its_place() {
        fn at_once(_: &str) -> Vec<IpAddr> {
            vec![Ipv4Addr::LOCALHOST.into()]
        }
        let rig = rig(at_once, Duration::from_millis(1));
        for id in 0..5 {
            rig.submit(id).unwrap();
            resolved(&rig.handle, 1);
            rig.resolvers.finish(LONG); // returns because the thread ends by itself
            assert_eq!(rig.threads(), 0);
        }
    }
}
