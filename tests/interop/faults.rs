//! Networks that fail: datagrams are lost, links are cut, the network is partitioned.
//!
//! Each test has a network of its own.

use super::agent::{Agent, Setup, agent_sees, all_see_alive};
use super::net::{Cut, Lab};
use super::ours::{self, Ours};
use super::wait::{holds, in_one_attempt, throughout, until};
use sprat::EventKind;
use sprat::serf::MemberState;
use std::time::Duration;

fn agent(lab: &Lab, host: u8, seed: Option<u8>) -> Agent {
    let setup = Setup::new(&format!("web{host}"), lab.ip(host)).within(&lab.host(host));
    match seed {
        Some(seed) => setup.join((lab.ip(seed), 7946).into()).start(),
        None => setup.start(),
    }
}

fn node(lab: &Lab, host: u8, seed: u8) -> Ours {
    let node = lab.inside(host, || Ours::start(&format!("ours{host}"), lab.ip(host)));
    node.join((lab.ip(seed), 7946).into());
    node
}

/// Checks for this long that no node reports another one as failed.
fn nobody_fails(agents: &[&Agent], nodes: &[&Ours], time: Duration) {
    throughout(time, "nobody fails", || none_has_failed(agents, nodes));
}

/// Checks that no node has reported another one as failed.
fn none_has_failed(agents: &[&Agent], nodes: &[&Ours]) -> Result<(), String> {
    for agent in agents {
        if agent.logged("EventMemberFailed") > 0 {
            return Err(format!("{} sees {:?}", agent.name(), agent.members()));
        }
    }
    for node in nodes {
        let failed = |heard: &&ours::Heard| heard.kind == EventKind::MemberFail;
        if let Some(heard) = node.heard().iter().find(failed) {
            return Err(format!("{} heard {heard:?}", node.node().name()));
        }
    }
    Ok(())
}

/// An agent suspects a member that does not answer one ping over a stream within its deadline. The
/// member cannot refute that, because it does not hear of the suspicion without datagrams.
#[test]
fn two_nodes_without_datagrams_keep_each_other_alive_by_streams() {
    in_one_attempt(without_datagrams);
}

fn without_datagrams() -> Result<(), String> {
    let lab = Lab::new(2);
    let web = agent(&lab, 1, None);
    let ours = node(&lab, 2, 1);
    all_see_alive(&[&web], &["ours2", "web1"]);
    lab.cut(1, 2, Cut::Udp);
    holds(Duration::from_secs(25), || {
        none_has_failed(&[&web], &[&ours])
    })?;
    // If datagrams still passed, the test would show nothing.
    until("our side knows that datagrams do not work", || {
        let health = ours.node().health().map_err(|why| why.to_string())?;
        match (health.streams_work, health.datagrams_work) {
            (true, false) => Ok(()),
            _ => Err(format!("{health:?}")),
        }
    });
    assert!(web.logged("Was able to connect to ours2 but other probes failed") > 0);
    assert_eq!(ours.state("web1"), Some(MemberState::Alive));
    Ok(())
}

#[test]
fn indirect_probes_through_an_agent_spare_a_member_whose_direct_link_is_cut() {
    let lab = Lab::new(4);
    let (first, second) = (agent(&lab, 1, None), agent(&lab, 2, Some(1)));
    let ours = [node(&lab, 3, 1), node(&lab, 4, 1)];
    let names = ["ours3", "ours4", "web1", "web2"];
    all_see_alive(&[&first, &second], &names);
    ours.iter().for_each(|ours| ours.sees_alive(&names));
    // A sprat node and an agent, and two sprat nodes, now need a helper to reach each other.
    lab.cut(3, 2, Cut::All);
    lab.cut(3, 4, Cut::All);
    nobody_fails(
        &[&first, &second],
        &[&ours[0], &ours[1]],
        Duration::from_secs(30),
    );
    for name in ["web2", "ours4"] {
        assert_eq!(ours[0].state(name), Some(MemberState::Alive));
        let reasons = ours[0].node().explain(name).unwrap();
        let probe = reasons.probe.expect("it has been probed");
        assert!(
            !probe.helpers.is_empty(),
            "no helper was asked about {name}: {probe:?}"
        );
    }
}

#[test]
fn a_sprat_node_that_received_nothing_for_a_while_refutes_the_suspicion() {
    let lab = Lab::new(4);
    let agents = [
        agent(&lab, 1, None),
        agent(&lab, 2, Some(1)),
        agent(&lab, 3, Some(1)),
    ];
    let ours = node(&lab, 4, 1);
    let names = ["ours4", "web1", "web2", "web3"];
    let all: Vec<&Agent> = agents.iter().collect();
    all_see_alive(&all, &names);
    let before = ours.node().explain("ours4").unwrap().incarnation;
    lab.split(&[4], &[1, 2, 3]);
    until("an agent suspects ours", || {
        let count: usize = all
            .iter()
            .map(|a| a.logged("Suspect ours4 has failed"))
            .sum();
        if count > 0 {
            Ok(())
        } else {
            Err("no agent does".to_owned())
        }
    });
    lab.heal();
    until("ours has refuted", || {
        match ours
            .node()
            .explain("ours4")
            .map_err(|why| why.to_string())?
            .incarnation
        {
            now if now > before => Ok(()),
            now => Err(format!("its incarnation is {now}")),
        }
    });
    nobody_fails(&all, &[], Duration::from_secs(12));
    all_see_alive(&all, &names);
    ours.sees_alive(&names);
}

#[test]
fn a_partition_of_a_minute_heals_without_help() {
    let lab = Lab::new(4);
    let left = (agent(&lab, 1, None), node(&lab, 2, 1));
    let right = (agent(&lab, 3, Some(1)), node(&lab, 4, 1));
    let names = ["ours2", "ours4", "web1", "web3"];
    let whole = || {
        all_see_alive(&[&left.0, &right.0], &names);
        left.1.sees_alive(&names);
        right.1.sees_alive(&names);
    };
    whole();
    lab.split(&[1, 2], &[3, 4]);
    let began = std::time::Instant::now();
    for (ours, lost) in [(&left.1, ["web3", "ours4"]), (&right.1, ["web1", "ours2"])] {
        for name in lost {
            ours.sees(name, MemberState::Failed);
        }
    }
    std::thread::sleep(Duration::from_secs(60).saturating_sub(began.elapsed()));
    lab.heal();
    whole();
}

#[test]
fn an_agent_that_dies_behind_a_cut_is_reported_as_failed_by_all() {
    let lab = Lab::new(3);
    let first = agent(&lab, 1, None);
    let second = agent(&lab, 2, Some(1));
    let ours = node(&lab, 3, 1);
    all_see_alive(&[&first, &second], &["ours3", "web1", "web2"]);
    lab.cut(3, 2, Cut::All);
    nobody_fails(&[&first], &[&ours], Duration::from_secs(8));
    second.kill();
    ours.hears(EventKind::MemberFail, "web2", 1);
    until("the agent agrees", || {
        match first.members()["web2"].status.as_str() {
            "failed" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

/// Checks the packet filters with agents alone: if this test fails, the fault is not in sprat.
#[test]
fn the_network_of_a_test_really_cuts_and_heals_links() {
    in_one_attempt(cut_and_healed);
}

fn cut_and_healed() -> Result<(), String> {
    let lab = Lab::new(2);
    let (first, second) = (agent(&lab, 1, None), agent(&lab, 2, Some(1)));
    all_see_alive(&[&first, &second], &["web1", "web2"]);
    lab.cut(1, 2, Cut::Udp);
    until("streams replace datagrams", || {
        match first.logged("Was able to connect to web2 but other probes failed") {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    none_has_failed(&[&first, &second], &[])?;
    lab.cut(1, 2, Cut::All);
    agent_sees(&first, "web2", "failed");
    lab.heal();
    second.join(first.addr());
    all_see_alive(&[&first, &second], &["web1", "web2"]);
    Ok(())
}
