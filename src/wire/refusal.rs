//! Why bytes from the wire were refused. One variant per kind, each with a counter of its own.

/// A kind of refusal. The name of its counter is [`Refusal::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Refusal {
    Truncated, UnknownType, UnknownCompression, Msgpack, Utf8, NameLength, MetaLength, AddressLength,
    VersionLength, VersionRange, Checksum, Undecryptable, PlaintextRefused, UnexpectedEncryption,
    Label, TooLarge, TooDeep, EmptyPart, Inflate, Incompatible, TooManyNodes, AddressNotAllowed,
    Filtered, TooManyMembers, UnknownSequence, OtherNode, Conflict, TooManyStreams, StreamTimeout,
    IncarnationLimit,
}

impl Refusal {
    /// How many kinds there are.
    pub const COUNT: usize = Refusal::IncarnationLimit as usize + 1;
}
