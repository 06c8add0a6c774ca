//! Streams: a request or an answer is collected, unwrapped and handed over when it is complete.

use super::{Codec, Refusal};

/// Which end of the connection this is: the dialler writes the label header, the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side { Dialled, Accepted }

/// Collects what arrives on one stream until its single message is complete.
pub struct StreamReader {}

impl StreamReader {
    /// A reader for the given end.
    pub fn new(_side: Side) -> StreamReader { todo!() }
    /// Takes bytes that arrived, and says whether the message is now complete. `Ok(Some(plain))` is
    /// the message, type byte first, label, encryption and compression removed: ping, ack, error,
    /// push/pull (all nodes and user state) or user (`08`, header map, content). After `Some` or
    /// an error nothing more is accepted.
    pub fn push(&mut self, _codec: &Codec, _bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> { todo!() }
}

/// The content of a stream's user message (its `08` and header map checked and removed).
pub fn user_content(_plain: &[u8]) -> Result<&[u8], Refusal> { todo!() }

/// Wraps a stream message: compress always when on, encryption frame, label header if `side` dialled.
pub fn seal(_codec: &Codec, _side: Side, _plain: &[u8], _nonce: [u8; 12]) -> Vec<u8> { todo!() }
