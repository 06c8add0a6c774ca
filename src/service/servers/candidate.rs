//! A member as a server for HAProxy: its address, weight and desired state, and whether it can be a
//! server.
//!
//! All of it comes from the network. HAProxy truncates a port of 70000 to 4464, reads an empty
//! address as 0.0.0.0, and sends requests to any address it is given. So everything is checked
//! before HAProxy sees it, and every problem has a description.

use crate::networks;
use crate::serf::{Member, MemberState};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The greatest weight of a server in HAProxy.
pub const WEIGHT_MAX: u16 = 256;
/// The weight of a member without a tag `weight`. It leaves room for smaller and greater weights.
pub const WEIGHT_DEFAULT: u16 = 100;

/// The longest name of a server, in bytes: the longest name of a member. HAProxy itself has no
/// limit.
const NAME_LEN: usize = 255;

/// The presence of a member, as far as this node knows. The presences that are fitter for requests
/// come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It takes part in the cluster.
    Alive,
    /// It does not answer, but may still do so.
    Suspect,
    /// It has announced its leave.
    Leaving,
    /// It was declared failed.
    Failed,
    /// It has left the cluster.
    Left,
}

impl Presence {
    /// Returns true if the member takes part in the cluster, as far as this node knows.
    pub fn is_there(self) -> bool {
        match self {
            Presence::Alive | Presence::Suspect | Presence::Leaving => true,
            Presence::Failed | Presence::Left => false,
        }
    }
}

/// The state that a member asks for in a load balancer (tag `state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It gets requests.
    Ready,
    /// It gets no new requests; those under way go on.
    Drain,
    /// It gets no requests at all.
    Maint,
}

/// The reason why a member cannot be a server. The texts of tags come from the network and can hold
/// any characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// Its name is too long, or has characters that are not allowed in a command to HAProxy.
    Name,
    /// It has no tag `port`, and there is no default port.
    NoPort,
    /// Its tag `port` is not a port.
    Port(Box<str>),
    /// Its tag `ip` is not an address.
    Ip(Box<str>),
    /// No server can have its address, for example because it is unspecified or multicast.
    Unroutable(IpAddr),
    /// Its address is a loopback address, and those are not allowed.
    Loopback(IpAddr),
    /// Its address is outside the allowed networks.
    Network(IpAddr),
    /// The load balancer itself listens at its address: requests would come back to it.
    Own(SocketAddr),
    /// Its name is that of a server that was not made for members.
    Taken,
}

impl Unfit {
    /// A description for people.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn text(&self) -> String {
        match self {
            Unfit::Name => format!(
                "its name cannot be used in a command to HAProxy; allowed: 1 to {NAME_LEN} \
                 letters, digits and _ . : -"
            ),
            Unfit::NoPort => "it has no tag port".to_owned(),
            Unfit::Port(text) => format!("its tag port is {text:?}, allowed: 1 to 65535"),
            Unfit::Ip(text) => format!("its tag ip is {text:?}, expected an IP address"),
            Unfit::Unroutable(ip) => format!("{ip} cannot be the address of a server"),
            Unfit::Loopback(ip) => format!("{ip} is a loopback address, which is not allowed here"),
            Unfit::Network(ip) => format!("{ip} is in none of the allowed networks"),
            Unfit::Own(addr) => format!("{addr} is this load balancer itself"),
            Unfit::Taken => "a server that was not made for members has its name".to_owned(),
        }
    }
}

/// An optional tag whose value is invalid and was replaced by a valid one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// The tag `weight`, and the weight that is used instead.
    Weight(Box<str>, u16),
    /// The tag `state`.
    State(Box<str>),
}

impl Ignored {
    /// A description for people.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn text(&self) -> String {
        match self {
            Ignored::Weight(text, taken) => {
                format!("its tag weight is {text:?}, allowed: 0 to {WEIGHT_MAX}; using {taken}")
            }
            Ignored::State(text) => {
                format!("its tag state is {text:?}, allowed: ready, drain, maint; using ready")
            }
        }
    }
}

/// A member as a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: Arc<str>,
    /// Its presence in the cluster.
    pub presence: Presence,
    /// The address at which it serves, or the reason why it cannot.
    pub addr: Result<SocketAddr, Unfit>,
    /// Its weight, 1 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// The state that it asks for.
    pub desired: Desired,
    /// Its optional tags with invalid values.
    pub ignored: Vec<Ignored>,
}

impl Candidate {
    /// Returns true if the member takes part in the cluster, as far as this node knows.
    pub fn is_there(&self) -> bool {
        self.presence.is_there()
    }
}

/// The rules by which members are servers, and the defaults for missing tags.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The tag that a server has, and its value.
    pub tag: (String, String),
    /// The port of members without a tag `port`; if it is `None`, such members cannot be servers.
    pub port: Option<u16>,
    /// True if servers may have loopback addresses, for tests on one machine.
    pub loopback: bool,
    /// The networks that servers must be in; an empty list allows any address.
    pub networks: Vec<IpNet>,
    /// The addresses at which the load balancer itself listens.
    pub own: Vec<SocketAddr>,
    /// The names of the load balancer's servers that are not meant for members.
    pub reserved: BTreeSet<String>,
}

impl Rules {
    /// A member as a server; `None` if it does not have the tag of servers.
    ///
    /// Other tags of a server are `port`; `ip`, if it serves at an address other than its address
    /// in the cluster; `weight`, 0 to 256; and `state`, one of `ready`, `drain` and `maint`. A
    /// member with the weight 0 drains, unless its state is `maint`.
    pub fn candidate(&self, member: &Member) -> Option<Candidate> {
        let tag = |key: &str| member.tags().get(key);
        let (key, wanted) = &self.tag;
        if tag(key).is_none_or(|value| value != *wanted) {
            return None;
        }
        let mut ignored = Vec::new();
        let weight = weight(tag("weight").as_deref(), &mut ignored);
        let desired = match desired(tag("state").as_deref(), &mut ignored) {
            Desired::Ready if weight == 0 => Desired::Drain,
            desired => desired,
        };
        Some(Candidate {
            name: member.name.clone(),
            presence: presence(member.state),
            addr: self.addr(
                &member.name,
                member.addr.ip(),
                tag("ip").as_deref(),
                tag("port").as_deref(),
            ),
            weight: weight.max(1), // if the member has to serve after all, it needs a weight
            desired,
            ignored,
        })
    }

    fn addr(
        &self,
        name: &str,
        own: IpAddr,
        ip: Option<&str>,
        port: Option<&str>,
    ) -> Result<SocketAddr, Unfit> {
        if !is_safe_name(name) {
            return Err(Unfit::Name);
        }
        if self.reserved.contains(name) {
            return Err(Unfit::Taken);
        }
        let ip = match ip {
            Some(text) => text.parse().map_err(|_| Unfit::Ip(text.into()))?,
            None => own,
        };
        let port = match port {
            // Only digits are allowed: HAProxy 3 reads a sign as a port mapping.
            Some(text) => (text.bytes().all(|c| c.is_ascii_digit()))
                .then(|| text.parse().ok().filter(|port| *port != 0))
                .flatten()
                .ok_or_else(|| Unfit::Port(text.into()))?,
            None => self.port.ok_or(Unfit::NoPort)?,
        };
        // The IPv6 form ::ffff:127.0.0.1 is a loopback address as well.
        let addr = SocketAddr::new(ip.to_canonical(), port);
        self.objection(addr).map_or(Ok(addr), Err)
    }

    /// The reason why no server may have this address; `None` if the address is allowed.
    pub fn objection(&self, addr: SocketAddr) -> Option<Unfit> {
        let ip = addr.ip();
        if networks::unreachable(ip).is_some() {
            return Some(Unfit::Unroutable(ip));
        }
        if ip.is_loopback() && !self.loopback {
            return Some(Unfit::Loopback(ip));
        }
        if !networks::allow(&self.networks, ip) {
            return Some(Unfit::Network(ip));
        }
        self.own.contains(&addr).then_some(Unfit::Own(addr))
    }
}

/// Returns true if this member takes part in the cluster, as far as this node knows.
pub fn is_present(member: &Member) -> bool {
    presence(member.state).is_there()
}

fn presence(state: MemberState) -> Presence {
    match state {
        MemberState::Alive => Presence::Alive,
        MemberState::Leaving => Presence::Leaving,
        MemberState::Suspect => Presence::Suspect,
        MemberState::Failed => Presence::Failed,
        MemberState::Left => Presence::Left,
    }
}

fn weight(tag: Option<&str>, ignored: &mut Vec<Ignored>) -> u16 {
    let Some(text) = tag else {
        return WEIGHT_DEFAULT;
    };
    let given = text.parse::<i64>();
    let taken = match given {
        Ok(weight) => weight.clamp(0, WEIGHT_MAX.into()) as u16,
        Err(_) => WEIGHT_DEFAULT,
    };
    if given != Ok(taken.into()) {
        ignored.push(Ignored::Weight(text.into(), taken));
    }
    taken
}

fn desired(tag: Option<&str>, ignored: &mut Vec<Ignored>) -> Desired {
    let text = tag.unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "drain" => Desired::Drain,
        "maint" => Desired::Maint,
        "" | "ready" => Desired::Ready,
        _ => {
            ignored.push(Ignored::State(text.into()));
            Desired::Ready
        }
    }
}

/// Returns true if a command to HAProxy can safely contain this name. HAProxy splits commands at
/// semicolons, spaces and line ends, and names come from the network.
pub fn is_safe_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.:-".contains(&c);
    (1..=NAME_LEN).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::{NodeFacts, encode_tags};

    fn rules() -> Rules {
        Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        }
    }

    fn member(name: &str, tags: &[(&str, &str)]) -> Member {
        let role = ("role".to_owned(), "backend".to_owned());
        let others = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let facts = NodeFacts {
            meta: encode_tags(&[role].into_iter().chain(others).collect()).into(),
            ..NodeFacts::new(name, "10.0.0.5:7946".parse().unwrap())
        };
        Member::with_tags(Arc::new(facts), MemberState::Alive)
    }

    fn addr(tags: &[(&str, &str)]) -> Result<String, Unfit> {
        let found = rules().candidate(&member("web-1", tags)).unwrap();
        found.addr.map(|addr| addr.to_string())
    }

    #[test]
    fn the_address_of_a_server_follows_from_its_tags() {
        assert_eq!(addr(&[("port", "3000")]).unwrap(), "10.0.0.5:3000");
        let elsewhere = [("port", "1"), ("ip", "fd00::7")];
        assert_eq!(addr(&elsewhere).unwrap(), "[fd00::7]:1");
        let mut rules = rules();
        rules.port = Some(80);
        let found = rules.candidate(&member("web-1", &[])).unwrap();
        assert_eq!(found.addr.unwrap().port(), 80);
    }

    #[test]
    fn ports_and_addresses_that_haproxy_would_misunderstand_are_refused() {
        for port in [
            "70000",
            "0",
            "abc",
            "-1",
            "+10",
            "",
            " 80",
            "80 ",
            "4294967376",
        ] {
            let why = Unfit::Port(port.into());
            assert_eq!(addr(&[("port", port)]), Err(why), "{port:?}");
        }
        assert_eq!(addr(&[]), Err(Unfit::NoPort));
        let refused = [
            "",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "127.0.0.1",
            "::1",
            "localhost",
            "999.1.1.1",
            "fe80::1%eth0",
            "10.0.0.1:80",
            "10.0.0.1\0",
        ];
        for ip in refused {
            let tags = [("port", "80"), ("ip", ip)];
            let why = addr(&tags).unwrap_err();
            match ip.parse::<IpAddr>() {
                Ok(ip) if ip.is_loopback() => assert_eq!(why, Unfit::Loopback(ip)),
                Ok(ip) => assert_eq!(why, Unfit::Unroutable(ip)),
                Err(_) => assert_eq!(why, Unfit::Ip(ip.replace('\0', "\\x00").into())),
            }
        }
        let text = Unfit::Port("7\n".into()).text();
        assert_eq!(text, "its tag port is \"7\\n\", allowed: 1 to 65535");
    }

    #[test]
    fn addresses_outside_the_networks_and_those_of_the_load_balancer_are_refused() {
        let mut rules = rules();
        rules.networks = vec!["10.0.0.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
        rules.own = vec!["10.0.0.1:80".parse().unwrap()];
        let objection = |addr: &str| rules.objection(addr.parse().unwrap());
        assert_eq!(objection("10.0.0.5:80"), None);
        assert_eq!(
            objection("10.0.0.1:3000"),
            None,
            "another port of the load balancer is allowed"
        );
        assert_eq!(objection("[fd00::7]:80"), None);
        let outside = "10.0.1.5".parse().unwrap();
        assert_eq!(objection("10.0.1.5:80"), Some(Unfit::Network(outside)));
        let own = "10.0.0.1:80".parse().unwrap();
        assert_eq!(objection("10.0.0.1:80"), Some(Unfit::Own(own)));
        rules.reserved = ["fixed".to_owned()].into();
        let named = rules.candidate(&member("fixed", &[("port", "80")]));
        assert_eq!(named.unwrap().addr, Err(Unfit::Taken));
    }

    #[test]
    fn names_that_a_command_to_haproxy_must_not_contain_are_refused() {
        for name in [
            "a;show version;x",
            "a b",
            "a\nb",
            "a'b",
            "a\"b",
            "ä",
            "",
            "a/b",
            "a#b",
        ] {
            assert!(!is_safe_name(name), "{name:?}");
            let found = rules().candidate(&member(name, &[("port", "80")])).unwrap();
            assert_eq!(found.addr, Err(Unfit::Name));
        }
        assert!(is_safe_name("web-1.example.com:80_x") && is_safe_name(&"n".repeat(255)));
        assert!(!is_safe_name(&"n".repeat(256)));
    }

    #[test]
    fn weights_are_bounded_and_desired_states_are_read() {
        let found = |key, value| rules().candidate(&member("a", &[(key, value)])).unwrap();
        let weights = [
            "0",
            "50",
            "256",
            "257",
            "-1",
            "x",
            "",
            "50.0",
            "99999999999999999999",
        ];
        let found_weights = weights.map(|it| found("weight", it).weight);
        assert_eq!(found_weights, [1, 50, 256, 256, 1, 100, 100, 100, 100]);
        let named = weights.map(|it| found("weight", it).ignored.len());
        assert_eq!(named, [0, 0, 0, 1, 1, 1, 1, 1, 1]);
        let desired = ["drain", "maint", "ready", "", "Drain"].map(|it| found("state", it).desired);
        let (serve, drain) = (Desired::Ready, Desired::Drain);
        assert_eq!(desired, [drain, Desired::Maint, serve, serve, drain]);
        let typo = found("state", "drian");
        assert_eq!(typo.desired, Desired::Ready);
        assert_eq!(typo.ignored, [Ignored::State("drian".into())]);
        let light = found("weight", "0");
        assert_eq!(light.desired, Desired::Drain, "weight 0 means drain");
    }

    #[test]
    fn members_without_the_tag_of_servers_are_not_servers() {
        let mut other = member("a", &[("port", "80")]);
        other = Member::without_tags(Arc::new(NodeFacts::clone(&other)), MemberState::Alive);
        assert_eq!(rules().candidate(&other), None);
    }
}
