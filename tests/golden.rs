//! Tests against bytes of real agents. Every captured packet decodes to its description, and
//! encoding the result gives the captured bytes again, apart from forms that this crate reads but
//! does not write. LZW compression produces the same bytes as the reference writer until the code
//! table is full. Unusual input has the same outcome as in running agents, apart from the
//! exceptions that the test names.
//!
//! The packets are from Serf 0.9.4 (memberlist 0.2.2) and, in `newest.json`, from the newest
//! release; some were made by hand and sent to an agent. The forms that this crate does not write
//! are version 0 of the encryption, nil slots in Serf's list of events, and the signed integers of
//! the newest release. In place of these integers, this crate writes the older forms, which both
//! releases read.

#[path = "golden/json.rs"]
mod json;
#[path = "golden/mutation.rs"]
mod mutation;
#[path = "golden/vectors.rs"]
mod vectors;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sprat::wire::message::{Message, PushPull};
use sprat::wire::serf_message::{SerfMessage, SerfPushPull, Tags, decode_tags, encode_tags};
use sprat::wire::stream::StreamReader;
use sprat::wire::{Codec, Reader, Refusal, lzw, msgpack, packet, stream};
use vectors::{CAPTURED, Direction, directions, hex, layers, load, text, unhex};

/// The vectors that hold integers in the signed forms of the newest release. This crate reads these
/// forms but does not write them.
const SIGNED: [&str; 5] = [
    "label-push-pull",
    "label-push-pull-encrypted",
    "push-pull-mixed",
    "query-signed-timeout",
    "relay-signed-port",
];

/// Returns the messages inside a datagram.
fn walked(codec: &Codec, datagram: &[u8]) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
    let opened = packet::open(codec, datagram)?;
    let mut messages = Vec::new();
    packet::walk(opened.as_bytes(), &mut |part| {
        messages.push(part.map(<[u8]>::to_vec))
    });
    Ok(messages)
}

/// Returns the captured vectors of `udp` or `tcp`.
fn captured(transport: &str) -> Vec<Value> {
    let mut found: Vec<Value> = CAPTURED.iter().flat_map(|file| load(file)).collect();
    found.retain(|vector| vector["transport"] == transport);
    found
}

#[test]
fn every_captured_datagram_decodes_to_its_description() {
    let vectors = captured("udp");
    assert_eq!(vectors.len(), 65);
    for vector in vectors {
        let id = text(&vector, "id");
        let layers = layers(&vector, &vector["decoded"]);
        let parts = walked(&layers.codec, &unhex(text(&vector, "hex"))).expect(id);
        assert_eq!(parts.len(), layers.messages.len(), "{id}");
        for (part, expected) in parts.iter().zip(&layers.messages) {
            let part = part.as_ref().expect(id);
            let expected: Vec<Value> = expected.iter().map(json::plain).collect();
            assert_eq!(json::message(part).expect(id), expected, "{id}");
        }
    }
}

#[test]
fn every_captured_datagram_reencodes_byte_for_byte() {
    for vector in captured("udp") {
        let id = text(&vector, "id");
        let layers = layers(&vector, &vector["decoded"]);
        let datagram = unhex(text(&vector, "hex"));
        let parts = walked(&layers.codec, &datagram).expect(id);
        let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| part.expect(id)).collect();
        for part in &parts {
            message_reencodes(id, part);
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut plain = Vec::new();
        packet::compound(&parts, &mut plain);
        assert_eq!(layers.compound, parts.len() > 1, "{id}");
        // This crate reads version 0 of the encryption, but does not write it.
        if layers.encryption != Some(0) {
            let sealed = packet::seal(&layers.codec, &plain, layers.checksum, layers.nonce);
            assert_eq!(hex(&sealed), hex(&datagram), "{id}");
        }
    }
}

/// Checks that a message, and a Serf message inside it, encode to the same bytes. In the vectors of
/// [`SIGNED`], the bytes of the Serf message differ, but decode to the same message.
fn message_reencodes(id: &str, wire: &[u8]) {
    let message = Message::decode(wire).expect(id);
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(hex(&again), hex(wire), "{id}");
    if let Message::User(content) = message {
        serf_reencodes(id, content);
    }
}

fn serf_reencodes(id: &str, content: &[u8]) {
    let message = SerfMessage::decode(content).expect(id);
    let mut again = Vec::new();
    message.encode(&mut again);
    if SIGNED.contains(&id) {
        assert!(
            again.len() <= content.len(),
            "{id}: the older form must not be longer than the captured one"
        );
        assert_ne!(
            again, content,
            "{id}: the captured integers must not have the older form already"
        );
        assert_eq!(SerfMessage::decode(&again).expect(id), message, "{id}");
    } else {
        assert_eq!(hex(&again), hex(content), "{id}");
    }
    if let SerfMessage::Relay(relay) = message {
        serf_reencodes("the inside of a relay", relay.inner);
    }
}

/// Feeds the bytes of `direction` to a reader in pieces of `step` bytes, and returns its result.
fn collected(direction: &Direction, step: usize) -> Result<Option<Vec<u8>>, Refusal> {
    let mut reader = StreamReader::new(direction.reader);
    let mut result = None;
    for piece in direction.bytes.chunks(step) {
        assert_eq!(
            result, None,
            "the message was complete before its last byte"
        );
        result = reader.push(&direction.layers.codec, piece)?;
    }
    Ok(result)
}

#[test]
fn every_captured_stream_decodes_to_its_description_however_it_is_cut() {
    let mut count = 0;
    for vector in captured("tcp") {
        let id = text(&vector, "id");
        for direction in directions(&vector) {
            let [expected] = direction.layers.messages.as_slice() else {
                panic!("{id}")
            };
            let expected: Vec<Value> = expected.iter().map(json::plain).collect();
            let whole = collected(&direction, usize::MAX).expect(id).expect(id);
            for step in [1, 2, 7, 100] {
                assert_eq!(collected(&direction, step), Ok(Some(whole.clone())), "{id}");
            }
            assert_eq!(json::stream_message(&whole).expect(id), expected, "{id}");
            count += 1;
        }
    }
    assert_eq!(count, 29);
}

#[test]
fn every_captured_stream_reencodes_byte_for_byte() {
    for vector in captured("tcp") {
        let id = text(&vector, "id");
        for direction in directions(&vector) {
            let plain = collected(&direction, usize::MAX).expect(id).expect(id);
            match plain[0] {
                6 => push_pull_reencodes(id, &plain),
                8 => {
                    let mut again = Vec::new();
                    stream::put_user(&mut again, stream::user_content(&plain).expect(id));
                    assert_eq!(hex(&again), hex(&plain), "{id}");
                }
                _ => message_reencodes(id, &plain),
            }
            let layers = &direction.layers;
            if layers.encryption != Some(0) {
                let writer = vectors::opposite(direction.reader);
                let sealed = stream::seal(
                    &layers.codec,
                    writer,
                    &|take| take(&plain),
                    layers.nonce,
                    &mut lzw::CompressCache::default(),
                );
                assert_eq!(hex(&sealed), hex(&direction.bytes), "{id}");
            }
        }
    }
}

fn push_pull_reencodes(id: &str, wire: &[u8]) {
    let push_pull = PushPull::decode(wire).expect(id);
    let mut again = Vec::new();
    push_pull.encode(&mut again);
    if SIGNED.contains(&id) {
        assert_eq!(
            again.len(),
            wire.len(),
            "{id}: an int16 (0xd1) and a uint16 (0xcd) have the same length"
        );
        assert_eq!(PushPull::decode(&again).expect(id), push_pull, "{id}");
    } else {
        assert_eq!(hex(&again), hex(wire), "{id}");
    }
    let state = SerfPushPull::decode(push_pull.user_state).expect(id);
    let mut again = Vec::new();
    state.encode(&mut again);
    assert_eq!(
        hex(&again),
        hex(&without_nil_slots(push_pull.user_state)),
        "{id}"
    );
}

/// Returns the user state of a push/pull as this crate writes it: without the nil slots that Serf
/// has in the list of events.
fn without_nil_slots(state: &[u8]) -> Vec<u8> {
    let key = b"\xa6Events";
    let list = state
        .windows(key.len())
        .position(|at| at == key)
        .expect("events")
        + key.len();
    let mut rest = Reader::new(&state[list..]);
    let mut kept = Vec::new();
    for _ in 0..msgpack::list(&mut rest).expect("a list") {
        let before = rest.rest();
        msgpack::skip(&mut rest).expect("a slot");
        kept.push(&before[..before.len() - rest.remaining()]);
    }
    kept.retain(|slot| *slot != [0xc0]);
    let mut out = state[..list].to_vec();
    msgpack::put_list(&mut out, kept.len() as u32);
    out.extend(kept.concat());
    out.extend_from_slice(rest.rest());
    out
}

#[test]
fn an_encrypted_stream_without_keys_and_a_plaintext_stream_with_keys_are_refused() {
    let refusal = |file: &str, id: &str, codec: &Codec| {
        let vectors = load(file);
        let vector = vectors.iter().find(|vector| vector["id"] == id).expect(id);
        assert!(vector["decoded_initiator"].is_null());
        let mut reader = StreamReader::new(stream::Side::Accepted);
        reader.push(codec, &unhex(text(vector, "initiator_hex")))
    };
    let plain = Codec::default();
    let encrypted = load("encrypted")
        .iter()
        .map(|v| layers(v, &v["decoded"]).codec)
        .next();
    let encrypted = encrypted.expect("a vector");
    assert_eq!(
        refusal("compressed", "error-compressed", &plain),
        Err(Refusal::UnexpectedEncryption)
    );
    assert_eq!(
        refusal("encrypted", "error-encrypted", &encrypted),
        Err(Refusal::PlaintextRefused)
    );
}

/// Decodes tags, none of which may be refused.
fn all_tags(meta: &[u8]) -> Tags {
    decode_tags(meta, &mut |why| panic!("{why:?}"))
}

#[test]
fn tags_in_the_vectors_decode_and_reencode() {
    fn visit(value: &Value, count: &mut usize) {
        match value {
            Value::Object(map) => {
                if let Some(tags) = map.get("decoded").filter(|d| d.is_object()).and_then(tags) {
                    let meta = unhex(text(value, "hex"));
                    assert_eq!(all_tags(&meta), tags);
                    // The reference writer has no fixed order of tags; this crate sorts them.
                    if meta[0] == 0xff && tags.len() < 2 {
                        assert_eq!(encode_tags(&tags), meta);
                    }
                    assert_eq!(all_tags(&encode_tags(&tags)), tags);
                    *count += 1;
                }
                map.values().for_each(|value| visit(value, count));
            }
            Value::Array(list) => list.iter().for_each(|value| visit(value, count)),
            _ => {}
        }
    }
    fn tags(decoded: &Value) -> Option<Tags> {
        if let Some(role) = decoded["role-only"].as_str() {
            return Some(Tags::from([("role".into(), role.into())]));
        }
        let pairs = decoded["tags"].as_object()?.iter();
        Some(
            pairs
                .map(|(key, value)| (key.clone(), value.as_str().unwrap().into()))
                .collect(),
        )
    }
    let mut count = 0;
    CAPTURED
        .iter()
        .for_each(|file| load(file).iter().for_each(|v| visit(v, &mut count)));
    assert_eq!(count, 61);
}

#[test]
fn key_queries_in_the_vectors_and_the_answers_to_them_decode_and_reencode() {
    fn visit(value: &Value, kinds: &mut Vec<u64>) {
        match value {
            Value::Object(map) => {
                let inner = map.get("payload-decoded").map(|layers| &layers[0]);
                if let Some(inner) = inner.filter(|it| it["type"] == 7 || it["type"] == 8) {
                    let payload = unhex(text(&value["body"]["Payload"], "hex"));
                    let again = match json::key_payload(&payload) {
                        Ok((described, again)) => {
                            assert_eq!(described, json::plain(&inner["body"]));
                            again
                        }
                        Err(why) => panic!("{why:?}: {inner}"),
                    };
                    assert_eq!(hex(&again), hex(&payload));
                    kinds.push(inner["type"].as_u64().unwrap());
                }
                map.values().for_each(|value| visit(value, kinds));
            }
            Value::Array(list) => list.iter().for_each(|value| visit(value, kinds)),
            _ => {}
        }
    }
    let mut kinds = Vec::new();
    let vectors = load("encrypted");
    vectors.iter().for_each(|vector| visit(vector, &mut kinds));
    assert_eq!(kinds, [7, 7, 7, 7, 7, 7, 8, 8, 8]);
}

/// Checks, for each datagram made by hand, the sequence numbers of the pings that a node named `r`
/// answers, and the reason why the datagram or a part of it is refused, if it is.
#[test]
fn unusual_datagrams_have_the_outcome_that_running_agents_showed() {
    let all = |first: u32, count: u32| (first..first + count).collect::<Vec<u32>>();
    let expected: [(&str, Vec<u32>, Option<Refusal>); 15] = [
        ("ping-minimal", vec![1], None),
        ("ping-empty-node", vec![4], None),
        ("ping-other-node", vec![], None),
        ("ping-lenient", vec![2], None),
        ("ping-bin8-string", vec![22], None),
        // Exception: Serf 0.9.4 refuses this datagram. This crate follows the newest release, whose
        // source shows that it accepts the datagram; no agent of that release was asked.
        ("ping-bin8-key", vec![23], None),
        ("ping-array-form", vec![25], None),
        ("crc-good", vec![6], None),
        ("crc-bad", vec![], Some(Refusal::Checksum)),
        ("compress-in-compress", vec![9], None),
        ("compound-in-compound", vec![10], None),
        ("compound-127", all(100, 127), None),
        // Exception: Serf 0.9.4 misreads this datagram. This crate follows the newest release,
        // which reads it.
        ("compound-128", all(100, 128), None),
        ("compound-truncated", vec![13], Some(Refusal::Truncated)),
        ("label-to-old", vec![], Some(Refusal::Label)),
    ];
    let vectors = load("unusual");
    assert_eq!(vectors.len(), expected.len());
    for (vector, (id, answered, refusal)) in vectors.iter().zip(expected) {
        assert_eq!(vector["id"], id);
        let (mut seqs, mut refusals) = (Vec::new(), Vec::new());
        match walked(&Codec::default(), &unhex(text(vector, "hex"))) {
            Err(refusal) => refusals.push(refusal),
            Ok(parts) => {
                for part in parts {
                    match part
                        .as_ref()
                        .map_err(|r| *r)
                        .and_then(|part| Message::decode(part))
                    {
                        Ok(Message::Ping(ping)) if matches!(ping.node, "" | "r") => {
                            seqs.push(ping.seq);
                        }
                        Ok(other) => assert_eq!(id, "ping-other-node", "{other:?}"),
                        Err(refusal) => refusals.push(refusal),
                    }
                }
            }
        }
        assert_eq!(seqs, answered, "{id}");
        assert_eq!(refusals, refusal.into_iter().collect::<Vec<_>>(), "{id}");
    }
}

/// Makes the input of an LZW vector, by the recipe for this `kind` in the file of vectors.
fn lzw_input(kind: &str, length: usize) -> Vec<u8> {
    const LETTERS: &[u8; 14] = b"etaoin shrdlu\n";
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let byte = |place: usize| match kind {
        "zero" => 0,
        "ramp" => place as u8,
        "lcg" => next(),
        "text" => LETTERS[usize::from(next()) % LETTERS.len()],
        other => panic!("unknown input {other}"),
    };
    (0..length).map(byte).collect()
}

/// The maximum number of bytes of output for which the reference writer and this crate agree. This
/// many bytes hold a clear code and 3,838 codes: 255 of 9 bits, 512 of 10, 1,024 of 11, 2,047 of
/// 12. The reference writer then starts its table over. This crate does so one code later, so
/// longer output differs, but it expands to the same bytes.
const ONE_TABLE: u64 = (9 + 255 * 9 + 512 * 10 + 1024 * 11 + 2047 * 12) / 8;

#[test]
fn compression_gives_the_bytes_of_the_reference_writer_until_the_table_is_full() {
    let vectors = load("lzw");
    let mut within = 0;
    for vector in &vectors {
        let length = vector["length"].as_u64().unwrap() as usize;
        let kind = text(vector, "kind");
        let input = lzw_input(kind, length);
        if let Some(given) = vector["input_hex"].as_str() {
            assert_eq!(hex(&input), given);
        }
        let compressed = lzw::deflate(&input);
        let mut message = Vec::new();
        lzw::put_compressed(&mut message, &input);
        if length > 0 {
            let expanded = lzw::expand(&message, length);
            assert_eq!(expanded.as_ref(), Ok(&input), "{kind} {length}");
        }
        let reference = vector["compressed_length"].as_u64().unwrap();
        if reference > ONE_TABLE {
            continue;
        }
        within += 1;
        assert_eq!(compressed.len() as u64, reference, "{kind} {length}");
        let digest = hex(&Sha256::digest(&compressed));
        let expected = text(vector, "compressed_sha256");
        assert_eq!(digest, expected, "{kind} {length}");
        if let Some(given) = vector["compressed_hex"].as_str() {
            assert_eq!(hex(&compressed), given);
        }
    }
    assert_eq!((vectors.len(), within), (18, 15));
}
