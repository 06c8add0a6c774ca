//! Turns decoded messages into the JSON with which the vectors describe them, so that a test can
//! compare whole bodies.

use super::vectors::hex;
use serde_json::{Map, Value, json};
use sprat::wire::Refusal;
use sprat::wire::message::{Message, NodeState, PushPull, PushPullNode};
use sprat::wire::serf_message::{
    KeyRequest, KeyResponse, PastEvent, Query, SerfMessage, SerfPushPull,
};
use sprat::wire::stream;

/// Keys that are not compared: notes for the human reader of a vector, and `slots`, the length of a
/// ring of events with its nil slots, which decoding skips.
const ADDED: [&str; 5] = [
    "type",
    "Flags-meaning",
    "payload-decoded",
    "decoded",
    "slots",
];

/// Returns a vector's description as this file would write it: without the keys in [`ADDED`] and
/// the `-ns` at the end of keys. Of a value that is bytes, only the key `hex` is kept.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("hex") => json!({ "hex": map["hex"] }),
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !ADDED.contains(&key.as_str()));
            let rename = |key: &String| key.strip_suffix("-ns").unwrap_or(key).to_string();
            kept.map(|(key, value)| (rename(key), plain(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(list) => list.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// Returns bytes as text. In the vectors, all bytes that are given to this function are text.
fn words(text: &[u8]) -> Value {
    String::from_utf8_lossy(text).into()
}

fn bytes(value: &[u8]) -> Value {
    json!({ "hex": hex(value) })
}

fn maybe(value: Option<&[u8]>) -> Value {
    value.map_or(Value::Null, bytes)
}

/// Adds the fields that describe the sender to the body of a ping, if the ping carries them.
fn with_source(mut body: Value, addr: &[u8], port: u16, node: &str) -> Value {
    if !addr.is_empty() {
        body["SourceAddr"] = bytes(addr);
    }
    if !node.is_empty() {
        body["SourceNode"] = node.into();
    }
    if port != 0 {
        body["SourcePort"] = port.into();
    }
    body
}

/// Describes a message of a datagram: one value for each layer, the outermost first.
pub fn message(wire: &[u8]) -> Result<Vec<Value>, Refusal> {
    let (name, body) = match Message::decode(wire)? {
        Message::Ping(ping) => {
            let body = json!({ "Node": ping.node, "SeqNo": ping.seq });
            let (addr, port) = (ping.source_addr, ping.source_port);
            ("ping", with_source(body, addr, port, ping.source_node))
        }
        Message::IndirectPing(ping) => {
            let body = json!({
                "Nack": ping.nack, "Node": ping.node, "Port": ping.port, "SeqNo": ping.seq,
                "Target": bytes(ping.target),
            });
            let (addr, port) = (ping.source_addr, ping.source_port);
            let body = with_source(body, addr, port, ping.source_node);
            ("indirect-ping", body)
        }
        Message::Ack(ack) => (
            "ack",
            json!({ "Payload": maybe(ack.payload), "SeqNo": ack.seq }),
        ),
        Message::Nack(nack) => ("nack", json!({ "SeqNo": nack.seq })),
        Message::Suspect(a) | Message::Dead(a) => {
            let name = if wire[0] == 3 { "suspect" } else { "dead" };
            (
                name,
                json!({ "From": a.from, "Incarnation": a.incarnation, "Node": a.node }),
            )
        }
        Message::Alive(alive) => {
            let body = json!({
                "Addr": bytes(alive.addr), "Incarnation": alive.incarnation,
                "Meta": maybe(alive.meta), "Node": alive.node, "Port": alive.port,
                "Vsn": bytes(alive.vsn),
            });
            ("alive", body)
        }
        Message::User(content) => {
            let mut layers = vec![json!({ "gossip": "user" })];
            layers.extend(serf(content)?);
            return Ok(layers);
        }
        Message::Error(answer) => ("error", json!({ "Error": words(answer.text) })),
    };
    Ok(vec![json!({ "gossip": name, "body": body })])
}

/// Describes a message of a stream.
pub fn stream_message(wire: &[u8]) -> Result<Vec<Value>, Refusal> {
    match wire[0] {
        6 => push_pull(wire).map(|layer| vec![layer]),
        8 => {
            let content = stream::user_content(wire)?;
            let header = json!({ "UserMsgLen": content.len() });
            let mut layers = vec![json!({ "gossip": "user-stream", "header": header })];
            layers.extend(serf(content)?);
            Ok(layers)
        }
        _ => message(wire),
    }
}

fn push_pull(wire: &[u8]) -> Result<Value, Refusal> {
    let push_pull = PushPull::decode(wire)?;
    let nodes: Vec<Value> = push_pull.nodes.iter().map(node).collect();
    let header = json!({
        "Join": push_pull.join, "Nodes": nodes.len(), "UserStateLen": push_pull.user_state.len(),
    });
    let user_state = [state(&SerfPushPull::decode(push_pull.user_state)?)];
    Ok(json!({
        "gossip": "push-pull", "header": header, "nodes": nodes, "user-state": user_state,
    }))
}

fn node(node: &PushPullNode<'_>) -> Value {
    let state = match node.state {
        NodeState::Alive => "alive (0)",
        NodeState::Suspect => "suspect (1)",
        NodeState::Dead => "dead (2)",
        NodeState::Left => "left (3)",
    };
    json!({
        "Addr": bytes(node.addr), "Incarnation": node.incarnation, "Meta": maybe(node.meta),
        "Name": node.name, "Port": node.port, "State": state, "Vsn": bytes(node.vsn),
    })
}

fn state(state: &SerfPushPull<'_>) -> Value {
    let slots: Vec<Value> = state
        .events
        .iter()
        .map(|slot| {
            let event = |event: &PastEvent<'_>| {
                json!({ "Name": words(event.name), "Payload": maybe(event.payload) })
            };
            let events: Vec<Value> = slot.events.iter().map(event).collect();
            json!({ "LTime": slot.ltime, "Events": events })
        })
        .collect();
    let times = state
        .status_ltimes
        .iter()
        .map(|(name, time)| (name.to_string(), json!(time)));
    let body = json!({
        "LTime": state.ltime, "EventLTime": state.event_ltime, "QueryLTime": state.query_ltime,
        "StatusLTimes": times.collect::<Map<_, _>>(), "LeftMembers": state.left_members,
        "Events": { "non-nil": slots },
    });
    json!({ "serf": "push-pull", "body": body })
}

/// Describes a Serf message; a relay is followed by the message that it carries.
fn serf(content: &[u8]) -> Result<Vec<Value>, Refusal> {
    let (name, body) = match SerfMessage::decode(content)? {
        SerfMessage::Leave(intent) => {
            let body = json!({ "LTime": intent.ltime, "Node": intent.node, "Prune": intent.prune });
            ("leave-intent", body)
        }
        SerfMessage::Join(intent) => (
            "join-intent",
            json!({ "LTime": intent.ltime, "Node": intent.node }),
        ),
        SerfMessage::UserEvent(event) => {
            let body = json!({
                "CC": event.coalesce, "LTime": event.ltime, "Name": words(event.name),
                "Payload": maybe(event.payload),
            });
            ("user-event", body)
        }
        SerfMessage::Query(query) => ("query", query_body(&query)),
        SerfMessage::QueryResponse(response) => {
            let body = json!({
                "Flags": response.flags, "From": response.from, "ID": response.id,
                "LTime": response.ltime, "Payload": maybe(response.payload),
            });
            ("query-response", body)
        }
        SerfMessage::Relay(relay) => {
            let addr = json!({ "IP": bytes(relay.addr), "Port": relay.port, "Zone": "" });
            let header = json!({ "DestAddr": addr, "DestName": relay.node });
            let mut layers = vec![json!({ "serf": "relay", "header": header })];
            layers.extend(serf(relay.inner)?);
            return Ok(layers);
        }
    };
    Ok(vec![json!({ "serf": name, "body": body })])
}

/// Describes the payload of a key query or of the answer to one, and encodes it again.
pub fn key_payload(payload: &[u8]) -> Result<(Value, Vec<u8>), Refusal> {
    if payload.first() == Some(&7) {
        let request = KeyRequest::decode(payload)?;
        return Ok((json!({ "Key": bytes(request.key) }), request.encoded()));
    }
    let response = KeyResponse::decode(payload)?;
    let keys = response.keys.as_ref();
    let keys = keys.map(|keys| keys.iter().map(|key| words(key)).collect::<Value>());
    let body = json!({
        "Keys": keys, "Message": words(response.message),
        "PrimaryKey": words(response.primary_key), "Result": response.result,
    });
    Ok((body, response.encoded()))
}

fn query_body(query: &Query<'_>) -> Value {
    let filters = query.filters.as_ref();
    let filters = filters.map(|list| list.iter().map(|filter| bytes(filter)).collect::<Value>());
    json!({
        "Addr": bytes(query.addr), "Filters": filters, "Flags": query.flags, "ID": query.id,
        "LTime": query.ltime, "Name": words(query.name), "Payload": maybe(query.payload),
        "Port": query.port, "RelayFactor": query.relay_factor, "SourceNode": query.source_node,
        "Timeout": query.timeout_ns,
    })
}
