//! Members and events as C sees them.
//!
//! Each is one allocation that begins with the struct of the header and holds what its pointers
//! point to: C gets the address of the beginning, and here it leads back to the whole.

use super::args;
use super::types::{sprat_event, sprat_member};
use crate::driver::{Event, EventKind};
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
        let member = event
            .member
            .as_ref()
            .map(|member| Arc::new(MemberRecord::new(member)));
        let (name, text) = (args::text(&event.name), args::text(&event.text));
        let face = sprat_event {
            kind: event.kind as i32,
            status: event.status,
            seq: event.seq,
            time_ns: event.time_ns,
            member: member
                .as_ref()
                .map_or(ptr::null(), |member| member.as_ptr()),
            name: name.as_ptr(),
            text: text.as_ptr(),
            id: event.id,
            level: event.level,
            lost: event.lost,
        };
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

/// Is it a line of the log?
pub(super) fn is_log(event: &Event) -> bool {
    event.kind == EventKind::Log
}

/// The C string of a pointer into a record, NULL when there is none.
pub(super) fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::tests::member;

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
            kind: EventKind::MemberFail,
            status: 0,
            seq: 3,
            time_ns: 4,
            member: Some(member("db", &[])),
            name: String::new(),
            text: "te\0xt".to_owned(),
            id: 0,
            level: 0,
            lost: 0,
        };
        let record = EventRecord::new(&event, false);
        // SAFETY: a live record.
        unsafe { EventRecord::free(record.as_ptr()) };
        let copy = record.copy().into_raw();
        drop(record);
        // SAFETY: the copy lives.
        let face = unsafe { &*copy };
        assert_eq!((face.kind, face.seq, face.time_ns), (4, 3, 4));
        assert_eq!(text(face.text), "te\u{fffd}xt");
        // SAFETY: the member lives as long as its event.
        assert_eq!(text(unsafe { &*face.member }.name), "db");
        // SAFETY: ours, and used no more.
        unsafe { EventRecord::free(copy) };
    }
}
