//! The Serf state: the one place where its parts are wired together.
//!
//! Each part is a type in its own file; it owns its state and works on [`Common`]. The results of
//! one part reach the others through the methods here. An input is a report of the SWIM machine, a
//! message, or a command; the results are in the outbox of [`Common`], from which [`super::Core`]
//! takes them.

use super::coalesce::Coalescer;
use super::coordinates::Coordinates;
use super::keys::query::KeyQuery;
use super::memberlist::Memberlist;
use super::membership::changes::Changes;
use super::membership::conflict::Conflicts;
use super::membership::intent::Intents;
use super::membership::leave::Leave;
use super::membership::reap::Reaper;
use super::push_pull::{self, ClockTimes};
use super::queries::asked::Asked;
use super::queries::asked_query::Purpose;
use super::queries::own_keys::{Caller, Keys};
use super::queries::query::Queries;
use super::queries::relays::Relays;
use super::queries::request::{Content, Request, Sender};
use super::shared::asker::Asker;
use super::shared::common::Common;
use super::shared::members::SerfStatus;
use super::shared::outbox::{Order, lane};
use super::user_events::replay::Replay;
use super::user_events::user_event::UserEvents;
use super::{CommandError, Config, QueryOptions, Tags};
use crate::event::EventBody;
use crate::limits;
use crate::swim::{Change, NameConflict, Node, OpId};
use crate::time::Time;
use crate::wire::serf_message::{LeaveIntent, SerfMessage, SerfPushPull};
use crate::wire::{Keyring, Names, Refusal};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The state that Serf adds to that of the SWIM machine.
pub(super) struct SerfState {
    pub common: Common,
    /// The tags of this node.
    pub tags: Tags,
    pub intents: Intents,
    pub events: UserEvents,
    pub queries: Queries,
    pub asked: Asked,
    pub keys: Keys,
    pub replay: Replay,
    pub relays: Relays,
    pub leave: Leave,
    pub reaper: Reaper,
    pub conflicts: Conflicts,
    pub coordinates: Coordinates,
    pub coalescer: Coalescer,
    pub memberlist: Memberlist,
    /// The conflict about this node's name that the SWIM machine knows of.
    pub name_conflict: Option<NameConflict>,
    /// True if the name of this node was disputed after the last input: see `own_name.rs`.
    pub was_disputed: bool,
}

impl SerfState {
    pub fn new(mut config: Config, name: Arc<str>, now: Time) -> SerfState {
        let past = config.past.take();
        let mut state = SerfState {
            tags: config.tags.clone(),
            intents: Intents::new(),
            events: UserEvents::new(),
            queries: Queries::new(),
            asked: Asked::default(),
            keys: Keys::default(),
            replay: Replay::default(),
            relays: Relays::new(),
            leave: Leave::default(),
            reaper: Reaper {
                next: now + config.reap_interval,
            },
            conflicts: Conflicts::default(),
            name_conflict: None,
            was_disputed: false,
            coordinates: Coordinates::default(),
            coalescer: Coalescer::new(config.coalesce_members, config.coalesce_events),
            memberlist: Memberlist::default(),
            common: Common::new(config, name),
        };
        state.coordinates.start(&mut state.common);
        if let Some(past) = past {
            state.resume(now, past);
        }
        state
    }

    /// Returns the time at which [`SerfState::handle_timeout`] has to be called.
    pub fn deadline(&self) -> Time {
        let deadlines = [
            self.leave.deadline(),
            self.asked.deadline(),
            self.queries.early.deadline(),
            self.events.order.deadline(),
            self.coalescer.deadline(),
        ];
        deadlines
            .into_iter()
            .flatten()
            .fold(self.reaper.next, Time::min)
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.leave.handle_timeout(now, &mut self.common);
        self.asked.handle_timeout(now, &mut self.common);
        let early = &mut self.queries.early;
        early.handle_timeout(now, &mut self.common);
        self.coalescer.handle_timeout(now);
        let order = &mut self.events.order;
        order.handle_timeout(now, &mut self.common.out);
        self.reaper
            .reap(now, &mut self.common, &mut self.intents.early);
    }

    /// Moves the stored times of the leave, this node's queries, early queries, held user events,
    /// members, intents and claims into the future: the time of a stall of this process must not
    /// count as time in which other nodes were silent.
    pub fn handle_stall(&mut self, stalled: Duration) {
        self.leave.postpone(stalled);
        self.asked.postpone(stalled);
        self.queries.early.postpone(stalled);
        self.events.order.postpone(stalled);
        self.common.postpone(stalled);
        self.intents.early.postpone(stalled);
        self.conflicts.postpone(stalled);
        self.memberlist.postpone(stalled);
    }

    // Reports of the SWIM machine.

    /// A member changed. `node` is what the SWIM machine holds now, if it still holds the member.
    pub fn member_changed(
        &mut self,
        now: Time,
        change: Change,
        name: &Arc<str>,
        node: Option<&Node>,
    ) {
        self.changes(now).apply(change, name, node);
        if change != Change::Joined {
            self.stop_waiting_if_gone(name);
        }
        let is_news = change == Change::Joined && !self.common.is_self(name);
        if is_news && self.leave.is_under_way() {
            self.tell_of_leave(name);
        }
        if !self.is_name_taken() {
            self.queries.take_up_known(now, &mut self.common);
        }
    }

    /// Ends the wait of this node's queries for a member that has failed, left or been erased.
    fn stop_waiting_if_gone(&mut self, name: &str) {
        let status = self.common.members.get(name).map(|row| row.status);
        if status.is_none_or(|status| !status.is_present()) {
            let has_failed = status == Some(SerfStatus::Failed);
            self.asked.on_gone(&mut self.common.out, name, has_failed);
        }
    }

    /// Announces this node's leave to the member `name`, which joined or returned during the leave.
    fn tell_of_leave(&mut self, name: &Arc<str>) {
        if self.common.is_serf() {
            self.intents.tell_of_leave(&mut self.common, name);
        } else {
            let (name, intent) = (name.clone(), None);
            self.common.out.order(Order::TellOfLeave { name, intent });
        }
    }

    /// Returns true if a member has left and is not returning.
    pub fn has_left(&self, node: &str) -> bool {
        let row = self.common.members.get(node);
        row.is_some_and(|row| row.status == SerfStatus::Left && !row.returning)
    }

    /// Returns the leave intent of a member that has left, encoded; `None` in memberlist mode, or
    /// if the member is not listed.
    pub fn leave_intent(&self, node: &str) -> Option<Vec<u8>> {
        let ltime = self.common.members.get(node)?.ltime;
        let prune = false;
        let intent = SerfMessage::Leave(LeaveIntent { ltime, node, prune });
        self.common.is_serf().then(|| intent.encoded())
    }

    /// Brings this node's own row up to date.
    pub fn refresh_self(&mut self, now: Time, node: &Node) {
        self.changes(now).refresh_self(node);
    }

    fn changes(&mut self, now: Time) -> Changes<'_> {
        Changes {
            now,
            common: &mut self.common,
            early: &mut self.intents.early,
        }
    }

    /// A broadcast has been sent often enough.
    pub fn broadcast_done(&mut self, now: Time, token: u64) {
        self.leave.on_broadcast_done(now, &mut self.common, token);
    }

    /// The departure of this node has been gossiped often enough.
    pub fn departure_gossiped(&mut self, now: Time) {
        self.leave.on_departure_gossiped(now, &mut self.common);
    }

    /// Every member that was told has acknowledged the current step of the leave, or was given up.
    pub fn leave_acked(&mut self, now: Time) {
        self.leave.on_acked(now, &mut self.common);
    }

    /// The announcements of the leave have ended. `unacked` are the live members that have not
    /// acknowledged them.
    pub fn leave_ended(&mut self, unacked: Vec<Arc<str>>) {
        self.leave.on_ended(&mut self.common, unacked);
    }

    /// Reports the answer to a ping to an application that wants to know.
    pub fn tell_ping_ack(&mut self, name: &str, rtt: Duration, payload: &[u8]) {
        if self.common.config.ping_acks {
            self.common.tell(name, |member| EventBody::PingAck {
                from: member.name.to_string(),
                rtt,
                payload: payload.into(),
            });
        }
    }

    // Messages.

    /// A message of Serf arrived, type byte first.
    pub fn message_received(&mut self, now: Time, bytes: &[u8]) {
        if bytes.len() > limits::SERF_MESSAGE_LEN {
            return self.common.out.refuse(Refusal::TooLarge);
        }
        let names = Names::default();
        match SerfMessage::decode_in(bytes, &names) {
            Ok(message) => {
                if let Some(lane) = self.handle(now, &message) {
                    self.common.out.pass_on(lane, bytes);
                }
            }
            Err(why) => self.common.out.refuse(why),
        }
    }

    /// Handles one message. Returns the lane in which this node should pass it on, if it should.
    fn handle(&mut self, now: Time, message: &SerfMessage<'_>) -> Option<usize> {
        let silent = self.leave.is_under_way_or_done() || self.is_name_disputed(now);
        let is_name_taken = self.is_name_taken();
        let common = &mut self.common;
        let (is_new, lane) = match message {
            SerfMessage::Leave(intent) => {
                let is_new = self.intents.on_leave(now, common, intent, silent);
                (is_new, lane::INTENTS)
            }
            SerfMessage::Join(intent) => (self.intents.on_join(now, common, intent), lane::INTENTS),
            SerfMessage::UserEvent(event) => {
                (self.events.on_event(now, common, event), lane::EVENTS)
            }
            SerfMessage::Query(query) => {
                let is_new = self.queries.on_query(now, common, query, is_name_taken);
                (is_new, lane::QUERIES)
            }
            SerfMessage::QueryResponse(response) => {
                self.asked.on_response(common, response);
                return None;
            }
            SerfMessage::Relay(relay) => {
                self.relays.forward(now, common, relay);
                return None;
            }
        };
        is_new.then_some(lane)
    }

    /// Encodes this node's state for the other side of a push/pull. If `shows_nothing` is true, the
    /// state has no content: the other node would otherwise take over user events of this cluster.
    /// In memberlist mode it is the state of the application, or else empty.
    pub fn encode_state(&self, shows_nothing: bool) -> Cow<'_, [u8]> {
        match (self.common.is_serf(), shows_nothing) {
            (true, true) => return push_pull::encode_nothing().into(),
            (true, false) => {}
            (false, true) => return (&[]).into(),
            (false, false) => return (&*self.memberlist.local_state).into(),
        }
        let times = ClockTimes {
            member: self.intents.clock.time(),
            event: self.events.seen.clock.time(),
            query: self.queries.seen.clock.time(),
        };
        push_pull::encode(&times, &self.common.members, &self.events.seen.ring).into()
    }

    /// The state of the other side of a push/pull arrived. `join` is true if one side joins.
    pub fn state_received(&mut self, now: Time, join: bool, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let names = Names::default();
        let state = match SerfPushPull::decode_in(bytes, &names) {
            Ok(state) => state,
            Err(why) => return self.common.out.refuse(why),
        };
        for why in names.take_left_out() {
            self.common.out.refuse(why);
        }
        if self.replay.is_joining(join) && !self.common.config.replay_events {
            self.events.seen.ignore_before(state.event_ltime);
        }
        // A push/pull carries the next time that each clock will use, so the latest time in use is
        // one less.
        let [intent, event, query] =
            [state.ltime, state.event_ltime, state.query_ltime].map(|next| next.saturating_sub(1));
        self.witness(intent, event, query);
        let own = self.common.name.clone();
        for message in push_pull::messages(&state, &self.common.members, &own) {
            self.handle(now, &message);
        }
        self.events
            .nothing_missing_before(&mut self.common.out, state.event_ltime);
    }

    // Commands.

    /// The application has begun to join.
    pub fn join_begun(&mut self, op: OpId) {
        self.replay.join_begun(op);
    }

    /// Sends a query to the members that `options` select. `purpose` says who gets the answers.
    ///
    /// # Errors
    /// `ReservedName`, `TooManyQueries`, `BadExpression`, `EventTooLarge`.
    pub fn ask(
        &mut self,
        now: Time,
        purpose: Purpose,
        content: Content<'_>,
        options: &QueryOptions,
        sender: Sender,
    ) -> Result<(), CommandError> {
        if !self.asked.may_ask() {
            return Err(CommandError::TooManyQueries);
        }
        let ltime = self.queries.seen.clock.time();
        let request = Request::new(&self.common, ltime, content, options, sender)?;
        let query = request.to_be_answered(&self.common, purpose, now);
        self.asked.add(ltime, query);
        self.common.out.counts.queries_sent += 1;
        let message = request.message();
        self.handle(now, &message);
        self.common.out.broadcast(lane::QUERIES, &message, None);
        self.asked.end_complete(&mut self.common.out);
        Ok(())
    }

    /// A query about the keys of this node arrived. `keyring` is `None` if this node does not
    /// encrypt.
    pub fn keys_asked(&mut self, keyring: Option<&mut Keyring>, asker: Asker, query: KeyQuery) {
        let caller = Caller::Member(asker);
        self.keys.manage(&mut self.common, keyring, caller, query);
    }

    /// Begins to leave. If a leave is under way already, the command ends together with it.
    pub fn begin_leave(&mut self, now: Time) -> OpId {
        let disputed = self.is_name_disputed(now);
        let begun = self.leave.begin(now, &mut self.common, disputed);
        if begun.announce.is_some() {
            let name = self.common.name.clone();
            self.announce_leave(now, &name, false, begun.announce);
        }
        self.conflicts.name_given_up();
        if let Some(snapshot) = &mut self.common.snapshot {
            snapshot.on_leave(now);
        }
        begun.op
    }

    /// Announces that a member that failed or left is removed. If `prune` is true, every node
    /// erases it.
    pub fn remove_failed(&mut self, now: Time, name: &str, prune: bool) {
        self.announce_leave(now, name, prune, None);
    }

    fn announce_leave(&mut self, now: Time, name: &str, prune: bool, token: Option<u64>) {
        let leaving = self.leave.is_under_way_or_done();
        self.intents
            .announce_leave(now, &mut self.common, name, prune, token, leaving);
    }

    /// Cancels a leave, because the application joins. Returns false if no leave is under way or
    /// done.
    pub fn cancel_leave(&mut self, now: Time) -> bool {
        if !self.leave.is_under_way_or_done() {
            return false;
        }
        self.leave.cancel(&mut self.common);
        if let Some(snapshot) = &mut self.common.snapshot {
            snapshot.on_return();
        }
        // A peer that learns of the leave by push/pull applies it with a Lamport time one later
        // than the one announced. The join intent must be later still.
        self.intents.clock.tick();
        self.announce_join(now);
        true
    }
}
