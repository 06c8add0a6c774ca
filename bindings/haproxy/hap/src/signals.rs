//! The signals that `sprat-hap` reacts to. They are blocked in every thread, and the main thread
//! takes them one by one.

use std::time::Duration;

/// The set of blocked signals.
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks the signals in this thread, and in the threads that it creates afterwards.
    pub fn block() -> Signals {
        // SAFETY: `set` is a live local that `sigemptyset` initialises; `pthread_sigmask` accepts
        // a null pointer for the old set.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2] {
                libc::sigaddset(&mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Signals(set)
        }
    }

    /// Waits for a signal for `time`, which must be less than a second. Returns its number, or
    /// `None` if no signal came.
    pub fn wait(&self, time: Duration) -> Option<i32> {
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: the set and the time are live, and a null pointer asks for no details.
        let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
