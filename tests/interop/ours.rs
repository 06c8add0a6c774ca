//! A sprat node of a mixed cluster: a [`Node`] and the events that it has reported.

use super::agent::PORT;
use super::wait::{PATIENCE, until};
use sprat::serf::{Member, MemberState};
use sprat::{Config, Node};
use sprat::{EventBody, EventKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

/// The parts of an event that these tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The kind of event.
    pub kind: EventKind,
    /// The name of the member; empty if the event is not about a member.
    pub name: String,
}

/// A sprat node. Dropping it shuts it down without leaving.
pub struct Ours {
    node: Node,
    heard: Mutex<Vec<Heard>>,
    /// The lines of the node's log; empty unless the node's log level is set.
    log: Mutex<Vec<String>>,
}

/// The settings of a node that listens at `ip`.
pub fn config(name: &str, ip: IpAddr) -> Config {
    config_at(name, SocketAddr::new(ip, PORT))
}

/// The settings of a node that listens at `addr`.
pub fn config_at(name: &str, addr: SocketAddr) -> Config {
    let mut config = Config::new();
    config.set("name", name).unwrap();
    config.set("bind", &addr.to_string()).unwrap();
    config
}

impl Ours {
    /// Starts a node with default settings and one tag.
    pub fn start(name: &str, ip: IpAddr) -> Ours {
        let mut config = config(name, ip);
        config.set_tag("kind", Some("sprat")).unwrap();
        Ours::with(&config)
    }

    /// Starts a node with these settings. It may take the port of a node that has just ended: then
    /// the child of another test, which has not yet begun its program, may still hold the sockets.
    pub fn with(config: &Config) -> Ours {
        let mut started = None;
        until("the node starts", || match Node::start(config) {
            Ok(node) => {
                started = Some(node);
                Ok(())
            }
            Err(why) if why.message.contains("Address already in use") => Err(why.message),
            Err(why) => panic!("start: {why}"),
        });
        Ours {
            node: started.expect("the node has started"),
            heard: Mutex::new(Vec::new()),
            log: Mutex::new(Vec::new()),
        }
    }

    /// The [`Node`] that this struct wraps.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The address at which other nodes join this node.
    pub fn addr(&self) -> SocketAddr {
        self.node.addr()
    }

    /// Joins through one address; panics if that fails.
    pub fn join(&self, to: SocketAddr) {
        let joined = self.node.join(&[&to.to_string()], Some(PATIENCE));
        assert_eq!(joined.unwrap_or_else(|why| panic!("join {to}: {why}")), 1);
    }

    /// A member by name.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.node.member(name)
    }

    /// The state of a member.
    pub fn state(&self, name: &str) -> Option<MemberState> {
        self.member(name).map(|member| member.state)
    }

    /// A tag of a member.
    pub fn tag(&self, name: &str, key: &str) -> Option<String> {
        Some(self.member(name)?.tags().get(key)?.into_owned())
    }

    /// All events so far except log lines, oldest first.
    pub fn heard(&self) -> Vec<Heard> {
        let mut heard = self.heard.lock().unwrap();
        while let Some(event) = self.node.next_event(Some(Duration::ZERO)).ok().flatten() {
            if let EventBody::Log { text, .. } = event.body {
                self.log.lock().unwrap().push(text);
                continue;
            }
            let member = event.member().map(|member| member.name.to_string());
            heard.push(Heard {
                kind: event.kind(),
                name: member.unwrap_or_default(),
            });
        }
        heard.clone()
    }

    /// The lines of the node's log so far, oldest first.
    pub fn logged(&self) -> Vec<String> {
        self.heard();
        self.log.lock().unwrap().clone()
    }

    /// The number of events of this kind about this member.
    pub fn count(&self, kind: EventKind, name: &str) -> usize {
        let wanted = Heard {
            kind,
            name: name.to_owned(),
        };
        self.heard()
            .iter()
            .filter(|heard| **heard == wanted)
            .count()
    }

    /// Waits until at least `times` events of this kind about this member have arrived.
    pub fn hears(&self, kind: EventKind, name: &str, times: usize) {
        let me = self.node.name();
        until(&format!("{me} hears {kind:?} of {name}"), || {
            match self.count(kind, name) {
                count if count >= times => Ok(()),
                _ => Err(format!("it heard {:?}", self.heard())),
            }
        });
    }

    /// Waits until the member is in this state.
    pub fn sees(&self, name: &str, state: MemberState) {
        let me = self.node.name();
        until(&format!("{me} sees {name} {state:?}"), || {
            match self.state(name) {
                Some(found) if found == state => Ok(()),
                other => Err(format!("it sees {other:?}")),
            }
        });
    }

    /// Waits until the node lists exactly these members, all of them alive.
    pub fn sees_alive(&self, names: &[&str]) {
        let me = self.node.name();
        until(&format!("{me} sees all members alive"), || {
            let members = self.node.members();
            let not_alive = |name: &&&str| {
                let found = members.iter().find(|member| &*member.name == **name);
                found.is_none_or(|member| member.state != MemberState::Alive)
            };
            match names.iter().find(not_alive) {
                None if members.len() == names.len() => Ok(()),
                None => Err(format!(
                    "it lists {} members, expected {}",
                    members.len(),
                    names.len()
                )),
                Some(name) => Err(format!("{name} is {:?}", self.state(name))),
            }
        });
    }

    /// The value of the counter that has this name.
    pub fn counter(&self, name: &str) -> i64 {
        let stats = self.node.stats();
        let found = stats.iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).value
    }

    /// The nonzero counters of refused messages and name conflicts. The counter of acks and nacks
    /// that answer no ping of this node is left out.
    pub fn refusals(&self) -> Vec<(&'static str, i64)> {
        let refused = |name: &str| name.starts_with("refused_") || name.starts_with("conflicts");
        let stray = |name: &str| name == "refused_unknown_sequence";
        let stats = self.node.stats().into_iter();
        stats
            .filter(|it| refused(it.name) && !stray(it.name) && it.value > 0)
            .map(|it| (it.name, it.value))
            .collect()
    }

    /// Shuts the node down without leaving, as a crash does.
    pub fn kill(self) {
        self.node.shutdown();
    }

    /// Leaves the cluster and shuts the node down.
    pub fn leave(self) {
        self.node
            .leave(Some(PATIENCE))
            .unwrap_or_else(|why| panic!("leave: {why}"));
        self.node.shutdown();
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = self.node.name().to_owned();
            let members = self.node.members();
            let seen: Vec<_> = members.iter().map(|m| (m.name.as_ref(), m.state)).collect();
            eprintln!(
                "--- {name} sees {seen:?}\n--- and has heard {:?}",
                self.heard()
            );
        }
        self.node.shutdown();
    }
}
