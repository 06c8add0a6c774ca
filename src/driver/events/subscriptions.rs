//! Where the events of a node go: into its own queue, and into one for each subscription.
//!
//! Every subscription sees everything of the kinds that it wants, at its own pace and with a bound
//! of its own. What happened before the first one was there waits in the node's own queue: who is
//! the first to subscribe to a kind gets that, too, and from then on the own queue takes no event
//! of that kind. So nothing is lost between the start of a node and its first reader, and nothing
//! piles up where nobody reads.

use crate::driver::events::lifecycle::Lifecycle;
use crate::driver::events::queue::{Events, Taken};
use crate::driver::os::clock;
use crate::driver::os::fork::Origin;
use crate::driver::os::lock::lock;
use crate::error::{Error, Result};
use crate::event::{Event, EventBody, EventKind};
use crate::time::Time;
use std::collections::HashSet;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// All queues of a node.
pub(in crate::driver) struct Feed {
    own: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    subscribers: Vec<Weak<Events>>,
    /// Kinds that the own queue takes no more.
    taken: HashSet<EventKind>,
    ended: bool,
    /// The last event that stopped the node, for those who come later.
    fatal: Option<(Time, EventBody)>,
}

impl Feed {
    pub fn new(own: Events) -> Feed {
        Feed {
            own,
            state: Mutex::default(),
        }
    }

    /// Queues an event for everybody who wants it.
    pub fn push(&self, body: EventBody) {
        let now = clock::now(); // the same for all who read it
        let kind = body.kind();
        let mut state = lock(&self.state);
        if kind == EventKind::Fatal {
            state.fatal = Some((now, body.clone()));
        }
        // Under the lock to the end: an event that was on its way into the own queue while somebody
        // subscribes would be lost to the one who was to get it.
        state.subscribers.retain(|it| it.strong_count() > 0);
        for subscriber in state.subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.push(now, body.clone());
        }
        if !state.taken.contains(&kind) {
            self.own.push(now, body);
        }
    }

    /// A queue of its own for events of these kinds (none: all), `capacity` of which may wait.
    fn subscribe(&self, capacity: usize, kinds: Vec<EventKind>) -> io::Result<Arc<Events>> {
        let taken = if kinds.is_empty() {
            EventKind::ALL.to_vec()
        } else {
            kinds.clone()
        };
        let queue = Arc::new(Events::new(capacity, kinds, true)?);
        let mut state = lock(&self.state);
        // What was lost concerns who reads of members; what stops the node concerns everybody.
        let of_members = taken.iter().any(|kind| kind.is_of_member());
        let waits = |kind| taken.contains(&kind) || (of_members && kind == EventKind::Overflow);
        for event in self.own.take_out(waits) {
            queue.push(event.time, event.body);
        }
        if let Some((time, fatal)) = &state.fatal
            && !taken.contains(&EventKind::Fatal)
        {
            queue.push(*time, fatal.clone());
        }
        state.taken.extend(taken);
        state.subscribers.push(Arc::downgrade(&queue));
        if state.ended {
            queue.end();
        }
        Ok(queue)
    }

    /// A queue that also gets the events of these kinds from now on. Unlike a subscription it takes
    /// none away from the node's own queue.
    pub fn observe(&self, capacity: usize, kinds: Vec<EventKind>) -> io::Result<Arc<Events>> {
        let queue = Arc::new(Events::new(capacity, kinds, true)?);
        let mut state = lock(&self.state);
        state.subscribers.push(Arc::downgrade(&queue));
        if state.ended {
            queue.end();
        }
        Ok(queue)
    }

    /// No further event comes.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        for subscriber in state.subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.end();
        }
        self.own.end();
    }

    /// Nobody wants what is left in the own queue.
    pub fn abandon(&self) {
        self.own.abandon();
    }

    /// The descriptor of the own queue; `None` where a callback takes the events.
    pub fn fd(&self) -> Option<RawFd> {
        self.own.fd()
    }

    /// Takes the next event of the own queue.
    pub fn take(&self, timeout: Option<Duration>) -> Taken {
        self.own.take(timeout)
    }

    /// Events lost or merged since the start, by the queues that are there now.
    pub fn lost(&self) -> u64 {
        self.sum(Events::lost)
    }

    /// Events that wait.
    pub fn waiting(&self) -> usize {
        self.sum(|queue| queue.waiting() as u64) as usize
    }

    fn sum(&self, count: impl Fn(&Events) -> u64) -> u64 {
        let state = lock(&self.state);
        let subscribers = state.subscribers.iter().filter_map(Weak::upgrade);
        count(&self.own) + subscribers.map(|queue| count(&queue)).sum::<u64>()
    }
}

/// A reader of the events of a node, made by [`super::Node::subscribe`]. It does not keep the node
/// alive, and ends with it: what waits can be read afterwards. Dropped, it takes no more.
pub struct Subscription {
    queue: Arc<Events>,
    lifecycle: Arc<Lifecycle>,
    origin: Origin,
}

impl Subscription {
    pub(in crate::driver) fn new(
        feed: &Feed,
        lifecycle: Arc<Lifecycle>,
        capacity: usize,
        kinds: Vec<EventKind>,
    ) -> Result<Subscription> {
        let queue = feed.subscribe(capacity, kinds);
        let queue = queue.map_err(|error| Error::io("no descriptor for a subscription", &error))?;
        Ok(Subscription {
            queue,
            lifecycle,
            origin: Origin::here(),
        })
    }

    /// A descriptor that is readable while events are queued, and for ever once the node has
    /// ended. For polling only; it is closed with the subscription.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn fd(&self) -> Result<RawFd> {
        self.check_process()?;
        self.queue.fd().ok_or_else(|| self.over())
    }

    /// Takes what waits, without waiting, `max` events at most.
    ///
    /// # Errors
    /// `Closed`, or `Internal` if the node is broken, once it has ended and no event is left;
    /// `Forked`.
    pub fn drain(&self, max: usize) -> Result<Vec<Event>> {
        self.check_process()?;
        self.queue.drain(max).ok_or_else(|| self.over())
    }

    /// Wants no more: what waits is dropped, and who polls is woken.
    pub fn abandon(&self) {
        if self.check_process().is_ok() {
            self.queue.abandon();
        }
    }

    fn check_process(&self) -> Result<()> {
        self.origin.check()
    }

    fn over(&self) -> Error {
        self.lifecycle.ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::event::Level;

    fn feed() -> Feed {
        Feed::new(Events::new(16, Vec::new(), true).unwrap())
    }

    fn ids(queue: &Events) -> Vec<u64> {
        let events = queue.drain(100).unwrap();
        let id = |event: &Event| match event.body {
            EventBody::Done { id, .. } => id,
            _ => panic!("{event:?} is not the end of an operation"),
        };
        events.iter().map(id).collect()
    }

    fn done(id: u64) -> EventBody {
        EventBody::Done { id, result: Ok(0) }
    }

    #[test]
    fn the_first_subscription_gets_what_waited_and_all_get_what_follows() {
        let feed = feed();
        feed.push(done(1));
        feed.push(EventBody::Log {
            level: Level::Error,
            target: "x",
            text: "a line".to_owned(),
        });
        let first = feed.subscribe(16, vec![EventKind::Done]).unwrap();
        let second = feed.subscribe(16, vec![EventKind::Done]).unwrap();
        feed.push(done(2));
        assert_eq!(ids(&first), [1, 2]);
        assert_eq!(ids(&second), [2]);
        assert_eq!(feed.waiting(), 1, "the line still waits for its reader");
        let third = feed.subscribe(16, vec![EventKind::Log]).unwrap();
        assert_eq!((third.waiting(), feed.waiting()), (1, 1));
    }

    #[test]
    fn a_subscription_that_is_gone_takes_nothing_and_the_others_go_on() {
        let feed = feed();
        let gone = feed.subscribe(16, Vec::new()).unwrap();
        let stays = feed.subscribe(16, Vec::new()).unwrap();
        drop(gone);
        feed.push(done(1));
        assert_eq!(lock(&feed.state).subscribers.len(), 1);
        assert_eq!(ids(&stays), [1]);
        assert_eq!(feed.waiting(), 0);
    }

    #[test]
    fn who_subscribes_after_the_end_is_told_so() {
        let feed = feed();
        let early = feed.subscribe(16, Vec::new()).unwrap();
        feed.push(done(1));
        feed.end();
        let late = feed.subscribe(16, Vec::new()).unwrap();
        assert_eq!(ids(&early), [1]);
        assert!(early.drain(9).is_none() && late.drain(9).is_none());
    }

    #[test]
    fn what_stopped_the_node_is_told_to_every_reader_and_what_was_lost_to_readers_of_members() {
        let feed = feed();
        feed.push(EventBody::Overflow { lost: 0 });
        feed.push(EventBody::Fatal {
            error: Error::new(Status::NameConflict, "taken"),
        });
        let kinds = |queue: &Events| -> Vec<EventKind> {
            let events = queue.drain(100).unwrap();
            events.iter().map(|event| event.kind()).collect()
        };
        let logs = feed.subscribe(16, vec![EventKind::Log]).unwrap();
        let some = feed.subscribe(16, vec![EventKind::MemberJoin]).unwrap();
        let all = feed.subscribe(16, Vec::new()).unwrap();
        let late = feed.subscribe(16, vec![EventKind::MemberFail]).unwrap();
        assert_eq!(kinds(&logs), [EventKind::Fatal]);
        assert_eq!(kinds(&some), [EventKind::Overflow, EventKind::Fatal]);
        assert_eq!(kinds(&all), [EventKind::Fatal]);
        assert_eq!(kinds(&late), [EventKind::Fatal]);
    }

    #[test]
    fn nothing_is_lost_to_who_subscribes_while_events_come() {
        for _ in 0..200 {
            let feed = Arc::new(feed());
            let writer = feed.clone();
            let thread = std::thread::spawn(move || (1..=8).for_each(|id| writer.push(done(id))));
            let queue = feed.subscribe(16, Vec::new()).unwrap();
            thread.join().unwrap();
            assert_eq!(ids(&queue), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }
}
