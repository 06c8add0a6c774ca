//! A codec with a key, with or without a label and compression, refuses or opens any datagram or
//! stream. A datagram that was sealed without compression is the same after it is opened. A sealed
//! datagram or stream is refused if one of its bits was changed, except in the version of the
//! encryption, which the protocol does not authenticate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::wire::codec::SEAL_LEN;
use sprat::wire::lzw::CompressCache;
use sprat::wire::message::kind;
use sprat::wire::stream::{self, Side, StreamReader};
use sprat::wire::{Codec, Key, Keyring, packet};

/// The type byte and the length in front of an encrypted message on a stream.
const FRAME_LEN: usize = 5;

fuzz_target!(|bytes: &[u8]| {
    let [choice, place, bit, bytes @ ..] = bytes else {
        return;
    };
    let codec = codec(*choice);
    let _ = packet::open(&codec, bytes);
    let side = if choice & 1 == 0 {
        Side::Accepted
    } else {
        Side::Dialled
    };
    let _ = StreamReader::new(side).push(&codec, bytes);

    let nonce = [*bit; 12];
    let datagram = packet::seal(&codec, bytes, false, nonce);
    // A message cannot begin with the type byte of a checksum header.
    if bytes.first().is_some_and(|first| *first != kind::CHECKSUM) {
        let opened = packet::open(&codec, &datagram).map(|it| it.as_bytes().to_vec());
        let plain = opened.expect("the same codec has sealed it");
        assert!(codec.compress || plain == bytes);
        let header = codec.overhead() - SEAL_LEN;
        if let Some(changed) = flipped(&datagram, *place, *bit, header) {
            assert!(packet::open(&codec, &changed).is_err());
        }
    }
    let cache = &mut CompressCache::default();
    let sealed = stream::seal(&codec, Side::Dialled, &|take| take(bytes), nonce, cache);
    let _ = StreamReader::new(Side::Accepted).push(&codec, &sealed);
    let header = codec.overhead() - SEAL_LEN + FRAME_LEN;
    if let Some(changed) = flipped(&sealed, *place, *bit, header) {
        let read = StreamReader::new(Side::Accepted).push(&codec, &changed);
        assert!(!matches!(read, Ok(Some(_))), "{read:?}");
    }
});

/// Returns a codec with a key of one of the three lengths, with or without a label and compression.
fn codec(choice: u8) -> Codec {
    let length = [16, 24, 32][usize::from(choice >> 4) % 3];
    let key = Key::new(&vec![choice; length]).expect("this is the length of a key");
    let mut codec = Codec {
        keyring: Keyring::new(vec![key]),
        verify_incoming: true,
        verify_outgoing: true,
        compress: choice & 2 != 0,
        ..Codec::default()
    };
    if choice & 4 != 0 {
        codec.label = "blue".into();
    }
    codec
}

/// Returns the bytes with one bit changed; `None` if that bit belongs to the byte at `version`.
fn flipped(bytes: &[u8], place: u8, bit: u8, version: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let place = usize::from(place) % bytes.len();
    bytes[place] ^= 1 << (bit % 8);
    (place != version).then_some(bytes)
}
