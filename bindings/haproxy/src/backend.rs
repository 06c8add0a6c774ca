//! A backend of HAProxy, and the rules that choose the members that serve it.

use crate::balance::{Assignment, Limits};
use sprat::service::spoe::candidate::Rules;
use std::net::SocketAddr;

/// A backend of HAProxy.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The name of the backend in HAProxy's configuration.
    pub name: String,
    /// The rules that decide which members are servers of this backend.
    pub rules: Rules,
    /// The number of slots of the backend.
    pub slots: usize,
    /// The limits on removing its servers.
    pub limits: Limits,
}

impl Backend {
    /// Returns the key of the backend in a snapshot: its name and the tag of its members. The
    /// position of the backend would not do, because it changes with the configuration.
    pub fn key(&self) -> String {
        let (key, value) = &self.rules.tag;
        format!("{}:{key}={value}", self.name)
    }

    /// Returns true if a remembered assignment is still valid: the slot exists, and the rules
    /// allow the address.
    pub fn accepts(&self, assignment: &Assignment) -> bool {
        let allowed = |addr: SocketAddr| self.rules.objection(addr).is_none();
        assignment.slot < self.slots && assignment.addr.is_some_and(allowed)
    }
}
