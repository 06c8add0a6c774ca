//! Events for C programs: one at a time, several at once, or through a function on the caller's
//! thread.
//!
//! If the settings have a log callback, log lines are given to that callback and do not count as
//! events.

use super::callback_guard::CallbackGuard;
use super::handle::{self, NodeSlot};
use super::record::EventRecord;
use super::types::{sprat_event, sprat_event_cb, sprat_node};
use super::{args, entry};
use crate::driver::os::clock;
use crate::error::{Error, Result, Status};
use crate::event::{Event, EventBody};
use crate::time::Time;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

/// Reads the events of a node for one call of a program.
///
/// The code of the program, such as the callback for log lines, runs between two calls of
/// [`Reader::next`], outside of every step that catches a panic.
///
/// The reader does not keep the node alive between two calls of [`Reader::next`]: if the callback
/// is left by longjmp(), the node can still end.
struct Reader {
    node: *const sprat_node,
    /// The time at which the reader stops waiting; `None` if it waits without limit.
    deadline: Option<Time>,
    /// The number of events that the reader may still take once it has stopped waiting: the events
    /// that were queued at that time. So a call ends even if events keep coming, or if the callback
    /// for log lines causes further lines.
    left: Option<usize>,
}

impl Reader {
    /// Makes a reader for a node that has no event callback.
    fn new(node: *const sprat_node, timeout_ms: c_int) -> Result<Reader> {
        check_reader(&*handle::get(node)?)?;
        let timeout = args::timeout(timeout_ms)?;
        let deadline = timeout.map(|timeout| clock::now() + timeout);
        Ok(Reader {
            node,
            deadline,
            left: None,
        })
    }

    /// Takes the next event, which may be a line of the log; `None` when the time is up.
    fn next(&mut self) -> Result<Option<Taken>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let slot = handle::get(self.node).map_err(freed)?;
        let timeout = self.deadline.map(|it| it.since(clock::now()));
        let Some(event) = slot.node.next_event(timeout)? else {
            return Ok(None);
        };
        let waiting = slot.node.events_waiting();
        self.left = match self.left {
            Some(left) => Some(left - 1),
            None => timeout.is_some_and(|it| it.is_zero()).then_some(waiting),
        };
        let guard = slot.guard.clone();
        Ok(Some(Taken {
            event,
            guard,
            waiting,
        }))
    }

    /// Lets the reader take only the events that were queued behind the last one taken.
    fn stop_waiting(&mut self, waiting: usize) {
        self.deadline = Some(Time::ZERO);
        self.left.get_or_insert(waiting);
    }
}

/// Returns the error of a call whose node was freed after the call had begun.
fn freed(error: Error) -> Error {
    match error.status {
        Status::Handle => Error::new(Status::Closed, "the node was freed"),
        _ => error,
    }
}

/// An event that was taken from the queue.
struct Taken {
    event: Event,
    guard: Arc<CallbackGuard>,
    /// The number of events that were queued behind it.
    waiting: usize,
}

/// Signals once more when dropped, if events are left. A poller that reports only changes (EPOLLET)
/// would otherwise not report events that came while the descriptor was readable.
struct SignalAgain(*const sprat_node);

impl Drop for SignalAgain {
    fn drop(&mut self) {
        entry::quiet("sprat_node_fd", (), || {
            if let Ok(slot) = handle::get(self.0) {
                slot.node.signal_again();
            }
        });
    }
}

/// Gives a line of the log to the callback for such lines. Returns false if the event is something
/// else, or there is no such callback.
pub(super) fn give_line(guard: &CallbackGuard, event: &Event) -> bool {
    match &event.body {
        EventBody::Log {
            level,
            target,
            text,
        } if guard.log.is_some() => {
            guard.give_log(level.number(), &args::text(target), &args::text(text));
            true
        }
        _ => false,
    }
}

/// Refuses the call if the settings have an event callback, because that callback takes the events.
fn check_reader(slot: &NodeSlot) -> Result<()> {
    if slot.guard.event.is_some() {
        let message = "node delivers its events to the callback of its settings";
        return Err(Error::new(Status::State, message));
    }
    Ok(())
}

/// Returns a descriptor for poll(), epoll or select(). It is readable exactly while events are
/// queued, and permanently once the node has ended. Only poll it; never read, write or close it. It
/// is valid until sprat_node_free().
///
/// @param node  the node
/// @return the descriptor; SPRAT_ERR_STATE if the settings have an event callback;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_fd(node: *const sprat_node) -> c_int {
    entry::number("sprat_node_fd", || {
        let slot = handle::get(node)?;
        check_reader(&slot)?;
        slot.node.fd()
    })
}

/// Takes the next event. Several threads that call this share the events between them.
///
/// @param node        the node
/// @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait
/// @param out         receives the event, to be freed with sprat_event_free(), or NULL if there is
///                    none; the event may outlive the node
/// @return 1 for an event, 0 when the time is up; SPRAT_ERR_CLOSED after the last event of a node
///         that was shut down; SPRAT_ERR_INTERNAL after the last event of a node that is broken;
///         SPRAT_ERR_STATE if the settings have an event callback; SPRAT_ERR_INVALID if timeout_ms
///         is below -1; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sprat_node_next_event(
    node: *mut sprat_node,
    timeout_ms: c_int,
    out: *mut *const sprat_event,
) -> c_int {
    const NAME: &str = "sprat_node_next_event";
    let begin = || {
        // SAFETY: `out` is NULL or a place for a pointer, as the program promises.
        unsafe { args::out("out", out, ptr::null())? };
        Reader::new(node, timeout_ms)
    };
    let mut reader = match entry::step(NAME, begin) {
        Ok(reader) => reader,
        Err(status) => return status,
    };
    loop {
        match entry::step(NAME, || reader.next()) {
            Ok(Some(taken)) if give_line(&taken.guard, &taken.event) => {}
            Ok(Some(Taken { event, .. })) => {
                // SAFETY: `args::out` above returned an error for NULL, and the program promises a
                // place.
                unsafe { out.write(EventRecord::new(&event, true).into_raw()) };
                return 1;
            }
            Ok(None) => return 0,
            Err(status) => return status,
        }
    }
}

/// Takes the next events, up to max: waits for the first one, then takes the others that are
/// queued.
///
/// @param node        the node
/// @param timeout_ms  how long to wait for the first event in milliseconds; -1 waits without limit,
///                    0 does not wait
/// @param out         receives the events, each to be freed with sprat_event_free(); the remaining
///                    entries become NULL
/// @param max         the number of entries in out, 1 to 4096
/// @return the number of events; 0 when the time is up; SPRAT_ERR_INVALID if max is 0;
///         SPRAT_ERR_TOO_LARGE if max is greater than 4096; otherwise as sprat_node_next_event().
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sprat_node_next_events(
    node: *mut sprat_node,
    timeout_ms: c_int,
    out: *mut *const sprat_event,
    max: usize,
) -> c_int {
    const NAME: &str = "sprat_node_next_events";
    let begin = || {
        check_max(max)?;
        for i in 0..max {
            // SAFETY: `out` is NULL or has `max` places, as the program promises, and `i` < `max`.
            unsafe { args::out("out", out.wrapping_add(i), ptr::null())? };
        }
        Reader::new(node, timeout_ms)
    };
    let mut reader = match entry::step(NAME, begin) {
        Ok(reader) => reader,
        Err(status) => return status,
    };
    let _again = SignalAgain(node);
    let mut count = 0;
    while count < max {
        match entry::step(NAME, || reader.next()) {
            Ok(Some(taken)) if give_line(&taken.guard, &taken.event) => {}
            Ok(Some(Taken { event, waiting, .. })) => {
                // SAFETY: `out` has `max` places, as the program promises, and `count` < `max`.
                unsafe {
                    out.add(count)
                        .write(EventRecord::new(&event, true).into_raw())
                };
                count += 1;
                reader.stop_waiting(waiting);
            }
            Ok(None) => break,
            Err(status) if count == 0 => return status,
            // The events taken so far are delivered; the next call returns the error.
            Err(_) => break,
        }
    }
    count as c_int
}

fn check_max(max: usize) -> Result<()> {
    if max == 0 {
        return Err(Error::new(Status::Invalid, "max is 0, allowed: 1 to 4096"));
    }
    if max > args::LIST_LEN {
        let message = format!("max is {max}, allowed: 1 to {}", args::LIST_LEN);
        return Err(Error::new(Status::TooLarge, message));
    }
    Ok(())
}

/// Waits like sprat_node_next_event(), then calls cb on this thread for each event that is queued
/// at that moment. If further events have come meanwhile, the descriptor signals once more, also to
/// a poller that reports only changes. The events are borrowed: cb must not free them.
///
/// An exception may leave cb, cb may call pthread_exit(), and pthread_cancel() may end the thread
/// in cb: the event then counts as delivered, the other events stay queued, and any thread can use
/// and free the node as usual. longjmp() out of cb, as lua_error() does, leaks the event that was
/// given to cb. After such a jump, sprat_node_free() on another thread waits until the library can
/// tell that cb was left. It can tell when the thread that jumped sleeps outside of cb, overwrites
/// that part of its stack, calls this function again, or ends.
///
/// @param node        the node
/// @param timeout_ms  how long to wait for the first event in milliseconds; -1 waits without limit,
///                    0 does not wait
/// @param cb          the function to call; it may free the node, which ends the call
/// @param user_data   passed to cb
/// @return the number of events that cb was called with; 0 when the time is up; otherwise as
///         sprat_node_next_event(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sprat_node_dispatch(
    node: *mut sprat_node,
    timeout_ms: c_int,
    cb: sprat_event_cb,
    user_data: *mut c_void,
) -> c_int {
    const NAME: &str = "sprat_node_dispatch";
    let begin = || {
        let reader = Reader::new(node, timeout_ms)?;
        let call = cb.ok_or_else(|| args::null("cb"))?;
        Ok((reader, call))
    };
    let (mut reader, call) = match entry::step(NAME, begin) {
        Ok(begun) => begun,
        Err(status) => return status,
    };
    let _again = SignalAgain(node);
    let mut count = 0;
    loop {
        let Taken {
            event,
            guard,
            waiting,
        } = match entry::step(NAME, || reader.next()) {
            Ok(Some(taken)) => taken,
            Ok(None) => break,
            Err(status) if count == 0 => return status,
            Err(_) => break,
        };
        if give_line(&guard, &event) {
            continue;
        }
        reader.stop_waiting(waiting);
        let record = EventRecord::new(&event, false);
        // SAFETY: the program promises that `call` may be called with `user_data`, and `record`
        // lives until the call returns.
        if !guard.pass(|node| unsafe { call(node, record.as_ptr(), user_data) }) {
            reader.left = None; // the node was freed: `next` says so
            continue;
        }
        count += 1;
        if !guard.is_open() {
            break; // the callback has freed the node
        }
    }
    count
}

/// Copies an event, so that the copy outlives the callback that was given the event.
///
/// @param event  the event
/// @return a copy to be freed with sprat_event_free(); NULL if event is NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_event_copy(event: *const sprat_event) -> *const sprat_event {
    entry::value("sprat_event_copy", ptr::null(), || {
        // SAFETY: `event` is NULL or an event that is not freed, as the program promises.
        let record = unsafe { EventRecord::from_ptr(event) }.ok_or_else(|| args::null("event"))?;
        Ok(record.copy().into_raw())
    })
}

/// Frees an event from sprat_node_next_event(), sprat_node_next_events() or sprat_event_copy().
///
/// @param event  the event; NULL and an event that a callback borrows are ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_event_free(event: *const sprat_event) {
    // SAFETY: the program promises that the event is not freed yet and is not used afterwards.
    entry::quiet("sprat_event_free", (), || unsafe {
        EventRecord::free(event)
    });
}
