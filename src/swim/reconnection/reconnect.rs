//! Reconnecting: seeds and lost members are asked again until this node leaves.
//!
//! Plain memberlist asks its seeds once, and contacts a dead node only until it forgets that node.
//! So if a network split outlasts that time, the cluster stays split permanently. Here every seed
//! that is remembered, and every member that the layer above reports as lost, is asked again with
//! growing pauses. One push/pull across the former split turns the two clusters into one. Host
//! names are resolved again each time. Seeds that are alive members are not asked.

use super::lost_members::{LostMembers, LostSince};
use super::retry::Retry;
use super::seeds::Seeds;
use crate::swim::output::JoinFailure;
use crate::swim::seed::Seed;
use crate::swim::shared::context::Context;
use crate::swim::shared::lookups::{Lookup, LookupCause};
use crate::swim::shared::streams::{Exchange, ExchangeCause, Purpose};
use crate::swim::shared::timer::Timer;
use crate::time::Time;
use crate::wire::Refusal;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The time that a silent node gets, in probe timeouts, while others wait and no more may be asked.
const SILENCE: u32 = 3;

/// The seeds and lost members that are asked again.
#[derive(Default)]
pub(in crate::swim) struct Reconnect {
    seeds: Seeds,
    lost: LostMembers,
    /// The earliest time of the next attempt, which keeps a pause between attempts.
    not_before: Time,
    /// True if a seed had the turn when a seed and a lost member were last due at the same time.
    seeds_had_turn: bool,
    /// The last attempt that was refused, and the reason. It ends with the next attempt at this
    /// address that has another result.
    refusal: Option<(SocketAddr, JoinFailure)>,
}

/// The target of an attempt: an address, or a host name to resolve.
enum Target {
    Node(SocketAddr),
    Host(String, u16),
}

impl Reconnect {
    /// Remembers the seeds that are not remembered yet.
    pub fn remember_seeds(&mut self, ctx: &mut Context, seeds: &[Seed]) {
        for seed in seeds {
            if !self.seeds.contains(seed) {
                let retry = Retry::new(&ctx.config, ctx.now, &mut ctx.random);
                self.seeds.push(seed.clone(), retry);
            }
        }
        ctx.table.watch(self.seeds.addrs());
        self.arm(ctx);
    }

    /// Remembers a member that the layer above lost, until [`Reconnect::forget_lost`]. Former
    /// members that had not failed are asked first, in random order.
    pub fn remember_lost(
        &mut self,
        ctx: &mut Context,
        name: Arc<str>,
        addr: SocketAddr,
        since: LostSince,
    ) {
        let mut retry = Retry::new(&ctx.config, ctx.now, &mut ctx.random);
        if let LostSince::EarlierRun { had_failed } = since {
            if !ctx.is_allowed(addr.ip()) {
                return ctx.outbox.refuse(Refusal::AddressNotAllowed);
            }
            if had_failed {
                retry.next = retry.next + ctx.config.reconnect_min;
            }
        }
        self.lost.add(name, addr, since, retry);
        self.arm(ctx);
    }

    /// Forgets a lost member, because it is back or because the layer above no longer waits for it.
    pub fn forget_lost(&mut self, name: &str) {
        self.lost.remove(name);
    }

    /// Goes on looking for a lost member that the layer above no longer lists.
    pub fn unlist_lost(&mut self, name: &str) {
        self.lost.unlist(name);
    }

    /// Shortens the pauses of all seeds and lost members to the minimum, so that they are asked
    /// soon.
    pub fn begin_anew(&mut self, ctx: &mut Context) {
        let mut begin = |retry: &mut Retry| {
            *retry = Retry::new(&ctx.config, ctx.now, &mut ctx.random);
        };
        self.seeds.iter_mut().for_each(|it| begin(&mut it.retry));
        self.lost.change_all(|_| true, begin);
        self.arm(ctx);
    }

    /// The lost members.
    pub fn lost(&self) -> &LostMembers {
        &self.lost
    }

    /// Returns true if there are seeds other than this node itself, or former members.
    pub fn has_other_seeds(&self, own: SocketAddr) -> bool {
        self.seeds.has_others(own) || self.lost.known() < self.lost.len()
    }

    /// Sets the timer for the next seed or lost member that is to be asked.
    pub fn arm(&self, ctx: &mut Context) {
        let seeds = self.seeds.iter().filter(|it| it.wants(&ctx.table));
        let seeds = seeds.map(|it| it.retry.next);
        let next = seeds.chain(self.lost.next_attempt()).min();
        match next.filter(|_| ctx.config.reconnect && !ctx.local.left) {
            Some(next) => {
                let at = next.max(self.not_before).max(ctx.now);
                ctx.timers.set(Timer::Reconnect, at);
            }
            None => ctx.timers.clear(Timer::Reconnect),
        }
    }

    /// Asks a seed or lost member whose turn it is. The pauses between its turns grow. If no more
    /// may be asked at the same time, those that have been silent for a while are given up, and the
    /// turn comes later.
    pub fn tick(&mut self, ctx: &mut Context) {
        if !ctx.streams.may_reconnect() {
            let spent = ctx.config.probe_timeout * SILENCE;
            let deadline_until = ctx.now + ctx.config.stream_timeout - spent;
            (ctx.streams).end_silent(Purpose::is_reconnect, deadline_until, ctx.now);
            self.not_before = ctx.now + ctx.config.reconnect_min;
        } else if let Some(target) = self.take_turn(ctx) {
            self.not_before = ctx.now + ctx.config.reconnect_min;
            match target {
                Target::Node(addr) => self.ask(ctx, addr),
                Target::Host(host, port) => {
                    ctx.outbox.stats.reconnects += 1;
                    let cause = LookupCause::Seed;
                    ctx.lookups.begin(&mut ctx.outbox, cause, host, port);
                }
            }
        }
        self.arm(ctx);
    }

    /// Takes the turn of the seed or lost member whose next attempt is the longest overdue. If both
    /// a seed and a lost member are due, they take turns, so that neither kind delays the other.
    /// Returns `None` if no target is due, or if enough attempts at this target are under way. In
    /// the latter case, the pause of the target does not grow.
    fn take_turn(&mut self, ctx: &mut Context) -> Option<Target> {
        let due = |next: &Time| *next <= ctx.now;
        let seeds = self.seeds.iter_mut();
        let seed = seeds
            .filter(|it| due(&it.retry.next) && it.wants(&ctx.table))
            .min_by_key(|it| it.retry.next);
        let is_lost_due = self.lost.next_attempt().filter(due).is_some();
        if seed.is_some() && is_lost_due {
            self.seeds_had_turn = !self.seeds_had_turn;
        }
        match seed {
            Some(seed) if !is_lost_due || self.seeds_had_turn => {
                let target = match &seed.seed {
                    Seed::Addr(addr) => Target::Node(*addr),
                    Seed::Host(host, port) => Target::Host(host.clone(), *port),
                };
                seed.in_lookup = matches!(target, Target::Host(..));
                let may_ask_now = may_ask(ctx, &target);
                take_turn_of(ctx, &mut seed.retry, may_ask_now);
                may_ask_now.then_some(target)
            }
            _ => {
                let (name, addr) = self.lost.first().filter(|_| is_lost_due)?;
                let target = Target::Node(addr);
                let may_ask_now = may_ask(ctx, &target);
                (self.lost).change(&name, |retry| take_turn_of(ctx, retry, may_ask_now));
                may_ask_now.then_some(target)
            }
        }
    }

    fn ask(&self, ctx: &mut Context, peer: SocketAddr) {
        let idle = ctx.streams.may_reconnect() && !has_enough_exchanges(ctx, peer);
        if peer != ctx.local.addr && idle && !ctx.table.is_alive_at(peer) {
            ctx.outbox.stats.reconnects += 1;
            ctx.begin_exchange(Exchange::showing_nothing(ExchangeCause::Reconnect, peer));
        }
    }

    /// A host name was resolved: updates the addresses of the seeds with this host name. If this
    /// part began the lookup, asks the addresses.
    pub fn on_resolved(&mut self, ctx: &mut Context, lookup: &Lookup, addrs: &[IpAddr]) {
        self.seeds.resolved(&lookup.host, lookup.port, addrs);
        ctx.table.watch(self.seeds.addrs());
        if matches!(lookup.cause, LookupCause::Seed) {
            // Not all may be asked at the same time, so each has its turn by chance.
            let mut addrs = addrs.to_vec();
            ctx.random.shuffle(&mut addrs);
            for ip in addrs {
                self.ask(ctx, SocketAddr::new(ip, lookup.port));
            }
        }
    }

    /// The address of a node that refuses this one, or whose answer this node refuses, and the
    /// reason; `None` if there is no such node.
    pub fn refusal(&self) -> Option<&(SocketAddr, JoinFailure)> {
        self.refusal.as_ref()
    }

    /// An attempt ended; `failure` is `None` if it succeeded.
    pub fn on_end(&mut self, ctx: &mut Context, peer: SocketAddr, failure: Option<JoinFailure>) {
        let refusal = failure.as_ref().filter(|it| it.is_answer());
        let answered = failure.is_none() || refusal.is_some();
        match refusal {
            Some(why) => self.refusal = Some((peer, why.clone())),
            None => drop(self.refusal.take_if(|(addr, _)| *addr == peer)),
        }
        if answered {
            let seeds = self.seeds.iter_mut();
            let seeds = seeds.filter(|it| it.addrs.contains(&peer));
            let wait = |retry: &mut Retry| retry.wait_longest(&ctx.config, ctx.now);
            seeds.for_each(|it| wait(&mut it.retry));
            self.lost.change_all(|addr| addr == peer, wait);
        }
        self.arm(ctx);
    }

    /// Returns the addresses of the seeds that are remembered.
    #[cfg(test)]
    pub fn seed_addrs(&self) -> Vec<SocketAddr> {
        self.seeds.addrs().collect()
    }
}

/// Puts off the next attempt at a target whose turn it is. If the target may not be asked now, its
/// pause does not grow.
fn take_turn_of(ctx: &mut Context, retry: &mut Retry, may_ask_now: bool) {
    retry.put_off(ctx.now, &mut ctx.random);
    if may_ask_now {
        retry.slow_down(&ctx.config);
    }
}

/// Returns true if fewer than two exchanges with this target are open, or if the target is a host
/// name.
fn may_ask(ctx: &Context, target: &Target) -> bool {
    match target {
        Target::Node(addr) => !has_enough_exchanges(ctx, *addr),
        Target::Host(..) => true,
    }
}

/// Returns true if two exchanges with the node at `peer` are open already. More than one is
/// allowed, because a second one may get through while the first waits for a lost packet.
fn has_enough_exchanges(ctx: &Context, peer: SocketAddr) -> bool {
    ctx.streams.exchanges_with(peer) >= 2
}
