//! Joining: in both directions, in any order, in clusters of up to eight nodes, encrypted or not;
//! and looking at a cluster without joining it.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::departure::Watchers;
use super::ours::{self, Ours};
use super::wait::{PATIENCE, throughout, until};
use sprat::{EventKind, MemberState, ProbeAnswer, Status};
use std::time::Duration;

/// Keys of 16, 24 and 32 bytes.
const KEYS: [&str; 3] = [
    "AAECAwQFBgcICQoLDA0ODw==",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

#[test]
fn a_node_joins_an_agent_and_both_see_the_tags_of_the_other() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1))
        .tag("role", "web")
        .tag("empty", "")
        .start();
    let mut config = ours::config("ours", block.ip(2));
    config.set_tag("role", Some("client")).unwrap();
    config.set_tag("ümlaut", Some("größe 🐟")).unwrap();
    let ours = Ours::with(&config);
    ours.join(agent.addr());
    ours.sees_alive(&["agent", "ours"]);
    assert_eq!(ours.tag("agent", "role").as_deref(), Some("web"));
    assert_eq!(ours.tag("agent", "empty").as_deref(), Some(""));
    assert_eq!(ours.member("agent").unwrap().addr, agent.addr());
    ours.hears(EventKind::MemberJoin, "agent", 1);
    all_see_alive(&[&agent], &["agent", "ours"]);
    let seen = &agent.members()["ours"];
    assert_eq!(seen.tags["role"], "client");
    assert_eq!(seen.tags["ümlaut"], "größe 🐟");
    assert_eq!(seen.addr, ours.addr().to_string());
}

#[test]
fn an_agent_joins_a_node_that_was_alone() {
    let block = Block::new();
    let ours = Ours::start("ours", block.ip(1));
    ours.sees_alive(&["ours"]);
    let first = Setup::new("first", block.ip(2)).join(ours.addr()).start();
    let second = Setup::new("second", block.ip(3)).start();
    second.join(ours.addr());
    let names = ["first", "ours", "second"];
    ours.sees_alive(&names);
    all_see_alive(&[&first, &second], &names);
    assert_eq!(first.members()["ours"].tags["kind"], "sprat");
}

#[test]
fn an_agent_that_asks_a_new_node_of_its_own_name_calls_no_vote() {
    let block = Block::new();
    let ours = Ours::start("twin", block.ip(1));
    ours.sees_alive(&["twin"]);
    let mut agent = Setup::new("twin", block.ip(2)).start();
    agent.join(ours.addr());
    until("the node knows of the owner of its name", || {
        match ours.node().health().unwrap().name_conflict {
            Some(_) => Ok(()),
            None => Err("there is no conflict".to_owned()),
        }
    });
    throughout(Duration::from_secs(3), "the agent goes on", || {
        match agent.has_ended() || agent.logged("ame conflict") > 0 {
            true => Err(agent.log().join("\n")),
            false => Ok(()),
        }
    });
    assert_eq!(agent.members()["twin"].addr, agent.addr().to_string());
    assert_eq!(agent.complaints(), [""; 0]);
}

#[test]
fn the_nodes_of_a_mixed_cluster_see_one_another_at_every_size_from_three_to_eight() {
    let block = Block::new();
    let seed = Setup::new("n1", block.ip(1)).start();
    let mut agents = vec![seed];
    let mut nodes: Vec<Ours> = Vec::new();
    let names: Vec<String> = (1..=8).map(|i| format!("n{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for size in 2..=8u8 {
        let (name, ip) = (names[usize::from(size) - 1], block.ip(size));
        // Nodes of the two kinds alternate; each joins through the newest node of the other kind.
        if size % 2 == 0 {
            let node = Ours::start(name, ip);
            node.join(agents.last().unwrap().addr());
            nodes.push(node);
        } else {
            let through = nodes.last().unwrap().addr();
            agents.push(Setup::new(name, ip).join(through).start());
        }
        if size >= 3 {
            let known = &names[..usize::from(size)];
            nodes.iter().for_each(|node| node.sees_alive(known));
            all_see_alive(&agents.iter().collect::<Vec<&Agent>>(), known);
        }
    }
    for node in &nodes {
        let failures = node
            .heard()
            .into_iter()
            .filter(|h| h.kind == EventKind::MemberFail);
        assert_eq!(failures.count(), 0);
    }
}

#[test]
fn an_agent_calls_no_vote_when_a_node_with_its_name_joins_through_it() {
    let block = Block::new();
    let agent = Setup::new("twin", block.ip(1)).start();
    let other = Ours::start("other", block.ip(2));
    other.join(agent.addr());
    let twin = Ours::start("twin", block.ip(3));
    for seed in [agent.addr(), other.addr(), agent.addr()] {
        let joined = twin.node().join(&[&seed.to_string()], Some(PATIENCE));
        let error = joined.expect_err("the name is taken");
        assert!(error.message.contains("twin"), "{error}");
    }
    throughout(Duration::from_secs(5), "no vote", || {
        match agent.logged("conflict") {
            0 => Ok(()),
            _ => Err(agent.log().join("\n")),
        }
    });
    agent_sees(&agent, "other", "alive");
}

#[test]
fn a_look_at_an_agent_finds_members_in_every_state_and_leaves_no_trace() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1)).tag("role", "web").start();
    let gone = Setup::new("gone", block.ip(2)).join(agent.addr()).start();
    let dead = Setup::new("dead", block.ip(3)).join(agent.addr()).start();
    all_see_alive(&[&agent], &["agent", "dead", "gone"]);
    let watchers = Watchers {
        agents: &[&agent, &dead],
        nodes: &[],
    };
    watchers.see_leave(gone);
    dead.kill();
    agent_sees(&agent, "dead", "failed");
    let ours = Ours::start("ours", block.ip(4));
    let look = || ours.node().look(&agent.addr().to_string(), Some(PATIENCE));
    let found = look().unwrap();
    let states: Vec<_> = found.iter().map(|it| (&*it.name, it.state)).collect();
    let expected = [
        ("agent", MemberState::Alive),
        ("dead", MemberState::Failed),
        ("gone", MemberState::Left),
    ];
    assert_eq!(states, expected);
    assert_eq!(found[0].tags().get("role").as_deref(), Some("web"));
    // After half a minute, the agent forgets the addresses of `dead` and `gone`, but not the names.
    until("the address is forgotten", || {
        match look().unwrap()[1].addr.port() {
            0 => Ok(()),
            _ => Err("it is still known".to_owned()),
        }
    });
    let found = look().unwrap();
    let states: Vec<_> = found.iter().map(|it| it.state).collect();
    assert_eq!(states, expected.map(|(_, state)| state));
    assert!(found[1].tags().is_empty(), "{:?}", found[1]);
    assert!(!agent.members().contains_key("ours"));
    assert_eq!(agent.logged("ours"), 0, "{:?}", agent.log());
    ours.sees_alive(&["ours"]);
}

#[test]
fn compression_may_be_on_or_off_on_either_side() {
    let block = Block::new();
    let on = Setup::new("on", block.ip(1))
        .tag("fill", &"x".repeat(300))
        .start();
    let off = Setup::new("off", block.ip(2))
        .arg("-disable-compression")
        .join(on.addr())
        .start();
    let start = |name: &str, host: u8, compression: &str| {
        let mut config = ours::config(name, block.ip(host));
        config.set("compression", compression).unwrap();
        config.set_tag("fill", Some(&"y".repeat(300))).unwrap();
        Ours::with(&config)
    };
    let (ours_on, ours_off) = (start("ours-on", 3, "true"), start("ours-off", 4, "false"));
    ours_on.join(off.addr());
    ours_off.join(on.addr());
    let names = ["off", "on", "ours-off", "ours-on"];
    for ours in [&ours_on, &ours_off] {
        ours.sees_alive(&names);
        assert_eq!(ours.tag("on", "fill"), Some("x".repeat(300)));
    }
    all_see_alive(&[&on, &off], &names);
    assert_eq!(off.members()["ours-on"].tags["fill"], "y".repeat(300));
    assert_eq!(on.members()["ours-off"].tags["fill"], "y".repeat(300));
}

#[test]
fn encrypted_clusters_form_with_keys_of_every_length() {
    for key in KEYS {
        let block = Block::new();
        let agent = Setup::new("agent", block.ip(1)).key(key).start();
        let encrypted = |name: &str, host: u8| {
            let mut config = ours::config(name, block.ip(host));
            config.set("encrypt", key).unwrap();
            config.set_tag("kind", Some("sprat")).unwrap();
            Ours::with(&config)
        };
        let joins = encrypted("joins", 2);
        joins.join(agent.addr());
        let late = Setup::new("late", block.ip(3))
            .key(key)
            .join(joins.addr())
            .start();
        let names = ["agent", "joins", "late"];
        joins.sees_alive(&names);
        all_see_alive(&[&agent, &late], &names);
        // Pings are datagrams: an answer shows that encrypted datagrams are understood as well. An
        // agent that cannot read one complains, and the test fails.
        for name in ["agent", "late"] {
            until("a ping is answered", || {
                let probe = joins.node().explain(name).unwrap().probe;
                match &probe {
                    Some(report) if report.direct == ProbeAnswer::Answered => Ok(()),
                    _ => Err(format!("{probe:?}")),
                }
            });
        }
        assert_eq!(joins.refusals(), []);
        agent.set_tag("note", "by gossip");
        until("the new tag arrives", || match joins.tag("agent", "note") {
            Some(_) => Ok(()),
            None => Err("no tag".to_owned()),
        });
    }
}

#[test]
fn a_node_with_another_key_cannot_join_and_reports_why() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1))
        .key(KEYS[0])
        .provoked("failed to receive: ")
        .start();
    for (name, host, key) in [("other", 2, Some(KEYS[2])), ("plain", 3, None)] {
        let mut config = ours::config(name, block.ip(host));
        if let Some(key) = key {
            config.set("encrypt", key).unwrap();
        }
        let stranger = Ours::with(&config);
        let joined = stranger
            .node()
            .join(&[&agent.addr().to_string()], Some(PATIENCE));
        let why = joined.expect_err("a stranger does not get in");
        assert_ne!(why.status, Status::Timeout, "{why}");
        assert!(why.message.contains(&agent.addr().to_string()), "{why}");
        stranger.sees_alive(&[name]);
        assert!(!agent.members().contains_key(name));
    }
}

#[test]
fn a_seed_that_appears_after_the_others_is_joined_without_help() {
    let block = Block::new();
    let seed = Setup::new("seed", block.ip(1));
    let waiting = |name: &str, host: u8| {
        let mut config = ours::config(name, block.ip(host));
        config
            .set("seeds", &format!("{}:7946", block.ip(1)))
            .unwrap();
        Ours::with(&config)
    };
    let (first, second) = (waiting("first", 2), waiting("second", 3));
    std::thread::sleep(Duration::from_secs(3));
    first.sees_alive(&["first"]);
    let seed = seed.start();
    let names = ["first", "second", "seed"];
    first.sees_alive(&names);
    second.sees_alive(&names);
    all_see_alive(&[&seed], &names);
}

#[test]
fn an_agent_that_waits_for_its_seed_finds_a_node_that_starts_later() {
    let block = Block::new();
    let retry = format!("-retry-join={}:7946", block.ip(1));
    let setup = Setup::new("agent", block.ip(2))
        .arg(&retry)
        .arg("-retry-interval=2s");
    let agent = setup.start();
    std::thread::sleep(Duration::from_secs(3));
    let ours = Ours::start("ours", block.ip(1));
    ours.sees_alive(&["agent", "ours"]);
    all_see_alive(&[&agent], &["agent", "ours"]);
}

#[test]
fn an_agent_whose_name_is_not_utf8_is_a_member_like_any_other() {
    let block = Block::new();
    let odd = Setup::new("web\u{fffd}", block.ip(1))
        .named(b"web\xff")
        .start();
    let stock = Setup::new("stock", block.ip(2)).join(odd.addr()).start();
    let first = Ours::start("first", block.ip(3));
    first.join(stock.addr());
    // The second node joins through the first node, not through an agent.
    let second = Ours::start("second", block.ip(4));
    second.join(first.addr());
    let escaped = ["first", "second", "stock", r"web\xff"];
    first.sees_alive(&escaped);
    second.sees_alive(&escaped);
    all_see_alive(
        &[&odd, &stock],
        &["first", "second", "stock", "web\u{fffd}"],
    );
    assert_eq!((first.refusals(), second.refusals()), (vec![], vec![]));
    let watchers = Watchers {
        agents: &[&stock],
        nodes: &[&first, &second],
    };
    watchers.see_leave_as(odd, r"web\xff");
}
