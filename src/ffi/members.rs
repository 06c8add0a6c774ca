//! Lists of members, for C.

use super::member_cache::List;
use super::record::{MemberRecord, pointer};
use super::types::{sprat_member, sprat_node};
use super::{args, entry, handle};
use crate::driver::os::lock::lock;
use crate::error::{Error, Status};
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::Arc;

/// The members at one moment, made by sprat_node_members() or sprat_node_look(). Several threads
/// may read the list.
pub struct sprat_members {
    list: List,
    own: Option<usize>,
}

/// Takes a list of all members, whatever their state, this node included, sorted by name. Members
/// that the filter settings hide are left out. A node learns nothing of members that had failed or
/// left before it joined; sprat_node_look() asks another node for them.
///
/// The list is a consistent picture of one moment. It never changes and may outlive the node. The
/// call is cheap: the list shares unchanged members with the previous list.
///
/// @param node  the node; it may have been shut down
/// @param out   receives the list, to be freed with sprat_members_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_members(
    node: *const sprat_node,
    out: *mut *mut sprat_members,
) -> c_int {
    entry::status("sprat_node_members", || {
        // SAFETY: the program passes NULL or a place for a list.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let slot = handle::get(node)?;
        // The version is read before the list: if the members change between the two, the next call
        // renews the list.
        let version = slot.node.members_version();
        let list = lock(&slot.cache).list(version, || slot.node.members());
        let name = slot.node.name();
        let own = list
            .binary_search_by(|record| (*record.source.name).cmp(name))
            .ok();
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(Box::new(sprat_members { list, own }))) };
        Ok(())
    })
}

/// Asks a node which members its cluster has, without joining that cluster. No member of that
/// cluster learns of this node, and no event or other list of this node shows the members found.
///
/// The list has the members in every state as the other node sees them, including members that have
/// failed or left. A node forgets the address and the tags of a member soon after the member has
/// failed or left (gossip_to_the_dead_ms). In serf mode it then lists the member with the address
/// 0.0.0.0, the port 0 and no tags for about a day; in memberlist mode not at all.
/// sprat_members_self() returns NULL for this list.
///
/// @param node        the node, whose keys and settings are used; it need not have joined
/// @param addr        the address of the other node, in the forms that sprat_node_join() takes. If
///                    a host name has several addresses, each is asked until one answers.
/// @param flags       must be 0
/// @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait.
///                    An address that is silent is given up after stream_timeout_ms.
/// @param out         receives the list, to be freed with sprat_members_free(); NULL after a
///                    failure
/// @return SPRAT_OK; SPRAT_ERR_ADDRESS, SPRAT_ERR_CRYPTO, SPRAT_ERR_PROTOCOL or
///         SPRAT_ERR_UNREACHABLE if no node answered, as for sprat_node_join(); SPRAT_ERR_ADDRESS
///         if addr cannot be parsed; SPRAT_ERR_STATE if 16 of these calls are under way;
///         SPRAT_ERR_TIMEOUT if the time is up; SPRAT_ERR_INVALID if flags is not 0 or timeout_ms
///         is below -1; SPRAT_ERR_CLOSED if the node is shut down before or during the call;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL; SPRAT_ERR_UTF8.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_look(
    node: *mut sprat_node,
    addr: *const c_char,
    flags: c_uint,
    timeout_ms: c_int,
    out: *mut *mut sprat_members,
) -> c_int {
    entry::status("sprat_node_look", || {
        // SAFETY: the program passes NULL or a place for a list.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let slot = handle::get(node)?;
        args::flags(flags, 0)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let addr = unsafe { args::string("addr", addr)? };
        let found = slot.node.look(addr, args::timeout(timeout_ms)?)?;
        let list = found.iter().map(|it| Arc::new(MemberRecord::new(it)));
        let list = list.collect();
        let members = Box::new(sprat_members { list, own: None });
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(members)) };
        Ok(())
    })
}

/// Returns a number that changes whenever the list of members changes. While it stays the same
/// there is no need to take a new list.
///
/// @param node  the node
/// @return the number, at least 1; 0 after a failure, see sprat_last_error(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_members_version(node: *const sprat_node) -> u64 {
    entry::value("sprat_node_members_version", 0, || {
        Ok(handle::get(node)?.node.members_version().max(1))
    })
}

/// Returns the number of members in the list.
///
/// @param members  the list
/// @return the number; 0 if members is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_members_count(members: *const sprat_members) -> usize {
    // SAFETY: the program passes NULL or a list that it has not freed.
    entry::quiet("sprat_members_count", 0, || {
        match unsafe { members.as_ref() } {
            Some(members) => members.list.len(),
            None => 0,
        }
    })
}

/// Returns a member by its index in the list.
///
/// @param members  the list
/// @param i        the index, less than sprat_members_count()
/// @return the member, which lives as long as the list; NULL past the end or if members is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_members_get(
    members: *const sprat_members,
    i: usize,
) -> *const sprat_member {
    entry::quiet("sprat_members_get", ptr::null(), || {
        // SAFETY: the program passes NULL or a list that it has not freed.
        let member = unsafe { members.as_ref() }.and_then(|members| members.list.get(i));
        member.map_or(ptr::null(), |member| member.as_ptr())
    })
}

/// Returns a member by its name.
///
/// @param members  the list
/// @param name     the name
/// @return the member, which lives as long as the list; NULL if there is no such member, or if an
///         argument is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_members_find(
    members: *const sprat_members,
    name: *const c_char,
) -> *const sprat_member {
    entry::quiet("sprat_members_find", ptr::null(), || {
        // SAFETY: the program passes NULL or a list that it has not freed.
        let Some(members) = (unsafe { members.as_ref() }) else {
            return ptr::null();
        };
        if name.is_null() {
            return ptr::null();
        }
        // SAFETY: `name` is not NULL here, and the program passes a NUL-terminated string.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let list = &members.list;
        let found = list.binary_search_by(|record| record.source.name.as_bytes().cmp(name));
        found.map_or(ptr::null(), |i| list[i].as_ptr())
    })
}

/// Returns the member that is the node itself.
///
/// @param members  the list
/// @return the member, which lives as long as the list; NULL if members is NULL or comes from
///         sprat_node_look().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_members_self(members: *const sprat_members) -> *const sprat_member {
    entry::quiet("sprat_members_self", ptr::null(), || {
        // SAFETY: the program passes NULL or a list that it has not freed.
        let Some(members) = (unsafe { members.as_ref() }) else {
            return ptr::null();
        };
        members
            .own
            .map_or(ptr::null(), |own| members.list[own].as_ptr())
    })
}

/// Frees a list with its members and their strings.
///
/// @param members  the list; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_members_free(members: *mut sprat_members) {
    // SAFETY: the program passes NULL or a list that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_members_free", members) }
}

/// Returns the value of a tag of a member. If another program sent a key or a value that is not
/// UTF-8, the invalid bytes are escaped, as in "\xff". A NUL byte is escaped too. The meta of the
/// member has the original bytes.
///
/// @param member  the member
/// @param key     the key of the tag
/// @return the value, which lives as long as the member; NULL if there is no such tag, or if an
///         argument is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_member_tag(
    member: *const sprat_member,
    key: *const c_char,
) -> *const c_char {
    entry::quiet("sprat_member_tag", ptr::null(), || {
        // SAFETY: the program passes NULL or a member of a list or event that it has not freed.
        let Some(record) = (unsafe { MemberRecord::from_ptr(member) }) else {
            return ptr::null();
        };
        if key.is_null() {
            return ptr::null();
        }
        // SAFETY: `key` is not NULL here, and the program passes a NUL-terminated string.
        pointer(record.tag(unsafe { CStr::from_ptr(key) }.to_bytes()))
    })
}

/// Returns a tag of a member by its index. The tags are sorted by key.
///
/// @param member  the member
/// @param i       the index, less than the ntags of the member
/// @param key     receives the key, or NULL past the end; may be NULL
/// @return the value; NULL past the end or if member is NULL. The strings live as long as the
///         member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_member_tag_at(
    member: *const sprat_member,
    i: usize,
    key: *mut *const c_char,
) -> *const c_char {
    entry::quiet("sprat_member_tag_at", ptr::null(), || {
        // SAFETY: the program passes NULL or a member of a list or event that it has not freed.
        let tag = unsafe { MemberRecord::from_ptr(member) }.and_then(|record| record.tag_at(i));
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::give(key, pointer(tag.map(|(key, _)| key))) };
        pointer(tag.map(|(_, value)| value))
    })
}

/// Writes the address and port of a member, such as `10.0.0.1:7946` or `[::1]:7946`.
///
/// @param member  the member
/// @param buf     receives the text, NUL-terminated; 64 bytes are always enough
/// @param size    the size of buf in bytes
/// @return SPRAT_OK; SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the
///         text; SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_member_addr(
    member: *const sprat_member,
    buf: *mut c_char,
    size: usize,
) -> c_int {
    entry::status("sprat_member_addr", || {
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::blank(buf, size) };
        // SAFETY: the program passes NULL or a member; only the fields of the header are read.
        let member = unsafe { member.as_ref() }.ok_or_else(|| args::null("member"))?;
        let ip: IpAddr = match member.addr_len {
            4 => {
                let [a, b, c, d, ..] = member.addr;
                Ipv4Addr::new(a, b, c, d).into()
            }
            16 => Ipv6Addr::from(member.addr).into(),
            other => {
                let message = format!("member has an addr_len of {other}, allowed: 4 or 16");
                return Err(Error::new(Status::Invalid, message));
            }
        };
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::fill(buf, size, &SocketAddr::new(ip, member.port).to_string()) }
    })
}
