//! A user event as the ring remembers it, and as every push/pull carries it.

use crate::serf::shared::ring::Item;

/// A user event that was seen.
#[derive(Clone, Debug)]
pub(in crate::serf) struct SeenEvent {
    pub name: Box<[u8]>,
    pub payload: Option<Box<[u8]>>,
}

impl PartialEq for SeenEvent {
    /// An event without a payload equals one with an empty payload, as in Serf 0.9.4.
    fn eq(&self, other: &SeenEvent) -> bool {
        let (mine, theirs) = (self.payload.as_deref(), other.payload.as_deref());
        self.name == other.name && mine.unwrap_or_default() == theirs.unwrap_or_default()
    }
}

impl Item for SeenEvent {
    fn weight(&self) -> usize {
        size_of::<SeenEvent>()
            + self.name.len()
            + self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}
