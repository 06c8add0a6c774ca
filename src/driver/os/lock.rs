//! Locks and condition variables.
//!
//! These are the locks of std, not of parking_lot: parking_lot keeps the waiting threads of all
//! locks of a process in one shared table, and a fork at the wrong moment leaves that table locked
//! forever in the child. A lock of std has no state outside itself, and allocates nothing on the
//! threads of the application.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks a mutex, even if a thread panicked while it held the lock. The panic is reported
/// elsewhere, and the data behind a mutex of this library is consistent after each single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done` holds or the deadline has passed, and returns whether `done` holds. `None`
/// waits without limit.
pub(crate) fn wait_until<'a, T>(
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

/// Waits without limit until `done` holds.
pub(crate) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    done: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    wait_until(condition, guard, None, done).0
}

/// The moment at which `timeout` will have passed. It is `None`, which means no limit, if there is
/// no timeout or if the timeout is too long for the clock.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_too_long_for_the_clock_waits_without_limit() {
        assert_eq!(deadline(Some(Duration::MAX)), None);
    }
}
