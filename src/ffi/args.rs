//! Checks and converts arguments, and writes results to `out` arguments and buffers.

use crate::error::{Error, Result, Status};
use crate::printable;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::time::Duration;

/// The maximum number of bytes of a user event, a query or an answer, whatever the settings allow:
/// Serf's limit for user events.
pub(super) const MESSAGE_LEN: usize = 9 * 1024;

/// The largest number of items in a list argument. The limit catches a count that is garbage.
pub(super) const LIST_LEN: usize = 4096;

/// Returns the error for an argument that must not be NULL.
pub(super) fn null(argument: &str) -> Error {
    Error::new(Status::Null, format!("{argument} is NULL"))
}

/// Reads a string argument.
///
/// # Safety
/// `at` is NULL or a NUL-terminated string that outlives `'a`.
pub(super) unsafe fn string<'a>(argument: &str, at: *const c_char) -> Result<&'a str> {
    // SAFETY: `at` is NULL or a string that outlives `'a`, as the caller promises.
    unsafe { optional(argument, at) }?.ok_or_else(|| null(argument))
}

/// Reads a string argument that may be NULL.
///
/// # Safety
/// `at` is NULL or a NUL-terminated string that outlives `'a`.
pub(super) unsafe fn optional<'a>(argument: &str, at: *const c_char) -> Result<Option<&'a str>> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: `at` is not NULL here, and a string that outlives `'a`, as the caller promises.
    let text = unsafe { CStr::from_ptr(at) };
    text.to_str().map(Some).map_err(|error| {
        let offset = error.valid_up_to();
        Error::new(
            Status::Utf8,
            format!("{argument} is not UTF-8 at byte {offset}"),
        )
    })
}

/// Reads `len` bytes, and refuses more than `max`. `at` may be NULL if `len` is 0.
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
        let message = format!("{argument} has {len} bytes, at most {max} are allowed");
        return Err(Error::new(Status::TooLarge, message));
    }
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    // SAFETY: `at` is not NULL here, and points to `len` bytes that outlive `'a`, as the caller
    // promises.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// Reads the name and the payload of a user event or a query.
///
/// # Safety
/// `name` is NULL or a NUL-terminated string, `payload` is NULL or points to `len` bytes, and both
/// outlive `'a`.
pub(super) unsafe fn message<'a>(
    name: *const c_char,
    payload: *const c_void,
    len: usize,
) -> Result<(&'a str, &'a [u8])> {
    // SAFETY: `name` is NULL or a NUL-terminated string that outlives `'a`, as the caller promises.
    let name = unsafe { string("name", name)? };
    // SAFETY: `payload` is NULL or `len` bytes that outlive `'a`, as the caller promises.
    let payload = unsafe { bytes("payload", payload, len, MESSAGE_LEN)? };
    Ok((name, payload))
}

/// Reads a list of `len` items, and refuses more than [`LIST_LEN`]. `at` may be NULL if `len` is 0.
///
/// # Safety
/// `at` is NULL or points to `len` items that outlive `'a`.
pub(super) unsafe fn list<'a, T>(argument: &str, at: *const T, len: usize) -> Result<&'a [T]> {
    if len > LIST_LEN {
        let message = format!("{argument} has {len} items, at most {LIST_LEN} are allowed");
        return Err(Error::new(Status::TooLarge, message));
    }
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    // SAFETY: `at` is not NULL here, and points to `len` items that outlive `'a`, as the caller
    // promises.
    Ok(unsafe { std::slice::from_raw_parts(at, len) })
}

/// Reads a timeout in milliseconds; `None` waits without limit.
pub(super) fn timeout(timeout_ms: c_int) -> Result<Option<Duration>> {
    match u64::try_from(timeout_ms) {
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) if timeout_ms == -1 => Ok(None),
        Err(_) => Err(Error::new(
            Status::Invalid,
            format!("timeout_ms is {timeout_ms}, allowed: -1 (no limit), 0 (no wait) or more"),
        )),
    }
}

/// Reads the time in which answers count, in milliseconds; `None` for the default.
pub(super) fn answer_timeout(argument: &str, timeout_ms: c_int) -> Result<Option<Duration>> {
    match u64::try_from(timeout_ms) {
        Ok(0) => Ok(None),
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) => {
            let message =
                format!("{argument} is {timeout_ms}, allowed: 0 for the default, or more");
            Err(Error::new(Status::Invalid, message))
        }
    }
}

/// Refuses flags that are not among `known`.
pub(super) fn flags(flags: c_uint, known: c_uint) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        other => Err(Error::new(
            Status::Invalid,
            format!("flags has the unknown bits {other:#x}"),
        )),
    }
}

/// Writes `empty` to an `out` argument, so that a failure leaves no old value there. Refuses NULL.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(super) unsafe fn out<T>(argument: &str, out: *mut T, empty: T) -> Result<()> {
    if out.is_null() {
        return Err(null(argument));
    }
    // SAFETY: `out` is not NULL here, and valid for a write, as the caller promises.
    unsafe { out.write(empty) };
    Ok(())
}

/// Writes to an `out` argument, which may be NULL.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(super) unsafe fn give<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: `out` is not NULL here, and valid for a write, as the caller promises.
        unsafe { out.write(value) };
    }
}

/// Empties a buffer, so that a failure leaves no old text in it.
///
/// # Safety
/// `buf` is NULL or valid for `size` bytes.
pub(super) unsafe fn blank(buf: *mut c_char, size: usize) {
    if size > 0 {
        // SAFETY: `buf` is NULL or has at least one byte, as the caller promises.
        unsafe { give(buf, 0) };
    }
}

/// Writes `text` into a buffer of `size` bytes, NUL-terminated. A text that is too long is cut
/// between two characters, and the result is an error.
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
        let message = format!("buf has {size} bytes, but {needed} are needed");
        return Err(Error::new(Status::Buffer, message));
    }
    Ok(())
}

/// Makes a C string of a text. A NUL inside the text, which only a peer can have sent, is escaped.
pub(super) fn text(text: &str) -> CString {
    // The escaped text contains no NUL, so the default is never used.
    CString::new(&*printable::text(text.as_bytes())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_is_not_utf8_names_the_byte() {
        // SAFETY: the string is a literal with a NUL at its end.
        let got = unsafe { string("key", c"ab\xff".as_ptr()) };
        assert_eq!(got.unwrap_err().message, "key is not UTF-8 at byte 2");
    }

    #[test]
    fn timeouts_below_minus_one_are_refused() {
        assert_eq!(timeout(-1), Ok(None));
        assert_eq!(timeout(0), Ok(Some(Duration::ZERO)));
        assert_eq!(timeout(-2).unwrap_err().status, Status::Invalid);
        assert_eq!(timeout(i32::MIN).unwrap_err().status, Status::Invalid);
    }

    #[test]
    fn a_timeout_of_answers_is_the_default_if_it_is_zero_and_is_never_negative() {
        assert_eq!(answer_timeout("timeout_ms", 0), Ok(None));
        let got = answer_timeout("timeout_ms", 7);
        assert_eq!(got, Ok(Some(Duration::from_millis(7))));
        let got = answer_timeout("options.timeout_ms", -1).unwrap_err();
        let expected = "options.timeout_ms is -1, allowed: 0 for the default, or more";
        assert_eq!(got.message, expected);
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
    fn a_buffer_of_size_zero_is_not_touched() {
        let mut byte = 0x55;
        // SAFETY: nothing is written to a buffer of size 0.
        let got = unsafe { fill(&mut byte, 0, "") };
        assert_eq!((got.unwrap_err().status, byte), (Status::Buffer, 0x55));
    }

    #[test]
    fn a_nul_inside_a_text_is_escaped_and_does_not_cut_it() {
        assert_eq!(text("a\0b").to_str(), Ok(r"a\x00b"));
    }
}
