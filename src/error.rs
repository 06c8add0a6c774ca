//! The error of everything an application calls: a status that programs test, and a sentence for
//! people.

use std::fmt;

pub use crate::vocabulary::Status;

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
