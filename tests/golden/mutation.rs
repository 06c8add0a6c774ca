//! Vectors broken at random: nothing panics, nothing takes long, and a message that still decodes
//! is the same after it is encoded and decoded again.
//!
//! The generator is seeded, so a round that fails once fails in every run. The broken bytes are
//! made in memory, and only the decoders of this crate see them.

use super::vectors::{CAPTURED, directions, layers, load, unhex};
use sprat::wire::message::{Message, PushPull};
use sprat::wire::serf_message::{SerfMessage, SerfPushPull, decode_tags, encode_tags};
use sprat::wire::stream::{self, Side, StreamReader};
use sprat::wire::{Codec, Names, Refusal, packet};
use std::time::{Duration, Instant};

const ROUNDS: usize = 200_000;

/// An xorshift generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Bytes to break, and the decoder for them.
#[derive(Clone)]
enum Seed {
    Datagram(Codec, Vec<u8>),
    Stream(Codec, Side, Vec<u8>),
    State(Vec<u8>),
}

impl Seed {
    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Seed::Datagram(_, bytes) | Seed::Stream(_, _, bytes) | Seed::State(bytes) => bytes,
        }
    }
}

/// Returns the vectors, and also what is inside their encryption, checksum and compression: the
/// plain bytes, the messages and the user states. If the outer layers of a vector are broken, its
/// bytes hardly ever reach the decoders of the messages.
fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for vector in CAPTURED
        .iter()
        .chain(&["unusual"])
        .flat_map(|file| load(file))
    {
        if vector["transport"] == "tcp" {
            for direction in directions(&vector) {
                let codec = direction.layers.codec;
                let mut reader = StreamReader::new(direction.reader);
                let plain = reader.push(&codec, &direction.bytes).unwrap().unwrap();
                if plain[0] == 6 {
                    let state = PushPull::decode(&plain).unwrap().user_state.to_vec();
                    seeds.push(Seed::State(state));
                }
                seeds.push(Seed::Stream(codec, direction.reader, direction.bytes));
                seeds.push(Seed::Stream(Codec::default(), direction.reader, plain));
            }
            continue;
        }
        let datagram = unhex(vector["hex"].as_str().unwrap());
        let decoded = vector
            .get("decoded")
            .map(|decoded| layers(&vector, decoded).codec);
        let codec = decoded.unwrap_or_default();
        if let Ok(opened) = packet::open(&codec, &datagram) {
            seeds.push(Seed::Datagram(Codec::default(), opened.as_bytes().to_vec()));
            packet::walk(opened.as_bytes(), &mut |part| {
                if let Ok(part) = part {
                    seeds.push(Seed::Datagram(Codec::default(), part.to_vec()));
                }
            });
        }
        seeds.push(Seed::Datagram(codec, datagram));
    }
    seeds
}

/// Breaks `bytes` in one to three places, in some of them by inserting a piece of `other`.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    const EDGE_BYTES: [u8; 12] = [
        0, 1, 0x7f, 0x80, 0xc0, 0xc1, 0xcf, 0xd9, 0xdb, 0xdd, 0xdf, 0xff,
    ];
    for _ in 0..=random.below(3) {
        let place = random.below(bytes.len() + 1);
        let byte = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[byte] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[byte] = EDGE_BYTES[random.below(EDGE_BYTES.len())],
            2 => bytes.truncate(place),
            3 => {
                let end = (place + random.below(9)).min(bytes.len());
                bytes.drain(place..end);
            }
            4 => {
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(40)).min(other.len())];
                bytes.splice(place..place, piece.iter().copied());
            }
            _ => bytes.insert(place, random.below(256) as u8),
        }
    }
}

/// Counts of the messages that were decoded and of the refusals.
struct Tally {
    decoded: usize,
    refused: [usize; Refusal::COUNT],
}

impl Tally {
    fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    fn datagram(&mut self, codec: &Codec, bytes: &[u8]) {
        match packet::open(codec, bytes) {
            Ok(opened) => packet::walk(opened.as_bytes(), &mut |part| match part {
                Ok(part) => self.message(part),
                Err(refusal) => self.refuse(refusal),
            }),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(refusal),
        };
        self.decoded += 1;
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(Message::decode(&again), Ok(message));
        match message {
            Message::User(content) => self.serf(content),
            Message::Alive(alive) => {
                let tags = decode_tags(alive.meta.unwrap_or_default(), &mut |_| ());
                let again = decode_tags(&encode_tags(&tags), &mut |why| panic!("{why:?}"));
                assert_eq!(again, tags);
            }
            _ => {}
        }
    }

    fn serf(&mut self, bytes: &[u8]) {
        match SerfMessage::decode(bytes) {
            Ok(message) => {
                self.decoded += 1;
                let mut again = Vec::new();
                message.encode(&mut again);
                assert_eq!(SerfMessage::decode(&again), Ok(message));
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn stream(&mut self, codec: &Codec, side: Side, bytes: &[u8], random: &mut Random) {
        let mut whole = StreamReader::new(side);
        let at_once = whole.push(codec, bytes);
        let mut reader = StreamReader::new(side);
        let (first, second) = bytes.split_at(random.below(bytes.len() + 1));
        let mut in_two = reader.push(codec, first);
        if in_two == Ok(None) {
            in_two = reader.push(codec, second);
        }
        assert_eq!(in_two, at_once);
        match at_once {
            Ok(Some(plain)) => match plain[0] {
                6 => self.push_pull(&plain),
                8 => assert!(stream::user_content(&plain).is_ok()),
                _ => self.message(&plain),
            },
            Ok(None) => self.refuse(Refusal::Truncated),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn push_pull(&mut self, bytes: &[u8]) {
        let (names, room) = (Names::default(), Names::default());
        match PushPull::decode_counting(bytes, &names, &mut |refusal| self.refuse(refusal)) {
            Ok(push_pull) => {
                self.decoded += 1;
                let mut again = Vec::new();
                push_pull.encode(&mut again);
                let taken = PushPull::decode_counting(&again, &room, &mut |why| panic!("{why:?}"));
                assert_eq!(taken, Ok(push_pull.clone()));
                self.state(push_pull.user_state);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn state(&mut self, bytes: &[u8]) {
        match SerfPushPull::decode(bytes) {
            Ok(state) => {
                self.decoded += 1;
                let mut again = Vec::new();
                state.encode(&mut again);
                assert_eq!(SerfPushPull::decode(&again), Ok(state));
            }
            Err(refusal) => self.refuse(refusal),
        }
    }
}

#[test]
fn broken_vectors_neither_panic_nor_take_long_and_messages_that_decode_are_stable() {
    let seeds = seeds();
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    let mut tally = Tally {
        decoded: 0,
        refused: [0; Refusal::COUNT],
    };
    for round in 0..ROUNDS {
        let mut seed = seeds[random.below(seeds.len())].clone();
        let mut other = seeds[random.below(seeds.len())].clone();
        mutate(seed.bytes(), other.bytes(), &mut random);
        let start = Instant::now();
        match &seed {
            Seed::Datagram(codec, bytes) => tally.datagram(codec, bytes),
            Seed::Stream(codec, side, bytes) => tally.stream(codec, *side, bytes, &mut random),
            Seed::State(bytes) => tally.state(bytes),
        }
        // A busy machine may stop this thread for a while; an endless decoder takes longer.
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "round {round} took too long"
        );
    }
    // The test proves something only if many broken vectors decode, and if some are refused for
    // each of the following reasons.
    assert!(tally.decoded > ROUNDS / 4, "{} decoded", tally.decoded);
    for refusal in [
        Refusal::Truncated,
        Refusal::UnknownType,
        Refusal::UnknownCompression,
        Refusal::Msgpack,
        Refusal::Utf8,
        Refusal::NameLength,
        Refusal::AddressLength,
        Refusal::VersionLength,
        Refusal::Checksum,
        Refusal::Undecryptable,
        Refusal::Label,
        Refusal::TooLarge,
        Refusal::EmptyPart,
        Refusal::Inflate,
    ] {
        assert!(
            tally.refused[refusal as usize] > 0,
            "no broken vector was refused as {refusal:?}"
        );
    }
}
