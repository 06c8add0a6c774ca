//! Intents about names that are not known yet: they wait for the member to join.
//!
//! Gossip may bring an intent before it brings the member. The latest intent about the name then
//! decides whether the member is alive or leaving when it joins.

use crate::limits;
use crate::serf::shared::members::{ByName, SerfStatus};
use crate::serf::shared::outbox::Outbox;
use crate::time::Time;
use std::time::Duration;

/// The time for which an intent waits for its member (Serf's RecentIntentTimeout).
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The two kinds of intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) enum IntentKind {
    Join,
    Leave,
}

/// The latest intent about an unknown name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) struct EarlyIntent {
    pub kind: IntentKind,
    pub ltime: u64,
    since: Time,
}

impl EarlyIntent {
    /// Returns the status that the member gets when it joins.
    pub fn status(self) -> SerfStatus {
        match self.kind {
            IntentKind::Join => SerfStatus::Alive,
            IntentKind::Leave => SerfStatus::Leaving,
        }
    }
}

/// The latest intent about each unknown name: at most [`limits::BUFFERED_INTENTS`], whose names
/// have at most [`limits::BUFFERED_INTENT_BYTES`]. Intents about further names are only counted: a
/// leave that is missed for this reason may show as a failure.
#[derive(Debug, Default)]
pub(in crate::serf) struct EarlyIntents {
    waiting: ByName<EarlyIntent>,
    /// The sum of the lengths of the names.
    bytes: usize,
}

impl EarlyIntents {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps an intent if it is later than the one already held about this name. Returns true if it
    /// was kept and should be passed on.
    pub fn keep(
        &mut self,
        now: Time,
        out: &mut Outbox,
        kind: IntentKind,
        name: &str,
        ltime: u64,
    ) -> bool {
        let intent = EarlyIntent {
            kind,
            ltime,
            since: now,
        };
        if let Some(held) = self.waiting.get_mut(name) {
            if ltime <= held.ltime {
                return false;
            }
            **held = intent;
            return true;
        }
        let bytes = self.bytes + name.len();
        if self.waiting.len() >= limits::BUFFERED_INTENTS || bytes > limits::BUFFERED_INTENT_BYTES {
            out.counts.intents_dropped += 1;
            return false;
        }
        self.bytes = bytes;
        self.waiting.insert(name.into(), Box::new(intent));
        true
    }

    /// Takes out the intent about a member that has joined.
    pub fn take(&mut self, name: &str) -> Option<EarlyIntent> {
        let intent = self.waiting.remove(name)?;
        self.bytes -= name.len();
        Some(*intent)
    }

    /// Drops intents that have waited too long.
    pub fn expire(&mut self, now: Time) {
        self.waiting
            .retain(|_, intent| now.since(intent.since) <= PATIENCE);
        self.bytes = self.waiting.keys().map(|name| name.len()).sum();
    }

    /// Moves the arrival times of intents forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        self.waiting
            .values_mut()
            .for_each(|intent| intent.since = intent.since + by);
    }
}
