//! Signals belong to the application: the threads of this library handle none.
//!
//! These threads block all signals except SIGPROF and those that a fault raises on the thread
//! itself, so that profilers and crash handlers of the application keep working.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

const UNBLOCKED: [Signal; 8] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
    Signal::SIGPROF,
];

/// Blocks all signals but [`UNBLOCKED`] on this thread, and returns the previous mask. `None`
/// cannot happen: the arguments of the call are valid, and nothing else makes it fail.
fn block() -> Option<SigSet> {
    let mut mask = SigSet::all();
    for signal in UNBLOCKED {
        mask.remove(signal);
    }
    mask.thread_swap_mask(SigmaskHow::SIG_SETMASK).ok()
}

/// Blocks the signals for the rest of this thread's life.
pub(in crate::driver) fn block_here() {
    block();
}

/// Blocks the signals on the current thread until this value is dropped. Threads that the current
/// thread creates until then start with the signals blocked.
pub(in crate::driver) struct Blocked(Option<SigSet>);

impl Blocked {
    /// Blocks the signals on this thread.
    pub fn new() -> Blocked {
        Blocked(block())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(previous) = &self.0 {
            let _ = previous.thread_set_mask(); // the system returned it, so it is valid
        }
    }
}

#[cfg(test)]
pub(in crate::driver) fn is_blocked(signal: Signal) -> bool {
    SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_blocked_until_the_guard_is_dropped_but_those_of_faults_never_are() {
        assert!(!is_blocked(Signal::SIGTERM));
        let blocked = Blocked::new();
        assert!(is_blocked(Signal::SIGTERM) && is_blocked(Signal::SIGUSR1));
        assert!(UNBLOCKED.iter().all(|signal| !is_blocked(*signal)));
        drop(blocked);
        assert!(!is_blocked(Signal::SIGTERM));
    }
}
