//! The numbers of the C ABI that no vocabulary of the library holds; build.rs writes the others.
//!
//! Numbers only ever go out. A number that comes in is an `int` that is checked, because a Rust
//! enum with a value that it does not know is undefined behaviour.
#![allow(dead_code)] // some constants are for the header alone

/// Flags of sprat_node_remove_failed().
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_remove_flags {
    /// Erase the member from the list at once instead of keeping it as one that left.
    SPRAT_REMOVE_PRUNE = 1,
}
