//! The thread of one HAProxy: it compares the servers that HAProxy has with the desired ones, and
//! sends the commands that make them equal.

use super::desired::DesiredServers;
use super::log;
use super::plan::{Planner, Step, objection, weight_refusal};
use super::runtime_api;
use super::state_file::StateFile;
use sprat_haproxy::actual_servers::{self, Rotation, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The pause between two rounds while the desired servers do not change. Rounds are still needed,
/// for example because a restarted HAProxy has none of the added servers.
const PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of checks for whether HAProxy has taken an address, and the pause between two
/// of them.
const ADDRESS_TRIES: u32 = 50;
const ADDRESS_PAUSE: Duration = Duration::from_millis(10);

/// The servers of members that get requests from HAProxy. In a round, servers only leave this
/// value: one that is started in the round counts from the next one on.
struct Serving(BTreeMap<Arc<str>, Rotation>);

impl Serving {
    /// Returns true if the server gets requests, and no other server serves: HAProxy has reached
    /// none that gets requests.
    fn is_last(&self, server: &str) -> bool {
        let serves =
            |(name, it): (&Arc<str>, &Rotation)| **name != *server && *it == Rotation::Proven;
        self.0.contains_key(server) && !self.0.iter().any(serves)
    }

    fn remove(&mut self, server: &str) {
        self.0.remove(server);
    }

    /// Removes the servers that get no requests any more, and takes the newer rotation of the
    /// others.
    fn update(&mut self, now: &Serving) {
        self.0.retain(|name, it| match now.0.get(name) {
            Some(rotation) => {
                *it = *rotation;
                true
            }
            None => false,
        });
    }
}

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
    /// True once HAProxy has answered for the first time.
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
        let mut problems = self.carry_out_all(steps, &present)?;
        let desired = self.desired.current();
        let is_unneeded = |name: &str| present.contains_key(name) && !desired.contains_key(name);
        self.planner.refused.retain(is_unneeded);
        problems.extend(self.planner.refused.problems());
        self.write_state_file()?;
        Ok(problems)
    }

    /// Asks HAProxy for its process and its servers.
    fn present(&self) -> Result<(String, BTreeMap<String, Server>), String> {
        let backend = &self.planner.backend;
        let answer = self.send(&format!("show info; show servers state {backend}"))?;
        let present =
            actual_servers::parse(&answer).map_err(|why| format!("backend {backend}: {why}"))?;
        Ok((actual_servers::process(&answer), present))
    }

    /// Carries out the steps of a round. The last serving server of this HAProxy is not taken away
    /// unless an operator has ordered its state: servers that were started in this round do not
    /// count, because HAProxy has not reached them yet. The desired servers are the same for every
    /// HAProxy, but this one may reach fewer of them than others.
    fn carry_out_all(
        &mut self,
        steps: Vec<Step>,
        present: &BTreeMap<String, Server>,
    ) -> Result<BTreeSet<String>, String> {
        let mut problems = BTreeSet::new();
        if steps.is_empty() {
            return Ok(problems);
        }
        let mut serving = self.serving(present)?;
        for step in steps {
            if step.may_interrupt() {
                // Someone may have taken another server away since the round began.
                serving.update(&self.serving(present)?);
            }
            let is_last = serving.is_last(&step.server) && !step.is_unguarded_removal();
            if !step.is_ready && is_last {
                problems.insert(format!(
                    "{}: it keeps serving, because this HAProxy has reached no other server that \
                     serves",
                    step.described()
                ));
                continue;
            }
            self.planner.others.begin(&step.server);
            // The server may be stopped even if the step fails. At a new address, HAProxy has not
            // reached it yet.
            if step.may_interrupt() {
                serving.remove(&step.server);
            }
            let mut weight_problem = None;
            let stopped_by = self.carry_out(&step, is_last, &mut weight_problem)?;
            let others = &mut self.planner.others;
            match stopped_by {
                None => others.finish(&step.server, step.goal, weight_problem.is_some()),
                Some(why) if step.is_deletion() => {
                    let refused = &mut self.planner.refused;
                    refused.note(step.server, why, Instant::now());
                }
                Some(why) => drop(problems.insert(why)),
            }
            problems.extend(weight_problem);
        }
        Ok(problems)
    }

    /// Asks HAProxy which of the present servers of members get requests.
    fn serving(&self, present: &BTreeMap<String, Server>) -> Result<Serving, String> {
        let backend = &self.planner.backend;
        let answer = self.send(&format!("show stat {backend} 4 -1"))?;
        let rotations = actual_servers::rotations(&answer)
            .map_err(|why| format!("backend {backend}: {why}"))?;
        let serves = |(name, it): (String, Rotation)| {
            let server = present.get(&name)?;
            let is_of_member = self.planner.is_of_member(&name, server);
            (is_of_member && it != Rotation::Out).then(|| (name.into(), it))
        };
        Ok(Serving(rotations.into_iter().filter_map(serves).collect()))
    }

    /// Sends the lines of a step. Returns the problem if HAProxy refused a line or has not taken an
    /// address in time. The refusal of a weight is a problem of its own, and the step goes on: with
    /// a static balance algorithm, HAProxy takes only the configured weight.
    fn carry_out(
        &self,
        step: &Step,
        is_last: bool,
        weight_problem: &mut Option<String>,
    ) -> Result<Option<String>, String> {
        let server = step.described();
        for (number, line) in step.lines(is_last).iter().enumerate() {
            let answer = self.send(line)?;
            if let Some(why) = weight_refusal(&answer) {
                *weight_problem = Some(format!("{server}: {why}"));
            }
            if let Some(why) = objection(&answer) {
                return Ok(Some(format!("{server}: {why} (command: {line})")));
            }
            let addr = step.addr.filter(|_| number == 0);
            if let Some(addr) = addr.filter(|addr| !self.has_taken(&step.server, *addr)) {
                let why = format!("{server}: HAProxy has not taken the address {addr} yet");
                return Ok(Some(why));
            }
        }
        Ok(None)
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
        actual_servers::parse(&answer)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_haproxy::backend::Backend;
    use sprat_haproxy::balance::{AdminState, Assignment, Limits};
    use sprat_haproxy::controller::{Controller, ControllerConfig};
    use sprat_haproxy::server_state::HEAD;
    use sprat_haproxy::snapshot::Snapshot;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::sync::Mutex;

    /// The id, the port and the state of a server.
    type Row = (String, String, &'static str);

    /// The port of servers that HAProxy's health checks find down.
    const DOWN: u16 = 7;
    /// The port of servers that HAProxy has not checked yet.
    const UNCHECKED: u16 = 6;
    /// The port of servers that someone stops after the first answer to `show stat`.
    const STOPPED_LATER: u16 = 5;

    const STAYS: &str =
        "web-2: it keeps serving, because this HAProxy has reached no other server that serves";

    /// The runtime API of an HAProxy that never changes an address, with its servers by name.
    #[derive(Clone)]
    struct Stubborn(Arc<Mutex<BTreeMap<String, Row>>>);

    impl Stubborn {
        fn serve(&self, path: &str) {
            let listener = UnixListener::bind(path).unwrap();
            let it = self.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let mut line = String::new();
                    BufReader::new(&stream).read_line(&mut line).unwrap();
                    let answers = line.trim().split("; ").map(|command| it.run(command));
                    let answer: String = answers.collect();
                    (&stream).write_all(answer.as_bytes()).unwrap();
                }
            });
        }

        fn run(&self, command: &str) -> String {
            let mut servers = self.0.lock().unwrap();
            let words: Vec<&str> = command.split(' ').collect();
            let name = words.get(2).and_then(|it| it.strip_prefix("nodes/"));
            match (&words[..], name) {
                (["add", "server", _, addr, "id", id, ..], Some(name)) => {
                    let port = addr.rsplit(':').next().unwrap();
                    let server = ((*id).to_owned(), port.to_owned(), "maint");
                    servers.insert(name.to_owned(), server);
                    String::new()
                }
                (["set", "server", _, "state", state], Some(name)) => {
                    servers.get_mut(name).unwrap().2 = AdminState::from_name(state).unwrap().name();
                    String::new()
                }
                (["show", "servers", ..], _) => {
                    let rows = servers.iter().map(|(name, (id, port, state))| {
                        let admin = match *state {
                            "ready" => 0,
                            "drain" => 8,
                            _ => 1,
                        };
                        let operation = if *port == DOWN.to_string() { 0 } else { 2 };
                        format!(
                            "3 nodes {id} {name} 10.0.0.1 {operation} {admin} 100 1 9 6 3 4 6 0 0 \
                             1 - {port} - 0 0 - - 0\n"
                        )
                    });
                    format!("{HEAD}{}\n", rows.collect::<String>())
                }
                (["show", "stat", ..], _) => {
                    let rows = servers.iter().map(|(name, (_, port, state))| {
                        let status = match (*state, port.parse().unwrap()) {
                            ("maint", _) => "MAINT",
                            (_, DOWN) => "DOWN",
                            (_, UNCHECKED) => "UP 1/2",
                            ("drain", _) => "DRAIN",
                            _ => "UP",
                        };
                        format!("nodes,{name},0,{status},100,\n")
                    });
                    let rows: String = rows.collect();
                    for (_, port, state) in servers.values_mut() {
                        if *port == STOPPED_LATER.to_string() {
                            *state = "maint";
                        }
                    }
                    format!("# pxname,svname,qcur,status,weight,\n{rows}\n")
                }
                _ => String::new(),
            }
        }

        fn states(&self) -> Vec<&'static str> {
            let servers = self.0.lock().unwrap();
            servers.values().map(|(_, _, state)| *state).collect()
        }
    }

    fn assignment(n: u16, port: u16, state: AdminState) -> (Arc<str>, Assignment) {
        let name: Arc<str> = format!("web-{n}").into();
        let assignment = Assignment {
            slot: n.into(),
            name: Some(name.clone()),
            addr: Some(([10, 0, 0, 1], port).into()),
            weight: 100,
            state,
            order: 0,
            is_unguarded: false,
        };
        (name, assignment)
    }

    /// Returns a controller without members.
    fn controller() -> Controller {
        let mut node = sprat::Config::default();
        for (key, value) in [("bind", "127.0.0.1:0"), ("profile", "local")] {
            node.set(key, value).unwrap();
        }
        let backend = Backend {
            name: "nodes".to_owned(),
            rules: node.spoe_rules(),
            servers: vec!["0".into()],
            limits: Limits::default(),
        };
        Controller::start(ControllerConfig {
            node,
            backends: vec![backend],
            inside_haproxy: false,
            snapshot: Snapshot::default(),
            snapshot_file: None,
        })
        .unwrap()
    }

    /// Makes the servers `before` ready in an HAProxy that takes no other addresses, and carries
    /// out the steps to `after`. Returns the states of the servers, and the problems.
    fn carried_out(
        test: &str,
        before: [(Arc<str>, Assignment); 2],
        after: [(Arc<str>, Assignment); 2],
    ) -> (Vec<&'static str>, BTreeSet<String>) {
        let folder = std::env::temp_dir().join(format!("sprat-{test}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("cli").to_str().unwrap().to_owned();
        let haproxy = Stubborn(Arc::default());
        haproxy.serve(&path);
        let tag = ("role".to_owned(), "backend".to_owned());
        let planner = Planner::new("nodes".to_owned(), &tag, "check".to_owned(), Vec::new());
        let mut reconciler = Reconciler {
            haproxy: path,
            planner,
            desired: Arc::new(DesiredServers::new(controller())),
            state_file: None,
            restored: BTreeSet::new(),
            has_restored: true,
        };
        let mut problems = BTreeSet::new();
        for desired in [before, after] {
            let present = reconciler.present().unwrap().1;
            let steps = reconciler.planner.steps(&present, &desired.into());
            problems = reconciler.carry_out_all(steps, &present).unwrap();
        }
        reconciler.desired.controller().release(Duration::ZERO);
        std::fs::remove_dir_all(&folder).unwrap();
        (haproxy.states(), problems)
    }

    #[test]
    fn a_server_that_was_stopped_to_change_its_address_does_not_count_as_serving() {
        let (ready, drain) = (AdminState::Ready, AdminState::Drain);
        let before = || [assignment(1, 1, ready), assignment(2, 2, ready)];
        let late = |n: u16, port: u16| {
            format!("web-{n}: HAProxy has not taken the address 10.0.0.1:{port} yet")
        };
        let after = [assignment(1, 9, ready), assignment(2, 2, drain)];
        let (states, problems) = carried_out("drain", before(), after);
        assert_eq!(states, ["maint", "ready"]);
        assert_eq!(problems, [late(1, 9), STAYS.to_owned()].into());
        let after = [assignment(1, 8, ready), assignment(2, 9, ready)];
        let (states, problems) = carried_out("move", before(), after);
        assert_eq!(states, ["maint", "ready"], "the last server is not stopped");
        assert_eq!(problems, [late(1, 8), late(2, 9)].into());
    }

    #[test]
    fn a_server_that_is_down_or_was_not_checked_does_not_count_as_serving_after_a_step() {
        let (ready, drain) = (AdminState::Ready, AdminState::Drain);
        for port in [DOWN, UNCHECKED] {
            let before = [assignment(1, port, ready), assignment(2, 2, ready)];
            let mut after = [assignment(1, port, ready), assignment(2, 2, drain)];
            after[0].1.weight = 50;
            let (states, problems) = carried_out("down", before, after);
            assert_eq!(states, ["ready", "ready"]);
            assert_eq!(problems, [STAYS.to_owned()].into());
        }
    }

    #[test]
    fn a_server_that_someone_stops_during_a_round_does_not_count_as_serving() {
        let (ready, drain) = (AdminState::Ready, AdminState::Drain);
        let first = assignment(1, STOPPED_LATER, ready);
        let before = [first.clone(), assignment(2, 2, ready)];
        let after = [first, assignment(2, 2, drain)];
        let (states, problems) = carried_out("stopped", before, after);
        assert_eq!(states, ["maint", "ready"]);
        assert_eq!(problems, [STAYS.to_owned()].into());
    }

    #[test]
    fn a_server_that_was_started_in_this_round_does_not_count_as_serving() {
        let (ready, maint, drain) = (AdminState::Ready, AdminState::Maint, AdminState::Drain);
        let before = [assignment(1, 1, maint), assignment(2, 2, ready)];
        let after = [assignment(1, 1, ready), assignment(2, 2, drain)];
        let (states, problems) = carried_out("started", before, after);
        assert_eq!(states, ["ready", "ready"]);
        assert_eq!(problems, [STAYS.to_owned()].into());
    }
}
