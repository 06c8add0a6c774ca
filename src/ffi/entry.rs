//! The functions of the C interface run inside a function of this file, which lets no panic out,
//! keeps every failure as the last error of its thread, and holds back pthread_cancel(). Functions
//! that only return a static text or a stored number, such as sprat_version(), do not need this.

use super::last_error;
use crate::driver::os::panic;
use crate::driver::os::threads::Uncancelled;
use crate::error::{Error, Result, Status};
use std::ffi::c_int;

/// Runs a function that returns a number, or a negative status.
pub(super) fn number(function: &str, body: impl FnOnce() -> Result<c_int>) -> c_int {
    run(function, body).unwrap_or_else(|status| status as c_int)
}

/// Runs a function that returns 0, or a negative status.
pub(super) fn status(function: &str, body: impl FnOnce() -> Result<()>) -> c_int {
    number(function, || body().map(|()| 0))
}

/// Runs a function that returns another type; `fallback` is its result after a failure.
pub(super) fn value<T>(function: &str, fallback: T, body: impl FnOnce() -> Result<T>) -> T {
    run(function, body).unwrap_or(fallback)
}

/// Runs a function that cannot fail; `fallback` is its result after a panic.
pub(super) fn quiet<T>(function: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    run(function, || Ok(body())).unwrap_or(fallback)
}

/// Runs one step of a function that calls code of the program between its steps. That code runs
/// outside of all steps, because a step would catch an exception that leaves the code. The error is
/// the status that the function has to return.
pub(super) fn step<T>(
    function: &str,
    body: impl FnOnce() -> Result<T>,
) -> std::result::Result<T, c_int> {
    run(function, body).map_err(|status| status as c_int)
}

/// Runs a function that frees an object. NULL is ignored.
///
/// # Safety
/// `object` is NULL or comes from [`Box::into_raw`], and nothing uses it afterwards.
pub(super) unsafe fn free<T>(function: &str, object: *mut T) {
    quiet(function, (), || {
        if !object.is_null() {
            // SAFETY: `object` comes from a box, and nothing uses it afterwards, as the caller
            // promises.
            drop(unsafe { Box::from_raw(object) });
        }
    });
}

fn run<T>(function: &str, body: impl FnOnce() -> Result<T>) -> std::result::Result<T, Status> {
    let (mut body, mut value) = (Some(body), None);
    guard(function, &mut || {
        value = body.take().map(|body| body()).transpose()?;
        Ok(())
    })?;
    value.ok_or(Status::Internal) // `guard` has run the body, so there is a value
}

/// Runs `body` once; keeps its error or its panic as the last error. It is not generic, because
/// otherwise the library would hold a copy for each function.
fn guard(function: &str, body: &mut dyn FnMut() -> Result<()>) -> std::result::Result<(), Status> {
    let _uncancelled = Uncancelled::new();
    let error = match panic::caught(body) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(text) => Error::new(Status::Internal, format!("internal error: {text}")),
    };
    last_error::set(function, &error);
    Err(error.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_text_and_place() {
        let line = line!() + 1;
        let got = status("sprat_test", || panic!("the {} is gone", "floor"));
        assert_eq!(got, -99);
        let text = last_error::text().into_string().unwrap();
        assert!(text.starts_with("sprat_test: "), "{text}");
        assert!(text.contains("the floor is gone"), "{text}");
        assert!(text.contains(&format!("entry.rs:{line}")), "{text}");
    }

    #[test]
    fn a_success_does_not_clear_the_last_error() {
        let failed = number("sprat_one", || Err(Error::new(Status::State, "not now")));
        assert_eq!(failed, -8);
        assert_eq!(number("sprat_two", || Ok(3)), 3);
        assert_eq!(last_error::text().to_str().unwrap(), "sprat_one: not now");
        assert_eq!(last_error::status(), -8);
    }
}
