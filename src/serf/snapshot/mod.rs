//! The snapshot of this run: the lines that the driver has to write into a file, so that a later
//! run of this node knows its members, its clocks and its incarnation.
//!
//! Changes become lines, which are appended at most every half second. When the file has become
//! long, it is replaced by one that holds only the present state. It is also replaced after an
//! append that failed, because it is unknown which lines it then holds.
//!
//! The line of a failed member is `not-alive`, which is all that a Serf agent reads. A comment
//! after that line keeps the address, so that a node that lost all others before it ended still
//! finds them again.
//! The members of the earlier run stay in the file until they are present, leave, or have been
//! searched for in vain for `reconnect_timeout`.

#[cfg(test)]
mod core_tests;
pub(super) mod reader;
pub(super) mod record;
pub(super) mod resume;

use super::membership::members::ByName;
use crate::time::Time;
use reader::Past;
use record::{Numbers, Record, writable};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_millis(500);
/// The time after a write that failed until the next attempt to replace the file.
const RETRY: Duration = Duration::from_secs(30);
/// The length in bytes up to which a file is never replaced because of its length.
const SHORT: u64 = 128 * 1024;
/// The length in bytes for each member up to which a file is not replaced: twice that of a long
/// line.
const MEMBER_LEN: u64 = 2 * 128;

/// Bytes for the driver to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotWrite {
    /// Whole lines.
    pub bytes: Vec<u8>,
    /// True if the lines replace the file, and false if they are appended to it.
    pub replaces: bool,
    /// True if the lines must be on the disk before the driver goes on.
    pub sync: bool,
}

/// A member that the file holds.
#[derive(Debug)]
struct Entry {
    addr: SocketAddr,
    /// True if the member has failed, or had failed at the end of the earlier run.
    failed: bool,
    /// True if the member is known from the earlier run only.
    former: bool,
}

/// The progress of the line that says that this node has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaveLine {
    NotWanted,
    Wanted,
    Written,
}

/// The snapshot of this run.
#[derive(Debug)]
pub(super) struct Snapshot {
    entries: ByName<Entry>,
    /// The present numbers.
    numbers: Numbers,
    /// The numbers in the file.
    recorded: Numbers,
    /// The lines that are to be appended.
    lines: Vec<u8>,
    leave: LeaveLine,
    /// The length of the file.
    len: u64,
    /// The length that the file had when it was last replaced.
    replaced_len: u64,
    /// True after an append that failed.
    is_broken: bool,
    /// The time of the next write.
    next_write: Time,
    /// The time from which the file may be replaced because of its length.
    next_replacement: Time,
}

impl Snapshot {
    /// Makes the snapshot of a node whose file holds this past.
    pub fn new(past: &Past, now: Time) -> Snapshot {
        let entry = |(name, it): (&Arc<str>, &super::FormerMember)| {
            let entry = Entry {
                addr: it.addr,
                failed: it.had_failed,
                former: true,
            };
            (name.clone(), Box::new(entry))
        };
        Snapshot {
            entries: past.members.iter().map(entry).collect(),
            numbers: past.numbers,
            recorded: past.numbers,
            lines: Vec::new(),
            leave: LeaveLine::NotWanted,
            len: past.len,
            replaced_len: 0,
            is_broken: false,
            next_write: now,
            next_replacement: now,
        }
    }

    /// A member is present at this address.
    pub fn on_present(&mut self, name: &Arc<str>, addr: SocketAddr) {
        let known = self.entries.get(name);
        if known.is_none_or(|it| it.former || it.failed || it.addr != addr) {
            self.keep(name, addr, false);
        }
    }

    /// A member has failed.
    pub fn on_failed(&mut self, name: &Arc<str>, addr: SocketAddr) {
        self.on_gone(name);
        self.keep(name, addr, true);
    }

    /// A member has left, or is no longer searched for.
    pub fn on_gone(&mut self, name: &str) {
        if self.entries.remove(name).is_some() {
            let name = writable(name).unwrap_or_default();
            self.append(&Record::NotAlive { name: &name });
        }
    }

    /// This node leaves. The members and clocks before the leave do not count any more, unless a
    /// later run is told to rejoin.
    pub fn on_leave(&mut self, now: Time) {
        if self.leave == LeaveLine::NotWanted {
            self.leave = LeaveLine::Wanted;
            self.next_write = now;
        }
    }

    /// This node takes part again: everything is appended anew after the line about the leave.
    pub fn on_return(&mut self) {
        self.leave = LeaveLine::NotWanted;
        self.lines = self.members();
        self.recorded = Numbers::default();
    }

    /// Takes over the present numbers.
    pub fn set_numbers(&mut self, numbers: Numbers) {
        self.numbers = numbers;
    }

    /// Returns the time at which [`Snapshot::write`] has something to write; `None` if nothing has
    /// changed.
    pub fn deadline(&self) -> Option<Time> {
        let has_numbers = self.leave != LeaveLine::Written && self.numbers != self.recorded;
        let is_leaving = self.leave == LeaveLine::Wanted;
        let is_due = self.is_broken || is_leaving || has_numbers || !self.lines.is_empty();
        is_due.then_some(self.next_write)
    }

    /// Returns the bytes that are to be written now; [`Snapshot::on_written`] has to follow. `None`
    /// if nothing has changed.
    pub fn write(&self, now: Time) -> Option<SnapshotWrite> {
        self.deadline()?;
        let may_replace = now >= self.next_replacement;
        let replaces = self.is_broken || (may_replace && self.is_long());
        let mut bytes = match replaces {
            true => self.members(),
            false => self.lines.clone(),
        };
        let held = match replaces {
            true => Numbers::default(),
            false => self.recorded,
        };
        put_numbers(&mut bytes, held, self.numbers);
        let is_leaving = self.leave == LeaveLine::Wanted;
        if is_leaving || (replaces && self.leave == LeaveLine::Written) {
            Record::Leave.put(&mut bytes);
        }
        Some(SnapshotWrite {
            bytes,
            replaces,
            sync: replaces || is_leaving,
        })
    }

    /// The driver has written the bytes, or has failed to. If it could not replace a file that is
    /// only long, the file still holds its lines, and the next write appends to it.
    pub fn on_written(&mut self, now: Time, write: &SnapshotWrite, succeeded: bool) {
        let len = write.bytes.len() as u64;
        if !succeeded {
            self.next_replacement = now + RETRY;
            if !write.replaces || self.is_broken {
                self.is_broken = true;
                self.lines = Vec::new();
                self.next_write = now + RETRY;
            }
            return;
        }
        if write.replaces {
            (self.len, self.replaced_len, self.is_broken) = (len, len, false);
        } else {
            self.len += len;
        }
        self.lines = Vec::new();
        self.recorded = self.numbers;
        self.next_write = now + PAUSE;
        if self.leave == LeaveLine::Wanted {
            self.leave = LeaveLine::Written;
        }
    }

    /// Returns true if the file would become too long. After a replacement, it may always become
    /// twice as long, or else a file of long names would be replaced at each write.
    fn is_long(&self) -> bool {
        let alive = self.entries.values().filter(|it| !it.failed).count() as u64;
        let allowed = SHORT.max(MEMBER_LEN * alive).max(2 * self.replaced_len);
        self.len + self.lines.len() as u64 > allowed
    }

    fn keep(&mut self, name: &Arc<str>, addr: SocketAddr, failed: bool) {
        let Some(bytes) = writable(name) else {
            return;
        };
        let entry = Entry {
            addr,
            failed,
            former: false,
        };
        self.append(&entry.record(&bytes));
        self.entries.insert(name.clone(), Box::new(entry));
    }

    /// Appends a line, unless the whole state is written anyway before the line counts: after a
    /// failure, and when this node takes part again after a leave.
    fn append(&mut self, record: &Record<'_>) {
        if !self.is_broken && self.leave != LeaveLine::Written {
            record.put(&mut self.lines);
        }
    }

    /// The lines of all members.
    fn members(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, entry) in &self.entries {
            let name = writable(name).unwrap_or_default();
            entry.record(&name).put(&mut bytes);
        }
        bytes
    }
}

impl Entry {
    fn record<'a>(&self, name: &'a [u8]) -> Record<'a> {
        let addr = self.addr;
        match self.failed {
            true => Record::Failed { name, addr },
            false => Record::Alive { name, addr },
        }
    }
}

/// Appends the lines of the numbers that differ from those that the file holds.
fn put_numbers(bytes: &mut Vec<u8>, held: Numbers, now: Numbers) {
    for (held, now, record) in [
        (held.intent, now.intent, Record::Intent(now.intent)),
        (held.event, now.event, Record::Event(now.event)),
        (held.query, now.query, Record::Query(now.query)),
        (
            held.incarnation.into(),
            now.incarnation.into(),
            Record::Incarnation(now.incarnation),
        ),
    ] {
        if held != now {
            record.put(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reader::{FormerMember, SnapshotReader};
    use super::*;
    use std::collections::BTreeMap;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn addr(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 7946).into()
    }

    /// A file in memory, and the snapshot that writes it.
    struct Disk {
        snapshot: Snapshot,
        file: Vec<u8>,
        now: Time,
        /// True if the next write fails.
        fails: bool,
        replacements: usize,
    }

    impl Disk {
        fn new(past: &Past) -> Disk {
            Disk {
                snapshot: Snapshot::new(past, Time::ZERO),
                file: Vec::new(),
                now: Time::ZERO,
                fails: false,
                replacements: 0,
            }
        }

        /// Writes everything that is due. Returns the text of the last write; `None` if nothing is
        /// due.
        fn write(&mut self) -> Option<String> {
            let mut last = None;
            while self.snapshot.deadline().is_some_and(|due| due <= self.now) {
                let write = self.snapshot.write(self.now).expect("it is due");
                if !self.fails {
                    if write.replaces {
                        self.file.clear();
                        self.replacements += 1;
                    }
                    self.file.extend(&write.bytes);
                    last = Some(String::from_utf8_lossy(&write.bytes).into_owned());
                }
                self.snapshot.on_written(self.now, &write, !self.fails);
            }
            last
        }

        fn wait(&mut self, time: Duration) {
            self.now = self.now + time;
        }

        /// Reads the file as the next run does.
        fn read(&self, rejoins: bool) -> Past {
            let mut reader = SnapshotReader::new(rejoins);
            reader.read(&self.file);
            reader.finish()
        }
    }

    #[test]
    fn a_change_is_written_at_once_and_later_ones_after_half_a_second() {
        let mut disk = Disk::new(&Past::default());
        assert_eq!(disk.snapshot.deadline(), None);
        disk.snapshot.on_present(&"a".into(), addr(1));
        assert_eq!(disk.write().as_deref(), Some("alive: a 10.0.0.1:7946\n"));
        disk.snapshot.on_present(&"a".into(), addr(1));
        assert_eq!(disk.snapshot.deadline(), None, "nothing has changed");
        disk.snapshot.on_present(&"b".into(), addr(2));
        disk.snapshot.set_numbers(Numbers {
            event: 4,
            ..Numbers::default()
        });
        disk.wait(499 * MILLISECOND);
        assert_eq!(disk.write(), None);
        disk.wait(MILLISECOND);
        let expected = "alive: b 10.0.0.2:7946\nevent-clock: 4\n";
        assert_eq!(disk.write().as_deref(), Some(expected));
        assert_eq!(disk.snapshot.deadline(), None, "a node at rest sleeps");
    }

    #[test]
    fn a_failed_member_keeps_its_address_and_one_that_left_does_not() {
        let mut disk = Disk::new(&Past::default());
        disk.snapshot.on_present(&"a".into(), addr(1));
        disk.snapshot.on_failed(&"a".into(), addr(1));
        disk.snapshot.on_present(&"b".into(), addr(2));
        disk.snapshot.on_gone("b");
        disk.snapshot.on_gone("unknown");
        let expected = "alive: a 10.0.0.1:7946\nnot-alive: a\n# failed: a 10.0.0.1:7946\n\
            alive: b 10.0.0.2:7946\nnot-alive: b\n";
        assert_eq!(disk.write().as_deref(), Some(expected));
        disk.wait(PAUSE);
        disk.snapshot.on_present(&"a".into(), addr(9));
        assert_eq!(disk.write().as_deref(), Some("alive: a 10.0.0.9:7946\n"));
    }

    #[test]
    fn a_member_of_the_earlier_run_is_written_again_when_it_is_present() {
        let mut reader = SnapshotReader::new(false);
        reader.read(b"alive: a 10.0.0.1:7946\nclock: 5\n");
        let mut disk = Disk::new(&reader.finish());
        assert_eq!(disk.write(), None);
        disk.snapshot.on_present(&"a".into(), addr(1));
        assert_eq!(disk.write().as_deref(), Some("alive: a 10.0.0.1:7946\n"));
    }

    #[test]
    fn a_name_with_a_line_feed_adds_no_line() {
        let mut disk = Disk::new(&Past::default());
        let name: Arc<str> = "a\nleave\n".into();
        disk.snapshot.on_present(&name, addr(1));
        disk.snapshot.on_failed(&name, addr(1));
        disk.snapshot.on_gone(&name);
        assert_eq!(disk.write(), None);
    }

    #[test]
    fn a_leave_is_written_at_once_and_ends_the_lines() {
        let mut disk = Disk::new(&Past::default());
        disk.snapshot.on_present(&"a".into(), addr(1));
        disk.write();
        disk.snapshot.set_numbers(Numbers {
            intent: 3,
            ..Numbers::default()
        });
        disk.snapshot.on_leave(disk.now);
        let write = disk.snapshot.write(disk.now).unwrap();
        assert!(write.sync && !write.replaces);
        assert_eq!(disk.write().as_deref(), Some("clock: 3\nleave\n"));
        disk.wait(PAUSE);
        disk.snapshot.on_leave(disk.now);
        disk.snapshot.on_present(&"b".into(), addr(2));
        disk.snapshot.on_gone("a");
        disk.snapshot.set_numbers(Numbers {
            intent: 9,
            ..Numbers::default()
        });
        assert_eq!(disk.write(), None);
        assert!(disk.read(false).members.is_empty());
        assert_eq!(disk.read(true).members.len(), 1);
    }

    #[test]
    fn a_node_that_takes_part_again_writes_everything_again() {
        let mut disk = Disk::new(&Past::default());
        disk.snapshot.on_present(&"a".into(), addr(1));
        disk.snapshot.set_numbers(Numbers {
            intent: 3,
            ..Numbers::default()
        });
        disk.snapshot.on_leave(disk.now);
        disk.write();
        disk.snapshot.on_present(&"b".into(), addr(2));
        disk.snapshot.on_return();
        disk.wait(PAUSE);
        let expected = "alive: a 10.0.0.1:7946\nalive: b 10.0.0.2:7946\nclock: 3\n";
        assert_eq!(disk.write().as_deref(), Some(expected));
        assert_eq!(disk.read(false).members.len(), 2);
    }

    #[test]
    fn a_file_that_has_become_long_is_replaced_and_one_that_is_short_is_not() {
        let mut disk = Disk::new(&Past::default());
        let mut appended = 0;
        while disk.replacements == 0 {
            disk.snapshot.on_present(&"a".into(), addr(1));
            disk.snapshot.on_gone("a");
            disk.snapshot.on_present(&"b".into(), addr(2));
            disk.wait(PAUSE);
            appended = appended.max(disk.file.len());
            disk.write();
        }
        assert!(appended as u64 <= SHORT && appended as u64 > SHORT - 100);
        assert_eq!(disk.file, b"alive: b 10.0.0.2:7946\n");
    }

    #[test]
    fn a_file_of_many_long_names_is_not_replaced_at_each_write() {
        let mut disk = Disk::new(&Past::default());
        let name = |i: usize| Arc::from(format!("{i:0>255}"));
        (0..3000).for_each(|i| disk.snapshot.on_present(&name(i), addr(1)));
        for _ in 0..20 {
            disk.snapshot.on_gone("unknown");
            disk.snapshot.on_present(&"a".into(), addr(1));
            disk.snapshot.on_gone("a");
            disk.wait(PAUSE);
            disk.write();
        }
        assert_eq!(disk.replacements, 1);
    }

    #[test]
    fn a_write_that_failed_is_made_up_for_by_a_replacement_after_half_a_minute() {
        let mut disk = Disk::new(&Past::default());
        disk.snapshot.on_present(&"a".into(), addr(1));
        disk.write();
        disk.wait(PAUSE);
        disk.snapshot.on_present(&"b".into(), addr(2));
        disk.fails = true;
        disk.write();
        disk.fails = false;
        disk.snapshot.on_present(&"c".into(), addr(3));
        disk.snapshot.on_gone("a");
        disk.wait(RETRY - MILLISECOND);
        assert_eq!(disk.write(), None);
        disk.wait(MILLISECOND);
        let expected = "alive: b 10.0.0.2:7946\nalive: c 10.0.0.3:7946\n";
        assert_eq!(disk.write().as_deref(), Some(expected));
        assert_eq!(disk.replacements, 1);
    }

    #[test]
    fn a_long_file_that_cannot_be_replaced_is_appended_to() {
        let past = Past {
            len: 10 * SHORT,
            ..Past::default()
        };
        let mut snapshot = Snapshot::new(&past, Time::ZERO);
        let now = Time::ZERO;
        snapshot.on_present(&"a".into(), addr(1));
        let write = snapshot.write(now).unwrap();
        assert!(write.replaces && write.sync);
        snapshot.on_written(now, &write, false);
        assert_eq!(snapshot.deadline(), Some(now));
        let write = snapshot.write(now).unwrap();
        assert!(!write.replaces);
        assert_eq!(write.bytes, b"alive: a 10.0.0.1:7946\n");
        snapshot.on_written(now, &write, true);
        snapshot.on_gone("a");
        let later = now + RETRY;
        assert!(!snapshot.write(later - MILLISECOND).unwrap().replaces);
        assert!(snapshot.write(later).unwrap().replaces);
    }

    /// Whatever happens, and whichever writes fail, the next run reads the members and numbers of
    /// the last write.
    #[test]
    fn the_next_run_reads_the_state_of_this_run() {
        let mut state = 7u64;
        let mut below = move |bound: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % bound
        };
        for _ in 0..200 {
            let mut disk = Disk::new(&Past::default());
            let mut expected: BTreeMap<Arc<str>, FormerMember> = BTreeMap::new();
            let mut numbers = Numbers::default();
            for _ in 0..below(60) {
                let host = below(6) as u8;
                let name: Arc<str> = format!("n {host}").into();
                let had_failed = below(3) == 0;
                let known = expected.contains_key(&name);
                let addr = addr(host);
                match below(5) {
                    0 if known => {
                        disk.snapshot.on_gone(&name);
                        expected.remove(&name);
                    }
                    1 if known && had_failed => {
                        disk.snapshot.on_failed(&name, addr);
                        expected.insert(name, FormerMember { addr, had_failed });
                    }
                    0..=2 => {
                        let had_failed = false;
                        disk.snapshot.on_present(&name, addr);
                        expected.insert(name, FormerMember { addr, had_failed });
                    }
                    3 => numbers.event += 1,
                    _ if below(4) == 0 => {
                        disk.snapshot.on_leave(disk.now);
                        disk.write();
                        disk.snapshot.on_return();
                    }
                    _ => numbers.intent += 2,
                }
                disk.snapshot.set_numbers(numbers);
                disk.fails = below(8) == 0;
                disk.wait(below(700) as u32 * MILLISECOND);
                disk.write();
            }
            disk.fails = false;
            disk.wait(RETRY);
            disk.write();
            let past = disk.read(false);
            assert_eq!(past.members, expected);
            assert_eq!(past.numbers, numbers);
            assert_eq!((past.unreadable, past.len), (0, disk.file.len() as u64));
        }
    }
}
