//! A node that receives arbitrary input never lists itself as failed, comes to rest, and stays
//! within its bounds. The input is a script. Its first byte chooses the mode, and whether the node
//! has a key and coalesces events. Each step is a byte that chooses what happens, followed by the
//! arguments of the step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::serf::{Config, Core, CoreEvent, KeyQuery, MemberState, Mode, QueryOptions, Tags};
use sprat::swim::{LookupId, Output, Seed, SendFailure, StreamEnd, StreamId};
use sprat::time::Time;
use sprat::wire::lzw::CompressCache;
use sprat::wire::stream::{self, Side};
use sprat::wire::{Codec, Key, Keyring, packet};
use sprat::{Coalescing, EventBody, limits};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| Script::new(bytes).play());

struct Script<'a> {
    rest: &'a [u8],
    core: Core,
    /// The keys and settings with which the other nodes send.
    codec: Codec,
    now: Time,
    /// Streams that the core has asked to open.
    dialled: Vec<StreamId>,
    /// Look-ups that the core has asked for.
    lookups: Vec<LookupId>,
    /// The id of the last stream that was accepted.
    accepted: u64,
    /// The number of the last query of the node.
    asked: u64,
}

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 7946))
}

fn key(number: u8) -> Key {
    Key::new(&[number; 16]).expect("this is the length of a key")
}

/// Asserts that what other nodes have sent is not longer than a message may be.
fn assert_is_bounded(event: &CoreEvent) {
    let CoreEvent::App(body) = event else { return };
    match body {
        EventBody::User { payload, .. } => assert!(payload.len() <= limits::USER_EVENT_LEN),
        EventBody::Query { payload, .. } | EventBody::QueryResponse { payload, .. } => {
            assert!(payload.len() <= limits::SERF_MESSAGE_LEN);
        }
        _ => {}
    }
}

impl<'a> Script<'a> {
    fn new(bytes: &'a [u8]) -> Script<'a> {
        let (choice, rest) = bytes.split_first().unwrap_or((&0, bytes));
        let mut config = Config::default();
        if choice & 1 != 0 {
            (config.mode, config.ping_acks) = (Mode::Memberlist, true);
        }
        if choice & 2 != 0 {
            config.coalesce_members.period = Duration::from_secs(3);
            config.coalesce_events.period = Duration::from_secs(3);
        }
        let mut codec = Codec::default();
        if choice & 4 != 0 {
            codec.keyring = Keyring::new(vec![key(0)]);
            (codec.verify_incoming, codec.verify_outgoing) = (true, true);
        }
        config.replay_events = choice & 8 != 0;
        let (now, name) = (Time::ZERO, "self".into());
        let core = Core::new(config, codec.clone(), name, addr(1), [7; 32], now);
        Script {
            rest,
            core: core.expect("these settings are legal"),
            codec,
            now,
            dialled: Vec::new(),
            lookups: Vec::new(),
            accepted: 0,
            asked: 0,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes a piece of input whose length is in the next two bytes.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
        let (piece, rest) = self.rest.split_at(self.rest.len().min(length.into()));
        self.rest = rest;
        Some(piece)
    }

    fn play(&mut self) {
        self.settle();
        while self.step().is_some() {
            self.settle();
        }
        // Ten minutes without input.
        for _ in 0..600 {
            self.pass(Duration::from_secs(1));
            self.settle();
        }
        let own = self.core.members().find(|member| &*member.name == "self");
        let state = own.map(|member| member.state);
        assert!(
            matches!(
                state,
                Some(MemberState::Alive | MemberState::Left | MemberState::Leaving)
            ),
            "{state:?}"
        );
        assert!(self.core.members().count() <= limits::MEMBERS);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut turns = 0;
        while self.core.poll_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
            turns += 1;
            assert!(turns < 10_000, "the core does not come to rest");
        }
    }

    fn step(&mut self) -> Option<()> {
        let (now, choice) = (self.now, self.byte()?);
        let other = addr(choice >> 4);
        match choice & 15 {
            0..=4 => {
                let plain = self.bytes()?;
                let sealed = packet::seal(&self.codec, plain, false, [choice; 12]);
                let datagram = match self.codec.keyring.is_empty() {
                    true => plain, // the script has its own checksums
                    false => &sealed,
                };
                self.core.handle_datagram(now, other, datagram);
            }
            5 => self.message(choice >> 4)?,
            6 => {
                self.accepted += 2;
                let id = StreamId(self.accepted);
                self.core.handle_stream_accepted(now, id, other);
            }
            7 => {
                let id = self.stream()?;
                let piece = self.bytes()?;
                self.core.handle_stream_data(now, id, piece);
            }
            8 => {
                let id = self.stream()?;
                let plain = self.bytes()?;
                let side = [Side::Dialled, Side::Accepted][(id.0 % 2) as usize];
                let cache = &mut CompressCache::default();
                let sealed =
                    stream::seal(&self.codec, side, &|take| take(plain), [choice; 12], cache);
                self.core.handle_stream_data(now, id, &sealed);
            }
            9 => {
                let id = self.stream()?;
                self.core.handle_stream_end(now, id, StreamEnd::Eof);
            }
            10 => {
                let id = self.dialled.pop()?;
                self.core.handle_stream_connected(now, id);
                self.dialled.insert(0, id);
            }
            11 => {
                let id = self.lookups.pop()?;
                let found = IpAddr::V4(Ipv4Addr::new(10, 0, 0, choice >> 4));
                self.core.handle_resolved(now, id, &[found]);
            }
            12 => {
                let time = Duration::from_millis(u64::from(self.byte()?) * 20);
                self.pass(time);
            }
            13 => {
                let away = Duration::from_secs(u64::from(self.byte()?));
                self.now = now + away;
                self.core.handle_stall(self.now, away, Duration::ZERO);
            }
            14 => self.command(choice >> 4),
            _ => {
                let probe = u32::from(self.byte()?);
                let failure = [SendFailure::Local, SendFailure::Remote][usize::from(choice >> 7)];
                self.core.handle_send_failure(now, probe, failure);
            }
        }
        Some(())
    }

    fn stream(&mut self) -> Option<StreamId> {
        Some(StreamId(u64::from(self.byte()?)))
    }

    fn command(&mut self, which: u8) {
        let now = self.now;
        match which {
            0..=5 => drop(self.core.join(now, &[Seed::Addr(addr(which))])),
            6 | 7 => drop(self.core.join(now, &[Seed::Host("seeds".into(), 7946)])),
            8 => drop(self.core.leave(now)),
            9 => drop(self.core.look(now, &Seed::Addr(addr(which)))),
            10 => self.core.set_addr(now, addr(which)),
            _ => drop(self.core.hint(now, "b")),
        }
    }

    /// Takes a text of the input.
    fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// The application sends a message, asks, or answers. Errors are fine: most of the commands
    /// belong to one of the two modes.
    fn message(&mut self, which: u8) -> Option<()> {
        let now = self.now;
        match which {
            0 | 1 => {
                let coalescing = [Coalescing::Forbidden, Coalescing::Allowed][usize::from(which)];
                let (name, payload) = (self.text()?, self.bytes()?);
                let _ = self.core.send_event(now, &name, payload, coalescing);
            }
            2 | 3 => {
                let options = QueryOptions {
                    tags: vec![("role".to_owned(), self.text()?)],
                    ack: which == 3,
                    relay_factor: which,
                    ..QueryOptions::default()
                };
                self.ask(&options)?;
            }
            4 => {
                let options = QueryOptions {
                    nodes: vec![self.text()?, "self".to_owned()],
                    ..QueryOptions::default()
                };
                self.ask(&options)?;
            }
            5 => {
                let (query, answer) = (self.byte()?, self.bytes()?);
                let _ = self.core.respond(now, query.into(), answer);
            }
            6 => self.core.cancel_query(now, self.asked),
            7 => self.keys()?,
            8 => {
                let tags = Tags::from([("role".to_owned(), self.text()?)]);
                let _ = self.core.set_tags(now, tags);
            }
            9 => {
                let name = self.text()?;
                let _ = self.core.remove_failed(now, &name, true);
            }
            _ => self.memberlist_message(which)?,
        }
        Some(())
    }

    fn memberlist_message(&mut self, which: u8) -> Option<()> {
        let (now, payload) = (self.now, self.bytes()?);
        let core = &mut self.core;
        match which {
            10 => drop(core.send_datagram(now, "b", payload)),
            11 => drop(core.send_message(now, "b", payload.into())),
            12 => drop(core.broadcast(now, payload.into(), Some("x"))),
            13 => drop(core.set_local_state(payload.into())),
            14 => drop(core.set_ack_payload(payload.into())),
            _ => drop(core.set_meta(now, payload.into())),
        }
        Some(())
    }

    fn ask(&mut self, options: &QueryOptions) -> Option<()> {
        self.asked += 1;
        let (name, payload) = (self.text()?, self.bytes()?);
        let _ = (self.core).query(self.now, self.asked, &name, payload, options);
        Some(())
    }

    fn keys(&mut self) -> Option<()> {
        self.asked += 1;
        let choice = self.byte()?;
        let query = match choice & 3 {
            0 => KeyQuery::install(key(choice >> 2)),
            1 => KeyQuery::use_key(key(choice >> 2)),
            2 => KeyQuery::remove(key(choice >> 2)),
            _ => KeyQuery::list(),
        };
        let _ = (self.core).manage_keys(self.now, self.asked, &query, None);
        Some(())
    }

    /// Takes every output and event of the core.
    fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            let mut quiet = true;
            while let Some(output) = self.core.poll_output() {
                quiet = false;
                match output {
                    Output::Datagram { bytes, .. } => assert!(bytes.len() < limits::DATAGRAM_LEN),
                    Output::Connect { id, .. } => self.dialled.push(id),
                    Output::Resolve { id, .. } => self.lookups.push(id),
                    Output::Write { .. } | Output::Close { .. } => {}
                }
            }
            while let Some(event) = self.core.poll_event() {
                quiet = false;
                assert_is_bounded(&event);
            }
            if quiet {
                return;
            }
            rounds += 1;
            assert!(rounds < 1000, "the core does not stop sending");
        }
    }
}
