//! Tags of a member: the meta of its node, in the form of the Serf layer.
//!
//! Tags are the byte `ff`, then a map of text to text. A node that speaks Serf protocol 2 has no
//! tags; its whole meta is the value of the tag `role`.

use super::{Reader, Refusal, fields, msgpack};
use std::collections::BTreeMap;

/// Tags of a member, sorted by key.
pub type Tags = BTreeMap<String, String>;

/// First byte of meta that holds tags.
const MAGIC: u8 = 0xff;

/// Encodes tags as `ff` and the map; an empty set of tags is `ff 80`.
pub fn encode_tags(tags: &Tags) -> Vec<u8> {
    let content: usize = tags
        .iter()
        .map(|(key, value)| key.len() + value.len() + 6)
        .sum();
    let mut out = Vec::with_capacity(content + 4);
    out.push(MAGIC);
    msgpack::put_map(&mut out, msgpack::count(tags.len()));
    for (key, value) in tags {
        msgpack::put_text(&mut out, key);
        msgpack::put_text(&mut out, value);
    }
    out
}

/// Decodes the tags in a node's meta. Meta that is empty or does not begin with `ff` is the tag
/// `role` of an old node.
///
/// # Errors
/// [`Refusal::Truncated`], [`Refusal::Msgpack`] or [`Refusal::Utf8`]. The caller treats such a
/// node as one without tags.
pub fn decode_tags(meta: &[u8]) -> Result<Tags, Refusal> {
    let mut reader = Reader::new(meta);
    if reader.peek() != Some(MAGIC) {
        let role = fields::check_text(meta)?;
        return Ok(Tags::from([("role".to_string(), role.to_string())]));
    }
    reader.u8()?;
    let mut tags = Tags::new();
    for _ in 0..msgpack::map(&mut reader)? {
        let key = fields::text(&mut reader)?;
        let value = fields::text(&mut reader)?;
        tags.insert(key.to_string(), value.to_string());
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tags_are_two_bytes() {
        assert_eq!(encode_tags(&Tags::new()), [0xff, 0x80]);
        assert_eq!(decode_tags(&[0xff, 0x80]), Ok(Tags::new()));
    }

    #[test]
    fn tags_survive_encoding_and_decoding() {
        let long = "x".repeat(300);
        let pairs = [
            ("role", "web"),
            ("empty", ""),
            ("long", long.as_str()),
            ("ä", "ö"),
        ];
        let tags: Tags = pairs.map(|(k, v)| (k.to_string(), v.to_string())).into();
        assert_eq!(decode_tags(&encode_tags(&tags)), Ok(tags));
    }

    #[test]
    fn the_bare_meta_of_an_old_node_is_its_role() {
        let role = |text: &str| Ok(Tags::from([("role".to_string(), text.to_string())]));
        assert_eq!(decode_tags(b"oldrole"), role("oldrole"));
        assert_eq!(decode_tags(b""), role(""));
        assert_eq!(decode_tags(b"\xfe\xff"), Err(Refusal::Utf8));
    }

    #[test]
    fn broken_tags_are_refused() {
        assert_eq!(decode_tags(b"\xff"), Err(Refusal::Truncated));
        assert_eq!(decode_tags(b"\xff\x81\xa1k"), Err(Refusal::Truncated));
        assert_eq!(decode_tags(b"\xff\x81\xa1k\x01"), Err(Refusal::Msgpack));
        assert_eq!(decode_tags(b"\xff\x81\xa1k\xa1\0"), Err(Refusal::Utf8));
    }
}
