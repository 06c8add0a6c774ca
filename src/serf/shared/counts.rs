//! The counters of the Serf state, one row each: the name that programs see, and its meaning.

/// A counter of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The name, unique among the counters.
    pub name: &'static str,
    /// The value.
    pub value: i64,
    /// A sentence that explains the counter.
    pub help: &'static str,
}

impl Counter {
    /// Makes a counter with this value, or with `i64::MAX` if the value is larger.
    pub(crate) fn new(name: &'static str, value: u64, help: &'static str) -> Counter {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        Counter { name, value, help }
    }
}

macro_rules! counts {
    ($($name:ident: $help:literal,)*) => {
        /// Counters of the Serf state.
        #[derive(Clone, Debug, Default)]
        pub(in crate::serf) struct Counts {
            $(#[doc = $help] pub $name: u64,)*
        }

        impl Counts {
            /// Returns all counters, in the order of the table.
            pub fn list(&self) -> Vec<Counter> {
                vec![$(Counter::new(stringify!($name), self.$name, $help),)*]
            }
        }
    };
}

counts! {
    intents_sent: "Intents that this node announced.",
    intents_relayed: "Intents of others passed on.",
    intents_dropped: "Intents about names that are not known, for which there was no room.",
    intents_refuted: "Times that another node wrongly announced a leave of this node.",
    queries_sent: "Queries that this node sent.",
    queries_repeated: "Times that a query was sent again to a member that was silent so far.",
    queries_answered: "Answers of this node's application to queries.",
    queries_unanswered:
        "Queries that were neither answered nor handed to the application: their sender is not a \
         member, they had no time left, the answer does not fit, too many others wait, or too \
         many expressions were searched in that second.",
    queries_unreadable:
        "Queries not answered because this node cannot read a filter as an agent reads it.",
    queries_held: "Queries that waited because their sender was not known yet.",
    queries_relayed: "Queries of others passed on.",
    user_events_sent: "User events that this node sent.",
    user_events_relayed: "User events of others passed on.",
    user_events_held: "User events that waited because earlier ones were missing.",
    duplicates: "User events and queries that had been seen before.",
    dropped_old_or_many:
        "User events and queries too far behind the clock, or too many with one Lamport time.",
    relays: "Responses of others forwarded to the member that had sent the query.",
    relays_refused: "Responses not forwarded: too many, or no member has the address.",
    stray_answers: "Responses to queries that this node never sent, or that have ended.",
    repeated_answers: "Second responses of a member to one query.",
    messages_sent: "Messages that this node's application sent, broadcasts included.",
    messages_received: "Messages of programs built on memberlist that arrived.",
    states_received: "States of programs built on memberlist that arrived.",
    coordinates_refused: "Acks with a coordinate or a round-trip time that makes no sense.",
    coordinate_resets: "Times that this node's coordinate was no longer finite and began anew.",
    reaped: "Members taken off the list.",
    votes_called: "Times that this node let the members vote about its name.",
    votes_lost: "Votes that this node has lost.",
    votes_refused: "Votes about this node's name from nodes that are not present members.",
    conflicts: "Claims that a known name is at another address.",
    conflicts_self: "Claims that this node's name is at another address.",
}
