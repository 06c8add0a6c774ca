//! One user message: decoded, handled, and queued again as it came if others may not have it.

use super::SerfState;
use super::serf_state::{Order, lane};
use crate::time::Time;
use crate::wire::serf_message::SerfMessage;

impl SerfState {
    /// A user message, Serf type byte first. In memberlist mode nobody here reads them.
    pub fn message_received(&mut self, now: Time, bytes: &[u8]) {
        if !self.is_serf() {
            return;
        }
        let message = match SerfMessage::decode(bytes) {
            Ok(message) => message,
            Err(why) => return self.refuse(why),
        };
        let (relayed, lane) = match &message {
            SerfMessage::Leave(intent) => (self.leave_intent(now, intent), lane::INTENTS),
            SerfMessage::Join(intent) => (self.join_intent(now, intent), lane::INTENTS),
            SerfMessage::UserEvent(event) => (self.user_event(event), lane::EVENTS),
            SerfMessage::Query(query) => (self.query(query), lane::QUERIES),
            SerfMessage::QueryResponse(_) => {
                // We asked nothing, so nobody has anything to answer.
                self.counts.stray_answers += 1;
                return;
            }
            SerfMessage::Relay(relay) => return self.relay(relay),
        };
        if relayed {
            self.counts.relayed(lane);
            self.orders.push_back(Order::Broadcast {
                lane,
                bytes: bytes.to_vec(),
                token: None,
            });
        }
    }
}
