//! Life in a mixed cluster: tags change, nodes die, leave and return, suspicions are refuted.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::departure::Watchers;
use super::ours::{Ours, config};
use super::wait::{throughout, until};
use sprat::EventKind;
use sprat::serf::MemberState;
use std::time::Duration;

/// Three agents, and a sprat node that has joined them.
fn cluster(block: &Block) -> ([Agent; 3], Ours) {
    let first = Setup::new("web1", block.ip(1)).tag("role", "web").start();
    let seed = first.addr();
    let others = |name: &str, host| {
        Setup::new(name, block.ip(host))
            .tag("role", "web")
            .join(seed)
    };
    let (second, third) = (others("web2", 2).start(), others("web3", 3).start());
    let ours = Ours::start("ours", block.ip(4));
    ours.join(seed);
    ours.sees_alive(&["ours", "web1", "web2", "web3"]);
    all_see_alive(
        &[&first, &second, &third],
        &["ours", "web1", "web2", "web3"],
    );
    ([first, second, third], ours)
}

fn agent_sees_tag(agent: &Agent, name: &str, key: &str, value: Option<&str>) {
    until(&format!("{} sees {key} of {name}", agent.name()), || {
        let members = agent.members();
        match members[name].tags.get(key).map(String::as_str) {
            found if found == value => Ok(()),
            found => Err(format!("it sees {found:?}")),
        }
    });
}

#[test]
fn tags_that_change_on_one_side_are_seen_on_the_other() {
    let block = Block::new();
    let (agents, ours) = cluster(&block);
    agents[1].set_tag("weight", "50");
    ours.hears(EventKind::MemberUpdate, "web2", 1);
    assert_eq!(ours.tag("web2", "weight").as_deref(), Some("50"));
    assert_eq!(ours.tag("web2", "role").as_deref(), Some("web"));
    agents[1].delete_tag("role");
    ours.hears(EventKind::MemberUpdate, "web2", 2);
    assert_eq!(ours.tag("web2", "role"), None);

    ours.node().set_tag("state", Some("drain")).unwrap();
    agents
        .iter()
        .for_each(|agent| agent_sees_tag(agent, "ours", "state", Some("drain")));
    ours.node().set_tag("state", None).unwrap();
    agents
        .iter()
        .for_each(|agent| agent_sees_tag(agent, "ours", "state", None));
    agents
        .iter()
        .for_each(|agent| agent_sees_tag(agent, "ours", "kind", Some("sprat")));
}

#[test]
fn an_agent_that_is_killed_fails_and_returns_as_itself() {
    let block = Block::new();
    let ([first, second, third], ours) = cluster(&block);
    let setup = third.kill();
    ours.hears(EventKind::MemberFail, "web3", 1);
    assert_eq!(ours.state("web3"), Some(MemberState::Failed));
    assert_eq!(ours.count(EventKind::MemberLeave, "web3"), 0);
    agent_sees(&first, "web3", "failed");
    let third = setup.tag("again", "yes").start();
    ours.sees("web3", MemberState::Alive);
    assert_eq!(ours.tag("web3", "again").as_deref(), Some("yes"));
    all_see_alive(
        &[&first, &second, &third],
        &["ours", "web1", "web2", "web3"],
    );
    assert_eq!(ours.count(EventKind::MemberJoin, "web3"), 2);
}

#[test]
fn an_agent_that_leaves_has_left_and_is_never_called_failed() {
    let block = Block::new();
    let ([first, second, third], ours) = cluster(&block);
    let watchers = Watchers {
        agents: &[&first, &second],
        nodes: &[&ours],
    };
    let (setup, lost) = watchers.see_leave(third);
    assert_eq!(ours.count(EventKind::MemberLeave, "web3"), 1);
    // A failure would be detected in less time than this.
    let what = "each failure is that of a leave that was lost";
    throughout(Duration::from_secs(12), what, || {
        match ours.count(EventKind::MemberFail, "web3") {
            failures if failures == lost => Ok(()),
            failures => Err(format!("{failures} failures, {lost} lost leaves")),
        }
    });
    assert_eq!(ours.state("web3"), Some(MemberState::Left));
    agent_sees(&first, "web3", "left");
    let third = setup.start();
    ours.sees("web3", MemberState::Alive);
    all_see_alive(
        &[&first, &second, &third],
        &["ours", "web1", "web2", "web3"],
    );
}

#[test]
fn the_agents_see_a_sprat_node_that_dies_as_failed_and_it_can_return() {
    let block = Block::new();
    let (agents, ours) = cluster(&block);
    ours.kill();
    agents
        .iter()
        .for_each(|agent| agent_sees(agent, "ours", "failed"));
    let again = Ours::start("ours", block.ip(4));
    again.join(agents[0].addr());
    all_see_alive(&[&agents[0], &agents[1]], &["ours", "web1", "web2", "web3"]);
    again.sees_alive(&["ours", "web1", "web2", "web3"]);
}

#[test]
fn the_agents_see_a_sprat_node_that_leaves_as_left_and_it_can_return() {
    let block = Block::new();
    let (agents, ours) = cluster(&block);
    ours.leave();
    agents
        .iter()
        .for_each(|agent| agent_sees(agent, "ours", "left"));
    let failed = agents
        .iter()
        .map(|agent| agent.logged("EventMemberFailed: ours"))
        .sum::<usize>();
    assert_eq!(failed, 0);
    let again = Ours::start("ours", block.ip(4));
    again.join(agents[1].addr());
    all_see_alive(&[&agents[0], &agents[1]], &["ours", "web1", "web2", "web3"]);
    again.sees_alive(&["ours", "web1", "web2", "web3"]);
}

#[test]
fn an_agent_that_was_stopped_for_a_while_refutes_the_suspicion() {
    let block = Block::new();
    let agent = Setup::new("web", block.ip(1)).start();
    // A suspicion by an agent may end before a busy machine resumes the suspect. So only sprat
    // nodes suspect the agent here, and their suspicions last 200 s, longer than `PATIENCE`.
    let patient = |name, host| {
        let mut config = config(name, block.ip(host));
        config.set("probe_interval_ms", "2000").unwrap();
        config.set("suspicion_mult", "100").unwrap();
        let node = Ours::with(&config);
        node.join(agent.addr());
        node
    };
    let nodes = [patient("ours1", 2), patient("ours2", 3)];
    let names = ["ours1", "ours2", "web"];
    nodes.iter().for_each(|node| node.sees_alive(&names));
    all_see_alive(&[&agent], &names);
    agent.pause();
    for node in &nodes {
        node.sees("web", MemberState::Suspect);
    }
    agent.resume();
    for node in &nodes {
        node.sees("web", MemberState::Alive);
        node.hears(EventKind::MemberAlive, "web", 1);
        let failures = node.count(EventKind::MemberFail, "web");
        assert_eq!(failures, 0, "{:?}", node.heard());
    }
    until("the agent logs the refutation", || {
        match agent.logged("Refuting a suspect message") {
            0 => Err(agent.log().join("\n")),
            _ => Ok(()),
        }
    });
    all_see_alive(&[&agent], &names);
}
