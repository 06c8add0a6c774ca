//! A backend of HAProxy, and the rules by which members serve it.

use crate::balance::{Assignment, Limits};
use sprat::service::spoe::candidate::Rules;
use std::net::SocketAddr;

/// A backend of HAProxy.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The name of the backend in HAProxy's configuration.
    pub name: String,
    /// The rules by which a member is a server of this backend.
    pub rules: Rules,
    /// The number of its slots.
    pub slots: usize,
    /// How cautiously its servers are removed.
    pub limits: Limits,
}

impl Backend {
    /// Returns the key of the backend in a snapshot: its name and the tag of its members. The
    /// position of a backend is no key, because configurations change.
    pub fn key(&self) -> String {
        let (key, value) = &self.rules.tag;
        format!("{}:{key}={value}", self.name)
    }

    /// Whether a remembered assignment is still valid: the slot exists, and the rules allow the
    /// address.
    pub fn accepts(&self, assignment: &Assignment) -> bool {
        let allowed = |addr: SocketAddr| self.rules.objection(addr).is_none();
        assignment.slot < self.slots && assignment.addr.is_some_and(allowed)
    }
}
