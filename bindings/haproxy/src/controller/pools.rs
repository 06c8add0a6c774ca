//! The pools: each backend with its slots and the members in them.

use crate::backend::Backend;
use crate::balance::{Assignment, Balance};
use crate::restore;
use crate::snapshot::{SavedServer, Snapshot};
use sprat::Member;
use sprat::service::spoe::questions::MemberIndex;
use sprat::time::Time;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// A backend with its slots.
pub(super) struct Pool {
    pub backend: Backend,
    pub balance: Balance,
}

/// All pools, in the order of their backends.
pub(super) struct Pools(Vec<Pool>);

impl Pools {
    pub fn new(backends: Vec<Backend>) -> Pools {
        let pools = backends.into_iter().map(|backend| {
            let balance = Balance::new(backend.limits.clone(), backend.slots());
            Pool { backend, balance }
        });
        Pools(pools.collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.0.iter()
    }

    /// Restores the assignments and the freeze of a snapshot.
    pub fn restore_snapshot(&mut self, now: Time, snapshot: &Snapshot) {
        let backends: Vec<Backend> = self.0.iter().map(|it| it.backend.clone()).collect();
        for (backend, assignment) in restore::assignments(snapshot, &backends) {
            self.0[backend].balance.remember(now, &assignment);
        }
        self.set_frozen(now, snapshot.frozen);
    }

    /// Restores assignments of one backend.
    pub fn restore(&mut self, now: Time, backend: usize, assignments: &[Assignment]) {
        if let Some(pool) = self.0.get_mut(backend) {
            for assignment in assignments.iter().filter(|it| pool.backend.accepts(it)) {
                pool.balance.remember(now, assignment);
            }
        }
    }

    /// Applies the current list of the other members.
    pub fn observe(&mut self, now: Time, others: &[&Member], isolated: bool) {
        for Pool { backend, balance } in &mut self.0 {
            let rules = &backend.rules;
            let candidates: Vec<_> = others.iter().filter_map(|it| rules.candidate(it)).collect();
            balance.set_isolated(now, isolated);
            balance.observe(now, &candidates);
        }
    }

    /// Freezes the removals of all backends together if `frozen` is true, or else thaws them.
    pub fn set_frozen(&mut self, now: Time, frozen: bool) {
        for pool in &mut self.0 {
            pool.balance.set_frozen(now, frozen);
        }
    }

    /// Sets whether a server is unreachable for HAProxy. Returns the member if its server has just
    /// become unreachable.
    pub fn set_unreachable(
        &mut self,
        now: Time,
        backend: usize,
        slot: usize,
        name: &str,
        unreachable: bool,
    ) -> Option<Arc<str>> {
        let pool = self.0.get_mut(backend)?;
        pool.balance.set_unreachable(now, slot, name, unreachable)
    }

    /// Sets the names of the backend's servers that are reserved, that is, not available to
    /// members.
    pub fn reserve_names(&mut self, backend: usize, names: BTreeSet<String>) {
        if let Some(pool) = self.0.get_mut(backend) {
            pool.backend.rules.taken = names;
        }
    }

    /// Sets the addresses at which this process listens.
    pub fn set_own_listeners(&mut self, addrs: &[SocketAddr]) {
        for pool in &mut self.0 {
            pool.backend.rules.own = addrs.to_vec();
        }
    }

    /// Takes the assignments that have changed, with the numbers of their backends.
    pub fn take_changes(&mut self) -> Vec<(usize, Assignment)> {
        let pools = self.0.iter_mut().enumerate();
        pools
            .flat_map(|(n, pool)| {
                pool.balance
                    .take_changes()
                    .into_iter()
                    .map(move |it| (n, it))
            })
            .collect()
    }

    /// Returns the time at which the next change is due if nothing new arrives.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let timeouts = self.0.iter().map(|it| it.balance.next_timeout(now));
        timeouts.flatten().min()
    }

    /// Returns an index of the members for each backend, by that backend's rules.
    pub fn member_indexes(&self, members: &Arc<Vec<Arc<Member>>>) -> Vec<MemberIndex> {
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
                    server: pool.backend.servers[it.slot].clone(),
                    state: it.state,
                    weight: it.weight,
                    addr: it.addr?,
                    name: it.name?,
                })
            })
        });
        Snapshot {
            frozen: self.0.iter().any(|it| it.balance.is_frozen_by_operator()),
            servers: servers.collect(),
            peers,
        }
    }
}
