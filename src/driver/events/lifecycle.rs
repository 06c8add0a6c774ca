//! The life of a node, from running to its end, as all threads of the node see it.

use crate::error::{Error, Result, Status};
use crate::vocabulary::NodeState;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The state of a node, and the reason why it ended.
pub(in crate::driver) struct Lifecycle {
    state: AtomicI32,
    ending: AtomicBool,
    /// The text of the panic or other failure that broke the node.
    failure: OnceLock<String>,
}

impl Lifecycle {
    /// The lifecycle of a node that runs.
    pub fn new() -> Lifecycle {
        Lifecycle {
            state: AtomicI32::new(NodeState::Running as i32),
            ending: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// The state of the node.
    pub fn state(&self) -> NodeState {
        NodeState::from_number(self.state.load(Ordering::Acquire)).unwrap_or(NodeState::Broken)
    }

    /// Enters a state. `Shutdown` and `Broken` are final: entering another state then does nothing.
    pub fn enter(&self, state: NodeState) {
        let change = |held: i32| {
            let is_final = matches!(
                NodeState::from_number(held),
                Some(NodeState::Shutdown | NodeState::Broken)
            );
            (!is_final).then_some(state as i32)
        };
        // An error means that the current state is final.
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// Marks the node as broken, because one of its threads panicked or cannot go on. Returns the
    /// error to report; `None` if the node was already broken or shut down.
    pub fn on_failure(&self, text: String) -> Option<Error> {
        if self.state() == NodeState::Shutdown || self.failure.set(text.clone()).is_err() {
            return None;
        }
        self.enter(NodeState::Broken);
        Some(Error::new(Status::Internal, text))
    }

    /// Asks the threads of the node to end.
    pub fn request_end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Returns true if the threads of the node were asked to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The error of a call that the node cannot serve because it has ended.
    pub fn end_error(&self) -> Error {
        match self.failure.get() {
            Some(text) => Error::new(Status::Internal, format!("the node is broken: {text}")),
            None => Error::new(Status::Closed, "the node was shut down"),
        }
    }

    /// Checks that the node was not asked to end.
    ///
    /// # Errors
    /// `Closed`, or `Internal` if the node is broken.
    pub fn check(&self) -> Result<()> {
        if self.is_ending() {
            return Err(self.end_error());
        }
        Ok(())
    }
}
