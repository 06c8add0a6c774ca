//! Leaving: this node tells the live members of its leave until they acknowledge it.
//!
//! memberlist only gossips a leave, and a member that the gossip misses sees a failure. This part
//! also sends the announcement to each member, in front of a ping and in the same datagram. The ack
//! shows that the member has received both. On the wire these are ordinary messages.
//!
//! ```text
//! waiting -> asked --- ack, for the intent twice -> told
//!    ^         |  no ack in time
//!    +---------+  up to ATTEMPTS times, and then -> unacked
//! ```
//!
//! The datagram begins with this node's alive message if the message fits. Without it, a member
//! that does not know this node yet would acknowledge a leave that it cannot apply, and would later
//! list this node as alive.
//!
//! A Serf cluster is told in two steps: first the intent to leave, then the departure, which is a
//! dead message that this node sends about itself. An agent that handles the departure before the
//! intent shows a failure, so the departure is sent only after the intent has been acknowledged or
//! given up. That alone is not enough: memberlist acknowledges a ping immediately, but queues the
//! message before it, and handles the newest message in the queue first. So every member is pinged
//! again, one gossip interval after it acknowledged the intent: when the second ack comes, the
//! member has had time to work through its queue.
//!
//! # Large clusters
//!
//! If the retransmit limit is at least [`ENOUGH`], at most [`TOLD_DIRECTLY`] live members are told
//! directly, and the others by gossip alone. All members pass the announcement on to random others,
//! `limit` times each, and packets to members that they know to be dead do not count. The number of
//! copies that a given member gets has a Poisson distribution with the mean `limit x (1 - lost)`,
//! where `lost` is the share of the copies that the network loses or that go to members whose
//! failure has not been noticed yet. If that share is 10 %, the probability that a member gets no
//! copy is at most `exp(-16 x 0.9)`, which is 5.6e-7. Stock agents count packets to members that
//! have been dead for less than 30 seconds, so among agents these add to the share.

use crate::swim::output::Notice;
use crate::swim::shared::broadcast_queue::PART_COST;
use crate::swim::shared::context::Context;
use crate::swim::table::record::MemberRecord;
use crate::time::Time;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The number of pings after which a member counts as unreachable.
const ATTEMPTS: u32 = 16;
/// The number of pings in a later step, for a member that has not acknowledged an earlier step.
const FEWER_ATTEMPTS: u32 = 4;
/// A ping waits for its ack for the probe timeout divided by this number.
const ATTEMPTS_PER_TIMEOUT: u32 = 4;
/// The number of pings that may wait for an ack at the same time.
const ASKED: usize = 64;
/// The maximum number of members that are told directly if gossip alone is good enough.
const TOLD_DIRECTLY: usize = 1024;
/// The lowest retransmit limit at which gossip alone is good enough.
const ENOUGH: u32 = 16;

/// A step of the leave, of which each member is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaveStep {
    Intent,
    /// A ping without a message, some time after the intent.
    SecondAck,
    Departure,
}

/// A member that has to be told of a step of the leave.
struct Telling {
    name: Arc<str>,
    step: LeaveStep,
    /// The sequence number of all pings of this step to this member.
    seq: u32,
    attempts_left: u32,
}

/// The announcements of the leave under way, and the members that have not acknowledged them.
#[derive(Default)]
pub(in crate::swim) struct Leaving {
    /// The intent, as a user message; `None` in memberlist mode.
    intent: Option<Arc<[u8]>>,
    /// The departure; `None` before it is announced.
    departure: Option<Arc<[u8]>>,
    waiting: VecDeque<Telling>,
    /// The members that were asked, each with the deadline for its ack.
    asked: Vec<(Time, Telling)>,
    /// The members that have acknowledged the intent, each with the time at which it is asked
    /// again. The times are in ascending order, because every member waits equally long.
    acked_once: VecDeque<(Time, Arc<str>)>,
    unacked: BTreeSet<Arc<str>>,
}

impl Leaving {
    /// Begins the first step: tells the live members of the intent. [`Notice::LeaveAcked`] reports
    /// the end of the step.
    pub fn announce_intent(&mut self, ctx: &mut Context, intent: Arc<[u8]>) {
        self.intent = Some(intent);
        self.tell_all(ctx, LeaveStep::Intent);
    }

    /// Begins the step of the departure: tells the live members of the departure. The step of the
    /// intent ends here for members that have not acknowledged the intent twice.
    /// [`Notice::LeaveAcked`] reports the end of the step.
    pub fn announce_departure(&mut self, ctx: &mut Context, departure: Arc<[u8]>) {
        self.give_up();
        self.departure = Some(departure);
        self.tell_all(ctx, LeaveStep::Departure);
    }

    /// Tells a member that was not known when the step began. `intent` replaces the earlier intent;
    /// `None` in memberlist mode.
    pub fn tell(&mut self, ctx: &mut Context, name: &Arc<str>, intent: Option<Arc<[u8]>>) {
        let step = match intent {
            Some(_) => LeaveStep::Intent,
            None => LeaveStep::Departure,
        };
        self.intent = intent;
        self.add(ctx, name.clone(), step);
        self.go_on(ctx);
    }

    fn tell_all(&mut self, ctx: &mut Context, step: LeaveStep) {
        let enough_gossip = ctx.member_retransmits() >= ENOUGH;
        let most = if enough_gossip {
            TOLD_DIRECTLY
        } else {
            usize::MAX
        };
        // The table is iterated in the probe order, which is random.
        let live = ctx.table.others().filter(|it| it.is_live());
        let names: Vec<_> = live.take(most).map(|it| it.node().name.clone()).collect();
        for name in names {
            self.add(ctx, name, step);
        }
        self.go_on(ctx);
    }

    fn add(&mut self, ctx: &mut Context, name: Arc<str>, step: LeaveStep) {
        let is_silent = self.unacked.contains(&name);
        self.waiting.push_back(Telling {
            attempts_left: if is_silent { FEWER_ATTEMPTS } else { ATTEMPTS },
            seq: ctx.next_seq(),
            name,
            step,
        });
    }

    /// Asks as many members as may be asked at the same time. If no ack is awaited any more,
    /// reports the end of the step.
    fn go_on(&mut self, ctx: &mut Context) {
        let until = ctx.now + ctx.config.probe_timeout / ATTEMPTS_PER_TIMEOUT;
        while self.asked.len() < ASKED {
            let Some(telling) = self.waiting.pop_front() else {
                break;
            };
            let message = match telling.step {
                LeaveStep::Intent => self.intent.as_deref(),
                LeaveStep::SecondAck => None,
                LeaveStep::Departure => self.departure.as_deref(),
            };
            if ask(ctx, &telling, message) {
                self.asked.push((until, telling));
            }
        }
        if self.asked.is_empty() && self.acked_once.is_empty() {
            ctx.outbox.tell(Notice::LeaveAcked);
        }
    }

    /// An ack arrived. Returns false if it does not answer a ping of this part.
    pub fn on_ack(&mut self, ctx: &mut Context, seq: u32) -> bool {
        let asked = self.asked.iter().position(|(_, it)| it.seq == seq);
        let waiting = || self.waiting.iter().position(|it| it.seq == seq);
        let told = match asked {
            Some(i) => self.asked.swap_remove(i).1,
            None => match waiting().and_then(|i| self.waiting.remove(i)) {
                Some(told) => told,
                None => return false,
            },
        };
        match told.step {
            LeaveStep::Intent => {
                let again = ctx.now + ctx.config.gossip_interval;
                self.acked_once.push_back((again, told.name));
            }
            LeaveStep::SecondAck if self.departure.is_some() => {
                self.add(ctx, told.name, LeaveStep::Departure);
            }
            LeaveStep::SecondAck | LeaveStep::Departure => {}
        }
        self.go_on(ctx);
        true
    }

    /// Asks again the members that have to acknowledge a second time, and those whose acks are
    /// late. Gives up the members that have no attempts left.
    pub fn on_timeout(&mut self, ctx: &mut Context) {
        if self.next_timeout().is_none_or(|next| next > ctx.now) {
            return;
        }
        let later = self.acked_once.iter().position(|(at, _)| *at > ctx.now);
        let due = later.unwrap_or(self.acked_once.len());
        let due: Vec<_> = self.acked_once.drain(..due).collect();
        for (_, name) in due {
            self.add(ctx, name, LeaveStep::SecondAck);
        }
        let asked = std::mem::take(&mut self.asked).into_iter();
        let (late, in_time): (Vec<_>, Vec<_>) = asked.partition(|(until, _)| *until <= ctx.now);
        self.asked = in_time;
        for (_, mut telling) in late {
            telling.attempts_left -= 1;
            if telling.attempts_left > 0 {
                self.waiting.push_back(telling);
            } else {
                self.unacked.insert(telling.name);
            }
        }
        self.go_on(ctx);
    }

    pub fn next_timeout(&self) -> Option<Time> {
        let again = self.acked_once.front().map(|(again, _)| *again);
        let asked = self.asked.iter().map(|(until, _)| *until);
        asked.chain(again).min()
    }

    /// This process did not run for `by`: the members get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        let again = self.acked_once.iter_mut().map(|(again, _)| again);
        let asked = self.asked.iter_mut().map(|(until, _)| until);
        for time in asked.chain(again) {
            *time = *time + by;
        }
    }

    /// Ends the leave. Returns the live members that were told of it and have not acknowledged
    /// every step.
    pub fn end(&mut self, ctx: &Context) -> Vec<Arc<str>> {
        self.give_up();
        let ended = std::mem::take(self);
        let is_live = |name: &Arc<str>| find(ctx, name).is_some();
        ended.unacked.into_iter().filter(is_live).collect()
    }

    fn give_up(&mut self) {
        let asked = self.asked.drain(..).map(|(_, telling)| telling);
        let unacked = asked.chain(self.waiting.drain(..));
        let acked_once = self.acked_once.drain(..).map(|(_, name)| name);
        let names = unacked.map(|telling| telling.name).chain(acked_once);
        self.unacked.extend(names);
    }
}

/// Sends the message, if there is one, and a ping to a member. Returns false if the member is not
/// live any more.
fn ask(ctx: &mut Context, telling: &Telling, message: Option<&[u8]>) -> bool {
    let Some(record) = find(ctx, &telling.name) else {
        return false;
    };
    let (to, checksum) = (record.node().addr, record.protocol_max() >= 5);
    let ping = ctx.local.encode_ping(telling.seq, &telling.name);
    let Some(message) = message else {
        ctx.send_parts(to, &[&ping], checksum, None);
        return true;
    };
    // A member that does not know this node yet would ignore the message, and would later list this
    // node as alive.
    let alive = ctx.table.local().encode_alive();
    let parts: [&[u8]; 3] = [&alive, message, &ping];
    let len: usize = parts.iter().map(|part| part.len() + PART_COST).sum();
    let fits = len <= ctx.packet_room();
    ctx.send_parts(to, &parts[usize::from(!fits)..], checksum, None);
    true
}

/// Returns the record of a live member; `None` if no live member has this name.
fn find<'a>(ctx: &'a Context, name: &str) -> Option<&'a MemberRecord> {
    ctx.table.named(name).filter(|it| it.is_live())
}
