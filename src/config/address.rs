//! Addresses as people write them: for joining, binding and advertising.

use crate::error::{Error, Result, Status};
use crate::limits;
use crate::networks;
use crate::swim::Seed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The default port, which is also that of Serf and memberlist.
pub(crate) const PORT: u16 = 7946;
/// The length of the longest host name that DNS can carry.
const HOST_LEN: usize = 253;
/// The maximum number of addresses in one join.
pub(crate) const TARGETS: usize = limits::SEEDS;

/// The reason why an address with a zone, such as `fe80::1%eth0`, is refused.
pub(super) const ZONE: &str = "an address with a zone is valid on this host only, and members pass \
                               addresses on without the zone";

/// Reads an address to join, such as `host`, `host:port`, `1.2.3.4` or `[::1]:7946`. A node name in
/// front, as in `name/host:port`, is ignored.
///
/// # Errors
/// `Address`, with a message that says what is wrong.
pub(crate) fn target(text: &str) -> Result<Seed> {
    let whole = text.trim();
    let place = whole.split_once('/').map_or(whole, |(_, place)| place);
    let wrong = |why: &str| Error::new(Status::Address, format!("address \"{whole}\": {why}"));
    if let Some((ip, port)) = literal(place) {
        let port = port.unwrap_or(PORT);
        if port == 0 {
            return Err(wrong("port 0 cannot be reached"));
        }
        if let Some(why) = networks::unreachable(ip) {
            return Err(wrong(why));
        }
        return Ok(Seed::Addr(SocketAddr::new(ip, port)));
    }
    if place.contains('%') {
        return Err(wrong(ZONE));
    }
    if let Some(why) = lacks_brackets(place) {
        return Err(wrong(&why));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?;
            (host, port)
        }
        None => (place, PORT),
    };
    if host.is_empty() || host.len() > HOST_LEN {
        return Err(wrong("a host name has 1 to 253 characters"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !host.chars().all(fits) {
        return Err(wrong(
            "expected host, host:port, 1.2.3.4:port or [IPv6]:port",
        ));
    }
    Ok(Seed::Host(host.to_owned(), port))
}

/// Checks that one join may have this many addresses.
///
/// # Errors
/// `TooLarge` if there are too many.
pub(crate) fn check_count(count: usize) -> Result<()> {
    if count > TARGETS {
        let message = format!("{count} addresses to join, at most {TARGETS} are allowed");
        return Err(Error::new(Status::TooLarge, message));
    }
    Ok(())
}

/// Reads an address to bind: an IP address with an optional port, by default [`PORT`]. `:port`
/// alone stands for all IPv4 addresses of this host.
pub(crate) fn bind(text: &str) -> Option<SocketAddr> {
    if let Some(Ok(port)) = text.strip_prefix(':').map(str::parse) {
        return Some((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let (ip, port) = literal(text)?;
    Some(SocketAddr::new(ip, port.unwrap_or(PORT)))
}

/// Reads an IP address with an optional port. An IPv4 address is returned in IPv4 form, even if it
/// was written in IPv6 form.
pub(super) fn literal(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if text.contains('%') || lacks_brackets(text).is_some() {
        return None;
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some((addr.ip().to_canonical(), Some(addr.port())));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some((ip.to_canonical(), None))
}

/// Returns the reason why a text is refused that ends with a port after an IPv6 address without
/// brackets. `::1:7946` is an address as well, but it is hardly ever meant as one.
pub(super) fn lacks_brackets(text: &str) -> Option<String> {
    let (ip, port) = text.rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok();
    let is_address = text.parse::<Ipv6Addr>().is_ok() && port.parse() != Ok(PORT);
    let is_meant = ip.parse::<Ipv6Addr>().is_ok() && is_port && !is_address;
    is_meant.then(|| format!("an IPv6 address with a port needs brackets: [{ip}]:{port}"))
}

/// Returns a hint for a target that was not reached: its address may have been written without
/// brackets, so that the port was read as the end of the address.
pub(crate) fn brackets_hint(target: &str) -> Option<String> {
    let Ok(SocketAddr::V6(addr)) = target.parse() else {
        return None;
    };
    let text = addr.ip().to_string();
    let (ip, port) = text.rsplit_once(':')?;
    let is_likely = addr.port() == PORT && port.parse::<u16>().is_ok_and(|port| port >= 1024);
    (is_likely && ip.parse::<Ipv6Addr>().is_ok())
        .then(|| format!("if {port} is the port, write [{ip}]:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Seed {
        Seed::Addr(text.parse().unwrap())
    }

    #[test]
    fn every_way_to_write_a_target_is_understood() {
        let host = |name: &str, port| Seed::Host(name.into(), port);
        for (text, seed) in [
            ("10.0.0.1", addr("10.0.0.1:7946")),
            ("10.0.0.1:80", addr("10.0.0.1:80")),
            (" [::1]:7947 ", addr("[::1]:7947")),
            ("[fd00::1]", addr("[fd00::1]:7946")),
            ("fd00::1", addr("[fd00::1]:7946")),
            ("::ffff:10.0.0.1", addr("10.0.0.1:7946")),
            ("db.example.com", host("db.example.com", 7946)),
            ("db:99", host("db", 99)),
            ("node1/db:99", host("db", 99)),
            ("node1/10.0.0.1:99", addr("10.0.0.1:99")),
        ] {
            assert_eq!(target(text), Ok(seed), "{text}");
        }
    }

    #[test]
    fn an_unreachable_or_unreadable_target_is_refused_and_quoted() {
        for text in [
            "",
            "node/",
            ":7946",
            "a:0",
            "a:65536",
            "a:b",
            "10.0.0.1:0",
            "0.0.0.0:7946",
            "a b",
            "[::1",
            "[::]:1",
            "255.255.255.255",
            "0.0.0.1",
            "224.0.0.1:7946",
            "fe80::1",
            "[fe80::1%1]:7946",
            "fe80::1%eth0",
            "http://x",
            "ü:1",
        ] {
            let error = target(text).unwrap_err();
            assert_eq!(error.status, Status::Address, "{text}");
            assert!(error.message.contains(text.rsplit('/').next().unwrap()));
        }
        assert!(target(&"a".repeat(254)).is_err());
        assert!(target(&"a".repeat(253)).is_ok());
    }

    #[test]
    fn an_address_that_is_not_the_same_everywhere_is_refused_with_the_reason() {
        for (text, reason) in [
            ("fe80::1", "link-local"),
            ("[fe80::1%1]:7946", "zone"),
            ("fe80::1%eth0", "zone"),
            ("db%eth0", "zone"),
            ("255.255.255.255", "no single node"),
            ("0.1.2.3:7946", "reserved"),
            ("[ff02::1]:7946", "no single node"),
        ] {
            let message = target(text).unwrap_err().message;
            assert!(message.contains(reason), "{message}");
        }
        assert!(
            target("169.254.1.1").is_ok(),
            "a link-local IPv4 address has no zone and must be accepted"
        );
    }

    #[test]
    fn an_address_of_ipv6_with_a_port_needs_brackets() {
        for (text, meant) in [
            ("::1:7946", "[::1]:7946"),
            ("node/fd00::1:7946", "[fd00::1]:7946"),
            ("fd00:0:0:1:2:3:4:5:80", "[fd00:0:0:1:2:3:4:5]:80"),
            ("::1:65000", "[::1]:65000"),
        ] {
            let message = target(text).unwrap_err().message;
            assert!(
                message.ends_with(&format!("needs brackets: {meant}")),
                "{message}"
            );
            assert_eq!(bind(text), None, "{text}");
        }
        for (text, seed) in [
            ("[::1:7946]", "[::1:7946]:7946"),
            ("::1:8000", "[::1:8000]:7946"),
            ("fd00:0:0:1:2:3:4:7946", "[fd00:0:0:1:2:3:4:7946]:7946"),
        ] {
            assert_eq!(target(text), Ok(addr(seed)), "{text}");
        }
    }

    #[test]
    fn a_port_that_was_read_as_the_end_of_an_address_is_hinted_at() {
        let hint = "if 8000 is the port, write [::1]:8000";
        assert_eq!(brackets_hint("[::1:8000]:7946").as_deref(), Some(hint));
        for target in [
            "[::1:8000]:80",
            "[::1:2]:7946",
            "[::1:abcd]:7946",
            "1.2.3.4:7946",
            "db:1",
        ] {
            assert_eq!(brackets_hint(target), None, "{target}");
        }
    }

    #[test]
    fn a_bound_address_may_leave_out_the_port_or_the_address() {
        for (text, expected) in [
            ("0.0.0.0:7946", "0.0.0.0:7946"),
            ("127.0.0.1", "127.0.0.1:7946"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:7946", "[::]:7946"),
            ("::", "[::]:7946"),
            (":99", "0.0.0.0:99"),
        ] {
            assert_eq!(bind(text), Some(expected.parse().unwrap()), "{text}");
        }
        for text in [
            "[fe80::1%1]:9",
            "",
            "localhost",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:65536",
            ":x",
        ] {
            assert_eq!(bind(text), None, "{text}");
        }
    }
}
