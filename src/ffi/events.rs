//! Taking events: one by one, several at once, or through a function on the caller's thread.
//!
//! Lines of the log that have a callback of their own are given to it on the way and not counted.

use super::callback_guard::Gate;
use super::handle::{self, Held};
use super::record::EventRecord;
use super::types::{sprat_event, sprat_event_cb, sprat_node};
use super::{args, entry};
use crate::error::{Error, Result, Status};
use crate::event::{Event, EventBody};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;

/// Events given by one call of sprat_node_dispatch(), so that it ends under any flood.
const BATCH: usize = 4096;

/// Lines of the log that one waiting call gives away in a row before it looks at its time again.
const LOG_LINES: usize = 4096;

/// Takes one event; `None` when the time is up.
fn take(held: &Held, timeout: Option<Duration>) -> Result<Option<Event>> {
    let deadline = timeout.map(|timeout| now().saturating_add(timeout));
    let mut left = timeout;
    for _ in 0..LOG_LINES {
        match held.node.next_event(left)? {
            Some(event) if give_line(&held.gate, &event) => {}
            other => return Ok(other),
        }
        left = deadline.map(|deadline| deadline.saturating_sub(now()));
    }
    Ok(None)
}

/// Gives a line of the log to the callback for such lines. False if the event is something else, or
/// there is no such callback.
pub(super) fn give_line(gate: &Gate, event: &Event) -> bool {
    match &event.body {
        EventBody::Log {
            level,
            target,
            text,
        } if gate.log.is_some() => {
            gate.give_log(level.number(), &args::text(target), &args::text(text));
            true
        }
        _ => false,
    }
}

/// The monotonic clock, for the rest of a waiting time only.
fn now() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the result; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// With a callback in the settings the events are the library's thread's to take.
fn check_reader(held: &Held) -> Result<()> {
    if held.gate.event.is_some() {
        let message = "node delivers its events to the callback of its settings";
        return Err(Error::new(Status::State, message));
    }
    Ok(())
}

/// A descriptor for poll(), epoll or select(): readable exactly while events are queued, and for
/// ever after sprat_node_shutdown(). Only poll it; never read, write or close it. It lives until
/// sprat_node_free().
///
/// @param node  the node
/// @return the descriptor; SPRAT_ERR_STATE if the settings have an event callback;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_fd(node: *const sprat_node) -> c_int {
    entry::number("sprat_node_fd", || {
        let held = handle::get(node)?;
        check_reader(&held)?;
        held.node.fd()
    })
}

/// Takes the next event. Several threads that do share the events between them.
///
/// @param node        the node
/// @param timeout_ms  how long to wait in milliseconds, -1 without limit, 0 not at all
/// @param out         where the event goes, to be freed with sprat_event_free(); it may outlive the
///                    node. NULL if there is none
/// @return 1 for an event, 0 when the time is up; SPRAT_ERR_CLOSED after the last event of a node
///         that was shut down; SPRAT_ERR_STATE if the settings have an event callback;
///         SPRAT_ERR_INVALID for another time; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED;
///         SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_next_event(
    node: *mut sprat_node,
    timeout_ms: c_int,
    out: *mut *const sprat_event,
) -> c_int {
    entry::number("sprat_node_next_event", || {
        // SAFETY: the program passes NULL or a place for an event.
        unsafe { args::out("out", out, ptr::null())? };
        let held = handle::get(node)?;
        check_reader(&held)?;
        let Some(event) = take(&held, args::timeout(timeout_ms)?)? else {
            return Ok(0);
        };
        // SAFETY: not NULL, and the program's promise.
        unsafe { out.write(EventRecord::new(&event, true).into_raw()) };
        Ok(1)
    })
}

/// Takes the next events, up to max: waits for the first, then takes what else is queued.
///
/// @param node        the node
/// @param timeout_ms  how long to wait for the first in milliseconds, as above
/// @param out         where the events go, each to be freed with sprat_event_free(); the rest is
///                    NULL
/// @param max         places in out, 1 to 4096
/// @return how many, 0 when the time is up; else as sprat_node_next_event(), and SPRAT_ERR_INVALID
///         or SPRAT_ERR_TOO_LARGE for another max. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_next_events(
    node: *mut sprat_node,
    timeout_ms: c_int,
    out: *mut *const sprat_event,
    max: usize,
) -> c_int {
    entry::number("sprat_node_next_events", || {
        if max == 0 {
            return Err(Error::new(
                Status::Invalid,
                "max is 0, allowed are 1 to 4096",
            ));
        }
        if max > args::LIST_LEN {
            let message = format!("max is {max}, allowed are 1 to {}", args::LIST_LEN);
            return Err(Error::new(Status::TooLarge, message));
        }
        for i in 0..max {
            // SAFETY: the program passes NULL or so many places.
            unsafe { args::out("out", out.wrapping_add(i), ptr::null())? };
        }
        let held = handle::get(node)?;
        check_reader(&held)?;
        let mut wait = args::timeout(timeout_ms)?;
        let mut count = 0;
        while count < max {
            let event = match take(&held, wait) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                // What was taken is given out; the error comes with the next call.
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            };
            // SAFETY: `count` is below `max`, and the program's promise.
            unsafe {
                out.add(count)
                    .write(EventRecord::new(&event, true).into_raw())
            };
            count += 1;
            wait = Some(Duration::ZERO);
        }
        Ok(count as c_int)
    })
}

/// Waits like sprat_node_next_event(), then calls cb on this thread for everything that is queued.
/// The events are borrowed: nothing to free.
///
/// @param node        the node
/// @param timeout_ms  how long to wait for the first event in milliseconds, as above
/// @param cb          the function to call; it may free the node, which ends the round
/// @param user_data   passed to it
/// @return how many events were given to cb, 0 when the time is up; else as
///         sprat_node_next_event(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_dispatch(
    node: *mut sprat_node,
    timeout_ms: c_int,
    cb: sprat_event_cb,
    user_data: *mut c_void,
) -> c_int {
    entry::number("sprat_node_dispatch", || {
        let held = handle::get(node)?;
        let call = cb.ok_or_else(|| args::null("cb"))?;
        check_reader(&held)?;
        let mut wait = args::timeout(timeout_ms)?;
        let mut count = 0;
        while count < BATCH && held.gate.is_open() {
            let event = match take(&held, wait) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            };
            let record = EventRecord::new(&event, false);
            // SAFETY: the program's function, with the data it was given for.
            if !held
                .gate
                .pass(|node| unsafe { call(node, record.as_ptr(), user_data) })
            {
                break;
            }
            count += 1;
            wait = Some(Duration::ZERO);
        }
        Ok(count as c_int)
    })
}

/// Copies an event, so that it outlives the callback that got it.
///
/// @param event  the event
/// @return a copy to be freed with sprat_event_free(); NULL if event is NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_event_copy(event: *const sprat_event) -> *const sprat_event {
    entry::value("sprat_event_copy", ptr::null(), || {
        // SAFETY: the program passes NULL or an event that lives.
        let record = unsafe { EventRecord::from_ptr(event) }.ok_or_else(|| args::null("event"))?;
        Ok(record.copy().into_raw())
    })
}

/// Ends an event that sprat_node_next_event(), sprat_node_next_events() or sprat_event_copy() gave.
///
/// @param event  the event; NULL does nothing, and neither does one that a callback borrows
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_event_free(event: *const sprat_event) {
    // SAFETY: the program passes an event that it has not freed, and uses it no more.
    entry::quiet("sprat_event_free", (), || unsafe {
        EventRecord::free(event)
    });
}
