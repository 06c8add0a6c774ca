//! The error of everything an application calls: a status that programs test, and a sentence for people.

use std::fmt;

/// What went wrong, by number. The numbers are those of `enum sprat_status` in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Status {
    Null = -1, Invalid = -2, Utf8 = -3, TooLarge = -4, Handle = -5, Forked = -6, Closed = -7, State = -8,
    Timeout = -9, Deadlock = -10, NotFound = -11, NameConflict = -12, Config = -13, Io = -14, Address = -15,
    Unreachable = -16, Crypto = -17, Protocol = -18, Unsupported = -19, Buffer = -20, Internal = -99,
}

/// An error: what kind, and a sentence that names the argument, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Its kind.
    pub status: Status,
    /// The sentence.
    pub message: String,
    /// errno behind [`Status::Io`], else 0.
    pub errno: i32,
}

/// Result of everything an application calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this status and sentence.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into(), errno: 0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
