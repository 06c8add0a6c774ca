//! Nodes as checked numbers.
//!
//! ```text
//!   63      56 55       48 47              24 23             0
//!   | 0x5a    | fork gen  | generation       | slot          |     64 bits
//! ```
//!
//! A number is assigned to a node when the node starts, and to no other node later: the slot is
//! used again with the next generation, and retired when the generations are used up. 0x5a in the
//! top byte makes the number an invalid address on x86-64, so that a program that dereferences its
//! node fails at once. Each process has a table of its own. The fork generation shows a child that
//! a node belongs to its parent, before the child touches any lock that another thread of the
//! parent may have held.

use super::callback_guard::CallbackGuard;
use super::member_cache::MemberCache;
use super::types::sprat_node;
use crate::driver::Node;
use crate::driver::os::fork;
use crate::driver::os::lock::lock;
use crate::error::{Error, Result, Status};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

/// The number of bits of each field after the top byte. These fields are narrower where pointers
/// are narrower.
const SLOT_BITS: u32 = usize::BITS * 3 / 8;
const GENERATION_BITS: u32 = usize::BITS - 8 - FORK_BITS - SLOT_BITS;
const FORK_BITS: u32 = usize::BITS / 8;
const FORK_SHIFT: u32 = SLOT_BITS + GENERATION_BITS;
const TAG: usize = 0x5a;

/// A node, the guard of its callbacks, and its newest list of members. Calls share this object, so
/// the node is dropped only when the last call that uses it has ended.
pub(super) struct NodeSlot {
    pub(super) node: Node,
    pub(super) guard: Arc<CallbackGuard>,
    pub(super) cache: Mutex<MemberCache>,
    /// The last field, so that it is dropped after the node and its threads have ended.
    _ended: Ended,
}

/// Tells the guard, when dropped, that the node has ended.
struct Ended(Arc<CallbackGuard>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl NodeSlot {
    /// Combines a node with the guard of its callbacks.
    pub(super) fn new(node: Node, guard: Arc<CallbackGuard>) -> NodeSlot {
        let _ended = Ended(guard.clone());
        NodeSlot {
            node,
            guard,
            cache: Mutex::default(),
            _ended,
        }
    }
}

#[derive(Default)]
struct Entry {
    /// The generation of the next number, or of the number in use.
    generation: usize,
    slot: Option<Arc<NodeSlot>>,
}

#[derive(Default)]
struct Slots {
    all: Vec<Entry>,
    free: Vec<usize>,
}

/// The nodes of one process.
struct Table {
    /// The fork generation of that process.
    process: u64,
    slots: Mutex<Slots>,
}

/// The table of this process, or of an ancestor; NULL before the first node.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// The slots of this process. A forked child starts a table of its own: a vanished thread may hold
/// the lock of the inherited table, which is never freed.
fn slots() -> &'static Mutex<Slots> {
    fork::install();
    let process = fork::generation();
    loop {
        let held = TABLE.load(Ordering::Acquire);
        // SAFETY: tables in TABLE come from boxes, and nothing frees them.
        match unsafe { held.as_ref() } {
            Some(table) if table.process == process => return &table.slots,
            Some(_) | None => {}
        }
        let slots = Mutex::default();
        let fresh = Box::into_raw(Box::new(Table { process, slots }));
        let swap = TABLE.compare_exchange(held, fresh, Ordering::AcqRel, Ordering::Acquire);
        if swap.is_err() {
            // SAFETY: `fresh` was made above from a box, and no other thread has seen it.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

/// The number of forks between the first process and this one, cut to `FORK_BITS` bits.
fn forks() -> usize {
    (fork::generation() - 1) as usize & ((1 << FORK_BITS) - 1)
}

/// Keeps a node under a new number.
pub(super) fn insert(node: Arc<NodeSlot>) -> Result<usize> {
    let mut slots = lock(slots());
    let slot = match slots.free.pop() {
        Some(slot) => slot,
        None if slots.all.len() >> SLOT_BITS == 0 => {
            slots.all.push(Entry::default());
            slots.all.len() - 1
        }
        None => {
            return Err(Error::new(
                Status::TooLarge,
                "this process has too many nodes",
            ));
        }
    };
    let entry = &mut slots.all[slot];
    entry.slot = Some(node);
    Ok(TAG << (usize::BITS - 8) | forks() << FORK_SHIFT | entry.generation << SLOT_BITS | slot)
}

/// Returns the slot and the generation of a number that a program passed.
fn split(node: *const sprat_node) -> Result<(usize, usize)> {
    let number = node.addr();
    if number >> (usize::BITS - 8) != TAG {
        let what = if number == 0 {
            "node is NULL"
        } else {
            "node is not a valid node handle"
        };
        return Err(Error::new(Status::Handle, what));
    }
    if number >> FORK_SHIFT & ((1 << FORK_BITS) - 1) != forks() {
        let message = "node was started in the parent process, before the fork: start a new one in \
                       the child";
        return Err(Error::new(Status::Forked, message));
    }
    let generation = number >> SLOT_BITS & ((1 << GENERATION_BITS) - 1);
    Ok((number & ((1 << SLOT_BITS) - 1), generation))
}

fn gone() -> Error {
    Error::new(Status::Handle, "node was freed, or was never a node")
}

/// Returns the node behind a number. The result keeps the node alive.
pub(super) fn get(node: *const sprat_node) -> Result<Arc<NodeSlot>> {
    let (slot, generation) = split(node)?;
    let slots = lock(slots());
    let entry = slots
        .all
        .get(slot)
        .filter(|entry| entry.generation == generation);
    entry.and_then(|entry| entry.slot.clone()).ok_or_else(gone)
}

/// Invalidates a number and returns its node. Of several callers with the same number, one gets the
/// node.
pub(super) fn remove(node: *const sprat_node) -> Result<Arc<NodeSlot>> {
    let (slot, generation) = split(node)?;
    let mut slots = lock(slots());
    let entry = slots
        .all
        .get_mut(slot)
        .filter(|entry| entry.generation == generation);
    let entry = entry.ok_or_else(gone)?;
    let node = entry.slot.take().ok_or_else(gone)?;
    entry.generation += 1;
    if entry.generation >> GENERATION_BITS == 0 {
        slots.free.push(slot);
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: usize) -> Status {
        get(ptr::without_provenance(number)).err().unwrap().status
    }

    #[test]
    fn numbers_that_belong_to_no_node_are_refused() {
        assert_eq!(refusal(0), Status::Handle);
        assert_eq!(refusal(1), Status::Handle);
        assert_eq!(refusal(usize::MAX), Status::Handle);
        assert_eq!(refusal(ptr::from_ref(&TABLE).addr()), Status::Handle);
        let tag = TAG << (usize::BITS - 8) | forks() << FORK_SHIFT;
        assert_eq!(refusal(tag), Status::Handle);
        assert_eq!(refusal(tag | ((1 << FORK_SHIFT) - 1)), Status::Handle);
    }

    #[test]
    fn a_number_of_the_parent_process_is_recognised() {
        let other = (forks() + 1) << FORK_SHIFT;
        assert_eq!(refusal(TAG << (usize::BITS - 8) | other), Status::Forked);
    }

    #[test]
    fn the_fields_fill_a_pointer() {
        assert_eq!(8 + FORK_BITS + GENERATION_BITS + SLOT_BITS, usize::BITS);
    }
}
