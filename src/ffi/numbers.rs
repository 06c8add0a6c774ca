//! The enums of the C ABI that have no counterpart in the library; build.rs writes the others.
//!
//! No function takes an enum. A number or flags that the caller passes in are taken as an integer
//! and checked, because a Rust enum with a value that it does not define is undefined behaviour.
#![allow(dead_code)] // some constants are for the header alone

/// Flags of sprat_node_send_event().
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_send_event_flags {
    /// Receivers may leave out the event if another one with the same name follows, as Serf agents
    /// do.
    SPRAT_SEND_EVENT_COALESCE = 1,
}

/// Flags of sprat_node_remove_failed().
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum sprat_remove_flags {
    /// Erase the member from the list at once instead of keeping it as a member that left.
    SPRAT_REMOVE_PRUNE = 1,
}
