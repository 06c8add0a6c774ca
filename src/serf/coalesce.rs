//! Coalescing: many events within a short time become few.
//!
//! It is off unless the settings switch it on. The first event opens a window. The window closes
//! `period` later, or as soon as no event has come for `quiet`. Only then are the events delivered:
//! of each member the last, and of the user events that may be coalesced, those with the last
//! Lamport time for each name. Other events are delivered at once.
//!
//! The rules are those of Serf, with three differences. Every update is told once. A join followed
//! by an update is a join, so that no update comes before its join. A suspicion that ends within
//! the window is not told at all.

use super::CoreEvent;
use super::config::CoalesceTimes;
use crate::burst_queue::BurstQueue;
use crate::event::{EventBody, EventKind};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The time during which events of one kind are collected.
#[derive(Debug)]
struct Window {
    times: CoalesceTimes,
    /// The time at which it closes at the latest, if it is open.
    closes: Option<Time>,
    /// The time at which it closes if no other event comes.
    quiet_at: Time,
}

impl Window {
    fn new(times: CoalesceTimes) -> Window {
        Window {
            times,
            closes: None,
            quiet_at: Time::ZERO,
        }
    }

    fn is_used(&self) -> bool {
        self.times.period > Duration::ZERO
    }

    /// An event has come.
    fn extend(&mut self, now: Time) {
        self.closes.get_or_insert(now + self.times.period);
        self.quiet_at = now + self.times.quiet;
    }

    fn deadline(&self) -> Option<Time> {
        self.closes.map(|closes| closes.min(self.quiet_at))
    }

    /// Closes the window if it is due.
    fn close_if_due(&mut self, now: Time) -> bool {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        if is_due {
            self.closes = None;
        }
        is_due
    }
}

/// The events that wait for the end of their window.
#[derive(Debug)]
pub(super) struct Coalescer {
    /// The time of the input that is being handled.
    pub now: Time,
    members: Window,
    /// The last event of each member in the window.
    last: BTreeMap<Arc<str>, EventBody>,
    /// The kind of the event that was last delivered about each member.
    told: BTreeMap<Arc<str>, EventKind>,
    users: Window,
    /// The events with the last Lamport time in the window, by name.
    latest: BTreeMap<String, (u64, Vec<EventBody>)>,
    /// The events to deliver.
    ready: BurstQueue<CoreEvent>,
}

impl Coalescer {
    pub fn new(members: CoalesceTimes, users: CoalesceTimes) -> Coalescer {
        Coalescer {
            now: Time::ZERO,
            members: Window::new(members),
            last: BTreeMap::new(),
            told: BTreeMap::new(),
            users: Window::new(users),
            latest: BTreeMap::new(),
            ready: BurstQueue::default(),
        }
    }

    /// Returns the next event to deliver. Takes events from `queue` until there is one.
    pub fn next(&mut self, queue: &mut BurstQueue<CoreEvent>) -> Option<CoreEvent> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some(event);
            }
            match queue.pop()? {
                CoreEvent::App(body) => self.take(body),
                // The application must not learn that its leave has ended before it has learned of
                // the members.
                end @ CoreEvent::LeaveDone { .. } => {
                    self.deliver_members();
                    self.deliver_users();
                    self.ready.push(end);
                }
                event => self.ready.push(event),
            }
        }
    }

    /// Returns the time at which [`Coalescer::handle_timeout`] has to be called.
    pub fn deadline(&self) -> Option<Time> {
        let deadlines = [self.members.deadline(), self.users.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Delivers the events whose window closes.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.members.close_if_due(now) {
            self.deliver_members();
        }
        if self.users.close_if_due(now) {
            self.deliver_users();
        }
    }

    fn take(&mut self, body: EventBody) {
        match &body {
            EventBody::User {
                name,
                ltime,
                coalesce: true,
                ..
            } if self.users.is_used() => {
                let (name, ltime) = (name.clone(), *ltime);
                self.take_user(name, ltime, body);
            }
            _ => match body.member().map(|member| member.name.clone()) {
                Some(name) if self.members.is_used() => self.take_member(name, body),
                _ => self.ready.push(CoreEvent::App(body)),
            },
        }
    }

    fn take_user(&mut self, name: String, ltime: u64, body: EventBody) {
        self.users.extend(self.now);
        let (latest, events) = self.latest.entry(name).or_default();
        if ltime > *latest {
            (*latest, *events) = (ltime, Vec::new());
        }
        if ltime == *latest {
            events.push(body);
        }
    }

    fn take_member(&mut self, name: Arc<str>, body: EventBody) {
        self.members.extend(self.now);
        let before = self.last.remove(&name);
        let body = match (before, body) {
            (Some(EventBody::MemberJoin(_)), EventBody::MemberUpdate(member)) => {
                EventBody::MemberJoin(member)
            }
            (_, body) => body,
        };
        self.last.insert(name, body);
    }

    fn deliver_members(&mut self) {
        self.members.closes = None;
        for (name, body) in std::mem::take(&mut self.last) {
            if is_news(self.told.get(&name).copied(), &body) {
                match body.kind() {
                    EventKind::MemberReap => self.told.remove(&name),
                    kind => self.told.insert(name, kind),
                };
                self.ready.push(CoreEvent::App(body));
            }
        }
    }

    fn deliver_users(&mut self) {
        self.users.closes = None;
        for (_, (_, events)) in std::mem::take(&mut self.latest) {
            let events = events.into_iter().map(CoreEvent::App);
            events.for_each(|event| self.ready.push(event));
        }
    }
}

/// Returns true if an event tells the application something that the last event about the member
/// has not told.
fn is_news(told: Option<EventKind>, body: &EventBody) -> bool {
    match body.kind() {
        EventKind::MemberUpdate => true,
        EventKind::MemberAlive => told == Some(EventKind::MemberSuspect),
        kind => told != Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared::members::tests::member;
    use super::*;
    use crate::swim::OpId;

    const SECOND: Duration = Duration::from_secs(1);

    /// A coalescer with the times of Serf's agent, and the events that it has not seen yet.
    struct Run {
        coalescer: Coalescer,
        queue: BurstQueue<CoreEvent>,
    }

    impl Run {
        fn new() -> Run {
            let times = CoalesceTimes {
                period: 3 * SECOND,
                quiet: SECOND,
            };
            Run::with(times, times)
        }

        fn with(members: CoalesceTimes, users: CoalesceTimes) -> Run {
            Run {
                coalescer: Coalescer::new(members, users),
                queue: BurstQueue::default(),
            }
        }

        fn app(&mut self, body: EventBody) {
            self.queue.push(CoreEvent::App(body));
        }

        fn user(&mut self, name: &str, ltime: u64, coalesce: bool) {
            self.app(EventBody::User {
                name: name.to_owned(),
                payload: Box::from(*b"x"),
                ltime,
                coalesce,
            });
        }

        /// Lets time pass, and returns the events that are delivered then.
        fn after(&mut self, time: Duration) -> Vec<String> {
            let mut events = self.now();
            let now = self.coalescer.now + time;
            self.coalescer.now = now;
            if self.coalescer.deadline().is_some_and(|at| at <= now) {
                self.coalescer.handle_timeout(now);
            }
            events.extend(self.now());
            events
        }

        /// Returns the events that are delivered now.
        fn now(&mut self) -> Vec<String> {
            let events = std::iter::from_fn(|| self.coalescer.next(&mut self.queue));
            events.map(shown).collect()
        }
    }

    fn shown(event: CoreEvent) -> String {
        match event {
            CoreEvent::App(EventBody::User { name, ltime, .. }) => format!("{name} {ltime}"),
            CoreEvent::App(body) => match body.member() {
                Some(member) => format!("{} {}", body.kind().name(), member.name),
                None => body.kind().name().to_owned(),
            },
            CoreEvent::LeaveDone { .. } => "left".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn without_a_period_events_are_delivered_at_once() {
        let mut run = Run::with(CoalesceTimes::default(), CoalesceTimes::default());
        run.app(EventBody::MemberJoin(member("a")));
        run.app(EventBody::MemberJoin(member("a")));
        run.user("e", 1, true);
        assert_eq!(run.now(), ["member-join a", "member-join a", "e 1"]);
        assert_eq!(run.coalescer.deadline(), None);
    }

    #[test]
    fn the_last_event_of_each_member_is_delivered_after_a_quiet_time() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("b")));
        run.app(EventBody::MemberJoin(member("a")));
        assert_eq!(run.after(SECOND / 2), [""; 0]);
        run.app(EventBody::MemberFail(member("b")));
        assert_eq!(run.after(SECOND / 2), [""; 0]);
        assert_eq!(run.after(SECOND / 2), ["member-join a", "member-failed b"]);
        assert_eq!(run.coalescer.deadline(), None);
    }

    #[test]
    fn events_that_go_on_are_delivered_when_the_period_is_over() {
        let mut run = Run::new();
        for _ in 0..3 {
            run.user("e", 1, true);
            assert_eq!(run.after(SECOND * 9 / 10), [""; 0]);
        }
        run.user("e", 2, true);
        assert_eq!(run.after(SECOND * 3 / 10), ["e 2"]);
    }

    #[test]
    fn user_events_that_must_not_be_coalesced_and_other_events_pass_at_once() {
        let mut run = Run::new();
        run.user("e", 1, true);
        run.user("e", 2, false);
        run.app(EventBody::NameRegained {});
        assert_eq!(run.now(), ["e 2", EventKind::NameRegained.name()]);
        assert_eq!(run.after(SECOND), ["e 1"]);
    }

    #[test]
    fn all_user_events_with_the_last_lamport_time_of_a_name_are_delivered() {
        let mut run = Run::new();
        for (name, ltime) in [("e", 3), ("e", 2), ("e", 3), ("f", 1)] {
            run.user(name, ltime, true);
        }
        assert_eq!(run.after(SECOND), ["e 3", "e 3", "f 1"]);
    }

    #[test]
    fn what_was_told_is_not_told_again_except_for_updates() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("a")));
        assert_eq!(run.after(SECOND), ["member-join a"]);
        run.app(EventBody::MemberFail(member("a")));
        run.app(EventBody::MemberJoin(member("a")));
        assert_eq!(run.after(SECOND), [""; 0]);
        for _ in 0..2 {
            run.app(EventBody::MemberUpdate(member("a")));
            assert_eq!(run.after(SECOND), ["member-update a"]);
        }
        run.app(EventBody::MemberReap(member("a")));
        assert_eq!(run.after(SECOND), ["member-reap a"]);
        assert!(run.coalescer.told.is_empty());
        run.app(EventBody::MemberJoin(member("a")));
        assert_eq!(run.after(SECOND), ["member-join a"]);
    }

    #[test]
    fn an_update_does_not_come_before_its_join() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("a")));
        run.app(EventBody::MemberUpdate(member("a")));
        assert_eq!(run.after(SECOND), ["member-join a"]);
    }

    #[test]
    fn a_suspicion_that_ends_within_the_window_is_not_told() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("a")));
        run.after(SECOND);
        run.app(EventBody::MemberSuspect(member("a")));
        run.app(EventBody::MemberAlive(member("a")));
        assert_eq!(run.after(SECOND), [""; 0]);
        run.app(EventBody::MemberSuspect(member("a")));
        assert_eq!(run.after(SECOND), ["member-suspect a"]);
        run.app(EventBody::MemberAlive(member("a")));
        assert_eq!(run.after(SECOND), ["member-alive a"]);
    }

    #[test]
    fn the_end_of_a_leave_comes_after_the_events_that_wait() {
        let mut run = Run::new();
        run.app(EventBody::MemberLeave(member("a")));
        run.user("e", 1, true);
        let end = super::super::LeaveEnd::Cancelled;
        run.queue.push(CoreEvent::LeaveDone { op: OpId(1), end });
        assert_eq!(run.now(), ["member-leave a", "e 1", "left"]);
        assert_eq!(run.coalescer.deadline(), None);
    }
}
