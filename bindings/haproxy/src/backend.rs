//! A backend of HAProxy, and the rules that choose the members that serve it.

use crate::balance::{Assignment, Limits};
use sprat::service::servers::candidate::Rules;
use std::net::SocketAddr;
use std::sync::Arc;

/// A backend of HAProxy.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The name of the backend in HAProxy's configuration.
    pub name: String,
    /// The rules that decide which members are servers of this backend.
    pub rules: Rules,
    /// The names of the servers in HAProxy, one for each slot. An empty name means that the server
    /// has the name of its member.
    pub servers: Vec<Arc<str>>,
    /// The limits on removing its servers.
    pub limits: Limits,
}

impl Backend {
    /// Returns the key of the backend in a snapshot.
    pub fn key(&self) -> BackendKey {
        let (key, value) = &self.rules.tag;
        BackendKey::new(&self.name, key, value)
    }

    /// Returns the number of slots of the backend.
    pub fn slots(&self) -> usize {
        self.servers.len()
    }

    /// Returns the name that the server in a slot has in HAProxy while this member is in the slot.
    pub fn server_name(&self, slot: usize, member: &Arc<str>) -> Arc<str> {
        let name = &self.servers[slot];
        if name.is_empty() {
            member.clone()
        } else {
            name.clone()
        }
    }

    /// Returns a server and its member for the log: `app3 (web-1)`, or only the name if both have
    /// the same.
    pub fn describe(server: &str, member: &str) -> String {
        match server == member {
            true => member.to_owned(),
            false => format!("{server} ({member})"),
        }
    }

    /// Returns true if a remembered assignment is still valid: the slot exists, and the rules
    /// allow the address.
    pub fn accepts(&self, assignment: &Assignment) -> bool {
        let allowed = |addr: SocketAddr| self.rules.objection(addr).is_none();
        assignment.slot < self.slots() && assignment.addr.is_some_and(allowed)
    }
}

/// The key of a backend in a snapshot: its name and the tag of its members. The number of the
/// backend cannot be the key, because it can change with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendKey {
    /// The name of the backend in HAProxy's configuration.
    pub name: Arc<str>,
    /// The tag as `key=value`, with spaces and percent signs escaped.
    pub tag: Arc<str>,
}

impl BackendKey {
    /// Makes a key. Spaces in the tag are escaped (and so is `%`, which begins an escape), because
    /// spaces separate the words of a line in a snapshot.
    pub fn new(name: &str, key: &str, value: &str) -> BackendKey {
        let tag = format!("{key}={value}");
        BackendKey {
            name: name.into(),
            tag: tag.replace('%', "%25").replace(' ', "%20").into(),
        }
    }
}
