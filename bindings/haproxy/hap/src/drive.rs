//! The thread of one HAProxy.

use super::plan::{Planner, read};
use super::wanted::Wanted;
use super::{cli, log};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Between two looks when nothing changes: a restart of HAProxy forgets all servers.
const LOOK: Duration = Duration::from_secs(1);

/// Starts it.
///
/// # Errors
/// No thread.
pub fn start(
    haproxy: String,
    backend: String,
    options: String,
    wanted: Arc<Wanted>,
) -> Result<(), String> {
    let planner = Planner::new(backend, options);
    let work = move || drive(&haproxy, planner, &wanted);
    let thread = Builder::new().name("hap-drive".to_owned()).spawn(work);
    thread
        .map(drop)
        .map_err(|error| format!("no thread: {error}"))
}

fn drive(haproxy: &str, mut planner: Planner, wanted: &Wanted) {
    let mut told = String::new();
    loop {
        let (version, servers) = wanted.now();
        let trouble = round(haproxy, &mut planner, &servers)
            .err()
            .unwrap_or_default();
        if trouble != told {
            log(if trouble.is_empty() {
                "HAProxy answers again"
            } else {
                &trouble
            });
            told = trouble;
        }
        wanted.wait(version, LOOK);
    }
}

/// Looks what HAProxy has, and makes it what it should be.
fn round(
    haproxy: &str,
    planner: &mut Planner,
    wanted: &super::wanted::Servers,
) -> Result<(), String> {
    let answer = cli::ask(haproxy, &format!("show servers state {}", planner.backend))?;
    let has = read(&answer).map_err(|why| format!("{haproxy}: {why}"))?;
    for command in planner.commands(&has, wanted) {
        let answer = cli::ask(haproxy, &command)?;
        let answer = answer.trim();
        // A server with connections is deleted in one of the next rounds.
        let is_fine = answer.is_empty()
            || answer.starts_with("New server registered")
            || answer.starts_with("Server deleted")
            || answer.contains("IP changed")
            || answer.contains("no need to change")
            || command.starts_with("del server");
        if !is_fine {
            return Err(format!("{haproxy}: {command}: {answer}"));
        }
    }
    Ok(())
}
