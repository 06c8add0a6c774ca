//! Checks and converts what comes in, and writes what goes out.

use crate::error::{Error, Result, Status};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::time::Duration;

/// Items of one list argument: a bound against a count that is not one.
pub(super) const LIST_LEN: usize = 4096;

/// The error for an argument that must not be NULL.
pub(super) fn null(argument: &str) -> Error {
    Error::new(Status::Null, format!("{argument} is NULL"))
}

/// A string argument.
///
/// # Safety
/// `at` is NULL or a NUL-terminated string that outlives `'a`.
pub(super) unsafe fn string<'a>(argument: &str, at: *const c_char) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { optional(argument, at) }?.ok_or_else(|| null(argument))
}

/// A string argument that may be NULL.
///
/// # Safety
/// `at` is NULL or a NUL-terminated string that outlives `'a`.
pub(super) unsafe fn optional<'a>(argument: &str, at: *const c_char) -> Result<Option<&'a str>> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller's promise.
    let text = unsafe { CStr::from_ptr(at) };
    text.to_str().map(Some).map_err(|error| {
        let offset = error.valid_up_to();
        Error::new(
            Status::Utf8,
            format!("{argument} is not UTF-8 at byte {offset}"),
        )
    })
}

/// Bytes with a length; NULL is fine for none.
///
/// # Safety
/// `at` is NULL or points to `len` bytes that outlive `'a`.
pub(super) unsafe fn bytes<'a>(
    argument: &str,
    at: *const c_void,
    len: usize,
    max: usize,
) -> Result<&'a [u8]> {
    if len > max {
        let message = format!("{argument} has {len} bytes, allowed are {max}");
        return Err(Error::new(Status::TooLarge, message));
    }
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    // SAFETY: not NULL, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// A list with its count; NULL is fine for none.
///
/// # Safety
/// `at` is NULL or points to `len` items that outlive `'a`.
pub(super) unsafe fn list<'a, T>(argument: &str, at: *const T, len: usize) -> Result<&'a [T]> {
    if len > LIST_LEN {
        let message = format!("{argument} has {len} items, allowed are {LIST_LEN}");
        return Err(Error::new(Status::TooLarge, message));
    }
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    // SAFETY: not NULL, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(at, len) })
}

/// Milliseconds to wait; `None` is without limit.
pub(super) fn timeout(timeout_ms: c_int) -> Result<Option<Duration>> {
    match u64::try_from(timeout_ms) {
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) if timeout_ms == -1 => Ok(None),
        Err(_) => Err(Error::new(
            Status::Invalid,
            format!("timeout_ms is {timeout_ms}, allowed are -1 and more"),
        )),
    }
}

/// Flags, all of them among `known`.
pub(super) fn flags(flags: c_uint, known: c_uint) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        other => Err(Error::new(
            Status::Invalid,
            format!("flags has the unknown bits {other:#x}"),
        )),
    }
}

/// An `out` argument, emptied first so that a failure leaves nothing to misread.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(super) unsafe fn out<T>(argument: &str, out: *mut T, empty: T) -> Result<()> {
    if out.is_null() {
        return Err(null(argument));
    }
    // SAFETY: not NULL, and the caller's promise.
    unsafe { out.write(empty) };
    Ok(())
}

/// Writes to an `out` argument that may be NULL.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(super) unsafe fn give<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL, and the caller's promise.
        unsafe { out.write(value) };
    }
}

/// Empties a buffer, so that a failure leaves no old text in it.
///
/// # Safety
/// `buf` is NULL or valid for `size` bytes.
pub(super) unsafe fn blank(buf: *mut c_char, size: usize) {
    if size > 0 {
        // SAFETY: the caller's promise.
        unsafe { give(buf, 0) };
    }
}

/// Writes `text` into a buffer of `size` bytes, cut at a character and NUL-terminated.
///
/// # Safety
/// `buf` is NULL or valid for `size` bytes.
pub(super) unsafe fn fill(buf: *mut c_char, size: usize, text: &str) -> Result<()> {
    if buf.is_null() {
        return Err(null("buf"));
    }
    let needed = text.len() + 1;
    let longest = text.len().min(size.saturating_sub(1));
    let boundary = (0..=longest).rev().find(|at| text.is_char_boundary(*at));
    let fits = boundary.unwrap_or(0);
    if size > 0 {
        // SAFETY: `fits` is at most `size - 1`, and `text` cannot overlap the caller's buffer.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buf, fits);
            buf.add(fits).write(0);
        }
    }
    if needed > size {
        let message = format!("buf has {size} bytes, needed are {needed}");
        return Err(Error::new(Status::Buffer, message));
    }
    Ok(())
}

/// A text as C sees it. A NUL inside, which only a peer could have sent, is shown as U+FFFD.
pub(super) fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        // No NUL is left, so the default is never taken.
        CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_is_not_utf8_names_the_byte() {
        // SAFETY: a literal.
        let got = unsafe { string("key", c"ab\xff".as_ptr()) };
        assert_eq!(got.unwrap_err().message, "key is not UTF-8 at byte 2");
    }

    #[test]
    fn waiting_times_below_minus_one_are_refused() {
        assert_eq!(timeout(-1), Ok(None));
        assert_eq!(timeout(0), Ok(Some(Duration::ZERO)));
        assert_eq!(timeout(-2).unwrap_err().status, Status::Invalid);
        assert_eq!(timeout(i32::MIN).unwrap_err().status, Status::Invalid);
    }

    #[test]
    fn a_small_buffer_holds_a_cut_text_that_is_still_utf8() {
        let mut buf = [0x55; 4];
        // SAFETY: the buffer has the length that is passed.
        let got = unsafe { fill(buf.as_mut_ptr(), buf.len(), "abü!") };
        assert_eq!(got.unwrap_err().status, Status::Buffer);
        assert_eq!(buf, [b'a' as c_char, b'b' as c_char, 0, 0x55]);
    }

    #[test]
    fn a_buffer_of_no_size_is_not_touched() {
        let mut byte = 0x55;
        // SAFETY: nothing is written.
        let got = unsafe { fill(&mut byte, 0, "") };
        assert_eq!((got.unwrap_err().status, byte), (Status::Buffer, 0x55));
    }

    #[test]
    fn a_nul_inside_a_text_is_shown_and_not_a_cut() {
        assert_eq!(text("a\0b").to_str(), Ok("a\u{fffd}b"));
    }
}
