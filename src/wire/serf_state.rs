//! The push/pull user state of the Serf layer: clocks, intents and recent events of one member.
//!
//! A sender may list its whole ring of events, 512 slots that are nearly all nil; the nil ones
//! are counted and not kept. Names that no node of ours can have (empty, too long, no text) are
//! left out, because one member that was let in elsewhere must not hide the state of all others.

use super::message::{put_field, put_number};
use super::serf_message::kind;
use super::{Reader, Refusal, fields, msgpack};
use crate::limits;

/// The push/pull user state of the Serf layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SerfPushPull<'a> {
    /// The sender's member clock.
    pub ltime: u64,
    /// The sender's event clock.
    pub event_ltime: u64,
    /// The sender's query clock.
    pub query_ltime: u64,
    /// Every member the sender knows, and the time of its last intent.
    pub status_ltimes: Vec<(&'a str, u64)>,
    /// Members that the sender holds as left.
    pub left_members: Vec<&'a str>,
    /// Slots of the event ring that hold something.
    pub events: Vec<EventSlot<'a>>,
    /// How many nil slots the sender's list had beside them. Never written.
    pub nil_slots: usize,
}

/// One slot of the event ring: a Lamport time, and the events (name, payload) at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSlot<'a> {
    /// Time of the event clock.
    pub ltime: u64,
    /// Name and content of each event.
    pub events: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> SerfPushPull<'a> {
    /// Decodes it, Serf type byte (2) first.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::Truncated`], [`Refusal::Msgpack`], and
    /// [`Refusal::TooLarge`] when a list is longer than its bound in [`crate::limits`].
    pub fn decode(bytes: &'a [u8]) -> Result<SerfPushPull<'a>, Refusal> {
        const DECLARED: [&str; 6] = [
            "LTime",
            "StatusLTimes",
            "LeftMembers",
            "EventLTime",
            "Events",
            "QueryLTime",
        ];
        let mut reader = Reader::new(bytes);
        if reader.u8().map_err(|_| Refusal::EmptyPart)? != kind::PUSH_PULL {
            return Err(Refusal::UnknownType);
        }
        let mut state = SerfPushPull::default();
        msgpack::structure(&mut reader, &DECLARED, |name, reader| {
            match name {
                b"LTime" => state.ltime = msgpack::number(reader)?,
                b"StatusLTimes" => state.status_ltimes = status_ltimes(reader)?,
                b"LeftMembers" => state.left_members = left_members(reader)?,
                b"EventLTime" => state.event_ltime = msgpack::number(reader)?,
                b"Events" => (state.events, state.nil_slots) = slots(reader)?,
                b"QueryLTime" => state.query_ltime = msgpack::number(reader)?,
                _ => msgpack::skip(reader)?,
            }
            Ok(())
        })?;
        Ok(state)
    }

    /// Appends it, Serf type byte first; `events` only, no nil slots.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(kind::PUSH_PULL);
        msgpack::put_map(out, 6);
        put_number(out, "EventLTime", self.event_ltime);
        msgpack::put_text(out, "Events");
        msgpack::put_list(out, count(self.events.len()));
        for slot in &self.events {
            put_slot(out, slot);
        }
        put_number(out, "LTime", self.ltime);
        msgpack::put_text(out, "LeftMembers");
        msgpack::put_list(out, count(self.left_members.len()));
        for name in &self.left_members {
            msgpack::put_text(out, name);
        }
        put_number(out, "QueryLTime", self.query_ltime);
        msgpack::put_text(out, "StatusLTimes");
        msgpack::put_map(out, count(self.status_ltimes.len()));
        for (name, ltime) in &self.status_ltimes {
            put_number(out, name, *ltime);
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn put_slot(out: &mut Vec<u8>, slot: &EventSlot<'_>) {
    msgpack::put_map(out, 2);
    msgpack::put_text(out, "Events");
    msgpack::put_list(out, count(slot.events.len()));
    for (name, payload) in &slot.events {
        msgpack::put_map(out, 2);
        put_field(out, "Name", name);
        msgpack::put_text(out, "Payload");
        msgpack::put_bytes(out, *payload);
    }
    put_number(out, "LTime", slot.ltime);
}

/// A list's claimed length, refused above `bound`.
fn bounded(count: u32, bound: usize) -> Result<usize, Refusal> {
    match count as usize {
        count if count <= bound => Ok(count),
        _ => Err(Refusal::TooLarge),
    }
}

fn status_ltimes<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, u64)>, Refusal> {
    // A pair takes at least three bytes: a name of one, its head, a time.
    let count = bounded(msgpack::map(reader)?, limits::PUSH_PULL_NODES)?;
    let mut times = Vec::with_capacity(count.min(reader.remaining() / 3));
    for _ in 0..count {
        let name = fields::raw(reader)?;
        let ltime = msgpack::number(reader)?;
        if let Ok(name) = fields::check_name(name) {
            times.push((name, ltime));
        }
    }
    Ok(times)
}

fn left_members<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, Refusal> {
    let count = bounded(msgpack::list(reader)?, limits::PUSH_PULL_NODES)?;
    let mut names = Vec::with_capacity(count.min(reader.remaining() / 2));
    for _ in 0..count {
        if let Ok(name) = fields::check_name(fields::raw(reader)?) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The slots that hold something, and how many are nil.
fn slots<'a>(reader: &mut Reader<'a>) -> Result<(Vec<EventSlot<'a>>, usize), Refusal> {
    let count = bounded(msgpack::list(reader)?, limits::EVENT_SLOTS)?;
    let (mut slots, mut nil, mut room) = (Vec::new(), 0, limits::EVENTS);
    for _ in 0..count {
        if reader.peek() == Some(0xc0) {
            reader.u8()?;
            nil += 1;
        } else {
            slots.push(slot(reader, &mut room)?);
        }
    }
    Ok((slots, nil))
}

/// One slot; `room` is how many events all slots together may still hold.
fn slot<'a>(reader: &mut Reader<'a>, room: &mut usize) -> Result<EventSlot<'a>, Refusal> {
    let mut slot = EventSlot::default();
    msgpack::structure(reader, &["LTime", "Events"], |name, reader| {
        match name {
            b"LTime" => slot.ltime = msgpack::number(reader)?,
            b"Events" => {
                let count = bounded(msgpack::list(reader)?, *room)?;
                *room -= count;
                // One after the other: an event can be a single byte, so the count sizes nothing.
                slot.events = Vec::new();
                for _ in 0..count {
                    slot.events.extend(event(reader)?);
                }
            }
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(slot)
}

/// One event, or nothing if its name is no text.
#[allow(clippy::type_complexity)]
fn event<'a>(reader: &mut Reader<'a>) -> Result<Option<(&'a str, Option<&'a [u8]>)>, Refusal> {
    let (mut title, mut payload) = (&[][..], None);
    msgpack::structure(reader, &["Name", "Payload"], |name, reader| {
        match name {
            b"Name" => title = fields::raw(reader)?,
            b"Payload" => payload = msgpack::bytes(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    Ok(fields::check_text(title).ok().map(|title| (title, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(state: &SerfPushPull<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        state.encode(&mut out);
        out
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let events = vec![("deploy", Some(&b"1"[..])), ("", None)];
        let state = SerfPushPull {
            ltime: 1,
            event_ltime: u64::MAX,
            query_ltime: 3,
            status_ltimes: vec![("b", 7), ("a", 0)],
            left_members: vec!["b"],
            events: vec![EventSlot { ltime: 9, events }, EventSlot::default()],
            nil_slots: 0,
        };
        assert_eq!(SerfPushPull::decode(&encoded(&state)), Ok(state));
    }

    #[test]
    fn names_that_no_node_can_have_are_left_out() {
        let state = SerfPushPull {
            status_ltimes: vec![("", 1), ("a", 2), ("b\0", 3)],
            left_members: vec!["", "a"],
            ..SerfPushPull::default()
        };
        let wire = encoded(&state);
        let taken = SerfPushPull::decode(&wire).unwrap();
        assert_eq!(taken.status_ltimes, [("a", 2)]);
        assert_eq!(taken.left_members, ["a"]);
    }

    #[test]
    fn nil_slots_are_counted_and_lists_are_bounded() {
        let with_slots = |count: u32, nil: usize| {
            let mut wire = vec![kind::PUSH_PULL, 0x81];
            msgpack::put_text(&mut wire, "Events");
            msgpack::put_list(&mut wire, count);
            wire.resize(wire.len() + nil, 0xc0);
            SerfPushPull::decode(&wire).map(|state| (state.nil_slots, state.events.len()))
        };
        assert_eq!(with_slots(512, 512), Ok((512, 0)));
        assert_eq!(with_slots(512, 511), Err(Refusal::Truncated));
        assert_eq!(with_slots(u32::MAX, 1), Err(Refusal::TooLarge));
        assert_eq!(SerfPushPull::decode(&[1, 0x80]), Err(Refusal::UnknownType));
        assert_eq!(
            SerfPushPull::decode(&[2, 0xc0]),
            Ok(SerfPushPull::default())
        );
    }
}
