//! Resuming after an earlier run of this node: the snapshot has its Lamport times and its members.

use crate::serf::{Numbers, Past, SerfState};
use crate::time::Time;

impl SerfState {
    /// Takes over the clocks and the members of an earlier run, and begins to keep a snapshot of
    /// this one. User events and queries up to the times of the earlier run count as too old.
    pub fn resume(&mut self, now: Time, past: Past) {
        let Numbers {
            intent,
            event,
            query,
            ..
        } = past.numbers;
        self.witness(intent, event, query);
        let next = event.saturating_add(1);
        self.events.seen.ignore_before(next);
        self.events.order.skip_to(&mut self.common.out, next);
        self.queries.seen.ignore_before(query.saturating_add(1));
        if event > 0 {
            self.replay.resume();
        }
        self.common.resume(now, past);
    }

    /// Advances the clocks past these times.
    pub fn witness(&mut self, intent: u64, event: u64, query: u64) {
        let out = &mut self.common.out;
        self.intents.clock.witness(out, intent);
        self.events.seen.clock.witness(out, event);
        self.queries.seen.clock.witness(out, query);
    }

    /// Passes the clocks and the incarnation of this node to the snapshot. The latest Lamport time
    /// in use is one less than the time that a clock will use next.
    pub fn note_numbers(&mut self, incarnation: u32) {
        if let Some(snapshot) = &mut self.common.snapshot {
            snapshot.set_numbers(Numbers {
                intent: self.intents.clock.time() - 1,
                event: self.events.seen.clock.time() - 1,
                query: self.queries.seen.clock.time() - 1,
                incarnation,
            });
        }
    }
}
