//! Network coordinates in a cluster of agents and sprat nodes.

use super::agent::{Agent, Block, Setup, all_see_alive};
use super::ours::Ours;
use super::wait::until;

const NAMES: [&str; 4] = ["ours3", "ours4", "web1", "web2"];

/// Two agents and two sprat nodes that know each other.
fn cluster(block: &Block) -> ([Agent; 2], [Ours; 2]) {
    let first = Setup::new("web1", block.ip(1)).start();
    let second = Setup::new("web2", block.ip(2)).join(first.addr()).start();
    let ours = [3, 4].map(|host| Ours::start(&format!("ours{host}"), block.ip(host)));
    ours.iter().for_each(|node| node.join(first.addr()));
    ours.iter().for_each(|node| node.sees_alive(&NAMES));
    all_see_alive(&[&first, &second], &NAMES);
    ([first, second], ours)
}

/// Returns the round-trip time between two members in milliseconds, as an agent estimates it.
fn by_agent(agent: &Agent, a: &str, b: &str) -> Result<f64, String> {
    // "Estimated web1 <-> web2 rtt: 0.512 ms (using LAN coordinates)", or without the last words
    let said = agent.try_output(&["rtt", a, b])?;
    let number = said
        .split("rtt: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    number.and_then(|it| it.parse().ok()).ok_or(said)
}

#[test]
fn agents_and_sprat_nodes_estimate_similar_round_trip_times_between_any_two_members() {
    let block = Block::new();
    let (agents, ours) = cluster(&block);
    for agent in &agents {
        for (number, a) in NAMES.iter().enumerate() {
            for b in &NAMES[number + 1..] {
                for node in &ours {
                    // Coordinates of a loopback network are noise of less than a millisecond, more
                    // on a busy machine; they move with every ping.
                    until("the estimates agree", || {
                        let theirs = by_agent(agent, a, b)?;
                        let own = node.node().rtt(a, b).map_err(|why| why.to_string())?;
                        let own = own.as_secs_f64() * 1e3;
                        match (own - theirs).abs() < 1.0 + own.max(theirs) / 2.0 {
                            true => Ok(()),
                            false => Err(format!("{a} to {b}: agent {theirs} ms, sprat {own} ms")),
                        }
                    });
                }
            }
        }
    }
}
