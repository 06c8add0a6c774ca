//! Panics inside the library are caught and kept silent; those of others are none of our business.
//!
//! The hook is process-wide as far as one copy of Rust's library reaches: in `libsprat.so` that is
//! sprat alone, but a Rust program that links the crate shares it. So the hook keeps text and
//! place of a panic only while the thread is inside a sprat function, and passes every other one
//! on to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::sync::Once;

thread_local! {
    /// Depth of sprat calls on this thread. It has no destructor, so it works until the very end
    /// of the thread.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Text and place of the panic that is being caught.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Installs the hook, once.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Changing the hook while panicking is a panic itself; the next call does it then, at the
        // latest: this happens only in a destructor during a Rust program's own panic.
        if std::thread::panicking() {
            return;
        }
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                return previous(info);
            }
            let text = info.payload_as_str().unwrap_or("a panic without text");
            let place = info
                .location()
                .map(|at| format!(" ({}:{})", at.file(), at.line()));
            let text = format!("internal error: {text}{}", place.unwrap_or_default());
            // Without its thread local, at the end of a thread, the text is lost, not the error.
            let _ = TEXT.try_with(|slot| {
                if let Ok(mut slot) = slot.try_borrow_mut() {
                    *slot = text;
                }
            });
        }));
    });
}

/// The text of the panic that was just caught.
pub(super) fn take_text() -> String {
    let text = TEXT.try_with(|slot| {
        slot.try_borrow_mut()
            .map(|mut text| std::mem::take(&mut *text))
    });
    match text {
        Ok(Ok(text)) if !text.is_empty() => text,
        _ => "internal error".to_owned(),
    }
}

/// While it lives, this thread is inside the library.
pub(super) struct Inside(u32);

impl Inside {
    /// One level deeper.
    pub(super) fn enter() -> Inside {
        let before = DEPTH.get();
        DEPTH.set(before + 1);
        Inside(before)
    }

    /// Back in the program's own code, for as long as a callback runs.
    pub(super) fn leave() -> Inside {
        Inside(DEPTH.replace(0))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}
