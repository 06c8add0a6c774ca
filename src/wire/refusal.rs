//! The reasons why bytes from the wire are refused. Each has a counter of its own.

/// Declares [`Refusal`] by rows: variant, name of its counter, and its help, which is also the
/// documentation of the variant.
macro_rules! refusals {
    ($($variant:ident $name:literal $help:literal,)+) => {
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
        }
    };
}

refusals! {
    Truncated "truncated" "Input that ended before its message did.",
    UnknownType "unknown_type" "A type byte that has no meaning in its place.",
    UnknownCompression "unknown_compression" "A compression other than LZW.",
    Msgpack "msgpack" "A value that is not msgpack, or not of the expected kind.",
    Utf8 "utf8" "Text that is not UTF-8, or that holds a NUL.",
    NameLength "name_length" "A node name that is empty or too long.",
    MetaLength "meta_length" "Node meta (encoded tags) that is too long.",
    AddressLength "address_length" "An address that is not 4 or 16 bytes long.",
    VersionLength "version_length" "A version vector that is not 6 bytes long.",
    VersionRange "version_range" "Protocol versions that contradict one another.",
    Checksum "checksum" "A datagram whose CRC-32 does not match.",
    Undecryptable "undecryptable" "Bytes that none of the keys decrypts.",
    PlaintextRefused "plaintext_refused" "Unencrypted bytes although encryption is required.",
    UnexpectedEncryption "unexpected_encryption" "An encrypted stream although there are no keys.",
    Label "label" "A label that is not this cluster's, is missing or malformed.",
    TooLarge "too_large" "A length or count above its bound.",
    TooDeep "too_deep" "Compound and compressed messages nested too deeply.",
    EmptyPart "empty_part" "A message or part of a message without content.",
    Inflate "inflate" "Compressed bytes that do not expand, or expand to nothing.",
    Incompatible "incompatible" "A push/pull with nodes of other protocol versions.",
    TooManyNodes "too_many_nodes" "A push/pull that claims too many nodes.",
    AddressNotAllowed "address_not_allowed" "A node at an address outside the allowed networks.",
    Filtered "filtered" "A member that the application's filter refused.",
    TooManyMembers "too_many_members" "A new node although the table is full.",
    UnknownSequence "unknown_sequence" "An ack or nack that no probe waits for.",
    OtherNode "other_node" "A ping meant for a node of another name.",
    Conflict "conflict" "A node that claims a name in use at another address.",
    TooManyStreams "too_many_streams" "A connection above the number served.",
    TooManyRelays "too_many_relays" "A request to probe for others above the number served.",
    StreamTimeout "stream_timeout" "A connection that took too long.",
    Stale "stale" "A datagram or connection that waited while this process was stopped.",
    IncarnationLimit "incarnation_limit" "An incarnation so high that it cannot be refuted.",
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
            assert!(names.insert(name), "{name} twice");
            assert!(refusal.help().ends_with('.') && refusal.help().len() > 20);
        }
        assert_eq!(names.len(), Refusal::COUNT);
    }
}
