//! What the threads of a node and its handles share.

use crate::driver::engine::Engine;
use crate::driver::engine::agent::Door;
use crate::driver::engine::commands::Commands;
use crate::driver::events::subscriptions::Feed;
use crate::driver::events::view::View;
use crate::driver::os::clock;
use crate::driver::os::fork::Origin;
use crate::driver::os::worker::Worker;
use crate::error::{Error, Result, Status};
use crate::event::EventBody;
use crate::vocabulary::NodeState;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::driver::os::lock::lock;
use crate::driver::os::oneshot::{Waited, oneshot};

/// A counter as the application sees it: name, value, what it means.
pub(in crate::driver) type Counter = (&'static str, i64, &'static str);

/// How long the end of a node waits for a name that is being resolved. Nothing can interrupt the
/// system's resolver; its thread then ends by itself, touching nothing but its own.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(1);

/// The threads of a node.
pub(in crate::driver) struct Workers {
    pub engine: Worker,
    pub helper: Worker,
    pub events: Option<Worker>,
    pub agent: Option<Worker>,
}

impl Workers {
    /// The agent waits for nobody for long.
    fn finish_agent(&self) {
        if let Some(agent) = &self.agent {
            agent.finish(None);
        }
    }
}

/// See the head of this file.
pub(in crate::driver) struct Shared {
    pub name: String,
    pub addr: SocketAddr,
    pub origin: Origin,
    pub commands: Commands,
    pub events: Feed,
    pub view: View,
    pub with_callback: bool,
    /// If there is a SPOE agent.
    pub door: Option<Arc<Door>>,
    state: AtomicI32,
    ending: AtomicBool,
    last_id: AtomicU64,
    /// The counters as they were when the engine ended.
    pub final_stats: Mutex<Vec<Counter>>,
    pub workers: OnceLock<Workers>,
    /// Why the node is broken.
    broken: OnceLock<String>,
}

impl Shared {
    pub fn new(
        name: String,
        addr: SocketAddr,
        commands: Commands,
        events: Feed,
        with_callback: bool,
        door: Option<Arc<Door>>,
    ) -> Shared {
        Shared {
            name,
            addr,
            origin: Origin::here(),
            commands,
            events,
            view: View::default(),
            with_callback,
            door,
            state: AtomicI32::new(NodeState::Running as i32),
            ending: AtomicBool::new(false),
            last_id: AtomicU64::new(0),
            final_stats: Mutex::new(Vec::new()),
            workers: OnceLock::new(),
            broken: OnceLock::new(),
        }
    }

    pub fn state(&self) -> NodeState {
        NodeState::from_number(self.state.load(Ordering::Acquire)).unwrap_or(NodeState::Broken)
    }

    /// Enters a state. The two ends are final.
    pub fn set_state(&self, state: NodeState) {
        let change = |held: i32| {
            let over = matches!(
                NodeState::from_number(held),
                Some(NodeState::Shutdown | NodeState::Broken)
            );
            (!over).then_some(state as i32)
        };
        // An error says that it is over already, which is what we want then.
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// A thread of the node panicked: the application is told once, and the node ends.
    pub fn break_down(&self, text: String) {
        if self.state() != NodeState::Shutdown && self.broken.set(text.clone()).is_ok() {
            self.set_state(NodeState::Broken);
            let error = Error::new(Status::Internal, text);
            self.events.push(EventBody::Fatal { error });
        }
        self.begin_end();
    }

    pub fn begin_end(&self) {
        self.ending.store(true, Ordering::Release);
        self.commands.stop();
        if let Some(door) = &self.door {
            door.close();
        }
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// A number for an operation.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether this process is the one that started the node.
    pub fn is_inherited(&self) -> bool {
        self.origin.is_elsewhere()
    }

    /// # Errors
    /// `Forked` in a forked child.
    pub fn check_process(&self) -> Result<()> {
        self.origin.check()
    }

    /// Why the engine does not answer.
    pub fn over(&self) -> Error {
        match self.broken.get() {
            Some(text) => Error::new(Status::Internal, format!("the node is broken: {text}")),
            None => Error::new(Status::Closed, "the node was shut down"),
        }
    }

    /// Queues an order for the engine.
    ///
    /// # Errors
    /// `Forked`; `Closed` or `Internal` after the end.
    pub fn order(&self, command: impl FnOnce(&mut Engine) + Send + 'static) -> Result<()> {
        self.check_process()?;
        if self.commands.send(Box::new(command)) {
            Ok(())
        } else {
            Err(self.over())
        }
    }

    /// Whether the caller may wait for the engine.
    ///
    /// # Errors
    /// `Forked`; `Deadlock` on the engine's own thread.
    pub fn check_wait(&self) -> Result<()> {
        self.check_process()?;
        if self
            .workers
            .get()
            .is_some_and(|workers| workers.engine.is_current())
        {
            let message = "this call would wait for the thread that it runs on";
            return Err(Error::new(Status::Deadlock, message));
        }
        Ok(())
    }

    /// Lets the engine do something, and waits for what it gives.
    ///
    /// # Errors
    /// As [`Shared::order`]; `Deadlock` on the engine's own thread.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T> {
        self.check_wait()?;
        let (reply, answer) = oneshot();
        self.order(move |engine| {
            let value = question(engine);
            // Who changed something finds it changed, in the list of members too.
            engine.settle(clock::now());
            reply.send(value);
        })?;
        match answer.wait(None) {
            Waited::Answered(value) => Ok(value),
            Waited::TimedOut | Waited::Dropped => Err(self.over()),
        }
    }

    /// Ends the engine and waits for it. Queued events stay.
    pub fn shut_down(&self) {
        if self.is_inherited() {
            return;
        }
        self.set_state(NodeState::Shutdown);
        self.begin_end();
        if let Some(workers) = self.workers.get()
            && !workers.engine.is_current()
        {
            workers.engine.finish(None);
            workers.finish_agent();
        }
    }

    /// As `shut_down`; then no further callback starts, and all threads are waited for. On the
    /// event thread itself returns at once: that thread does the waiting when its callback ends.
    pub fn close(&self) {
        if self.is_inherited() {
            return;
        }
        self.set_state(NodeState::Shutdown);
        self.begin_end();
        if self.with_callback {
            self.events.abandon();
        }
        let Some(workers) = self.workers.get() else {
            return;
        };
        if workers.events.as_ref().is_some_and(Worker::is_current) {
            return;
        }
        self.finish_inner_threads(workers);
        if let Some(events) = &workers.events {
            events.finish(None);
        }
    }

    /// Waits for the engine and the helper, unless that would be waiting for oneself.
    pub fn finish_inner_threads(&self, workers: &Workers) {
        if workers.engine.is_current() || workers.helper.is_current() {
            return;
        }
        workers.engine.finish(None);
        workers.finish_agent();
        workers.helper.finish(Some(RESOLVER_PATIENCE));
    }

    /// The counters: of the engine, or those that it left behind.
    pub fn stats(&self) -> Vec<Counter> {
        if self.is_inherited() {
            return Vec::new();
        }
        match self.ask(|engine| engine.counters()) {
            Ok(counters) => counters,
            Err(_) => lock(&self.final_stats).clone(),
        }
    }
}

/// The last of the handles of a node ends it.
pub(in crate::driver) struct Owner(std::mem::ManuallyDrop<Arc<Shared>>);

impl Owner {
    pub fn new(shared: Arc<Shared>) -> Owner {
        Owner(std::mem::ManuallyDrop::new(shared))
    }

    /// What outlives the node.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl std::ops::Deref for Owner {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.is_inherited() {
            return; // its locks may be held by threads that are not in this process
        }
        self.0.close();
        // SAFETY: dropped here and nowhere else, and not used afterwards.
        unsafe { std::mem::ManuallyDrop::drop(&mut self.0) };
    }
}
