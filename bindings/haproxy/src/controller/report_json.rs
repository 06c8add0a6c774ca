//! Prints a report as JSON, for programs. Later versions may add keys, but remove none.

use super::report::{BackendReport, Report, ServerReport};
use super::shared::NodePhase;
use std::fmt::Write as _;
use std::time::Duration;

/// Returns the text of `show sprat json`, in one line.
pub(super) fn text(report: &Report, phase: &NodePhase, silent: Duration) -> String {
    let (phase, why) = match phase {
        NodePhase::Starting(why) => ("starting", why.as_deref()),
        NodePhase::Running => ("running", None),
        NodePhase::Released => ("released", None),
        NodePhase::Broken(why) => ("broken", Some(why.as_str())),
    };
    let census = report.census;
    let backends: Vec<String> = report.backends.iter().map(backend).collect();
    format!(
        "{{\"node\":{{\"phase\":{},\"why\":{},\"active_ms_ago\":{},\"health\":{}}},\
         \"members\":{{\"alive\":{},\"suspect\":{},\"failed\":{},\"left\":{}}},\
         \"backends\":[{}]}}\n",
        string(phase),
        optional(why),
        silent.as_millis(),
        optional(report.health.as_deref()),
        census.alive,
        census.suspect,
        census.failed,
        census.left,
        backends.join(",")
    )
}

fn backend(it: &BackendReport) -> String {
    let sums = it.sums();
    let servers: Vec<String> = it.servers.iter().map(server).collect();
    let unplaced = it.unplaced.iter().map(|(member, what)| {
        let (member, why) = (string(member), string(&what.text()));
        format!("{{\"member\":{member},\"why\":{why}}}")
    });
    let orders = it.other_orders.iter().map(|(member, order)| {
        let (member, order) = (string(member), string(order.name()));
        format!("{{\"member\":{member},\"order\":{order}}}")
    });
    format!(
        "{{\"name\":{},\"tag\":{},\"slots\":{},\"ready\":{},\"draining\":{},\"stopped\":{},\
         \"held\":{},\"waiting\":{},\"refused\":{},\"frozen\":{},\"servers\":[{}],\
         \"unplaced\":[{}],\"other_orders\":[{}]}}",
        string(&it.name),
        string(&it.tag),
        it.slots,
        sums.ready,
        sums.draining,
        sums.stopped,
        sums.held,
        sums.waiting,
        sums.refused,
        optional(it.frozen),
        servers.join(","),
        unplaced.collect::<Vec<_>>().join(","),
        orders.collect::<Vec<_>>().join(",")
    )
}

fn server(it: &ServerReport) -> String {
    let complaints = it.complaints.iter().map(|what| string(&what.text()));
    format!(
        "{{\"slot\":{},\"server\":{},\"member\":{},\"address\":{},\"state\":{},\"weight\":{},\
         \"unreachable\":{},\"held\":{},\"order\":{},\"drift\":{},\"complaints\":[{}]}}",
        it.slot,
        string(&it.server),
        string(&it.member),
        string(&it.addr.to_string()),
        string(it.state.name()),
        it.weight,
        it.unreachable,
        optional(it.hold.map(|hold| hold.text())),
        optional(it.order.map(|order| order.name())),
        optional(it.drift.as_deref()),
        complaints.collect::<Vec<_>>().join(",")
    )
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), string)
}

/// Returns the text as a JSON string literal. Control characters are escaped, because names come
/// from the network.
fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string cannot fail. Control characters are below U+00A0.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_network_cannot_end_a_json_string() {
        assert_eq!(string("a\"b\\c\n\u{7f}ä"), "\"a\\\"b\\\\c\\u000a\\u007fä\"");
    }

    #[test]
    fn an_empty_report_has_all_keys() {
        let found = text(
            &Report::default(),
            &NodePhase::Running,
            Duration::from_millis(7),
        );
        let wanted = "{\"node\":{\"phase\":\"running\",\"why\":null,\"active_ms_ago\":7,\
            \"health\":null},\"members\":{\"alive\":0,\"suspect\":0,\"failed\":0,\"left\":0},\
            \"backends\":[]}\n";
        assert_eq!(found, wanted);
    }
}
