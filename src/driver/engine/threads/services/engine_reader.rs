//! The values that services read from the engine while their peers wait.

use crate::driver::engine::command::Command;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::os::clock;
use crate::driver::os::oneshot::{Reply, Waited, oneshot};
use crate::error::Result;
use crate::serf::{Coordinate, Counter};
use crate::service::NodeReader;
use crate::swim::Health;
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// The longest time that the engine may take to answer. All peers wait during that time.
const PATIENCE: Duration = Duration::from_millis(10);
/// The time for which the engine is not asked again after it has not answered in time.
const STUCK: Duration = Duration::from_secs(1);

/// Reads from the engine, and never waits long for it.
pub(super) struct EngineReader {
    handle: Arc<EngineHandle>,
    /// The earliest time at which the engine is asked again.
    ask_from: Time,
}

impl EngineReader {
    /// A reader that asks this engine.
    pub fn new(handle: Arc<EngineHandle>) -> EngineReader {
        EngineReader {
            handle,
            ask_from: Time::ZERO,
        }
    }

    fn ask<T>(&mut self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        if clock::now() < self.ask_from {
            return None;
        }
        let (reply, answer) = oneshot();
        self.handle.send(command(reply)).ok()?;
        match answer.wait(Some(PATIENCE)) {
            Waited::Answered(value) => Some(value),
            Waited::TimedOut | Waited::Dropped => {
                self.ask_from = clock::now() + STUCK;
                None
            }
        }
    }
}

impl NodeReader for EngineReader {
    fn counters(&mut self) -> Option<Vec<Counter>> {
        self.ask(|reply| Command::Counters { reply })
    }

    fn health(&mut self) -> Option<Health> {
        self.ask(|reply| Command::Health { reply })
    }

    fn coordinate(&mut self, name: &str) -> Option<Result<Coordinate>> {
        let name = name.to_owned();
        self.ask(|reply| Command::Coordinate { name, reply })
    }
}
