//! The lines of a snapshot: the format in which Serf agents keep the members and clocks of a node.
//!
//! ```text
//! alive: NAME ADDR:PORT          a member that is present
//! not-alive: NAME                a member that failed, left or was erased
//! clock: N                       the latest Lamport time of an intent
//! event-clock: N                 the latest Lamport time of a user event
//! query-clock: N                 the latest Lamport time of a query
//! leave                          this node has left: nothing before this line counts any more
//! # failed: NAME ADDR:PORT       a member that failed, and that is searched for
//! # incarnation: N               the incarnation of this node
//! ```
//!
//! Agents ignore a line that begins with `#`, so they can read a snapshot with the last two kinds,
//! which they do not know. Names are written as they are on the wire, and may hold blanks and bytes
//! that are not text. A name with a line feed would begin a line of its own, so no record with such
//! a name is written.

use crate::limits;
use crate::wire::wire_name;
use std::io::Write as _;
use std::net::SocketAddr;
use std::str;

/// The numbers that a snapshot keeps, each 0 if it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The latest Lamport time of an intent.
    pub intent: u64,
    /// The latest Lamport time of a user event.
    pub event: u64,
    /// The latest Lamport time of a query.
    pub query: u64,
    /// The incarnation of this node.
    pub incarnation: u32,
}

/// The content of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serf) enum Record<'a> {
    Alive {
        name: &'a [u8],
        addr: SocketAddr,
    },
    Failed {
        name: &'a [u8],
        addr: SocketAddr,
    },
    NotAlive {
        name: &'a [u8],
    },
    Intent(u64),
    Event(u64),
    Query(u64),
    Incarnation(u32),
    Leave,
    /// A comment, or the coordinate that old agents wrote.
    Ignored,
}

const ALIVE: &[u8] = b"alive: ";
const FAILED: &[u8] = b"# failed: ";
const NOT_ALIVE: &[u8] = b"not-alive: ";
const INTENT: &[u8] = b"clock: ";
const EVENT: &[u8] = b"event-clock: ";
const QUERY: &[u8] = b"query-clock: ";
const INCARNATION: &[u8] = b"# incarnation: ";
const LEAVE: &[u8] = b"leave";
const COORDINATE: &[u8] = b"coordinate: ";
const COMMENT: &[u8] = b"#";

/// The beginnings of all lines that have a meaning to an agent.
const BEGINNINGS: [&[u8]; 8] = [
    ALIVE, NOT_ALIVE, INTENT, EVENT, QUERY, LEAVE, COORDINATE, COMMENT,
];

impl<'a> Record<'a> {
    /// Reads a line, without its line feed. Returns `None` if the line is not a record, or is a
    /// damaged one. An unknown comment is ignored, even if it resembles a record of sprat.
    pub fn read(line: &'a [u8]) -> Option<Record<'a>> {
        let record = if let Some(rest) = line.strip_prefix(ALIVE) {
            let (name, addr) = member(rest)?;
            Record::Alive { name, addr }
        } else if let Some(name) = line.strip_prefix(NOT_ALIVE) {
            let name = checked(name)?;
            Record::NotAlive { name }
        } else if let Some(rest) = line.strip_prefix(INTENT) {
            Record::Intent(number(rest)?)
        } else if let Some(rest) = line.strip_prefix(EVENT) {
            Record::Event(number(rest)?)
        } else if let Some(rest) = line.strip_prefix(QUERY) {
            Record::Query(number(rest)?)
        } else if line == LEAVE {
            Record::Leave
        } else if line.starts_with(COMMENT) {
            own_record(line).unwrap_or(Record::Ignored)
        } else if line.starts_with(COORDINATE) {
            Record::Ignored
        } else {
            return None;
        };
        Some(record)
    }

    /// Appends the line of this record.
    pub fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Alive { name, addr } => put_member(out, ALIVE, name, addr),
            Record::Failed { name, addr } => put_member(out, FAILED, name, addr),
            Record::NotAlive { name } => out.extend([NOT_ALIVE, name].concat()),
            Record::Intent(number) => put_number(out, INTENT, number),
            Record::Event(number) => put_number(out, EVENT, number),
            Record::Query(number) => put_number(out, QUERY, number),
            Record::Incarnation(number) => put_number(out, INCARNATION, number.into()),
            Record::Leave => out.extend(LEAVE),
            Record::Ignored => out.extend(COMMENT),
        }
        out.push(b'\n');
    }
}

/// Returns the bytes of a name as a line holds it; `None` if no line can hold the name.
pub(in crate::serf) fn writable(name: &str) -> Option<Vec<u8>> {
    let bytes = wire_name::to_bytes(name);
    (!bytes.contains(&b'\n')).then(|| bytes.into_owned())
}

/// Returns true if this may be a damaged line of a snapshot, and false if it is more likely to
/// belong to a file of another kind.
pub(in crate::serf) fn resembles_record(line: &[u8]) -> bool {
    let mut beginnings = BEGINNINGS.into_iter();
    beginnings.any(|beginning| line.starts_with(beginning) || beginning.starts_with(line))
}

/// Reads a comment that is a record of sprat.
fn own_record(line: &[u8]) -> Option<Record<'_>> {
    if let Some(rest) = line.strip_prefix(FAILED) {
        let (name, addr) = member(rest)?;
        return Some(Record::Failed { name, addr });
    }
    let rest = line.strip_prefix(INCARNATION)?;
    Some(Record::Incarnation(number(rest)?.try_into().ok()?))
}

/// Reads a name and an address. The address follows the last blank, because names may hold blanks.
fn member(text: &[u8]) -> Option<(&[u8], SocketAddr)> {
    let blank = text.iter().rposition(|byte| *byte == b' ')?;
    let name = checked(&text[..blank])?;
    let addr: SocketAddr = str::from_utf8(&text[blank + 1..]).ok()?.parse().ok()?;
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    (addr.port() != 0).then_some((name, addr))
}

/// Returns the name if a member may have it.
fn checked(name: &[u8]) -> Option<&[u8]> {
    (1..=limits::NAME_LEN).contains(&name.len()).then_some(name)
}

fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn put_member(out: &mut Vec<u8>, keyword: &[u8], name: &[u8], addr: SocketAddr) {
    out.extend(keyword);
    out.extend(name);
    // Writing to a vector cannot fail, here and below.
    let _ = write!(out, " {addr}");
}

fn put_number(out: &mut Vec<u8>, keyword: &[u8], number: u64) {
    out.extend(keyword);
    let _ = write!(out, "{number}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_record_is_one_line_and_is_read_back() {
        let (name, ip) = (&b"web 1\xff"[..], addr("10.0.0.1:7946"));
        let six = addr("[fd00::1]:7946");
        for (record, line) in [
            (
                Record::Alive { name, addr: ip },
                &b"alive: web 1\xff 10.0.0.1:7946\n"[..],
            ),
            (
                Record::Alive { name, addr: six },
                b"alive: web 1\xff [fd00::1]:7946\n",
            ),
            (
                Record::Failed { name, addr: ip },
                b"# failed: web 1\xff 10.0.0.1:7946\n",
            ),
            (Record::NotAlive { name }, b"not-alive: web 1\xff\n"),
            (Record::Intent(7), b"clock: 7\n"),
            (
                Record::Event(u64::MAX),
                b"event-clock: 18446744073709551615\n",
            ),
            (Record::Query(0), b"query-clock: 0\n"),
            (Record::Incarnation(9), b"# incarnation: 9\n"),
            (Record::Leave, b"leave\n"),
        ] {
            let mut written = Vec::new();
            record.put(&mut written);
            assert_eq!(written, line, "{record:?}");
            let read = Record::read(&line[..line.len() - 1]);
            assert_eq!(read, Some(record));
        }
    }

    #[test]
    fn comments_and_coordinates_are_ignored() {
        for line in [
            "#",
            "# Serf 0.8",
            "# failed: web",
            "# incarnation: -1",
            "# incarnation: 4294967296",
            "coordinate: {\"Vec\":[0]}",
        ] {
            let read = Record::read(line.as_bytes());
            assert_eq!(read, Some(Record::Ignored), "{line}");
        }
    }

    #[test]
    fn a_damaged_or_foreign_line_is_not_a_record() {
        let long = format!("alive: {} 10.0.0.1:7946", "n".repeat(256));
        for line in [
            "",
            "alive: ",
            "alive: web",
            "alive: 10.0.0.1:7946",
            "alive:  10.0.0.1:7946",
            "alive: web 10.0.0.1",
            "alive: web 10.0.0.1:0",
            "alive: web 10.0.0.1:79460",
            "alive: web [fd00::1:7946",
            "alive: web\t10.0.0.1:7946",
            "not-alive: ",
            "clock: ",
            "clock: -1",
            "clock: 1 2",
            "clock: 18446744073709551616",
            "leave ",
            "leaving",
            "root:x:0:0:root:/root:/bin/sh",
            &long,
        ] {
            assert_eq!(Record::read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_ipv4_form_of_an_address_is_read_whatever_form_was_written() {
        let read = Record::read(b"alive: web [::ffff:10.0.0.1]:7946");
        let (name, addr) = (&b"web"[..], addr("10.0.0.1:7946"));
        assert_eq!(read, Some(Record::Alive { name, addr }));
    }

    #[test]
    fn a_name_with_a_line_feed_is_never_written() {
        assert_eq!(writable("web\n1.1.1.1:1\nleave"), None);
        assert_eq!(writable(r"web\xff").as_deref(), Some(&b"web\xff"[..]));
    }

    #[test]
    fn a_torn_line_resembles_a_record_and_another_text_does_not() {
        for line in [
            "",
            "al",
            "alive: web 10.",
            "not-alive: w",
            "#",
            "leav",
            "clock: ",
        ] {
            assert!(resembles_record(line.as_bytes()), "{line}");
        }
        for line in ["alias", "sprat-3", "root:x:0", "[section]", "{"] {
            assert!(!resembles_record(line.as_bytes()), "{line}");
        }
    }
}
