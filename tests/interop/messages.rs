//! User events and queries between sprat nodes and agents, in both directions.

use super::agent::{Agent, Block, Setup, all_see_alive};
use super::ours::Ours;
use super::through::Note;
use super::wait::until;
use sprat::{Coalescing, EventBody, QueryOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that takes the events of a sprat node: it answers the query `load` and collects the
/// user events.
pub(super) struct Application {
    pub(super) ours: Arc<Ours>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The names and payloads of the user events.
    events: Arc<Mutex<Vec<(String, String)>>>,
}

impl Application {
    pub(super) fn new(ours: Ours) -> Application {
        let (ours, ends) = (Arc::new(ours), Arc::new(AtomicBool::new(false)));
        let events: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (node, end, list) = (ours.clone(), ends.clone(), Arc::clone(&events));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let event = node.node().next_event(Some(Duration::from_millis(50)));
                match event.unwrap().map(|event| event.body) {
                    Some(EventBody::User { name, payload, .. }) => {
                        let payload = String::from_utf8_lossy(&payload).into_owned();
                        list.lock().unwrap().push((name, payload));
                    }
                    Some(EventBody::Query { id, name, .. }) if name == "load" => {
                        // The time of a query may be over on a busy machine; it is asked again.
                        let _ = node.node().respond(id, node.node().name().as_bytes());
                    }
                    _ => {}
                }
            }
        });
        Application {
            ours,
            ends,
            thread: Some(thread),
            events,
        }
    }

    /// Waits until the user events are these, in any order.
    pub(super) fn has(&self, expected: &[(&str, &str)]) {
        until("the user events are delivered", || {
            let mut events = self.events.lock().unwrap().clone();
            events.sort();
            let pairs = events.iter().map(|(name, payload)| (&**name, &**payload));
            match pairs.eq(expected.iter().copied()) {
                true => Ok(()),
                false => Err(format!("{events:?}")),
            }
        });
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// An agent that writes the payloads of the event `deploy` to a file, and answers the query `load`.
pub(super) fn agent(name: &str, block: &Block, host: u8, note: &Note) -> Setup {
    Setup::new(name, block.ip(host))
        .tag("role", "agent")
        .arg(&format!("-event-handler=user:deploy={}", note.handler()))
        .arg(&format!(
            "-event-handler=query:load=cat >/dev/null; echo {name}"
        ))
}

/// Two agents and two sprat nodes that know each other.
fn cluster(block: &Block, notes: &[Note; 2]) -> ([Agent; 2], [Application; 2]) {
    let first = agent("web1", block, 1, &notes[0]).start();
    let second = agent("web2", block, 2, &notes[1])
        .join(first.addr())
        .start();
    let ours = [3, 4].map(|host| Ours::start(&format!("ours{host}"), block.ip(host)));
    ours.iter().for_each(|node| node.join(first.addr()));
    let names = ["ours3", "ours4", "web1", "web2"];
    ours.iter().for_each(|node| node.sees_alive(&names));
    all_see_alive(&[&first, &second], &names);
    ([first, second], ours.map(Application::new))
}

#[test]
fn user_events_reach_agents_and_sprat_nodes_once() {
    let block = Block::new();
    let notes = [Note::new("events-1"), Note::new("events-2")];
    let ([first, second], [one, other]) = cluster(&block, &notes);
    first.event("deploy", "from an agent");
    let node = one.ours.node();
    let sent = node.send_event("deploy", b"from sprat", Coalescing::Forbidden);
    sent.unwrap();
    node.send_event("other", b"", Coalescing::Allowed).unwrap();
    let both = ["from an agent".to_owned(), "from sprat".to_owned()];
    notes.iter().for_each(|note| note.holds(&both));
    // A node that misses the gossip gets the events with a push/pull of an agent, every 30 seconds.
    let expected = [
        ("deploy", "from an agent"),
        ("deploy", "from sprat"),
        ("other", ""),
    ];
    one.has(&expected);
    other.has(&expected);
    drop((first, second));
}

#[test]
fn a_query_from_an_agent_gets_four_acks_and_four_answers_and_every_node_is_reachable() {
    let block = Block::new();
    let notes = [Note::new("query-1"), Note::new("query-2")];
    let ([first, second], applications) = cluster(&block, &notes);
    for agent in [&first, &second] {
        until("four acks and four answers", || {
            let got = agent.query("load", &["-relay-factor=1"]);
            let acks = got["Acks"].as_array().map_or(0, Vec::len);
            let answers = got["Responses"].as_object().map_or(0, serde_json::Map::len);
            let right = ["ours3", "ours4", "web1", "web2"]
                .iter()
                .all(|name| got["Responses"][name].as_str().map(str::trim) == Some(name));
            match (acks, answers, right) {
                (4, 4, true) => Ok(()),
                _ => Err(got.to_string()),
            }
        });
    }
    until("serf reachability succeeds", || {
        first.try_run(&["reachability"])
    });
    drop(applications);
}

#[test]
fn the_filters_of_an_agents_query_mean_the_same_to_sprat_nodes_and_agents() {
    let block = Block::new();
    let notes = [Note::new("filter-1"), Note::new("filter-2")];
    let ([first, _second], _applications) = cluster(&block, &notes);
    // The agents have the tag role=agent, the sprat nodes kind=sprat.
    let filters: [(&[&str], &[&str]); 7] = [
        (&["-node=ours3", "-node=web2"], &["ours3", "web2"]),
        (&["-tag=kind=^spr(at|ing)$"], &["ours3", "ours4"]),
        (&["-tag=role=g.nt"], &["web1", "web2"]),
        (&["-tag=kind=.", "-node=ours4", "-node=web1"], &["ours4"]),
        (&["-tag=kind=(?i:SPRAT)", "-tag=role=."], &[]),
        (&["-tag=other=."], &[]),
        // A member without the tag is treated like one whose tag is empty.
        (&["-tag=other=.*"], &["ours3", "ours4", "web1", "web2"]),
    ];
    for (options, expected) in filters {
        until(&format!("{expected:?} answer {options:?}"), || {
            let got = first.query("load", options);
            let mut acks: Vec<&str> = (got["Acks"].as_array().into_iter().flatten())
                .filter_map(serde_json::Value::as_str)
                .collect();
            acks.sort_unstable();
            let answers = got["Responses"].as_object();
            let answers = answers.map_or(Vec::new(), |it| it.keys().cloned().collect());
            match acks == expected && answers == expected {
                true => Ok(()),
                false => Err(got.to_string()),
            }
        });
    }
}

#[test]
fn a_query_from_a_sprat_node_is_answered_by_agents_and_ends_when_all_have_answered() {
    let block = Block::new();
    let notes = [Note::new("asked-1"), Note::new("asked-2")];
    let (_agents, [one, _other]) = cluster(&block, &notes);
    let ask = |options: &QueryOptions, names: &[&str]| {
        until(&format!("{names:?} answer"), || {
            let back = one
                .ours
                .node()
                .query_and_wait("load", b"1 m", options)
                .unwrap();
            let mut from: Vec<&str> = back.answers.iter().map(|it| &*it.from).collect();
            from.sort_unstable();
            let right = back
                .answers
                .iter()
                .all(|answer| String::from_utf8_lossy(&answer.payload).trim() == answer.from);
            assert!(right, "{back:?}");
            match from == names && back.acks.len() == names.len() && back.missing.is_empty() {
                true => Ok(()),
                false => Err(format!("{back:?}")),
            }
        });
    };
    let all = QueryOptions {
        ack: true,
        timeout: Some(Duration::from_secs(20)),
        ..QueryOptions::default()
    };
    ask(&all, &["ours3", "ours4", "web1", "web2"]);
    let by_name = QueryOptions {
        nodes: vec!["web2".to_owned(), "ours4".to_owned()],
        relay_factor: 2,
        ..all.clone()
    };
    ask(&by_name, &["ours4", "web2"]);
    let by_tag = QueryOptions {
        tags: vec![("role".to_owned(), "^ag.nt$".to_owned())],
        ..all
    };
    ask(&by_tag, &["web1", "web2"]);
}
