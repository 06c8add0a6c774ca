//! The error of the functions that an application calls: a status for programs, and a sentence for
//! people.

use crate::printable;
use std::fmt;

pub use crate::vocabulary::Status;

/// An error: its status, and a sentence that says what failed. For a wrong argument, the sentence
/// names the argument, and usually also its value and the values that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind of the failure.
    pub status: Status,
    /// The sentence for people.
    pub message: String,
    /// The errno of the system call that failed; 0 if no system call failed.
    pub errno: i32,
}

/// The result of the functions that an application calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error with this status and sentence. The sentence becomes one line: characters that
    /// would end the line or steer a terminal are escaped. A name from another node may contain
    /// such characters.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error {
            status,
            message: printable::line(&message.into()).into_owned(),
            errno: 0,
        }
    }

    /// Makes the error of a failed system call. `what` names the action that failed; the sentence
    /// begins with it.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Error {
        Error {
            status: Status::Io,
            message: format!("{what}: {}", system_text(error)),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }
}

/// Returns the text of a system error without its number: [`Error::errno`] holds the number.
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
