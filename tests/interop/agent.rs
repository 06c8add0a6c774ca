//! A stock `serf agent` as a child process: started, asked, changed, stopped, killed.
//!
//! Every wait is bounded, and dropping an [`Agent`] ends its process. What it logs is kept: a
//! test that fails shows the other side of the story, and no test passes if an agent complained of
//! anything but the network.

use super::wait::until;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// The port of every node here that is not given another; nodes differ by address.
pub const PORT: u16 = 7946;

/// What an agent may complain of: a network that tests cut, and nodes that they kill or stop. A
/// message of ours that it does not understand is not among it.
const ORDINARY: [&str; 14] = [
    "Was able to connect to",
    "Refuting a suspect message",
    "Refuting a dead message",
    "Failed fallback ping",
    "Failed to send",
    "Push/Pull with",
    "Failed to push local state",
    "error joining",
    "Join failed",
    "Shutdown without a Leave",
    "Serf shutdown detected",
    // Requests that ended halfway because the other side was stopped or killed.
    "failed to receive: EOF",
    "i/o timeout",
    "connection reset by peer",
];

/// How one agent is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name in the cluster.
    pub name: String,
    /// Where it listens, for gossip and for RPC.
    pub ip: IpAddr,
    /// Network namespace it runs in, if not ours.
    pub namespace: Option<String>,
    /// Its port for gossip; the one for RPC is [`RPC`] further.
    pub port: u16,
    /// More arguments of `serf agent`.
    pub args: Vec<String>,
    /// A complaint that this test provokes.
    pub provoked: Option<&'static str>,
}

/// How far the port for RPC is from the one for gossip.
const RPC: u16 = 1000;

impl Setup {
    /// An agent with default settings.
    pub fn new(name: &str, ip: IpAddr) -> Setup {
        Setup {
            name: name.to_owned(),
            ip,
            namespace: None,
            port: PORT,
            args: Vec::new(),
            provoked: None,
        }
    }

    /// With a tag.
    pub fn tag(self, key: &str, value: &str) -> Setup {
        self.arg("-tag").arg(&format!("{key}={value}"))
    }

    /// With an encryption key in base64.
    pub fn key(self, key: &str) -> Setup {
        self.arg(&format!("-encrypt={key}"))
    }

    /// Joins at start; the agent ends if that fails.
    pub fn join(self, to: SocketAddr) -> Setup {
        self.arg(&format!("-join={to}"))
    }

    /// With one more argument.
    pub fn arg(mut self, arg: &str) -> Setup {
        self.args.push(arg.to_owned());
        self
    }

    /// At another port.
    pub fn port(mut self, port: u16) -> Setup {
        self.port = port;
        self
    }

    /// It will complain with these words, and rightly.
    pub fn provoked(mut self, words: &'static str) -> Setup {
        self.provoked = Some(words);
        self
    }

    /// In this network namespace.
    pub fn within(mut self, namespace: &str) -> Setup {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Agent {
        Agent::start(self)
    }
}

/// A member as an agent lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `alive`, `leaving`, `left` or `failed`.
    pub status: String,
    /// Address and port.
    pub addr: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A running agent.
pub struct Agent {
    setup: Setup,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    fn start(setup: Setup) -> Agent {
        let mut command = in_namespace(setup.namespace.as_deref());
        command.args(["serf", "agent", "-log-level=debug"]);
        command.arg(format!("-node={}", setup.name));
        command.arg(format!("-bind={}", SocketAddr::new(setup.ip, setup.port)));
        command.arg(format!("-rpc-addr={}", rpc(&setup)));
        command.args(&setup.args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| {
            panic!("serf agent does not start ({why}); `make test` installs what is needed")
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().expect("it is piped"), &log);
        keep(child.stderr.take().expect("it is piped"), &log);
        let agent = Agent { setup, child, log };
        until(&format!("{} answers", agent.setup.name), || {
            agent.try_members().map(|_| ())
        });
        // It answers before it has joined.
        let joins = |arg: &String| arg.starts_with("-join=");
        if agent.setup.args.iter().any(joins) {
            let what = format!("{} has joined", agent.setup.name);
            until(&what, || match agent.logged("agent: joined: ") {
                0 => Err(agent.log().join("\n")),
                _ => Ok(()),
            });
        }
        agent
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.setup.name
    }

    /// Where others join it.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.setup.ip, self.setup.port)
    }

    /// How it was started.
    pub fn setup(&self) -> Setup {
        self.setup.clone()
    }

    /// Process id, for measuring.
    #[allow(dead_code)] // the benchmark uses it, the tests do not
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// How many lines of its log contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Lines of its log that complain of anything but the network.
    pub fn complaints(&self) -> Vec<String> {
        let complains = |line: &String| {
            let ordinary = ORDINARY.iter().chain(&self.setup.provoked);
            let loud = line.contains("[ERR]") || line.contains("[WARN]");
            loud && !ordinary.into_iter().any(|words| line.contains(words))
        };
        self.log().into_iter().filter(complains).collect()
    }

    /// Its members by name.
    pub fn members(&self) -> BTreeMap<String, Seen> {
        self.try_members()
            .unwrap_or_else(|why| panic!("{}: {why}", self.setup.name))
    }

    fn try_members(&self) -> Result<BTreeMap<String, Seen>, String> {
        let output = self.ask(&["members", "-format=json"]);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let log = self.log().join("\n");
            return Err(format!("serf members: {}\nits log:\n{log}", said.trim()));
        }
        let json: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|why| why.to_string())?;
        let members = json["members"].as_array().ok_or("no list of members")?;
        Ok(members.iter().map(seen).collect())
    }

    /// Joins a cluster; panics if the agent says that it could not.
    pub fn join(&self, to: SocketAddr) {
        self.must(&["join", &to.to_string()]);
    }

    /// Sets a tag of its own.
    pub fn set_tag(&self, key: &str, value: &str) {
        self.change_tags(&["tags", "-set", &format!("{key}={value}")]);
    }

    /// Removes a tag of its own.
    pub fn delete_tag(&self, key: &str) {
        self.change_tags(&["tags", "-delete", key]);
    }

    /// Sends a user event to all.
    pub fn event(&self, name: &str, payload: &str) {
        self.must(&["event", name, payload]);
    }

    /// Asks all, with as many helpers for each answer; what came back, as JSON.
    pub fn query(&self, name: &str, helpers: u8) -> serde_json::Value {
        let relay = format!("-relay-factor={helpers}");
        let output = self.ask(&["query", "-format=json", "-timeout=3s", &relay, name]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "serf query: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            panic!("{why}: {}", String::from_utf8_lossy(&output.stdout));
        })
    }

    /// Leaves the cluster and ends, as an operator would make it.
    pub fn leave(mut self) -> Setup {
        self.must(&["leave"]);
        until("the agent that left ends", || {
            match self.child.try_wait().map_err(|why| why.to_string())? {
                Some(_) => Ok(()),
                None => Err("it still runs".to_owned()),
            }
        });
        self.setup()
    }

    /// Ends it without a word.
    pub fn kill(mut self) -> Setup {
        self.end();
        self.setup()
    }

    /// Stops it where it stands: it neither hears nor says anything.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            status.expect("kill runs").success(),
            "no signal {name} to {pid}"
        );
    }

    fn end(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The agent has the new tags before it waits for them to spread. It can miss the end of that
    /// wait if they spread before it begins to wait (memberlist tells it only once, on a busy
    /// host too early), and then says after 5 s that the time is up: the tags are set all the same.
    fn change_tags(&self, args: &[&str]) {
        let output = self.ask(args);
        let missed = said(&output).contains("timeout waiting for update broadcast");
        assert!(
            output.status.success() || missed,
            "serf {args:?} at {}: {}",
            self.setup.name,
            said(&output)
        );
    }

    fn must(&self, args: &[&str]) {
        let output = self.ask(args);
        assert!(
            output.status.success(),
            "serf {args:?} at {}: {}",
            self.setup.name,
            said(&output)
        );
    }

    fn ask(&self, args: &[&str]) -> Output {
        let mut command = in_namespace(self.setup.namespace.as_deref());
        // `timeout` bounds a client whose agent is stopped or hangs.
        command.args(["timeout", "60", "serf", args[0]]);
        command.arg(format!("-rpc-addr={}", rpc(&self.setup)));
        command.args(&args[1..]).stdin(Stdio::null());
        command
            .output()
            .expect("timeout and serf run; `make test` installs what is needed")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let tail = &log[log.len().saturating_sub(40)..];
            eprintln!(
                "--- end of the log of agent {}\n{}",
                self.setup.name,
                tail.join("\n")
            );
        } else {
            let complaints = self.complaints();
            assert!(
                complaints.is_empty(),
                "agent {} complains:\n{}",
                self.setup.name,
                complaints.join("\n")
            );
        }
    }
}

/// A command that runs in a network namespace, or here; the program is its first argument.
fn in_namespace(namespace: Option<&str>) -> Command {
    match namespace {
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name]);
            command
        }
        None => Command::new("env"),
    }
}

fn rpc(setup: &Setup) -> SocketAddr {
    SocketAddr::new(setup.ip, setup.port + RPC)
}

fn keep(from: impl std::io::Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// What a command printed, on either side.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn seen(member: &serde_json::Value) -> (String, Seen) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let tags = member["tags"].as_object().into_iter().flatten();
    let seen = Seen {
        status: text(&member["status"]),
        addr: text(&member["addr"]),
        tags: tags
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    };
    (text(&member["name"]), seen)
}

/// The loopback addresses 127.x.y.*, for one test. They are claimed by a socket of this name, as
/// tests/support/cluster.py does it: no two tests that run at the same time, in whichever process,
/// have the same ones.
pub struct Block {
    prefix: [u8; 2],
    _claim: UnixDatagram,
}

impl Block {
    /// Claims addresses that no other test has now.
    pub fn new() -> Block {
        let first = std::process::id() % 0x8000;
        for number in first.. {
            let prefix = [100 + (number >> 8) as u8 % 128, number as u8];
            let name = format!("sprat-test-127.{}.{}", prefix[0], prefix[1]);
            let name = UnixAddr::from_abstract_name(name).expect("the name is short");
            match UnixDatagram::bind_addr(&name) {
                Ok(claim) => {
                    return Block {
                        prefix,
                        _claim: claim,
                    };
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => panic!("no claim to loopback addresses: {error}"),
            }
        }
        unreachable!("32,768 tests do not run at the same time")
    }

    /// Address `host` of the block.
    pub fn ip(&self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.prefix[0], self.prefix[1], host))
    }
}

/// Asks `agents` until all of them see every one of `names` as alive, and nobody else.
pub fn all_see_alive(agents: &[&Agent], names: &[&str]) {
    until("agents see everybody alive", || {
        for agent in agents {
            let members = agent.members();
            for name in names {
                match members.get(*name).map(|seen| seen.status.as_str()) {
                    Some("alive") => {}
                    other => return Err(format!("{} sees {name} as {other:?}", agent.name())),
                }
            }
            if members.len() != names.len() {
                let all: Vec<&String> = members.keys().collect();
                return Err(format!("{} sees {all:?}", agent.name()));
            }
        }
        Ok(())
    });
}

/// Asks one agent until it sees `name` with `status`.
pub fn agent_sees(agent: &Agent, name: &str, status: &str) {
    until(
        &format!("{} sees {name} {status}", agent.name()),
        || match agent.members().get(name) {
            Some(seen) if seen.status == status => Ok(()),
            other => Err(format!("it sees {other:?}")),
        },
    );
}
