//! Members as servers of a load balancer: which members can be servers, and which one gets a key.
//!
//! Every way in which HAProxy learns about the members uses these rules: SPOE, the module that
//! HAProxy loads, and `sprat-hap`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`candidate`] | the rules for servers, and a member as a server |
//! | [`index`] | the members at one time, indexed for questions about them |
//! | `rendezvous` | the choice of a member for a key |

pub mod candidate;
pub mod index;
mod rendezvous;

/// Members and rules for the tests of this layer.
#[cfg(test)]
pub(in crate::service) mod fixtures {
    use super::candidate::Rules;
    use crate::serf::{Member, MemberState, NodeFacts, encode_tags};
    use std::sync::Arc;

    /// A member `web-N` at 10.0.0.N that serves at port 3000, with some further tags.
    pub fn member(n: u8, state: MemberState, tags: &[(&str, &str)]) -> Member {
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

    /// Rules that accept these members.
    pub fn rules() -> Rules {
        Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            ..Rules::default()
        }
    }
}
