//! Peers that refuse a node, or that a node refuses: it says who, why, and what to do.

use super::agent::{Block, Setup};
use super::ours::{self, Ours};
use super::wait::until;
use sprat::MemberState;

const OLD: &str = "AAECAwQFBgcICQoLDA0ODw==";
const NEW: &str = "EBESExQVFhcYGRobHB0eHw==";

#[test]
fn a_key_rotation_that_leaves_a_node_behind_is_told_in_its_log_health_and_explanation() {
    let block = Block::new();
    let first = Setup::new("first", block.ip(1))
        .key(OLD)
        .provoked("No installed keys could decrypt")
        .start();
    let second = Setup::new("second", block.ip(2))
        .key(OLD)
        .provoked("No installed keys could decrypt")
        .join(first.addr())
        .start();
    let mut config = ours::config("ours", block.ip(3));
    for (key, value) in [
        ("encrypt", OLD),
        ("log_level", "warn"),
        ("profile", "local"),
    ] {
        config.set(key, value).unwrap();
    }
    let ours = Ours::with(&config);
    ours.join(first.addr());
    ours.sees_alive(&["first", "ours", "second"]);
    for args in [["-install", NEW], ["-use", NEW], ["-remove", OLD]] {
        first.keys(&args);
    }
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
    // One source gives at most one line a minute for one reason.
    let lines = ours.logged();
    let from_first = format!("from {} ", first.addr());
    let of_first = lines.iter().filter(|line| line.contains(&from_first));
    assert!(of_first.count() <= 4, "{lines:#?}");
}
