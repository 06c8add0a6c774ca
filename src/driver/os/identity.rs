//! Telling a descriptor of this library from another one that has taken its number.
//!
//! A host program can close the descriptors of a node, for example a daemon that closes all
//! descriptors it does not know. Files of the program can then get the same numbers. For a socket,
//! the device and the inode show this, because every socket has its own inode. But all eventfds
//! share one inode, so the library puts a mark on each of its eventfds: the number of the signal
//! that the kernel would send for it (`F_SETSIG`). No signal is ever sent, because the library does
//! not request signals (`O_ASYNC`).

use nix::sys::stat::fstat;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Two operations of fcntl(2) that the crate `libc` does not name for every platform.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;
/// The number of marks. A mark is a number from 1 to 64, which the kernel accepts as a signal.
const MARKS: u32 = 64;

/// The open file to which a descriptor refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Identity {
    device: libc::dev_t,
    inode: libc::ino_t,
    mark: libc::c_int,
}

impl Identity {
    /// The number of words in which an identity can be kept.
    pub const WORDS: usize = 3;

    /// The identity as numbers. Different identities have different numbers.
    pub fn words(self) -> [u64; Identity::WORDS] {
        [self.device, self.inode, self.mark as u64]
    }

    /// The identity of the file to which this descriptor refers now.
    ///
    /// # Errors
    /// The descriptor is closed.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Identity> {
        let status = fstat(fd)?;
        let mark = match status.st_mode & libc::S_IFMT {
            libc::S_IFSOCK => 0, // the inode suffices
            // SAFETY: the operation reads a number and takes no argument.
            _ => unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) },
        };
        Ok(Identity {
            device: status.st_dev,
            inode: status.st_ino,
            mark,
        })
    }
}

/// Puts the next mark on a descriptor. If the system does not support this, the descriptor has the
/// same identity as all others of its kind.
pub(in crate::driver) fn mark(fd: BorrowedFd<'_>) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let next = LAST.fetch_add(1, Ordering::Relaxed) % MARKS + 1;
    // SAFETY: the operation stores a number that the kernel uses only if O_ASYNC is set.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, next) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EventFd;
    use std::fs::File;
    use std::os::fd::AsFd;

    fn identity(fd: &impl AsFd) -> Identity {
        Identity::of(fd.as_fd()).unwrap()
    }

    #[test]
    fn marked_eventfds_differ_from_each_other_and_from_those_of_the_host() {
        let [a, b, foreign] = [(); 3].map(|()| EventFd::new().unwrap());
        assert_eq!(identity(&a), identity(&foreign), "they share one inode");
        mark(a.as_fd());
        mark(b.as_fd());
        assert_ne!(identity(&a), identity(&foreign));
        assert_ne!(identity(&a), identity(&b));
        assert_eq!(identity(&a), identity(&a));
    }

    #[test]
    fn sockets_and_files_differ_and_a_duplicate_is_the_same_file() {
        let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (a, b, null) = (socket(), socket(), File::open("/dev/null").unwrap());
        assert_ne!(identity(&a), identity(&b));
        assert_ne!(identity(&a), identity(&null));
        assert_eq!(identity(&a), identity(&a.try_clone().unwrap()));
    }
}
