//! The thread of one HAProxy: it compares the servers that HAProxy has with the desired ones, and
//! sends the commands that make them equal.

use super::desired::DesiredServers;
use super::log;
use super::plan::{Planner, objection};
use super::runtime_api;
use super::server_state::{self, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// The pause between two rounds when nothing changes. Rounds go on, because a restarted HAProxy has
/// none of the added servers.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread.
///
/// # Errors
/// The thread cannot be created.
pub fn start(
    haproxy: String,
    planner: Planner,
    desired: Arc<DesiredServers>,
) -> Result<(), String> {
    let reconciler = Reconciler {
        haproxy,
        planner,
        desired,
        restored: BTreeSet::new(),
    };
    let thread = Builder::new()
        .name("hap-reconcile".to_owned())
        .spawn(move || reconciler.run());
    thread
        .map(drop)
        .map_err(|error| format!("a thread cannot be created: {error}"))
}

struct Reconciler {
    /// The address of the runtime API.
    haproxy: String,
    planner: Planner,
    desired: Arc<DesiredServers>,
    /// The servers of an earlier `sprat-hap` that the controller has been told about.
    restored: BTreeSet<String>,
}

impl Reconciler {
    fn run(mut self) {
        let mut logged = BTreeSet::new();
        loop {
            let version = self.desired.version();
            let problems = self.round().unwrap_or_else(|why| BTreeSet::from([why]));
            for text in problems.difference(&logged) {
                log(&format!("{}: {text}", self.haproxy));
            }
            if problems.is_empty() && !logged.is_empty() {
                log(&format!("{}: all problems are solved", self.haproxy));
            }
            logged = problems;
            self.desired.wait(version, PAUSE);
        }
    }

    /// Runs one round and returns the problems of single servers. A command that HAProxy refuses
    /// for one server does not stop the others; it is sent again in the next round.
    fn round(&mut self) -> Result<BTreeSet<String>, String> {
        let backend = &self.planner.backend;
        let answer = self.send(&format!("show servers state {backend}"))?;
        let present =
            server_state::parse(&answer).map_err(|why| format!("backend {backend}: {why}"))?;
        self.desired
            .set_reserved(&self.haproxy, self.planner.reserved(&present));
        self.restore(&present)?;
        self.desired
            .set_unreachable(&self.haproxy, self.planner.unreachable(&present));
        let mut problems = BTreeSet::new();
        for step in self.planner.steps(&present, &self.desired.current()) {
            for line in &step.lines {
                if let Some(why) = objection(line, &self.send(line)?) {
                    problems.insert(format!("{}: {why} (command: {line})", step.server));
                    break;
                }
            }
        }
        Ok(problems)
    }

    /// Restores servers that `sprat-hap` has added and that are not desired now: they may belong to
    /// members that have not been heard from yet. The controller keeps such servers for a while.
    fn restore(&mut self, present: &BTreeMap<String, Server>) -> Result<(), String> {
        self.restored.retain(|name| present.contains_key(name));
        let desired = self.desired.current();
        let mut assignments = self.planner.remembered(present);
        assignments.retain(|it| {
            let name = it.name.as_deref().unwrap_or_default();
            self.restored.insert(name.to_owned()) && !desired.contains_key(name)
        });
        if assignments.is_empty() {
            return Ok(());
        }
        self.desired.restore(assignments)
    }

    fn send(&self, line: &str) -> Result<String, String> {
        runtime_api::send(&self.haproxy, line)
    }
}
