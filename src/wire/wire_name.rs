//! Names of nodes, user events and queries: bytes on the wire, and text everywhere else.
//!
//! memberlist and Serf take any bytes as a name. In the rest of the library, a name is text: each
//! byte that is not UTF-8, and each NUL, is escaped, for example as `\xff`. Text that looks like
//! such an escape gets its backslash escaped (`\x5c`). So two names never have the same text, and
//! the bytes of a name can be restored from its text.

use crate::limits;
use crate::printable;
use crate::wire::Refusal;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;

/// Returns the text of a name.
pub fn to_text(name: &[u8]) -> Cow<'_, str> {
    match plain(name) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(escaped(name)),
    }
}

/// Returns a name as text; `None` if the name needs an escape.
pub(super) fn plain(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    // The fast search for a backslash comes first: hardly any name has one.
    let has_escape = || (0..name.len()).any(|at| escape_at(name, at).is_some());
    let is_escaped = name.contains(&b'\\') && has_escape();
    (!name.contains(&0) && !is_escaped).then_some(text)
}

fn escaped(name: &[u8]) -> String {
    printable::escaped(name, |text, at| escape_at(text, at).is_some())
}

/// Returns the bytes of the name that has this text.
pub fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    let text = text.as_bytes();
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (byte, taken) = match escape_at(text, at) {
            Some(byte) => (byte, 4),
            None => (text[at], 1),
        };
        out.push(byte);
        at += taken;
    }
    Cow::Owned(out)
}

/// Returns the byte for which the escape at this place stands; `None` if there is no escape.
fn escape_at(text: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match text.get(at..at + 4)? {
        [b'\\', b'x', high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// The escaped texts of the names in one message, which the decoded message borrows, and the
/// reasons for which parts of the message with names that no node can have were left out.
#[derive(Debug, Default)]
pub struct Names {
    left_out: RefCell<BTreeSet<Refusal>>,
    next: Cell<usize>,
    texts: OnceCell<Box<[OnceCell<Box<str>>]>>,
}

impl Names {
    /// Returns the escaped text of a name; `None` if the message has too many such names.
    pub(super) fn keep(&self, name: &[u8]) -> Option<&str> {
        let none = || {
            (0..limits::ESCAPED_NAMES)
                .map(|_| OnceCell::new())
                .collect()
        };
        let place = self.texts.get_or_init(none).get(self.next.get())?;
        self.next.set(self.next.get() + 1);
        Some(place.get_or_init(|| escaped(name).into()))
    }

    /// Notes that a part of the message was left out.
    pub(super) fn leave_out(&self, why: Refusal) {
        self.left_out.borrow_mut().insert(why);
    }

    /// Takes the reasons for which parts of the message were left out. Each is named once, however
    /// many parts it concerns.
    pub fn take_left_out(&self) -> BTreeSet<Refusal> {
        self.left_out.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_text_of_its_own_and_can_be_written_again() {
        for (name, text) in [
            (&b"web"[..], "web"),
            ("größe".as_bytes(), "größe"),
            (br"C:\x", r"C:\x"),
            (br"\xFF", r"\xFF"),
            (b"web\xff", r"web\xff"),
            (br"web\xff", r"web\x5cxff"),
            (br"web\x5cxff", r"web\x5cx5cxff"),
            (b"a\0\xc3", r"a\x00\xc3"),
            (b"\\\xff", r"\\xff"),
            (b"\\xf\xff", r"\xf\xff"),
            (b"a\nb", "a\nb"),
        ] {
            assert_eq!(to_text(name), text);
            assert_eq!(&*to_bytes(text), name, "{text}");
        }
    }

    #[test]
    fn the_escaped_names_of_a_message_are_bounded() {
        let names = Names::default();
        for _ in 0..limits::ESCAPED_NAMES {
            assert_eq!(names.keep(b"\xff"), Some(r"\xff"));
        }
        assert_eq!(names.keep(b"\xff"), None);
    }
}
