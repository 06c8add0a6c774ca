//! The state that HAProxy's threads and the controller's thread share.
//!
//! HAProxy's threads serve requests and must not wait. Each lock is therefore held only for a short
//! step in memory, such as exchanging a pointer or moving entries of a queue.

use super::notices::Notice;
use super::report::Report;
use super::user_events::{UserEvent, UserEventCounts, UserEvents};
use crate::balance::{AdminState, Assignment, Reach, Roster};
use sprat::Event;
use sprat::driver::above_standard_streams;
use sprat::service::servers::index::MemberIndex;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// The maximum number of notices that wait for a reader.
const NOTICES: usize = 512;

/// A request to the controller. Backends and slots are numbered from 0.
#[derive(Clone)]
pub(super) enum Command {
    /// Set whether HAProxy sends requests to the server of a member in a slot.
    SetReach {
        backend: usize,
        slot: usize,
        name: Arc<str>,
        reach: Reach,
    },
    /// Freeze removals (true), or thaw them (false).
    SetFrozen(bool),
    /// Order a state for a member of a backend (`None`: withdraw the order).
    SetOrder {
        backend: usize,
        name: Arc<str>,
        state: Option<AdminState>,
    },
    /// Set the text that tells how the server of a member in HAProxy differs from its assignment.
    /// An empty text means that it does not differ.
    SetDrift {
        backend: usize,
        slot: usize,
        name: Arc<str>,
        text: String,
    },
    /// Restore assignments of a backend, and signal when the changes that follow are published.
    Restore {
        backend: usize,
        assignments: Vec<Assignment>,
        done: Sender<()>,
    },
    /// Set the names of the backend's servers that are reserved, that is, not available to
    /// members.
    ReserveNames {
        backend: usize,
        names: BTreeSet<String>,
    },
    /// End the node, after waiting at most this long for a successor.
    Release { patience: Duration },
}

impl Command {
    /// Returns true if the snapshot keeps the result of the command.
    pub fn is_saved(&self) -> bool {
        matches!(self, Command::SetOrder { .. } | Command::SetFrozen(_))
    }
}

/// The phase in the life of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePhase {
    /// The node does not run yet. The text is the reason why the last attempt failed, if any did.
    Starting(Option<String>),
    /// The node runs, but may be alone.
    #[default]
    Running,
    /// The node has ended and no longer has its port, or it never ran.
    Released,
    /// The node is broken, for this reason.
    Broken(String),
}

/// The phase of the node, and the last report.
struct Overview {
    phase: NodePhase,
    report: Arc<Report>,
}

/// How far the commands that the snapshot keeps have come.
#[derive(Default)]
struct Saves {
    /// The number of such commands that were sent, were taken to be run, and were in the snapshot
    /// when it was last written.
    sent: u64,
    taken: u64,
    written: u64,
    /// The reason why the last write has failed.
    failure: Option<String>,
}

/// The shared state. See the top of this file.
pub(super) struct Shared {
    /// The address at which the node listens, from its settings.
    pub bind: SocketAddr,
    /// A number that increases with every change of assignments, member indexes or addresses.
    generation: AtomicU64,
    /// The time at which the controller's thread was last active, in milliseconds since `began`.
    heartbeat: AtomicU64,
    began: Instant,
    overview: Mutex<Overview>,
    /// Changes that HAProxy has not taken yet: the number of the backend and the assignment, at
    /// most one for each slot.
    changes: Mutex<VecDeque<(usize, Assignment)>>,
    /// An index of the members for each backend, by that backend's rules.
    member_indexes: Mutex<Arc<Vec<MemberIndex>>>,
    /// The addresses at which members listen.
    addrs: Mutex<Arc<BTreeSet<IpAddr>>>,
    /// The members of each backend, with their slots.
    rosters: Mutex<Arc<Vec<Roster>>>,
    notices: Mutex<VecDeque<Notice>>,
    user_events: Mutex<UserEvents>,
    /// The commands that have not been run yet; `None` once no more are run.
    commands: Mutex<Option<Vec<Command>>>,
    saves: Mutex<Saves>,
    /// Wakes the controller's thread: `send` writes a byte to `wake`, and the thread waits until
    /// `woken` is readable.
    wake: UnixStream,
    woken: UnixStream,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Creates the shared state of a node that listens at `bind`.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new(bind: SocketAddr) -> io::Result<Shared> {
        let (wake, woken) = UnixStream::pair()?;
        let (wake, woken) = (
            above_standard_streams(wake)?,
            above_standard_streams(woken)?,
        );
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Shared {
            bind,
            generation: AtomicU64::new(0),
            heartbeat: AtomicU64::new(0),
            began: Instant::now(),
            overview: Mutex::new(Overview {
                phase: NodePhase::Starting(None),
                report: Arc::default(),
            }),
            changes: Mutex::default(),
            member_indexes: Mutex::default(),
            addrs: Mutex::default(),
            rosters: Mutex::default(),
            notices: Mutex::default(),
            user_events: Mutex::default(),
            commands: Mutex::new(Some(Vec::new())),
            saves: Mutex::default(),
            wake,
            woken,
        })
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Notes that the controller's thread is active.
    pub fn beat(&self) {
        let now = self.began.elapsed().as_millis() as u64;
        self.heartbeat.store(now, Ordering::Relaxed);
    }

    /// Returns how long ago the controller's thread was last active.
    pub fn silent_for(&self) -> Duration {
        let now = self.began.elapsed().as_millis() as u64;
        let beat = self.heartbeat.load(Ordering::Relaxed);
        Duration::from_millis(now.saturating_sub(beat))
    }

    /// Reads the overview; `None` if another thread holds its lock at this moment.
    fn read_overview<R>(&self, read: impl FnOnce(&Overview) -> R) -> Option<R> {
        match self.overview.try_lock() {
            Ok(overview) => Some(read(&overview)),
            Err(TryLockError::Poisoned(broken)) => Some(read(&broken.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub fn phase(&self) -> Option<NodePhase> {
        self.read_overview(|it| it.phase.clone())
    }

    pub fn set_phase(&self, phase: NodePhase) {
        lock(&self.overview).phase = phase;
        self.beat();
    }

    pub fn report(&self) -> Option<Arc<Report>> {
        self.read_overview(|it| it.report.clone())
    }

    pub fn set_report(&self, report: Report) {
        let before = std::mem::replace(&mut lock(&self.overview).report, Arc::new(report));
        drop(before); // after the lock is released, because freeing the old value may take long
    }

    pub fn rosters(&self) -> Arc<Vec<Roster>> {
        lock(&self.rosters).clone()
    }

    pub fn set_rosters(&self, rosters: Vec<Roster>) {
        if **lock(&self.rosters) == rosters {
            return;
        }
        let before = std::mem::replace(&mut *lock(&self.rosters), Arc::new(rosters));
        drop(before); // after the lock is released, because freeing the old value may take long
    }

    pub fn next_change(&self) -> Option<(usize, Assignment)> {
        lock(&self.changes).pop_front()
    }

    /// Queues changes. A change of a slot replaces an older one that was not taken yet. In the
    /// queue, changes that admit more requests come first: a removal may rely on them.
    pub fn push_assignments(&self, new: Vec<(usize, Assignment)>) {
        if new.is_empty() {
            return;
        }
        for (backend, assignment) in new {
            let mut changes = lock(&self.changes);
            changes.retain(|(of, it)| (*of, it.slot) != (backend, assignment.slot));
            let at = changes.partition_point(|(_, it)| it.state <= assignment.state);
            changes.insert(at, (backend, assignment));
        }
        self.next_generation();
    }

    pub fn member_indexes(&self) -> Arc<Vec<MemberIndex>> {
        lock(&self.member_indexes).clone()
    }

    pub fn set_member_indexes(&self, indexes: Vec<MemberIndex>) {
        let before = std::mem::replace(&mut *lock(&self.member_indexes), Arc::new(indexes));
        drop(before); // after the lock is released, because freeing the old value may take long
        self.next_generation();
    }

    pub fn addrs(&self) -> Arc<BTreeSet<IpAddr>> {
        lock(&self.addrs).clone()
    }

    pub fn set_addrs(&self, addrs: &BTreeSet<IpAddr>) {
        if **lock(&self.addrs) == *addrs {
            return;
        }
        let before = std::mem::replace(&mut *lock(&self.addrs), Arc::new(addrs.clone()));
        drop(before); // after the lock is released, because freeing the old value may take long
        self.next_generation();
    }

    pub fn next_notice(&self) -> Option<Notice> {
        lock(&self.notices).pop_front()
    }

    /// Queues notices, and drops those for which there is no room.
    pub fn push_notices(&self, new: Vec<Notice>) {
        let mut notices = lock(&self.notices);
        let room = NOTICES.saturating_sub(notices.len());
        notices.extend(new.into_iter().take(room));
    }

    pub fn next_user_event(&self) -> Option<UserEvent> {
        lock(&self.user_events).pop()
    }

    /// Queues user events. Returns true if some were dropped since the queue was last empty.
    pub fn push_user_events(&self, new: Vec<Event>) -> bool {
        let mut events = lock(&self.user_events);
        new.into_iter().for_each(|it| events.push(it));
        events.is_overflowing()
    }

    /// Returns the counts of user events; `None` until the script asks for one.
    pub fn user_event_counts(&self) -> Option<UserEventCounts> {
        lock(&self.user_events).counts()
    }

    /// Queues a command and wakes the controller's thread. Returns false if the controller is
    /// ending and runs no more commands.
    pub fn send(&self, command: Command) -> bool {
        match &mut *lock(&self.commands) {
            Some(commands) => {
                lock(&self.saves).sent += u64::from(command.is_saved());
                commands.push(command);
            }
            None => return false,
        }
        // If the write fails because the socket is full, the thread wakes up anyway.
        let _ = (&self.wake).write(&[1]);
        true
    }

    /// Takes all queued commands.
    pub fn take_commands(&self) -> Vec<Command> {
        let mut ignored = [0; 64];
        while matches!((&self.woken).read(&mut ignored), Ok(read) if read > 0) {}
        let mut commands = lock(&self.commands);
        self.note_taken();
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note_taken(&self) {
        let mut saves = lock(&self.saves);
        saves.taken = saves.sent;
    }

    /// Notes that the snapshot was written, or that this has failed for the reason `failure`.
    pub fn set_written(&self, failure: Option<String>) {
        let mut saves = lock(&self.saves);
        saves.written = saves.taken;
        saves.failure = failure;
    }

    /// Returns whether the snapshot has all orders, freezes and thaws that were sent, or else the
    /// reason why it could not be written; `None` if that was not tried yet.
    pub fn saved(&self) -> Option<Result<(), String>> {
        let saves = lock(&self.saves);
        let is_tried = saves.written == saves.sent;
        is_tried.then(|| saves.failure.clone().map_or(Ok(()), Err))
    }

    /// Takes all queued commands, and refuses those that are sent later.
    pub fn take_last_commands(&self) -> Vec<Command> {
        let mut commands = lock(&self.commands);
        self.note_taken();
        commands.take().unwrap_or_default()
    }

    /// Sleeps until a command is sent, one of the descriptors `others` is readable, or `time` has
    /// passed. A descriptor that is -1 is ignored.
    pub fn wait(&self, time: Duration, others: [RawFd; 2]) {
        let readable = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let [first, second] = others.map(readable);
        let mut fds = [readable(self.woken.as_raw_fd()), first, second];
        let millis = time.as_millis().max(1) as i32;
        // SAFETY: `fds` is a live array of three entries, and the length passed is 3.
        unsafe { libc::poll(fds.as_mut_ptr(), 3, millis) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AdminState::{Drain, Maint, Ready};

    #[test]
    fn a_change_that_replaces_another_is_not_overtaken_by_a_removal() {
        let shared = Shared::new(([127, 0, 0, 1], 0).into()).unwrap();
        let change = |slot, weight, state| {
            let assignment = Assignment {
                weight,
                state,
                ..Assignment::free(slot)
            };
            (0, assignment)
        };
        let first = [
            (1, 100, Ready),
            (2, 100, Ready),
            (0, 100, Drain),
            (3, 100, Maint),
        ];
        shared.push_assignments(
            first
                .map(|(slot, weight, it)| change(slot, weight, it))
                .into(),
        );
        shared.push_assignments(vec![change(1, 50, Ready), change(3, 50, Drain)]);
        let taken = std::iter::from_fn(|| shared.next_change());
        let taken: Vec<_> = taken
            .map(|(_, it)| (it.slot, it.weight, it.state))
            .collect();
        let wanted = [
            (2, 100, Ready),
            (1, 50, Ready),
            (0, 100, Drain),
            (3, 50, Drain),
        ];
        assert_eq!(taken, wanted);
    }
}
