//! The thread of one HAProxy.

use super::plan::{Planner, objection, read};
use super::wanted::{Servers, Wanted};
use super::{cli, log};
use sprat_haproxy::balance::Order;
use std::collections::BTreeSet;
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
    let mut told = BTreeSet::new();
    loop {
        let (version, servers) = wanted.now();
        let troubles = match round(haproxy, &mut planner, &servers) {
            Ok(troubles) => troubles,
            Err(why) => BTreeSet::from([why]),
        };
        for text in troubles.difference(&told) {
            log(&format!("{haproxy}: {text}"));
        }
        if troubles.is_empty() && !told.is_empty() {
            log(&format!("{haproxy}: all is well again"));
        }
        told = troubles;
        wanted.wait(version, LOOK);
    }
}

/// Looks what HAProxy has, and makes it what it should be. What is refused for one server is no
/// reason to leave the others; it is tried again in the next round.
fn round(
    haproxy: &str,
    planner: &mut Planner,
    wanted: &Servers,
) -> Result<BTreeSet<String>, String> {
    let answer = cli::ask(haproxy, &format!("show servers state {}", planner.backend))?;
    let has = read(&answer)?;
    let mut troubles = BTreeSet::new();
    for name in planner.taken(&has, wanted) {
        troubles.insert(format!(
            "there is a server {name} that was not made here: the member of that name is not served"
        ));
    }
    for step in planner.steps(&has, wanted) {
        for line in &step.lines {
            let answer = cli::ask(haproxy, line)?;
            if let Some(why) = objection(line, &answer) {
                troubles.insert(format!("{}: {why} (after: {line})", step.server));
                break;
            }
        }
    }
    Ok(troubles)
}

/// The servers that an earlier life has made, if HAProxy answers.
pub fn remembered(haproxy: &str, backend: &str) -> Vec<Order> {
    let answer = cli::ask(haproxy, &format!("show servers state {backend}"));
    let has = answer.and_then(|answer| read(&answer)).unwrap_or_default();
    has.iter()
        .filter_map(|(name, server)| server.remembered(name))
        .collect()
}
