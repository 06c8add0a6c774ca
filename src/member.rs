//! A member as the application sees it.

use crate::wire::serf_message::{TagReader, Tags, encode_tags};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use crate::vocabulary::MemberState;

/// A member. The value is shared and never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: Arc<str>,
    /// The address at which it is reached.
    pub addr: SocketAddr,
    /// Its tags; empty in memberlist mode. A tag that is not text is shown escaped, as `\xff`.
    pub tags: MemberTags,
    /// Its meta as on the wire: in Serf mode the encoded tags.
    pub meta: Arc<[u8]>,
    /// Its state.
    pub state: MemberState,
    /// The incarnation that it last announced.
    pub incarnation: u32,
    /// The minimum, maximum and spoken version of the memberlist protocol.
    pub protocol: [u8; 3],
    /// The minimum, maximum and spoken version of the Serf protocol; zeros for a bare memberlist
    /// node.
    pub delegate: [u8; 3],
}

/// The tags of a member. They are kept as on the wire, where they take far less memory than a map,
/// and are decoded each time they are read.
#[derive(Clone, Default)]
pub struct MemberTags(Option<Arc<[u8]>>);

impl MemberTags {
    /// The tags in the meta of a node in Serf mode.
    pub(crate) fn in_meta(meta: Arc<[u8]>) -> MemberTags {
        MemberTags(Some(meta))
    }

    /// Returns the value of a tag.
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        let values = self.pairs().filter(|(found, _)| found == key);
        values.map(|(_, value)| value).last() // the last one counts
    }

    /// Returns true if there is a tag with this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.pairs().any(|(found, _)| found == key)
    }

    /// Returns true if there are no tags.
    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }

    /// Returns all tags as a map.
    pub fn to_map(&self) -> Tags {
        let owned = |(key, value): (Cow<str>, Cow<str>)| (key.into_owned(), value.into_owned());
        self.pairs().map(owned).collect()
    }

    /// The tags in the order of the meta. A key may come twice.
    fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let metas = self.0.iter();
        metas.flat_map(|meta| TagReader::new(meta, |_| ()))
    }
}

impl From<&Tags> for MemberTags {
    fn from(tags: &Tags) -> MemberTags {
        MemberTags::in_meta(encode_tags(tags).into())
    }
}

impl PartialEq for MemberTags {
    fn eq(&self, other: &MemberTags) -> bool {
        self.0 == other.0 || self.to_map() == other.to_map()
    }
}

impl Eq for MemberTags {}

impl fmt::Debug for MemberTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(meta: &[u8]) -> MemberTags {
        MemberTags::in_meta(meta.into())
    }

    #[test]
    fn tags_are_read_from_the_meta_and_the_last_value_of_a_key_counts() {
        let twice = tags(b"\xff\x83\xa1a\xa1b\xa1k\xa0\xa1a\xa1c");
        assert_eq!(twice.get("a").as_deref(), Some("c"));
        assert_eq!(twice.get("k").as_deref(), Some(""));
        assert_eq!(twice.get("b"), None);
        assert!(twice.contains_key("k") && !twice.contains_key("c"));
        assert_eq!(format!("{twice:?}"), r#"{"a": "c", "k": ""}"#);
        let old = tags(b"\xfe");
        assert_eq!(old.get("role").as_deref(), Some(r"\xfe"));
    }

    #[test]
    fn equal_tags_may_be_written_in_different_ways() {
        let (ab, ba) = (b"\xff\x82\xa1a\xa0\xa1b\xa0", b"\xff\x82\xa1b\xa0\xa1a\xa0");
        assert_eq!(tags(ab), tags(ba));
        assert_ne!(tags(ab), tags(b"\xff\x81\xa1a\xa0"));
        assert_eq!(tags(b"\xff\x80"), MemberTags::default());
        assert!(MemberTags::default().is_empty() && tags(b"\xff\x80").is_empty());
        assert!(!tags(b"").is_empty(), "the empty role of an old node");
    }
}
