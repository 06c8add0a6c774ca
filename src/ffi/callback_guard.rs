//! The gate in front of the program's code.
//!
//! ```text
//!   waiting --open()--> open --close()--> closed, and once nobody is inside: released
//! ```
//!
//! Callbacks pass it one by one. It stays shut until the program has its node, so that no callback
//! sees one that its program does not know yet. Once closed nobody passes any more, and the last
//! one out hands back the `user_data`: exactly once, whoever that is. No lock is held while code of
//! the program runs.

use super::types::{sprat_event, sprat_event_cb, sprat_free_cb, sprat_log_cb, sprat_node};
use crate::driver::os::lock::{lock, wait};
use crate::driver::os::panic;
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::{Condvar, Mutex};

/// A `user_data` and who wants it back.
#[derive(Clone, Copy)]
pub(super) struct UserData {
    pub(super) data: *mut c_void,
    pub(super) free: sprat_free_cb,
}

// SAFETY: the program was told that its functions and data are used from other threads.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    /// Hands the data back to the program.
    pub(super) fn release(self) {
        if let Some(free) = self.free {
            // SAFETY: the program gave function and data together; every path here runs once.
            panic::outside(|| unsafe { free(self.data) });
        }
    }
}

/// A callback for events with its data.
#[derive(Clone, Copy)]
pub(super) struct EventSink {
    pub(super) call: unsafe extern "C" fn(*mut sprat_node, *const sprat_event, *mut c_void),
    pub(super) user: UserData,
}

impl EventSink {
    /// The sink of a callback that is not NULL.
    pub(super) fn new(cb: sprat_event_cb, user: UserData) -> Option<EventSink> {
        cb.map(|call| EventSink { call, user })
    }
}

/// A callback for log lines with its data.
#[derive(Clone, Copy)]
pub(super) struct LogSink {
    pub(super) call:
        unsafe extern "C" fn(c_int, *const std::ffi::c_char, *const std::ffi::c_char, *mut c_void),
    pub(super) user: UserData,
}

impl LogSink {
    /// The sink of a callback that is not NULL.
    pub(super) fn new(cb: sprat_log_cb, user: UserData) -> Option<LogSink> {
        cb.map(|call| LogSink { call, user })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Open,
    Closed,
    Released,
}

struct State {
    phase: Phase,
    /// Callbacks that run now, on any thread.
    running: usize,
    /// What the callbacks are told as their node.
    handle: usize,
    /// The node and its threads are gone.
    ended: bool,
}

/// See the head of this file.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) event: Option<EventSink>,
    pub(super) log: Option<LogSink>,
}

/// One callback that runs on this thread; they nest when a callback of one node serves another.
struct Frame {
    gate: *const Gate,
    outer: *const Frame,
}

thread_local! {
    static FRAMES: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

impl Gate {
    /// A shut gate in front of these callbacks.
    pub(super) fn new(event: Option<EventSink>, log: Option<LogSink>) -> Gate {
        let state = State {
            phase: Phase::Waiting,
            running: 0,
            handle: 0,
            ended: false,
        };
        Gate {
            state: Mutex::new(state),
            changed: Condvar::new(),
            event,
            log,
        }
    }

    /// Lets callbacks pass: the program knows its node.
    pub(super) fn open(&self, handle: usize) {
        let mut state = lock(&self.state);
        state.phase = Phase::Open;
        state.handle = handle;
        self.changed.notify_all();
    }

    /// The node never started: nobody passes, and the data stays with the settings.
    pub(super) fn abandon(&self) {
        lock(&self.state).phase = Phase::Released;
        self.changed.notify_all();
    }

    /// From now on nobody passes.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        if state.phase != Phase::Released {
            state.phase = Phase::Closed;
        }
        self.changed.notify_all();
    }

    /// True until the node is freed.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.state).phase == Phase::Open
    }

    /// After `close`: waits until no callback runs and the data is handed back. Inside one of
    /// this node's callbacks it does not wait; that callback hands it back when it ends.
    pub(super) fn drain(&self) {
        if self.is_inside() {
            return;
        }
        self.release_if_last();
        let is_released = |state: &mut State| state.phase == Phase::Released;
        drop(wait(&self.changed, lock(&self.state), is_released));
    }

    /// The node and its threads are gone: no call is inside any more.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits for the end, except inside one of this node's callbacks: that is inside a call.
    pub(super) fn wait_for_end(&self) {
        if self.is_inside() {
            return;
        }
        drop(wait(&self.changed, lock(&self.state), |state| state.ended));
    }

    /// Runs `call` with the number of the node, unless the gate is closed; says whether it ran.
    pub(super) fn pass(&self, call: impl FnOnce(*mut sprat_node)) -> bool {
        let is_decided = |state: &mut State| state.phase != Phase::Waiting;
        let mut state = wait(&self.changed, lock(&self.state), is_decided);
        if state.phase != Phase::Open {
            return false;
        }
        state.running += 1;
        let handle = state.handle;
        drop(state);

        let frame = Frame {
            gate: self,
            outer: FRAMES.get(),
        };
        FRAMES.set(&frame);
        panic::outside(|| call(ptr::without_provenance_mut(handle)));
        FRAMES.set(frame.outer);

        lock(&self.state).running -= 1;
        self.release_if_last();
        true
    }

    /// Gives an event to the callback of the settings.
    pub(super) fn give_event(&self, event: *const sprat_event) -> bool {
        let Some(EventSink { call, user }) = self.event else {
            return false;
        };
        // SAFETY: the program's function, with the data it was given for.
        self.pass(|node| unsafe { call(node, event, user.data) })
    }

    /// Gives a line of the log to the callback of the settings.
    pub(super) fn give_log(&self, level: c_int, target: &CStr, message: &CStr) -> bool {
        let Some(LogSink { call, user }) = self.log else {
            return false;
        };
        // SAFETY: the program's function, with the data it was given for.
        self.pass(|_| unsafe { call(level, target.as_ptr(), message.as_ptr(), user.data) })
    }

    /// Hands the data back if the gate is closed and nobody is inside; one thread wins.
    fn release_if_last(&self) {
        let mut state = lock(&self.state);
        if state.phase != Phase::Closed || state.running != 0 {
            return;
        }
        // Counts as running, so that nobody else comes here meanwhile.
        state.running = 1;
        drop(state);
        if let Some(sink) = self.event {
            sink.user.release();
        }
        if let Some(sink) = self.log {
            sink.user.release();
        }
        let mut state = lock(&self.state);
        state.running = 0;
        state.phase = Phase::Released;
        self.changed.notify_all();
    }

    /// Does this thread run one of this node's callbacks?
    fn is_inside(&self) -> bool {
        let mut frame = FRAMES.get();
        // SAFETY: frames live on this thread's stack, below the one that asks, until they are
        // taken off the list.
        while let Some(at) = unsafe { frame.as_ref() } {
            if ptr::eq(at.gate, self) {
                return true;
            }
            frame = at.outer;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    unsafe extern "C" fn count(data: *mut c_void) {
        // SAFETY: the tests pass a counter that outlives the gate.
        unsafe { &*data.cast::<AtomicU32>() }.fetch_add(1, Ordering::SeqCst);
    }

    unsafe extern "C" fn ignore(_: *mut sprat_node, _: *const sprat_event, _: *mut c_void) {}

    fn gate(freed: &'static AtomicU32) -> Arc<Gate> {
        let data = ptr::from_ref(freed).cast_mut().cast();
        let user = UserData {
            data,
            free: Some(count),
        };
        Arc::new(Gate::new(EventSink::new(Some(ignore), user), None))
    }

    #[test]
    fn nobody_passes_before_the_program_knows_its_node() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let gate = gate(&FREED);
        let other = gate.clone();
        let thread = std::thread::spawn(move || {
            other.pass(|node| PASSED.store(node.addr() as u32, Ordering::SeqCst))
        });
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(PASSED.load(Ordering::SeqCst), 0);
        gate.open(7);
        assert!(thread.join().unwrap());
        assert_eq!(PASSED.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn data_is_handed_back_once_when_the_last_callback_has_ended() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        let gate = gate(&FREED);
        gate.open(1);
        gate.pass(|_| {
            gate.close();
            gate.drain(); // Inside: returns at once.
            assert_eq!(FREED.load(Ordering::SeqCst), 0);
            assert!(!gate.pass(|_| panic!("closed")));
        });
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
        gate.drain();
        gate.close();
        gate.drain();
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn closing_waits_for_a_callback_on_another_thread() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        static INSIDE: AtomicU32 = AtomicU32::new(0);
        let gate = gate(&FREED);
        gate.open(1);
        let other = gate.clone();
        let thread = std::thread::spawn(move || {
            other.pass(|_| {
                INSIDE.store(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                INSIDE.store(2, Ordering::SeqCst);
            })
        });
        while INSIDE.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        gate.close();
        gate.drain();
        assert_eq!(INSIDE.load(Ordering::SeqCst), 2);
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_node_that_never_started_keeps_its_data() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        let gate = gate(&FREED);
        gate.abandon();
        gate.close();
        gate.drain();
        assert!(!gate.pass(|_| panic!("abandoned")));
        assert_eq!(FREED.load(Ordering::SeqCst), 0);
    }
}
