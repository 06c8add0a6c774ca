//! A member for the tests of several files.

use crate::serf::{Member, MemberState, Tags};
use std::sync::Arc;

/// Makes a suspected member at 10.0.0.1:7946 with these tags.
pub(super) fn member(name: &str, tags: &[(&str, &str)]) -> Arc<Member> {
    let tags: Tags = tags
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Arc::new(Member {
        name: name.into(),
        addr: "10.0.0.1:7946".parse().unwrap(),
        tags: (&tags).into(),
        meta: Arc::from(&b"\xffmeta"[..]),
        state: MemberState::Suspect,
        incarnation: 9,
        protocol: [1, 5, 2],
        delegate: [2, 5, 4],
    })
}
