//! `sprat-hap`: a member of the cluster that drives the runtime API of HAProxys which cannot load
//! the module, and answers what they ask.
//!
//! ```text
//! cluster <--> pilot --orders--> Wanted --> one thread per HAProxy: what it has, what it should
//!                                  |         have, and the commands between the two
//!                                  +------> agent checks: a thread per connection
//! ```
//!
//! | file | its idea |
//! | --- | --- |
//! | `arguments` | the command line |
//! | `wanted` | what every server shall be, for all who look |
//! | `plan` | from what HAProxy has to what it should have: the commands, nothing else |
//! | `cli` | one command, one connection |
//! | `drive` | the thread of one HAProxy |
//! | `listen` | agent checks |

mod arguments;
mod cli;
mod drive;
mod listen;
mod plan;
mod wanted;

use arguments::{Arguments, Asked};
use plan::{Planner, SERVERS};
use sprat_haproxy::controller::{Phase, Pilot, Plan, Pool};
use sprat_haproxy::snapshot::Snapshot;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wanted::Wanted;

/// Between two looks for orders and signals.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the farewell.
const FAREWELL: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Asked::ToRun(arguments)) => arguments,
        Ok(Asked::ToTell(text)) => return say(&text),
        Err(wrong) => return fail(&format!("{wrong} (see sprat-hap --help)"), 2),
    };
    match run(*arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => fail(&wrong, 1),
    }
}

fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    log(&format!("error: {text}"));
    ExitCode::from(code)
}

/// A line on standard error; nobody reads it if it cannot be written.
fn log(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sprat-hap: {text}");
}

fn run(arguments: Arguments) -> Result<(), String> {
    let signals = Signals::block();
    arguments.config.check().map_err(|error| error.message)?;
    let rules = arguments.rules();
    let (backend, tag) = (arguments.backend, rules.tag.clone());
    let pool = Pool {
        name: backend.clone(),
        rules,
        slots: SERVERS,
        limits: arguments.limits,
    };
    let plan = Plan {
        config: arguments.config,
        pools: vec![pool],
        inside: false,
        remembered: Snapshot::default(),
        store: None,
    };
    let pilot = Pilot::start(plan).map_err(|error| format!("no thread for the node: {error}"))?;
    let wanted = Arc::new(Wanted::new(pilot));
    for haproxy in arguments.haproxys {
        let planner = Planner::new(backend.clone(), &tag, arguments.server_options.clone());
        drive::start(haproxy, planner, wanted.clone())?;
    }
    if let Some(addr) = arguments.agent_check {
        listen::agent_checks(addr, wanted.clone())?;
    }
    follow(&wanted, &signals);
    farewell(wanted.pilot());
    Ok(())
}

/// Hands orders on until a signal ends it.
fn follow(wanted: &Wanted, signals: &Signals) {
    let pilot = wanted.pilot();
    let mut phase = None;
    loop {
        match signals.came(LOOK) {
            Some(libc::SIGUSR1) => pilot.report().lines().for_each(log),
            Some(libc::SIGUSR2) => pilot.freeze(false),
            Some(_) => break,
            None => {}
        }
        wanted.take_orders();
        while let Some(notice) = pilot.take_notice() {
            log(&notice);
        }
        let now = pilot.phase();
        if now != phase && now.is_some() {
            match &now {
                Some(Phase::Starting(Some(why))) => log(why),
                Some(Phase::Broken(why)) => log(&format!("the node is broken: {why}")),
                Some(Phase::Running) => log("is a member"),
                Some(Phase::Starting(None) | Phase::Released) | None => {}
            }
            phase = now;
        }
    }
}

/// Leaves the cluster. The servers stay as they are.
fn farewell(pilot: &Pilot) {
    let until = Instant::now() + FAREWELL;
    pilot.release(Duration::ZERO);
    while pilot.phase() != Some(Phase::Released) && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

/// The signals that are listened to, blocked in every thread, and taken when it is convenient.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Signals {
        // SAFETY: a set of our own; the calls write into it or read it.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::sigaddset(&mut set, libc::SIGUSR2);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Signals(set)
        }
    }

    /// Waits so long for one.
    fn came(&self, time: Duration) -> Option<i32> {
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: a set and a time of our own.
        let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
