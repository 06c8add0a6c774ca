//! Members that left or failed are erased after a while, by an agent and by a sprat node alike. A
//! node that keeps them for longer does not bring them back.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::ours::{self, Ours};
use super::wait::{throughout, until};
use sprat::EventKind;
use sprat::serf::MemberState;
use std::path::PathBuf;
use std::time::Duration;

/// The times after which an agent erases members. Only a file can set them.
const SOON: &str = r#"{ "tombstone_timeout": "2s", "reconnect_timeout": "2s" }"#;

/// A file with settings of an agent. It is removed when this value is dropped.
struct SettingsFile(PathBuf);

impl SettingsFile {
    fn new(text: &str) -> SettingsFile {
        let name = format!("sprat-reaping-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the folder for temporary files can be written");
        SettingsFile(path)
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        // If the file stays, it harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Checks that neither the agent nor the node lists one of the members.
fn none_is_listed(agent: &Agent, node: &Ours, names: &[&str]) -> Result<(), String> {
    let by_agent = agent.members();
    for name in names {
        match (by_agent.get(*name), node.state(name)) {
            (None, None) => {}
            listed => return Err(format!("{name} is {listed:?}")),
        }
    }
    Ok(())
}

#[test]
fn agents_and_sprat_nodes_erase_members_after_the_same_time_and_they_stay_erased() {
    let block = Block::new();
    let settings = SettingsFile::new(SOON);
    let agent = Setup::new("agent", block.ip(1));
    let agent = agent.arg(&format!("-config-file={}", settings.0.display()));
    let agent = agent.start();
    let mut config = ours::config("ours", block.ip(2));
    for timeout in ["tombstone_timeout_ms", "reconnect_timeout_ms"] {
        config.set(timeout, "2000").unwrap();
    }
    let node = Ours::with(&config);
    let keeper = Ours::start("keeper", block.ip(3));
    let dies = Setup::new("dies", block.ip(4)).start();
    let leaves = Setup::new("leaves", block.ip(5)).start();
    let ours_leaves = Ours::start("ours-leaves", block.ip(6));
    for joiner in [&node, &keeper, &ours_leaves] {
        joiner.join(agent.addr());
    }
    dies.join(agent.addr());
    leaves.join(agent.addr());
    let names = ["agent", "dies", "keeper", "leaves", "ours", "ours-leaves"];
    all_see_alive(&[&agent], &names);
    node.sees_alive(&names);
    keeper.sees_alive(&names);

    ours_leaves.leave();
    drop(leaves.leave());
    drop(dies.kill());
    let gone = ["dies", "leaves", "ours-leaves"];
    for name in gone {
        node.hears(EventKind::MemberReap, name, 1);
        until(&format!("the agent reaps {name}"), || {
            match agent.logged(&format!("EventMemberReap: {name}")) {
                1 => Ok(()),
                count => Err(format!("it did so {count} times: {:?}", agent.members())),
            }
        });
    }
    // Each end was told before. The news of an agent's leave may be lost, so it is not checked.
    assert_eq!(node.count(EventKind::MemberFail, "dies"), 1);
    assert_eq!(node.count(EventKind::MemberLeave, "ours-leaves"), 1);
    none_is_listed(&agent, &node, &gone).unwrap();

    // The keeper still lists them, and a push/pull shows its list to the others.
    keeper.sees("dies", MemberState::Failed);
    keeper.sees("ours-leaves", MemberState::Left);
    throughout(Duration::from_secs(5), "the members stay erased", || {
        keeper.join(agent.addr());
        keeper.join(node.addr());
        none_is_listed(&agent, &node, &gone)
    });
    agent_sees(&agent, "keeper", "alive");
}
