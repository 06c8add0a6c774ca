//! Functions that need no node: versions, names of numbers, the last error.

use super::{entry, last_error};
use crate::error::Status;
use crate::event::EventKind;
use crate::member::MemberState;
use crate::vocabulary::CConstant;
use std::ffi::{CStr, c_char, c_int};

/// The version for C.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version number holds no NUL"),
    };

/// Returns the version of the loaded library, such as "0.1.0".
///
/// @return a static string, never NULL. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the loaded library as a number, to be compared with the
/// SPRAT_VERSION_NUMBER of this header.
///
/// Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_version_number() -> u32 {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ]
    .map(|part| {
        part.bytes()
            .fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    });
    major * 1_000_000 + minor * 1000 + patch
}

/// The names of all failures, in the order of their table. They are made at compile time, so that a
/// call needs no lock: in a forked child, a lock could stay held forever.
static STATUS_NAMES: [CConstant; Status::ALL.len()] = {
    let mut names = [const { CConstant::new("", "") }; Status::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = CConstant::new("SPRAT_ERR_", Status::TABLE.rows[i].variant);
        i += 1;
    }
    names
};

/// Returns the name of a status, such as "SPRAT_ERR_TIMEOUT"; "SPRAT_ERR_UNKNOWN" for other
/// numbers.
///
/// @param status  an enum sprat_status
/// @return a static string, never NULL. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_status_name(status: c_int) -> *const c_char {
    if status == 0 {
        return c"SPRAT_OK".as_ptr();
    }
    let mut names = Status::ALL.iter().zip(&STATUS_NAMES);
    let known = names.find(|(known, _)| known.number() == status);
    let name = known.map_or(c"SPRAT_ERR_UNKNOWN", |(_, name)| name.c_str());
    name.as_ptr()
}

/// Returns a description of a status, such as "the time is up". sprat_last_error() says more.
///
/// @param status  an enum sprat_status
/// @return a static string, never NULL. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_status_text(status: c_int) -> *const c_char {
    last_error::plain(status).as_ptr()
}

/// Returns the name of a kind of event, such as "member-join"; "unknown" for other numbers. The
/// setting `event_kinds` uses the same names, and so does Serf for the kinds that it has.
///
/// @param kind  an enum sprat_event_kind
/// @return a static string, never NULL. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_event_kind_name(kind: c_int) -> *const c_char {
    let known = EventKind::from_number(kind);
    known.map_or(c"unknown", EventKind::c_name).as_ptr()
}

/// Returns the name of the state of a member, such as "alive"; "unknown" for other numbers.
///
/// @param state  an enum sprat_member_state
/// @return a static string, never NULL. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_member_state_name(state: c_int) -> *const c_char {
    let known = MemberState::from_number(state);
    known.map_or(c"unknown", MemberState::c_name).as_ptr()
}

/// Returns the sentence of the last failure on this thread: the function and what was wrong, and
/// for an argument its name and what is allowed. A call that succeeds does not clear it.
///
/// @return the sentence, never NULL; "success" if no call has failed yet. A sentence of more than
///         1020 bytes is cut. The pointer can be read until the thread ends. It shows this sentence
///         until four more calls have failed on the same thread.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_error() -> *const c_char {
    entry::quiet(
        "sprat_last_error",
        c"internal error".as_ptr(),
        last_error::pointer,
    )
}

/// Returns the status of the last failure on this thread, or SPRAT_OK if no call has failed yet.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_status() -> c_int {
    last_error::status()
}

/// Returns the errno of the last failure on this thread if that was SPRAT_ERR_IO, or
/// SPRAT_ERR_ADDRESS for an address that the system refused to bind; 0 if no system call failed.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_errno() -> c_int {
    last_error::errno()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(at: *const c_char) -> &'static str {
        // SAFETY: the functions of this file return static strings.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap()
    }

    #[test]
    fn numbers_have_names_and_unknown_numbers_are_called_unknown() {
        assert_eq!(text(sprat_status_name(0)), "SPRAT_OK");
        assert_eq!(text(sprat_status_name(-4)), "SPRAT_ERR_TOO_LARGE");
        assert_eq!(text(sprat_status_name(-21)), "SPRAT_ERR_UNKNOWN");
        assert_eq!(text(sprat_status_text(0)), "success");
        assert_eq!(text(sprat_status_text(-9)), "the time is up");
        assert_eq!(text(sprat_status_text(1)), "unknown status");
        assert_eq!(text(sprat_event_kind_name(4)), "member-failed");
        assert_eq!(text(sprat_event_kind_name(0)), "unknown");
        assert_eq!(text(sprat_member_state_name(5)), "left");
        assert_eq!(text(sprat_member_state_name(0)), "unknown");
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        // SAFETY: the version is a static string with a NUL at its end.
        let version = unsafe { CStr::from_ptr(sprat_version()) }.to_str().unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        let parts: Vec<u32> = version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert_eq!(
            sprat_version_number(),
            parts[0] * 1_000_000 + parts[1] * 1000 + parts[2]
        );
    }
}
