//! What needs no node: versions, names of numbers, the last error.

use super::numbers::{KINDS, MEMBER_STATES, STATUSES};
use super::{entry, last_error};
use std::ffi::{CStr, c_char, c_int};

/// The version as C sees it.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version number holds no NUL"),
    };

/// Version of the loaded library, as "0.1.0".
///
/// Never NULL; a static string. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Version of the loaded library as a number, to compare with SPRAT_VERSION_NUMBER of this header.
///
/// Any thread.
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

/// Name of a status, as "SPRAT_ERR_TIMEOUT"; "SPRAT_ERR_UNKNOWN" for other numbers.
///
/// Never NULL; a static string. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_status_name(status: c_int) -> *const c_char {
    let known = STATUSES
        .iter()
        .find(|(number, _, _)| *number as c_int == status);
    known
        .map_or(c"SPRAT_ERR_UNKNOWN", |(_, name, _)| name)
        .as_ptr()
}

/// A status in words, as "the time is up".
///
/// Never NULL; a static string. Any thread. sprat_last_error() says more.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_status_text(status: c_int) -> *const c_char {
    last_error::plain(status).as_ptr()
}

/// Name of a kind of event, as "member-join", the way Serf writes it; "unknown" for other numbers.
///
/// Never NULL; a static string. Any thread. The setting event_kinds uses the same names.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_event_kind_name(kind: c_int) -> *const c_char {
    let known = KINDS.iter().find(|(number, _)| *number as c_int == kind);
    known.map_or(c"unknown", |(_, name)| name).as_ptr()
}

/// Name of the state of a member, as "alive"; "unknown" for other numbers.
///
/// Never NULL; a static string. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_member_state_name(state: c_int) -> *const c_char {
    let known = MEMBER_STATES
        .iter()
        .find(|(number, _)| *number as c_int == state);
    known.map_or(c"unknown", |(_, name)| name).as_ptr()
}

/// The sentence of this thread's last failure: function, argument, and what was wrong.
///
/// Never NULL. Valid until the next failing call of the same thread; a success does not clear it.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_error() -> *const c_char {
    entry::quiet(
        "sprat_last_error",
        c"internal error".as_ptr(),
        last_error::pointer,
    )
}

/// The status of this thread's last failure, SPRAT_OK if nothing failed yet.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_status() -> c_int {
    last_error::status()
}

/// The errno behind this thread's last failure if that was SPRAT_ERR_IO, or SPRAT_ERR_ADDRESS for
/// an address that the system did not let a node have; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_last_errno() -> c_int {
    last_error::errno()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::event::EventKind;
    use crate::serf::MemberState;

    #[test]
    fn the_numbers_of_statuses_are_those_of_the_library() {
        use Status::*;
        let ours = [
            Null,
            Invalid,
            Utf8,
            TooLarge,
            Handle,
            Forked,
            Closed,
            State,
            Timeout,
            Deadlock,
            NotFound,
            NameConflict,
            Config,
            Io,
            Address,
            Unreachable,
            Crypto,
            Protocol,
            Unsupported,
            Buffer,
            Internal,
        ];
        assert_eq!(ours.len() + 1, STATUSES.len());
        for (ours, (number, name, _)) in ours.iter().zip(&STATUSES[1..]) {
            assert_eq!(*ours as c_int, *number as c_int, "{ours:?} is {name:?}");
            let flat = name
                .to_str()
                .unwrap()
                .replace("SPRAT_ERR_", "")
                .replace('_', "");
            assert_eq!(format!("{ours:?}").to_uppercase(), flat);
        }
    }

    #[test]
    fn the_numbers_and_names_of_events_and_states_are_those_of_the_library() {
        let ours = EventKind::ALL.map(|kind| (kind as c_int, kind.name()));
        let told = KINDS.map(|(kind, name)| (kind as c_int, name.to_str().unwrap()));
        assert_eq!(ours, told);
        let ours = MemberState::ALL.map(|state| (state as c_int, state.name()));
        let told = MEMBER_STATES.map(|(state, name)| (state as c_int, name.to_str().unwrap()));
        assert_eq!(ours, told);
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        // SAFETY: a static string.
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
