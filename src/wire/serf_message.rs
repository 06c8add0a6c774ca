//! The messages of the Serf layer: the content of memberlist user messages and user state.
//!
//! A message is one type byte, then a map; a relay has a whole message after its map. As with the
//! messages of memberlist, decoding borrows, and encoding writes what Serf 0.9.4 writes.

use super::fields::{
    self, Address, Boolean, Bytes, Name, NameOrNone, Number, Payload, Unused, codecs,
};
use super::record::{Body, Nested, Record, messages, record};
use super::{Reader, Refusal, msgpack};
use crate::limits;

pub use super::serf_push_pull::{PastEvent, PastEvents, SerfPushPull};
pub(crate) use super::tags::TagReader;
#[cfg(any(test, feature = "internals"))]
pub use super::tags::decode_tags;
pub use super::tags::{Tags, encode_tags};

/// The msgpack value nil: the vote of a member that does not know the name.
const NIL: u8 = 0xc0;

/// The type bytes.
#[allow(missing_docs)]
pub mod kind {
    pub const LEAVE: u8 = 0;
    pub const JOIN: u8 = 1;
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub const PUSH_PULL: u8 = crate::wire::serf_push_pull::KIND;
    pub const USER_EVENT: u8 = 3;
    pub const QUERY: u8 = 4;
    pub const QUERY_RESPONSE: u8 = 5;
    pub const CONFLICT_RESPONSE: u8 = 6;
    pub const KEY_REQUEST: u8 = 7;
    pub const KEY_RESPONSE: u8 = 8;
    pub const RELAY: u8 = 9;
}

/// The bits of the flags of queries and of the responses to them.
pub mod flag {
    /// In a query: its sender wants acks. In a response: it is an ack.
    pub const ACK: u32 = 1;
    /// The query must not be passed on.
    pub const NO_REBROADCAST: u32 = 2;
}

messages! {
    /// A Serf message that travels as a user message. Type bytes that are used only elsewhere are
    /// unknown here.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum SerfMessage<'a> {
        /// A member is about to leave, or a failed member is removed.
        Leave(LeaveIntent<'a>) = kind::LEAVE,
        /// A member has joined.
        Join(JoinIntent<'a>) = kind::JOIN,
        /// A user event.
        UserEvent(UserEvent<'a>) = kind::USER_EVENT,
        /// A query to the members.
        Query(Query<'a>) = kind::QUERY,
        /// An answer to a query, or an ack of the query.
        QueryResponse(QueryResponse<'a>) = kind::QUERY_RESPONSE,
        /// A message to be forwarded to one address.
        Relay(Relay<'a>) = kind::RELAY,
    }
}

record! {
    /// A member is about to leave, or a failed member is removed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LeaveIntent<'a> {
        /// The time of the member clock.
        ltime: u64 => "LTime" Number,
        /// The name of the member.
        node: &'a str => "Node" Name,
        /// True if the member is to be erased as soon as it has left.
        prune: bool => "Prune" Boolean,
    }

    /// A member has joined.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct JoinIntent<'a> {
        /// The time of the member clock.
        ltime: u64 => "LTime" Number,
        /// The name of the member.
        node: &'a str => "Node" Name,
    }

    /// A user event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct UserEvent<'a> {
        /// The time of the event clock.
        ltime: u64 => "LTime" Number,
        /// The name of the event, which is text unless the sender broke the rules.
        name: &'a [u8] => "Name" Bytes,
        /// Its content.
        payload: Option<&'a [u8]> => "Payload" Payload,
        /// True if receivers may coalesce it with other events of the same name.
        coalesce: bool => "CC" Boolean,
    }

    /// A query to the members, with all its fields.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Query<'a> {
        /// The time of the query clock.
        ltime: u64 => "LTime" Number,
        /// A random number; together with `ltime`, it identifies the query.
        id: u32 => "ID" Number,
        /// The asker's address, to which answers go: 4 or 16 bytes.
        addr: &'a [u8] => "Addr" Address,
        /// The asker's port, to which answers go.
        port: u16 => "Port" Number,
        /// The name of the asker; empty if the asker is a very old node.
        source_node: &'a str => "SourceNode" NameOrNone,
        /// The filters that select the members that answer, each still encoded (type byte, then
        /// msgpack) and not empty. Without a filter, every member answers.
        filters: Option<Vec<&'a [u8]>> => "Filters" Filters,
        /// Bits of [`flag`].
        flags: u32 => "Flags" Number,
        /// The number of members that relay each answer.
        relay_factor: u8 => "RelayFactor" Number,
        /// The time that the asker waits, in nanoseconds. It may be negative.
        timeout_ns: i64 => "Timeout" Number,
        /// The name of the query, which is text unless the sender broke the rules.
        name: &'a [u8] => "Name" Bytes,
        /// Its content.
        payload: Option<&'a [u8]> => "Payload" Payload,
    }

    /// An answer to a query, or an ack of the query.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct QueryResponse<'a> {
        /// The time of the query.
        ltime: u64 => "LTime" Number,
        /// The random number of the query.
        id: u32 => "ID" Number,
        /// The name of the member that answers.
        from: &'a str => "From" Name,
        /// Bits of [`flag`].
        flags: u32 => "Flags" Number,
        /// The answer.
        payload: Option<&'a [u8]> => "Payload" Payload,
    }

    /// The vote of a member about a name that two nodes claim: the facts that the voter holds about
    /// the node with this name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ConflictResponse<'a> {
        /// The name of the node.
        name: &'a str => "Name" Name,
        /// Its address: 4 or 16 bytes.
        addr: &'a [u8] => "Addr" Address,
        /// Its port.
        port: u16 => "Port" Number,
        /// Its tags, still encoded as a map.
        tags: &'a [u8] => "Tags" Value,
        /// Its status: 1 alive, 2 leaving, 3 left, 4 failed.
        status: i32 => "Status" Number,
        /// The lowest version of the memberlist protocol that it understands.
        protocol_min: u8 => "ProtocolMin" Number,
        /// The highest version of the memberlist protocol that it understands.
        protocol_max: u8 => "ProtocolMax" Number,
        /// The version of the memberlist protocol that it speaks.
        protocol_cur: u8 => "ProtocolCur" Number,
        /// The lowest version of the Serf protocol that it understands.
        delegate_min: u8 => "DelegateMin" Number,
        /// The highest version of the Serf protocol that it understands.
        delegate_max: u8 => "DelegateMax" Number,
        /// The version of the Serf protocol that it speaks.
        delegate_cur: u8 => "DelegateCur" Number,
    }

    /// The payload of a query of Serf's key management.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct KeyRequest<'a> {
        /// The key; empty in a request to list the keys.
        key: &'a [u8] => "Key" Bytes,
    }

    /// The answer of a node to a query of Serf's key management.
    #[derive(Clone, PartialEq, Eq)]
    pub struct KeyResponse<'a> {
        /// True if the node has done what was asked.
        result: bool => "Result" Boolean,
        /// The reason if it has not, or a remark; usually empty.
        message: &'a [u8] => "Message" Bytes,
        /// The keys in base64, the primary one first; only in an answer to a request to list them.
        keys: Option<Vec<&'a [u8]>> => "Keys" KeyList,
        /// The primary key in base64; also only in such an answer.
        primary_key: &'a [u8] => "PrimaryKey" Bytes,
    }

    /// The map in front of a relayed message.
    struct RelayHeader<'a> {
        to: UdpAddress<'a> => "DestAddr" Nested,
        node: &'a str => "DestName" NameOrNone,
    }

    /// An address in the form of Go's `net.UDPAddr`.
    struct UdpAddress<'a> {
        ip: &'a [u8] => "IP" Address,
        port: u16 => "Port" Number,
        zone: () => "Zone" Unused,
    }
}

codecs! {
    /// The filters of a query, at most [`limits::QUERY_FILTERS`]. An empty filter crashes a process
    /// of Serf 0.9.4 or newer, so a query with an empty filter is refused here and never passed on.
    Filters(Option<Vec<&'a [u8]>>) -> Option<Vec<&'a [u8]>>: filters, Ok, put_list;
    /// Keys in base64.
    KeyList(Option<Vec<&'a [u8]>>) -> Option<Vec<&'a [u8]>>: key_list, Ok, put_list;
    /// Any value, which stays encoded.
    Value(&'a [u8]) -> &'a [u8]: value, Ok, put_value;
}

fn value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    let rest = reader.rest();
    msgpack::skip(reader)?;
    Ok(&rest[..rest.len() - reader.remaining()])
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value);
}

fn filters<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, Refusal> {
    list(reader, limits::QUERY_FILTERS, |filter| match filter {
        [] => Err(Refusal::EmptyPart),
        filter => Ok(filter),
    })
}

fn key_list<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, Refusal> {
    list(reader, limits::ANSWERED_KEYS, Ok)
}

/// Reads a list of at most `bound` byte strings, or nil.
fn list<'a>(
    reader: &mut Reader<'a>,
    bound: usize,
    check: impl Fn(&'a [u8]) -> Result<&'a [u8], Refusal>,
) -> Result<Option<Vec<&'a [u8]>>, Refusal> {
    if msgpack::take_nil(reader) {
        return Ok(None);
    }
    let count = msgpack::list(reader)?;
    let item = |reader: &mut Reader<'a>| check(fields::bytes(reader)?).map(Some);
    fields::items(reader, count, bound, 2, item).map(Some)
}

fn put_list(out: &mut Vec<u8>, list: &Option<Vec<&[u8]>>) {
    match list {
        Some(list) => fields::put_items(out, list, |out, item| msgpack::put_raw(out, item)),
        None => msgpack::put_nil(out),
    }
}

/// A request to forward `inner`, a complete Serf message, to `addr:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay<'a> {
    /// The address, 4 or 16 bytes.
    pub addr: &'a [u8],
    /// The port.
    pub port: u16,
    /// The name of the receiver, or empty.
    pub node: &'a str,
    /// The message, type byte first; never empty.
    pub inner: &'a [u8],
}

impl<'a> ConflictResponse<'a> {
    /// Decodes the payload of an answer, its type byte first. Returns `None` for the vote of a
    /// member that does not know the name.
    ///
    /// # Errors
    /// The same as for [`KeyRequest::decode`].
    pub fn decode(payload: &'a [u8]) -> Result<Option<ConflictResponse<'a>>, Refusal> {
        let mut body = body_of(kind::CONFLICT_RESPONSE, payload)?;
        match body.peek() {
            Some(NIL) => Ok(None),
            _ => Body::decode(&mut body).map(Some),
        }
    }

    /// Returns the payload of an answer, its type byte first. `vote` is `None` if this node does
    /// not know the name.
    pub fn encoded(vote: Option<&ConflictResponse<'_>>) -> Vec<u8> {
        let mut out = vec![kind::CONFLICT_RESPONSE];
        match vote {
            Some(vote) => vote.put_body(&mut out),
            None => out.push(NIL),
        }
        out
    }
}

impl<'a> KeyRequest<'a> {
    /// Decodes the payload of a query, its type byte first.
    ///
    /// # Errors
    /// [`Refusal::EmptyPart`] without a type byte, [`Refusal::UnknownType`] for another type,
    /// otherwise the refusal of the map.
    pub fn decode(payload: &'a [u8]) -> Result<KeyRequest<'a>, Refusal> {
        Body::decode(&mut body_of(kind::KEY_REQUEST, payload)?)
    }

    /// Returns the payload of a query, its type byte first.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = vec![kind::KEY_REQUEST];
        self.put_body(&mut out);
        out
    }
}

impl<'a> KeyResponse<'a> {
    /// Decodes the payload of an answer, its type byte first.
    ///
    /// # Errors
    /// The same as for [`KeyRequest::decode`].
    pub fn decode(payload: &'a [u8]) -> Result<KeyResponse<'a>, Refusal> {
        Body::decode(&mut body_of(kind::KEY_RESPONSE, payload)?)
    }

    /// Returns the payload of an answer, its type byte first.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = vec![kind::KEY_RESPONSE];
        self.put_body(&mut out);
        out
    }
}

/// Returns the bytes after the type byte of a payload, which must be `kind`.
fn body_of(kind: u8, payload: &[u8]) -> Result<Reader<'_>, Refusal> {
    match payload.split_first() {
        None => Err(Refusal::EmptyPart),
        Some((first, body)) if *first == kind => Ok(Reader::new(body)),
        Some(_) => Err(Refusal::UnknownType),
    }
}

impl<'a> Body<'a> for Relay<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Relay<'a>, Refusal> {
        let header = RelayHeader::read(reader)?;
        let inner = reader.rest();
        if inner.is_empty() {
            return Err(Refusal::EmptyPart);
        }
        let RelayHeader { to, node } = RelayHeader::check(header)?;
        Ok(Relay {
            addr: to.ip,
            port: to.port,
            node,
            inner,
        })
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        let to = UdpAddress {
            ip: self.addr,
            port: self.port,
            zone: (),
        };
        let node = self.node;
        RelayHeader { to, node }.put(out);
        out.extend_from_slice(self.inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            name: b"name",
            payload: Some(b""),
        })
    }

    #[test]
    fn every_kind_survives_encoding_and_decoding() {
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
                name: b"",
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
            assert_eq!(SerfMessage::decode(&message.encoded()), Ok(message));
        }
    }

    #[test]
    fn a_query_with_an_empty_filter_is_refused() {
        // The bytes are made from a valid query with a filter of one byte.
        let good = query(Some(vec![b"\x07"]), 1).encoded();
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
    fn a_relay_needs_a_message_and_a_valid_address() {
        let relay = |addr, inner| {
            SerfMessage::Relay(Relay {
                addr,
                port: 1,
                node: "",
                inner,
            })
        };
        let refusal = |message: &SerfMessage| SerfMessage::decode(&message.encoded()).err();
        assert_eq!(refusal(&relay(&[1; 4], b"\x05")), None);
        assert_eq!(refusal(&relay(&[1; 4], b"")), Some(Refusal::EmptyPart));
        assert_eq!(
            refusal(&relay(&[1; 3], b"\x05")),
            Some(Refusal::AddressLength)
        );
    }

    /// The vote is `query-conflict-response` of tests/golden/serf.json, from an agent.
    #[test]
    fn a_vote_has_the_bytes_of_a_stock_agent_and_anything_else_is_refused() {
        let vote = b"\x06\x8b\xa4Addr\xa4\x7f\x00\x00\x02\xabDelegateCur\x05\xabDelegateMax\x05\
            \xabDelegateMin\x02\xa4Name\xa1x\xa4Port\xcd\x1f\x0a\xabProtocolCur\x02\
            \xabProtocolMax\x05\xabProtocolMin\x01\xa6Status\x01\xa4Tags\x80";
        let decoded = ConflictResponse::decode(vote).unwrap().unwrap();
        assert_eq!(
            (decoded.name, decoded.addr, decoded.port),
            ("x", &[127, 0, 0, 2][..], 7946)
        );
        assert_eq!(ConflictResponse::encoded(Some(&decoded)), vote);
        assert_eq!(ConflictResponse::decode(b"\x06\xc0"), Ok(None));
        assert_eq!(ConflictResponse::encoded(None), b"\x06\xc0");
        for (payload, why) in [
            (&b""[..], Refusal::EmptyPart),
            (b"\x08\xc0", Refusal::UnknownType),
            (b"\x06", Refusal::Truncated),
            (b"\x06\x05", Refusal::Msgpack),
            (&vote[..40], Refusal::Truncated),
        ] {
            assert_eq!(ConflictResponse::decode(payload), Err(why), "{payload:?}");
        }
    }

    #[test]
    fn a_key_request_has_the_bytes_of_a_stock_agent_and_anything_else_is_refused() {
        let install = b"\x07\x81\xa3Key\xb0defghijklmnopqrs";
        let key = b"defghijklmnopqrs";
        assert!(KeyRequest { key }.encoded() == install);
        assert!(KeyRequest::decode(install).is_ok_and(|it| it.key == key));
        let list = b"\x07\x81\xa3Key\xa0";
        assert!(KeyRequest { key: b"" }.encoded() == list);
        for nothing in [&list[..], b"\x07\xc0", b"\x07\x80", b"\x07\x81\xa3Key\xc0"] {
            assert!(KeyRequest::decode(nothing).is_ok_and(|it| it.key.is_empty()));
        }
        for (payload, why) in [
            (&b""[..], Refusal::EmptyPart),
            (b"\x08\x80", Refusal::UnknownType),
            (b"\x07", Refusal::Truncated),
            (b"\x07\x81\xa3Key\x05", Refusal::Msgpack),
            (&install[..20], Refusal::Truncated),
        ] {
            assert_eq!(KeyRequest::decode(payload).err(), Some(why), "{payload:?}");
        }
    }

    #[test]
    fn a_key_response_has_the_bytes_of_a_stock_agent_and_anything_else_is_refused() {
        let refused = KeyResponse {
            result: false,
            message: b"no",
            keys: None,
            primary_key: b"",
        };
        let bytes = b"\x08\x84\xa4Keys\xc0\xa7Message\xa2no\xaaPrimaryKey\xa0\xa6Result\xc2";
        assert!(refused.encoded() == bytes);
        assert!(KeyResponse::decode(bytes).is_ok_and(|it| it == refused));
        let listed = KeyResponse {
            result: true,
            message: b"",
            keys: Some(vec![b"AAAA", b""]),
            primary_key: b"AAAA",
        };
        assert!(KeyResponse::decode(&listed.encoded()).is_ok_and(|it| it == listed));
        let many = KeyResponse {
            keys: Some(vec![b"A"; limits::ANSWERED_KEYS + 1]),
            ..listed
        };
        let refusal = |bytes: &[u8]| KeyResponse::decode(bytes).err();
        assert_eq!(refusal(&many.encoded()), Some(Refusal::TooLarge));
        assert_eq!(refusal(b""), Some(Refusal::EmptyPart));
        assert_eq!(refusal(b"\x07\x80"), Some(Refusal::UnknownType));
        assert_eq!(refusal(&bytes[..9]), Some(Refusal::Truncated));
    }

    #[test]
    fn types_that_are_not_user_messages_are_unknown() {
        for kind in [2, 6, 7, 8, 10, 255] {
            assert_eq!(
                SerfMessage::decode(&[kind, 0x80]),
                Err(Refusal::UnknownType)
            );
        }
        assert_eq!(SerfMessage::decode(&[]), Err(Refusal::EmptyPart));
        let nameless = SerfMessage::Join(JoinIntent { ltime: 1, node: "" }).encoded();
        assert_eq!(SerfMessage::decode(&nameless), Err(Refusal::NameLength));
    }
}
