//! Alertmanagers with a sprat node between them, in memberlist mode.
//!
//! Alertmanager keeps its silences and its notification log in states that its peers merge. Every
//! push/pull carries both whole states, and every change is gossiped. A sprat node hands these
//! bytes to its program and passes nothing on by itself, so the program of these tests is a
//! [`Relay`]. It cannot merge the states, but it need not: a state is a list of parts in protobuf,
//! a message is one part, and the concatenation of two lists is a list with the parts of both,
//! which every Alertmanager merges one after another.

use super::agent::Block;
use super::net::{Cut, Lab};
use super::ours;
use super::program::{Program, in_namespace, said};
use super::wait::{PATIENCE, until};
use sprat::{Error, Status};
use sprat::{EventBody, MemberState, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The ports of an Alertmanager: for gossip, for HTTP, and for the webhook that it notifies.
const GOSSIP: u16 = 9094;
const WEB: u16 = 9093;
const WEBHOOK: u16 = 9095;
/// The name of the receiver of all alerts. The notification log holds it.
const RECEIVER: &str = "pager";

/// A sprat node that hands on what the Alertmanagers tell one another.
struct Relay {
    node: Node,
    parts: Arc<Mutex<Parts>>,
    thread: Option<JoinHandle<Error>>,
}

/// The parts that the relay knows.
#[derive(Default)]
struct Parts {
    /// For each peer, its last state, and the messages that it has sent since.
    of_peers: BTreeMap<String, Vec<u8>>,
    /// The messages that were broadcast. Peers gossip what was new to them, so without this set a
    /// message could go round for ever.
    broadcast: BTreeSet<Arc<[u8]>>,
}

impl Parts {
    /// The state that the relay hands to its peers.
    fn state(&self) -> Vec<u8> {
        self.of_peers.values().flatten().copied().collect()
    }
}

impl Relay {
    fn start(ip: IpAddr) -> Relay {
        let mut config = ours::config_at("relay", (ip, GOSSIP).into());
        config.set("mode", "memberlist").unwrap();
        let node = Node::start(&config).unwrap();
        let parts = Arc::new(Mutex::new(Parts::default()));
        let (its_node, its_parts) = (node.clone(), parts.clone());
        let relay = move || match relay(&its_node, &its_parts) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        Relay {
            node,
            parts,
            thread: Some(std::thread::spawn(relay)),
        }
    }

    fn join(&self, peer: &Alertmanager) {
        let addr = peer.addr().to_string();
        let joined = self.node.join(&[&addr], Some(PATIENCE));
        assert_eq!(joined, Ok(1));
    }

    /// Waits until the relay hands out a silence.
    fn has(&self, silence: &str) {
        until(&format!("the relay has silence {silence}"), || {
            let state = self.parts.lock().unwrap().state();
            match contains(&state, silence) {
                true => Ok(()),
                false => Err(format!("its state has {} bytes", state.len())),
            }
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.node.shutdown();
        let ended = self.thread.take().expect("it is taken here only").join();
        if !std::thread::panicking() {
            let error = ended.expect("the relay has not panicked");
            assert_eq!(error.status, Status::Closed, "{error}");
        }
    }
}

/// Hands on messages and states until the node ends.
fn relay(node: &Node, parts: &Mutex<Parts>) -> Result<Infallible, Error> {
    loop {
        let event = node.next_event(None)?;
        let body = event.expect("without a timeout there is an event").body;
        let mut parts = parts.lock().unwrap();
        match body {
            EventBody::RemoteState { from, payload, .. } => {
                parts.of_peers.insert(from, payload.to_vec());
            }
            EventBody::Message { from, payload, .. } => {
                put_part(parts.of_peers.entry(from).or_default(), &payload);
                if parts.broadcast.insert(payload.clone()) {
                    node.broadcast(&payload, None)?;
                }
            }
            _ => continue,
        }
        node.set_local_state(parts.state())?;
    }
}

/// Returns true if the text occurs in the bytes.
fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// Appends a message as field 1 of Alertmanager's `FullState`: tag, length, bytes.
fn put_part(state: &mut Vec<u8>, message: &[u8]) {
    state.push(1 << 3 | 2);
    let mut length = message.len();
    while length >= 0x80 {
        state.push(length as u8 | 0x80);
        length >>= 7;
    }
    state.push(length as u8);
    state.extend_from_slice(message);
}

/// An Alertmanager with an empty folder of its own.
struct Alertmanager {
    program: Program,
    ip: IpAddr,
    namespace: Option<String>,
    folder: PathBuf,
}

impl Alertmanager {
    /// Starts an Alertmanager, and waits until it answers. It does a push/pull every second.
    fn start(ip: IpAddr, namespace: Option<&str>, peer: Option<SocketAddr>) -> Alertmanager {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sprat-alertmanager-{}-{next}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let config = format!(
            "route: {{receiver: {RECEIVER}, group_wait: 0s, group_interval: 1s}}\n\
             receivers:\n\
             - {{name: {RECEIVER}, webhook_configs: [{{url: 'http://{ip}:{WEBHOOK}/'}}]}}\n"
        );
        std::fs::write(folder.join("config.yml"), config).unwrap();
        let mut command = in_namespace(namespace);
        let at = |port| SocketAddr::new(ip, port);
        command
            .arg("prometheus-alertmanager")
            .arg(format!("--config.file={}/config.yml", folder.display()))
            .arg(format!("--storage.path={}", folder.display()))
            .arg(format!("--web.listen-address={}", at(WEB)))
            .arg(format!("--cluster.listen-address={}", at(GOSSIP)))
            .arg("--cluster.pushpull-interval=1s")
            .arg("--cluster.peer-timeout=1s")
            .arg("--data.maintenance-interval=1s")
            .args(peer.map(|peer| format!("--cluster.peer={peer}")));
        let alertmanager = Alertmanager {
            program: Program::start(&mut command),
            ip,
            namespace: namespace.map(str::to_owned),
            folder,
        };
        until(&format!("the Alertmanager at {ip} answers"), || {
            alertmanager.silences().map(drop)
        });
        alertmanager
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, GOSSIP)
    }

    /// Runs `amtool` with these arguments, and returns what it printed.
    fn amtool(&self, args: &[&str]) -> Result<String, String> {
        let mut command = in_namespace(self.namespace.as_deref());
        // `timeout` bounds a client whose server hangs.
        command.args(["timeout", "60", "amtool", "--timeout=50s"]);
        command.arg(format!("--alertmanager.url=http://{}:{WEB}", self.ip));
        let output = command.args(args).output();
        let output = output.expect("timeout and amtool run; `make test` installs what is needed");
        match output.status.success() {
            true => Ok(said(&output).trim().to_owned()),
            false => Err(said(&output)),
        }
    }

    /// Silences the alerts with this name, and returns the id of the silence.
    fn silence(&self, alert: &str) -> String {
        let matcher = format!("alertname={alert}");
        let args = [
            "silence",
            "add",
            "--author=test",
            "--comment=test",
            &matcher,
        ];
        self.amtool(&args).unwrap()
    }

    /// The ids of all silences, one in each line.
    fn silences(&self) -> Result<String, String> {
        self.amtool(&["silence", "query", "--quiet"])
    }

    /// Waits until the Alertmanager has a silence.
    fn has(&self, silence: &str) {
        let what = format!("the Alertmanager at {} has silence {silence}", self.ip);
        until(&what, || {
            let found = self.silences()?;
            match found.lines().any(|it| it == silence) {
                true => Ok(()),
                false => Err(format!("it has {found:?}\n{}", self.program.last_lines())),
            }
        });
    }

    /// The number of messages that other members have gossiped to the Alertmanager.
    fn messages(&self) -> f64 {
        let ask = format!(
            "exec 3<>/dev/tcp/{}/{WEB}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
            self.ip
        );
        let mut command = in_namespace(self.namespace.as_deref());
        let output = command.args(["timeout", "60", "bash", "-c", &ask]).output();
        let output = said(&output.expect("timeout and bash run"));
        let name = "alertmanager_cluster_messages_received_total{msg_type=\"update\"} ";
        let value = output.lines().find_map(|line| line.strip_prefix(name));
        let value = value.unwrap_or_else(|| panic!("no metric {name}: {output}"));
        value.parse().unwrap()
    }

    /// Waits until the notification log of the Alertmanager has an entry. Its file, which is
    /// rewritten every second, names the receiver in each entry.
    fn has_notified(&self) {
        let path = self.folder.join("nflog");
        until(&format!("the log at {} has an entry", self.ip), || {
            let bytes = std::fs::read(&path).map_err(|why| why.to_string())?;
            match contains(&bytes, RECEIVER) {
                true => Ok(()),
                false => Err(format!("{bytes:?}\n{}", self.program.last_lines())),
            }
        });
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.program.end();
        if std::thread::panicking() {
            let log = self.program.last_lines();
            eprintln!(
                "--- end of the log of the Alertmanager at {}\n{log}",
                self.ip
            );
        }
        let _ = std::fs::remove_dir_all(&self.folder); // what is left does no harm
    }
}

/// Answers one notification, and returns it.
fn answer_notification(listener: &TcpListener) -> String {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    let mut line = String::from("-");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut writer: &TcpStream = &stream;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    writer.write_all(answer).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_silence_outlives_its_alertmanager_in_the_state_of_a_sprat_node() {
    let block = Block::new();
    let first = Alertmanager::start(block.ip(1), None, None);
    let before_join = first.silence("before_join");
    let relay = Relay::start(block.ip(2));
    relay.join(&first);
    let after_join = first.silence("after_join");
    relay.has(&before_join);
    relay.has(&after_join);
    drop(first);
    let second = Alertmanager::start(block.ip(3), None, Some(relay.node.addr()));
    second.has(&before_join);
    second.has(&after_join);
}

#[test]
fn silences_and_notifications_reach_an_alertmanager_that_only_a_sprat_node_can_reach() {
    let lab = Lab::new(3);
    lab.cut(1, 3, Cut::All);
    let webhook = lab.inside(1, || TcpListener::bind((lab.ip(1), WEBHOOK)).unwrap());
    let first = Alertmanager::start(lab.ip(1), Some(&lab.host(1)), None);
    let before_join = first.silence("before_join");
    let relay = lab.inside(2, || Relay::start(lab.ip(2)));
    relay.join(&first);
    let peer = Some(relay.node.addr());
    let second = Alertmanager::start(lab.ip(3), Some(&lab.host(3)), peer);
    second.has(&before_join);
    let back = second.silence("back");
    first.has(&back);
    // Gossip may be lost; then a push/pull brings the silence. So silences are made until one comes
    // by gossip.
    until("the relay passes a silence on by gossip", || {
        second.has(&first.silence("forth"));
        match second.messages() > 0.0 {
            true => Ok(()),
            false => Err("all silences came by push/pull".to_owned()),
        }
    });
    first.amtool(&["alert", "add", "alertname=disk"]).unwrap();
    let notification = answer_notification(&webhook);
    assert!(notification.contains("disk"), "{notification}");
    first.has_notified();
    second.has_notified();
    until("the relay sees all members alive", || {
        let members = relay.node.members();
        let alive = members.iter().filter(|it| it.state == MemberState::Alive);
        match alive.count() {
            3 => Ok(()),
            _ => Err(format!("{members:?}")),
        }
    });
}
