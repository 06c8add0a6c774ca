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

use super::frame::{Message, Variable};
use super::session::Answers;
use super::wire::Value;
use crate::service::servers::index::MemberIndex;

/// The maximum length in bytes of a key for which a server is picked. The key is hashed once for
/// each server.
const KEY_LEN: usize = 4096;

/// The variables that name the server for a key; none if there is no such server.
fn picked(index: &MemberIndex, key: &Value) -> Vec<Variable> {
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
    let Some(server) = index.pick(&key) else {
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
                    .map(|key| picked(self, key))
                    .unwrap_or_default();
            }
            "member" => match argument("ip") {
                Some(Value::Ip(ip)) => Some(("member", Value::Bool(self.is_member(*ip)))),
                Some(_) | None => None,
            },
            "size" => Some(("size", Value::Uint(self.size() as u64))),
            "leader" => self.leader().map(|it| ("leader", text(&it.name))),
            "tag" => {
                let found = words("name").zip(words("key"));
                let value = found.and_then(|(name, key)| self.tag(name, key));
                value.map(|value| ("tag", text(&value)))
            }
            _ => None,
        };
        found.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::MemberState;
    use crate::service::servers::fixtures::{member, rules};
    use std::sync::Arc;

    fn ask(question: &str, arguments: &[(&str, Value)]) -> Vec<Variable> {
        let members = [
            member(1, MemberState::Failed, &[]),
            member(2, MemberState::Alive, &[("zone", "b")]),
            member(3, MemberState::Alive, &[("state", "drain")]),
            member(4, MemberState::Suspect, &[]),
        ];
        let known = MemberIndex::new(Arc::new(members.to_vec()), &rules());
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
