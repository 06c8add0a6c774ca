//! The order in which user events are delivered: that of their Lamport times.
//!
//! Gossip may bring a later event first. Each Lamport time belongs to an event, so a node that
//! receives an event can tell from its time that an earlier one is still missing. Such an event
//! waits until the missing ones have come. When it has waited for as long as events are gossiped,
//! only a push/pull can bring them, so in a small cluster this node begins one. (In a large
//! cluster, each node gossips an event so often that hardly any node misses it.) The event stops
//! waiting when no missing one has come for that time, or at the latest after [`PATIENCE_MAX`]
//! times as long: if more are sent than gossip carries at once, the missing ones keep coming. Serf
//! delivers events as they come.
//!
//! Two nodes that send at nearly the same time give their events the same Lamport time. Once one of
//! the two events has come, nothing shows that the other is missing. So later events do not wait
//! for the other one.

use crate::event::EventBody;
use crate::limits;
use crate::serf::shared::event_load::EventLoad;
use crate::serf::shared::outbox::{Order, Outbox};
use crate::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest wait of an event, as a multiple of the time for which events are gossiped.
const PATIENCE_MAX: u32 = 8;

/// The minimum time between two push/pulls that this node begins because events are missing, as a
/// multiple of the time for which events are gossiped. Forged events can name earlier ones that do
/// not exist.
const PULL_INTERVAL: u32 = 2;

/// The events with one Lamport time that wait.
#[derive(Debug)]
struct Held {
    /// Empty if the event of this time has been delivered already, or has not come.
    events: Vec<EventBody>,
    /// The time at which the first of them came.
    came: Time,
}

/// The facts about the cluster on which the order depends.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serf) struct ClusterFacts {
    /// The time for which events are gossiped.
    pub gossip_time: Duration,
    /// True if the cluster is so small that events may be missed.
    pub is_small: bool,
}

/// The user events that wait for earlier ones.
#[derive(Debug)]
pub(in crate::serf) struct EventOrder {
    /// The first Lamport time of which no event has come.
    next: u64,
    held: BTreeMap<u64, Held>,
    /// The events that are held.
    load: EventLoad,
    /// The time at which an event came last that a held event had waited for.
    progress: Time,
    pub cluster: ClusterFacts,
    /// The time from which this node may begin the next push/pull because events are missing.
    pull_from: Time,
}

impl Default for EventOrder {
    fn default() -> EventOrder {
        EventOrder {
            next: 1,
            held: BTreeMap::new(),
            load: EventLoad::default(),
            progress: Time::ZERO,
            cluster: ClusterFacts::default(),
            pull_from: Time::ZERO,
        }
    }
}

impl EventOrder {
    /// Delivers an event of another node, now or when the earlier ones have come.
    pub fn add(&mut self, now: Time, out: &mut Outbox, ltime: u64, event: EventBody) {
        if self
            .held
            .last_key_value()
            .is_some_and(|(last, _)| ltime < *last)
        {
            self.progress = now;
        }
        if ltime <= self.next {
            out.tell(event);
            return self.pass(out, ltime);
        }
        out.counts.user_events_held += 1;
        self.hold(now, ltime, Some(event));
        while self.load.count > limits::HELD_EVENTS || self.load.bytes > limits::HELD_BYTES {
            self.give_up_first(out);
        }
    }

    /// Delivers an event of this node, which waits for nothing.
    pub fn add_own(&mut self, now: Time, out: &mut Outbox, ltime: u64, event: EventBody) {
        out.tell(event);
        if ltime <= self.next {
            return self.pass(out, ltime);
        }
        self.hold(now, ltime, None);
    }

    /// Another node has seen events with times before `ltime`. The missing ones are awaited as if
    /// an event of the last of these times had come.
    pub fn expect_before(&mut self, now: Time, ltime: u64) {
        if ltime > self.next {
            self.hold(now, ltime - 1, None);
        }
    }

    /// Events with a time before `ltime` are no longer missing: another node whose clock is at
    /// `ltime` has sent all that it knows, or an earlier run of this node has seen them.
    pub fn skip_to(&mut self, out: &mut Outbox, ltime: u64) {
        while self.first().is_some_and(|first| first < ltime) {
            self.give_up_first(out);
        }
        self.next = self.next.max(ltime);
        self.deliver(out);
    }

    /// The event that was expected next, or an earlier one, has been delivered.
    fn pass(&mut self, out: &mut Outbox, ltime: u64) {
        if ltime == self.next {
            self.next = self.next.saturating_add(1);
            self.deliver(out);
        }
    }

    /// Returns the time at which [`EventOrder::handle_timeout`] has to be called.
    pub fn deadline(&self) -> Option<Time> {
        let times = |held| [Some(self.until(held)), self.pull_at(held)];
        self.held.values().flat_map(times).flatten().min()
    }

    /// The time at which a push/pull is begun because an event waits; `None` if this is not done.
    fn pull_at(&self, held: &Held) -> Option<Time> {
        let waited = held.came + self.cluster.gossip_time;
        (self.cluster.is_small).then(|| waited.max(self.pull_from))
    }

    /// The time at which events are delivered although earlier ones are missing.
    fn until(&self, held: &Held) -> Time {
        let time = self.cluster.gossip_time;
        let pulled = match self.cluster.is_small {
            true => time, // for the answer
            false => Duration::ZERO,
        };
        let usual = held.came.max(self.progress) + time + pulled;
        usual.min(held.came + PATIENCE_MAX * time)
    }

    /// Delivers the events that have waited long enough, and those before them. Begins a push/pull
    /// that may bring what is missing.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        let mut pulls = self.held.values().filter_map(|held| self.pull_at(held));
        if pulls.any(|at| at <= now) {
            self.pull_from = now + PULL_INTERVAL * self.cluster.gossip_time;
            out.order(Order::PushPull);
        }
        let overdue = (self.held.iter()).filter(|(_, held)| self.until(held) <= now);
        if let Some(last) = overdue.map(|(ltime, _)| *ltime).max() {
            self.skip_to(out, last);
        }
    }

    /// This process did not run for `by`: the missing events get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        for held in self.held.values_mut() {
            held.came = held.came + by;
        }
        self.progress = self.progress + by;
    }

    fn first(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    fn hold(&mut self, now: Time, ltime: u64, event: Option<EventBody>) {
        let (events, came) = (Vec::new(), now);
        let held = self.held.entry(ltime).or_insert(Held { events, came });
        if let Some(event) = event {
            self.load.add(&event);
            held.events.push(event);
        }
    }

    /// Delivers the events of which no earlier one is missing.
    fn deliver(&mut self, out: &mut Outbox) {
        while let Some(held) = self.held.remove(&self.next) {
            for event in held.events {
                self.load.subtract(&event);
                out.tell(event);
            }
            self.next = self.next.saturating_add(1);
        }
    }

    /// Stops waiting for the events before the first one that is held.
    fn give_up_first(&mut self, out: &mut Outbox) {
        if let Some(first) = self.first() {
            self.next = first;
            self.deliver(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::CoreEvent;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn event(ltime: u64) -> EventBody {
        EventBody::User {
            name: format!("e{ltime}"),
            payload: Box::default(),
            ltime,
            coalesce: false,
        }
    }

    /// An order, and what it delivered.
    #[derive(Default)]
    struct Run {
        is_small: bool,
        order: EventOrder,
        out: Outbox,
        now: Time,
    }

    impl Run {
        fn cluster(&self) -> ClusterFacts {
            ClusterFacts {
                gossip_time: PATIENCE,
                is_small: self.is_small,
            }
        }

        fn add(&mut self, ltime: u64) {
            self.order.cluster = self.cluster();
            self.order.add(self.now, &mut self.out, ltime, event(ltime));
        }

        fn wait(&mut self, time: Duration) {
            self.now = self.now + time;
            self.order.handle_timeout(self.now, &mut self.out);
        }

        fn delivered(&mut self) -> Vec<u64> {
            let events = std::iter::from_fn(|| self.out.events.pop());
            events
                .map(|event| match event {
                    CoreEvent::App(EventBody::User { ltime, .. }) => ltime,
                    other => panic!("{other:?}"),
                })
                .collect()
        }
    }

    #[test]
    fn events_that_come_in_order_are_delivered_at_once() {
        let mut run = Run::default();
        for ltime in [1, 2, 2, 3, 1] {
            run.add(ltime);
        }
        assert_eq!(run.delivered(), [1, 2, 2, 3, 1]);
        assert_eq!(run.order.deadline(), None);
        assert_eq!(run.out.counts.user_events_held, 0);
    }

    #[test]
    fn an_event_waits_for_the_earlier_ones() {
        let mut run = Run::default();
        for ltime in [3, 4, 2] {
            run.add(ltime);
        }
        assert!(run.delivered().is_empty());
        run.add(1);
        assert_eq!(run.delivered(), [1, 2, 3, 4]);
        assert_eq!(run.out.counts.user_events_held, 3);
    }

    #[test]
    fn an_event_does_not_wait_longer_than_events_are_gossiped() {
        let mut run = Run::default();
        run.add(3);
        run.wait(PATIENCE / 2);
        run.add(6);
        assert!(run.delivered().is_empty());
        assert_eq!(run.order.deadline(), Some(Time::ZERO + PATIENCE));
        run.wait(PATIENCE / 2);
        assert_eq!(run.delivered(), [3]);
        run.add(4);
        assert_eq!(run.delivered(), [4]);
        run.wait(PATIENCE / 2);
        assert!(run.delivered().is_empty(), "5 may come, as 4 has");
        run.wait(PATIENCE / 2);
        assert_eq!(run.delivered(), [6]);
        run.add(5);
        assert_eq!(run.delivered(), [5], "it came too late for the order");
    }

    #[test]
    fn in_a_small_cluster_a_push_pull_brings_a_missing_event_in_time() {
        let mut run = Run {
            is_small: true,
            ..Run::default()
        };
        run.add(2);
        run.wait(PATIENCE);
        assert_eq!(run.out.orders.pop(), Some(Order::PushPull));
        assert!(run.delivered().is_empty());
        run.add(1);
        run.order.skip_to(&mut run.out, 3);
        assert_eq!(run.delivered(), [1, 2]);
        run.add(4);
        run.wait(PATIENCE);
        assert_eq!(run.out.orders.pop(), None, "the last one was not long ago");
        run.wait(PATIENCE);
        assert_eq!(run.out.orders.pop(), Some(Order::PushPull));
        assert_eq!(run.delivered(), [4], "nobody has 3");
        assert_eq!(run.order.deadline(), None);
    }

    #[test]
    fn an_event_waits_longer_while_missing_events_keep_coming() {
        let mut run = Run::default();
        run.add(100);
        for ltime in 2..9 {
            run.wait(PATIENCE * 3 / 4);
            run.add(ltime);
        }
        assert!(run.delivered().is_empty());
        run.wait(PATIENCE * 3 / 4);
        assert!(run.delivered().is_empty());
        run.wait(PATIENCE / 4);
        assert_eq!(run.delivered(), [2, 3, 4, 5, 6, 7, 8, 100]);

        let mut run = Run::default();
        run.add(2);
        run.add(1_000);
        for ltime in 3..19 {
            run.wait(PATIENCE / 2);
            run.add(ltime);
        }
        let expected: Vec<u64> = (2..18).chain([1_000, 18]).collect();
        assert_eq!(run.delivered(), expected, "1000 waited 8 times as long");
    }

    #[test]
    fn an_event_of_this_node_waits_for_nothing_and_is_not_missed() {
        let mut run = Run::default();
        run.add(2);
        run.order.add_own(run.now, &mut run.out, 3, event(3));
        assert_eq!(run.delivered(), [3]);
        run.add(4);
        run.add(1);
        assert_eq!(run.delivered(), [1, 2, 4]);
        assert_eq!(run.order.deadline(), None);
    }

    #[test]
    fn after_a_push_pull_nothing_that_the_other_side_knew_is_missing() {
        let mut run = Run::default();
        for ltime in [600, 590, 610] {
            run.add(ltime);
        }
        run.order.skip_to(&mut run.out, 605);
        assert_eq!(run.delivered(), [590, 600]);
        run.add(605);
        assert_eq!(run.delivered(), [605]);
        run.order.skip_to(&mut run.out, 610);
        assert_eq!(run.delivered(), [610]);
        assert_eq!(run.order.deadline(), None);
    }

    #[test]
    fn a_bounded_number_of_events_waits() {
        let mut run = Run::default();
        for ltime in 0..=limits::HELD_EVENTS as u64 {
            run.add(2 * ltime + 2);
        }
        assert_eq!(run.delivered(), [2]);
        assert_eq!(run.order.held.len(), limits::HELD_EVENTS);
        assert_eq!(run.order.load.count, limits::HELD_EVENTS);
    }

    #[test]
    fn the_last_lamport_time_is_delivered_like_any_other() {
        let mut run = Run::default();
        run.order.skip_to(&mut run.out, u64::MAX - 1);
        run.add(u64::MAX);
        run.add(u64::MAX - 1);
        assert_eq!(run.delivered(), [u64::MAX - 1, u64::MAX]);
        run.add(u64::MAX);
        assert_eq!(run.delivered(), [u64::MAX]);
    }

    #[test]
    fn a_stall_does_not_use_up_the_patience() {
        let mut run = Run::default();
        run.add(2);
        run.order.postpone(Duration::from_secs(60));
        run.wait(PATIENCE);
        assert!(run.delivered().is_empty());
    }
}
