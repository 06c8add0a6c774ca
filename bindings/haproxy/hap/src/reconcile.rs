//! The thread of one HAProxy: it compares the servers that HAProxy has with the desired ones, and
//! sends the commands that make them equal.

use super::desired::DesiredServers;
use super::log;
use super::plan::{Planner, Step, objection, weight_refusal};
use super::runtime_api;
use super::server_state::{self, Server};
use super::state_file::StateFile;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// The pause between two rounds while the desired servers do not change. Rounds are still needed,
/// for example because a restarted HAProxy has none of the added servers.
const PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of checks for whether HAProxy has taken an address, and the pause between two
/// of them.
const ADDRESS_TRIES: u32 = 50;
const ADDRESS_PAUSE: Duration = Duration::from_millis(10);

/// Starts the thread.
///
/// # Errors
/// The thread cannot be created.
pub fn start(
    haproxy: String,
    planner: Planner,
    desired: Arc<DesiredServers>,
    state_file: Option<StateFile>,
) -> Result<(), String> {
    let reconciler = Reconciler {
        haproxy,
        planner,
        desired,
        state_file,
        restored: BTreeSet::new(),
        has_restored: false,
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
    state_file: Option<StateFile>,
    /// The servers that `restore` has already found in HAProxy and need not restore again.
    restored: BTreeSet<String>,
    /// Set once HAProxy has answered for the first time.
    has_restored: bool,
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

    /// Runs one round and returns the problems with individual servers. If HAProxy refuses a
    /// command for one server, the commands for other servers are still sent, and the next round
    /// tries again.
    fn round(&mut self) -> Result<BTreeSet<String>, String> {
        let answered = self.present();
        let (process, present) =
            answered.inspect_err(|_| self.desired.set_silent(&self.haproxy))?;
        self.desired
            .set_reserved(&self.haproxy, self.planner.reserved(&present));
        let has_template = self.planner.has_template();
        self.restore(&present)?;
        let slots = self.desired.slots();
        let changed = self
            .planner
            .find_changes_by_others(process, &present, &slots);
        self.desired.set_changed(&self.haproxy, changed);
        self.desired
            .set_unreachable(&self.haproxy, self.planner.unreachable(&present, &slots));
        let steps = match has_template {
            true => self.planner.slot_steps(&present, &slots),
            false => self.planner.steps(&present, &self.desired.current()),
        };
        let problems = self.carry_out_all(steps, &present)?;
        self.write_state_file()?;
        Ok(problems)
    }

    /// Asks HAProxy for its process and its servers.
    fn present(&self) -> Result<(String, BTreeMap<String, Server>), String> {
        let backend = &self.planner.backend;
        let answer = self.send(&format!("show info; show servers state {backend}"))?;
        let present =
            server_state::parse(&answer).map_err(|why| format!("backend {backend}: {why}"))?;
        Ok((server_state::process(&answer), present))
    }

    /// Carries out the steps of a round. The last serving server of this HAProxy is not taken away
    /// unless an operator has ordered its state. The desired servers are the same for every
    /// HAProxy, but this one may reach fewer of them than others, and the server that replaces the
    /// last one may not be ready here yet.
    fn carry_out_all(
        &mut self,
        steps: Vec<Step>,
        present: &BTreeMap<String, Server>,
    ) -> Result<BTreeSet<String>, String> {
        let mut problems = BTreeSet::new();
        let mut serving = self.planner.serving(present);
        for step in steps {
            let is_last = serving.len() == 1 && serving.contains(&step.server);
            if !step.is_ready && is_last && !step.is_ordered {
                let server = &step.server;
                problems.insert(format!(
                    "{server}: it keeps serving, because this HAProxy has no other server that \
                     serves"
                ));
                continue;
            }
            self.planner.others.begin(&step.server);
            if !self.carry_out(&step, &mut problems)? {
                continue;
            }
            match step.is_ready && !self.planner.others.has_changed(&step.server) {
                true => serving.insert(step.server.clone()),
                false => serving.remove(&step.server),
            };
            self.planner.others.finish(&step.server, step.goal);
        }
        Ok(problems)
    }

    /// Sends the lines of a step. Returns false, with a problem, if HAProxy refused a line or has
    /// not taken an address in time. The refusal of a weight is a problem as well, but the step
    /// goes on: with a static balance algorithm, HAProxy takes no other weight than the configured
    /// one.
    fn carry_out(&self, step: &Step, problems: &mut BTreeSet<String>) -> Result<bool, String> {
        let server = &step.server;
        for (number, line) in step.lines.iter().enumerate() {
            let addr = step.addr.filter(|_| number == 1);
            if let Some(addr) = addr.filter(|addr| !self.has_taken(server, *addr)) {
                problems.insert(format!(
                    "{server}: HAProxy has not taken the address {addr} yet"
                ));
                return Ok(false);
            }
            let answer = self.send(line)?;
            if let Some(why) = weight_refusal(&answer) {
                problems.insert(format!("{server}: {why}"));
            }
            if let Some(why) = objection(line, &answer) {
                problems.insert(format!("{server}: {why} (command: {line})"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until HAProxy has taken an address. Returns false if that takes too long.
    fn has_taken(&self, server: &str, addr: SocketAddr) -> bool {
        for _ in 0..ADDRESS_TRIES {
            let present = self.present().map(|(_, present)| present);
            let found = present.ok().and_then(|it| it.get(server)?.addr);
            if found == Some(addr) {
                return true;
            }
            std::thread::sleep(ADDRESS_PAUSE);
        }
        false
    }

    /// Writes the servers of HAProxy to the server-state file, if there is one.
    fn write_state_file(&mut self) -> Result<(), String> {
        if self.state_file.is_none() {
            return Ok(());
        }
        let answer = self.send("show servers state")?;
        server_state::parse(&answer)?;
        self.state_file
            .as_mut()
            .map_or(Ok(()), |file| file.write(&answer))
    }

    /// Restores servers that an earlier `sprat-hap` has added or set, and that are not desired now:
    /// they may belong to members that have not been heard from yet. The controller keeps such
    /// servers for a while. The slots of a template are restored only in the first round, because
    /// later the controller knows their members.
    fn restore(&mut self, present: &BTreeMap<String, Server>) -> Result<(), String> {
        let is_first = !std::mem::replace(&mut self.has_restored, true);
        if self.planner.has_template() && !is_first {
            return Ok(());
        }
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
