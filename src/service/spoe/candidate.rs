//! What a member offers as a server: address, weight, what it wishes, and whether it can be one.
//!
//! Everything here comes from the network. HAProxy cuts a port of 70000 down to 4464, takes an
//! empty address for 0.0.0.0, and sends requests to whatever it is told: so all of it is checked
//! before HAProxy sees it, and what is wrong is named.

use crate::serf::{Member, MemberState};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// HAProxy's greatest weight.
pub const WEIGHT_MAX: u16 = 256;
/// The weight of a member that names none: room for smaller and greater ones.
pub const WEIGHT_DEFAULT: u16 = 100;

/// The longest name that may stand in a command line of HAProxy.
const NAME_LEN: usize = 63;

/// How a member is, as far as the cluster knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Alive,
    /// It does not answer, and may yet.
    Suspect,
    /// It is gone without a word.
    Failed,
    /// It is gone, and had said so.
    Left,
}

/// What a member wants of a load balancer (tag `state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Requests.
    Ready,
    /// No new requests.
    Drain,
    /// Nothing at all.
    Maint,
}

/// Why a member cannot be a server. Texts of its tags are as the network gave them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// Its name has characters that HAProxy's command line gives a meaning, or is too long.
    Name,
    /// It has no tag `port`, and there is no other for such members.
    NoPort,
    /// Its tag `port` is none.
    Port(Box<str>),
    /// Its tag `ip` is none.
    Ip(Box<str>),
    /// An address that nobody is served at.
    Unroutable(IpAddr),
    /// A loopback address, where that is not allowed.
    Loopback(IpAddr),
    /// An address outside the allowed networks.
    Network(IpAddr),
    /// The load balancer itself listens there: its requests would come back to it.
    Own(SocketAddr),
    /// The load balancer has a server of this name that is not for members.
    Taken,
}

impl Unfit {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Unfit::Name => format!(
                "its name may not stand in a command of HAProxy, allowed: 1 to {NAME_LEN} letters, \
                 digits and _ . : -"
            ),
            Unfit::NoPort => "it has no tag port".to_owned(),
            Unfit::Port(text) => format!("its tag port is {text:?}, allowed: 1 to 65535"),
            Unfit::Ip(text) => format!("its tag ip is {text:?}, expected an IP address"),
            Unfit::Unroutable(ip) => format!("nobody can be served at {ip}"),
            Unfit::Loopback(ip) => format!("{ip} is a loopback address, which is not allowed here"),
            Unfit::Network(ip) => format!("{ip} is in none of the allowed networks"),
            Unfit::Own(addr) => format!("{addr} is this load balancer itself"),
            Unfit::Taken => "a server that was not made for members has its name".to_owned(),
        }
    }
}

/// A tag that is not what it should be, and not needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// The tag `weight`, and the weight that is taken for it.
    Weight(Box<str>, u16),
    /// The tag `state`.
    State(Box<str>),
}

impl Ignored {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Ignored::Weight(text, taken) => {
                format!("its tag weight is {text:?}, allowed: 0 to {WEIGHT_MAX}; {taken} is taken")
            }
            Ignored::State(text) => {
                format!("its tag state is {text:?}, allowed: ready, drain, maint; ready is taken")
            }
        }
    }
}

/// A member as a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: Arc<str>,
    /// How it is.
    pub presence: Presence,
    /// Where it serves, or why it cannot.
    pub addr: Result<SocketAddr, Unfit>,
    /// Its weight, 1 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// What it wants.
    pub desired: Desired,
    /// What it says that makes no sense.
    pub ignored: Vec<Ignored>,
}

impl Candidate {
    /// Is it there, as far as anybody knows?
    pub fn is_there(&self) -> bool {
        matches!(self.presence, Presence::Alive | Presence::Suspect)
    }
}

/// Which members are servers, and what is assumed of those that do not say.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Tag and value that a server has.
    pub tag: (String, String),
    /// The port of one that names none.
    pub port: Option<u16>,
    /// Addresses of this host itself serve, too: for tests on one machine.
    pub loopback: bool,
    /// Servers are in one of these; empty: anywhere.
    pub networks: Vec<IpNet>,
    /// Where the load balancer itself listens.
    pub own: Vec<SocketAddr>,
    /// Names of its servers that are not for members.
    pub taken: BTreeSet<String>,
}

impl Rules {
    /// A member as a server; `None` if it has another role.
    ///
    /// Its tags: `port`; `ip` if it serves elsewhere than it listens for the cluster; `weight`, 0
    /// to 256; `state`: `ready`, `drain` or `maint`. Who has the weight 0 drains.
    pub fn candidate(&self, member: &Member) -> Option<Candidate> {
        let tag = |key: &str| member.tags.get(key).map(String::as_str);
        let (key, wanted) = &self.tag;
        if tag(key) != Some(wanted) {
            return None;
        }
        let mut ignored = Vec::new();
        let weight = weight(tag("weight"), &mut ignored);
        let desired = match desired(tag("state"), &mut ignored) {
            Desired::Ready if weight == 0 => Desired::Drain,
            desired => desired,
        };
        Some(Candidate {
            name: member.name.clone(),
            presence: presence(member.state),
            addr: self.addr(&member.name, member.addr.ip(), tag("ip"), tag("port")),
            weight: weight.max(1), // for one that may not go: without a weight nobody would serve
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
        if self.taken.contains(name) {
            return Err(Unfit::Taken);
        }
        let ip = match ip {
            Some(text) => text.parse().map_err(|_| Unfit::Ip(text.into()))?,
            None => own,
        };
        let port = match port {
            // Digits alone: a sign is a port map for HAProxy 3.
            Some(text) => (text.bytes().all(|c| c.is_ascii_digit()))
                .then(|| text.parse().ok().filter(|port| *port != 0))
                .flatten()
                .ok_or_else(|| Unfit::Port(text.into()))?,
            None => self.port.ok_or(Unfit::NoPort)?,
        };
        // ::ffff:127.0.0.1 is a loopback address, too.
        let addr = SocketAddr::new(ip.to_canonical(), port);
        self.objection(addr).map_or(Ok(addr), Err)
    }

    /// Why no server may be at this address; `None` if one may.
    pub fn objection(&self, addr: SocketAddr) -> Option<Unfit> {
        let ip = addr.ip();
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || broadcast {
            return Some(Unfit::Unroutable(ip));
        }
        if ip.is_loopback() && !self.loopback {
            return Some(Unfit::Loopback(ip));
        }
        if !self.networks.is_empty() && !self.networks.iter().any(|it| it.contains(&ip)) {
            return Some(Unfit::Network(ip));
        }
        self.own.contains(&addr).then_some(Unfit::Own(addr))
    }
}

/// Is this member there, as far as anybody knows?
pub fn is_present(member: &Member) -> bool {
    matches!(presence(member.state), Presence::Alive | Presence::Suspect)
}

fn presence(state: MemberState) -> Presence {
    match state {
        MemberState::Alive | MemberState::Leaving => Presence::Alive,
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

/// May this name stand in a command line of HAProxy? It splits them at semicolons, spaces and line
/// ends, and names come from the network.
pub fn is_safe_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.:-".contains(&c);
    (1..=NAME_LEN).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::Tags;

    fn rules() -> Rules {
        Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        }
    }

    fn member(name: &str, tags: &[(&str, &str)]) -> Member {
        let role = ("role".to_owned(), "backend".to_owned());
        let others = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Member {
            name: name.into(),
            addr: "10.0.0.5:7946".parse().unwrap(),
            tags: Arc::new([role].into_iter().chain(others).collect::<Tags>()),
            meta: Arc::new([]),
            state: MemberState::Alive,
            incarnation: 1,
            protocol: [1, 5, 2],
            delegate: [2, 5, 5],
        }
    }

    fn addr(tags: &[(&str, &str)]) -> Result<String, Unfit> {
        let found = rules().candidate(&member("web-1", tags)).unwrap();
        found.addr.map(|addr| addr.to_string())
    }

    #[test]
    fn a_server_is_where_its_tags_say() {
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
                Err(_) => assert_eq!(why, Unfit::Ip(ip.into())),
            }
        }
        let text = Unfit::Port("7\n".into()).text();
        assert_eq!(text, "its tag port is \"7\\n\", allowed: 1 to 65535");
    }

    #[test]
    fn servers_are_in_the_allowed_networks_and_not_the_load_balancer_itself() {
        let mut rules = rules();
        rules.networks = vec!["10.0.0.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
        rules.own = vec!["10.0.0.1:80".parse().unwrap()];
        let objection = |addr: &str| rules.objection(addr.parse().unwrap());
        assert_eq!(objection("10.0.0.5:80"), None);
        assert_eq!(objection("10.0.0.1:3000"), None, "beside the load balancer");
        assert_eq!(objection("[fd00::7]:80"), None);
        let outside = "10.0.1.5".parse().unwrap();
        assert_eq!(objection("10.0.1.5:80"), Some(Unfit::Network(outside)));
        let own = "10.0.0.1:80".parse().unwrap();
        assert_eq!(objection("10.0.0.1:80"), Some(Unfit::Own(own)));
        rules.taken = ["fixed".to_owned()].into();
        let named = rules.candidate(&member("fixed", &[("port", "80")]));
        assert_eq!(named.unwrap().addr, Err(Unfit::Taken));
    }

    #[test]
    fn names_that_haproxy_would_obey_are_refused() {
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
        assert!(is_safe_name("web-1.example.com:80_x") && is_safe_name(&"n".repeat(63)));
        assert!(!is_safe_name(&"n".repeat(64)));
    }

    #[test]
    fn weights_are_bounded_and_wishes_understood() {
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
        let wishes = ["drain", "maint", "ready", "", "Drain"].map(|it| found("state", it).desired);
        let (serve, drain) = (Desired::Ready, Desired::Drain);
        assert_eq!(wishes, [drain, Desired::Maint, serve, serve, drain]);
        let typo = found("state", "drian");
        assert_eq!(typo.desired, Desired::Ready);
        assert_eq!(typo.ignored, [Ignored::State("drian".into())]);
        let light = found("weight", "0");
        assert_eq!(
            light.desired,
            Desired::Drain,
            "HAProxy gives it nothing new"
        );
    }

    #[test]
    fn members_of_another_role_are_no_servers() {
        let mut other = member("a", &[("port", "80")]);
        other.tags = Arc::new(Tags::new());
        assert_eq!(rules().candidate(&other), None);
    }
}
