//! The handle through which every other thread reaches the engine. Commands go in; members, events
//! and the state of the node come out.

use crate::driver::engine::command::{Command, CommandQueue};
use crate::driver::events::lifecycle::Lifecycle;
use crate::driver::events::subscriptions::Subscriptions;
use crate::driver::events::view::View;
use crate::driver::os::fork::Origin;
use crate::driver::os::lock::lock;
use crate::driver::os::oneshot::{Reply, Waited, oneshot};
use crate::driver::os::panic;
use crate::driver::os::threads::JobThread;
use crate::driver::os::worker::{Spawn, Worker};
use crate::error::{Error, Result, Status};
use crate::event::EventBody;
use crate::serf::Counter;
use crate::service::ServiceCounters;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The parts of a node that the engine shares with all other threads.
pub(in crate::driver) struct EngineHandle {
    /// The name of this node.
    pub name: String,
    /// The address that this node advertised when it started.
    first_addr: SocketAddr,
    /// The address that this node advertises now.
    addr: Mutex<SocketAddr>,
    /// The process that started the node.
    pub origin: Origin,
    pub commands: CommandQueue,
    pub events: Subscriptions,
    pub members: View,
    pub lifecycle: Arc<Lifecycle>,
    /// The thread that runs the engine.
    pub thread: JobThread,
    /// The counters of each service that this build can host.
    pub services: Vec<Arc<ServiceCounters>>,
    /// The counters as they were when the engine ended; empty until then.
    pub final_counters: Mutex<Vec<Counter>>,
    last_id: AtomicU64,
}

impl EngineHandle {
    /// A handle to an engine that has not started yet.
    pub fn new(
        name: String,
        addr: SocketAddr,
        commands: CommandQueue,
        events: Subscriptions,
        services: Vec<Arc<ServiceCounters>>,
    ) -> EngineHandle {
        EngineHandle {
            name,
            first_addr: addr,
            addr: Mutex::new(addr),
            origin: Origin::here(),
            commands,
            events,
            members: View::default(),
            lifecycle: Arc::new(Lifecycle::new()),
            thread: JobThread::default(),
            services,
            final_counters: Mutex::default(),
            last_id: AtomicU64::new(0),
        }
    }

    /// The address that this node advertises; in a forked child, the one that it started with.
    pub fn addr(&self) -> SocketAddr {
        // If the fork came while the engine held the lock, the child's copy of the lock is never
        // released. So a forked child does not take the lock.
        if self.origin.is_elsewhere() {
            return self.first_addr;
        }
        *lock(&self.addr)
    }

    /// Replaces the address that this node advertises.
    pub fn set_addr(&self, addr: SocketAddr) {
        *lock(&self.addr) = addr;
    }

    /// A new number for an operation.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Starts a thread of the node. A panic in `work` breaks the node.
    ///
    /// # Errors
    /// The host program or the system refuses the thread; the work is dropped.
    pub fn start_worker(
        self: &Arc<EngineHandle>,
        name: &'static str,
        stack: usize,
        spawn: Option<&dyn Spawn>,
        work: impl FnOnce(&EngineHandle) + Send + 'static,
    ) -> io::Result<Worker> {
        let handle = self.clone();
        let work = move || {
            if let Err(text) = panic::caught(|| work(&handle)) {
                handle.break_down(text);
            }
        };
        Worker::start(name, stack, spawn, work)
    }

    /// Ends the node, because one of its threads panicked or cannot go on. Only the first such
    /// failure of a node is reported to the application, as an event.
    pub fn break_down(&self, text: String) {
        if let Some(error) = self.lifecycle.on_failure(text) {
            self.events.push(EventBody::Fatal { error });
        }
        self.request_end();
    }

    /// Ends the node, because the host program has closed one of the node's descriptors, or has
    /// replaced it with one of its own files. A node that went on would read and write that file.
    pub fn on_lost_descriptors(&self) {
        let text =
            "this process closed descriptors that belong to a node, or replaced them with its own";
        self.break_down(text.to_owned());
    }

    /// Asks the threads of the node to end.
    pub fn request_end(&self) {
        self.lifecycle.request_end();
        self.commands.stop();
    }

    /// Queues a command without waiting for it.
    ///
    /// # Errors
    /// `Forked` in a forked child; `Closed` after the end of the node, or `Internal` if it is
    /// broken.
    pub fn send(&self, command: Command) -> Result<()> {
        self.origin.check()?;
        if !self.commands.is_intact() {
            // The command could not wake the engine. The engine notices the lost descriptor at the
            // end of its sleep, but this caller need not wait for that.
            self.on_lost_descriptors();
        }
        if self.commands.send(command) {
            Ok(())
        } else {
            Err(self.lifecycle.end_error())
        }
    }

    /// Checks that the caller can wait for the engine.
    ///
    /// # Errors
    /// `Forked` in a forked child; `Deadlock` on the engine's own thread.
    pub fn check_wait(&self) -> Result<()> {
        self.origin.check()?;
        if self.thread.is_current() {
            let message = "this call would wait for the thread that it runs on";
            return Err(Error::new(Status::Deadlock, message));
        }
        Ok(())
    }

    /// Queues the command that `command` makes from a reply, and waits for the answer.
    ///
    /// # Errors
    /// Same as [`EngineHandle::send`], and `Deadlock` on the engine's own thread.
    pub fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        self.check_wait()?;
        let (reply, answer) = oneshot();
        self.send(command(reply))?;
        match answer.wait(None) {
            Waited::Answered(value) => Ok(value),
            Waited::TimedOut | Waited::Dropped => Err(self.lifecycle.end_error()),
        }
    }

    /// The counters of the engine, or their last values if it has ended; empty in a forked child.
    pub fn counters(&self) -> Vec<Counter> {
        if self.origin.is_elsewhere() {
            return Vec::new();
        }
        self.ask(|reply| Command::Counters { reply })
            .unwrap_or_else(|_| lock(&self.final_counters).clone())
    }
}
