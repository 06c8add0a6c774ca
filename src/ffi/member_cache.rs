//! The newest list of members of a node, as records for C.
//!
//! A list holds counted references to records. A node keeps its newest list, and the next list
//! takes over the records of unchanged members, so only new and changed members need new records.

use super::record::MemberRecord;
use crate::serf::Member;
use std::sync::Arc;

/// The members at one moment, sorted by name.
pub(super) type List = Arc<[Arc<MemberRecord>]>;

/// The newest list of a node, sorted by name.
#[derive(Default)]
pub(super) struct MemberCache {
    version: u64,
    list: Option<List>,
}

impl MemberCache {
    /// Returns the list at `version`. `members` is called only if no list of this version is kept.
    pub(super) fn list(
        &mut self,
        version: u64,
        members: impl FnOnce() -> Arc<Vec<Member>>,
    ) -> List {
        match &self.list {
            Some(list) if self.version == version => list.clone(),
            Some(_) | None => {
                let list = renew(self.list.as_deref().unwrap_or_default(), &members());
                self.version = version;
                self.list = Some(list.clone());
                list
            }
        }
    }
}

/// Returns the records of `members`, taken from `old` for unchanged members. Both lists are sorted
/// by name.
fn renew(old: &[Arc<MemberRecord>], members: &[Member]) -> List {
    let mut old = old.iter().peekable();
    let mut record = |member: &Member| {
        while old
            .next_if(|record| record.source.name < member.name)
            .is_some()
        {}
        match old.next_if(|record| record.source == *member) {
            Some(record) => record.clone(),
            None => Arc::new(MemberRecord::new(member)),
        }
    };
    members.iter().map(&mut record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::tests::member;

    #[test]
    fn a_list_is_shared_until_the_version_changes() {
        let mut cache = MemberCache::default();
        let first = cache.list(1, || vec![member("a", &[])].into());
        let again = cache.list(1, || panic!("the kept list must be used"));
        assert!(Arc::ptr_eq(&first, &again));
        let next = cache.list(2, Arc::default);
        assert_eq!((first.len(), next.len()), (1, 0));
    }

    #[test]
    fn a_new_list_takes_over_what_has_not_changed() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| member(name, &[]));
        let old = renew(&[], &[a.clone(), b.clone(), d.clone()]);
        let changed = member("b", &[("role", "db")]);
        let new = renew(&old, &[a, changed, c, d]);
        let names: Vec<&str> = new.iter().map(|record| &*record.source.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(Arc::ptr_eq(&old[0], &new[0]));
        assert_eq!(new[1].tag(b"role"), Some(c"db"));
        assert!(Arc::ptr_eq(&old[2], &new[3]));
    }
}
