//! The reasons for which a command is refused, and the check of a meta.

use crate::limits;

/// The reason why a command was refused. A refused command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The name is empty, or the name, the tags or the meta take more bytes than allowed.
    TooLarge {
        /// The number of bytes that were given.
        len: usize,
        /// The maximum number of bytes.
        max: usize,
    },
    /// An encoded user event, query or response takes more bytes than the settings allow.
    EventTooLarge {
        /// The number of bytes of its name and its payload.
        content: usize,
        /// The number of bytes of the encoded message.
        len: usize,
        /// The maximum number of bytes of the encoded message.
        max: usize,
    },
    /// A message or a state of the application takes more bytes than allowed.
    MessageTooLarge {
        /// The number of bytes that were given.
        len: usize,
        /// The maximum number of bytes.
        max: usize,
        /// The name of the bound.
        bound: &'static str,
    },
    /// Too many messages by stream wait, or those that wait or are under way have too many bytes.
    TooManyMessages,
    /// The name of the query is reserved: it begins with `_serf_`.
    ReservedName,
    /// A regular expression cannot be compiled, or agents of Serf read it in another way.
    BadExpression {
        /// The expression.
        expression: String,
        /// The reason.
        why: String,
    },
    /// Too many user events wait to be gossiped.
    TooManyEvents,
    /// Too many broadcasts of the application wait to be gossiped.
    TooManyBroadcasts,
    /// Too many queries of this node are under way.
    TooManyQueries,
    /// There never was a query with this number.
    UnknownQuery,
    /// The time in which the query can be answered is over.
    QueryOver,
    /// The query was answered already.
    AlreadyAnswered,
    /// This node does not encrypt, so it does not manage keys.
    NoKeyring,
    /// The key is the primary key of this node, and cannot be removed.
    PrimaryKey,
    /// This node does not hold the key.
    UnknownKey,
    /// The command does not exist in the mode of this node.
    WrongMode,
    /// Acks carry the network coordinate of this node, as its mode is Serf's.
    AckPayloadTaken,
    /// This node is leaving or has left; a join brings it back.
    Left,
    /// Too many looks are under way.
    TooManyLooks,
    /// There is no member with this name, or the filter hides it.
    UnknownMember,
    /// This node has no coordinates: its mode or its settings exclude them.
    NoCoordinates,
    /// The member has not sent a coordinate to this node yet.
    NotMeasured,
    /// The member has failed or left.
    NotAlive,
    /// The member is this node itself.
    Myself,
    /// The member has not failed.
    NotFailed,
    /// A hint about this member is still under way, or too many others are.
    Limited,
}

/// Checks the length of a message or state of the application.
pub(super) fn check_len(len: usize, max: usize, bound: &'static str) -> Result<(), CommandError> {
    match len <= max {
        true => Ok(()),
        false => Err(CommandError::MessageTooLarge { len, max, bound }),
    }
}

/// Checks the length of a meta.
pub(super) fn checked_meta(meta: Vec<u8>) -> Result<Box<[u8]>, CommandError> {
    if meta.len() > limits::META_LEN {
        return Err(CommandError::TooLarge {
            len: meta.len(),
            max: limits::META_LEN,
        });
    }
    Ok(meta.into())
}
