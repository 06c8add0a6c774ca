//! The table of the descriptors that a forked child closes.
//!
//! The table has no lock, because a thread of the parent could hold the lock at the moment of a
//! fork. Its memory is never freed, so the child can read all of it.

use crate::driver::os::identity::Identity;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// The number of slots in a block.
const SLOTS: usize = 64;
/// The descriptor of a slot that holds none.
const FREE: RawFd = -1;
/// The descriptor of a slot that is being filled.
const TAKEN: RawFd = -2;

/// A place for one descriptor.
pub(super) struct Slot {
    fd: AtomicI32,
    identity: [AtomicU64; Identity::WORDS],
}

/// Some slots, and the next block once these are full.
struct Block {
    slots: [Slot; SLOTS],
    next: AtomicPtr<Block>,
}

static FIRST: Block = Block::new();

/// Puts a descriptor into the table.
pub(super) fn add(fd: RawFd, identity: Identity) -> &'static Slot {
    FIRST.add(fd, identity)
}

/// Closes the descriptors of the table, and empties it. The host program may have closed a
/// descriptor and given its number to a file of its own: that file stays open.
pub(super) fn close_all() {
    FIRST.close_all();
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            fd: AtomicI32::new(FREE),
            identity: [const { AtomicU64::new(0) }; Identity::WORDS],
        }
    }

    /// Takes the slot, and returns true, if it is free.
    fn take(&self) -> bool {
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        let taken = self.fd.compare_exchange(FREE, TAKEN, acquire, relaxed);
        taken.is_ok()
    }

    fn fill(&self, fd: RawFd, identity: Identity) {
        for (place, word) in self.identity.iter().zip(identity.words()) {
            place.store(word, Ordering::Relaxed);
        }
        self.fd.store(fd, Ordering::Release);
    }

    /// Takes the descriptor off the table.
    pub fn free(&self) {
        self.fd.store(FREE, Ordering::Release);
    }

    fn close(&self) {
        let fd = self.fd.swap(FREE, Ordering::Acquire);
        if fd < 0 {
            return;
        }
        let listed = self
            .identity
            .each_ref()
            .map(|it| it.load(Ordering::Relaxed));
        // SAFETY: the call only asks the system which file the number stands for, if any.
        let now = Identity::of(unsafe { BorrowedFd::borrow_raw(fd) });
        if now.is_ok_and(|now| now.words() == listed) {
            let _ = nix::unistd::close(fd); // the owner of the descriptor does not close it again
        }
    }
}

impl Block {
    const fn new() -> Block {
        Block {
            slots: [const { Slot::new() }; SLOTS],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn add(&'static self, fd: RawFd, identity: Identity) -> &'static Slot {
        let mut block = self;
        loop {
            if let Some(slot) = block.slots.iter().find(|slot| slot.take()) {
                slot.fill(fd, identity);
                return slot;
            }
            block = block.next_or_new();
        }
    }

    fn close_all(&'static self) {
        let blocks = std::iter::successors(Some(self), |block| block.next());
        blocks.flat_map(|block| &block.slots).for_each(Slot::close);
    }

    fn next(&self) -> Option<&'static Block> {
        // SAFETY: pointers in `next` come from boxes, and nothing frees them.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    fn next_or_new(&'static self) -> &'static Block {
        if let Some(next) = self.next() {
            return next;
        }
        let fresh = Box::into_raw(Box::new(Block::new()));
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let none = ptr::null_mut();
        let added = self.next.compare_exchange(none, fresh, success, failure);
        if added.is_err() {
            // SAFETY: `fresh` was made above from a box, and no other thread has seen it.
            drop(unsafe { Box::from_raw(fresh) });
        }
        self.next().unwrap_or(self) // never `self`: this or another thread has added a block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsFd, IntoRawFd};

    fn file() -> (RawFd, Identity) {
        let file = File::open("/dev/null").unwrap();
        let identity = Identity::of(file.as_fd()).unwrap();
        (file.into_raw_fd(), identity)
    }

    fn is_open(fd: RawFd) -> bool {
        // SAFETY: the call only reads flags, whatever the number stands for.
        unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn the_table_grows_and_its_free_slots_are_used_again() {
        let first: &'static Block = Box::leak(Box::new(Block::new()));
        let blocks = || std::iter::successors(Some(first), |block| block.next()).count();
        let (fd, identity) = file();
        let fill = |count| -> Vec<&Slot> { (0..count).map(|_| first.add(fd, identity)).collect() };
        let slots = fill(3 * SLOTS);
        assert_eq!(blocks(), 3);
        slots[SLOTS..].iter().for_each(|slot| slot.free());
        fill(2 * SLOTS);
        assert_eq!(blocks(), 3);
        nix::unistd::close(fd).unwrap();
    }

    #[test]
    fn every_descriptor_is_closed_unless_it_stands_for_another_file_now() {
        let first: &'static Block = Box::leak(Box::new(Block::new()));
        let (mine, identity) = file();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let foreign = socket.into_raw_fd();
        for _ in 0..SLOTS {
            first.add(foreign, identity);
        }
        first.add(mine, identity);
        let (freed, _) = file();
        first.add(freed, identity).free();
        first.close_all();
        assert_eq!([mine, foreign, freed].map(is_open), [false, true, true]);
        nix::unistd::close(foreign).unwrap();
        nix::unistd::close(freed).unwrap();
    }
}
