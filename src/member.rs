//! A member as the application sees it.

use crate::wire::serf_message::{TagReader, Tags};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

pub use crate::vocabulary::MemberState;

/// The facts that a node has announced about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name, unique in the cluster.
    pub name: Arc<str>,
    /// The address at which it is reached. An IPv4 address is never held in IPv6 form.
    pub addr: SocketAddr,
    /// Its meta as on the wire: in serf mode the encoded tags.
    pub meta: Box<[u8]>,
    /// Its versions: the lowest, highest and used version of the memberlist protocol, then those of
    /// the layer above.
    pub vsn: [u8; 6],
    /// The incarnation that it last announced.
    pub incarnation: u32,
}

impl NodeFacts {
    /// Makes facts with which a program can test its own code. The node has no meta, announces the
    /// versions of a sprat node in serf mode, and is in its first incarnation.
    pub fn new(name: &str, addr: SocketAddr) -> NodeFacts {
        NodeFacts {
            name: name.into(),
            addr,
            meta: Box::default(),
            vsn: [1, 5, 2, 2, 5, 5],
            incarnation: 1,
        }
    }
}

/// A member: the facts about its node, and its state. The facts are shared and never change, so a
/// clone costs little, and a member that was handed out stays as it was.
#[derive(Clone, Debug)]
pub struct Member {
    facts: Arc<NodeFacts>,
    /// Its state.
    pub state: MemberState,
    /// True if the meta is encoded tags.
    has_tags: bool,
}

impl Member {
    /// A member whose meta is encoded tags, as in serf mode.
    pub fn with_tags(facts: Arc<NodeFacts>, state: MemberState) -> Member {
        Member {
            facts,
            state,
            has_tags: true,
        }
    }

    /// A member without tags, as in memberlist mode.
    pub fn without_tags(facts: Arc<NodeFacts>, state: MemberState) -> Member {
        Member {
            facts,
            state,
            has_tags: false,
        }
    }

    /// The same member in another state.
    pub(crate) fn in_state(self, state: MemberState) -> Member {
        Member { state, ..self }
    }

    /// Returns true if the tags, the address or the versions of two descriptions of a member
    /// differ, or, in memberlist mode, the meta.
    pub(crate) fn differs_from(&self, other: &Member) -> bool {
        self.tags() != other.tags()
            || self.addr != other.addr
            || self.vsn != other.vsn
            || (!self.has_tags && self.meta != other.meta)
    }

    /// Its tags; empty in memberlist mode. A tag that is not text is shown escaped, as `\xff`.
    pub fn tags(&self) -> MemberTags<'_> {
        MemberTags(self.has_tags.then_some(&self.facts.meta))
    }

    /// The versions of the memberlist protocol: lowest, highest and used.
    pub fn protocol(&self) -> [u8; 3] {
        let [lowest, highest, used, ..] = self.vsn;
        [lowest, highest, used]
    }

    /// The versions of the Serf protocol: lowest, highest and used; zeros for a memberlist node.
    pub fn delegate(&self) -> [u8; 3] {
        let [.., lowest, highest, used] = self.vsn;
        [lowest, highest, used]
    }
}

/// The comparison of members that share their facts is cheap: `Arc` compares the pointers first.
impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        let has_same_tags = self.has_tags == other.has_tags || self.tags() == other.tags();
        self.state == other.state && self.facts == other.facts && has_same_tags
    }
}

impl Eq for Member {}

impl Deref for Member {
    type Target = NodeFacts;

    fn deref(&self) -> &NodeFacts {
        &self.facts
    }
}

/// The tags of a member. They are kept in the form that they have on the wire, which takes far less
/// memory than a map, and are decoded each time they are read.
#[derive(Clone, Copy, Default)]
pub struct MemberTags<'a>(Option<&'a [u8]>);

impl<'a> MemberTags<'a> {
    /// Returns the value of the tag with this key; `None` if there is no such tag.
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
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

    /// Returns all tags as a map, without copying those that are valid text.
    pub(crate) fn by_key(&self) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
        self.pairs().collect()
    }

    /// The tags in the order of the meta. A key may come twice.
    fn pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        let metas = self.0.into_iter();
        metas.flat_map(|meta| TagReader::new(meta, |_| ()))
    }
}

impl PartialEq for MemberTags<'_> {
    fn eq(&self, other: &MemberTags<'_>) -> bool {
        self.0 == other.0 || self.by_key() == other.by_key()
    }
}

impl Eq for MemberTags<'_> {}

impl fmt::Debug for MemberTags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(meta: &[u8]) -> MemberTags<'_> {
        MemberTags(Some(meta))
    }

    #[test]
    fn tags_are_read_from_the_meta_and_the_last_value_of_a_key_counts() {
        let twice = tags(b"\xff\x83\xa1a\xa1b\xa1k\xa0\xa1a\xa1c");
        assert_eq!(twice.get("a").as_deref(), Some("c"));
        assert_eq!(twice.get("k").as_deref(), Some(""));
        assert_eq!(twice.get("b"), None);
        assert!(twice.contains_key("k") && !twice.contains_key("c"));
        let borrowed = twice.by_key();
        let as_text = |(key, value): (&Cow<str>, &Cow<str>)| format!("{key}={value}");
        assert_eq!(
            borrowed.iter().map(as_text).collect::<Vec<_>>(),
            ["a=c", "k="]
        );
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
