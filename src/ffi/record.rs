//! Members and events as C sees them.
//!
//! Each record is one allocation that begins with the struct of the header and owns the targets of
//! its pointers. C is given the address of the beginning, from which this file finds the whole
//! record.

use super::args;
use super::types::{sprat_event, sprat_member};
use crate::event::{Event, EventBody, any_member_event};
use crate::printable;
use crate::serf::Member;
use std::ffi::{CStr, CString, c_char};
use std::net::IpAddr;
use std::ptr;
use std::sync::Arc;

/// A member for C.
#[repr(C)]
pub(super) struct MemberRecord {
    c_view: sprat_member,
    /// The name, then the key and the value of each tag, each with its NUL.
    text: Box<[u8]>,
    /// The offsets in `text` at which the key and the value of each tag begin.
    tags: Box<[[u32; 2]]>,
    /// Owns the metadata.
    pub(super) source: Member,
}

// SAFETY: the pointers of `c_view` lead into `text` and `source`, which never change.
unsafe impl Send for MemberRecord {}
// SAFETY: a shared record is only read, and its pointers lead into memory that never changes.
unsafe impl Sync for MemberRecord {}

impl MemberRecord {
    /// Makes the record of a member.
    pub(super) fn new(source: &Member) -> MemberRecord {
        // The meta has at least one byte before each key and each value, where the text has a NUL.
        let mut text = Vec::with_capacity(source.name.len() + source.meta.len() + 1);
        push(&mut text, &source.name);
        let tags = source.tags().by_key();
        let tags: Box<[[u32; 2]]> = tags
            .iter()
            .map(|(key, value)| [push(&mut text, key), push(&mut text, value)])
            .collect();
        let text = text.into_boxed_slice();
        let (addr, addr_len) = octets(source.addr.ip());
        let c_view = sprat_member {
            name: text.as_ptr().cast(),
            addr,
            addr_len,
            protocol: source.protocol(),
            delegate: source.delegate(),
            port: source.addr.port(),
            state: source.state as i32,
            incarnation: source.incarnation,
            ntags: tags.len() as u32,
            meta: source.meta.as_ptr(),
            meta_len: source.meta.len(),
        };
        MemberRecord {
            c_view,
            text,
            tags,
            source: source.clone(),
        }
    }

    /// Returns the pointer for C.
    pub(super) fn as_ptr(&self) -> *const sprat_member {
        ptr::from_ref(self).cast()
    }

    /// Returns the record behind the pointer that C was given.
    ///
    /// # Safety
    /// `member` is NULL or came from [`MemberRecord::as_ptr`] of a record that outlives `'a`.
    pub(super) unsafe fn from_ptr<'a>(member: *const sprat_member) -> Option<&'a MemberRecord> {
        // SAFETY: `member` is NULL or points to the beginning of a live record, as the caller
        // promises.
        unsafe { member.cast::<MemberRecord>().as_ref() }
    }

    /// Returns the key and the value of a tag by its index in the order of keys.
    pub(super) fn tag_at(&self, index: usize) -> Option<(&CStr, &CStr)> {
        let [key, value] = *self.tags.get(index)?;
        Some((self.text_at(key)?, self.text_at(value)?))
    }

    /// Returns the value of a tag by its key.
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

/// Appends a text with its NUL and returns its offset. The offset fits into 32 bits: the name and
/// tags of one member fit into one message, which is far smaller than 4 GiB.
fn push(text: &mut Vec<u8>, part: &str) -> u32 {
    let begin = text.len() as u32;
    text.extend_from_slice(printable::text(part.as_bytes()).as_bytes());
    text.push(0);
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

/// The memory that an event for C points to.
#[derive(Default)]
struct Parts {
    name: CString,
    text: CString,
    /// The target of `addr`.
    source: CString,
    payload: Arc<[u8]>,
}

/// Writes the fields of an event that depend on its kind, except for the pointers to the parts that
/// are returned.
fn fill(c_view: &mut sprat_event, body: &EventBody) -> Parts {
    let (mut name, mut text) = (CString::default(), CString::default());
    let mut payload = Arc::default();
    match body {
        EventBody::User {
            name: event,
            payload: content,
            ltime,
            coalesce: _,
        } => {
            (name, payload) = (args::text(event), Arc::from(&**content));
            c_view.ltime = *ltime;
        }
        EventBody::Query {
            id,
            name: query,
            payload: content,
            ltime,
            from,
            time,
        } => {
            (name, text) = (args::text(query), args::text(from));
            payload = Arc::from(&**content);
            (c_view.id, c_view.ltime) = (*id, *ltime);
            c_view.time_ms = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        }
        EventBody::QueryAck { id, from } => (c_view.id, name) = (*id, args::text(from)),
        EventBody::QueryResponse {
            id,
            from,
            payload: content,
        } => {
            (c_view.id, name) = (*id, args::text(from));
            payload = Arc::from(&**content);
        }
        EventBody::Done {
            id, token, result, ..
        } => {
            (c_view.id, c_view.op_data) = (*id, ptr::with_exposed_provenance_mut(*token));
            if let Err(error) = result {
                (c_view.status, text) = (error.status as i32, args::text(&error.message));
            }
        }
        EventBody::Overflow { lost } => c_view.lost = *lost,
        EventBody::Log {
            level,
            target,
            text: line,
        } => {
            c_view.level = level.number();
            (name, text) = (args::text(target), args::text(line));
        }
        EventBody::Fatal { error } => {
            (c_view.status, text) = (error.status as i32, args::text(&error.message));
        }
        EventBody::Message { .. }
        | EventBody::RemoteState { .. }
        | EventBody::PingAck { .. }
        | EventBody::MemberConflict { .. } => return of_memberlist(c_view, body),
        EventBody::NameRegained {} | any_member_event!() => {}
    }
    Parts {
        name,
        text,
        payload,
        ..Parts::default()
    }
}

/// Does the same as [`fill`] for an event of memberlist mode, or for an ack of a ping.
fn of_memberlist(c_view: &mut sprat_event, body: &EventBody) -> Parts {
    let mut parts = Parts::default();
    match body {
        EventBody::Message {
            from,
            addr,
            payload,
        } => {
            parts.payload = payload.clone();
            (parts.name, parts.source) = (args::text(from), args::text(&addr.to_string()));
        }
        EventBody::RemoteState {
            from,
            addr,
            join,
            payload,
        } => {
            (c_view.join, parts.payload) = (*join, payload.clone());
            (parts.name, parts.source) = (args::text(from), args::text(&addr.to_string()));
        }
        EventBody::PingAck { from, rtt, payload } => {
            (parts.name, parts.payload) = (args::text(from), Arc::from(&**payload));
            c_view.rtt_us = i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX);
        }
        EventBody::MemberConflict {
            name,
            known,
            claimed,
        } => {
            (parts.name, parts.text) = (args::text(name), args::text(&claimed.to_string()));
            parts.source = args::text(&known.to_string());
        }
        _ => {}
    }
    parts
}

/// An event for C.
#[repr(C)]
pub(super) struct EventRecord {
    c_view: sprat_event,
    /// False if a callback borrows the record: `sprat_event_free` then leaves it alone.
    owned: bool,
    member: Option<Arc<MemberRecord>>,
    name: CString,
    text: CString,
    /// The target of `addr`.
    source: CString,
    payload: Arc<[u8]>,
}

impl EventRecord {
    /// Makes the record of an event. It is boxed, so that its address stays the same.
    pub(super) fn new(event: &Event, owned: bool) -> Box<EventRecord> {
        let member = event.member().map(|it| Arc::new(MemberRecord::new(it)));
        let mut c_view = sprat_event {
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
            op_data: ptr::null_mut(),
            payload: ptr::null(),
            payload_len: 0,
            ltime: 0,
            time_ms: 0,
            join: false,
            addr: ptr::null(),
            rtt_us: 0,
        };
        let Parts {
            name,
            text,
            source,
            payload,
        } = fill(&mut c_view, &event.body);
        (c_view.name, c_view.text, c_view.addr) = (name.as_ptr(), text.as_ptr(), source.as_ptr());
        (c_view.payload, c_view.payload_len) = (payload.as_ptr(), payload.len());
        Box::new(EventRecord {
            c_view,
            owned,
            member,
            name,
            text,
            source,
            payload,
        })
    }

    /// Makes a copy that its holder owns.
    pub(super) fn copy(&self) -> Box<EventRecord> {
        let (name, text, source) = (self.name.clone(), self.text.clone(), self.source.clone());
        let payload = self.payload.clone();
        let c_view = sprat_event {
            name: name.as_ptr(),
            text: text.as_ptr(),
            addr: source.as_ptr(),
            payload: payload.as_ptr(),
            ..self.c_view
        };
        Box::new(EventRecord {
            c_view,
            owned: true,
            member: self.member.clone(),
            name,
            text,
            source,
            payload,
        })
    }

    /// Returns the pointer for a callback, which borrows the record.
    pub(super) fn as_ptr(&self) -> *const sprat_event {
        ptr::from_ref(self).cast()
    }

    /// Returns the pointer for a program, which then owns the record.
    pub(super) fn into_raw(self: Box<Self>) -> *const sprat_event {
        Box::into_raw(self).cast_const().cast()
    }

    /// Returns the record behind the pointer that C was given.
    ///
    /// # Safety
    /// `event` is NULL or came from `as_ptr` or `into_raw` of a record that outlives `'a`.
    pub(super) unsafe fn from_ptr<'a>(event: *const sprat_event) -> Option<&'a EventRecord> {
        // SAFETY: `event` is NULL or points to the beginning of a live record, as the caller
        // promises.
        unsafe { event.cast::<EventRecord>().as_ref() }
    }

    /// Frees a record that C owns, and leaves a borrowed one alone.
    ///
    /// # Safety
    /// `event` is NULL, borrowed and alive, or came from `into_raw` and is not used afterwards.
    pub(super) unsafe fn free(event: *const sprat_event) {
        // SAFETY: `event` is NULL or a live record, as the caller promises.
        if unsafe { Self::from_ptr(event) }.is_some_and(|record| record.owned) {
            // SAFETY: an owned record came from `into_raw`, and the caller does not use it
            // afterwards.
            drop(unsafe { Box::from_raw(event.cast_mut().cast::<EventRecord>()) });
        }
    }
}

/// Returns the pointer of a C string; NULL for `None`.
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
        // SAFETY: `at` points to a string of a record that the test has not dropped yet.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_member_shows_all_its_fields() {
        let record = MemberRecord::new(&member("web1", &[("role", "backend"), ("az", "")]));
        // SAFETY: `record` lives until the end of this test.
        let c_view = unsafe { &*record.as_ptr() };
        assert_eq!(text(c_view.name), "web1");
        assert_eq!(
            (&c_view.addr[..4], c_view.addr_len, c_view.port),
            (&[10, 0, 0, 1][..], 4, 7946)
        );
        assert_eq!(
            (
                c_view.state,
                c_view.incarnation,
                c_view.ntags,
                c_view.meta_len
            ),
            (2, 9, 2, 19)
        );
        assert_eq!((c_view.protocol, c_view.delegate), ([1, 5, 2], [2, 5, 4]));
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
        // SAFETY: `record` is alive, and a borrowed record stays alive.
        unsafe { EventRecord::free(record.as_ptr()) };
        let copy = record.copy().into_raw();
        drop(record);
        // SAFETY: `copy` is freed at the end of this test only.
        let c_view = unsafe { &*copy };
        assert_eq!((c_view.kind, c_view.seq, c_view.time_ns), (4, 3, 4));
        assert_eq!(
            (text(c_view.name), text(c_view.text)),
            (String::new(), String::new())
        );
        // SAFETY: a member of an event lives as long as the event.
        assert_eq!(text(unsafe { &*c_view.member }.name), "db");
        // SAFETY: `copy` came from `into_raw` and is not used afterwards.
        unsafe { EventRecord::free(copy) };
    }

    #[test]
    fn an_ack_of_a_ping_has_the_member_the_time_and_the_payload() {
        let body = EventBody::PingAck {
            from: "db".to_owned(),
            rtt: std::time::Duration::from_nanos(1_234_567),
            payload: Box::from(*b"load"),
        };
        let (seq, time) = (1, Time::from_nanos(2));
        let record = EventRecord::new(&Event { seq, time, body }, false);
        // SAFETY: `record` lives until the end of this test.
        let c_view = unsafe { &*record.as_ptr() };
        assert_eq!((c_view.kind, c_view.rtt_us), (16, 1234));
        assert_eq!(
            (text(c_view.name), c_view.payload_len),
            ("db".to_owned(), 4)
        );
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
            token: 1,
            result: Err(error()),
            missing: Vec::new(),
            keys: None,
        };
        let fatal = EventBody::Fatal { error: error() };
        let shown = |body| {
            let (seq, time) = (1, Time::from_nanos(2));
            let record = EventRecord::new(&Event { seq, time, body }, false);
            // SAFETY: `record` is not dropped before the last use of the reference.
            let c_view = unsafe { &*record.as_ptr() };
            let numbers = (
                c_view.kind,
                c_view.status,
                c_view.id,
                c_view.level,
                c_view.lost,
            );
            assert!(c_view.member.is_null());
            (numbers, text(c_view.name), text(c_view.text))
        };
        let words = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        for (body, numbers, (name, text)) in [
            (
                EventBody::Done {
                    id: 6,
                    token: 0,
                    result: Ok(3),
                    missing: Vec::new(),
                    keys: None,
                },
                (14, 0, 6, 0, 0),
                words("", ""),
            ),
            (failed, (14, -16, 7, 0, 0), words("", "te\\x00xt")),
            (
                EventBody::Overflow { lost: 9 },
                (20, 0, 0, 0, 9),
                words("", ""),
            ),
            (log, (21, 0, 0, 2, 0), words("wire", "a line")),
            (fatal, (22, -16, 0, 0, 0), words("", "te\\x00xt")),
        ] {
            assert_eq!(shown(body), (numbers, name, text));
        }
    }
}
