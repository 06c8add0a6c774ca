//! What the application is told: kinds of events, events, and the states of a node.

use crate::driver::events::pending::Outcome;
use crate::error::{Error, Status};
use crate::serf::{self, Member};
use crate::swim::{JoinFailure, JoinReport};
use crate::wire::Refusal;
use std::sync::Arc;

/// What a node is doing. Numbers as in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum NodeState {
    /// A member of its cluster.
    Running = 1,
    /// It has announced that it leaves.
    Leaving = 2,
    /// Its leave has spread; it still lists members, and a join brings it back.
    Left = 3,
    /// It was shut down.
    Shutdown = 4,
    /// One of its threads failed; the Fatal event says how.
    Broken = 5,
}

impl NodeState {
    pub(in crate::driver) fn from_number(number: i32) -> NodeState {
        match number {
            1 => NodeState::Running,
            2 => NodeState::Leaving,
            3 => NodeState::Left,
            4 => NodeState::Shutdown,
            _ => NodeState::Broken,
        }
    }
}

/// Kinds of events. Numbers as in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum EventKind {
    /// A member is there: new, or back.
    MemberJoin = 1,
    /// Tags, address or versions of a member changed.
    MemberUpdate = 2,
    /// A member is gone, as announced.
    MemberLeave = 3,
    /// A member is gone without a word.
    MemberFail = 4,
    /// A member is no longer listed.
    MemberReap = 5,
    /// A member does not answer.
    MemberSuspect = 6,
    /// A suspected member is alive after all.
    MemberAlive = 7,
    /// An operation has ended; `status` says how.
    Done = 14,
    /// Events were lost or merged: look at the members anew.
    Overflow = 20,
    /// A line for a log.
    Log = 21,
    /// The node cannot go on, or should not; `status` says why.
    Fatal = 22,
}

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [EventKind; 11] = [
        EventKind::MemberJoin,
        EventKind::MemberUpdate,
        EventKind::MemberLeave,
        EventKind::MemberFail,
        EventKind::MemberReap,
        EventKind::MemberSuspect,
        EventKind::MemberAlive,
        EventKind::Done,
        EventKind::Overflow,
        EventKind::Log,
        EventKind::Fatal,
    ];

    /// Its name, as Serf writes it where Serf has it.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::MemberJoin => "member-join",
            EventKind::MemberUpdate => "member-update",
            EventKind::MemberLeave => "member-leave",
            EventKind::MemberFail => "member-failed",
            EventKind::MemberReap => "member-reap",
            EventKind::MemberSuspect => "member-suspect",
            EventKind::MemberAlive => "member-alive",
            EventKind::Done => "done",
            EventKind::Overflow => "overflow",
            EventKind::Log => "log",
            EventKind::Fatal => "fatal",
        }
    }

    /// Whether such an event is about a member.
    pub fn is_of_member(self) -> bool {
        match self {
            EventKind::MemberJoin
            | EventKind::MemberUpdate
            | EventKind::MemberLeave
            | EventKind::MemberFail
            | EventKind::MemberReap
            | EventKind::MemberSuspect
            | EventKind::MemberAlive => true,
            EventKind::Done | EventKind::Overflow | EventKind::Log | EventKind::Fatal => false,
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An event as it is queued for the application.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Done, Fatal: 0 or the number of a status.
    pub status: i32,
    /// +1 per event of this node; a larger step means that events were lost.
    pub seq: u64,
    /// CLOCK_MONOTONIC in nanoseconds when the engine queued it.
    pub time_ns: u64,
    /// The member of a member event.
    pub member: Option<Arc<Member>>,
    /// Log target, else empty.
    pub name: String,
    /// Text of Fatal, Log, Done; else empty.
    pub text: String,
    /// Operation that is done.
    pub id: u64,
    /// Log level 1..=5, else 0.
    pub level: i32,
    /// Overflow: how many events were merged or dropped since the last one; else 0.
    pub lost: u64,
}

impl Event {
    /// An event with nothing but its kind; the queue numbers it.
    pub(in crate::driver) fn new(kind: EventKind) -> Event {
        Event {
            kind,
            status: 0,
            seq: 0,
            time_ns: 0,
            member: None,
            name: String::new(),
            text: String::new(),
            id: 0,
            level: 0,
            lost: 0,
        }
    }

    pub(in crate::driver) fn of_member(kind: EventKind, member: Arc<Member>) -> Event {
        Event {
            member: Some(member),
            ..Event::new(kind)
        }
    }

    pub(in crate::driver) fn fatal(status: Status, text: String) -> Event {
        Event {
            status: status as i32,
            text,
            ..Event::new(EventKind::Fatal)
        }
    }

    pub(in crate::driver) fn log(level: i32, target: &str, text: String) -> Event {
        Event {
            level,
            name: target.to_owned(),
            text,
            ..Event::new(EventKind::Log)
        }
    }

    /// The end of operation `id`.
    pub(in crate::driver) fn done<T>(id: u64, result: &crate::error::Result<T>) -> Event {
        let (status, text) = match result {
            Ok(_) => (0, String::new()),
            Err(error) => (error.status as i32, error.message.clone()),
        };
        Event {
            id,
            status,
            text,
            ..Event::new(EventKind::Done)
        }
    }
}

/// How a join ended.
pub(in crate::driver) fn join_outcome(report: &JoinReport) -> Outcome {
    let error = |why: &JoinFailure| Error::new(failure_status(why), failure_text(why));
    let failures = report.failures.iter();
    Outcome {
        result: join_result(report),
        failures: failures
            .map(|(target, why)| (target.clone(), error(why)))
            .collect(),
    }
}

/// How many a join reached, or the error that says best why nobody answered.
fn join_result(report: &JoinReport) -> crate::error::Result<usize> {
    if report.contacted > 0 {
        return Ok(report.contacted);
    }
    let told: Vec<String> = report
        .failures
        .iter()
        .map(|(target, why)| format!("{target}: {}", failure_text(why)))
        .collect();
    let all = |status: Status| {
        let same = |(_, why): &(String, JoinFailure)| failure_status(why) == status;
        report.failures.iter().any(same)
    };
    // What a person has to mend comes first: a key before an address before a silent host.
    let status = [Status::Crypto, Status::Protocol, Status::Address]
        .into_iter()
        .find(|status| all(*status))
        .unwrap_or(Status::Unreachable);
    let message = format!("nobody answered: {}", told.join("; "));
    Err(Error::new(status, message))
}

fn failure_status(why: &JoinFailure) -> Status {
    match why {
        JoinFailure::Unresolved => Status::Address,
        JoinFailure::Unreachable | JoinFailure::ConnectionRefused | JoinFailure::TimedOut => {
            Status::Unreachable
        }
        JoinFailure::Crypto(_) => Status::Crypto,
        JoinFailure::Refused(text) if is_about_keys(text) => Status::Crypto,
        JoinFailure::Protocol(_) | JoinFailure::Refused(_) => Status::Protocol,
    }
}

/// Does the error that a member answered with complain of our encryption? Those of the stock agent
/// and of this library both say so.
fn is_about_keys(text: &str) -> bool {
    text.contains("decrypt") || text.contains("encrypt")
}

/// Why one target of a join failed, for people.
pub(in crate::driver) fn failure_text(why: &JoinFailure) -> String {
    match why {
        JoinFailure::Unresolved => "the name has no address".to_owned(),
        JoinFailure::Unreachable => "no connection, or it broke".to_owned(),
        JoinFailure::ConnectionRefused => "connection refused".to_owned(),
        JoinFailure::TimedOut => "no answer in time".to_owned(),
        JoinFailure::Crypto(Refusal::UnexpectedEncryption) => {
            "it encrypts, and this node has no key".to_owned()
        }
        JoinFailure::Crypto(Refusal::PlaintextRefused) => {
            "this node has a key, and it does not encrypt".to_owned()
        }
        JoinFailure::Crypto(_) => "the keys, or the labels, do not fit".to_owned(),
        JoinFailure::Protocol(Refusal::Incompatible) => {
            "it speaks other versions of the protocol, or one of us is in mode serf and the other \
             in mode memberlist"
                .to_owned()
        }
        JoinFailure::Protocol(Refusal::UnknownType) => {
            "what listens there does not speak this protocol".to_owned()
        }
        JoinFailure::Protocol(refusal) => format!("its answer was refused: {}", refusal.help()),
        JoinFailure::Refused(text) => format!("it answered with an error: {text}"),
    }
}

/// The error of a refused command, with what was asked in front.
pub(in crate::driver) fn command_error(what: &str, why: &serf::CommandError) -> Error {
    use serf::CommandError;
    let (status, text) = match why {
        CommandError::TooLarge { len, max } => {
            let text = format!("all together take {len} bytes, allowed are {max}");
            return Error::new(Status::TooLarge, format!("{what}: {text}"));
        }
        CommandError::WrongMode => {
            let text = "tags belong to mode = serf, raw meta to mode = memberlist";
            (Status::State, text)
        }
        CommandError::Left => {
            let text = "this node leaves or has left; a join brings it back";
            (Status::State, text)
        }
        CommandError::UnknownMember => (Status::NotFound, "no such member"),
        CommandError::NotAlive => (Status::State, "the member has failed or left"),
        CommandError::Myself => (Status::State, "that is this node itself"),
        CommandError::NotFailed => (Status::State, "the member has not failed"),
        CommandError::Limited => (Status::State, "asked too often"),
    };
    Error::new(status, format!("{what}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_name("query"), None);
    }

    #[test]
    fn a_join_that_reached_anybody_succeeded() {
        let failures = vec![("a:1".to_owned(), JoinFailure::TimedOut)];
        let report = JoinReport {
            contacted: 2,
            failures,
        };
        assert_eq!(join_result(&report), Ok(2));
    }

    #[test]
    fn the_error_of_a_join_is_what_can_be_mended_and_names_every_target() {
        let report = JoinReport {
            contacted: 0,
            failures: vec![
                ("a:1".to_owned(), JoinFailure::Unreachable),
                (
                    "b:2".to_owned(),
                    JoinFailure::Crypto(Refusal::Undecryptable),
                ),
                ("c:3".to_owned(), JoinFailure::Unresolved),
            ],
        };
        let error = join_result(&report).unwrap_err();
        assert_eq!(error.status, Status::Crypto);
        let stock = "No installed keys could decrypt the message";
        for text in [Refusal::Undecryptable.help(), stock] {
            let why = JoinFailure::Refused(text.to_owned());
            assert_eq!(failure_status(&why), Status::Crypto, "{text}");
        }
        for target in ["a:1", "b:2", "c:3", "keys"] {
            assert!(error.message.contains(target), "{}", error.message);
        }
        let nobody = join_result(&JoinReport::default()).unwrap_err();
        assert_eq!(nobody.status, Status::Unreachable);
    }
}
