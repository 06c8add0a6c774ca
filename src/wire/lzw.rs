//! LZW, the compression of memberlist: the message type 9 around any other message.
//!
//! The coder is the `weezl` crate with 8-bit literals, least significant bit first. Until the table
//! is full, it writes the same bytes as memberlist. After that the two differ, because Go's writer
//! starts its table over one code earlier. Each can read the output of the other (`tests/interop`).
//! The reader accepts either timing, with or without a leading clear code, and never expands to
//! more than its bound.

use super::fields::{Bytes, Number};
use super::message::kind;
use super::record::{Body, Record, record};
use super::{Reader, Refusal};
use std::cell::Cell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use weezl::{BitOrder, BufferResult, LzwStatus, decode::Decoder, encode::Encoder};

record! {
    /// The compress message.
    struct Compressed<'a> {
        algorithm: u8 => "Algo" Number,
        content: &'a [u8] => "Buf" Bytes,
    }
}

/// The only algorithm that memberlist defines.
const ALGORITHM: u8 = 0;

thread_local! {
    // Building a coder costs more than coding a datagram, so each thread keeps an encoder and a
    // decoder. A call takes the coder out while it uses it, so that the coder is not used again
    // after a panic.
    static ENCODER: Cell<Option<Encoder>> = const { Cell::new(None) };
    static DECODER: Cell<Option<Decoder>> = const { Cell::new(None) };
}

/// The bytes of a message, piece by piece, so that a large message need not be held as a whole.
/// Each call passes the same bytes to the function that it is given.
pub type Pieces<'p> = dyn Fn(&mut dyn FnMut(&[u8])) + 'p;

/// Appends the compress message around `plain`, type byte first.
pub fn put_compressed(out: &mut Vec<u8>, plain: &[u8]) {
    put_compressed_pieces(out, &|take| take(plain));
}

/// Like [`put_compressed`], for bytes that come piece by piece.
pub fn put_compressed_pieces(out: &mut Vec<u8>, plain: &Pieces<'_>) {
    out.push(kind::COMPRESS);
    Compressed {
        algorithm: ALGORITHM,
        content: &deflate_pieces(plain),
    }
    .put(out);
}

/// Compresses like [`put_compressed`], and keeps the last result of a large input. Without the
/// cache, a node that sends its unchanged state to one member after another would compress the same
/// bytes each time. Hashing them is ten times as fast.
#[derive(Default)]
pub struct CompressCache {
    /// Random keys, so that no one can choose a state that has the hash of another one.
    hasher: RandomState,
    /// The hash of the input, and the compress message.
    last: Option<(u64, Box<[u8]>)>,
}

impl CompressCache {
    /// The minimum length in bytes of an input whose result is kept.
    const KEPT_LEN: usize = 16 << 10;

    /// Appends the compress message around `plain`, type byte first.
    pub fn put_compressed(&mut self, out: &mut Vec<u8>, plain: &Pieces<'_>) {
        let (mut hasher, mut length) = (self.hasher.build_hasher(), 0);
        plain(&mut |piece| {
            hasher.write(piece);
            length += piece.len();
        });
        if length < Self::KEPT_LEN {
            return put_compressed_pieces(out, plain);
        }
        let hash = hasher.finish();
        let message = match self.last.take() {
            Some((of, message)) if of == hash => message,
            Some(_) | None => {
                let mut message = Vec::new();
                put_compressed_pieces(&mut message, plain);
                message.into_boxed_slice()
            }
        };
        out.extend_from_slice(&message);
        self.last = Some((hash, message));
    }
}

/// Expands a compress message, its type byte first, to at most `limit` bytes.
///
/// # Errors
/// [`Refusal::UnknownType`]; [`Refusal::UnknownCompression`]; [`Refusal::TooLarge`] beyond the
/// limit; [`Refusal::Inflate`] when the bytes are not an LZW stream or expand to nothing; and the
/// refusals of the map in the message.
pub fn expand(message: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut reader = Reader::new(message);
    if reader.u8()? != kind::COMPRESS {
        return Err(Refusal::UnknownType);
    }
    let message = Compressed::decode(&mut reader)?;
    if message.algorithm != ALGORITHM {
        return Err(Refusal::UnknownCompression);
    }
    match inflate(message.content, limit)? {
        plain if plain.is_empty() => Err(Refusal::Inflate),
        plain => Ok(plain),
    }
}

/// Compresses `plain`.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn deflate(plain: &[u8]) -> Vec<u8> {
    deflate_pieces(&|take| take(plain))
}

fn deflate_pieces(plain: &Pieces<'_>) -> Vec<u8> {
    let mut encoder = ENCODER
        .take()
        .unwrap_or_else(|| Encoder::new(BitOrder::Lsb, 8));
    encoder.reset();
    let mut out = Vec::new();
    plain(&mut |mut piece| {
        while !piece.is_empty() {
            let result = encode(&mut encoder, piece, &mut out);
            piece = &piece[result.consumed_in..];
        }
    });
    encoder.finish();
    // Every byte is a valid literal of eight bits, so no error occurs.
    while let Ok(LzwStatus::Ok | LzwStatus::NoProgress) = encode(&mut encoder, &[], &mut out).status
    {
    }
    ENCODER.set(Some(encoder));
    out
}

/// Compresses `plain` until it is used up or a small buffer is full. The crate's own writer into a
/// `Vec` would first fill 4 KiB with zeros, which is more than a datagram needs.
fn encode(encoder: &mut Encoder, plain: &[u8], out: &mut Vec<u8>) -> BufferResult {
    let mut buffer = [0; 1024];
    let result = encoder.encode_bytes(plain, &mut buffer);
    out.extend_from_slice(&buffer[..result.consumed_out]);
    result
}

/// Expands an LZW stream to at most `limit` bytes, with the decoder of this thread.
fn inflate(content: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut decoder = DECODER
        .take()
        .unwrap_or_else(|| Decoder::new(BitOrder::Lsb, 8));
    decoder.reset();
    let result = inflate_with(&mut decoder, content, limit);
    DECODER.set(Some(decoder));
    result
}

fn inflate_with(
    decoder: &mut Decoder,
    mut content: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Refusal> {
    const STEP: usize = 4096;
    let (mut out, mut filled) = (Vec::new(), 0);
    loop {
        // The decoder stops at every clear code, so most of its calls do not fill the buffer.
        if filled == out.len() {
            // One byte beyond the limit is requested, to find out whether there is more.
            let room = STEP.max(filled).min(limit.saturating_add(1) - filled);
            out.resize(filled + room, 0);
        }
        let result = decoder.decode_bytes(content, &mut out[filled..]);
        filled += result.consumed_out;
        content = &content[result.consumed_in..];
        if filled > limit {
            return Err(Refusal::TooLarge);
        }
        match result.status {
            Ok(LzwStatus::Done) => {
                out.truncate(filled);
                return Ok(out);
            }
            Ok(LzwStatus::Ok) => {}
            // All input is used, but it had no end code.
            Ok(LzwStatus::NoProgress) | Err(_) => return Err(Refusal::Inflate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: u16 = 256;

    /// Bits written one after the other, least significant bit of each byte first.
    #[derive(Default)]
    struct Bits {
        bytes: Vec<u8>,
        pending: u32,
        pending_bits: usize,
    }

    impl Bits {
        /// Appends the low `width` bits of `code`.
        fn push(&mut self, code: u16, width: usize) {
            self.pending |= u32::from(code) << self.pending_bits;
            self.pending_bits += width;
            while self.pending_bits >= 8 {
                self.bytes.push(self.pending as u8);
                self.pending >>= 8;
                self.pending_bits -= 8;
            }
        }

        /// Returns the bytes, the last one padded with zeros.
        fn finish(mut self) -> Vec<u8> {
            self.push(0, 7);
            self.bytes
        }
    }

    #[test]
    fn compressed_bytes_expand_to_the_original() {
        for length in [0, 1, 2, 255, 3837, 3838, 3839, 3840, 50_000] {
            let mut state = 1_u32;
            let plain: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            assert_eq!(
                inflate(&deflate(&plain), length),
                Ok(plain),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn output_is_bounded_to_the_byte() {
        let bomb = deflate(&vec![0; 1_000_000]);
        assert!(bomb.len() < 3_000);
        assert_eq!(inflate(&bomb, 999_999), Err(Refusal::TooLarge));
        assert_eq!(
            inflate(&bomb, 1_000_000).map(|plain| plain.len()),
            Ok(1_000_000)
        );
    }

    #[test]
    fn a_stream_without_leading_clear_code_is_read() {
        let mut bits = Bits::default();
        for code in [b'a', b'b', b'c'] {
            bits.push(code.into(), 9);
        }
        bits.push(CLEAR + 1, 9);
        assert_eq!(inflate(&bits.finish(), 10), Ok(b"abc".to_vec()));
    }

    #[test]
    fn a_full_table_without_clear_code_stays_as_it_is() {
        // A writer may go on with twelve-bit codes after the table is full.
        let plain: Vec<u8> = (0..6_000_u32).map(|i| (i * i / 7) as u8).collect();
        let mut bits = Bits::default();
        bits.push(CLEAR, 9);
        for (sent, byte) in plain.iter().enumerate() {
            bits.push(
                (*byte).into(),
                match sent {
                    0..255 => 9,
                    255..767 => 10,
                    767..1791 => 11,
                    1791.. => 12,
                },
            );
        }
        bits.push(CLEAR + 1, 12);
        assert_eq!(inflate(&bits.finish(), 6_000), Ok(plain));
    }

    #[test]
    fn a_kept_result_is_used_for_the_same_input_only() {
        let mut cache = CompressCache::default();
        let mut state = vec![b'x'; 2 * CompressCache::KEPT_LEN];
        for changed in [false, false, true, true] {
            if changed {
                state[7] += 1;
            }
            for plain in [&state[..], b"a short message"] {
                let mut message = Vec::new();
                cache.put_compressed(&mut message, &|take| {
                    plain.chunks(1000).for_each(&mut *take)
                });
                assert_eq!(expand(&message, state.len()), Ok(plain.to_vec()));
            }
        }
    }

    #[test]
    fn streams_that_are_cut_or_wrong_are_refused() {
        let good = deflate(b"some words, some words, some words");
        for end in 0..good.len() - 1 {
            assert_eq!(
                inflate(&good[..end], 100),
                Err(Refusal::Inflate),
                "cut at {end}"
            );
        }
        assert_eq!(inflate(&[0xff; 20], 100), Err(Refusal::Inflate));
    }

    #[test]
    fn bodies_are_checked_before_they_are_expanded() {
        let mut message = Vec::new();
        put_compressed(&mut message, b"words");
        assert_eq!(expand(&message, 5), Ok(b"words".to_vec()));
        assert_eq!(expand(&message, 4), Err(Refusal::TooLarge));
        let mut nothing = Vec::new();
        put_compressed(&mut nothing, b"");
        assert_eq!(expand(&nothing, 5), Err(Refusal::Inflate));
        let mut other = message.clone();
        let place = 1 + message.iter().position(|b| *b == b'o').unwrap();
        other[place] = 1;
        assert_eq!(expand(&other, 5), Err(Refusal::UnknownCompression));
    }
}
