//! Coalescing: many events within a short time become few.
//!
//! It is off unless the settings switch it on. The first event opens a window. The window closes
//! `period` later, or as soon as no event has come for `quiet`. Then the events are delivered. For
//! each member, they lead from what the application was last told to what the events of the window
//! show ([`MemberEvents::news`]). Of the user events, only those with the last Lamport time of each
//! name are delivered, in the order of their Lamport times. User events that may not be coalesced,
//! and all events of other kinds, are delivered immediately.
//!
//! Serf delivers the last event of each member, unless the previous window ended with an event of
//! the same kind. So it loses a join that is followed by an update, and the new address of a member
//! that fails and returns. Here, a program that reads all events knows the same members, with the
//! same states, addresses and tags, as without coalescing.

use super::config::CoalesceTimes;
use super::shared::event_load::EventLoad;
use super::{CoreEvent, Member, MemberState};
use crate::burst_queue::BurstQueue;
use crate::event::{EventBody, EventKind};
use crate::limits;
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

    fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }
}

/// The state of a member as the events about it show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Alive,
    Suspect,
    Failed,
    Left,
}

impl Standing {
    fn is_present(self) -> bool {
        match self {
            Standing::Alive | Standing::Suspect => true,
            Standing::Failed | Standing::Left => false,
        }
    }
}

/// A member as it was told.
#[derive(Clone, Debug)]
struct Shown {
    member: Member,
    standing: Standing,
}

/// The events about one member in the window.
#[derive(Debug)]
struct MemberEvents {
    /// The member as it was last told to the application; `None` if the application does not know
    /// it.
    told: Option<Shown>,
    /// The member as the last event describes it.
    member: Member,
    /// Its state after the last event; `None` if it has been reaped, or has not joined.
    standing: Option<Standing>,
    /// True if it has joined in this window.
    joined: bool,
}

impl MemberEvents {
    fn new(told: Option<Shown>, member: &Member) -> MemberEvents {
        MemberEvents {
            standing: told.as_ref().map(|told| told.standing),
            told,
            member: member.clone(),
            joined: false,
        }
    }

    /// Takes in an event. Only a join makes a member known.
    fn add(&mut self, kind: EventKind, member: &Member) {
        self.member = member.clone();
        self.joined |= kind == EventKind::MemberJoin;
        self.standing = match (kind, self.standing) {
            (EventKind::MemberJoin, _) => Some(Standing::Alive),
            (_, None) | (EventKind::MemberReap, _) => None,
            (EventKind::MemberSuspect, _) => Some(Standing::Suspect),
            (EventKind::MemberAlive, _) => Some(Standing::Alive),
            (EventKind::MemberFail, _) => Some(Standing::Failed),
            (EventKind::MemberLeave, _) => Some(Standing::Left),
            (_, standing) => standing,
        };
    }

    /// Returns true if the application neither knows the member nor has to learn of it.
    fn is_nothing(&self) -> bool {
        self.told.is_none() && self.standing.is_none()
    }

    /// Returns the events that turn the member that was told into the one that is seen now. For
    /// each member they have the order that [`EventBody`] promises: a join comes first, and other
    /// facts are told before a departure.
    fn news(&self) -> Vec<EventBody> {
        let Some(standing) = self.standing else {
            let reaped = self.told.as_ref().map(|_| self.member.clone());
            return reaped.map(EventBody::MemberReap).into_iter().collect();
        };
        let told = self.told.as_ref();
        let differs = told.is_some_and(|told| told.member.differs_from(&self.member));
        let mut before = told.map(|told| told.standing);
        let mut news = Vec::new();
        if before.is_some_and(Standing::is_present) {
            news.extend(differs.then(|| EventBody::MemberUpdate(self.present())));
        } else if self.joined && (differs || before != Some(standing)) {
            news.push(EventBody::MemberJoin(self.present()));
            before = Some(Standing::Alive);
        }
        if before != Some(standing) {
            let member = self.member.clone();
            news.push(match standing {
                Standing::Alive => EventBody::MemberAlive(member),
                Standing::Suspect => EventBody::MemberSuspect(member),
                Standing::Failed => EventBody::MemberFail(member),
                Standing::Left => EventBody::MemberLeave(member),
            });
        }
        news
    }

    /// Returns the member as it was before a suspicion or a departure that is told after it.
    fn present(&self) -> Member {
        let member = self.member.clone();
        match self.standing {
            Some(Standing::Alive) => member,
            _ => member.in_state(MemberState::Alive),
        }
    }

    /// Returns the member as it is told now; `None` if it has been reaped.
    fn into_told(self) -> Option<Shown> {
        let member = self.member;
        self.standing.map(|standing| Shown { member, standing })
    }
}

/// The user events with the last Lamport time of each name.
#[derive(Debug, Default)]
struct LatestEvents {
    by_name: BTreeMap<String, (u64, Vec<EventBody>)>,
    load: EventLoad,
}

impl LatestEvents {
    /// Adds an event, unless a later one with this name has come.
    fn add(&mut self, name: &str, ltime: u64, body: EventBody) {
        let (latest, events) = self.by_name.entry(name.to_owned()).or_default();
        if ltime < *latest {
            return;
        }
        if ltime > *latest {
            *latest = ltime;
            events.drain(..).for_each(|it| self.load.subtract(&it));
        }
        self.load.add(&body);
        events.push(body);
    }

    fn is_full(&self) -> bool {
        let EventLoad { count, bytes } = self.load;
        count >= limits::COALESCED_EVENTS || bytes >= limits::COALESCED_BYTES
    }

    /// Takes out all events, in the order of their Lamport times.
    fn take(&mut self) -> impl Iterator<Item = EventBody> + use<> {
        let names = std::mem::take(self).by_name.into_values();
        let mut times: Vec<(u64, Vec<EventBody>)> = names.collect();
        times.sort_by_key(|(ltime, _)| *ltime);
        times.into_iter().flat_map(|(_, events)| events)
    }
}

/// The events that wait for the end of their window.
#[derive(Debug)]
pub(super) struct Coalescer {
    /// The time of the input that is being handled.
    pub now: Time,
    /// How often a window of user events was closed early, because too many events waited.
    pub cut_short: u64,
    members: Window,
    /// The members with events in the window, by name: at most those of the table, and those that
    /// were reaped since they were told.
    seen: BTreeMap<Arc<str>, MemberEvents>,
    /// The members without events in the window, as they were last told.
    told: BTreeMap<Arc<str>, Shown>,
    users: Window,
    latest: LatestEvents,
    /// The events to deliver.
    ready: BurstQueue<CoreEvent>,
}

impl Coalescer {
    pub fn new(members: CoalesceTimes, users: CoalesceTimes) -> Coalescer {
        Coalescer {
            now: Time::ZERO,
            cut_short: 0,
            members: Window::new(members),
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
            users: Window::new(users),
            latest: LatestEvents::default(),
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
        if self.members.is_due(now) {
            self.deliver_members();
        }
        if self.users.is_due(now) {
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
                self.take_user(&name, ltime, body);
            }
            _ => match body.member() {
                Some(member) if self.members.is_used() => self.take_member(body.kind(), member),
                _ => self.ready.push(CoreEvent::App(body)),
            },
        }
    }

    fn take_user(&mut self, name: &str, ltime: u64, body: EventBody) {
        self.users.extend(self.now);
        self.latest.add(name, ltime, body);
        if self.latest.is_full() {
            self.cut_short += 1;
            self.deliver_users();
        }
    }

    fn take_member(&mut self, kind: EventKind, member: &Member) {
        self.members.extend(self.now);
        let name = &member.name;
        let told = &mut self.told;
        let seen = self.seen.entry(name.clone());
        let seen = seen.or_insert_with(|| MemberEvents::new(told.remove(name), member));
        seen.add(kind, member);
        if seen.is_nothing() {
            self.seen.remove(name);
        }
    }

    fn deliver_members(&mut self) {
        self.members.closes = None;
        for (name, seen) in std::mem::take(&mut self.seen) {
            for body in seen.news() {
                self.ready.push(CoreEvent::App(body));
            }
            if let Some(told) = seen.into_told() {
                self.told.insert(name, told);
            }
        }
    }

    fn deliver_users(&mut self) {
        self.users.closes = None;
        for event in self.latest.take() {
            self.ready.push(CoreEvent::App(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NodeFacts;
    use super::super::shared::members::tests::member;
    use super::*;
    use crate::swim::OpId;
    use std::net::SocketAddr;

    const SECOND: Duration = Duration::from_secs(1);

    /// The member `a` at this port.
    fn at(port: u16) -> Member {
        let facts = NodeFacts::new("a", SocketAddr::from(([10, 0, 0, 1], port)));
        Member::with_tags(Arc::new(facts), MemberState::Alive)
    }

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

        /// Closes the window after these events, and returns those that are delivered.
        fn coalesced(&mut self, bodies: Vec<EventBody>) -> Vec<String> {
            bodies.into_iter().for_each(|body| self.app(body));
            self.after(SECOND)
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
    fn the_state_of_each_member_is_delivered_after_a_quiet_time() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("b")));
        run.app(EventBody::MemberJoin(member("a")));
        assert_eq!(run.after(SECOND / 2), [""; 0]);
        run.app(EventBody::MemberFail(member("b")));
        assert_eq!(run.after(SECOND / 2), [""; 0]);
        let told = ["member-join a", "member-join b", "member-failed b"];
        assert_eq!(run.after(SECOND / 2), told);
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
        assert_eq!(run.after(SECOND), ["f 1", "e 3", "e 3"], "by Lamport time");
        assert_eq!(run.coalescer.latest.load, EventLoad::default());
    }

    #[test]
    fn user_events_that_take_too_much_memory_are_delivered_early() {
        let mut run = Run::new();
        for n in 1..limits::COALESCED_EVENTS as u64 {
            run.user(&format!("e{n}"), n, true);
        }
        assert_eq!(run.now(), [""; 0]);
        run.user("last", 5_000, true);
        assert_eq!(run.now().len(), limits::COALESCED_EVENTS);
        assert_eq!(run.coalescer.cut_short, 1);
        assert_eq!(run.coalescer.deadline(), None);
        let large = |ltime| EventBody::User {
            name: format!("e{}", ltime % 100),
            payload: vec![0; 10_000].into(),
            ltime,
            coalesce: true,
        };
        for ltime in 1..=104 {
            run.app(large(ltime));
        }
        assert_eq!(run.now(), [""; 0], "four have replaced earlier ones");
        assert_eq!(run.coalescer.latest.load.count, 100);
        for n in 1..=5 {
            let name = format!("more{n}");
            let payload = vec![0; 10_000].into();
            let (ltime, coalesce) = (200, true);
            run.app(EventBody::User {
                name,
                payload,
                ltime,
                coalesce,
            });
        }
        assert_eq!(run.now().len(), 105);
        assert_eq!(run.coalescer.cut_short, 2);
    }

    #[test]
    fn what_was_told_is_not_told_again_and_what_differs_is() {
        let mut run = Run::new();
        assert_eq!(
            run.coalesced(vec![EventBody::MemberJoin(at(1))]),
            ["member-join a"]
        );
        let returns = |port| {
            vec![
                EventBody::MemberFail(at(1)),
                EventBody::MemberJoin(at(port)),
            ]
        };
        assert_eq!(run.coalesced(returns(1)), [""; 0]);
        assert_eq!(
            run.coalesced(returns(2)),
            ["member-update a"],
            "at another address"
        );
        let update = |port| EventBody::MemberUpdate(at(port));
        assert_eq!(run.coalesced(vec![update(3)]), ["member-update a"]);
        assert_eq!(
            run.coalesced(vec![update(4), update(5)]),
            ["member-update a"]
        );
        assert_eq!(
            run.coalesced(vec![update(6), update(5)]),
            [""; 0],
            "as before"
        );
        let ends = vec![update(7), EventBody::MemberFail(at(7))];
        assert_eq!(run.coalesced(ends), ["member-update a", "member-failed a"]);
        let flaps = |port| {
            vec![
                EventBody::MemberJoin(at(port)),
                EventBody::MemberFail(at(port)),
            ]
        };
        assert_eq!(run.coalesced(flaps(7)), [""; 0]);
        assert_eq!(
            run.coalesced(flaps(8)),
            ["member-join a", "member-failed a"]
        );
        assert_eq!(
            run.coalesced(vec![EventBody::MemberLeave(at(8))]),
            ["member-leave a"]
        );
        assert_eq!(
            run.coalesced(vec![EventBody::MemberReap(at(8))]),
            ["member-reap a"]
        );
        assert!(run.coalescer.told.is_empty() && run.coalescer.seen.is_empty());
        assert_eq!(
            run.coalesced(vec![EventBody::MemberJoin(at(8))]),
            ["member-join a"]
        );
    }

    #[test]
    fn a_join_or_an_update_survives_a_suspicion() {
        let mut run = Run::new();
        let (suspect, alive) = (EventBody::MemberSuspect, EventBody::MemberAlive);
        let newcomer = vec![EventBody::MemberJoin(at(1)), suspect(at(1)), alive(at(1))];
        assert_eq!(run.coalesced(newcomer), ["member-join a"]);
        let changed = vec![EventBody::MemberUpdate(at(2)), suspect(at(2)), alive(at(2))];
        assert_eq!(run.coalesced(changed), ["member-update a"]);
        let doubted = vec![EventBody::MemberUpdate(at(3)), suspect(at(3))];
        assert_eq!(
            run.coalesced(doubted),
            ["member-update a", "member-suspect a"]
        );
        assert_eq!(run.coalesced(vec![alive(at(3))]), ["member-alive a"]);
        let mut run = Run::new();
        let newcomer = vec![EventBody::MemberJoin(at(1)), suspect(at(1))];
        assert_eq!(
            run.coalesced(newcomer),
            ["member-join a", "member-suspect a"]
        );
    }

    #[test]
    fn a_member_that_is_gone_before_it_was_told_takes_no_memory() {
        let mut run = Run::new();
        for n in 0..1000 {
            let name = format!("m{n}");
            run.app(EventBody::MemberJoin(member(&name)));
            run.app(EventBody::MemberReap(member(&name)));
        }
        assert_eq!(run.now(), [""; 0]);
        assert!(run.coalescer.told.is_empty() && run.coalescer.seen.is_empty());
        assert_eq!(run.after(SECOND), [""; 0]);
    }

    /// The knowledge of a program about the member `a`: its state and its port.
    type View = Option<(Standing, u16)>;

    /// Returns what a program knows after an event; `None` if the event may not come then.
    fn after_event(view: View, body: &EventBody) -> Option<View> {
        let port = body.member()?.addr.port();
        let is_present = view.is_some_and(|(standing, _)| standing.is_present());
        let standing = view.map(|(standing, _)| standing);
        let (may_come, next) = match body {
            EventBody::MemberJoin(_) => (!is_present, Some(Standing::Alive)),
            EventBody::MemberUpdate(_) => (is_present && view != Some((standing?, port)), standing),
            EventBody::MemberSuspect(_) => {
                (standing == Some(Standing::Alive), Some(Standing::Suspect))
            }
            EventBody::MemberAlive(_) => {
                (standing == Some(Standing::Suspect), Some(Standing::Alive))
            }
            EventBody::MemberFail(_) => (is_present, Some(Standing::Failed)),
            EventBody::MemberLeave(_) => {
                let may_leave = is_present || standing == Some(Standing::Failed);
                (may_leave, Some(Standing::Left))
            }
            EventBody::MemberReap(_) => (view.is_some(), None),
            _ => (false, None),
        };
        may_come.then_some(next.map(|standing| (standing, port)))
    }

    /// The end of the window, as a step of a sequence.
    const CLOSE: usize = 8;

    /// Returns the event with this number, in which the member has its present port, unless it
    /// joins or changes.
    fn numbered(number: usize, view: View) -> EventBody {
        let port = view.map_or(1, |(_, port)| port);
        match number {
            0 | 1 => EventBody::MemberJoin(at(1 + number as u16)),
            2 => EventBody::MemberUpdate(at(3 - port)),
            3 => EventBody::MemberSuspect(at(port)),
            4 => EventBody::MemberAlive(at(port)),
            5 => EventBody::MemberFail(at(port)),
            6 => EventBody::MemberLeave(at(port)),
            _ => EventBody::MemberReap(at(port)),
        }
    }

    /// Delivers all that waits, and returns what the program knows then.
    fn told_view(run: &mut Run, mut view: View) -> View {
        let at_end = run.coalescer.deadline();
        run.coalescer.handle_timeout(at_end.unwrap_or_default());
        while let Some(event) = run.coalescer.next(&mut run.queue) {
            let CoreEvent::App(body) = event else {
                panic!("{event:?}");
            };
            let next = after_event(view, &body);
            view = next.unwrap_or_else(|| panic!("{body:?} comes after {view:?}"));
        }
        view
    }

    /// Returns all sequences of six steps that are possible. A step is the number of an event, or
    /// [`CLOSE`].
    fn sequences() -> Vec<Vec<usize>> {
        let mut sequences = vec![(Vec::new(), None)];
        for _ in 0..6 {
            let mut longer = Vec::new();
            for (steps, view) in &sequences {
                for step in 0..=CLOSE {
                    let view = match step {
                        CLOSE => Some(*view),
                        _ => after_event(*view, &numbered(step, *view)),
                    };
                    let steps: Vec<usize> = steps.iter().copied().chain([step]).collect();
                    longer.extend(view.map(|view| (steps, view)));
                }
            }
            sequences = longer;
        }
        sequences.into_iter().map(|(steps, _)| steps).collect()
    }

    #[test]
    fn every_sequence_of_events_leaves_a_program_with_the_same_knowledge() {
        let sequences = sequences();
        assert!(sequences.len() > 9_000, "{}", sequences.len());
        for steps in sequences {
            let (mut run, mut view, mut told) = (Run::new(), None, None);
            for step in steps.iter().copied().chain([CLOSE]) {
                if step == CLOSE {
                    assert_eq!(run.now(), [""; 0]);
                    told = told_view(&mut run, told);
                    assert_eq!(told, view, "{steps:?}");
                } else {
                    let body = numbered(step, view);
                    view = after_event(view, &body).unwrap();
                    run.app(body);
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_leave_comes_after_the_events_that_wait() {
        let mut run = Run::new();
        run.app(EventBody::MemberJoin(member("a")));
        run.app(EventBody::MemberLeave(member("a")));
        run.user("e", 1, true);
        let end = super::super::LeaveEnd::Cancelled;
        run.queue.push(CoreEvent::LeaveDone { op: OpId(1), end });
        assert_eq!(
            run.now(),
            ["member-join a", "member-leave a", "e 1", "left"]
        );
        assert_eq!(run.coalescer.deadline(), None);
    }
}
