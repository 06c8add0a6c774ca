//! The tags and the metadata of a running node.

use super::operation::OperationId;
use super::types::{sprat_node, sprat_tag};
use super::{args, entry, handle};
use crate::error::{Error, Status};
use crate::limits;
use crate::serf::Tags;
use std::ffi::{c_char, c_int, c_void};

/// Sets or removes one tag of this node and announces the change. Tags need mode "serf".
///
/// @param node   the node
/// @param key    the key of the tag, 1 to 255 bytes
/// @param value  the value, or NULL to remove the tag
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE for a key of more than 255 bytes, or if all tags together
///         would take more than 512 bytes; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_STATE if
///         the mode is "memberlist", or after sprat_node_leave(); SPRAT_ERR_CLOSED;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. After a failure
///         nothing has changed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_set_tag(
    node: *mut sprat_node,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    entry::status("sprat_node_set_tag", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or NUL-terminated strings.
        let (key, value) = unsafe { (args::string("key", key)?, args::optional("value", value)?) };
        slot.node.set_tag(key, value)
    })
}

/// Replaces all tags of this node in one step and announces the change. Tags need mode "serf".
///
/// @param node   the node
/// @param tags   the new tags, which are copied; may be NULL if ntags is 0
/// @param ntags  the number of tags, at most 4096
/// @return SPRAT_OK; SPRAT_ERR_INVALID for a key that is empty or occurs twice; SPRAT_ERR_TOO_LARGE
///         also if ntags is greater than 4096; SPRAT_ERR_NULL also for a value that is NULL;
///         otherwise as sprat_node_set_tag(). After a failure nothing has changed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_set_tags(
    node: *mut sprat_node,
    tags: *const sprat_tag,
    ntags: usize,
) -> c_int {
    entry::status("sprat_node_set_tags", || {
        let slot = handle::get(node)?;
        let mut all = Tags::new();
        // SAFETY: the program passes NULL or `ntags` tags.
        for (i, tag) in unsafe { args::list("tags", tags, ntags)? }
            .iter()
            .enumerate()
        {
            // SAFETY: the program passes NULL or NUL-terminated strings.
            let key = unsafe { args::string(&format!("tags[{i}].key"), tag.key)? };
            // SAFETY: the value of a tag is NULL or a NUL-terminated string.
            let value = unsafe { args::string(&format!("tags[{i}].value"), tag.value)? };
            if all.insert(key.to_owned(), value.to_owned()).is_some() {
                let message =
                    format!("tags[{i}].key is \"{key}\", which an earlier tag already has");
                return Err(Error::new(Status::Invalid, message));
            }
        }
        slot.node.set_tags(all)
    })
}

/// Replaces the metadata of this node and announces the change. Metadata needs mode "memberlist".
///
/// @param node  the node
/// @param meta  any bytes, which are copied; may be NULL if len is 0
/// @param len   the number of bytes, at most 512
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_STATE if the mode is "serf", or after
///         sprat_node_leave(); SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED;
///         SPRAT_ERR_NULL. After a failure nothing has changed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_set_meta(
    node: *mut sprat_node,
    meta: *const c_void,
    len: usize,
) -> c_int {
    entry::status("sprat_node_set_meta", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `len` bytes.
        slot.node
            .set_meta(unsafe { args::bytes("meta", meta, len, limits::META_LEN)? })
    })
}

/// Waits until the last change of this node's tags, metadata or address has been gossiped as often
/// as the number of members requires. Returns at once if that has happened already, or if no other
/// member is live. A change that is made during the wait is waited for, too. A member can still
/// have missed all of the gossip; it learns of the change by push/pull.
///
/// @param node        the node
/// @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, and 0 usually ends
///                    before the node has answered
/// @return SPRAT_OK; SPRAT_ERR_TIMEOUT if the time is up, after which the gossip goes on;
///         SPRAT_ERR_STATE after sprat_node_leave(), or if the node leaves during the call;
///         SPRAT_ERR_NAME_CONFLICT if another node has the name of this node; SPRAT_ERR_CLOSED if
///         the node is shut down before or during the call; SPRAT_ERR_INVALID if timeout_ms is
///         below -1; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_spread(node: *mut sprat_node, timeout_ms: c_int) -> c_int {
    entry::status("sprat_node_spread", || {
        let slot = handle::get(node)?;
        slot.node.spread(args::timeout(timeout_ms)?)
    })
}

/// Does the same as sprat_node_spread(), but does not wait. An event of kind SPRAT_EVENT_DONE with
/// the same number in `id` and the same op_data reports the end. The number is stored before the
/// operation begins, as for sprat_node_join_async().
///
/// @param node     the node
/// @param op_data  any pointer, which the event hands back; the library never follows it
/// @param id       receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the operation has begun; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_spread_async(
    node: *mut sprat_node,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_spread_async", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        id.begin(&slot.node, op_data, |operation| {
            slot.node.spread_async(operation)
        })
    })
}
