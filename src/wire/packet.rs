//! Datagrams: one door in, one door out.
//!
//! From outside in: label header, encryption, checksum, then compress and compound in any order
//! and nesting, then messages. Nesting is bounded in depth, and what one datagram may expand to
//! is bounded in sum, so that the work for a datagram is bounded by its size.

use super::message::kind;
use super::{Codec, Reader, Refusal, lzw};
use crate::limits;

/// A datagram without its label, encryption and checksum.
pub enum Opened<'a> {
    /// As it came.
    Borrowed(&'a [u8]),
    /// Decrypted.
    Owned(Vec<u8>),
}

impl Opened<'_> {
    /// What [`walk`] takes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Opened::Borrowed(bytes) => bytes,
            Opened::Owned(bytes) => bytes,
        }
    }
}

/// Bytes of the checksum header.
const CHECKSUM_LEN: usize = 5;

/// Strips label, encryption and checksum.
///
/// # Errors
/// [`Refusal::Label`]; [`Refusal::Undecryptable`], or [`Refusal::PlaintextRefused`] for what is
/// certainly not encrypted, when there are keys and plaintext is not accepted;
/// [`Refusal::Checksum`]; [`Refusal::Truncated`] for an empty datagram.
pub fn open<'a>(codec: &Codec, datagram: &'a [u8]) -> Result<Opened<'a>, Refusal> {
    if datagram.is_empty() {
        return Err(Refusal::Truncated);
    }
    let bytes = codec.strip_label(datagram)?;
    if codec.keyring.is_empty() {
        return Ok(Opened::Borrowed(&bytes[checked(bytes)?..]));
    }
    match codec.keyring.open(bytes, &codec.label) {
        Ok(mut plain) => {
            let header = checked(&plain)?;
            plain.drain(..header);
            Ok(Opened::Owned(plain))
        }
        Err(_) if !codec.verify_incoming => Ok(Opened::Borrowed(&bytes[checked(bytes)?..])),
        // An encrypted datagram begins with its version, 0 or 1; so do plain pings, alas.
        Err(_) if !matches!(bytes.first(), Some(0 | 1)) => Err(Refusal::PlaintextRefused),
        Err(refusal) => Err(refusal),
    }
}

/// Checks the checksum header, if there is one, and says how long it is.
fn checked(bytes: &[u8]) -> Result<usize, Refusal> {
    match bytes {
        [kind::CHECKSUM, a, b, c, d, content @ ..] => {
            let announced = u32::from_be_bytes([*a, *b, *c, *d]);
            let fits = crc32fast::hash(content) == announced;
            if fits {
                Ok(CHECKSUM_LEN)
            } else {
                Err(Refusal::Checksum)
            }
        }
        _ => Ok(0),
    }
}

/// Calls `each` with every message inside, in order, compound and compress unpacked to the
/// bounded depth, or with the reason why a part was refused. Parts before a fault are handled.
pub fn walk(opened: &[u8], each: &mut dyn FnMut(Result<&[u8], Refusal>)) {
    let mut room = limits::INFLATED_DATAGRAM_LEN;
    unpack(opened, 0, &mut room, each);
}

/// Unpacks one layer; `room` is what the rest of the datagram may still expand to.
fn unpack(
    bytes: &[u8],
    depth: usize,
    room: &mut usize,
    each: &mut dyn FnMut(Result<&[u8], Refusal>),
) {
    match bytes.first() {
        None => each(Err(Refusal::EmptyPart)),
        Some(&(kind::COMPOUND | kind::COMPRESS)) if depth >= limits::NESTING => {
            each(Err(Refusal::TooDeep));
        }
        Some(&kind::COMPOUND) => {
            if let Err(refusal) = unpack_compound(&bytes[1..], depth, room, each) {
                each(Err(refusal));
            }
        }
        Some(&kind::COMPRESS) => match lzw::expand(bytes, *room) {
            Ok(plain) => {
                *room -= plain.len();
                unpack(&plain, depth + 1, room, each);
            }
            Err(refusal) => each(Err(refusal)),
        },
        Some(_) => each(Ok(bytes)),
    }
}

/// Unpacks the parts of a compound up to the first that is cut.
fn unpack_compound(
    bytes: &[u8],
    depth: usize,
    room: &mut usize,
    each: &mut dyn FnMut(Result<&[u8], Refusal>),
) -> Result<(), Refusal> {
    let mut parts = Reader::new(bytes);
    let count = usize::from(parts.u8()?);
    let mut lengths = Reader::new(parts.take(2 * count)?);
    while !lengths.is_empty() {
        let part = parts.take(lengths.u16()?.into())?;
        unpack(part, depth + 1, room, each);
    }
    Ok(())
}

/// Packs `messages` (each complete, at most [`crate::limits::COMPOUND_PARTS`], none empty) as one
/// compound, or as it is when there is only one. What breaks these rules is a mistake of the
/// caller: an empty message or one of 64 KiB is left out, and so is what is beyond the limit,
/// because memberlist 0.2.2 would lose the packet or stop.
pub fn compound(messages: &[&[u8]], out: &mut Vec<u8>) {
    debug_assert!(
        messages.len() <= limits::COMPOUND_PARTS,
        "{} parts",
        messages.len()
    );
    debug_assert!(
        messages.iter().all(|message| !message.is_empty()),
        "an empty part"
    );
    if let [message] = messages {
        out.extend_from_slice(message);
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[kind::COMPOUND, 0]);
    let fits = |message: &&&[u8]| matches!(message.len(), 1..=0xffff);
    let parts = || messages.iter().filter(fits).take(limits::COMPOUND_PARTS);
    for part in parts() {
        out[start + 1] += 1;
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
    }
    for part in parts() {
        out.extend_from_slice(part);
    }
}

/// Wraps the plain content: compress if it shrinks, checksum if `checksum`, encryption, label.
/// `nonce` is used only when there is a key, and must never repeat for it.
pub fn seal(codec: &Codec, plain: &[u8], checksum: bool, nonce: [u8; 12]) -> Vec<u8> {
    let room = codec.overhead() + CHECKSUM_LEN + plain.len();
    let mut content = Vec::with_capacity(room);
    let start = if checksum { CHECKSUM_LEN } else { 0 };
    let labelled = !codec.encrypts();
    if labelled {
        codec.put_label(&mut content);
    }
    let header = content.len();
    content.resize(header + start, kind::CHECKSUM);
    if codec.compress {
        lzw::put_compressed(&mut content, plain);
    }
    if !codec.compress || content.len() - header - start >= plain.len() {
        content.truncate(header + start);
        content.extend_from_slice(plain);
    }
    if checksum {
        let sum = crc32fast::hash(&content[header + start..]).to_be_bytes();
        content[header + 1..header + start].copy_from_slice(&sum);
    }
    if labelled {
        return content;
    }
    let mut out = Vec::with_capacity(room);
    codec.put_label(&mut out);
    codec.keyring.seal(&mut out, &content, nonce, &codec.label);
    out
}
