//! What a member offers as a server: address, weight, what it wishes, and whether it can be one.
//!
//! Everything here comes from the network. HAProxy cuts a port of 70000 down to 4464, takes an
//! empty address for 0.0.0.0, and sends requests to whatever it is told: so all of it is checked
//! before HAProxy sees it, and what is wrong is named.

use crate::serf::{Member, MemberState};
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
pub enum Wish {
    /// Requests.
    Serve,
    /// No new requests.
    Drain,
    /// Nothing at all.
    Maintenance,
}

/// Why a member cannot be a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its name has characters that HAProxy's command line gives a meaning, or is too long.
    Name,
    /// It names no port, or none from 1 to 65535.
    Port,
    /// It names an address that is none, or that nobody is served at.
    Address,
}

impl Unfit {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Unfit::Name => "its name has characters that HAProxy gives a meaning, or is too long",
            Unfit::Port => "it names no port from 1 to 65535",
            Unfit::Address => "it names no address that can be served at",
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
    /// Its weight, 0 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// What it wants.
    pub wish: Wish,
}

impl Candidate {
    /// Is it there, as far as anybody knows?
    pub fn is_there(&self) -> bool {
        matches!(self.presence, Presence::Alive | Presence::Suspect)
    }
}

/// Which members are servers, and what is assumed of those that do not say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Tag and value that a server has.
    pub tag: (String, String),
    /// The port of one that names none.
    pub port: Option<u16>,
    /// Addresses of this host itself serve, too: for tests on one machine.
    pub loopback: bool,
}

impl Rules {
    /// A member as a server; `None` if it has another role.
    ///
    /// Its tags: `port`; `ip` if it serves elsewhere than it listens for the cluster; `weight`, 0
    /// to 256; `state`, which may be `drain` or `maint`.
    pub fn candidate(&self, member: &Member) -> Option<Candidate> {
        let tag = |key: &str| member.tags.get(key).map(String::as_str);
        let (key, wanted) = &self.tag;
        if tag(key) != Some(wanted) {
            return None;
        }
        Some(Candidate {
            name: member.name.clone(),
            presence: presence(member.state),
            addr: self.addr(&member.name, member.addr.ip(), tag("ip"), tag("port")),
            weight: tag("weight").map_or(WEIGHT_DEFAULT, weight),
            wish: match tag("state") {
                Some("drain") => Wish::Drain,
                Some("maint") => Wish::Maintenance,
                Some(_) | None => Wish::Serve,
            },
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
        let ip = match ip {
            Some(text) => text.parse().map_err(|_| Unfit::Address)?,
            None => own,
        };
        let ip = ip.to_canonical(); // ::ffff:127.0.0.1 is a loopback address, too
        if !self.is_served_at(ip) {
            return Err(Unfit::Address);
        }
        let port = match port {
            // Digits alone: a sign is a port map for HAProxy 3.
            Some(text) if text.bytes().all(|c| c.is_ascii_digit()) => text.parse().ok(),
            Some(_) => None,
            None => self.port,
        };
        let port = port.filter(|port| *port != 0).ok_or(Unfit::Port)?;
        Ok(SocketAddr::new(ip, port))
    }

    /// Whether a server may be at this address.
    pub fn is_served_at(&self, ip: IpAddr) -> bool {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        let nowhere = ip.is_unspecified() || ip.is_multicast() || broadcast;
        !nowhere && (self.loopback || !ip.is_loopback())
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

/// The weight of a tag; what is no number is one that was not given.
fn weight(text: &str) -> u16 {
    match text.parse::<i64>() {
        Ok(weight) => weight.clamp(0, WEIGHT_MAX.into()) as u16,
        Err(_) => WEIGHT_DEFAULT,
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
            port: None,
            loopback: false,
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
            assert_eq!(addr(&[("port", port)]), Err(Unfit::Port), "{port:?}");
        }
        assert_eq!(addr(&[]), Err(Unfit::Port));
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
            assert_eq!(addr(&tags), Err(Unfit::Address), "{ip:?}");
        }
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
        let weights = weights.map(|it| found("weight", it).weight);
        assert_eq!(weights, [0, 50, 256, 256, 0, 100, 100, 100, 100]);
        let wishes = ["drain", "maint", "ready", ""].map(|it| found("state", it).wish);
        assert_eq!(
            wishes,
            [Wish::Drain, Wish::Maintenance, Wish::Serve, Wish::Serve]
        );
    }

    #[test]
    fn members_of_another_role_are_no_servers() {
        let mut other = member("a", &[("port", "80")]);
        other.tags = Arc::new(Tags::new());
        assert_eq!(rules().candidate(&other), None);
    }
}
