//! The reasons why bytes from the wire are refused. Each reason has its own counter.

/// Declares [`Refusal`] by rows: the variant, the name of its counter, its help (which is also its
/// documentation), and the advice for an operator, if any.
macro_rules! refusals {
    ($($variant:ident $name:literal $help:literal $($advice:literal)?,)+) => {
        /// A reason for a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $help] $variant,)+
        }

        impl Refusal {
            /// The number of reasons.
            pub const COUNT: usize = Refusal::ALL.len();

            /// All reasons in the order of their numbers.
            pub const ALL: [Refusal; [$($name),+].len()] = [$(Refusal::$variant),+];

            /// Returns the name of the counter: lower case, words joined by underscores.
            pub fn counter(self) -> &'static str {
                match self {
                    $(Refusal::$variant => concat!("refused_", $name),)+
                }
            }

            /// Returns the meaning in one sentence, for people who read counters.
            pub fn help(self) -> &'static str {
                match self {
                    $(Refusal::$variant => $help,)+
                }
            }

            /// Returns true if nodes with different keys or labels refuse each other's bytes for
            /// this reason: neither can read anything that the other sends.
            pub fn is_mismatch(self) -> bool {
                use Refusal::{Label, PlaintextRefused, Undecryptable, UnexpectedEncryption};
                matches!(self, Undecryptable | PlaintextRefused | UnexpectedEncryption | Label)
            }

            /// Returns the advice for an operator, in one sentence; `None` if there is nothing to
            /// do, or if the advice would depend on the sender.
            pub fn advice(self) -> Option<&'static str> {
                match self {
                    $(Refusal::$variant => advice!($($advice)?),)+
                }
            }
        }
    };
}

/// The advice of a row, or `None` for a row without advice.
macro_rules! advice {
    () => {
        None
    };
    ($advice:literal) => {
        Some($advice)
    };
}

refusals! {
    Truncated "truncated" "Input that ended before its message did.",
    UnknownType "unknown_type" "A type byte that has no meaning in its place."
        "Check that the program at that address is a member of this cluster.",
    UnknownCompression "unknown_compression" "A compression other than LZW.",
    Msgpack "msgpack" "A value that is not msgpack, or not of the expected kind."
        "Check that the program at that address is a member of this cluster.",
    Utf8 "utf8" "Text that is not UTF-8, or that holds a NUL; shown escaped where possible.",
    NameLength "name_length" "A node name that is empty or too long."
        "Give that node a name of 1 to 255 bytes.",
    MetaLength "meta_length" "Node meta (encoded tags) that is too long."
        "Give that node fewer or shorter tags.",
    AddressLength "address_length" "An address that is not 4 or 16 bytes long, or has port 0.",
    VersionLength "version_length" "A version vector that is neither empty nor 6 bytes long.",
    VersionRange "version_range" "Protocol versions that contradict one another.",
    Checksum "checksum" "A datagram whose CRC-32 does not match."
        "Check the network between the two nodes.",
    Undecryptable "undecryptable" "Bytes that none of the keys decrypts."
        "Compare keys and labels; after a key rotation, restart this node with the new key.",
    PlaintextRefused "plaintext_refused" "Unencrypted bytes although encryption is required."
        "Give that node a key of this cluster, or set verify_incoming to false here.",
    UnexpectedEncryption "unexpected_encryption" "Encrypted bytes although there are no keys."
        "Restart this node with a key of the cluster.",
    Label "label" "A label that is missing, malformed, or not this cluster's."
        "Compare the labels of the two nodes.",
    TooLarge "too_large" "A length or count above its bound.",
    TooDeep "too_deep" "Compound and compressed messages nested too deeply.",
    EmptyPart "empty_part" "A message or part of a message without content.",
    Inflate "inflate" "Compressed bytes that do not expand, or expand to nothing.",
    Incompatible "incompatible" "A push/pull with nodes of other protocol versions."
        "Upgrade the older node, or use the same mode on both.",
    TooManyNodes "too_many_nodes" "A push/pull that claims too many nodes.",
    AddressNotAllowed "address_not_allowed" "A node at an address that is not allowed."
        "Extend cidrs_allowed if the node belongs to this cluster.",
    OwnAddress "own_address"
        "A state of nodes on other hosts, at a node that has only a loopback address."
        "Set advertise, or set bind to [::] if only IPv6 has an address that others can reach.",
    Filtered "filtered" "A member that the application's filter refused.",
    TooManyMembers "too_many_members" "A new node that does not fit into the member table.",
    UnknownSequence "unknown_sequence" "An ack or nack that answers no ping from this node.",
    OtherNode "other_node" "A ping meant for a node of another name."
        "Check whether a node with that name has moved, or whether two nodes share an address.",
    Conflict "conflict" "A node that claims a name in use at another address."
        "Give each node a name of its own.",
    TooManyStreams "too_many_streams" "A connection beyond the number served at a time."
        "Find out why that address opens so many connections.",
    TooManyRelays "too_many_relays"
        "A request for an indirect probe beyond the number served at a time.",
    StreamTimeout "stream_timeout" "A connection that took too long."
        "Check the network, and whether the program at that address is a member.",
    Stale "stale" "A datagram or connection that waited while this process was stopped.",
    IncarnationLimit "incarnation_limit" "An incarnation so high that it cannot be refuted."
        "Restart the node with that name; if it comes back, look for forged messages.",
    IncarnationLeap "incarnation_leap"
        "An incarnation far ahead of the known one. The member is asked for its own."
        "If such refusals go on, look for forged messages.",
    LtimeLeap "ltime_leap" "A Lamport time too far ahead to be believed."
        "If such refusals go on, look for forged messages.",
    TooManyMessages "too_many_messages" "A datagram with more messages than one compound can hold.",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_place_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
            let name = refusal.counter();
            assert!(
                name.bytes()
                    .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            );
            assert!(names.insert(name), "two reasons have the counter {name}");
            for text in [Some(refusal.help()), refusal.advice()]
                .into_iter()
                .flatten()
            {
                assert!(text.ends_with('.') && text.len() > 20, "{text}");
            }
        }
        assert_eq!(names.len(), Refusal::COUNT);
    }
}
