//! Why bytes from the wire were refused. One variant per kind, each with a counter of its own.

/// A kind of refusal. The name of its counter is [`Refusal::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // Each variant is described by `help`, in the words that users see.
pub enum Refusal {
    Truncated,
    UnknownType,
    UnknownCompression,
    Msgpack,
    Utf8,
    NameLength,
    MetaLength,
    AddressLength,
    VersionLength,
    VersionRange,
    Checksum,
    Undecryptable,
    PlaintextRefused,
    UnexpectedEncryption,
    Label,
    TooLarge,
    TooDeep,
    EmptyPart,
    Inflate,
    Incompatible,
    TooManyNodes,
    AddressNotAllowed,
    Filtered,
    TooManyMembers,
    UnknownSequence,
    OtherNode,
    Conflict,
    TooManyStreams,
    TooManyRelays,
    StreamTimeout,
    Stale,
    IncarnationLimit,
}

impl Refusal {
    /// How many kinds there are.
    pub const COUNT: usize = Refusal::IncarnationLimit as usize + 1;

    /// All kinds, in the order of their numbers.
    pub const ALL: [Refusal; Refusal::COUNT] = {
        use Refusal::*;
        [
            Truncated,
            UnknownType,
            UnknownCompression,
            Msgpack,
            Utf8,
            NameLength,
            MetaLength,
            AddressLength,
            VersionLength,
            VersionRange,
            Checksum,
            Undecryptable,
            PlaintextRefused,
            UnexpectedEncryption,
            Label,
            TooLarge,
            TooDeep,
            EmptyPart,
            Inflate,
            Incompatible,
            TooManyNodes,
            AddressNotAllowed,
            Filtered,
            TooManyMembers,
            UnknownSequence,
            OtherNode,
            Conflict,
            TooManyStreams,
            TooManyRelays,
            StreamTimeout,
            Stale,
            IncarnationLimit,
        ]
    };

    /// Name of its counter: lower case, words joined by underscores.
    pub fn name(self) -> &'static str {
        use Refusal::*;
        match self {
            Truncated => "truncated",
            UnknownType => "unknown_type",
            UnknownCompression => "unknown_compression",
            Msgpack => "msgpack",
            Utf8 => "utf8",
            NameLength => "name_length",
            MetaLength => "meta_length",
            AddressLength => "address_length",
            VersionLength => "version_length",
            VersionRange => "version_range",
            Checksum => "checksum",
            Undecryptable => "undecryptable",
            PlaintextRefused => "plaintext_refused",
            UnexpectedEncryption => "unexpected_encryption",
            Label => "label",
            TooLarge => "too_large",
            TooDeep => "too_deep",
            EmptyPart => "empty_part",
            Inflate => "inflate",
            Incompatible => "incompatible",
            TooManyNodes => "too_many_nodes",
            AddressNotAllowed => "address_not_allowed",
            Filtered => "filtered",
            TooManyMembers => "too_many_members",
            UnknownSequence => "unknown_sequence",
            OtherNode => "other_node",
            Conflict => "conflict",
            TooManyStreams => "too_many_streams",
            TooManyRelays => "too_many_relays",
            StreamTimeout => "stream_timeout",
            Stale => "stale",
            IncarnationLimit => "incarnation_limit",
        }
    }

    /// What it means, in one sentence for people who read counters.
    pub fn help(self) -> &'static str {
        use Refusal::*;
        match self {
            Truncated => "Input ended before the message did.",
            UnknownType => "A type byte that has no meaning in its place.",
            UnknownCompression => "A compression other than LZW.",
            Msgpack => "A value that is not msgpack, or not of the expected kind.",
            Utf8 => "Text that is not UTF-8, or that holds a NUL.",
            NameLength => "A node name that is empty or too long.",
            MetaLength => "Node meta (encoded tags) that is too long.",
            AddressLength => "An address that is not 4 or 16 bytes long.",
            VersionLength => "A version vector that is not 6 bytes long.",
            VersionRange => "Protocol versions that contradict themselves.",
            Checksum => "A datagram whose CRC-32 does not match.",
            Undecryptable => "Bytes that none of the keys decrypts.",
            PlaintextRefused => "Unencrypted bytes although encryption is required.",
            UnexpectedEncryption => "An encrypted stream although there are no keys.",
            Label => "A label that is not this cluster's, is missing or malformed.",
            TooLarge => "A length or count above its bound.",
            TooDeep => "Compound and compressed messages nested too deeply.",
            EmptyPart => "A message or part of a message without content.",
            Inflate => "Compressed bytes that do not expand, or expand to nothing.",
            Incompatible => "A push/pull with nodes of other protocol versions.",
            TooManyNodes => "A push/pull that claims too many nodes.",
            AddressNotAllowed => "A node at an address outside the allowed networks.",
            Filtered => "A member that the application's filter refused.",
            TooManyMembers => "A new node although the table is full.",
            UnknownSequence => "An ack or nack that nobody waits for.",
            OtherNode => "A ping meant for a node of another name.",
            Conflict => "A node that claims a name in use at another address.",
            TooManyStreams => "A connection above the number served.",
            TooManyRelays => "A request to probe for others above the number served.",
            StreamTimeout => "A connection that took too long.",
            Stale => "What waited in a socket while this process did not run for long.",
            IncarnationLimit => "An incarnation so high that it cannot be refuted.",
        }
    }
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
            let name = refusal.name();
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
