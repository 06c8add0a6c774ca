//! The queue of events between the engine and the application.
//!
//! A queue is bounded and has one reader. Unless a callback takes the events, the queue has a
//! descriptor that is readable exactly while events are queued, and permanently once the queue has
//! ended. The descriptor changes under the lock of the queue, so that no wake-up is lost.
//!
//! When a queue overflows, it keeps only the last member event of each member. If that is not
//! enough, it drops the oldest member events, then the oldest user events, and finally the oldest
//! events of any kind. One `Overflow` event tells the application to read the list of members
//! again, so that it does not miss their current states. Acks of pings are measurements, which are
//! dropped before anything else. Messages and states of programs built on memberlist count as user
//! events. The bytes of acks, user events, queries and answers have a bound, too; beyond it, they
//! are dropped in this order, the oldest first. Log lines have a bound of their own and never
//! displace other events.

use crate::driver::os::descriptors::Wakeup;
use crate::driver::os::lock::{deadline, lock, wait_until};
use crate::event::{Event, EventBody, EventKind};
use crate::limits;
use crate::time::Time;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The maximum number of log lines that wait. If more arrive, the oldest are dropped.
const LOGS: usize = 256;

/// The number of events for which an empty queue keeps room. A node that joins a large cluster has
/// an event for each member at once.
const KEPT: usize = 64;

/// The error of a queue that has ended and in which no event is left to take.
#[derive(Debug, PartialEq)]
pub(in crate::driver) struct Ended;

/// The events of a queue, and the state of its reader.
#[derive(Default)]
struct Queued {
    events: VecDeque<Event>,
    logs: VecDeque<Event>,
    last_seq: u64,
    /// The number of bytes that the events in `events` have brought from other nodes: the sum of
    /// their [`weight`].
    bytes: usize,
    /// True once no further event comes.
    ended: bool,
    /// True once the reader has given up the queue and the events that are left in it.
    abandoned: bool,
    /// True while the descriptor is readable.
    raised: bool,
    /// True while an overflow event is queued.
    overflow_waits: bool,
    lost: u64,
    /// The number of lost events that overflow events have already reported.
    reported: u64,
    /// The number of events that another queue lost, as reported by an overflow event that moved
    /// from there to this queue. They are not part of `lost`.
    lost_elsewhere: u64,
}

/// The queue of one reader.
pub(in crate::driver) struct EventQueue {
    state: Mutex<Queued>,
    changed: Condvar,
    /// `None` if a callback takes the events.
    signal: Option<Wakeup>,
    capacity: usize,
    /// The kinds that are queued; an empty list stands for all.
    kinds: Vec<EventKind>,
}

impl EventQueue {
    pub fn new(capacity: usize, kinds: Vec<EventKind>, pollable: bool) -> io::Result<EventQueue> {
        let signal = pollable.then(Wakeup::new).transpose()?;
        Ok(EventQueue {
            state: Mutex::default(),
            changed: Condvar::new(),
            signal,
            capacity: capacity.max(4),
            kinds,
        })
    }

    /// Returns the descriptor; `None` if a callback takes the events.
    pub fn fd(&self) -> Option<RawFd> {
        self.signal.as_ref().map(Wakeup::fd)
    }

    /// Returns the descriptor for a thread of this library to poll.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.signal.as_ref().map(Wakeup::as_fd)
    }

    /// Returns true unless the host program has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.signal.as_ref().is_none_or(Wakeup::is_intact)
    }

    /// Returns true if the queue accepts events of this kind.
    pub fn wants(&self, kind: EventKind) -> bool {
        let always = matches!(kind, EventKind::Overflow | EventKind::Fatal);
        always || self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Queues an event if its kind is wanted and the queue has not ended. An overflow event is
    /// merged with the overflow event that is already queued, if any. Returns the number of events
    /// that the queue has dropped or merged to make room.
    pub fn push(&self, now: Time, body: EventBody) -> u64 {
        let kind = body.kind();
        if !self.wants(kind) {
            return 0;
        }
        let mut state = lock(&self.state);
        if state.ended {
            return 0;
        }
        let lost_before = state.lost;
        if let EventBody::Overflow { lost } = body {
            state.lost_elsewhere += lost;
            if std::mem::replace(&mut state.overflow_waits, true) {
                return 0;
            }
        }
        let event = state.number(now, body);
        if kind == EventKind::Log {
            state.logs.push_back(event);
            if state.logs.len() > LOGS {
                state.logs.pop_front();
                state.lost += 1;
            }
        } else {
            state.bytes += weight(&event);
            state.events.push_back(event);
            if state.events.len() > self.capacity || state.bytes > limits::QUEUED_MESSAGE_BYTES {
                state.make_room(now, self.capacity);
            }
        }
        let lost = state.lost - lost_before;
        self.update_signal(&mut state);
        drop(state);
        self.changed.notify_one();
        lost
    }

    /// Ends the queue: no further event is accepted, and the descriptor stays readable.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        self.update_signal(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the queue and drops the events that are left.
    pub fn abandon(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.abandoned = true;
        state.bytes = 0;
        let left = (
            std::mem::take(&mut state.events),
            std::mem::take(&mut state.logs),
        );
        self.update_signal(&mut state);
        drop(state);
        drop(left); // after the lock is released, since there may be thousands of events
        self.changed.notify_all();
    }

    /// Takes the next event, and waits for it if none is queued. Returns `Ok(None)` after the
    /// timeout; a `timeout` of `None` waits without limit.
    pub fn take(&self, timeout: Option<Duration>) -> Result<Option<Event>, Ended> {
        let ready = |it: &mut Queued| it.abandoned || it.ended || it.next_is_log().is_some();
        let until = deadline(timeout);
        let (mut state, _) = wait_until(&self.changed, lock(&self.state), until, ready);
        if state.abandoned {
            return Err(Ended);
        }
        match state.pop() {
            None if state.ended => Err(Ended),
            None => Ok(None),
            Some(event) => {
                self.update_signal(&mut state);
                Ok(Some(event))
            }
        }
    }

    /// Takes the queued events, at most `max`, without waiting.
    pub fn drain(&self, max: usize) -> Result<Vec<Event>, Ended> {
        let mut state = lock(&self.state);
        let waiting = state.events.len() + state.logs.len();
        if state.abandoned || (state.ended && waiting == 0) {
            return Err(Ended);
        }
        let mut events = Vec::with_capacity(waiting.min(max));
        events.extend(std::iter::from_fn(|| state.pop()).take(max));
        self.update_signal(&mut state);
        Ok(events)
    }

    /// Takes out all queued events of the kinds for which `wanted` is true. An overflow event takes
    /// the number of lost events along; if the overflow event stays, so does the number.
    pub fn take_out(&self, wanted: impl Fn(EventKind) -> bool) -> Vec<Event> {
        let mut state = lock(&self.state);
        let mut taken = Vec::new();
        let mut left = Queued::default();
        while let Some(mut event) = state.pop_unreported() {
            match event.kind() {
                kind if wanted(kind) => {
                    state.report_lost(&mut event);
                    taken.push(event);
                }
                EventKind::Log => left.logs.push_back(event),
                _ => left.events.push_back(event),
            }
        }
        state.bytes = left.events.iter().map(weight).sum();
        (state.events, state.logs) = (left.events, left.logs);
        self.update_signal(&mut state);
        taken
    }

    /// Returns the number of events dropped or merged since the start, log lines included.
    #[cfg(test)]
    pub fn lost(&self) -> u64 {
        lock(&self.state).lost
    }

    /// Returns true if an event can be taken or the queue has ended.
    pub fn is_ready(&self) -> bool {
        lock(&self.state).is_ready()
    }

    /// Returns the number of queued events.
    pub fn waiting(&self) -> usize {
        let state = lock(&self.state);
        state.events.len() + state.logs.len()
    }

    /// Signals the descriptor again if it is readable.
    #[cfg(feature = "capi")]
    pub fn signal_again(&self) {
        let state = lock(&self.state);
        if let Some(signal) = self.signal.as_ref().filter(|_| state.raised) {
            signal.raise();
        }
    }

    /// Makes the descriptor readable or not, as the queue requires.
    fn update_signal(&self, state: &mut Queued) {
        let Some(signal) = &self.signal else { return };
        let readable = state.is_ready();
        if readable != state.raised {
            state.raised = readable;
            if readable {
                signal.raise()
            } else {
                signal.lower()
            }
        }
    }
}

impl Queued {
    /// Gives an event its number in this queue.
    fn number(&mut self, time: Time, body: EventBody) -> Event {
        self.last_seq += 1;
        Event {
            seq: self.last_seq,
            time,
            body,
        }
    }

    /// Takes out the oldest event for the reader.
    fn pop(&mut self) -> Option<Event> {
        let mut event = self.pop_unreported()?;
        self.report_lost(&mut event);
        Some(event)
    }

    /// Takes out the oldest event. An overflow event does not have its number of lost events yet.
    fn pop_unreported(&mut self) -> Option<Event> {
        match self.next_is_log()? {
            true => self.logs.pop_front(),
            false => {
                let event = self.events.pop_front()?;
                self.bytes -= weight(&event);
                if self.events.is_empty() && self.events.capacity() > KEPT {
                    self.events = VecDeque::new();
                }
                Some(event)
            }
        }
    }

    /// Writes the number of lost events into an overflow event that leaves the queue. It counts the
    /// events that were lost since the previous overflow event.
    fn report_lost(&mut self, event: &mut Event) {
        if let EventBody::Overflow { lost } = &mut event.body {
            self.overflow_waits = false;
            *lost = self.lost - self.reported + std::mem::take(&mut self.lost_elsewhere);
            self.reported = self.lost;
        }
    }

    /// Returns true if an event can be taken or the queue has ended.
    fn is_ready(&self) -> bool {
        self.ended || self.next_is_log().is_some()
    }

    /// Returns true if the oldest event is a log line; `None` if nothing is queued.
    fn next_is_log(&self) -> Option<bool> {
        match (self.events.front(), self.logs.front()) {
            (None, None) => None,
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (Some(event), Some(log)) => Some(log.seq < event.seq),
        }
    }

    /// Makes room in a full queue. If the queue holds enough events that may be dropped, it shrinks
    /// to three quarters of its capacity, so that it does not overflow again immediately.
    fn make_room(&mut self, now: Time, capacity: usize) {
        let before = self.events.len();
        self.drop_bytes();
        if self.events.len() > capacity {
            self.shrink_to(capacity - capacity / 4);
        }
        // If that was not enough, no event of these kinds is left. A program that begins more
        // operations than the queue can hold, and takes no event, loses some of their outcomes.
        while self.events.len() > capacity {
            if let Some(event) = self.events.pop_front() {
                self.overflow_waits &= event.kind() != EventKind::Overflow;
            }
        }
        self.bytes = self.events.iter().map(weight).sum();
        self.lost += (before - self.events.len()) as u64;
        if !self.overflow_waits {
            self.overflow_waits = true;
            let event = self.number(now, EventBody::Overflow { lost: 0 });
            self.events.push_back(event);
        }
    }

    /// Drops acks of pings, member events and events from programs, in this order, until at most
    /// `target` events are left.
    fn shrink_to(&mut self, target: usize) {
        self.drop_oldest(target, |event| event.kind() == EventKind::PingAck);
        if self.events.len() > target {
            self.keep_last_of_each_member();
        }
        // Member events are dropped before those from programs, because the list of members also
        // shows what they report.
        self.drop_oldest(target, |event| event.member().is_some());
        self.drop_oldest(target, is_from_program);
    }

    /// Drops acks of pings, events from programs, and finally queries and answers, until the bytes
    /// of all these are within their bound.
    fn drop_bytes(&mut self) {
        self.drop_oldest_bytes(|event| event.kind() == EventKind::PingAck);
        self.drop_oldest_bytes(is_from_program);
        self.drop_oldest_bytes(|_| true);
    }

    /// Drops the oldest events for which `goes` is true until the bytes are within their bound.
    fn drop_oldest_bytes(&mut self, goes: impl Fn(&Event) -> bool) {
        let bytes = &mut self.bytes;
        self.events.retain(|event| {
            let weight = weight(event);
            let goes = *bytes > limits::QUEUED_MESSAGE_BYTES && weight > 0 && goes(event);
            *bytes -= if goes { weight } else { 0 };
            !goes
        });
    }

    /// Drops the oldest events for which `goes` is true, until at most `target` events are left.
    fn drop_oldest(&mut self, target: usize, goes: impl Fn(&Event) -> bool) {
        let mut surplus = self.events.len().saturating_sub(target);
        self.events.retain(|event| {
            let goes = surplus > 0 && goes(event);
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Drops every member event that is followed by a later one about the same member.
    fn keep_last_of_each_member(&mut self) {
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        let mut kept = VecDeque::with_capacity(self.events.len());
        while let Some(event) = self.events.pop_back() {
            let later = match event.member() {
                Some(member) => !seen.insert(member.name.clone()),
                None => false,
            };
            if !later {
                kept.push_front(event);
            }
        }
        self.events = kept;
    }
}

/// The number of bytes by which an event counts towards the bound on bytes from other nodes. The
/// facts of a member do not count: they are bounded, and shared with the list of members.
fn weight(event: &Event) -> usize {
    match &event.body {
        EventBody::Message { payload, .. } | EventBody::RemoteState { payload, .. } => {
            payload.len()
        }
        EventBody::PingAck { payload, .. } => payload.len(),
        EventBody::User { name, payload, .. } => name.len() + payload.len(),
        EventBody::Query {
            name,
            payload,
            from,
            ..
        } => name.len() + payload.len() + from.len(),
        EventBody::QueryResponse { payload, from, .. } => payload.len() + from.len(),
        _ => 0,
    }
}

/// Returns true for the messages of other programs that need no answer.
fn is_from_program(event: &Event) -> bool {
    use EventKind::{Message, RemoteState, User};
    matches!(event.kind(), User | Message | RemoteState)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::os::descriptors::{becomes_readable, is_readable};
    use crate::error::{Error, Status};
    use crate::event::Level;
    use crate::serf::{Member, MemberState, NodeFacts};

    const NOW: Time = Time::from_nanos(1);

    fn queue(capacity: usize) -> EventQueue {
        EventQueue::new(capacity, Vec::new(), true).unwrap()
    }

    fn member(name: &str) -> Member {
        let facts = NodeFacts::new(name, "127.0.0.1:7946".parse().unwrap());
        Member::without_tags(Arc::new(facts), MemberState::Alive)
    }

    fn join(name: &str) -> EventBody {
        EventBody::MemberJoin(member(name))
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

    fn line(text: String) -> EventBody {
        EventBody::Log {
            level: Level::Info,
            target: "x",
            text,
        }
    }

    #[test]
    fn an_empty_queue_gives_the_room_of_a_burst_back() {
        let queue = queue(1000);
        let room = || lock(&queue.state).events.capacity();
        (0..1000).for_each(|n| _ = queue.push(NOW, done(n)));
        assert!(room() >= 1000);
        assert_eq!(queue.drain(1000).unwrap().len(), 1000);
        assert_eq!(room(), 0);
        (0..10).for_each(|n| _ = queue.push(NOW, done(n)));
        assert_eq!(queue.drain(10).unwrap().len(), 10);
        assert!(room() >= 10, "a small queue keeps its room");
    }

    fn id(event: &Event) -> u64 {
        match event.body {
            EventBody::Done { id, .. } => id,
            _ => panic!("{event:?} is not the end of an operation"),
        }
    }

    fn drain(events: &EventQueue) -> Vec<Event> {
        let mut all = Vec::new();
        while let Ok(Some(event)) = events.take(Some(Duration::ZERO)) {
            all.push(event);
        }
        all
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_are_queued() {
        let events = queue(100);
        let fd = events.fd().unwrap();
        assert!(!is_readable(fd));
        events.push(NOW, join("a"));
        events.push(NOW, line("text".into()));
        assert!(is_readable(fd));
        assert!(events.take(None).unwrap().is_some());
        assert!(is_readable(fd));
        assert!(events.take(None).unwrap().is_some());
        assert!(!is_readable(fd));
    }

    #[test]
    fn after_the_end_the_rest_can_be_read_and_the_descriptor_stays_readable() {
        let events = queue(100);
        events.push(NOW, join("a"));
        events.end();
        events.push(NOW, join("b"));
        assert_eq!(drain(&events).len(), 1);
        assert!(is_readable(events.fd().unwrap()));
        assert_eq!(events.take(None), Err(Ended));
    }

    #[test]
    fn an_abandoned_queue_gives_nothing_more() {
        let events = queue(100);
        events.push(NOW, join("a"));
        events.abandon();
        assert_eq!(events.take(None), Err(Ended));
        assert_eq!(events.waiting(), 0, "the events are freed");
    }

    #[test]
    fn an_overflow_keeps_the_last_event_of_each_member_and_adds_one_overflow_event() {
        let events = queue(16);
        for round in 0..50 {
            let happened = match round % 2 {
                0 => EventBody::MemberFail,
                _ => EventBody::MemberJoin,
            };
            for name in ["a", "b", "c"] {
                events.push(NOW, happened(member(name)));
            }
        }
        let all = drain(&events);
        assert!(all.len() <= 17);
        let overflows = all
            .iter()
            .filter(|event| event.kind() == EventKind::Overflow)
            .count();
        assert_eq!(overflows, 1);
        let lost = |event: &Event| match event.body {
            EventBody::Overflow { lost } => lost,
            _ => 0,
        };
        let reported: u64 = all.iter().map(lost).sum();
        assert_eq!(reported, events.lost());
        for name in ["a", "b", "c"] {
            let mut of_name = all
                .iter()
                .filter(|e| e.member().is_some_and(|m| &*m.name == name));
            assert_eq!(of_name.next_back().unwrap().kind(), EventKind::MemberJoin);
        }
        assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        events.push(NOW, join("d"));
        assert_eq!(drain(&events)[0].kind(), EventKind::MemberJoin);
    }

    /// Returns the number of lost events of each overflow event in `events`.
    fn overflows(events: &[Event]) -> Vec<u64> {
        let lost = |event: &Event| match event.body {
            EventBody::Overflow { lost } => Some(lost),
            _ => None,
        };
        events.iter().filter_map(lost).collect()
    }

    #[test]
    fn an_overflow_event_that_moves_to_another_queue_keeps_its_count() {
        let flooded = || {
            let events = queue(16);
            let names = (0..17).map(|number| format!("n{number}"));
            for name in names {
                events.push(NOW, join(&name));
            }
            (events.lost(), events)
        };
        let (lost, first) = flooded();
        let second = queue(100);
        for event in first.take_out(|_| true) {
            second.push(event.time, event.body);
        }
        assert_eq!(overflows(&drain(&second)), [lost]);
        // A queue that has itself overflowed still has one overflow event, with the sum of both.
        let (_, first) = flooded();
        let (own, second) = flooded();
        for event in first.take_out(|kind| kind == EventKind::Overflow) {
            second.push(event.time, event.body);
        }
        assert_eq!(overflows(&drain(&second)), [lost + own]);
        assert_eq!(second.lost(), own, "each event is counted in one queue");
    }

    #[test]
    fn an_overflow_event_that_stays_when_others_are_taken_out_keeps_its_count() {
        let events = queue(16);
        for number in 0..17 {
            events.push(NOW, join(&format!("n{number}")));
        }
        events.take_out(|kind| kind == EventKind::MemberJoin);
        for number in 0..32 {
            events.push(NOW, EventBody::MemberFail(member(&format!("n{number}"))));
        }
        assert_eq!(overflows(&drain(&events)), [events.lost()]);
    }

    #[test]
    fn the_end_of_an_operation_survives_a_flood_of_members() {
        let events = queue(16);
        events.push(NOW, done(7));
        for number in 0..10_000 {
            events.push(NOW, join(&format!("n{number}")));
        }
        let all = drain(&events);
        assert_eq!(id(&all[0]), 7);
        assert!(all.len() <= 17);
        assert_eq!(events.lost() as usize, 10_001 + 1 - all.len());
    }

    #[test]
    fn log_lines_have_a_bound_of_their_own_and_keep_their_order() {
        let events = queue(16);
        events.push(NOW, join("a"));
        for number in 0..1000 {
            events.push(NOW, line(number.to_string()));
        }
        events.push(NOW, join("b"));
        let all = drain(&events);
        assert_eq!(all.len(), LOGS + 2);
        assert_eq!(all[0].kind(), EventKind::MemberJoin);
        assert_eq!(all[1].body, line("744".into()));
        assert_eq!(all.last().unwrap().kind(), EventKind::MemberJoin);
    }

    #[test]
    fn unwanted_kinds_are_not_queued_but_overflow_and_fatal_always_are() {
        let events = EventQueue::new(16, vec![EventKind::MemberFail], true).unwrap();
        events.push(NOW, join("a"));
        events.push(NOW, EventBody::MemberFail(member("a")));
        events.push(
            NOW,
            EventBody::Fatal {
                error: Error::new(Status::Internal, "x"),
            },
        );
        let kinds: Vec<EventKind> = drain(&events).iter().map(|event| event.kind()).collect();
        assert_eq!(kinds, [EventKind::MemberFail, EventKind::Fatal]);
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        let events = Arc::new(queue(200_000));
        let writer = events.clone();
        let thread = std::thread::spawn(move || {
            for number in 0..100_000u64 {
                writer.push(NOW, done(number));
            }
        });
        let fd = events.fd().unwrap();
        let mut next = 0;
        while next < 100_000 {
            let readable = becomes_readable(fd, Duration::from_secs(5));
            assert!(readable, "not readable before event {next}");
            while let Ok(Some(event)) = events.take(Some(Duration::ZERO)) {
                assert_eq!(id(&event), next);
                next += 1;
            }
        }
        thread.join().unwrap();
        assert!(!is_readable(fd));
        for number in 0..500 {
            events.push(NOW, done(number));
            assert!(is_readable(fd));
            assert_eq!(
                events.take(None).unwrap().map(|event| id(&event)),
                Some(number)
            );
            assert!(!is_readable(fd));
        }
    }

    #[test]
    fn a_full_queue_drops_acks_of_pings_before_anything_else() {
        let events = queue(8);
        let ack = || EventBody::PingAck {
            from: "a".to_owned(),
            rtt: Duration::from_millis(1),
            payload: Box::default(),
        };
        for _ in 0..4 {
            events.push(NOW, ack());
        }
        events.push(NOW, join("a"));
        events.push(NOW, join("a"));
        for id in 0..3 {
            events.push(NOW, done(id));
        }
        let kinds: Vec<EventKind> = drain(&events).iter().map(Event::kind).collect();
        use EventKind::{Done, MemberJoin, Overflow, PingAck};
        let expected = [PingAck, MemberJoin, MemberJoin, Done, Done, Done, Overflow];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn messages_that_take_too_many_bytes_make_room_and_nothing_else_does() {
        let events = queue(100);
        let message = |first: u8| EventBody::Message {
            from: String::new(),
            addr: "127.0.0.1:1".parse().unwrap(),
            payload: vec![first; 20 << 20].into(),
        };
        events.push(NOW, join("a"));
        for first in 0..5 {
            events.push(NOW, message(first));
        }
        let firsts = |events: &[Event]| -> Vec<u8> {
            let first = |event: &Event| match &event.body {
                EventBody::Message { payload, .. } => Some(payload[0]),
                _ => None,
            };
            events.iter().filter_map(first).collect()
        };
        let all = drain(&events);
        assert_eq!(firsts(&all), [2, 3, 4]);
        let lost = |event: &Event| event.body == EventBody::Overflow { lost: 2 };
        assert!(all[0].member().is_some() && all.iter().any(lost));
        for first in 5..8 {
            events.push(NOW, message(first));
        }
        assert_eq!(firsts(&drain(&events)), [5, 6, 7]);
    }

    #[test]
    fn the_bytes_of_all_events_count_and_those_that_await_an_answer_go_last() {
        let events = queue(1000);
        let payload = || vec![0; 1 << 20].into();
        let user = || EventBody::User {
            name: String::new(),
            payload: payload(),
            ltime: 1,
            coalesce: false,
        };
        let query = || EventBody::Query {
            id: 1,
            name: String::new(),
            payload: payload(),
            ltime: 1,
            from: String::new(),
            time: Duration::ZERO,
        };
        let answer = || EventBody::QueryResponse {
            id: 1,
            from: String::new(),
            payload: payload(),
        };
        let ack = || EventBody::PingAck {
            from: String::new(),
            rtt: Duration::ZERO,
            payload: payload(),
        };
        let counted = |events: &EventQueue| {
            let mut counts = [0; 5];
            for event in drain(events) {
                counts[match event.kind() {
                    EventKind::User => 0,
                    EventKind::Query => 1,
                    EventKind::QueryResponse => 2,
                    EventKind::PingAck => 3,
                    _ => 4,
                }] += 1;
            }
            counts
        };
        for _ in 0..20 {
            for body in [query(), user(), answer(), ack()] {
                events.push(NOW, body);
            }
        }
        assert_eq!(counted(&events), [20, 20, 20, 4, 1]);
        for _ in 0..40 {
            for body in [query(), user(), answer()] {
                events.push(NOW, body);
            }
        }
        assert_eq!(
            counted(&events),
            [0, 32, 32, 0, 1],
            "the oldest of the rest go"
        );
        assert_eq!(events.lost(), 16 + 56);
        for _ in 0..100 {
            let long = EventBody::Query {
                id: 1,
                name: "n".repeat(1 << 20),
                payload: Box::default(),
                ltime: 1,
                from: "f".repeat(1 << 20),
                time: Duration::ZERO,
            };
            events.push(NOW, long);
        }
        assert_eq!(counted(&events), [0, 32, 0, 0, 1], "names count, too");
    }
}
