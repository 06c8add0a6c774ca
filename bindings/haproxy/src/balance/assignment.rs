//! The assignment of a slot: which member it serves, where, and in which administrative state.

use std::net::SocketAddr;
use std::sync::Arc;

/// The administrative state of a server, as HAProxy knows it.
///
/// The states are ordered by how many requests a server gets, from the most to none. A removal,
/// which drains or stops a server, therefore always moves the server to a greater state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminState {
    /// The server gets requests.
    Ready,
    /// The server gets no new requests; open connections and health checks go on.
    Drain,
    /// The server is in maintenance: no requests and no health checks.
    Maint,
}

impl AdminState {
    const ALL: [AdminState; 3] = [AdminState::Ready, AdminState::Drain, AdminState::Maint];

    /// Returns the word that HAProxy uses for the state in `set server NAME state WORD`.
    pub fn name(self) -> &'static str {
        match self {
            AdminState::Ready => "ready",
            AdminState::Drain => "drain",
            AdminState::Maint => "maint",
        }
    }

    /// Returns the state for HAProxy's word, or `None` if there is no such state.
    pub fn from_name(name: &str) -> Option<AdminState> {
        AdminState::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// The assignment of a slot: its member, and the desired state of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The number of the slot, from 0.
    pub slot: usize,
    /// The member that the slot serves; `None` if the slot is free.
    pub name: Option<Arc<str>>,
    /// The address of its server; `None` if the slot is free.
    pub addr: Option<SocketAddr>,
    /// The weight of its server.
    pub weight: u16,
    /// The administrative state of its server.
    pub state: AdminState,
    /// The number of the operator's last order for the member, or of its withdrawal; 0 if there
    /// never was one. Because the number is part of the assignment, an order for the present state
    /// is a change as well, and is carried out.
    pub order: u32,
    /// True if the guard does not apply to the server: it may be taken away even if it is the last
    /// one that serves.
    pub is_unguarded: bool,
}

impl Assignment {
    /// Returns the assignment of a free slot.
    pub fn free(slot: usize) -> Assignment {
        Assignment {
            slot,
            name: None,
            addr: None,
            weight: 0,
            state: AdminState::Maint,
            order: 0,
            is_unguarded: false,
        }
    }
}
