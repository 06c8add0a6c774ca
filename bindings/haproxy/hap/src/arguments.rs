//! The command line.

use lexopt::{Arg, Parser, ValueExt as _};
use sprat::Config;
use sprat::service::spoe::candidate::{Rules, is_safe_name};
use sprat_haproxy::balance::Limits;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const HELP: &str = "\
Be a member of a Serf or sprat cluster, and make its members servers of HAProxys that cannot load
the module: over their runtime API, with the level admin.

  sprat-hap --backend nodes --haproxy /run/haproxy.sock --join 10.0.0.5,10.0.0.6

What it drives:
  --backend NAME         the backend whose servers these are; one for each sprat-hap
  --haproxy PATH|IP:PORT a runtime API; repeat it for several HAProxys
  --server OPTIONS       what follows the address in `add server`  [check inter 1s fall 2]

Who serves:
  --role KEY=VALUE       tag of the members that serve  [role=backend]
  --port N               port of members that name none
  --networks CIDR,...    servers are in one of these networks
  --loopback             servers on this host may be given by loopback addresses
  --min-ready PERCENT    of the known members that stay ready whatever fails  [50]
  --drain-ms N           how long a member that has left is drained  [30000]

What it answers:
  --agent-check IP:PORT  agent checks: `agent-send` is the name of the member, and its server has
                         `weight 100`, of which HAProxy takes the percentage that is answered
  --spoe IP:PORT         SPOE messages: pick, member, size, leader, tag

Itself as a member:
  --name NAME            [the host name]
  --bind IP:PORT         where it listens for the cluster, UDP and TCP  [0.0.0.0:7946]
  --advertise IP:PORT    where others reach it, if that is elsewhere
  --join ADDRESS,...     members to join, asked until they answer
  --profile NAME         lan, wan or local  [lan]
  --keyring-file FILE    keys of an encrypted cluster, as Serf keeps them
  --tag KEY=VALUE        a tag of its own, repeat it for several  [role=balancer]
  --set KEY=VALUE        any other setting of the library
  --config FILE          settings of the library, one in a line: key = value

  -h, --help; -V, --version

It leaves the cluster on SIGTERM and SIGINT; servers stay as they are then, and are taken up again
when it is started again. SIGUSR1 has it say who is there, and what is wrong. SIGUSR2 tells it that
all is well when it takes nobody away, because most of the cluster is out of sight.
Exit codes: 0 done, 1 failed, 2 wrong usage.
";

/// Options that have a value.
const VALUED: [&str; 19] = [
    "backend",
    "haproxy",
    "server",
    "role",
    "port",
    "networks",
    "min-ready",
    "drain-ms",
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

/// What is asked for.
pub enum Asked {
    ToRun(Box<Arguments>),
    ToTell(String),
}

/// The options.
pub struct Arguments {
    pub config: Config,
    pub backend: String,
    pub haproxys: Vec<String>,
    pub server_options: String,
    pub loopback: bool,
    pub limits: Limits,
    pub agent_check: Option<SocketAddr>,
}

/// Reads the command line.
pub fn parse(mut parser: Parser) -> Result<Asked, String> {
    let mut found = Arguments {
        config: Config::new(),
        backend: String::new(),
        haproxys: Vec::new(),
        server_options: "check inter 1s fall 2".to_owned(),
        loopback: false,
        limits: Limits::default(),
        agent_check: None,
    };
    found.set("tag.role", "balancer")?;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::ToTell(HELP.to_owned())),
            Arg::Short('V') | Arg::Long("version") => {
                let text = concat!("sprat-hap ", env!("CARGO_PKG_VERSION"), "\n");
                return Ok(Asked::ToTell(text.to_owned()));
            }
            Arg::Long("loopback") => found.loopback = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                if !VALUED.contains(&name.as_str()) {
                    return Err(format!("there is no option --{name}"));
                }
                let value = parser.value().map_err(|error| error.to_string())?;
                let value = value.string().map_err(|error| error.to_string())?;
                found.take(&name, &value)?;
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    found.check()?;
    Ok(Asked::ToRun(Box::new(found)))
}

impl Arguments {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.config.set(key, value).map_err(|error| error.message)
    }

    fn set_for(&mut self, option: &str, key: &str, value: &str) -> Result<(), String> {
        self.set(key, value)
            .map_err(|why| format!("--{option}: {why}"))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "backend" if !self.backend.is_empty() => {
                return Err("--backend is given twice; each backend needs a sprat-hap".to_owned());
            }
            "backend" => self.backend = value.to_owned(),
            "haproxy" => self.haproxys.push(value.to_owned()),
            "server" => self.server_options = value.to_owned(),
            "role" => self.set_for(name, "spoe_servers", value)?,
            "port" => self.set_for(name, "spoe_port", value)?,
            "networks" => self.set_for(name, "spoe_networks", value)?,
            "min-ready" => self.limits.min_ready = number(name, value, 0, 100)? as u32,
            "drain-ms" => {
                self.limits.drain = Duration::from_millis(number(name, value, 0, 86_400_000)?);
            }
            "agent-check" => self.agent_check = Some(address(name, value)?),
            "spoe" => self.set("spoe_bind", value)?,
            "join" => self.set("seeds", value)?,
            "name" | "bind" | "advertise" | "profile" => self.set(name, value)?,
            "keyring-file" => self.set("keyring_file", value)?,
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
            _ => return Err(format!("there is no option --{name}")),
        }
        Ok(())
    }

    /// Which members serve.
    pub fn rules(&self) -> Rules {
        self.config.spoe_rules(self.loopback)
    }

    fn check(&mut self) -> Result<(), String> {
        if self.haproxys.is_empty() && self.backend.is_empty() {
            "members".clone_into(&mut self.backend); // only reports name it
        }
        if self.backend.is_empty() {
            return Err(
                "--backend is missing: the backend whose servers the members are".to_owned(),
            );
        }
        if !is_safe_name(&self.backend) {
            return Err(format!(
                "--backend is {:?}, which is no name of a backend",
                self.backend
            ));
        }
        if self.server_options.contains([';', '\n']) {
            return Err(
                "--server holds a semicolon or a line end, which ends a command".to_owned(),
            );
        }
        let spoe = self.config.get("spoe_bind").unwrap_or_default();
        let answers = self.agent_check.is_some() || !spoe.is_empty();
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
