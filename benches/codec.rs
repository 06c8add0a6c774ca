//! Times the codec: encoding and decoding, compression, encryption, whole datagrams.
//!
//! The bench prints the nanoseconds of one operation: the minimum and the median of many batches.
//! The minimum is the cost of the code; its distance to the median shows how busy the machine was.
//! The column `bytes` is the length of the encoded message or datagram; for LZW compression, it is
//! the length of the input.

use sprat::wire::codec::{Codec, Key, Keyring};
use sprat::wire::message::{Alive, Message};
use sprat::wire::{lzw, packet};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The number of batches per row.
const BATCHES: usize = 41;
/// The approximate time of a batch.
const BATCH: Duration = Duration::from_millis(10);

/// Measures `work` and prints a row for it.
fn time(what: &str, bytes: usize, mut work: impl FnMut()) {
    // The first batch warms up, and shows how many calls fill a batch.
    let began = Instant::now();
    let mut calls_per_batch = 0_u32;
    while began.elapsed() < BATCH {
        work();
        calls_per_batch += 1;
    }
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let began = Instant::now();
            (0..calls_per_batch).for_each(|_| work());
            began.elapsed().as_nanos() as f64 / f64::from(calls_per_batch)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    println!(
        "{what:<44} {bytes:>6} {:>10.1} {:>10.1}",
        batches[0],
        batches[BATCHES / 2]
    );
}

/// Calls `work` with an alive message.
fn with_alive(name: &str, meta: &[u8], work: impl FnOnce(&Message<'_>)) {
    let vsn = [1, 5, 2, 2, 5, 5];
    let addr = [127, 0, 0, 1];
    let alive = Alive {
        incarnation: 7,
        node: name,
        addr: &addr,
        port: 7946,
        meta: Some(meta),
        vsn: &vsn,
    };
    work(&Message::Alive(alive));
}

fn encoded(name: &str, meta: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    with_alive(name, meta, |message| message.encode(&mut bytes));
    bytes
}

/// Makes a codec that encrypts with a key of this length, if a length is given.
fn codec(key_len: Option<usize>, compress: bool) -> Codec {
    let key = key_len.map(|len| {
        let bytes: Vec<u8> = (0..len as u8).collect();
        Key::new(&bytes).expect("16, 24 and 32 are the lengths of keys")
    });
    Codec {
        keyring: Keyring::new(key.into_iter().collect()),
        compress,
        verify_incoming: true,
        verify_outgoing: true,
        ..Codec::default()
    }
}

/// Opens a datagram and decodes every message inside, as a receiving node does.
fn receive(codec: &Codec, datagram: &[u8]) -> usize {
    let opened = packet::open(codec, datagram).expect("it was sealed by the same codec");
    let mut count = 0;
    packet::walk(opened.as_bytes(), &mut |part| {
        let part = part.expect("it was packed whole");
        black_box(Message::decode(part).expect("it was encoded whole"));
        count += 1;
    });
    count
}

fn main() {
    println!(
        "{:<44} {:>6} {:>10} {:>10}",
        "operation", "bytes", "min ns", "median ns"
    );
    let meta = b"\xff\x82\xa4role\xa3web\xa2dc\xa6europe";
    let one = encoded("web-0001", meta);
    let mut buffer = Vec::with_capacity(256);
    with_alive("web-0001", meta, |message| {
        time("encode alive", one.len(), || {
            buffer.clear();
            black_box(message).encode(&mut buffer);
        });
    });
    time("decode alive", one.len(), || {
        black_box(Message::decode(black_box(&one)).expect("it was just encoded"));
    });

    let thirteen: Vec<Vec<u8>> = (0..13)
        .map(|i| encoded(&format!("web-{i:04}"), meta))
        .collect();
    let parts: Vec<&[u8]> = thirteen.iter().map(Vec::as_slice).collect();
    let mut plain = Vec::new();
    packet::compound(&parts, &mut plain);
    let mut compressed = Vec::new();
    lzw::put_compressed(&mut compressed, &plain);
    time("LZW compress 13 alive", plain.len(), || {
        black_box(lzw::deflate(black_box(&plain)));
    });
    time("LZW expand 13 alive", compressed.len(), || {
        black_box(lzw::expand(black_box(&compressed), plain.len()).expect("it was just made"));
    });

    for (what, key, compress) in [
        ("plain, checksum", None, false),
        ("compressed, checksum", None, true),
        ("AES-128", Some(16), false),
        ("AES-192", Some(24), false),
        ("AES-256", Some(32), false),
        ("AES-256, compressed", Some(32), true),
    ] {
        let codec = codec(key, compress);
        let sealed = packet::seal(&codec, &plain, true, [7; 12]);
        assert_eq!(receive(&codec, &sealed), 13, "{what}");
        time(
            &format!("seal a datagram of 13 alive, {what}"),
            sealed.len(),
            || {
                black_box(packet::seal(&codec, black_box(&plain), true, [7; 12]));
            },
        );
        time(
            &format!("receive a datagram of 13 alive, {what}"),
            sealed.len(),
            || {
                black_box(receive(&codec, black_box(&sealed)));
            },
        );
    }
}
