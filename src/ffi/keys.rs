//! The keys of the cluster: all members install, use, remove or list them.

use super::operation::OperationId;
use super::types::sprat_node;
use super::{args, entry, handle};
use crate::driver::KeyResult;
use crate::error::{Error, Result, Status};
use crate::key_report::{KeyHolders, KeyReport};
use crate::serf::KeyQuery;
use crate::vocabulary::KeyAction;
use crate::wire::Key;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

/// The largest length of a key that is read. Whether the length is right is checked afterwards.
const LONGEST_KEY: usize = 64;

/// The answers of the members to sprat_node_manage_keys_wait(). Several threads may read them.
pub struct sprat_key_report {
    asked: usize,
    answers: Vec<Answer>,
    missing: Vec<CString>,
    keys: Vec<(Key, KeyHolders)>,
}

struct Answer {
    member: CString,
    done: bool,
    message: CString,
}

/// Lets all members of an encrypted cluster, this node and Serf agents included, install a key, use
/// it, remove it, or list their keys. The node must encrypt. In mode "memberlist", the function
/// changes or lists the keys of this node alone, because nodes cannot ask one another to change
/// keys there: the program at each node learns of a new key in its own way.
///
/// To change the key of a cluster without losing a message: SPRAT_KEY_INSTALL the new key,
/// SPRAT_KEY_USE it, SPRAT_KEY_REMOVE the old key. Go on to the next step only when all members
/// have done the one before: a member that does not know the primary key of the others can no
/// longer talk to them. Each step can be repeated.
///
/// A member whose setting `keyring_file` is set stores its keys after each change. If that fails,
/// it reports the failure, but has changed its keys in memory.
///
/// An event of kind SPRAT_EVENT_DONE with the number and op_data reports the end, which comes as
/// soon as every member that was present has answered, or has failed or left. Its status is
/// SPRAT_OK if all members have done what was asked, SPRAT_ERR_STATE if some report that they could
/// not (the text names up to five of them, with their messages), and SPRAT_ERR_TIMEOUT if some have
/// failed before they answered, or have not answered in time. It is SPRAT_ERR_STATE as well if
/// nothing was sent: if this node does not encrypt or has begun to leave, if 256 queries are under
/// way, for the use of a key that this node does not hold, and for the removal of its primary key.
/// The event has no list of keys: for that, there is sprat_node_manage_keys_wait().
///
/// @param node        the node
/// @param action      an enum sprat_key_action
/// @param key         the bytes of the key, which are copied; NULL for SPRAT_KEY_LIST
/// @param key_len     16, 24 or 32; 0 for SPRAT_KEY_LIST
/// @param timeout_ms  the time in which answers count; 0 for the default, which is that of a query
/// @param op_data     any pointer, which the DONE event hands back; the library never follows it
/// @param id          receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK; SPRAT_ERR_INVALID for an unknown action, a key of a wrong length, a key for
///         SPRAT_KEY_LIST, or a negative timeout; SPRAT_ERR_TOO_LARGE for a key_len above 64;
///         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_manage_keys(
    node: *mut sprat_node,
    action: c_int,
    key: *const c_void,
    key_len: usize,
    timeout_ms: c_int,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_manage_keys", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `key_len` bytes.
        let query = unsafe { read_query(action, key, key_len)? };
        let timeout = args::answer_timeout("timeout_ms", timeout_ms)?;
        id.begin(&slot.node, op_data, |operation| {
            slot.node.manage_keys_async(operation, query, timeout)
        })
    })
}

/// Manages keys like sprat_node_manage_keys(), but waits for the end, and gives the answers of the
/// members.
///
/// @param node        the node
/// @param action      an enum sprat_key_action
/// @param key         the bytes of the key, which are copied; NULL for SPRAT_KEY_LIST
/// @param key_len     16, 24 or 32; 0 for SPRAT_KEY_LIST
/// @param timeout_ms  the time in which answers count; 0 for the default, which is that of a query
/// @param out         receives the answers, to be freed with sprat_key_report_free(); may be NULL.
///                    Unlike other `out` arguments, it is also set if the function fails with
///                    SPRAT_ERR_STATE or SPRAT_ERR_TIMEOUT because of a member; NULL if nothing was
///                    sent.
/// @return SPRAT_OK if all members have done what was asked; otherwise the status that the DONE
///         event of sprat_node_manage_keys() would have, or an error of that function.
///         SPRAT_ERR_CLOSED also if the node is shut down during the call.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_manage_keys_wait(
    node: *mut sprat_node,
    action: c_int,
    key: *const c_void,
    key_len: usize,
    timeout_ms: c_int,
    out: *mut *mut sprat_key_report,
) -> c_int {
    entry::status("sprat_node_manage_keys_wait", || {
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::give(out, ptr::null_mut()) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `key_len` bytes.
        let query = unsafe { read_query(action, key, key_len)? };
        let timeout = args::answer_timeout("timeout_ms", timeout_ms)?;
        let KeyResult { report, problem } = slot.node.manage_keys(query, timeout)?;
        if !out.is_null() {
            let report = Box::new(sprat_key_report::of(&report));
            // SAFETY: `out` is not NULL here, and the program promises a place for a pointer.
            unsafe { out.write(Box::into_raw(report)) };
        }
        problem.map_or(Ok(()), Err)
    })
}

impl sprat_key_report {
    fn of(report: &KeyReport) -> sprat_key_report {
        let answers = report.answers.iter().map(|(member, answer)| Answer {
            member: args::text(member),
            done: answer.done,
            message: args::text(&answer.message),
        });
        let keys = report.keys.iter();
        sprat_key_report {
            asked: report.asked,
            answers: answers.collect(),
            missing: report.missing.iter().map(|it| args::text(it)).collect(),
            keys: keys.map(|(key, holders)| (key.clone(), *holders)).collect(),
        }
    }
}

/// Reads an action and the key that it is about.
///
/// # Safety
/// `key` is NULL or points to `len` bytes.
unsafe fn read_query(action: c_int, key: *const c_void, len: usize) -> Result<KeyQuery> {
    let invalid = |message: String| Error::new(Status::Invalid, message);
    let action = KeyAction::from_number(action).ok_or_else(|| {
        invalid(format!(
            "action is {action}, allowed: an enum sprat_key_action"
        ))
    })?;
    // SAFETY: `key` is NULL or points to `len` bytes, as the caller promises.
    let bytes = unsafe { args::bytes("key", key, len, LONGEST_KEY)? };
    let wrong = || invalid(format!("key_len is {len}, allowed: 16, 24 or 32"));
    let key = match bytes {
        [] => None,
        _ => Some(Key::new(bytes).ok_or_else(wrong)?),
    };
    match (action, key) {
        (KeyAction::Install, Some(key)) => Ok(KeyQuery::install(key)),
        (KeyAction::Use, Some(key)) => Ok(KeyQuery::use_key(key)),
        (KeyAction::Remove, Some(key)) => Ok(KeyQuery::remove(key)),
        (KeyAction::List, None) => Ok(KeyQuery::list()),
        (KeyAction::List, Some(_)) => {
            let message = "a key is given, but SPRAT_KEY_LIST takes none";
            Err(invalid(message.to_owned()))
        }
        (_, None) => Err(wrong()),
    }
}

/// Returns the number of members that were asked, this node included. It is the sum of the members
/// that have answered and of the missing ones: a member that left before it answered is not
/// counted, whereas one that joined meanwhile, or had failed, is counted if it has answered.
///
/// @param report  the answers
/// @return the number; 0 if report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_key_report_asked(report: *const sprat_key_report) -> usize {
    // SAFETY: the program passes NULL or a report that it has not freed.
    entry::quiet("sprat_key_report_asked", 0, || {
        unsafe { report.as_ref() }.map_or(0, |report| report.asked)
    })
}

/// Returns an answer by its index. The answers are sorted by the names of the members.
///
/// @param report   the answers
/// @param i        the index, from 0
/// @param done     receives whether the member has done what was asked; may be NULL
/// @param message  receives the reason if it has not; if it has, a remark, for example that its
///                 list lacks keys, or ""; NULL if there is no such answer; may be NULL
/// @return the name of the member; NULL past the end or if report is NULL. The name and the message
///         live as long as the report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_key_report_answer(
    report: *const sprat_key_report,
    i: usize,
    done: *mut bool,
    message: *mut *const c_char,
) -> *const c_char {
    entry::quiet("sprat_key_report_answer", ptr::null(), || {
        // SAFETY: the program passes NULL or a report that it has not freed.
        let answer = unsafe { report.as_ref() }.and_then(|report| report.answers.get(i));
        // SAFETY: the program passes NULL or places for these.
        unsafe {
            args::give(done, answer.is_some_and(|it| it.done));
            args::give(
                message,
                answer.map_or(ptr::null(), |it| it.message.as_ptr()),
            );
        }
        answer.map_or(ptr::null(), |it| it.member.as_ptr())
    })
}

/// Returns the name of a member that has failed or has not answered in time, by its index. These
/// names are sorted. A member that has left, or has answered after it failed, is not among them.
///
/// @param report  the answers
/// @param i       the index, from 0
/// @return the name of the member, which lives as long as the report; NULL past the end or if
///         report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_key_report_missing(
    report: *const sprat_key_report,
    i: usize,
) -> *const c_char {
    entry::quiet("sprat_key_report_missing", ptr::null(), || {
        // SAFETY: the program passes NULL or a report that it has not freed.
        let name = unsafe { report.as_ref() }.and_then(|report| report.missing.get(i));
        name.map_or(ptr::null(), |name| name.as_ptr())
    })
}

/// Returns a key by its index. The keys have no particular order. Only SPRAT_KEY_LIST gives keys.
///
/// @param report   the answers
/// @param i        the index, from 0
/// @param len      receives the number of bytes, 16, 24 or 32, or 0 if there is no such key; may be
///                 NULL
/// @param members  receives the number of members that hold the key, or 0; may be NULL
/// @param primary  receives the number of members whose primary key it is, or 0; may be NULL
/// @return the bytes of the key, which live as long as the report and are then wiped; NULL past the
///         end or if report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_key_report_key(
    report: *const sprat_key_report,
    i: usize,
    len: *mut usize,
    members: *mut usize,
    primary: *mut usize,
) -> *const u8 {
    entry::quiet("sprat_key_report_key", ptr::null(), || {
        // SAFETY: the program passes NULL or a report that it has not freed.
        let key = unsafe { report.as_ref() }.and_then(|report| report.keys.get(i));
        let holders = key.map(|(_, holders)| *holders).unwrap_or_default();
        let bytes = key.map(|(key, _)| key.as_bytes());
        // SAFETY: the program passes NULL or places for these.
        unsafe {
            args::give(len, bytes.map_or(0, <[u8]>::len));
            args::give(members, holders.members);
            args::give(primary, holders.primary);
        }
        bytes.map_or(ptr::null(), <[u8]>::as_ptr)
    })
}

/// Frees the answers, and wipes their keys.
///
/// @param report  the answers; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_key_report_free(report: *mut sprat_key_report) {
    // SAFETY: the program passes NULL or a report that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_key_report_free", report) };
}
