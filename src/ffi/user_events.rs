//! User events that a program sends.

use super::numbers::sprat_send_event_flags;
use super::types::sprat_node;
use super::{args, entry, handle};
use crate::event::Coalescing;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// Sends a user event to all members: a name and a payload that mean something to the programs of
/// the cluster. Every node that takes part, this one and Serf agents included, delivers the event
/// once, as an event of kind SPRAT_EVENT_USER. User events need mode "serf".
///
/// Gossip brings the event to the other members within about a second. A member that misses the
/// gossip gets the event with its next push/pull. A node that joins later does not get it, unless
/// its setting `replay_events` is true. Other nodes deliver the events of one node in the order in
/// which it sent them: if an earlier event is missing, the later one waits for it, in a small
/// cluster about two seconds, and longer while missing events keep coming. Only events that a
/// receiver coalesces may come after later ones that it does not coalesce. A node delivers one of
/// two events with the same ltime, name and payload.
///
/// With the profile "lan", gossip carries about a hundred small events a second from all of up to
/// nine members together, and half as many from up to 99. Events that are sent faster wait at this
/// node, which delivers them when they are sent.
///
/// @param node         the node
/// @param name         the name of the event; an escape such as "\xff" stands for a byte, as in the
///                     name of a member
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @param flags        0, or SPRAT_SEND_EVENT_COALESCE to let receivers leave out the event if
///                     another one with the same name follows
/// @return SPRAT_OK once the event is delivered to this node and its gossip has begun, or once it
///         waits behind others;
///         SPRAT_ERR_TOO_LARGE if the encoded event takes more bytes than the setting
///         `user_event_bytes` (512) allows: about 40 more than the name and the payload;
///         SPRAT_ERR_STATE if the mode is "memberlist", after sprat_node_leave(), or if 2,048
///         user events of this node wait until gossip has room; SPRAT_ERR_INVALID for an
///         unknown flag; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8;
///         SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_send_event(
    node: *mut sprat_node,
    name: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    flags: c_uint,
) -> c_int {
    const COALESCE: c_uint = sprat_send_event_flags::SPRAT_SEND_EVENT_COALESCE as c_uint;
    entry::status("sprat_node_send_event", || {
        let slot = handle::get(node)?;
        args::flags(flags, COALESCE)?;
        // SAFETY: the program passes NULL or a NUL-terminated string as the name, and NULL or
        // `payload_len` bytes as the payload.
        let (name, payload) = unsafe { args::message(name, payload, payload_len)? };
        let coalescing = match flags & COALESCE {
            0 => Coalescing::Forbidden,
            _ => Coalescing::Allowed,
        };
        slot.node.send_event(name, payload, coalescing)
    })
}
