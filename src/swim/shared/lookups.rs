//! Lookups: host names that the driver is resolving, and the reason for each.

use super::outbox::Outbox;
use crate::sorted_map::SortedMap;
use crate::swim::output::{LookupId, OpId, Output};

/// The reason for a lookup.
#[derive(Clone, Copy, Debug)]
pub(in crate::swim) enum LookupCause {
    /// The host is a target of this join.
    Join(OpId),
    /// The host is the target of this look.
    Look(OpId),
    /// `reconnect` asks a seed again.
    Seed,
}

/// A lookup under way.
pub(in crate::swim) struct Lookup {
    pub cause: LookupCause,
    pub host: String,
    pub port: u16,
}

/// All lookups under way.
#[derive(Default)]
pub(in crate::swim) struct Lookups {
    pending: SortedMap<LookupId, Lookup>,
    last_id: u64,
}

impl Lookups {
    /// Asks the driver to resolve `host`.
    pub fn begin(&mut self, outbox: &mut Outbox, cause: LookupCause, host: String, port: u16) {
        self.last_id += 1;
        let id = LookupId(self.last_id);
        outbox.order(Output::Resolve {
            id,
            host: host.clone(),
        });
        self.pending.insert(id, Lookup { cause, host, port });
    }

    /// Ends a lookup and returns it; `None` if the number is unknown.
    pub fn end(&mut self, id: LookupId) -> Option<Lookup> {
        self.pending.remove(id)
    }
}
