//! The orders of an operator. An order sets the state of a member's server, whatever the member,
//! the cluster and the guard say, until the operator withdraws it. Only a member that cannot be a
//! server, or whose address another member owns, is stopped all the same.

use super::assignment::AdminState;
use sprat::service::servers::candidate::{Candidate, Desired};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An order for one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The state that is ordered; `None` if the last order was withdrawn.
    pub state: Option<AdminState>,
    /// The number of the last order or withdrawal, from 1; 0 if there never was an order.
    pub number: u32,
}

impl Order {
    /// Returns true if an operator has ordered that the server drains or stops.
    pub fn is_removal(self) -> bool {
        self.state.is_some_and(|state| state != AdminState::Ready)
    }
}

/// The orders for the members of one backend, by the names of the members.
#[derive(Default)]
pub(super) struct Orders {
    orders: BTreeMap<Arc<str>, Order>,
    /// The number of the last order or withdrawal in this backend.
    last: u32,
}

impl Orders {
    /// Orders a state for a member; `None` withdraws the order.
    pub fn set(&mut self, name: &str, state: Option<AdminState>) {
        self.last = self.last.wrapping_add(1).max(1);
        let number = self.last;
        self.orders.insert(name.into(), Order { state, number });
    }

    pub fn get(&self, name: &str) -> Order {
        self.orders.get(name).copied().unwrap_or_default()
    }

    /// Returns the members with an order that was not withdrawn.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, AdminState)> {
        let orders = self.orders.iter();
        orders.filter_map(|(name, order)| Some((name, order.state?)))
    }

    /// Returns the candidate as it would be if it asked for the ordered state itself.
    pub fn apply(&self, mut candidate: Candidate) -> Candidate {
        if let Some(state) = self.get(&candidate.name).state {
            candidate.desired = match state {
                AdminState::Ready => Desired::Ready,
                AdminState::Drain => Desired::Drain,
                AdminState::Maint => Desired::Maint,
            };
        }
        candidate
    }
}
