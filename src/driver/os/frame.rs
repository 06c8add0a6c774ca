//! Telling whether a function that has called code of the program is still running.
//!
//! A function of the library that calls code of the program may never regain control: longjmp()
//! skips the function. So such a function keeps a number in each word of a variable, and other code
//! looks for traces of a jump:
//!
//! * A word has lost the number: something else uses this part of the stack.
//! * The thread works or sleeps further up in its stack, in a caller of the function.
//! * The thread has ended.
//!
//! A thread that has jumped may leave no trace for a while. Then the function seems to run until
//! the thread goes to sleep, comes back to this library, or ends.

use crate::driver::os::threads::Uncancelled;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, getpid, gettid};
use std::hint::black_box;
use std::io::IoSliceMut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, ptr};

/// The distance in bytes up to which an address belongs to the same stack. A thread can also sleep
/// on another stack, such as that of a coroutine; its address then says nothing about the function.
const SAME_STACK: usize = 1 << 20;

/// A thread, and an address in its stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    thread: Pid,
    stack: usize,
}

impl Place {
    /// A place in the calling function.
    #[inline(always)]
    pub(crate) fn here() -> Place {
        let variable = black_box(0);
        Place::of(&variable)
    }

    /// The place of a variable of the calling function.
    fn of<T>(variable: &T) -> Place {
        Place {
            thread: gettid(),
            stack: ptr::from_ref(black_box(variable)).addr(),
        }
    }
}

/// The number of words of a variable. A later function may leave part of this stack area unwritten,
/// but hardly 256 consecutive bytes.
const WORDS: usize = 32;

/// The variable of a function. Each word holds a number that no other variable has.
pub(crate) struct FrameMarker([u64; WORDS]);

impl FrameMarker {
    /// A variable with a new number. It must not be moved once [`FrameMarker::frame`] was called.
    pub(crate) fn new() -> FrameMarker {
        /// The numbers begin at a value that is rare in memory.
        static NEXT: AtomicU64 = AtomicU64::new(0x5bd1_e995_9e37_79b9);
        FrameMarker(black_box([NEXT.fetch_add(1, Ordering::Relaxed); WORDS]))
    }

    /// The function that has this variable.
    pub(crate) fn frame(&self) -> Frame {
        Frame {
            place: Place::of(&self.0),
            number: self.0[0],
        }
    }
}

/// A function that has called code of the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    place: Place,
    number: u64,
}

impl Frame {
    /// A place in the function.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Returns true if the code at `here` was called by this function, directly or indirectly.
    /// Stacks grow down.
    pub(crate) fn is_around(&self, here: Place) -> bool {
        here.thread == self.place.thread && here.stack < self.place.stack && self.is_intact()
    }

    /// Returns true if the function was left, as far as the code at `here` can tell.
    pub(crate) fn was_left(&self, here: Place) -> bool {
        match here.thread == self.place.thread {
            true => !self.is_around(here),
            false => has_ended(self.place.thread) || !self.is_intact() || self.sleeps_above(),
        }
    }

    /// Returns true if each word of the variable has the number. The system reads them, because the
    /// stack may be gone.
    fn is_intact(&self) -> bool {
        const WORD: usize = size_of::<u64>();
        let mut bytes = [0; WORDS * WORD];
        let remote = RemoteIoVec {
            base: self.place.stack,
            len: bytes.len(),
        };
        match process_vm_readv(getpid(), &mut [IoSliceMut::new(&mut bytes)], &[remote]) {
            Ok(_) => bytes
                .chunks(WORD)
                .all(|word| word == self.number.to_ne_bytes()),
            Err(Errno::EFAULT) => false,
            Err(_) => true, // the system does not allow this call
        }
    }

    /// Returns true if the thread sleeps in a function that is further up in the same stack.
    fn sleeps_above(&self) -> bool {
        let _uncancelled = Uncancelled::new();
        let path = format!("/proc/self/task/{}/syscall", self.place.thread);
        let text = fs::read_to_string(path).unwrap_or_default();
        // The last two words are the stack pointer and the program counter. While the thread runs,
        // the text is a single word.
        let word = text.split_whitespace().rev().nth(1).unwrap_or_default();
        let pointer = usize::from_str_radix(word.trim_start_matches("0x"), 16);
        let above = |at: usize| (1..SAME_STACK).contains(&at.wrapping_sub(self.place.stack));
        pointer.is_ok_and(above)
    }
}

/// Returns true if this process has no such thread.
fn has_ended(thread: Pid) -> bool {
    // SAFETY: the call takes only numbers, and signal 0 only checks that the thread exists.
    let found = unsafe { libc::syscall(libc::SYS_tgkill, getpid().as_raw(), thread.as_raw(), 0) };
    found == -1 && Errno::last() == Errno::ESRCH
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    /// Calls `inner` from a function with a frame, and returns the frame of that function.
    #[inline(never)]
    fn function(inner: impl FnOnce(Frame)) -> Frame {
        let variable = FrameMarker::new();
        let frame = variable.frame();
        inner(frame);
        black_box(&variable);
        frame
    }

    #[inline(never)]
    fn place_in_a_function() -> Place {
        black_box(Place::here())
    }

    /// Calls `inner` with 64 KiB of stack in between, which is more than waiting for a channel
    /// uses.
    #[inline(never)]
    fn further_down<R>(inner: impl FnOnce() -> R) -> R {
        let between = black_box([0_u8; 1 << 16]);
        let result = inner();
        black_box(&between);
        result
    }

    #[test]
    fn a_function_is_around_what_it_calls_until_it_is_left() {
        let frame = function(|outer| {
            let inner = function(|inner| {
                let here = place_in_a_function();
                assert!(inner.is_around(here) && outer.is_around(here));
                assert!(!inner.was_left(here) && !outer.was_left(here));
            });
            assert!(inner.was_left(outer.place()));
        });
        assert!(frame.was_left(Place::here()) && !frame.is_around(Place::here()));
    }

    #[test]
    fn another_thread_sees_that_a_function_runs_and_that_its_thread_sleeps_or_has_ended() {
        let (tell, told) = mpsc::channel();
        let (resume, wait) = mpsc::channel::<()>();
        let (go_on, paused) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            further_down(|| {
                function(|frame| {
                    tell.send(frame).unwrap();
                    wait.recv().unwrap();
                })
            });
            let _ = paused.recv();
        });
        let frame = told.recv().unwrap();
        for _ in 0..10 {
            assert!(!frame.was_left(Place::here()));
            std::thread::yield_now();
        }
        resume.send(()).unwrap();
        let begun = Instant::now();
        while !frame.was_left(Place::here()) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the function must count as left"
            );
            std::thread::yield_now();
        }
        drop(go_on);
        thread.join().unwrap();
        assert!(frame.was_left(Place::here()));
    }
}
