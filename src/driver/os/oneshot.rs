//! One answer, handed from one thread to another.

use crate::driver::os::lock::{deadline, lock, wait_until};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

enum AnswerState<T> {
    Empty,
    Full(T),
    Dropped,
}

type Shared<T> = Arc<(Mutex<AnswerState<T>>, Condvar)>;

/// The side that answers. Dropping it without an answer also wakes the other side.
pub(in crate::driver) struct Reply<T>(Shared<T>);

/// The side that waits.
pub(in crate::driver) struct Answer<T>(Shared<T>);

/// The result of waiting for an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum Waited<T> {
    /// The answer.
    Answered(T),
    /// The timeout has passed.
    TimedOut,
    /// The other side was dropped; no answer will come.
    Dropped,
}

/// Makes both sides of one answer.
pub(in crate::driver) fn oneshot<T>() -> (Reply<T>, Answer<T>) {
    let shared: Shared<T> = Arc::new((Mutex::new(AnswerState::Empty), Condvar::new()));
    (Reply(shared.clone()), Answer(shared))
}

impl<T> Reply<T> {
    /// Sends the answer.
    pub fn send(self, answer: T) {
        *lock(&self.0.0) = AnswerState::Full(answer);
        // Dropping `self` wakes the other side.
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0.0);
        if matches!(*slot, AnswerState::Empty) {
            *slot = AnswerState::Dropped;
        }
        self.0.1.notify_all();
    }
}

impl<T> Answer<T> {
    /// Waits for the answer until the timeout has passed. `None` waits without limit.
    pub fn wait(self, timeout: Option<Duration>) -> Waited<T> {
        let (mutex, condition) = &*self.0;
        let arrived = |slot: &mut AnswerState<T>| !matches!(slot, AnswerState::Empty);
        let (mut slot, _) = wait_until(condition, lock(mutex), deadline(timeout), arrived);
        match std::mem::replace(&mut *slot, AnswerState::Empty) {
            AnswerState::Full(answer) => Waited::Answered(answer),
            AnswerState::Empty => Waited::TimedOut,
            AnswerState::Dropped => Waited::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_arrives_whether_it_comes_before_or_after_the_wait() {
        let (reply, answer) = oneshot();
        reply.send(7);
        assert_eq!(answer.wait(None), Waited::Answered(7));
        let (reply, answer) = oneshot();
        let sender = std::thread::spawn(move || reply.send(8));
        assert_eq!(answer.wait(None), Waited::Answered(8));
        sender.join().unwrap();
    }

    #[test]
    fn waiting_ends_when_the_timeout_has_passed_or_the_other_side_is_dropped() {
        let (reply, answer) = oneshot::<u8>();
        assert_eq!(answer.wait(Some(Duration::ZERO)), Waited::TimedOut);
        drop(reply);
        let (reply, answer) = oneshot::<u8>();
        drop(reply);
        assert_eq!(answer.wait(None), Waited::Dropped);
    }
}
