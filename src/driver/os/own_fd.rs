//! A descriptor of this library in a process that belongs to a host program.
//!
//! * Its number is never 0, 1 or 2. If a host has closed these descriptors, the system assigns
//!   their numbers first, and the host would later replace ours when it opens its standard streams.
//! * A forked child closes its copy right after the fork, whatever this value did at that moment,
//!   and does not close it again when it drops this value.
//! * Before each use, the owner can ask whether the number still stands for the same file. If it
//!   does not, dropping this value closes nothing, because the file belongs to the host.

use crate::driver::os::fork::Origin;
use crate::driver::os::fork_gate::between_forks;
use crate::driver::os::identity::Identity;
use crate::driver::os::open_table::{self, Slot};
use nix::fcntl::{FcntlArg, fcntl};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The lowest number above the standard streams.
const LOWEST: RawFd = 3;

/// A descriptor that keeps the rules at the top of this file.
pub(in crate::driver) struct OwnFd<T: AsFd> {
    inner: ManuallyDrop<T>,
    identity: Identity,
    /// The place in the table of descriptors that a child closes.
    slot: &'static Slot,
    origin: Origin,
}

impl<T: AsFd + From<OwnedFd>> OwnFd<T> {
    /// Opens a descriptor with `open`, which does not block, except to open a file.
    ///
    /// # Errors
    /// The error of `open`; or the number is 0, 1 or 2, and the system has no other descriptor
    /// left.
    pub fn open(open: impl FnOnce() -> io::Result<T>) -> io::Result<OwnFd<T>> {
        between_forks(|| {
            let inner = above_standard_streams(open()?)?;
            let identity = Identity::of(inner.as_fd())?;
            Ok(OwnFd {
                slot: open_table::add(inner.as_fd().as_raw_fd(), identity),
                inner: ManuallyDrop::new(inner),
                identity,
                origin: Origin::here(),
            })
        })
    }
}

/// Returns the descriptor if its number is above the standard streams, or else a duplicate with the
/// lowest free number above them.
///
/// # Errors
/// The system has no other descriptor left.
pub fn above_standard_streams<T: AsFd + From<OwnedFd>>(fd: T) -> io::Result<T> {
    if fd.as_fd().as_raw_fd() >= LOWEST {
        return Ok(fd);
    }
    let number = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(LOWEST))?;
    // SAFETY: the call has just opened this descriptor, and nothing else knows its number.
    Ok(T::from(unsafe { OwnedFd::from_raw_fd(number) }))
}

impl<T: AsFd> OwnFd<T> {
    /// Returns true if the number still stands for the file that this value opened. In a forked
    /// child it never does.
    pub fn is_intact(&self) -> bool {
        let is_same = |now: Identity| now == self.identity;
        !self.origin.is_elsewhere() && Identity::of(self.inner.as_fd()).is_ok_and(is_same)
    }
}

impl<T: AsFd> Deref for OwnFd<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: AsFd> Drop for OwnFd<T> {
    fn drop(&mut self) {
        if self.origin.is_elsewhere() {
            return; // the fork handler has closed it; the number may now belong to another file
        }
        between_forks(|| {
            // std may abort the process if a closed descriptor is closed again.
            if self.is_intact() {
                // SAFETY: only this line drops `inner`, and nothing uses it afterwards.
                unsafe { ManuallyDrop::drop(&mut self.inner) };
            }
            self.slot.free();
        });
    }
}
