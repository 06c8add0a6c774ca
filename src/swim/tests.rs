//! Tests of the whole state machine: a few nodes in virtual time, on a network that loses nothing
//! unless the test says so.

use super::shared::streams::{Exchange, ExchangeCause, Purpose};
use super::*;
use crate::limits;
use crate::wire::message::{
    Accusation, Ack, Alive, ErrorAnswer, IndirectPing, Nack, Ping, PushPull, PushPullNode,
};
use crate::wire::packet::Opened;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const STEP: Duration = Duration::from_millis(10);
/// The protocol versions that nodes announce.
const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 5];

fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i as u8 + 1], 7946))
}

fn name(i: usize) -> String {
    format!("n{i}")
}

fn node(i: usize, config: Config) -> Swim {
    let identity = Identity {
        name: name(i).into(),
        addr: addr(i),
        meta: Box::from(*b"\xff\x80"),
        delegate: [2, 5, 5],
        incarnation: 1,
    };
    Swim::new(
        config,
        Codec::default(),
        identity,
        [i as u8; 32],
        Time::ZERO,
    )
}

/// Nodes on a network that can lose everything that one node sends to another.
struct Net {
    now: Time,
    nodes: Vec<Swim>,
    /// The pairs (from, to) whose datagrams are lost, and the pairs whose streams never open.
    cut: Vec<(usize, usize)>,
    cut_streams: Vec<(usize, usize)>,
    notices: Vec<(usize, Notice)>,
    sent: Vec<(usize, SocketAddr, Vec<u8>)>,
    /// For each stream: its number at the dialling node, the dialling node, the accepting node, and
    /// its number at the accepting node.
    streams: Vec<(StreamId, usize, usize, StreamId)>,
    next_stream: u64,
    /// The nodes that every host name stands for, and the number of lookups.
    dns: Vec<usize>,
    lookups: usize,
    /// A node, and the nodes to which its datagrams cannot even be sent.
    unsent: Option<(usize, Vec<usize>)>,
}

impl Net {
    fn new(n: usize) -> Net {
        Net::with(n, Config::lan())
    }

    fn with(n: usize, config: Config) -> Net {
        Net {
            now: Time::ZERO,
            nodes: (0..n).map(|i| node(i, config.clone())).collect(),
            cut: Vec::new(),
            cut_streams: Vec::new(),
            notices: Vec::new(),
            sent: Vec::new(),
            streams: Vec::new(),
            next_stream: 0,
            dns: Vec::new(),
            lookups: 0,
            unsent: None,
        }
    }

    fn joined(n: usize) -> Net {
        let mut net = Net::new(n);
        for i in 1..n {
            net.nodes[i].join(net.now, &[Seed::Addr(addr(0))]);
        }
        net.run(Duration::from_secs(10));
        for (i, swim) in net.nodes.iter().enumerate() {
            assert_eq!(swim.ctx.table.live(), n, "node {i} sees every node");
        }
        net.notices.clear();
        net.sent.clear();
        net
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle();
            self.now = self.now + STEP;
            for swim in &mut self.nodes {
                if swim.poll_timeout().is_some_and(|at| at <= self.now) {
                    swim.handle_timeout(self.now);
                }
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for i in 0..self.nodes.len() {
                while let Some(notice) = self.nodes[i].poll_notice() {
                    quiet = false;
                    match &notice {
                        Notice::WantUserState { id, .. } => {
                            self.nodes[i].provide_user_state(self.now, *id, &[]);
                        }
                        Notice::LeaveMissed { name, by } => {
                            self.nodes[i].tell_of_past_leave(self.now, *by, name, Some(b"intent"));
                        }
                        _ => {}
                    }
                    self.notices.push((i, notice));
                }
                while let Some(output) = self.nodes[i].poll_output() {
                    quiet = false;
                    self.carry(i, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn index(&self, to: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|&i| addr(i) == to)
    }

    fn carry(&mut self, from: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Datagram { to, bytes, probe } => {
                let target = self.index(to);
                let unsent = |(who, to): &(usize, Vec<usize>)| {
                    *who == from && target.is_some_and(|i| to.contains(&i))
                };
                if self.unsent.as_ref().is_some_and(unsent) {
                    if let Some(probe) = probe {
                        self.nodes[from].handle_send_failure(now, probe, SendFailure::Local);
                    }
                    return;
                }
                self.sent.push((from, to, bytes.clone()));
                let Some(i) = target else { return };
                if !self.cut.contains(&(from, i)) {
                    self.nodes[i].handle_datagram(now, addr(from), &bytes);
                }
            }
            Output::Connect { id, to } => {
                let Some(i) = self.index(to) else {
                    return self.nodes[from].handle_stream_end(now, id, StreamEnd::Failed);
                };
                if self.cut_streams.contains(&(from, i)) {
                    return; // the packets are lost: no answer ever comes back
                }
                self.next_stream += 2;
                let there = StreamId(self.next_stream);
                self.streams.push((id, from, i, there));
                self.nodes[i].handle_stream_accepted(now, there, addr(from));
                self.nodes[from].handle_stream_connected(now, id);
            }
            Output::Write { id, bytes } => {
                if let Some((other, there)) = self.other_end(from, id) {
                    self.nodes[other].handle_stream_data(now, there, &bytes);
                }
            }
            Output::Close { id } => {
                if let Some((other, there)) = self.other_end(from, id) {
                    self.nodes[other].handle_stream_end(now, there, StreamEnd::Eof);
                }
            }
            Output::Resolve { id, .. } => {
                self.lookups += 1;
                let found: Vec<_> = self.dns.iter().map(|&i| addr(i).ip()).collect();
                self.nodes[from].handle_resolved(now, id, &found);
            }
        }
    }

    fn other_end(&self, from: usize, id: StreamId) -> Option<(usize, StreamId)> {
        self.streams.iter().find_map(|&(dialled, a, b, accepted)| {
            if (a, dialled) == (from, id) {
                return Some((b, accepted));
            }
            ((b, accepted) == (from, id)).then_some((a, dialled))
        })
    }

    fn state(&self, observer: usize, of: usize) -> Option<NodeState> {
        self.nodes[observer].node(&name(of)).map(|node| node.state)
    }

    fn heard(&self, who: usize, change: Change, about: usize) -> bool {
        let wanted = Notice::Member {
            change,
            name: name(about).into(),
        };
        self.notices
            .iter()
            .any(|(i, notice)| *i == who && *notice == wanted)
    }

    /// Node 1 dials node `to` and sends these entries as its state.
    fn push(&mut self, to: usize, join: bool, nodes: Vec<PushPullNode>) {
        self.next_stream += 2;
        let id = StreamId(self.next_stream);
        let (mut bytes, user_state) = (Vec::new(), &[][..]);
        let state = PushPull {
            join,
            nodes,
            user_state,
        };
        state.encode(&mut bytes);
        self.nodes[to].handle_stream_accepted(self.now, id, addr(1));
        self.nodes[to].handle_stream_data(self.now, id, &bytes);
        self.settle();
    }

    /// Sends a message from a host that is not a member.
    fn tell(&mut self, to: usize, message: Message) {
        self.tell_from(STRANGER, to, message);
    }

    fn tell_from(&mut self, from: SocketAddr, to: usize, message: Message) {
        self.nodes[to].handle_datagram(self.now, from, &message.encoded());
    }
}

/// The address of a host that is not a member.
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 200)), 7946);

/// A ping to node 0 that names this source.
fn ping_from<'a>(source_node: &'a str, source_addr: &'a [u8]) -> Message<'a> {
    Message::Ping(Ping {
        seq: 1,
        node: "n0",
        source_addr,
        source_port: 7946,
        source_node,
    })
}

/// A request to ping `node` at `target`, in which `source_node` at `source_addr` asks.
fn ask_from<'a>(
    (source_node, source_addr): (&'a str, &'a [u8]),
    (node, target): (&'a str, &'a [u8]),
    nack: bool,
) -> Message<'a> {
    Message::IndirectPing(IndirectPing {
        seq: 1,
        target,
        port: 7946,
        node,
        nack,
        source_addr,
        source_port: 7946,
        source_node,
    })
}

/// An alive message about a node that does not exist.
fn forged(n: usize, incarnation: u32, meta: &[u8]) -> Vec<u8> {
    let [_, b, c, d] = (n as u32).to_be_bytes();
    let alive = Alive {
        incarnation,
        node: &format!("forged-{n}"),
        addr: &[10, 1 + b, c, d],
        port: 7946,
        meta: Some(meta),
        vsn: &VERSIONS,
    };
    Message::Alive(alive).encoded()
}

/// An alive message about the node `name` at this address.
fn alive_at<'a>(name: &'a str, addr: &'a [u8], incarnation: u32) -> Message<'a> {
    Message::Alive(Alive {
        incarnation,
        node: name,
        addr,
        port: 7946,
        meta: None,
        vsn: &VERSIONS,
    })
}

/// An entry of a push/pull.
fn entry<'a>(name: &'a str, addr: &'a [u8; 4], state: NodeState) -> PushPullNode<'a> {
    PushPullNode {
        name,
        addr,
        port: 7946,
        incarnation: 1,
        meta: None,
        vsn: &VERSIONS,
        state,
    }
}

/// The types of the messages in a datagram.
fn kinds(datagram: &[u8]) -> Vec<u8> {
    let opened = packet::open(&Codec::default(), datagram).unwrap();
    let plain = match &opened {
        Opened::Borrowed(plain) => *plain,
        Opened::Owned(plain) => plain,
    };
    let mut kinds = Vec::new();
    packet::walk(plain, &mut |part| kinds.push(part.unwrap()[0]));
    kinds
}

#[test]
fn two_nodes_that_join_see_each_other() {
    let net = Net::joined(2);
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert_eq!(net.state(1, 0), Some(NodeState::Alive));
}

#[test]
fn a_silent_node_is_suspected_then_dead_and_everybody_agrees() {
    let mut net = Net::joined(5);
    for i in 0..4 {
        net.cut.extend([(4, i), (i, 4)]);
        net.cut_streams.extend([(4, i), (i, 4)]);
    }
    net.run(Duration::from_secs(4));
    assert!((0..4).any(|i| net.heard(i, Change::Suspected, 4)));
    assert!(
        !(0..4).any(|i| net.heard(i, Change::Died, 4)),
        "no node declares the member dead before 4 s of suspicion"
    );
    net.run(Duration::from_secs(30));
    for i in 0..4 {
        assert!(net.heard(i, Change::Died, 4), "node {i} sees the death");
        assert_eq!(net.nodes[i].ctx.table.live(), 4);
    }
}

#[test]
fn a_helper_keeps_a_node_alive_whose_direct_path_is_cut() {
    let mut net = Net::joined(3);
    net.cut.extend([(0, 1), (1, 0)]);
    net.cut_streams.extend([(0, 1), (1, 0)]);
    net.run(Duration::from_secs(60));
    assert!(!net.notices.iter().any(|(_, n)| matches!(
        n,
        Notice::Member {
            change: Change::Suspected | Change::Died,
            ..
        }
    )));
    assert!(net.nodes[0].stats().indirect_probes > 5);
}

#[test]
fn a_stream_ping_keeps_a_node_alive_when_datagrams_are_cut() {
    let mut net = Net::joined(2);
    net.cut.extend([(0, 1), (1, 0)]);
    net.run(Duration::from_secs(30));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert!(!net.heard(0, Change::Suspected, 1));
    assert!(net.nodes[0].stats().stream_fallbacks > 5);
    let health = net.nodes[0].health(net.now);
    assert_eq!(health.summary, "streams work, datagrams do not");
}

#[test]
fn a_hint_gets_its_verdict_within_the_probe_timeout() {
    let mut net = Net::joined(3);
    let op = net.nodes[0].hint(net.now, "n1").unwrap();
    net.run(STEP);
    let verdict = |net: &Net, op| {
        net.notices.iter().find_map(|(_, n)| match n {
            Notice::HintDone {
                op: o, answered, ..
            } if *o == op => Some(*answered),
            _ => None,
        })
    };
    assert_eq!(verdict(&net, op), Some(true));

    for i in [0, 2] {
        net.cut.extend([(1, i), (i, 1)]);
        net.cut_streams.extend([(1, i), (i, 1)]);
    }
    let op = net.nodes[0].hint(net.now, "n1").unwrap();
    assert_eq!(
        net.nodes[0].hint(net.now, "n1"),
        None,
        "a hint probes this member already"
    );
    assert_eq!(net.nodes[0].stats().hints_limited, 1);
    assert_eq!(
        net.nodes[0].hint(net.now, "n0"),
        None,
        "a hint about this node is refused"
    );
    assert_eq!(net.nodes[0].hint(net.now, "nobody"), None);
    net.run(Duration::from_millis(520));
    assert_eq!(verdict(&net, op), Some(false));
    assert_eq!(net.state(0, 1), Some(NodeState::Suspect));
    let reasons = net.nodes[0].explain(net.now, "n1").unwrap();
    assert_eq!(reasons.accuser.as_deref(), Some("n0"));
    assert!(reasons.time_left.unwrap() <= Duration::from_secs(4));
    let probe = reasons.probe.unwrap();
    assert_eq!(
        (probe.direct, probe.stream),
        (ProbeAnswer::Silent, ProbeAnswer::Silent)
    );
    assert_eq!(probe.helpers.len(), 1);
}

#[test]
fn a_wait_for_gossip_ends_when_another_node_has_the_name() {
    let mut net = Net::joined(2);
    let swim = &mut net.nodes[0];
    swim.set_meta(net.now, Box::from(*b"new"));
    let op = swim.spread(net.now);
    swim.set_name_is_taken(net.now, true);
    let notices = std::iter::from_fn(|| swim.poll_notice());
    let end = notices.filter(|it| matches!(it, Notice::SpreadDone { .. }));
    let end: Vec<Notice> = end.collect();
    let taken = SpreadEnd::NameTaken;
    assert_eq!(end, [Notice::SpreadDone { op, end: taken }]);
}

#[test]
fn a_refutation_has_the_incarnation_after_that_of_the_accusation() {
    let mut net = Net::joined(2);
    let own = |net: &Net| net.nodes[0].self_node().incarnation;
    let before = own(&net);
    let accuse = |incarnation| Accusation {
        incarnation,
        node: "n0",
        from: "x",
    };
    net.tell(0, Message::Suspect(accuse(before)));
    assert_eq!(own(&net), before + 1);
    net.tell(0, Message::Dead(accuse(before + 8)));
    assert_eq!(own(&net), before + 9);
    net.tell(0, Message::Suspect(accuse(before)));
    assert_eq!(own(&net), before + 9, "an old accusation changes nothing");
    assert_eq!(net.nodes[0].stats().refutations, 2);
    net.tell(0, Message::Dead(accuse(u32::MAX)));
    assert_eq!(
        own(&net),
        before + 9,
        "nothing is above the highest incarnation"
    );
    assert_eq!(
        net.nodes[0].stats().refused.0[Refusal::IncarnationLeap as usize],
        1
    );
    net.run(Duration::from_secs(2));
    assert_eq!(net.state(1, 0), Some(NodeState::Alive));
}

#[test]
fn the_long_form_of_an_ipv4_address_is_not_a_conflict_and_is_kept() {
    let mut net = Net::joined(2);
    let long = "10.0.0.9"
        .parse::<std::net::Ipv4Addr>()
        .unwrap()
        .to_ipv6_mapped()
        .octets();
    let alive = |addr| Alive {
        incarnation: 1,
        node: "far",
        addr,
        port: 1,
        meta: None,
        vsn: &VERSIONS,
    };
    net.tell(0, Message::Alive(alive(&long)));
    net.tell(0, Message::Alive(alive(&[10, 0, 0, 9])));
    net.tell(0, Message::Alive(alive(&[10, 0, 0, 8])));
    let conflicts = net.nodes[0].stats().refused.0[Refusal::Conflict as usize];
    assert_eq!(conflicts, 1, "only another address is a conflict");
    let member = net.nodes[0].ctx.table.find("far").unwrap();
    assert!(net.nodes[0].ctx.table.get(member).unwrap().mapped);
    assert_eq!(
        net.nodes[0].node("far").unwrap().addr,
        "10.0.0.9:1".parse().unwrap()
    );
}

#[test]
fn addresses_at_which_members_cannot_reach_a_node_are_refused() {
    let mut net = Net::new(1);
    let link_local = "fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let addrs: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[0, 1, 2, 3],
        &[255, 255, 255, 255],
        &[224, 0, 0, 1],
        &link_local,
    ];
    for addr in addrs {
        let vsn = &VERSIONS;
        let alive = Alive {
            incarnation: 1,
            node: "x",
            addr,
            port: 1,
            meta: None,
            vsn,
        };
        net.tell(0, Message::Alive(alive));
    }
    assert_eq!(net.nodes[0].ctx.table.len(), 1);
    assert_eq!(
        net.nodes[0].stats().refused.0[Refusal::AddressNotAllowed as usize],
        5
    );
}

#[test]
fn a_process_that_was_stopped_accuses_no_member() {
    let mut net = Net::joined(4);
    net.run(Duration::from_millis(300));
    let stalled = Duration::from_secs(3600);
    net.now = net.now + stalled;
    net.nodes[0].handle_stall(net.now, stalled, Duration::ZERO);
    net.nodes[0].handle_timeout(net.now);
    net.settle();
    assert!(!net.notices.iter().any(|(_, n)| matches!(
        n,
        Notice::Member {
            change: Change::Suspected | Change::Died,
            ..
        }
    )));
    net.run(Duration::from_secs(10));
    assert_eq!(net.nodes[0].ctx.table.live(), 4);
}

#[test]
fn a_stream_that_was_open_during_a_stall_does_not_count_against_streams() {
    let mut net = Net::joined(2);
    for away in [12, 3600].map(Duration::from_secs) {
        for _ in 0..5 {
            let exchange = Exchange::new(ExchangeCause::Periodic, addr(1));
            let deadline = net.now + Duration::from_secs(10);
            let swim = &mut net.nodes[0];
            let id = (swim.ctx.streams).dial(addr(1), Purpose::PushPull(exchange), deadline);
            net.now = net.now + away;
            swim.handle_stall(net.now, away, Duration::ZERO);
            swim.handle_stream_end(net.now, id, StreamEnd::Failed);
        }
        assert!(
            net.nodes[0].health(net.now).streams_work,
            "a stall of {away:?}"
        );
    }
}

#[test]
fn a_different_label_is_reported_for_members_that_do_not_answer_and_for_no_others() {
    let mut net = Net::joined(2);
    let told = |net: &mut Net| {
        let labelled = b"\xf4\x04blue\x08x";
        net.nodes[0].handle_datagram(net.now, addr(1), labelled);
        net.nodes[0].handle_datagram(net.now, addr(9), labelled);
        net.nodes[0].health(net.now).mismatch
    };
    // The address of a datagram may be forged, so a member that answers does not count.
    assert_eq!(told(&mut net), None);
    net.cut.extend([(0, 1), (1, 0)]);
    net.cut_streams.extend([(0, 1), (1, 0)]);
    while net.state(0, 1) == Some(NodeState::Alive) {
        net.run(STEP);
    }
    assert_eq!(told(&mut net), Some(Refusal::Label));
    let explanation = net.nodes[0].explain(net.now, &name(1)).unwrap();
    assert_eq!(
        explanation.unreadable,
        Some((Refusal::Label, Duration::ZERO))
    );
    assert!(net.nodes[0].health(net.now).summary.contains("label"));
    net.run(Duration::from_secs(91));
    assert_eq!(net.nodes[0].health(net.now).mismatch, None);
}

#[test]
fn a_probe_whose_answers_a_long_stall_discards_begins_again() {
    let mut net = Net::joined(3);
    net.cut = vec![(1, 0), (2, 0)];
    net.cut_streams = vec![(0, 1), (0, 2)];
    let before = net.nodes[0].stats().probes;
    while net.nodes[0].stats().probes == before {
        net.run(STEP);
    }
    net.run(Duration::from_millis(900));
    net.cut.clear();
    net.cut_streams.clear();
    let away = Duration::from_secs(3600);
    net.now = net.now + away;
    assert!(net.nodes[0].handle_stall(net.now, away, Duration::ZERO));
    net.run(Duration::from_secs(10));
    assert!(!net.heard(0, Change::Suspected, 1) && !net.heard(0, Change::Suspected, 2));
    assert_eq!(net.nodes[0].stats().health_score, 0);
}

#[test]
fn a_state_as_the_answer_to_a_ping_is_refused_and_counted() {
    let mut net = Net::joined(2);
    let to = addr(1);
    let deadline = net.now + Duration::from_secs(10);
    let swim = &mut net.nodes[0];
    let id = (swim.ctx.streams).dial(to, Purpose::Ping { seq: 77, to }, deadline);
    let state = PushPull {
        join: false,
        nodes: Vec::new(),
        user_state: &[],
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    swim.handle_stream_data(net.now, id, &bytes);
    assert!(swim.ctx.streams.get(id).is_none());
    let refused = &swim.stats().refused.0;
    assert_eq!(refused[Refusal::UnknownType as usize], 1);
}

#[test]
fn a_member_that_another_node_lists_as_dead_is_only_suspected() {
    let mut net = Net::joined(3);
    net.push(0, false, vec![entry("n2", &[10, 0, 0, 3], NodeState::Dead)]);
    assert_eq!(net.state(0, 2), Some(NodeState::Suspect));
    net.run(Duration::from_secs(3));
    assert_eq!(net.state(0, 2), Some(NodeState::Alive), "n2 has refuted");
}

/// The first protocol versions send port 0, which stands for the port of the receiver.
#[test]
fn a_push_pull_without_ports_does_not_move_this_node_to_another_address() {
    let mut net = Net::joined(2);
    for state in [NodeState::Alive, NodeState::Dead] {
        let own = entry("n0", &[10, 0, 0, 1], state);
        net.push(0, false, vec![PushPullNode { port: 0, ..own }]);
    }
    let stats = net.nodes[0].stats();
    assert_eq!(stats.refused.0[Refusal::Conflict as usize], 0);
    assert_eq!(stats.refutations, 1);
}

#[test]
fn a_node_that_speaks_another_version_is_not_merged() {
    let mut net = Net::joined(2);
    let old = entry("old", &[10, 0, 0, 77], NodeState::Alive);
    let vsn = &[1, 1, 1, 2, 5, 5];
    net.push(0, true, vec![PushPullNode { vsn, ..old }]);
    assert!(net.nodes[0].node("old").is_none());
    assert_eq!(
        net.nodes[0].stats().refused.0[Refusal::Incompatible as usize],
        1
    );
}

#[test]
fn forged_versions_of_one_node_do_not_stop_push_pulls() {
    let mut net = Net::joined(2);
    let forged = Alive {
        incarnation: 1,
        node: "forged",
        addr: &[10, 0, 0, 77],
        port: 7946,
        meta: None,
        vsn: &[5, 5, 5, 5, 5, 5],
    };
    net.tell(0, Message::Alive(forged));
    let new = entry("new", &[10, 0, 0, 78], NodeState::Alive);
    let odd = entry("odd", &[10, 0, 0, 79], NodeState::Alive);
    let vsn = &[5, 5, 5, 2, 5, 5];
    net.push(0, true, vec![PushPullNode { vsn, ..odd }, new]);
    assert!(net.nodes[0].node("new").is_some());
    assert!(net.nodes[0].node("odd").is_none());
    let refused = net.nodes[0].stats().refused;
    assert_eq!(refused.0[Refusal::Incompatible as usize], 1);
}

/// A forged name costs its sender a few bytes, so forged names must not lock out real nodes.
#[test]
fn in_a_full_table_nodes_that_never_answered_make_room_for_others() {
    let mut net = Net::joined(3);
    net.run(Duration::from_secs(10));
    let forged = |n: usize| forged(n, 1, b"");
    let now = net.now;
    let swim = &mut net.nodes[0];
    swim.ctx.config.member_bytes = usize::MAX;
    for n in 0..limits::MEMBERS + 1000 {
        swim.handle_datagram(now, STRANGER, &forged(n));
        while swim.poll_notice().is_some() {}
    }
    assert_eq!(swim.ctx.table.len(), limits::MEMBERS);
    net.push(
        0,
        true,
        vec![entry("new", &[10, 0, 0, 8], NodeState::Alive)],
    );
    for known in ["n1", "n2", "new"] {
        assert!(net.nodes[0].node(known).is_some(), "{known}");
    }
    // A newcomer that begins a push/pull stays, however many names are forged after that.
    let newcomer = entry("newcomer", &[10, 0, 0, 2], NodeState::Alive);
    net.push(0, true, vec![newcomer]);
    let swim = &mut net.nodes[0];
    for n in 0..4 * limits::MEMBERS {
        swim.handle_datagram(now, STRANGER, &forged(limits::MEMBERS + n));
        while swim.poll_notice().is_some() {}
    }
    for known in ["n1", "n2", "newcomer"] {
        assert!(net.nodes[0].node(known).is_some(), "{known}");
    }
    let refused = net.nodes[0].stats().refused;
    assert_eq!(refused.0[Refusal::TooManyMembers as usize], 0);
}

#[test]
fn members_with_much_meta_do_not_take_more_bytes_than_the_setting_allows() {
    let member_bytes = 100_000;
    let config = Config {
        member_bytes,
        ..Config::lan()
    };
    let mut net = Net::with(1, config);
    let swim = &mut net.nodes[0];
    let told = |swim: &mut Swim, message: &[u8]| {
        swim.handle_datagram(Time::ZERO, STRANGER, message);
        while swim.poll_notice().is_some() {}
        swim.ctx.table.len()
    };
    for n in 0..250 {
        assert_eq!(
            told(swim, &forged(n, 1, b"")),
            n + 2,
            "each takes at most 266 bytes"
        );
    }
    for n in 0..250 {
        told(swim, &forged(n, 2, &[0; 1000])); // now it takes up to 1,266 bytes
    }
    let bytes: usize = swim
        .ctx
        .table
        .others()
        .map(|it| 256 + it.node().meta.len())
        .sum();
    assert!(bytes <= member_bytes, "{bytes}");
    for n in 250..1000 {
        told(swim, &forged(n, 1, &[0; 1000]));
    }
    assert!(
        (70..=81).contains(&swim.ctx.table.len()),
        "{}",
        swim.ctx.table.len()
    );
    assert!(swim.stats().members_evicted > 900);
    assert_eq!(swim.stats().refused.0[Refusal::TooManyMembers as usize], 0);
}

/// A member refutes with an incarnation above that of the accusation. So it cannot refute an
/// accusation with the highest incarnation.
#[test]
fn one_forged_incarnation_does_not_silence_a_member() {
    let mut net = Net::joined(3);
    let accusation = Accusation {
        incarnation: u32::MAX,
        node: "n1",
        from: "n2",
    };
    let alive = Alive {
        incarnation: u32::MAX,
        node: "n1",
        addr: &[10, 0, 0, 2],
        port: 7946,
        meta: Some(b"forged"),
        vsn: &VERSIONS,
    };
    for message in [
        Message::Suspect(accusation),
        Message::Dead(accusation),
        Message::Alive(alive),
    ] {
        net.tell(0, message);
        net.run(Duration::from_secs(10));
        let known = net.nodes[0].node("n1").unwrap();
        assert_eq!(known.state, NodeState::Alive);
        assert_eq!(*known.meta, *b"\xff\x80");
    }
    net.tell(
        0,
        Message::Alive(Alive {
            node: "n9",
            ..alive
        }),
    );
    assert!(net.nodes[0].node("n9").is_none());
    let refused = net.nodes[0].stats().refused;
    assert!(refused.0[Refusal::IncarnationLeap as usize] >= 4);
}

#[test]
fn a_forged_accusation_does_not_use_up_the_incarnations_of_its_subject() {
    let mut net = Net::joined(3);
    let forged = Accusation {
        incarnation: u32::MAX - 1,
        node: "n0",
        from: "n2",
    };
    for message in [Message::Suspect(forged), Message::Dead(forged)] {
        net.tell(0, message);
    }
    net.run(Duration::from_secs(1));
    assert!(net.nodes[0].self_node().incarnation < 100);
}

#[test]
fn a_probe_of_an_address_that_a_member_has_left_accuses_nobody() {
    let mut net = Net::joined(3);
    net.cut.extend([(0, 1), (2, 1)]);
    net.cut_streams.push((0, 1));
    net.nodes[0].hint(net.now, "n1").unwrap();
    net.settle();
    let incarnation = net.nodes[0].node("n1").unwrap().incarnation;
    net.tell(0, Message::Dead(Accusation::leave("n1", incarnation)));
    net.tell(0, alive_at("n1", &[10, 0, 0, 9], incarnation + 1));
    assert_eq!(
        net.nodes[0].node("n1").unwrap().addr.ip().to_string(),
        "10.0.0.9"
    );
    net.run(Duration::from_millis(520));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert_eq!(net.nodes[0].explain(net.now, "n1").unwrap().accuser, None);
}

#[test]
fn a_forged_alive_message_brings_back_a_member_that_has_left_only_while_it_answers() {
    for ended in [false, true] {
        let mut net = Net::joined(3);
        let now = net.now;
        net.nodes[2].leave(now);
        net.run(Duration::from_secs(5));
        assert_eq!(net.state(0, 2), Some(NodeState::Left));
        if ended {
            net.cut.extend([(0, 2), (1, 2)]);
            net.cut_streams.extend([(0, 2), (1, 2)]);
        }
        let incarnation = net.nodes[0].node("n2").unwrap().incarnation;
        net.tell(0, alive_at("n2", &[10, 0, 0, 3], incarnation + 1));
        assert_eq!(net.state(0, 2), Some(NodeState::Alive));
        net.run(Duration::from_secs(20));
        let state = if ended {
            NodeState::Dead
        } else {
            NodeState::Alive
        };
        assert_eq!(net.state(0, 2), Some(state));
        assert_eq!(net.state(1, 2), Some(state));
    }
}

#[test]
fn a_member_whose_incarnation_has_leapt_is_believed_when_it_is_asked() {
    let mut net = Net::joined(3);
    // n1 alone hears of an accusation, and refutes it with an incarnation that the others refuse.
    let accusation = Accusation {
        incarnation: 1 << 30,
        node: "n1",
        from: "n2",
    };
    net.tell(1, Message::Suspect(accusation));
    net.run(Duration::from_secs(10));
    for observer in [0, 2] {
        let known = net.nodes[observer].node("n1").unwrap();
        assert_eq!(known.state, NodeState::Alive);
        assert!(known.incarnation > 1 << 30, "{}", known.incarnation);
    }
}

/// Anyone can send a datagram that names any source. An answer to that source would make this node
/// a weapon against others.
#[test]
fn answers_go_to_the_sender_or_to_the_address_of_the_member_that_it_names() {
    let mut net = Net::joined(2);
    for name in ["victim", "n1", ""] {
        let victim: (_, &[u8]) = (name, &[10, 9, 9, 9]);
        net.tell(0, ping_from(victim.0, victim.1));
        net.tell(0, ask_from(victim, ("n1", &[10, 0, 0, 2]), false));
    }
    net.tell(0, ping_from("n1", &[10, 0, 0, 2]));
    net.settle();
    let answers = net.sent.iter().filter(|(from, ..)| *from == 0);
    let receivers: Vec<SocketAddr> = answers.map(|(_, to, _)| *to).collect();
    let count = |to: SocketAddr| receivers.iter().filter(|it| **it == to).count();
    assert_eq!(count(STRANGER), 6, "{receivers:?}");
    assert_eq!(count(addr(1)), receivers.len() - 6, "{receivers:?}");
}

#[test]
fn a_stranger_gets_an_ack_without_the_data_of_the_layer_above() {
    let mut net = Net::joined(2);
    net.nodes[0].set_ack_payload(vec![7; 130]);
    for (source, member) in [("stranger", false), ("", false), ("n1", true)] {
        net.sent.clear();
        net.tell_from(addr(1), 0, ping_from(source, &[]));
        net.settle();
        let has_payload = |bytes: &[u8]| bytes.windows(130).any(|it| it == [7; 130]);
        let acks: Vec<_> = net.sent.iter().filter(|it| it.0 == 0).collect();
        assert!(!acks.is_empty());
        let with_payload = acks.iter().any(|(_, _, bytes)| has_payload(bytes));
        assert_eq!(with_payload, member, "{source:?}");
    }
}

#[test]
fn the_layer_above_learns_of_acks_of_direct_pings_with_their_data() {
    let mut net = Net::joined(2);
    net.nodes[1].set_ack_payload(b"there".to_vec());
    net.run(Duration::from_secs(3));
    let answers = net.notices.iter().filter_map(|(who, notice)| match notice {
        Notice::PingAnswered { name, payload, .. } => Some((*who, &**name, &payload[..])),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert!(answers.contains(&(0, "n1", &b"there"[..])), "{answers:?}");
    assert!(answers.contains(&(1, "n0", &b""[..])), "{answers:?}");
}

#[test]
fn a_long_text_of_a_refusal_is_cut_off() {
    let mut net = Net::new(1);
    net.nodes[0].join(net.now, &[Seed::Addr(addr(7))]);
    let connect = net.nodes[0].poll_output();
    let Some(Output::Connect { id, .. }) = connect else {
        panic!("{connect:?}");
    };
    net.nodes[0].handle_stream_connected(net.now, id);
    let text = &vec![0xff; 1 << 20];
    let answer = Message::Error(ErrorAnswer { text }).encoded();
    net.nodes[0].handle_stream_data(net.now, id, &answer);
    net.settle();
    let reports = net.notices.iter().filter_map(|(_, notice)| match notice {
        Notice::JoinDone { report, .. } => Some(report),
        _ => None,
    });
    let failures: Vec<_> = reports.flat_map(|it| &it.failures).collect();
    let [(_, JoinFailure::Refused(text))] = failures[..] else {
        panic!("{failures:?}");
    };
    assert!(text.ends_with("[cut off]") && text.len() < 5 * limits::ERROR_TEXT_LEN);
}

#[test]
fn a_ping_to_a_suspect_carries_the_accusation() {
    let mut net = Net::joined(2);
    net.cut.push((1, 0));
    net.cut_streams.push((0, 1));
    net.run(Duration::from_secs(3));
    assert_eq!(net.state(0, 1), Some(NodeState::Suspect));
    let both = [message_kind::SUSPECT, message_kind::PING];
    assert!(
        net.sent
            .iter()
            .any(|(from, _, bytes)| *from == 0 && kinds(bytes) == both)
    );
    net.cut.clear();
    net.run(Duration::from_secs(3));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert!(net.heard(0, Change::Cleared, 1));
    assert!(!net.heard(0, Change::Joined, 1), "n1 was never gone");
}

use crate::wire::message::kind as message_kind;

#[test]
fn a_helper_relays_the_ack_and_sends_a_nack_when_none_comes() {
    let mut net = Net::joined(2);
    let ask = |target: &'static [u8; 4], seq| {
        Message::IndirectPing(IndirectPing {
            seq,
            target,
            port: 7946,
            node: "",
            nack: true,
            source_addr: &[10, 0, 0, 200],
            source_port: 7946,
            source_node: "asker",
        })
    };
    net.tell(0, ask(&[10, 0, 0, 2], 500));
    net.settle();
    let to_asker = |net: &Net| -> Vec<Vec<u8>> {
        let sent = net.sent.iter().filter(|(_, to, _)| *to == STRANGER);
        sent.map(|(_, _, bytes)| bytes.clone()).collect()
    };
    let mut expected = Vec::new();
    Message::Ack(Ack {
        seq: 500,
        payload: None,
    })
    .encode(&mut expected);
    assert_eq!(to_asker(&net), [expected]);
    net.tell(0, ask(&[10, 0, 0, 98], 501));
    net.run(Duration::from_millis(490));
    assert_eq!(to_asker(&net).len(), 1, "no nack before the probe timeout");
    net.run(Duration::from_millis(30));
    let mut nack = Vec::new();
    Message::Nack(Nack { seq: 501 }).encode(&mut nack);
    assert_eq!(to_asker(&net)[1], nack);
}

#[test]
fn gossip_fills_packets_up_to_their_size_and_not_beyond() {
    let mut net = Net::joined(3);
    for i in 0..200u32 {
        net.nodes[0].broadcast(net.now, 2, &vec![3; 40 + (i % 60) as usize], None);
    }
    net.run(Duration::from_secs(5));
    let largest = net
        .sent
        .iter()
        .map(|(_, _, bytes)| bytes.len())
        .max()
        .unwrap();
    assert!(
        (1350..=1405).contains(&largest),
        "the largest has {largest} bytes"
    );
    let received = |i: usize| {
        let user =
            |(who, n): &&(usize, Notice)| *who == i && matches!(n, Notice::UserMessage { .. });
        net.notices.iter().filter(user).count()
    };
    assert!(received(1) >= 200 && received(2) >= 200);
}

#[test]
fn a_leave_is_spread_and_then_reported() {
    let mut net = Net::joined(3);
    net.nodes[2].leave(net.now);
    net.run(Duration::from_secs(5));
    assert!(
        net.notices
            .iter()
            .any(|(i, n)| *i == 2 && *n == Notice::LeaveSpread)
    );
    assert_eq!(net.state(0, 2), Some(NodeState::Left));
    assert_eq!(net.state(1, 2), Some(NodeState::Left));
    net.nodes[2].revive(net.now);
    net.run(Duration::from_secs(3));
    assert_eq!(net.state(0, 2), Some(NodeState::Alive));
    assert!(net.heard(0, Change::Joined, 2));
}

#[test]
fn a_leave_without_other_nodes_does_not_wait() {
    let mut net = Net::new(1);
    net.nodes[0].leave(net.now);
    net.settle();
    assert!(net.notices.iter().any(|(_, n)| *n == Notice::LeaveSpread));
}

#[test]
fn an_unknown_node_that_pings_this_one_is_asked_for_its_state() {
    let mut net = Net::joined(3);
    let lost = {
        let gone = |record: &table::record::MemberRecord| &*record.node().name == "n2";
        let ctx = &mut net.nodes[0].ctx;
        ctx.table.sweep(gone, &mut ctx.random)
    };
    assert_eq!(lost.len(), 1);
    net.tell_from(addr(2), 0, ping_from("n2", &[10, 0, 0, 3]));
    net.settle();
    assert_eq!(net.state(0, 2), Some(NodeState::Alive));
}

#[test]
fn a_seed_that_comes_late_is_found_and_a_healed_partition_becomes_one_cluster() {
    let mut net = Net::new(4);
    for (a, b) in [(0, 1), (2, 3)] {
        net.nodes[b].join(net.now, &[Seed::Addr(addr(a))]);
    }
    net.nodes[2].remember_seeds(net.now, &[Seed::Addr(addr(0))]);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.cut.extend([(a, b), (b, a)]);
        net.cut_streams.extend([(a, b), (b, a)]);
    }
    net.run(Duration::from_secs(120));
    assert_eq!(net.nodes[0].ctx.table.live(), 2);
    net.cut.clear();
    net.cut_streams.clear();
    // The longest pause, half as much jitter, and the time for gossip.
    net.run(Duration::from_secs(30 + 15 + 10));
    for swim in &net.nodes {
        assert_eq!(swim.ctx.table.live(), 4);
    }
}

#[test]
fn each_node_of_an_idle_pair_sends_a_ping_and_an_ack_a_second_and_no_gossip() {
    let mut net = Net::joined(2);
    net.run(Duration::from_secs(20));
    net.sent.clear();
    net.run(Duration::from_secs(20));
    let datagrams = net.sent.iter().filter(|(from, _, _)| *from == 0).count();
    assert!((38..=42).contains(&datagrams), "{datagrams} datagrams");
    assert_eq!(
        net.nodes[0].ctx.timers.get(Timer::Gossip),
        None,
        "there is nothing to send, so no tick is due"
    );
}

#[test]
fn pings_announce_this_node_until_the_member_has_answered_and_again_after_a_change() {
    let told = |net: &Net, to: usize| {
        let announces = |(from, at, bytes): &&(usize, SocketAddr, Vec<u8>)| {
            let kinds = kinds(bytes);
            let holds = |kind| kinds.contains(&kind);
            *from == 0
                && *at == addr(to)
                && holds(crate::wire::message::kind::PING)
                && holds(crate::wire::message::kind::ALIVE)
        };
        net.sent.iter().filter(announces).count()
    };
    let change_unheard = |net: &mut Net, meta: [u8; 2]| {
        net.sent.clear();
        net.nodes[0].set_meta(net.now, Box::from(meta));
        net.nodes[0].ctx.broadcasts.members.prune(0); // gossip reaches no member
    };
    let mut net = Net::joined(3);
    net.run(Duration::from_secs(10));
    net.sent.clear();
    net.run(Duration::from_secs(10));
    assert_eq!(
        [told(&net, 1), told(&net, 2)],
        [0, 0],
        "both have acknowledged"
    );

    change_unheard(&mut net, *b"\xff\x81");
    net.run(Duration::from_secs(6));
    for to in [1, 2] {
        assert_eq!(told(&net, to), 1);
        assert_eq!(&*net.nodes[to].node("n0").unwrap().meta, b"\xff\x81");
    }

    change_unheard(&mut net, *b"\xff\x82");
    net.cut = vec![(0, 1)];
    while told(&net, 1) == 0 {
        net.run(STEP); // the announcement is lost, and a helper's answer does not acknowledge it
    }
    net.run(Duration::from_millis(800));
    net.cut.clear();
    net.sent.clear();
    net.run(Duration::from_secs(6));
    assert_eq!(told(&net, 1), 1);
    assert_eq!(&*net.nodes[1].node("n0").unwrap().meta, b"\xff\x82");
}

#[test]
fn a_stall_longer_than_dead_members_are_remembered_makes_a_node_forget_them() {
    let mut net = Net::joined(3);
    net.cut = vec![(2, 0), (0, 2), (2, 1), (1, 2)];
    net.cut_streams = net.cut.clone();
    net.run(Duration::from_secs(25));
    assert_eq!(net.state(0, 2), Some(NodeState::Dead));
    let swim = &mut net.nodes[0];
    swim.handle_stream_accepted(net.now, StreamId(500), addr(1));
    let away = |seconds| Duration::from_secs(seconds);
    assert!(!swim.handle_stall(net.now, away(10), away(20)));
    assert!(swim.node("n2").is_some() && swim.ctx.streams.get_mut(StreamId(500)).is_some());
    for (missed, suspended) in [(31, 0), (0, 31)] {
        assert!(swim.handle_stall(net.now, away(missed), away(suspended)));
        assert!(swim.node("n2").is_none() && swim.node("n1").is_some());
        assert!(swim.ctx.streams.get_mut(StreamId(500)).is_none());
    }
}

/// Three nodes; node 1 is cut off, and node 0 has just begun to suspect it.
fn suspecting() -> Net {
    let mut net = Net::joined(3);
    for i in [0, 2] {
        net.cut.extend([(1, i), (i, 1)]);
        net.cut_streams.extend([(1, i), (i, 1)]);
    }
    while net.state(0, 1) != Some(NodeState::Suspect) {
        net.run(STEP);
    }
    net
}

#[test]
fn a_node_that_has_left_reaches_its_verdicts_in_time_and_does_not_gossip_them() {
    let mut net = suspecting();
    let began = net.now;
    net.nodes[0].leave(net.now);
    while net.state(0, 1) != Some(NodeState::Dead) {
        net.run(STEP);
    }
    assert!(net.now.since(began) >= Duration::from_millis(3900));
    let accuses = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("n1");
    net.sent.clear();
    net.run(Duration::from_secs(2));
    assert!(
        !net.sent
            .iter()
            .any(|(from, _, bytes)| *from == 0 && accuses(bytes))
    );
}

/// After its leave, the node may still have a probe under way, and accepts push/pulls that list
/// suspects.
#[test]
fn a_node_that_has_left_gossips_no_suspicion_of_its_own() {
    let mut net = Net::joined(3);
    net.cut.extend([(0, 1), (2, 1)]);
    net.cut_streams.push((0, 1));
    let pings_it = |(from, to, bytes): &(usize, SocketAddr, Vec<u8>)| {
        (*from, *to) == (0, addr(1)) && kinds(bytes).contains(&message_kind::PING)
    };
    while !net.sent.iter().any(pings_it) {
        net.run(STEP);
    }
    net.nodes[0].leave(net.now);
    let accusation = Accusation {
        incarnation: 1,
        node: "n1",
        from: "n0",
    };
    let accusation = Message::Suspect(accusation).encoded();
    net.sent.clear();
    net.run(Duration::from_secs(2));
    assert_eq!(net.state(0, 1), Some(NodeState::Suspect));
    let accuses = |(from, _, bytes): &(usize, SocketAddr, Vec<u8>)| {
        *from == 0
            && bytes
                .windows(accusation.len())
                .any(|part| part == accusation)
    };
    assert!(!net.sent.iter().any(accuses));
}

#[test]
fn a_final_probe_without_an_answer_does_not_replace_the_report_of_the_probe_before() {
    let mut net = Net::joined(4);
    net.cut.extend([(0, 1), (2, 1), (3, 1)]);
    net.cut_streams.push((0, 1));
    while net.state(0, 1) != Some(NodeState::Dead) {
        net.run(STEP);
    }
    let probe = net.nodes[0].explain(net.now, "n1").unwrap().probe.unwrap();
    assert_eq!(probe.helpers.len(), 2);
}

#[test]
fn a_member_that_refuses_push_pulls_shows_that_streams_work() {
    let mut net = Net::joined(2);
    for _ in 0..5 {
        let mut exchange = None;
        while exchange.is_none() {
            net.now = net.now + Duration::from_secs(1);
            net.nodes[0].handle_timeout(net.now);
            while let Some(output) = net.nodes[0].poll_output() {
                match output {
                    Output::Connect { id, .. } => exchange = Some(id),
                    other => net.carry(0, other),
                }
            }
            net.settle();
        }
        let id = exchange.unwrap();
        net.nodes[0].handle_stream_connected(net.now, id);
        net.settle();
        let refusal = Message::Error(ErrorAnswer { text: b"no" }).encoded();
        net.nodes[0].handle_stream_data(net.now, id, &refusal);
        net.settle();
    }
    assert!(net.nodes[0].health(net.now).streams_work);
}

#[test]
fn a_hint_about_a_dead_member_does_not_change_the_health_score_and_ends_in_time() {
    let mut net = Net::joined(6);
    for i in [0, 2, 3, 4, 5] {
        net.cut.extend([(1, i), (i, 1)]);
        net.cut_streams.extend([(1, i), (i, 1)]);
    }
    for _ in 0..5 {
        let began = net.now;
        let score = net.nodes[0].stats().health_score;
        net.nodes[0].hint(net.now, "n1").unwrap();
        while !net
            .notices
            .iter()
            .any(|(_, it)| matches!(it, Notice::HintDone { .. }))
        {
            net.run(STEP);
        }
        net.notices.clear();
        assert!(net.now.since(began) <= Duration::from_millis(510));
        assert!(
            net.nodes[0].stats().health_score <= score + 1,
            "only a regular probe raises the score"
        );
    }
    let health = net.nodes[0].health(net.now);
    assert!(health.datagrams_work && health.streams_work, "{health:?}");
}

#[test]
fn an_ended_probe_waits_for_no_answer() {
    let mut net = Net::joined(3);
    net.cut.push((0, 1));
    net.cut_streams.push((0, 1));
    net.run(Duration::from_secs(5));
    let reasons = net.nodes[0].explain(net.now, "n1").unwrap();
    let report = reasons.probe.unwrap();
    assert_eq!(
        (report.direct, report.stream),
        (ProbeAnswer::Silent, ProbeAnswer::NotAsked),
        "the helper answered before the stream timed out"
    );
    assert_eq!(
        report.helpers,
        [HelperReport {
            name: "n2".into(),
            answer: ProbeAnswer::Answered
        }]
    );
}

/// Returns the number of pings that node 0 has sent.
fn pings(net: &Net) -> usize {
    let holds_ping = |bytes: &[u8]| kinds(bytes).contains(&message_kind::PING);
    let of_node_0 = net.sent.iter().filter(|(from, _, _)| *from == 0);
    of_node_0.filter(|(_, _, bytes)| holds_ping(bytes)).count()
}

#[test]
fn a_ping_is_repeated_until_its_ack_comes() {
    let mut net = Net::joined(2);
    net.run(Duration::from_secs(10));
    assert_eq!(pings(&net), 10, "nothing is lost, so nothing is repeated");
    assert_eq!(net.nodes[0].stats().pings_repeated, 0);
    net.cut.push((1, 0));
    net.sent.clear();
    while pings(&net) < 5 {
        net.run(STEP);
    }
    assert!(net.nodes[0].stats().pings_repeated >= 4);
    net.cut.clear();
    net.run(Duration::from_millis(100));
    net.sent.clear();
    net.run(Duration::from_secs(3));
    assert_eq!(pings(&net), 3);
    assert!(!net.heard(0, Change::Suspected, 1));

    let repeat_pings = false;
    let lan = Config::lan();
    let mut net = Net::with(
        2,
        Config {
            repeat_pings,
            ..lan
        },
    );
    net.nodes[1].join(net.now, &[Seed::Addr(addr(0))]);
    net.run(Duration::from_secs(10));
    net.cut.push((1, 0));
    net.cut_streams.push((0, 1));
    net.sent.clear();
    net.run(Duration::from_millis(900));
    assert_eq!(pings(&net), 1);
}

#[test]
fn in_a_long_round_without_an_answer_pings_are_sent_less_often_after_a_while() {
    let mut net = Net::joined(2);
    net.cut.push((1, 0));
    net.nodes[0].ctx.awareness.worsen(7);
    net.run(Duration::from_secs(1));
    net.sent.clear();
    net.run(Duration::from_secs(6));
    // Rounds last 8 s, and after the first twelve pings of a round the others come every 500 ms.
    assert!((10..=24).contains(&pings(&net)), "{}", pings(&net));
}

#[test]
fn a_ping_to_a_member_far_away_is_not_repeated_once_its_distance_is_known() {
    let mut net = Net::joined(2);
    let mut swim = net.nodes.remove(0);
    let far = Duration::from_millis(200);
    let mut acks: std::collections::VecDeque<(Time, u32)> = Default::default();
    let mut repeated = Vec::new();
    for _ in 0..600 {
        net.now = net.now + STEP;
        swim.handle_timeout(net.now);
        while acks.front().is_some_and(|(at, _)| *at <= net.now) {
            let (_, seq) = acks.pop_front().expect("it was just seen");
            let ack = Message::Ack(Ack { seq, payload: None });
            swim.handle_datagram(net.now, addr(1), &ack.encoded());
        }
        while let Some(output) = swim.poll_output() {
            let Output::Datagram { bytes, .. } = output else {
                continue;
            };
            if let Ok(Message::Ping(ping)) = Message::decode(&bytes) {
                acks.push_back((net.now + far, ping.seq));
            }
        }
        repeated.push(swim.stats().pings_repeated);
    }
    assert!(repeated[599] > 0, "the distance was not known at first");
    assert_eq!(repeated[599], repeated[200], "{repeated:?}");
    let rtt = swim.explain(net.now, "n1").unwrap().probe.unwrap().rtt;
    assert_eq!(rtt, Some(far));
    assert_eq!(swim.ctx.awareness.score(), 0);
}

#[test]
fn a_message_that_does_not_fit_into_a_packet_is_counted_and_not_queued() {
    let mut net = Net::joined(2);
    net.run(Duration::from_secs(5));
    net.nodes[0].ctx.config.packet_bytes = 900;
    let room = net.nodes[0].ctx.packet_room();
    net.nodes[0].broadcast(net.now, 1, &vec![4; room], Some(7));
    assert_eq!(net.nodes[0].stats().queue_len, 0);
    assert_eq!(
        net.nodes[0].poll_notice(),
        Some(Notice::BroadcastDone { token: 7 })
    );
    net.nodes[0].broadcast(
        net.now,
        1,
        &vec![4; room - shared::broadcast_queue::PART_COST - 1],
        None,
    );
    assert_eq!(net.nodes[0].stats().queue_len, 1);
    let alive = Alive {
        incarnation: 3,
        node: "n1",
        addr: &[10, 0, 0, 2],
        port: 7946,
        meta: Some(&[0; 1000]),
        vsn: &VERSIONS,
    };
    net.tell(0, Message::Alive(alive));
    assert_eq!(net.nodes[0].stats().queue_len, 1);
    let stats = net.nodes[0].stats();
    assert_eq!(stats.broadcasts_too_long, 2);
    assert_eq!(stats.refused.0[Refusal::TooLarge as usize], 0);
    net.run(Duration::from_secs(5));
    assert_eq!(net.nodes[0].ctx.timers.get(Timer::Gossip), None);
}

/// Returns the seconds, within ten minutes, at which a node that knows no other node looks up the
/// name of its only seed. `answer` lists the nodes that the name stands for; with `None`, no answer
/// ever comes.
fn lookups(answer: Option<&[usize]>) -> Vec<u64> {
    let mut swim = node(0, Config::lan());
    let seeds = [Seed::Host("svc".into(), 7946)];
    swim.remember_seeds(Time::ZERO, &seeds);
    swim.join(Time::ZERO, &seeds);
    let mut asked = Vec::new();
    for second in 0..600 {
        let now = Time::ZERO + Duration::from_secs(second);
        swim.handle_timeout(now);
        while let Some(order) = swim.poll_output() {
            match (order, answer) {
                (Output::Resolve { id, .. }, Some(found)) => {
                    asked.push(second);
                    let found: Vec<_> = found.iter().map(|&i| addr(i).ip()).collect();
                    swim.handle_resolved(now, id, &found);
                }
                (Output::Resolve { .. }, None) => asked.push(second),
                (Output::Connect { id, .. }, _) => {
                    swim.handle_stream_end(now, id, StreamEnd::Failed);
                }
                _ => {}
            }
        }
    }
    asked
}

#[test]
fn a_host_name_is_looked_up_again_while_it_stands_for_no_other_node_or_for_an_unknown_one() {
    for answer in [&[][..], &[0], &[0, 1], &[1]] {
        let asked = lookups(Some(answer));
        assert!(asked.len() > 12, "{answer:?}: {asked:?}");
        assert!(asked[asked.len() - 1] >= 550, "{answer:?}: {asked:?}");
    }
}

#[test]
fn a_lookup_that_takes_long_is_not_repeated() {
    assert!(
        lookups(None).len() <= 2,
        "one for the join, one for the reconnect"
    );
}

#[test]
fn a_host_name_is_not_looked_up_while_every_node_it_stands_for_is_a_member() {
    let mut net = Net::joined(3);
    net.dns = vec![0, 1, 2];
    net.nodes[2].join(net.now, &[Seed::Host("svc".into(), 7946)]);
    net.run(Duration::from_secs(600));
    assert!(net.lookups <= 2, "{} lookups", net.lookups);
}

#[test]
fn the_first_seeds_are_kept_and_later_seeds_make_room_for_one_another() {
    let mut swim = node(0, Config::lan());
    let all: Vec<_> = (1..=6000)
        .map(|port| SocketAddr::from(([10, 9, 9, 9], port)))
        .collect();
    for addrs in all.chunks(1000) {
        let seeds: Vec<_> = addrs.iter().copied().map(Seed::Addr).collect();
        swim.remember_seeds(Time::ZERO, &seeds);
        while swim.poll_output().is_some() {}
    }
    let seeds = swim.reconnect.seed_addrs();
    assert_eq!(seeds.len(), limits::SEEDS);
    assert_eq!((seeds[0], seeds.last()), (all[0], all.last()));
}

/// A push/pull that announces more user state than ever arrives.
const UNFINISHED: &[u8] = b"\x06\x83\xa4Join\xc2\xa5Nodes\x00\xacUserStateLen\xce\x01\x00\x00\x00";

/// One host opens streams that hold as much as possible; a stream of another host is still served.
#[test]
fn a_host_that_fills_the_streams_harms_only_itself() {
    let mut net = Net::joined(2);
    let swim = &mut net.nodes[0];
    let honest = StreamId(500);
    swim.handle_stream_accepted(net.now, honest, addr(1));
    swim.handle_stream_data(net.now, honest, UNFINISHED);
    swim.handle_stream_data(net.now, honest, &vec![0x90; 4 << 20]);
    for stream in 0..10 {
        let id = StreamId(1000 + 2 * stream);
        swim.handle_stream_accepted(net.now, id, STRANGER);
        swim.handle_stream_data(net.now, id, UNFINISHED);
        swim.handle_stream_data(net.now, id, &vec![0x90; 7 << 20]);
    }
    assert!(swim.ctx.streams.held() <= limits::ALL_STREAMS_LEN);
    assert!(swim.ctx.streams.get(honest).is_some());
    let refused = swim.take_refusals();
    assert!(refused.iter().all(|it| it.source.addr == STRANGER));
    assert!(!refused.is_empty());
}

#[test]
fn all_streams_together_hold_no_more_than_their_bound() {
    let mut net = Net::joined(2);
    let swim = &mut net.nodes[0];
    let chunk = vec![0x90; 1 << 20];
    let mut sent = 0;
    for stream in 0..40 {
        let id = StreamId(1000 + 2 * stream);
        swim.handle_stream_accepted(net.now, id, addr(1));
        swim.handle_stream_data(net.now, id, UNFINISHED);
        for _ in 0..12 {
            swim.handle_stream_data(net.now, id, &chunk);
            sent += chunk.len();
        }
    }
    assert!(sent > 7 * limits::ALL_STREAMS_LEN);
    assert!(swim.ctx.streams.held() <= limits::ALL_STREAMS_LEN);
    assert!(swim.ctx.streams.held() > limits::ALL_STREAMS_LEN / 2);
    assert!(swim.stats().refused.0[Refusal::TooLarge as usize] > 30);
}

#[test]
fn a_probe_this_host_cannot_send_accuses_the_member_only_if_helpers_find_it_silent() {
    for helpers_reached in [false, true] {
        let mut net = Net::joined(3);
        net.cut_streams.extend([(0, 1), (0, 2)]);
        // The host of node 0 cannot send datagrams to node 1, and in one case not to node 2 either.
        net.unsent = Some((0, if helpers_reached { vec![1] } else { vec![1, 2] }));
        net.run(Duration::from_secs(60));
        for other in [1, 2] {
            assert_eq!(
                net.state(0, other),
                Some(NodeState::Alive),
                "node {other}, helpers reached: {helpers_reached}"
            );
        }
        let health = net.nodes[0].health(net.now);
        assert_eq!(health.datagrams_work, helpers_reached, "{health:?}");
    }
    let mut net = Net::joined(3);
    for i in [0, 2] {
        net.cut.push((1, i));
        net.cut_streams.push((i, 1));
    }
    net.unsent = Some((0, vec![1]));
    net.run(Duration::from_secs(60));
    assert_ne!(
        net.state(0, 1),
        Some(NodeState::Alive),
        "the helper did not reach n1 either"
    );
}

/// Tells node 0 that its name is claimed at another address, and returns that address.
fn claim_the_name_of_node_0(net: &mut Net) -> SocketAddr {
    net.tell(0, alive_at(&name(0), &[10, 0, 0, 77], 1));
    net.settle();
    SocketAddr::from(([10, 0, 0, 77], 7946))
}

fn sent_to(net: &Net, to: SocketAddr) -> Vec<Vec<u8>> {
    let datagrams = net.sent.iter().filter(|(_, other, _)| *other == to);
    datagrams.map(|(_, _, bytes)| bytes.clone()).collect()
}

#[test]
fn a_node_that_reaches_itself_at_another_address_has_no_name_conflict() {
    let mut net = Net::joined(2);
    let own_alias = claim_the_name_of_node_0(&mut net);
    let asked = sent_to(&net, own_alias);
    assert_eq!(
        net.nodes[0].name_conflict(),
        Some(NameConflict {
            addr: own_alias,
            verdict: ConflictVerdict::Asked
        })
    );
    net.nodes[0].handle_datagram(net.now, addr(9), &asked[0]);
    assert_eq!(net.nodes[0].name_conflict(), None);
    net.settle();
    net.notices.clear();
    claim_the_name_of_node_0(&mut net);
    let told = |(_, notice): &(usize, Notice)| matches!(notice, Notice::Conflict { .. });
    assert!(
        !net.notices.iter().any(told),
        "the node knows its alias now"
    );
    assert_eq!(
        sent_to(&net, own_alias).len(),
        asked.len(),
        "the alias is not asked again"
    );
}

#[test]
fn a_claim_at_a_silent_address_is_forgotten_if_no_member_repeats_it() {
    let mut net = Net::joined(2);
    let ghost = claim_the_name_of_node_0(&mut net);
    net.run(Duration::from_secs(1));
    assert_eq!(
        net.nodes[0].name_conflict(),
        Some(NameConflict {
            addr: ghost,
            verdict: ConflictVerdict::Silent
        })
    );
    assert_eq!(
        sent_to(&net, ghost).len(),
        2,
        "the address is asked twice, because a datagram can get lost"
    );
    net.run(Duration::from_secs(30));
    assert_eq!(net.nodes[0].name_conflict(), None);
    assert_eq!(net.nodes[0].health(net.now).summary, "healthy");
}

/// Returns the sequence number of the ping in a datagram, if there is one.
fn ping_in(datagram: &[u8]) -> Option<u32> {
    let mut seq = None;
    let opened = packet::open(&Codec::default(), datagram).unwrap();
    packet::walk(opened.as_bytes(), &mut |message| {
        if let Ok(Ok(Message::Ping(ping))) = message.map(Message::decode) {
            seq = Some(ping.seq);
        }
    });
    seq
}

#[test]
fn the_owner_of_a_name_is_silent_only_if_it_misses_two_rounds_and_is_asked_again_then() {
    let mut net = Net::joined(2);
    net.cut_streams.push((0, 1)); // a push/pull would show that the member lists node 0
    // In each round a member repeats the claim, and the owner answers or does not.
    let mut round = |answers: bool| {
        let owner = claim_the_name_of_node_0(&mut net);
        for _ in 0..200 {
            let asked = sent_to(&net, owner);
            let seq = asked.iter().rev().find_map(|it| ping_in(it));
            if let Some(seq) = seq.filter(|_| answers) {
                let ack = Message::Ack(Ack { seq, payload: None }).encoded();
                net.nodes[0].handle_datagram(net.now, owner, &ack);
            }
            net.sent.clear();
            net.run(STEP);
        }
        net.nodes[0].name_conflict().unwrap().verdict
    };
    use ConflictVerdict::{Alive, Silent};
    let verdicts = [true, false, true, false, false, true].map(&mut round);
    assert_eq!(verdicts, [Alive, Alive, Alive, Alive, Silent, Alive]);
}

/// A node that has left ignores claims to its name. So it cannot conclude from their absence that
/// the other node is gone.
#[test]
fn a_leave_does_not_end_a_claim_to_the_name() {
    let mut net = Net::joined(2);
    claim_the_name_of_node_0(&mut net);
    net.nodes[0].leave(net.now);
    net.run(Duration::from_secs(60));
    let is_free = |net: &Net| net.notices.contains(&(0, Notice::NameFree));
    assert!(!is_free(&net));
    net.nodes[0].revive(net.now);
    net.run(Duration::from_secs(40));
    assert!(is_free(&net), "no member has repeated the claim");
}

#[test]
fn a_new_member_that_is_claimed_at_another_address_is_probed_at_once() {
    let mut net = Net::joined(2);
    net.tell(0, alive_at("far", &[10, 0, 0, 9], 1));
    let before = net.nodes[0].stats().probes;
    let probed = |net: &Net| net.nodes[0].stats().probes - before;
    net.tell(0, alive_at("n1", &[10, 0, 0, 8], 1));
    assert_eq!(probed(&net), 0, "n1 has answered a moment ago");
    net.tell(0, alive_at("far", &[10, 0, 0, 8], 1));
    net.tell(0, alive_at("far", &[10, 0, 0, 7], 1));
    assert_eq!(probed(&net), 1, "one probe is enough");
    net.run(Duration::from_secs(1) + STEP);
    assert_eq!(net.nodes[0].node("far").unwrap().state, NodeState::Suspect);
}

#[test]
fn a_dead_member_that_is_claimed_at_another_address_is_back_when_the_claim_counts() {
    let config = Config {
        push_pull_interval: Duration::ZERO,
        ..Config::lan()
    };
    let reclaim = config.dead_reclaim;
    let mut net = Net::with(3, config);
    net.nodes[1].join(net.now, &[Seed::Addr(addr(0))]);
    net.run(Duration::from_secs(2));
    // Only node 0 knows of the earlier run of node 2, and does not hear the pings of the later run.
    net.cut.extend([(0, 1), (2, 0)]);
    net.tell(0, alive_at("n2", &[10, 0, 0, 77], 1));
    let death = Accusation {
        incarnation: 1,
        node: "n2",
        from: "n1",
    };
    net.tell(0, Message::Dead(death));
    let died = net.now;
    net.run(Duration::from_secs(8));
    net.cut.retain(|pair| *pair != (0, 1));
    net.nodes[2].join(net.now, &[Seed::Addr(addr(1))]);
    net.run(Duration::from_secs(10));
    assert_eq!(net.state(0, 2), Some(NodeState::Dead));
    net.run((died + reclaim + Duration::from_secs(2)).since(net.now));
    let known = net.nodes[0].node("n2").unwrap();
    assert_eq!((known.state, known.addr), (NodeState::Alive, addr(2)));
}

#[test]
fn an_accusation_of_an_earlier_run_does_not_change_the_health_score() {
    let mut net = Net::joined(2);
    let said = |incarnation, from| Accusation {
        incarnation,
        node: "n0",
        from,
    };
    let own = net.nodes[0].self_node().incarnation;
    net.tell(0, Message::Dead(said(own, "n0")));
    net.tell(0, Message::Suspect(said(own + 9, "n1")));
    assert_eq!(net.nodes[0].stats().refutations, 2);
    assert_eq!(net.nodes[0].health(net.now).score, 0);
    net.tell(0, Message::Suspect(said(own + 10, "n1")));
    assert_eq!(
        net.nodes[0].health(net.now).score,
        1,
        "an accusation of the present run counts"
    );
}

#[test]
fn a_member_that_answers_a_hint_by_stream_first_is_not_called_silent() {
    let mut net = Net::joined(2);
    net.cut.push((1, 0)); // its acks are lost
    net.nodes[0].hint(net.now, "n1").unwrap();
    net.settle();
    let probe = net.nodes[0].explain(net.now, "n1").unwrap().probe.unwrap();
    assert_eq!(
        (probe.direct, probe.stream),
        (ProbeAnswer::NotAsked, ProbeAnswer::Answered)
    );
}

/// Runs a leave of node 2 of three nodes. For the time `silent`, no datagram reaches node 1.
/// Returns the network, the time until [`Notice::LeaveAcked`], and the members that did not
/// acknowledge.
fn leave_past_silence(silent: Duration) -> (Net, Option<Duration>, Vec<Arc<str>>) {
    let mut net = Net::joined(3);
    let began = net.now;
    let mut acked = None;
    net.nodes[2].leave(net.now);
    net.cut = vec![(2, 1), (0, 1)];
    while net.now.since(began) < Duration::from_secs(4) {
        if net.now.since(began) >= silent {
            net.cut.clear();
        }
        net.run(STEP);
        if acked.is_none() && net.notices.contains(&(2, Notice::LeaveAcked)) {
            acked = Some(net.now.since(began));
        }
    }
    let unacked = net.nodes[2].end_leave();
    (net, acked, unacked)
}

#[test]
fn a_member_is_told_of_a_leave_until_it_acknowledges() {
    let (net, acked, unacked) = leave_past_silence(Duration::from_millis(1200));
    let acked = acked.unwrap();
    assert!(acked >= Duration::from_millis(1200) && acked < Duration::from_millis(1500));
    assert_eq!(unacked, []);
    assert_eq!(net.state(1, 2), Some(NodeState::Left));
}

#[test]
fn a_member_that_never_acknowledges_a_leave_is_named() {
    let (_, acked, unacked) = leave_past_silence(Duration::from_secs(4));
    let acked = acked.unwrap();
    assert!(acked >= Duration::from_millis(1900) && acked < Duration::from_millis(2200));
    assert_eq!(unacked, ["n1".into()]);
}

#[test]
fn a_member_that_missed_a_leave_learns_of_it_when_it_suspects_the_member() {
    let (mut net, _, _) = leave_past_silence(Duration::from_secs(4));
    // Node 2 is gone. Node 1 can learn of its leave only by a datagram of node 0, whose broadcasts
    // of the leave have all been sent.
    net.cut = vec![(2, 0), (2, 1), (0, 2), (1, 2)];
    net.cut_streams = vec![(0, 1), (1, 0), (0, 2), (1, 2)];
    net.run(Duration::from_secs(15));
    assert_eq!(net.state(1, 2), Some(NodeState::Left));
    assert!(net.heard(1, Change::Suspected, 2));
    assert!(!net.heard(1, Change::Died, 2), "node 1 reported a failure");
    // An agent that hears of the departure before the intent reports a failure.
    let told = net
        .sent
        .iter()
        .filter(|(from, to, _)| (*from, *to) == (0, addr(1)));
    let mut told = told.map(|(_, _, bytes)| kinds(bytes));
    assert!(told.any(|it| it == [message_kind::USER, message_kind::DEAD]));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
}

#[test]
fn an_intent_is_acknowledged_before_the_departure_is_announced() {
    let mut net = Net::joined(2);
    net.cut = vec![(1, 0)];
    net.nodes[1].announce_leave(net.now, b"\0intent");
    net.run(Duration::from_millis(500));
    let is_user = |(_, notice): &(usize, Notice)| matches!(notice, Notice::UserMessage { .. });
    assert!(!net.notices.iter().any(is_user));
    net.cut.clear();
    net.run(Duration::from_millis(200));
    assert!(net.notices.iter().any(is_user));
    let acked = (1, Notice::LeaveAcked);
    assert!(
        !net.notices.contains(&acked),
        "an agent may not have handled the intent yet"
    );
    net.run(Duration::from_millis(200));
    assert!(net.notices.contains(&acked));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    net.nodes[1].leave(net.now);
    net.run(STEP);
    assert_eq!(net.state(0, 1), Some(NodeState::Left));
}

/// An agent that has not received the intent yet must not find the leaving node dead in a
/// push/pull.
#[test]
fn after_its_leave_intent_a_node_is_shown_as_alive_until_its_leave_is_over() {
    for intent in [true, false] {
        let mut net = Net::joined(2);
        if intent {
            net.nodes[1].announce_leave(net.now, b"\0intent");
        }
        net.cut = vec![(1, 0)];
        net.nodes[1].leave(net.now);
        net.nodes[0].join(net.now, &[Seed::Addr(addr(1))]);
        net.settle();
        let shown = if intent {
            NodeState::Alive
        } else {
            NodeState::Left
        };
        assert_eq!(net.state(0, 1), Some(shown));
        net.nodes[1].end_leave();
        net.nodes[0].join(net.now, &[Seed::Addr(addr(1))]);
        net.settle();
        assert_eq!(net.state(0, 1), Some(NodeState::Left));
    }
}

/// Gossip that goes to nodes outside the cluster is lost, but counts as sent.
#[test]
fn messages_from_a_stranger_use_up_no_broadcasts() {
    let mut net = Net::joined(2);
    net.nodes[0].broadcast(net.now, 0, b"news", Some(7));
    let ask = |node| {
        let asker: (_, &[u8]) = ("n1", &[10, 0, 0, 99]);
        ask_from(asker, (node, &[10, 0, 0, 98]), true)
    };
    let queued = net.nodes[0].stats().queue_len;
    for _ in 0..20 {
        // A stranger, a member's name at another address, and a member's address without its name.
        net.tell(0, ping_from("stranger", &[10, 0, 0, 99]));
        net.tell(0, ping_from("n1", &[10, 0, 0, 99]));
        net.tell(0, ping_from("", &[10, 0, 0, 2]));
        net.tell(0, ask("n1"));
        net.tell(0, ask("stranger"));
    }
    let news =
        |(_, _, bytes): &&(usize, SocketAddr, Vec<u8>)| kinds(bytes).contains(&message_kind::USER);
    assert_eq!(net.nodes[0].stats().queue_len, queued);
    net.settle();
    assert_eq!(net.sent.iter().filter(news).count(), 0);
    net.run(Duration::from_secs(3));
    let receivers = |(_, to, _): &(usize, SocketAddr, Vec<u8>)| *to == addr(1);
    assert!(net.sent.iter().filter(news).all(receivers));
    assert!(net.sent.iter().filter(news).count() > 0);
}

/// Returns the reports of joins at node `who`: the number contacted, and the number of failures.
fn joins_done(net: &Net, who: usize) -> Vec<(usize, usize)> {
    let report = |(i, notice): &(usize, Notice)| match notice {
        Notice::JoinDone { report, .. } if *i == who => {
            Some((report.contacted, report.failures.len()))
        }
        _ => None,
    };
    net.notices.iter().filter_map(report).collect()
}

/// Adds hosts that do not answer: connections to them are neither accepted nor refused. Returns
/// their addresses.
fn mute(net: &mut Net, count: usize) -> Vec<Seed> {
    let first = net.nodes.len();
    let silent = first..first + count;
    net.nodes
        .extend(silent.clone().map(|i| node(i, Config::lan())));
    let who = 0..first;
    net.cut_streams = who
        .flat_map(|from| silent.clone().map(move |to| (from, to)))
        .collect();
    silent.map(|i| Seed::Addr(addr(i))).collect()
}

#[test]
fn a_silent_address_of_a_host_does_not_hold_up_a_look() {
    let mut net = Net::joined(2);
    net.nodes.push(node(2, Config::lan()));
    let silent = mute(&mut net, 2);
    assert_eq!(silent.len(), 2);
    net.dns = vec![3, 4, 1];
    let target = Seed::Host("cluster".into(), 7946);
    let op = net.nodes[2].look(net.now, &target).unwrap();
    net.run(Duration::from_millis(900));
    let is_done = |net: &Net| {
        let of = |it: &(usize, Notice)| matches!(&it.1, Notice::LookDone { op: o, .. } if *o == op);
        net.notices.iter().any(of)
    };
    assert!(!is_done(&net), "both silent addresses come first");
    net.run(Duration::from_millis(200));
    assert!(is_done(&net));
    net.run(Duration::from_secs(60));
    let done = net.notices.iter().filter(|(who, _)| *who == 2);
    let done = done.filter_map(|(_, notice)| match notice {
        Notice::LookDone { report, state, .. } => Some((report.contacted, state.nodes.len())),
        _ => None,
    });
    assert_eq!(done.collect::<Vec<_>>(), [(1, 2)]);
}

#[test]
fn silent_seeds_do_not_hold_up_a_join_that_reached_a_node() {
    let mut net = Net::new(2);
    let mut seeds = mute(&mut net, 70);
    seeds.push(Seed::Addr(addr(1)));
    net.nodes[0].join(net.now, &seeds);
    net.run(Duration::from_secs(5));
    let [(1, silent)] = joins_done(&net, 0)[..] else {
        panic!("{:?}", joins_done(&net, 0))
    };
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    net.run(Duration::from_secs(12));
    let rest = (0, 70 - silent);
    assert_eq!(joins_done(&net, 0), [(1, silent), rest]);
}

#[test]
fn a_join_waits_a_moment_for_the_seeds_that_answer_after_the_first() {
    let mut net = Net::new(4);
    let seeds: Vec<Seed> = (1..4).map(|i| Seed::Addr(addr(i))).collect();
    net.nodes[0].join(net.now, &seeds);
    net.run(Duration::from_secs(1));
    assert_eq!(joins_done(&net, 0), [(3, 0)]);
}

#[test]
fn a_join_that_failed_is_not_repeated_but_the_seeds_of_one_that_succeeded_are_asked_again() {
    for reached in [false, true] {
        let mut net = Net::new(2);
        let mut seeds = mute(&mut net, 1);
        if reached {
            seeds.push(Seed::Addr(addr(1)));
        }
        net.nodes[0].join(net.now, &seeds);
        net.run(Duration::from_secs(60));
        let stats = net.nodes[0].stats();
        assert_eq!(
            stats.reconnects > 0,
            reached,
            "{} attempts",
            stats.reconnects
        );
    }
}

#[test]
fn an_address_that_was_found_is_joined_and_not_remembered() {
    let mut net = Net::new(2);
    net.nodes[0].join_found(net.now, addr(1));
    net.run(Duration::from_secs(5));
    assert_eq!(joins_done(&net, 0), [(1, 0)]);
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert!(net.nodes[0].is_alive_at(addr(1)));
    let own = addr(0);
    assert!(!net.nodes[0].is_alive_at(own), "only other members count");
    assert!(!net.nodes[0].reconnect.has_other_seeds(own));
}

#[test]
fn a_seed_that_refuses_this_node_is_asked_with_the_longest_pauses() {
    let mut swim = node(0, Config::lan());
    swim.remember_seeds(Time::ZERO, &[Seed::Addr(addr(1))]);
    let mut asked = 0;
    for second in 0..60 {
        let now = Time::ZERO + Duration::from_secs(second);
        swim.handle_timeout(now);
        while let Some(order) = swim.poll_output() {
            if let Output::Connect { id, .. } = order {
                asked += 1;
                swim.handle_stream_connected(now, id);
                let text = "No installed keys could decrypt the message";
                let answer = Message::Error(ErrorAnswer {
                    text: text.as_bytes(),
                })
                .encoded();
                swim.handle_stream_data(now, id, &answer);
            }
        }
    }
    assert!((2..=3).contains(&asked), "{asked} attempts in a minute");
}

/// Returns the reasons for which targets of joins failed at node `who`.
fn join_failures(net: &Net, who: usize) -> Vec<JoinFailure> {
    let report = net.notices.iter().filter_map(|(i, notice)| match notice {
        Notice::JoinDone { report, .. } if *i == who => Some(report),
        _ => None,
    });
    let failures = report.flat_map(|report| report.failures.iter());
    failures.map(|(_, why)| why.clone()).collect()
}

#[test]
fn a_node_that_has_only_a_loopback_address_joins_no_node_on_another_host() {
    let lonely = Config {
        chooses_address: true,
        ..Config::lan()
    };
    let mut net = Net::joined(3);
    net.nodes[0] = node(0, lonely);
    let own = SocketAddr::from(([127, 0, 0, 1], 7946));
    net.nodes[0].set_addr(net.now, own);
    net.nodes.push(node(3, Config::lan()));
    for (who, seed) in [(0, 1), (3, 0)] {
        net.nodes[who].join(net.now, &[Seed::Addr(addr(seed))]);
    }
    net.run(Duration::from_secs(3));
    let refused = JoinFailure::Protocol(Refusal::OwnAddress);
    assert_eq!(join_failures(&net, 0), [refused]);
    let text = Refusal::OwnAddress.help().to_owned();
    assert_eq!(join_failures(&net, 3), [JoinFailure::Refused(text)]);
    assert_eq!(net.nodes[0].ctx.table.live(), 1, "it has learned nothing");
    for other in 1..4 {
        let listed = net.nodes[other].node(&name(0));
        assert_ne!(listed.map(|it| it.addr), Some(own), "at n{other}");
    }
    // A look shows nothing, so it needs no address.
    let op = net.nodes[0].look(net.now, &Seed::Addr(addr(1)));
    net.run(Duration::from_secs(1));
    let looked = |(_, notice): &(usize, Notice)| match notice {
        Notice::LookDone { op: it, report, .. } => Some(*it) == op && report.contacted == 1,
        _ => false,
    };
    assert!(net.notices.iter().any(looked));
    // The network is up.
    net.nodes[0].set_addr(net.now, addr(0));
    net.nodes[0].join(net.now, &[Seed::Addr(addr(1))]);
    net.run(Duration::from_secs(60));
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
}

#[test]
fn a_node_with_a_loopback_address_joins_others_on_its_host_unless_they_know_other_hosts() {
    let here = |name: &'static str, addr: &'static [u8; 4]| entry(name, addr, NodeState::Alive);
    let remote = here("remote", &[10, 0, 0, 9]);
    let past = PushPullNode {
        state: NodeState::Dead,
        ..here("past", &[10, 0, 0, 8])
    };
    let local = here("local", &[127, 0, 0, 2]);
    for (chooses_address, nodes, merged) in [
        (true, vec![local], true),
        (true, vec![local, past], true),
        (true, vec![local, remote], false),
        (false, vec![local, remote], true),
    ] {
        let config = Config {
            chooses_address,
            ..Config::lan()
        };
        let mut swim = node(0, config);
        swim.set_addr(Time::ZERO, SocketAddr::from(([127, 0, 0, 1], 7946)));
        let (mut bytes, id) = (Vec::new(), StreamId(2));
        let state = PushPull {
            nodes,
            ..PushPull::default()
        };
        state.encode(&mut bytes);
        let from = SocketAddr::from(([127, 0, 0, 1], 40_000));
        swim.handle_stream_accepted(Time::ZERO, id, from);
        swim.handle_stream_data(Time::ZERO, id, &bytes);
        swim.provide_user_state(Time::ZERO, id, &[]);
        assert_eq!(swim.node("local").is_some(), merged, "{:?}", state.nodes);
    }
}

#[test]
fn a_push_pull_whose_sender_has_hung_up_is_neither_answered_nor_merged() {
    let mut bytes = Vec::new();
    let state = PushPull {
        nodes: vec![entry("n7", &[10, 0, 0, 8], NodeState::Alive)],
        ..PushPull::default()
    };
    state.encode(&mut bytes);
    let (first, last) = bytes.split_at(bytes.len() / 2);
    let (mut swim, id) = (node(0, Config::default()), StreamId(2));
    swim.handle_stream_accepted(Time::ZERO, id, addr(1));
    swim.handle_stream_data(Time::ZERO, id, first);
    swim.note_hang_up(id);
    swim.handle_stream_data(Time::ZERO, id, last);
    assert_eq!(swim.stats().push_pulls_abandoned, 1);
    let outputs: Vec<Output> = std::iter::from_fn(|| swim.poll_output()).collect();
    assert!(
        matches!(outputs[..], [Output::Close { id: StreamId(2) }]),
        "{outputs:?}"
    );
    let mut notices = std::iter::from_fn(|| swim.poll_notice());
    assert!(!notices.any(|notice| matches!(notice, Notice::WantUserState { .. })));
    assert!(swim.node("n7").is_none());
}

/// Returns the names in the answer of node 0 to a push/pull with these entries.
fn names_in_answer(swim: &mut Swim, now: Time, nodes: Vec<PushPullNode>) -> Vec<String> {
    let (mut bytes, id) = (Vec::new(), StreamId(2));
    let state = PushPull {
        nodes,
        ..PushPull::default()
    };
    state.encode(&mut bytes);
    swim.handle_stream_accepted(now, id, addr(1));
    swim.handle_stream_data(now, id, &bytes);
    let wants = |notice: &Notice| matches!(notice, Notice::WantUserState { .. });
    let mut notices = std::iter::from_fn(|| swim.poll_notice());
    assert!(notices.any(|notice| wants(&notice)));
    swim.provide_user_state(now, id, &[]);
    let mut outputs = std::iter::from_fn(|| swim.poll_output());
    let answer = outputs.find_map(|output| match output {
        Output::Write { bytes, .. } => Some(bytes),
        _ => None,
    });
    let mut reader = crate::wire::stream::StreamReader::new(crate::wire::stream::Side::Dialled);
    let plain = reader.push(&Codec::default(), &answer.unwrap()).unwrap();
    let plain = plain.unwrap();
    let nodes = PushPull::decode(&plain).unwrap().nodes;
    let names: std::collections::BTreeSet<_> = nodes.iter().map(|it| it.name.to_owned()).collect();
    names.into_iter().collect()
}

#[test]
fn an_answer_leaves_this_node_out_if_the_request_lists_its_name_at_another_address() {
    let mut swim = node(0, Config::lan());
    let own = [addr(0)].map(|it| match it.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => panic!("the tests use IPv4"),
    })[0];
    let elsewhere = [10, 0, 0, 77];
    let peer = [10, 0, 0, 2];
    let n1 = entry("n1", &peer, NodeState::Alive);
    let mut ask = |now, own_entry| names_in_answer(&mut swim, now, vec![n1, own_entry]);
    let start = Time::ZERO;
    let here = entry("n0", &own, NodeState::Alive);
    assert_eq!(ask(start, here), ["n0"], "before the merge");
    let taken = entry("n0", &elsewhere, NodeState::Alive);
    assert_eq!(ask(start, taken), ["n1"]);
    let gone = entry("n0", &elsewhere, NodeState::Dead);
    assert_eq!(ask(start, gone), ["n0", "n1"]);
    // This node has asked at the other address, and no node has answered.
    let later = start + Duration::from_secs(1);
    for millis in (0..=1000).step_by(50) {
        swim.handle_timeout(start + Duration::from_millis(millis));
    }
    let names = names_in_answer(&mut swim, later, vec![n1, taken]);
    assert_eq!(names, ["n0", "n1"]);
}

#[test]
fn a_connection_from_outside_of_the_allowed_networks_is_refused_unread() {
    let config = Config {
        cidrs_allowed: vec!["10.0.0.0/25".parse().unwrap()],
        ..Config::lan()
    };
    let mut swim = node(0, config);
    assert!(swim.admits_stream(addr(1)));
    assert_eq!(swim.take_refusals(), []);
    assert!(!swim.admits_stream(STRANGER));
    let refused = SourceCount {
        why: Refusal::AddressNotAllowed,
        source: Source {
            addr: STRANGER,
            transport: Transport::Accepted,
        },
        count: 1,
    };
    assert_eq!(swim.take_refusals(), [refused]);
    assert!(node(0, Config::lan()).admits_stream(STRANGER));
}

#[test]
fn a_datagram_from_outside_of_the_allowed_networks_changes_nothing_but_is_answered_and_refuted() {
    let mut net = Net::joined(3);
    let allowed = vec!["10.0.0.0/25".parse().unwrap()];
    net.nodes[0].ctx.config.cidrs_allowed = allowed;
    let accuse = |node| Accusation {
        incarnation: 1,
        node,
        from: "stranger",
    };
    let there: &[u8] = &[10, 0, 0, 9];
    for message in [
        alive_at("n9", there, 1),
        Message::Suspect(accuse("n1")),
        Message::Dead(accuse("n1")),
        Message::User(b"text"),
        ask_from(("n1", &[10, 0, 0, 2]), ("n9", there), true),
    ] {
        net.tell(0, message);
    }
    net.settle();
    let refusals = net.nodes[0].take_refusals();
    let counts = refusals.iter().map(|it| (it.why, it.source.addr, it.count));
    let expected = [(Refusal::AddressNotAllowed, STRANGER, 5)];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
    assert_eq!(net.state(0, 1), Some(NodeState::Alive));
    assert_eq!(net.nodes[0].node("n9"), None);
    let is_user = |(_, it): &(usize, Notice)| matches!(it, Notice::UserMessage { .. });
    assert!(!net.notices.iter().any(is_user));
    assert_eq!(
        sent_to(&net, SocketAddr::from(([10, 0, 0, 9], 7946))).len(),
        0
    );

    net.tell(0, ping_from("stranger", &[10, 0, 0, 200]));
    let before = net.nodes[0].self_node().incarnation;
    net.tell(
        0,
        Message::Suspect(Accusation {
            incarnation: before,
            ..accuse("n0")
        }),
    );
    net.settle();
    let acks = sent_to(&net, STRANGER);
    assert_eq!(
        acks.iter().map(|it| kinds(it)).collect::<Vec<_>>(),
        [[message_kind::ACK]]
    );
    assert_eq!(net.nodes[0].self_node().incarnation, before + 1);
}

#[test]
fn silent_seeds_leave_most_streams_to_others_and_each_has_its_turn() {
    let mut net = Net::joined(2);
    net.nodes[0].ctx.config.stream_timeout = Duration::from_secs(30);
    net.nodes[0].ctx.config.probe_timeout = Duration::from_secs(3);
    let seeds = mute(&mut net, 60);
    net.nodes[0].remember_seeds(net.now, &seeds);
    for _ in 0..100 {
        net.run(Duration::from_secs(1));
        let streams = &net.nodes[0].ctx.streams;
        assert!(streams.may_dial());
        assert!(streams.ids().len() <= 9, "{} streams", streams.ids().len());
    }
    let attempts = net.nodes[0].stats().reconnects;
    assert!((60..=100).contains(&attempts), "{attempts} attempts");
}

#[test]
fn the_health_says_how_a_seed_refuses_this_node_until_it_does_not() {
    let mut swim = node(0, Config::lan());
    swim.remember_seeds(Time::ZERO, &[Seed::Addr(addr(1))]);
    let mut said = Vec::new();
    for (second, answer) in [Some(&b"no such key"[..]), None, Some(b"")]
        .iter()
        .enumerate()
    {
        let now = Time::ZERO + Duration::from_secs(60 * (second as u64 + 1));
        swim.handle_timeout(now);
        let mut outputs = std::iter::from_fn(|| swim.poll_output());
        let dialled = outputs.find_map(|output| match output {
            Output::Connect { id, .. } => Some(id),
            _ => None,
        });
        let id = dialled.unwrap();
        swim.handle_stream_connected(now, id);
        match answer {
            Some([]) => swim.handle_stream_end(now, id, StreamEnd::Failed),
            Some(text) => {
                let answer = Message::Error(ErrorAnswer { text }).encoded();
                swim.handle_stream_data(now, id, &answer);
            }
            None => swim.handle_stream_end(now, id, StreamEnd::Eof),
        }
        said.push(swim.health(now).summary);
        assert_eq!(swim.reconnect_refusal().is_some(), second < 2);
    }
    let expected = [
        "alone: a seed answers with an error, which the log shows",
        "alone: a seed closes the connection without an answer; its label may differ, or it may \
         not be a member",
        "alone: no seed answers",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_dead_member_that_says_that_it_has_left_has_left() {
    for (incarnation, state) in [(0, NodeState::Dead), (1, NodeState::Left)] {
        let mut net = Net::joined(3);
        let held = net.nodes[0].node("n1").unwrap().incarnation;
        let accusation = |incarnation, from| Accusation {
            incarnation,
            node: "n1",
            from,
        };
        net.nodes[0].on_dead(&accusation(held, "n2"), PassOn::No);
        assert_eq!(net.state(0, 1), Some(NodeState::Dead));
        let left = accusation(held + incarnation - 1, "n1");
        net.nodes[0].on_dead(&left, PassOn::No);
        assert_eq!(net.state(0, 1), Some(state));
        net.settle();
        assert_eq!(net.heard(0, Change::Left, 1), state == NodeState::Left);
    }
}

/// Gossip that goes to members that are known to be dead would not be passed on.
#[test]
fn messages_to_dead_members_use_up_no_transmissions() {
    let mut net = Net::joined(12);
    for dead in 6..12 {
        let name = name(dead);
        let incarnation = net.nodes[0].node(&name).unwrap().incarnation;
        let accusation = Accusation {
            incarnation,
            node: &name,
            from: "n1",
        };
        net.nodes[0].on_dead(&accusation, PassOn::No);
    }
    net.nodes.truncate(1);
    net.nodes[0].set_population(12);
    net.nodes[0].broadcast(net.now, 0, b"news", Some(7));
    net.sent.clear();
    net.run(Duration::from_secs(3));
    let news =
        |(_, _, bytes): &&(usize, SocketAddr, Vec<u8>)| kinds(bytes).contains(&message_kind::USER);
    let is_dead = |to: &SocketAddr| (6..12).any(|dead| addr(dead) == *to);
    let sent: Vec<_> = net.sent.iter().filter(news).map(|(_, to, _)| *to).collect();
    let dead = sent.iter().filter(|to| is_dead(to)).count();
    assert_eq!(
        sent.len() - dead,
        8,
        "4 transmissions for each digit of 12 members"
    );
    assert!(dead > 0, "dead members get copies, so that they can refute");
    let done = |(_, notice): &(usize, Notice)| *notice == Notice::BroadcastDone { token: 7 };
    assert!(net.notices.iter().any(done));
}
