//! User events, queries and answers that a sprat node passes on.
//!
//! Two agents that cannot reach each other have one sprat node between them.

use super::agent::{Agent, PORT, Setup, all_see_alive};
use super::net::{Cut, Lab};
use super::ours::Ours;
use super::wait::until;
use std::path::PathBuf;

/// A file that the event handler of an agent writes. It is removed when the test ends.
pub(super) struct Note(PathBuf);

impl Note {
    pub(super) fn new(of: &str) -> Note {
        Note(std::env::temp_dir().join(format!("sprat-note-{}-{of}", std::process::id())))
    }

    /// The command that appends a payload, which ends with a newline, to the file.
    pub(super) fn handler(&self) -> String {
        format!("cat >> {}", self.0.display())
    }

    /// Waits until the file holds exactly these lines, in any order.
    pub(super) fn holds(&self, lines: &[String]) {
        until("the events arrive", || {
            let text = std::fs::read_to_string(&self.0).map_err(|why| why.to_string())?;
            let mut found: Vec<&str> = text.lines().collect();
            found.sort_unstable();
            match found == lines {
                true => Ok(()),
                false => Err(text),
            }
        });
    }

    /// Waits until the file holds exactly these lines, in this order.
    fn says(&self, lines: &[String]) {
        until("the event arrives", || {
            let text = std::fs::read_to_string(&self.0).map_err(|why| why.to_string())?;
            if text.lines().eq(lines) {
                Ok(())
            } else {
                Err(text)
            }
        });
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // it does not exist if the event never arrived
    }
}

/// Returns the settings of an agent that writes the payloads of the event `deploy` to a file, and
/// answers the query `load`.
fn agent(lab: &Lab, host: u8, note: &Note) -> Setup {
    let handler = format!("-event-handler=user:deploy={}", note.handler());
    Setup::new(&format!("web{host}"), lab.ip(host))
        .within(&lab.host(host))
        .arg(&handler)
        .arg(&format!(
            "-event-handler=query:load=cat >/dev/null; echo 4{host}"
        ))
}

/// Sends the query until the answer of `name` arrives. One query may not be enough: the members
/// that relay an answer are chosen at random, and the choice may fall on the agent that asks.
fn hears_answer(asker: &Agent, name: &str, answer: &str) {
    let what = format!("{} hears {name}", asker.name());
    until(&what, || {
        let got = asker.query("load", &["-relay-factor=2"]);
        let acked = got["Acks"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it == name));
        let responded = got["Responses"][name].as_str().map(str::trim) == Some(answer);
        if acked && responded {
            Ok(())
        } else {
            Err(got.to_string())
        }
    });
}

#[test]
fn events_queries_and_answers_reach_an_agent_that_only_a_sprat_node_can_reach() {
    let lab = Lab::new(3);
    let notes = [Note::new("1"), Note::new("3")];
    lab.cut(1, 3, Cut::All);
    let first = agent(&lab, 1, &notes[0]).start();
    let ours = lab.inside(2, || Ours::start("ours2", lab.ip(2)));
    ours.join((lab.ip(1), PORT).into());
    let third = agent(&lab, 3, &notes[1])
        .join((lab.ip(2), PORT).into())
        .start();
    let names = ["ours2", "web1", "web3"];
    all_see_alive(&[&first, &third], &names);
    let mut sent = Vec::new();
    // Gossip may be lost; then push/pull brings the event, which is not counted as relayed. So
    // events are sent until one is relayed.
    until("an event is relayed", || {
        sent.push(format!("größe {} {}", sent.len(), "x".repeat(400)));
        first.event("deploy", &sent[sent.len() - 1]);
        notes[1].says(&sent);
        match ours.counter("user_events_relayed") {
            0 => Err("all events came by push/pull".to_owned()),
            _ => Ok(()),
        }
    });
    third.event("deploy", "and back");
    sent.push("and back".to_owned());
    notes[0].says(&sent);
    // A push/pull carries no queries, so a query that arrives was passed on. The answer is sent
    // directly, over the link that is cut, and also through other members, such as the sprat node.
    hears_answer(&first, "web3", "43");
    hears_answer(&third, "web1", "41");
    assert!(ours.counter("queries_relayed") >= 2);
    assert!(
        ours.counter("relays") >= 4,
        "one ack and one answer in each direction"
    );
    assert_eq!(ours.counter("relays_refused"), 0);
    assert_eq!(ours.refusals(), []);
    all_see_alive(&[&first, &third], &names);
    notes[1].says(&sent); // repeated copies of an event add no line
}
