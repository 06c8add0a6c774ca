//! Compares a cluster of C programs that use the library with a cluster of `serf` agents.
//!
//! The two clusters run one after the other on loopback addresses, with the same number of
//! processes and the same settings (profile lan). The bench reads the resources of each process
//! from `/proc`, and notes when each process prints that a member joined or failed. `make bench`
//! builds the C program and runs this bench.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The kind of process that a cluster consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Serf,
}

/// A line in which the node with index `at` reports that `name` has joined, or, if `joined` is
/// false, that it has failed.
struct Report {
    when: Instant,
    at: usize,
    joined: bool,
    name: String,
}

/// The figures of a cluster, in the order in which they are printed. Each has a name, a unit and a
/// value.
#[derive(Default)]
struct Figures {
    rows: Vec<(&'static str, &'static str, f64)>,
}

struct Cluster {
    kind: Kind,
    nodes: Vec<Option<Child>>,
    reports: Receiver<Report>,
    sender: Sender<Report>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn name(index: usize) -> String {
    format!("n{}", index + 1)
}

impl Kind {
    fn address(self, index: usize) -> String {
        let third = if self == Kind::Ours { 1 } else { 2 };
        format!("127.88.{third}.{}", index + 1)
    }

    fn command(self, index: usize) -> Command {
        let ip = self.address(index);
        let seed = (index > 0).then(|| format!("{}:7946", self.address(0)));
        match self {
            Kind::Ours => {
                let watch = std::env::var("SPRAT_WATCH").expect("`make bench` sets SPRAT_WATCH");
                let mut command = Command::new(watch);
                command.args(["--name", &name(index), "--bind", &format!("{ip}:7946")]);
                command.args(["--tag", "role=bench"]).args(seed);
                command
            }
            Kind::Serf => {
                let mut command = Command::new("serf");
                command
                    .arg("agent")
                    .args(["-node", &name(index), "-tag", "role=bench"]);
                command.args([
                    "-bind",
                    &format!("{ip}:7946"),
                    "-rpc-addr",
                    &format!("{ip}:7373"),
                ]);
                // An agent that cannot join exits, so `measure` starts the seed first.
                command.args(seed.map(|seed| format!("-join={seed}")));
                command
            }
        }
    }

    /// Reads a line of output. For a node that joined or failed, returns whether it joined, and its
    /// name.
    fn read(self, line: &str) -> Option<(bool, &str)> {
        let after = |mark: &str| line.split_once(mark)?.1.split_whitespace().next();
        let joined = match self {
            Kind::Ours => after("member-join ").or_else(|| {
                let name = line.strip_prefix("alive ")?;
                name.split_whitespace().next()
            }),
            Kind::Serf => after("EventMemberJoin: "),
        };
        let failed = match self {
            Kind::Ours => after("member-failed "),
            Kind::Serf => after("EventMemberFailed: "),
        };
        joined
            .map(|name| (true, name))
            .or(failed.map(|name| (false, name)))
    }
}

impl Cluster {
    fn new(kind: Kind, size: usize) -> Cluster {
        let (sender, reports) = channel();
        Cluster {
            kind,
            nodes: (0..size).map(|_| None).collect(),
            reports,
            sender,
        }
    }

    fn start(&mut self, at: usize) {
        let mut command = self.kind.command(at);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = child.stdout.take().expect("it is piped");
        let (kind, sender) = (self.kind, self.sender.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let when = Instant::now();
                if let Some((joined, name)) = kind.read(&line) {
                    let name = name.to_owned();
                    // Sending fails only after the cluster has been dropped.
                    let _ = sender.send(Report {
                        when,
                        at,
                        joined,
                        name,
                    });
                }
            }
        });
        self.nodes[at] = Some(child);
    }

    fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.nodes[at].take() {
            // Both calls fail only if the process has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until each of `views`, an observer and a name, has been reported as joined, or, if
    /// `joined` is false, as failed. Returns the times of the first and the last of these reports.
    fn wait(
        &self,
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
            if report.joined == joined && missing.remove(&(report.at, report.name)) {
                first.get_or_insert(report.when);
                last = Some(report.when);
            }
        }
        first
            .zip(last)
            .ok_or_else(|| "nothing to wait for".to_owned())
    }

    fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Child::id).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|at| self.kill(at));
    }
}

/// Returns every pair of an observer and a name.
fn views(observers: &[usize], names: &[String]) -> HashSet<(usize, String)> {
    let of = |at: &usize| {
        let at = *at;
        names.iter().map(move |name| (at, name.clone()))
    };
    observers.iter().flat_map(of).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the number in the line `Key: number` of a file in `/proc`.
fn field(path: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(f64::NAN)
}

/// Returns the sum of `read` over the threads of a process. `read` is given a thread's directory in
/// `/proc`.
fn over_threads(pid: u32, read: impl Fn(&str) -> f64) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .map(|thread| read(&thread.path().display().to_string()))
        .sum()
}

/// Returns the processor time of a process, in nanoseconds.
fn cpu_ns(pid: u32) -> f64 {
    over_threads(pid, |thread| {
        let text = std::fs::read_to_string(format!("{thread}/schedstat")).unwrap_or_default();
        text.split_whitespace()
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0.0)
    })
}

fn switches(pid: u32) -> f64 {
    over_threads(pid, |thread| {
        let path = format!("{thread}/status");
        field(&path, "voluntary_ctxt_switches") + field(&path, "nonvoluntary_ctxt_switches")
    })
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Measures the resources of the nodes while nothing happens.
fn at_rest(cluster: &Cluster, rest: Duration, figures: &mut Figures) {
    let pids = cluster.pids();
    let before: Vec<(f64, f64)> = pids
        .iter()
        .map(|pid| (cpu_ns(*pid), switches(*pid)))
        .collect();
    let began = Instant::now();
    std::thread::sleep(rest);
    let time = began.elapsed().as_secs_f64();
    let of = |read: &dyn Fn(u32) -> f64| median(pids.iter().map(|pid| read(*pid)).collect());
    let status = |key| of(&|pid| field(&format!("/proc/{pid}/status"), key));
    let used = |now: &dyn Fn(u32) -> f64, was: &dyn Fn(&(f64, f64)) -> f64| {
        let each = pids
            .iter()
            .zip(&before)
            .map(|(pid, before)| now(*pid) - was(before));
        each.sum::<f64>() / pids.len() as f64 / time
    };
    let pss = of(&|pid| field(&format!("/proc/{pid}/smaps_rollup"), "Pss"));
    let rows = [
        ("resident memory, median", "KiB", status("VmRSS")),
        ("proportional set size (PSS), median", "KiB", pss),
        ("threads", "", status("Threads")),
        (
            "processor time at rest",
            "us/s",
            used(&cpu_ns, &|b| b.0) / 1000.0,
        ),
        ("context switches at rest", "/s", used(&switches, &|b| b.1)),
    ];
    figures.rows.extend(rows);
}

fn measure(kind: Kind, size: usize) -> Result<Figures, String> {
    let mut figures = Figures::default();
    let mut cluster = Cluster::new(kind, size);
    let limit = Duration::from_secs(150);
    let everybody: Vec<usize> = (0..size).collect();
    let names: Vec<String> = everybody.iter().map(|at| name(*at)).collect();
    cluster.start(0);
    cluster.wait(true, views(&[0], &names[..1]), limit)?;
    let began = Instant::now();
    (1..size).for_each(|at| cluster.start(at));
    // The seed has already reported its own join, and does not report it again.
    let mut all = views(&everybody, &names);
    all.remove(&(0, names[0].clone()));
    let last = cluster.wait(true, all, limit)?.1;
    figures.rows.push((
        "all started together, until each sees all",
        "s",
        seconds(began, last),
    ));
    std::thread::sleep(Duration::from_secs(5));
    at_rest(
        &cluster,
        Duration::from_secs(setting("SPRAT_BENCH_REST", 30)),
        &mut figures,
    );

    let (mut joins, mut first, mut all, mut spread) = (vec![], vec![], vec![], vec![]);
    for round in 0..setting("SPRAT_BENCH_KILLS", 5) as usize {
        let victim = 1 + (round * 7) % (size - 1);
        let observers: Vec<usize> = everybody
            .iter()
            .copied()
            .filter(|at| *at != victim)
            .collect();
        let killed = Instant::now();
        cluster.kill(victim);
        let times = cluster.wait(false, views(&observers, &[name(victim)]), limit)?;
        first.push(seconds(killed, times.0));
        all.push(seconds(killed, times.1));
        spread.push(seconds(times.0, times.1));
        std::thread::sleep(Duration::from_secs(2));
        let started = Instant::now();
        cluster.start(victim);
        let times = cluster.wait(true, views(&observers, &[name(victim)]), limit)?;
        joins.push(seconds(started, times.1));
        std::thread::sleep(Duration::from_secs(2));
    }
    figures
        .rows
        .push(("one more started, until all see it", "s", median(joins)));
    figures.rows.push((
        "killed, until the first node reports it failed",
        "s",
        median(first),
    ));
    figures
        .rows
        .push(("killed, until all nodes report it failed", "s", median(all)));
    figures
        .rows
        .push(("from the first report to the last", "s", median(spread)));
    Ok(figures)
}

fn main() -> Result<(), String> {
    let size = setting("SPRAT_BENCH_NODES", 25).clamp(3, 200) as usize;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{size} nodes of each kind, {cores} processors, load before: {}",
        load.trim()
    );
    let ours = measure(Kind::Ours, size).map_err(|why| format!("sprat: {why}"))?;
    let serf = measure(Kind::Serf, size).map_err(|why| format!("serf: {why}"))?;
    println!(
        "{:<42} {:>10} {:>10}       {:>10}",
        "", "sprat", "serf", "sprat/serf"
    );
    for ((what, unit, ours), (_, _, serf)) in ours.rows.iter().zip(&serf.rows) {
        println!(
            "{what:<42} {ours:>10.2} {serf:>10.2} {unit:<5} {:>9.1} %",
            100.0 * ours / serf
        );
    }
    Ok(())
}
