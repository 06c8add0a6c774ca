//! The command line.

use super::plan::SERVERS;
use lexopt::{Arg, Parser, ValueExt as _};
use sprat::Config;
use sprat::service::servers::candidate::{Rules, is_safe_name};
use sprat_haproxy::balance::Limits;
use sprat_haproxy::controller::ControllerConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
Join a Serf or sprat cluster, and add its members as servers to HAProxy instances that cannot load
the sprat module. Commands are sent through HAProxy's runtime API; its socket needs `level admin`.

  sprat-hap --backend nodes --haproxy /run/haproxy.sock --join 10.0.0.5,10.0.0.6

The backend:
  --backend NAME         the backend to add servers to; run one sprat-hap for each backend
  --haproxy PATH|IP:PORT the runtime API of an HAProxy; repeat the option for several instances
  --server OPTIONS       the words after the address in `add server`  [check inter 1s fall 2]
  --template PREFIX FROM-TO
                         use the servers of `server-template PREFIX FROM-TO`, and add no others;
                         give both words as one argument: `app 1-16`
  --server-state FILE    keep the answer to `show servers state` in this file, from which HAProxy
                         loads its servers after a reload; needs --template and a single --haproxy
  --snapshot FILE        a file that keeps, across a restart, the member of each server, the states
                         that operators have ordered, and a freeze; --template needs it, and it
                         needs --template
  --control PATH         a Unix socket for commands of operators: `drain NAME`, `maint NAME`,
                         `ready NAME`, `auto NAME`, and others that `help` lists

The members that serve:
  --role KEY=VALUE       the tag of members that serve  [role=backend]
  --port N               the port of members without a `port` tag; 0 ignores such members  [0]
  --networks CIDR,...    serve only members with an address in one of these networks
  --loopback             allow servers at loopback addresses
  --min-ready PERCENT    the percentage of known members that stay ready, however many fail  [50]
  --drain-ms N           how long to drain the server of a member that has left  [30000]
  --grace-ms N           after a restart: how long to keep servers whose members the cluster has not
                         reported yet; counted from the first contact with a member with the tag
                         of --role  [30000]

Questions from HAProxy:
  --agent-check IP:PORT  answer agent checks; in HAProxy, set `agent-send` to the member's name and
                         give the server `weight 100`, because HAProxy takes the weight in the
                         answer as a percentage of that weight
  --spoe IP:PORT         answer SPOE messages: pick, member, size, leader, tag

The local member:
  --name NAME            its name  [the host name]
  --bind IP:PORT         the address for the cluster, UDP and TCP  [0.0.0.0:7946]
  --advertise IP:PORT    the address that other members use, if it differs from --bind
  --join ADDRESS,...     seeds to join; each is tried again whenever no alive member has its address
  --profile NAME         lan, wan or local  [lan]
  --keyring-file FILE    the keys of an encrypted cluster, in Serf's format
  --tag KEY=VALUE        a tag of the local member; repeat the option for several  [role=balancer]
  --set KEY=VALUE        any other setting of the library
  --config FILE          a file of settings, one per line: key = value

  -h, --help             print this text
  -V, --version          print the version

On SIGTERM or SIGINT, sprat-hap leaves the cluster and ends. The servers stay as they are, and the
next sprat-hap takes them over. SIGUSR1 prints the members, the servers, and the reason for each
removal that is held back. SIGUSR2 thaws removals, whether they are frozen by an operator or because
most of the cluster is out of sight.
Exit codes: 0 success, 1 failure, 2 wrong usage.
";

/// The options that take a value.
const VALUED: [&str; 24] = [
    "backend",
    "haproxy",
    "server",
    "template",
    "server-state",
    "snapshot",
    "control",
    "role",
    "port",
    "networks",
    "min-ready",
    "drain-ms",
    "grace-ms",
    "agent-check",
    "spoe",
    "join",
    "name",
    "bind",
    "advertise",
    "profile",
    "keyring-file",
    "tag",
    "set",
    "config",
];

/// The action that a command line requests.
pub enum Invocation {
    Run(Box<Arguments>),
    Print(String),
}

/// The settings of the command line.
pub struct Arguments {
    pub config: Config,
    pub backend: String,
    pub haproxys: Vec<String>,
    pub server_options: String,
    /// The names of the servers of a `server-template`; empty to add servers.
    pub template: Vec<Arc<str>>,
    pub server_state: Option<String>,
    pub snapshot: Option<String>,
    pub control: Option<String>,
    pub loopback: bool,
    pub limits: Limits,
    pub agent_check: Option<SocketAddr>,
}

/// Reads the command line.
///
/// # Errors
/// A message about what is wrong or missing.
pub fn parse(mut parser: Parser) -> Result<Invocation, String> {
    let mut found = Arguments {
        config: ControllerConfig::node_defaults(),
        backend: String::new(),
        haproxys: Vec::new(),
        server_options: "check inter 1s fall 2".to_owned(),
        template: Vec::new(),
        server_state: None,
        snapshot: None,
        control: None,
        loopback: false,
        limits: Limits::default(),
        agent_check: None,
    };
    found.set("tag.role", "balancer")?;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Invocation::Print(HELP.to_owned())),
            Arg::Short('V') | Arg::Long("version") => {
                let text = concat!("sprat-hap ", env!("CARGO_PKG_VERSION"), "\n");
                return Ok(Invocation::Print(text.to_owned()));
            }
            Arg::Long("loopback") => found.loopback = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                if !VALUED.contains(&name.as_str()) {
                    return Err(format!("unknown option --{name}"));
                }
                let value = parser.value().map_err(|error| error.to_string())?;
                let value = value.string().map_err(|error| error.to_string())?;
                found.apply(&name, &value)?;
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    found.check()?;
    Ok(Invocation::Run(Box::new(found)))
}

impl Arguments {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.config.set(key, value).map_err(|error| error.message)
    }

    fn set_for(&mut self, option: &str, key: &str, value: &str) -> Result<(), String> {
        self.set(key, value)
            .map_err(|why| format!("--{option}: {why}"))
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "backend" if !self.backend.is_empty() => {
                return Err(
                    "--backend is given twice; each backend needs its own sprat-hap".to_owned(),
                );
            }
            "backend" => self.backend = value.to_owned(),
            "haproxy" => self.haproxys.push(value.to_owned()),
            "server" => self.server_options = value.to_owned(),
            "template" => self.template = template(name, value)?,
            "server-state" => self.server_state = Some(value.to_owned()),
            "snapshot" => self.snapshot = Some(value.to_owned()),
            "control" => self.control = Some(value.to_owned()),
            "role" => self.set_for(name, "spoe_servers", value)?,
            "port" => self.set_for(name, "spoe_port", value)?,
            "networks" => self.set_for(name, "spoe_networks", value)?,
            "min-ready" => self.limits.min_ready = number(name, value, 0, 100)? as u32,
            "drain-ms" => {
                self.limits.drain = Duration::from_millis(number(name, value, 0, 86_400_000)?);
            }
            "grace-ms" => {
                self.limits.grace = Duration::from_millis(number(name, value, 0, 86_400_000)?);
            }
            "agent-check" => self.agent_check = Some(address(name, value)?),
            "spoe" => self.set_for(name, "spoe_bind", value)?,
            "join" => self.set_for(name, "seeds", value)?,
            "name" | "bind" | "advertise" | "profile" => self.set(name, value)?,
            "keyring-file" => self.set_for(name, "keyring_file", value)?,
            "tag" => {
                let (key, value) = pair(name, value)?;
                self.set(&format!("tag.{key}"), &value)?;
            }
            "set" => {
                let (key, value) = pair(name, value)?;
                self.set(&key, &value)?;
            }
            "config" => self
                .config
                .load(Path::new(value))
                .map_err(|error| error.message)?,
            _ => return Err(format!("unknown option --{name}")),
        }
        Ok(())
    }

    /// Returns the rules that decide which members are servers.
    pub fn rules(&self) -> Rules {
        Rules {
            loopback: self.loopback,
            ..self.config.spoe_rules()
        }
    }

    fn check(&mut self) -> Result<(), String> {
        if self.haproxys.is_empty() && self.backend.is_empty() {
            // There is no backend: only reports and log lines show this name.
            "members".clone_into(&mut self.backend);
        }
        if self.backend.is_empty() {
            return Err(
                "--backend is missing; it names the backend that gets the servers".to_owned(),
            );
        }
        if !is_safe_name(&self.backend) {
            return Err(format!(
                "--backend is {:?}, allowed: 1 to 255 letters, digits and _ . : -",
                self.backend
            ));
        }
        if self.server_options.contains([';', '\n']) {
            return Err(
                "--server must not contain a semicolon or a line end, which would end the command"
                    .to_owned(),
            );
        }
        if !self.template.is_empty() && self.haproxys.is_empty() {
            return Err("--template needs a --haproxy that has these servers".to_owned());
        }
        if !self.template.is_empty() && self.snapshot.is_none() {
            return Err(
                "--template needs --snapshot, which keeps the members of the slots".to_owned(),
            );
        }
        if self.template.is_empty() && (self.server_state.is_some() || self.snapshot.is_some()) {
            return Err("--server-state and --snapshot need --template".to_owned());
        }
        if self.server_state.is_some() && self.haproxys.len() != 1 {
            return Err("--server-state needs a single --haproxy".to_owned());
        }
        let answers = self.agent_check.is_some() || self.config.spoe_addr().is_some();
        if self.haproxys.is_empty() && !answers {
            return Err("nothing to do: give --haproxy, --agent-check or --spoe".to_owned());
        }
        Ok(())
    }
}

fn pair(name: &str, text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = split.ok_or_else(|| format!("--{name} is {text:?}, expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads the words of a `server-template` line, such as `app 1-16` or `app 16`. Returns the names
/// of its servers.
fn template(name: &str, text: &str) -> Result<Vec<Arc<str>>, String> {
    let wrong = || {
        format!(
            "--{name} is {text:?}, expected the words of a server-template line, such as \
             \"app 1-16\", with at most {SERVERS} servers"
        )
    };
    let (prefix, range) = text.split_once(' ').ok_or_else(wrong)?;
    let (first, last) = range.split_once('-').unwrap_or(("1", range));
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if !is_safe_name(prefix) || first > last || last - first >= SERVERS {
        return Err(wrong());
    }
    Ok((first..=last)
        .map(|n| format!("{prefix}{n}").into())
        .collect())
}

fn number(name: &str, text: &str, min: u64, max: u64) -> Result<u64, String> {
    let found = text
        .parse()
        .ok()
        .filter(|number| (min..=max).contains(number));
    found.ok_or_else(|| format!("--{name} is {text:?}, allowed: {min} to {max}"))
}

fn address(name: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("--{name} is {text:?}, expected IP:PORT"))
}
