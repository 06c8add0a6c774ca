//! Datagrams: [`open`] and [`walk`] take one apart, [`compound`] and [`seal`] make one.
//!
//! From outside in, a datagram may have a label header, encryption, and a checksum; then compress
//! and compound layers in any order and nesting. Inside are the messages. The depth of the layers
//! and the sum of the bytes to which they expand are bounded, so that one datagram causes bounded
//! work.

use super::codec::SEAL_LEN;
use super::message::kind;
use super::{Codec, Reader, Refusal, lzw};
use crate::limits;

/// A datagram without its label, encryption and checksum.
pub enum Opened<'a> {
    /// The datagram was taken as plain bytes.
    Borrowed(&'a [u8]),
    /// The datagram was decrypted.
    Owned(Vec<u8>),
}

impl Opened<'_> {
    /// Returns the bytes for [`walk`].
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Opened::Borrowed(bytes) => bytes,
            Opened::Owned(bytes) => bytes,
        }
    }
}

/// The length of the checksum header in bytes.
const CHECKSUM_LEN: usize = 5;

/// The minimum length in bytes of content that is compressed. The compress message adds 16 bytes,
/// so shorter content would hardly ever shrink. Without such attempts, a node at rest executes a
/// seventh fewer instructions.
const COMPRESSIBLE_LEN: usize = 96;

/// Strips label, encryption and checksum.
///
/// # Errors
/// - [`Refusal::Truncated`] for an empty datagram or for a label header that is cut off,
///   [`Refusal::Label`], and [`Refusal::Checksum`].
/// - If there are keys and plaintext is not accepted, [`Refusal::PlaintextRefused`] for bytes that
///   are certainly not encrypted, and [`Refusal::Undecryptable`] for other bytes that no key
///   decrypts.
/// - Without keys, [`Refusal::UnexpectedEncryption`] for bytes that look encrypted.
pub fn open<'a>(codec: &Codec, datagram: &'a [u8]) -> Result<Opened<'a>, Refusal> {
    if datagram.is_empty() {
        return Err(Refusal::Truncated);
    }
    let bytes = codec.strip_label(datagram)?;
    if codec.keyring.is_empty() {
        if is_encrypted(bytes) {
            return Err(Refusal::UnexpectedEncryption);
        }
        return Ok(Opened::Borrowed(&bytes[verify_checksum(bytes)?..]));
    }
    match codec.keyring.open(bytes, &codec.label) {
        Ok(mut plain) => {
            let header = verify_checksum(&plain)?;
            plain.drain(..header);
            Ok(Opened::Owned(plain))
        }
        Err(_) if !codec.verify_incoming => Ok(Opened::Borrowed(&bytes[verify_checksum(bytes)?..])),
        // An encrypted datagram begins with its version, 0 or 1, but so do plain pings and indirect
        // pings.
        Err(_) if !matches!(bytes.first(), Some(0 | 1)) => Err(Refusal::PlaintextRefused),
        Err(refusal) => Err(refusal),
    }
}

/// Returns true if a datagram looks encrypted and cannot be a plain ping or indirect ping. The
/// version in front, 0 or 1, is also the type byte of these messages, but there a map, a list or
/// nil follows it. In an encrypted datagram, a random byte follows, so about one encrypted datagram
/// in seven is not recognised.
fn is_encrypted(bytes: &[u8]) -> bool {
    match bytes {
        [0 | 1, 0x80..=0x9f | 0xc0 | 0xdc..=0xdf, ..] => false,
        [0 | 1, _, ..] => bytes.len() > SEAL_LEN,
        _ => false,
    }
}

/// Checks the checksum header, if there is one, and returns its length.
fn verify_checksum(bytes: &[u8]) -> Result<usize, Refusal> {
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

/// The function that [`walk`] calls with each message, or with the reason why it refused a part.
pub type Each<'e> = dyn FnMut(Result<&[u8], Refusal>) + 'e;

/// Unpacks compound and compress layers and calls `each` with every message inside, in order. If a
/// part is refused, calls `each` with the reason in its place.
///
/// If there are more than [`limits::DATAGRAM_MESSAGES`] messages and refusals, the rest is left
/// out, and the last call has [`Refusal::TooManyMessages`].
pub fn walk(opened: &[u8], each: &mut Each<'_>) {
    let mut room = limits::INFLATED_DATAGRAM_LEN;
    let mut left = limits::DATAGRAM_MESSAGES + 2;
    let mut counted = |part: Result<&[u8], Refusal>| {
        left = left.saturating_sub(1);
        match left {
            0 => {}
            1 => each(Err(Refusal::TooManyMessages)),
            _ => each(part),
        }
    };
    unpack(opened, 0, &mut room, &mut counted);
}

/// Unpacks one layer; `room` is the number of bytes to which the datagram may still expand.
fn unpack(bytes: &[u8], depth: usize, room: &mut usize, each: &mut Each<'_>) {
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
            Err(refusal) => {
                if matches!(refusal, Refusal::TooLarge | Refusal::Inflate) {
                    *room = 0; // the refused part may have been expanded up to the bound
                }
                each(Err(refusal));
            }
        },
        Some(_) => each(Ok(bytes)),
    }
}

/// Unpacks the parts of a compound up to the first that is truncated.
fn unpack_compound(
    bytes: &[u8],
    depth: usize,
    room: &mut usize,
    each: &mut Each<'_>,
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

/// Appends `messages` as one compound, or a single message as it is. `messages` holds at most
/// [`crate::limits::COMPOUND_PARTS`] messages, each complete, not empty and shorter than 64 KiB. If
/// a caller breaks these rules by mistake, a release build leaves the offending messages out of the
/// compound, because memberlist 0.2.2 would lose the packet or crash.
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

/// Wraps the plain content of a datagram as `codec` says: compression if that makes the content
/// shorter, encryption, label. Adds a checksum if `checksum` is true. `nonce` is used only for
/// encryption, and must not be used twice with one key.
pub fn seal(codec: &Codec, plain: &[u8], checksum: bool, nonce: [u8; 12]) -> Vec<u8> {
    let room = codec.overhead() + CHECKSUM_LEN + plain.len();
    let mut content = Vec::with_capacity(room);
    let start = if checksum { CHECKSUM_LEN } else { 0 };
    let is_unencrypted = !codec.encrypts();
    if is_unencrypted {
        codec.put_label(&mut content);
    }
    let header = content.len();
    content.resize(header + start, kind::CHECKSUM);
    let compress = codec.compress && plain.len() >= COMPRESSIBLE_LEN;
    if compress {
        lzw::put_compressed(&mut content, plain);
    }
    if !compress || content.len() - header - start >= plain.len() {
        content.truncate(header + start);
        content.extend_from_slice(plain);
    }
    if checksum {
        let sum = crc32fast::hash(&content[header + start..]).to_be_bytes();
        content[header + 1..header + start].copy_from_slice(&sum);
    }
    if is_unencrypted {
        return content;
    }
    let mut out = Vec::with_capacity(room);
    codec.put_label(&mut out);
    codec.keyring.seal(&mut out, &content, nonce, &codec.label);
    out
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    const NONCE: [u8; 12] = [0; 12];

    fn walked(bytes: &[u8]) -> Vec<Result<Vec<u8>, Refusal>> {
        let mut parts = Vec::new();
        walk(bytes, &mut |part| parts.push(part.map(<[u8]>::to_vec)));
        parts
    }

    /// Returns a user message of this length.
    fn message(length: usize) -> Vec<u8> {
        vec![kind::USER; length]
    }

    fn compounded(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        compound(messages, &mut out);
        out
    }

    fn refusal(codec: &Codec, bytes: &[u8]) -> Option<Refusal> {
        open(codec, bytes).err()
    }

    fn encrypting() -> Codec {
        let keyring = super::super::Keyring::new(vec![Key::new(&[1; 16]).unwrap()]);
        Codec {
            keyring,
            verify_incoming: true,
            verify_outgoing: true,
            ..Codec::default()
        }
    }

    #[test]
    fn one_datagram_holds_as_many_messages_as_a_compound_and_no_more() {
        let ping = message(1);
        let parts = vec![&ping[..]; limits::COMPOUND_PARTS];
        let mut inner = Vec::new();
        compound(&parts, &mut inner);
        let mut nested = Vec::new();
        compound(&[&inner[..]; 5], &mut nested);
        let (mut messages, mut refusals) = (0, Vec::new());
        walk(&nested, &mut |part| match part {
            Ok(_) => messages += 1,
            Err(refusal) => refusals.push(refusal),
        });
        assert_eq!(messages, limits::DATAGRAM_MESSAGES);
        assert_eq!(refusals, [Refusal::TooManyMessages]);
    }

    #[test]
    fn parts_are_unpacked_in_order_and_a_single_one_is_not_wrapped() {
        let (one, two) = (message(3), message(300));
        assert_eq!(compounded(&[&one]), one);
        let both = compounded(&[&one, &two]);
        assert_eq!(both[..6], [7, 2, 0, 3, 1, 44]);
        assert_eq!(walked(&both), [Ok(one), Ok(two)]);
    }

    #[test]
    fn parts_before_a_cut_are_handled() {
        let one = message(3);
        let both = compounded(&[&one, &one]);
        assert_eq!(
            walked(&both[..both.len() - 1]),
            [Ok(one), Err(Refusal::Truncated)]
        );
        assert_eq!(walked(&both[..5]), [Err(Refusal::Truncated)]);
        assert_eq!(walked(&both[..1]), [Err(Refusal::Truncated)]);
    }

    #[test]
    fn a_part_without_content_is_refused_and_the_others_are_handled() {
        // Such a part crashes a process of memberlist 0.2.2, so `compound` never writes it. The
        // test makes such a part from a valid compound.
        let one = message(3);
        let mut broken = compounded(&[&one, &one, &one]);
        broken[5] = 0;
        broken.drain(11..14);
        assert_eq!(
            walked(&broken),
            [Ok(one.clone()), Err(Refusal::EmptyPart), Ok(one)]
        );
        assert_eq!(walked(&[]), [Err(Refusal::EmptyPart)]);
    }

    #[test]
    fn nesting_is_bounded() {
        let one = message(3);
        let mut layered = one.clone();
        for depth in 1..=limits::NESTING + 1 {
            layered = compounded(&[&layered, &one]);
            let expected = if depth <= limits::NESTING {
                Ok(())
            } else {
                Err(Refusal::TooDeep)
            };
            let parts = walked(&layered);
            assert_eq!(
                parts[0].as_ref().map(|_| ()).map_err(|r| *r),
                expected,
                "{depth} layers"
            );
            assert_eq!(parts.last(), Some(&Ok(one.clone())));
        }
    }

    #[test]
    fn the_sum_of_the_expanded_bytes_of_a_datagram_is_bounded() {
        let mut packed = Vec::new();
        lzw::put_compressed(&mut packed, &message(limits::INFLATED_DATAGRAM_LEN / 3));
        let parts = walked(&compounded(&[&packed, &packed, &packed, &packed]));
        let refusals: Vec<_> = parts.iter().map(|part| part.as_ref().err()).collect();
        assert_eq!(refusals, [None, None, None, Some(&Refusal::TooLarge)]);
        // A part that is refused has been expanded up to the bound, too.
        let mut bomb = Vec::new();
        lzw::put_compressed(&mut bomb, &message(limits::INFLATED_DATAGRAM_LEN + 1));
        let parts = walked(&compounded(&[&bomb, &packed]));
        let too_large = Err(Refusal::TooLarge);
        assert_eq!(parts, [too_large.clone(), too_large]);
    }

    #[test]
    fn a_datagram_is_compressed_only_if_it_shrinks() {
        let codec = Codec {
            compress: true,
            ..Codec::default()
        };
        let (short, long) = (message(5), message(500));
        assert_eq!(seal(&codec, &short, false, NONCE), short);
        let sealed = seal(&codec, &long, true, NONCE);
        assert!(sealed.len() < 100 && sealed[5] == kind::COMPRESS);
        let opened = open(&codec, &sealed).ok().unwrap();
        assert_eq!(walked(opened.as_bytes()), [Ok(long)]);
    }

    #[test]
    fn a_label_must_be_that_of_the_cluster() {
        let blue = Codec {
            label: b"blue".to_vec(),
            ..Codec::default()
        };
        let none = Codec::default();
        let bytes = message(3);
        let labelled = seal(&blue, &bytes, false, NONCE);
        assert_eq!(labelled, [b"\xf4\x04blue", bytes.as_slice()].concat());
        assert_eq!(refusal(&blue, &labelled), None);
        assert_eq!(refusal(&none, &labelled), Some(Refusal::Label));
        assert_eq!(refusal(&blue, &bytes), Some(Refusal::Label));
        assert_eq!(refusal(&blue, &labelled[..4]), Some(Refusal::Truncated));
        assert_eq!(refusal(&none, &[kind::LABEL, 0, 8]), Some(Refusal::Label));
        let skipping = Codec {
            skip_label_check: true,
            ..blue.clone()
        };
        assert_eq!(refusal(&skipping, &bytes), None);
        assert_eq!(refusal(&skipping, &labelled), Some(Refusal::Label));
    }

    #[test]
    fn plaintext_is_accepted_only_where_encryption_is_not_required() {
        let strict = encrypting();
        let lenient = Codec {
            verify_incoming: false,
            ..strict.clone()
        };
        let bytes = message(3);
        assert_eq!(refusal(&strict, &bytes), Some(Refusal::PlaintextRefused));
        assert_eq!(refusal(&strict, &[0; 40]), Some(Refusal::Undecryptable));
        assert_eq!(refusal(&lenient, &bytes), None);
        let sealed = seal(&lenient, &bytes, true, [9; 12]);
        let opened = open(&strict, &sealed).ok().unwrap();
        assert_eq!(opened.as_bytes(), bytes);
        let silent = Codec {
            verify_outgoing: false,
            ..lenient
        };
        assert_eq!(seal(&silent, &bytes, false, NONCE), bytes);
    }

    #[test]
    fn an_encrypted_datagram_is_recognised_without_a_key() {
        let sealed = |nonce| seal(&encrypting(), &message(3), false, [nonce; 12]);
        let refused = |bytes: &[u8]| refusal(&Codec::default(), bytes);
        assert_eq!(refused(&sealed(9)), Some(Refusal::UnexpectedEncryption));
        // This nonce makes the datagram look like an indirect ping.
        assert_eq!(refused(&sealed(0x85)), None);
        assert_eq!(refused(&[kind::PING, 0x07]), None);
    }

    #[test]
    fn a_wrong_checksum_is_refused_inside_and_outside_of_encryption() {
        for codec in [Codec::default(), encrypting()] {
            let mut content = seal(&Codec::default(), &message(3), true, NONCE);
            content[4] ^= 1;
            let mut sealed = content.clone();
            if codec.encrypts() {
                sealed.clear();
                codec.keyring.seal(&mut sealed, &content, NONCE, b"");
            }
            assert_eq!(refusal(&codec, &sealed), Some(Refusal::Checksum));
        }
        assert_eq!(refusal(&Codec::default(), &[]), Some(Refusal::Truncated));
    }

    #[test]
    fn overhead_is_the_number_of_bytes_that_seal_adds() {
        let bytes = message(3);
        for label in ["", "blue"] {
            for base in [Codec::default(), encrypting()] {
                let codec = Codec {
                    label: label.into(),
                    ..base
                };
                let sealed = seal(&codec, &bytes, false, NONCE);
                assert_eq!(sealed.len(), bytes.len() + codec.overhead());
            }
        }
    }
}
