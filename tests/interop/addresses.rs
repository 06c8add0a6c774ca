//! Nodes that choose their own address, on hosts whose addresses change.

use super::agent::{Agent, PORT, Setup, agent_sees};
use super::net::Lab;
use super::ours::{Ours, config_at};
use super::wait::{PATIENCE, until};
use sprat::Status;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Starts a node inside a host. The node is bound to a wildcard address, logs warnings, and has one
/// seed.
fn node(lab: &Lab, host: u8, any: IpAddr, seed: SocketAddr) -> Ours {
    let mut config = config_at("ours", SocketAddr::new(any, PORT));
    config.set("log_level", "warn").unwrap();
    config.set("seeds", &seed.to_string()).unwrap();
    config.set_tag("kind", Some("sprat")).unwrap();
    lab.inside(host, || Ours::with(&config))
}

/// Waits until the health of the node has this text in its summary.
fn says(ours: &Ours, text: &str) {
    until(&format!("the health says {text:?}"), || {
        let summary = ours.node().health().unwrap().summary;
        match summary.contains(text) {
            true => Ok(()),
            false => Err(summary.to_owned()),
        }
    });
}

/// Waits until the node has this address, the agent lists it there as alive, and it is healthy.
fn is_at(ours: &Ours, agent: &Agent, ip: &str) {
    let addr = SocketAddr::new(ip.parse().unwrap(), PORT);
    until(&format!("the node advertises {addr}"), || {
        match ours.addr() == addr {
            true => Ok(()),
            false => Err(ours.addr().to_string()),
        }
    });
    assert_eq!(ours.member("ours").unwrap().addr, addr);
    until(
        &format!("the agent lists the node at {addr}"),
        || match agent.members().get("ours") {
            Some(seen) if seen.addr == addr.to_string() => Ok(()),
            Some(seen) => Err(seen.addr.clone()),
            None => Err("not listed".to_owned()),
        },
    );
    agent_sees(agent, "ours", "alive");
    says(ours, "healthy");
}

#[test]
fn a_node_that_starts_before_the_network_is_up_takes_its_address_and_joins() {
    let lab = Lab::new(2);
    let agent = Setup::new("web1", lab.ip(1)).within(&lab.host(1)).start();
    lab.ip_command(2, "link set eth0 down");
    let ours = node(&lab, 2, Ipv4Addr::UNSPECIFIED.into(), agent.addr());
    assert_eq!(ours.addr().ip(), Ipv4Addr::LOCALHOST);
    says(&ours, "advertises a loopback address");
    until("the log has a warning", || {
        let lines = ours.logged();
        let about = lines.iter().filter(|it| it.contains("a loopback address"));
        match about.count() {
            0 => Err(format!("{lines:?}")),
            1 => Ok(()),
            more => panic!("{more} lines: {lines:?}"),
        }
    });
    lab.ip_command(2, "link set eth0 up");
    is_at(&ours, &agent, "10.77.0.2");
    let text = "this node now advertises 10.77.0.2:7946 instead of 127.0.0.1:7946";
    assert!(
        ours.logged().iter().any(|it| it == text),
        "{:?}",
        ours.logged()
    );
    ours.leave();
    agent_sees(&agent, "ours", "left");
}

#[test]
fn a_node_that_starts_when_only_a_bridge_is_up_joins_with_the_address_of_the_network() {
    let lab = Lab::new(2);
    let agent = Setup::new("web1", lab.ip(1)).within(&lab.host(1)).start();
    lab.ip_command(2, "link set eth0 down");
    lab.ip_command(2, "link add docker0 type bridge");
    lab.ip_command(2, "addr add 172.17.0.1/16 dev docker0");
    lab.ip_command(2, "link set docker0 up");
    let ours = node(&lab, 2, Ipv4Addr::UNSPECIFIED.into(), agent.addr());
    assert_eq!(ours.addr().ip().to_string(), "172.17.0.1");
    lab.ip_command(2, "link set eth0 up");
    lab.default_route(2);
    is_at(&ours, &agent, "10.77.0.2");
}

#[test]
fn on_a_host_with_ipv6_only_a_node_on_both_families_takes_an_ipv6_address_when_there_is_one() {
    let lab = Lab::new(2);
    for host in [1, 2] {
        lab.ip_command(host, "addr flush dev eth0");
    }
    lab.ip_command(1, "addr add fd77::1/64 dev eth0 nodad");
    let agent = Setup::new("web1", "fd77::1".parse().unwrap());
    let agent = agent.within(&lab.host(1)).start();
    let ours = node(&lab, 2, Ipv6Addr::UNSPECIFIED.into(), agent.addr());
    assert!(ours.addr().ip().is_loopback());
    says(&ours, "no interface has another usable address");
    lab.ip_command(2, "addr add fd77::2/64 dev eth0 nodad");
    is_at(&ours, &agent, "fd77::2");
}

#[test]
fn a_node_bound_to_ipv4_on_a_host_with_ipv6_only_says_what_to_set() {
    let lab = Lab::new(1);
    lab.ip_command(1, "addr flush dev eth0");
    lab.ip_command(1, "addr add fd77::1/64 dev eth0 nodad");
    let seed = "10.77.0.9:7946".parse().unwrap();
    let ours = node(&lab, 1, Ipv4Addr::UNSPECIFIED.into(), seed);
    says(&ours, "set bind to [::]");
}

/// Joins an agent on another host, and expects that the join is refused because of the address of
/// this node, and that the agent does not learn of it.
fn is_not_joined(ours: &Ours, agent: &Agent) {
    let to = agent.addr().to_string();
    let error = ours.node().join(&[&to], Some(PATIENCE)).unwrap_err();
    assert_eq!(error.status, Status::Address, "{}", error.message);
    let text = "this node advertises a loopback address, which the nodes there cannot reach: set \
                advertise, or set bind to [::]";
    assert!(error.message.contains(text), "{}", error.message);
    assert_eq!(agent.members().len(), 1);
}

#[test]
fn a_node_with_a_loopback_address_joins_no_agent_on_another_host() {
    let lab = Lab::new(2);
    for host in [1, 2] {
        lab.ip_command(host, "addr flush dev eth0");
        lab.ip_command(host, &format!("addr add fd77::{host}/64 dev eth0 nodad"));
    }
    let agent = Setup::new("web1", "fd77::1".parse().unwrap());
    let agent = agent.within(&lab.host(1)).start();
    let silent = "[fd77::9]:7946".parse().unwrap();
    let ours = node(&lab, 2, Ipv4Addr::UNSPECIFIED.into(), silent);
    is_not_joined(&ours, &agent);
    ours.kill();
    let ours = node(&lab, 2, Ipv6Addr::UNSPECIFIED.into(), agent.addr());
    is_at(&ours, &agent, "fd77::2");

    // Link-local addresses of IPv4 are never chosen, but may be set.
    let lab = Lab::new(2);
    for host in [1, 2] {
        lab.ip_command(host, "addr flush dev eth0");
        lab.ip_command(host, &format!("addr add 169.254.7.{host}/16 dev eth0"));
    }
    let agent = Setup::new("web1", "169.254.7.1".parse().unwrap());
    let agent = agent.within(&lab.host(1)).start();
    let silent = "169.254.7.9:7946".parse().unwrap();
    let ours = node(&lab, 2, Ipv4Addr::UNSPECIFIED.into(), silent);
    is_not_joined(&ours, &agent);
    let refused = agent.try_run(&["join", &format!("169.254.7.2:{PORT}")]);
    assert!(refused.is_err(), "the node refuses the agent as well");
    assert_eq!(agent.members().len(), 1);
    ours.kill();
    let mut config = config_at("ours", (Ipv4Addr::UNSPECIFIED, PORT).into());
    config.set("advertise", "169.254.7.2").unwrap();
    let ours = lab.inside(2, || Ours::with(&config));
    ours.join(agent.addr());
    agent_sees(&agent, "ours", "alive");
}

#[test]
fn a_node_whose_address_goes_away_takes_that_of_the_default_route() {
    let lab = Lab::new(2);
    // The agent complains about the new address until it gives up the old one.
    let agent = Setup::new("web1", lab.ip(1)).provoked("10.77.0.7:7946");
    let agent = agent.within(&lab.host(1)).start();
    let ours = node(&lab, 2, Ipv4Addr::UNSPECIFIED.into(), agent.addr());
    is_at(&ours, &agent, "10.77.0.2");
    lab.ip_command(2, "addr flush dev eth0");
    says(&ours, "no interface of this host has the address");
    lab.ip_command(2, "addr add 10.77.0.7/24 dev eth0");
    lab.default_route(2);
    is_at(&ours, &agent, "10.77.0.7");
}
