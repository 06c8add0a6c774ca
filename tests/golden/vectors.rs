//! Reads the vectors from the JSON files, and the layers around the messages of each vector.

use serde_json::Value;
use sprat::wire::stream::Side;
use sprat::wire::{Codec, Key, Keyring};
use std::path::Path;

/// All files of captured gossip.
pub const CAPTURED: [&str; 9] = [
    "gossip-udp",
    "gossip-tcp",
    "compressed",
    "encrypted",
    "encrypted-v0-accepted",
    "serf",
    "addresses",
    "old-protocols",
    "newest",
];

/// Returns the vectors of one file.
pub fn load(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = std::fs::read_to_string(path.with_extension("json")).expect(file);
    let mut json: Value = serde_json::from_str(&text).expect(file);
    match json["vectors"].take() {
        Value::Array(vectors) => vectors,
        other => panic!("{file}: vectors are {other}"),
    }
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

pub fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len() % 2 == 0, "half a byte in {hex}");
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"))
        .collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The layers around the messages of one datagram or one direction of a stream.
#[derive(Default)]
pub struct Layers {
    /// The codec of the sender. The first key is its primary key.
    pub codec: Codec,
    pub nonce: [u8; 12],
    /// Version of the encryption, or `None` for plaintext.
    pub encryption: Option<u64>,
    pub checksum: bool,
    /// True if the messages are the parts of a compound.
    pub compound: bool,
    /// The description of each message, and of the layers of Serf inside it.
    pub messages: Vec<Vec<Value>>,
}

/// Reads the layers of a vector, the outermost first.
pub fn layers(vector: &Value, decoded: &Value) -> Layers {
    let mut layers = Layers::default();
    layers.codec.verify_incoming = true;
    layers.codec.verify_outgoing = true;
    layers.codec.compress = text(vector, "capture").contains("compression on");
    let mut list = decoded.as_array().expect("layers").as_slice();
    let mut primary = None;
    while let [layer, rest @ ..] = list {
        match (layer["layer"].as_str(), layer["gossip"].as_str()) {
            (Some("label"), _) => layers.codec.label = text(layer, "label").into(),
            (Some("encrypted" | "encrypted-stream"), _) => {
                primary = Some(unhex(text(layer, "key")));
                layers.nonce = unhex(text(layer, "nonce")).try_into().expect("12 bytes");
                layers.encryption = layer["version"].as_u64();
            }
            (Some("crc"), _) => layers.checksum = true,
            (None, Some("compress")) => layers.codec.compress = true,
            (None, Some("compound")) => {
                layers.compound = true;
                let parts = layer["parts"].as_array().expect("parts");
                layers.messages = parts
                    .iter()
                    .map(|p| p.as_array().unwrap().clone())
                    .collect();
                assert!(rest.is_empty());
            }
            (None, Some(_)) => {
                layers.messages = vec![list.to_vec()];
                break;
            }
            other => panic!("unknown layer {other:?}"),
        }
        list = rest;
    }
    let others = vector["keys"].as_array().into_iter().flatten();
    let others = others.map(|key| unhex(key.as_str().expect("a key")));
    let keys = primary
        .into_iter()
        .chain(others)
        .map(|key| Key::new(&key).expect("a key"));
    layers.codec.keyring = Keyring::new(keys.collect());
    // The answer to a labelled request has no label header, but uses the label of the request.
    if vector["capture"]
        .as_str()
        .is_some_and(|capture| capture.contains("Label \"lab1\""))
    {
        layers.codec.label = b"lab1".to_vec();
    }
    layers
}

/// One direction of a stream.
pub struct Direction {
    /// The side that reads these bytes.
    pub reader: Side,
    pub bytes: Vec<u8>,
    pub layers: Layers,
}

/// Returns the directions of a stream vector that hold a well-formed message.
pub fn directions(vector: &Value) -> Vec<Direction> {
    let ends = [("initiator", Side::Accepted), ("responder", Side::Dialled)];
    let mut found = Vec::new();
    for (end, reader) in ends {
        let bytes = unhex(text(vector, &format!("{end}_hex")));
        let decoded = &vector[format!("decoded_{end}")];
        if decoded[0]["empty"] == true {
            assert!(bytes.is_empty());
        } else if !decoded.is_null() {
            found.push(Direction {
                reader,
                bytes,
                layers: layers(vector, decoded),
            });
        }
    }
    found
}

/// Returns the opposite side.
pub fn opposite(side: Side) -> Side {
    match side {
        Side::Dialled => Side::Accepted,
        Side::Accepted => Side::Dialled,
    }
}
