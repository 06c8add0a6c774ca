//! Signals belong to the application: the threads of this library take none.
//!
//! Only those stay open that a thread raises itself by a fault, so that crash handlers and
//! profilers of the application go on working.

use std::mem::MaybeUninit;

const OPEN: [i32; 8] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
    libc::SIGPROF,
];

/// Blocks all signals on this thread but those of its own faults, and returns the former mask.
fn block() -> libc::sigset_t {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut former = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are written by these calls before they are read; the arguments are valid
    // and so none of them can fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for signal in OPEN {
            libc::sigdelset(all.as_mut_ptr(), signal);
        }
        libc::sigemptyset(former.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr());
        former.assume_init()
    }
}

/// Blocks them for the rest of this thread's life.
pub(in crate::driver) fn block_here() {
    block();
}

/// Blocks them until dropped: threads created meanwhile start with them blocked.
pub(in crate::driver) struct Blocked(libc::sigset_t);

impl Blocked {
    pub fn new() -> Blocked {
        Blocked(block())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: a mask that `block` read.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
pub(in crate::driver) fn is_blocked(signal: i32) -> bool {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: reads the mask of this thread into `mask`, then looks into it.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
        libc::sigismember(mask.as_ptr(), signal) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_blocked_for_a_while_and_faults_never() {
        assert!(!is_blocked(libc::SIGTERM));
        let blocked = Blocked::new();
        assert!(is_blocked(libc::SIGTERM) && is_blocked(libc::SIGUSR1));
        assert!(OPEN.iter().all(|signal| !is_blocked(*signal)));
        drop(blocked);
        assert!(!is_blocked(libc::SIGTERM));
    }
}
