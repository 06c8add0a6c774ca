//! Peers that refuse a node, or that a node refuses: the node reports the peer, the reason, and
//! what to do about it.

use super::agent::{Block, Setup};
use super::net::Lab;
use super::ours::{self, Ours};
use super::wait::{PATIENCE, until};
use sprat::{MemberState, Status};
use std::net::SocketAddr;

const OLD: &str = "AAECAwQFBgcICQoLDA0ODw==";
const NEW: &str = "EBESExQVFhcYGRobHB0eHw==";

#[test]
fn a_key_rotation_that_leaves_a_node_behind_shows_in_its_log_health_and_explanation() {
    let lab = Lab::new(3);
    let agent = |name: &str, host: u8| {
        Setup::new(name, lab.ip(host))
            .within(&lab.host(host))
            .key(OLD)
            .provoked("No installed keys could decrypt")
    };
    let first = agent("first", 1).start();
    let second = agent("second", 2).join(first.addr()).start();
    let mut config = ours::config("ours", lab.ip(3));
    for (key, value) in [
        ("encrypt", OLD),
        ("log_level", "warn"),
        ("profile", "local"),
    ] {
        config.set(key, value).unwrap();
    }
    let ours = lab.inside(3, || Ours::with(&config));
    ours.join(first.addr());
    ours.sees_alive(&["first", "ours", "second"]);
    lab.split(&[1, 2], &[3]);
    // A key query reaches the other agent by datagrams, which may be lost, or come so late that the
    // next query overtakes it. An agent carries out its own query at once.
    for args in [["-install", NEW], ["-use", NEW], ["-remove", OLD]] {
        for agent in [&first, &second] {
            agent.keys(&args);
        }
    }
    lab.heal();
    until("the log names the members and the keys", || {
        let lines = ours.logged();
        for agent in [&first, &second] {
            let who = format!("from {} ({}): ", agent.addr(), agent.name());
            let told = |line: &&String| line.contains(&who) && line.contains("key rotation");
            if lines.iter().filter(told).count() == 0 {
                return Err(format!("{who}{lines:#?}"));
            }
        }
        Ok(())
    });
    until("the health names the keys", || {
        let health = ours.node().health().unwrap();
        match health.summary.contains("none of this node's keys decrypts") {
            true => Ok(()),
            false => Err(format!("{health:?}")),
        }
    });
    ours.sees("first", MemberState::Failed);
    until("the explanation names the keys", || {
        let text = ours.node().explain("first").unwrap().to_string();
        match text.contains("none of the keys decrypts. Compare keys and labels") {
            true => Ok(()),
            false => Err(text),
        }
    });
    // For each pair of source and reason, the node logs at most one line a minute.
    let lines = ours.logged();
    let from_first = format!("from {} ", first.addr());
    let of_first = lines.iter().filter(|line| line.contains(&from_first));
    assert!(of_first.count() <= 4, "{lines:#?}");
}

#[test]
fn a_peer_that_closes_without_an_answer_is_a_protocol_error_that_names_the_likely_causes() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1))
        .provoked("invalid msgType")
        .provoked("failed to decode request header")
        .start();
    let rpc = SocketAddr::new(agent.addr().ip(), agent.addr().port() + 1000);
    let labelled = |label: &str, host: u8| {
        let mut config = ours::config("ours", block.ip(host));
        config.set("label", label).unwrap();
        Ours::with(&config)
    };
    let (blue, plain) = (labelled("blue", 2), labelled("", 3));
    for (node, to) in [(&blue, agent.addr()), (&plain, rpc)] {
        let error = node
            .node()
            .join(&[&to.to_string()], Some(PATIENCE))
            .unwrap_err();
        assert_eq!(error.status, Status::Protocol, "{error}");
        for word in ["label", "RPC port", &to.to_string()] {
            assert!(error.message.contains(word), "{error}");
        }
    }
}
