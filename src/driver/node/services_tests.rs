//! Services in a real node: a second service is hosted next to SPOE, and the host enforces the
//! bounds.

use crate::driver::engine::command::Command;
use crate::driver::engine::threads::services::{Hosted, ServiceHost};
use crate::driver::net::sockets;
use crate::event::{Coalescing, Event, EventBody, EventKind};
use crate::serf::{KeyQuery, QueryOptions};
use crate::service::sessions::Sessions;
use crate::service::{
    Actions, End, Fault, INPUT_MAX, Members, NodeReader, OUTPUT_MAX, REQUESTS_MAX, Request,
    RequestEnd, Service, ServiceCounters,
};
use crate::swim::SourceCount;
use crate::{Config, Node};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A key of 16 bytes.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQ==";

/// The fault of a peer whose command is not known.
const UNKNOWN: Fault = Fault {
    help: "There is no such command.",
    advice: None,
};

/// The maximum number of connections of the service under test.
const PLACES: usize = 2;

/// An example of a service. Each line from a peer is a command. A command that asks the node for
/// something answers `done NUMBER` or `error` once it has ended.
///
/// - `list` answers with the names of the members that are known;
/// - `count COUNTER` answers with the value of a counter, or with `busy`;
/// - `tag KEY VALUE` sets a tag of this node;
/// - `event NAME` sends a user event;
/// - `ask NAME` sends a query, and prints the answers;
/// - `answer NUMBER TEXT` answers a query;
/// - `keys` lists the keys of the cluster;
/// - `watch` prints the members that join, the user events and the queries from now on;
/// - `large` answers with more than a peer may leave unread;
/// - `quit` ends the connection.
#[derive(Default)]
struct Console {
    members: Members,
}

/// The state of a connection.
#[derive(Default)]
struct Talk {
    watches: bool,
    /// The number of requests so far.
    requests: u64,
}

impl Talk {
    fn request(&mut self, request: Request, actions: &mut Actions) {
        self.requests += 1;
        actions.requests.push((self.requests, request));
    }
}

fn print(text: &str, actions: &mut Actions) {
    actions.bytes.extend_from_slice(text.as_bytes());
    actions.bytes.push(b'\n');
}

impl Console {
    fn run(&self, words: &[&str], talk: &mut Talk, node: &mut dyn NodeReader, to: &mut Actions) {
        match *words {
            ["list"] => {
                let names: Vec<&str> = self.members.iter().map(|it| &*it.name).collect();
                print(&names.join(" "), to);
                to.served += 1;
            }
            ["count", name] => {
                let counters = node.counters().unwrap_or_default();
                let counter = counters.iter().find(|it| it.name == name);
                print(
                    &counter.map_or("busy".into(), |it| it.value.to_string()),
                    to,
                );
            }
            ["tag", key, value] => {
                let changes = vec![(key.to_owned(), Some(value.to_owned()))];
                talk.request(Request::UpdateTags(changes), to);
            }
            ["event", name] => {
                let (name, payload) = (name.to_owned(), Vec::new());
                let coalescing = Coalescing::Forbidden;
                talk.request(
                    Request::SendEvent {
                        name,
                        payload,
                        coalescing,
                    },
                    to,
                );
            }
            ["ask", name] => {
                let (name, payload) = (name.to_owned(), Vec::new());
                let options = QueryOptions {
                    timeout: Some(PATIENCE),
                    ..QueryOptions::default()
                };
                talk.request(
                    Request::Query {
                        name,
                        payload,
                        options,
                    },
                    to,
                );
            }
            ["answer", number, text] => {
                let (query, payload) = (number.parse().unwrap(), text.into());
                talk.request(Request::Respond { query, payload }, to);
            }
            ["keys"] => {
                let (query, timeout) = (KeyQuery::list(), None);
                talk.request(Request::ManageKeys { query, timeout }, to);
            }
            ["watch"] => talk.watches = true,
            ["large"] => to.bytes.resize(32 * OUTPUT_MAX, b'x'),
            ["quit"] => to.end = Some(End::Close),
            _ => to.end = Some(End::Refuse(UNKNOWN)),
        }
    }
}

impl Service for Console {
    type Session = Talk;

    fn event_kinds(&self) -> &'static [EventKind] {
        &[EventKind::MemberJoin, EventKind::User, EventKind::Query]
    }

    fn on_members(&mut self, members: Members) {
        self.members = members;
    }

    fn open(&mut self, _: SocketAddr) -> Talk {
        Talk::default()
    }

    fn on_bytes(
        &mut self,
        talk: &mut Talk,
        input: &[u8],
        node: &mut dyn NodeReader,
        actions: &mut Actions,
    ) -> usize {
        let mut consumed = 0;
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            consumed += line.len() + 1;
            let words: Vec<&str> = std::str::from_utf8(line).unwrap().split(' ').collect();
            self.run(&words, talk, node, actions);
        }
        consumed
    }

    fn on_event(&mut self, talk: &mut Talk, event: &Event, actions: &mut Actions) {
        if !talk.watches {
            return;
        }
        match &event.body {
            EventBody::MemberJoin(member) if *member.name == *"host" => {} // this node itself
            EventBody::MemberJoin(member) => print(&member.name, actions),
            EventBody::User { name, .. } => print(&format!("event {}", name), actions),
            EventBody::Query { id, name, .. } => print(&format!("query {id} {}", name), actions),
            other => panic!("{other:?}"),
        }
    }

    fn on_answer(&mut self, talk: &mut Talk, request: u64, answer: &Event, actions: &mut Actions) {
        assert_eq!(request, talk.requests);
        if let EventBody::QueryResponse { from, payload, .. } = &answer.body {
            let text = String::from_utf8_lossy(payload);
            print(&format!("{from} answers {text}"), actions);
        }
    }

    fn on_done(&mut self, _: &mut Talk, _: u64, outcome: RequestEnd, actions: &mut Actions) {
        match (outcome.result, outcome.keys) {
            (Ok(_), Some(report)) => print(&format!("keys {}", report.keys.len()), actions),
            (Ok(count), None) => print(&format!("done {count}"), actions),
            (Err(_), _) => print("error", actions),
        }
    }
}

/// A node that hosts SPOE as usual, and a second host with the example service.
struct Hosts {
    node: Node,
    addr: SocketAddr,
    spoe: SocketAddr,
    counters: Arc<ServiceCounters>,
    thread: Option<JoinHandle<()>>,
}

fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn config(name: &str) -> Config {
    let mut config = Config::new();
    config.set("name", name).unwrap();
    config.set("bind", "127.0.0.1:0").unwrap();
    config
}

impl Hosts {
    fn start() -> Hosts {
        Hosts::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut Config)) -> Hosts {
        let (mut config, spoe, addr) = (config("host"), free_addr(), free_addr());
        change(&mut config);
        config.set("spoe_bind", &spoe.to_string()).unwrap();
        let node = Node::start(&config).unwrap();
        let names = [
            ("open", ""),
            ("served", ""),
            ("refused", ""),
            ("accept_failures", ""),
        ];
        let counters = Arc::new(ServiceCounters::new(names));
        let listener = sockets::listen_for("test", addr).unwrap();
        let service = Sessions::boxed(Console::default());
        let hosted = Hosted::new(service, listener, counters.clone()).with_places(PLACES);
        let mut host = ServiceHost::new(node.running.handle(), vec![hosted]).unwrap();
        let thread = std::thread::spawn(move || host.run());
        Hosts {
            node,
            addr,
            spoe,
            counters,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> Peer {
        Peer::connect(self.addr)
    }

    /// Waits until a counter has this value.
    fn eventually(&self, counter: fn(&ServiceCounters) -> &AtomicU64, value: u64) {
        let begun = Instant::now();
        while counter(&self.counters).load(Ordering::Relaxed) != value {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.counters);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Blocks the engine until the returned sender is dropped.
    fn stop_engine(&self) -> crossbeam_channel::Sender<()> {
        let (go_on, wait) = crossbeam_channel::bounded(0);
        let (stands, standing) = crossbeam_channel::bounded(1);
        let stand_still = Box::new(move || {
            stands.send(()).unwrap();
            let _ = wait.recv();
        });
        let command = Command::Test(stand_still);
        self.node.running.send(command).unwrap();
        standing.recv_timeout(PATIENCE).unwrap();
        go_on
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.node.close();
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect(addr: SocketAddr) -> Peer {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.line()
    }

    /// Waits until a counter of the node has this value.
    fn await_count(&mut self, counter: &str, value: &str) {
        let begun = Instant::now();
        while self.ask(&format!("count {counter}\n")).trim() != value {
            assert!(begun.elapsed() < PATIENCE, "{counter}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns true if the host ends the connection; bytes that come before that are skipped.
    fn is_ended(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

#[test]
fn a_service_next_to_spoe_lists_members_sends_requests_and_streams_events() {
    let host = Hosts::start();
    let mut peer = host.connect();
    peer.send("li");
    assert_eq!(peer.ask("st\n"), "host\n", "a line may come in pieces");
    assert_eq!(peer.ask("tag zone a\n"), "done 0\n");
    let own = host.node.member("host").unwrap();
    assert_eq!(own.tags().get("zone").as_deref(), Some("a"));
    peer.send("watch\n");
    assert_eq!(peer.ask("list\n"), "host\n");
    let other = Node::start(&config("other")).unwrap();
    let to = host.node.addr().to_string();
    assert_eq!(other.join(&[&to], Some(PATIENCE)), Ok(1));
    assert_eq!(peer.line(), "other\n");
    assert_eq!(peer.ask("list\n"), "host other\n");
    TcpStream::connect(host.spoe).unwrap(); // SPOE listens as before
    peer.send("quit\n");
    assert!(peer.is_ended());
    host.eventually(|it| &it.open, 0);
    let [_, served, refused, _] = host.counters.read();
    assert_eq!((served.value, refused.value), (3, 0));
}

#[test]
fn a_service_sends_events_and_queries_answers_them_and_manages_keys() {
    let host = Hosts::start_with(|config| config.set("encrypt", KEY).unwrap());
    let (mut peer, mut other) = (host.connect(), host.connect());
    // The host passes events only to connections that it has accepted.
    for peer in [&mut peer, &mut other] {
        peer.send("watch\n");
        assert_eq!(peer.ask("list\n"), "host\n");
    }
    peer.send("event deploy\n");
    let mut lines = [peer.line(), peer.line()];
    lines.sort();
    assert_eq!(lines, ["done 0\n", "event deploy\n"]);
    assert_eq!(other.line(), "event deploy\n");

    peer.send("ask load\n");
    let asked = other.line();
    let number = asked.strip_prefix("query ").unwrap();
    let number = number.strip_suffix(" load\n").unwrap();
    assert_eq!(other.ask(&format!("answer {number} low\n")), "done 0\n");
    assert_eq!(peer.line(), asked);
    assert_eq!(peer.line(), "host answers low\n");
    assert_eq!(
        peer.line(),
        "done 1\n",
        "the query ends with its last answer"
    );
    assert_eq!(other.ask(&format!("answer {number} late\n")), "error\n");

    assert_eq!(peer.ask("keys\n"), "keys 1\n");
}

#[test]
fn a_service_reads_counters_and_the_queries_of_a_connection_end_with_it() {
    let host = Hosts::start();
    let (mut peer, mut other) = (host.connect(), host.connect());
    other.send("watch\n");
    assert_eq!(other.ask("list\n"), "host\n");
    assert_eq!(peer.ask("ask _serf_forbidden\n"), "error\n");
    peer.send("ask load\n");
    assert!(other.line().starts_with("query "));
    other.await_count("queries_open", "1");
    peer.send("quit\n");
    other.await_count("queries_open", "0");
}

#[test]
fn a_service_answers_while_the_engine_is_blocked_and_the_requests_of_a_session_are_bounded() {
    let host = Hosts::start();
    let (mut peer, mut eager) = (host.connect(), host.connect());
    let go_on = host.stop_engine();
    assert_eq!(peer.ask("list\n"), "host\n");
    peer.send("tag zone b\n");
    eager.send(&"tag zone c\n".repeat(REQUESTS_MAX + 1));
    assert!(eager.is_ended());
    host.eventually(|it| &it.refused, 1);
    drop(go_on);
    assert_eq!(peer.line(), "done 0\n");
}

#[test]
fn the_host_bounds_connections_input_and_output() {
    let host = Hosts::start();
    let (mut first, mut second) = (host.connect(), host.connect());
    assert_eq!(first.ask("list\n"), "host\n");
    assert_eq!(second.ask("list\n"), "host\n");
    let mut third = host.connect();
    assert_eq!(third.ask("list\n"), "host\n");
    assert!(
        first.is_ended(),
        "the connection that has been silent longest makes room"
    );
    host.eventually(|it| &it.refused, 1);
    // The host may close the connection before everything is written.
    let endless = vec![b'x'; 2 * INPUT_MAX];
    let _ = second.0.get_mut().write_all(&endless);
    assert!(second.is_ended(), "a line that never ends is refused");
    host.eventually(|it| &it.refused, 2);
    third.send("large\n");
    host.eventually(|it| &it.refused, 3);
    let mut fourth = host.connect();
    fourth.send("nonsense\n");
    assert!(fourth.is_ended());
    host.eventually(|it| &it.refused, 4);
    host.eventually(|it| &it.open, 0);
    let named = host.counters.take_refusals();
    let reasons: Vec<_> = named.iter().map(|it| (it.why.help, it.count)).collect();
    let wanted = [
        "The connection gave way to a newer one, because too many were open.",
        "A message is longer than this service accepts.",
        "The peer does not read the answers to its requests.",
        "There is no such command.",
    ];
    assert_eq!(reasons, wanted.map(|help| (help, 1)));
    let is_local = |it: &SourceCount<Fault>| it.source.addr.ip().is_loopback();
    assert!(named.iter().all(is_local), "{named:?}");
}
