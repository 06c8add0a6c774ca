//! The number and the size of user events that wait, so that both can be bounded.

use crate::event::EventBody;

/// The user events that wait in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::serf) struct EventLoad {
    /// The number of events.
    pub count: usize,
    /// The bytes of their names and payloads.
    pub bytes: usize,
}

impl EventLoad {
    pub fn add(&mut self, event: &EventBody) {
        self.count += 1;
        self.bytes += content_len(event);
    }

    pub fn subtract(&mut self, event: &EventBody) {
        self.count -= 1;
        self.bytes -= content_len(event);
    }
}

fn content_len(event: &EventBody) -> usize {
    match event {
        EventBody::User { name, payload, .. } => name.len() + payload.len(),
        _ => 0,
    }
}
