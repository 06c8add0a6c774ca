//! The life of a node: start, join, leave, shutdown, free.

use super::callback_guard::CallbackGuard;
use super::config::sprat_config;
use super::handle::{self, NodeSlot};
use super::numbers::sprat_remove_flags;
use super::operation::OperationId;
use super::record::EventRecord;
use super::types::sprat_node;
use super::{args, entry, events, threads};
use crate::driver::os::frame::Place;
use crate::driver::{EventCallback, Node};
use crate::error::{Error, Result, Status};
use crate::event::{Event, EventKind};
use crate::vocabulary::NodeState;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// The time for which a call with a timeout of 0 waits for the result of a leave that is over.
const REPEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts a node: binds its sockets and starts its threads. The node is a cluster of its own until
/// it joins other nodes or they join it.
///
/// The settings are copied and may be freed right after the call. The callbacks and their user_data
/// now belong to the node. Settings whose callback has a free_user_data can start only one node.
/// Set the callback again before starting another.
///
/// @param config  the settings
/// @param out     receives the node, to be freed with sprat_node_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_CONFIG if a setter failed, or if the settings contradict each other
///         or do not fit this host; SPRAT_ERR_STATE if the user_data of a callback belongs to
///         another node already; SPRAT_ERR_ADDRESS if an address cannot be bound, or if this host
///         has no usable address; SPRAT_ERR_IO if the keyring file cannot be read, or if the
///         system refuses a thread, a descriptor or a port; SPRAT_ERR_TOO_LARGE if the process has
///         too many nodes; SPRAT_ERR_NULL.
///
/// The call waits for the operating system only. It is thread-safe if no other thread uses config.
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
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(ptr::without_provenance_mut(number)) };
        guard.open(number);
        Ok(())
    })
}

/// Starts the node and returns its number. The guard still holds back the callbacks of the node.
fn start(config: &sprat_config, guard: &Arc<CallbackGuard>) -> Result<usize> {
    let callback = guard.event.map(|_| {
        let guard = guard.clone();
        Box::new(move |event: &Event| deliver(&guard, event)) as EventCallback
    });
    let mut settings = config.config.clone();
    if guard.log.is_some() {
        settings.queue_kind(EventKind::Log);
    }
    let node = Node::start_with(&settings, callback, threads::spawner(config.spawn))?;
    let slot = NodeSlot::new(node.clone(), guard.clone());
    handle::insert(Arc::new(slot)).inspect_err(|_| guard.abandon())
}

/// Delivers one event to the callback that it is meant for. Runs on the event thread.
fn deliver(guard: &CallbackGuard, event: &Event) {
    if !events::give_line(guard, event) {
        let record = EventRecord::new(event, false);
        guard.give_event(record.as_ptr());
    }
}

/// Joins a cluster: contacts every address and exchanges lists of members with it. After
/// sprat_node_leave() the node first becomes a member again.
///
/// One address is enough. The call succeeds within half of probe_timeout_ms after the first address
/// has answered, or somewhat later if the cluster lists the name of this node at another address.
/// The node goes on with the other addresses, but reports no further result. From then on all
/// addresses count as `seeds`; a node remembers at most 4,096 seeds. It tries a seed again whenever
/// no alive member has its address, so that a split cluster heals. The pauses between the attempts
/// grow from reconnect_min_ms to reconnect_max_ms. If the setting `reconnect` is false, seeds are
/// not tried again. After a join that fails, the node tries none of the addresses again: call this
/// function again, or start the node with the setting `seeds`.
///
/// @param node        the node
/// @param addrs       addresses as `10.0.0.1:7946`, `[::1]:7946`, `10.0.0.1`, `host` or
///                    `host:7946`; without a port, 7946 is used
/// @param naddrs      the number of addresses, 1 to 4096
/// @param flags       must be 0
/// @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait
/// @return the number of addresses that answered so far, at least 1; an address of this node itself
///         counts, and so does each IP address of a host name. If none answered, SPRAT_ERR_ADDRESS,
///         SPRAT_ERR_CRYPTO or SPRAT_ERR_PROTOCOL if that is the reason, and otherwise
///         SPRAT_ERR_UNREACHABLE; SPRAT_ERR_ADDRESS if an address cannot be parsed;
///         SPRAT_ERR_NAME_CONFLICT if another node has the name of this node and the join learns of
///         that before it ends (SPRAT_EVENT_FATAL reports it in any case); SPRAT_ERR_TIMEOUT if
///         the time is up, after which the join goes on; SPRAT_ERR_INVALID if naddrs is 0, flags is
///         not 0, or timeout_ms is below -1; SPRAT_ERR_TOO_LARGE if naddrs is greater than 4096;
///         SPRAT_ERR_CLOSED if the node is shut down before or during the call; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED; SPRAT_ERR_NULL; SPRAT_ERR_UTF8.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events.
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
        // SAFETY: the program passes NULL or `naddrs` NUL-terminated strings.
        let addrs = unsafe { addresses(addrs, naddrs, flags)? };
        let count = slot.node.join(&addrs, args::timeout(timeout_ms)?)?;
        Ok(c_int::try_from(count).unwrap_or(c_int::MAX))
    })
}

/// Joins like sprat_node_join(), but does not wait. An event of kind SPRAT_EVENT_DONE with the same
/// number in `id` and the same op_data reports the end, with SPRAT_OK or the reason for the failure
/// in `status`.
///
/// The number is stored before the operation begins. So *id has its value before any thread gets
/// the event, even if this call has not returned yet. A call that fails causes no event.
///
/// @param node     the node
/// @param addrs    the addresses, as for sprat_node_join()
/// @param naddrs   the number of addresses, 1 to 4096
/// @param flags    must be 0
/// @param op_data  any pointer, which the event hands back; the library never follows it
/// @param id       receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the join has begun; if it cannot begin, an error as for sprat_node_join().
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_join_async(
    node: *mut sprat_node,
    addrs: *const *const c_char,
    naddrs: usize,
    flags: c_uint,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_join_async", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `naddrs` NUL-terminated strings.
        let addrs = unsafe { addresses(addrs, naddrs, flags)? };
        id.begin(&slot.node, op_data, |operation| {
            slot.node.join_async(operation, &addrs)
        })
    })
}

/// Returns the addresses of a join.
///
/// # Safety
/// `addrs` is NULL or points to `naddrs` strings that outlive `'a`.
unsafe fn addresses<'a>(
    addrs: *const *const c_char,
    naddrs: usize,
    flags: c_uint,
) -> Result<Vec<&'a str>> {
    args::flags(flags, 0)?;
    // SAFETY: `addrs` is NULL or points to `naddrs` strings, as the caller promises.
    let list = unsafe { args::list("addrs", addrs, naddrs)? };
    if list.is_empty() {
        return Err(Error::new(
            Status::Invalid,
            "naddrs is 0, allowed: 1 to 4096",
        ));
    }
    // SAFETY: each address is NULL or a NUL-terminated string, as the caller promises.
    let each =
        |(i, at): (usize, &*const c_char)| unsafe { args::string(&format!("addrs[{i}]"), *at) };
    list.iter().enumerate().map(each).collect()
}

/// Leaves the cluster, so that the other members see a leave and not a failure. Afterwards the node
/// still answers and lists members, and it may join again.
///
/// Success means that every live member that was asked, Serf agents included, has acknowledged the
/// leave, and lists the node as left. The node repeats lost messages until then. It does not wait
/// for members that have left or failed meanwhile. If gossip sends each message at least 16 times
/// (with a retransmit_mult of 4, in a cluster of 1,000 members or more), the node asks at most
/// 1,024 members. Each of the others misses the leave with a probability below 0.000001, even if
/// 10 % of the datagrams are lost. A member that has crashed unnoticed does not answer; the node
/// leaves without its acknowledgement after about five times probe_timeout_ms. In serf mode a leave
/// has two steps, in memberlist mode one; broadcast_timeout_ms limits each of them, and the leave
/// ends leave_propagate_ms after the last one. If another node seems to have the name of this node,
/// this node leaves without telling the other members.
///
/// @param node        the node
/// @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait for
///                    the leave
/// @return SPRAT_OK; if the node had left already, even with timeout_ms 0, the result of the
///         earlier leave; SPRAT_ERR_UNREACHABLE if the node has left but members did not
///         acknowledge it, and may list the node as failed: the error text names up to five of
///         them; SPRAT_ERR_STATE if a join cancels the leave; SPRAT_ERR_TIMEOUT if the time is up,
///         after which the leave goes on; SPRAT_ERR_CLOSED if the node is shut down before or
///         during the call; SPRAT_ERR_INVALID if timeout_ms is below -1; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_leave(node: *mut sprat_node, timeout_ms: c_int) -> c_int {
    entry::status("sprat_node_leave", || {
        let slot = handle::get(node)?;
        let timeout = args::timeout(timeout_ms)?;
        // The leave of a node that has left is over. The engine only has to repeat its result, and
        // a timeout of 0 must not keep the result from the caller.
        let is_over = timeout_ms == 0 && slot.node.state() == NodeState::Left;
        let timeout = if is_over {
            Some(REPEAT_TIMEOUT)
        } else {
            timeout
        };
        slot.node
            .leave(timeout)
            .map_err(|error| match error.status {
                Status::Timeout if is_over => {
                    let message = "the node has left, but the result of its leave did not come \
                                   within a second; call this function again";
                    Error::new(Status::Timeout, message)
                }
                _ => error,
            })
    })
}

/// Leaves like sprat_node_leave(), but does not wait. An event of kind SPRAT_EVENT_DONE with the
/// same number in `id` and the same op_data reports the end. The number is stored before the leave
/// begins, as for sprat_node_join_async().
///
/// @param node     the node
/// @param op_data  any pointer, which the event hands back; the library never follows it
/// @param id       receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the leave has begun; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_leave_async(
    node: *mut sprat_node,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_leave_async", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        id.begin(&slot.node, op_data, |operation| {
            slot.node.leave_async(operation)
        })
    })
}

/// Stops a node immediately, without announcing a leave: the other members will see a failure,
/// unless the node has left the cluster before.
///
/// Calls that wait for the node return SPRAT_ERR_CLOSED. Queued events, the members, the counters
/// and the state can still be read until sprat_node_free().
///
/// @param node  the node
/// @return SPRAT_OK, also if the node was shut down before; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
///         Thread-safe. The call is allowed in a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_shutdown(node: *mut sprat_node) -> c_int {
    entry::status("sprat_node_shutdown", || {
        handle::get(node)?.node.shutdown();
        Ok(())
    })
}

/// Frees a node: shuts it down and releases everything. Afterwards every function that is given the
/// node fails with SPRAT_ERR_HANDLE.
///
/// When this call returns, no callback runs or will run, free_user_data has been called, and the
/// threads and descriptors of the node are gone. One exception: if the system takes more than a
/// second to resolve a host name, the thread that resolves it ends later. Calls of other threads
/// that wait for the node return SPRAT_ERR_CLOSED; other calls finish safely. Inside a callback of
/// the same node this call returns immediately: that callback is then the last one, and
/// free_user_data is called when it ends.
///
/// This call waits for a running callback: do not hold a lock that the callback waits for. If the
/// callback never returns, neither does this call.
///
/// @param node  the node; NULL, a node already freed, and (after a fork) a node of the parent
///              process are ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_free(node: *mut sprat_node) {
    let here = Place::here();
    entry::quiet("sprat_node_free", (), || {
        let Ok(slot) = handle::remove(node) else {
            return;
        };
        // Closing the guard first skips the callbacks that are still queued. If a running callback
        // waits for the node, the shutdown ends that wait.
        slot.guard.close();
        slot.node.shutdown();
        slot.guard.drain(here);
        // Calls of other threads end soon now; the last one of them drops the node.
        let guard = slot.guard.clone();
        drop(slot);
        guard.wait_for_end(here);
    });
}

/// Returns the state of a node.
///
/// @param node  the node
/// @return an enum sprat_node_state; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_state(node: *const sprat_node) -> c_int {
    entry::number("sprat_node_state", || {
        Ok(handle::get(node)?.node.state() as c_int)
    })
}

/// Writes the address at which the other members reach this node, with its actual port, such as
/// "10.0.0.1:7946". It may change while the node runs if `bind` is a wildcard and `advertise` is
/// not set.
///
/// @param node  the node
/// @param buf   receives the text, NUL-terminated; 64 bytes are always enough
/// @param size  the size of buf in bytes
/// @return SPRAT_OK; SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the
///         text; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_addr(
    node: *const sprat_node,
    buf: *mut c_char,
    size: usize,
) -> c_int {
    entry::status("sprat_node_addr", || {
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::blank(buf, size) };
        let addr = handle::get(node)?.node.addr();
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::fill(buf, size, &addr.to_string()) }
    })
}

/// Tells the cluster that a failed member will not return: from then on it counts as a member that
/// has left.
///
/// @param node   the node
/// @param name   the name of the member
/// @param flags  0, or SPRAT_REMOVE_PRUNE to erase the member from the lists as well; this flag
///               also erases a member that has left
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member; SPRAT_ERR_STATE if the member
///         has not failed, if the mode is "memberlist", or after sprat_node_leave();
///         SPRAT_ERR_INVALID for unknown flags; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
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
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let name = unsafe { args::string("name", name)? };
        match flags & PRUNE {
            0 => slot.node.remove_failed(name),
            _ => slot.node.prune(name),
        }
    })
}
