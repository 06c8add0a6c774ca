//! Counters of this layer, and one list of all counters with a sentence each.

use super::SerfState;
use super::members::Status;
use super::serf_state::lane;
use crate::swim;
use crate::wire::Refusal;
use std::sync::LazyLock;

/// A counter: its name, its value, and what it means.
pub type Counter = (&'static str, u64, &'static str);

/// Counters of the Serf layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub intents_sent: u64,
    pub intents_relayed: u64,
    pub intents_refuted: u64,
    pub queries_relayed: u64,
    pub user_events_relayed: u64,
    pub duplicates: u64,
    pub too_old_or_many: u64,
    pub ltimes_refused: u64,
    pub relays: u64,
    pub relays_refused: u64,
    pub stray_answers: u64,
    pub reaped: u64,
    pub conflicts: u64,
    pub conflicts_self: u64,
}

impl Counts {
    /// Counts a message of others that is passed on.
    pub fn relayed(&mut self, lane: usize) {
        match lane {
            lane::INTENTS => self.intents_relayed += 1,
            lane::QUERIES => self.queries_relayed += 1,
            _ => self.user_events_relayed += 1,
        }
    }
}

/// Names of the refusal counters, made once per process.
static REFUSALS: LazyLock<[String; Refusal::COUNT]> =
    LazyLock::new(|| Refusal::ALL.map(|why| format!("refused_{}", why.name())));

/// All counters of the SWIM layer and of this one.
pub(super) fn all(swim: &swim::Stats, layer: &SerfState) -> Vec<Counter> {
    let mut counters = of_traffic(swim);
    counters.extend(of_swim(swim));
    counters.extend(of_members(layer));
    counters.extend(of_serf(&layer.counts));
    for (why, name) in Refusal::ALL.into_iter().zip(REFUSALS.iter()) {
        counters.push((name.as_str(), swim.refused.0[why as usize], why.help()));
    }
    counters
}

fn of_traffic(it: &swim::Stats) -> Vec<Counter> {
    vec![
        ("datagrams_in", it.datagrams_in, "Datagrams received."),
        ("datagrams_out", it.datagrams_out, "Datagrams sent."),
        ("bytes_in", it.bytes_in, "Bytes received in datagrams."),
        ("bytes_out", it.bytes_out, "Bytes sent in datagrams."),
        (
            "stream_bytes_in",
            it.stream_bytes_in,
            "Bytes received on streams.",
        ),
        (
            "stream_bytes_out",
            it.stream_bytes_out,
            "Bytes sent on streams.",
        ),
    ]
}

fn of_swim(it: &swim::Stats) -> Vec<Counter> {
    vec![
        ("probes", it.probes, "Probes begun."),
        (
            "probes_failed",
            it.probes_failed,
            "Probes that nobody answered in any way.",
        ),
        (
            "indirect_probes",
            it.indirect_probes,
            "Helpers asked to probe somebody for this node.",
        ),
        (
            "stream_fallbacks",
            it.stream_fallbacks,
            "Probes that only a stream answered.",
        ),
        (
            "late_answers",
            it.late_answers,
            "Acks and nacks that came when their probe had ended.",
        ),
        (
            "suspicions",
            it.suspicions,
            "Times that a member became suspect.",
        ),
        (
            "refutations",
            it.refutations,
            "Times that this node said it is alive after all.",
        ),
        (
            "push_pulls",
            it.push_pulls,
            "Exchanges of state begun with another node.",
        ),
        (
            "join_syncs",
            it.join_syncs,
            "Push/pulls after a burst of joins.",
        ),
        (
            "reconnects",
            it.reconnects,
            "Attempts to reach seeds and lost members again.",
        ),
        (
            "hints",
            it.hints,
            "Probes begun because the application could not reach a member.",
        ),
        (
            "hints_limited",
            it.hints_limited,
            "Hints ignored because they came too often.",
        ),
        (
            "queue_len",
            it.queue_len,
            "Messages that wait to be gossiped.",
        ),
        (
            "health_score",
            it.health_score,
            "Lifeguard's score of this node, 0 is healthy.",
        ),
    ]
}

fn of_members(it: &SerfState) -> Vec<Counter> {
    let (members, failed) = (
        it.members.len() as u64,
        it.members.count(Status::Failed) as u64,
    );
    let left = it.members.count(Status::Left) as u64;
    let waiting = it.intents.len() as u64;
    vec![
        (
            "members",
            members,
            "Members known in any state, this node and hidden ones included.",
        ),
        (
            "failed",
            failed,
            "Members that failed and are not erased yet.",
        ),
        ("left", left, "Members that left and are not erased yet."),
        (
            "member_time",
            it.member_clock.time(),
            "Lamport clock of intents.",
        ),
        (
            "event_time",
            it.event_clock.time(),
            "Lamport clock of user events.",
        ),
        (
            "query_time",
            it.query_clock.time(),
            "Lamport clock of queries.",
        ),
        (
            "intents_waiting",
            waiting,
            "Intents about names that are not known yet.",
        ),
    ]
}

fn of_serf(it: &Counts) -> Vec<Counter> {
    vec![
        (
            "intents_sent",
            it.intents_sent,
            "Intents of this node that it gossiped.",
        ),
        (
            "intents_relayed",
            it.intents_relayed,
            "Intents of others passed on.",
        ),
        (
            "intents_refuted",
            it.intents_refuted,
            "Times that others said this node was leaving.",
        ),
        (
            "queries_relayed",
            it.queries_relayed,
            "Queries of others passed on.",
        ),
        (
            "user_events_relayed",
            it.user_events_relayed,
            "User events of others passed on.",
        ),
        (
            "duplicates",
            it.duplicates,
            "User events and queries that had been seen before.",
        ),
        (
            "dropped_old_or_many",
            it.too_old_or_many,
            "User events and queries too far behind the clock, or too many at one time.",
        ),
        (
            "ltimes_refused",
            it.ltimes_refused,
            "Lamport times too far ahead to be believed.",
        ),
        (
            "relays",
            it.relays,
            "Answers of others forwarded to the member that had asked.",
        ),
        (
            "relays_refused",
            it.relays_refused,
            "Answers of others for an address of no member.",
        ),
        (
            "stray_answers",
            it.stray_answers,
            "Answers to queries that this node never asked.",
        ),
        ("reaped", it.reaped, "Members erased."),
        (
            "conflicts",
            it.conflicts,
            "Claims that a known name lives at another address.",
        ),
        (
            "conflicts_self",
            it.conflicts_self,
            "Claims that this node's name lives elsewhere.",
        ),
    ]
}
