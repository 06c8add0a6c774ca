//! The pools: each backend with its slots and the members in them.

use crate::backend::{Backend, BackendKey};
use crate::balance::{AdminState, Assignment, Balance, Change, Reach, Roster};
use crate::restore;
use crate::snapshot::{SavedOrder, SavedServer, Snapshot};
use sprat::Member;
use sprat::service::servers::index::MemberIndex;
use sprat::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// A backend with its slots.
pub(super) struct Pool {
    pub backend: Backend,
    pub balance: Balance,
    /// By slot: the member, and how its server in HAProxy differs from its assignment.
    drifts: BTreeMap<usize, (Arc<str>, String)>,
}

impl Pool {
    /// Returns the text of [`Pools::set_drift`] for the server in this slot; `None` if there is
    /// none, or if it is about another member.
    pub fn drift(&self, slot: usize, member: &str) -> Option<&str> {
        let (of, text) = self.drifts.get(&slot)?;
        (**of == *member).then_some(text)
    }
}

/// All pools, in the order of their backends.
pub(super) struct Pools(Vec<Pool>);

impl Pools {
    pub fn new(backends: Vec<Backend>) -> Pools {
        let pools = backends.into_iter().map(|backend| {
            let balance = Balance::new(backend.limits.clone(), backend.slots());
            let drifts = BTreeMap::new();
            Pool {
                backend,
                balance,
                drifts,
            }
        });
        Pools(pools.collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.0.iter()
    }

    /// Restores the assignments, the orders and the freeze of a snapshot.
    pub fn restore_snapshot(&mut self, now: Time, snapshot: &Snapshot) {
        let backends: Vec<Backend> = self.0.iter().map(|it| it.backend.clone()).collect();
        for (backend, assignment) in restore::assignments(snapshot, &backends) {
            self.0[backend].balance.remember(now, &assignment);
        }
        self.restore_orders(now, snapshot);
    }

    /// Restores the orders and the freeze of a snapshot, and withdraws all other orders.
    pub fn restore_orders(&mut self, now: Time, snapshot: &Snapshot) {
        let keys: Vec<BackendKey> = self.0.iter().map(|it| it.backend.key()).collect();
        for (pool, key) in self.0.iter_mut().zip(&keys) {
            let key = restore::known_as(snapshot, key, &keys);
            let saved = snapshot.orders.iter().filter(|it| Some(&it.backend) == key);
            let saved: BTreeMap<_, _> = saved.map(|it| (it.name.clone(), it.state)).collect();
            let present = pool.balance.orders().map(|(name, _)| name);
            let all: BTreeSet<_> = present.chain(saved.keys()).cloned().collect();
            for name in all {
                let state = saved.get(&name).copied();
                if pool.balance.order(&name) != state {
                    pool.balance.set_order(now, &name, state);
                }
            }
        }
        self.set_frozen(now, snapshot.frozen);
    }

    /// Orders a state for a member of a backend; `None` withdraws the order.
    pub fn set_order(&mut self, now: Time, backend: usize, name: &str, state: Option<AdminState>) {
        if let Some(pool) = self.0.get_mut(backend) {
            pool.balance.set_order(now, name, state);
        }
    }

    /// Sets the text that tells how the server of a slot in HAProxy differs from the assignment of
    /// the member. An empty text means that it does not differ.
    pub fn set_drift(&mut self, backend: usize, slot: usize, name: Arc<str>, text: String) {
        let Some(pool) = self.0.get_mut(backend) else {
            return;
        };
        match text.is_empty() {
            true => pool.drifts.remove(&slot),
            false => pool.drifts.insert(slot, (name, text)),
        };
    }

    /// Returns the members that each backend knows, with their slots.
    pub fn rosters(&self) -> Vec<Roster> {
        self.0.iter().map(|it| it.balance.roster()).collect()
    }

    /// Takes the log: the changes that [`Pools::take_assignments`] has returned since the last call
    /// of this function, with their backends.
    pub fn take_log(&mut self) -> Vec<(&Backend, Change)> {
        let pools = self.0.iter_mut();
        let logs = pools.map(
            |Pool {
                 backend, balance, ..
             }| (&*backend, balance.take_log()),
        );
        logs.flat_map(|(backend, log)| log.into_iter().map(move |it| (backend, it)))
            .collect()
    }

    /// Restores assignments of one backend, except those that the backend does not accept.
    pub fn restore(&mut self, now: Time, backend: usize, assignments: &[Assignment]) {
        if let Some(pool) = self.0.get_mut(backend) {
            for assignment in assignments.iter().filter(|it| pool.backend.accepts(it)) {
                pool.balance.remember(now, assignment);
            }
        }
    }

    /// Applies the current list of the other members.
    pub fn observe(&mut self, now: Time, others: &[&Member], isolated: bool) {
        for Pool {
            backend, balance, ..
        } in &mut self.0
        {
            let rules = &backend.rules;
            let candidates: Vec<_> = others.iter().filter_map(|it| rules.candidate(it)).collect();
            // The freeze of an isolation begins before the list is applied, and ends after that: no
            // removal may follow from an older list.
            if isolated {
                balance.set_isolated(now, true);
            }
            balance.observe(now, &candidates);
            if !isolated {
                balance.set_isolated(now, false);
            }
        }
    }

    /// Freezes the removals of all backends together if `frozen` is true, or else thaws them.
    pub fn set_frozen(&mut self, now: Time, frozen: bool) {
        for pool in &mut self.0 {
            pool.balance.set_frozen(now, frozen);
        }
    }

    /// Sets whether HAProxy sends requests to a server. Returns the member if its server has just
    /// become unreachable.
    pub fn set_reach(
        &mut self,
        now: Time,
        backend: usize,
        slot: usize,
        name: &str,
        reach: Reach,
    ) -> Option<Arc<str>> {
        let pool = self.0.get_mut(backend)?;
        pool.balance.set_reach(now, slot, name, reach)
    }

    /// Sets the names of the backend's servers that are reserved, that is, not available to
    /// members.
    pub fn reserve_names(&mut self, backend: usize, names: BTreeSet<String>) {
        if let Some(pool) = self.0.get_mut(backend) {
            pool.backend.rules.reserved = names;
        }
    }

    /// Sets the addresses at which this process listens.
    pub fn set_own_listeners(&mut self, now: Time, addrs: &[SocketAddr]) {
        for pool in &mut self.0 {
            pool.backend.rules.own = addrs.to_vec();
            pool.balance.set_own_listeners(now, addrs);
        }
    }

    /// Notes that the node is broken, so that the lists of members are no longer current. From now
    /// on, servers stay as they are, except that orders are carried out, that a server at an
    /// address of this process is stopped, and that a server is made ready if none serves.
    pub fn set_broken(&mut self, now: Time) {
        for pool in &mut self.0 {
            pool.balance.set_broken(now);
        }
    }

    /// Takes the assignments that have changed, with the numbers of their backends.
    pub fn take_assignments(&mut self) -> Vec<(usize, Assignment)> {
        let pools = self.0.iter_mut().enumerate();
        pools
            .flat_map(|(n, pool)| {
                pool.balance
                    .take_assignments()
                    .into_iter()
                    .map(move |it| (n, it))
            })
            .collect()
    }

    /// Returns the time at which the next change is due if nothing new arrives; `None` if no change
    /// is due in this case.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let timeouts = self.0.iter().map(|it| it.balance.next_timeout(now));
        timeouts.flatten().min()
    }

    /// Returns an index of the members for each backend, by that backend's rules.
    pub fn member_indexes(&self, members: &Arc<Vec<Member>>) -> Vec<MemberIndex> {
        let rules = self.0.iter().map(|pool| &pool.backend.rules);
        rules
            .map(|rules| MemberIndex::new(members.clone(), rules))
            .collect()
    }

    /// Returns the content of a snapshot.
    pub fn snapshot(&self, peers: Vec<SocketAddr>) -> Snapshot {
        let servers = self.0.iter().flat_map(|pool| {
            let key = pool.backend.key();
            let slots = pool.balance.assignments().into_iter();
            slots.filter_map(move |(it, _)| {
                Some(SavedServer {
                    backend: key.clone(),
                    server: pool.backend.server_name(it.slot, it.name.as_ref()?),
                    state: it.state,
                    weight: it.weight,
                    addr: it.addr?,
                    name: it.name?,
                })
            })
        });
        let orders = self.0.iter().flat_map(|pool| {
            let key = pool.backend.key();
            pool.balance.orders().map(move |(name, state)| SavedOrder {
                backend: key.clone(),
                state,
                name: name.clone(),
            })
        });
        Snapshot {
            orders: orders.collect(),
            frozen: self.0.iter().any(|it| it.balance.is_frozen_by_operator()),
            servers: servers.collect(),
            peers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Limits;
    use sprat::MemberState;
    use sprat::serf::{NodeFacts, encode_tags};
    use sprat::service::servers::candidate::Rules;

    fn member(n: u8, state: MemberState) -> Member {
        let tags = [("role", "backend"), ("port", "80")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let facts = NodeFacts {
            meta: encode_tags(&tags.into_iter().collect()).into(),
            ..NodeFacts::new(&format!("web-{n}"), ([10, 0, 0, n], 7946).into())
        };
        Member::with_tags(Arc::new(facts), state)
    }

    #[test]
    fn when_an_isolation_ends_no_server_is_removed_because_of_an_older_list() {
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        };
        let mut pools = Pools::new(vec![Backend {
            name: "nodes".to_owned(),
            rules,
            servers: (0..4).map(|n| format!("app{n}").into()).collect(),
            limits: Limits::default(),
        }]);
        // The last member waits for a slot.
        let alive = [1, 2, 3, 4, 5].map(|n| member(n, MemberState::Alive));
        let mut lost = alive.clone();
        for it in &mut lost[..4] {
            it.state = MemberState::Failed;
        }
        pools.observe(Time::from_nanos(1), &alive.each_ref(), false);
        pools.observe(Time::from_nanos(2), &lost.each_ref(), true);
        assert_eq!(pools.take_assignments().len(), 4);
        pools.observe(Time::from_nanos(3), &alive.each_ref(), false);
        assert!(pools.take_assignments().is_empty());
    }
}
