//! Name conflicts: members list this node's name at another address, which belongs to another node,
//! to an earlier run of this one, or to this node as well.
//!
//! memberlist only reports the conflict, and members believe the node that they knew first. This
//! node asks the other address: a ping carries the name of the node that it is meant for, and no
//! other node answers it.
//!
//! ```text
//! claim -> asked --- ack -------------> alive: two nodes have one name; the other is asked again
//!            |  --- own ping arrives --> an alias, another address of this node: no claim
//!            |  nothing in time
//!            +--> silent: an earlier run of this node. Members accept the new address once the
//!                 old one has been dead for a while. Until then, this node announces itself.
//! ```

use crate::swim::output::{ConflictVerdict, NameConflict, Notice};
use crate::swim::shared::context::Context;
use crate::swim::shared::streams::{Exchange, ExchangeCause};
use crate::swim::shared::timer::Timer;
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::Ping;
use std::net::SocketAddr;
use std::time::Duration;

/// The number of pings that are sent to an address: more than one, because datagrams get lost.
const PINGS: u32 = 2;
/// The time between two rounds about the same claim, in probe intervals.
const ROUND: u32 = 2;
/// The number of rounds after which a claim is dropped if no member has repeated it and no node has
/// answered at its address.
const ROUNDS_UNHEARD: u32 = 3;
/// The maximum number of aliases of this node that are remembered.
const ALIASES: usize = 8;

/// A claim that this node's name belongs to another address.
#[derive(Clone, Copy)]
struct Claim {
    addr: SocketAddr,
    /// The time at which a member last made this claim, or the node at the address last answered.
    heard: Time,
    /// The time at which the address was first asked.
    asked: Time,
    verdict: ConflictVerdict,
    /// True if the node at the address answered before, but not when it was last asked.
    missed: bool,
}

/// The pings that ask the other address.
struct Question {
    to: SocketAddr,
    seq: u32,
    pings: u32,
    next: Time,
}

/// The claim that is being checked, and the aliases of this node.
#[derive(Default)]
pub(in crate::swim) struct NameConflicts {
    claim: Option<Claim>,
    question: Option<Question>,
    own_aliases: Vec<SocketAddr>,
}

impl NameConflicts {
    /// Returns true if it is not known yet whether a node answers at the other address.
    pub fn is_asking(&self) -> bool {
        self.claim
            .is_some_and(|claim| claim.verdict == ConflictVerdict::Asked)
    }

    /// The other address, and what is known of the node there.
    pub fn claimed(&self) -> Option<NameConflict> {
        let Claim { addr, verdict, .. } = self.claim?;
        Some(NameConflict { addr, verdict })
    }

    /// Returns true if this is another address of this node.
    pub fn is_alias(&self, addr: SocketAddr) -> bool {
        self.own_aliases.contains(&addr)
    }

    /// Returns true if this is the address of the claim, and no node answers there.
    pub fn is_silent(&self, addr: SocketAddr) -> bool {
        let is_silent = |it: Claim| it.addr == addr && it.verdict == ConflictVerdict::Silent;
        self.claim.is_some_and(is_silent)
    }

    /// A member lists this node's name at another address. Returns false if that is an alias of
    /// this node, or an address that no member may have.
    pub fn on_claim(&mut self, ctx: &mut Context, addr: SocketAddr) -> bool {
        if self.is_alias(addr) {
            return false;
        }
        if !ctx.is_allowed(addr.ip()) {
            ctx.outbox.refuse(Refusal::AddressNotAllowed);
            return false;
        }
        match &mut self.claim {
            Some(claim) if claim.addr == addr => claim.heard = ctx.now,
            // One claim is checked at a time. It gives way to another claim only if no node answers
            // at its address, and if this node first asked there at least one probe interval ago.
            Some(claim) if claim.verdict != ConflictVerdict::Silent => {}
            Some(claim) if ctx.now.since(claim.asked) < ctx.config.probe_interval => {}
            Some(_) | None => self.look_into(ctx, addr),
        }
        true
    }

    /// This node takes part again after a leave. The verdict on a claim may be out of date, so the
    /// other address is asked again, and joins wait for the answer.
    pub fn on_return(&mut self, ctx: &mut Context) {
        if let Some(claim) = self.claim {
            self.look_into(ctx, claim.addr);
        }
    }

    fn look_into(&mut self, ctx: &mut Context, addr: SocketAddr) {
        self.claim = Some(Claim {
            addr,
            heard: ctx.now,
            asked: ctx.now,
            verdict: ConflictVerdict::Asked,
            missed: false,
        });
        self.ask(ctx, addr);
        if ctx.timers.get(Timer::NameConflict).is_none() {
            ctx.timers.set(Timer::NameConflict, ctx.now + round(ctx));
        }
    }

    fn ask(&mut self, ctx: &mut Context, to: SocketAddr) {
        let seq = ctx.next_seq();
        let question = self.question.insert(Question {
            to,
            seq,
            pings: 0,
            next: ctx.now,
        });
        question.ping(ctx);
    }

    /// Pings again, or, after the last ping, concludes that no node answers. Returns true if that
    /// decides the claim.
    pub fn on_timeout(&mut self, ctx: &mut Context) -> bool {
        match &mut self.question {
            Some(question) if question.next <= ctx.now => {
                if question.pings < PINGS {
                    question.ping(ctx);
                    return false;
                }
                self.decide(ctx, ConflictVerdict::Silent);
                true
            }
            Some(_) | None => false,
        }
    }

    /// An ack arrived. Returns true if it answers the question, which decides the claim.
    pub fn on_ack(&mut self, ctx: &mut Context, seq: u32) -> bool {
        let asked = self.question.as_ref().map(|question| question.seq);
        let is_answer = asked == Some(seq);
        if is_answer {
            self.decide(ctx, ConflictVerdict::Alive);
        }
        is_answer
    }

    fn decide(&mut self, ctx: &mut Context, verdict: ConflictVerdict) {
        self.question = None;
        if let Some(claim) = &mut self.claim {
            // Two pings in a row may be lost. A node that has answered is silent only if it does
            // not answer in two rounds.
            let misses = claim.verdict == ConflictVerdict::Alive && verdict != claim.verdict;
            if misses && !std::mem::replace(&mut claim.missed, true) {
                return;
            }
            claim.missed = false;
            claim.verdict = verdict;
            if verdict == ConflictVerdict::Alive {
                claim.heard = ctx.now;
                ctx.outbox.tell(Notice::NameTaken { addr: claim.addr });
            }
        }
    }

    /// A ping arrived. Returns true if it is this node's own question: then the other address is an
    /// alias of this node, which decides the claim.
    pub fn on_ping(&mut self, ctx: &mut Context, from: SocketAddr, ping: &Ping) -> bool {
        let Some(question) = &self.question else {
            return false;
        };
        let echo = question.seq == ping.seq
            && ping.source_node == &*ctx.local.name
            && ctx.answer_addr(ping.source_addr, ping.source_port, ping.source_node, from)
                == ctx.local.addr;
        if echo {
            self.own_aliases.truncate(ALIASES - 1);
            self.own_aliases.insert(0, question.to);
            self.question = None;
            self.claim = None;
            ctx.outbox.tell(Notice::NameFree);
        }
        echo
    }

    /// A member lists this node's name at an address of this node. If no node answers at the other
    /// address, that ends the claim.
    pub fn on_name_listed(&mut self, ctx: &mut Context) {
        ctx.outbox.tell(Notice::NameAccepted);
        let is_silent = |claim: &Claim| claim.verdict == ConflictVerdict::Silent;
        if self.claim.as_ref().is_some_and(is_silent) {
            self.claim = None;
            ctx.outbox.tell(Notice::NameFree);
        }
    }

    /// Begins another round. A claim is dropped if for some rounds no member has repeated it and no
    /// node has answered at the other address. Otherwise this node asks the other address again,
    /// unless it still waits for the first answer. If no node answered there, it also announces
    /// itself to a member. A node that has left does none of this: it ignores claims, and so cannot
    /// tell whether a member has repeated this one.
    pub fn tick(&mut self, ctx: &mut Context) {
        let round = round(ctx);
        if let Some(claim) = self.claim.as_mut().filter(|_| ctx.local.left) {
            claim.heard = ctx.now;
            return ctx.timers.set(Timer::NameConflict, ctx.now + round);
        }
        let Some(claim) = self.claim else {
            return; // it has ended since the last round
        };
        if ctx.now.since(claim.heard) > round * ROUNDS_UNHEARD {
            self.claim = None;
            return ctx.outbox.tell(Notice::NameFree);
        }
        ctx.timers.set(Timer::NameConflict, ctx.now + round);
        match claim.verdict {
            ConflictVerdict::Alive => self.ask(ctx, claim.addr),
            ConflictVerdict::Silent => {
                claim_own_name(ctx);
                self.ask(ctx, claim.addr);
            }
            ConflictVerdict::Asked => {}
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.question.as_ref().map(|question| question.next)
    }

    /// This process did not run for `by`: the claim and the question get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        if let Some(question) = &mut self.question {
            question.next = question.next + by;
        }
        if let Some(claim) = &mut self.claim {
            claim.heard = claim.heard + by;
            claim.asked = claim.asked + by;
        }
    }
}

impl Question {
    fn ping(&mut self, ctx: &mut Context) {
        self.pings += 1;
        self.next = ctx.now + ctx.config.probe_timeout / PINGS;
        let ping = ctx.local.encode_ping(self.seq, &ctx.local.name);
        ctx.send_parts(self.to, &[&ping], false, None);
    }
}

/// The time between two rounds.
fn round(ctx: &Context) -> Duration {
    ctx.config.probe_interval * ROUND
}

/// Announces this node to a member by a push/pull, and learns the address at which that member
/// lists the name.
fn claim_own_name(ctx: &mut Context) {
    // After a restart of many nodes, most addresses in the table may be those of earlier runs.
    let peer = ctx.table.choose_heard(&mut ctx.random);
    if let Some(peer) = peer.filter(|_| ctx.streams.may_dial()) {
        ctx.begin_exchange(Exchange::pull(ExchangeCause::NameConflict, peer));
    }
}
