//! A hostile member: it knows the keys of the cluster, overhears its datagrams, and lies.
//!
//! It has no process here. Its lies reach the hosts at once, in datagrams and in push/pulls, from
//! addresses at which no host is. It accuses hosts, speaks in their names, announces members that
//! do not exist, lets incarnations and Lamport times leap, and sends old and broken messages.
//!
//! [`Clocks`] checks that no lie turns a Lamport clock back. [`World::memory_of`] measures how much
//! memory the lies have left in a node.

use super::checker;
use super::rng::Rng;
use super::world::{World, address};
use crate::counting;
use sprat::limits;
use sprat::serf::encode_tags;
use sprat::swim::StreamId;
use sprat::wire::lzw::CompressCache;
use sprat::wire::message::{
    Accusation, Ack, Alive, IndirectPing, Message, NodeState, Ping, PushPull, PushPullNode,
};
use sprat::wire::serf_message::{
    JoinIntent, LeaveIntent, PastEvent, PastEvents, Query, QueryResponse, Relay, SerfMessage,
    SerfPushPull, UserEvent,
};
use sprat::wire::stream::{self, Side};
use sprat::wire::{Codec, Names, packet};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// The number of members that the hostile member invents. Their names follow those of the hosts.
const INVENTED: usize = 8;
/// The number of datagrams that it remembers.
const REMEMBERED: usize = 256;
/// The protocol versions of all members.
const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 5];

/// A lie, ready to be sent.
enum Lie {
    Datagram(Vec<u8>),
    Stream(Vec<u8>),
}

/// The hostile member.
pub struct Hostile {
    dice: Rng,
    codec: Codec,
    hosts: usize,
    /// The number of lies that hosts have received so far.
    pub lies: u64,
}

impl Hostile {
    /// Makes a hostile member, which overhears all datagrams from now on.
    pub fn new(world: &mut World, random_seed: u64) -> Hostile {
        world.overheard = Some(VecDeque::new());
        world.invented = INVENTED;
        Hostile {
            dice: Rng::new(random_seed ^ 0xbad),
            codec: world.codec.clone(),
            hosts: world.hosts.len(),
            lies: 0,
        }
    }

    /// Tells up to 40 lies, most of them to one running host, the others to all.
    pub fn lie(&mut self, world: &mut World) {
        world.calm_since = None; // the lies are a fault, which ends below
        for _ in 0..1 + self.dice.below(40) {
            let lie = self.next_lie(world);
            let all: Vec<usize> = (0..self.hosts)
                .filter(|&host| world.hosts[host].is_running())
                .collect();
            let one = all.get(self.dice.below(all.len())).copied();
            let to = match self.dice.chance(0.2) {
                true => all,
                false => one.into_iter().collect(),
            };
            for host in to {
                self.lies += 1;
                let from = self.invented_addr();
                tell(world, host, from, &lie);
            }
        }
        world.note_network_state();
    }

    fn next_lie(&mut self, world: &World) -> Lie {
        match self.dice.below(16) {
            0 | 1 => self.accusation(world),
            2 => self.alive_host(world),
            3 | 4 => self.invented_member(),
            5 | 6 => self.intent(),
            7 => self.user_event(),
            8 => self.query(),
            9 => self.answer(),
            10 => self.relay(),
            11 => self.probe(),
            12 => self.replay(world),
            13 => self.broken_message(world),
            14 => self.push_pull(world),
            15 => self.broken_push_pull(world),
            _ => unreachable!("the die has 16 faces"),
        }
    }

    /// The number of a host or of an invented member.
    fn anyone(&mut self) -> usize {
        self.dice.below(self.hosts + INVENTED)
    }

    fn invented_addr(&mut self) -> SocketAddr {
        address(self.hosts + self.dice.below(INVENTED), 0)
    }

    /// Bytes that mean nothing.
    fn noise(&mut self, longest: usize) -> Vec<u8> {
        let length = self.dice.below(longest + 1);
        (0..length).map(|_| self.dice.next() as u8).collect()
    }

    /// An incarnation of member `index`: the current one, one near it, one too far ahead to be
    /// believed, or one of the last ones.
    fn incarnation(&mut self, world: &World, index: usize) -> u32 {
        let now = current_incarnation(world, index);
        let leap = limits::INCARNATION_LEAP;
        match self.dice.below(6) {
            0 => 0,
            1 => now,
            2 => now.saturating_add(1),
            3 => now.saturating_add(self.dice.below(leap as usize) as u32),
            4 => now.saturating_add(leap + 1 + self.dice.below(1 << 20) as u32),
            _ => u32::MAX - self.dice.below(3) as u32,
        }
    }

    /// A Lamport time: a small one, the greatest leap that is believed, or one of the last ones.
    fn ltime(&mut self) -> u64 {
        match self.dice.below(4) {
            0 => self.dice.below(1000) as u64,
            1 => limits::LTIME_LEAP - self.dice.below(1000) as u64,
            2 => self.dice.next() >> 16,
            _ => u64::MAX - self.dice.below(3) as u64,
        }
    }

    /// Meta: tags, too many tags, or noise. Some of it is too long.
    fn meta(&mut self) -> Vec<u8> {
        match self.dice.below(3) {
            0 => encode_tags(&[("v".to_owned(), "lie".to_owned())].into()),
            1 => {
                let tag = |n: usize| (format!("key{n}"), "x".repeat(30));
                encode_tags(&(0..self.dice.below(60)).map(tag).collect())
            }
            _ => self.noise(2 * limits::REMOTE_META_LEN),
        }
    }

    fn message(&mut self, message: &Message<'_>) -> Lie {
        Lie::Datagram(self.sealed(&message.encoded()))
    }

    fn serf_message(&mut self, message: &SerfMessage<'_>) -> Lie {
        self.message(&Message::User(&message.encoded()))
    }

    fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        packet::seal(&self.codec, plain, self.dice.chance(0.5), self.nonce())
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0xbd; 12];
        nonce[..8].copy_from_slice(&self.lies.to_le_bytes());
        nonce
    }

    /// A suspicion, a death, or a leave in the name of the member itself.
    fn accusation(&mut self, world: &World) -> Lie {
        let index = self.anyone();
        let (node, from) = (name(index), name(self.anyone()));
        let incarnation = self.incarnation(world, index);
        let accusation = |from| Accusation {
            incarnation,
            node: &node,
            from,
        };
        let lie = match self.dice.below(3) {
            0 => Message::Suspect(accusation(&from)),
            1 => Message::Dead(accusation(&from)),
            _ => Message::Dead(accusation(&node)),
        };
        self.message(&lie)
    }

    /// A host is alive, with tags that it does not have.
    fn alive_host(&mut self, world: &World) -> Lie {
        let host = self.dice.below(self.hosts);
        let (incarnation, meta) = (self.incarnation(world, host), self.meta());
        self.alive(host, world.hosts[host].addr, incarnation, &meta)
    }

    fn invented_member(&mut self) -> Lie {
        let index = self.hosts + self.dice.below(INVENTED);
        let (incarnation, meta) = (self.dice.below(5000) as u32, self.meta());
        self.alive(index, address(index, 0), incarnation, &meta)
    }

    fn alive(&mut self, index: usize, at: SocketAddr, incarnation: u32, meta: &[u8]) -> Lie {
        self.message(&Message::Alive(Alive {
            incarnation,
            node: &name(index),
            addr: &octets(at),
            port: at.port(),
            meta: Some(meta),
            vsn: &VERSIONS,
        }))
    }

    fn intent(&mut self) -> Lie {
        let (ltime, node) = (self.ltime(), name(self.anyone()));
        let (node, prune) = (&*node, self.dice.chance(0.3));
        let lie = match self.dice.chance(0.5) {
            true => SerfMessage::Join(JoinIntent { ltime, node }),
            false => SerfMessage::Leave(LeaveIntent { ltime, node, prune }),
        };
        self.serf_message(&lie)
    }

    fn user_event(&mut self) -> Lie {
        let (name, payload) = (self.noise(40), self.noise(1200));
        let ltime = self.ltime();
        self.serf_message(&SerfMessage::UserEvent(UserEvent {
            ltime,
            name: &name,
            payload: Some(&payload),
            coalesce: payload.len() % 2 == 0,
        }))
    }

    fn query(&mut self) -> Lie {
        let (at, filter) = (self.invented_addr(), self.noise(20));
        let (query, payload) = (self.noise(40), self.noise(900));
        let (ltime, source) = (self.ltime(), name(self.anyone()));
        let filters = (!filter.is_empty()).then(|| vec![&filter[..]]);
        let numbers = self.dice.next();
        self.serf_message(&SerfMessage::Query(Query {
            ltime,
            id: numbers as u32,
            addr: &octets(at),
            port: at.port(),
            source_node: &source,
            filters,
            flags: numbers as u32 & 7,
            relay_factor: numbers as u8,
            timeout_ns: numbers as i64,
            name: match numbers % 3 {
                0 => b"_serf_conflict",
                1 => b"_serf_ping",
                _ => &query,
            },
            payload: Some(&payload),
        }))
    }

    /// An answer to a query that the host may not have asked.
    fn answer(&mut self) -> Lie {
        let (payload, from) = (self.noise(600), name(self.anyone()));
        let (ltime, numbers) = (self.ltime(), self.dice.next());
        self.serf_message(&SerfMessage::QueryResponse(QueryResponse {
            ltime,
            id: numbers as u32,
            from: &from,
            flags: (numbers >> 32) as u32,
            payload: Some(&payload),
        }))
    }

    fn relay(&mut self) -> Lie {
        let (at, mut inner) = (self.invented_addr(), self.noise(300));
        inner.push(9);
        self.serf_message(&SerfMessage::Relay(Relay {
            addr: &octets(at),
            port: at.port(),
            node: "",
            inner: &inner,
        }))
    }

    /// A ping, a request for one, or an ack that nobody waits for.
    fn probe(&mut self) -> Lie {
        let (seq, at) = (self.dice.below(5000) as u32, self.invented_addr());
        let (node, source_node) = (&*name(self.anyone()), &*name(self.anyone()));
        let (source_addr, source_port) = (&octets(at)[..], at.port());
        let payload = &self.noise(60)[..];
        let lie = match self.dice.below(3) {
            0 => Message::Ping(Ping {
                seq,
                node,
                source_addr,
                source_port,
                source_node,
            }),
            1 => Message::IndirectPing(IndirectPing {
                seq,
                target: source_addr,
                port: source_port,
                node,
                nack: true,
                source_addr,
                source_port,
                source_node,
            }),
            _ => {
                let payload = Some(payload);
                Message::Ack(Ack { seq, payload })
            }
        };
        self.message(&lie)
    }

    /// A datagram that some host has sent, perhaps long ago.
    fn replay(&mut self, world: &World) -> Lie {
        let heard = world.overheard.iter().flatten();
        let picked = self.dice.below(heard.clone().count());
        Lie::Datagram(heard.clone().nth(picked).cloned().unwrap_or_default())
    }

    /// The content of such a datagram with a few bytes changed, or cut, sealed again.
    fn broken_message(&mut self, world: &World) -> Lie {
        let Lie::Datagram(old) = self.replay(world) else {
            unreachable!("a replay is a datagram")
        };
        let opened = packet::open(&self.codec, &old);
        let mut plain = opened.map_or_else(|_| vec![7], |it| it.as_bytes().to_vec());
        self.break_bytes(&mut plain);
        let mut names_strangers = false;
        packet::walk(&plain, &mut |part| {
            let names = Names::default();
            if let Ok(Message::Alive(alive)) = part.and_then(|it| Message::decode_in(it, &names)) {
                names_strangers |= is_stranger(world, alive.node);
            }
        });
        match names_strangers {
            true => Lie::Datagram(old),
            false => Lie::Datagram(self.sealed(&plain)),
        }
    }

    fn break_bytes(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.dice.below(4) {
            let (at, value) = (self.dice.below(bytes.len()), self.dice.next() as u8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if self.dice.chance(0.3) {
            bytes.truncate(self.dice.below(bytes.len() + 1));
        }
    }

    fn push_pull(&mut self, world: &World) -> Lie {
        let plain = self.state(world);
        self.stream(&plain)
    }

    fn broken_push_pull(&mut self, world: &World) -> Lie {
        let state = self.state(world);
        let mut broken = state.clone();
        self.break_bytes(&mut broken);
        let names = Names::default();
        let decoded = PushPull::decode_counting(&broken, &names, &mut |_| ()).unwrap_or_default();
        let names_strangers = decoded.nodes.iter().any(|it| is_stranger(world, it.name));
        self.stream(if names_strangers { &state } else { &broken })
    }

    fn stream(&self, plain: &[u8]) -> Lie {
        let pieces = |each: &mut dyn FnMut(&[u8])| each(plain);
        let mut cache = CompressCache::default();
        let (codec, nonce) = (&self.codec, self.nonce());
        Lie::Stream(stream::seal(
            codec,
            Side::Dialled,
            &pieces,
            nonce,
            &mut cache,
        ))
    }

    /// The encoded state of a cluster as it is not.
    fn state(&mut self, world: &World) -> Vec<u8> {
        let states = [
            NodeState::Alive,
            NodeState::Suspect,
            NodeState::Dead,
            NodeState::Left,
        ];
        let mut nodes = Vec::new();
        let listed: Vec<(String, u64)> = (0..self.hosts + INVENTED)
            .filter(|_| self.dice.chance(0.5))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|index| {
                let at = address(index, 0);
                let (own_name, meta) = (name(index), self.meta());
                let octets = octets(world.hosts.get(index).map_or(at, |host| host.addr));
                let node = PushPullNode {
                    name: &own_name,
                    addr: &octets,
                    port: at.port(),
                    meta: Some(&meta),
                    incarnation: self.incarnation(world, index),
                    state: states[self.dice.below(4)],
                    vsn: &VERSIONS,
                };
                node.encode(&mut nodes);
                (own_name, self.ltime())
            })
            .collect();
        let (event, payload) = (self.noise(30), self.noise(300));
        let past = PastEvent {
            name: &event,
            payload: Some(&payload),
        };
        let slot = |ltime| PastEvents {
            ltime,
            events: vec![past; 3],
        };
        let status_ltimes = listed.iter().map(|(name, time)| (&**name, *time));
        let mut user_state = Vec::new();
        SerfPushPull {
            ltime: self.ltime(),
            status_ltimes: status_ltimes.collect(),
            left_members: listed.iter().step_by(2).map(|(name, _)| &**name).collect(),
            event_ltime: self.ltime(),
            events: (0..self.dice.below(20))
                .map(|_| slot(self.ltime()))
                .collect(),
            query_ltime: self.ltime(),
        }
        .encode(&mut user_state);
        let (mut out, join) = (Vec::new(), self.dice.chance(0.5));
        PushPull::put_header(&mut out, listed.len(), user_state.len(), join);
        out.extend(nodes);
        out.extend(user_state);
        out
    }
}

fn name(index: usize) -> String {
    format!("n{index}")
}

/// Returns true if this is neither the name of a host nor an invented one. The checkers know
/// members by their numbers, so no lie announces a stranger.
fn is_stranger(world: &World, name: &str) -> bool {
    !checker::number(name).is_ok_and(|index| index < world.names())
}

fn octets(addr: SocketAddr) -> [u8; 4] {
    match addr.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => unreachable!("the addresses of the simulator are IPv4"),
    }
}

/// The highest incarnation of this member that a host lists.
fn current_incarnation(world: &World, index: usize) -> u32 {
    let cores = world.hosts.iter().filter_map(|host| host.core.as_ref());
    let listed = cores.filter_map(|core| core.member(&name(index)));
    listed.map(|it| it.incarnation).max().unwrap_or(0)
}

fn tell(world: &mut World, host: usize, from: SocketAddr, lie: &Lie) {
    match lie {
        Lie::Datagram(bytes) => {
            world.command(host, |core, now| core.handle_datagram(now, from, bytes));
        }
        Lie::Stream(bytes) => {
            let state = &mut world.hosts[host];
            state.last_accepted += 2;
            let id = StreamId(state.last_accepted);
            world.command(host, |core, now| {
                if core.accepts_streams() {
                    core.handle_stream_accepted(now, id, from);
                    core.handle_stream_data(now, id, bytes);
                }
            });
        }
    }
}

impl World {
    /// Lets the hostile member, if there is one, overhear a datagram.
    pub(super) fn overhear(&mut self, bytes: &[u8]) {
        if let Some(overheard) = &mut self.overheard {
            if overheard.len() == REMEMBERED {
                // The oldest ones stay, so that some replays come from long ago.
                overheard.remove(REMEMBERED / 2);
            }
            overheard.push_back(bytes.to_vec());
        }
    }

    /// Ends the process of a host, and returns the bytes of memory that it alone has used.
    pub(super) fn memory_of(&mut self, host: usize) -> isize {
        let before = counting::in_use();
        drop(self.hosts[host].core.take());
        before - counting::in_use()
    }
}

/// The Lamport clocks of all hosts when they were last read.
#[derive(Default)]
pub struct Clocks(BTreeMap<(usize, u32), [u64; 3]>);

impl Clocks {
    /// Reads the clocks of all processes. Fails the test if one shows an earlier time than before.
    pub fn read(&mut self, world: &World) {
        for (host, state) in world.hosts.iter().enumerate() {
            if state.core.is_none() {
                continue;
            }
            let names = ["member_time", "event_time", "query_time"];
            let now = names.map(|name| world.counter(host, name));
            let last = self.0.insert((host, state.life), now).unwrap_or_default();
            for ((name, now), last) in names.iter().zip(now).zip(last) {
                if now < last {
                    world.fail(host, &format!("{name} ran back from {last} to {now}"));
                }
            }
        }
    }
}
