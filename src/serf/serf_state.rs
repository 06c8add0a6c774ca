//! Everything the Serf layer holds, apart from the SWIM machine below it.
//!
//! [`SerfState`] takes news from below and commands from above, and leaves two queues behind: orders
//! for the SWIM machine and events for the application. It never calls the SWIM machine itself;
//! [`super::Core`] carries the orders out. So all of Serf's rules can be tried without a network.
//! Its methods are spread over the files of this folder, one idea each.

use super::clock::Clock;
use super::conflict::Conflicts;
use super::intent::Buffer;
use super::leave::Leave;
use super::members::{Entry, Members};
use super::query::SeenQuery;
use super::reap::Reaper;
use super::ring::Ring;
use super::stats::Counts;
use super::user_event::SeenEvent;
use super::{Config, CoreEvent, MemberState, Mode, Tags};
use crate::event::EventBody;
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::serf_message::SerfMessage;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Queues for broadcasts, in the order in which packets are filled from them.
pub(super) mod lane {
    pub const INTENTS: usize = 0;
    pub const QUERIES: usize = 1;
    pub const EVENTS: usize = 2;
}

/// Something the SWIM machine has to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    Broadcast {
        lane: usize,
        bytes: Vec<u8>,
        token: Option<u64>,
    },
    SendUser {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    RememberLost {
        name: Arc<str>,
        addr: SocketAddr,
    },
    ForgetLost {
        name: Arc<str>,
    },
    Leave,
    /// The same, and tell nobody.
    LeaveSilently,
    Refuse(Refusal),
}

/// The state of the Serf layer.
pub(super) struct SerfState {
    pub config: Config,
    pub name: Arc<str>,
    pub tags: Tags,
    pub members: Members,
    pub member_clock: Clock,
    pub event_clock: Clock,
    pub query_clock: Clock,
    pub intents: Buffer,
    pub seen_events: Ring<SeenEvent>,
    pub seen_queries: Ring<SeenQuery>,
    pub leave: Leave,
    pub reaper: Reaper,
    pub conflicts: Conflicts,
    pub counts: Counts,
    pub orders: VecDeque<Order>,
    pub events: VecDeque<CoreEvent>,
}

impl SerfState {
    pub fn new(config: Config, name: Arc<str>, now: Time) -> SerfState {
        SerfState {
            tags: config.tags.clone(),
            members: Members::default(),
            member_clock: Clock::new(),
            event_clock: Clock::new(),
            query_clock: Clock::new(),
            intents: Buffer::default(),
            seen_events: Ring::new(),
            seen_queries: Ring::new(),
            leave: Leave::default(),
            reaper: Reaper::new(now + config.reap_interval),
            conflicts: Conflicts::default(),
            counts: Counts::default(),
            orders: VecDeque::new(),
            events: VecDeque::new(),
            config,
            name,
        }
    }

    pub fn is_serf(&self) -> bool {
        match self.config.mode {
            Mode::Serf => true,
            Mode::Memberlist => false,
        }
    }

    pub fn is_self(&self, name: &str) -> bool {
        *self.name == *name
    }

    pub fn refuse(&mut self, why: Refusal) {
        self.orders.push_back(Order::Refuse(why));
    }

    pub fn broadcast(&mut self, lane: usize, message: &SerfMessage<'_>, token: Option<u64>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.orders
            .push_back(Order::Broadcast { lane, bytes, token });
    }

    /// Whether anybody but this node is there to be told something.
    pub fn has_company(&self) -> bool {
        let mut present = self
            .members
            .iter()
            .filter(|entry| entry.status.is_present());
        present.any(|entry| !self.is_self(&entry.member.name))
    }

    /// Changes a member, and tells the application if that begins or ends a visible suspicion.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.members.change(name, change) else {
            return;
        };
        if entry.hidden {
            return;
        }
        let member = entry.member.clone();
        match (member.state, entry.suspicion_told) {
            (MemberState::Suspect, false) => {
                entry.suspicion_told = true;
                self.events
                    .push_back(CoreEvent::App(EventBody::MemberSuspect(member)));
            }
            (MemberState::Alive, true) => {
                entry.suspicion_told = false;
                self.events
                    .push_back(CoreEvent::App(EventBody::MemberAlive(member)));
            }
            (MemberState::Failed | MemberState::Left, _) => entry.suspicion_told = false,
            (MemberState::Suspect, true)
            | (MemberState::Alive, false)
            | (MemberState::Leaving, _) => {}
        }
    }

    /// Queues an event about a member, unless it is hidden.
    pub fn tell(&mut self, name: &str, event: impl FnOnce(Arc<super::Member>) -> EventBody) {
        if let Some(entry) = self.members.get(name).filter(|entry| !entry.hidden) {
            self.events
                .push_back(CoreEvent::App(event(entry.member.clone())));
        }
    }

    /// When [`SerfState::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Time {
        self.leave
            .deadline()
            .map_or(self.reaper.next, |leave| leave.min(self.reaper.next))
    }

    pub fn handle_timeout(&mut self, now: Time) {
        self.advance_leave(now);
        self.reap(now);
    }

    /// This process did not run for a while: nobody's time has passed meanwhile.
    pub fn handle_stall(&mut self, stalled: Duration) {
        self.leave.postpone(stalled);
        self.members.postpone(stalled);
        self.intents.postpone(stalled);
        self.reaper.postpone(stalled);
        self.conflicts.postpone(stalled);
    }
}
