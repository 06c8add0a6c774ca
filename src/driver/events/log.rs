//! The log: lines for people, as events, bounded in number.
//!
//! The library never prints. To find refusals, the log reads the counters when the engine wakes up,
//! at most once a second. The line about a refusal names the source of the input, as far as it is
//! known (see [`super::refusal_log`]), the reason for the refusal, and the remedy if one is known.
//! Refusals that no such line reports, and the growth of a few other counters, are logged under the
//! name of the counter: the first time, and then at most once a minute.

use crate::driver::events::failure::failure_text;
use crate::driver::events::refusal_log::{REPEAT, Reason, RefusalLog};
use crate::driver::events::subscriptions::Subscriptions;
use crate::event::{EventBody, Level};
use crate::printable;
use crate::serf::{Core, Counter};
use crate::service::ServiceCounters;
use crate::swim::SourceCount;
use crate::time::Time;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The minimum time between two readings of the counters.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of lines between two readings of the counters; further lines are dropped.
const RATE: u32 = 50;

/// The maximum length of a line in bytes, without the note that it was cut off. One name or text of
/// another node fits, even if each of its characters is escaped.
const LINE_LEN: usize = 4096;

/// The last line about one counter: the value that it logged, and its time.
struct LastLine {
    name: &'static str,
    value: i64,
    at: Time,
}

/// Makes log lines of the wanted levels.
pub(in crate::driver) struct Log {
    /// The level up to which lines are wanted; `None` if no lines are wanted.
    level: Option<Level>,
    /// The time at which the counters were last read.
    last_check: Time,
    last_lines: Vec<LastLine>,
    refusals: RefusalLog,
    /// The time since which this node has waited for seeds, or the time of the last line about it.
    waiting_since: Time,
    /// The number of lines since the counters were last read.
    lines: u32,
}

impl Log {
    pub fn new(level: Option<Level>, now: Time) -> Log {
        Log {
            level,
            last_check: now,
            last_lines: Vec::new(),
            refusals: RefusalLog::new(),
            waiting_since: now,
            lines: 0,
        }
    }

    /// Logs a line if its level is wanted and there were not too many lines since the counters were
    /// last read. Only then is the text created.
    pub fn line(
        &mut self,
        events: &Subscriptions,
        level: Level,
        target: &'static str,
        text: impl FnOnce() -> String,
    ) {
        // Debug lines may use only half of the rate, to leave room for more important ones.
        let rate = if level == Level::Debug {
            RATE / 2
        } else {
            RATE
        };
        if Some(level) > self.level || self.lines >= rate {
            return;
        }
        self.lines += 1;
        events.push(EventBody::Log {
            level,
            target,
            text: printable::line_up_to(&text(), LINE_LEN),
        });
    }

    /// Logs a warning.
    pub fn warn(&mut self, events: &Subscriptions, target: &'static str, text: String) {
        self.line(events, Level::Warn, target, || text);
    }

    /// Logs silent seeds, refusals, and counters that have grown, those of the services included.
    /// Does nothing if the last check was less than a second ago.
    pub fn check(
        &mut self,
        events: &Subscriptions,
        core: &mut Core,
        services: &[Arc<ServiceCounters>],
        now: Time,
    ) {
        if now.since(self.last_check) < CHECK_INTERVAL {
            return;
        }
        self.last_check = now;
        self.lines = 0;
        if self.level < Some(Level::Warn) {
            return;
        }
        if !core.is_waiting_for_seeds() {
            self.waiting_since = now;
        } else if now.since(self.waiting_since) >= REPEAT {
            self.waiting_since = now;
            let text = match core.reconnect_refusal() {
                Some((addr, why)) => {
                    let why = failure_text(why);
                    format!("no seed has let this node join for a minute; {addr}: {why}")
                }
                None => "no seed has answered for a minute".to_owned(),
            };
            self.warn(events, "join", text);
        }
        // The counters are read first: a refusal that a service counts now is then not reported by
        // its counter, but with its source.
        let of_services: Vec<Counter> = services.iter().flat_map(|it| it.failures()).collect();
        self.name_sources(events, core, services, now);
        let of_core = core.stats().into_iter();
        let of_core = of_core.filter(|it| is_notable(it.name));
        for Counter { name, value, help } in of_core.chain(of_services) {
            if let Some(more) = self.grown(name, value - self.attributed(name), now) {
                self.warn(events, "wire", format!("{name} +{more}: {help}"));
            }
        }
    }

    /// Logs the refusals of the core and of the services whose sources are to be named now.
    fn name_sources(
        &mut self,
        events: &Subscriptions,
        core: &mut Core,
        services: &[Arc<ServiceCounters>],
        now: Time,
    ) {
        let of_core = core.take_refusals().into_iter();
        let mut counts: Vec<SourceCount<Reason>> =
            of_core.map(|it| it.with_reason(Reason::from)).collect();
        for service in services {
            let counter = service.refused_name();
            let reason = |fault| Reason { counter, fault };
            let taken = service.take_refusals().into_iter();
            counts.extend(taken.map(|it| it.with_reason(reason)));
        }
        self.refusals
            .add(&counts, |source| core.members_at(source).next().is_some());
        for refused in self.refusals.take_due(now) {
            self.warn(events, "wire", refusal_text(core, &refused));
        }
    }

    /// Logs the growth of a counter of refusals outside of the core, if a line is due. `from` is
    /// the source of the latest one.
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub fn refused(
        &mut self,
        events: &Subscriptions,
        Counter { name, value, help }: Counter,
        from: SocketAddr,
        now: Time,
    ) {
        if let Some(more) = self.grown(name, value, now) {
            let text = format!("{name} +{more}, the last from {from}: {help}");
            self.warn(events, "wire", text);
        }
    }

    /// Returns the part of a counter that the lines about named sources report.
    fn attributed(&self, counter: &str) -> i64 {
        i64::try_from(self.refusals.attributed(counter)).unwrap_or(i64::MAX)
    }

    /// Returns the growth of a counter since its last line, if a new line is due.
    fn grown(&mut self, name: &'static str, value: i64, now: Time) -> Option<i64> {
        if value == 0 {
            return None;
        }
        let new = LastLine {
            name,
            value,
            at: now,
        };
        let Some(last) = self.last_lines.iter_mut().find(|line| line.name == name) else {
            self.last_lines.push(new);
            return Some(value);
        };
        if value <= last.value || now.since(last.at) < REPEAT {
            return None;
        }
        let more = value - last.value;
        *last = new;
        Some(more)
    }
}

/// Returns the line about refused input: the counter, the source, the reason, and what to do.
fn refusal_text(core: &Core, refused: &SourceCount<Reason>) -> String {
    let SourceCount { why, source, count } = refused;
    let mut text = format!("{} +{count} from {}", why.counter, source.addr);
    let mut names: Vec<&str> = core.members_at(source).map(|name| &**name).collect();
    names.sort_unstable();
    names.truncate(3);
    // Writing to a String cannot fail.
    if !names.is_empty() {
        let _ = write!(text, " ({})", names.join(", "));
    }
    let _ = write!(text, ": {}", why.fault.help);
    if let Some(advice) = why.fault.advice {
        let _ = write!(text, " {advice}");
    }
    text
}

/// Returns true if the growth of this counter of the core is worth a log line.
fn is_notable(name: &str) -> bool {
    name.starts_with("refused_") || name.starts_with("conflicts") || name == "broadcasts_too_long"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::events::queue::EventQueue;
    use crate::driver::events::subscriptions::Subscriptions;
    use crate::service::Fault;

    #[test]
    fn the_text_of_an_unwanted_level_is_not_created_and_debug_leaves_room_for_errors() {
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let mut log = Log::new(Some(Level::Info), Time::ZERO);
        let made = || -> String { panic!("the text was created although debug is off") };
        log.line(&events, Level::Debug, "x", made);
        let mut log = Log::new(Some(Level::Debug), Time::ZERO);
        for _ in 0..1000 {
            log.line(&events, Level::Debug, "x", || "often".to_owned());
        }
        log.line(&events, Level::Error, "x", || "trouble".to_owned());
        assert_eq!(events.waiting(), RATE as usize / 2 + 1);
    }

    #[test]
    fn a_forged_name_cannot_begin_another_line_of_the_log() {
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let mut log = Log::new(Some(Level::Info), Time::ZERO);
        let forged = "member-join db1\n\x1b[31mserf: all is well\u{202e}";
        log.line(&events, Level::Info, "members", || forged.to_owned());
        let Ok(Some(event)) = events.take(Some(Duration::ZERO)) else {
            panic!("no event is queued");
        };
        let EventBody::Log { text, .. } = event.body else {
            panic!("the event is not a log line");
        };
        let expected = r"member-join db1\x0a\x1b[31mserf: all is well\u{202e}";
        assert_eq!(text, expected);
    }

    /// A core with default settings, for the node `x` at this address.
    fn core_at(addr: SocketAddr, start: Time) -> Core {
        let (config, codec) = (
            crate::serf::Config::default(),
            crate::wire::Codec::default(),
        );
        Core::new(config, codec, "x".into(), addr, [0; 32], start).unwrap()
    }

    #[test]
    fn seeds_that_stay_silent_are_logged_once_a_minute() {
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let addr = "127.0.0.1:1".parse().unwrap();
        let start = Time::from_nanos(1);
        let mut core = core_at(addr, start);
        let mut log = Log::new(Some(Level::Warn), start);
        let mut lines_after = |core: &mut Core, seconds| {
            let before = events.waiting();
            log.check(&events, core, &[], start + Duration::from_secs(seconds));
            events.waiting() - before
        };
        assert_eq!(
            lines_after(&mut core, 61),
            0,
            "there is no seed to wait for"
        );
        let seed = crate::swim::Seed::Host("seed".to_owned(), 7946);
        core.remember_seeds(start, &[crate::swim::Seed::Addr(addr)]);
        assert_eq!(lines_after(&mut core, 130), 0, "the node is its own seed");
        core.remember_seeds(start, &[seed]);
        let lines = [131, 189, 190, 191, 250].map(|at| lines_after(&mut core, at));
        assert_eq!(lines, [0, 0, 1, 0, 1]);
        let summary = core.health(start).summary;
        assert_eq!(summary, "alone: no seed answers");
    }

    #[test]
    fn the_line_about_seeds_says_why_one_of_them_refuses_this_node() {
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let own = "127.0.0.1:1".parse().unwrap();
        let start = Time::from_nanos(1);
        let mut core = core_at(own, start);
        let seed: SocketAddr = "127.0.0.1:2".parse().unwrap();
        core.remember_seeds(start, &[crate::swim::Seed::Addr(seed)]);
        let mut log = Log::new(Some(Level::Warn), start);
        let now = start + REPEAT;
        core.handle_timeout(now);
        while let Some(output) = core.poll_output() {
            if let crate::swim::Output::Connect { id, .. } = output {
                core.handle_stream_connected(now, id);
                core.handle_stream_end(now, id, crate::swim::StreamEnd::Eof);
            }
        }
        log.check(&events, &mut core, &[], now);
        let event = events.take(Some(Duration::ZERO));
        let Ok(Some(EventBody::Log { text, .. })) = event.map(|it| it.map(|it| it.body)) else {
            panic!("no line is queued");
        };
        let expected = "no seed has let this node join for a minute; 127.0.0.1:2: the peer closed \
                        the connection without an answer: the labels of the two nodes differ";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_refusal_is_logged_with_the_address_the_member_the_reason_and_the_remedy() {
        let codec = |key: &[u8; 16]| crate::wire::Codec {
            keyring: crate::wire::Keyring::new(vec![crate::wire::Key::new(key).unwrap()]),
            verify_incoming: true,
            verify_outgoing: true,
            ..crate::wire::Codec::default()
        };
        let addrs: [std::net::SocketAddr; 3] =
            [1, 2, 3].map(|host| ([10, 0, 0, host], 7946).into());
        let start = Time::from_nanos(1);
        let config = crate::serf::Config::default();
        let node = |name: &str, place: usize, key| {
            let seed = [place as u8; 32];
            Core::new(
                config.clone(),
                codec(key),
                name.into(),
                addrs[place],
                seed,
                start,
            )
            .unwrap()
        };
        // The node knows the member db1, which later sends with another key.
        let mut core = node("web1", 0, b"0123456789abcdef");
        let mut alive = Vec::new();
        crate::wire::message::Message::Alive(crate::wire::message::Alive {
            incarnation: 1,
            node: "db1",
            addr: &[10, 0, 0, 2],
            port: 7946,
            meta: None,
            vsn: &[1, 5, 2, 2, 5, 5],
        })
        .encode(&mut alive);
        let sealed =
            |key, plain: &[u8]| crate::wire::packet::seal(&codec(key), plain, false, [7; 12]);
        core.handle_datagram(start, addrs[1], &sealed(b"0123456789abcdef", &alive));
        for from in [addrs[1], addrs[1], addrs[2]] {
            core.handle_datagram(start, from, &sealed(b"fedcba9876543210", &alive));
        }
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let mut log = Log::new(Some(Level::Warn), start);
        log.check(&events, &mut core, &[], start + Duration::from_secs(2));
        let mut lines = Vec::new();
        while let Ok(Some(event)) = events.take(Some(Duration::ZERO)) {
            if let EventBody::Log { text, .. } = event.body {
                lines.push(text);
            }
        }
        let rest = "Bytes that none of the keys decrypts. Compare keys and labels; after a key \
                    rotation, restart this node with the new key.";
        assert_eq!(
            lines,
            [
                format!("refused_undecryptable +2 from 10.0.0.2:7946 (db1): {rest}"),
                format!("refused_undecryptable +1 from 10.0.0.3:7946: {rest}"),
            ]
        );
    }

    #[test]
    fn the_refusals_of_a_service_are_logged_with_their_sources_and_not_again_by_the_counter() {
        let events = Subscriptions::new(EventQueue::new(64, Vec::new(), true).unwrap());
        let start = Time::from_nanos(1);
        let mut core = core_at("127.0.0.1:1".parse().unwrap(), start);
        let names = [
            ("x_connections", ""),
            ("x_questions", ""),
            ("x_refused", "Connections that were refused."),
            ("x_accept_failures", ""),
        ];
        let service = Arc::new(ServiceCounters::new(names));
        let mut log = Log::new(Some(Level::Warn), start);
        let fault = Fault {
            help: "A frame cannot be read.",
            advice: Some("Check the port."),
        };
        // Two connections of one host, and then more hosts than are named.
        service.refuse(([10, 0, 0, 1], 1001).into(), fault);
        service.refuse(([10, 0, 0, 1], 1002).into(), fault);
        let services = [service];
        log.check(&events, &mut core, &services, start + REPEAT);
        for host in 2..=9 {
            services[0].refuse(([10, 0, 0, host], 1000).into(), fault);
        }
        let later = start + REPEAT + CHECK_INTERVAL;
        log.check(&events, &mut core, &services, later);
        let mut lines = Vec::new();
        while let Ok(Some(event)) = events.take(Some(Duration::ZERO)) {
            if let EventBody::Log { text, .. } = event.body {
                lines.push(text);
            }
        }
        let named = |count, from: &str| {
            format!("x_refused +{count} from {from}: A frame cannot be read. Check the port.")
        };
        let expected = [
            named(2, "10.0.0.1:1002"),
            named(1, "10.0.0.2:1000"),
            named(1, "10.0.0.3:1000"),
            named(1, "10.0.0.4:1000"),
            "x_refused +5: Connections that were refused.".to_owned(),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn refusals_outside_of_the_core_are_logged_with_their_latest_source() {
        let events = Subscriptions::new(EventQueue::new(16, Vec::new(), true).unwrap());
        let start = Time::from_nanos(1);
        let mut log = Log::new(Some(Level::Warn), start);
        for (count, host, second) in [(1, 1, 0), (5, 2, 1), (9, 3, 60)] {
            let refusals = Counter::new("mdns_refused", count, "Refused.");
            let from = ([10, 0, 0, host], 5353).into();
            let now = start + Duration::from_secs(second);
            log.refused(&events, refusals, from, now);
        }
        let mut lines = Vec::new();
        while let Ok(Some(event)) = events.take(Some(Duration::ZERO)) {
            if let EventBody::Log { text, .. } = event.body {
                lines.push(text);
            }
        }
        let expected = [
            "mdns_refused +1, the last from 10.0.0.1:5353: Refused.",
            "mdns_refused +8, the last from 10.0.0.3:5353: Refused.",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_counter_is_logged_when_it_first_grows_and_then_once_a_minute() {
        let start = Time::from_nanos(1);
        let mut log = Log::new(Some(Level::Warn), start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(log.grown("x", 0, at(0)), None);
        assert_eq!(log.grown("x", 3, at(1)), Some(3));
        assert_eq!(log.grown("x", 4, at(2)), None);
        assert_eq!(log.grown("x", 9, at(61)), Some(6));
        assert_eq!(log.grown("x", 9, at(200)), None);
        assert_eq!(log.grown("y", 1, at(200)), Some(1));
    }
}
