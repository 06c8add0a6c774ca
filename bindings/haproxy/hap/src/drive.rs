//! The thread of one HAProxy.

use super::plan::{Planner, Server, objection, read};
use super::wanted::Wanted;
use super::{cli, log};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Between two looks when nothing changes: a restart of HAProxy forgets all servers.
const LOOK: Duration = Duration::from_secs(1);

/// Starts it.
///
/// # Errors
/// No thread.
pub fn start(haproxy: String, planner: Planner, wanted: Arc<Wanted>) -> Result<(), String> {
    let drive = Drive {
        haproxy,
        planner,
        wanted,
        known: BTreeSet::new(),
    };
    let thread = Builder::new()
        .name("hap-drive".to_owned())
        .spawn(move || drive.run());
    thread
        .map(drop)
        .map_err(|error| format!("no thread: {error}"))
}

struct Drive {
    haproxy: String,
    planner: Planner,
    wanted: Arc<Wanted>,
    /// Servers of an earlier life, or of another `sprat-hap`, that the pilot was told of.
    known: BTreeSet<String>,
}

impl Drive {
    fn run(mut self) {
        let mut told = BTreeSet::new();
        loop {
            let version = self.wanted.version();
            let troubles = self.round().unwrap_or_else(|why| BTreeSet::from([why]));
            for text in troubles.difference(&told) {
                log(&format!("{}: {text}", self.haproxy));
            }
            if troubles.is_empty() && !told.is_empty() {
                log(&format!("{}: all is well again", self.haproxy));
            }
            told = troubles;
            self.wanted.wait(version, LOOK);
        }
    }

    /// Looks what HAProxy has, and makes it what it should be. What is refused for one server is no
    /// reason to leave the others; it is tried again in the next round.
    fn round(&mut self) -> Result<BTreeSet<String>, String> {
        let question = format!("show servers state {}", self.planner.backend);
        let has = read(&self.ask(&question)?);
        let has = has.map_err(|why| format!("backend {}: {why}", self.planner.backend))?;
        self.wanted.others(&self.haproxy, self.planner.others(&has));
        self.remember(&has)?;
        self.wanted.doubt(&self.haproxy, self.planner.doubted(&has));
        let mut troubles = BTreeSet::new();
        for step in self.planner.steps(&has, &self.wanted.now()) {
            for line in &step.lines {
                if let Some(why) = objection(line, &self.ask(line)?) {
                    troubles.insert(format!("{}: {why} (told: {line})", step.server));
                    break;
                }
            }
        }
        Ok(troubles)
    }

    /// A server that was made here, and that nobody wants, may be that of a member which was not
    /// heard yet: the pilot believes so for a while, and then it is wanted, until it is not.
    fn remember(&mut self, has: &BTreeMap<String, Server>) -> Result<(), String> {
        self.known.retain(|name| has.contains_key(name));
        let wanted = self.wanted.now();
        let mut orders = self.planner.remembered(has);
        orders.retain(|it| {
            let name = it.name.as_deref().unwrap_or_default();
            self.known.insert(name.to_owned()) && !wanted.contains_key(name)
        });
        if orders.is_empty() {
            return Ok(());
        }
        self.wanted.remember(orders)
    }

    fn ask(&self, line: &str) -> Result<String, String> {
        cli::ask(&self.haproxy, line)
    }
}
