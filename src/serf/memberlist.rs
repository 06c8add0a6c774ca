//! Messages, states and name conflicts in memberlist mode, as events for the application.
//!
//! Programs built on memberlist send each other messages and merge their states. The bytes mean
//! nothing to this node: it hands each message and each state to the application, and passes
//! nothing on. A message does not name its sender, so an event has the address from which the
//! message came, and the name of the member there.
//!
//! The application sets its own state before a push/pull needs it, so a slow application does not
//! delay the protocol.

use super::shared::outbox::Outbox;
use crate::event::EventBody;
use crate::swim::Swim;
use crate::time::Time;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of name conflicts that are remembered. A conflict that is forgotten early is
/// reported again early.
const CONFLICTS: usize = 64;
/// The time for which a name conflict is not reported again.
const REPEAT: Duration = Duration::from_secs(60);

/// The sender of the input that is being handled.
#[derive(Clone, Debug)]
pub(super) struct InputSender {
    /// The name of the member at the address; empty if no member is there, or if several are.
    name: String,
    addr: SocketAddr,
}

impl InputSender {
    /// Returns the sender of the input that the SWIM machine is handling.
    pub fn of_input(swim: &Swim) -> InputSender {
        let Some(source) = swim.source() else {
            let addr = (Ipv4Addr::UNSPECIFIED, 0).into();
            let name = String::new();
            return InputSender { name, addr };
        };
        let mut names = swim.nodes_at(&source);
        let only = names.next().filter(|_| names.next().is_none());
        InputSender {
            name: only.map(ToString::to_string).unwrap_or_default(),
            addr: source.addr,
        }
    }
}

/// A claim that a member is at another address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    pub name: Arc<str>,
    /// The address at which the member is known.
    pub known: SocketAddr,
    /// The address that the claim names.
    pub claimed: SocketAddr,
}

/// The state of the application, and the name conflicts that were reported recently.
#[derive(Debug, Default)]
pub(super) struct Memberlist {
    /// The state that every push/pull carries.
    pub local_state: Arc<[u8]>,
    conflicts: VecDeque<(Time, Claim)>,
}

impl Memberlist {
    /// A message of another application arrived.
    pub fn on_message(&self, out: &mut Outbox, sender: InputSender, payload: Arc<[u8]>) {
        out.counts.messages_received += 1;
        let InputSender { name: from, addr } = sender;
        out.tell(EventBody::Message {
            from,
            addr,
            payload,
        });
    }

    /// A push/pull brought the state of another application. `join` is true if one side joins.
    pub fn on_state(&self, out: &mut Outbox, sender: InputSender, join: bool, payload: Arc<[u8]>) {
        out.counts.states_received += 1;
        let InputSender { name: from, addr } = sender;
        out.tell(EventBody::RemoteState {
            from,
            addr,
            join,
            payload,
        });
    }

    /// Two nodes claim one name, which is not that of this node. Members repeat a claim again and
    /// again, so the application is told once within [`REPEAT`].
    pub fn on_conflict(&mut self, now: Time, out: &mut Outbox, claim: Claim) {
        self.conflicts.retain(|(at, _)| now.since(*at) < REPEAT);
        if self.conflicts.iter().any(|(_, known)| *known == claim) {
            return;
        }
        self.conflicts.truncate(CONFLICTS - 1);
        out.tell(EventBody::MemberConflict {
            name: claim.name.to_string(),
            known: claim.known,
            claimed: claim.claimed,
        });
        self.conflicts.push_front((now, claim));
    }

    /// Moves the times of conflicts forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        for (at, _) in &mut self.conflicts {
            *at = *at + by;
        }
    }
}
