//! Polling descriptors, waking a waiting thread, and the limit on open descriptors.

use crate::driver::os::identity;
use crate::driver::os::own_fd::OwnFd;
use nix::errno::Errno;
pub(in crate::driver) use nix::poll::{PollFd, PollFlags};
use nix::poll::{PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// An eventfd that is either raised (readable) or lowered. Raising it wakes a thread that polls it.
///
/// A descriptor that the host program has closed is neither written nor read, because its number
/// may now stand for a file of that program.
pub(in crate::driver) struct Wakeup(OwnFd<File>);

impl Wakeup {
    /// Opens a lowered eventfd.
    ///
    /// # Errors
    /// The system has no descriptor or no memory left.
    pub fn new() -> io::Result<Wakeup> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let open = || {
            let opened = OwnedFd::from(EventFd::from_flags(flags)?);
            identity::mark(opened.as_fd());
            Ok(opened.into())
        };
        Ok(Wakeup(OwnFd::open(open)?))
    }

    /// Returns true unless the host program has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.0.is_intact()
    }

    /// The descriptor, for the application to poll.
    pub fn fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn raise(&self) {
        if self.is_intact() {
            // The write never blocks. It fails only if 2^64 - 2 writes came before it, and then
            // the descriptor is readable anyway.
            let _ = (&*self.0).write(&1u64.to_ne_bytes());
        }
    }

    /// Makes the descriptor unreadable.
    pub fn lower(&self) {
        if self.is_intact() {
            let _ = (&*self.0).read(&mut [0; 8]); // fails only if the descriptor was not raised
        }
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The pause in place of a wait that the kernel refuses.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// Waits until a descriptor is ready or `timeout` has passed, and returns the ready flags of each
/// descriptor. `None` waits without limit; a fraction of a millisecond is rounded up. If a signal
/// interrupts the wait, the wait ends early and nothing is ready.
///
/// The kernel refuses to wait for more descriptors than the process may open now, even if they were
/// opened long ago. This happens in a host program that gives up the right to open more
/// descriptors, as sandboxes do (`RLIMIT_NOFILE` 0). All descriptors then count as ready, after a
/// pause that prevents a busy loop. That is harmless, because no operation of this library on a
/// descriptor blocks, and a stream that is still being opened is recognised as such.
pub(in crate::driver) fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Vec<PollFlags> {
    let millis = timeout.map(|it| it.as_nanos().div_ceil(1_000_000));
    let limit = millis.map_or(PollTimeout::NONE, |millis| {
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    });
    match poll(fds, limit) {
        // `revents` returns `None` for a flag that `nix` does not know. It is treated as an error.
        Ok(_) => (fds.iter())
            .map(|fd| fd.revents().unwrap_or(PollFlags::POLLERR))
            .collect(),
        Err(Errno::EINTR) => vec![PollFlags::empty(); fds.len()],
        Err(_) => {
            if millis != Some(0) {
                std::thread::sleep(REFUSED_PAUSE);
            }
            fds.iter().map(PollFd::events).collect()
        }
    }
}

/// The number of descriptors that this process may have open, or 0 if it cannot be determined.
pub(in crate::driver) fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _hard)| soft)
}

/// Returns true if this error means that the process or the system has run out of a resource.
/// Trying again is useful only after a while.
pub(in crate::driver) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Waits at most `timeout` until this descriptor is readable, and returns whether it is.
#[cfg(test)]
pub(in crate::driver) fn becomes_readable(fd: RawFd, timeout: Duration) -> bool {
    // SAFETY: the tests keep the descriptor open until this function returns.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    wait(&mut fds, Some(timeout))[0].contains(PollFlags::POLLIN)
}

/// Returns true if this descriptor is readable now.
#[cfg(test)]
pub(in crate::driver) fn is_readable(fd: RawFd) -> bool {
    becomes_readable(fd, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wakeup_is_readable_exactly_while_it_is_raised() {
        let wakeup = Wakeup::new().unwrap();
        let is_raised = || is_readable(wakeup.fd());
        assert!(!is_raised());
        wakeup.raise();
        wakeup.raise();
        assert!(is_raised());
        assert!(is_raised(), "polling does not lower it");
        wakeup.lower();
        assert!(!is_raised());
        wakeup.lower();
        assert!(!is_raised());
    }

    #[test]
    fn a_wakeup_whose_number_was_taken_by_a_file_of_the_host_leaves_that_file_alone() {
        let wakeup = Wakeup::new().unwrap();
        assert!(wakeup.is_intact());
        let kept = wakeup.0.try_clone().unwrap(); // keeps the first eventfd open
        let foreign = Wakeup::new().unwrap();
        // SAFETY: both descriptors are open; this test alone uses the first.
        assert!(unsafe { libc::dup2(foreign.fd(), wakeup.fd()) } >= 0);
        assert!(!wakeup.is_intact());
        wakeup.raise();
        assert!(!is_readable(foreign.fd()));
        foreign.raise();
        wakeup.lower();
        assert!(is_readable(foreign.fd()));
        let number = wakeup.fd();
        drop((wakeup, kept));
        assert!(is_readable(number), "the file of the host stays open");
        nix::unistd::close(number).unwrap();
    }

    #[test]
    fn a_wait_lasts_at_least_as_long_as_its_timeout() {
        let wakeup = Wakeup::new().unwrap();
        let begun = std::time::Instant::now();
        assert!(!becomes_readable(wakeup.fd(), Duration::from_micros(1500)));
        assert!(begun.elapsed() >= Duration::from_micros(1500));
    }
}
