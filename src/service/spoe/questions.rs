//! The questions that HAProxy can ask about requests, and their answers from the members.
//!
//! | question | arguments | variables of the transaction |
//! | --- | --- | --- |
//! | `pick` | `key` | `name`, `ip`, `port` of the server for this key |
//! | `member` | `ip` | `member`: true if a present member has this address |
//! | `size` | | `size`: the number of present members, including this node |
//! | `leader` | | `leader`: the first server by name |
//! | `tag` | `name`, `key` | `tag`: the value of the tag `key` of the member `name` |
//!
//! A question that cannot be answered sets no variable.

use super::candidate::{Candidate, Desired, Rules, is_present};
use super::frame::{Message, Variable};
use super::rendezvous;
use super::session::Answers;
use super::wire::Value;
use crate::serf::Member;
use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The maximum length in bytes of a key for which a server is picked. The key is hashed once for
/// each server.
const KEY_LEN: usize = 4096;

/// The members at one time, indexed for the questions.
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
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
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

    fn picked(&self, key: &Value) -> Vec<Variable> {
        let key = match key {
            Value::Text(bytes) | Value::Binary(bytes) if bytes.len() > KEY_LEN => {
                return Vec::new();
            }
            Value::Text(bytes) | Value::Binary(bytes) => bytes.clone(),
            Value::Ip(ip) => ip.to_string().into_bytes(),
            Value::Int(number) => number.to_string().into_bytes(),
            Value::Uint(number) => number.to_string().into_bytes(),
            Value::Null | Value::Bool(_) => return Vec::new(),
        };
        let Some(server) = self.pick(&key) else {
            return Vec::new();
        };
        let Ok(addr) = &server.addr else {
            return Vec::new();
        };
        vec![
            ("name", text(&server.name)),
            ("ip", Value::Ip(addr.ip())),
            ("port", Value::Uint(addr.port().into())),
        ]
    }

    fn tag(&self, name: &str, key: &str) -> Option<Value> {
        let at = self.members.binary_search_by(|it| (*it.name).cmp(name));
        self.members[at.ok()?]
            .tags()
            .get(key)
            .map(|value| text(&value))
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

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

impl Answers for MemberIndex {
    fn answer(&self, question: &Message) -> Vec<Variable> {
        let argument = |name: &str| question.argument(name);
        let words = |name: &str| argument(name).and_then(Value::text);
        let found = match question.name.as_str() {
            "pick" => {
                return argument("key")
                    .map(|key| self.picked(key))
                    .unwrap_or_default();
            }
            "member" => match argument("ip") {
                Some(Value::Ip(ip)) => Some(("member", Value::Bool(self.is_member(*ip)))),
                Some(_) | None => None,
            },
            "size" => Some(("size", Value::Uint(self.size as u64))),
            "leader" => self.servers.first().map(|it| ("leader", text(&it.name))),
            "tag" => {
                let found = words("name").zip(words("key"));
                let value = found.and_then(|(name, key)| self.tag(name, key));
                value.map(|value| ("tag", value))
            }
            _ => None,
        };
        found.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::{MemberState, NodeFacts, encode_tags};

    fn member(n: u8, state: MemberState, tags: &[(&str, &str)]) -> Member {
        let own = [("role", "backend"), ("port", "3000")];
        let tags = own
            .iter()
            .chain(tags)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let facts = NodeFacts {
            meta: encode_tags(&tags.collect()).into(),
            ..NodeFacts::new(&format!("web-{n}"), ([10, 0, 0, n], 7946).into())
        };
        Member::with_tags(Arc::new(facts), state)
    }

    fn ask(question: &str, arguments: &[(&str, Value)]) -> Vec<Variable> {
        let members = [
            member(1, MemberState::Failed, &[]),
            member(2, MemberState::Alive, &[("zone", "b")]),
            member(3, MemberState::Alive, &[("state", "drain")]),
            member(4, MemberState::Suspect, &[]),
        ];
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        };
        let known = MemberIndex::new(Arc::new(members.to_vec()), &rules);
        let arguments = arguments.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        known.answer(&Message {
            name: question.to_owned(),
            arguments: arguments.collect(),
        })
    }

    #[test]
    fn suspected_members_serve_if_no_server_is_alive() {
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        };
        let suspects = [1, 2].map(|n| member(n, MemberState::Suspect, &[]));
        let known = MemberIndex::new(Arc::new(suspects.to_vec()), &rules);
        assert!(known.pick(b"x").is_some());
        assert_eq!(known.size(), 2);
        let failed = [1, 2].map(|n| member(n, MemberState::Failed, &[]));
        let known = MemberIndex::new(Arc::new(failed.to_vec()), &rules);
        assert_eq!((known.pick(b"x"), known.size()), (None, 0));
    }

    #[test]
    fn a_member_that_leaves_is_picked_or_leader_only_if_no_other_server_is_left() {
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        };
        let with = |other: MemberState| {
            let members = [
                member(1, MemberState::Leaving, &[]),
                member(2, other, &[("zone", "b")]),
            ];
            MemberIndex::new(Arc::new(members.to_vec()), &rules)
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
            let leader = Message {
                name: "leader".to_owned(),
                arguments: Vec::new(),
            };
            assert_eq!(known.answer(&leader), [("leader", text(wanted))]);
        }
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let known = with(MemberState::Alive);
        assert!(known.is_member(ip(1)), "it is a member until it has left");
        assert_eq!(known.size(), 2);
    }

    /// In two clusters that were merged, a host may be a member under two names.
    #[test]
    fn two_members_with_one_address_are_one_server_which_gets_the_share_of_one() {
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        };
        let ip = |n: u8| Value::Ip(IpAddr::from([10, 0, 0, n]));
        let members = [
            member(1, MemberState::Alive, &[]),
            member(2, MemberState::Alive, &[]),
            member(3, MemberState::Alive, &[("ip", "10.0.0.1")]),
        ];
        let merged = MemberIndex::new(Arc::new(members.to_vec()), &rules);
        let before = MemberIndex::new(Arc::new(members[..2].to_vec()), &rules);
        for key in 0..100 {
            let picked = merged.picked(&Value::Int(key));
            assert_eq!(picked, before.picked(&Value::Int(key)));
            assert!(picked.contains(&("ip", ip(1))) || picked.contains(&("ip", ip(2))));
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

    #[test]
    fn each_question_has_its_answer() {
        let ip = |text: &str| Value::Ip(text.parse().unwrap());
        let server = vec![
            ("name", text("web-2")),
            ("ip", ip("10.0.0.2")),
            ("port", Value::Uint(3000)),
        ];
        assert_eq!(ask("pick", &[("key", text("x"))]), server);
        assert_eq!(ask("pick", &[("key", ip("1.2.3.4"))]), server);
        let is_member = |text| ask("member", &[("ip", ip(text))]);
        assert_eq!(is_member("10.0.0.4"), [("member", Value::Bool(true))]);
        assert_eq!(is_member("10.0.0.1"), [("member", Value::Bool(false))]);
        assert_eq!(ask("size", &[]), [("size", Value::Uint(3))]);
        assert_eq!(ask("leader", &[]), [("leader", text("web-2"))]);
        let tag = |name, key| ask("tag", &[("name", text(name)), ("key", text(key))]);
        assert_eq!(tag("web-2", "zone"), [("tag", text("b"))]);
        for nothing in [
            tag("web-9", "zone"),
            tag("web-2", "x"),
            ask("what", &[]),
            ask("pick", &[]),
        ] {
            assert_eq!(nothing, []);
        }
        assert_eq!(ask("member", &[("ip", text("10.0.0.4"))]), []);
    }
}
