//! Noticing that the addresses of this host have changed.
//!
//! A node that is bound to a wildcard and has no `advertise` chooses the address of an interface
//! when it starts. That choice can become wrong: the network comes up later than the node, or the
//! address goes away. So the engine checks the interfaces again, changes the node's address if that
//! is likely to help, and otherwise says what is wrong:
//!
//! - An address in use stays as long as an interface has it. The other members know this address,
//!   and they accept another address only some time after they have declared the node failed
//!   (`dead_reclaim_ms`).
//! - A loopback address is replaced as soon as an interface has an address that other hosts can
//!   reach.
//! - An address that has been gone for a while is replaced by the address of the default route. Any
//!   other address, such as that of a bridge for containers, may be reachable from this host only.
//! - A node that knows no other member loses nothing by a change, so it takes the best address of
//!   the host immediately.

use crate::Config;
use crate::driver::net::sockets;
use crate::driver::os::interfaces::HostAddresses;
use crate::time::Time;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The time between two checks while there is a problem with the address.
const SOON: Duration = Duration::from_secs(2);
/// The time between two checks while there is no problem with the address.
const LATER: Duration = Duration::from_secs(10);
/// The time for which an address must have been gone before another one takes its place, unless the
/// node knows no other member. An interface that is set up again loses its addresses for a moment.
const GONE: Duration = Duration::from_secs(10);
/// The minimum time between two warnings about the same problem.
const REPEAT: Duration = Duration::from_secs(5 * 60);

/// The problem of a node that other hosts cannot reach.
const LOOPBACK: &str = "this node advertises a loopback address, which other hosts cannot reach, \
                        because no interface has another usable address that cidrs_allowed permits";
/// The problem of a node that is bound to IPv4 on a host where only IPv6 is usable.
const IPV6_ONLY: &str = "this node advertises a loopback address, which other hosts cannot reach, \
                         because it is bound to IPv4, and only IPv6 has an address that other \
                         hosts can reach: set bind to [::]";
/// The problem of a node whose address is on no interface of this host.
const VANISHED: &str = "no interface of this host has the address that this node advertises";

/// The state of this node's own address.
pub(super) struct OwnAddress {
    /// The wildcard that the node is bound to; `None` if its address was set and never changes.
    any: Option<IpAddr>,
    /// The networks of `cidrs_allowed`; if the list is empty, every address is allowed.
    networks: Vec<IpNet>,
    /// The time of the next check.
    next: Time,
    /// The time at which the address was first missing.
    gone_since: Option<Time>,
    problem: Option<&'static str>,
    /// The problems that were logged, and the times of the lines.
    warned: Vec<(&'static str, Time)>,
}

impl OwnAddress {
    pub fn new(config: &Config, bound: SocketAddr, now: Time) -> OwnAddress {
        let settings = &config.settings;
        let is_chosen = sockets::is_address_chosen(settings.advertise.as_ref(), bound);
        OwnAddress {
            any: is_chosen.then_some(bound.ip()),
            networks: settings.core.swim.cidrs_allowed.clone(),
            next: now,
            gone_since: None,
            problem: None,
            warned: Vec::new(),
        }
    }

    /// Returns what is wrong with the address, in one sentence; `None` if nothing is wrong.
    pub fn problem(&self) -> Option<&'static str> {
        self.problem
    }

    /// Returns true if the node chooses its own address, which can then change.
    pub fn is_chosen(&self) -> bool {
        self.any.is_some()
    }

    /// Returns true if it is time for the next check.
    pub fn is_due(&self, now: Time) -> bool {
        self.any.is_some() && now >= self.next
    }

    /// Chooses the address of this node again, and returns it if it differs from `own`. The address
    /// stays if `host` is `None`. `alone` is true if the node knows no other member, not even a
    /// lost one; members that have left do not count.
    pub fn choose(
        &mut self,
        now: Time,
        host: Option<&HostAddresses>,
        own: IpAddr,
        alone: bool,
    ) -> Option<IpAddr> {
        self.next = now + SOON;
        let (any, host) = (self.any?, host?);
        self.gone_since = match host.contains(own) {
            true => None,
            false => self.gone_since.or(Some(now)),
        };
        let is_gone = self.gone_since.is_some_and(|at| now.since(at) >= GONE);
        let allowed = host.within(&self.networks);
        let found = if own.is_loopback() || alone {
            allowed.best(any).filter(|ip| !ip.is_loopback())
        } else if is_gone {
            allowed.of_default_route(any, own)
        } else {
            None
        };
        let new = found.filter(|ip| *ip != own);
        if new.is_some() {
            self.gone_since = None;
        }
        self.problem = match new.unwrap_or(own) {
            own if own.is_loopback() => Some(loopback_problem(any, &allowed)),
            own => (!host.contains(own)).then_some(VANISHED),
        };
        if self.problem.is_none() {
            self.next = now + LATER;
        }
        new
    }

    /// Returns the problem if a line about it is due.
    pub fn take_warning(&mut self, now: Time) -> Option<&'static str> {
        let problem = self.problem?;
        self.warned.retain(|(_, at)| now.since(*at) < REPEAT);
        if self.warned.iter().any(|(logged, _)| *logged == problem) {
            return None;
        }
        self.warned.push((problem, now));
        Some(problem)
    }
}

/// Returns what is wrong with the loopback address of a node that is bound to `any`.
fn loopback_problem(any: IpAddr, allowed: &HostAddresses) -> &'static str {
    let v6 = allowed.best(Ipv6Addr::UNSPECIFIED.into());
    let only_v6 = any.is_ipv4() && v6.is_some_and(|ip| ip.is_ipv6() && !ip.is_loopback());
    if only_v6 { IPV6_ONLY } else { LOOPBACK }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::os::interfaces::host_with;

    const START: Time = Time::from_nanos(1);

    fn at(seconds: u64) -> Time {
        START + Duration::from_secs(seconds)
    }

    /// A node that is bound to `bind`, with further settings.
    fn bound(bind: &str, settings: &[(&str, &str)]) -> OwnAddress {
        let mut config = Config::new();
        config.set("bind", bind).unwrap();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        OwnAddress::new(&config, config.settings.bind.0, START)
    }

    /// Lets a node choose on a host with these addresses. `default` is the address of the default
    /// route.
    fn choose(
        node: &mut OwnAddress,
        now: Time,
        (all, default): (&[&str], Option<&str>),
        own: &str,
        alone: bool,
    ) -> Option<String> {
        let own = own.parse().unwrap();
        let new = node.choose(now, Some(&host_with(all, default)), own, alone);
        new.map(|ip| ip.to_string())
    }

    #[test]
    fn a_loopback_address_is_a_problem_until_an_interface_has_another_one() {
        for alone in [false, true] {
            let mut node = bound("0.0.0.0:7946", &[]);
            assert!(node.is_due(START));
            let nothing = (&["127.0.0.1", "::1"][..], None);
            assert_eq!(choose(&mut node, at(0), nothing, "127.0.0.1", alone), None);
            assert_eq!(node.problem(), Some(LOOPBACK));
            assert!(!node.is_due(at(1)) && node.is_due(at(2)));
            let link_local = (&["127.0.0.1", "169.254.1.1", "fe80::1"][..], None);
            assert_eq!(
                choose(&mut node, at(2), link_local, "127.0.0.1", alone),
                None
            );
            assert_eq!(node.problem(), Some(LOOPBACK));
            let up = (&["127.0.0.1", "10.0.0.5"][..], None);
            let new = choose(&mut node, at(4), up, "127.0.0.1", alone);
            assert_eq!(new.as_deref(), Some("10.0.0.5"));
            assert_eq!(node.problem(), None);
            assert!(!node.is_due(at(13)) && node.is_due(at(14)));
        }
    }

    #[test]
    fn with_only_ipv6_a_node_on_both_families_finds_an_address_and_one_on_ipv4_reports_a_problem() {
        let host = (
            &["127.0.0.1", "::1", "fe80::1", "fd00::5"][..],
            Some("fd00::5"),
        );
        let mut both = bound("[::]:7946", &[]);
        let new = choose(&mut both, at(0), host, "127.0.0.1", false);
        assert_eq!(new.as_deref(), Some("fd00::5"));
        assert_eq!(both.problem(), None);
        let mut four = bound("0.0.0.0:7946", &[]);
        assert_eq!(choose(&mut four, at(0), host, "127.0.0.1", true), None);
        assert_eq!(four.problem(), Some(IPV6_ONLY));
    }

    #[test]
    fn an_address_in_use_stays_and_a_node_that_knows_nobody_takes_the_best_one() {
        let host = (
            &["127.0.0.1", "172.17.0.1", "10.0.0.5"][..],
            Some("10.0.0.5"),
        );
        let mut node = bound("0.0.0.0:7946", &[]);
        assert_eq!(choose(&mut node, at(0), host, "172.17.0.1", false), None);
        assert_eq!(node.problem(), None);
        let new = choose(&mut node, at(1), host, "172.17.0.1", true);
        assert_eq!(new.as_deref(), Some("10.0.0.5"));
        assert_eq!(choose(&mut node, at(2), host, "10.0.0.5", true), None);
    }

    #[test]
    fn only_the_address_of_the_default_route_replaces_one_that_is_gone() {
        let mut node = bound("0.0.0.0:7946", &[]);
        let down = (&["127.0.0.1", "172.17.0.1"][..], None);
        assert_eq!(choose(&mut node, at(0), down, "10.0.0.5", false), None);
        assert_eq!(node.problem(), Some(VANISHED));
        assert_eq!(choose(&mut node, at(60), down, "10.0.0.5", false), None);
        let back = (&["127.0.0.1", "10.0.0.5"][..], Some("10.0.0.5"));
        assert_eq!(choose(&mut node, at(62), back, "10.0.0.5", false), None);
        assert_eq!(node.problem(), None);
        let other = (
            &["127.0.0.1", "172.17.0.1", "10.0.0.6"][..],
            Some("10.0.0.6"),
        );
        assert_eq!(choose(&mut node, at(72), other, "10.0.0.5", false), None);
        assert_eq!(choose(&mut node, at(81), other, "10.0.0.5", false), None);
        let new = choose(&mut node, at(82), other, "10.0.0.5", false);
        assert_eq!(new.as_deref(), Some("10.0.0.6"));
        assert_eq!(node.problem(), None);
        // A loopback address does not take the place of an address that can come back.
        let mut node = bound("0.0.0.0:7946", &[]);
        let none = (&["127.0.0.1"][..], None);
        for seconds in [0, 60] {
            assert_eq!(choose(&mut node, at(seconds), none, "10.0.0.5", true), None);
            assert_eq!(node.problem(), Some(VANISHED));
        }
    }

    #[test]
    fn an_address_that_was_set_never_changes_and_a_new_one_is_in_the_allowed_networks() {
        for node in [
            bound("127.0.0.1:7946", &[]),
            bound("0.0.0.0:7946", &[("advertise", "127.0.0.1")]),
        ] {
            assert!(!node.is_due(at(1000)));
            assert_eq!(node.problem(), None);
        }
        let mut node = bound(
            "0.0.0.0:7946",
            &[("cidrs_allowed", "127.0.0.0/8,10.0.0.0/8")],
        );
        let outside = (&["127.0.0.1", "192.168.1.5"][..], Some("192.168.1.5"));
        assert_eq!(choose(&mut node, at(0), outside, "127.0.0.1", true), None);
        assert_eq!(node.problem(), Some(LOOPBACK));
        let inside = (
            &["127.0.0.1", "192.168.1.5", "10.0.0.5"][..],
            Some("192.168.1.5"),
        );
        assert!(choose(&mut node, at(2), inside, "127.0.0.1", true).is_some());
    }

    #[test]
    fn an_address_in_the_allowed_networks_is_chosen_even_if_another_one_is_better() {
        let networks = ("cidrs_allowed", "127.0.0.0/8,192.168.0.0/16");
        let mut node = bound("0.0.0.0:7946", &[networks]);
        let both = (
            &["127.0.0.1", "10.0.0.5", "192.168.1.5"][..],
            Some("10.0.0.5"),
        );
        let new = choose(&mut node, at(0), both, "127.0.0.1", false);
        assert_eq!(new.as_deref(), Some("192.168.1.5"));
        assert_eq!(node.problem(), None);
    }

    #[test]
    fn a_problem_is_logged_once_in_five_minutes_and_a_different_one_immediately() {
        let mut node = bound("0.0.0.0:7946", &[]);
        assert_eq!(node.take_warning(at(0)), None);
        node.problem = Some(LOOPBACK);
        assert_eq!(node.take_warning(at(0)), Some(LOOPBACK));
        assert_eq!(node.take_warning(at(299)), None);
        assert_eq!(node.take_warning(at(300)), Some(LOOPBACK));
        node.problem = Some(VANISHED);
        assert_eq!(node.take_warning(at(301)), Some(VANISHED));
        node.problem = Some(LOOPBACK);
        assert_eq!(node.take_warning(at(302)), None);
        node.problem = None;
        assert_eq!(node.take_warning(at(900)), None);
    }
}
