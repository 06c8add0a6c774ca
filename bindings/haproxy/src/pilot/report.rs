//! `show sprat`: members, slots and what holds them, as lines for people and for `awk`.

use super::work::Crew;
use crate::snapshot::mode_name;
use std::fmt::Write as _;

/// The report. `health`: of the node, in a sentence; `None` before it runs.
pub(super) fn text(crews: &[Crew], members: usize, health: Option<&str>) -> String {
    let mut text = String::new();
    let health = health.unwrap_or("the node does not run yet");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "members {members}, {health}");
    for crew in crews {
        let (name, slots, balance) = (&crew.pool.name, crew.pool.slots, &crew.balance);
        let frozen = balance.frozen().map(|why| format!(", frozen: {why}"));
        let frozen = frozen.unwrap_or_default();
        let _ = writeln!(text, "backend {name}, {slots} slots{frozen}");
        for (order, hold) in balance.picture() {
            let (Some(member), Some(addr)) = (&order.name, order.addr) else {
                continue;
            };
            let (slot, mode, weight) = (order.slot + 1, mode_name(order.mode), order.weight);
            let held = hold.map(|why| format!(" held: {}", why.text()));
            let held = held.unwrap_or_default();
            let _ = writeln!(
                text,
                "  {slot} {member} {addr} {mode} weight {weight}{held}"
            );
        }
        for (member, why) in balance.unplaced() {
            // A name that HAProxy would misread may hold anything.
            let _ = writeln!(text, "  - {member:?} has no slot: {}", why.text());
        }
    }
    text
}
