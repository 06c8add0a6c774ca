//! What is remembered across a reload or a restart: the slots, and whom to ask for the cluster.
//!
//! The file is opened before HAProxy changes root and user, and can only be rewritten in place
//! afterwards, not replaced. So it holds two records that are written in turns, each with a number
//! and a checksum: a write that is cut short leaves the other. Lines of a record:
//!
//! ```text
//! frozen
//! server POOL SLOT MODE WEIGHT ADDRESS NAME
//! peer ADDRESS
//! ```

use crate::balance::{Mode, Order};
#[cfg(doc)]
use crate::controller::Pool;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::sync::Arc;

/// Room for one record.
const HALF: usize = 256 * 1024;
/// Larger files are none of ours.
const FILE_LEN: u64 = 4 * HALF as u64;
const MAGIC: &[u8; 8] = b"sprat-2\n";
const HEAD: usize = MAGIC.len() + 8 + 4 + 4;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// An operator wants nobody to be taken away.
    pub frozen: bool,
    /// A pool as [`Pool::key`] names it, and what one of its slots was.
    pub servers: Vec<(Arc<str>, Order)>,
    /// Where members listened for the cluster.
    pub peers: Vec<SocketAddr>,
}

impl Snapshot {
    /// As text. What does not fit into a record is left out, peers first.
    fn text(&self) -> String {
        let mut text = String::new();
        if self.frozen {
            text.push_str("frozen\n");
        }
        for (pool, order) in &self.servers {
            if let (Some(name), Some(addr)) = (&order.name, order.addr) {
                let (slot, mode, weight) = (order.slot, mode_name(order.mode), order.weight);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "server {pool} {slot} {mode} {weight} {addr} {name}");
            }
        }
        for peer in &self.peers {
            let _ = writeln!(text, "peer {peer}");
        }
        let room = HALF - HEAD;
        if text.len() > room {
            let cut = text.as_bytes()[..room].iter().rposition(|c| *c == b'\n');
            text.truncate(cut.map_or(0, |end| end + 1));
        }
        text
    }

    /// From text; lines that are none are left out.
    fn parse(text: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for line in text.lines() {
            snapshot.frozen |= line == "frozen";
            match line.split_once(' ') {
                Some(("server", rest)) => snapshot.servers.extend(server(rest)),
                Some(("peer", addr)) => snapshot.peers.extend(addr.parse::<SocketAddr>()),
                Some(_) | None => {}
            }
        }
        snapshot
    }
}

fn server(line: &str) -> Option<(Arc<str>, Order)> {
    let mut words = line.splitn(6, ' ');
    let pool = words.next()?.into();
    let slot = words.next()?.parse().ok()?;
    let mode = [Mode::Ready, Mode::Drain, Mode::Maintenance];
    let word = words.next()?;
    let mode = mode.into_iter().find(|mode| mode_name(*mode) == word)?;
    let weight = words.next()?.parse().ok()?;
    let addr = words.next()?.parse().ok()?;
    let name = words.next()?;
    let order = Order {
        slot,
        name: Some(name.into()),
        addr: Some(addr),
        weight,
        mode,
    };
    Some((pool, order))
}

/// A mode in a word, here and for HAProxy.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Ready => "ready",
        Mode::Drain => "drain",
        Mode::Maintenance => "maint",
    }
}

/// The file.
#[derive(Debug)]
pub struct Store {
    file: File,
    /// Number of the last record.
    number: u64,
    /// What was written last.
    written: String,
}

impl Store {
    /// Opens the file, or makes it, and reads what it holds. A broken snapshot counts as empty.
    ///
    /// # Errors
    /// What the system refuses; `InvalidInput` if it is no regular file, or holds something else:
    /// that would be overwritten.
    pub fn open(path: &str) -> io::Result<(Store, Snapshot)> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600); // it tells where everybody is
        let file = options.open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no regular file",
            ));
        }
        if !is_ours(&file, meta.len()) {
            let text = "it holds something that is no snapshot";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut best: Option<(u64, String)> = None;
        for half in 0..2 {
            if meta.len() <= FILE_LEN
                && let Some(record) = read(&file, half)
                && best.as_ref().is_none_or(|(number, _)| record.0 > *number)
            {
                best = Some(record);
            }
        }
        let (number, written) = best.unwrap_or_default();
        let snapshot = Snapshot::parse(&written);
        let store = Store {
            file,
            number,
            written,
        };
        Ok((store, snapshot))
    }

    /// Writes a snapshot, unless it is what was written last.
    ///
    /// # Errors
    /// What the system refuses: the record before stays.
    pub fn write(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let text = snapshot.text();
        if text == self.written {
            return Ok(());
        }
        // Our former life may have written after we had read.
        let heads = (0..2).filter_map(|half| read(&self.file, half));
        let last = heads.map(|(number, _)| number).max().unwrap_or(0);
        self.number = self.number.max(last).wrapping_add(1);
        let mut record = Vec::with_capacity(HEAD + text.len());
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&self.number.to_le_bytes());
        record.extend_from_slice(&(text.len() as u32).to_le_bytes());
        record.extend_from_slice(&checksum(self.number, text.as_bytes()).to_le_bytes());
        record.extend_from_slice(text.as_bytes());
        self.file
            .write_all_at(&record, self.number % 2 * HALF as u64)?;
        self.written = text;
        Ok(())
    }
}

/// Whether a file of this length is empty, or looks as if it was written here.
fn is_ours(file: &File, len: u64) -> bool {
    let mut head = [0; MAGIC.len()];
    let starts = |half: u64, head: &mut [u8]| file.read_exact_at(head, half * HALF as u64).is_ok();
    len == 0
        || (0..2).any(|half| {
            starts(half, &mut head) && (head.starts_with(b"sprat-") || head == [0; MAGIC.len()])
        })
}

fn checksum(number: u64, text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(text);
    hasher.finalize()
}

/// A record, if it is whole.
fn read(file: &File, half: u64) -> Option<(u64, String)> {
    let at = half * HALF as u64;
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, at).ok()?;
    let (magic, rest) = head.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (len, sum) = rest.split_first_chunk::<4>()?;
    let (number, len) = (
        u64::from_le_bytes(*number),
        u32::from_le_bytes(*len) as usize,
    );
    if magic != MAGIC || len > HALF - HEAD {
        return None;
    }
    let mut text = vec![0; len];
    file.read_exact_at(&mut text, at + HEAD as u64).ok()?;
    let whole = sum == checksum(number, &text).to_le_bytes();
    whole
        .then(|| String::from_utf8(text).ok())
        .flatten()
        .map(|text| (number, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is removed at the end of its test.
    struct Temporary(String);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let name = format!("sprat-snapshot-{}-{name}", std::process::id());
            Temporary(std::env::temp_dir().join(name).to_str().unwrap().to_owned())
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn snapshot(n: usize) -> Snapshot {
        let addr = |n: usize| SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 80));
        let server = |slot| Order {
            slot,
            name: Some(format!("web-{slot}").into()),
            addr: Some(addr(slot)),
            weight: 100,
            mode: [Mode::Ready, Mode::Drain, Mode::Maintenance][slot % 3],
        };
        Snapshot {
            frozen: n % 2 == 1,
            servers: (0..n)
                .map(|slot| (["a:role=x", "b:role=x"][slot % 2].into(), server(slot)))
                .collect(),
            peers: (0..n).map(addr).collect(),
        }
    }

    #[test]
    fn what_was_written_last_is_read_and_a_torn_write_leaves_what_was_before() {
        let path = Temporary::new("torn");
        let (mut store, empty) = Store::open(&path.0).unwrap();
        assert_eq!(empty, Snapshot::default());
        for n in [1, 2, 3] {
            store.write(&snapshot(n)).unwrap();
        }
        assert_eq!(Store::open(&path.0).unwrap().1, snapshot(3));
        let file = File::options().write(true).open(&path.0).unwrap();
        file.write_all_at(b"x", HALF as u64 + HEAD as u64 + 3)
            .unwrap(); // records 1, 3, ...
        let (mut store, before) = Store::open(&path.0).unwrap();
        assert_eq!(before, snapshot(2));
        store.write(&snapshot(5)).unwrap();
        assert_eq!(Store::open(&path.0).unwrap().1, snapshot(5));
    }

    #[test]
    fn a_broken_snapshot_counts_as_empty_and_is_replaced_and_another_file_is_refused() {
        for (name, bytes) in [
            ("zeros", &[0; 2 * HALF][..]),
            ("torn", b"sprat-2\nxxx"),
            ("none", b""),
        ] {
            let path = Temporary::new(name);
            std::fs::write(&path.0, bytes).unwrap();
            let (mut store, found) = Store::open(&path.0).unwrap();
            assert_eq!(found, Snapshot::default(), "{name}");
            store.write(&snapshot(2)).unwrap();
            assert_eq!(Store::open(&path.0).unwrap().1, snapshot(2));
        }
        let path = Temporary::new("huge");
        File::create(&path.0).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(Store::open(&path.0).unwrap().1, Snapshot::default());
        for text in ["hello", "global\n    daemon\n"] {
            let path = Temporary::new("foreign");
            std::fs::write(&path.0, text).unwrap();
            let why = Store::open(&path.0).unwrap_err().to_string();
            assert_eq!(why, "it holds something that is no snapshot");
            assert_eq!(std::fs::read_to_string(&path.0).unwrap(), text);
        }
        assert!(Store::open("/").is_err() && Store::open("/dev/null").is_err());
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        let text = "server 0 1 ready 5 10.0.0.1:80 a\nserver 0 x ready 5 10.0.0.1:80 b\nserver\n\
                    peer nowhere\npeer 10.0.0.1:1\nserver 0 2 gone 5 10.0.0.1:80 c\nnonsense\n";
        let found = Snapshot::parse(text);
        assert_eq!((found.servers.len(), found.peers.len()), (1, 1));
    }

    #[test]
    fn a_snapshot_that_does_not_fit_loses_its_peers_first() {
        let path = Temporary::new("large");
        let (mut store, _) = Store::open(&path.0).unwrap();
        store.write(&snapshot(4_500)).unwrap();
        let found = Store::open(&path.0).unwrap().1;
        assert_eq!(found.servers.len(), 4_500);
        assert!(found.peers.len() < 4_500);
    }
}
