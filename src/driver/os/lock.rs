//! Small locks, and one answer handed from thread to thread.
//!
//! These are std's, not parking_lot's: parking_lot keeps waiting threads in a table that all locks
//! of the process share, and a fork can freeze that table. std's have no state beside themselves,
//! and allocate nothing on the threads of the application.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks. A panic under the lock is reported elsewhere; what is behind it is whole at every step.
pub(in crate::driver) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done` or the deadline. `None` waits without limit. True if done.
pub(in crate::driver) fn wait_until<'a, T>(
    condition: &Condvar,
    mut guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
    mut done: impl FnMut(&mut T) -> bool,
) -> (MutexGuard<'a, T>, bool) {
    loop {
        if done(&mut guard) {
            return (guard, true);
        }
        guard = match deadline {
            None => condition
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return (guard, false);
                }
                let woken = condition.wait_timeout(guard, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// The moment after `timeout`; `None` for one too far away to matter.
pub(in crate::driver) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

enum Slot<T> {
    Empty,
    Full(T),
    Dropped,
}

type Shared<T> = Arc<(Mutex<Slot<T>>, Condvar)>;

/// The side that answers once. Dropped without an answer it wakes the other side too.
pub(in crate::driver) struct Reply<T>(Shared<T>);

/// The side that waits.
pub(in crate::driver) struct Answer<T>(Shared<T>);

/// What waiting for an answer gave.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum Waited<T> {
    /// The answer.
    Answered(T),
    /// The time is up.
    TimedOut,
    /// There will be no answer.
    Dropped,
}

/// A slot for one answer.
pub(in crate::driver) fn oneshot<T>() -> (Reply<T>, Answer<T>) {
    let shared: Shared<T> = Arc::new((Mutex::new(Slot::Empty), Condvar::new()));
    (Reply(shared.clone()), Answer(shared))
}

impl<T> Reply<T> {
    pub fn send(self, answer: T) {
        *lock(&self.0.0) = Slot::Full(answer);
        // The drop of `self` wakes the other side.
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0.0);
        if matches!(*slot, Slot::Empty) {
            *slot = Slot::Dropped;
        }
        self.0.1.notify_all();
    }
}

impl<T> Answer<T> {
    pub fn wait(self, timeout: Option<Duration>) -> Waited<T> {
        let (mutex, condition) = &*self.0;
        let there = |slot: &mut Slot<T>| !matches!(slot, Slot::Empty);
        let (mut slot, _) = wait_until(condition, lock(mutex), deadline(timeout), there);
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Full(answer) => Waited::Answered(answer),
            Slot::Empty => Waited::TimedOut,
            Slot::Dropped => Waited::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_arrives_whether_it_comes_before_or_after_the_wait() {
        let (reply, answer) = oneshot();
        reply.send(7);
        assert_eq!(answer.wait(None), Waited::Answered(7));
        let (reply, answer) = oneshot();
        let sender = std::thread::spawn(move || reply.send(8));
        assert_eq!(answer.wait(None), Waited::Answered(8));
        sender.join().unwrap();
    }

    #[test]
    fn no_answer_ends_by_time_or_when_the_other_side_is_gone() {
        let (reply, answer) = oneshot::<u8>();
        assert_eq!(answer.wait(Some(Duration::ZERO)), Waited::TimedOut);
        drop(reply);
        let (reply, answer) = oneshot::<u8>();
        drop(reply);
        assert_eq!(answer.wait(None), Waited::Dropped);
    }

    #[test]
    fn a_timeout_too_long_for_the_clock_waits_without_limit() {
        assert_eq!(deadline(Some(Duration::MAX)), None);
    }
}
