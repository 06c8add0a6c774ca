//! Members and events as C sees them.
//!
//! Each is one allocation that begins with the struct of the header and holds what its pointers
//! point to: C gets the address of the beginning, and here it leads back to the whole.

use super::args;
use super::types::{sprat_event, sprat_member};
use crate::event::{Event, EventBody, any_member_event};
use crate::serf::Member;
use std::ffi::{CStr, CString, c_char};
use std::net::IpAddr;
use std::ptr;
use std::sync::Arc;

/// A member for C.
#[repr(C)]
pub(super) struct MemberRecord {
    face: sprat_member,
    /// Name, then key and value of each tag, each with its NUL.
    text: Box<[u8]>,
    /// Where in `text` key and value of each tag begin.
    tags: Box<[[u32; 2]]>,
    /// Owns the metadata.
    pub(super) source: Arc<Member>,
}

// SAFETY: the pointers of `face` lead into `text` and `source`, which nobody changes.
unsafe impl Send for MemberRecord {}
// SAFETY: as above.
unsafe impl Sync for MemberRecord {}

impl MemberRecord {
    /// The record of a member.
    pub(super) fn new(source: &Arc<Member>) -> MemberRecord {
        let mut text = Vec::with_capacity(source.name.len() + 1);
        push(&mut text, &source.name);
        let tags: Box<[[u32; 2]]> = source
            .tags
            .iter()
            .map(|(key, value)| [push(&mut text, key), push(&mut text, value)])
            .collect();
        let text = text.into_boxed_slice();
        let (addr, addr_len) = octets(source.addr.ip());
        let face = sprat_member {
            name: text.as_ptr().cast(),
            addr,
            addr_len,
            protocol: source.protocol,
            delegate: source.delegate,
            port: source.addr.port(),
            state: source.state as i32,
            incarnation: source.incarnation,
            ntags: tags.len() as u32,
            meta: source.meta.as_ptr(),
            meta_len: source.meta.len(),
        };
        MemberRecord {
            face,
            text,
            tags,
            source: source.clone(),
        }
    }

    /// What C gets.
    pub(super) fn as_ptr(&self) -> *const sprat_member {
        ptr::from_ref(self).cast()
    }

    /// Back from what C got.
    ///
    /// # Safety
    /// `member` is NULL or came from [`MemberRecord::as_ptr`] of a record that outlives `'a`.
    pub(super) unsafe fn from_ptr<'a>(member: *const sprat_member) -> Option<&'a MemberRecord> {
        // SAFETY: the caller's promise.
        unsafe { member.cast::<MemberRecord>().as_ref() }
    }

    /// Key and value of a tag, in the order of their keys.
    pub(super) fn tag_at(&self, index: usize) -> Option<(&CStr, &CStr)> {
        let [key, value] = *self.tags.get(index)?;
        Some((self.text_at(key)?, self.text_at(value)?))
    }

    /// Value of a tag.
    pub(super) fn tag(&self, key: &[u8]) -> Option<&CStr> {
        let pairs = (0..self.tags.len()).filter_map(|index| self.tag_at(index));
        pairs
            .into_iter()
            .find(|(found, _)| found.to_bytes() == key)
            .map(|(_, value)| value)
    }

    fn text_at(&self, offset: u32) -> Option<&CStr> {
        CStr::from_bytes_until_nul(self.text.get(offset as usize..)?).ok()
    }
}

/// Appends a text with its NUL and says where it begins. Names and tags of one member are far
/// below 4 GiB: they came in one message.
fn push(text: &mut Vec<u8>, part: &str) -> u32 {
    let begin = text.len() as u32;
    text.extend_from_slice(args::text(part).as_bytes_with_nul());
    begin
}

fn octets(ip: IpAddr) -> ([u8; 16], u8) {
    let mut octets = [0; 16];
    match ip {
        IpAddr::V4(ip) => {
            octets[..4].copy_from_slice(&ip.octets());
            (octets, 4)
        }
        IpAddr::V6(ip) => (ip.octets(), 16),
    }
}

/// An event for C.
#[repr(C)]
pub(super) struct EventRecord {
    face: sprat_event,
    /// False while a callback borrows it: then `sprat_event_free` leaves it alone.
    owned: bool,
    member: Option<Arc<MemberRecord>>,
    name: CString,
    text: CString,
}

impl EventRecord {
    /// The record of an event, on the heap from the start since it points into itself.
    pub(super) fn new(event: &Event, owned: bool) -> Box<EventRecord> {
        let member = event.member().map(|it| Arc::new(MemberRecord::new(it)));
        let (mut name, mut text) = (c"".to_owned(), c"".to_owned());
        let mut face = sprat_event {
            kind: event.kind().number(),
            status: 0,
            seq: event.seq,
            time_ns: event.time.as_nanos(),
            member: member.as_ref().map_or(ptr::null(), |it| it.as_ptr()),
            name: ptr::null(),
            text: ptr::null(),
            id: 0,
            level: 0,
            lost: 0,
        };
        match &event.body {
            EventBody::Done { id, result } => {
                face.id = *id;
                if let Err(error) = result {
                    (face.status, text) = (error.status as i32, args::text(&error.message));
                }
            }
            EventBody::Overflow { lost } => face.lost = *lost,
            EventBody::Log {
                level,
                target,
                text: line,
            } => {
                face.level = level.number();
                (name, text) = (args::text(target), args::text(line));
            }
            EventBody::Fatal { error } => {
                (face.status, text) = (error.status as i32, args::text(&error.message));
            }
            any_member_event!() => {}
        }
        (face.name, face.text) = (name.as_ptr(), text.as_ptr());
        Box::new(EventRecord {
            face,
            owned,
            member,
            name,
            text,
        })
    }

    /// One more of it, that its holder owns.
    pub(super) fn copy(&self) -> Box<EventRecord> {
        let (name, text) = (self.name.clone(), self.text.clone());
        let face = sprat_event {
            name: name.as_ptr(),
            text: text.as_ptr(),
            ..self.face
        };
        Box::new(EventRecord {
            face,
            owned: true,
            member: self.member.clone(),
            name,
            text,
        })
    }

    /// What C gets to look at.
    pub(super) fn as_ptr(&self) -> *const sprat_event {
        ptr::from_ref(self).cast()
    }

    /// What C gets to keep.
    pub(super) fn into_raw(self: Box<Self>) -> *const sprat_event {
        Box::into_raw(self).cast_const().cast()
    }

    /// Back from what C got.
    ///
    /// # Safety
    /// `event` is NULL or came from `as_ptr` or `into_raw` of a record that outlives `'a`.
    pub(super) unsafe fn from_ptr<'a>(event: *const sprat_event) -> Option<&'a EventRecord> {
        // SAFETY: the caller's promise.
        unsafe { event.cast::<EventRecord>().as_ref() }
    }

    /// Ends what C kept; what it only borrows stays.
    ///
    /// # Safety
    /// `event` is NULL, borrowed, or came from `into_raw` and is used no more.
    pub(super) unsafe fn free(event: *const sprat_event) {
        // SAFETY: the caller's promise.
        if unsafe { Self::from_ptr(event) }.is_some_and(|record| record.owned) {
            // SAFETY: owned, so it came from `into_raw`.
            drop(unsafe { Box::from_raw(event.cast_mut().cast::<EventRecord>()) });
        }
    }
}

/// The C string of a pointer into a record, NULL when there is none.
pub(super) fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Status};
    use crate::event::Level;
    use crate::ffi::tests::member;
    use crate::time::Time;

    fn text(at: *const c_char) -> String {
        // SAFETY: the tests pass pointers of live records.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_member_shows_all_its_fields() {
        let record = MemberRecord::new(&member("web1", &[("role", "backend"), ("az", "")]));
        // SAFETY: the record lives.
        let face = unsafe { &*record.as_ptr() };
        assert_eq!(text(face.name), "web1");
        assert_eq!(
            (&face.addr[..4], face.addr_len, face.port),
            (&[10, 0, 0, 1][..], 4, 7946)
        );
        assert_eq!(
            (face.state, face.incarnation, face.ntags, face.meta_len),
            (2, 9, 2, 5)
        );
        assert_eq!((face.protocol, face.delegate), ([1, 5, 2], [2, 5, 4]));
        assert_eq!(record.tag_at(0), Some((c"az", c"")));
        assert_eq!(record.tag(b"role"), Some(c"backend"));
        assert_eq!(record.tag(b"rol"), None);
        assert_eq!(record.tag_at(2), None);
    }

    #[test]
    fn an_ipv6_address_has_sixteen_bytes() {
        let (bytes, len) = octets("2001:db8::1".parse().unwrap());
        assert_eq!(len, 16);
        assert_eq!((bytes[0], bytes[1], bytes[15]), (0x20, 0x01, 1));
    }

    #[test]
    fn a_borrowed_event_survives_a_free_and_its_copy_outlives_it() {
        let event = Event {
            seq: 3,
            time: Time::from_nanos(4),
            body: EventBody::MemberFail(member("db", &[])),
        };
        let record = EventRecord::new(&event, false);
        // SAFETY: a live record.
        unsafe { EventRecord::free(record.as_ptr()) };
        let copy = record.copy().into_raw();
        drop(record);
        // SAFETY: the copy lives.
        let face = unsafe { &*copy };
        assert_eq!((face.kind, face.seq, face.time_ns), (4, 3, 4));
        assert_eq!(
            (text(face.name), text(face.text)),
            (String::new(), String::new())
        );
        // SAFETY: the member lives as long as its event.
        assert_eq!(text(unsafe { &*face.member }.name), "db");
        // SAFETY: ours, and used no more.
        unsafe { EventRecord::free(copy) };
    }

    #[test]
    fn each_kind_fills_its_own_fields_and_leaves_the_others_empty() {
        let error = || Error::new(Status::Unreachable, "te\0xt");
        let log = EventBody::Log {
            level: Level::Warn,
            target: "wire",
            text: "a line".to_owned(),
        };
        let failed = EventBody::Done {
            id: 7,
            result: Err(error()),
        };
        let fatal = EventBody::Fatal { error: error() };
        let shown = |body| {
            let (seq, time) = (1, Time::from_nanos(2));
            let record = EventRecord::new(&Event { seq, time, body }, false);
            // SAFETY: `record` is not dropped before the last use of the reference.
            let face = unsafe { &*record.as_ptr() };
            let numbers = (face.kind, face.status, face.id, face.level, face.lost);
            assert!(face.member.is_null());
            (numbers, text(face.name), text(face.text))
        };
        let words = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        for (body, numbers, (name, text)) in [
            (
                EventBody::Done {
                    id: 6,
                    result: Ok(3),
                },
                (14, 0, 6, 0, 0),
                words("", ""),
            ),
            (failed, (14, -16, 7, 0, 0), words("", "te\u{fffd}xt")),
            (
                EventBody::Overflow { lost: 9 },
                (20, 0, 0, 0, 9),
                words("", ""),
            ),
            (log, (21, 0, 0, 2, 0), words("wire", "a line")),
            (fatal, (22, -16, 0, 0, 0), words("", "te\u{fffd}xt")),
        ] {
            assert_eq!(shown(body), (numbers, name, text));
        }
    }
}
