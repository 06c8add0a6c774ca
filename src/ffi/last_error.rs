//! The last error of each thread.
//!
//! The text lives in a thread local with a destructor. It is gone by the time that destructors of
//! `pthread_key_create` run at the end of a thread. The status needs no destructor, so the plain
//! text of the status is available even then.

use crate::error::{Error, Status};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int};

thread_local! {
    static STATUS: Cell<(c_int, c_int)> = const { Cell::new((0, 0)) };
    static TEXT: RefCell<CString> = RefCell::new(CString::default());
}

/// Keeps an error of `function`.
pub(super) fn set(function: &str, error: &Error) {
    STATUS.set((error.status as c_int, error.errno));
    let text = super::args::text(&format!("{function}: {}", error.message));
    let _ = TEXT.try_with(|slot| *slot.borrow_mut() = text);
}

/// The text of the last error. The pointer is valid until the next error on this thread.
pub(super) fn pointer() -> *const c_char {
    let status = STATUS.get().0;
    TEXT.try_with(|slot| match slot.borrow().as_ptr() {
        // Nothing has failed yet, or the text of the failure could not be kept.
        _ if slot.borrow().is_empty() => plain(status).as_ptr(),
        text => text,
    })
    .unwrap_or_else(|_| plain(status).as_ptr())
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

/// The text of the last error, for tests.
#[cfg(test)]
pub(super) fn text() -> CString {
    // SAFETY: `pointer` returns a string that is valid until the next error on this thread.
    unsafe { CStr::from_ptr(pointer()) }.to_owned()
}
