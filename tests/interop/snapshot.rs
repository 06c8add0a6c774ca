//! Snapshots: agents start from the files of sprat nodes and the other way round, and sprat nodes
//! return after a kill and after a leave.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::ours::{self, Ours};
use super::stopped::Process;
use super::wait::{throughout, until};
use sprat::{Config, MemberState};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The file of a snapshot. It is removed when the test ends.
struct SnapshotPath(PathBuf);

impl SnapshotPath {
    fn new() -> SnapshotPath {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sprat-snapshot-{}-{next}", std::process::id());
        SnapshotPath(std::env::temp_dir().join(name))
    }

    /// Returns the content of the file as an error unless it holds this line.
    fn check(&self, line: &str) -> Result<(), String> {
        let bytes = std::fs::read(&self.0).map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        match text.lines().any(|it| it == line) {
            true => Ok(()),
            false => Err(text.into_owned()),
        }
    }

    /// Waits until the file holds this line.
    fn holds(&self, line: &str) {
        let what = format!("the snapshot has the line {line:?}");
        until(&what, || self.check(line));
    }

    /// The settings of a sprat node with this snapshot.
    fn config(&self, name: &str, ip: IpAddr) -> Config {
        ours::config(name, ip).snapshot(self.0.clone())
    }

    /// The settings of an agent with this snapshot.
    fn setup(&self, name: &str, ip: IpAddr) -> Setup {
        Setup::new(name, ip).arg(&format!("-snapshot={}", self.0.display()))
    }
}

impl Drop for SnapshotPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn alive(agent: &Agent) -> String {
    format!("alive: {} {}", agent.name(), agent.addr())
}

#[test]
fn an_agent_starts_from_the_snapshot_of_a_sprat_node_and_rejoins() {
    let (block, path) = (Block::new(), SnapshotPath::new());
    let first = Setup::new("web 1", block.ip(1)).start();
    let second = Setup::new("web2", block.ip(2)).join(first.addr()).start();
    let ours = Ours::with(&path.config("ours", block.ip(3)));
    ours.join(first.addr());
    ours.sees_alive(&["ours", "web 1", "web2"]);
    first.event("deploy", "1");
    path.holds("event-clock: 1");
    // One member fails before the node ends: the agent must not stumble over what the node keeps.
    let failed = alive(&second).replace("alive", "# failed");
    let second = second.kill();
    ours.sees("web2", MemberState::Failed);
    path.holds(&failed);
    ours.kill();
    let agent = path.setup("ours", block.ip(3)).start();
    agent_sees(&agent, "web 1", "alive");
    agent_sees(&first, "ours", "alive");
    let second = second.join(first.addr()).start();
    all_see_alive(&[&first, &second, &agent], &["ours", "web 1", "web2"]);
}

#[test]
fn a_sprat_node_starts_from_the_snapshot_of_an_agent_and_rejoins() {
    let (block, path) = (Block::new(), SnapshotPath::new());
    let first = Setup::new("web1", block.ip(1)).start();
    let agent = path.setup("web2", block.ip(2)).join(first.addr()).start();
    // An agent keeps its last lines in memory until it has another one to write.
    until("the agent has written its snapshot", || {
        first.event("deploy", "1");
        path.check(&alive(&first))
            .and_then(|()| path.check("event-clock: 1"))
    });
    agent.kill();
    let ours = Ours::with(&path.config("web2", block.ip(2)));
    ours.sees_alive(&["web1", "web2"]);
    agent_sees(&first, "web2", "alive");
    assert_eq!(ours.counter("snapshot_unreadable"), 0);
    // The node goes on writing the file of the agent, and an agent reads it again.
    path.holds("# incarnation: 1");
    ours.kill();
    let agent = path.setup("web2", block.ip(2)).start();
    all_see_alive(&[&first, &agent], &["web1", "web2"]);
}

#[test]
fn a_killed_process_rejoins_the_agents_by_itself_with_a_higher_incarnation() {
    let (block, path) = (Block::new(), SnapshotPath::new());
    let first = Setup::new("web1", block.ip(1)).start();
    let second = Setup::new("web2", block.ip(2)).join(first.addr()).start();
    let watcher = Ours::start("watcher", block.ip(4));
    watcher.join(first.addr());
    let config = path.config("ours", block.ip(3));
    let process = Process::start(&config, Some(first.addr()));
    let names = ["ours", "watcher", "web1", "web2"];
    all_see_alive(&[&first, &second], &names);
    watcher.sees_alive(&names);
    path.holds(&alive(&first));
    path.holds(&alive(&second));
    let incarnation = || watcher.member("ours").unwrap().incarnation;
    let before = incarnation();
    drop(process); // kills the process
    let ours = Ours::with(&config);
    ours.sees_alive(&names);
    all_see_alive(&[&first, &second], &names);
    until("the watcher knows the new run", || match incarnation() {
        now if now > before => Ok(()),
        now => Err(format!("the incarnation is {now}, it was {before}")),
    });
}

#[test]
fn a_node_that_left_the_agents_returns_only_if_it_is_told_to_rejoin() {
    let (block, path) = (Block::new(), SnapshotPath::new());
    let first = Setup::new("web1", block.ip(1)).start();
    let second = Setup::new("web2", block.ip(2)).join(first.addr()).start();
    let config = path.config("ours", block.ip(3));
    let ours = Ours::with(&config);
    ours.join(first.addr());
    all_see_alive(&[&first, &second], &["ours", "web1", "web2"]);
    ours.sees_alive(&["ours", "web1", "web2"]);
    ours.leave();
    path.holds("leave");
    agent_sees(&first, "ours", "left");
    let ours = Ours::with(&config);
    throughout(
        Duration::from_secs(3),
        "the node asks nobody",
        || match ours.counter("reconnects") {
            0 => Ok(()),
            asked => Err(format!("it has asked {asked} times")),
        },
    );
    ours.kill();
    let mut config = config;
    config.set("rejoin_after_leave", "true").unwrap();
    let ours = Ours::with(&config);
    ours.sees_alive(&["ours", "web1", "web2"]);
    all_see_alive(&[&first, &second], &["ours", "web1", "web2"]);
}
