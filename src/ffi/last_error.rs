//! The last error of each thread.
//!
//! The texts lie in thread-local memory that has no destructor. So a pointer to a text can be read
//! until the thread ends, even in destructors that `pthread_key_create` registers, and even after
//! further failures. The last few texts are kept, so that one statement may make several calls and
//! read the error of each.

use crate::error::{Error, Status};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_char, c_int};
use std::fmt::{self, Write};

/// The number of failures whose texts are kept.
const KEPT: usize = 4;
/// The size of the place for a text and its NUL. A text is cut if [`CUT`] would not fit after it.
const SIZE: usize = 1024;
/// The end of a text that was cut.
const CUT: &str = "...";

/// The texts of the last failures; the place of the oldest one is used next.
struct Texts {
    places: [UnsafeCell<[u8; SIZE]>; KEPT],
    last: Cell<usize>,
}

thread_local! {
    static STATUS: Cell<(c_int, c_int)> = const { Cell::new((0, 0)) };
    static TEXTS: Texts = const {
        Texts {
            places: [const { UnsafeCell::new([0; SIZE]) }; KEPT],
            last: Cell::new(0),
        }
    };
}

/// Keeps an error of `function`.
pub(super) fn set(function: &str, error: &Error) {
    STATUS.set((error.status as c_int, error.errno));
    TEXTS.with(|texts| {
        let next = (texts.last.get() + 1) % KEPT;
        // SAFETY: only this thread uses the place, and no reference to it lives longer than this
        // block.
        let place = unsafe { &mut *texts.places[next].get() };
        let mut text = Text { place, len: 0 };
        // `write!` fails only if the text was cut.
        let _ = write!(text, "{function}: {}", error.message);
        texts.last.set(next);
    });
}

/// The text of the last error.
pub(super) fn pointer() -> *const c_char {
    match status() {
        0 => plain(0).as_ptr(), // nothing has failed yet
        _ => TEXTS.with(|texts| texts.places[texts.last.get()].get().cast()),
    }
}

/// The status of the last error, or 0.
pub(super) fn status() -> c_int {
    STATUS.get().0
}

/// The errno of the last error, or 0.
pub(super) fn errno() -> c_int {
    STATUS.get().1
}

/// The plain text of a status.
pub(super) fn plain(status: c_int) -> &'static CStr {
    match Status::from_number(status) {
        Some(status) => status.c_name(),
        None if status == 0 => c"success",
        None => c"unknown status",
    }
}

/// Writes a text with its NUL into a place, as far as it fits.
struct Text<'a> {
    place: &'a mut [u8; SIZE],
    len: usize,
}

impl Text<'_> {
    /// Appends bytes, for which there must be room.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.place[self.len..end].copy_from_slice(bytes);
        self.place[end] = 0;
        self.len = end;
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let mut buffer = [0; 4];
            let bytes = char.encode_utf8(&mut buffer).as_bytes();
            if self.len + bytes.len() + CUT.len() >= SIZE {
                self.push(CUT.as_bytes());
                return Err(fmt::Error);
            }
            self.push(bytes);
        }
        Ok(())
    }
}

/// The text of the last error, for tests.
#[cfg(test)]
pub(super) fn text() -> std::ffi::CString {
    // SAFETY: `pointer` returns a string of this thread.
    unsafe { CStr::from_ptr(pointer()) }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(message: &str) -> *const c_char {
        set("sprat_test", &Error::new(Status::State, message));
        pointer()
    }

    fn read(at: *const c_char) -> String {
        // SAFETY: `at` points to a text of this thread.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_texts_of_the_last_failures_stay_and_older_ones_are_replaced() {
        let first = fail("0");
        let texts: Vec<_> = (1..KEPT).map(|n| (n, fail(&n.to_string()))).collect();
        assert_eq!(read(first), "sprat_test: 0");
        for (n, text) in texts {
            assert_eq!(read(text), format!("sprat_test: {n}"));
        }
        fail("again");
        assert_eq!(read(first), "sprat_test: again");
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        for padding in ["", "x", "xx", "xxx"] {
            let text = read(fail(&format!("{padding}{}", "\u{1f41f}".repeat(SIZE))));
            assert!(text.len() < SIZE && text.len() > SIZE - 8, "{}", text.len());
            assert!(text.ends_with("\u{1f41f}..."), "{text}");
        }
        let fits = "x".repeat(SIZE - "sprat_test: ...\0".len());
        assert_eq!(read(fail(&fits)), format!("sprat_test: {fits}"));
        assert_eq!(read(fail("a\0b")), r"sprat_test: a\x00b");
    }
}
