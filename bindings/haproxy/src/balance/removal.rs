//! Taking away: who may go, and who is held.

use super::{Balance, Entry, Hold, Mode};
use sprat::time::Time;

/// What stands between a ready server and its removal.
struct Guard {
    ready: usize,
    /// Those of them that HAProxy reaches.
    reached: usize,
    floor: usize,
    frozen: bool,
}

impl Guard {
    /// Why this one may not go; `None` if it may.
    fn objection(&self, entry: &Entry) -> Option<Hold> {
        let left = self.ready - 1;
        // One that HAProxy does not reach serves nobody.
        let serving = match self.reached {
            _ if entry.is_superseded() => left, // its address goes on under another name
            0 => left,
            reached => reached - usize::from(!entry.doubted),
        };
        if serving == 0 {
            return Some(Hold::Last);
        }
        if entry.goes_willingly() {
            return None;
        }
        if self.frozen {
            return Some(Hold::Frozen);
        }
        (left < self.floor).then_some(Hold::Floor)
    }
}

impl Balance {
    /// Takes away who has to go and may.
    pub(super) fn remove(&mut self, now: Time) {
        let drain = self.limits.drain;
        let mut guard = self.guard(now);
        let mut waiting = false;
        for slot in self.leaving_first() {
            let paced = self.thawing && now < self.next_removal;
            let Some(entry) = self.slots.get_mut(slot) else {
                continue;
            };
            let goal = entry.goal_at(now, drain);
            if goal <= entry.mode() {
                if goal == Mode::Ready {
                    entry.become_mode(Mode::Ready);
                }
                continue; // a server that drains is not stopped less
            }
            if entry.mode() == Mode::Ready {
                let objection = guard.objection(entry);
                let unwilling = !entry.goes_willingly();
                if let Some(why) = objection.or((paced && unwilling).then_some(Hold::Paced)) {
                    waiting |= why == Hold::Paced;
                    entry.hold_for(why);
                    continue;
                }
                guard.ready -= 1;
                guard.reached -= usize::from(!entry.doubted);
                if self.thawing && unwilling {
                    self.next_removal = now + self.limits.pace;
                }
            }
            entry.become_mode(goal);
        }
        self.thawing &= waiting || guard.frozen;
    }

    fn guard(&self, now: Time) -> Guard {
        let memory = self.limits.memory;
        let entries = || self.slots.iter().map(|(_, entry)| entry);
        let known = entries().filter(|entry| entry.counts(now, memory)).count();
        let ready = || entries().filter(|it| it.mode() == Mode::Ready);
        let share = (known * self.limits.min_ready as usize).div_ceil(100);
        Guard {
            ready: ready().count(),
            reached: ready().filter(|it| !it.doubted).count(),
            floor: share.max(1),
            frozen: self.frozen || self.isolated,
        }
    }

    /// Slots in the order in which they may be taken away: who goes willingly, then who has been
    /// gone for longest.
    fn leaving_first(&self) -> Vec<usize> {
        let key = |(slot, entry): (usize, &Entry)| (!entry.goes_willingly(), entry.since(), slot);
        let mut order: Vec<_> = self.slots.iter().map(key).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, slot)| slot).collect()
    }
}
