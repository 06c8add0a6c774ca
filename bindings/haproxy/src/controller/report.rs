//! The content of `show sprat`: members, slots, and the reason for each server that is held.
//! `report_text` prints this content for people, and `report_json` for programs. The conditions of
//! backends that are logged also come from this content.

use super::notices::{Conditions, Level, Notice};
use super::pools::{Pool, Pools};
use super::round_trips::{RoundTrip, RoundTrips};
use super::snapshot_writer::SnapshotProblem;
use crate::backend::Backend;
use crate::balance::{AdminState, Change, Complaint, Hold};
use sprat::{Member, MemberState};
use std::net::SocketAddr;
use std::sync::Arc;

/// The number of members in each state.
#[derive(Clone, Copy, Default)]
pub(super) struct Census {
    /// Members that are alive, the local node included.
    pub alive: usize,
    pub suspect: usize,
    /// Members that have announced their leave.
    pub leaving: usize,
    pub failed: usize,
    pub left: usize,
}

impl Census {
    pub fn of(members: &[Member]) -> Census {
        let mut census = Census::default();
        for member in members {
            *match member.state {
                MemberState::Alive => &mut census.alive,
                MemberState::Suspect => &mut census.suspect,
                MemberState::Leaving => &mut census.leaving,
                MemberState::Failed => &mut census.failed,
                MemberState::Left => &mut census.left,
            } += 1;
        }
        census
    }
}

/// The content of `show sprat`.
#[derive(Default)]
pub(super) struct Report {
    pub census: Census,
    /// The node's summary, and the reason if it is alone; `None` if the node is not running.
    pub health: Option<String>,
    /// The problem that the last write of the snapshot had.
    pub snapshot: Option<SnapshotProblem>,
    pub backends: Vec<BackendReport>,
}

/// A backend in a report.
pub(super) struct BackendReport {
    pub name: String,
    /// The tag of its members, as `key=value`.
    pub tag: String,
    pub slots: usize,
    /// The reason why removals are frozen.
    pub frozen: Option<&'static str>,
    /// The servers that have a member.
    pub servers: Vec<ServerReport>,
    /// Complaints about members without a slot.
    pub unplaced: Vec<(Arc<str>, Complaint)>,
    /// Orders of an operator for members that are in no slot.
    pub other_orders: Vec<(Arc<str>, AdminState)>,
}

/// A server in a report.
pub(super) struct ServerReport {
    /// The number of its slot, from 1.
    pub slot: usize,
    /// Its name in HAProxy's configuration.
    pub server: Arc<str>,
    pub member: Arc<str>,
    pub addr: SocketAddr,
    pub state: AdminState,
    pub weight: u16,
    /// True if HAProxy's health checks do not reach it, or someone else has drained or stopped it.
    pub unreachable: bool,
    pub hold: Option<Hold>,
    /// The order of an operator.
    pub order: Option<AdminState>,
    /// How the server in HAProxy differs from the assignment.
    pub drift: Option<String>,
    /// Complaints about its member.
    pub complaints: Vec<Complaint>,
    /// The round-trip time between this node and its member.
    pub round_trip: RoundTrip,
}

/// The number of servers and members of a backend in each condition.
pub(super) struct Sums {
    pub ready: usize,
    pub draining: usize,
    pub stopped: usize,
    /// Servers whose removal is held back, and servers of the snapshot whose members have not been
    /// heard from yet.
    pub held: usize,
    /// Members that wait for a slot.
    pub waiting: usize,
    /// Members that cannot be servers, or whose address another member owns.
    pub refused: usize,
}

impl Report {
    pub fn new(
        pools: &Pools,
        census: Census,
        health: Option<String>,
        snapshot: Option<SnapshotProblem>,
        round_trips: &RoundTrips,
    ) -> Report {
        let backends = pools.iter().map(|it| BackendReport::of(it, round_trips));
        Report {
            census,
            health,
            snapshot,
            backends: backends.collect(),
        }
    }
}

impl BackendReport {
    fn of(pool: &Pool, round_trips: &RoundTrips) -> BackendReport {
        let (backend, balance) = (&pool.backend, &pool.balance);
        let mut unplaced = balance.complaints().to_vec();
        let mut servers = Vec::new();
        for (it, hold) in balance.assignments() {
            let (Some(member), Some(addr)) = (it.name, it.addr) else {
                continue;
            };
            let (own, others) = unplaced.into_iter().partition(|(name, _)| *name == member);
            unplaced = others;
            let own: Vec<(Arc<str>, Complaint)> = own;
            servers.push(ServerReport {
                slot: it.slot + 1,
                server: backend.server_name(it.slot, &member),
                addr,
                state: it.state,
                weight: it.weight,
                unreachable: balance.is_unreachable(it.slot),
                hold,
                order: balance.order(&member),
                drift: pool.drift(it.slot, &member).map(str::to_owned),
                complaints: own.into_iter().map(|(_, what)| what).collect(),
                round_trip: round_trips.get(&member),
                member,
            });
        }
        let has_slot = |name: &Arc<str>| servers.iter().any(|it| it.member == *name);
        let orders = balance.orders().filter(|(name, _)| !has_slot(name));
        let (key, value) = &backend.rules.tag;
        BackendReport {
            name: backend.name.clone(),
            tag: format!("{key}={value}"),
            slots: backend.slots(),
            frozen: balance.frozen_reason(),
            other_orders: orders.map(|(name, it)| (name.clone(), it)).collect(),
            servers,
            unplaced,
        }
    }

    pub fn sums(&self) -> Sums {
        let count = |state| self.servers.iter().filter(|it| it.state == state).count();
        let waits = |what: &&Complaint| **what == Complaint::Full;
        let refuses =
            |what: &&Complaint| matches!(what, Complaint::SameAddress | Complaint::Unfit(_));
        let unplaced = || self.unplaced.iter().map(|(_, what)| what);
        let of_servers = self.servers.iter().flat_map(|it| &it.complaints);
        Sums {
            ready: count(AdminState::Ready),
            draining: count(AdminState::Drain),
            stopped: count(AdminState::Maint),
            held: self.servers.iter().filter(|it| it.hold.is_some()).count(),
            waiting: unplaced().filter(waits).count(),
            refused: unplaced().chain(of_servers).filter(refuses).count(),
        }
    }
}

/// Returns the conditions of backends and of the snapshot that an operator should know of.
pub(super) fn conditions(report: &Report) -> Conditions {
    let mut conditions = Conditions::new();
    let mut add = |key: String, level, text: String| {
        conditions.insert(key, Notice::new(level, text));
    };
    if let Some(problem) = &report.snapshot {
        let text = format!("the snapshot {}", problem.text());
        match problem {
            SnapshotProblem::Unwritable(_) => add(text.clone(), Level::Alert, text),
            SnapshotProblem::TooLong(_) => {
                add("snapshot too long".to_owned(), Level::Warning, text);
            }
        }
    }
    for backend in &report.backends {
        let name = &backend.name;
        if let Some(why) = backend.frozen {
            let text = format!("backend {name}: removals are frozen: {why}");
            add(text.clone(), Level::Alert, text);
        }
        let waiting = backend.sums().waiting;
        if waiting > 0 {
            let text = format!(
                "backend {name} has more members than slots ({waiting} waiting); `show sprat` \
                 lists them"
            );
            add(format!("{name} waiting"), Level::Warning, text);
        }
        let of_servers = backend.servers.iter();
        let of_servers =
            of_servers.flat_map(|it| it.complaints.iter().map(|what| (&it.member, what)));
        let unplaced = backend.unplaced.iter().map(|(member, what)| (member, what));
        let others = of_servers.chain(unplaced);
        for (member, what) in others.filter(|(_, what)| **what != Complaint::Full) {
            let text = format!("member {member:?} of backend {name}: {}", what.text());
            add(text.clone(), Level::Warning, text);
        }
        for it in &backend.servers {
            if let Some(drift) = &it.drift {
                let server = Backend::describe(&it.server, &it.member);
                let text = format!("backend {name}: server {server}: {drift}");
                add(text.clone(), Level::Warning, text);
            }
        }
    }
    conditions
}

/// Takes the changes of servers, and returns a line for each change except those in which only the
/// order of an operator differs.
pub(super) fn changes(pools: &mut Pools) -> Vec<Notice> {
    let log = pools.take_log();
    let lines = log.iter().filter_map(|(backend, it)| change(backend, it));
    lines.map(|text| Notice::new(Level::Info, text)).collect()
}

/// Returns the line for a change; `None` if only the order of an operator has changed.
fn change(backend: &Backend, change: &Change) -> Option<String> {
    let Change {
        before,
        after,
        reason,
    } = change;
    let server = |member| backend.server_name(after.slot, member);
    let start = format!("backend {}: server", backend.name);
    let (Some(member), Some(addr), Some(reason)) = (&after.name, after.addr, reason) else {
        let member = before.name.as_ref()?;
        let server = server(member);
        return Some(format!("{start} {server} is free; its member was {member}"));
    };
    let server = server(member);
    let (state, weight) = (after.state.name(), after.weight);
    let is_same =
        (&before.name, before.addr, before.state) == (&after.name, Some(addr), after.state);
    match (is_same, before.weight == weight) {
        (true, true) => None,
        (true, false) => {
            let server = Backend::describe(&server, member);
            Some(format!("{start} {server} has the weight {weight}"))
        }
        (false, _) => {
            let place = before.name.as_ref().filter(|it| *it != member);
            let place = place.map(|it| format!(", in place of {it}"));
            let place = place.unwrap_or_default();
            let who = match server == *member {
                true => String::new(),
                false => format!("{member} "),
            };
            Some(format!(
                "{start} {server} ({who}at {addr}{place}) is {state}: {reason}"
            ))
        }
    }
}
