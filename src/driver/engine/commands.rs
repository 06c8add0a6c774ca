//! Orders from the application to the engine.
//!
//! A list under a small lock and a descriptor that wakes the engine; not a channel of a crate,
//! whose sending side leaves thread-local memory behind on every thread of the application.

use crate::driver::engine::Engine;
use crate::driver::os::descriptors::Wakeup;
use crate::driver::os::lock::lock;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

/// Something to be done on the engine's thread.
pub(in crate::driver) type Command = Box<dyn FnOnce(&mut Engine) + Send>;

struct State {
    waiting: VecDeque<Command>,
    /// The engine shall end.
    stopping: bool,
    /// The engine takes nothing any more.
    ended: bool,
}

/// The way to the engine.
pub(in crate::driver) struct Commands {
    state: Mutex<State>,
    wakeup: Wakeup,
}

/// What the engine finds when it looks.
pub(in crate::driver) struct Orders {
    pub commands: VecDeque<Command>,
    pub stop: bool,
}

impl AsFd for Commands {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

impl Commands {
    pub fn new() -> io::Result<Commands> {
        let state = State {
            waiting: VecDeque::new(),
            stopping: false,
            ended: false,
        };
        Ok(Commands {
            state: Mutex::new(state),
            wakeup: Wakeup::new()?,
        })
    }

    /// Queues an order; false if the engine ends or has ended.
    pub fn send(&self, command: Command) -> bool {
        let mut state = lock(&self.state);
        if state.ended || state.stopping {
            return false;
        }
        if state.waiting.is_empty() {
            self.wakeup.raise();
        }
        state.waiting.push_back(command);
        true
    }

    /// Lets the engine end.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        if !state.ended {
            self.wakeup.raise();
        }
    }

    /// Everything that waits. On the engine's thread.
    pub fn take(&self) -> Orders {
        let mut state = lock(&self.state);
        self.wakeup.lower();
        Orders {
            commands: std::mem::take(&mut state.waiting),
            stop: state.stopping,
        }
    }

    /// The engine takes nothing any more; what waits is dropped, which tells those who wait for an
    /// answer.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        let unanswered = std::mem::take(&mut state.waiting);
        drop(state);
        drop(unanswered);
    }
}
