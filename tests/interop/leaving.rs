//! Leaving a mixed cluster: an agent never mistakes the leave of a sprat node for a failure.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::ours::{Ours, config};
use super::wait::PATIENCE;

const LEAVERS: [&str; 2] = ["left1", "left2"];

/// Starts an agent and two sprat nodes that join it. When all three see one another, both nodes
/// leave at the same time. Returns the agent.
fn two_leave_at_once(block: &Block) -> Agent {
    let observer = Setup::new("observer", block.ip(1))
        .arg("-profile=local")
        .start();
    let leavers = [2, 3].map(|host| {
        let mut config = config(LEAVERS[host as usize - 2], block.ip(host));
        config.set("profile", "local").unwrap();
        let node = Ours::with(&config);
        node.join(observer.addr());
        node
    });
    let all = ["observer", LEAVERS[0], LEAVERS[1]];
    all_see_alive(&[&observer], &all);
    leavers.iter().for_each(|node| node.sees_alive(&all));
    std::thread::scope(|scope| {
        for node in &leavers {
            scope.spawn(|| node.node().leave(Some(PATIENCE)).unwrap());
        }
    });
    observer
}

#[test]
fn a_new_agent_sees_two_sprat_nodes_that_leave_together_as_left_and_never_as_failed() {
    let block = Block::new();
    let is_full_run = std::env::var("SPRAT_TEST_LEVEL").as_deref() == Ok("all");
    for round in 0..if is_full_run { 100 } else { 4 } {
        let observer = two_leave_at_once(&block);
        for name in LEAVERS {
            agent_sees(&observer, name, "left");
            let failed = observer.logged(&format!("EventMemberFailed: {name}"));
            assert_eq!(failed, 0, "round {round}: {:#?}", observer.log());
        }
        observer.leave();
    }
}
