//! What HAProxy can ask about requests, and the answers from the members as they are now.
//!
//! | question | arguments | variables of the transaction |
//! | --- | --- | --- |
//! | `pick` | `key` | `name`, `ip`, `port` of the server for this key |
//! | `member` | `ip` | `member`: does a member listen at this address? |
//! | `size` | | `size`: members that are there, this one included |
//! | `leader` | | `leader`: the first server by name |
//! | `tag` | `name`, `key` | `tag`: this tag of this member |
//!
//! What cannot be answered sets nothing.

use crate::candidate::{Candidate, Presence, Rules, Wish, is_present};
use crate::rendezvous;
use crate::spop::frame::{Message, Variable};
use crate::spop::talk::Answers;
use crate::spop::wire::Value;
use sprat::Member;
use std::net::IpAddr;
use std::sync::Arc;

/// The members, and which of them are servers.
pub struct Known<'a> {
    /// As last seen.
    pub members: &'a [Arc<Member>],
    /// Who serves.
    pub rules: &'a Rules,
}

impl Known<'_> {
    /// The servers that get requests, sorted by name.
    fn servers(&self) -> impl Iterator<Item = Candidate> {
        let all = self
            .members
            .iter()
            .filter_map(|it| self.rules.candidate(it));
        all.filter(|it| it.presence == Presence::Alive && it.wish == Wish::Serve && it.addr.is_ok())
    }

    /// The server for a key.
    pub fn pick(&self, key: &[u8]) -> Option<Candidate> {
        let mut servers: Vec<Candidate> = self.servers().collect();
        let weights = servers.iter().map(|it| (&*it.name, it.weight));
        let chosen = rendezvous::pick(weights, key)?;
        Some(servers.swap_remove(chosen))
    }

    /// Whether a member that is there listens at this address.
    pub fn is_member(&self, ip: IpAddr) -> bool {
        self.members
            .iter()
            .any(|it| is_present(it) && it.addr.ip() == ip)
    }

    fn picked(&self, key: &Value) -> Vec<Variable> {
        let key = match key {
            Value::Text(bytes) | Value::Binary(bytes) => bytes.clone(),
            Value::Ip(ip) => ip.to_string().into_bytes(),
            Value::Int(number) => number.to_string().into_bytes(),
            Value::Uint(number) => number.to_string().into_bytes(),
            Value::Null | Value::Bool(_) => return Vec::new(),
        };
        let Some(server) = self.pick(&key) else {
            return Vec::new();
        };
        let Ok(addr) = server.addr else {
            return Vec::new();
        };
        vec![
            ("name", text(&server.name)),
            ("ip", Value::Ip(addr.ip())),
            ("port", Value::Uint(addr.port().into())),
        ]
    }

    fn tag(&self, name: &str, key: &str) -> Option<Value> {
        let member = self.members.iter().find(|it| *it.name == *name)?;
        member.tags.get(key).map(|value| text(value))
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

impl Answers for Known<'_> {
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
            "size" => {
                let size = self.members.iter().filter(|it| is_present(it)).count();
                Some(("size", Value::Uint(size as u64)))
            }
            "leader" => self.servers().next().map(|it| ("leader", text(&it.name))),
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
    use sprat::MemberState;

    fn member(n: u8, state: MemberState, tags: &[(&str, &str)]) -> Arc<Member> {
        let own = [("role", "backend"), ("port", "3000")];
        let tags = own
            .iter()
            .chain(tags)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Arc::new(Member {
            name: format!("web-{n}").into(),
            addr: ([10, 0, 0, n], 7946).into(),
            tags: Arc::new(tags.collect()),
            meta: Arc::new([]),
            state,
            incarnation: 1,
            protocol: [1, 5, 2],
            delegate: [2, 5, 5],
        })
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
            port: None,
            loopback: false,
        };
        let known = Known {
            members: &members,
            rules: &rules,
        };
        let arguments = arguments.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        known.answer(&Message {
            name: question.to_owned(),
            arguments: arguments.collect(),
        })
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
