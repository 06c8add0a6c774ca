//! A `serf agent` as a child process: started, asked, changed, stopped, killed.
//!
//! Every wait is bounded, and dropping an [`Agent`] ends its process. The log of each agent is
//! kept: a failing test prints its last lines, and a test fails if its agent has logged a complaint
//! that is neither ordinary nor provoked by the test.

use super::program::{Program, in_namespace, said};
use super::wait::until;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::process::{Output, Stdio};

/// The default port of a node. The nodes of a test have different addresses.
pub const PORT: u16 = 7946;

/// Complaints that an agent may log, because tests cut the network, and kill and stop nodes. No
/// complaint about a message that the agent does not understand is among them.
const ORDINARY: [&str; 17] = [
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
    // Requests that ended early because the other side was stopped or killed.
    "failed to receive: EOF",
    "i/o timeout",
    "connection reset by peer",
    // `serf query` and `serf reachability` close their connection as soon as they have what they
    // wait for, or when the agent sends them an empty record at the end of a query.
    "agent.ipc: Failed to stream query end",
    "agent.ipc: Failed to stream ack",
    "agent.ipc: Failed to stream response",
];

/// The settings with which an agent is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name in the cluster.
    pub name: String,
    /// The address at which the agent listens for gossip and for RPC.
    pub ip: IpAddr,
    /// The network namespace that the agent runs in; `None` for that of the test.
    pub namespace: Option<String>,
    /// The port for gossip. The RPC port is higher by [`RPC`].
    pub port: u16,
    /// More arguments of `serf agent`.
    pub args: Vec<OsString>,
    /// Words that occur in the complaints that the test provokes.
    pub provoked: Vec<&'static str>,
}

/// The difference between the RPC port and the gossip port.
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
            provoked: Vec::new(),
        }
    }

    /// Adds a tag.
    pub fn tag(self, key: &str, value: &str) -> Setup {
        self.arg("-tag").arg(&format!("{key}={value}"))
    }

    /// Sets the encryption key, in base64.
    pub fn key(self, key: &str) -> Setup {
        self.arg(&format!("-encrypt={key}"))
    }

    /// Joins this address when the agent starts. The agent ends if the join fails.
    pub fn join(self, to: SocketAddr) -> Setup {
        self.arg(&format!("-join={to}"))
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: &str) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// Gives the agent these bytes as its name. `serf members` shows each byte that is not UTF-8 as
    /// U+FFFD, and the name of this setup must be written in the same way.
    pub fn named(mut self, name: &[u8]) -> Setup {
        let arg = [b"-node=", name].concat();
        self.args.push(OsString::from_vec(arg));
        self
    }

    /// Sets the port for gossip.
    pub fn port(mut self, port: u16) -> Setup {
        self.port = port;
        self
    }

    /// Allows complaints with these words, which the test provokes.
    pub fn provoked(mut self, words: &'static str) -> Setup {
        self.provoked.push(words);
        self
    }

    /// Sets the network namespace.
    pub fn within(mut self, namespace: &str) -> Setup {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Starts the agent, and waits until it answers and has joined, if it is to join.
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
    /// The tags of the member.
    pub tags: BTreeMap<String, String>,
}

/// A running agent.
pub struct Agent {
    setup: Setup,
    program: Program,
}

impl Agent {
    fn start(setup: Setup) -> Agent {
        let mut command = in_namespace(setup.namespace.as_deref());
        command.args(["serf", "agent", "-log-level=debug"]);
        command.arg(format!("-node={}", setup.name));
        command.arg(format!("-bind={}", SocketAddr::new(setup.ip, setup.port)));
        command.arg(format!("-rpc-addr={}", rpc(&setup)));
        command.args(&setup.args);
        let program = Program::start(&mut command);
        let agent = Agent { setup, program };
        until(&format!("{} answers", agent.setup.name), || {
            agent.try_members().map(|_| ())
        });
        // The agent answers before it has joined. It may lose the first lines of its log, but not
        // those that it prints.
        let joins = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"-join=");
        if agent.setup.args.iter().any(joins) {
            let what = format!("{} has joined", agent.setup.name);
            until(&what, || match agent.logged("Join completed.") {
                0 => Err(agent.log().join("\n")),
                _ => Ok(()),
            });
        }
        agent
    }

    /// The name of the agent in the cluster.
    pub fn name(&self) -> &str {
        &self.setup.name
    }

    /// The address at which other nodes join the agent.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.setup.ip, self.setup.port)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// The settings with which the agent was started.
    pub fn setup(&self) -> Setup {
        self.setup.clone()
    }

    /// The lines that the agent has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.program.lines()
    }

    /// The number of lines of the log that contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        let log = self.log();
        log.iter().filter(|line| line.contains(text)).count()
    }

    /// The warnings and errors in the log that are neither [`ORDINARY`] nor provoked by the test.
    pub fn complaints(&self) -> Vec<String> {
        let complains = |line: &String| {
            let ordinary = ORDINARY.iter().chain(&self.setup.provoked);
            let loud = line.contains("[ERR]") || line.contains("[WARN]");
            loud && !ordinary.into_iter().any(|words| line.contains(words))
        };
        self.log().into_iter().filter(complains).collect()
    }

    /// The members that the agent lists, by name.
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

    /// Sets a tag of this agent.
    pub fn set_tag(&self, key: &str, value: &str) {
        self.change_tags(&["tags", "-set", &format!("{key}={value}")]);
    }

    /// Removes a tag of this agent.
    pub fn delete_tag(&self, key: &str) {
        self.change_tags(&["tags", "-delete", key]);
    }

    /// Runs `serf keys`. The command fails if a member does not answer the key query, even if all
    /// agents have carried it out, so its result is ignored.
    pub fn keys(&self, args: &[&str]) {
        self.ask(&[&["keys"], args].concat());
    }

    /// Runs `serf keys`, and returns its output if all members have done what was asked.
    pub fn try_keys(&self, args: &[&str]) -> Result<String, String> {
        let output = self.ask(&[&["keys"], args].concat());
        match output.status.success() {
            true => Ok(said(&output)),
            false => Err(said(&output)),
        }
    }

    /// Sends a user event to the cluster.
    pub fn event(&self, name: &str, payload: &str) {
        self.must(&["event", name, payload]);
    }

    /// Sends a query to the cluster, with these options of `serf query`, and returns the answers as
    /// JSON.
    pub fn query(&self, name: &str, options: &[&str]) -> serde_json::Value {
        let args = [&["query", "-format=json", "-timeout=3s"], options, &[name]].concat();
        let output = self.ask(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "serf query: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            panic!("{why}: {}", String::from_utf8_lossy(&output.stdout));
        })
    }

    /// Makes the agent leave the cluster, and waits until its process has ended.
    pub fn leave(mut self) -> Setup {
        self.must(&["leave"]);
        until("the agent that left ends", || {
            match self.program.has_ended() {
                true => Ok(()),
                false => Err("it still runs".to_owned()),
            }
        });
        self.setup()
    }

    /// Kills the agent, so that it cannot leave.
    pub fn kill(mut self) -> Setup {
        self.program.end();
        self.setup()
    }

    /// Returns true if the process of the agent has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    /// Stops the process of the agent, which then neither receives nor sends anything.
    pub fn pause(&self) {
        self.program.signal("STOP");
    }

    /// Continues the process of the agent.
    pub fn resume(&self) {
        self.program.signal("CONT");
    }

    /// Runs a command that changes tags. The agent sets the tags and then waits until they are
    /// broadcast. If the broadcast ends before the wait begins, as it may on a busy machine, the
    /// agent reports a timeout after 5 s although the tags are set; this error is ignored.
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

    /// Runs `serf` with these arguments, and returns what it said if it fails.
    pub fn try_run(&self, args: &[&str]) -> Result<(), String> {
        self.try_output(args).map(drop)
    }

    /// Runs `serf` with these arguments, and returns what it printed.
    pub fn try_output(&self, args: &[&str]) -> Result<String, String> {
        let output = self.ask(args);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(said(&output)),
        }
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
        self.program.end();
        if std::thread::panicking() {
            eprintln!(
                "--- end of the log of agent {}\n{}",
                self.setup.name,
                self.program.last_lines()
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

fn rpc(setup: &Setup) -> SocketAddr {
    SocketAddr::new(setup.ip, setup.port + RPC)
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

/// The loopback addresses 127.x.y.* for one test. A socket whose name contains x and y claims them,
/// as in tests/support/cluster.py. Tests that run at the same time, even in different processes,
/// therefore have different addresses.
pub struct Block {
    prefix: [u8; 2],
    _claim: UnixDatagram,
}

impl Block {
    /// Claims addresses that no other running test has.
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
                Err(error) => panic!("cannot claim loopback addresses: {error}"),
            }
        }
        unreachable!("32,768 tests do not run at the same time")
    }

    /// Address `host` of the block.
    pub fn ip(&self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.prefix[0], self.prefix[1], host))
    }
}

/// Waits until each agent lists exactly these members, all of them alive.
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

/// Waits until the agent lists `name` with this status.
pub fn agent_sees(agent: &Agent, name: &str, status: &str) {
    until(
        &format!("{} sees {name} {status}", agent.name()),
        || match agent.members().get(name) {
            Some(seen) if seen.status == status => Ok(()),
            other => Err(format!("it sees {other:?}")),
        },
    );
}
