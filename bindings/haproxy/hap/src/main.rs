//! `sprat-hap`: a member of the cluster for HAProxy instances that cannot load the module. It
//! changes their servers through the runtime API, and answers their agent checks.
//!
//! ```text
//! cluster <--> controller --changes--> DesiredServers --> one thread per HAProxy: compares its
//!                                            |            servers with the desired ones, and
//!                                            |            sends the commands that make them equal
//!                                            +----------> agent checks: a thread per connection
//! ```
//!
//! | file | contents |
//! | --- | --- |
//! | `arguments` | the command line |
//! | `desired` | the desired servers, shared by all threads |
//! | `plan` | the commands that turn the actual servers into the desired ones |
//! | `deletions` | the servers that HAProxy refuses to delete |
//! | `reconcile` | the thread of one HAProxy |
//! | `state_file` | the file from which HAProxy loads its servers after a reload |
//! | `runtime_api` | sends a command to HAProxy, on a connection of its own |
//! | `accept` | the loop that accepts connections |
//! | `agent_check` | the answers to agent checks |
//! | `control` | the orders of an operator |
//! | `signals` | the signals that end the process, print a report, or lift a freeze |

mod accept;
mod agent_check;
mod arguments;
mod control;
mod deletions;
mod desired;
mod plan;
mod reconcile;
mod runtime_api;
mod signals;
mod state_file;

use agent_check::AgentChecks;
use arguments::{Arguments, Invocation};
use control::ControlSocket;
use desired::DesiredServers;
use plan::{Planner, SERVERS};
use signals::Signals;
use sprat_haproxy::backend::Backend;
use sprat_haproxy::controller::{Controller, ControllerConfig, NodePhase};
use sprat_haproxy::snapshot::SnapshotFile;
use state_file::StateFile;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait for a signal before changes and notices are read again.
const POLL: Duration = Duration::from_millis(20);
/// The longest wait for the node to leave the cluster.
const LEAVE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Invocation::Run(arguments)) => arguments,
        Ok(Invocation::Print(text)) => return print(&text),
        Err(wrong) => return fail(&format!("{wrong} (see sprat-hap --help)"), 2),
    };
    match run(*arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => fail(&wrong, 1),
    }
}

fn print(text: &str) -> ExitCode {
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

/// Writes a line to standard error. A line that cannot be written is dropped.
fn log(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sprat-hap: {text}");
}

fn run(arguments: Arguments) -> Result<(), String> {
    let signals = Signals::block();
    arguments.config.check().map_err(|error| error.message)?;
    let rules = arguments.rules();
    let (name, tag) = (arguments.backend, rules.tag.clone());
    let template = arguments.template;
    let servers = match template.is_empty() {
        true => vec!["".into(); SERVERS],
        false => template.clone(),
    };
    let opened = arguments.snapshot.map(|path| {
        let opened = SnapshotFile::open(&path);
        opened.map_err(|error| format!("the snapshot {path} cannot be opened: {error}"))
    });
    let (snapshot_file, snapshot) = opened.transpose()?.unzip();
    let backend = Backend {
        name: name.clone(),
        rules,
        servers,
        limits: arguments.limits,
    };
    let config = ControllerConfig {
        node: arguments.config,
        backends: vec![backend],
        inside_haproxy: false,
        snapshot: snapshot.unwrap_or_default(),
        snapshot_file,
    };
    // Everything that can fail comes before the node starts, which others would see fail as well.
    let control = arguments.control.as_deref().map(ControlSocket::bind);
    let control = control.transpose()?;
    let checks = arguments.agent_check.map(AgentChecks::bind).transpose()?;
    let haproxys = arguments.haproxys.into_iter().map(|haproxy| {
        let options = arguments.server_options.clone();
        let planner = Planner::new(name.clone(), &tag, options, template.clone());
        let state_file = arguments.server_state.clone().map(StateFile::new);
        (haproxy, planner, state_file)
    });
    let haproxys: Vec<_> = haproxys.collect();
    let controller = Controller::start(config)
        .map_err(|error| format!("the thread of the controller cannot be started: {error}"))?;
    let desired = Arc::new(DesiredServers::new(controller));
    let served = serve(&desired, haproxys, checks, control.as_ref());
    if served.is_ok() {
        follow(&desired, &signals);
    }
    leave(desired.controller());
    served
}

/// Starts the threads that serve each HAProxy, agent checks and operators.
fn serve(
    desired: &Arc<DesiredServers>,
    haproxys: Vec<(String, Planner, Option<StateFile>)>,
    checks: Option<AgentChecks>,
    control: Option<&ControlSocket>,
) -> Result<(), String> {
    for (haproxy, planner, state_file) in haproxys {
        reconcile::start(haproxy, planner, desired.clone(), state_file)?;
    }
    if let Some(checks) = checks {
        checks.serve(desired.clone())?;
    }
    if let Some(control) = control {
        let served = control.serve(desired.clone());
        served.map_err(|error| format!("the control socket cannot be served: {error}"))?;
    }
    Ok(())
}

/// Makes changes available to the other threads, writes the log and handles signals, until SIGTERM
/// or SIGINT arrives.
fn follow(desired: &DesiredServers, signals: &Signals) {
    let controller = desired.controller();
    let mut phase = None;
    loop {
        match signals.wait(POLL) {
            Some(libc::SIGUSR1) => controller.report().lines().for_each(log),
            // This fails only while the process ends.
            Some(libc::SIGUSR2) => drop(controller.set_frozen(false)),
            Some(_) => break,
            None => {}
        }
        desired.take_changes();
        log_notices(controller);
        let now = controller.phase();
        if now != phase && now.is_some() {
            match &now {
                Some(NodePhase::Starting(Some(why))) => log(why),
                Some(NodePhase::Broken(why)) => log(&format!("the node is broken: {why}")),
                Some(NodePhase::Running) => log("the node is running"),
                Some(NodePhase::Starting(None) | NodePhase::Released) | None => {}
            }
            phase = now;
        }
    }
}

fn log_notices(controller: &Controller) {
    while let Some(notice) = controller.next_notice() {
        log(&notice.text);
    }
}

/// Leaves the cluster, unless a successor has asked for the port. The servers of HAProxy stay as
/// they are.
fn leave(controller: &Controller) {
    let until = Instant::now() + LEAVE;
    controller.release(Duration::ZERO);
    while controller.phase() != Some(NodePhase::Released) && Instant::now() < until {
        std::thread::sleep(POLL);
    }
    log_notices(controller); // among them the members that have not acknowledged the leave
}
