//! The push/pull user state of the Serf layer: clocks, intents and recent events of one member.
//!
//! A sender may list its whole ring of events, 512 slots that are nearly all nil; the nil ones are
//! skipped. A name that is empty or too long, or that needs an escape for which there is no room,
//! is left out: other implementations may let in a member with such a name, and it must not hide
//! the state of all other members.

use super::fields::{self, Bytes, Number, Payload, codecs};
use super::record::{Body, Record, record};
use super::{Names, Reader, Refusal, msgpack};
use crate::limits;
use std::collections::BTreeMap;

/// The Serf type byte of the user state.
pub(super) const KIND: u8 = 2;

record! {
    /// The push/pull user state of the Serf layer.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct SerfPushPull<'a> {
        /// The sender's member clock.
        ltime: u64 => "LTime" Number,
        /// Every member that the sender knows, and the time of its last intent. For a member that
        /// is leaving, sprat sends a time that is one less.
        status_ltimes: Vec<(&'a str, u64)> => "StatusLTimes" StatusTimes,
        /// The members that have left, as far as the sender knows.
        left_members: Vec<&'a str> => "LeftMembers" LeftMembers,
        /// The sender's event clock.
        event_ltime: u64 => "EventLTime" Number,
        /// Recent user events, at most [`crate::limits::EVENTS`] in all slots together.
        events: Vec<PastEvents<'a>> => "Events" EventRing,
        /// The sender's query clock.
        query_ltime: u64 => "QueryLTime" Number,
    }

    /// The user events of one Lamport time: a slot of the sender's ring of events.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct PastEvents<'a> {
        /// The time of the event clock.
        ltime: u64 => "LTime" Number,
        /// The events of that time.
        events: Vec<PastEvent<'a>> => "Events" EventList,
    }

    /// A user event that the sender has seen.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PastEvent<'a> {
        /// The name of the event.
        name: &'a [u8] => "Name" Bytes,
        /// Its content.
        payload: Option<&'a [u8]> => "Payload" Payload,
    }
}

impl<'a> SerfPushPull<'a> {
    /// Decodes a state that begins with the Serf type byte (2). This function is for tests and
    /// tools: names have to be text.
    ///
    /// # Errors
    /// [`Refusal::EmptyPart`], [`Refusal::UnknownType`], [`Refusal::Truncated`],
    /// [`Refusal::Msgpack`], and [`Refusal::TooLarge`] when a list is longer than its bound in
    /// [`crate::limits`].
    #[cfg(any(test, feature = "internals"))]
    pub fn decode(bytes: &'a [u8]) -> Result<SerfPushPull<'a>, Refusal> {
        SerfPushPull::decode_from(Reader::new(bytes))
    }

    /// Decodes like [`SerfPushPull::decode`], but also takes names that are not text: `names` keeps
    /// their escaped texts, and the reasons for which names and events were left out.
    ///
    /// # Errors
    /// The same as those of [`SerfPushPull::decode`].
    pub fn decode_in(bytes: &'a [u8], names: &'a Names) -> Result<SerfPushPull<'a>, Refusal> {
        SerfPushPull::decode_from(Reader::with_names(bytes, names))
    }

    fn decode_from(mut reader: Reader<'a>) -> Result<SerfPushPull<'a>, Refusal> {
        match reader.u8().map_err(|_| Refusal::EmptyPart)? {
            KIND => Body::decode(&mut reader),
            _ => Err(Refusal::UnknownType),
        }
    }

    /// Returns the members that have left, each with the time of its last intent, or with 0 if the
    /// sender does not give that time.
    pub fn times_of_left_members(&self) -> BTreeMap<&'a str, u64> {
        let left = self.left_members.iter().map(|&name| (name, 0));
        let mut left: BTreeMap<&str, u64> = left.collect();
        for (name, ltime) in &self.status_ltimes {
            if let Some(time_of_leave) = left.get_mut(name) {
                *time_of_leave = *ltime;
            }
        }
        left
    }

    /// Appends the encoded state, which begins with the Serf type byte.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(KIND);
        self.put(out);
    }
}

codecs! {
    /// A map of names to Lamport times.
    StatusTimes(Vec<(&'a str, u64)>) -> Vec<(&'a str, u64)>: status_times, Ok, put_status_times;
    /// A list of names.
    LeftMembers(Vec<&'a str>) -> Vec<&'a str>: left_members, Ok, put_left_members;
    /// A list of slots, each nil or the events of one Lamport time.
    EventRing(Vec<PastEvents<'a>>) -> Vec<PastEvents<'a>>: event_ring, Ok, put_records;
    /// The events of one slot.
    EventList(Vec<PastEvent<'a>>) -> Vec<PastEvent<'a>>: event_list, Ok, put_records;
}

fn status_times<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, u64)>, Refusal> {
    // A pair takes at least three bytes: the head of the name, one byte of it, and the time.
    let count = msgpack::map(reader)?;
    fields::items(reader, count, limits::PUSH_PULL_NODES, 3, |reader| {
        let name = listed_name(reader)?;
        let ltime = msgpack::number(reader)?;
        Ok(name.map(|name| (name, ltime)))
    })
}

/// Reads a name in a list. A name that no node can have, or an escaped one too many, is left out.
fn listed_name<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Refusal> {
    let name = fields::check_name(fields::read_name(reader)?);
    Ok(name.map_err(|why| reader.leave_out(why)).ok())
}

fn put_status_times(out: &mut Vec<u8>, times: &[(&str, u64)]) {
    msgpack::put_map(out, msgpack::count(times.len()));
    for (name, ltime) in times {
        fields::put_name(out, name);
        msgpack::put_number(out, *ltime);
    }
}

fn left_members<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, Refusal> {
    let count = msgpack::list(reader)?;
    fields::items(reader, count, limits::PUSH_PULL_NODES, 2, listed_name)
}

fn put_left_members(out: &mut Vec<u8>, names: &[&str]) {
    fields::put_items(out, names, |out, name| fields::put_name(out, name));
}

/// Reads the slots that are not nil. All slots together hold at most [`limits::EVENTS`] events.
fn event_ring<'a>(reader: &mut Reader<'a>) -> Result<Vec<PastEvents<'a>>, Refusal> {
    let mut room = limits::EVENTS;
    let count = msgpack::list(reader)?;
    // Nearly all slots may be nil, so no memory is reserved for the count.
    fields::items(reader, count, limits::EVENT_SLOTS, usize::MAX, |reader| {
        if msgpack::take_nil(reader) {
            return Ok(None);
        }
        let slot: PastEvents = Body::decode(reader)?;
        let left = room.checked_sub(slot.events.len());
        room = left.ok_or(Refusal::TooLarge)?;
        Ok(Some(slot))
    })
}

fn event_list<'a>(reader: &mut Reader<'a>) -> Result<Vec<PastEvent<'a>>, Refusal> {
    let count = msgpack::list(reader)?;
    // An event can take a single byte, so no memory is reserved for the count.
    fields::items(reader, count, limits::EVENTS, usize::MAX, |reader| {
        let event = PastEvent::check(PastEvent::read(reader)?);
        Ok(event.map_err(|why| reader.leave_out(why)).ok())
    })
}

fn put_records<'a, R: Record<'a>>(out: &mut Vec<u8>, records: &[R]) {
    fields::put_items(out, records, |out, record| record.put(out));
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
    fn a_state_survives_encoding_and_decoding() {
        let event = |name, payload| PastEvent { name, payload };
        let events = vec![event(&b"deploy"[..], Some(&b"1"[..])), event(b"", None)];
        let state = SerfPushPull {
            ltime: 1,
            event_ltime: u64::MAX,
            query_ltime: 3,
            status_ltimes: vec![("b", 7), ("a", 0)],
            left_members: vec!["b"],
            events: vec![PastEvents { ltime: 9, events }, PastEvents::default()],
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
        let names = Names::default();
        let taken = SerfPushPull::decode_in(&wire, &names).unwrap();
        assert_eq!(taken.status_ltimes, [("a", 2), (r"b\x00", 3)]);
        assert_eq!(taken.left_members, ["a"]);
        assert_eq!(names.take_left_out(), [Refusal::NameLength].into());
        let taken = SerfPushPull::decode(&wire).unwrap();
        assert_eq!(taken.status_ltimes, [("a", 2)]);
    }

    #[test]
    fn nil_slots_are_skipped_and_lists_are_bounded() {
        let with_slots = |count: u32, nil: usize| {
            let mut wire = vec![KIND, 0x81];
            msgpack::put_text(&mut wire, "Events");
            msgpack::put_list(&mut wire, count);
            wire.resize(wire.len() + nil, 0xc0);
            SerfPushPull::decode(&wire).map(|state| state.events.len())
        };
        assert_eq!(with_slots(512, 512), Ok(0));
        assert_eq!(with_slots(512, 511), Err(Refusal::Truncated));
        assert_eq!(with_slots(u32::MAX, 1), Err(Refusal::TooLarge));
        assert_eq!(SerfPushPull::decode(&[1, 0x80]), Err(Refusal::UnknownType));
        assert_eq!(
            SerfPushPull::decode(&[2, 0xc0]),
            Ok(SerfPushPull::default())
        );
    }

    #[test]
    fn the_number_of_events_in_all_slots_together_is_bounded() {
        // Two slots in the array form; an event of nil takes a single byte.
        let with_events = |counts: [usize; 2]| {
            let mut wire = vec![KIND, 0x81];
            msgpack::put_text(&mut wire, "Events");
            msgpack::put_list(&mut wire, 2);
            for count in counts {
                wire.extend_from_slice(&[0x92, 0x07]);
                msgpack::put_list(&mut wire, msgpack::count(count));
                wire.resize(wire.len() + count, 0xc0);
            }
            SerfPushPull::decode(&wire).map(|state| state.events.len())
        };
        assert_eq!(with_events([limits::EVENTS - 1, 1]), Ok(2));
        assert_eq!(with_events([limits::EVENTS, 1]), Err(Refusal::TooLarge));
        assert_eq!(with_events([limits::EVENTS + 1, 0]), Err(Refusal::TooLarge));
    }

    #[test]
    fn an_event_whose_name_is_not_text_is_taken_like_the_others() {
        let mut wire = vec![KIND, 0x81];
        msgpack::put_text(&mut wire, "Events");
        wire.extend_from_slice(b"\x91\x92\x07\x92\x91\xa1\xff\x92\xa1a\xa1b");
        let state = SerfPushPull::decode(&wire).unwrap();
        let payload = Some(&b"b"[..]);
        let events = vec![
            PastEvent {
                name: b"\xff",
                payload: None,
            },
            PastEvent {
                name: b"a",
                payload,
            },
        ];
        assert_eq!(state.events, [PastEvents { ltime: 7, events }]);
    }
}
