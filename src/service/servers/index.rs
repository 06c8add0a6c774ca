//! The members at one time, indexed for questions about them: which server gets a key, who has an
//! address, which tag a member has.

use super::candidate::{Candidate, Desired, Rules, is_present};
use super::rendezvous;
use crate::serf::Member;
use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The members at one time, indexed for questions about them.
#[derive(Default)]
pub struct MemberIndex {
    /// Sorted by name.
    members: Arc<Vec<Member>>,
    /// The servers that get requests, sorted by name. Each has an address of its own.
    servers: Vec<Candidate>,
    /// The members that would be servers if no other server had their addresses.
    twins: Vec<Candidate>,
    /// The addresses of the members that are present.
    addrs: HashSet<IpAddr>,
    /// The number of members that are present.
    size: usize,
}

impl MemberIndex {
    /// Indexes the members, which are sorted by name.
    pub fn new(members: Arc<Vec<Member>>, rules: &Rules) -> MemberIndex {
        let there = || members.iter().filter(|it| is_present(it));
        let (addrs, size) = (there().map(|it| it.addr.ip()).collect(), there().count());
        let mut seen = HashSet::new();
        let all = servers(&members, rules).into_iter();
        let (servers, twins) = all.partition(|it| seen.insert(it.addr.clone().ok()));
        MemberIndex {
            servers,
            twins,
            addrs,
            size,
            members,
        }
    }

    /// The number of members that are present.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The server for a key; `None` if there is no server.
    pub fn pick(&self, key: &[u8]) -> Option<&Candidate> {
        let weights = self.servers.iter().map(|it| (&*it.name, it.weight));
        let chosen = rendezvous::pick(weights, key)?;
        self.servers.get(chosen)
    }

    /// The names of the members that serve at the address of a server, its own name first: the load
    /// balancer may know the server by any of them.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn names<'a>(&'a self, server: &'a Candidate) -> impl Iterator<Item = &'a Arc<str>> {
        let twins = self.twins.iter().filter(|it| it.addr == server.addr);
        std::iter::once(&server.name).chain(twins.map(|it| &it.name))
    }

    /// Returns true if this is the address of a member that is present.
    pub fn is_member(&self, ip: IpAddr) -> bool {
        self.addrs.contains(&ip.to_canonical())
    }

    /// The addresses of the present members, each with the member's value of `tag`. Members without
    /// this tag are left out. If `tag` is `None`, each address comes with the member's name. If
    /// several of these members share an address, the first by name counts.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn by_address<'a>(
        &'a self,
        tag: Option<&'a str>,
    ) -> impl Iterator<Item = (IpAddr, Cow<'a, str>)> {
        let mut seen = HashSet::new();
        let there = self.members.iter().filter(|it| is_present(it));
        let named = there.filter_map(move |it| match tag {
            Some(key) => Some((it.addr.ip(), it.tags().get(key)?)),
            None => Some((it.addr.ip(), Cow::Borrowed(&*it.name))),
        });
        named.filter(move |(ip, _)| seen.insert(*ip))
    }

    /// The first server by name; `None` if there is no server.
    pub fn leader(&self) -> Option<&Candidate> {
        self.servers.first()
    }

    /// The value of a tag of a member; `None` if there is no such member or tag.
    pub fn tag(&self, name: &str, key: &str) -> Option<Cow<'_, str>> {
        let at = self.members.binary_search_by(|it| (*it.name).cmp(name));
        self.members[at.ok()?].tags().get(key)
    }
}

/// The servers that get requests: those that are alive. If no server is alive, the suspected ones
/// get them, because the fault may be at this node. Servers that have announced their leave get
/// requests only if there is no other one.
fn servers(members: &[Member], rules: &Rules) -> Vec<Candidate> {
    let all = members.iter().filter_map(|it| rules.candidate(it));
    let willing = |it: &Candidate| it.is_there() && it.desired == Desired::Ready && it.addr.is_ok();
    let mut servers: Vec<Candidate> = all.filter(willing).collect();
    let best = servers.iter().map(|it| it.presence).min();
    servers.retain(|it| Some(it.presence) == best);
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::MemberState;
    use crate::service::servers::fixtures::{member, rules};

    #[test]
    fn suspected_members_serve_if_no_server_is_alive() {
        let suspects = [1, 2].map(|n| member(n, MemberState::Suspect, &[]));
        let known = MemberIndex::new(Arc::new(suspects.to_vec()), &rules());
        assert!(known.pick(b"x").is_some());
        assert_eq!(known.size(), 2);
        let failed = [1, 2].map(|n| member(n, MemberState::Failed, &[]));
        let known = MemberIndex::new(Arc::new(failed.to_vec()), &rules());
        assert_eq!((known.pick(b"x"), known.size()), (None, 0));
    }

    #[test]
    fn a_member_that_leaves_is_picked_or_leader_only_if_no_other_server_is_left() {
        let with = |other: MemberState| {
            let members = [
                member(1, MemberState::Leaving, &[]),
                member(2, other, &[("zone", "b")]),
            ];
            MemberIndex::new(Arc::new(members.to_vec()), &rules())
        };
        for (other, wanted) in [
            (MemberState::Alive, "web-2"),
            (MemberState::Suspect, "web-2"),
            (MemberState::Failed, "web-1"),
            (MemberState::Left, "web-1"),
        ] {
            let known = with(other);
            for key in ["a", "b", "c", "d"] {
                assert_eq!(&*known.pick(key.as_bytes()).unwrap().name, wanted);
            }
            assert_eq!(&*known.leader().unwrap().name, wanted);
        }
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let known = with(MemberState::Alive);
        assert!(known.is_member(ip(1)), "it is a member until it has left");
        assert_eq!(known.size(), 2);
    }

    /// In two clusters that were merged, a host may be a member under two names.
    #[test]
    fn two_members_with_one_address_are_one_server_which_gets_the_share_of_one() {
        let members = [
            member(1, MemberState::Alive, &[]),
            member(2, MemberState::Alive, &[]),
            member(3, MemberState::Alive, &[("ip", "10.0.0.1")]),
        ];
        let merged = MemberIndex::new(Arc::new(members.to_vec()), &rules());
        let before = MemberIndex::new(Arc::new(members[..2].to_vec()), &rules());
        for key in 0..100 {
            let key = i32::to_string(&key);
            let [picked, alone] = [&merged, &before].map(|it| it.pick(key.as_bytes()).unwrap());
            assert_eq!((&picked.name, &picked.addr), (&alone.name, &alone.addr));
        }
        let names = |at: usize| -> Vec<&str> {
            let server = &merged.servers[at];
            merged.names(server).map(|it| &**it).collect()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["web-1", "web-3"], vec!["web-2"])
        );
    }
}
