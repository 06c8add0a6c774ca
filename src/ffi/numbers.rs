//! The numbers of the C ABI that no vocabulary of the library holds; build.rs writes the others.
//!
//! Numbers only ever go out. A number that comes in is an `int` that is checked, because a Rust
//! enum with a value that it does not know is undefined behaviour.
#![allow(dead_code)] // some constants are for the header alone

/// The result of one way of probing a member. 0 never occurs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_probe_answer {
    /// The member was not probed this way, or another way brought the answer first.
    SPRAT_PROBE_NOT_ASKED = 1,
    /// The member was probed, and there is still time to answer.
    SPRAT_PROBE_WAITING = 2,
    /// The member answered.
    SPRAT_PROBE_ANSWERED = 3,
    /// The helper reported that the member does not answer.
    SPRAT_PROBE_NACK = 4,
    /// No answer came in time.
    SPRAT_PROBE_SILENT = 5,
}

/// Flags of sprat_node_remove_failed().
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_remove_flags {
    /// Erase the member from the list at once instead of keeping it as one that left.
    SPRAT_REMOVE_PRUNE = 1,
}
