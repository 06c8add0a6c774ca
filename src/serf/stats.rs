//! One list of all counters of the core, each with a sentence that says what it counts.

use super::shared::counts::Counter;
use super::shared::members::SerfStatus;
use super::{Core, SerfState};
use crate::swim;
use crate::wire::Refusal;

impl Core {
    /// Returns all counters, including those of refusals.
    pub fn stats(&self) -> Vec<Counter> {
        let swim = self.swim.stats();
        let mut counters = of_swim(&swim);
        counters.extend(of_members(&self.serf));
        counters.extend(self.serf.common.out.counts.list());
        for why in Refusal::ALL {
            let value = swim.refused.0[why as usize];
            counters.push(Counter::new(why.counter(), value, why.help()));
        }
        counters
    }
}

macro_rules! counters {
    ($($name:ident = $value:expr, $help:literal;)*) => {
        vec![$(Counter::new(stringify!($name), $value, $help),)*]
    };
}

fn of_swim(it: &swim::Stats) -> Vec<Counter> {
    counters! {
        datagrams_in = it.datagrams_in, "Datagrams received.";
        datagrams_out = it.datagrams_out, "Datagrams sent.";
        bytes_in = it.bytes_in, "Bytes received in datagrams.";
        bytes_out = it.bytes_out, "Bytes sent in datagrams.";
        stream_bytes_in = it.stream_bytes_in, "Bytes received on streams.";
        stream_bytes_out = it.stream_bytes_out, "Bytes sent on streams.";
        probes = it.probes, "Probes begun.";
        probes_failed = it.probes_failed,
            "Probes that got no ack in any way. Final probes of a suspect do not count.";
        pings_repeated = it.pings_repeated, "Pings sent again because an ack was missing.";
        indirect_probes = it.indirect_probes, "Helpers asked to probe a member for this node.";
        stream_fallbacks = it.stream_fallbacks,
            "Probes that only a stream answered. Final probes of a suspect do not count.";
        late_answers = it.late_answers,
            "Acks and nacks of pings that were answered or had expired already.";
        suspicions = it.suspicions, "Times that a member became suspect.";
        refutations = it.refutations, "Times that this node refuted an accusation.";
        members_evicted = it.members_evicted, "Members that made room for others in a full table.";
        push_pulls = it.push_pulls, "Exchanges of state begun with another node.";
        push_pulls_abandoned = it.push_pulls_abandoned,
            "Push/pulls that were not answered, because the other node hung up while it waited.";
        join_syncs = it.join_syncs, "Push/pulls to find members that gossip may have missed.";
        reconnects = it.reconnects, "Attempts to reach seeds and lost members again.";
        hints = it.hints, "Probes begun because the application could not reach a member.";
        hints_limited = it.hints_limited,
            "Hints refused while one about the same member, or too many others, were under way.";
        queue_len = it.queue_len, "Messages that wait to be gossiped.";
        broadcasts_dropped = it.broadcasts_dropped,
            "Messages that were not gossiped as often as they should be, because too many waited.";
        broadcasts_too_long = it.broadcasts_too_long,
            "Messages that were not gossiped because they do not fit into a packet.";
        health_score = it.health_score, "Lifeguard's score of this node, 0 is healthy.";
    }
}

fn of_members(it: &SerfState) -> Vec<Counter> {
    let members = &it.common.members;
    let count = |status| members.count(status) as u64;
    counters! {
        members = members.len() as u64,
            "Members known in any state, this node and hidden ones included.";
        failed = count(SerfStatus::Failed), "Members that failed and are not erased yet.";
        left = count(SerfStatus::Left), "Members that left and are not erased yet.";
        member_time = it.intents.clock.time(), "Lamport clock of intents.";
        event_time = it.events.seen.clock.time(), "Lamport clock of user events.";
        query_time = it.queries.seen.clock.time(), "Lamport clock of queries.";
        intents_waiting = it.intents.early.len() as u64,
            "Intents about names that are not known yet.";
        queries_open = it.asked.len() as u64,
            "Queries of this node that have not ended, those about keys and names included.";
        coalescing_cut_short = it.coalescer.cut_short,
            "Times that coalesced user events were delivered early, because too many waited.";
    }
}
