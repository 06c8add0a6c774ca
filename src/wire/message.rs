//! The messages of memberlist as plain values that borrow from the bytes they came from.
//!
//! Each message is one table (see `record.rs`). Decoding allocates nothing, except for names
//! that need an escape. Encoding writes what memberlist 0.2.2 writes, byte for byte: fields in
//! ascending order of their names, the older integer forms, nil where memberlist has nil. A decoded
//! message has passed every bound; whether its content makes sense is for the state machine to
//! judge.

use super::fields::{
    Address, AddressOrNone, Boolean, Bytes, Meta, Name, NameOrNone, Number, Omitted, Payload,
    Versions,
};
use super::record::{messages, record};

pub use super::push_pull::{NodeState, PushPull, PushPullNode};

/// The message types: the first byte of each message.
#[allow(missing_docs)]
pub mod kind {
    pub const PING: u8 = 0;
    pub const INDIRECT_PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const SUSPECT: u8 = 3;
    pub const ALIVE: u8 = 4;
    pub const DEAD: u8 = 5;
    pub const PUSH_PULL: u8 = crate::wire::push_pull::KIND;
    pub const COMPOUND: u8 = 7;
    pub const USER: u8 = 8;
    pub const COMPRESS: u8 = 9;
    pub const ENCRYPTED: u8 = 10;
    pub const NACK: u8 = 11;
    pub const CHECKSUM: u8 = 12;
    pub const ERROR: u8 = 13;
    pub const LABEL: u8 = 244;
}

messages! {
    /// One message of a datagram. Pings and acks also come on streams, and errors come only there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Message<'a> {
        /// A direct probe.
        Ping(Ping<'a>) = kind::PING,
        /// A request to probe another node.
        IndirectPing(IndirectPing<'a>) = kind::INDIRECT_PING,
        /// The answer to a ping.
        Ack(Ack<'a>) = kind::ACK,
        /// A helper got no ack from the target of an indirect ping.
        Nack(Nack) = kind::NACK,
        /// A node is suspected to have failed.
        Suspect(Accusation<'a>) = kind::SUSPECT,
        /// A node is alive.
        Alive(Alive<'a>) = kind::ALIVE,
        /// A node has failed, or has left if it accuses itself.
        Dead(Accusation<'a>) = kind::DEAD,
        /// The content of a user message in its form for datagrams, without a header map.
        User(&'a [u8]) = kind::USER,
        /// The answer to a request that was refused.
        Error(ErrorAnswer<'a>) = kind::ERROR,
    }
}

record! {
    /// A direct probe.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ping<'a> {
        /// The sequence number, repeated by the ack.
        seq: u32 => "SeqNo" Number,
        /// The name of the node that the sender expects to reach; empty means any node.
        node: &'a str => "Node" NameOrNone,
        /// The address of the sender, 4 or 16 bytes, or empty.
        source_addr: &'a [u8] => "SourceAddr" Omitted<AddressOrNone>,
        /// The port of the sender, or 0.
        source_port: u16 => "SourcePort" Omitted<Number>,
        /// The name of the sender, or empty.
        source_node: &'a str => "SourceNode" Omitted<NameOrNone>,
    }

    /// A request to probe `target` on the asker's behalf.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IndirectPing<'a> {
        /// The asker's sequence number, repeated by the relayed ack or nack.
        seq: u32 => "SeqNo" Number,
        /// The address of the target, 4 or 16 bytes.
        target: &'a [u8] => "Target" Address,
        /// The port of the target; 0 means the receiver's own port.
        port: u16 => "Port" Number,
        /// The name of the target, or empty.
        node: &'a str => "Node" NameOrNone,
        /// True if the asker wants a nack.
        nack: bool => "Nack" Boolean,
        /// The address of the asker, 4 or 16 bytes, or empty.
        source_addr: &'a [u8] => "SourceAddr" Omitted<AddressOrNone>,
        /// The port of the asker, or 0.
        source_port: u16 => "SourcePort" Omitted<Number>,
        /// The name of the asker, or empty.
        source_node: &'a str => "SourceNode" Omitted<NameOrNone>,
    }

    /// The answer to a ping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ack<'a> {
        /// The sequence number of the ping.
        seq: u32 => "SeqNo" Number,
        /// Data that the layer above adds (Serf: a coordinate).
        payload: Option<&'a [u8]> => "Payload" Payload,
    }

    /// The answer of a helper that got no ack from its target.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Nack {
        /// The asker's sequence number.
        seq: u32 => "SeqNo" Number,
    }

    /// A suspect or dead message: `from` accuses `node` at `incarnation`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Accusation<'a> {
        /// The incarnation that is accused.
        incarnation: u32 => "Incarnation" Number,
        /// The name of the accused.
        node: &'a str => "Node" Name,
        /// The name of the accuser, or empty.
        from: &'a str => "From" NameOrNone,
    }

    /// The announcement that a node is alive, sent by the node itself or passed on by another node.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Alive<'a> {
        /// The incarnation of the node.
        incarnation: u32 => "Incarnation" Number,
        /// Its name.
        node: &'a str => "Node" Name,
        /// Its address, 4 or 16 bytes.
        addr: &'a [u8] => "Addr" Address,
        /// Its port; 0 means the receiver's own port.
        port: u16 => "Port" Number,
        /// Its meta, at most [`crate::limits::REMOTE_META_LEN`] bytes.
        meta: Option<&'a [u8]> => "Meta" Meta,
        /// Empty, or six versions: the lowest, highest and used version of memberlist, then those
        /// of the layer above.
        vsn: &'a [u8] => "Vsn" Versions,
    }

    /// The reason why a request on a stream was refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ErrorAnswer<'a> {
        /// The reason, in words.
        text: &'a [u8] => "Error" Bytes,
    }
}

impl<'a> Accusation<'a> {
    /// The accusation with which a node announces its leave: it accuses itself.
    pub fn leave(node: &'a str, incarnation: u32) -> Accusation<'a> {
        Accusation {
            incarnation,
            node,
            from: node,
        }
    }

    /// Returns true if the node accuses itself. In a dead message, this announces its leave.
    pub fn is_by_itself(&self) -> bool {
        self.from == self.node
    }
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;
    use crate::limits;
    use crate::wire::Refusal;

    const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 5];

    fn alive<'a>(node: &'a str, addr: &'a [u8], meta: Option<&'a [u8]>) -> Message<'a> {
        Message::Alive(Alive {
            incarnation: 7,
            node,
            addr,
            port: 7946,
            meta,
            vsn: &VERSIONS,
        })
    }

    fn refusal(message: &Message<'_>) -> Option<Refusal> {
        Message::decode(&message.encoded()).err()
    }

    #[test]
    fn every_kind_survives_encoding_and_decoding() {
        let source_addr = &[127, 0, 0, 1];
        let accusation = Accusation {
            incarnation: u32::MAX,
            node: "n",
            from: "",
        };
        let target = &[0; 16];
        for message in [
            Message::Ping(Ping {
                seq: 1,
                node: "",
                source_addr: &[],
                source_port: 0,
                source_node: "",
            }),
            Message::Ping(Ping {
                seq: u32::MAX,
                node: "ä",
                source_addr,
                source_port: 7946,
                source_node: "asker",
            }),
            Message::IndirectPing(IndirectPing {
                seq: 2,
                target,
                port: 0,
                node: "n",
                nack: true,
                source_addr,
                source_port: 7946,
                source_node: "",
            }),
            Message::Ack(Ack {
                seq: 3,
                payload: None,
            }),
            Message::Ack(Ack {
                seq: 3,
                payload: Some(&[]),
            }),
            Message::Nack(Nack { seq: 4 }),
            Message::Suspect(accusation),
            Message::Dead(accusation),
            alive("n", &[10, 0, 0, 1], None),
            alive("n", &[10; 16], Some(b"\xff\x80")),
            Message::User(b""),
            Message::User(b"anything"),
            Message::Error(ErrorAnswer { text: b"no" }),
        ] {
            assert_eq!(Message::decode(&message.encoded()), Ok(message));
        }
    }

    #[test]
    fn bounds_hold_to_the_byte() {
        let v4 = &[10, 0, 0, 1];
        let longest = "n".repeat(limits::NAME_LEN);
        let too_long = "n".repeat(limits::NAME_LEN + 1);
        assert_eq!(refusal(&alive(&longest, v4, None)), None);
        assert_eq!(
            refusal(&alive(&too_long, v4, None)),
            Some(Refusal::NameLength)
        );
        assert_eq!(refusal(&alive("", v4, None)), Some(Refusal::NameLength));
        assert_eq!(refusal(&alive("a\0b", v4, None)), Some(Refusal::Utf8));
        assert_eq!(
            refusal(&alive("n", &[1; 5], None)),
            Some(Refusal::AddressLength)
        );
        assert_eq!(
            refusal(&alive("n", &[], None)),
            Some(Refusal::AddressLength)
        );
        let meta = vec![0; limits::REMOTE_META_LEN + 1];
        assert_eq!(refusal(&alive("n", v4, Some(&meta[1..]))), None);
        assert_eq!(
            refusal(&alive("n", v4, Some(&meta))),
            Some(Refusal::MetaLength)
        );
        let ping = Message::Ping(Ping {
            seq: 1,
            node: "",
            source_addr: &[1; 3],
            source_port: 1,
            source_node: "",
        });
        assert_eq!(refusal(&ping), Some(Refusal::AddressLength));
    }

    #[test]
    fn versions_of_one_to_five_bytes_are_refused() {
        // Such version vectors crash processes of memberlist, so the encoder does not write them.
        // The test truncates a whole message instead.
        let whole = alive("n", &[10, 0, 0, 1], None).encoded();
        for length in [1, 2, 3, 4, 5] {
            let mut cut = whole[..whole.len() - 6 + length].to_vec();
            let head = whole.len() - 7;
            cut[head] = 0xa0 + length as u8;
            assert_eq!(Message::decode(&cut), Err(Refusal::VersionLength));
        }
    }

    #[test]
    fn a_name_that_is_not_text_is_escaped_and_written_as_it_came() {
        let message = [
            kind::DEAD,
            0x83,
            0xa4,
            b'F',
            b'r',
            b'o',
            b'm',
            0xa2,
            b'a',
            0,
            0xab,
            b'I',
            b'n',
            b'c',
            b'a',
            b'r',
            b'n',
            b'a',
            b't',
            b'i',
            b'o',
            b'n',
            7,
            0xa4,
            b'N',
            b'o',
            b'd',
            b'e',
            0xa4,
            b'w',
            b'e',
            b'b',
            0xff,
        ];
        let names = Names::default();
        let decoded = Message::decode_in(&message, &names).unwrap();
        let expected = Accusation {
            incarnation: 7,
            node: r"web\xff",
            from: r"a\x00",
        };
        assert_eq!(decoded, Message::Dead(expected));
        assert_eq!(decoded.encoded(), message);
        for node in [r"\xff", r"\x5cxff", "web"] {
            let ping = Message::Ping(Ping {
                seq: 1,
                node,
                source_addr: &[],
                source_port: 0,
                source_node: node,
            });
            let names = Names::default();
            assert_eq!(Message::decode_in(&ping.encoded(), &names), Ok(ping));
        }
    }

    #[test]
    fn without_a_place_for_its_escaped_text_a_name_that_is_not_utf8_is_refused() {
        let mut broken = alive("nn", &[10, 0, 0, 1], None).encoded();
        let place = broken.windows(2).position(|at| at == b"nn").unwrap();
        broken[place] = 0xff;
        assert_eq!(Message::decode(&broken), Err(Refusal::Utf8));
    }

    #[test]
    fn a_body_of_nil_has_zero_values() {
        let nothing = Ping {
            seq: 0,
            node: "",
            source_addr: &[],
            source_port: 0,
            source_node: "",
        };
        assert_eq!(
            Message::decode(&[kind::PING, 0xc0]),
            Ok(Message::Ping(nothing))
        );
        assert_eq!(
            Message::decode(&[kind::ALIVE, 0xc0]),
            Err(Refusal::NameLength)
        );
    }

    #[test]
    fn a_message_cut_anywhere_is_refused() {
        let whole = alive("node", &[10, 0, 0, 1], Some(b"meta")).encoded();
        for end in 1..whole.len() {
            assert_eq!(
                Message::decode(&whole[..end]),
                Err(Refusal::Truncated),
                "cut at {end}"
            );
        }
        assert_eq!(Message::decode(&[]), Err(Refusal::EmptyPart));
    }

    #[test]
    fn types_that_the_enum_does_not_list_are_unknown() {
        for kind in [6, 7, 9, 10, 12, 14, 100, 244, 255] {
            assert_eq!(Message::decode(&[kind, 0x80]), Err(Refusal::UnknownType));
        }
    }
}
