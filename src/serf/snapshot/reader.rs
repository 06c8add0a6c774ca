//! Reading a snapshot: from the bytes of a file to the members and clocks of an earlier run.
//!
//! The bytes come in pieces of any size. A file may be damaged: a crash can leave a torn last line,
//! or NULs in place of bytes that never reached the disk. The reader uses every line that is intact
//! and counts the others. Its memory is bounded, whatever the file holds.

use super::record::{Numbers, Record, resembles_record};
use crate::limits;
use crate::wire::wire_name;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The length in bytes of the longest line that is read. A record is shorter: a name has at most
/// 255 bytes.
const LINE_LEN: usize = 1024;

/// A member of an earlier run of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerMember {
    /// Its last address.
    pub addr: SocketAddr,
    /// True if it had failed.
    pub had_failed: bool,
}

/// The state that an earlier run of this node left in its snapshot. The default is that of an empty
/// file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The members by name.
    pub members: BTreeMap<Arc<str>, FormerMember>,
    /// The clocks and the incarnation.
    pub numbers: Numbers,
    /// The length in bytes of all complete lines.
    pub len: u64,
    /// The number of lines that could not be read, and of members for which there was no room.
    pub unreadable: u64,
    /// True if no line is a record of a snapshot, and at least one does not even resemble a record:
    /// the file is probably of another kind, and must not be changed.
    pub is_foreign: bool,
}

/// Reads a snapshot piece by piece.
#[derive(Debug)]
pub struct SnapshotReader {
    past: Past,
    /// True if members and clocks from before a leave count.
    rejoins: bool,
    /// True until the end of a line that is skipped.
    skips: bool,
    /// The beginning of a line whose end has not come yet, at most [`LINE_LEN`] bytes of it.
    line: Vec<u8>,
    /// The length of the line so far.
    line_len: usize,
    /// The number of lines that are records.
    records: u64,
    /// The number of lines that do not even resemble a record.
    strange: u64,
}

impl SnapshotReader {
    /// Makes a reader. `rejoins` is true if this node is to return to its members after a leave.
    pub fn new(rejoins: bool) -> SnapshotReader {
        SnapshotReader {
            past: Past::default(),
            rejoins,
            skips: false,
            line: Vec::new(),
            line_len: 0,
            records: 0,
            strange: 0,
        }
    }

    /// Skips the rest of a line, because the first piece begins in the middle of it.
    pub fn skip_line(&mut self) {
        self.skips = true;
    }

    /// Reads the next piece.
    pub fn read(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_complete) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            // NULs at the beginning of a line stand for bytes that never reached the disk.
            let nuls = text.iter().take_while(|byte| **byte == 0).count();
            let kept = if self.line.is_empty() {
                &text[nuls..]
            } else {
                text
            };
            let room = LINE_LEN - self.line.len();
            self.line.extend(&kept[..kept.len().min(room)]);
            self.line_len += text.len();
            if is_complete {
                self.end_line();
            }
        }
    }

    /// Ends the file. A last line without a line feed is torn and does not count.
    pub fn finish(mut self) -> Past {
        if self.line_len > 0 {
            self.past.unreadable += 1;
            self.strange += u64::from(!resembles_record(&self.line));
        }
        self.past.is_foreign = self.records == 0 && self.strange > 0;
        self.past
    }

    /// Reads a complete line.
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line_len = std::mem::take(&mut self.line_len);
        let is_damaged = line.len() < line_len;
        self.past.len += line_len as u64 + 1;
        if std::mem::take(&mut self.skips) {
            self.past.unreadable += 1;
            return;
        }
        match Record::read(&line) {
            Some(record) if line.len() < LINE_LEN => {
                self.records += u64::from(record != Record::Ignored);
                self.past.unreadable += u64::from(is_damaged);
                self.apply(&record);
            }
            Some(Record::Ignored) => {}
            Some(_) | None => {
                self.past.unreadable += 1;
                self.strange += u64::from(!resembles_record(&line));
            }
        }
    }

    fn apply(&mut self, record: &Record<'_>) {
        match *record {
            Record::Alive { name, addr } => self.remember(name, addr, false),
            Record::Failed { name, addr } => self.remember(name, addr, true),
            Record::NotAlive { name } => {
                self.past.members.remove(&*wire_name::to_text(name));
            }
            Record::Intent(time) => self.past.numbers.intent = time,
            Record::Event(time) => self.past.numbers.event = time,
            Record::Query(time) => self.past.numbers.query = time,
            Record::Incarnation(number) => self.past.numbers.incarnation = number,
            Record::Leave if self.rejoins => {}
            Record::Leave => {
                self.past.members.clear();
                // The members still know the incarnation with which this node left.
                self.past.numbers = Numbers {
                    incarnation: self.past.numbers.incarnation,
                    ..Numbers::default()
                };
            }
            Record::Ignored => {}
        }
    }

    fn remember(&mut self, name: &[u8], addr: SocketAddr, had_failed: bool) {
        let (name, members) = (wire_name::to_text(name), &mut self.past.members);
        let member = FormerMember { addr, had_failed };
        if let Some(known) = members.get_mut(&*name) {
            *known = member;
        } else if members.len() < limits::MEMBERS {
            members.insert(name.into(), member);
        } else {
            self.past.unreadable += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rejoins: bool, bytes: &[u8]) -> Past {
        let mut reader = SnapshotReader::new(rejoins);
        reader.read(bytes);
        reader.finish()
    }

    /// The members as text: the name, the address, and `!` if the member had failed.
    fn members(past: &Past) -> Vec<String> {
        let text = |(name, it): (&Arc<str>, &FormerMember)| {
            let mark = if it.had_failed { " !" } else { "" };
            format!("{name} {}{mark}", it.addr)
        };
        past.members.iter().map(text).collect()
    }

    #[test]
    fn the_last_line_about_a_member_or_a_clock_counts() {
        let text = "alive: a 10.0.0.1:1\nalive: b 10.0.0.2:1\nclock: 3\nevent-clock: 9\n\
            alive: c d [::1]:1\nalive: a 10.0.0.9:1\nnot-alive: b\nnot-alive: zzz\n\
            # failed: e 10.0.0.5:1\nclock: 5\nquery-clock: 2\nclock: 4\n# incarnation: 6\n";
        let past = read(false, text.as_bytes());
        let expected = ["a 10.0.0.9:1", "c d [::1]:1", "e 10.0.0.5:1 !"];
        assert_eq!(members(&past), expected);
        let numbers = Numbers {
            intent: 4,
            event: 9,
            query: 2,
            incarnation: 6,
        };
        assert_eq!(past.numbers, numbers);
        assert_eq!((past.len, past.unreadable), (text.len() as u64, 0));
        assert!(!past.is_foreign);
    }

    #[test]
    fn an_agent_removes_a_failed_member_and_sprat_keeps_it() {
        let text = "alive: a 10.0.0.1:1\nnot-alive: a\n# failed: a 10.0.0.1:1\n";
        assert_eq!(members(&read(false, text.as_bytes())), ["a 10.0.0.1:1 !"]);
        let back = format!("{text}alive: a 10.0.0.1:1\n");
        assert_eq!(members(&read(false, back.as_bytes())), ["a 10.0.0.1:1"]);
    }

    #[test]
    fn a_leave_ends_everything_before_it_unless_the_node_rejoins() {
        let text = "alive: a 10.0.0.1:1\nclock: 7\nevent-clock: 8\nquery-clock: 9\n\
            # incarnation: 3\nleave\nclock: 8\n";
        let past = read(false, text.as_bytes());
        assert!(past.members.is_empty());
        let numbers = Numbers {
            intent: 8,
            incarnation: 3,
            ..Numbers::default()
        };
        assert_eq!(past.numbers, numbers);
        let past = read(true, text.as_bytes());
        assert_eq!(members(&past), ["a 10.0.0.1:1"]);
        assert_eq!((past.numbers.event, past.numbers.query), (8, 9));
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_the_others_count() {
        let whole = "alive: a 10.0.0.1:1\nclock: 12\n";
        for torn in ["alive: b 10.0.0.2:79", "clock: 1", "l", "\0\0\0"] {
            let past = read(false, format!("{whole}{torn}").as_bytes());
            assert_eq!(members(&past), ["a 10.0.0.1:1"]);
            assert_eq!(past.numbers.intent, 12);
            let expected = (whole.len() as u64, 1, false);
            assert_eq!((past.len, past.unreadable, past.is_foreign), expected);
        }
    }

    #[test]
    fn a_record_behind_nuls_is_intact() {
        let mut bytes = b"clock: 3\n".to_vec();
        bytes.resize(4096, 0);
        bytes.extend(b"alive: a 10.0.0.1:1\n\0\0");
        let past = read(false, &bytes);
        assert_eq!(members(&past), ["a 10.0.0.1:1"]);
        assert_eq!((past.numbers.intent, past.unreadable), (3, 2));
        assert_eq!(past.len, bytes.len() as u64 - 2);
    }

    #[test]
    fn an_empty_file_and_one_of_nuls_are_empty_snapshots() {
        assert_eq!(read(false, b""), Past::default());
        let past = read(false, &[0; 100_000]);
        assert!(past.members.is_empty() && !past.is_foreign);
        assert_eq!((past.len, past.unreadable), (0, 1));
    }

    #[test]
    fn foreign_lines_are_counted_and_a_foreign_file_is_recognised() {
        let text = "alive: a 10.0.0.1:1\nhello\n# a comment\ncoordinate: {}\n\nalive: b\n";
        let past = read(false, text.as_bytes());
        assert_eq!(members(&past), ["a 10.0.0.1:1"]);
        assert_eq!((past.unreadable, past.is_foreign), (3, false));
        for foreign in [
            "sprat-3\n",
            "root:x:0:0::/root:/bin/sh\n",
            "hello",
            "# config\nname = a\n",
        ] {
            assert!(read(false, foreign.as_bytes()).is_foreign, "{foreign}");
        }
        for damaged in ["alive: b\n", "al", "# config\n", "\n"] {
            assert!(!read(false, damaged.as_bytes()).is_foreign, "{damaged}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let mut bytes = vec![b'x'; 1 << 20];
        bytes.extend(b"\nalive: a 10.0.0.1:1\nclock: ");
        bytes.extend(vec![b'0'; LINE_LEN]);
        bytes.extend(b"7\n#");
        bytes.extend(vec![b'-'; LINE_LEN]);
        bytes.extend(b"\nclock: 5\n");
        let past = read(false, &bytes);
        assert_eq!(members(&past), ["a 10.0.0.1:1"]);
        assert_eq!((past.numbers.intent, past.unreadable), (5, 2));
        assert_eq!(past.len, bytes.len() as u64);
    }

    #[test]
    fn a_line_of_which_only_the_end_is_known_is_skipped() {
        let mut reader = SnapshotReader::new(false);
        reader.skip_line();
        reader.read(b"clock: 9\nalive: a 10.0.0.1:1\n");
        let past = reader.finish();
        assert_eq!(members(&past), ["a 10.0.0.1:1"]);
        assert_eq!((past.numbers.intent, past.unreadable), (0, 1));
    }

    #[test]
    fn names_that_are_not_text_are_members_like_any_other() {
        let past = read(
            false,
            b"alive: web\xff 10.0.0.1:1\nalive: web\\xff 10.0.0.2:1\n",
        );
        let expected = [r"web\x5cxff 10.0.0.2:1", r"web\xff 10.0.0.1:1"];
        assert_eq!(members(&past), expected);
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let line = |i: usize| format!("alive: n{i} 10.0.0.1:1\n");
        let text: String = (0..limits::MEMBERS + 3).map(line).collect();
        let past = read(false, text.as_bytes());
        assert_eq!((past.members.len(), past.unreadable), (limits::MEMBERS, 3));
    }

    /// Pseudorandom numbers, the same in each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) as usize % bound
        }
    }

    #[test]
    fn the_size_of_the_pieces_makes_no_difference_and_the_memory_is_bounded() {
        let lines: [&[u8]; 12] = [
            b"alive: a 10.0.0.1:1\n",
            b"alive: b c [::1]:7946\n",
            b"not-alive: a\n",
            b"# failed: d 10.0.0.4:4\n",
            b"clock: 77\n",
            b"event-clock: 8\n",
            b"leave\n",
            b"\0\0\0\0",
            b"\n",
            b"hello world\n",
            b"\xff\xfe",
            b"alive: ",
        ];
        let mut random = Random(1);
        for _ in 0..2000 {
            let count = random.below(20);
            let picked = (0..count).flat_map(|_| lines[random.below(lines.len())]);
            let mut bytes: Vec<u8> = picked.copied().collect();
            if !bytes.is_empty() {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let whole = read(false, &bytes);
            let mut reader = SnapshotReader::new(false);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(1 + random.below(rest.len()));
                reader.read(piece);
                assert!(reader.line.capacity() <= 2 * LINE_LEN);
                rest = others;
            }
            assert_eq!(reader.finish(), whole);
            assert!(whole.len <= bytes.len() as u64);
        }
    }
}
