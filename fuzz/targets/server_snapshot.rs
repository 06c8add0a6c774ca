//! Any file is opened as a snapshot, or refused and left as it is. A snapshot that was opened can
//! be written again, and is then read as it was.
//!
//! The first byte of the input decides what the file holds: the rest of the input as it is, or two
//! records with correct checksums, whose lines are the two parts of the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_haproxy::snapshot::SnapshotFile;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The space for one record, in bytes.
const RECORD_LEN: usize = 256 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let content = match bytes.split_first() {
        Some((0..16, rest)) => rest.to_vec(),
        Some((&first, rest)) => records(first, rest),
        None => Vec::new(),
    };
    let path = format!("/dev/shm/sprat-fuzz-server-snapshot-{}", std::process::id());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).expect("the file can be opened");
    file.write_all(&content).expect("the file can be written");
    match SnapshotFile::open(&path) {
        Ok((mut file, found)) => {
            assert_eq!(file.read_newer(), None);
            file.write(&found).expect("the file can be written");
            let (_, again) = SnapshotFile::open(&path).expect("it is a snapshot");
            assert_eq!(again, found);
        }
        Err(why) => {
            assert_eq!(why.kind(), ErrorKind::InvalidInput);
            assert_eq!(std::fs::read(&path).expect("it exists"), content);
        }
    }
    let _ = std::fs::remove_file(&path);
});

/// A file with two records, numbered 1 and 2. If `first` is odd, the checksum of the newer one is
/// wrong.
fn records(first: u8, lines: &[u8]) -> Vec<u8> {
    let (older, newer) = lines.split_at(lines.len() / 2);
    let mut file = record(1, older, 0);
    file.resize(RECORD_LEN, 0);
    file.extend(record(2, newer, u32::from(first & 1)));
    file
}

fn record(number: u64, lines: &[u8], error: u32) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&number.to_le_bytes());
    sum.update(lines);
    let mut record = b"sprat-3\n".to_vec();
    record.extend(number.to_le_bytes());
    record.extend((lines.len() as u32).to_le_bytes());
    record.extend((sum.finalize() ^ error).to_le_bytes());
    record.extend(lines);
    record
}
