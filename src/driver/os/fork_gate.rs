//! The gate that keeps forks and changes of descriptors apart.
//!
//! A fork copies the open descriptors of the process at one moment, and its memory at a later one.
//! If another thread opened or closed a descriptor of this library at that time, the child could
//! have a descriptor that its [`open_table`](super::open_table) does not list, and would keep it
//! forever. So a fork waits while a change is under way, and a change waits while a fork is under
//! way.
//!
//! Both waits are bounded, because the two could wait for each other. If the host program registers
//! fork handlers and then loads this library, the handlers of the host run while the gate is
//! closed, and may wait for a thread of the host that wants to change a descriptor in a call of
//! this library. And a file may be on a disk that does not answer. If a wait has reached its bound,
//! a child that is forked at just that moment may keep the descriptor.

use crate::driver::os::clock;
use crate::time::Time;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// The longest wait of a fork. A thread that opens a socket is done long before, even on a busy
/// machine.
const FORK_PATIENCE: Duration = Duration::from_secs(5);
/// The time from the beginning of a fork after which changes go on, even if the fork has not ended.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);
/// The time between two looks at the gate. A change takes microseconds, a fork milliseconds.
const PAUSE: Duration = Duration::from_micros(50);

/// The gate of this process.
static GATE: Gate = Gate::new();

/// Runs `change`, which opens or closes descriptors of this library, while no thread forks. A
/// change calls no code of the host program, does not wait for other threads, and contains no other
/// change.
pub(in crate::driver) fn between_forks<R>(change: impl FnOnce() -> R) -> R {
    let _turn = GATE.begin_change(CHANGE_PATIENCE);
    change()
}

/// Closes the gate before a fork, and waits for the changes that are under way.
pub(super) fn close() {
    GATE.close(FORK_PATIENCE);
}

/// Ends a fork in the parent. The gate opens if no other thread is forking.
pub(super) fn open_in_parent() {
    GATE.forks.fetch_sub(1, SeqCst);
}

/// Opens the gate in the child, in which no other thread changes descriptors or forks.
pub(super) fn open_in_child() {
    GATE.changes.store(0, SeqCst);
    GATE.forks.store(0, SeqCst);
}

struct Gate {
    /// The number of changes that are under way.
    changes: AtomicUsize,
    /// The number of forks that are under way.
    forks: AtomicUsize,
    /// The time at which the gate was closed, while a fork is under way.
    closed_at: AtomicU64,
}

impl Gate {
    const fn new() -> Gate {
        Gate {
            changes: AtomicUsize::new(0),
            forks: AtomicUsize::new(0),
            closed_at: AtomicU64::new(0),
        }
    }

    // Either a change sees a fork that has begun, or the fork sees the change: each of them
    // announces itself before it looks for the other.

    fn begin_change(&self, patience: Duration) -> Turn<'_> {
        loop {
            self.changes.fetch_add(1, SeqCst);
            let closed_at = || Time::from_nanos(self.closed_at.load(SeqCst));
            if self.forks.load(SeqCst) == 0 || clock::now().since(closed_at()) >= patience {
                return Turn(self);
            }
            self.changes.fetch_sub(1, SeqCst);
            std::thread::sleep(PAUSE);
        }
    }

    fn close(&self, patience: Duration) {
        let now = clock::now();
        if self.forks.fetch_add(1, SeqCst) == 0 {
            self.closed_at.store(now.as_nanos(), SeqCst);
        }
        while self.changes.load(SeqCst) > 0 && clock::now().since(now) < patience {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A change that is under way until this value is dropped.
struct Turn<'a>(&'a Gate);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // In a child that a signal handler forked during the change, the number is 0 already.
        let less = |changes: usize| changes.checked_sub(1);
        let _ = self.0.changes.fetch_update(SeqCst, SeqCst, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    /// A wait that ends only because the other side does.
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_fork_waits_for_a_change_but_not_for_ever() {
        let gate = Gate::new();
        let begun = clock::now();
        let change = gate.begin_change(SHORT);
        gate.close(SHORT);
        assert!(clock::now().since(begun) >= SHORT);
        std::thread::scope(|scope| {
            let fork = scope.spawn(|| gate.close(LONG));
            drop(change);
            fork.join().unwrap();
        });
        assert!(clock::now().since(begun) < LONG);
    }

    #[test]
    fn a_change_waits_for_a_fork_but_not_for_ever() {
        let gate = Gate::new();
        let begun = clock::now();
        gate.close(SHORT);
        drop(gate.begin_change(SHORT));
        assert!(clock::now().since(begun) >= SHORT);
        std::thread::scope(|scope| {
            let change = scope.spawn(|| drop(gate.begin_change(LONG)));
            gate.forks.fetch_sub(1, SeqCst);
            change.join().unwrap();
        });
        assert!(clock::now().since(begun) < LONG);
        assert_eq!(gate.changes.load(SeqCst), 0);
    }
}
