//! A panic on a thread of this library: caught, described, and never printed.
//!
//! The panic hook is set once; it keeps text and place of a panic inside [`caught`] and passes
//! every other one to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

static HOOK: Once = Once::new();

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the hook. Before the first thread of a node; never while panicking.
pub(super) fn install() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = INSIDE.try_with(Cell::get).unwrap_or(false);
            if !ours {
                return previous(info);
            }
            let text = info.payload_as_str().unwrap_or("a panic without text");
            let place = info
                .location()
                .map_or(String::new(), |at| format!(" at {at}"));
            let told = format!("{text}{place}");
            let _ = LAST.try_with(|last| last.replace(Some(told)));
        }));
    });
}

/// Runs `work`; the description of its panic if it had one.
pub(super) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    let outer = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    result.map_err(|payload| {
        // A payload may panic again when dropped.
        std::mem::forget(payload);
        let last = LAST.take();
        last.unwrap_or_else(|| "a panic without text".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_text_and_place() {
        install();
        let told = caught(|| -> u8 { panic!("on {}", "purpose") }).unwrap_err();
        assert!(
            told.starts_with("on purpose at ") && told.contains("fault.rs:"),
            "{told}"
        );
        assert_eq!(caught(|| 7), Ok(7));
    }
}
