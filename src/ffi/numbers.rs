//! The numbers of the C ABI that no vocabulary of the library holds; build.rs writes the others.
//!
//! Numbers only ever go out. A number that comes in is an `int` that is checked, because a Rust enum
//! with a value that it does not know is undefined behaviour.
#![allow(dead_code)] // Some are for the header alone.

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
