//! HAProxy's SPOE (protocol SPOP 2.0): answers to questions about requests.
//!
//! | file | contents |
//! | --- | --- |
//! | [`wire`] | numbers, texts and typed values as bytes |
//! | [`frame`] | the frames of HAProxy and of this side |
//! | [`session`] | one connection as a state machine |
//! | [`questions`] | the questions, answered from the members |
//!
//! A frame that cannot be read ends its connection with the status that the specification defines
//! for this fault. Other connections are not affected.

pub mod frame;
pub mod questions;
pub mod session;
pub mod wire;

use self::session::Session;
use super::servers::candidate::Rules;
use super::servers::index::MemberIndex;
use super::{Actions, CounterNames, Members, NodeReader, Service};
use std::net::SocketAddr;

/// The counters of SPOE.
pub const COUNTERS: CounterNames = [
    (
        "spoe_connections",
        "Connections of HAProxy's SPOE that are open now.",
    ),
    (
        "spoe_questions",
        "Questions of HAProxy that were answered, with or without a value.",
    ),
    (
        "spoe_refused",
        "Connections of SPOE that broke the protocol, exceeded a limit, or were dropped for newer \
         ones.",
    ),
    (
        "spoe_accept_failures",
        "Failures to accept a connection of SPOE, because descriptors or memory ran out.",
    ),
];

/// The service that answers HAProxy.
pub struct Spoe {
    rules: Rules,
    known: MemberIndex,
}

impl Spoe {
    /// A service that knows no members yet. The members that `rules` accepts are servers.
    pub fn new(rules: Rules) -> Spoe {
        Spoe {
            rules,
            known: MemberIndex::default(),
        }
    }
}

impl Service for Spoe {
    type Session = Session;

    fn keeps_members_while_isolated(&self) -> bool {
        true
    }

    fn on_members(&mut self, members: Members) {
        self.known = MemberIndex::new(members, &self.rules);
    }

    fn open(&mut self, _: SocketAddr) -> Session {
        Session::default()
    }

    fn on_bytes(
        &mut self,
        session: &mut Session,
        input: &[u8],
        _: &mut dyn NodeReader,
        actions: &mut Actions,
    ) -> usize {
        session.read(input, &self.known, actions)
    }
}
