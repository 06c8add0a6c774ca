//! What every server shall be, for all who look, and what they have to say about it.

use sprat_haproxy::balance::Order;
use sprat_haproxy::controller::Pilot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Servers by the names of their members.
pub type Servers = BTreeMap<Arc<str>, Order>;

/// There is one backend, and one pool.
const POOL: usize = 0;

/// See the head of this file.
pub struct Wanted {
    pilot: Pilot,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    by_slot: BTreeMap<usize, Order>,
    version: u64,
    /// Of each HAProxy, the servers that are not for members.
    others: BTreeMap<String, BTreeSet<String>>,
    /// Of each HAProxy, the servers that it does not reach.
    doubted: BTreeMap<String, BTreeSet<String>>,
}

impl Wanted {
    pub fn new(pilot: Pilot) -> Wanted {
        Wanted {
            pilot,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub fn pilot(&self) -> &Pilot {
        &self.pilot
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the orders that are there.
    pub fn take_orders(&self) {
        let mut state = self.state(); // held all the time: orders are for one who takes them
        let before = state.version;
        while let Some((_, order)) = self.pilot.take_order() {
            match order.name {
                Some(_) => state.by_slot.insert(order.slot, order),
                None => state.by_slot.remove(&order.slot),
            };
            state.version = before + 1;
        }
        if state.version != before {
            self.changed.notify_all();
        }
    }

    /// Tells what an earlier life has made in a HAProxy, and waits until that is wanted, as far as
    /// it is.
    ///
    /// # Errors
    /// The end of the pilot.
    pub fn remember(&self, orders: Vec<Order>) -> Result<(), String> {
        let known = self.pilot.remember(POOL, orders);
        known.recv().map_err(|_| "the node has ended".to_owned())?;
        self.take_orders();
        Ok(())
    }

    /// Tells which servers of a HAProxy are not for members.
    pub fn others(&self, haproxy: &str, names: BTreeSet<String>) {
        let mut state = self.state();
        if state.others.get(haproxy) != Some(&names) {
            state.others.insert(haproxy.to_owned(), names);
            let all = state.others.values().flatten().cloned().collect();
            self.pilot.taken(POOL, all);
        }
    }

    /// Tells which servers a HAProxy does not reach. One that any of them reaches is there.
    pub fn doubt(&self, haproxy: &str, names: BTreeSet<String>) {
        let mut state = self.state();
        state.doubted.insert(haproxy.to_owned(), names);
        let by_all = |name: &str| state.doubted.values().all(|it| it.contains(name));
        for order in state.by_slot.values() {
            let doubted = order.name.as_deref().is_some_and(by_all);
            self.pilot.doubt(POOL, order.slot, doubted); // what is no news is not taken for any
        }
    }

    /// The servers as they shall be now.
    pub fn now(&self) -> Servers {
        let state = self.state();
        let orders = state.by_slot.values();
        let named = orders.filter_map(|it| Some((it.name.clone()?, it.clone())));
        named.collect()
    }

    /// The number of what is wanted now.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Waits until there is another version than this one, but not for longer than this.
    pub fn wait(&self, seen: u64, time: Duration) {
        let state = self.state();
        let same = |state: &mut State| state.version == seen;
        drop(self.changed.wait_timeout_while(state, time, same));
    }
}
