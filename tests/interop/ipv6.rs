//! Clusters on IPv6, and IPv4 addresses mapped into IPv6.
//!
//! There is only one `::1`, so nodes at `::1` have different ports. Each test has its own network.

use super::agent::{Agent, PORT, Setup, agent_sees, all_see_alive};
use super::departure::Watchers;
use super::net::Lab;
use super::ours::{Ours, config_at};
use super::wait::{throughout, until};
use sprat::EventKind;
use sprat::serf::MemberState;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn agent(lab: &Lab, name: &str, port: u16) -> Setup {
    Setup::new(name, HERE).port(port).within(&lab.host(1))
}

fn node(lab: &Lab, name: &str, port: u16) -> Ours {
    let mut config = config_at(name, SocketAddr::new(HERE, port));
    config.set_tag("kind", Some("sprat")).unwrap();
    lab.inside(1, || Ours::with(&config))
}

/// Waits until the agent sees this tag of `name`.
fn agent_sees_tag(agent: &Agent, name: &str, key: &str, value: &str) {
    let what = format!("{} sees {key} of {name}", agent.name());
    until(&what, || match agent.members()[name].tags.get(key) {
        Some(found) if found == value => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

#[test]
fn agents_and_nodes_on_ipv6_join_in_both_directions_and_fail_and_leave_and_return() {
    let lab = Lab::new(1);
    let web1 = agent(&lab, "web1", PORT).tag("role", "web").start();
    let ours1 = node(&lab, "ours1", PORT + 1);
    ours1.join(web1.addr());
    let web2 = agent(&lab, "web2", PORT + 2).join(ours1.addr()).start();
    let ours2 = node(&lab, "ours2", PORT + 3);
    ours2.join(web2.addr());
    let names = ["ours1", "ours2", "web1", "web2"];
    all_see_alive(&[&web1, &web2], &names);
    ours1.sees_alive(&names);
    ours2.sees_alive(&names);
    assert_eq!(ours2.member("web1").unwrap().addr, web1.addr());
    assert_eq!(ours2.tag("web1", "role").as_deref(), Some("web"));
    assert_eq!(web2.members()["ours1"].addr, ours1.addr().to_string());
    ours1.node().set_tag("state", Some("drain")).unwrap();
    agent_sees_tag(&web2, "ours1", "state", "drain");
    web1.set_tag("weight", "50");
    ours2.hears(EventKind::MemberUpdate, "web1", 1);

    let dead = web2.kill();
    ours2.kill();
    ours1.hears(EventKind::MemberFail, "web2", 1);
    ours1.hears(EventKind::MemberFail, "ours2", 1);
    agent_sees(&web1, "web2", "failed");
    agent_sees(&web1, "ours2", "failed");
    let web2 = dead.start();
    let ours2 = node(&lab, "ours2", PORT + 3);
    ours2.join(web1.addr());
    all_see_alive(&[&web1, &web2], &names);
    ours2.sees_alive(&names);
    assert_eq!(ours1.count(EventKind::MemberFail, "web2"), 1);

    let watchers = Watchers {
        agents: &[&web1],
        nodes: &[&ours1, &ours2],
    };
    let (_, lost) = watchers.see_leave(web2);
    assert_eq!(ours1.count(EventKind::MemberFail, "web2"), 1 + lost);
    ours2.leave();
    ours1.hears(EventKind::MemberLeave, "web2", 1);
    ours1.hears(EventKind::MemberLeave, "ours2", 1);
    agent_sees(&web1, "ours2", "left");
    assert_eq!(ours1.refusals(), []);
}

/// An agent that finds its own IPv4 address sends it in sixteen bytes; an agent with a configured
/// address sends four. To a node bound to `[::]`, datagrams of both come from mapped addresses.
#[test]
fn one_address_in_three_forms_is_one_address() {
    let lab = Lab::new(3);
    lab.default_route(1);
    let found = Setup::new("web1", lab.ip(1)).within(&lab.host(1));
    let found = found.arg(&format!("-bind=0.0.0.0:{PORT}")).start();
    let mut config = config_at("ours2", (Ipv6Addr::UNSPECIFIED, PORT).into());
    config.set("advertise", &lab.ip(2).to_string()).unwrap();
    let ours = lab.inside(2, || Ours::with(&config));
    ours.join(found.addr());
    let given = Setup::new("web3", lab.ip(3)).within(&lab.host(3));
    let given = given.join((lab.ip(2), PORT).into()).start();
    let names = ["ours2", "web1", "web3"];
    ours.sees_alive(&names);
    all_see_alive(&[&found, &given], &names);
    for (name, host) in [("web1", 1), ("ours2", 2), ("web3", 3)] {
        let addr = SocketAddr::new(lab.ip(host), PORT);
        assert_eq!(ours.member(name).unwrap().addr, addr);
        assert_eq!(given.members()[name].addr, addr.to_string());
    }
    // Both agents send their own address and that of the other, by gossip and by push/pull.
    found.set_tag("form", "sixteen");
    ours.hears(EventKind::MemberUpdate, "web1", 1);
    given.join(found.addr());
    ours.join(given.addr());
    ours.join(found.addr());
    throughout(Duration::from_secs(8), "all members stay alive", || {
        let states = names.map(|name| ours.state(name));
        match states.iter().all(|it| *it == Some(MemberState::Alive)) {
            true => Ok(()),
            false => Err(format!("{states:?}")),
        }
    });
    assert_eq!(
        ours.refusals(),
        [],
        "no member is listed at a second address"
    );
    agent_sees_tag(&given, "web1", "form", "sixteen");
}
