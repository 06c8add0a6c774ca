//! The snapshot: assignments and peers that outlive a reload or a restart.
//!
//! HAProxy opens the file before it changes root and user. Afterwards the file can only be
//! rewritten in place, not replaced. It therefore holds two records, which are written in turn,
//! each with a number and a checksum: a write that is cut short leaves the other record intact.
//!
//! During a reload, two processes have the file open. The upper half of a record's number is its
//! generation. A process that has the port of the node claims the file, which begins a generation,
//! and a process that has claimed the file writes no more once it finds a later generation. The
//! record of a process that is ending can therefore not replace that of its successor. The lines of
//! a record:
//!
//! ```text
//! frozen
//! order BACKEND TAG STATE NAME
//! server BACKEND TAG SERVER STATE WEIGHT ADDRESS NAME
//! peer ADDRESS
//! ```

use crate::backend::BackendKey;
use crate::balance::AdminState;
use crate::lasting_file::LastingFile;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The space for one record, in bytes.
const RECORD_LEN: usize = 256 * 1024;
/// The maximum length of a file, in bytes.
const FILE_LEN: u64 = 2 * RECORD_LEN as u64;
/// The first bytes of a record.
const MAGIC: &[u8; 8] = b"sprat-3\n";
const HEAD_LEN: usize = MAGIC.len() + 8 + 4 + 4;

/// The contents of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// True if an operator has frozen removals.
    pub frozen: bool,
    /// The orders of an operator for members of all backends.
    pub orders: Vec<SavedOrder>,
    /// The servers of all backends.
    pub servers: Vec<SavedServer>,
    /// The addresses at which members listen for the cluster.
    pub peers: Vec<SocketAddr>,
}

/// An order of an operator in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedOrder {
    /// The backend.
    pub backend: BackendKey,
    /// The state that is ordered.
    pub state: AdminState,
    /// The name of the member.
    pub name: Arc<str>,
}

/// The server of a member in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedServer {
    /// The backend.
    pub backend: BackendKey,
    /// The name of the server in HAProxy's configuration.
    pub server: Arc<str>,
    /// Its administrative state.
    pub state: AdminState,
    /// Its weight.
    pub weight: u16,
    /// Its address.
    pub addr: SocketAddr,
    /// The name of the member.
    pub name: Arc<str>,
}

impl Snapshot {
    /// Returns the lines of a record, and the number of lines that do not fit. These are left out,
    /// peers first.
    fn text(&self) -> (String, usize) {
        let mut text = String::new();
        if self.frozen {
            text.push_str("frozen\n");
        }
        // Writing to a string cannot fail.
        for SavedOrder {
            backend,
            state,
            name,
        } in &self.orders
        {
            let (of, tag, state) = (&backend.name, &backend.tag, state.name());
            let _ = writeln!(text, "order {of} {tag} {state} {name}");
        }
        for it in &self.servers {
            let BackendKey { name, tag } = &it.backend;
            let (server, state, weight) = (&it.server, it.state.name(), it.weight);
            let _ = writeln!(
                text,
                "server {name} {tag} {server} {state} {weight} {} {}",
                it.addr, it.name
            );
        }
        for peer in &self.peers {
            let _ = writeln!(text, "peer {peer}");
        }
        let room = RECORD_LEN - HEAD_LEN;
        if text.len() <= room {
            return (text, 0);
        }
        let cut = text.as_bytes()[..room].iter().rposition(|c| *c == b'\n');
        let rest = text.split_off(cut.map_or(0, |end| end + 1));
        (text, rest.lines().count())
    }

    /// Reads the lines of a record. Lines that cannot be read are left out.
    fn parse(text: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for line in text.split_terminator('\n') {
            snapshot.frozen |= line == "frozen";
            match line.split_once(' ') {
                Some(("order", rest)) => snapshot.orders.extend(parse_order(rest)),
                Some(("server", rest)) => snapshot.servers.extend(parse_server(rest)),
                Some(("peer", addr)) => snapshot.peers.extend(addr.parse::<SocketAddr>()),
                Some(_) | None => {}
            }
        }
        snapshot
    }
}

fn parse_order(line: &str) -> Option<SavedOrder> {
    let mut words = line.splitn(4, ' ');
    Some(SavedOrder {
        backend: parse_key(&mut words)?,
        state: AdminState::from_name(words.next()?)?,
        name: words.next()?.into(),
    })
}

fn parse_key<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<BackendKey> {
    Some(BackendKey {
        name: words.next()?.into(),
        tag: words.next()?.into(),
    })
}

fn parse_server(line: &str) -> Option<SavedServer> {
    let mut words = line.splitn(7, ' ');
    Some(SavedServer {
        backend: parse_key(&mut words)?,
        server: words.next()?.into(),
        state: AdminState::from_name(words.next()?)?,
        weight: words.next()?.parse().ok()?,
        addr: words.next()?.parse().ok()?,
        name: words.next()?.into(),
    })
}

/// A record in the file.
#[derive(Debug)]
struct Record {
    /// Its number, which is greater than that of every older record.
    number: u64,
    /// Its place: the first or the second half of the file.
    half: u64,
    /// Its lines.
    text: String,
}

/// The open file of a snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    file: LastingFile,
    /// The number of the record that this process has read or written last; 0 if there was none.
    known: u64,
    /// The generation that this process has begun; `None` until it claims the file.
    claimed: Option<u64>,
    /// True if the file held records when it was opened, but none of them could be read.
    is_damaged: bool,
}

impl SnapshotFile {
    /// Opens the file, or creates it, and reads its newest intact record. Without one, the snapshot
    /// is empty.
    ///
    /// # Errors
    /// The error of the system; `InvalidInput` if the path is a symbolic link or not a regular
    /// file, if another user (except root) owns the file or can write it, or if the file holds
    /// something other than a snapshot, which would be overwritten.
    pub fn open(path: &str) -> io::Result<(SnapshotFile, Snapshot)> {
        let file = LastingFile::open(path)?;
        let content = content(file.get()?)?;
        if content == Content::Foreign {
            let why = "it holds something other than a snapshot";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let newest = newest_record(file.get()?);
        let is_damaged = content == Content::Records && newest.is_none();
        let known = newest.as_ref().map_or(0, |it| it.number);
        let snapshot = newest.map_or_else(Snapshot::default, |it| Snapshot::parse(&it.text));
        let claimed = None;
        Ok((
            SnapshotFile {
                file,
                known,
                claimed,
                is_damaged,
            },
            snapshot,
        ))
    }

    /// Returns true if the file held records when it was opened, but none of them could be read:
    /// they are damaged, or another version of the program has written them.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Returns the newest snapshot if another process has written it since this process last read
    /// or wrote the file.
    pub fn read_newer(&mut self) -> Option<Snapshot> {
        let newest = newest_record(self.file.get().ok()?)?;
        if self.known == newest.number {
            return None;
        }
        self.known = newest.number;
        Some(Snapshot::parse(&newest.text))
    }

    /// Begins a generation: the processes that had the file before write no more once this process
    /// has written.
    pub fn claim(&mut self) {
        let newest = self.file.get().ok().and_then(newest_record);
        let last = newest.map_or(0, |it| it.number);
        self.claimed = Some(generation(last).wrapping_add(1));
    }

    /// Writes a snapshot. Does nothing if this process has claimed the file and another process has
    /// claimed it since. Also does nothing if the snapshot equals the newest record, unless this
    /// process does not know that record yet, or has claimed the file after it was written. Returns
    /// the number of lines for which a record has no room.
    ///
    /// # Errors
    /// The error of the system, or this process has closed the descriptor; the previous record
    /// stays.
    pub fn write(&mut self, snapshot: &Snapshot) -> io::Result<usize> {
        let (text, left_out) = snapshot.text();
        let file = self.file.get()?;
        let newest = newest_record(file);
        let last = newest.as_ref().map_or(0, |it| it.number);
        let first = self.claimed.unwrap_or_default() << GENERATION_SHIFT;
        let is_superseded = self.claimed.is_some_and(|own| own < generation(last));
        let is_own = last == self.known && last >= first;
        if is_superseded || (is_own && newest.as_ref().is_some_and(|it| it.text == text)) {
            return Ok(left_out);
        }
        let half = newest.map_or(1, |it| 1 - it.half);
        let number = first.max(last).wrapping_add(1);
        let mut record = Vec::with_capacity(HEAD_LEN + text.len());
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&number.to_le_bytes());
        record.extend_from_slice(&(text.len() as u32).to_le_bytes());
        record.extend_from_slice(&checksum(number, text.as_bytes()).to_le_bytes());
        record.extend_from_slice(text.as_bytes());
        file.write_all_at(&record, half * RECORD_LEN as u64)?;
        self.known = number;
        Ok(left_out)
    }
}

/// The generation of a process is its records' numbers shifted right by this many bits.
const GENERATION_SHIFT: u32 = 32;

/// Returns the generation of the process that wrote the record with this number.
fn generation(number: u64) -> u64 {
    number >> GENERATION_SHIFT
}

/// The kinds of content that a file may have.
#[derive(PartialEq, Eq)]
enum Content {
    /// Nothing, or only zeros: the first record never reached the disk.
    Nothing,
    /// At least one half begins like a record.
    Records,
    /// Something else, which must not be overwritten.
    Foreign,
}

fn content(file: &File) -> io::Result<Content> {
    let len = file.metadata()?.len();
    if len > FILE_LEN {
        return Ok(Content::Foreign);
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Content::Nothing);
    }
    let is_snapshot = bytes.chunks(RECORD_LEN).any(begins_like_a_record);
    Ok(if is_snapshot {
        Content::Records
    } else {
        Content::Foreign
    })
}

/// Returns true if the bytes begin like a record, of this version of the format or of another one.
fn begins_like_a_record(bytes: &[u8]) -> bool {
    let name = MAGIC.len() - 2;
    let Some((head, version)) = bytes.get(..MAGIC.len()).map(|it| it.split_at(name)) else {
        return false;
    };
    head == &MAGIC[..name] && version[0].is_ascii_digit() && version[1] == b'\n'
}

fn checksum(number: u64, text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(text);
    hasher.finalize()
}

/// Returns the newest record; `None` if no record is intact.
fn newest_record(file: &File) -> Option<Record> {
    let records = (0..2).filter_map(|half| read_record(file, half));
    records.max_by_key(|it| it.number)
}

/// Reads a record; `None` if it is missing or damaged.
fn read_record(file: &File, half: u64) -> Option<Record> {
    let at = half * RECORD_LEN as u64;
    let mut head = [0; HEAD_LEN];
    file.read_exact_at(&mut head, at).ok()?;
    let (magic, rest) = head.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (len, sum) = rest.split_first_chunk::<4>()?;
    let (number, len) = (
        u64::from_le_bytes(*number),
        u32::from_le_bytes(*len) as usize,
    );
    if magic != MAGIC || len > RECORD_LEN - HEAD_LEN {
        return None;
    }
    let mut text = vec![0; len];
    file.read_exact_at(&mut text, at + HEAD_LEN as u64).ok()?;
    let whole = sum == checksum(number, &text).to_le_bytes();
    let text = String::from_utf8(text).ok().filter(|_| whole)?;
    Some(Record { number, half, text })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random::Random;
    use crate::trusted_file;
    use sprat::driver::check_owner;
    use std::fs::Permissions;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A path whose file is removed at the end of the test.
    pub(crate) struct Temporary(pub(crate) String);

    impl Temporary {
        pub(crate) fn new(name: &str) -> Temporary {
            /// Tests run at the same time, and two may choose the same name.
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("sprat-snapshot-{}-{number}-{name}", std::process::id());
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
        let server = |n: usize| SavedServer {
            backend: BackendKey::new(["a", "b"][n % 2], "role", "x y"),
            server: format!("app{n}").into(),
            name: format!("web-{n}").into(),
            addr: addr(n),
            weight: 100,
            state: [AdminState::Ready, AdminState::Drain, AdminState::Maint][n % 3],
        };
        Snapshot {
            frozen: n % 2 == 1,
            orders: vec![SavedOrder {
                backend: BackendKey::new("a", "role", "x y"),
                state: AdminState::Drain,
                name: "web-1".into(),
            }],
            servers: (0..n).map(server).collect(),
            peers: (0..n).map(addr).collect(),
        }
    }

    #[test]
    fn the_last_snapshot_is_read_and_a_torn_write_leaves_the_one_before() {
        let path = Temporary::new("torn");
        let (mut file, empty) = SnapshotFile::open(&path.0).unwrap();
        assert_eq!(empty, Snapshot::default());
        for n in [1, 2, 3] {
            file.write(&snapshot(n)).unwrap();
        }
        assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(3));
        let file = File::options().write(true).open(&path.0).unwrap();
        file.write_all_at(b"x", RECORD_LEN as u64 + HEAD_LEN as u64 + 3)
            .unwrap(); // the second half holds the records 1, 3, ...
        let (mut file, before) = SnapshotFile::open(&path.0).unwrap();
        assert_eq!(before, snapshot(2));
        file.write(&snapshot(5)).unwrap();
        assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(5));
    }

    #[test]
    fn a_damaged_snapshot_counts_as_empty_and_another_file_is_refused() {
        for (name, bytes) in [
            ("zeros", &[0; 2 * RECORD_LEN][..]),
            ("torn", b"sprat-3\nxxx"),
            ("none", b""),
        ] {
            let path = Temporary::new(name);
            std::fs::write(&path.0, bytes).unwrap();
            let (mut file, found) = SnapshotFile::open(&path.0).unwrap();
            assert_eq!(found, Snapshot::default(), "{name}");
            assert_eq!(file.is_damaged(), name == "torn");
            file.write(&snapshot(2)).unwrap();
            assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(2));
        }
        // A disk image begins with zeros, and may have more of them anywhere.
        let mut image = vec![0; RECORD_LEN + 4096];
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut long = vec![0; 2 * RECORD_LEN + 1];
        long[..MAGIC.len()].copy_from_slice(MAGIC);
        for bytes in [
            &b"hello"[..],
            b"global\n    daemon\n",
            b"sprat-hap.service\n",
            b"\0\0\0\0\0\0\0\0hello",
            &image,
            &long,
            &vec![0; 2 * RECORD_LEN + 1],
        ] {
            let path = Temporary::new("foreign");
            std::fs::write(&path.0, bytes).unwrap();
            let why = SnapshotFile::open(&path.0).unwrap_err().to_string();
            assert_eq!(why, "it holds something other than a snapshot");
            assert_eq!(std::fs::read(&path.0).unwrap(), bytes);
        }
        assert!(SnapshotFile::open("/").is_err() && SnapshotFile::open("/dev/null").is_err());
    }

    #[test]
    fn a_record_that_the_old_process_writes_late_does_not_outlive_that_of_its_successor() {
        let path = Temporary::new("late");
        let (mut old, _) = SnapshotFile::open(&path.0).unwrap();
        old.claim();
        old.write(&snapshot(1)).unwrap();
        let (mut new, read) = SnapshotFile::open(&path.0).unwrap();
        assert_eq!((read, new.read_newer()), (snapshot(1), None));
        old.write(&snapshot(2)).unwrap();
        assert_eq!(new.read_newer(), Some(snapshot(2)));
        assert_eq!(new.read_newer(), None);
        new.claim();
        new.write(&snapshot(1)).unwrap();
        assert_eq!(
            SnapshotFile::open(&path.0).unwrap().1,
            snapshot(1),
            "the successor writes even if its snapshot is the one that it has read"
        );
        for n in [3, 4] {
            old.write(&snapshot(n)).unwrap();
            assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(1), "{n}");
        }
        assert_eq!(new.read_newer(), None);
    }

    /// A process that only waits for the port ends while the one that has it goes on.
    #[test]
    fn a_process_that_has_not_claimed_the_file_does_not_keep_its_owner_from_writing() {
        let path = Temporary::new("waiting");
        let (mut owner, _) = SnapshotFile::open(&path.0).unwrap();
        owner.claim();
        owner.write(&snapshot(1)).unwrap();
        let (mut waiting, _) = SnapshotFile::open(&path.0).unwrap();
        waiting.write(&snapshot(2)).unwrap();
        assert_eq!(owner.read_newer(), Some(snapshot(2)));
        for n in [3, 4] {
            owner.write(&snapshot(n)).unwrap();
            assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(n));
        }
    }

    #[test]
    fn a_file_that_has_taken_the_number_of_the_snapshot_is_left_alone() {
        let (path, other) = (Temporary::new("number"), Temporary::new("foreign"));
        let (mut file, _) = SnapshotFile::open(&path.0).unwrap();
        file.write(&snapshot(1)).unwrap();
        let foreign = File::create(&other.0).unwrap();
        let number = file.file.get().unwrap().as_raw_fd();
        assert!(number > 2);
        // SAFETY: both descriptors are open, and nothing else uses the second one.
        assert_eq!(unsafe { libc::dup2(foreign.as_raw_fd(), number) }, number);
        let why = file.write(&snapshot(2)).unwrap_err().to_string();
        assert_eq!(why, "this process has closed its descriptor");
        assert_eq!(file.read_newer(), None);
        file.claim();
        drop(file);
        // SAFETY: the descriptor is open, because the snapshot has not closed it.
        assert_eq!(unsafe { libc::close(number) }, 0);
        assert_eq!(std::fs::read(&other.0).unwrap(), b"");
        assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(1));
    }

    #[test]
    fn an_equal_snapshot_is_written_once() {
        let path = Temporary::new("once");
        let (mut file, _) = SnapshotFile::open(&path.0).unwrap();
        file.claim();
        for n in [1, 1, 2, 2] {
            file.write(&snapshot(n)).unwrap();
        }
        assert_eq!(file.known, (1 << GENERATION_SHIFT) + 2);
    }

    #[test]
    fn lines_that_cannot_be_read_are_left_out() {
        let text = "server n k=v a1 ready 5 10.0.0.1:80 a\nserver n k=v a2 ready x 10.0.0.1:80 b\n\
                    server\npeer nowhere\npeer 10.0.0.1:1\nserver n k=v a3 gone 5 10.0.0.1:80 c\n\
                    nonsense\n";
        let found = Snapshot::parse(text);
        assert_eq!((found.servers.len(), found.peers.len()), (1, 1));
    }

    #[test]
    fn a_file_with_any_damage_is_refused_and_kept_or_gives_a_snapshot_that_was_written() {
        let path = Temporary::new("damage");
        let mut random = Random(0x5eed);
        for round in 0..300 {
            let _ = std::fs::remove_file(&path.0);
            let (mut file, _) = SnapshotFile::open(&path.0).unwrap();
            let mut written = vec![Snapshot::default()];
            for _ in 0..random.below(4) {
                let next = snapshot(random.below(9));
                file.write(&next).unwrap();
                written.push(next);
            }
            let mut bytes = std::fs::read(&path.0).unwrap();
            for _ in 0..random.below(4) {
                // Most of the file is empty, so damage there would change nothing.
                let half = bytes.len().saturating_sub(1) / RECORD_LEN;
                let at = random.below(half + 1) * RECORD_LEN + random.below(2 * HEAD_LEN);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
            if random.below(3) == 0 {
                bytes.truncate(random.below(bytes.len() + 1));
            }
            std::fs::write(&path.0, &bytes).unwrap();
            match SnapshotFile::open(&path.0) {
                Ok((mut file, found)) => {
                    assert!(written.contains(&found), "round {round}: {found:?}");
                    file.write(&snapshot(7)).unwrap();
                    assert_eq!(SnapshotFile::open(&path.0).unwrap().1, snapshot(7));
                }
                Err(why) => {
                    assert_eq!(why.kind(), io::ErrorKind::InvalidInput);
                    assert_eq!(std::fs::read(&path.0).unwrap(), bytes, "round {round}");
                }
            }
        }
    }

    #[test]
    fn a_snapshot_that_does_not_fit_loses_its_peers_first() {
        let path = Temporary::new("large");
        let (mut file, _) = SnapshotFile::open(&path.0).unwrap();
        for _ in 0..2 {
            let left_out = file.write(&snapshot(4_000)).unwrap();
            let found = SnapshotFile::open(&path.0).unwrap().1;
            assert_eq!(found.servers.len(), 4_000);
            assert!(left_out > 0);
            assert_eq!(found.peers.len(), 4_000 - left_out);
        }
        assert_eq!(file.write(&snapshot(1)).unwrap(), 0);
    }

    #[test]
    fn a_file_that_another_user_could_have_written_is_refused() {
        let path = Temporary::new("owner");
        let (mut file, _) = SnapshotFile::open(&path.0).unwrap();
        file.write(&snapshot(1)).unwrap();
        let link = Temporary::new("link");
        std::os::unix::fs::symlink(&path.0, &link.0).unwrap();
        let why = SnapshotFile::open(&link.0).unwrap_err().to_string();
        assert_eq!(why, "it is a symbolic link");
        let meta = std::fs::metadata(&path.0).unwrap();
        assert!(trusted_file::check(&meta).is_ok());
        if meta.uid() != 0 {
            let why = check_owner(&meta, meta.uid() + 1).unwrap_err().to_string();
            assert!(why.starts_with("it belongs to the user"), "{why}");
        }
        std::fs::set_permissions(&path.0, Permissions::from_mode(0o620)).unwrap();
        let why = SnapshotFile::open(&path.0).unwrap_err().to_string();
        assert_eq!(why, "other users can write it (mode 620); use `chmod 600`");
    }
}
