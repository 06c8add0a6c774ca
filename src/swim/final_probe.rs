//! The last look: a suspect is asked once more, by name, before it is declared dead.
//!
//! ```text
//!  suspected . . . . . . . . . . . . look - look - look - verdict
//!                                       any answer? pull its state, and look again
//! ```
//!
//! A refutation travels by gossip alone, and gossip misses members: under loss a single observer
//! sometimes never hears it, and memberlist then declares a node dead that answers every ping. So
//! a look carries the accusation in front of a ping: who lives refutes, and its answer brings the
//! refutation along. Who answers and still has not refuted is not buried unheard, but asked for
//! its state over a stream, at most three times. For a node that is dead the verdict comes
//! when it always came; only where late confirmations end the wait at once, there is time for
//! two looks. On the wire these are ordinary pings, accusations and push/pulls.

use super::members::Slot;
use super::news::Spread;
use super::push_pull::{self, Exchange};
use super::rounds::Cause;
use super::suspicion::Step;
use super::{NodeState, Swim};
use crate::time::Time;

/// Suspects that are looked at or asked at the same time; who loses sight of more is alone itself.
const AT_ONCE: usize = 64;

impl Swim {
    /// Something is due about a suspect: a look, or the verdict.
    pub(super) fn suspicion_due(&mut self, now: Time, slot: Slot) {
        let left = self.left;
        let Some(suspicion) = self.table.suspicion_mut(slot) else {
            return;
        };
        if left {
            // Who has left accuses nobody any more, and comes to its verdicts for itself alone.
            suspicion.look_no_more();
            let deadline = suspicion.next();
            if now < deadline {
                return self.suspicions.insert(deadline, slot);
            }
        }
        let step = suspicion.step(now);
        let next = suspicion.next();
        match step {
            Step::Verdict if left => self.suspicion_expired(now, slot, Spread::Quiet),
            Step::Verdict => self.suspicion_expired(now, slot, Spread::Encoded),
            Step::Look { first } => {
                self.suspicions.insert(next, slot);
                self.look(now, slot, first);
            }
            Step::Hear => {
                self.suspicions.insert(next, slot);
                self.hear_out(now, slot);
            }
        }
    }

    fn look(&mut self, now: Time, slot: Slot, first: bool) {
        if self.probes.running(Cause::is_final_probe) < AT_ONCE {
            self.begin_probe(now, slot, Cause::FinalProbe { first });
        }
    }

    /// The suspect answers, and its refutation was lost: asks it what it says of itself.
    fn hear_out(&mut self, now: Time, slot: Slot) {
        let Some(peer) = self.table.get(slot).map(|entry| entry.node.addr) else {
            return;
        };
        if self.may_dial() {
            let cause = push_pull::Cause::Suspect;
            self.begin_exchange(
                now,
                Exchange {
                    join: false,
                    cause,
                    pull_only: true,
                    peer,
                },
            );
        }
    }

    /// A probe of this member was answered: if it is a suspect, that speaks for it.
    pub(super) fn speaks_for(&mut self, slot: Slot, name: &str) {
        let same = self.table.get(slot).is_some_and(|entry| {
            entry.node.state == NodeState::Suspect && *entry.node.name == *name
        });
        if let Some(suspicion) = self.table.suspicion_mut(slot).filter(|_| same) {
            let before = suspicion.next();
            if suspicion.answered() {
                let after = suspicion.next();
                self.suspicions.remove(before, slot);
                self.suspicions.insert(after, slot);
            }
        }
    }
}
