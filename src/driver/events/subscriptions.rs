//! The event queues of a node: its own queue, and one for each subscription.
//!
//! Every subscription gets all events of the kinds that it wants, at its own pace and with its own
//! bound. Events that come before the first subscription wait in the node's own queue. The first
//! subscription to a kind also gets the events of that kind that wait there, and from then on the
//! node's own queue accepts no event of that kind. So the first subscription also gets the events
//! that came before it, and no events pile up in a queue without a reader.

use crate::driver::events::lifecycle::Lifecycle;
use crate::driver::events::queue::{Ended, EventQueue};
use crate::driver::os::clock;
use crate::driver::os::fork::Origin;
use crate::driver::os::lock::lock;
use crate::error::{Error, Result};
use crate::event::{Event, EventBody, EventKind};
use crate::time::Time;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// All queues of a node.
pub(in crate::driver) struct Subscriptions {
    own: EventQueue,
    state: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    subscribers: Vec<Weak<EventQueue>>,
    /// The kinds that the node's own queue no longer accepts.
    taken: Vec<EventKind>,
    ended: bool,
    /// The last fatal event, for later subscriptions. It is removed when the node regains its name.
    fatal: Option<(Time, EventBody)>,
    /// The number of events that all queues have dropped or merged, those of ended subscriptions
    /// included.
    lost: u64,
}

impl Readers {
    /// Adds a queue, and ends it immediately if the node has ended.
    fn add(&mut self, queue: &Arc<EventQueue>) {
        self.subscribers.push(Arc::downgrade(queue));
        if self.ended {
            queue.end();
        }
    }
}

impl Subscriptions {
    pub fn new(own: EventQueue) -> Subscriptions {
        Subscriptions {
            own,
            state: Mutex::default(),
        }
    }

    /// Queues an event for every reader that wants it.
    pub fn push(&self, body: EventBody) {
        let now = clock::now(); // the same for all readers
        let kind = body.kind();
        let mut state = lock(&self.state);
        if kind == EventKind::Fatal {
            state.fatal = Some((now, body.clone()));
        } else if kind == EventKind::NameRegained {
            state.fatal = None;
        }
        // The lock is held to the end. Otherwise a subscription that begins now would miss an
        // event on its way into the node's own queue.
        state.subscribers.retain(|it| it.strong_count() > 0);
        let subscribers = state.subscribers.iter().filter_map(Weak::upgrade);
        let mut lost: u64 = subscribers.map(|it| it.push(now, body.clone())).sum();
        if !state.taken.contains(&kind) {
            lost += self.own.push(now, body);
        }
        state.lost += lost;
    }

    /// Makes a queue for events of these kinds, in which `capacity` events may wait. An empty list
    /// stands for all kinds.
    fn subscribe(&self, capacity: usize, kinds: Vec<EventKind>) -> io::Result<Arc<EventQueue>> {
        let taken = if kinds.is_empty() {
            EventKind::ALL.to_vec()
        } else {
            kinds.clone()
        };
        let queue = Arc::new(EventQueue::new(capacity, kinds, true)?);
        let mut state = lock(&self.state);
        // An overflow concerns readers of member events; a fatal event concerns every reader.
        let of_members = taken.iter().any(|kind| kind.is_of_member());
        let waits = |kind| taken.contains(&kind) || (of_members && kind == EventKind::Overflow);
        let (mut lost, mut has_fatal) = (0, false);
        for event in self.own.take_out(waits) {
            has_fatal |= event.kind() == EventKind::Fatal;
            lost += queue.push(event.time, event.body);
        }
        // If another reader has taken the fatal event, it no longer waits.
        if let Some((time, fatal)) = state.fatal.as_ref().filter(|_| !has_fatal) {
            lost += queue.push(*time, fatal.clone());
        }
        state.lost += lost;
        for kind in taken {
            if !state.taken.contains(&kind) {
                state.taken.push(kind);
            }
        }
        state.add(&queue);
        Ok(queue)
    }

    /// Makes a queue that gets the events of these kinds from now on. Unlike a subscription, it
    /// takes no events away from the node's own queue.
    pub fn observe(&self, capacity: usize, kinds: Vec<EventKind>) -> io::Result<Arc<EventQueue>> {
        let queue = Arc::new(EventQueue::new(capacity, kinds, true)?);
        lock(&self.state).add(&queue);
        Ok(queue)
    }

    /// Ends all queues: no further event comes.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        for subscriber in state.subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.end();
        }
        self.own.end();
    }

    /// Drops the events that are left in the node's own queue, and ends it.
    pub fn abandon(&self) {
        self.own.abandon();
    }

    /// Returns the descriptor of the node's own queue; `None` if a callback takes the events.
    pub fn fd(&self) -> Option<RawFd> {
        self.own.fd()
    }

    /// Returns true unless the host program has closed or replaced the descriptor of a queue.
    pub fn are_intact(&self) -> bool {
        self.sum(|queue| u64::from(!queue.is_intact())) == 0
    }

    /// Takes the next event of the node's own queue.
    pub fn take(&self, timeout: Option<Duration>) -> std::result::Result<Option<Event>, Ended> {
        self.own.take(timeout)
    }

    /// Returns the number of events that queues of this node have dropped or merged.
    pub fn lost(&self) -> u64 {
        lock(&self.state).lost
    }

    /// Returns the number of events in all queues.
    pub fn waiting(&self) -> usize {
        self.sum(|queue| queue.waiting() as u64) as usize
    }

    /// Returns the number of events in the node's own queue.
    #[cfg(feature = "capi")]
    pub fn own_waiting(&self) -> usize {
        self.own.waiting()
    }

    /// Signals the descriptor of the node's own queue again if events wait.
    #[cfg(feature = "capi")]
    pub fn signal_again(&self) {
        self.own.signal_again();
    }

    fn sum(&self, count: impl Fn(&EventQueue) -> u64) -> u64 {
        let state = lock(&self.state);
        let subscribers = state.subscribers.iter().filter_map(Weak::upgrade);
        count(&self.own) + subscribers.map(|queue| count(&queue)).sum::<u64>()
    }
}

/// A reader of the events of a node, made by [`Node::subscribe`](crate::Node::subscribe).
///
/// A subscription does not keep the node alive, and ends with the node; events that are still
/// queued at that time can be taken afterwards. Dropping this value ends the subscription.
pub struct Subscription {
    queue: Arc<EventQueue>,
    lifecycle: Arc<Lifecycle>,
    origin: Origin,
}

impl Subscription {
    pub(in crate::driver) fn new(
        subscriptions: &Subscriptions,
        lifecycle: Arc<Lifecycle>,
        capacity: usize,
        kinds: Vec<EventKind>,
    ) -> Result<Subscription> {
        let queue = subscriptions.subscribe(capacity, kinds);
        let queue = queue
            .map_err(|error| Error::io("cannot create the descriptor of a subscription", &error))?;
        Ok(Subscription::of(queue, lifecycle))
    }

    /// A reader of a queue that belongs to no subscription of the node.
    pub(in crate::driver) fn of(queue: Arc<EventQueue>, lifecycle: Arc<Lifecycle>) -> Subscription {
        Subscription {
            queue,
            lifecycle,
            origin: Origin::here(),
        }
    }

    /// Returns a descriptor that is readable while events are queued, and permanently once the node
    /// has ended. It is for polling only, and is closed with the subscription.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn fd(&self) -> Result<RawFd> {
        self.check_process()?;
        self.queue.fd().ok_or_else(|| self.end_error())
    }

    /// Takes the queued events, at most `max`, without waiting.
    ///
    /// # Errors
    /// Once the node has ended and no event is left: `Closed`, or `Internal` if the node is broken.
    /// `Forked` in a forked child.
    pub fn drain(&self, max: usize) -> Result<Vec<Event>> {
        self.check_process()?;
        self.queue.drain(max).map_err(|Ended| self.end_error())
    }

    /// Returns true if an event can be taken or the subscription has ended. Unlike the descriptor,
    /// this is right even if the host program has closed or replaced the descriptor.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn is_ready(&self) -> Result<bool> {
        self.check_process()?;
        Ok(self.queue.is_ready())
    }

    /// Ends the subscription: queued events are dropped, and a thread that polls the descriptor
    /// is woken.
    pub fn abandon(&self) {
        if self.check_process().is_ok() {
            self.queue.abandon();
        }
    }

    fn check_process(&self) -> Result<()> {
        self.origin.check()
    }

    fn end_error(&self) -> Error {
        self.lifecycle.end_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::event::Level;

    fn subscriptions() -> Subscriptions {
        Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap())
    }

    fn ids(queue: &EventQueue) -> Vec<u64> {
        let events = queue.drain(100).unwrap();
        let id = |event: &Event| match event.body {
            EventBody::Done { id, .. } => id,
            _ => panic!("{event:?} is not the end of an operation"),
        };
        events.iter().map(id).collect()
    }

    fn done(id: u64) -> EventBody {
        EventBody::Done {
            id,
            token: 0,
            result: Ok(0),
            missing: Vec::new(),
            keys: None,
        }
    }

    #[test]
    fn subscriptions_that_come_and_go_leave_nothing_behind() {
        let subscriptions = subscriptions();
        for _ in 0..3 {
            subscriptions.subscribe(16, vec![EventKind::Done]).unwrap();
        }
        subscriptions.push(done(1));
        let readers = lock(&subscriptions.state);
        assert_eq!(readers.taken, [EventKind::Done]);
        assert!(readers.subscribers.is_empty());
    }

    #[test]
    fn the_first_subscription_gets_what_waited_and_all_get_what_follows() {
        let subscriptions = subscriptions();
        subscriptions.push(done(1));
        subscriptions.push(EventBody::Log {
            level: Level::Error,
            target: "x",
            text: "a line".to_owned(),
        });
        let first = subscriptions.subscribe(16, vec![EventKind::Done]).unwrap();
        let second = subscriptions.subscribe(16, vec![EventKind::Done]).unwrap();
        subscriptions.push(done(2));
        assert_eq!(ids(&first), [1, 2]);
        assert_eq!(ids(&second), [2]);
        assert_eq!(
            subscriptions.waiting(),
            1,
            "the line still waits for its reader"
        );
        let third = subscriptions.subscribe(16, vec![EventKind::Log]).unwrap();
        assert_eq!((third.waiting(), subscriptions.waiting()), (1, 1));
    }

    #[test]
    fn a_dropped_subscription_takes_nothing_and_the_others_go_on() {
        let subscriptions = subscriptions();
        let gone = subscriptions.subscribe(16, Vec::new()).unwrap();
        let stays = subscriptions.subscribe(16, Vec::new()).unwrap();
        drop(gone);
        subscriptions.push(done(1));
        assert_eq!(lock(&subscriptions.state).subscribers.len(), 1);
        assert_eq!(ids(&stays), [1]);
        assert_eq!(subscriptions.waiting(), 0);
    }

    #[test]
    fn a_subscription_after_the_end_ends_at_once() {
        let subscriptions = subscriptions();
        let early = subscriptions.subscribe(16, Vec::new()).unwrap();
        subscriptions.push(done(1));
        subscriptions.end();
        let late = subscriptions.subscribe(16, Vec::new()).unwrap();
        assert_eq!(ids(&early), [1]);
        assert!(early.drain(9).is_err() && late.drain(9).is_err());
    }

    #[test]
    fn a_fatal_event_reaches_every_reader_and_an_overflow_the_readers_of_members() {
        let subscriptions = subscriptions();
        subscriptions.push(EventBody::Overflow { lost: 0 });
        subscriptions.push(EventBody::Fatal {
            error: Error::new(Status::NameConflict, "taken"),
        });
        let kinds = |queue: &EventQueue| -> Vec<EventKind> {
            let events = queue.drain(100).unwrap();
            events.iter().map(|event| event.kind()).collect()
        };
        let logs = subscriptions.subscribe(16, vec![EventKind::Log]).unwrap();
        let some = subscriptions
            .subscribe(16, vec![EventKind::MemberJoin])
            .unwrap();
        let all = subscriptions.subscribe(16, Vec::new()).unwrap();
        let second = subscriptions.subscribe(16, Vec::new()).unwrap();
        let late = subscriptions
            .subscribe(16, vec![EventKind::MemberFail])
            .unwrap();
        assert_eq!(kinds(&second), [EventKind::Fatal]);
        assert_eq!(kinds(&logs), [EventKind::Fatal]);
        assert_eq!(kinds(&some), [EventKind::Overflow, EventKind::Fatal]);
        assert_eq!(kinds(&all), [EventKind::Fatal]);
        assert_eq!(kinds(&late), [EventKind::Fatal]);
    }

    #[test]
    fn events_that_a_dropped_subscription_has_lost_stay_counted() {
        let subscriptions = subscriptions();
        let gone = subscriptions.subscribe(16, vec![EventKind::Log]).unwrap();
        for line in 0..300 {
            subscriptions.push(EventBody::Log {
                level: Level::Error,
                target: "x",
                text: line.to_string(),
            });
        }
        let (kept, lost) = (gone.drain(1000).unwrap().len() as u64, subscriptions.lost());
        assert!(lost > 0);
        assert_eq!(kept + lost, 300);
        drop(gone);
        assert_eq!(subscriptions.lost(), lost);
    }

    #[test]
    fn a_subscription_that_begins_while_events_come_misses_none() {
        for _ in 0..200 {
            let subscriptions = Arc::new(subscriptions());
            let writer = subscriptions.clone();
            let thread = std::thread::spawn(move || (1..=8).for_each(|id| writer.push(done(id))));
            let queue = subscriptions.subscribe(16, Vec::new()).unwrap();
            thread.join().unwrap();
            assert_eq!(ids(&queue), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }
}
