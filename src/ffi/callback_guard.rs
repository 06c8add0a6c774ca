//! The guard in front of the callbacks of a program.
//!
//! ```text
//!   waiting --open()--> open --close()--> closed, and once no callback runs: released
//! ```
//!
//! Every callback for events or log lines passes the guard. The guard holds callbacks back until
//! the program has its node, so that no callback sees a node that its program does not know yet.
//! Once the guard is closed, no callback starts, and the `user_data` is handed back exactly once:
//! by the last callback that ends, on whichever thread it runs, or by [`CallbackGuard::drain`] if
//! no callback runs. No lock is held while code of the program runs.
//!
//! A callback that runs on a thread of the program may be left without a return: by an exception,
//! by the end of the thread (pthread_exit() or pthread_cancel()), or by longjmp(). The first two
//! unwind the stack, which ends the callback here as well. A jump does not, but it leaves traces,
//! which `driver/os/frame.rs` finds.

use super::types::{sprat_event, sprat_event_cb, sprat_free_cb, sprat_log_cb, sprat_node};
use crate::driver::os::frame::{Frame, FrameMarker, Place};
use crate::driver::os::lock::{deadline, lock, wait, wait_until};
use crate::driver::os::panic;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// A `user_data` and the function that takes it back.
#[derive(Clone, Copy)]
pub(super) struct UserData {
    pub(super) data: *mut c_void,
    pub(super) free: sprat_free_cb,
}

// SAFETY: the header tells the program that its functions and data are used from other threads.
unsafe impl Send for UserData {}
// SAFETY: the header tells the program that several threads may use them at once; the library
// itself only copies the pointer.
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(data: *mut c_void, free: sprat_free_cb) -> UserData {
        UserData { data, free }
    }

    /// Hands the data back to the program.
    pub(super) fn release(self) {
        if let Some(free) = self.free {
            // SAFETY: the program gave function and data together. Either the settings or the guard
            // of a node owns them, and the owner runs this once.
            panic::outside(|| unsafe { free(self.data) });
        }
    }
}

/// A callback for events with its data.
#[derive(Clone, Copy)]
pub(super) struct EventSink {
    pub(super) call: unsafe extern "C-unwind" fn(*mut sprat_node, *const sprat_event, *mut c_void),
    pub(super) user: UserData,
}

impl EventSink {
    /// A sink for the callback, or `None` if it is NULL.
    pub(super) fn new(cb: sprat_event_cb, user: UserData) -> Option<EventSink> {
        cb.map(|call| EventSink { call, user })
    }
}

/// A callback for log lines with its data.
#[derive(Clone, Copy)]
pub(super) struct LogSink {
    pub(super) call: unsafe extern "C-unwind" fn(
        c_int,
        *const std::ffi::c_char,
        *const std::ffi::c_char,
        *mut c_void,
    ),
    pub(super) user: UserData,
}

impl LogSink {
    /// A sink for the callback, or `None` if it is NULL.
    pub(super) fn new(cb: sprat_log_cb, user: UserData) -> Option<LogSink> {
        cb.map(|call| LogSink { call, user })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Open,
    Closed,
    Releasing,
    Released,
}

/// The interval at which a thread that waits for the end of all callbacks looks for callbacks that
/// were left without a return.
const CHECK: Duration = Duration::from_millis(50);

struct State {
    phase: Phase,
    /// The frames of the library's functions that are running a callback, on any thread.
    running: Vec<Frame>,
    /// The number that callbacks get as their node.
    handle: usize,
    /// True once the node and its threads have ended.
    ended: bool,
}

impl State {
    /// Returns true if the code at `here` was called by one of this node's callbacks.
    fn is_inside(&self, here: Place) -> bool {
        self.running.iter().any(|it| it.is_around(here))
    }

    /// Forgets the callbacks that were left without a return, as far as the code at `here` can
    /// tell.
    fn forget_left(&mut self, here: Place) {
        self.running.retain(|it| !it.was_left(here));
    }
}

/// The guard of one node, which all its callbacks pass.
pub(super) struct CallbackGuard {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) event: Option<EventSink>,
    pub(super) log: Option<LogSink>,
}

impl CallbackGuard {
    /// Makes a guard that holds these callbacks back.
    pub(super) fn new(event: Option<EventSink>, log: Option<LogSink>) -> CallbackGuard {
        let state = State {
            phase: Phase::Waiting,
            running: Vec::new(),
            handle: 0,
            ended: false,
        };
        CallbackGuard {
            state: Mutex::new(state),
            changed: Condvar::new(),
            event,
            log,
        }
    }

    /// Lets callbacks pass, since the program knows its node now.
    pub(super) fn open(&self, handle: usize) {
        let mut state = lock(&self.state);
        state.phase = Phase::Open;
        state.handle = handle;
        self.changed.notify_all();
    }

    /// Notes that the node never started: no callback passes, and the settings keep the data.
    pub(super) fn abandon(&self) {
        lock(&self.state).phase = Phase::Released;
        self.changed.notify_all();
    }

    /// Closes the guard: no further callback passes.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Waiting | Phase::Open) {
            state.phase = Phase::Closed;
        }
        self.changed.notify_all();
    }

    /// Returns true if callbacks pass: from the start of the node until it is freed.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.state).phase == Phase::Open
    }

    /// Waits, after `close`, until no callback runs and the data is handed back. Inside one of this
    /// node's callbacks it does not wait; the last callback hands the data back when it ends.
    pub(super) fn drain(&self, here: Place) {
        loop {
            self.release_if_last(here);
            let state = lock(&self.state);
            if state.phase == Phase::Released || state.is_inside(here) {
                return;
            }
            // A callback that returns wakes this thread, but a callback that is left might not.
            let is_released = |state: &mut State| state.phase == Phase::Released;
            drop(wait_until(
                &self.changed,
                state,
                deadline(Some(CHECK)),
                is_released,
            ));
        }
    }

    /// Notes that the node and its threads have ended, and that no call uses them any more.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits for the end of the node. Inside one of this node's callbacks it does not wait, since
    /// the node cannot end before that callback does.
    pub(super) fn wait_for_end(&self, here: Place) {
        let state = lock(&self.state);
        if !state.is_inside(here) {
            drop(wait(&self.changed, state, |state| state.ended));
        }
    }

    /// Waits until the guard is open or closed. Runs `call` with the number of the node if it is
    /// open, and returns whether `call` ran.
    pub(super) fn pass(&self, call: impl FnOnce(*mut sprat_node)) -> bool {
        let is_decided = |state: &mut State| state.phase != Phase::Waiting;
        let mut state = wait(&self.changed, lock(&self.state), is_decided);
        if state.phase != Phase::Open {
            return false;
        }
        // A callback that was left may have had its variable at the same address. The number of
        // the new variable replaces the old number there, so `forget_left` sees that the callback
        // is gone.
        let variable = FrameMarker::new();
        let frame = variable.frame();
        state.forget_left(frame.place());
        state.running.push(frame);
        let handle = state.handle;
        drop(state);

        let _entered = Entered { guard: self, frame };
        panic::outside(|| call(ptr::without_provenance_mut(handle)));
        std::hint::black_box(&variable); // keeps the variable for as long as the callback runs
        true
    }

    /// Gives an event to the callback that the settings name.
    pub(super) fn give_event(&self, event: *const sprat_event) -> bool {
        let Some(EventSink { call, user }) = self.event else {
            return false;
        };
        // SAFETY: the program gave this function together with this data, and `event` is valid for
        // the length of the call.
        self.pass(|node| unsafe { call(node, event, user.data) })
    }

    /// Gives a line of the log to the callback that the settings name.
    pub(super) fn give_log(&self, level: c_int, target: &CStr, message: &CStr) -> bool {
        let Some(LogSink { call, user }) = self.log else {
            return false;
        };
        // SAFETY: the program gave this function together with this data, and both strings are
        // valid for the length of the call.
        self.pass(|_| unsafe { call(level, target.as_ptr(), message.as_ptr(), user.data) })
    }

    /// Hands the data back if the guard is closed and no callback runs. Of several threads that
    /// try, only one does so.
    fn release_if_last(&self, here: Place) {
        let mut state = lock(&self.state);
        state.forget_left(here);
        if state.phase != Phase::Closed || !state.running.is_empty() {
            return;
        }
        state.phase = Phase::Releasing;
        drop(state);
        if let Some(sink) = self.event {
            sink.user.release();
        }
        if let Some(sink) = self.log {
            sink.user.release();
        }
        lock(&self.state).phase = Phase::Released;
        self.changed.notify_all();
    }
}

/// Notes the end of a callback when dropped: when the callback returns, and also when an exception
/// or the end of its thread unwinds the stack.
struct Entered<'a> {
    guard: &'a CallbackGuard,
    frame: Frame,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        lock(&self.guard.state)
            .running
            .retain(|it| *it != self.frame);
        self.guard.release_if_last(Place::here());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    unsafe extern "C" fn count(data: *mut c_void) {
        // SAFETY: the tests pass a counter that outlives the guard.
        unsafe { &*data.cast::<AtomicU32>() }.fetch_add(1, Ordering::SeqCst);
    }

    unsafe extern "C-unwind" fn ignore(_: *mut sprat_node, _: *const sprat_event, _: *mut c_void) {}

    fn guard(freed: &'static AtomicU32) -> Arc<CallbackGuard> {
        let data = ptr::from_ref(freed).cast_mut().cast();
        let user = UserData {
            data,
            free: Some(count),
        };
        Arc::new(CallbackGuard::new(EventSink::new(Some(ignore), user), None))
    }

    /// Drains the guard from a stack frame of its own, like the function that the program calls. If
    /// it were inlined, its [`Place`] could be on either side of its caller's variables.
    #[inline(never)]
    fn drain(guard: &CallbackGuard) {
        guard.drain(Place::here());
    }

    #[test]
    fn no_callback_passes_before_the_program_knows_its_node() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let guard = guard(&FREED);
        let other = guard.clone();
        let thread = std::thread::spawn(move || {
            other.pass(|node| PASSED.store(node.addr() as u32, Ordering::SeqCst))
        });
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(PASSED.load(Ordering::SeqCst), 0);
        guard.open(7);
        assert!(thread.join().unwrap());
        assert_eq!(PASSED.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn data_is_handed_back_once_when_the_last_callback_has_ended() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        let guard = guard(&FREED);
        guard.open(1);
        guard.pass(|_| {
            guard.close();
            drain(&guard); // returns at once inside a callback
            assert_eq!(FREED.load(Ordering::SeqCst), 0);
            assert!(!guard.pass(|_| panic!("a callback passed a closed guard")));
        });
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
        drain(&guard);
        guard.close();
        drain(&guard);
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn draining_waits_for_a_callback_on_another_thread() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        static INSIDE: AtomicU32 = AtomicU32::new(0);
        let guard = guard(&FREED);
        guard.open(1);
        let other = guard.clone();
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
        guard.close();
        drain(&guard);
        assert_eq!(INSIDE.load(Ordering::SeqCst), 2);
        assert_eq!(FREED.load(Ordering::SeqCst), 1);
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_node_that_never_started_keeps_its_data() {
        static FREED: AtomicU32 = AtomicU32::new(0);
        let guard = guard(&FREED);
        guard.abandon();
        guard.close();
        drain(&guard);
        assert!(!guard.pass(|_| panic!("a callback passed an abandoned guard")));
        assert_eq!(FREED.load(Ordering::SeqCst), 0);
    }
}
