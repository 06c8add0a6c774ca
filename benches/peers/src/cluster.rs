//! Clusters of equal nodes: how long they take to find one another and to notice a death, and what
//! a node costs while nothing happens.
//!
//! A stock agent and a C program with sprat are a process per node. The other programs run all
//! nodes of their cluster in one process, so their memory per node is less than a process needs.

use crate::figures::{Figures, Row};
use crate::processes;
use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The rows that [`measure`] fills.
pub const ROWS: [Row; 9] = [
    Row {
        what: "processor time of a node at rest",
        unit: "ms/s",
    },
    Row {
        what: "context switches of a node at rest",
        unit: "/s",
    },
    Row {
        what: "resident memory per node",
        unit: "MiB",
    },
    Row {
        what: "memory that a node shares with nobody",
        unit: "MiB",
    },
    Row {
        what: "threads per node",
        unit: "",
    },
    Row {
        what: "all started together, until each sees all",
        unit: "s",
    },
    Row {
        what: "one more started, until all see it",
        unit: "s",
    },
    Row {
        what: "killed, until the first node reports it failed",
        unit: "s",
    },
    Row {
        what: "killed, until all nodes report it failed",
        unit: "s",
    },
];

/// The program that the nodes of a cluster run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A C program that is linked with sprat, in serf mode.
    Sprat,
    /// The same in memberlist mode.
    SpratMemberlist,
    /// A stock agent.
    Serf,
    /// Go's memberlist.
    Go,
    /// The crate memberlist.
    Crate,
    /// The crate chitchat.
    Chitchat,
    /// A program that only sends and answers pings.
    Floor,
}

/// A line in which the node with index `at` reports that `name` has joined, or, if `joined` is
/// false, that it has failed.
struct Report {
    when: Instant,
    at: usize,
    joined: bool,
    name: String,
}

/// The processes of a cluster.
enum Processes {
    /// A process for each node that runs.
    Each(Vec<Option<Child>>),
    /// One process for all nodes, and the input that takes commands.
    One(Child, ChildStdin),
}

pub struct Cluster {
    kind: Kind,
    processes: Processes,
    reports: Receiver<Report>,
    sender: Sender<Report>,
}

impl Kind {
    /// Returns the heading of its column.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Sprat => "sprat",
            Kind::SpratMemberlist => "sprat, memberlist mode",
            Kind::Serf => "serf",
            Kind::Go => "Go memberlist",
            Kind::Crate => "crate memberlist",
            Kind::Chitchat => "crate chitchat",
            Kind::Floor => "only pings",
        }
    }

    /// Returns the third octet of the nodes' addresses.
    fn network(self) -> u8 {
        match self {
            Kind::Sprat => 1,
            Kind::Serf => 2,
            Kind::Go => 3,
            Kind::Crate => 4,
            Kind::Chitchat => 5,
            Kind::SpratMemberlist => 6,
            Kind::Floor => 7,
        }
    }

    pub fn addr(self, index: usize) -> SocketAddr {
        peers::addr(self.network(), index)
    }

    /// Returns the command of a program that runs all nodes.
    fn one_process(self) -> Option<Command> {
        match self {
            Kind::Sprat | Kind::SpratMemberlist | Kind::Serf | Kind::Floor => None,
            Kind::Go => Some(Command::new(crate::variable("SPRAT_GO_PEER"))),
            Kind::Crate => Some(sibling("memberlist-crate")),
            Kind::Chitchat => Some(sibling("chitchat")),
        }
    }

    /// Returns the command of one of `size` nodes, which joins `seed`.
    fn command(self, index: usize, size: usize, seed: Option<SocketAddr>) -> Command {
        if self == Kind::Floor {
            let mut command = sibling("floor");
            command.args([index, size].map(|it| it.to_string()));
            return command;
        }
        let (addr, name) = (self.addr(index), peers::name(index));
        let seed = seed.map(|seed| seed.to_string());
        if self == Kind::Serf {
            let mut command = Command::new("serf");
            let rpc = format!("{}:7373", addr.ip());
            command.args(["agent", "-node", &name, "-tag", "role=bench"]);
            command.args(["-bind", &addr.to_string(), "-rpc-addr", &rpc]);
            // An agent that cannot join exits, so the seed is started first.
            command.args(seed.map(|seed| format!("-join={seed}")));
            return command;
        }
        let mut command = Command::new(crate::variable("SPRAT_WATCH"));
        command.args(["--name", &name, "--bind", &addr.to_string()]);
        match self {
            Kind::SpratMemberlist => command.args(["--set", "mode=memberlist"]),
            _ => command.args(["--tag", "role=bench"]),
        };
        command.args(seed);
        command
    }

    /// Reads a line of the output of node `at`, or, if all nodes share a process, of that process.
    fn read(self, at: usize, line: &str) -> Option<Report> {
        let after = |mark: &str| line.split_once(mark)?.1.split_whitespace().next();
        let (at, joined, failed) = match self {
            Kind::Sprat | Kind::SpratMemberlist => {
                let listed = || line.strip_prefix("alive ")?.split_whitespace().next();
                let joined = after("member-join ").or_else(listed);
                (at, joined, after("member-failed "))
            }
            Kind::Serf => (at, after("EventMemberJoin: "), after("EventMemberFailed: ")),
            Kind::Go | Kind::Crate | Kind::Chitchat | Kind::Floor => {
                let at = line.split(' ').next()?.parse().ok()?;
                (at, after(" joined "), after(" failed "))
            }
        };
        let name = joined.or(failed)?;
        Some(Report {
            when: Instant::now(),
            at,
            joined: joined.is_some(),
            name: name.to_owned(),
        })
    }
}

impl Cluster {
    /// Prepares a cluster of at most `size` nodes, none of which runs yet.
    pub fn new(kind: Kind, size: usize) -> Cluster {
        let (sender, reports) = channel();
        let processes = match kind.one_process() {
            None => Processes::Each((0..size).map(|_| None).collect()),
            Some(mut command) => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                command.stderr(Stdio::null());
                let mut child = command.spawn().expect("the program starts");
                let input = child.stdin.take().expect("it is piped");
                listen(kind, 0, &mut child, sender.clone());
                Processes::One(child, input)
            }
        };
        Cluster {
            kind,
            processes,
            reports,
            sender,
        }
    }

    /// Starts a node, which joins node 0 of its cluster.
    fn start(&mut self, at: usize) {
        let seed = (at > 0).then(|| self.kind.addr(0));
        self.start_with(at, seed);
    }

    /// Starts a node, which joins `seed`.
    pub fn start_with(&mut self, at: usize, seed: Option<SocketAddr>) {
        match &mut self.processes {
            Processes::One(_, input) => {
                writeln!(input, "start {at}").expect("the program reads commands");
            }
            Processes::Each(nodes) => {
                let mut command = self.kind.command(at, nodes.len(), seed);
                command.stdin(Stdio::null()).stdout(Stdio::piped());
                command.stderr(Stdio::null());
                let mut child = command.spawn().expect("the program starts");
                listen(self.kind, at, &mut child, self.sender.clone());
                nodes[at] = Some(child);
            }
        }
    }

    fn kill(&mut self, at: usize) {
        match &mut self.processes {
            Processes::One(_, input) => {
                writeln!(input, "kill {at}").expect("the program reads commands");
            }
            Processes::Each(nodes) => nodes[at].take().into_iter().for_each(end),
        }
    }

    /// Waits until each of `views`, an observer and a name, has been reported: as joined if
    /// `joined` is true, or else as failed. Reports from before `since` do not count. Returns the
    /// times of the first and the last of these reports.
    pub fn wait(
        &self,
        since: Instant,
        joined: bool,
        views: HashSet<(usize, String)>,
        limit: Duration,
    ) -> Result<(Instant, Instant), String> {
        let wanted = views.len();
        let mut missing = views;
        let (deadline, mut first, mut last) = (Instant::now() + limit, None, None);
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left).map_err(|_| {
                let some: BTreeSet<_> = missing.iter().take(5).collect();
                format!("{} of {} not seen: {some:?}", missing.len(), wanted)
            })?;
            let is_new = report.when >= since;
            if is_new && report.joined == joined && missing.remove(&(report.at, report.name)) {
                first.get_or_insert(report.when);
                last = Some(report.when);
            }
        }
        first
            .zip(last)
            .ok_or_else(|| "nothing to wait for".to_owned())
    }

    /// Waits until node `at` has reported this many different members as joined; returns when.
    pub fn count(&self, at: usize, members: usize, limit: Duration) -> Result<Instant, String> {
        let mut seen = HashSet::new();
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left);
            let report = report.map_err(|_| format!("{} of {members} seen", seen.len()))?;
            if report.joined && report.at == at {
                seen.insert(report.name);
            }
            if seen.len() >= members {
                return Ok(report.when);
            }
        }
    }

    /// Returns the processes that run.
    pub fn pids(&self) -> Vec<u32> {
        match &self.processes {
            Processes::Each(nodes) => nodes.iter().flatten().map(Child::id).collect(),
            Processes::One(child, _) => vec![child.id()],
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.processes, Processes::Each(Vec::new())) {
            Processes::Each(nodes) => nodes.into_iter().flatten().for_each(end),
            Processes::One(child, _) => end(child),
        }
    }
}

/// Returns the command of another program of this workspace.
fn sibling(name: &str) -> Command {
    let this = std::env::current_exe().expect("a program knows its path");
    Command::new(this.with_file_name(name))
}

/// Kills a process. Both calls fail only if it has ended already.
fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Passes on what a process reports.
fn listen(kind: Kind, at: usize, child: &mut Child, sender: Sender<Report>) {
    let output = child.stdout.take().expect("it is piped");
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(report) = kind.read(at, &line) {
                // Sending fails only after the cluster has been dropped.
                let _ = sender.send(report);
            }
        }
    });
}

/// Returns every pair of an observer and a name.
fn views(observers: &[usize], names: &[String]) -> HashSet<(usize, String)> {
    let of = |at: &usize| {
        let at = *at;
        names.iter().map(move |name| (at, name.clone()))
    };
    observers.iter().flat_map(of).collect()
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Measures the resources of the nodes while nothing happens.
fn at_rest(cluster: &Cluster, nodes: usize, rest: Duration, figures: &mut Figures) {
    let pids = cluster.pids();
    let per_node = |of: &dyn Fn(u32) -> f64| {
        let sum: f64 = pids.iter().map(|pid| of(*pid)).sum();
        sum / nodes as f64
    };
    let time = |pid| processes::processor_time(pid).as_secs_f64() * 1e3;
    let (time_before, switches_before) = (per_node(&time), per_node(&processes::switches));
    let began = Instant::now();
    std::thread::sleep(rest);
    let lasted = began.elapsed().as_secs_f64();
    let used = (per_node(&time) - time_before) / lasted;
    let switched = (per_node(&processes::switches) - switches_before) / lasted;
    figures.add("processor time of a node at rest", used);
    figures.add("context switches of a node at rest", switched);
    let mib = |of: &dyn Fn(u32) -> f64| per_node(of) / 1024.0;
    figures.add("resident memory per node", mib(&processes::resident));
    figures.add(
        "memory that a node shares with nobody",
        mib(&processes::private),
    );
    figures.add("threads per node", per_node(&processes::threads));
}

/// Runs a cluster of `size` nodes and fills [`ROWS`]: lets it rest for this long, and kills and
/// restarts this many nodes.
pub fn measure(
    kind: Kind,
    size: usize,
    rest: Duration,
    kills: usize,
    figures: &mut Figures,
) -> Result<(), String> {
    let mut cluster = Cluster::new(kind, size);
    // Some nodes of a large cluster wait for a push/pull, every two minutes.
    let limit = Duration::from_secs(180);
    let everybody: Vec<usize> = (0..size).collect();
    let names: Vec<String> = everybody.iter().map(|at| peers::name(*at)).collect();
    let began = Instant::now();
    cluster.start(0);
    cluster.wait(began, true, views(&[0], &names[..1]), limit)?;
    let began = Instant::now();
    (1..size).for_each(|at| cluster.start(at));
    let mut all = views(&everybody, &names);
    if kind == Kind::Floor {
        all.retain(|(at, _)| *at > 0);
    } else {
        // The seed has already reported its own join, and does not report it again.
        all.remove(&(0, names[0].clone()));
    }
    let last = cluster.wait(began, true, all, limit)?.1;
    let together = seconds(began, last);
    std::thread::sleep(Duration::from_secs(5));
    at_rest(&cluster, size, rest, figures);
    if kind == Kind::Floor {
        return Ok(()); // it learns of nothing
    }
    figures.add("all started together, until each sees all", together);

    for round in 0..kills {
        let victim = 1 + (round * 7) % (size - 1);
        let mut observers = everybody.clone();
        observers.retain(|at| *at != victim);
        let name = [peers::name(victim)];
        let killed = Instant::now();
        cluster.kill(victim);
        let (first, last) = cluster.wait(killed, false, views(&observers, &name), limit)?;
        let (first, last) = (seconds(killed, first), seconds(killed, last));
        figures.add("killed, until the first node reports it failed", first);
        figures.add("killed, until all nodes report it failed", last);
        std::thread::sleep(Duration::from_secs(2));
        let started = Instant::now();
        cluster.start(victim);
        let last = cluster
            .wait(started, true, views(&observers, &name), limit)?
            .1;
        figures.add("one more started, until all see it", seconds(started, last));
        std::thread::sleep(Duration::from_secs(2));
    }
    Ok(())
}
