//! What every server shall be, for all who look.

use sprat_haproxy::balance::Order;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Servers by the names of their members.
pub type Servers = BTreeMap<Arc<str>, Order>;

/// See the head of this file.
#[derive(Default)]
pub struct Wanted {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    by_slot: BTreeMap<usize, Order>,
    version: u64,
}

impl Wanted {
    /// Takes orders.
    pub fn change(&self, orders: Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for order in orders {
            match order.name {
                Some(_) => state.by_slot.insert(order.slot, order),
                None => state.by_slot.remove(&order.slot),
            };
        }
        state.version += 1;
        self.changed.notify_all();
    }

    /// The servers as they shall be now, and the number of this version.
    pub fn now(&self) -> (u64, Servers) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let named = state
            .by_slot
            .values()
            .filter_map(|it| Some((it.name.clone()?, it.clone())));
        (state.version, named.collect())
    }

    /// Waits until there is another version than this one, but not for longer than this.
    pub fn wait(&self, seen: u64, time: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |state: &mut State| state.version == seen;
        drop(self.changed.wait_timeout_while(state, time, same));
    }
}
