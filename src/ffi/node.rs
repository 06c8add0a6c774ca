//! Life of a node: start, join, leave, shutdown, free.

use super::callback_guard::CallbackGuard;
use super::config::sprat_config;
use super::handle::{self, NodeSlot};
use super::numbers::sprat_remove_flags;
use super::record::EventRecord;
use super::types::sprat_node;
use super::{args, entry, events, threads};
use crate::driver::{EventCallback, Node};
use crate::error::{Error, Result, Status};
use crate::event::Event;
use crate::vocabulary::NodeState;
use std::ffi::{c_char, c_int, c_uint};
use std::ptr;
use std::sync::Arc;

/// Starts a node: binds its sockets and starts its threads. It is a cluster of its own until it
/// joins another, or another joins it.
///
/// The settings are copied and may be freed at once; callbacks and their user_data now belong to
/// the node. Settings whose callback has a free_user_data start one node only: set the callback
/// again for the next.
///
/// @param config  the settings
/// @param out     where the node goes, to be ended with sprat_node_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_CONFIG if a setter failed or settings contradict each other;
///         SPRAT_ERR_STATE if user_data already has an owner; SPRAT_ERR_ADDRESS or SPRAT_ERR_IO if
///         the address cannot be bound or no thread can be created; SPRAT_ERR_NULL.
///
/// Waits for the operating system only. Thread-safe as long as config is not shared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_start(
    config: *const sprat_config,
    out: *mut *mut sprat_node,
) -> c_int {
    entry::status("sprat_node_start", || {
        // SAFETY: the program passes NULL or a place for a node.
        unsafe { args::out("out", out, ptr::null_mut())? };
        // SAFETY: the program passes NULL or settings that it has not freed.
        let config = unsafe { config.as_ref() }.ok_or_else(|| args::null("config"))?;
        config.check_set()?;
        config.check_callbacks()?;
        let guard = Arc::new(CallbackGuard::new(config.event.sink, config.log.sink));
        let number = start(config, &guard).inspect_err(|_| guard.abandon())?;
        config.hand_over();
        // SAFETY: not NULL, and the program's promise.
        unsafe { out.write(ptr::without_provenance_mut(number)) };
        guard.open(number);
        Ok(())
    })
}

/// Starts the node, and returns its number. Its guard still holds callbacks back.
fn start(config: &sprat_config, guard: &Arc<CallbackGuard>) -> Result<usize> {
    let callback = guard.event.map(|_| {
        let guard = guard.clone();
        Box::new(move |event: &Event| deliver(&guard, event)) as EventCallback
    });
    let node = Node::start_with(&config.config, callback, threads::spawner(config.spawn))?;
    let slot = NodeSlot::new(node.clone(), guard.clone());
    handle::insert(Arc::new(slot)).inspect_err(|_| guard.abandon())
}

/// On the event thread: one event to the callback it is meant for.
fn deliver(guard: &CallbackGuard, event: &Event) {
    if !events::give_line(guard, event) {
        let record = EventRecord::new(event, false);
        guard.give_event(record.as_ptr());
    }
}

/// Joins a cluster: contacts every address in turn and exchanges lists of members with it.
///
/// After sprat_node_leave() it takes part again first.
///
/// @param node        the node
/// @param addrs       addresses as "10.0.0.1:7946", "[::1]:7946", "10.0.0.1", "host" or
///                    "host:7946"; without a port, 7946 is used
/// @param naddrs      how many, 1 to 4096
/// @param flags       must be 0
/// @param timeout_ms  how long to wait in milliseconds, -1 without limit, 0 not at all
/// @return how many answered, 1 or more; SPRAT_ERR_UNREACHABLE if nobody did, or
///         SPRAT_ERR_ADDRESS, SPRAT_ERR_CRYPTO, SPRAT_ERR_PROTOCOL or SPRAT_ERR_NAME_CONFLICT if
///         that is explain; SPRAT_ERR_TIMEOUT, the attempt goes on then; SPRAT_ERR_INVALID for no
///         address, flags or time; SPRAT_ERR_CLOSED, also when the node is shut down meanwhile;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL; SPRAT_ERR_UTF8;
///         SPRAT_ERR_TOO_LARGE.
///
/// Thread-safe. Allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_join(
    node: *mut sprat_node,
    addrs: *const *const c_char,
    naddrs: usize,
    flags: c_uint,
    timeout_ms: c_int,
) -> c_int {
    entry::number("sprat_node_join", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes so many strings.
        let addrs = unsafe { addresses(addrs, naddrs, flags)? };
        let count = slot.node.join(&addrs, args::timeout(timeout_ms)?)?;
        Ok(c_int::try_from(count).unwrap_or(c_int::MAX))
    })
}

/// Joins like sprat_node_join() but does not wait: the end arrives as an event of kind
/// SPRAT_EVENT_DONE with the same number in `id`, and SPRAT_OK or the reason in `status`.
///
/// @param node    the node
/// @param addrs   as for sprat_node_join()
/// @param naddrs  how many, 1 to 4096
/// @param flags   must be 0
/// @param id      where the number of the operation goes; may be NULL
/// @return SPRAT_OK once it has begun; else as sprat_node_join(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_join_async(
    node: *mut sprat_node,
    addrs: *const *const c_char,
    naddrs: usize,
    flags: c_uint,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_join_async", || {
        // SAFETY: the program passes NULL or a place for a number.
        unsafe { args::give(id, 0) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes so many strings.
        let addrs = unsafe { addresses(addrs, naddrs, flags)? };
        let number = slot.node.join_async(&addrs)?;
        // SAFETY: as above.
        unsafe { args::give(id, number) };
        Ok(())
    })
}

/// The addresses of a join.
///
/// # Safety
/// `addrs` is NULL or points to `naddrs` strings that outlive `'a`.
unsafe fn addresses<'a>(
    addrs: *const *const c_char,
    naddrs: usize,
    flags: c_uint,
) -> Result<Vec<&'a str>> {
    args::flags(flags, 0)?;
    // SAFETY: the caller's promise.
    let list = unsafe { args::list("addrs", addrs, naddrs)? };
    if list.is_empty() {
        return Err(Error::new(
            Status::Invalid,
            "naddrs is 0, allowed are 1 to 4096",
        ));
    }
    // SAFETY: the caller's promise.
    let each =
        |(i, at): (usize, &*const c_char)| unsafe { args::string(&format!("addrs[{i}]"), *at) };
    list.iter().enumerate().map(each).collect()
}

/// Leaves the cluster: announces it and waits until the news has spread, so that nobody sees a
/// failure. The node still answers and lists members afterwards, and may join again.
///
/// @param node        the node
/// @param timeout_ms  how long to wait in milliseconds, -1 without limit, 0 not at all
/// @return SPRAT_OK, also if it had left already; SPRAT_ERR_TIMEOUT, the departure goes on then;
///         SPRAT_ERR_CLOSED, also when the node is shut down meanwhile; SPRAT_ERR_INVALID for
///         another time; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
///
/// Thread-safe. Allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_leave(node: *mut sprat_node, timeout_ms: c_int) -> c_int {
    entry::status("sprat_node_leave", || {
        let slot = handle::get(node)?;
        let timeout = args::timeout(timeout_ms)?;
        // Who has left has nothing to wait for, not even with no time at all.
        if slot.node.state() == NodeState::Left {
            return Ok(());
        }
        slot.node.leave(timeout)
    })
}

/// Leaves like sprat_node_leave() but does not wait: the end arrives as an event of kind
/// SPRAT_EVENT_DONE with the same number in `id`.
///
/// @param node  the node
/// @param id    where the number of the operation goes; may be NULL
/// @return SPRAT_OK once it has begun; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_leave_async(node: *mut sprat_node, id: *mut u64) -> c_int {
    entry::status("sprat_node_leave_async", || {
        // SAFETY: the program passes NULL or a place for a number.
        unsafe { args::give(id, 0) };
        let number = handle::get(node)?.node.leave_async()?;
        // SAFETY: as above.
        unsafe { args::give(id, number) };
        Ok(())
    })
}

/// Stops a node at once and without a word: the others will see a failure, unless it left before.
///
/// Calls that wait for the node return SPRAT_ERR_CLOSED. Queued events, the members, counters and
/// the state can still be read until sprat_node_free().
///
/// @param node  the node
/// @return SPRAT_OK, also if it was shut down before; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
///         Thread-safe. Allowed in a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_shutdown(node: *mut sprat_node) -> c_int {
    entry::status("sprat_node_shutdown", || {
        handle::get(node)?.node.shutdown();
        Ok(())
    })
}

/// Ends a node: shuts it down and releases everything. Afterwards every function answers it with
/// SPRAT_ERR_HANDLE, for ever.
///
/// When it returns, no callback runs or will run, free_user_data has been called, and the node's
/// threads and descriptors are gone. Calls of other threads that wait for the node return
/// SPRAT_ERR_CLOSED, others finish safely. Inside one
/// of the node's own callbacks it returns at once; that callback is then the last one, and
/// free_user_data is called when it ends.
///
/// Do not hold a lock that a callback waits for: this call waits for the callback.
///
/// @param node  the node; NULL, a freed one and one of the parent process do nothing
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_free(node: *mut sprat_node) {
    entry::quiet("sprat_node_free", (), || {
        let Ok(slot) = handle::remove(node) else {
            return;
        };
        // Shut first: then the callbacks that are still queued fall through, and shutting down
        // ends the waiting of one that runs.
        slot.guard.close();
        slot.node.shutdown();
        slot.guard.drain();
        // Calls of other threads end soon now; the last one ends the node.
        let guard = slot.guard.clone();
        drop(slot);
        guard.wait_for_end();
    });
}

/// What a node is doing.
///
/// @param node  the node
/// @return an enum sprat_node_state; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_state(node: *const sprat_node) -> c_int {
    entry::number("sprat_node_state", || {
        Ok(handle::get(node)?.node.state() as c_int)
    })
}

/// The address that the others reach this node at, with its real port, as "10.0.0.1:7946".
///
/// @param node  the node
/// @param buf   where it goes, NUL-terminated; 64 bytes are always enough
/// @param size  size of buf in bytes
/// @return SPRAT_OK; SPRAT_ERR_BUFFER if buf is too small, it holds the beginning then;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_addr(
    node: *const sprat_node,
    buf: *mut c_char,
    size: usize,
) -> c_int {
    entry::status("sprat_node_addr", || {
        // SAFETY: the program passes NULL or a buffer of this size.
        unsafe { args::blank(buf, size) };
        let addr = handle::get(node)?.node.addr();
        // SAFETY: as above.
        unsafe { args::fill(buf, size, &addr.to_string()) }
    })
}

/// Tells the cluster that a failed member will not come back: it counts as one that left.
///
/// @param node   the node
/// @param name   name of the member
/// @param flags  0, or SPRAT_REMOVE_PRUNE to erase it from the lists at once
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member; SPRAT_ERR_STATE if it has not
///         failed; SPRAT_ERR_INVALID for other flags; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_remove_failed(
    node: *mut sprat_node,
    name: *const c_char,
    flags: c_uint,
) -> c_int {
    const PRUNE: c_uint = sprat_remove_flags::SPRAT_REMOVE_PRUNE as c_uint;
    entry::status("sprat_node_remove_failed", || {
        let slot = handle::get(node)?;
        args::flags(flags, PRUNE)?;
        // SAFETY: the program passes a string.
        let name = unsafe { args::string("name", name)? };
        slot.node.remove_failed(name, flags & PRUNE != 0)
    })
}
