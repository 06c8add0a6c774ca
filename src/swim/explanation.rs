//! The explanation of a member's state, and its text: one paragraph of plain English.

use crate::printable;
use crate::swim::table::probe_report::{HelperReport, ProbeAnswer, ProbeReport};
use crate::vocabulary::MemberState;
use crate::wire::Refusal;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The reason why a member is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its name.
    pub name: Arc<str>,
    /// Its address.
    pub addr: SocketAddr,
    /// Its state in the SWIM layer, which does not know that a member is leaving.
    pub state: MemberState,
    /// The time that it has been in this state.
    pub since: Duration,
    /// Its incarnation.
    pub incarnation: u32,
    /// The member that suspected it or declared it dead; `None` if it is alive or has left.
    pub accuser: Option<Arc<str>>,
    /// The other members that confirmed the suspicion; empty if the member is not a suspect.
    pub confirmations: Vec<Arc<str>>,
    /// The number of confirmations that shorten the wait to its minimum; 0 if the member is not a
    /// suspect.
    pub confirmations_wanted: u32,
    /// The time until a suspect is declared dead unless it refutes. Confirmations shorten this
    /// time, and a reprieve extends it. `None` if the member is not a suspect.
    pub time_left: Option<Duration>,
    /// The last probe that has ended, final probes without an answer excepted; `None` if there was
    /// none.
    pub probe: Option<ProbeReport>,
    /// The reason why the last bytes from its address could not be read at all, because keys or
    /// labels differ, and the time since then; `None` if no such bytes arrived within the last 90
    /// seconds.
    pub unreadable: Option<(Refusal, Duration)>,
}

fn describe_answer(answer: ProbeAnswer) -> &'static str {
    match answer {
        ProbeAnswer::NotAsked => "not tried",
        ProbeAnswer::Answered => "answered",
        ProbeAnswer::Nack => "no answer there either",
        ProbeAnswer::Silent => "no answer",
    }
}

/// Returns the end of a sentence about a member: its state, and how long the member has been in
/// that state.
fn describe_state(state: MemberState, since: Duration) -> String {
    let since = duration(since);
    match state {
        MemberState::Alive => format!("has been alive for {since}"),
        MemberState::Suspect => format!("has been suspected for {since}"),
        MemberState::Failed => format!("failed {since} ago"),
        MemberState::Leaving => format!("has been leaving for {since}"),
        MemberState::Left => format!("left {since} ago"),
    }
}

/// Formats a duration in the unit that suits it.
fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

impl fmt::Display for Explanation {
    /// Writes the explanation as a paragraph of plain English, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&paragraph(self)))
    }
}

fn paragraph(it: &Explanation) -> String {
    let mut text = format!(
        "{} ({}) {}.",
        it.name,
        it.addr,
        describe_state(it.state, it.since)
    );
    // Writing to a String cannot fail, here and in the other functions.
    if let Some(accuser) = &it.accuser {
        let _ = write!(text, " {accuser} accused it");
        let _ = match (it.confirmations.as_slice(), it.confirmations_wanted) {
            ([], 0) => write!(text, "."),
            ([], wanted) => write!(
                text,
                "; not confirmed by any other member yet (0 of {wanted})."
            ),
            (by, wanted) => {
                write!(
                    text,
                    "; confirmed by {} ({} of {wanted}).",
                    by.join(", "),
                    by.len()
                )
            }
        };
    }
    if let Some(left) = it.time_left {
        let _ = write!(text, " It has {} left to refute this.", duration(left));
    }
    match &it.probe {
        None => text.push_str(" This node has not probed it."),
        Some(probe) => describe_probe(&mut text, probe),
    }
    if let Some((why, ago)) = it.unreadable {
        let (ago, help) = (duration(ago), why.help());
        let advice = why.advice().unwrap_or_default();
        let _ = write!(
            text,
            " Bytes from its address were refused {ago} ago: {help} {advice}"
        );
    }
    text
}

fn describe_probe(text: &mut String, probe: &ProbeReport) {
    let _ = write!(
        text,
        " Last probe {} ago. By datagram: {}. By stream: {}",
        duration(probe.ago),
        describe_answer(probe.direct),
        describe_answer(probe.stream)
    );
    for HelperReport { name, answer } in &probe.helpers {
        let _ = write!(text, ". Through {name}: {}", describe_answer(*answer));
    }
    text.push('.');
    if let Some(rtt) = probe.rtt {
        let _ = write!(
            text,
            " Last round trip: {}.{:03} ms.",
            rtt.as_millis(),
            rtt.subsec_micros() % 1000
        );
    }
}

#[cfg(test)]
impl Explanation {
    /// Returns the explanation of a suspect with every field set, for tests.
    pub(crate) fn of_a_suspect() -> Explanation {
        Explanation {
            name: "db1".into(),
            addr: ([10, 0, 0, 3], 7946).into(),
            state: MemberState::Suspect,
            since: Duration::from_millis(2_340),
            incarnation: 4,
            accuser: Some("web1".into()),
            confirmations: vec!["web2".into()],
            confirmations_wanted: 2,
            time_left: Some(Duration::from_millis(1_800)),
            probe: Some(ProbeReport {
                ago: Duration::from_millis(600),
                direct: ProbeAnswer::Silent,
                stream: ProbeAnswer::NotAsked,
                helpers: vec![
                    HelperReport {
                        name: "web2".into(),
                        answer: ProbeAnswer::Nack,
                    },
                    HelperReport {
                        name: "web3".into(),
                        answer: ProbeAnswer::Answered,
                    },
                ],
                rtt: Some(Duration::from_micros(1_045)),
            }),
            unreadable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_one_paragraph() {
        assert_eq!(
            Explanation::of_a_suspect().to_string(),
            "db1 (10.0.0.3:7946) has been suspected for 2.3 s. web1 accused it; confirmed by web2 \
             (1 of 2). It has 1.8 s left to refute this. Last probe 600 ms ago. By datagram: no \
             answer. By stream: not tried. Through web2: no answer there either. Through web3: \
             answered. Last round trip: 1.045 ms."
        );
    }

    #[test]
    fn an_explanation_says_that_messages_from_the_member_cannot_be_decrypted() {
        let rotated = Explanation {
            accuser: None,
            time_left: None,
            probe: None,
            unreadable: Some((Refusal::Undecryptable, Duration::from_millis(400))),
            ..Explanation::of_a_suspect()
        };
        assert_eq!(
            rotated.to_string(),
            "db1 (10.0.0.3:7946) has been suspected for 2.3 s. This node has not probed it. Bytes \
             from its address were refused 400 ms ago: Bytes that none of the keys decrypts. \
             Compare keys and labels; after a key rotation, restart this node with the new key."
        );
    }

    #[test]
    fn a_member_that_is_not_suspected_has_a_short_paragraph() {
        let calm = Explanation {
            state: MemberState::Alive,
            since: Duration::from_secs(10_000),
            accuser: None,
            confirmations: Vec::new(),
            confirmations_wanted: 0,
            time_left: None,
            probe: None,
            ..Explanation::of_a_suspect()
        };
        assert_eq!(
            calm.to_string(),
            "db1 (10.0.0.3:7946) has been alive for 2 h. This node has not probed it."
        );
    }
}
