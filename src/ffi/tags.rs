//! The tags and the metadata of a running node.

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
