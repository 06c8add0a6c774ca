//! Prints a report as JSON, for programs. Later versions may add keys, but will not remove any.

use super::report::{BackendReport, Report, ServerReport};
use super::shared::NodePhase;
use super::snapshot_writer::SnapshotProblem;
use super::user_events::UserEventCounts;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Returns the text of `show sprat json`, in one line.
pub(super) fn text(
    report: &Report,
    events: Option<UserEventCounts>,
    phase: &NodePhase,
    silent: Duration,
) -> String {
    let (phase, why) = match phase {
        NodePhase::Starting(why) => ("starting", why.as_deref()),
        NodePhase::Running => ("running", None),
        NodePhase::Released => ("released", None),
        NodePhase::Broken(why) => ("broken", Some(why.as_str())),
    };
    let census = report.census;
    let report = json!({
        "node": {
            "phase": phase,
            "why": why,
            "active_ms_ago": u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
            "health": report.health,
        },
        "members": {
            "alive": census.alive,
            "suspect": census.suspect,
            "leaving": census.leaving,
            "failed": census.failed,
            "left": census.left,
        },
        "snapshot": report.snapshot.as_ref().map(SnapshotProblem::text),
        "user_events": events.map(|it| json!({ "taken": it.taken, "dropped": it.dropped })),
        "backends": report.backends.iter().map(backend).collect::<Value>(),
    });
    printable(&report.to_string()) + "\n"
}

fn backend(it: &BackendReport) -> Value {
    let sums = it.sums();
    let unplaced = it.unplaced.iter();
    let unplaced = unplaced.map(|(member, what)| json!({ "member": **member, "why": what.text() }));
    let orders = it.other_orders.iter();
    let orders = orders.map(|(member, order)| json!({ "member": **member, "order": order.name() }));
    json!({
        "name": it.name,
        "tag": it.tag,
        "slots": it.slots,
        "ready": sums.ready,
        "draining": sums.draining,
        "stopped": sums.stopped,
        "held": sums.held,
        "waiting": sums.waiting,
        "refused": sums.refused,
        "frozen": it.frozen,
        "servers": it.servers.iter().map(server).collect::<Value>(),
        "unplaced": unplaced.collect::<Value>(),
        "other_orders": orders.collect::<Value>(),
    })
}

fn server(it: &ServerReport) -> Value {
    json!({
        "slot": it.slot,
        "server": *it.server,
        "member": *it.member,
        "address": it.addr.to_string(),
        "state": it.state.name(),
        "weight": it.weight,
        "unreachable": it.unreachable,
        "rtt": it.round_trip.measured.map(|it| it.as_secs_f64()),
        "rtt_estimated": it.round_trip.estimated.map(|it| it.as_secs_f64()),
        "held": it.hold.map(|hold| hold.text()),
        "order": it.order.map(|order| order.name()),
        "drift": it.drift,
        "complaints": it.complaints.iter().map(|what| what.text()).collect::<Value>(),
    })
}

/// Returns the JSON with every control character escaped, because names come from the network. JSON
/// itself allows some control characters in strings.
fn printable(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_control() {
            // Writing to a string cannot fail. Control characters are below U+00A0.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_network_cannot_end_a_json_string_and_has_no_control_characters() {
        let name = "a\"b\\c\n\u{7f}\u{9b}ä";
        let text = printable(&json!(name).to_string());
        assert_eq!(text, "\"a\\\"b\\\\c\\n\\u007f\\u009bä\"");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }

    #[test]
    fn an_empty_report_has_all_keys() {
        let found = text(
            &Report::default(),
            None,
            &NodePhase::Running,
            Duration::from_millis(7),
        );
        let wanted = json!({
            "node": { "phase": "running", "why": null, "active_ms_ago": 7, "health": null },
            "members": { "alive": 0, "suspect": 0, "leaving": 0, "failed": 0, "left": 0 },
            "snapshot": null,
            "user_events": null,
            "backends": [],
        });
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), wanted);
        assert!(found.ends_with("}\n") && !found.trim_end().contains('\n'));
    }
}
