//! Datagrams: one door in, one door out.

use super::{Codec, Refusal};

/// A datagram without its label, encryption and checksum.
pub enum Opened<'a> { /** as it came */ Borrowed(&'a [u8]), /** decrypted */ Owned(Vec<u8>) }

/// Strips label, encryption and checksum.
pub fn open<'a>(_codec: &Codec, _datagram: &'a [u8]) -> Result<Opened<'a>, Refusal> { todo!() }

/// Calls `each` with every message inside, in order, compound and compress unpacked to the
/// bounded depth, or with the reason why a part was refused. Parts before a fault are handled.
pub fn walk(_opened: &[u8], _each: &mut dyn FnMut(Result<&[u8], Refusal>)) { todo!() }

/// Packs `messages` (each complete, at most [`crate::limits::COMPOUND_PARTS`], none empty) as one
/// compound, or as it is when there is only one.
pub fn compound(_messages: &[&[u8]], _out: &mut Vec<u8>) { todo!() }

/// Wraps the plain content: compress if it shrinks, checksum if `checksum`, encryption, label.
/// `nonce` is used only when there is a key, and must never repeat for it.
pub fn seal(_codec: &Codec, _plain: &[u8], _checksum: bool, _nonce: [u8; 12]) -> Vec<u8> { todo!() }
