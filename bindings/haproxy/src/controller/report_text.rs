//! Prints a report as lines for people and for `awk`.

use super::report::{BackendReport, Census, Report, ServerReport};
use super::round_trips::RoundTrip;
use super::user_events::UserEventCounts;
use crate::balance::Complaint;
use std::fmt::Write as _;
use std::time::Duration;

/// Returns the text of `show sprat`. It has a line about the snapshot if that has a problem, and
/// one about user events if something takes them.
pub(super) fn text(report: &Report, events: Option<UserEventCounts>) -> String {
    let health = report.health.as_deref();
    let health = health.unwrap_or("the node is not running");
    let mut text = format!("{}, {health}\n", census(report.census));
    if let Some(problem) = &report.snapshot {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "the snapshot {}", problem.text());
    }
    if let Some(UserEventCounts { taken, dropped }) = events {
        let _ = writeln!(text, "user events: {taken} taken, {dropped} dropped");
    }
    for backend in &report.backends {
        add_backend(backend, &mut text);
    }
    text
}

/// Returns a text such as "members 4 (1 failed, 2 left)". The first number does not include the
/// members that have left.
fn census(census: Census) -> String {
    let members = census.alive + census.suspect + census.leaving + census.failed;
    let others = [
        (census.suspect, "suspect"),
        (census.leaving, "leaving"),
        (census.failed, "failed"),
        (census.left, "left"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: Vec<String> = others.map(|(n, word)| format!("{n} {word}")).collect();
    match others.is_empty() {
        true => format!("members {members}"),
        false => format!("members {members} ({})", others.join(", ")),
    }
}

/// Adds a line for the backend and a line for each taken slot. Each complaint about a member that
/// is in no slot, and each order for such a member, also gets a line.
fn add_backend(backend: &BackendReport, text: &mut String) {
    let slots = match backend.slots {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let sums = backend.sums();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "backend {}, {slots}: {} ready, {} draining, {} stopped, {} held, {} waiting, {} refused",
        backend.name,
        sums.ready,
        sums.draining,
        sums.stopped,
        sums.held,
        sums.waiting,
        sums.refused
    );
    if let Some(why) = backend.frozen {
        let _ = write!(text, ", frozen: {why}");
    }
    text.push('\n');
    for server in &backend.servers {
        add_server(server, text);
    }
    for (member, complaint) in &backend.unplaced {
        // The name is quoted and escaped, because a member without a slot may have any name.
        let _ = match complaint {
            Complaint::Ignored(what) => writeln!(text, "  - {member:?}: {}", what.text()),
            why => writeln!(text, "  - {member:?} has no slot: {}", why.text()),
        };
    }
    for (member, order) in &backend.other_orders {
        let order = order.name();
        let _ = writeln!(
            text,
            "  - {member:?} is in no slot; an operator ordered {order}"
        );
    }
}

fn add_server(it: &ServerReport, text: &mut String) {
    let (state, weight) = (it.state.name(), it.weight);
    let _ = write!(
        text,
        "  {} {} {} {state} weight {weight}",
        it.slot, it.member, it.addr
    );
    if it.unreachable {
        text.push_str(" unreachable");
    }
    if let Some(hold) = it.hold {
        let _ = write!(text, " held: {}", hold.text());
    }
    if let Some(order) = it.order {
        let _ = write!(text, "; an operator ordered {}", order.name());
    }
    for complaint in &it.complaints {
        let _ = write!(text, "; {}", complaint.text());
    }
    if let Some(drift) = &it.drift {
        let _ = write!(text, "; {drift}");
    }
    text.push_str(&round_trip(it.round_trip));
    text.push('\n');
}

/// Returns a text such as " (rtt 0.42 ms, estimated 0.51 ms)"; "" if no time is known.
fn round_trip(it: RoundTrip) -> String {
    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    match (it.measured.map(millis), it.estimated.map(millis)) {
        (Some(measured), Some(estimated)) => format!(" (rtt {measured}, estimated {estimated})"),
        (Some(measured), None) => format!(" (rtt {measured})"),
        (None, Some(estimated)) => format!(" (rtt estimated {estimated})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_times_that_are_known_are_shown() {
        let times = |measured, estimated| RoundTrip {
            measured: Option::map(measured, Duration::from_micros),
            estimated: Option::map(estimated, Duration::from_micros),
        };
        let both = " (rtt 0.42 ms, estimated 12.34 ms)";
        assert_eq!(round_trip(times(Some(420), Some(12_341))), both);
        assert_eq!(round_trip(times(Some(1_000), None)), " (rtt 1.00 ms)");
        assert_eq!(
            round_trip(times(None, Some(50))),
            " (rtt estimated 0.05 ms)"
        );
        assert_eq!(round_trip(times(None, None)), "");
    }

    #[test]
    fn the_census_names_each_state_and_does_not_add_members_that_have_left() {
        let all = Census {
            alive: 5,
            suspect: 1,
            leaving: 2,
            failed: 3,
            left: 4,
        };
        let text = "members 11 (1 suspect, 2 leaving, 3 failed, 4 left)";
        assert_eq!(census(all), text);
    }
}
