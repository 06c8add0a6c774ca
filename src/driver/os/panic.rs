//! Panics inside this library: caught, described, and never printed. Those of others are theirs.
//!
//! Everything of ours runs inside [`caught`]: the threads of a node and every function of the C
//! interface. Code of the program that we call runs [`outside`] again.
//!
//! One panic hook, set on first use, keeps text and place of a panic inside and passes every other
//! one on to the hook that was there before. A hook is process-wide as far as one copy of Rust's
//! library reaches: in `libsprat.so` that is sprat alone, but a Rust program that links the crate
//! shares it. If such a program sets another one later, that one hears of our panics too; they are
//! caught and described all the same, only without their place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs code of ours. Without a destructor, so that it is there until the
    /// very end of a thread.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The panic that is being caught.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the hook, once. While panicking that would be a panic itself: then the next call does it.
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
            let told = text(info.payload()).to_owned() + &place.unwrap_or_default();
            // Without its thread local, at the end of a thread, only the place is lost.
            let _ = LAST.try_with(|last| last.replace(Some(told)));
        }));
    });
}

/// What a panic says.
fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without text")
}

/// Runs `work` inside; the description of its panic if it had one. Unwind safety: whatever a panic
/// left half done belongs to one object, and locks here do not poison; it stays valid to be freed.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    install();
    let inside = Side::change_to(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(inside);
    result.map_err(|payload| {
        let last = LAST.try_with(RefCell::take).ok().flatten();
        let told = last.unwrap_or_else(|| text(&*payload).to_owned());
        // A payload may panic again when dropped.
        std::mem::forget(payload);
        told
    })
}

/// Runs `call`, code of the program: its panics are its own.
#[cfg(feature = "capi")]
pub(crate) fn outside<R>(call: impl FnOnce() -> R) -> R {
    let _outside = Side::change_to(false);
    call()
}

/// Puts back, when dropped, the side that this thread was on.
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
    fn a_panic_is_told_with_text_and_place() {
        let told = caught(|| -> u8 { panic!("on {}", "purpose") }).unwrap_err();
        assert!(
            told.starts_with("on purpose (") && told.contains("panic.rs:"),
            "{told}"
        );
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(
            caught(|| std::panic::panic_any(7)).map_err(|told| told.len() > 20),
            Err(true)
        );
    }

    #[test]
    fn a_panic_that_the_hook_did_not_see_is_told_without_its_place() {
        let silent = || std::panic::resume_unwind(Box::new("on purpose"));
        assert_eq!(caught(silent), Err("on purpose".to_owned()));
    }

    #[cfg(feature = "capi")]
    #[test]
    fn code_of_the_program_is_outside_and_what_it_calls_is_inside_again() {
        let sides = caught(|| outside(|| (INSIDE.get(), caught(|| INSIDE.get()), INSIDE.get())));
        assert_eq!(sides, Ok((false, Ok(true), false)));
        let _ = caught(|| outside(|| std::panic::resume_unwind(Box::new(7))));
        assert!(!INSIDE.get(), "a panic leaves everything as it was");
    }
}
