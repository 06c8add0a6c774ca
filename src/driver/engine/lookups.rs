//! The host names that wait for the helper thread.
//!
//! This is not a channel of std: that would add several kilobytes of code to the library.

use crate::driver::os::lock::{lock, wait};
use crate::swim::LookupId;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

/// The host names that wait for the helper thread.
#[derive(Default)]
pub(in crate::driver) struct Lookups {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(LookupId, String)>,
    ended: bool,
}

impl Lookups {
    /// Queues a host name.
    pub fn add(&self, id: LookupId, host: String) {
        lock(&self.queue).waiting.push_back((id, host));
        self.changed.notify_one();
    }

    /// Ends the queue: the names that wait are not resolved.
    pub fn end(&self) {
        lock(&self.queue).ended = true;
        self.changed.notify_one();
    }

    /// Waits for the next host name. `None` once the queue has ended.
    pub fn next(&self) -> Option<(LookupId, String)> {
        let ready = |it: &mut Queue| it.ended || !it.waiting.is_empty();
        let mut queue = wait(&self.changed, lock(&self.queue), ready);
        let waiting = !queue.ended;
        waiting.then(|| queue.waiting.pop_front()).flatten()
    }
}
