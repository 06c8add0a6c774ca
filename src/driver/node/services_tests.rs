//! Services in a real node: a second service is hosted next to SPOE, and the host enforces the
//! bounds.

use crate::driver::engine::command::Command;
use crate::driver::engine::threads::services::{Hosted, ServiceHost};
use crate::driver::net::sockets;
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::service::sessions::Sessions;
use crate::service::{
    Actions, End, INPUT_MAX, Members, OUTPUT_MAX, REQUESTS_MAX, Request, Service, ServiceCounters,
};
use crate::{Config, Node};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// The maximum number of connections of the service under test.
const PLACES: usize = 2;

/// An example of a service. Each line from a peer is a command:
///
/// - `list` answers with the names of the members that are known;
/// - `tag KEY VALUE` sets a tag of this node, and answers `done` or `error`;
/// - `watch` streams the names of the members that join from now on;
/// - `large` answers with more than a peer may leave unread;
/// - `quit` ends the connection.
#[derive(Default)]
struct MemberList {
    members: Members,
}

impl Service for MemberList {
    /// True if the peer watches.
    type Session = bool;

    fn event_kinds(&self) -> &'static [EventKind] {
        &[EventKind::MemberJoin]
    }

    fn on_members(&mut self, members: Members) {
        self.members = members;
    }

    fn open(&mut self, _: SocketAddr) -> bool {
        false
    }

    fn on_bytes(&mut self, watches: &mut bool, input: &[u8], actions: &mut Actions) -> usize {
        let mut consumed = 0;
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            consumed += line.len() + 1;
            let words: Vec<&str> = std::str::from_utf8(line).unwrap().split(' ').collect();
            match words[..] {
                ["list"] => {
                    let names: Vec<&str> = self.members.iter().map(|it| &*it.name).collect();
                    actions
                        .bytes
                        .extend(format!("{}\n", names.join(" ")).bytes());
                    actions.served += 1;
                }
                ["tag", key, value] => {
                    let changes = vec![(key.to_owned(), Some(value.to_owned()))];
                    actions.requests.push((1, Request::UpdateTags(changes)));
                }
                ["watch"] => *watches = true,
                ["large"] => actions.bytes.resize(32 * OUTPUT_MAX, b'x'),
                ["quit"] => actions.end = Some(End::Close),
                _ => actions.end = Some(End::Refuse),
            }
        }
        consumed
    }

    fn on_event(&mut self, watches: &mut bool, event: &Event, actions: &mut Actions) {
        if let Some(member) = event.member().filter(|_| *watches) {
            actions.bytes.extend(format!("{}\n", member.name).bytes());
        }
    }

    fn on_done(&mut self, _: &mut bool, request: u64, result: &Result<usize>, to: &mut Actions) {
        assert_eq!(request, 1);
        let answer: &[u8] = if result.is_ok() {
            b"done\n"
        } else {
            b"error\n"
        };
        to.bytes.extend_from_slice(answer);
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
        let (mut config, spoe, addr) = (config("host"), free_addr(), free_addr());
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
        let service = Sessions::boxed(MemberList::default());
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
    assert_eq!(peer.ask("tag zone a\n"), "done\n");
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
    assert_eq!(peer.line(), "done\n");
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
}
