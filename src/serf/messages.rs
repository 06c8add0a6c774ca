//! Messages, and the states of push/pulls: everything that other nodes send is decoded and handed
//! to the parts, and a message that is new here is passed on. A query of this node is handled like
//! a query of another node, and then gossiped.

use super::push_pull::{self, ClockTimes};
use super::queries::asked_query::Purpose;
use super::queries::request::{Content, QuerySender, Request};
use super::shared::outbox::lane;
use super::{CommandError, QueryOptions, SerfState};
use crate::limits;
use crate::time::Time;
use crate::wire::serf_message::{SerfMessage, SerfPushPull};
use crate::wire::{Names, Refusal};
use std::borrow::Cow;

impl SerfState {
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
        let (events, common) = (&mut self.events, &mut self.common);
        events.on_clock_of_other(now, common, state.event_ltime, join);
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
        sender: QuerySender,
    ) -> Result<(), CommandError> {
        if !self.asked.may_ask() {
            return Err(CommandError::TooManyQueries);
        }
        let ltime = self.queries.seen.clock.time();
        let request = Request::new(&self.common, ltime, content, options, sender)?;
        let query = request.to_be_answered(&self.common, purpose, now);
        self.asked.add(ltime, sender.id, query);
        self.common.out.counts.queries_sent += 1;
        let message = request.message();
        self.handle(now, &message);
        self.common.out.broadcast(lane::QUERIES, &message, None);
        self.asked.end_complete(&mut self.common.out);
        Ok(())
    }
}
