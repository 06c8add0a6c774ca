//! An allocator that counts, for tests and benches. It counts for each thread, so tests that run at
//! the same time do not disturb each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts bytes in use and allocations of each thread.
pub struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The number of bytes that this thread has in use.
#[allow(dead_code)] // the benches count no bytes
pub fn in_use() -> isize {
    IN_USE.get()
}

/// Runs `work`, and returns the number of bytes that this thread had in use at most, beyond those
/// that it had in use before.
#[allow(dead_code)] // only a few tests look for a peak
pub fn peak(work: impl FnOnce()) -> isize {
    let before = IN_USE.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// How often this thread has asked for memory.
#[allow(dead_code)] // the simulator counts no allocations
pub fn allocations() -> usize {
    ALLOCATIONS.get()
}

fn count(bytes: isize, allocations: usize) {
    // A thread that ends may free memory after its counters are gone.
    let in_use = IN_USE.try_with(|it| it.replace(it.get() + bytes) + bytes);
    let _ = PEAK.try_with(|it| it.set(it.get().max(in_use.unwrap_or_default())));
    let _ = ALLOCATIONS.try_with(|it| it.set(it.get() + allocations));
}

// SAFETY: every call is passed on to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        // SAFETY: the caller keeps the contract of `alloc`, which both allocators share.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        // SAFETY: `pointer` came from the system's allocator, as every allocation here does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize, 1);
        // SAFETY: `pointer` came from the system's allocator, as every allocation here does.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
