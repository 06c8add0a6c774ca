//! Nodes and agents that find each other with mDNS: the setting `discover`, and `serf agent
//! -discover`. Each test has a network of its own, and no node has a seed.

use super::agent::{Agent, PORT, Setup, agent_sees, all_see_alive};
use super::net::Lab;
use super::ours::{Ours, config, config_at};
use super::wait::{PATIENCE, throughout, until};
use sprat::Config;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Starts an agent that looks for this cluster. It sends its questions by the default route, and
/// gives up a question if it has no IPv6 address that is ready.
fn agent(lab: &Lab, host: u8, cluster: &str) -> Agent {
    lab.default_route(host);
    lab.ip_command(host, &format!("-6 addr add fe80::{host}/64 dev eth0 nodad"));
    let setup = Setup::new(&format!("web{host}"), lab.ip(host));
    let setup = setup.arg(&format!("-discover={cluster}"));
    setup.within(&lab.host(host)).start()
}

/// Starts a node with these settings that looks for this cluster.
fn node_with(lab: &Lab, host: u8, cluster: &str, mut config: Config) -> Ours {
    config.set("discover", cluster).unwrap();
    config.set("log_level", "info").unwrap();
    lab.inside(host, || Ours::with(&config))
}

fn node(lab: &Lab, host: u8, cluster: &str) -> Ours {
    let config = config(&format!("ours{host}"), lab.ip(host));
    node_with(lab, host, cluster, config)
}

/// Waits until the node has logged a line with this text.
fn logs(ours: &Ours, text: &str) {
    until(&format!("the log has {text:?}"), || {
        let log = ours.logged();
        match log.iter().any(|line| line.contains(text)) {
            true => Ok(()),
            false => Err(log.join("\n")),
        }
    });
}

#[test]
fn a_node_finds_an_agent_that_was_there_before() {
    let lab = Lab::new(2);
    let web = agent(&lab, 1, "prod");
    let ours = node(&lab, 2, "prod");
    logs(&ours, &format!("mDNS has found {}; joining it", web.addr()));
    all_see_alive(&[&web], &["ours2", "web1"]);
    ours.sees_alive(&["ours2", "web1"]);
    assert_eq!(ours.refusals(), []);
    assert_eq!(ours.counter("mdns_joins"), 1);
    assert_eq!(ours.counter("mdns_refused"), 0);
}

#[test]
fn an_agent_finds_a_node_that_was_there_before() {
    let lab = Lab::new(2);
    let ours = node(&lab, 2, "prod");
    let web = agent(&lab, 1, "prod");
    // An agent logs the addresses that it joins; it finds itself as well.
    let addr = ours.addr().to_string();
    until("the agent joins the node", || {
        let log = web.log();
        let joins = |line: &&String| line.contains("agent: joining: [") && line.contains(&addr);
        match log.iter().find(joins) {
            Some(_) => Ok(()),
            None => Err(log.join("\n")),
        }
    });
    all_see_alive(&[&web], &["ours2", "web1"]);
    ours.sees_alive(&["ours2", "web1"]);
    assert_eq!(ours.refusals(), []);
}

#[test]
fn two_nodes_find_each_other_and_meet_again_after_one_was_gone() {
    let lab = Lab::new(2);
    let (first, second) = (node(&lab, 1, "prod"), node(&lab, 2, "prod"));
    for ours in [&first, &second] {
        ours.sees_alive(&["ours1", "ours2"]);
    }
    second.leave();
    // It comes back under another name, so that the first node has to find it.
    let config = config("new", lab.ip(2));
    let back = node_with(&lab, 2, "prod", config);
    for ours in [&first, &back] {
        until(&format!("{} meets the other", ours.node().name()), || {
            let alive = |name| ours.state(name) == Some(sprat::serf::MemberState::Alive);
            match alive("ours1") && alive("new") {
                true => Ok(()),
                false => Err(format!("{:?}", ours.node().members())),
            }
        });
    }
}

#[test]
fn nodes_and_agents_of_another_cluster_are_not_joined() {
    let lab = Lab::new(4);
    let (prod, test) = (node(&lab, 1, "prod"), node(&lab, 2, "test"));
    let web = agent(&lab, 3, "prod");
    let other = node(&lab, 4, "prod2");
    all_see_alive(&[&web], &["ours1", "web3"]);
    prod.sees_alive(&["ours1", "web3"]);
    throughout(Duration::from_secs(6), "the others stay alone", || {
        for (ours, members) in [(&prod, 2), (&test, 1), (&other, 1)] {
            let found = ours.node().members().len();
            if found != members {
                return Err(format!("{} has {found} members", ours.node().name()));
            }
        }
        Ok(())
    });
    assert_eq!(test.counter("mdns_joins") + other.counter("mdns_joins"), 0);
}

#[test]
fn an_address_outside_of_the_allowed_networks_is_refused() {
    let lab = Lab::new(2);
    let _web = agent(&lab, 1, "prod");
    let mut config = config("ours2", lab.ip(2));
    config
        .set("cidrs_allowed", &format!("{}/32", lab.ip(2)))
        .unwrap();
    let ours = node_with(&lab, 2, "prod", config);
    until("the address is refused", || {
        match ours.counter("mdns_refused") {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    assert_eq!(ours.counter("mdns_joins"), 0);
}

#[test]
fn a_node_with_a_key_does_not_join_one_without() {
    let lab = Lab::new(2);
    let plain = node(&lab, 1, "prod");
    let mut config = config("ours2", lab.ip(2));
    config.set("encrypt", "AAECAwQFBgcICQoLDA0ODw==").unwrap();
    let keyed = node_with(&lab, 2, "prod", config);
    logs(&keyed, &format!("join {}: ", plain.addr()));
    for ours in [&plain, &keyed] {
        assert_eq!(ours.node().members().len(), 1);
    }
}

#[test]
fn nodes_with_ipv6_addresses_find_each_other() {
    let lab = Lab::new(2);
    let nodes = [1, 2].map(|host| {
        lab.ip_command(host, &format!("-6 addr add fd00::{host}/64 dev eth0 nodad"));
        let addr: SocketAddr = format!("[fd00::{host}]:{PORT}").parse().unwrap();
        let config = config_at(&format!("ours{host}"), addr);
        node_with(&lab, host, "prod", config)
    });
    for ours in &nodes {
        ours.sees_alive(&["ours1", "ours2"]);
    }
}

#[test]
fn nodes_at_loopback_addresses_find_each_other_on_their_host_only() {
    let lab = Lab::new(2);
    let outside = node(&lab, 2, "prod");
    let inside = ["a", "b"].map(|name| {
        let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        node_with(&lab, 1, "prod", config_at(name, loopback))
    });
    for ours in &inside {
        ours.sees_alive(&["a", "b"]);
    }
    assert_eq!(outside.node().members().len(), 1);
    assert_eq!(outside.counter("mdns_joins"), 0);
}

#[test]
fn a_node_that_starts_before_the_network_is_up_is_found_at_its_new_address() {
    let lab = Lab::new(2);
    let web = agent(&lab, 1, "prod");
    lab.ip_command(2, "link set eth0 down");
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
    let ours = node_with(&lab, 2, "prod", config_at("ours2", any));
    assert!(ours.addr().ip().is_loopback());
    lab.ip_command(2, "link set eth0 up");
    agent_sees(&web, "ours2", "alive");
    assert_eq!(ours.addr(), SocketAddr::new(lab.ip(2), PORT));
    ours.sees_alive(&["ours2", "web1"]);
}

#[test]
fn a_node_without_its_interface_warns_goes_on_and_finds_others_later() {
    let lab = Lab::new(2);
    let web = agent(&lab, 1, "prod");
    let mut config = config("ours2", lab.ip(2));
    config.set("discover_interface", "late0").unwrap();
    let ours = node_with(&lab, 2, "prod", config);
    logs(
        &ours,
        "mDNS does not work on late0, and is tried again: no suitable interface",
    );
    assert_eq!(ours.node().members().len(), 1);
    lab.ip_command(2, "link set eth0 down");
    lab.ip_command(2, "link set eth0 name late0");
    lab.ip_command(2, "link set late0 up");
    agent_sees(&web, "ours2", "alive");
    ours.sees_alive(&["ours2", "web1"]);
}

const SERVICE: &[u8] = b"\x0a_serf_prod\x04_tcp\x05local\0";

/// Returns the lifetime in the next message to everybody about the cluster that is not a question.
fn lifetime(listener: &UdpSocket) -> u32 {
    let mut buffer = [0; 2000];
    loop {
        let len = listener
            .recv(&mut buffer)
            .expect("a message arrives in time");
        let is_question = buffer[2] & 0x80 == 0;
        let found = buffer[..len]
            .windows(SERVICE.len())
            .position(|it| it == SERVICE);
        if let Some(at) = found.filter(|_| !is_question) {
            let at = at + SERVICE.len() + 4; // behind the type and the class
            return u32::from_be_bytes(buffer[at..at + 4].try_into().unwrap());
        }
    }
}

#[test]
fn a_node_answers_questions_and_says_goodbye_when_it_leaves_and_when_it_ends() {
    let lab = Lab::new(2);
    let IpAddr::V4(ip) = lab.ip(2) else {
        panic!("the hosts have IPv4 addresses");
    };
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let (listener, questioner) = lab.inside(2, || {
        let listener = UdpSocket::bind((group, 5353)).unwrap();
        listener.join_multicast_v4(&group, &ip).unwrap();
        listener.set_read_timeout(Some(PATIENCE)).unwrap();
        let questioner = UdpSocket::bind((ip, 0)).unwrap();
        questioner
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        (listener, questioner)
    });
    lab.default_route(2);
    let header = [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let question = [&header[..], SERVICE, &[0, 12, 0, 1]].concat();
    let answers = || {
        until("the node answers", || {
            let mut buffer = [0; 2000];
            questioner.send_to(&question, (group, 5353)).unwrap();
            match questioner.recv(&mut buffer) {
                Ok(_) if buffer[..4] == [0x12, 0x34, 0x84, 0] => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    };
    let ours = node(&lab, 1, "prod");
    answers();
    ours.node().leave(Some(PATIENCE)).unwrap();
    // Nothing but a goodbye has gone to everybody.
    assert_eq!(lifetime(&listener), 0);
    // A join makes it a member again, which answers.
    ours.join(ours.addr());
    answers();
    ours.kill();
    assert_eq!(lifetime(&listener), 0);
}
