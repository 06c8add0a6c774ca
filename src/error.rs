//! The error of everything an application calls: a status that programs test, and a sentence for
//! people.

use std::fmt;

/// What went wrong, by number. The numbers are those of `enum sprat_status` in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// NULL where something is needed.
    Null = -1,
    /// A value that is not allowed.
    Invalid = -2,
    /// Text that is no UTF-8.
    Utf8 = -3,
    /// Larger than allowed.
    TooLarge = -4,
    /// No node has this handle, or not any more.
    Handle = -5,
    /// The node was started before this process was forked.
    Forked = -6,
    /// The node was shut down.
    Closed = -7,
    /// Not possible in this state.
    State = -8,
    /// The time is up.
    Timeout = -9,
    /// The call would wait for the thread that it runs on.
    Deadlock = -10,
    /// No such name.
    NotFound = -11,
    /// Another member has the name.
    NameConflict = -12,
    /// Settings that are wrong or do not fit together.
    Config = -13,
    /// The system refused something; see [`Error::errno`].
    Io = -14,
    /// An address that cannot be read, resolved or bound.
    Address = -15,
    /// Nobody answered.
    Unreachable = -16,
    /// The keys do not fit.
    Crypto = -17,
    /// The other side speaks something else.
    Protocol = -18,
    /// Not supported.
    Unsupported = -19,
    /// A buffer is too small.
    Buffer = -20,
    /// A mistake of this library.
    Internal = -99,
}

/// An error: what kind, and a sentence that names the argument, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Its kind.
    pub status: Status,
    /// The sentence.
    pub message: String,
    /// errno behind it where the system refused something, else 0.
    pub errno: i32,
}

/// Result of everything an application calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this status and sentence.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error {
            status,
            message: message.into(),
            errno: 0,
        }
    }

    /// What the system refused, with `what` could not be done in front.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Error {
        Error {
            status: Status::Io,
            message: format!("{what}: {}", system_text(error)),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }
}

/// What the system says, without the number: that is in `errno`.
pub(crate) fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
