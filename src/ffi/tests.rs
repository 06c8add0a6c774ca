//! A member for the tests of several files.

use crate::serf::{Member, MemberState, NodeFacts, Tags, encode_tags};
use std::sync::Arc;

/// Makes a suspected member at 10.0.0.1:7946 with these tags.
pub(super) fn member(name: &str, tags: &[(&str, &str)]) -> Member {
    let tags: Tags = tags
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let facts = NodeFacts {
        meta: encode_tags(&tags).into(),
        vsn: [1, 5, 2, 2, 5, 4],
        incarnation: 9,
        ..NodeFacts::new(name, "10.0.0.1:7946".parse().unwrap())
    };
    Member::with_tags(Arc::new(facts), MemberState::Suspect)
}
