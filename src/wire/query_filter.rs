//! The filters of a query: each selects the members that answer it.
//!
//! A filter is a type byte and a msgpack value, and travels as bytes inside the query.

use super::fields::{self, Bytes};
use super::record::{Body, messages, record};
use super::{Reader, Refusal, msgpack};

/// The type bytes.
mod kind {
    pub const NODES: u8 = 0;
    pub const TAG: u8 = 1;
}

messages! {
    /// A filter of a query.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum QueryFilter<'a> {
        /// Selects members by name.
        Nodes(NodeNames<'a>) = kind::NODES,
        /// Selects members by a tag.
        Tag(TagFilter<'a>) = kind::TAG,
    }
}

/// The names of members, as bytes of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames<'a>(pub Vec<&'a [u8]>);

impl<'a> Body<'a> for NodeNames<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<NodeNames<'a>, Refusal> {
        let count = msgpack::list(reader)?;
        let name = |reader: &mut Reader<'a>| fields::bytes(reader).map(Some);
        fields::items(reader, count, usize::MAX, 1, name).map(NodeNames)
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        fields::put_items(out, &self.0, |out, name| msgpack::put_raw(out, name));
    }
}

record! {
    /// Selects the members whose tag has a value in which the expression finds a match. A missing
    /// tag counts as empty.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TagFilter<'a> {
        /// The key of the tag.
        tag: &'a [u8] => "Tag" Bytes,
        /// The regular expression, in the syntax of Go.
        expr: &'a [u8] => "Expr" Bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_written_as_serf_writes_them() {
        // From the captured query with two filters in tests/golden/serf.json.
        let nodes = b"\x00\x91\xa1a";
        let tag = b"\x01\x82\xa4Expr\xa2w.\xa3Tag\xa4role";
        for (bytes, filter) in [
            (&nodes[..], QueryFilter::Nodes(NodeNames(vec![b"a"]))),
            (
                &tag[..],
                QueryFilter::Tag(TagFilter {
                    tag: b"role",
                    expr: b"w.",
                }),
            ),
        ] {
            assert_eq!(filter.encoded(), bytes);
            assert_eq!(QueryFilter::decode(bytes), Ok(filter));
        }
    }

    #[test]
    fn unknown_types_and_bodies_that_end_early_are_refused() {
        assert_eq!(QueryFilter::decode(b"\x07"), Err(Refusal::UnknownType));
        assert_eq!(QueryFilter::decode(b""), Err(Refusal::EmptyPart));
        for bytes in [
            &b"\x00\x92\xa1a"[..],
            b"\x00\xdd\xff\xff\xff\xff",
            b"\x01\x82",
        ] {
            assert_eq!(QueryFilter::decode(bytes), Err(Refusal::Truncated));
        }
    }
}
