//! Queries: asking members, and answering them.

use super::operation::OperationId;
use super::types::{sprat_node, sprat_query_options, sprat_tag};
use super::{args, entry, handle};
use crate::driver;
use crate::error::{Error, Result, Status};
use crate::serf::QueryOptions;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

/// The largest plausible size of options. A greater value means that the program did not set it.
const LONGEST_OPTIONS: usize = 4096;

/// The answers to a query, made by sprat_node_query_wait(). Several threads may read them.
pub struct sprat_answers {
    answers: Vec<Answer>,
    acks: usize,
    missing: Vec<CString>,
    problem: CString,
}

struct Answer {
    from: CString,
    payload: Box<[u8]>,
}

/// Sends a query: asks the programs of all members, or of those that the options select, a
/// question. Every node that is asked, this one and Serf agents included, delivers it as an event
/// of kind SPRAT_EVENT_QUERY, and its program may answer with sprat_node_respond(). Queries need
/// mode "serf".
///
/// The acks and answers come as events of kind SPRAT_EVENT_QUERY_ACK and
/// SPRAT_EVENT_QUERY_RESPONSE, whose `id` is the number of the query. An event of kind
/// SPRAT_EVENT_DONE with the same number and op_data reports the end. The query ends as soon as
/// every member that was present when it was sent has answered, or has failed or left. The status
/// is SPRAT_OK if all of them have answered or left. It is SPRAT_ERR_TIMEOUT if a member has failed
/// or has not answered in time, or if no member that is present has one of the names in the
/// options; the text names up to five of these. The number is stored before the query is sent, as
/// for sprat_node_join_async().
///
/// Gossip can miss a member. If at most 64 members have neither answered nor acknowledged the
/// query, the node sends it to them again, directly and up to three times. No program gets it
/// twice. In a cluster in which many programs do not answer, `want_ack` avoids these repetitions.
///
/// The name `_serf_ping` without a payload asks the nodes themselves: each acknowledges it, and no
/// program sees it. Other names that begin with `_serf_` are reserved.
///
/// @param node         the node
/// @param name         the name of the query; an escape such as "\xff" stands for a byte, as in the
///                     name of a member
/// @param payload      any bytes, which are copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @param options      the options; NULL for the defaults
/// @param op_data      any pointer, which the DONE event hands back; the library never follows it
/// @param id           receives the number of the query, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the query is sent; SPRAT_ERR_TOO_LARGE if the encoded query takes more
///         bytes than the setting `query_bytes` (1,024) allows, or for more than 4,096 nodes or
///         tags; SPRAT_ERR_INVALID for a reserved name, a regular expression that is wrong or that
///         agents of Serf read in another way, or options with a value that is not allowed;
///         SPRAT_ERR_UNSUPPORTED for options of a later version; SPRAT_ERR_STATE if the mode is
///         "memberlist", after sprat_node_leave(), or if 256 queries are under way;
///         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_query(
    node: *mut sprat_node,
    name: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    options: *const sprat_query_options,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_query", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string as the name, and NULL or
        // `payload_len` bytes as the payload.
        let (name, payload) = unsafe { args::message(name, payload, payload_len)? };
        // SAFETY: the program passes NULL or options whose pointers are valid.
        let options = unsafe { read_options(options)? };
        id.begin(&slot.node, op_data, |operation| {
            slot.node.query(operation, name, payload, &options)
        })
    })
}

/// Sends a query like sprat_node_query(), but waits for its end and collects the answers. The
/// timeout of the options limits the wait. No event reports the acks and answers.
///
/// @param node         the node
/// @param name         the name of the query; an escape such as "\xff" stands for a byte, as in the
///                     name of a member
/// @param payload      any bytes; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @param options      the options; NULL for the defaults
/// @param out          receives the answers, to be freed with sprat_answers_free(); NULL after a
///                     failure
/// @return the number of answers, which may be 0; an error as for sprat_node_query(). Members that
///         do not answer are not an error: see sprat_answers_missing() and
///         sprat_answers_problem(). SPRAT_ERR_CLOSED also if the node is shut down during the call.
///
/// Thread-safe. The call is allowed in a callback, where it delays further events; this node's own
/// answer to the query then cannot come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_query_wait(
    node: *mut sprat_node,
    name: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    options: *const sprat_query_options,
    out: *mut *mut sprat_answers,
) -> c_int {
    entry::number("sprat_node_query_wait", || {
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string as the name, and NULL or
        // `payload_len` bytes as the payload.
        let (name, payload) = unsafe { args::message(name, payload, payload_len)? };
        // SAFETY: the program passes NULL or options whose pointers are valid.
        let options = unsafe { read_options(options)? };
        let back = slot.node.query_and_wait(name, payload, &options)?;
        let count = c_int::try_from(back.answers.len()).unwrap_or(c_int::MAX);
        let answers = Box::new(sprat_answers::of(back));
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(answers)) };
        Ok(count)
    })
}

impl sprat_answers {
    fn of(back: driver::QueryAnswers) -> sprat_answers {
        let answer = |it: driver::QueryAnswer| Answer {
            from: args::text(&it.from),
            payload: it.payload,
        };
        let problem = back.problem.map_or(String::new(), |error| error.message);
        sprat_answers {
            answers: back.answers.into_iter().map(answer).collect(),
            acks: back.acks.len(),
            missing: back.missing.iter().map(|name| args::text(name)).collect(),
            problem: args::text(&problem),
        }
    }
}

/// Reads options; NULL stands for the defaults.
///
/// # Safety
/// `options` is NULL or points to options as the header describes them.
unsafe fn read_options(options: *const sprat_query_options) -> Result<QueryOptions> {
    if options.is_null() {
        return Ok(QueryOptions::default());
    }
    // SAFETY: `options` is not NULL, and begins with its size, as the caller promises.
    unsafe { check_size(options)? };
    // SAFETY: `options` has at least the size of this type.
    let options = unsafe { &*options };
    let mut nodes = Vec::new();
    // SAFETY: the program passes NULL or `nnodes` strings.
    let names = unsafe { args::list("options.nodes", options.nodes, options.nnodes)? };
    for (i, name) in names.iter().enumerate() {
        // SAFETY: each name is NULL or a NUL-terminated string.
        let name = unsafe { args::string(&format!("options.nodes[{i}]"), *name)? };
        nodes.push(name.to_owned());
    }
    let mut tags = Vec::new();
    // SAFETY: the program passes NULL or `ntags` tags.
    let pairs: &[sprat_tag] = unsafe { args::list("options.tags", options.tags, options.ntags)? };
    for (i, tag) in pairs.iter().enumerate() {
        // SAFETY: the key is NULL or a NUL-terminated string.
        let key = unsafe { args::string(&format!("options.tags[{i}].key"), tag.key)? };
        // SAFETY: the value is NULL or a NUL-terminated string.
        let value = unsafe { args::string(&format!("options.tags[{i}].value"), tag.value)? };
        tags.push((key.to_owned(), value.to_owned()));
    }
    let timeout = args::answer_timeout("options.timeout_ms", options.timeout_ms)?;
    let relay_factor = u8::try_from(options.relay_factor).map_err(|_| {
        let message = format!(
            "options.relay_factor is {}, at most 255 is allowed",
            options.relay_factor
        );
        Error::new(Status::Invalid, message)
    })?;
    Ok(QueryOptions {
        timeout,
        nodes,
        tags,
        ack: options.want_ack,
        relay_factor,
    })
}

/// Checks the size of options. A program of a later version may pass longer options, if it leaves
/// the fields that this version does not know at 0.
///
/// # Safety
/// `options` points to options that are as long as their first field says.
unsafe fn check_size(options: *const sprat_query_options) -> Result<()> {
    let known = size_of::<sprat_query_options>();
    // SAFETY: the options begin with their size, as the caller promises.
    let size = unsafe { (&raw const (*options).size).read() };
    if !(known..=LONGEST_OPTIONS).contains(&size) {
        let message = format!(
            "options.size is {size}, but sizeof(sprat_query_options) is {known}: begin with \
             SPRAT_QUERY_OPTIONS_INIT"
        );
        return Err(Error::new(Status::Invalid, message));
    }
    // SAFETY: `options` has `size` bytes, as the caller promises.
    let all = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
    if all[known..].iter().any(|byte| *byte != 0) {
        let message = "options has fields that this version of the library does not know";
        return Err(Error::new(Status::Unsupported, message));
    }
    Ok(())
}

/// Ends a query of this node now, as if its time were up. Does nothing if no query with this number
/// is under way.
///
/// @param node  the node
/// @param id    the number from sprat_node_query()
/// @return SPRAT_OK; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_cancel_query(node: *mut sprat_node, id: u64) -> c_int {
    entry::status("sprat_node_cancel_query", || {
        handle::get(node)?.node.cancel_query(id)
    })
}

/// Answers a query. Any thread may do so. The last moment for an answer is time_ms milliseconds
/// after the time_ns of the event.
///
/// @param node         the node
/// @param query_id     the `id` of the event of kind SPRAT_EVENT_QUERY
/// @param payload      the answer, which is copied; may be NULL if payload_len is 0
/// @param payload_len  the number of bytes
/// @return SPRAT_OK once the answer is sent; SPRAT_ERR_STATE if the query was answered already;
///         SPRAT_ERR_TIMEOUT if its time is over; SPRAT_ERR_NOT_FOUND if there never was such a
///         query; SPRAT_ERR_TOO_LARGE if the encoded answer takes more bytes than the setting
///         `query_response_bytes` (1,024) allows; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
///         SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_respond(
    node: *mut sprat_node,
    query_id: u64,
    payload: *const c_void,
    payload_len: usize,
) -> c_int {
    entry::status("sprat_node_respond", || {
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or `payload_len` bytes.
        let payload = unsafe { args::bytes("payload", payload, payload_len, args::MESSAGE_LEN)? };
        slot.node.respond(query_id, payload)
    })
}

/// Returns the number of answers.
///
/// @param answers  the answers
/// @return the number; 0 if answers is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_count(answers: *const sprat_answers) -> usize {
    // SAFETY: the program passes NULL or answers that it has not freed.
    entry::quiet("sprat_answers_count", 0, || {
        unsafe { answers.as_ref() }.map_or(0, |answers| answers.answers.len())
    })
}

/// Returns the number of members that acknowledged the query.
///
/// @param answers  the answers
/// @return the number; 0 if answers is NULL, or if the options did not ask for acks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_acks(answers: *const sprat_answers) -> usize {
    // SAFETY: the program passes NULL or answers that it has not freed.
    entry::quiet("sprat_answers_acks", 0, || {
        unsafe { answers.as_ref() }.map_or(0, |answers| answers.acks)
    })
}

/// Returns the name of a member whose ack or answer is missing, by its index. These names are
/// sorted. They are those of members that have failed before they replied, or have not replied in
/// time, and names in the options that no present member has, unless they have replied
/// nevertheless. A member that has left is not among them, nor is one that had failed before the
/// query was sent, unless the options name it.
///
/// @param answers  the answers
/// @param i        the index, from 0
/// @return the name, which lives as long as the answers; NULL past the end or if answers is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_missing(
    answers: *const sprat_answers,
    i: usize,
) -> *const c_char {
    entry::quiet("sprat_answers_missing", ptr::null(), || {
        // SAFETY: the program passes NULL or answers that it has not freed.
        let name = unsafe { answers.as_ref() }.and_then(|answers| answers.missing.get(i));
        name.map_or(ptr::null(), |name| name.as_ptr())
    })
}

/// Returns a sentence that says what is missing, and names up to five of the members that
/// sprat_answers_missing() gives.
///
/// @param answers  the answers
/// @return the sentence, which lives as long as the answers; "" if nothing is missing, or if
///         answers is NULL. Never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_problem(answers: *const sprat_answers) -> *const c_char {
    entry::quiet("sprat_answers_problem", c"".as_ptr(), || {
        // SAFETY: the program passes NULL or answers that it has not freed.
        unsafe { answers.as_ref() }.map_or(c"".as_ptr(), |answers| answers.problem.as_ptr())
    })
}

/// Returns an answer by its index, in the order in which the answers came.
///
/// @param answers      the answers
/// @param i            the index, less than sprat_answers_count()
/// @param payload      receives the answer, or NULL if there is no such answer; may be NULL
/// @param payload_len  receives the number of bytes, or 0; may be NULL
/// @return the name of the member; NULL past the end or if answers is NULL. The name and the answer
///         live as long as the answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_get(
    answers: *const sprat_answers,
    i: usize,
    payload: *mut *const u8,
    payload_len: *mut usize,
) -> *const c_char {
    entry::quiet("sprat_answers_get", ptr::null(), || {
        // SAFETY: the program passes NULL or answers that it has not freed.
        let answer = unsafe { answers.as_ref() }.and_then(|all| all.answers.get(i));
        // SAFETY: the program passes NULL or places for these.
        unsafe {
            args::give(
                payload,
                answer.map_or(ptr::null(), |it| it.payload.as_ptr()),
            );
            args::give(payload_len, answer.map_or(0, |it| it.payload.len()));
        }
        answer.map_or(ptr::null(), |it| it.from.as_ptr())
    })
}

/// Frees answers.
///
/// @param answers  the answers; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_answers_free(answers: *mut sprat_answers) {
    // SAFETY: the program passes NULL or answers that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_answers_free", answers) }
}
