//! A descriptor that is readable while something is to be done: an eventfd.

use crate::driver::os::fork::Inherited;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An eventfd that is either raised (readable) or not.
pub(in crate::driver) struct Signal(Inherited<OwnedFd>);

impl Signal {
    pub fn new() -> io::Result<Signal> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just opened and that nobody else owns.
        Ok(Signal(Inherited::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable.
    pub fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. It cannot block, and fails only when already raised 2^64-2
        // times, where it stays readable.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it not readable.
    pub fn lower(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes. Fails only when it was not raised.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// How long a wait lasts that the kernel refuses.
const BLIND: Duration = Duration::from_millis(20);

/// Waits for descriptors; `timeout_ms` as in `poll(2)`. An interrupted wait counts as a short one.
///
/// The kernel refuses to wait for more descriptors than the process may open now, even if they
/// were opened long ago: a host that gives up the right to open any (`RLIMIT_NOFILE` 0, as
/// sandboxes do) gets here. Nothing that is polled blocks, so everything counts as ready then,
/// after a pause that keeps this from being a busy loop.
pub(in crate::driver) fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) {
    let count = fds.len() as libc::nfds_t;
    // SAFETY: `count` initialised entries.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, timeout_ms) };
    if ready >= 0 {
        return;
    }
    let refused = io::Error::last_os_error().kind() != io::ErrorKind::Interrupted;
    if refused && timeout_ms != 0 {
        std::thread::sleep(BLIND);
    }
    for fd in fds {
        fd.revents = if refused && fd.fd >= 0 { fd.events } else { 0 };
    }
}

/// An entry for [`poll`].
pub(in crate::driver) fn interest(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

#[cfg(test)]
pub(in crate::driver) fn is_readable(fd: RawFd) -> bool {
    let mut fds = [interest(fd, libc::POLLIN)];
    poll(&mut fds, 0);
    fds[0].revents & libc::POLLIN != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_readable_exactly_while_it_is_raised() {
        let signal = Signal::new().unwrap();
        assert!(!is_readable(signal.fd()));
        signal.raise();
        signal.raise();
        assert!(is_readable(signal.fd()));
        assert!(is_readable(signal.fd()));
        signal.lower();
        assert!(!is_readable(signal.fd()));
        signal.lower();
        assert!(!is_readable(signal.fd()));
    }
}
