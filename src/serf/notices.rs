//! The way between the SWIM machine and the Serf state: notices go up, orders go down.

use super::keys::query::KeyQuery;
use super::memberlist::{Claim, InputSender};
use super::membership::changes::Changes;
use super::queries::own_keys::Caller;
use super::shared::asker::Asker;
use super::shared::members::SerfStatus;
use super::shared::outbox::Order;
use super::{Core, CoreEvent, SerfState, membership::look};
use crate::event::EventBody;
use crate::swim::{Change, Node, Notice};
use crate::time::Time;
use crate::wire::Keyring;
use crate::wire::serf_message::{LeaveIntent, SerfMessage};
use std::sync::Arc;
use std::time::Duration;

impl Core {
    /// Handles notices and carries out orders until there are none left. `asked` is true if the
    /// input came on a stream that this node opened.
    pub(super) fn pump(&mut self, now: Time, asked: bool) {
        self.serf.coalescer.now = now;
        self.serf.name_conflict = self.swim.name_conflict();
        loop {
            self.carry_out_orders(now);
            let Some(notice) = self.swim.poll_notice() else {
                break;
            };
            self.handle_notice(now, notice, asked);
        }
        self.swim.set_source(None);
        self.sender = None;
        self.swim.set_name_is_taken(now, self.serf.is_name_taken());
        self.serf.note_dispute(now);
        self.carry_out_orders(now);
        self.serf.refresh_self(now, self.swim.self_node());
        self.serf.note_numbers(self.swim.self_node().incarnation);
        if self.population != self.serf.common.members.len() {
            self.population = self.serf.common.members.len();
            self.swim.set_population(self.population);
        }
    }

    /// Returns the sender of the input that is being handled. One datagram can hold hundreds of
    /// messages, so the sender is looked up once.
    fn sender(&mut self) -> InputSender {
        let look_up = || InputSender::of_input(&self.swim);
        self.sender.get_or_insert_with(look_up).clone()
    }

    fn carry_out_orders(&mut self, now: Time) {
        while let Some(order) = self.serf.common.out.orders.pop() {
            self.carry_out(now, order);
        }
    }

    /// In memberlist mode, tells the application of messages, states and name conflicts. Returns
    /// the notice unless only the application needs it.
    fn tell_application(&mut self, now: Time, notice: Notice) -> Option<Notice> {
        if self.serf.common.is_serf() {
            return Some(notice);
        }
        match notice {
            Notice::UserMessage { bytes } => {
                let sender = self.sender();
                let serf = &mut self.serf;
                let out = &mut serf.common.out;
                serf.memberlist.on_message(out, sender, bytes);
            }
            Notice::UserState { join, bytes } => {
                let sender = self.sender();
                let serf = &mut self.serf;
                let out = &mut serf.common.out;
                serf.memberlist.on_state(out, sender, join, bytes);
            }
            Notice::Conflict {
                ref name,
                known,
                claimed,
                alive: _,
            } => {
                let claim = Claim {
                    name: name.clone(),
                    known,
                    claimed,
                };
                self.serf.report_conflict(now, claim);
                return Some(notice);
            }
            other => return Some(other),
        }
        None
    }

    fn handle_notice(&mut self, now: Time, notice: Notice, asked: bool) {
        let Some(notice) = self.tell_application(now, notice) else {
            return;
        };
        let serf = &mut self.serf;
        match notice {
            Notice::Member { change, name } => {
                serf.member_changed(now, change, &name, self.swim.node(&name));
            }
            Notice::UserMessage { bytes } => serf.message_received(now, &bytes),
            Notice::WantUserState {
                id,
                join: _,
                shows_nothing,
            } => {
                let state = serf.encode_state(shows_nothing);
                self.swim.provide_user_state(now, id, &state);
            }
            Notice::UserState { join, bytes } => serf.state_received(now, join, &bytes),
            Notice::MessageDone { op, failure } => {
                let done = CoreEvent::MessageDone { op, failure };
                serf.common.out.report(done);
            }
            Notice::SpreadDone { op, end } => {
                serf.common.out.report(CoreEvent::SpreadDone { op, end });
            }
            Notice::JoinDone { op, report } => {
                serf.join_done(now, op, report);
            }
            Notice::LookDone { op, report, state } => {
                let members = look::members(&mut serf.common, &state);
                let done = CoreEvent::LookDone {
                    op,
                    report,
                    members,
                };
                serf.common.out.report(done);
            }
            Notice::BroadcastDone { token } => serf.broadcast_done(now, token),
            Notice::LeaveSpread => serf.departure_gossiped(now),
            Notice::LeaveAcked => serf.leave_acked(now),
            Notice::HintDone { op, name, answered } => {
                let done = CoreEvent::HintDone { op, name, answered };
                serf.common.out.report(done);
            }
            Notice::PingAnswered { name, rtt, payload } => {
                self.on_ping_answered(&name, rtt, &payload);
            }
            Notice::Conflict {
                name,
                known: _,
                claimed,
                alive,
            } => {
                serf.name_claimed(now, &name, claimed, asked, alive);
            }
            Notice::LeaveMissed { name, by } => {
                if serf.has_left(&name) {
                    let intent = serf.leave_intent(&name);
                    self.swim
                        .tell_of_past_leave(now, by, &name, intent.as_deref());
                }
            }
            Notice::NameAccepted => serf.conflicts.name_accepted(),
            Notice::NameTaken { addr } => serf.name_taken(now, addr),
            Notice::NameFree => serf.conflicts.on_name_free(&mut serf.common),
        }
    }

    fn on_ping_answered(&mut self, name: &str, rtt: Duration, payload: &[u8]) {
        let (serf, swim) = (&mut self.serf, &mut self.swim);
        serf.tell_ping_ack(name, rtt, payload);
        let mut jitter = || f64::from(swim.draw_number()) / f64::from(1u32 << 31) - 0.5;
        let coordinates = &mut serf.coordinates;
        coordinates.on_answer(&mut serf.common, name, rtt, payload, &mut jitter);
    }

    fn carry_out(&mut self, now: Time, order: Order) {
        match order {
            Order::Broadcast { lane, bytes, token } => {
                self.swim.broadcast(now, lane, &bytes, token);
            }
            Order::PassOn { lane, bytes } => {
                if self.swim.broadcast(now, lane, &bytes, None) {
                    self.serf.common.out.count_relayed(lane);
                }
            }
            // A response to a query of this node itself.
            Order::SendUser { to, bytes } if to == self.swim.self_node().addr => {
                self.serf.message_received(now, &bytes);
            }
            Order::SendUser { to, bytes } => self.swim.send_user(now, to, &bytes),
            Order::SendIntroduced { to, bytes } => {
                self.swim.send_user_introduced(now, to, &bytes);
            }
            Order::SendThrough {
                helpers,
                not,
                bytes,
            } => self.swim.send_user_through(now, helpers, not, &bytes),
            Order::PushPull => self.swim.push_pull(now),
            Order::RememberLost { name, addr, since } => {
                self.swim.remember_lost(now, name, addr, since);
            }
            Order::ForgetLost { name } => self.swim.forget_lost(&name),
            Order::UnlistLost { name } => self.swim.unlist_lost(&name),
            Order::AnnounceLeave { intent } => self.swim.announce_leave(now, &intent),
            Order::Leave => self.swim.leave(now),
            Order::TellOfLeave { name, intent } => {
                self.swim.tell_of_leave(now, &name, intent.as_deref());
            }
            Order::EndLeave => {
                let unacked = self.swim.end_leave();
                self.serf.leave_ended(unacked);
            }
            Order::LeaveSilently => self.swim.leave_silently(),
            Order::SetAckPayload(payload) => self.swim.set_ack_payload(payload),
            Order::ManageKeys { asker, query } => {
                self.serf.keys_asked(self.swim.keyring(), asker, query);
            }
            Order::HeedClaim { addr } => self.swim.heed_claim(now, addr),
            Order::CallVote { other } => {
                let sender = self.sender_of_query();
                self.serf.call_vote(now, other, sender);
            }
            Order::EndVote(tally) => self.serf.vote_ended(now, &tally),
            Order::Refuse(why) => self.swim.refuse(why),
        }
    }
}

impl SerfState {
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
        let has_joined = change == Change::Joined && !self.common.is_self(name);
        if has_joined && self.leave.is_under_way() {
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
        self.leave.on_told_late();
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

    /// A query about the keys of this node arrived. `keyring` is `None` if this node does not
    /// encrypt.
    pub fn keys_asked(&mut self, keyring: Option<&mut Keyring>, asker: Asker, query: KeyQuery) {
        let caller = Caller::Member(asker);
        self.keys.manage(&mut self.common, keyring, caller, query);
    }
}
