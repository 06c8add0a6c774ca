//! A node that receives arbitrary input never lists itself as failed, comes to rest, and stays
//! within its bounds. The input is a script. Each step is a byte that chooses what happens,
//! followed by the arguments of the step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::limits;
use sprat::serf::{Config, Core, MemberState};
use sprat::swim::{LookupId, Output, Seed, SendFailure, StreamEnd, StreamId};
use sprat::time::Time;
use sprat::wire::Codec;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| Script::new(bytes).play());

struct Script<'a> {
    rest: &'a [u8],
    core: Core,
    now: Time,
    /// Streams that the core has asked to open.
    dialled: Vec<StreamId>,
    /// Look-ups that the core has asked for.
    lookups: Vec<LookupId>,
    /// The id of the last stream that was accepted.
    accepted: u64,
}

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 7946))
}

impl<'a> Script<'a> {
    fn new(rest: &'a [u8]) -> Script<'a> {
        let (config, codec, now) = (Config::default(), Codec::default(), Time::ZERO);
        let core = Core::new(config, codec, "self".into(), addr(1), [7; 32], now);
        Script {
            rest,
            core: core.expect("default settings are legal"),
            now,
            dialled: Vec::new(),
            lookups: Vec::new(),
            accepted: 0,
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
            0..=5 => {
                let datagram = self.bytes()?;
                self.core.handle_datagram(now, other, datagram);
            }
            6 => {
                self.accepted += 2;
                let id = StreamId(self.accepted);
                self.core.handle_stream_accepted(now, id, other);
            }
            7 | 8 => {
                let id = self.stream()?;
                let piece = self.bytes()?;
                self.core.handle_stream_data(now, id, piece);
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
            while self.core.poll_event().is_some() {
                quiet = false;
            }
            if quiet {
                return;
            }
            rounds += 1;
            assert!(rounds < 1000, "the core does not stop sending");
        }
    }
}
