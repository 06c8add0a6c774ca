//! The messages of the Serf layer: the content of memberlist user messages and user state.
//!
//! One type byte, then a map; a relay has a whole message behind its map. As with the messages of
//! memberlist, decoding borrows, and encoding writes what Serf 0.9.4 writes.

use super::message::{put_field, put_number, put_raw_field};
use super::{Reader, Refusal, fields, msgpack};

pub use super::serf_state::{EventSlot, SerfPushPull};
pub use super::tags::{Tags, decode_tags, encode_tags};

/// Type bytes.
#[allow(missing_docs)]
pub mod kind {
    pub const LEAVE: u8 = 0;
    pub const JOIN: u8 = 1;
    pub const PUSH_PULL: u8 = 2;
    pub const USER_EVENT: u8 = 3;
    pub const QUERY: u8 = 4;
    pub const QUERY_RESPONSE: u8 = 5;
    pub const CONFLICT_RESPONSE: u8 = 6;
    pub const KEY_REQUEST: u8 = 7;
    pub const KEY_RESPONSE: u8 = 8;
    pub const RELAY: u8 = 9;
}

/// A member is about to leave, or was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaveIntent<'a> {
    /// Time of the member clock.
    pub ltime: u64,
    /// Name of the member.
    pub node: &'a str,
    /// The member is to be forgotten at once.
    pub prune: bool,
}

/// A member has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinIntent<'a> {
    /// Time of the member clock.
    pub ltime: u64,
    /// Name of the member.
    pub node: &'a str,
}

/// An event of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserEvent<'a> {
    /// Time of the event clock.
    pub ltime: u64,
    /// Name of the event.
    pub name: &'a str,
    /// Its content.
    pub payload: Option<&'a [u8]>,
    /// Receivers may coalesce it with others of the same name.
    pub coalesce: bool,
}

/// Every field of a query; filters stay encoded (each: type byte, then msgpack) and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Time of the query clock.
    pub ltime: u64,
    /// Random number; with `ltime` it names the query.
    pub id: u32,
    /// Where to answer: 4 or 16 bytes.
    pub addr: &'a [u8],
    /// Where to answer.
    pub port: u16,
    /// Name of the asker; empty from very old nodes.
    pub source_node: &'a str,
    /// Who shall answer; none: everybody.
    pub filters: Option<Vec<&'a [u8]>>,
    /// 1: ack wanted; 2: do not rebroadcast.
    pub flags: u32,
    /// How many members relay each answer.
    pub relay_factor: u8,
    /// How long the asker waits, in nanoseconds. May be negative.
    pub timeout_ns: i64,
    /// Name of the query.
    pub name: &'a str,
    /// Its content.
    pub payload: Option<&'a [u8]>,
}

/// An answer to a query, or its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryResponse<'a> {
    /// Time of the query.
    pub ltime: u64,
    /// Number of the query.
    pub id: u32,
    /// Name of the member that answers.
    pub from: &'a str,
    /// 1: this is an ack.
    pub flags: u32,
    /// The answer.
    pub payload: Option<&'a [u8]>,
}

/// A relay: `inner` is a complete Serf message for `addr:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay<'a> {
    /// Address of 4 or 16 bytes.
    pub addr: &'a [u8],
    /// Port.
    pub port: u16,
    /// Name of the receiver, or empty.
    pub node: &'a str,
    /// The message, type byte first; never empty.
    pub inner: &'a [u8],
}

/// A Serf message that travels as a user message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is described by its content.
pub enum SerfMessage<'a> {
    Leave(LeaveIntent<'a>),
    Join(JoinIntent<'a>),
    UserEvent(UserEvent<'a>),
    Query(Query<'a>),
    QueryResponse(QueryResponse<'a>),
    Relay(Relay<'a>),
}

impl<'a> SerfMessage<'a> {
    /// Decodes the content of a user message, Serf type byte first.
    ///
    /// # Errors
    /// [`Refusal::EmptyPart`] without content, [`Refusal::UnknownType`] for types that do not
    /// travel this way, otherwise what is wrong with the body.
    pub fn decode(bytes: &'a [u8]) -> Result<SerfMessage<'a>, Refusal> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        Ok(match reader.u8().map_err(|_| Refusal::EmptyPart)? {
            kind::LEAVE => SerfMessage::Leave(leave(reader)?),
            kind::JOIN => {
                let LeaveIntent { ltime, node, .. } = leave(reader)?;
                SerfMessage::Join(JoinIntent { ltime, node })
            }
            kind::USER_EVENT => SerfMessage::UserEvent(user_event(reader)?),
            kind::QUERY => SerfMessage::Query(query(reader)?),
            kind::QUERY_RESPONSE => SerfMessage::QueryResponse(query_response(reader)?),
            kind::RELAY => SerfMessage::Relay(relay(reader)?),
            _ => return Err(Refusal::UnknownType),
        })
    }

    /// Appends it, Serf type byte first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            SerfMessage::Leave(intent) => {
                out.push(kind::LEAVE);
                msgpack::put_map(out, 3);
                put_number(out, "LTime", intent.ltime);
                put_field(out, "Node", intent.node);
                put_flag(out, "Prune", intent.prune);
            }
            SerfMessage::Join(intent) => {
                out.push(kind::JOIN);
                msgpack::put_map(out, 2);
                put_number(out, "LTime", intent.ltime);
                put_field(out, "Node", intent.node);
            }
            SerfMessage::UserEvent(event) => {
                out.push(kind::USER_EVENT);
                msgpack::put_map(out, 4);
                put_flag(out, "CC", event.coalesce);
                put_number(out, "LTime", event.ltime);
                put_field(out, "Name", event.name);
                put_payload(out, event.payload);
            }
            SerfMessage::Query(query) => put_query(out, query),
            SerfMessage::QueryResponse(response) => put_query_response(out, response),
            SerfMessage::Relay(relay) => put_relay(out, relay),
        }
    }
}

/// Both intents: a join intent has no `Prune`, and one that has is read like any unknown key.
fn leave<'a>(reader: &mut Reader<'a>) -> Result<LeaveIntent<'a>, Refusal> {
    let (mut ltime, mut node, mut prune) = (0, &[][..], false);
    msgpack::structure(reader, &["LTime", "Node", "Prune"], |name, reader| {
        match name {
            b"LTime" => ltime = msgpack::number(reader)?,
            b"Node" => node = fields::raw(reader)?,
            b"Prune" => prune = msgpack::boolean(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(LeaveIntent {
        ltime,
        node: fields::check_name(node)?,
        prune,
    })
}

fn user_event<'a>(reader: &mut Reader<'a>) -> Result<UserEvent<'a>, Refusal> {
    let mut event = UserEvent {
        ltime: 0,
        name: "",
        payload: None,
        coalesce: false,
    };
    msgpack::structure(
        reader,
        &["LTime", "Name", "Payload", "CC"],
        |name, reader| {
            match name {
                b"LTime" => event.ltime = msgpack::number(reader)?,
                b"Name" => event.name = fields::text(reader)?,
                b"Payload" => event.payload = msgpack::bytes(reader)?,
                b"CC" => event.coalesce = msgpack::boolean(reader)?,
                _ => msgpack::skip(reader)?,
            }
            Ok(())
        },
    )?;
    Ok(event)
}

fn query<'a>(reader: &mut Reader<'a>) -> Result<Query<'a>, Refusal> {
    const DECLARED: [&str; 11] = [
        "LTime",
        "ID",
        "Addr",
        "Port",
        "SourceNode",
        "Filters",
        "Flags",
        "RelayFactor",
        "Timeout",
        "Name",
        "Payload",
    ];
    let mut query = Query {
        ltime: 0,
        id: 0,
        addr: &[],
        port: 0,
        source_node: "",
        filters: None,
        flags: 0,
        relay_factor: 0,
        timeout_ns: 0,
        name: "",
        payload: None,
    };
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"LTime" => query.ltime = msgpack::number(reader)?,
            b"ID" => query.id = msgpack::number(reader)?,
            b"Addr" => query.addr = fields::raw(reader)?,
            b"Port" => query.port = msgpack::number(reader)?,
            b"SourceNode" => query.source_node = fields::maybe_name(reader)?,
            b"Filters" => query.filters = filters(reader)?,
            b"Flags" => query.flags = msgpack::number(reader)?,
            b"RelayFactor" => query.relay_factor = msgpack::number(reader)?,
            b"Timeout" => query.timeout_ns = msgpack::number(reader)?,
            b"Name" => query.name = fields::text(reader)?,
            b"Payload" => query.payload = msgpack::bytes(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    fields::check_address(query.addr)?;
    Ok(query)
}

/// The filters of a query. One of no bytes stops a process of Serf 0.9.4 and newer, so a query
/// with one is refused here and never passed on.
fn filters<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, Refusal> {
    let nil = reader.peek() == Some(0xc0);
    let count = msgpack::list(reader)?;
    if nil {
        return Ok(None);
    }
    let mut filters = Vec::with_capacity((count as usize).min(reader.remaining() / 2));
    for _ in 0..count {
        match fields::raw(reader)? {
            [] => return Err(Refusal::EmptyPart),
            filter => filters.push(filter),
        }
    }
    Ok(Some(filters))
}

fn query_response<'a>(reader: &mut Reader<'a>) -> Result<QueryResponse<'a>, Refusal> {
    const DECLARED: [&str; 5] = ["LTime", "ID", "From", "Flags", "Payload"];
    let (mut ltime, mut id, mut from, mut flags, mut payload) = (0, 0, &[][..], 0, None);
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"LTime" => ltime = msgpack::number(reader)?,
            b"ID" => id = msgpack::number(reader)?,
            b"From" => from = fields::raw(reader)?,
            b"Flags" => flags = msgpack::number(reader)?,
            b"Payload" => payload = msgpack::bytes(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(QueryResponse {
        ltime,
        id,
        from: fields::check_name(from)?,
        flags,
        payload,
    })
}

fn relay<'a>(reader: &mut Reader<'a>) -> Result<Relay<'a>, Refusal> {
    let (mut addr, mut port, mut node) = (&[][..], 0, "");
    msgpack::structure(reader, &["DestAddr", "DestName"], |name, reader| {
        match name {
            b"DestAddr" => msgpack::structure(reader, &["IP", "Port", "Zone"], |name, reader| {
                match name {
                    b"IP" => addr = fields::raw(reader)?,
                    b"Port" => port = msgpack::number(reader)?,
                    _ => msgpack::skip(reader)?,
                }
                Ok(())
            })?,
            b"DestName" => node = fields::maybe_name(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    match reader.rest() {
        [] => Err(Refusal::EmptyPart),
        inner => Ok(Relay {
            addr: fields::check_address(addr)?,
            port,
            node,
            inner,
        }),
    }
}

fn put_flag(out: &mut Vec<u8>, name: &str, value: bool) {
    msgpack::put_text(out, name);
    msgpack::put_bool(out, value);
}

fn put_payload(out: &mut Vec<u8>, payload: Option<&[u8]>) {
    msgpack::put_text(out, "Payload");
    msgpack::put_bytes(out, payload);
}

fn put_query(out: &mut Vec<u8>, query: &Query<'_>) {
    out.push(kind::QUERY);
    msgpack::put_map(out, 11);
    put_raw_field(out, "Addr", query.addr);
    msgpack::put_text(out, "Filters");
    match &query.filters {
        Some(filters) => {
            msgpack::put_list(out, u32::try_from(filters.len()).unwrap_or(u32::MAX));
            for filter in filters {
                msgpack::put_raw(out, filter);
            }
        }
        None => msgpack::put_nil(out),
    }
    put_number(out, "Flags", query.flags);
    put_number(out, "ID", query.id);
    put_number(out, "LTime", query.ltime);
    put_field(out, "Name", query.name);
    put_payload(out, query.payload);
    put_number(out, "Port", query.port);
    put_number(out, "RelayFactor", query.relay_factor);
    put_field(out, "SourceNode", query.source_node);
    msgpack::put_text(out, "Timeout");
    msgpack::put_int(out, query.timeout_ns);
}

fn put_query_response(out: &mut Vec<u8>, response: &QueryResponse<'_>) {
    out.push(kind::QUERY_RESPONSE);
    msgpack::put_map(out, 5);
    put_number(out, "Flags", response.flags);
    put_field(out, "From", response.from);
    put_number(out, "ID", response.id);
    put_number(out, "LTime", response.ltime);
    put_payload(out, response.payload);
}

fn put_relay(out: &mut Vec<u8>, relay: &Relay<'_>) {
    out.push(kind::RELAY);
    msgpack::put_map(out, 2);
    msgpack::put_text(out, "DestAddr");
    msgpack::put_map(out, 3);
    put_raw_field(out, "IP", relay.addr);
    put_number(out, "Port", relay.port);
    put_field(out, "Zone", "");
    put_field(out, "DestName", relay.node);
    out.extend_from_slice(relay.inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: &SerfMessage<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    fn query<'a>(filters: Option<Vec<&'a [u8]>>, timeout_ns: i64) -> SerfMessage<'a> {
        SerfMessage::Query(Query {
            ltime: u64::MAX,
            id: 7,
            addr: &[10, 0, 0, 1],
            port: 7946,
            source_node: "",
            filters,
            flags: 3,
            relay_factor: 255,
            timeout_ns,
            name: "name",
            payload: Some(b""),
        })
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let join = JoinIntent {
            ltime: u64::MAX,
            node: "n",
        };
        let response = QueryResponse {
            ltime: 1,
            id: 2,
            from: "n",
            flags: 1,
            payload: None,
        };
        for message in [
            SerfMessage::Join(join),
            SerfMessage::Leave(LeaveIntent {
                ltime: 0,
                node: "n",
                prune: true,
            }),
            SerfMessage::UserEvent(UserEvent {
                ltime: 1,
                name: "",
                payload: None,
                coalesce: true,
            }),
            query(None, i64::MIN),
            query(Some(vec![]), 0),
            query(Some(vec![b"\0\x91\xa1n", b"\x01"]), i64::MAX),
            SerfMessage::QueryResponse(response),
            SerfMessage::Relay(Relay {
                addr: &[1; 16],
                port: 1,
                node: "n",
                inner: b"\x05\x80",
            }),
        ] {
            assert_eq!(SerfMessage::decode(&encoded(&message)), Ok(message));
        }
    }

    #[test]
    fn a_filter_without_content_refuses_the_query() {
        // Such a query stops agents, so it is made here from a good one with a filter of a byte.
        let good = encoded(&query(Some(vec![b"\x07"]), 1));
        let place = good
            .windows(3)
            .position(|at| at == [0x91, 0xa1, 0x07])
            .unwrap();
        let mut broken = good;
        broken[place + 1] = 0xa0;
        broken.remove(place + 2);
        assert_eq!(SerfMessage::decode(&broken), Err(Refusal::EmptyPart));
    }

    #[test]
    fn a_relay_must_carry_something_to_somewhere() {
        let relay = |addr, inner| {
            SerfMessage::Relay(Relay {
                addr,
                port: 1,
                node: "",
                inner,
            })
        };
        let refusal = |message| SerfMessage::decode(&encoded(&message)).err();
        assert_eq!(refusal(relay(&[1; 4], b"\x05")), None);
        assert_eq!(refusal(relay(&[1; 4], b"")), Some(Refusal::EmptyPart));
        assert_eq!(
            refusal(relay(&[1; 3], b"\x05")),
            Some(Refusal::AddressLength)
        );
    }

    #[test]
    fn types_of_other_places_are_unknown_here() {
        for kind in [2, 6, 7, 8, 10, 255] {
            assert_eq!(
                SerfMessage::decode(&[kind, 0x80]),
                Err(Refusal::UnknownType)
            );
        }
        assert_eq!(SerfMessage::decode(&[]), Err(Refusal::EmptyPart));
        let nameless = encoded(&SerfMessage::Join(JoinIntent { ltime: 1, node: "" }));
        assert_eq!(SerfMessage::decode(&nameless), Err(Refusal::NameLength));
    }
}
