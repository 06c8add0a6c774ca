//! Explanation: why a member is in its state, and how this node itself is doing.

use super::members::Entry;
use super::suspicion::{self, Suspicion};
use super::{NameConflict, NodeState, Swim};
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// So many unanswered attempts in a row mean that something does not work.
const SILENCE: u32 = 3;

/// How one direct, indirect or stream probe of a member went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not asked, or another way brought the answer first.
    NotAsked,
    /// Asked, nothing yet.
    Waiting,
    /// It answered.
    Answered,
    /// The helper said that the member does not answer.
    Nack,
    /// Nothing came.
    Silent,
}

/// The last probe of a member by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// How long ago it began.
    pub ago: Duration,
    /// The direct ping.
    pub direct: Answer,
    /// The stream ping.
    pub stream: Answer,
    /// Every helper that was asked.
    pub helpers: Vec<(Arc<str>, Answer)>,
    /// Round-trip time of the last answer to a direct ping.
    pub rtt: Option<Duration>,
}

impl ProbeReport {
    /// The probe is over: nobody is waited for any more. `asked_all`: the direct ping had its
    /// time, and others were asked. Who had not answered when somebody else did had no time to:
    /// that is not silence.
    pub(super) fn end(&mut self, asked_all: bool, answered: bool) {
        let over = |silent| {
            if silent {
                Answer::Silent
            } else {
                Answer::NotAsked
            }
        };
        if self.direct == Answer::Waiting {
            self.direct = over(asked_all);
        }
        let helpers = self.helpers.iter_mut().map(|(_, answer)| answer);
        for answer in helpers.chain([&mut self.stream]) {
            if *answer == Answer::Waiting {
                *answer = over(!answered);
            }
        }
    }
}

/// Why a member is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The member.
    pub name: Arc<str>,
    /// Where.
    pub addr: SocketAddr,
    /// Its state in the SWIM layer.
    pub state: NodeState,
    /// How long it has been in it.
    pub since: Duration,
    /// Its incarnation.
    pub incarnation: u32,
    /// Who suspected it or declared it dead; empty when alive.
    pub accuser: Option<Arc<str>>,
    /// Others who confirmed the suspicion.
    pub confirmations: Vec<Arc<str>>,
    /// Confirmations that shorten the wait fully.
    pub confirmations_wanted: u32,
    /// Time until a suspect is declared dead.
    pub time_left: Option<Duration>,
    /// The last probe, if this node has probed it.
    pub probe: Option<ProbeReport>,
}

/// The node's own health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Lifeguard's score: 0 is healthy.
    pub score: u32,
    /// Upper end of the score, inclusive.
    pub score_max: u32,
    /// Members alive or suspect, this node included.
    pub live: usize,
    /// Members known and not left, this node and lost ones included.
    pub known: usize,
    /// None of several others was heard for a suspicion timeout, or more than half of them are
    /// suspects or died within two of them.
    pub isolated: bool,
    /// Datagrams get answers.
    pub datagrams_work: bool,
    /// Streams get answers.
    pub streams_work: bool,
    /// Where members list this node's name beside its own address, and who is there.
    pub name_conflict: Option<(SocketAddr, NameConflict)>,
    /// One sentence, as "streams work, datagrams do not".
    pub summary: &'static str,
}

impl Swim {
    /// Why a member is in its state. `None` if the name is unknown in this layer.
    pub fn explain(&self, now: Time, name: &str) -> Option<Explanation> {
        let entry = self.table.get(self.table.find(name)?)?;
        let node = &entry.node;
        let suspicion = entry.suspicion.as_deref();
        let probe = entry.probe.as_deref().map(|(began, report)| ProbeReport {
            ago: now.since(*began),
            ..report.clone()
        });
        Some(Explanation {
            name: node.name.clone(),
            addr: node.addr,
            state: node.state,
            since: now.since(node.since),
            incarnation: node.incarnation,
            accuser: suspicion
                .map(|s| s.accuser().clone())
                .or_else(|| entry.accuser.clone()),
            confirmations: suspicion
                .map(|s| s.confirmed_by().to_vec())
                .unwrap_or_default(),
            confirmations_wanted: suspicion.map_or(0, Suspicion::wanted),
            time_left: suspicion.map(|s| s.deadline().since(now)),
            probe,
        })
    }

    /// How this node itself is doing.
    pub fn health(&self, now: Time) -> Health {
        let datagrams_work = self.probes.datagram_failures < SILENCE;
        let streams_work = self.probes.stream_failures < SILENCE;
        let isolated = self.is_isolated(now);
        let name_conflict = self.name_conflicts.claimed();
        let summary = match (isolated, name_conflict, datagrams_work, streams_work) {
            (true, _, _, _) => {
                "isolated: most of the cluster is out of sight, so the fault may be here"
            }
            (false, Some((_, verdict)), _, _) => of_name_conflict(verdict),
            (false, None, true, true) if self.is_waiting_for_seeds() => "alone: no seed answers",
            (false, None, true, true) if self.awareness.score() == 0 => "healthy",
            (false, None, true, true) => "slow: answers came late or not at all lately",
            (false, None, false, true) => "streams work, datagrams do not",
            (false, None, true, false) => "datagrams work, streams do not",
            (false, None, false, false) => "neither datagrams nor streams get answers",
        };
        Health {
            score: self.awareness.score(),
            score_max: self.awareness.max(),
            live: self.table.live(),
            known: 1 + self.others_known(),
            isolated,
            datagrams_work,
            streams_work,
            name_conflict,
            summary,
        }
    }

    /// Nobody else is known, and there are seeds that could tell of others.
    pub fn is_waiting_for_seeds(&self) -> bool {
        self.others_known() == 0 && self.has_other_seeds()
    }

    /// Members that have not left, this node not counted: those of the table, and those that were
    /// lost so long ago that the table has forgotten them.
    fn others_known(&self) -> usize {
        let here =
            |(slot, entry): &(_, &Entry)| *slot != self.own && entry.node.state != NodeState::Left;
        let gone = |name: &&Arc<str>| self.table.find(name).is_none();
        self.table.iter().filter(here).count() + self.reconnect.lost().filter(gone).count()
    }

    /// Is it us? Several are known, and none of them was heard for a suspicion time, or more than
    /// half of them are suspects or died within two of them. It has to be known before the first
    /// of them is given up: what acts on failures looks here when it hears of one. Of a single
    /// other member nobody can tell on whose side the fault is.
    fn is_isolated(&self, now: Time) -> bool {
        let known = self.others_known();
        if known < 2 {
            return false;
        }
        let wait = suspicion::shortest(&self.config, self.table.len());
        let out_of_sight = |(_, entry): &(_, &Entry)| match entry.node.state {
            NodeState::Suspect => true,
            NodeState::Dead => now.since(entry.node.since) <= wait * 2,
            NodeState::Alive | NodeState::Left => false,
        };
        let missing = self.table.iter().filter(out_of_sight).count();
        now.since(self.last_heard) >= wait || 2 * missing > known
    }
}

fn of_name_conflict(verdict: NameConflict) -> &'static str {
    match verdict {
        NameConflict::Asked => "members list this node's name at another address",
        NameConflict::Alive => {
            "another node answers to this node's name, and a member can know only one of the two"
        }
        NameConflict::Silent => {
            "members list this node's name at another address, where nobody answers, \
             and take this one's when that one has been failed for a while"
        }
    }
}

#[cfg(test)]
impl Explanation {
    /// A suspect about which everything is known, for tests.
    pub(crate) fn of_a_suspect() -> Explanation {
        Explanation {
            name: "db1".into(),
            addr: ([10, 0, 0, 3], 7946).into(),
            state: NodeState::Suspect,
            since: Duration::from_millis(2_340),
            incarnation: 4,
            accuser: Some("web1".into()),
            confirmations: vec!["web2".into()],
            confirmations_wanted: 2,
            time_left: Some(Duration::from_millis(1_800)),
            probe: Some(ProbeReport {
                ago: Duration::from_millis(600),
                direct: Answer::Silent,
                stream: Answer::Waiting,
                helpers: vec![
                    ("web2".into(), Answer::Nack),
                    ("web3".into(), Answer::Answered),
                ],
                rtt: Some(Duration::from_micros(1_045)),
            }),
        }
    }
}
