//! The desired servers, shared by all threads. For each HAProxy, a thread makes the servers equal
//! to the desired ones. The thread also reports which names are reserved in its HAProxy, which
//! members get no requests from it, and which servers someone else has changed.

use sprat_haproxy::balance::{Assignment, Reach};
use sprat_haproxy::controller::Controller;
use sprat_haproxy::others::Kept;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Assignments by the names of their members.
pub type Assignments = BTreeMap<Arc<str>, Assignment>;

/// By slot: the member of a server that someone else has changed, and what they have set.
pub type ChangedServers = BTreeMap<usize, (Arc<str>, Kept)>;

/// `sprat-hap` serves one backend.
const BACKEND: usize = 0;

/// The desired servers, and the reports of the threads that reconcile each HAProxy with them.
pub struct DesiredServers {
    controller: Controller,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    by_slot: BTreeMap<usize, Assignment>,
    version: u64,
    /// The names of the servers of each HAProxy that are reserved, that is, not available to
    /// members.
    reserved: BTreeMap<String, BTreeSet<String>>,
    /// For each HAProxy, the members whose servers get no requests from it, and why.
    unreachable: BTreeMap<String, BTreeMap<String, Reach>>,
    /// The HAProxys that do not answer.
    silent: BTreeSet<String>,
    /// The servers of each HAProxy that someone else has changed.
    changed: BTreeMap<String, ChangedServers>,
    /// By slot: the member, and the last text about its server that was sent to the controller.
    drifts: BTreeMap<usize, (Arc<str>, String)>,
}

impl DesiredServers {
    pub fn new(controller: Controller) -> DesiredServers {
        DesiredServers {
            controller,
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the changes that the controller has published.
    pub fn take_changes(&self) {
        // The lock is held for the whole loop: otherwise two threads could apply changes in the
        // wrong order.
        let mut inner = self.lock();
        let before = inner.version;
        while let Some((_, assignment)) = self.controller.next_change() {
            inner.by_slot.insert(assignment.slot, assignment);
            inner.version = before + 1;
        }
        if inner.version != before {
            self.changed.notify_all();
        }
    }

    /// Restores servers that an earlier `sprat-hap` added or set, and waits until the controller
    /// has decided which of them are desired.
    ///
    /// # Errors
    /// The controller has ended.
    pub fn restore(&self, assignments: Vec<Assignment>) -> Result<(), String> {
        let restored = self.controller.restore(BACKEND, assignments);
        restored
            .recv()
            .map_err(|_| "the node has ended".to_owned())?;
        self.take_changes();
        Ok(())
    }

    /// Takes the names of the servers that are reserved in an HAProxy, that is, not available to
    /// members.
    pub fn set_reserved(&self, haproxy: &str, names: BTreeSet<String>) {
        let mut inner = self.lock();
        if inner.reserved.get(haproxy) != Some(&names) {
            inner.reserved.insert(haproxy.to_owned(), names);
            let all = inner.reserved.values().flatten().cloned().collect();
            self.controller.reserve_names(BACKEND, all);
        }
    }

    /// Takes the members whose servers get no requests from an HAProxy. A server counts as
    /// unreachable only if it gets no requests from any HAProxy that answers.
    pub fn set_unreachable(&self, haproxy: &str, members: BTreeMap<String, Reach>) {
        let mut inner = self.lock();
        inner.unreachable.insert(haproxy.to_owned(), members);
        inner.silent.remove(haproxy);
        self.report_unreachable(&inner);
    }

    /// Notes that an HAProxy does not answer. It serves nobody, so its last report no longer
    /// counts, unless no other HAProxy answers either. The changes of others there may be gone, so
    /// they are no longer shown.
    pub fn set_silent(&self, haproxy: &str) {
        let mut inner = self.lock();
        if inner.silent.insert(haproxy.to_owned()) {
            self.report_unreachable(&inner);
            inner.changed.remove(haproxy);
            self.report_drifts(&mut inner);
        }
    }

    fn report_unreachable(&self, inner: &Inner) {
        let all = inner.unreachable.iter();
        let answering = all.filter(|(haproxy, _)| !inner.silent.contains(*haproxy));
        let reports: Vec<_> = answering.map(|(_, members)| members).collect();
        if reports.is_empty() {
            return;
        }
        let of_all = |name: &str| {
            let reach = |it: &&BTreeMap<String, Reach>| it.get(name).copied().unwrap_or_default();
            Reach::of_all(reports.iter().map(reach))
        };
        for assignment in inner.by_slot.values() {
            let Some(name) = assignment.name.clone() else {
                continue;
            };
            // The controller ignores a report that changes nothing.
            let (slot, reach) = (assignment.slot, of_all(&name));
            self.controller.set_reach(BACKEND, slot, name, reach);
        }
    }

    /// Takes the servers of an HAProxy that someone else has changed.
    pub fn set_changed(&self, haproxy: &str, servers: ChangedServers) {
        let mut inner = self.lock();
        if inner.changed.get(haproxy) == Some(&servers) {
            return;
        }
        inner.changed.insert(haproxy.to_owned(), servers);
        self.report_drifts(&mut inner);
    }

    fn report_drifts(&self, inner: &mut Inner) {
        let drifts = inner.drifts();
        let before = std::mem::replace(&mut inner.drifts, drifts);
        let send = |slot: usize, (member, text): (Arc<str>, String)| {
            self.controller.set_drift(BACKEND, slot, member, text);
        };
        for (slot, (member, _)) in before {
            if !inner.drifts.contains_key(&slot) {
                send(slot, (member, String::new()));
            }
        }
        for (slot, drift) in &inner.drifts {
            send(*slot, drift.clone());
        }
    }

    /// Returns the servers that are desired now.
    pub fn current(&self) -> Assignments {
        let inner = self.lock();
        let assignments = inner.by_slot.values();
        let named = assignments.filter_map(|it| Some((it.name.clone()?, it.clone())));
        named.collect()
    }

    /// Returns the assignments of all slots, free ones included.
    pub fn slots(&self) -> Vec<Assignment> {
        self.lock().by_slot.values().cloned().collect()
    }

    /// Returns a number that changes whenever the desired servers change.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Waits until the version differs from `seen`, for at most `time`.
    pub fn wait(&self, seen: u64, time: Duration) {
        let inner = self.lock();
        let same = |inner: &mut Inner| inner.version == seen;
        drop(self.changed.wait_timeout_while(inner, time, same));
    }
}

impl Inner {
    /// Returns, by slot, the member of each server that someone else has changed, and a text about
    /// it.
    fn drifts(&self) -> BTreeMap<usize, (Arc<str>, String)> {
        let mut drifts: BTreeMap<usize, (Arc<str>, String)> = BTreeMap::new();
        for (haproxy, servers) in &self.changed {
            let of = match self.changed.len() {
                1 => String::new(),
                _ => format!(" at {haproxy}"),
            };
            for (slot, (member, kept)) in servers {
                let text = format!("HAProxy{of} has {kept}");
                let (_, all) = drifts
                    .entry(*slot)
                    .or_insert((member.clone(), String::new()));
                let start = if all.is_empty() { "" } else { ", " };
                *all += &format!("{start}{text}");
            }
        }
        drifts
    }
}
