//! Tags of a member: the meta of its node, in the form of the Serf layer.
//!
//! Tags are the byte `ff`, then a map of text to text. A node that speaks Serf protocol 2 sends no
//! such map; its whole meta is read as the value of the tag `role`.
//!
//! Other members may send any bytes as a tag. A tag that is not text must not hide the others, so
//! it is shown escaped; the original bytes are in the meta.

use super::{Reader, Refusal, fields, msgpack};
use crate::printable;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The tags of a member, sorted by key.
pub type Tags = BTreeMap<String, String>;

/// The first byte of meta that holds tags.
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
/// Tags that cannot be read do not hide the others. Text that is not UTF-8 or holds a NUL is shown
/// escaped; a value of another kind is shown as its encoded bytes, escaped. If the meta is cut off,
/// or is not msgpack from some place on, the tags before that place are returned. In each of these
/// cases, `refused` is called with the reason.
#[cfg(any(test, feature = "internals"))] // the library reads tags one by one
pub fn decode_tags(meta: &[u8], refused: &mut dyn FnMut(Refusal)) -> Tags {
    TagReader::new(meta, refused)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// Reads tags one by one, in the order of the meta and by the rules of [`decode_tags`], without
/// copying tags that are valid text. If a key comes twice, the caller has to take the last value.
pub(crate) struct TagReader<'a, F> {
    rest: Rest<'a>,
    refused: F,
}

/// The tags that have not been read.
enum Rest<'a> {
    /// The role of an old node.
    Role(&'a [u8]),
    /// A reader at the next pair, and the number of pairs that are left.
    Pairs(Reader<'a>, u32),
}

impl<'a, F: FnMut(Refusal)> TagReader<'a, F> {
    /// A reader of this meta, which calls `refused` with the reason if a tag cannot be read.
    pub(crate) fn new(meta: &'a [u8], mut refused: F) -> TagReader<'a, F> {
        let mut reader = Reader::new(meta);
        let rest = match reader.peek() {
            Some(MAGIC) => {
                let count = reader.u8().and_then(|_| msgpack::map(&mut reader));
                let count = count.inspect_err(|refusal| refused(*refusal));
                Rest::Pairs(reader, count.unwrap_or(0))
            }
            _ => Rest::Role(meta),
        };
        TagReader { rest, refused }
    }
}

impl<'a, F: FnMut(Refusal)> Iterator for TagReader<'a, F> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.rest {
            Rest::Role(meta) => {
                let role = shown(meta, &mut self.refused);
                self.rest = Rest::Pairs(Reader::new(&[]), 0);
                Some(("role".into(), role))
            }
            Rest::Pairs(_, 0) => None,
            Rest::Pairs(reader, left) => match read_pair(reader, &mut self.refused) {
                Ok(pair) => {
                    *left -= 1;
                    Some(pair)
                }
                Err(refusal) => {
                    *left = 0;
                    (self.refused)(refusal);
                    None
                }
            },
        }
    }
}

fn read_pair<'a>(
    reader: &mut Reader<'a>,
    refused: &mut dyn FnMut(Refusal),
) -> Result<(Cow<'a, str>, Cow<'a, str>), Refusal> {
    Ok((read_text(reader, refused)?, read_text(reader, refused)?))
}

/// Reads text; nil is read as empty text.
fn read_text<'a>(
    reader: &mut Reader<'a>,
    refused: &mut dyn FnMut(Refusal),
) -> Result<Cow<'a, str>, Refusal> {
    let start = *reader;
    match fields::bytes(reader) {
        Ok(bytes) => Ok(shown(bytes, refused)),
        Err(Refusal::Msgpack) => {
            *reader = start;
            msgpack::skip(reader)?;
            let encoded = &start.rest()[..start.remaining() - reader.remaining()];
            refused(Refusal::Msgpack);
            let mut text = String::new();
            printable::put_bytes(&mut text, encoded);
            Ok(text.into())
        }
        Err(refusal) => Err(refusal),
    }
}

/// Returns bytes as text, escaped if they are not text.
fn shown<'a>(bytes: &'a [u8], refused: &mut dyn FnMut(Refusal)) -> Cow<'a, str> {
    if let Err(refusal) = fields::check_text(bytes) {
        refused(refusal);
    }
    printable::text(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the tags in a meta, and the reasons why some were refused.
    fn read(meta: &[u8]) -> (Tags, Vec<Refusal>) {
        let mut reasons = Vec::new();
        let tags = decode_tags(meta, &mut |why| reasons.push(why));
        (tags, reasons)
    }

    fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
        pairs.map(|(k, v)| (k.to_string(), v.to_string())).into()
    }

    #[test]
    fn an_empty_set_of_tags_takes_two_bytes() {
        assert_eq!(encode_tags(&Tags::new()), [0xff, 0x80]);
        assert_eq!(read(&[0xff, 0x80]), (Tags::new(), vec![]));
    }

    #[test]
    fn tags_survive_encoding_and_decoding() {
        let long = "x".repeat(300);
        let all = tags([
            ("role", "web"),
            ("empty", ""),
            ("long", long.as_str()),
            ("ä", "ö"),
        ]);
        assert_eq!(read(&encode_tags(&all)), (all, vec![]));
    }

    #[test]
    fn the_bare_meta_of_an_old_node_is_its_role() {
        let role = |text: &str| tags([("role", text)]);
        assert_eq!(read(b"oldrole"), (role("oldrole"), vec![]));
        assert_eq!(read(b""), (role(""), vec![]));
        let escaped = (role(r"\xfe\xff"), vec![Refusal::Utf8]);
        assert_eq!(read(b"\xfe\xff"), escaped);
    }

    #[test]
    fn a_tag_that_is_not_text_is_shown_escaped_and_the_others_stay() {
        let meta = b"\xff\x84\xa1a\xa1b\xa1k\xa2\xfe!\xa2\xff\0\xa1x\xa1z\xa1y";
        let expected = tags([("a", "b"), ("k", r"\xfe!"), (r"\xff\x00", "x"), ("z", "y")]);
        assert_eq!(read(meta), (expected, vec![Refusal::Utf8; 2]));
        // Here the values of two tags are a number and a list.
        let meta = b"\xff\x83\xa1a\x07\xa1k\x92\xa1x\x01\xa1z\xa1y";
        let expected = tags([("a", r"\x07"), ("k", r"\x92\xa1\x78\x01"), ("z", "y")]);
        assert_eq!(read(meta), (expected, vec![Refusal::Msgpack; 2]));
    }

    #[test]
    fn tags_before_a_cut_stay() {
        for meta in [&b"\xff"[..], b"\xff\x81\xa1k", b"\xff\x81\xa1k\xa5v"] {
            assert_eq!(read(meta), (Tags::new(), vec![Refusal::Truncated]));
        }
        let cut = (tags([("a", "b")]), vec![Refusal::Truncated]);
        assert_eq!(read(b"\xff\x82\xa1a\xa1b\xa1k"), cut);
        assert_eq!(read(b"\xff\x01"), (Tags::new(), vec![Refusal::Msgpack]));
    }
}
