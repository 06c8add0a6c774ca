//! Panics inside this library are caught, described and never printed. Panics of the program are
//! left alone.
//!
//! The threads of a node run inside [`caught`], and so do all functions of the C interface that can
//! panic. Code of a C program that the library calls, such as a callback, runs [`outside`] again; a
//! callback of a Rust program runs inside.
//!
//! One panic hook, set on first use, records the text and the place of every panic inside, and
//! passes all other panics on to the previous hook. A hook applies to one copy of Rust's standard
//! library: in `libsprat.so` that copy belongs to sprat alone, but a Rust program that links the
//! crate shares it. If such a program later sets another hook, that hook also sees the panics of
//! this library; they are still caught and described, but without their place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// True while this thread runs code of this library. The variable has no destructor, so it can
    /// be used until the very end of a thread.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The panic that is being caught.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the hook, once. Setting a hook on a thread that panics would cause another panic, so in
/// that case a later call sets it.
fn install() {
    static HOOK: Once = Once::new();
    if HOOK.is_completed() || std::thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                return previous(info);
            }
            let place = info.location().map(|at| format!(" ({at})"));
            let description = text(info.payload()).to_owned() + &place.unwrap_or_default();
            // At the end of a thread the variable may be gone; then only the place is lost.
            let _ = LAST.try_with(|last| last.replace(Some(description)));
        }));
    });
}

/// The text of a panic.
fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without text")
}

/// Runs `work` inside, and returns its result or the description of its panic. Going on after a
/// panic is sound: at most one object is half changed, which can still be freed, and the locks of
/// this library ignore poisoning.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    install();
    let inside = Side::change_to(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(inside);
    result.map_err(describe)
}

/// The text of a panic that was caught, with its place if the hook has seen it.
fn describe(payload: Box<dyn Any + Send>) -> String {
    let last = LAST.try_with(RefCell::take).ok().flatten();
    let description = last.unwrap_or_else(|| text(&*payload).to_owned());
    // Dropping a payload may panic again.
    std::mem::forget(payload);
    description
}

/// Runs `call`, which is code of the program, so that the hook leaves its panics alone.
#[cfg(feature = "capi")]
pub(crate) fn outside<R>(call: impl FnOnce() -> R) -> R {
    let _outside = Side::change_to(false);
    call()
}

/// Remembers whether this thread was inside, and restores that when dropped.
struct Side(bool);

impl Side {
    fn change_to(inside: bool) -> Side {
        Side(INSIDE.replace(inside))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_described_with_text_and_place() {
        let description = caught(|| -> u8 { panic!("on {}", "purpose") }).unwrap_err();
        assert!(
            description.starts_with("on purpose (") && description.contains("panic.rs:"),
            "{description}"
        );
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(
            caught(|| std::panic::panic_any(7)).map_err(|description| description.len() > 20),
            Err(true)
        );
    }

    #[test]
    fn a_panic_that_the_hook_did_not_see_is_described_without_its_place() {
        let silent = || std::panic::resume_unwind(Box::new("on purpose"));
        assert_eq!(caught(silent), Err("on purpose".to_owned()));
    }

    #[cfg(feature = "capi")]
    #[test]
    fn code_of_the_program_is_outside_and_what_it_calls_is_inside_again() {
        let sides = caught(|| outside(|| (INSIDE.get(), caught(|| INSIDE.get()), INSIDE.get())));
        assert_eq!(sides, Ok((false, Ok(true), false)));
        let _ = caught(|| outside(|| std::panic::resume_unwind(Box::new(7))));
        assert!(!INSIDE.get(), "the side is restored after a panic");
    }
}
