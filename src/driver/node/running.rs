//! A node that runs: the handle to its engine, and its threads.

use crate::driver::engine::handle::EngineHandle;
use crate::driver::engine::threads::resolvers::Resolvers;
use crate::driver::os::worker::Worker;
use crate::event::Event;
use crate::vocabulary::NodeState;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A callback for events. It runs on the event thread, for one event at a time.
pub type EventCallback = Box<dyn FnMut(&Event) + Send>;

/// The longest time that the end of a node waits for host names that are being resolved. Nothing
/// can interrupt the resolver of the system. If it takes longer, the thread that called it ends
/// later, and the data that this thread uses lives until then.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(1);

/// The longest time that the end of a node waits for its keyring file to be written. A disk that
/// does not answer must not hold up the program. The file is never half written.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// The threads of a node.
pub(super) struct Threads {
    pub resolvers: Arc<Resolvers>,
    pub engine: Option<Worker>,
    /// Runs the callback of the application, if there is one.
    pub events: Option<Worker>,
    /// Hosts the services, if there are any.
    pub services: Option<Worker>,
    /// Writes the keyring file, if there is one.
    pub keys: Option<Worker>,
}

impl Threads {
    /// The threads of a node that has not started any yet.
    pub fn new(resolvers: Arc<Resolvers>) -> Threads {
        Threads {
            resolvers,
            engine: None,
            events: None,
            services: None,
            keys: None,
        }
    }

    /// Waits for the engine and the services. Returns at once on the engine's thread.
    fn finish_engine(&self) {
        if is_current(&self.engine) {
            return;
        }
        for worker in [&self.engine, &self.services].into_iter().flatten() {
            worker.finish(None);
        }
    }

    /// Waits for all threads except the event thread. Waits for the resolvers at most
    /// `RESOLVER_PATIENCE`, and for the keyring file at most `WRITER_PATIENCE`. Returns at once if
    /// the caller is the engine's thread or a resolver.
    pub fn finish_inner(&self) {
        if is_current(&self.engine) || self.resolvers.is_current() {
            return;
        }
        self.finish_engine();
        self.resolvers.finish(RESOLVER_PATIENCE);
        if let Some(keys) = &self.keys {
            keys.finish(Some(WRITER_PATIENCE));
        }
    }

    /// Waits for all threads. Returns at once on the event thread.
    pub fn finish(&self) {
        if is_current(&self.events) {
            return;
        }
        self.finish_inner();
        if let Some(events) = &self.events {
            events.finish(None);
        }
    }
}

/// Returns true if the caller runs on this thread.
fn is_current(worker: &Option<Worker>) -> bool {
    worker.as_ref().is_some_and(Worker::is_current)
}

/// The threads of a node, once they have started. The event thread shares this value, because
/// it may have to wait for the other threads.
pub(super) type ThreadsCell = Arc<OnceLock<Threads>>;

/// A node that runs. The last clone of its `Node` drops this, which ends the node.
pub(in crate::driver) struct RunningNode {
    /// The parts are leaked in a forked child: threads that do not exist there may have held their
    /// locks at the fork.
    parts: ManuallyDrop<(Arc<EngineHandle>, ThreadsCell)>,
    /// True if a callback takes the events.
    pub(super) with_callback: bool,
}

impl RunningNode {
    pub(super) fn new(
        handle: Arc<EngineHandle>,
        threads: ThreadsCell,
        with_callback: bool,
    ) -> RunningNode {
        RunningNode {
            parts: ManuallyDrop::new((handle, threads)),
            with_callback,
        }
    }

    /// The handle, for a test that adds a thread.
    #[cfg(test)]
    pub fn handle(&self) -> Arc<EngineHandle> {
        self.parts.0.clone()
    }

    fn threads(&self) -> Option<&Threads> {
        self.parts.1.get()
    }

    /// Asks the node to end. Does nothing and returns false in a forked child.
    fn request_end(&self) -> bool {
        if self.origin.is_elsewhere() {
            return false;
        }
        self.lifecycle.enter(NodeState::Shutdown);
        EngineHandle::request_end(self);
        true
    }

    /// Ends the engine and the services, and waits for them. Queued events can still be read.
    pub(super) fn shut_down(&self) {
        if !self.request_end() {
            return;
        }
        if let Some(threads) = self.threads() {
            threads.finish_engine();
        }
    }

    /// Ends the node and waits for all its threads; no further callback starts. A call on the event
    /// thread returns at once, and that thread waits for the other threads when its callback has
    /// returned.
    pub(super) fn close(&self) {
        if !self.request_end() {
            return;
        }
        if self.with_callback {
            self.events.abandon();
        }
        if let Some(threads) = self.threads() {
            threads.finish();
        }
    }
}

impl Deref for RunningNode {
    type Target = EngineHandle;

    fn deref(&self) -> &EngineHandle {
        &self.parts.0
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        if self.origin.is_elsewhere() {
            return;
        }
        self.close();
        // SAFETY: this is the only place that drops `parts`, and nothing uses them afterwards.
        unsafe { ManuallyDrop::drop(&mut self.parts) };
    }
}
