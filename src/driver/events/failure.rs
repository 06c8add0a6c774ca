//! How joins and commands fail, in the words of the application's errors.

use crate::driver::events::pending::Outcome;
use crate::error::{Error, Status};
use crate::serf;
use crate::swim::{JoinFailure, JoinReport};
use crate::wire::Refusal;

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
