//! Two nodes with one name: the node that the cluster knew first keeps it.

use super::agent::{Block, Setup, agent_sees};
use super::ours::Ours;
use super::wait::until;
use sprat::{EventKind, Status};
use std::time::Duration;

/// An agent starts a vote when it learns of another node with its name, and quits if it loses. The
/// votes of sprat nodes count like those of agents.
#[test]
fn an_agent_that_takes_the_name_of_a_sprat_node_loses_the_vote_and_quits() {
    let block = Block::new();
    let first = Setup::new("web1", block.ip(1))
        .provoked("Conflicting address")
        .provoked("Name conflict")
        .start();
    let [owner, voter] = [("twin", 2), ("voter", 3)].map(|(name, host)| {
        let node = Ours::start(name, block.ip(host));
        node.join(first.addr());
        node
    });
    owner.sees_alive(&["twin", "voter", "web1"]);
    agent_sees(&first, "voter", "alive");
    let mut newcomer = Setup::new("twin", block.ip(4))
        .provoked("Conflicting address")
        .provoked("ame conflict") // "Name conflict" and "minority in name conflict"
        .start();
    // The join is refused or succeeds, depending on how soon the vote is over.
    let _ = newcomer.try_run(&["join", &first.addr().to_string()]);
    until("the newcomer quits", || match newcomer.has_ended() {
        true => Ok(()),
        false => Err(newcomer.log().join("\n")),
    });
    let log = newcomer.log().join("\n");
    assert!(
        log.contains("minority in name conflict resolution"),
        "{log}"
    );
    assert_eq!(first.members()["twin"].addr, owner.addr().to_string());
    agent_sees(&first, "twin", "alive");
    assert_eq!(voter.count(EventKind::MemberFail, "twin"), 0);
    assert_eq!(owner.count(EventKind::Fatal, ""), 0);
}

#[test]
fn a_sprat_node_that_takes_the_name_of_an_agent_is_told_so_and_disturbs_nobody() {
    let block = Block::new();
    let first = Setup::new("web1", block.ip(1)).start();
    let owner = Setup::new("twin", block.ip(2)).join(first.addr()).start();
    agent_sees(&first, "twin", "alive");
    let newcomer = Ours::start("twin", block.ip(3));
    let to = first.addr().to_string();
    let refused = newcomer.node().join(&[&to], Some(Duration::from_secs(60)));
    match refused.map_err(|why| why.status) {
        Err(why) => assert_eq!(why, Status::NameConflict),
        // On a busy machine, the join ends before the owner has answered.
        Ok(_) => newcomer.hears(EventKind::Fatal, "", 1),
    }
    agent_sees(&first, "twin", "alive");
    assert_eq!(first.members()["twin"].addr, owner.addr().to_string());
    assert_eq!(owner.logged("Name conflict"), 0, "no vote was provoked");
}
