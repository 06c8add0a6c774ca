//! Members that failed are removed, and erased, by a command at an agent and at a sprat node.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::ours::Ours;
use super::wait::until;
use sprat::serf::MemberState;

/// Waits until neither the agent nor the node lists the member.
fn nobody_lists(agent: &Agent, node: &Ours, name: &str) {
    until(&format!("nobody lists {name}"), || {
        let by_agent = agent.members().get(name).map(|seen| seen.status.clone());
        match (by_agent, node.state(name)) {
            (None, None) => Ok(()),
            (by_agent, by_node) => Err(format!("agent: {by_agent:?}, sprat: {by_node:?}")),
        }
    });
}

/// Lets the agent erase a member that has failed or left, until the node has erased it as well. The
/// command is repeated because an agent sends each message only a few times, to dead members as
/// often as to live ones, and no push/pull tells that a member was erased.
fn agent_erases(agent: &Agent, node: &Ours, name: &str) {
    until(&format!("the node has erased {name}"), || {
        agent.try_run(&["force-leave", "-prune", name])?;
        match node.state(name) {
            None => Ok(()),
            state => Err(format!("{state:?}")),
        }
    });
    nobody_lists(agent, node, name);
}

#[test]
fn each_side_removes_and_erases_a_failed_member_for_the_other() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1)).start();
    let node = Ours::start("ours", block.ip(2));
    node.join(agent.addr());
    let doomed = ["one", "two", "three"];
    let hosts = doomed.iter().zip(3..);
    let victims: Vec<Agent> = hosts
        .map(|(name, host)| {
            let setup = Setup::new(name, block.ip(host));
            setup.join(agent.addr()).start()
        })
        .collect();
    let names = ["agent", "one", "ours", "three", "two"];
    node.sees_alive(&names);
    all_see_alive(&[&agent], &names);
    victims.into_iter().for_each(|victim| drop(victim.kill()));
    for name in doomed {
        node.sees(name, MemberState::Failed);
        agent_sees(&agent, name, "failed");
    }

    agent.try_run(&["force-leave", "one"]).unwrap();
    node.sees("one", MemberState::Left);
    node.node().remove_failed("two").unwrap();
    agent_sees(&agent, "two", "left");

    // The agent erases a member that failed, and the node one that left already.
    agent_erases(&agent, &node, "three");
    node.node().prune("one").unwrap();
    nobody_lists(&agent, &node, "one");
    agent_erases(&agent, &node, "two");
}
