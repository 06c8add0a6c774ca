//! Nodes as checked numbers.
//!
//! ```text
//!   63      56 55       48 47              24 23             0
//!   | 0x5a    | fork gen  | generation       | slot          |     64 bits
//! ```
//!
//! A number is made when a node starts and is never made again: the slot is used once more, with
//! its next generation, and retired when those are used up. 0x5a in the top byte is no valid
//! address on x86-64, so that a program that dereferences its node fails at once. The number of
//! forks tells a child that the node is its parent's, before any lock that another thread of the
//! parent may have held is touched; the child begins with a table of its own.

use super::callback_guard::{Gate, lock};
use super::members::Cache;
use super::types::sprat_node;
use crate::driver::Node;
use crate::error::{Error, Result, Status};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

/// Bits of slot and generation; narrower where pointers are.
const SLOT_BITS: u32 = usize::BITS * 3 / 8;
const GENERATION_BITS: u32 = usize::BITS - 8 - FORK_BITS - SLOT_BITS;
const FORK_BITS: u32 = usize::BITS / 8;
const FORK_SHIFT: u32 = SLOT_BITS + GENERATION_BITS;
const TAG: usize = 0x5a;

/// What a number stands for. Calls share it, so it ends with the last call that was inside.
pub(super) struct Held {
    pub(super) node: Node,
    pub(super) gate: Arc<Gate>,
    pub(super) cache: Mutex<Cache>,
    /// The last field: dropped when the node and its threads are gone.
    _ended: Ended,
}

/// Tells the gate that the node has ended.
struct Ended(Arc<Gate>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Held {
    /// A node and what stands in front of its callbacks.
    pub(super) fn new(node: Node, gate: Arc<Gate>) -> Held {
        let _ended = Ended(gate.clone());
        Held {
            node,
            gate,
            cache: Mutex::default(),
            _ended,
        }
    }
}

#[derive(Default)]
struct Slot {
    generation: usize,
    held: Option<Arc<Held>>,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// The table of this process; NULL until its first node.
static TABLE: AtomicPtr<Mutex<Table>> = AtomicPtr::new(ptr::null_mut());
/// How many forks lie between the first process and this one.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Runs in the child of every fork, where only this thread lives on. It takes no lock and frees
/// nothing: the parent's table stays behind as it was.
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    TABLE.store(ptr::null_mut(), Ordering::Release);
}

fn table() -> &'static Mutex<Table> {
    let mut at = TABLE.load(Ordering::Acquire);
    if at.is_null() {
        watch_forks();
        let fresh = Box::into_raw(Box::new(Mutex::new(Table::default())));
        let swap =
            TABLE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire);
        at = match swap {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: nobody else has seen ours.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        };
    }
    // SAFETY: tables are never freed.
    unsafe { &*at }
}

fn watch_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only stores two numbers. If it cannot be registered, for want of
        // memory, forks go unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}

fn forks() -> usize {
    FORKS.load(Ordering::Relaxed) & ((1 << FORK_BITS) - 1)
}

/// Keeps a node under a new number.
pub(super) fn insert(held: Arc<Held>) -> Result<usize> {
    let mut table = lock(table());
    let slot = match table.free.pop() {
        Some(slot) => slot,
        None if table.slots.len() >> SLOT_BITS == 0 => {
            table.slots.push(Slot::default());
            table.slots.len() - 1
        }
        None => {
            return Err(Error::new(
                Status::TooLarge,
                "too many nodes in one process",
            ));
        }
    };
    let entry = &mut table.slots[slot];
    entry.held = Some(held);
    Ok(TAG << (usize::BITS - 8) | forks() << FORK_SHIFT | entry.generation << SLOT_BITS | slot)
}

/// The slot and generation of a number that may be one of ours.
fn split(node: *const sprat_node) -> Result<(usize, usize)> {
    let number = node.addr();
    if number >> (usize::BITS - 8) != TAG {
        let what = if number == 0 {
            "node is NULL"
        } else {
            "node is not a node"
        };
        return Err(Error::new(Status::Handle, what));
    }
    if number >> FORK_SHIFT & ((1 << FORK_BITS) - 1) != forks() {
        let message = "node was started before this process was forked off, and lives in its \
                       parent: start a node of your own";
        return Err(Error::new(Status::Forked, message));
    }
    let generation = number >> SLOT_BITS & ((1 << GENERATION_BITS) - 1);
    Ok((number & ((1 << SLOT_BITS) - 1), generation))
}

fn gone() -> Error {
    Error::new(Status::Handle, "node was freed, or never was one")
}

/// The node behind a number, kept alive for the length of the call.
pub(super) fn get(node: *const sprat_node) -> Result<Arc<Held>> {
    let (slot, generation) = split(node)?;
    let table = lock(table());
    let entry = table
        .slots
        .get(slot)
        .filter(|entry| entry.generation == generation);
    entry.and_then(|entry| entry.held.clone()).ok_or_else(gone)
}

/// Ends a number and hands its node to the caller, to one caller only.
pub(super) fn remove(node: *const sprat_node) -> Result<Arc<Held>> {
    let (slot, generation) = split(node)?;
    let mut table = lock(table());
    let entry = table
        .slots
        .get_mut(slot)
        .filter(|entry| entry.generation == generation);
    let entry = entry.ok_or_else(gone)?;
    let held = entry.held.take().ok_or_else(gone)?;
    entry.generation += 1;
    if entry.generation >> GENERATION_BITS == 0 {
        table.free.push(slot);
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: usize) -> Status {
        get(ptr::without_provenance(number)).err().unwrap().status
    }

    #[test]
    fn numbers_that_are_no_nodes_are_refused() {
        assert_eq!(refusal(0), Status::Handle);
        assert_eq!(refusal(1), Status::Handle);
        assert_eq!(refusal(usize::MAX), Status::Handle);
        assert_eq!(refusal(ptr::from_ref(&TABLE).addr()), Status::Handle);
        let tag = TAG << (usize::BITS - 8) | forks() << FORK_SHIFT;
        assert_eq!(refusal(tag), Status::Handle);
        assert_eq!(refusal(tag | ((1 << FORK_SHIFT) - 1)), Status::Handle);
    }

    #[test]
    fn numbers_of_another_process_are_told_apart() {
        let other = (forks() + 1) << FORK_SHIFT;
        assert_eq!(refusal(TAG << (usize::BITS - 8) | other), Status::Forked);
    }

    #[test]
    fn the_fields_fill_a_pointer() {
        assert_eq!(8 + FORK_BITS + GENERATION_BITS + SLOT_BITS, usize::BITS);
    }
}
