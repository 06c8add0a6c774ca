//! The errors of operations and commands: a status for programs and a sentence for people.

use crate::config::address;
use crate::driver::events::pending::{FailedAddr, Outcome};
use crate::error::{Error, Status};
use crate::key_report::KeyReport;
use crate::serf::{CommandError, LeaveEnd};
use crate::swim::{JoinFailure, JoinReport, SpreadEnd};
use crate::wire::Refusal;
use std::borrow::Cow;
use std::sync::Arc;

/// Returns the outcome of a join or look, with the error of every target that was not reached.
pub(in crate::driver) fn join_outcome(report: &JoinReport) -> Outcome {
    let failed = |(addr, why): &(String, JoinFailure)| FailedAddr {
        addr: addr.clone(),
        error: Error::new(failure_status(why), target_text(addr, why)),
    };
    Outcome {
        failures: report.failures.iter().map(failed).collect(),
        ..join_result(report).into()
    }
}

/// The maximum number of members that the error of a leave or of a query names. The error only
/// counts the others.
const NAMED_MAX: usize = 5;

/// Returns the outcome of a leave. A leave that a live member may have missed is a failure, even
/// though this node has left.
pub(in crate::driver) fn leave_outcome(end: LeaveEnd) -> Outcome {
    let unacked = match end {
        LeaveEnd::Left { unacked } if unacked.is_empty() => return Ok(0).into(),
        LeaveEnd::Left { unacked } => unacked,
        LeaveEnd::Cancelled => {
            let text = "a join cancelled the leave, so this node is still a member";
            return Err(Error::new(Status::State, text)).into();
        }
    };
    let error = Error::new(Status::Unreachable, unacked_text(&unacked));
    Outcome {
        missing: unacked,
        ..Err(error).into()
    }
}

/// Returns the outcome of a query. It is a failure if `missing` names anyone.
pub(in crate::driver) fn query_outcome(answers: usize, missing: Vec<Arc<str>>) -> Outcome {
    if missing.is_empty() {
        return Ok(answers).into();
    }
    let text = format!(
        "the query lacks an ack or answer from: {} (each has failed, has not replied in time, or \
         is not a member)",
        some_names(&missing)
    );
    Outcome {
        missing,
        ..Err(Error::new(Status::Timeout, text)).into()
    }
}

/// Returns the outcome of a key query. It is a failure if a member could not do what was asked, has
/// failed, or has not answered in time.
pub(in crate::driver) fn keys_outcome(report: KeyReport) -> Outcome {
    let failures: Vec<String> = report
        .failures()
        .map(|(member, answer)| format!("{member}: {}", answer.message))
        .collect();
    let (asked, answered) = (report.asked, report.answers.len());
    let mut text = Vec::new();
    if !failures.is_empty() {
        let count = failures.len();
        let failures = some_of(failures, "; ");
        text.push(format!(
            "{count} of {asked} members report a failure: {failures}"
        ));
    }
    if !report.missing.is_empty() {
        let (count, names) = (report.missing.len(), some_names(&report.missing));
        text.push(format!(
            "no answer from {count} of {asked} members: {names} (each has failed or has not \
             replied in time)"
        ));
    }
    let status = match text.len() {
        0 => None,
        _ if report.failures().next().is_some() => Some(Status::State),
        _ => Some(Status::Timeout),
    };
    let error = status.map(|status| Error::new(status, text.join(". ")));
    Outcome {
        keys: Some(report.into()),
        ..error.map_or(Ok(answered), Err).into()
    }
}

fn unacked_text(unacked: &[Arc<str>]) -> String {
    format!(
        "this node has left, but it has no acknowledgement from these members, which may list it \
         as failed: {}",
        some_names(unacked)
    )
}

/// Returns the first few names, and the number of the others.
fn some_names(all: &[Arc<str>]) -> String {
    some_of(all.iter().map(|it| it.to_string()).collect(), ", ")
}

/// Joins the first few texts, and the number of the others.
fn some_of(mut all: Vec<String>, separator: &str) -> String {
    let others = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    if others > 0 {
        all.push(format!("{others} more"));
    }
    all.join(separator)
}

/// Returns the reason why a target was not reached, with a hint if its address may be another one
/// than was meant.
pub(in crate::driver) fn target_text(target: &str, why: &JoinFailure) -> String {
    let text = failure_text(why);
    match address::brackets_hint(target) {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

/// Returns the number of addresses that a join reached. If no node answered, returns an error that
/// lists the reason for each target.
fn join_result(report: &JoinReport) -> crate::error::Result<usize> {
    if report.contacted > 0 {
        return Ok(report.contacted);
    }
    let explained: Vec<String> = report
        .failures
        .iter()
        .map(|(target, why)| format!("{target}: {}", target_text(target, why)))
        .collect();
    let has = |status: Status| {
        let same = |(_, why): &(String, JoinFailure)| failure_status(why) == status;
        report.failures.iter().any(same)
    };
    // The error has the status that a person most likely has to act on: first a wrong key, then
    // another program or version, then a name without an address, and last a silent host.
    let status = [Status::Crypto, Status::Protocol, Status::Address]
        .into_iter()
        .find(|status| has(*status))
        .unwrap_or(Status::Unreachable);
    let message = format!("no node answered: {}", explained.join("; "));
    Err(Error::new(status, message))
}

/// Returns the outcome of a message by stream.
pub(in crate::driver) fn message_outcome(failure: Option<JoinFailure>) -> Outcome {
    let error = failure.map(|why| {
        let message = format!("the message has not arrived: {}", failure_text(&why));
        Error::new(failure_status(&why), message)
    });
    error.map_or(Ok(0), Err).into()
}

/// Returns the outcome of a wait for the gossip about a change of this node.
pub(in crate::driver) fn spread_outcome(end: SpreadEnd) -> Outcome {
    let (status, text) = match end {
        SpreadEnd::Spread => return Ok(0).into(),
        SpreadEnd::Left => {
            let text = "this node has left, so its last change is not gossiped any more";
            (Status::State, text)
        }
        SpreadEnd::NameTaken => {
            let text = "another node has the name of this node, so nothing about this node is \
                        gossiped";
            (Status::NameConflict, text)
        }
    };
    Err(Error::new(status, text)).into()
}

fn failure_status(why: &JoinFailure) -> Status {
    match why {
        JoinFailure::Unresolved | JoinFailure::Protocol(Refusal::OwnAddress) => Status::Address,
        JoinFailure::Unreachable | JoinFailure::ConnectionRefused | JoinFailure::TimedOut => {
            Status::Unreachable
        }
        JoinFailure::Crypto(_) => Status::Crypto,
        JoinFailure::Refused(text) if is_about_keys(text) => Status::Crypto,
        JoinFailure::ClosedUnanswered | JoinFailure::Protocol(_) | JoinFailure::Refused(_) => {
            Status::Protocol
        }
    }
}

/// Returns true if the error with which a member answered is about encryption. The errors of Serf's
/// agent and of this library both contain one of these words.
fn is_about_keys(text: &str) -> bool {
    text.contains("decrypt") || text.contains("encrypt")
}

/// Returns the text that explains why one target of a join or look failed.
pub(in crate::driver) fn failure_text(why: &JoinFailure) -> String {
    match why {
        JoinFailure::Unresolved => "the name has no address".to_owned(),
        JoinFailure::Unreachable => "the connection failed or broke".to_owned(),
        JoinFailure::ConnectionRefused => "connection refused".to_owned(),
        JoinFailure::ClosedUnanswered => "the peer closed the connection without an answer: the \
             labels of the two nodes differ, or the peer is shutting down, or it is not a member \
             (a Serf agent accepts members at its bind port, 7946 by default, and not at its RPC \
             port, 7373)"
            .to_owned(),
        JoinFailure::TimedOut => "no answer in time".to_owned(),
        JoinFailure::Crypto(Refusal::UnexpectedEncryption) => {
            "the peer encrypts, and this node has no key".to_owned()
        }
        JoinFailure::Crypto(Refusal::PlaintextRefused) => {
            "this node has a key, and the peer does not encrypt".to_owned()
        }
        JoinFailure::Crypto(_) => "the keys or the labels of the two nodes differ".to_owned(),
        JoinFailure::Protocol(Refusal::Incompatible) => {
            "the peer speaks other versions of the protocol, or one node is in serf mode and the \
             other in memberlist mode"
                .to_owned()
        }
        JoinFailure::Protocol(Refusal::OwnAddress) => {
            "this node advertises a loopback address, which the nodes there cannot reach: set \
             advertise, or set bind to [::] if only IPv6 has an address that other hosts can reach"
                .to_owned()
        }
        JoinFailure::Protocol(Refusal::UnknownType) => {
            "the program that listens there does not speak this protocol".to_owned()
        }
        JoinFailure::Protocol(refusal) => {
            format!("the answer of the peer was refused: {}", refusal.help())
        }
        JoinFailure::Refused(text) => format!("the peer answered with an error: {text}"),
    }
}

/// Returns the error of a refused command. `what` names the command.
pub(in crate::driver) fn command_error(what: &str, why: &CommandError) -> Error {
    let text = command_text(why);
    Error::new(command_status(why), format!("{what}: {text}"))
}

fn command_status(why: &CommandError) -> Status {
    use CommandError::*;
    match why {
        TooLarge { .. } | EventTooLarge { .. } | MessageTooLarge { .. } => Status::TooLarge,
        BadExpression { .. } | ReservedName => Status::Invalid,
        UnknownQuery | UnknownMember | NotMeasured => Status::NotFound,
        QueryOver => Status::Timeout,
        TooManyMessages | TooManyEvents | TooManyBroadcasts | TooManyQueries => Status::State,
        TooManyLooks | Limited => Status::State,
        NoKeyring | PrimaryKey | UnknownKey => Status::State,
        WrongMode | AckPayloadTaken | NoCoordinates => Status::State,
        Left | AlreadyAnswered | NotAlive | Myself | NotFailed => Status::State,
    }
}

fn command_text(why: &CommandError) -> Cow<'static, str> {
    use CommandError::*;
    let text = match why {
        TooLarge { len, max } => {
            let len = format!("the tags or meta take {len} bytes together");
            return format!("{len}, at most {max} are allowed").into();
        }
        EventTooLarge { content, len, max } => {
            let len = format!("{content} bytes, and take {len} bytes when encoded");
            let max = format!("at most {max} are allowed");
            return format!("its name and payload have {len}; {max}").into();
        }
        MessageTooLarge { len, max, bound } => {
            return format!("it has {len} bytes; the limit {bound} is {max} bytes").into();
        }
        BadExpression { expression, why } => {
            return format!("the regular expression \"{expression}\" is wrong: {why}").into();
        }
        TooManyMessages => {
            "1,024 messages or 64 MiB of them wait to be sent by stream, which is the maximum; try \
             again later"
        }
        ReservedName => "names that begin with \"_serf_\" are reserved for Serf itself",
        TooManyEvents => {
            "2,048 user events wait until gossip has room for them, which is the maximum; try \
             again later"
        }
        TooManyBroadcasts => {
            "4,096 broadcasts wait to be gossiped, which is the maximum; try again later, or give \
             the broadcast the name of one that waits, to replace it"
        }
        TooManyQueries => "256 queries are under way, which is the maximum; try again later",
        UnknownQuery => "there is no such query",
        QueryOver => "the time for an answer is over",
        AlreadyAnswered => "the query was answered already",
        NoKeyring => "this node does not encrypt, so it manages no keys; start it with a key",
        PrimaryKey => "the key is the primary key of this node; let the cluster use another first",
        UnknownKey => "this node does not hold the key; install it first",
        WrongMode => {
            "tags, user events, queries and keys need mode = serf; raw meta, messages and states \
             need mode = memberlist"
        }
        AckPayloadTaken => {
            "in mode = serf, acks carry the network coordinate of this node; a payload of the \
             program needs mode = memberlist"
        }
        Left => "this node is leaving or has left; a join makes it a member again",
        TooManyLooks => "16 looks are under way, which is the maximum; try again later",
        UnknownMember => "there is no such member",
        NoCoordinates => "coordinates need mode = serf and coordinates = true",
        NotMeasured => {
            "the member has not sent its coordinate to this node yet; it comes with the answer to \
             a ping"
        }
        NotAlive => "the member has failed or left",
        Myself => "the member is this node itself",
        NotFailed => "the member has not failed",
        Limited => {
            "a hint about this member is still under way, or too many others are; try again later"
        }
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_report::KeyAnswer;

    #[test]
    fn a_join_that_reached_any_node_succeeded() {
        let failures = vec![("a:1".to_owned(), JoinFailure::TimedOut)];
        let report = JoinReport {
            contacted: 2,
            reached_another: true,
            failures,
        };
        assert_eq!(join_result(&report), Ok(2));
    }

    #[test]
    fn the_error_of_a_join_has_the_status_to_act_on_and_names_every_target() {
        let report = JoinReport {
            contacted: 0,
            reached_another: false,
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
        let no_targets = join_result(&JoinReport::default()).unwrap_err();
        assert_eq!(no_targets.status, Status::Unreachable);
    }

    #[test]
    fn the_error_of_a_leave_names_members_that_did_not_acknowledge_it() {
        let unacked = |names: &[&str]| LeaveEnd::Left {
            unacked: names.iter().map(|&name| name.into()).collect(),
        };
        assert_eq!(leave_outcome(unacked(&[])).result, Ok(0));
        let outcome = leave_outcome(unacked(&["a", "b", "c", "d", "e", "f", "g"]));
        let error = outcome.result.unwrap_err();
        assert_eq!(
            (error.status, outcome.missing.len()),
            (Status::Unreachable, 7)
        );
        assert!(
            error.message.ends_with("failed: a, b, c, d, e, 2 more"),
            "{error}"
        );
        let cancelled = leave_outcome(LeaveEnd::Cancelled).result.unwrap_err();
        assert_eq!(cancelled.status, Status::State);
    }

    #[test]
    fn the_error_of_a_query_holds_for_members_that_failed_that_are_silent_and_that_do_not_exist() {
        assert_eq!(query_outcome(3, Vec::new()).result, Ok(3));
        let missing: Vec<Arc<str>> = ["a", "b", "c", "d", "e", "f"].map(Arc::from).into();
        let outcome = query_outcome(3, missing.clone());
        assert_eq!(outcome.missing, missing);
        let error = outcome.result.unwrap_err();
        assert_eq!(error.status, Status::Timeout);
        let expected = "the query lacks an ack or answer from: a, b, c, d, e, 1 more (each has \
                        failed, has not replied in time, or is not a member)";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn the_error_of_a_key_query_names_the_members_that_failed_and_those_that_are_silent() {
        let answer = |done, message: &str| KeyAnswer {
            done,
            message: message.to_owned(),
        };
        let mut report = KeyReport {
            asked: 3,
            ..KeyReport::default()
        };
        report.answers.insert("a".into(), answer(true, "a remark"));
        let outcome = keys_outcome(report.clone());
        assert_eq!(outcome.result, Ok(1));
        assert_eq!(*outcome.keys.unwrap(), report);
        report.missing.push("c".into());
        let error = keys_outcome(report.clone()).result.unwrap_err();
        assert_eq!(error.status, Status::Timeout);
        let no_answer = "no answer from 1 of 3 members: c (each has failed or has not replied in \
                         time)";
        assert_eq!(error.message, no_answer);
        report.answers.insert("b".into(), answer(false, "no\nkey"));
        let error = keys_outcome(report).result.unwrap_err();
        assert_eq!(error.status, Status::State);
        let failure = "1 of 3 members report a failure: b: no\\x0akey";
        assert_eq!(error.message, format!("{failure}. {no_answer}"));
    }
}
