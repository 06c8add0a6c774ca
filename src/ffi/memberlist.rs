//! Messages, states and ack payloads of programs built on memberlist.

use super::operation::OperationId;
use super::types::sprat_node;
use super::{args, entry, handle};
use crate::limits;
use std::ffi::{c_char, c_int, c_void};

/// Sends a message to a member on a TCP stream of its own. The program there gets it as an event of
/// kind SPRAT_EVENT_MESSAGE, or from NotifyMsg of its delegate if it uses HashiCorp's memberlist.
/// Messages need mode "memberlist".
///
/// An event of kind SPRAT_EVENT_DONE with the same number and op_data reports the end. Its status
/// is SPRAT_OK once the other side has taken the whole message and closed the stream without an
/// error, which does not mean that its program has acted on it. The protocol has no acknowledgement
/// of messages: a stock member with another label, or a proxy, also takes and closes, and cannot be
/// told apart. Otherwise the status and the text say why the message has not arrived, as for
/// sprat_node_join(). The number is stored before the message is sent, as for
/// sprat_node_join_async(). Eight messages are under way at a time; others wait for their turn.
///
/// @param node         the node
/// @param to           the name of the member
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @param op_data      any pointer, which the DONE event hands back; the library never follows it
/// @param id           receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the message waits to be sent; SPRAT_ERR_TOO_LARGE if it has more bytes
///         than the setting `message_bytes` (1 MiB) allows; SPRAT_ERR_NOT_FOUND if there is no such
///         member; SPRAT_ERR_STATE if it has failed or left, if the mode is "serf", after
///         sprat_node_leave(), or if 1,024 messages or 64 MiB of them wait; SPRAT_ERR_CLOSED;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_send(
    node: *mut sprat_node,
    to: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_send", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let to = unsafe { args::string("to", to)? };
        // SAFETY: the program passes NULL or `payload_len` bytes.
        let payload = unsafe { args::bytes("payload", payload, payload_len, limits::STREAM_LEN)? };
        id.begin(&slot.node, op_data, |operation| {
            slot.node.send(operation, to, payload)
        })
    })
}

/// Sends a message to a member in one UDP datagram, which may get lost; nothing is reported then.
/// The program there gets it as with sprat_node_send().
///
/// @param node         the node
/// @param to           the name of the member
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @return SPRAT_OK once the message is handed to the kernel; SPRAT_ERR_TOO_LARGE if it has more
///         bytes than the setting `message_bytes` (1 MiB) allows, or does not fit into a datagram
///         (about 65,000); other errors as for sprat_node_send(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_send_datagram(
    node: *mut sprat_node,
    to: *const c_char,
    payload: *const c_void,
    payload_len: usize,
) -> c_int {
    entry::status("sprat_node_send_datagram", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let to = unsafe { args::string("to", to)? };
        // SAFETY: the program passes NULL or `payload_len` bytes.
        let payload = unsafe { args::bytes("payload", payload, payload_len, limits::STREAM_LEN)? };
        slot.node.send_datagram(to, payload)
    })
}

/// Gossips a message to the other members. Each program there gets it, perhaps several times, as an
/// event of kind SPRAT_EVENT_MESSAGE. Its node does not pass the message on: to reach all members
/// of a large cluster, each program must broadcast the messages that are new to it.
///
/// @param node         the node
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @param name         the message replaces the one with the same name that still waits to be sent;
///                     NULL to replace none. The name stays on this node.
/// @return SPRAT_OK once the message waits to be gossiped; SPRAT_ERR_TOO_LARGE if it does not fit
///         into a datagram of the setting `packet_bytes` (1,400) or has more bytes than
///         `message_bytes` allows; SPRAT_ERR_STATE if the mode is "serf", after
///         sprat_node_leave(), or if 4,096 broadcasts wait to be gossiped and this one replaces
///         none of them (a node that is alone drops one instead); SPRAT_ERR_CLOSED;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_broadcast(
    node: *mut sprat_node,
    payload: *const c_void,
    payload_len: usize,
    name: *const c_char,
) -> c_int {
    entry::status("sprat_node_broadcast", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `payload_len` bytes.
        let payload = unsafe { args::bytes("payload", payload, payload_len, limits::STREAM_LEN)? };
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let name = unsafe { args::optional("name", name)? };
        slot.node.broadcast(payload, name)
    })
}

/// Sets the state of the program: from now on, every push/pull hands it to the program on the other
/// side, which gets it as an event of kind SPRAT_EVENT_REMOTE_STATE, or from MergeRemoteState of
/// its delegate if it uses HashiCorp's memberlist. Call it whenever the state has changed: the
/// library never asks for the state, so a slow program does not delay the protocol.
///
/// @param node       the node
/// @param state      any bytes, which are copied once; may be NULL if state_len is 0
/// @param state_len  the number of bytes; 0 to hand out no state, as before the first call
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE if the state has more than 8 MiB; SPRAT_ERR_STATE if the
///         mode is "serf"; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_set_local_state(
    node: *mut sprat_node,
    state: *const c_void,
    state_len: usize,
) -> c_int {
    entry::status("sprat_node_set_local_state", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `state_len` bytes.
        let state = unsafe { args::bytes("state", state, state_len, limits::LOCAL_STATE_LEN)? };
        slot.node.set_local_state(state)
    })
}

/// Sets the bytes that the acks of this node carry from now on; before the first call, none carries
/// any. Each member gets them with every answer to one of its pings: as an event of kind
/// SPRAT_EVENT_PING_ACK if its setting `ping_acks` is on, or from NotifyPingComplete of its
/// delegate if it uses HashiCorp's memberlist.
///
/// @param node         the node
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes, at most 512
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_STATE if the mode is "serf", where acks carry
///         the network coordinate of the node; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_set_ack_payload(
    node: *mut sprat_node,
    payload: *const c_void,
    payload_len: usize,
) -> c_int {
    entry::status("sprat_node_set_ack_payload", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `payload_len` bytes.
        let payload =
            unsafe { args::bytes("payload", payload, payload_len, limits::ACK_PAYLOAD_LEN)? };
        slot.node.set_ack_payload(payload)
    })
}
