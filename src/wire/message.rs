//! The gossip messages of memberlist as plain values that borrow from the bytes they came from.
//!
//! Decoding allocates nothing. Encoding writes what memberlist 0.2.2 writes, byte for byte:
//! fields in ascending order of their names, the older integer forms, nil where it has nil.
//! A decoded message has passed every bound; what it says may still be nonsense, and that is for
//! the state machine to judge.

use super::{Reader, Refusal, fields, msgpack};

pub use super::push_pull::{NodeState, PushPull, PushPullNode};

/// Message types: the first byte.
#[allow(missing_docs)]
pub mod kind {
    pub const PING: u8 = 0;
    pub const INDIRECT_PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const SUSPECT: u8 = 3;
    pub const ALIVE: u8 = 4;
    pub const DEAD: u8 = 5;
    pub const PUSH_PULL: u8 = 6;
    pub const COMPOUND: u8 = 7;
    pub const USER: u8 = 8;
    pub const COMPRESS: u8 = 9;
    pub const ENCRYPTED: u8 = 10;
    pub const NACK: u8 = 11;
    pub const CHECKSUM: u8 = 12;
    pub const ERROR: u8 = 13;
    pub const LABEL: u8 = 244;
}

/// Who asks: where the ack goes. Empty or zero fields are left out on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source<'a> {
    /// Address of 4 or 16 bytes, or empty.
    pub addr: &'a [u8],
    /// Port, or 0.
    pub port: u16,
    /// Name of the node, or empty.
    pub node: &'a str,
}

/// A direct probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping<'a> {
    /// Sequence number, repeated by the ack.
    pub seq: u32,
    /// Name of the node that the sender expects to reach; empty: anyone.
    pub node: &'a str,
    /// Where the ack goes.
    pub source: Source<'a>,
}

/// A request to probe `target` on the asker's behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndirectPing<'a> {
    /// The asker's sequence number, repeated by the relayed ack or nack.
    pub seq: u32,
    /// Address of the target, 4 or 16 bytes.
    pub target: &'a [u8],
    /// Port of the target; 0: the receiver's own.
    pub port: u16,
    /// Name of the target, or empty.
    pub node: &'a str,
    /// Whether the asker wants a nack.
    pub nack: bool,
    /// The asker.
    pub source: Source<'a>,
}

/// Answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Sequence number of the ping.
    pub seq: u32,
    /// What the layer above adds (Serf: a coordinate).
    pub payload: Option<&'a [u8]>,
}

/// A suspect or dead message: `from` accuses `node` at `incarnation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accusation<'a> {
    /// The incarnation that is accused.
    pub incarnation: u32,
    /// Name of the accused.
    pub node: &'a str,
    /// Name of the accuser, or empty.
    pub from: &'a str,
}

/// A node says (or is said) to be alive. `vsn` is empty or exactly six bytes after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive<'a> {
    /// Incarnation of the node.
    pub incarnation: u32,
    /// Its name.
    pub node: &'a str,
    /// Its address, 4 or 16 bytes.
    pub addr: &'a [u8],
    /// Its port; 0: the receiver's own.
    pub port: u16,
    /// Its meta, at most [`crate::limits::REMOTE_META_LEN`] bytes.
    pub meta: Option<&'a [u8]>,
    /// Versions: minimum, maximum, spoken of memberlist, then of the layer above.
    pub vsn: &'a [u8],
}

/// One message of a datagram, or of a stream where noted in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A direct probe.
    Ping(Ping<'a>),
    /// A request to probe another node.
    IndirectPing(IndirectPing<'a>),
    /// Answer to a ping.
    Ack(Ack<'a>),
    /// A helper heard nothing from the target of an indirect ping.
    Nack {
        /// The asker's sequence number.
        seq: u32,
    },
    /// A node is suspected to have failed.
    Suspect(Accusation<'a>),
    /// A node is alive.
    Alive(Alive<'a>),
    /// A node has failed, or left if it accuses itself.
    Dead(Accusation<'a>),
    /// Content of a user message, without its type byte (a datagram's form).
    User(&'a [u8]),
    /// An error answer on a stream.
    Error(&'a str),
}

impl<'a> Message<'a> {
    /// Decodes one complete message, its type byte first. Bytes behind it are ignored.
    ///
    /// # Errors
    /// Compound, compress and push/pull are not messages of this kind: they are
    /// [`Refusal::UnknownType`] here. Otherwise what is wrong with the body.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, Refusal> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        Ok(match reader.u8().map_err(|_| Refusal::EmptyPart)? {
            kind::PING => Message::Ping(ping(reader)?),
            kind::INDIRECT_PING => Message::IndirectPing(indirect_ping(reader)?),
            kind::ACK => Message::Ack(ack(reader)?),
            kind::NACK => Message::Nack { seq: nack(reader)? },
            kind::SUSPECT => Message::Suspect(accusation(reader)?),
            kind::ALIVE => Message::Alive(alive(reader)?),
            kind::DEAD => Message::Dead(accusation(reader)?),
            kind::USER => Message::User(reader.rest()),
            kind::ERROR => Message::Error(error(reader)?),
            _ => return Err(Refusal::UnknownType),
        })
    }

    /// Appends the message, type byte first, exactly as the reference writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Ping(ping) => put_ping(out, ping),
            Message::IndirectPing(ping) => put_indirect_ping(out, ping),
            Message::Ack(ack) => {
                head(out, kind::ACK, 2);
                msgpack::put_text(out, "Payload");
                msgpack::put_bytes(out, ack.payload);
                put_number(out, "SeqNo", ack.seq);
            }
            Message::Nack { seq } => {
                head(out, kind::NACK, 1);
                put_number(out, "SeqNo", *seq);
            }
            Message::Suspect(accusation) => put_accusation(out, kind::SUSPECT, accusation),
            Message::Alive(alive) => put_alive(out, alive),
            Message::Dead(accusation) => put_accusation(out, kind::DEAD, accusation),
            Message::User(content) => {
                out.push(kind::USER);
                out.extend_from_slice(content);
            }
            Message::Error(text) => {
                head(out, kind::ERROR, 1);
                put_field(out, "Error", text);
            }
        }
    }
}

/// A ping or indirect ping whose source fields are read by the same rule.
fn source_field<'a>(
    source: &mut Source<'a>,
    name: &[u8],
    reader: &mut Reader<'a>,
) -> Result<(), Refusal> {
    match name {
        b"SourceAddr" => source.addr = fields::maybe_address(reader)?,
        b"SourcePort" => source.port = msgpack::number(reader)?,
        b"SourceNode" => source.node = fields::maybe_name(reader)?,
        _ => msgpack::skip(reader)?,
    }
    Ok(())
}

fn ping<'a>(reader: &mut Reader<'a>) -> Result<Ping<'a>, Refusal> {
    const DECLARED: [&str; 5] = ["SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode"];
    let mut ping = Ping {
        seq: 0,
        node: "",
        source: Source::default(),
    };
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"SeqNo" => ping.seq = msgpack::number(reader)?,
            b"Node" => ping.node = fields::maybe_name(reader)?,
            _ => source_field(&mut ping.source, name, reader)?,
        }
        Ok(())
    })?;
    Ok(ping)
}

fn indirect_ping<'a>(reader: &mut Reader<'a>) -> Result<IndirectPing<'a>, Refusal> {
    const DECLARED: [&str; 8] = [
        "SeqNo",
        "Target",
        "Port",
        "Node",
        "Nack",
        "SourceAddr",
        "SourcePort",
        "SourceNode",
    ];
    let source = Source::default();
    let mut ping = IndirectPing {
        seq: 0,
        target: &[],
        port: 0,
        node: "",
        nack: false,
        source,
    };
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"SeqNo" => ping.seq = msgpack::number(reader)?,
            b"Target" => ping.target = fields::raw(reader)?,
            b"Port" => ping.port = msgpack::number(reader)?,
            b"Node" => ping.node = fields::maybe_name(reader)?,
            b"Nack" => ping.nack = msgpack::boolean(reader)?,
            _ => source_field(&mut ping.source, name, reader)?,
        }
        Ok(())
    })?;
    fields::check_address(ping.target)?;
    Ok(ping)
}

fn ack<'a>(reader: &mut Reader<'a>) -> Result<Ack<'a>, Refusal> {
    let mut ack = Ack {
        seq: 0,
        payload: None,
    };
    msgpack::structure(reader, &["SeqNo", "Payload"], |name, reader| {
        match name {
            b"SeqNo" => ack.seq = msgpack::number(reader)?,
            b"Payload" => ack.payload = msgpack::bytes(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(ack)
}

fn nack(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    let mut seq = 0;
    msgpack::structure(reader, &["SeqNo"], |name, reader| {
        match name {
            b"SeqNo" => seq = msgpack::number(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(seq)
}

fn error<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Refusal> {
    let mut text = "";
    msgpack::structure(reader, &["Error"], |name, reader| {
        match name {
            b"Error" => text = fields::text(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(text)
}

fn accusation<'a>(reader: &mut Reader<'a>) -> Result<Accusation<'a>, Refusal> {
    let (mut incarnation, mut node, mut from) = (0, &[][..], "");
    msgpack::structure(reader, &["Incarnation", "Node", "From"], |name, reader| {
        match name {
            b"Incarnation" => incarnation = msgpack::number(reader)?,
            b"Node" => node = fields::raw(reader)?,
            b"From" => from = fields::maybe_name(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(Accusation {
        incarnation,
        node: fields::check_name(node)?,
        from,
    })
}

#[inline]
fn alive<'a>(reader: &mut Reader<'a>) -> Result<Alive<'a>, Refusal> {
    const DECLARED: [&str; 6] = ["Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"];
    let (mut incarnation, mut port) = (0, 0);
    let (mut node, mut addr, mut vsn, mut meta) = (&[][..], &[][..], &[][..], None);
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"Addr" => addr = fields::raw(reader)?,
            b"Incarnation" => incarnation = msgpack::number(reader)?,
            b"Meta" => meta = msgpack::bytes(reader)?,
            b"Node" => node = fields::raw(reader)?,
            b"Port" => port = msgpack::number(reader)?,
            b"Vsn" => vsn = fields::raw(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(Alive {
        incarnation,
        node: fields::check_name(node)?,
        addr: fields::check_address(addr)?,
        port,
        meta: fields::check_meta(meta)?,
        vsn: fields::check_versions(vsn)?,
    })
}

/// Type byte and head of the map.
pub(super) fn head(out: &mut Vec<u8>, kind: u8, field_count: u32) {
    out.push(kind);
    msgpack::put_map(out, field_count);
}

/// A text field.
pub(super) fn put_field(out: &mut Vec<u8>, name: &str, value: &str) {
    msgpack::put_text(out, name);
    msgpack::put_text(out, value);
}

/// A field of bytes that are never nil.
pub(super) fn put_raw_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    msgpack::put_text(out, name);
    msgpack::put_raw(out, value);
}

/// An unsigned field.
pub(super) fn put_number(out: &mut Vec<u8>, name: &str, value: impl Into<u64>) {
    msgpack::put_text(out, name);
    msgpack::put_uint(out, value.into());
}

/// The version vector: six bytes or nil. Anything else stops a process of memberlist 0.2.2, so
/// it is never written.
pub(super) fn put_versions(out: &mut Vec<u8>, vsn: &[u8]) {
    debug_assert!(
        matches!(vsn.len(), 0 | 6),
        "a version vector of {} bytes",
        vsn.len()
    );
    msgpack::put_text(out, "Vsn");
    msgpack::put_bytes(out, (vsn.len() == 6).then_some(vsn));
}

fn source_count(source: &Source<'_>) -> u32 {
    u32::from(!source.addr.is_empty())
        + u32::from(!source.node.is_empty())
        + u32::from(source.port != 0)
}

fn put_source(out: &mut Vec<u8>, source: &Source<'_>) {
    if !source.addr.is_empty() {
        put_raw_field(out, "SourceAddr", source.addr);
    }
    if !source.node.is_empty() {
        put_field(out, "SourceNode", source.node);
    }
    if source.port != 0 {
        put_number(out, "SourcePort", source.port);
    }
}

fn put_ping(out: &mut Vec<u8>, ping: &Ping<'_>) {
    head(out, kind::PING, 2 + source_count(&ping.source));
    put_field(out, "Node", ping.node);
    put_number(out, "SeqNo", ping.seq);
    put_source(out, &ping.source);
}

fn put_indirect_ping(out: &mut Vec<u8>, ping: &IndirectPing<'_>) {
    head(out, kind::INDIRECT_PING, 5 + source_count(&ping.source));
    msgpack::put_text(out, "Nack");
    msgpack::put_bool(out, ping.nack);
    put_field(out, "Node", ping.node);
    put_number(out, "Port", ping.port);
    put_number(out, "SeqNo", ping.seq);
    put_source(out, &ping.source);
    put_raw_field(out, "Target", ping.target);
}

fn put_accusation(out: &mut Vec<u8>, kind: u8, accusation: &Accusation<'_>) {
    head(out, kind, 3);
    put_field(out, "From", accusation.from);
    put_number(out, "Incarnation", accusation.incarnation);
    put_field(out, "Node", accusation.node);
}

fn put_alive(out: &mut Vec<u8>, alive: &Alive<'_>) {
    head(out, kind::ALIVE, 6);
    put_raw_field(out, "Addr", alive.addr);
    put_number(out, "Incarnation", alive.incarnation);
    msgpack::put_text(out, "Meta");
    msgpack::put_bytes(out, alive.meta);
    put_field(out, "Node", alive.node);
    put_number(out, "Port", alive.port);
    put_versions(out, alive.vsn);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 5];

    fn encoded(message: &Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

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
        Message::decode(&encoded(message)).err()
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let source = Source {
            addr: &[127, 0, 0, 1],
            port: 7946,
            node: "asker",
        };
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
                source: Source::default(),
            }),
            Message::Ping(Ping {
                seq: u32::MAX,
                node: "ä",
                source,
            }),
            Message::IndirectPing(IndirectPing {
                seq: 2,
                target,
                port: 0,
                node: "n",
                nack: true,
                source,
            }),
            Message::Ack(Ack {
                seq: 3,
                payload: None,
            }),
            Message::Ack(Ack {
                seq: 3,
                payload: Some(&[]),
            }),
            Message::Nack { seq: 4 },
            Message::Suspect(accusation),
            Message::Dead(accusation),
            alive("n", &[10, 0, 0, 1], None),
            alive("n", &[10; 16], Some(b"\xff\x80")),
            Message::User(b""),
            Message::User(b"anything"),
            Message::Error("no"),
        ] {
            assert_eq!(Message::decode(&encoded(&message)), Ok(message));
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
        let source = Source {
            addr: &[1; 3],
            port: 1,
            node: "",
        };
        let ping = Message::Ping(Ping {
            seq: 1,
            node: "",
            source,
        });
        assert_eq!(refusal(&ping), Some(Refusal::AddressLength));
    }

    #[test]
    fn versions_of_one_to_five_bytes_are_refused() {
        // Such vectors stop processes of memberlist, so they are cut here from a whole message.
        let whole = encoded(&alive("n", &[10, 0, 0, 1], None));
        for length in [1, 2, 3, 4, 5] {
            let mut cut = whole[..whole.len() - 6 + length].to_vec();
            let head = whole.len() - 7;
            cut[head] = 0xa0 + length as u8;
            assert_eq!(Message::decode(&cut), Err(Refusal::VersionLength));
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let mut broken = encoded(&alive("nn", &[10, 0, 0, 1], None));
        let place = broken.windows(2).position(|at| at == b"nn").unwrap();
        broken[place] = 0xff;
        assert_eq!(Message::decode(&broken), Err(Refusal::Utf8));
    }

    #[test]
    fn a_body_of_nil_has_zero_values() {
        let nothing = Ping {
            seq: 0,
            node: "",
            source: Source::default(),
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
        let whole = encoded(&alive("node", &[10, 0, 0, 1], Some(b"meta")));
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
    fn types_that_are_no_messages_are_unknown_here() {
        for kind in [6, 7, 9, 10, 12, 14, 100, 244, 255] {
            assert_eq!(Message::decode(&[kind, 0x80]), Err(Refusal::UnknownType));
        }
    }
}
