//! Tests of the whole deterministic core, with a handful of nodes on an in-memory network. Time is
//! virtual, a datagram or a piece of a stream takes 1 ms, and nothing is lost unless a test cuts a
//! link or switches a node off. The simulator (`tests/sim.rs`) tests random faults and large
//! clusters.

use sprat::serf::{
    CommandError, Config, Coordinate, Core, CoreEvent, FormerMember, MemberState, Mode, Past,
    QueryOptions, SnapshotReader, Tags,
};
use sprat::swim::{
    ConflictVerdict, Health, JoinFailure, JoinReport, LookupId, NameConflict, OpId, Output, Seed,
    SpreadEnd, StreamEnd, StreamId,
};
use sprat::time::Time;
use sprat::wire::Codec;
use sprat::wire::message::{Alive, Message};
use sprat::wire::serf_message::{
    JoinIntent, LeaveIntent, Query, QueryResponse, Relay, SerfMessage, UserEvent,
};
use sprat::{Coalescing, Counter, EventBody};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(1);

/// An input on its way to a node.
enum Parcel {
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Accepted { id: StreamId, from: SocketAddr },
    Connected { id: StreamId },
    Data { id: StreamId, bytes: Vec<u8> },
    End { id: StreamId, end: StreamEnd },
    Resolved { id: LookupId, addrs: Vec<IpAddr> },
}

struct Host {
    core: Core,
    up: bool,
    events: Vec<CoreEvent>,
    /// The other end of each stream.
    peers: HashMap<StreamId, (usize, StreamId)>,
}

struct Net {
    now: Time,
    hosts: Vec<Host>,
    /// The inputs under way, by time of arrival and order of sending.
    parcels: BTreeMap<(Time, u64), (usize, Parcel)>,
    sent: u64,
    /// Pairs that cannot reach one another.
    cuts: BTreeSet<(usize, usize)>,
    /// The hosts that each host name stands for.
    names: HashMap<&'static str, Vec<usize>>,
    /// Datagrams that were sent to an address at which there is no node.
    outside: Vec<Vec<u8>>,
}

fn addr(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8 + 1], 7946))
}

fn name(host: usize) -> String {
    format!("n{host}")
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The settings of a node that keeps a snapshot, and resumes from this past.
fn resuming(past: Past) -> Config {
    Config {
        past: Some(past),
        ..Config::default()
    }
}

impl Net {
    fn new(hosts: usize) -> Net {
        Net::with(hosts, |_| Config::default())
    }

    fn with(hosts: usize, config: impl Fn(usize) -> Config) -> Net {
        let mut net = Net {
            now: Time::from_nanos(1_000_000_000),
            hosts: Vec::new(),
            parcels: BTreeMap::new(),
            sent: 0,
            cuts: BTreeSet::new(),
            names: HashMap::new(),
            outside: Vec::new(),
        };
        for host in 0..hosts {
            net.hosts.push(net.boot(host, config(host)));
        }
        net
    }

    fn boot(&self, host: usize, config: Config) -> Host {
        self.boot_as(host, &name(host), config)
    }

    fn boot_as(&self, host: usize, name: &str, config: Config) -> Host {
        let seed = [host as u8 + 1; 32];
        let core = Core::new(
            config,
            Codec::default(),
            name.into(),
            addr(host),
            seed,
            self.now,
        );
        Host {
            core: core.unwrap(),
            up: true,
            events: Vec::new(),
            peers: HashMap::new(),
        }
    }

    /// Ends a node without a leave, and starts it again from the snapshot that it has kept.
    fn restart(&mut self, host: usize) {
        let mut reader = SnapshotReader::new(false);
        if let Some(write) = self.hosts[host].core.snapshot_write(self.now) {
            reader.read(&write.bytes);
        }
        let past = reader.finish();
        assert_eq!(past.unreadable, 0);
        self.hosts[host] = self.boot(host, resuming(past));
        self.collect(host);
    }

    /// Returns a network of this many nodes, all of which know one another.
    fn joined(hosts: usize) -> Net {
        let mut net = Net::new(hosts);
        net.join_all();
        net
    }

    /// Returns a cluster of three hosts, and a fourth host that is not a member yet and has the
    /// name of the third one.
    fn with_twin() -> Net {
        let mut net = Net::joined(3);
        let twin = net.boot_as(3, "n2", Config::default());
        net.hosts.push(twin);
        net
    }

    /// Makes the fourth host of [`Net::with_twin`] join through `through`, and waits until the join
    /// has ended.
    fn join_twin(&mut self, through: usize) {
        let joined = self.join(3, through);
        self.run_until(1, |net| net.is_done(3, joined));
    }

    fn join_all(&mut self) {
        for host in 1..self.hosts.len() {
            self.join(host, 0);
        }
        let all = self.hosts.len();
        self.run_until(10, |net| (0..all).all(|host| net.alive(host) == all));
        self.run(secs(3));
        self.hosts.iter_mut().for_each(|host| host.events.clear());
    }

    fn join(&mut self, host: usize, through: usize) -> OpId {
        let now = self.now;
        let op = self.hosts[host]
            .core
            .join(now, &[Seed::Addr(addr(through))]);
        self.collect(host);
        op
    }

    /// Applies a command to a core, and takes its outputs and events.
    fn command<T>(&mut self, host: usize, command: impl FnOnce(&mut Core, Time) -> T) -> T {
        let answer = command(&mut self.hosts[host].core, self.now);
        self.collect(host);
        answer
    }

    fn send(&mut self, to: usize, parcel: Parcel) {
        self.sent += 1;
        self.parcels
            .insert((self.now + DELAY, self.sent), (to, parcel));
    }

    fn can_reach(&self, from: usize, to: usize) -> bool {
        let pair = (from.min(to), from.max(to));
        to < self.hosts.len() && self.hosts[to].up && !self.cuts.contains(&pair)
    }

    fn collect(&mut self, from: usize) {
        while let Some(output) = self.hosts[from].core.poll_output() {
            self.carry_out(from, output);
        }
        while let Some(event) = self.hosts[from].core.poll_event() {
            self.hosts[from].events.push(event);
        }
    }

    fn carry_out(&mut self, from: usize, output: Output) {
        let host_of = |to: SocketAddr| (0..self.hosts.len()).find(|&host| addr(host) == to);
        match output {
            Output::Datagram { to, bytes, .. } => match host_of(to) {
                Some(to) if self.can_reach(from, to) => {
                    self.send(
                        to,
                        Parcel::Datagram {
                            from: addr(from),
                            bytes,
                        },
                    );
                }
                Some(_) => {}
                None => self.outside.push(bytes),
            },
            Output::Connect { id, to } => {
                match host_of(to).filter(|&to| self.can_reach(from, to)) {
                    Some(to) => {
                        self.sent += 1;
                        let there = StreamId(2 * self.sent);
                        self.hosts[from].peers.insert(id, (to, there));
                        self.hosts[to].peers.insert(there, (from, id));
                        self.send(
                            to,
                            Parcel::Accepted {
                                id: there,
                                from: addr(from),
                            },
                        );
                        self.send(from, Parcel::Connected { id });
                    }
                    None => self.send(
                        from,
                        Parcel::End {
                            id,
                            end: StreamEnd::Failed,
                        },
                    ),
                }
            }
            Output::Write { id, bytes } => {
                if let Some((to, id)) = self.hosts[from].peers.get(&id).copied() {
                    self.send(to, Parcel::Data { id, bytes });
                }
            }
            Output::Close { id } => {
                if let Some((to, id)) = self.hosts[from].peers.remove(&id) {
                    self.send(
                        to,
                        Parcel::End {
                            id,
                            end: StreamEnd::Eof,
                        },
                    );
                }
            }
            Output::Resolve { id, host } => {
                let found = self.names.get(&*host).into_iter().flatten();
                let addrs = found.map(|it| addr(*it).ip()).collect();
                self.send(from, Parcel::Resolved { id, addrs });
            }
        }
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        let (now, host) = (self.now, &mut self.hosts[to]);
        if !host.up {
            return;
        }
        match parcel {
            Parcel::Datagram { from, bytes } => host.core.handle_datagram(now, from, &bytes),
            Parcel::Accepted { id, from } => host.core.handle_stream_accepted(now, id, from),
            Parcel::Connected { id } => host.core.handle_stream_connected(now, id),
            Parcel::Data { id, bytes } => host.core.handle_stream_data(now, id, &bytes),
            Parcel::End { id, end } => host.core.handle_stream_end(now, id, end),
            Parcel::Resolved { id, addrs } => host.core.handle_resolved(now, id, &addrs),
        }
        self.collect(to);
    }

    /// Delivers the next parcel or runs the next timeout. Returns false if neither is due by `end`.
    fn step(&mut self, end: Time) -> bool {
        let up = self.hosts.iter().enumerate().filter(|(_, host)| host.up);
        let timeouts = up.filter_map(|(i, host)| Some((host.core.poll_timeout()?, i)));
        let timeout = timeouts.min().filter(|(at, _)| *at <= end);
        let parcel = self
            .parcels
            .keys()
            .next()
            .copied()
            .filter(|(at, _)| *at <= end);
        match (timeout, parcel) {
            (None, None) => false,
            (Some((at, host)), parcel) if parcel.is_none_or(|(other, _)| at < other) => {
                self.now = self.now.max(at);
                self.hosts[host].core.handle_timeout(self.now);
                self.collect(host);
                true
            }
            (_, Some(key)) => {
                self.now = key.0;
                let (to, parcel) = self.parcels.remove(&key).unwrap();
                self.deliver(to, parcel);
                true
            }
            (Some(_), None) => unreachable!("the second arm handles a timeout without a parcel"),
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `holds` returns true; fails if that takes more than this many seconds.
    #[track_caller]
    fn run_until(&mut self, seconds: u64, holds: impl Fn(&Net) -> bool) {
        let end = self.now + secs(seconds);
        while !holds(self) {
            if !self.step(end) {
                self.show();
                panic!("the condition does not hold after {seconds} s");
            }
        }
    }

    fn show(&self) {
        for (i, host) in self.hosts.iter().enumerate() {
            let members = host
                .core
                .members()
                .map(|m| format!("{} {:?}", m.name, m.state));
            eprintln!("n{i} up={}: {:?}", host.up, members.collect::<Vec<_>>());
        }
    }

    /// Sends a user message to `to` from an address at which there is no node.
    fn inject(&mut self, to: usize, message: &SerfMessage<'_>) {
        let (mut content, mut bytes) = (Vec::new(), Vec::new());
        message.encode(&mut content);
        Message::User(&content).encode(&mut bytes);
        self.send(
            to,
            Parcel::Datagram {
                from: addr(200),
                bytes,
            },
        );
    }

    fn state(&self, viewer: usize, of: usize) -> Option<MemberState> {
        self.hosts[viewer]
            .core
            .member(&name(of))
            .map(|member| member.state)
    }

    /// Returns true if host `viewer` lists the name of host `of` as alive at the address of host
    /// `at`.
    fn sees_at(&self, viewer: usize, of: usize, at: usize) -> bool {
        let member = self.hosts[viewer].core.member(&name(of));
        member.is_some_and(|it| it.state == MemberState::Alive && it.addr == addr(at))
    }

    fn health(&self, host: usize) -> Health {
        self.hosts[host].core.health(self.now)
    }

    fn alive(&self, viewer: usize) -> usize {
        let members = self.hosts[viewer].core.members();
        members
            .filter(|member| member.state == MemberState::Alive)
            .count()
    }

    fn counter(&self, host: usize, wanted: &str) -> u64 {
        let stats = self.hosts[host].core.stats();
        let found = stats.iter().find(|it| it.name == wanted);
        found.unwrap().value.unsigned_abs()
    }

    /// Returns one word for each event of `viewer` about the node `about` since the last call.
    fn reported_about(&mut self, viewer: usize, about: usize) -> Vec<&'static str> {
        let about = name(about);
        let word = |event: &CoreEvent| match event {
            CoreEvent::App(EventBody::MemberJoin(member)) if *member.name == *about => Some("join"),
            CoreEvent::App(EventBody::MemberUpdate(member)) if *member.name == *about => {
                Some("update")
            }
            CoreEvent::App(EventBody::MemberLeave(member)) if *member.name == *about => {
                Some("leave")
            }
            CoreEvent::App(EventBody::MemberFail(member)) if *member.name == *about => Some("fail"),
            CoreEvent::App(EventBody::MemberReap(member)) if *member.name == *about => Some("reap"),
            CoreEvent::App(EventBody::MemberSuspect(member)) if *member.name == *about => {
                Some("suspect")
            }
            CoreEvent::App(EventBody::MemberAlive(member)) if *member.name == *about => {
                Some("alive")
            }
            _ => None,
        };
        let words = self.hosts[viewer].events.iter().filter_map(word).collect();
        let kept = |event: &CoreEvent| word(event).is_none();
        self.hosts[viewer].events.retain(kept);
        words
    }

    fn is_done(&self, host: usize, op: OpId) -> bool {
        self.hosts[host].events.iter().any(|event| match event {
            CoreEvent::LeaveDone { op: done, .. } | CoreEvent::JoinDone { op: done, .. } => {
                *done == op
            }
            _ => false,
        })
    }
}

#[test]
fn a_node_that_is_alone_lists_only_itself() {
    let config = Config {
        tags: tags(&[("role", "web")]),
        ..Config::default()
    };
    let mut net = Net::with(1, |_| config.clone());
    net.run(secs(60));
    let members: Vec<_> = net.hosts[0].core.members().cloned().collect();
    assert_eq!(members.len(), 1);
    assert_eq!((&*members[0].name, members[0].addr), ("n0", addr(0)));
    assert_eq!(members[0].tags().to_map(), tags(&[("role", "web")]));
    assert_eq!(
        (members[0].protocol(), members[0].delegate()),
        ([1, 5, 2], [2, 5, 5])
    );
    assert_eq!(net.reported_about(0, 0), ["join"]);
}

#[test]
fn a_node_whose_address_changes_before_it_joins_is_known_at_the_new_one_only() {
    let mut net = Net::new(1);
    let early = Core::new(
        Config::default(),
        Codec::default(),
        name(1).into(),
        "127.0.0.1:7946".parse().unwrap(),
        [7; 32],
        net.now,
    );
    net.hosts.push(Host {
        core: early.unwrap(),
        up: true,
        events: Vec::new(),
        peers: HashMap::new(),
    });
    net.run(secs(60));
    net.command(1, |core, now| core.set_addr(now, addr(1)));
    net.command(1, |core, now| core.set_addr(now, addr(1)));
    assert_eq!(net.reported_about(1, 1), ["join", "update"]);
    let own = net.hosts[1].core.member(&name(1)).unwrap();
    assert_eq!((own.addr, own.incarnation), (addr(1), 2));
    net.join(0, 1);
    net.run_until(5, |net| net.sees_at(0, 1, 1) && net.sees_at(1, 0, 0));
    net.run(secs(60));
    assert!(net.sees_at(0, 1, 1) && net.sees_at(1, 0, 0));
    assert_eq!(net.reported_about(0, 1), ["join"]);
    assert_eq!(net.counter(0, "refused_conflict"), 0);
    assert_eq!(net.counter(1, "refused_conflict"), 0);
}

#[test]
fn members_accept_the_new_address_of_a_node_after_they_have_declared_the_old_one_failed() {
    let mut net = Net::joined(3);
    // The node moves from its address in the network to the next one.
    let mut nothing = net.boot(9, Config::default());
    nothing.up = false;
    let moved = std::mem::replace(&mut net.hosts[2], nothing);
    net.hosts.push(moved);
    net.command(3, |core, now| core.set_addr(now, addr(3)));
    net.run_until(180, |net| (0..2).all(|viewer| net.sees_at(viewer, 2, 3)));
    assert_eq!(net.reported_about(0, 2).last(), Some(&"join"));
    assert!(net.sees_at(3, 2, 3));
    net.run_until(60, |net| net.health(3).name_conflict.is_none());
    net.run(secs(120));
    assert!((0..2).all(|viewer| net.sees_at(viewer, 2, 3)));
}

#[test]
fn a_joining_node_and_the_cluster_see_each_other_with_their_tags() {
    let config = |host: usize| Config {
        tags: tags(&[("host", &host.to_string())]),
        ..Config::default()
    };
    let mut net = Net::with(4, config);
    let ops: Vec<_> = (1..4).map(|host| net.join(host, 0)).collect();
    net.run_until(5, |net| (0..4).all(|host| net.alive(host) == 4));
    for viewer in 0..4 {
        for of in 0..4 {
            let member = net.hosts[viewer].core.member(&name(of)).unwrap().clone();
            assert_eq!(
                (member.tags().to_map()["host"].clone(), member.addr),
                (of.to_string(), addr(of))
            );
            assert_eq!(
                net.reported_about(viewer, of),
                ["join"],
                "{viewer} about {of}"
            );
        }
    }
    for (host, op) in (1..4).zip(ops) {
        assert!(net.is_done(host, op));
        assert_eq!(net.counter(host, "intents_sent"), 1);
    }
}

#[test]
fn new_tags_reach_every_member_and_the_same_tags_cause_no_event() {
    let mut net = Net::joined(3);
    let web = tags(&[("role", "web")]);
    net.command(1, |core, now| core.set_tags(now, web.clone()))
        .unwrap();
    net.run_until(5, |net| {
        (0..3).all(|host| net.hosts[host].core.member("n1").unwrap().tags().to_map() == web)
    });
    net.run(secs(5));
    let told: Vec<_> = (0..3).map(|viewer| net.reported_about(viewer, 1)).collect();
    assert_eq!(told, [["update"]; 3]);
    let version = net.hosts[0].core.version();
    let incarnation = net.hosts[1].core.member("n1").unwrap().incarnation;
    net.command(1, |core, now| core.set_tags(now, web.clone()))
        .unwrap();
    net.run(secs(5));
    assert_eq!(net.hosts[0].core.version(), version);
    assert_eq!(
        net.hosts[1].core.member("n1").unwrap().incarnation,
        incarnation
    );
    let huge = tags(&[("t", &"x".repeat(600))]);
    let refused = net.command(1, |core, now| core.set_tags(now, huge));
    assert_eq!(refused, Err(CommandError::TooLarge { len: 607, max: 512 }));
    assert_eq!(*net.hosts[1].core.tags(), web);
}

#[test]
fn a_dead_node_is_suspected_then_failed_and_joins_again_when_it_returns() {
    let mut net = Net::joined(3);
    net.hosts[2].up = false;
    net.run_until(20, |net| {
        (0..2).all(|v| net.state(v, 2) == Some(MemberState::Failed))
    });
    for viewer in 0..2 {
        assert_eq!(net.reported_about(viewer, 2), ["suspect", "fail"]);
    }
    net.hosts[2] = net.boot(2, Config::default());
    net.join(2, 0);
    net.run_until(40, |net| (0..3).all(|host| net.alive(host) == 3));
    for viewer in 0..2 {
        assert_eq!(net.reported_about(viewer, 2), ["join"]);
    }
}

#[test]
fn a_node_that_was_cut_off_is_found_again_without_help() {
    let mut net = Net::joined(3);
    net.cuts.extend([(0, 2), (1, 2)]);
    net.run(secs(300));
    assert_eq!(net.state(0, 2), Some(MemberState::Failed));
    assert_eq!(net.state(2, 0), Some(MemberState::Failed));
    net.cuts.clear();
    net.run_until(60, |net| (0..3).all(|host| net.alive(host) == 3));
}

#[test]
fn a_node_that_leaves_is_seen_as_left_by_all_and_never_as_failed() {
    let mut net = Net::joined(4);
    let op = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, op));
    assert_eq!(net.state(2, 2), Some(MemberState::Left));
    net.hosts[2].up = false;
    net.run(secs(60));
    for viewer in [0, 1, 3] {
        assert_eq!(net.state(viewer, 2), Some(MemberState::Left));
        assert_eq!(net.reported_about(viewer, 2), ["leave"]);
        assert_eq!(net.alive(viewer), 3);
    }
    assert_eq!(net.reported_about(2, 2), ["leave"]);
}

#[test]
fn a_leave_without_other_nodes_ends_at_once() {
    let mut net = Net::new(1);
    let op = net.command(0, Core::leave);
    net.run_until(1, |net| net.is_done(0, op));
    let refused = net.command(0, |core, now| core.set_tags(now, tags(&[("a", "b")])));
    assert_eq!(refused, Err(CommandError::Left));
}

#[test]
fn a_leave_ends_even_if_no_other_node_answers() {
    let mut net = Net::joined(2);
    net.hosts[0].up = false;
    let started = net.now;
    let op = net.command(1, Core::leave);
    net.run_until(12, |net| net.is_done(1, op));
    assert!(net.now.since(started) >= secs(1));
}

#[test]
fn a_node_that_joins_after_its_leave_takes_part_again() {
    let mut net = Net::joined(3);
    let op = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, op));
    net.run_until(5, |net| {
        (0..2).all(|v| net.state(v, 2) == Some(MemberState::Left))
    });
    net.run(secs(30));
    net.join(2, 0);
    net.run_until(10, |net| (0..3).all(|host| net.alive(host) == 3));
    net.run(secs(120));
    assert!((0..3).all(|host| net.alive(host) == 3));
    for viewer in 0..2 {
        assert_eq!(net.reported_about(viewer, 2), ["leave", "join"]);
    }
    assert_eq!(net.reported_about(2, 2), ["leave", "join"]);
    // The node can leave again.
    let op = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, op));
    net.run_until(5, |net| {
        (0..2).all(|v| net.state(v, 2) == Some(MemberState::Left))
    });
}

#[test]
fn a_join_in_the_middle_of_a_leave_cancels_the_leave() {
    for pause_ms in [0, 200, 700, 1200, 2500] {
        let mut net = Net::joined(3);
        net.command(2, Core::leave);
        net.run(Duration::from_millis(pause_ms));
        net.join(2, 0);
        net.run_until(30, |net| (0..3).all(|host| net.alive(host) == 3));
        net.run(secs(60));
        assert!(
            (0..3).all(|host| net.alive(host) == 3),
            "after {pause_ms} ms"
        );
    }
}

#[test]
fn a_failed_member_can_be_removed_and_a_live_one_cannot() {
    let mut net = Net::joined(3);
    let remove = |net: &mut Net, name: &'static str, prune| {
        net.command(0, |core, now| core.remove_failed(now, name, prune))
    };
    assert_eq!(remove(&mut net, "n2", false), Err(CommandError::NotFailed));
    assert_eq!(remove(&mut net, "n0", true), Err(CommandError::NotFailed));
    assert_eq!(
        remove(&mut net, "nobody", false),
        Err(CommandError::UnknownMember)
    );
    net.hosts[2].up = false;
    net.run_until(20, |net| {
        (0..2).all(|v| net.state(v, 2) == Some(MemberState::Failed))
    });
    assert_eq!(remove(&mut net, "n2", false), Ok(()));
    assert_eq!(net.state(0, 2), Some(MemberState::Left));
    net.run_until(5, |net| net.state(1, 2) == Some(MemberState::Left));
    assert_eq!(remove(&mut net, "n2", false), Err(CommandError::NotFailed));
    assert_eq!(remove(&mut net, "n2", true), Ok(()));
    net.run_until(5, |net| (0..2).all(|v| net.state(v, 2).is_none()));
    for viewer in 0..2 {
        assert_eq!(
            net.reported_about(viewer, 2),
            ["suspect", "fail", "leave", "reap"]
        );
    }
}

#[test]
fn a_failed_member_can_be_removed_by_the_only_remaining_member() {
    let mut net = Net::joined(2);
    net.hosts[1].up = false;
    net.run_until(20, |net| net.state(0, 1) == Some(MemberState::Failed));
    net.command(0, |core, now| core.remove_failed(now, "n1", false))
        .unwrap();
    assert_eq!(net.reported_about(0, 1), ["suspect", "fail", "leave"]);
}

#[test]
fn a_false_leave_intent_is_refuted_by_its_subject() {
    let mut net = Net::joined(3);
    let intent = LeaveIntent {
        ltime: 50,
        node: "n2",
        prune: true,
    };
    net.inject(0, &SerfMessage::Leave(intent));
    net.run(DELAY * 2);
    assert_eq!(net.state(0, 2), Some(MemberState::Leaving));
    net.run_until(5, |net| net.counter(2, "intents_refuted") == 1);
    net.run_until(5, |net| (0..3).all(|host| net.alive(host) == 3));
    net.run(secs(60));
    assert!((0..3).all(|host| net.alive(host) == 3));
    assert_eq!(net.reported_about(0, 2), [] as [&str; 0]);
}

#[test]
fn intents_from_the_far_future_change_nothing_anywhere() {
    let mut net = Net::joined(3);
    let time = net.counter(1, "member_time");
    net.inject(
        0,
        &SerfMessage::Leave(LeaveIntent {
            ltime: u64::MAX,
            node: "n2",
            prune: false,
        }),
    );
    net.inject(
        0,
        &SerfMessage::Join(JoinIntent {
            ltime: u64::MAX,
            node: "n1",
        }),
    );
    net.run(secs(60));
    assert!((0..3).all(|host| net.alive(host) == 3));
    assert_eq!(
        (
            net.counter(0, "refused_ltime_leap"),
            net.counter(1, "member_time")
        ),
        (2, time)
    );
}

#[test]
fn a_user_event_goes_through_every_node_once() {
    let mut net = Net::joined(5);
    let event = UserEvent {
        ltime: 4,
        name: b"deploy",
        payload: Some(b"v2"),
        coalesce: true,
    };
    net.inject(3, &SerfMessage::UserEvent(event));
    net.run(secs(60));
    for host in 0..5 {
        assert_eq!(net.counter(host, "user_events_relayed"), 1, "n{host}");
        assert_eq!(net.counter(host, "event_time"), 5, "n{host}");
    }
    net.inject(1, &SerfMessage::UserEvent(event));
    net.run(secs(10));
    assert!((0..5).all(|host| net.counter(host, "user_events_relayed") == 1));
}

#[test]
fn a_message_too_long_for_a_packet_is_used_but_counts_neither_as_relayed_nor_as_refused() {
    let mut net = Net::joined(3);
    let payload = vec![7; 2_000];
    net.inject(
        1,
        &SerfMessage::UserEvent(UserEvent {
            ltime: 1,
            name: b"long",
            payload: Some(&payload),
            coalesce: true,
        }),
    );
    net.run(secs(1));
    assert_eq!(net.user_events(1).len(), 1);
    let counted = [
        "broadcasts_too_long",
        "user_events_relayed",
        "refused_too_large",
    ];
    let counted = counted.map(|name| net.counter(1, name));
    assert_eq!(counted, [1, 0, 0]);
}

#[test]
fn a_query_goes_through_every_node_once_and_no_node_answers() {
    let mut net = Net::joined(4);
    let query = Query {
        ltime: 9,
        id: 77,
        addr: &[10, 0, 0, 99],
        port: 7946,
        source_node: "asker",
        filters: None,
        flags: 1,
        relay_factor: 2,
        timeout_ns: 3_000_000_000,
        name: b"uptime",
        payload: None,
    };
    net.inject(0, &SerfMessage::Query(query));
    net.run(secs(30));
    for host in 0..4 {
        assert_eq!(net.counter(host, "queries_relayed"), 1, "n{host}");
        assert_eq!(net.counter(host, "query_time"), 10, "n{host}");
    }
    assert_eq!(net.outside, Vec::<Vec<u8>>::new());
}

#[test]
fn a_relay_is_forwarded_to_a_member_and_to_no_other_address() {
    let mut net = Net::joined(2);
    let answer = QueryResponse {
        ltime: 3,
        id: 7,
        from: "n0",
        flags: 1,
        payload: None,
    };
    let mut inner = Vec::new();
    SerfMessage::QueryResponse(answer).encode(&mut inner);
    for addr in [[10, 0, 0, 2], [10, 0, 0, 77]] {
        let relay = Relay {
            addr: &addr,
            port: 7946,
            node: "n1",
            inner: &inner,
        };
        net.inject(0, &SerfMessage::Relay(relay));
    }
    net.run(secs(1));
    assert_eq!(
        (net.counter(0, "relays"), net.counter(0, "relays_refused")),
        (1, 1)
    );
    assert_eq!((net.counter(1, "stray_answers"), net.outside.len()), (1, 0));
}

#[test]
fn a_node_that_missed_a_leave_learns_of_it_by_push_pull() {
    let mut net = Net::joined(4);
    // n3 is cut off while n2 leaves.
    net.cuts.extend([(0, 3), (1, 3), (2, 3)]);
    let op = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, op));
    net.hosts[2].up = false;
    net.run(secs(60));
    assert_eq!(net.state(3, 2), Some(MemberState::Failed));
    net.cuts.clear();
    net.run_until(90, |net| net.state(3, 2) == Some(MemberState::Left));
    assert_eq!(net.reported_about(3, 2), ["suspect", "fail", "leave"]);
}

/// The member through which the node returns is new as well, so it does not know that others list
/// the node as left.
#[test]
fn a_node_that_returns_through_a_newcomer_is_a_member_everywhere_within_seconds() {
    let mut net = Net::joined(5);
    let op = net.command(4, Core::leave);
    net.run_until(15, |net| net.is_done(4, op));
    net.hosts[4].up = false;
    net.hosts[3].up = false;
    net.run_until(60, |net| net.state(0, 3) == Some(MemberState::Failed));
    for (host, through) in [(3, 0), (4, 3)] {
        net.hosts[host] = net.boot(host, Config::default());
        net.join(host, through);
        net.run(secs(1));
    }
    let all_alive = |net: &Net| (0..5).all(|host| net.alive(host) == 5);
    net.run_until(10, all_alive);
    net.run(secs(60));
    assert!(all_alive(&net));
    for viewer in 0..3 {
        assert_eq!(net.reported_about(viewer, 4), ["leave", "join"]);
    }
}

#[test]
fn a_new_node_does_not_spread_earlier_user_events() {
    let mut net = Net::joined(2);
    let event = UserEvent {
        ltime: 4,
        name: b"deploy",
        payload: None,
        coalesce: false,
    };
    net.inject(0, &SerfMessage::UserEvent(event));
    net.run(secs(10));
    let host = net.hosts.len();
    let newcomer = net.boot(host, Config::default());
    net.hosts.push(newcomer);
    net.join(host, 0);
    net.run_until(5, |net| (0..3).all(|host| net.alive(host) == 3));
    net.run(secs(5));
    assert_eq!(net.counter(2, "event_time"), 5);
    assert_eq!(net.counter(2, "user_events_relayed"), 0);
    net.inject(2, &SerfMessage::UserEvent(event));
    net.run(secs(5));
    assert_eq!(net.counter(2, "user_events_relayed"), 0);
}

#[test]
fn bare_memberlist_nodes_see_one_another_join_leave_and_fail_without_intents() {
    let config = |host: usize| Config {
        mode: Mode::Memberlist,
        meta: vec![host as u8; 3],
        ..Config::default()
    };
    let mut net = Net::with(4, config);
    net.join_all();
    assert_eq!(*net.hosts[0].core.member("n3").unwrap().meta, [3, 3, 3]);
    net.command(3, |core, now| core.set_meta(now, b"new".to_vec()))
        .unwrap();
    net.run_until(5, |net| {
        *net.hosts[0].core.member("n3").unwrap().meta == *b"new"
    });
    let op = net.command(3, Core::leave);
    net.run_until(15, |net| net.is_done(3, op));
    net.hosts[3].up = false;
    net.hosts[2].up = false;
    net.run_until(120, |net| {
        (0..2).all(|viewer| net.hosts[viewer].core.members().count() == 2)
    });
    for viewer in 0..2 {
        assert_eq!(net.reported_about(viewer, 3), ["update", "leave", "reap"]);
        assert_eq!(net.reported_about(viewer, 2), ["suspect", "fail", "reap"]);
    }
    assert_eq!(
        net.counter(0, "intents_sent") + net.counter(0, "intents_relayed"),
        0
    );
    let refused = net.command(0, |core, now| core.remove_failed(now, "n2", false));
    assert_eq!(refused, Err(CommandError::WrongMode));
}

/// Looks at a node, and returns the result: the report, and the members with their states.
fn look(net: &mut Net, host: usize, at: Seed) -> (JoinReport, Vec<(String, MemberState)>) {
    let op = net.command(host, |core, now| core.look(now, &at)).unwrap();
    let result = |event: &CoreEvent| match event {
        CoreEvent::LookDone {
            op: done,
            report,
            members,
        } if *done == op => {
            let named = members.iter().map(|it| (it.name.to_string(), it.state));
            Some((report.clone(), named.collect()))
        }
        _ => None,
    };
    let found = |net: &Net| net.hosts[host].events.iter().find_map(result);
    net.run_until(30, |net| found(net).is_some());
    found(net).unwrap()
}

#[test]
fn a_look_lists_members_in_every_state_and_neither_side_learns_of_the_other() {
    use MemberState::{Alive, Failed, Left, Suspect};
    let mut net = Net::new(6);
    for host in 1..5 {
        net.join(host, 0);
    }
    net.run_until(10, |net| (0..5).all(|host| net.alive(host) == 5));
    net.command(1, Core::leave);
    net.run(secs(5));
    net.hosts[2].up = false;
    net.run_until(60, |net| net.state(0, 2) == Some(Failed));
    // The nodes forget the address of a node that failed, but not its name.
    net.run(secs(60));
    net.hosts[3].up = false;
    net.run_until(60, |net| net.state(0, 3) == Some(Suspect));
    let event = SerfMessage::UserEvent(UserEvent {
        ltime: 7,
        name: b"of another cluster",
        payload: None,
        coalesce: false,
    });
    net.inject(5, &event);
    net.run(secs(1));
    let (report, found) = look(&mut net, 5, Seed::Addr(addr(0)));
    assert_eq!((report.contacted, report.failures), (1, vec![]));
    let expected = [Alive, Left, Failed, Suspect, Alive];
    let expected = (0..5)
        .zip(expected)
        .map(|(host, state)| (name(host), state));
    assert_eq!(found, expected.collect::<Vec<_>>());
    net.run(secs(30));
    for host in [0, 4] {
        assert_eq!(net.hosts[host].core.member(&name(5)), None, "n{host}");
        assert_eq!(net.counter(host, "event_time"), 1, "n{host}");
    }
    assert_eq!(net.hosts[5].core.members().count(), 1);
}

#[test]
fn a_look_asks_the_addresses_of_a_host_in_turn_and_reports_each_failure() {
    let mut net = Net::new(3);
    net.names.insert("two", vec![2, 1]);
    net.hosts[2].up = false;
    let (report, found) = look(&mut net, 0, Seed::Host("two".into(), 7946));
    assert_eq!((report.contacted, found.len()), (1, 1));
    let failed = vec![(
        "two:7946 (10.0.0.3:7946)".to_owned(),
        JoinFailure::Unreachable,
    )];
    assert_eq!(report.failures, failed);
    let (report, found) = look(&mut net, 0, Seed::Host("none".into(), 7946));
    assert_eq!((report.contacted, found.len()), (0, 0));
    assert_eq!(
        report.failures,
        [("none:7946".to_owned(), JoinFailure::Unresolved)]
    );
    let (report, _) = look(&mut net, 0, Seed::Addr(addr(2)));
    assert_eq!(report.failures[0].0, "10.0.0.3:7946");
}

#[test]
fn a_node_can_look_at_itself_and_the_number_of_looks_is_bounded() {
    let mut net = Net::new(1);
    let own = Seed::Addr(addr(0));
    let (_, found) = look(&mut net, 0, own.clone());
    assert_eq!(found, [(name(0), MemberState::Alive)]);
    let mut begin = || net.command(0, |core, now| core.look(now, &own));
    let begun = std::iter::repeat_with(&mut begin).take_while(Result::is_ok);
    assert_eq!(begun.count(), 16);
    assert_eq!(begin(), Err(CommandError::TooManyLooks));
}

#[test]
fn every_counter_has_a_name_of_its_own_and_an_explanation() {
    let net = Net::new(1);
    let stats = net.hosts[0].core.stats();
    let names: BTreeSet<_> = stats.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), stats.len());
    for Counter { name, help, .. } in stats {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(
            name.chars().all(plain) && help.ends_with('.'),
            "{name}: {help}"
        );
    }
}

#[test]
fn no_message_between_healthy_nodes_is_refused() {
    let mut net = Net::joined(3);
    let event = UserEvent {
        ltime: 4,
        name: b"deploy",
        payload: None,
        coalesce: false,
    };
    net.inject(0, &SerfMessage::UserEvent(event));
    net.command(1, |core, now| core.set_tags(now, tags(&[("a", "b")])))
        .unwrap();
    let op = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, op));
    net.run(secs(100));
    assert!(net.counter(0, "push_pulls") > 1);
    for host in 0..3 {
        let stats = net.hosts[host].core.stats();
        let refused = stats
            .iter()
            .filter(|it| it.name.contains("refused") && it.value > 0);
        assert_eq!(
            refused.collect::<Vec<_>>(),
            Vec::<&Counter>::new(),
            "n{host}"
        );
    }
}

#[test]
fn a_join_with_a_name_that_is_taken_reports_the_owner_and_the_node_leaves_without_harm() {
    let mut net = Net::with_twin();
    net.join_twin(0);
    let told =
        |wanted: &dyn Fn(&CoreEvent) -> bool, net: &Net| net.hosts[3].events.iter().any(wanted);
    let owner = addr(2);
    assert!(told(
        &|it| *it == CoreEvent::NameClaimed { other: owner },
        &net
    ));
    assert!(told(
        &|it| *it == CoreEvent::NameConflict { other: owner },
        &net
    ));
    let of_join =
        |it: &CoreEvent| matches!(it, CoreEvent::JoinDone { owner: o, .. } if *o == Some(owner));
    assert!(told(&of_join, &net));
    net.run(secs(10));
    let other = NameConflict {
        addr: owner,
        verdict: ConflictVerdict::Alive,
    };
    assert_eq!(net.health(3).name_conflict, Some(other));
    // The owner must not hear of the conflict: if it were a Serf agent, it would start a vote, and
    // might have to quit.
    assert_eq!(net.health(2).name_conflict, None);
    let left = net.command(3, Core::leave);
    net.run_until(5, |net| net.is_done(3, left));
    net.run(secs(5));
    net.hosts[3].up = false;
    net.run(secs(120));
    for viewer in 0..3 {
        assert_eq!(net.state(viewer, 2), Some(MemberState::Alive));
        assert!(net.reported_about(viewer, 2).is_empty());
        assert_eq!(net.health(viewer).summary, "healthy");
    }
}

/// The owner does not answer this node, but other members reach it. The join first succeeds, since
/// the owner could be an earlier run of this node. Once the conflict is certain, no join succeeds.
#[test]
fn no_join_succeeds_after_it_was_reported_that_the_name_is_taken_until_the_name_is_free() {
    let mut net = Net::with_twin();
    net.cuts.insert((2, 3));
    net.join_twin(0);
    let owners = |net: &mut Net| -> Vec<Option<SocketAddr>> {
        let owner = |it: CoreEvent| match it {
            CoreEvent::JoinDone { owner, .. } => Some(owner),
            _ => None,
        };
        net.hosts[3].events.drain(..).filter_map(owner).collect()
    };
    assert_eq!(owners(&mut net), [None]);
    let conflict = CoreEvent::NameConflict { other: addr(2) };
    net.run_until(120, |net| net.hosts[3].events.contains(&conflict));
    net.join_twin(0);
    assert_eq!(owners(&mut net), [Some(addr(2))]);
    net.hosts[2].up = false;
    let free = CoreEvent::NameFree { reported: true };
    net.run_until(120, |net| net.hosts[3].events.contains(&free));
    net.join_twin(0);
    assert_eq!(owners(&mut net), [None]);
}

/// Two clusters of these sizes, each with a node `n1`, become one, because host 0 joins the first
/// host of the second cluster. Returns the number of the host that has the name `n1` there.
fn two_clusters(net: &mut Net, sizes: [usize; 2]) -> usize {
    let [first, second] = sizes;
    let twin = first + 1;
    for host in 0..first + second {
        let name = name(if host == twin { 1 } else { host });
        let booted = net.boot_as(host, &name, Config::default());
        net.hosts.push(booted);
        let through = if host < first { 0 } else { first };
        if host != through {
            net.join(host, through);
        }
    }
    net.run(secs(10));
    net.hosts.iter_mut().for_each(|host| host.events.clear());
    net.join(0, first);
    twin
}

/// Returns what the votes of a host have brought: the votes, the answers, and true if the host has
/// kept its name.
fn votes(net: &Net, host: usize) -> Vec<(usize, usize, bool)> {
    let vote = |it: &CoreEvent| match it {
        CoreEvent::NameVote {
            answers,
            votes,
            kept,
            ..
        } => Some((*votes, *answers, *kept)),
        _ => None,
    };
    net.hosts[host].events.iter().filter_map(vote).collect()
}

fn has_lost_its_name(net: &Net, host: usize) -> bool {
    let conflict = |it: &CoreEvent| matches!(it, CoreEvent::NameConflict { .. });
    net.hosts[host].events.iter().any(conflict)
}

#[test]
fn when_two_clusters_become_one_the_node_of_the_larger_one_keeps_the_name_of_both() {
    for (sizes, larger) in [([5, 3], true), ([3, 5], false)] {
        let mut net = Net::new(0);
        let twin = two_clusters(&mut net, sizes);
        let (winner, loser) = if larger { (1, twin) } else { (twin, 1) };
        net.run_until(120, |net| has_lost_its_name(net, loser));
        assert_eq!(votes(&net, loser), [(2, 6, false)]);
        let viewers = || (0..8).filter(|host| *host != loser);
        net.run_until(120, |net| {
            viewers().all(|it| net.sees_at(it, 1, winner) && net.alive(it) == 7)
        });
        assert!(!has_lost_its_name(&net, winner));
        assert!(votes(&net, winner).iter().all(|(_, _, kept)| *kept));
        net.run(secs(120));
        assert!(viewers().all(|it| net.health(it).summary == "healthy"));
        let called = |host| net.counter(host, "votes_called");
        assert!(called(winner) + called(loser) <= 4);
        // The loser leaves, and the winner stays.
        let left = net.command(loser, Core::leave);
        net.run_until(5, |net| net.is_done(loser, left));
        net.run(secs(60));
        assert!(viewers().all(|it| net.sees_at(it, 1, winner)));
    }
}

/// An agent quits with half of the votes, so a node waits for the next vote before it counts
/// addresses.
#[test]
fn when_two_clusters_of_one_size_become_one_the_lower_address_decides_at_the_second_vote() {
    let mut net = Net::new(0);
    let twin = two_clusters(&mut net, [4, 4]);
    net.run_until(120, |net| has_lost_its_name(net, twin));
    assert_eq!(votes(&net, twin), [(3, 6, true), (3, 6, false)]);
    let viewers = || (0..8).filter(|host| *host != twin);
    net.run_until(120, |net| viewers().all(|it| net.sees_at(it, 1, 1)));
    assert!(!has_lost_its_name(&net, 1));
}

/// The members at the other side are cut off again before the votes, so each side has only its own
/// voters.
#[test]
fn a_node_that_only_its_own_side_answers_stays_until_the_other_side_answers_as_well() {
    let mut net = Net::new(0);
    let twin = two_clusters(&mut net, [5, 3]);
    let sides = |net: &Net| votes(net, 1).len() + votes(net, twin).len();
    let others = (0..5).flat_map(|a| (5..8).map(move |b| (a, b)));
    let cut: Vec<_> = others.filter(|pair| *pair != (1, twin)).collect();
    net.run(secs(1));
    net.cuts.extend(cut.iter().copied());
    net.run(secs(90));
    assert!(!has_lost_its_name(&net, 1) && !has_lost_its_name(&net, twin));
    let before = sides(&net);
    for pair in &cut {
        net.cuts.remove(pair);
    }
    net.run_until(300, |net| has_lost_its_name(net, twin));
    assert!(sides(&net) > before);
    let viewers = || (0..8).filter(|host| *host != twin);
    net.run_until(120, |net| viewers().all(|it| net.sees_at(it, 1, 1)));
    assert!(!has_lost_its_name(&net, 1));
}

/// Anyone can claim the name of a node in a cluster without a key.
#[test]
fn forged_claims_cause_a_vote_only_if_a_node_answers_and_few_votes_then() {
    let mut net = Net::joined(4);
    let claim = |net: &mut Net, host: u8| {
        let mut bytes = Vec::new();
        let alive = Alive {
            incarnation: 9,
            node: "n2",
            addr: &[10, 0, 0, host + 1],
            port: 7946,
            meta: None,
            vsn: &[1, 5, 2, 2, 5, 5],
        };
        Message::Alive(alive).encode(&mut bytes);
        let from = addr(200);
        net.send(2, Parcel::Datagram { from, bytes });
    };
    for _ in 0..60 {
        claim(&mut net, 200);
        net.run(secs(1));
    }
    assert_eq!(net.counter(2, "votes_called"), 0, "no node answers there");
    net.run(secs(30));
    let impostor = net.boot_as(4, "n2", Config::default());
    net.hosts.push(impostor);
    for _ in 0..90 {
        claim(&mut net, 4);
        net.run(secs(1));
    }
    let called = net.counter(2, "votes_called");
    assert!((2..=4).contains(&called), "{called} votes in 90 seconds");
    assert!(votes(&net, 2).iter().all(|vote| *vote == (3, 3, true)));
    assert!((0..4).all(|viewer| net.sees_at(viewer, 2, 2)));
}

/// Members take a join intent for one of the owner's.
#[test]
fn a_node_that_cannot_reach_the_owner_of_its_name_does_not_cancel_the_leave_of_the_owner() {
    let mut net = Net::with_twin();
    net.cuts.insert((2, 3));
    net.join_twin(0);
    net.run(secs(10));
    let left = net.command(2, Core::leave);
    // The node pulls a state every two seconds; here it does so at the time of the leave as well.
    while !net.is_done(2, left) {
        net.join(3, 0);
        net.run(Duration::from_millis(100));
    }
    assert_eq!(net.counter(3, "intents_refuted"), 0);
    for viewer in 0..2 {
        let about = net.reported_about(viewer, 2);
        assert!(!about.contains(&"fail"), "{about:?}");
    }
}

/// Nodes that ask a node whose name is taken must not learn of it: they would tell the owner of the
/// name.
#[test]
fn a_node_whose_name_is_taken_shows_itself_to_no_node_that_asks_it() {
    let mut net = Net::with_twin();
    net.join_twin(0);
    let newcomer = net.boot(4, Config::default());
    net.hosts.push(newcomer);
    // The owner, another member and a newcomer ask the node; the newcomer also joins the cluster.
    for (host, through) in [(2, 3), (0, 3), (4, 3), (4, 0)] {
        net.join(host, through);
        net.run(secs(1));
    }
    net.run(secs(60));
    for leaves in [false, true] {
        if leaves {
            let left = net.command(3, Core::leave);
            net.run_until(15, |net| net.is_done(3, left));
            for host in [0, 2, 4] {
                net.join(host, 3);
            }
            net.run(secs(60));
        }
        for viewer in [0, 1, 2, 4] {
            assert!(net.sees_at(viewer, 2, 2), "host {viewer}, leaves: {leaves}");
            assert_eq!(net.health(viewer).name_conflict, None);
            assert_eq!(net.counter(viewer, "conflicts"), 0);
        }
    }
}

/// A node that is in its own list of seeds may ask itself first.
#[test]
fn a_seed_that_is_the_node_itself_does_not_hide_that_its_name_is_taken() {
    let mut net = Net::with_twin();
    net.cuts.extend([(0, 3), (1, 3), (2, 3)]);
    net.join(3, 3);
    net.run(secs(5));
    net.cuts.clear();
    net.join(3, 0);
    net.run(secs(5));
    let conflict = CoreEvent::NameConflict { other: addr(2) };
    assert!(net.hosts[3].events.contains(&conflict));
}

#[test]
fn a_node_that_returns_when_its_name_is_free_again_joins_at_once() {
    let mut net = Net::with_twin();
    net.join_twin(0);
    let left = net.command(3, Core::leave);
    net.run_until(15, |net| net.is_done(3, left));
    let left = net.command(2, Core::leave);
    net.run_until(15, |net| net.is_done(2, left));
    net.hosts[2].up = false;
    net.hosts[3].events.clear();
    let joined = net.join(3, 0);
    net.run_until(5, |net| net.is_done(3, joined));
    let is_refused = |it: &CoreEvent| matches!(it, CoreEvent::JoinDone { owner: Some(_), .. });
    assert!(!net.hosts[3].events.iter().any(is_refused));
    net.run_until(60, |net| net.sees_at(0, 2, 3));
}

#[test]
fn a_node_does_not_show_itself_to_the_owner_of_its_name_even_if_the_owner_is_a_seed() {
    let mut net = Net::with_twin();
    net.join_twin(2);
    let is_told = |it: &CoreEvent| match it {
        CoreEvent::JoinDone { owner, .. } => *owner == Some(addr(2)),
        _ => false,
    };
    assert!(net.hosts[3].events.iter().any(is_told));
    let seeds = [Seed::Addr(addr(2))];
    net.command(3, |core, now| core.remember_seeds(now, &seeds));
    net.run(secs(120));
    assert_eq!(net.health(2).name_conflict, None);
    let stats = net.hosts[2].core.stats();
    let conflicts = stats.iter().filter(|it| it.name.starts_with("conflicts"));
    assert_eq!(conflicts.map(|it| it.value).sum::<i64>(), 0);
}

#[test]
fn a_node_whose_name_was_taken_gets_the_name_when_the_owner_is_gone() {
    let mut net = Net::with_twin();
    net.join(3, 0);
    net.run(secs(5));
    net.hosts[2].up = false;
    net.run(secs(15));
    assert_eq!(
        net.health(3).name_conflict,
        Some(NameConflict {
            addr: addr(2),
            verdict: ConflictVerdict::Silent
        })
    );
    net.run_until(60, |net| (0..2).all(|viewer| net.sees_at(viewer, 2, 3)));
    net.run(secs(30));
    assert_eq!(net.health(3).name_conflict, None);
    let is_free = |it: &&CoreEvent| **it == CoreEvent::NameFree { reported: true };
    assert_eq!(net.hosts[3].events.iter().filter(is_free).count(), 1);
    let again = net.join(3, 0);
    net.run_until(1, |net| net.is_done(3, again));
    let last = net.hosts[3].events.last();
    assert!(
        matches!(last, Some(CoreEvent::JoinDone { owner: None, .. })),
        "{last:?}"
    );
}

#[test]
fn a_node_that_returns_at_another_address_is_a_member_soon_after_members_give_up_the_old_address() {
    let mut net = Net::joined(5);
    net.hosts[4].up = false;
    let moved = net.boot_as(5, "n4", Config::default());
    net.hosts.push(moved);
    let joined = net.join(5, 0);
    net.run_until(1, |net| net.is_done(5, joined));
    net.run_until(60, |net| net.state(0, 4) == Some(MemberState::Failed));
    // Members accept another address for the name 30 s after they have declared the old one failed.
    // Until then, the node announces itself to a member every 2 s.
    net.run_until(40, |net| (0..4).all(|viewer| net.sees_at(viewer, 4, 5)));
    net.run(secs(20));
    assert_eq!(net.health(5).summary, "healthy");
    let conflict = |it: &CoreEvent| matches!(it, CoreEvent::NameConflict { .. });
    assert!(!net.hosts[5].events.iter().any(conflict));
}

#[test]
fn a_node_that_members_list_as_failed_at_another_address_reports_that_in_its_health() {
    let mut net = Net::joined(3);
    net.hosts[2].up = false;
    net.run_until(60, |net| net.state(0, 2) == Some(MemberState::Failed));
    let moved = net.boot_as(3, "n2", Config::default());
    net.hosts.push(moved);
    net.join(3, 0);
    net.run(secs(5));
    let listed = NameConflict {
        addr: addr(2),
        verdict: ConflictVerdict::Silent,
    };
    assert_eq!(net.health(3).name_conflict, Some(listed));
    net.run_until(40, |net| (0..2).all(|viewer| net.sees_at(viewer, 2, 3)));
    net.run_until(10, |net| net.health(3).summary == "healthy");
}

#[test]
fn a_failed_member_that_was_removed_is_not_known_any_more() {
    let mut net = Net::joined(3);
    net.hosts[2].up = false;
    net.run_until(60, |net| net.state(0, 2) == Some(MemberState::Failed));
    assert_eq!(net.health(0).known, 3);
    net.command(0, |core, now| core.remove_failed(now, "n2", true))
        .unwrap();
    net.run(secs(2));
    assert_eq!((net.health(0).known, net.health(1).known), (2, 2));
}

#[test]
fn in_memberlist_mode_a_failed_member_is_not_known_when_it_is_off_the_list_but_is_searched_for() {
    let mut net = memberlist_net(3);
    net.hosts[2].up = false;
    net.run_until(60, |net| net.state(0, 2) == Some(MemberState::Failed));
    assert_eq!(net.health(0).known, 3);
    net.run_until(60, |net| net.state(0, 2).is_none());
    net.run(secs(1));
    assert_eq!(net.health(0).known, 2);
    let before = net.counter(0, "reconnects");
    net.run(secs(100));
    assert!(net.counter(0, "reconnects") > before);
    net.hosts[2].up = true;
    net.run_until(60, |net| net.state(0, 2) == Some(MemberState::Alive));
    assert_eq!(net.health(0).known, 3);
}

/// Node 0 is cut off and declares the others failed. Meanwhile, one of them leaves.
#[test]
fn in_memberlist_mode_a_member_that_left_while_it_was_cut_off_has_left() {
    for is_forgotten in [false, true] {
        let mut net = memberlist_net(3);
        net.cuts.extend([(0, 1), (0, 2)]);
        net.run_until(60, |net| net.state(0, 2) == Some(MemberState::Failed));
        if is_forgotten {
            net.run_until(60, |net| net.state(0, 2).is_none());
        }
        let left = net.command(2, Core::leave);
        net.run_until(15, |net| net.is_done(2, left));
        net.hosts[2].up = false;
        net.cuts.clear();
        net.run_until(60, |net| net.state(0, 1) == Some(MemberState::Alive));
        net.run(secs(2));
        let told = net.reported_about(0, 2);
        let expected: &[&str] = match is_forgotten {
            false => &["suspect", "fail", "leave"],
            true => &["suspect", "fail", "reap"],
        };
        assert_eq!(told, expected);
        assert_eq!(net.health(0).known, 2);
        let before = net.counter(0, "reconnects");
        net.run(secs(100));
        assert_eq!(net.counter(0, "reconnects"), before, "the search is over");
    }
}

#[test]
fn a_node_that_returned_at_another_address_is_seen_to_leave() {
    let mut net = Net::joined(3);
    net.hosts[2].up = false;
    let moved = net.boot_as(3, "n2", Config::default());
    net.hosts.push(moved);
    net.join(3, 0);
    net.run_until(120, |net| (0..2).all(|viewer| net.sees_at(viewer, 2, 3)));
    net.run(secs(120));
    let left = net.command(3, Core::leave);
    net.run_until(15, |net| net.is_done(3, left));
    for viewer in 0..2 {
        assert_eq!(net.state(viewer, 2), Some(MemberState::Left));
    }
}

#[test]
fn a_member_whose_name_is_not_text_is_listed_accused_and_passed_on_by_its_bytes() {
    const RAW: &[u8] = b"ghost\xff";
    const TEXT: &str = r"ghost\xff";
    let mut net = Net::joined(3);
    let alive = Alive {
        incarnation: 1,
        node: TEXT,
        addr: &[10, 0, 0, 200],
        port: 7946,
        meta: None,
        vsn: &[1, 5, 2, 2, 5, 4],
    };
    let (from, bytes) = (addr(199), Message::Alive(alive).encoded());
    assert!(bytes.windows(RAW.len()).any(|part| part == RAW));
    net.send(0, Parcel::Datagram { from, bytes });
    let state = |net: &Net, viewer: usize| net.hosts[viewer].core.member(TEXT).map(|it| it.state);
    net.run_until(5, |net| (0..3).all(|host| state(net, host).is_some()));
    let host = net.hosts.len();
    let newcomer = net.boot(host, Config::default());
    net.hosts.push(newcomer);
    net.join(host, 0);
    net.run_until(5, |net| state(net, 3).is_some());
    net.run_until(90, |net| {
        (0..4).all(|host| state(net, host) == Some(MemberState::Failed))
    });
    assert!(
        net.outside
            .iter()
            .any(|sent| sent.windows(RAW.len()).any(|part| part == RAW))
    );
    for host in 0..4 {
        assert_eq!(net.counter(host, "refused_utf8"), 0);
    }
}

impl Net {
    /// Returns the user events that a host has delivered since the last call, as their names.
    fn user_events(&mut self, host: usize) -> Vec<String> {
        let name = |event| match event {
            CoreEvent::App(EventBody::User { name, .. }) => Some(name),
            _ => None,
        };
        self.hosts[host].events.drain(..).filter_map(name).collect()
    }

    fn send_event(&mut self, host: usize, name: &str, payload: &[u8]) {
        let now = self.now;
        let core = &mut self.hosts[host].core;
        let sent = core.send_event(now, name, payload, Coalescing::Forbidden);
        assert_eq!(sent, Ok(()));
        self.collect(host);
    }

    fn query(&mut self, host: usize, number: u64, options: &QueryOptions) {
        let now = self.now;
        let asked = self.hosts[host]
            .core
            .query(now, number, "load", b"1 m", options);
        assert_eq!(asked, Ok(()));
        self.collect(host);
    }

    /// Makes every host answer the queries that it was handed, with its name.
    fn answer_queries(&mut self) {
        for host in 0..self.hosts.len() {
            let asked = |event: &CoreEvent| match event {
                CoreEvent::App(EventBody::Query { id, .. }) => Some(*id),
                _ => None,
            };
            let ids: Vec<u64> = self.hosts[host].events.iter().filter_map(asked).collect();
            self.hosts[host]
                .events
                .retain(|event| asked(event).is_none());
            for id in ids {
                let now = self.now;
                let answered = self.hosts[host]
                    .core
                    .respond(now, id, name(host).as_bytes());
                assert_eq!(answered, Ok(()));
                self.collect(host);
            }
        }
    }

    /// Returns the numbers of acks and answers that a host has got for its query, and the members
    /// that are missing at its end; `None` while it is under way.
    fn outcome(&self, host: usize) -> (usize, usize, Option<Vec<String>>) {
        let (mut acks, mut answers, mut end) = (0, 0, None);
        for event in &self.hosts[host].events {
            match event {
                CoreEvent::App(EventBody::QueryAck { .. }) => acks += 1,
                CoreEvent::App(EventBody::QueryResponse { from, payload, .. }) => {
                    assert_eq!(from.as_bytes(), &**payload);
                    answers += 1;
                }
                CoreEvent::QueryDone { missing, .. } => {
                    end = Some(missing.iter().map(ToString::to_string).collect());
                }
                _ => {}
            }
        }
        (acks, answers, end)
    }
}

#[test]
fn a_user_event_reaches_every_node_once_and_a_newcomer_not_at_all() {
    let mut net = Net::joined(5);
    net.send_event(3, "deploy", b"v2");
    net.send_event(1, "deploy", b"v3");
    net.run(secs(60));
    for host in 0..5 {
        assert_eq!(net.user_events(host), ["deploy", "deploy"], "n{host}");
    }
    for replay_events in [false, true] {
        let config = Config {
            replay_events,
            ..Config::default()
        };
        let host = net.hosts.len();
        let newcomer = net.boot(host, config);
        net.hosts.push(newcomer);
        net.join(host, 0);
        net.run_until(5, |net| net.alive(host) == host + 1);
        net.run(secs(40));
        let expected = if replay_events { 2 } else { 0 };
        assert_eq!(net.user_events(host).len(), expected);
    }
    assert!((0..5).all(|host| net.user_events(host).is_empty()));
}

#[test]
fn user_events_wait_for_gossip_but_not_at_a_node_that_is_alone() {
    let mut net = Net::new(1);
    (0..3_000).for_each(|_| net.send_event(0, "alone", b""));
    assert_eq!(net.user_events(0).len(), 3_000);

    let mut net = Net::joined(2);
    let mut refused = None;
    for n in 0..3_000 {
        let send = |core: &mut Core, now| core.send_event(now, "e", b"", Coalescing::Forbidden);
        if let Err(why) = net.command(0, send) {
            refused = Some((n, why));
            break;
        }
    }
    let Some((accepted, CommandError::TooManyEvents)) = refused else {
        panic!("{refused:?}");
    };
    let sent = net.user_events(0).len();
    assert!(sent < 200, "{sent}");
    assert_eq!(accepted, sent + 2_048);
    net.run(secs(300));
    assert_eq!(net.user_events(0).len(), accepted - sent);
    assert_eq!(net.user_events(1).len(), accepted);
}

#[test]
fn a_query_is_answered_by_all_that_it_is_addressed_to_and_ends_before_its_deadline() {
    let mut net = Net::joined(5);
    let options = QueryOptions {
        ack: true,
        ..QueryOptions::default()
    };
    net.query(2, 9, &options);
    for _ in 0..20 {
        net.run(Duration::from_millis(100));
        net.answer_queries();
    }
    assert_eq!(net.outcome(2), (5, 5, Some(vec![])));
    net.hosts[2].events.clear();
    let some = QueryOptions {
        nodes: vec![name(0), name(4)],
        ..QueryOptions::default()
    };
    net.query(2, 10, &some);
    for _ in 0..20 {
        net.run(Duration::from_millis(100));
        net.answer_queries();
    }
    assert_eq!(net.outcome(2), (0, 2, Some(vec![])));
}

#[test]
fn a_query_ends_at_its_deadline_and_names_the_members_that_did_not_answer() {
    let mut net = Net::joined(3);
    net.query(0, 9, &QueryOptions::default());
    net.run(secs(3));
    assert_eq!(net.outcome(0), (0, 0, None));
    net.run(secs(1));
    let missing = (0..3).map(name).collect();
    assert_eq!(net.outcome(0), (0, 0, Some(missing)));
}

#[test]
fn answers_come_through_another_member_if_the_direct_way_is_cut() {
    let mut net = Net::joined(4);
    let options = QueryOptions {
        nodes: vec![name(3)],
        relay_factor: 2,
        timeout: Some(secs(10)),
        ..QueryOptions::default()
    };
    net.cuts.insert((0, 3));
    net.cuts.insert((3, 0));
    net.query(0, 9, &options);
    for _ in 0..30 {
        net.run(Duration::from_millis(100));
        net.answer_queries();
    }
    assert_eq!(net.outcome(0), (0, 1, Some(vec![])));
}

#[test]
fn a_node_that_restarts_unnoticed_is_known_with_a_higher_incarnation_and_its_new_tags() {
    let mut net = Net::with(3, |_| resuming(Past::default()));
    net.join_all();
    for tag in ["first", "second"] {
        let before = net.hosts[0].core.member("n2").unwrap().incarnation;
        net.restart(2);
        let new = tags(&[("run", tag)]);
        net.command(2, |core, now| core.set_tags(now, new.clone()))
            .unwrap();
        net.run_until(10, |net| {
            let known = |viewer: usize| {
                let member = net.hosts[viewer].core.member("n2").unwrap();
                let tag_is_new = member.tags().get("run").as_deref() == Some(tag);
                member.incarnation > before && tag_is_new
            };
            net.alive(2) == 3 && (0..2).all(known)
        });
    }
    assert_eq!(net.counter(2, "refutations"), 0);
    assert!(!net.reported_about(0, 2).contains(&"fail"));
}

#[test]
fn a_node_that_lost_all_others_before_it_restarted_finds_them_again() {
    let mut net = Net::with(3, |_| resuming(Past::default()));
    net.join_all();
    net.cuts.extend([(0, 2), (1, 2)]);
    net.run_until(60, |net| {
        (0..2).all(|other| net.state(2, other) == Some(MemberState::Failed))
    });
    net.restart(2);
    assert_eq!(net.health(2).known, 1);
    net.run(secs(60));
    assert_eq!(net.health(2).summary, "alone: no seed answers");
    // The other nodes forget the node, so that only its own search can bring it back.
    for other in 0..2 {
        net.command(other, |core, now| core.remove_failed(now, "n2", true))
            .unwrap();
    }
    net.cuts.clear();
    net.run_until(60, |net| (0..3).all(|host| net.alive(host) == 3));
}

#[test]
fn former_members_are_asked_unless_their_addresses_are_not_allowed() {
    let former = |addr: &str| FormerMember {
        addr: addr.parse().unwrap(),
        had_failed: false,
    };
    let past = Past {
        members: BTreeMap::from([
            ("n1".into(), former("10.0.0.2:7946")),
            ("outside".into(), former("192.168.0.1:7946")),
            ("nowhere".into(), former("0.0.0.0:7946")),
            ("n0".into(), former("10.0.0.1:7946")),
        ]),
        ..Past::default()
    };
    let mut net = Net::with(2, |host| {
        let mut config = match host {
            0 => resuming(past.clone()),
            _ => Config::default(),
        };
        config.swim.cidrs_allowed = vec!["10.0.0.0/8".parse().unwrap()];
        config
    });
    net.run_until(2, |net| (0..2).all(|host| net.alive(host) == 2));
    assert_eq!(net.counter(0, "refused_address_not_allowed"), 2);
    net.run(secs(100));
    assert_eq!(net.counter(0, "reconnects"), 1);
}

/// Returns a network of nodes in memberlist mode, all of which know one another.
fn memberlist_net(hosts: usize) -> Net {
    let mut net = Net::with(hosts, |_| Config {
        mode: Mode::Memberlist,
        ..Config::default()
    });
    net.join_all();
    net
}

/// Returns the senders and payloads of the messages that a host got since the last call.
fn messages(net: &mut Net, host: usize) -> Vec<(String, SocketAddr, Vec<u8>)> {
    let events = std::mem::take(&mut net.hosts[host].events);
    let message = |event| match event {
        CoreEvent::App(EventBody::Message {
            from,
            addr,
            payload,
        }) => Some((from, addr, payload.to_vec())),
        _ => None,
    };
    events.into_iter().filter_map(message).collect()
}

/// Returns the ends of the messages that a host sent by stream.
fn message_ends(net: &Net, host: usize) -> Vec<Option<JoinFailure>> {
    let events = net.hosts[host].events.iter();
    let end = |event: &CoreEvent| match event {
        CoreEvent::MessageDone { failure, .. } => Some(failure.clone()),
        _ => None,
    };
    events.filter_map(end).collect()
}

#[test]
fn a_message_reaches_a_member_by_datagram_and_by_stream() {
    let mut net = memberlist_net(3);
    net.command(0, |core, now| core.send_datagram(now, "n1", b"small"))
        .unwrap();
    net.run(secs(1));
    let small = ("n0".to_owned(), addr(0), b"small".to_vec());
    assert_eq!(messages(&mut net, 1), [small]);

    let large = vec![7; 500_000];
    net.command(0, |core, now| {
        core.send_message(now, "n1", large[..].into())
    })
    .unwrap();
    net.run(secs(1));
    assert_eq!(message_ends(&net, 0), [None]);
    let large = ("n0".to_owned(), addr(0), large);
    assert_eq!(messages(&mut net, 1), [large]);
    assert_eq!(messages(&mut net, 2), []);
    assert_eq!(net.counter(0, "messages_sent"), 2);
    assert_eq!(net.counter(1, "messages_received"), 2);
}

#[test]
fn any_number_of_messages_by_stream_arrive_eight_at_a_time() {
    let mut net = memberlist_net(2);
    for number in 0..40 {
        net.command(0, |core, now| core.send_message(now, "n1", [number].into()))
            .unwrap();
    }
    net.run(secs(1));
    assert_eq!(message_ends(&net, 0), vec![None; 40]);
    let mut got: Vec<u8> = messages(&mut net, 1).iter().map(|it| it.2[0]).collect();
    got.sort_unstable();
    assert_eq!(got, (0..40).collect::<Vec<u8>>());
}

#[test]
fn a_message_by_stream_that_cannot_arrive_or_is_refused_ends_with_the_reason() {
    let mut net = Net::with(3, |host| {
        let mut config = Config {
            mode: Mode::Memberlist,
            ..Config::default()
        };
        if host == 2 {
            config.swim.message_bytes = 1024;
        }
        config
    });
    net.join_all();
    net.command(0, |core, now| {
        core.send_message(now, "n2", [1; 2000].into())
    })
    .unwrap();
    net.run(secs(1));
    let ends = message_ends(&net, 0);
    assert!(
        matches!(&ends[..], [Some(JoinFailure::Refused(_))]),
        "{ends:?}"
    );
    assert_eq!(messages(&mut net, 2), []);
    assert_eq!(net.counter(2, "refused_too_large"), 1);

    net.hosts[0].events.clear();
    net.hosts[1].up = false;
    net.command(0, |core, now| core.send_message(now, "n1", [1].into()))
        .unwrap();
    net.run(secs(1));
    assert_eq!(message_ends(&net, 0), [Some(JoinFailure::Unreachable)]);
}

#[test]
fn a_later_broadcast_replaces_the_one_of_the_same_name_that_waits() {
    let mut net = memberlist_net(2);
    for (payload, name) in [
        (b"a1", Some("a")),
        (b"x1", None),
        (b"b1", Some("b")),
        (b"a2", Some("a")),
        (b"x2", None),
    ] {
        net.command(0, |core, now| core.broadcast(now, payload.to_vec(), name))
            .unwrap();
    }
    net.run(secs(5));
    let got = messages(&mut net, 1).into_iter().map(|it| it.2);
    let got: BTreeSet<Vec<u8>> = got.collect();
    let expected = [b"a2", b"b1", b"x1", b"x2"].map(|it| it.to_vec());
    assert_eq!(got, expected.into());
    // The receiver does not pass them on.
    assert_eq!(messages(&mut net, 0), []);
}

#[test]
fn a_broadcast_for_which_there_is_no_room_is_refused_unless_it_replaces_another() {
    let mut net = memberlist_net(2);
    let broadcast = |net: &mut Net, n: u32, name: Option<&str>| {
        net.command(0, |core, now| {
            core.broadcast(now, n.to_be_bytes().to_vec(), name)
        })
    };
    assert_eq!(broadcast(&mut net, 0, Some("replaced")), Ok(()));
    for n in 1..4_096 {
        assert_eq!(broadcast(&mut net, n, None), Ok(()), "{n}");
    }
    let refused = Err(CommandError::TooManyBroadcasts);
    assert_eq!(broadcast(&mut net, 5_000, None), refused);
    assert_eq!(broadcast(&mut net, 5_000, Some("new")), refused);
    assert_eq!(broadcast(&mut net, 4_096, Some("replaced")), Ok(()));
    net.command(0, |core, now| core.set_meta(now, b"changed".to_vec()))
        .unwrap();
    net.run(secs(120));
    let got: BTreeSet<Vec<u8>> = messages(&mut net, 1).into_iter().map(|it| it.2).collect();
    let expected = (1..4_097).map(|n: u32| n.to_be_bytes().to_vec());
    assert_eq!(got, expected.collect());
    assert_eq!(net.counter(0, "broadcasts_dropped"), 0);
    assert_eq!(net.counter(0, "messages_sent"), 4_097);
    assert_eq!(broadcast(&mut net, 5_000, None), Ok(()));
}

#[test]
fn a_node_that_is_alone_refuses_no_broadcast() {
    let mut net = memberlist_net(1);
    for n in 0..5_000_u32 {
        let broadcast = |core: &mut Core, now| core.broadcast(now, n.to_be_bytes().to_vec(), None);
        assert_eq!(net.command(0, broadcast), Ok(()));
    }
    assert_eq!(net.counter(0, "broadcasts_dropped"), 904);
}

#[test]
fn messages_that_are_too_large_or_impossible_are_refused_with_the_sizes() {
    let mut net = memberlist_net(2);
    let mut send = |len: usize| {
        net.command(0, |core, now| core.send_datagram(now, "n1", &vec![0; len]))
            .unwrap_err()
    };
    let too_large = |len, max, bound| CommandError::MessageTooLarge { len, max, bound };
    let setting = "of the setting message_bytes";
    assert_eq!(send(65_408), too_large(65_408, 65_407, "of a datagram"));
    assert_eq!(send(1 << 21), too_large(1 << 21, 1 << 20, setting));
    let broadcast = net.command(0, |core, now| core.broadcast(now, vec![0; 1396], None));
    let expected = too_large(1396, 1395, "of a gossip packet");
    assert_eq!(broadcast, Err(expected));
    let state = net.command(0, |core, _| core.set_local_state([0; 8_388_609][..].into()));
    let expected = too_large(8_388_609, 8_388_608, "of a state");
    assert_eq!(state, Err(expected));
    let to_nobody = net.command(0, |core, now| core.send_datagram(now, "nobody", b""));
    assert_eq!(to_nobody, Err(CommandError::UnknownMember));
    let mut serf = Net::joined(2);
    let wrong = serf.command(0, |core, now| core.send_datagram(now, "n1", b"x"));
    assert_eq!(wrong, Err(CommandError::WrongMode));
}

#[test]
fn push_pulls_carry_the_state_of_the_application_both_ways() {
    let mut net = Net::with(2, |_| Config {
        mode: Mode::Memberlist,
        ..Config::default()
    });
    for host in 0..2 {
        let state = vec![host as u8 + 1; 100_000];
        net.command(host, |core, _| core.set_local_state(state.into()))
            .unwrap();
    }
    let states = |net: &Net, host: usize, at_join: bool| -> Vec<(u8, usize)> {
        let events = net.hosts[host].events.iter();
        let state = |event: &CoreEvent| match event {
            CoreEvent::App(EventBody::RemoteState { join, payload, .. }) if *join == at_join => {
                Some((payload[0], payload.len()))
            }
            _ => None,
        };
        events.filter_map(state).collect()
    };
    net.join(1, 0);
    net.run_until(5, |net| {
        states(net, 0, true) == [(2, 100_000)] && states(net, 1, true) == [(1, 100_000)]
    });
    net.command(0, |core, _| core.set_local_state(b"new"[..].into()))
        .unwrap();
    net.run_until(70, |net| states(net, 1, false).contains(&(b'n', 3)));
    net.command(0, |core, _| core.set_local_state([].into()))
        .unwrap();
    net.hosts[1].events.clear();
    net.run(secs(70));
    assert_eq!(states(&net, 1, false), []);
}

/// Returns the ends of the waits for gossip of a host.
fn spread_ends(net: &Net, host: usize) -> Vec<(OpId, SpreadEnd)> {
    let events = net.hosts[host].events.iter();
    let end = |event: &CoreEvent| match event {
        CoreEvent::SpreadDone { op, end } => Some((*op, *end)),
        _ => None,
    };
    events.filter_map(end).collect()
}

#[test]
fn a_change_has_spread_once_it_was_gossiped_often_enough() {
    let mut net = memberlist_net(3);
    net.run(secs(10));
    let set_meta = |net: &mut Net, meta: &[u8]| {
        let meta = meta.to_vec();
        net.command(0, |core, now| core.set_meta(now, meta))
            .unwrap();
    };
    set_meta(&mut net, b"first");
    let first = net.command(0, Core::spread).unwrap();
    assert_eq!(spread_ends(&net, 0), []);
    // A later change is waited for, too.
    net.run(Duration::from_millis(200));
    assert_eq!(spread_ends(&net, 0), []);
    set_meta(&mut net, b"second");
    net.run_until(10, |net| {
        spread_ends(net, 0) == [(first, SpreadEnd::Spread)]
    });
    for viewer in 1..3 {
        assert_eq!(
            *net.hosts[viewer].core.member("n0").unwrap().meta,
            *b"second"
        );
    }
    // A change that has spread already is not waited for.
    let second = net.command(0, Core::spread).unwrap();
    assert_eq!(spread_ends(&net, 0)[1..], [(second, SpreadEnd::Spread)]);
}

#[test]
fn changed_tags_spread_and_a_leave_or_the_lack_of_members_ends_the_wait() {
    let mut net = Net::joined(2);
    net.run(secs(10));
    let changed = tags(&[("role", "db")]);
    net.command(0, |core, now| core.set_tags(now, changed))
        .unwrap();
    let spread = net.command(0, Core::spread).unwrap();
    net.run_until(10, |net| {
        spread_ends(net, 0) == [(spread, SpreadEnd::Spread)]
    });

    net.command(0, |core, now| core.set_tags(now, Tags::new()))
        .unwrap();
    let cut_off = net.command(0, Core::spread).unwrap();
    net.hosts[1].up = false;
    net.command(0, Core::leave);
    assert_eq!(net.command(0, Core::spread), Err(CommandError::Left));
    net.run_until(60, |net| spread_ends(net, 0).len() == 2);
    assert_eq!(spread_ends(&net, 0)[1].0, cut_off);

    let mut alone = memberlist_net(1);
    let op = alone.command(0, Core::spread).unwrap();
    assert_eq!(spread_ends(&alone, 0), [(op, SpreadEnd::Spread)]);
}

/// Returns the answers to pings that a host has reported: sender, time and payload.
fn ping_acks<'net>(net: &'net Net, host: usize) -> Vec<(&'net str, Duration, &'net [u8])> {
    let events = net.hosts[host].events.iter();
    let ack = |event: &'net CoreEvent| match event {
        CoreEvent::App(EventBody::PingAck { from, rtt, payload }) => {
            Some((&**from, *rtt, &**payload))
        }
        _ => None,
    };
    events.filter_map(ack).collect()
}

#[test]
fn acks_bring_the_payload_of_the_application_and_the_round_trip_time_to_those_who_ask() {
    let mut net = Net::with(2, |host| Config {
        mode: Mode::Memberlist,
        ping_acks: host == 0,
        ..Config::default()
    });
    net.join_all();
    net.command(1, |core, _| core.set_ack_payload(b"load 3".to_vec()))
        .unwrap();
    net.run(secs(10));
    let round_trip = 2 * DELAY;
    let last = *ping_acks(&net, 0).last().unwrap();
    assert_eq!(last, ("n1", round_trip, &b"load 3"[..]));
    assert_eq!(ping_acks(&net, 1), []);
    let result = net.command(1, |core, _| core.set_ack_payload(vec![0; 513]));
    let (len, max, bound) = (513, 512, "of an ack");
    assert_eq!(
        result,
        Err(CommandError::MessageTooLarge { len, max, bound })
    );
}

#[test]
fn in_serf_mode_the_payload_of_an_ack_is_the_coordinate_and_not_that_of_the_application() {
    let mut net = Net::with(2, |_| Config {
        ping_acks: true,
        ..Config::default()
    });
    net.join_all();
    let result = net.command(0, |core, _| core.set_ack_payload(b"x".to_vec()));
    assert_eq!(result, Err(CommandError::AckPayloadTaken));
    net.run(secs(10));
    let payload = ping_acks(&net, 0).last().unwrap().2;
    assert!(matches!(Coordinate::decode(payload), Ok(Some(_))));
}

#[test]
fn two_nodes_that_claim_one_name_are_reported_to_the_others_once_a_minute() {
    let mut net = memberlist_net(3);
    let alive = Alive {
        incarnation: 9,
        node: "n2",
        addr: &[10, 0, 0, 77],
        port: 7946,
        meta: None,
        vsn: &[1, 5, 2, 0, 0, 0],
    };
    let conflicts = |net: &Net| {
        let events = net.hosts[0].events.iter();
        let is_conflict = |event: &&CoreEvent| {
            let CoreEvent::App(EventBody::MemberConflict {
                name,
                known,
                claimed,
            }) = event
            else {
                return false;
            };
            let claim = SocketAddr::from(([10, 0, 0, 77], 7946));
            (name.as_str(), *known, *claimed) == ("n2", addr(2), claim)
        };
        events.filter(is_conflict).count()
    };
    let claim = |net: &mut Net| {
        let mut bytes = Vec::new();
        Message::Alive(alive).encode(&mut bytes);
        let from = addr(1);
        net.send(0, Parcel::Datagram { from, bytes });
        net.run(secs(2));
    };
    claim(&mut net);
    claim(&mut net);
    assert_eq!(conflicts(&net), 1);
    net.run(secs(60));
    claim(&mut net);
    assert_eq!(conflicts(&net), 2);
    assert!(net.counter(0, "conflicts") >= 3);
}
