//! Removals: which ready servers may be drained or stopped, which ones give their places to members
//! that wait, and which ones are held.
//!
//! Removals that no failure has caused go first, then those of lost members. Within each kind, the
//! members whose state changed earliest come first. After a freeze, the removals of lost members
//! are paced, so that an operator sees them begin.

use super::assignment::AdminState;
use super::limits::Limits;
use super::member::{Hold, SlotMember};
use super::slots::Slots;
use sprat::time::Time;

/// The removals that are frozen. Removals that an operator has ordered never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freeze {
    /// No removal.
    Nothing,
    /// The removals of lost members.
    Losses,
    /// All removals, because the list of members is no longer current.
    Everything,
}

/// The removals of one backend.
#[derive(Default)]
pub(super) struct Removals {
    /// True after the end of a freeze, while removals that are still due are paced.
    thawing: bool,
    /// The time from which the next paced removal may happen.
    next: Time,
}

impl Removals {
    /// Notes that a freeze has ended.
    pub fn thaw(&mut self) {
        self.thawing = true;
    }

    /// Returns the time at which the next paced removal may happen.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        (self.thawing && self.next > now).then_some(self.next)
    }

    /// Drains or stops every server that should be drained or stopped, if the guard allows it or a
    /// waiting member takes its place. The guard does not apply if the server is not ready, an
    /// operator has ordered its state, or its member is HAProxy itself. Returns true if any slot
    /// has changed.
    pub fn run(&mut self, now: Time, slots: &mut Slots, limits: &Limits, freeze: Freeze) -> bool {
        let mut guard = Guard::new(now, slots, limits, freeze);
        let (mut pacing, mut changed) = (false, false);
        for slot in removal_order(slots) {
            let paced = self.thawing && now < self.next;
            let Some(member) = slots.get_mut(slot) else {
                continue;
            };
            let target = member.target_at(now, limits.drain);
            if target <= member.state() {
                continue;
            }
            let is_ready = member.state() == AdminState::Ready;
            if freeze == Freeze::Everything && !is_ready && !member.is_unguarded() {
                continue;
            }
            if is_ready && !member.is_unguarded() {
                let is_loss = !member.is_voluntary();
                let hold = guard.objection(member);
                if let Some(hold) = hold.or((paced && is_loss).then_some(Hold::Paced)) {
                    pacing |= hold == Hold::Paced;
                    member.set_hold(hold);
                    let unreachable = member.is_unreachable();
                    if guard.allows_replacement(hold, is_loss) && slots.replace(now, slot) {
                        guard.count_replacement(unreachable);
                        changed = true;
                    }
                    continue;
                }
                if self.thawing && is_loss {
                    self.next = now + limits.pace;
                }
            }
            if is_ready {
                guard.count_removal(member);
            }
            member.set_state(target);
            changed = true;
        }
        self.thawing &= pacing || freeze != Freeze::Nothing;
        changed
    }
}

/// Returns the taken slots in the order in which their servers are considered for removal.
fn removal_order(slots: &Slots) -> Vec<usize> {
    let key = |(slot, member): (usize, &SlotMember)| (!member.is_voluntary(), member.since(), slot);
    let mut order: Vec<_> = slots.iter().map(key).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, slot)| slot).collect()
}

/// The counts that decide whether one more ready server may go.
struct Guard {
    /// The number of ready servers.
    ready: usize,
    /// The number of ready servers that HAProxy reaches.
    reachable: usize,
    /// The number of servers that have to stay ready when members fail.
    floor: usize,
    freeze: Freeze,
}

impl Guard {
    fn new(now: Time, slots: &Slots, limits: &Limits, freeze: Freeze) -> Guard {
        let members = || slots.iter().map(|(_, member)| member);
        let known = members().filter(|it| it.counts_as_known(now, limits.memory));
        let ready = || members().filter(|it| it.state() == AdminState::Ready);
        let share = (known.count() * limits.min_ready as usize).div_ceil(100);
        Guard {
            ready: ready().count(),
            reachable: ready().filter(|it| !it.is_unreachable()).count(),
            floor: share.max(1),
            freeze,
        }
    }

    /// Returns the reason why this ready server may not go; `None` if it may.
    fn objection(&self, member: &SlotMember) -> Option<Hold> {
        let left = self.ready - 1;
        // A server that HAProxy does not reach serves no request.
        let serving = match self.reachable {
            _ if member.is_superseded() => left, // its address now belongs to another member
            0 => left,
            reachable => reachable - usize::from(!member.is_unreachable()),
        };
        if serving == 0 {
            return Some(Hold::Last);
        }
        match (self.freeze, member.is_voluntary()) {
            (Freeze::Everything, _) | (Freeze::Losses, false) => return Some(Hold::Frozen),
            (Freeze::Nothing | Freeze::Losses, true) => return None,
            (Freeze::Nothing, false) => {}
        }
        (left < self.floor).then_some(Hold::Floor)
    }

    /// Returns true if a server with this objection may be replaced by a waiting member.
    fn allows_replacement(&self, hold: Hold, is_loss: bool) -> bool {
        match hold {
            Hold::Last | Hold::Floor => match self.freeze {
                Freeze::Nothing => true,
                Freeze::Losses => !is_loss,
                Freeze::Everything => false,
            },
            Hold::Frozen | Hold::Paced | Hold::Remembered => false,
        }
    }

    /// Counts the replacement of a server. HAProxy is assumed to reach the new server.
    fn count_replacement(&mut self, was_unreachable: bool) {
        self.reachable += usize::from(was_unreachable);
    }

    fn count_removal(&mut self, member: &SlotMember) {
        self.ready -= 1;
        self.reachable -= usize::from(!member.is_unreachable());
    }
}
