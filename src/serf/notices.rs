//! The way between the SWIM machine and the Serf state: notices go up, orders go down.

use super::memberlist::{Claim, Sender};
use super::shared::outbox::Order;
use super::{Core, CoreEvent, membership::look};
use crate::swim::Notice;
use crate::time::Time;
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
    fn sender(&mut self) -> Sender {
        let look_up = || Sender::of_input(&self.swim);
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
                self.swim.broadcast(now, lane, bytes, token);
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
