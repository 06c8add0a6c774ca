//! The commands of the application: joining, looking and leaving, this node's address, tags and
//! meta, user events, queries, keys and messages, the removal of failed members, and hints.

#[cfg(doc)]
use super::CoreEvent;
use super::command_error::{CommandError, check_len, checked_meta};
use super::keys::query::query_name;
use super::queries::asked_query::Purpose;
use super::queries::own_keys::Caller;
use super::queries::request::{Content, QuerySender};
use super::shared::outbox::lane;
use super::user_events::user_event::OwnEvent;
use super::{Core, KeyQuery, MemberState, Mode, QueryOptions, Tags, encode_tags};
use crate::event::Coalescing;
use crate::key_report::KeyReport;
use crate::limits;
use crate::swim::{FreshBits, NodeState, ORDERED_WINDOW, OpId, Seed};
use crate::time::Time;
use crate::wire::wire_name;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

impl Core {
    /// Remembers seeds: unless the setting `reconnect` is false, each is tried again whenever no
    /// alive member has its address.
    pub fn remember_seeds(&mut self, now: Time, seeds: &[Seed]) {
        self.swim.remember_seeds(now, seeds);
        self.pump(now, false);
    }

    /// Joins a cluster through these seeds, which are remembered if one answers.
    /// [`CoreEvent::JoinDone`] reports the outcome; a second one follows if some seeds were still
    /// awaited at the time of the first. If the node is leaving or has left, the join first cancels
    /// the leave.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId {
        if self.serf.cancel_leave(now) {
            self.swim.revive(now);
        }
        let op = self.swim.join(now, seeds);
        self.serf.replay.join_begun(op);
        self.pump(now, false);
        op
    }

    /// Joins the cluster of a node that was found at this address. Differs from [`Core::join`] in
    /// that the address is not remembered as a seed, and that a leave is not cancelled.
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub fn join_found(&mut self, now: Time, addr: SocketAddr) -> OpId {
        let op = self.swim.join_found(now, addr);
        self.serf.replay.join_begun(op);
        self.pump(now, false);
        op
    }

    /// Asks a node which members its cluster has, without joining. [`CoreEvent::LookDone`] reports
    /// the answer.
    ///
    /// # Errors
    /// `TooManyLooks`.
    pub fn look(&mut self, now: Time, target: &Seed) -> Result<OpId, CommandError> {
        let op = self.swim.look(now, target);
        self.pump(now, false);
        op.ok_or(CommandError::TooManyLooks)
    }

    /// Leaves gracefully. The leave is announced in two steps, or one in memberlist mode. In each
    /// step, it is gossiped and sent to members directly; the step ends when each of these has
    /// acknowledged it or did not answer for too long, after `broadcast_timeout` at the latest.
    /// [`CoreEvent::LeaveDone`] comes `leave_propagate` after the last step. It comes immediately
    /// if there is no other live member, if this node's name seems to belong to another node, or if
    /// this node has left already. A join cancels the leave, and `LeaveDone` then reports
    /// `LeaveEnd::Cancelled`.
    pub fn leave(&mut self, now: Time) -> OpId {
        let op = self.serf.begin_leave(now);
        self.pump(now, false);
        op
    }

    /// Replaces the tags of this node. Setting the same tags again causes no gossip.
    ///
    /// # Errors
    /// `WrongMode` in memberlist mode; `TooLarge` if the encoded tags take more than
    /// [`limits::META_LEN`] bytes; `Left`.
    pub fn set_tags(&mut self, now: Time, tags: Tags) -> Result<(), CommandError> {
        self.check_serf()?;
        let meta = checked_meta(encode_tags(&tags))?;
        self.check_not_left()?;
        if tags != self.serf.tags {
            self.serf.tags = tags;
            self.swim.set_meta(now, meta);
            self.pump(now, false);
        }
        Ok(())
    }

    /// Returns the tags of this node.
    pub fn tags(&self) -> &Tags {
        &self.serf.tags
    }

    /// Replaces the meta of this node. Setting the same meta again causes no gossip.
    ///
    /// # Errors
    /// `WrongMode` in serf mode; `TooLarge` if the meta is longer than [`limits::META_LEN`];
    /// `Left`.
    pub fn set_meta(&mut self, now: Time, meta: Vec<u8>) -> Result<(), CommandError> {
        self.check_memberlist()?;
        let meta = checked_meta(meta)?;
        self.check_not_left()?;
        if meta != self.swim.self_node().meta {
            self.swim.set_meta(now, meta);
            self.pump(now, false);
        }
        Ok(())
    }

    /// Waits until the last change of this node's tags, meta or address has been gossiped as often
    /// as the number of members requires. [`CoreEvent::SpreadDone`] reports the end, which comes at
    /// once if no other member is live.
    ///
    /// # Errors
    /// `Left`.
    pub fn spread(&mut self, now: Time) -> Result<OpId, CommandError> {
        self.check_not_left()?;
        let op = self.swim.spread(now);
        self.pump(now, false);
        Ok(op)
    }

    /// See [`crate::swim::Swim::set_fresh_bits`].
    pub fn set_fresh_bits(&mut self, fresh: FreshBits) {
        self.swim.set_fresh_bits(fresh);
    }

    /// Sets the function that puts the facts about new members on the heap. The simulator lets its
    /// nodes share equal facts, which takes far less memory.
    #[cfg(feature = "internals")]
    pub fn set_share_facts(&mut self, share: crate::swim::ShareFacts) {
        self.swim.set_share_facts(share);
    }

    /// Replaces the address at which others reach this node. Setting the same address again causes
    /// no gossip. Members that know the node at the old address accept the new one only after the
    /// node has left, or has counted as failed at the old address for `dead_reclaim`.
    pub fn set_addr(&mut self, now: Time, addr: SocketAddr) {
        if addr != self.swim.self_node().addr {
            self.swim.set_addr(now, addr);
            self.pump(now, false);
        }
    }

    /// Sends a user event to all members, this node included, when gossip has room for it: at once,
    /// unless many are sent. It is delivered to this node when it is sent.
    ///
    /// # Errors
    /// `WrongMode` in memberlist mode; `EventTooLarge` if the encoded event takes more bytes than
    /// the setting `user_event_bytes` allows, or does not fit into a packet; `TooManyEvents`;
    /// `Left`.
    pub fn send_event(
        &mut self,
        now: Time,
        name: &str,
        payload: &[u8],
        coalescing: Coalescing,
    ) -> Result<(), CommandError> {
        self.check_serf()?;
        self.check_not_left()?;
        let common = &self.serf.common;
        let room = self.swim.broadcast_room();
        let max = common.config.user_event_bytes.min(room);
        let event = OwnEvent::new(name, payload, coalescing);
        self.serf.events.take(event, max)?;
        self.send_waiting_events(now);
        Ok(())
    }

    /// Sends the user events that wait, as long as gossip has room. They do not wait while there is
    /// nobody to gossip to.
    pub(super) fn send_waiting_events(&mut self, now: Time) {
        let has_room = |core: &Core| {
            core.swim.queued_in(lane::EVENTS) < ORDERED_WINDOW || !core.serf.common.has_company()
        };
        while has_room(self) {
            let serf = &mut self.serf;
            if !serf.events.send_next(now, &mut serf.common) {
                break;
            }
            self.pump(now, false);
        }
    }

    /// Sends a query to the members that `options` select, this node included. `number` is a number
    /// that no other query of this node has: acks and answers come as events with this number, and
    /// [`CoreEvent::QueryDone`] reports the end.
    ///
    /// # Errors
    /// `WrongMode` in memberlist mode; `ReservedName` if the name begins with `_serf_`, except for
    /// `_serf_ping` without a payload; `BadExpression`; `TooManyQueries`; `EventTooLarge` if the
    /// encoded query takes more bytes than the setting `query_bytes` allows, or does not fit into a
    /// packet; `Left`.
    pub fn query(
        &mut self,
        now: Time,
        number: u64,
        name: &str,
        payload: &[u8],
        options: &QueryOptions,
    ) -> Result<(), CommandError> {
        self.check_serf()?;
        self.check_not_left()?;
        let is_internal = false;
        let content = Content {
            name: &wire_name::to_bytes(name),
            payload,
            is_internal,
        };
        self.ask(now, Purpose::Application { number }, content, options)
    }

    fn ask(
        &mut self,
        now: Time,
        purpose: Purpose,
        content: Content<'_>,
        options: &QueryOptions,
    ) -> Result<(), CommandError> {
        let sender = self.sender_of_query();
        self.serf.ask(now, purpose, content, options, sender)?;
        self.pump(now, false);
        Ok(())
    }

    /// Describes this node as the sender of a new query.
    pub(super) fn sender_of_query(&mut self) -> QuerySender {
        QuerySender {
            id: self.swim.draw_number(),
            addr: self.swim.self_node().addr,
            room: self.swim.broadcast_room(),
        }
    }

    /// Lets all members, this node included, change or list their keys; in memberlist mode, lets
    /// this node alone do so. `number` is a number that no other query of this node has:
    /// [`CoreEvent::KeysDone`] reports the answers with it. `timeout` is the time in which answers
    /// count; `None` is the default of a query.
    ///
    /// # Errors
    /// `NoKeyring` if this node does not encrypt; `UnknownKey` for the use of a key that this node
    /// does not hold; `PrimaryKey` for the removal of its primary key; in serf mode also
    /// `TooManyQueries`, `EventTooLarge` and `Left`.
    pub fn manage_keys(
        &mut self,
        now: Time,
        number: u64,
        query: &KeyQuery,
        timeout: Option<Duration>,
    ) -> Result<(), CommandError> {
        let keyring = self.swim.keyring().ok_or(CommandError::NoKeyring)?;
        query.check(keyring)?;
        if self.serf.common.config.mode == Mode::Memberlist {
            let (serf, caller) = (&mut self.serf, Caller::Program(number));
            (serf.keys).manage(&mut serf.common, Some(keyring), caller, query.clone());
            self.pump(now, false);
            return Ok(());
        }
        self.check_not_left()?;
        let content = Content {
            name: query_name(query.action).as_bytes(),
            payload: &query.payload(),
            is_internal: true,
        };
        let options = QueryOptions {
            timeout,
            ..QueryOptions::default()
        };
        let report = KeyReport::default();
        self.ask(now, Purpose::Keys { number, report }, content, &options)
    }

    /// The driver has stored the keys of [`CoreEvent::KeysChanged`] with this number, or could not:
    /// the error goes to the member that changed the keys.
    pub fn keys_stored(&mut self, now: Time, number: u64, result: Result<(), &str>) {
        let serf = &mut self.serf;
        serf.keys.on_stored(&mut serf.common, number, result);
        self.pump(now, false);
    }

    /// Ends the query with this number, if it has not ended.
    pub fn cancel_query(&mut self, now: Time, number: u64) {
        let serf = &mut self.serf;
        serf.asked.cancel(&mut serf.common.out, number);
        self.pump(now, false);
    }

    /// Answers a query, whose number came with its event.
    ///
    /// # Errors
    /// `UnknownQuery`; `QueryOver` after the deadline of the query; `AlreadyAnswered`;
    /// `EventTooLarge` if the encoded answer takes more bytes than the setting
    /// `query_response_bytes` allows.
    pub fn respond(&mut self, now: Time, query: u64, payload: &[u8]) -> Result<(), CommandError> {
        let serf = &mut self.serf;
        serf.queries
            .respond(now, &mut serf.common, query, payload)?;
        self.pump(now, false);
        Ok(())
    }

    /// Sends a message to a member in one datagram, which may get lost.
    ///
    /// # Errors
    /// Same as [`Core::send_message`], except `TooManyMessages`; `MessageTooLarge` also if the
    /// message does not fit into a datagram.
    pub fn send_datagram(
        &mut self,
        now: Time,
        name: &str,
        payload: &[u8],
    ) -> Result<(), CommandError> {
        let to = self.receiver(name, payload.len())?;
        let max = self.swim.datagram_room();
        check_len(payload.len(), max, "of a datagram")?;
        self.serf.common.out.counts.messages_sent += 1;
        self.swim.send_user(now, to, payload);
        self.pump(now, false);
        Ok(())
    }

    /// Sends a message to a member on a stream of its own. [`CoreEvent::MessageDone`] reports the
    /// end.
    ///
    /// # Errors
    /// `WrongMode` in serf mode; `Left`; `UnknownMember`; `NotAlive`; `MessageTooLarge` if the
    /// message is larger than the setting `message_bytes` allows; `TooManyMessages`.
    pub fn send_message(
        &mut self,
        now: Time,
        name: &str,
        payload: Arc<[u8]>,
    ) -> Result<OpId, CommandError> {
        let to = self.receiver(name, payload.len())?;
        let op = self.swim.send_message(now, to, payload);
        let op = op.ok_or(CommandError::TooManyMessages)?;
        self.serf.common.out.counts.messages_sent += 1;
        self.pump(now, false);
        Ok(op)
    }

    /// Returns the address of the member to which a message of this length goes.
    fn receiver(&self, name: &str, len: usize) -> Result<SocketAddr, CommandError> {
        self.check_message(len)?;
        let member = self.member(name).ok_or(CommandError::UnknownMember)?;
        match member.state {
            MemberState::Alive | MemberState::Suspect | MemberState::Leaving => Ok(member.addr),
            MemberState::Failed | MemberState::Left => Err(CommandError::NotAlive),
        }
    }

    fn check_message(&self, len: usize) -> Result<(), CommandError> {
        self.check_memberlist()?;
        self.check_not_left()?;
        let max = self.serf.common.config.swim.message_bytes;
        check_len(len, max, "of the setting message_bytes")
    }

    /// Gossips a message to the other members, which do not pass it on. If there is a name, the
    /// message replaces the broadcast with the same name that still waits to be sent.
    ///
    /// # Errors
    /// `WrongMode` in serf mode; `Left`; `MessageTooLarge` if the message is larger than the
    /// setting `message_bytes` allows, or does not fit into a packet; `TooManyBroadcasts` if too
    /// many wait, unless the message replaces one of them. While there is nobody to gossip to, a
    /// broadcast takes the place of another one instead.
    pub fn broadcast(
        &mut self,
        now: Time,
        payload: Vec<u8>,
        name: Option<&str>,
    ) -> Result<(), CommandError> {
        self.check_message(payload.len())?;
        let max = self.swim.broadcast_room();
        check_len(payload.len(), max, "of a gossip packet")?;
        if self.serf.common.has_company() && !self.swim.has_room_in(lane::EVENTS, name) {
            return Err(CommandError::TooManyBroadcasts);
        }
        self.serf.common.out.counts.messages_sent += 1;
        match name {
            Some(name) => self
                .swim
                .broadcast_about(now, lane::EVENTS, payload, name.into()),
            None => {
                self.swim.broadcast(now, lane::EVENTS, &payload, None);
            }
        }
        self.pump(now, false);
        Ok(())
    }

    /// Sets the state of the application, which every push/pull carries from now on.
    ///
    /// # Errors
    /// `WrongMode` in serf mode; `MessageTooLarge` if it is longer than
    /// [`limits::LOCAL_STATE_LEN`].
    pub fn set_local_state(&mut self, state: Arc<[u8]>) -> Result<(), CommandError> {
        self.check_memberlist()?;
        check_len(state.len(), limits::LOCAL_STATE_LEN, "of a state")?;
        self.serf.memberlist.local_state = state;
        Ok(())
    }

    /// Sets the bytes that the acks of this node carry to members from now on.
    ///
    /// # Errors
    /// `AckPayloadTaken` in serf mode; `MessageTooLarge` if it is longer than
    /// [`limits::ACK_PAYLOAD_LEN`].
    pub fn set_ack_payload(&mut self, payload: Vec<u8>) -> Result<(), CommandError> {
        if self.check_memberlist().is_err() {
            return Err(CommandError::AckPayloadTaken);
        }
        check_len(payload.len(), limits::ACK_PAYLOAD_LEN, "of an ack")?;
        self.swim.set_ack_payload(payload);
        Ok(())
    }

    /// Turns a failed member into one that has left (Serf's force-leave). If `prune` is true, the
    /// member is erased as well. A member that has left already can only be pruned.
    ///
    /// # Errors
    /// `WrongMode` in memberlist mode; `UnknownMember`; `NotFailed` if the member is present, or
    /// has left and `prune` is false; `Left`.
    pub fn remove_failed(
        &mut self,
        now: Time,
        name: &str,
        prune: bool,
    ) -> Result<(), CommandError> {
        self.check_serf()?;
        self.check_not_left()?;
        match self.member(name).map(|member| member.state) {
            None => return Err(CommandError::UnknownMember),
            Some(MemberState::Failed) => {}
            Some(MemberState::Left) if prune => {}
            Some(
                MemberState::Alive
                | MemberState::Suspect
                | MemberState::Leaving
                | MemberState::Left,
            ) => return Err(CommandError::NotFailed),
        }
        self.serf.announce_leave(now, name, prune, None);
        self.pump(now, false);
        Ok(())
    }

    /// Probes a member immediately, because the application could not reach it.
    /// [`CoreEvent::HintDone`] reports the verdict.
    ///
    /// # Errors
    /// `Left`; `UnknownMember`; `NotAlive`; `Myself`; `Limited` if a hint about this member is
    /// still under way, or too many others are.
    pub fn hint(&mut self, now: Time, name: &str) -> Result<OpId, CommandError> {
        self.check_not_left()?;
        if self.serf.common.is_self(name) {
            return Err(CommandError::Myself);
        }
        if self.member(name).is_none() {
            return Err(CommandError::UnknownMember);
        }
        let op = self.swim.hint(now, name);
        self.pump(now, false);
        op.ok_or_else(|| match self.swim.node(name).map(|node| node.state) {
            Some(NodeState::Alive | NodeState::Suspect) => CommandError::Limited,
            Some(NodeState::Dead | NodeState::Left) | None => CommandError::NotAlive,
        })
    }

    fn check_serf(&self) -> Result<(), CommandError> {
        match self.serf.common.config.mode {
            Mode::Serf => Ok(()),
            Mode::Memberlist => Err(CommandError::WrongMode),
        }
    }

    fn check_memberlist(&self) -> Result<(), CommandError> {
        match self.serf.common.config.mode {
            Mode::Memberlist => Ok(()),
            Mode::Serf => Err(CommandError::WrongMode),
        }
    }

    fn check_not_left(&self) -> Result<(), CommandError> {
        if self.serf.leave.is_under_way_or_done() {
            Err(CommandError::Left)
        } else {
            Ok(())
        }
    }
}
