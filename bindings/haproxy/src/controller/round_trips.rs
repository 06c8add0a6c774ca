//! The round-trip times between this node and the other members, for `show sprat`.
//!
//! Reading them asks the node. A few members are therefore read at a time, one group after another.

use sprat::time::Time;
use sprat::{Member, Node};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The number of members that are read at a time.
const AT_ONCE: usize = 16;
/// The time between two groups.
const PAUSE: Duration = Duration::from_millis(250);

/// The round-trip time to a member.
#[derive(Clone, Copy, Default)]
pub(super) struct RoundTrip {
    /// The time that the last ping from this node took; `None` before the first answer.
    pub measured: Option<Duration>,
    /// The estimate from the network coordinates; `None` until the member has sent its own.
    pub estimated: Option<Duration>,
}

/// The round-trip times that were last read.
#[derive(Default)]
pub(super) struct RoundTrips {
    by_name: BTreeMap<Arc<str>, RoundTrip>,
    /// The index of the next member to read.
    next: usize,
    read_at: Option<Time>,
}

impl RoundTrips {
    pub fn get(&self, name: &str) -> RoundTrip {
        self.by_name.get(name).copied().unwrap_or_default()
    }

    /// Reads the next group of these members, if that is due.
    pub fn update(&mut self, now: Time, node: &Node, others: &[&Member]) {
        if self.read_at.is_some_and(|at| now.since(at) < PAUSE) {
            return;
        }
        self.read_at = Some(now);
        if self.next >= others.len() {
            self.next = 0;
            self.by_name
                .retain(|name, _| others.iter().any(|it| it.name == *name));
        }
        for member in others.iter().skip(self.next).take(AT_ONCE) {
            let trip = read(node, &member.name);
            self.by_name.insert(member.name.clone(), trip);
        }
        self.next += AT_ONCE;
    }
}

fn read(node: &Node, name: &str) -> RoundTrip {
    let probe = node.explain(name).ok().and_then(|it| it.probe);
    RoundTrip {
        measured: probe.and_then(|it| it.rtt),
        estimated: node.rtt(name, node.name()).ok(),
    }
}
