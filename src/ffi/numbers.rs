//! The numbers of the C ABI: statuses, states, kinds, levels, flags.
//!
//! They only ever go out. What comes in is an `int` that is checked, because a Rust enum that
//! holds a number it does not know is undefined behaviour. No number is ever used again.
#![allow(dead_code)] // Some are for the header alone.

/// What a function that can fail returns: 0 or a count on success, one of these otherwise.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_status {
    /// Success.
    SPRAT_OK = 0,
    /// An argument is NULL that must not be.
    SPRAT_ERR_NULL = -1,
    /// An argument has a value that is not allowed.
    SPRAT_ERR_INVALID = -2,
    /// A string is not UTF-8.
    SPRAT_ERR_UTF8 = -3,
    /// A name, a tag, all tags together or a list is longer than allowed.
    SPRAT_ERR_TOO_LARGE = -4,
    /// The node is NULL, freed, or no node at all.
    SPRAT_ERR_HANDLE = -5,
    /// The node was started before a fork and lives in the parent process.
    SPRAT_ERR_FORKED = -6,
    /// The node was shut down.
    SPRAT_ERR_CLOSED = -7,
    /// Not possible in the present state or with these settings.
    SPRAT_ERR_STATE = -8,
    /// The time is up.
    SPRAT_ERR_TIMEOUT = -9,
    /// The call would wait for the very thread it runs on.
    SPRAT_ERR_DEADLOCK = -10,
    /// No such member, setting or tag.
    SPRAT_ERR_NOT_FOUND = -11,
    /// Another member of the cluster has this node's name.
    SPRAT_ERR_NAME_CONFLICT = -12,
    /// The settings are wrong.
    SPRAT_ERR_CONFIG = -13,
    /// The operating system refused: see sprat_last_errno().
    SPRAT_ERR_IO = -14,
    /// An address cannot be read, resolved or used.
    SPRAT_ERR_ADDRESS = -15,
    /// Nobody answered.
    SPRAT_ERR_UNREACHABLE = -16,
    /// Encryption: a wrong key, a missing key, or a peer without one.
    SPRAT_ERR_CRYPTO = -17,
    /// A peer answered with something that is not this protocol.
    SPRAT_ERR_PROTOCOL = -18,
    /// Not supported by this version of the library.
    SPRAT_ERR_UNSUPPORTED = -19,
    /// The buffer is too small; it holds the beginning of the text.
    SPRAT_ERR_BUFFER = -20,
    /// A defect of the library: the node has stopped, the process goes on.
    SPRAT_ERR_INTERNAL = -99,
}

/// State of a member. 0 never occurs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_member_state {
    /// It answers.
    SPRAT_MEMBER_ALIVE = 1,
    /// It did not answer a probe and has not defended itself yet. It still counts as a member.
    SPRAT_MEMBER_SUSPECT = 2,
    /// It was suspected for too long.
    SPRAT_MEMBER_FAILED = 3,
    /// It has said that it is about to leave.
    SPRAT_MEMBER_LEAVING = 4,
    /// It left of its own will, or was removed by sprat_node_remove_failed().
    SPRAT_MEMBER_LEFT = 5,
}

/// What a node is doing.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_node_state {
    /// It takes part in its cluster.
    SPRAT_NODE_RUNNING = 1,
    /// It is announcing its departure.
    SPRAT_NODE_LEAVING = 2,
    /// It has left; it still answers, and may join again.
    SPRAT_NODE_LEFT = 3,
    /// It was shut down.
    SPRAT_NODE_SHUTDOWN = 4,
    /// It was stopped by a defect of the library.
    SPRAT_NODE_BROKEN = 5,
}

/// Kinds of events. Ignore the ones you do not know: later versions may add some.
///
/// 10 to 13 are reserved for user events and queries.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_event_kind {
    /// A member joined, or returned after it had failed or left.
    SPRAT_EVENT_MEMBER_JOIN = 1,
    /// A member changed its tags, metadata or address.
    SPRAT_EVENT_MEMBER_UPDATE = 2,
    /// A member left of its own will.
    SPRAT_EVENT_MEMBER_LEAVE = 3,
    /// A member failed.
    SPRAT_EVENT_MEMBER_FAIL = 4,
    /// A member that had failed or left is forgotten.
    SPRAT_EVENT_MEMBER_REAP = 5,
    /// A member is suspected: it will fail unless it defends itself.
    SPRAT_EVENT_MEMBER_SUSPECT = 6,
    /// A suspicion was refuted: the member is alive after all.
    SPRAT_EVENT_MEMBER_ALIVE = 7,
    /// An operation that was started without waiting is done: see `id` and `status`.
    SPRAT_EVENT_DONE = 14,
    /// Events were lost because nobody took them: take a fresh list of members.
    SPRAT_EVENT_OVERFLOW = 20,
    /// A line of the log.
    SPRAT_EVENT_LOG = 21,
    /// The node cannot be what it should: see `status` and `text`, and free it.
    SPRAT_EVENT_FATAL = 22,
}

/// Levels of the log, each including the ones before it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_log_level {
    /// Nothing.
    SPRAT_LOG_OFF = 0,
    /// What stops the node.
    SPRAT_LOG_ERROR = 1,
    /// What somebody should look at.
    SPRAT_LOG_WARN = 2,
    /// What happens in the cluster.
    SPRAT_LOG_INFO = 3,
    /// Why it happens.
    SPRAT_LOG_DEBUG = 4,
    /// Everything.
    SPRAT_LOG_TRACE = 5,
}

/// How one way of asking a member went. 0 never occurs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_answer {
    /// It was not asked this way, or another way brought the answer first.
    SPRAT_ANSWER_NOT_ASKED = 1,
    /// It was asked, and there is still time to answer.
    SPRAT_ANSWER_WAITING = 2,
    /// It answered.
    SPRAT_ANSWER_ANSWERED = 3,
    /// The helper says that the member does not answer.
    SPRAT_ANSWER_NACK = 4,
    /// Nothing came back.
    SPRAT_ANSWER_SILENT = 5,
}

/// Flags of sprat_node_remove_failed().
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_remove_flags {
    /// Erase the member from the lists at once instead of keeping it as one that left.
    SPRAT_REMOVE_PRUNE = 1,
}

use sprat_event_kind::*;
use sprat_member_state::*;
use sprat_status::*;

/// Every status with its name and what it says to a person.
pub(super) const STATUSES: [(sprat_status, &std::ffi::CStr, &std::ffi::CStr); 22] = [
    (SPRAT_OK, c"SPRAT_OK", c"success"),
    (SPRAT_ERR_NULL, c"SPRAT_ERR_NULL", c"an argument is NULL"),
    (
        SPRAT_ERR_INVALID,
        c"SPRAT_ERR_INVALID",
        c"an argument is not valid",
    ),
    (SPRAT_ERR_UTF8, c"SPRAT_ERR_UTF8", c"a string is not UTF-8"),
    (SPRAT_ERR_TOO_LARGE, c"SPRAT_ERR_TOO_LARGE", c"too large"),
    (
        SPRAT_ERR_HANDLE,
        c"SPRAT_ERR_HANDLE",
        c"not a node, or freed already",
    ),
    (
        SPRAT_ERR_FORKED,
        c"SPRAT_ERR_FORKED",
        c"the node lives in the parent process",
    ),
    (
        SPRAT_ERR_CLOSED,
        c"SPRAT_ERR_CLOSED",
        c"the node was shut down",
    ),
    (
        SPRAT_ERR_STATE,
        c"SPRAT_ERR_STATE",
        c"not possible in the present state",
    ),
    (SPRAT_ERR_TIMEOUT, c"SPRAT_ERR_TIMEOUT", c"the time is up"),
    (
        SPRAT_ERR_DEADLOCK,
        c"SPRAT_ERR_DEADLOCK",
        c"the call would wait for itself",
    ),
    (SPRAT_ERR_NOT_FOUND, c"SPRAT_ERR_NOT_FOUND", c"not found"),
    (
        SPRAT_ERR_NAME_CONFLICT,
        c"SPRAT_ERR_NAME_CONFLICT",
        c"the node's name is taken",
    ),
    (
        SPRAT_ERR_CONFIG,
        c"SPRAT_ERR_CONFIG",
        c"the settings are wrong",
    ),
    (
        SPRAT_ERR_IO,
        c"SPRAT_ERR_IO",
        c"the operating system refused",
    ),
    (
        SPRAT_ERR_ADDRESS,
        c"SPRAT_ERR_ADDRESS",
        c"the address cannot be used",
    ),
    (
        SPRAT_ERR_UNREACHABLE,
        c"SPRAT_ERR_UNREACHABLE",
        c"nobody answered",
    ),
    (
        SPRAT_ERR_CRYPTO,
        c"SPRAT_ERR_CRYPTO",
        c"encryption keys or labels do not fit",
    ),
    (
        SPRAT_ERR_PROTOCOL,
        c"SPRAT_ERR_PROTOCOL",
        c"the peer speaks another protocol",
    ),
    (
        SPRAT_ERR_UNSUPPORTED,
        c"SPRAT_ERR_UNSUPPORTED",
        c"not supported",
    ),
    (
        SPRAT_ERR_BUFFER,
        c"SPRAT_ERR_BUFFER",
        c"the buffer is too small",
    ),
    (
        SPRAT_ERR_INTERNAL,
        c"SPRAT_ERR_INTERNAL",
        c"a defect of the library",
    ),
];

/// Every kind of event with its name, as Serf writes it where Serf has it.
pub(super) const KINDS: [(sprat_event_kind, &std::ffi::CStr); 11] = [
    (SPRAT_EVENT_MEMBER_JOIN, c"member-join"),
    (SPRAT_EVENT_MEMBER_UPDATE, c"member-update"),
    (SPRAT_EVENT_MEMBER_LEAVE, c"member-leave"),
    (SPRAT_EVENT_MEMBER_FAIL, c"member-failed"),
    (SPRAT_EVENT_MEMBER_REAP, c"member-reap"),
    (SPRAT_EVENT_MEMBER_SUSPECT, c"member-suspect"),
    (SPRAT_EVENT_MEMBER_ALIVE, c"member-alive"),
    (SPRAT_EVENT_DONE, c"done"),
    (SPRAT_EVENT_OVERFLOW, c"overflow"),
    (SPRAT_EVENT_LOG, c"log"),
    (SPRAT_EVENT_FATAL, c"fatal"),
];

/// Every state of a member with its name.
pub(super) const MEMBER_STATES: [(sprat_member_state, &std::ffi::CStr); 5] = [
    (SPRAT_MEMBER_ALIVE, c"alive"),
    (SPRAT_MEMBER_SUSPECT, c"suspect"),
    (SPRAT_MEMBER_FAILED, c"failed"),
    (SPRAT_MEMBER_LEAVING, c"leaving"),
    (SPRAT_MEMBER_LEFT, c"left"),
];
