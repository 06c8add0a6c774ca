//! The checker: conditions that must hold at every step, whatever the network does.
//!
//! * [`View`] replays the events of one node. The events must form a legal history for each member,
//!   and `members()` must list the result of the replay. In one view, the incarnation of a member
//!   never falls while the member is present. A node never sees itself suspect, failed or reaped.
//! * [`datagram`] refuses datagrams that UDP cannot carry or that memberlist 0.2.2 cannot handle.
//! * [`health`] refuses a health score or a count of live members that is out of its range.
//! * [`failure`] refuses a failure of a member while the member, the node that declares it failed,
//!   and the network are well.
//!
//! For each condition, a test checks that a hand-made example that violates it is refused.

use sprat::EventBody;
use sprat::serf::{Member, MemberState, NodeFacts, Tags, encode_tags};
use sprat::swim::Health;
use sprat::time::Time;
use sprat::wire::{Codec, Names, message::Message, packet};
use std::sync::Arc;
use std::time::Duration;

/// The largest payload of a UDP datagram over IPv4.
const DATAGRAM: usize = 65_507;
/// The maximum number of parts of a compound that old receivers accept.
const PARTS: u8 = 127;

/// The state of a member according to the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Unknown,
    Present,
    Suspect,
    Failed,
    Left,
}

/// The facts about a member, besides its standing, that [`View::compare`] needs.
#[derive(Clone, Debug, Default)]
struct Details {
    /// The member as the last event showed it.
    member: Option<Member>,
    /// The highest incarnation listed since the member last failed, left or was reaped.
    incarnation: u32,
}

/// The view of one node, replayed from its events. Member `nI` is number `I`.
#[derive(Clone, Debug)]
pub struct View {
    own: usize,
    standings: Vec<Standing>,
    /// `None` in a cluster so large that its lists are not compared.
    details: Option<Vec<Details>>,
    /// The number of members that are present and not suspect.
    pub alive: usize,
}

/// The number in a name made by the simulator.
pub fn number(name: &str) -> Result<usize, String> {
    let digits = name
        .strip_prefix('n')
        .and_then(|digits| digits.parse().ok());
    digits.ok_or_else(|| format!("{name:?} is not a name of the simulator"))
}

impl View {
    /// Makes the view of node `own`. If `closely` is false, it cannot be compared.
    pub fn new(own: usize, closely: bool) -> View {
        View {
            own,
            standings: Vec::new(),
            details: closely.then(Vec::new),
            alive: 0,
        }
    }

    /// Replays the next event.
    pub fn event(&mut self, event: &EventBody) -> Result<(), String> {
        use Standing::{Failed, Left, Present, Suspect, Unknown};
        let (member, from, to): (_, &[Standing], _) = match event {
            EventBody::MemberJoin(member) => (member, &[Unknown, Failed, Left], Present),
            EventBody::MemberUpdate(member) => (member, &[Present, Suspect], Present),
            EventBody::MemberSuspect(member) => (member, &[Present], Suspect),
            EventBody::MemberAlive(member) => (member, &[Suspect], Present),
            EventBody::MemberFail(member) => (member, &[Present, Suspect], Failed),
            EventBody::MemberLeave(member) => (member, &[Present, Suspect, Failed], Left),
            EventBody::MemberReap(member) => (member, &[Present, Suspect, Failed, Left], Unknown),
            EventBody::User { .. }
            | EventBody::Message { .. }
            | EventBody::RemoteState { .. }
            | EventBody::MemberConflict { .. }
            | EventBody::PingAck { .. }
            | EventBody::Query { .. }
            | EventBody::QueryAck { .. }
            | EventBody::QueryResponse { .. } => return Ok(()),
            EventBody::Done { .. }
            | EventBody::NameRegained {}
            | EventBody::Overflow { .. }
            | EventBody::Log { .. }
            | EventBody::Fatal { .. } => return Err(format!("the core emitted {event:?}")),
        };
        let index = number(&member.name)?;
        let own_end = matches!(to, Suspect | Failed | Unknown);
        if index == self.own && own_end {
            return Err(format!("a node reports itself as {to:?}"));
        }
        let before = *entry(&mut self.standings, index);
        if !from.contains(&before) {
            return Err(format!("{event:?} about a member that is {before:?}"));
        }
        // An update leaves a suspicion as it was.
        let after = match (event, before) {
            (EventBody::MemberUpdate(_), Suspect) => Suspect,
            _ => to,
        };
        self.standings[index] = after;
        self.alive += usize::from(after == Present);
        self.alive -= usize::from(before == Present);
        if let Some(details) = &mut self.details {
            let details = entry(details, index);
            if matches!(to, Failed | Left | Unknown) {
                details.incarnation = 0;
            }
            details.member = (to != Unknown).then(|| member.clone());
        }
        Ok(())
    }

    /// Compares the view with the node's own list.
    pub fn compare<'a>(&mut self, members: impl Iterator<Item = &'a Member>) -> Result<(), String> {
        let mut listed = 0;
        for member in members {
            listed += 1;
            self.compare_one(member)?;
        }
        let standings = self.standings.iter();
        let known = standings.filter(|it| **it != Standing::Unknown).count();
        if known != listed {
            return Err(format!(
                "{listed} members are listed, but the events show {known}"
            ));
        }
        Ok(())
    }

    fn compare_one(&mut self, member: &Member) -> Result<(), String> {
        let index = number(&member.name)?;
        let details = self.details.as_mut().ok_or("this view has no details")?;
        let standing = self.standings.get(index);
        let standing = *standing.ok_or("a listed member never joined")?;
        let seen = entry(details, index);
        let fits = match member.state {
            MemberState::Alive => standing == Standing::Present,
            MemberState::Suspect => standing == Standing::Suspect,
            MemberState::Leaving => {
                matches!(standing, Standing::Present | Standing::Suspect)
            }
            MemberState::Failed => standing == Standing::Failed,
            MemberState::Left => standing == Standing::Left,
        };
        let name = &member.name;
        if !fits {
            return Err(format!(
                "{name} is listed as {:?}, but the events say {standing:?}",
                member.state
            ));
        }
        let here = matches!(standing, Standing::Present | Standing::Suspect);
        let Some(shown) = &seen.member else {
            return Err(format!("{name} is listed, but no event showed it"));
        };
        if here && (shown.tags() != member.tags() || shown.addr != member.addr) {
            return Err(format!(
                "{name} changed without an event: {shown:?}, now {member:?}"
            ));
        }
        if here && member.incarnation < seen.incarnation {
            let (old, new) = (seen.incarnation, member.incarnation);
            return Err(format!(
                "the incarnation of {name} fell from {old} to {new}"
            ));
        }
        if here {
            seen.incarnation = member.incarnation;
        }
        Ok(())
    }
}

/// Returns the entry of member number `index`, which is added if it is missing.
fn entry<T: Clone + Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if index >= list.len() {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

/// Checks a datagram that is about to be sent.
pub fn datagram(codec: &Codec, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > DATAGRAM {
        return Err(format!("a datagram of {} bytes", bytes.len()));
    }
    let opened = packet::open(codec, bytes);
    let opened = opened.map_err(|why| format!("a datagram that cannot be opened: {why:?}"))?;
    let plain = opened.as_bytes();
    if let [7, parts, rest @ ..] = plain {
        if *parts == 0 || *parts > PARTS {
            return Err(format!("a compound of {parts} parts"));
        }
        let lengths = rest
            .get(..2 * usize::from(*parts))
            .ok_or("a compound that is cut")?;
        if lengths.chunks(2).any(|length| length == [0, 0]) {
            return Err("an empty part".to_owned());
        }
    }
    let mut fault = None;
    packet::walk(plain, &mut |part| {
        let names = Names::default();
        let decoded = part.and_then(|part| Message::decode_in(part, &names).map(|_| ()));
        if let Err(why) = decoded {
            fault = Some(format!("a part that cannot be decoded: {why:?}"));
        }
    });
    fault.map_or(Ok(()), Err)
}

/// Checks the health that a node reports.
pub fn health(health: &Health) -> Result<(), String> {
    if health.score > health.score_max {
        return Err(format!(
            "health score {} of {}",
            health.score, health.score_max
        ));
    }
    if health.live > health.known {
        return Err(format!("{} live of {} known", health.live, health.known));
    }
    Ok(())
}

/// The truth about a member that is declared failed.
pub struct Truth {
    pub now: Time,
    /// True if the member takes part in the cluster.
    pub member: bool,
    /// The time since which both the member and the observer have been well: the last start, join
    /// or end of a pause of either. `None` if one of them does not run.
    pub well_since: Option<Time>,
    /// The time since which the network has had no fault; `None` while it has one.
    pub calm_since: Option<Time>,
    /// The time after a fault in which its consequences may still show.
    pub grace: Duration,
}

/// Checks that it was right to declare this member failed. Time zero, the start of the run, is not
/// the end of a fault, so no grace period follows it.
pub fn failure(truth: &Truth) -> Result<(), String> {
    let (Some(well), Some(calm)) = (truth.well_since, truth.calm_since) else {
        return Ok(());
    };
    let excused = |since: Time| since > Time::ZERO && truth.now <= since + truth.grace;
    if !truth.member || excused(well) || excused(calm) {
        return Ok(());
    }
    Err(format!(
        "declared failed although it has been well since {well:?}, and the network since {calm:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: usize, state: MemberState, incarnation: u32) -> Member {
        let addr = "10.0.0.1:7946".parse().unwrap();
        let facts = NodeFacts {
            incarnation,
            ..NodeFacts::new(&format!("n{index}"), addr)
        };
        Member::without_tags(Arc::new(facts), state)
    }

    fn alive(index: usize) -> Member {
        member(index, MemberState::Alive, 1)
    }

    /// Replays a history at node 0. The last event must be refused, and no earlier one. Returns the
    /// reason.
    fn refused(history: &[EventBody]) -> String {
        let mut view = View::new(0, true);
        let (last, legal) = history.split_last().unwrap();
        legal.iter().for_each(|event| view.event(event).unwrap());
        view.event(last).unwrap_err()
    }

    #[test]
    fn a_legal_history_passes_and_counts_the_alive_members() {
        let mut view = View::new(0, true);
        let mut alive_after = Vec::new();
        for event in [
            EventBody::MemberJoin(alive(0)),
            EventBody::MemberJoin(alive(1)),
            EventBody::MemberSuspect(alive(1)),
            EventBody::MemberUpdate(alive(1)),
            EventBody::MemberAlive(alive(1)),
            EventBody::MemberFail(alive(1)),
            EventBody::MemberJoin(alive(1)),
            EventBody::MemberLeave(alive(1)),
            EventBody::MemberReap(alive(1)),
            EventBody::MemberJoin(alive(1)),
        ] {
            view.event(&event).unwrap();
            alive_after.push(view.alive);
        }
        assert_eq!(alive_after, [1, 2, 1, 1, 2, 1, 2, 1, 1, 2]);
        view.compare([&alive(0), &alive(1)].into_iter()).unwrap();
    }

    #[test]
    fn a_second_join_or_anything_before_the_first_is_refused() {
        let join = || EventBody::MemberJoin(alive(1));
        refused(&[join(), join()]);
        refused(&[EventBody::MemberUpdate(alive(1))]);
        refused(&[EventBody::MemberFail(alive(1))]);
        refused(&[EventBody::MemberLeave(alive(1))]);
        refused(&[EventBody::MemberReap(alive(1))]);
        refused(&[EventBody::MemberSuspect(alive(1))]);
        refused(&[join(), EventBody::MemberAlive(alive(1))]);
        refused(&[
            join(),
            EventBody::MemberFail(alive(1)),
            EventBody::MemberUpdate(alive(1)),
        ]);
        refused(&[
            join(),
            EventBody::MemberFail(alive(1)),
            EventBody::MemberFail(alive(1)),
        ]);
        refused(&[
            join(),
            EventBody::MemberReap(alive(1)),
            EventBody::MemberFail(alive(1)),
        ]);
    }

    #[test]
    fn a_node_that_calls_itself_failed_suspect_or_reaped_is_refused() {
        let join = || EventBody::MemberJoin(alive(0));
        refused(&[join(), EventBody::MemberFail(alive(0))]);
        refused(&[join(), EventBody::MemberSuspect(alive(0))]);
        refused(&[join(), EventBody::MemberReap(alive(0))]);
    }

    #[test]
    fn a_list_that_the_events_do_not_explain_is_refused() {
        let mut view = View::new(0, true);
        view.event(&EventBody::MemberJoin(alive(0))).unwrap();
        view.event(&EventBody::MemberJoin(alive(1))).unwrap();
        let mut compare = |members: &[Member]| view.compare(members.iter());
        compare(&[alive(0), alive(1)]).unwrap();
        compare(&[alive(0)]).unwrap_err();
        compare(&[alive(0), alive(1), alive(2)]).unwrap_err();
        compare(&[alive(0), member(1, MemberState::Failed, 1)]).unwrap_err();
        compare(&[alive(0), member(1, MemberState::Suspect, 1)]).unwrap_err();
        let changed = |change: &dyn Fn(&mut NodeFacts)| {
            let mut facts = NodeFacts::clone(&alive(1));
            change(&mut facts);
            Member::with_tags(Arc::new(facts), MemberState::Alive)
        };
        let moved = changed(&|facts| facts.addr = "10.0.0.9:7946".parse().unwrap());
        compare(&[alive(0), moved]).unwrap_err();
        let tags = || Tags::from([("a".into(), "b".into())]);
        let retagged = changed(&|facts| facts.meta = encode_tags(&tags()).into());
        compare(&[alive(0), retagged]).unwrap_err();
    }

    #[test]
    fn an_incarnation_that_falls_is_refused_unless_the_member_was_gone() {
        let mut view = View::new(0, true);
        let listed = |incarnation| [member(1, MemberState::Alive, incarnation)];
        view.event(&EventBody::MemberJoin(alive(1))).unwrap();
        view.compare(listed(3).iter()).unwrap();
        view.compare(listed(3).iter()).unwrap();
        view.compare(listed(2).iter()).unwrap_err();
        view.event(&EventBody::MemberFail(alive(1))).unwrap();
        view.event(&EventBody::MemberJoin(alive(1))).unwrap();
        view.compare(listed(1).iter()).unwrap();
    }

    #[test]
    fn datagrams_that_udp_or_old_receivers_cannot_take_are_refused() {
        let plain = Codec::default();
        let nack = [11, 0x81, 0xa5, b'S', b'e', b'q', b'N', b'o', 1];
        datagram(&plain, &nack).unwrap();
        let compound = |parts: u8| {
            let mut bytes = vec![7, parts];
            (0..parts).for_each(|_| bytes.extend_from_slice(&[0, nack.len() as u8]));
            (0..parts).for_each(|_| bytes.extend_from_slice(&nack));
            bytes
        };
        datagram(&plain, &compound(127)).unwrap();
        assert!(
            datagram(&plain, &compound(128))
                .unwrap_err()
                .contains("128")
        );
        datagram(&plain, &[7, 1, 0, 0]).unwrap_err();
        datagram(&plain, &[7, 0]).unwrap_err();
        datagram(&plain, &[7, 2, 0, 9]).unwrap_err();
        datagram(&plain, &[]).unwrap_err();
        datagram(&plain, &[99]).unwrap_err();
        datagram(&plain, &vec![8; 65_508]).unwrap_err();
        datagram(&plain, &vec![8; 65_507]).unwrap();
    }

    #[test]
    fn a_health_score_out_of_range_is_refused() {
        let at = |score, live| Health {
            score,
            score_max: 7,
            live,
            known: 3,
            isolated: false,
            datagrams_work: true,
            streams_work: true,
            name_conflict: None,
            mismatch: None,
            summary: "",
        };
        health(&at(7, 3)).unwrap();
        health(&at(8, 3)).unwrap_err();
        health(&at(0, 4)).unwrap_err();
    }

    #[test]
    fn a_failure_is_refused_if_neither_the_member_nor_the_network_explains_it() {
        let at = |secs: u64| Time::from_nanos(secs * 1_000_000_000);
        let truth = |well, calm| Truth {
            now: at(100),
            member: true,
            well_since: well,
            calm_since: calm,
            grace: Duration::from_secs(30),
        };
        let zero = Some(Time::ZERO);
        failure(&truth(zero, zero)).unwrap_err();
        failure(&truth(Some(at(60)), zero)).unwrap_err();
        failure(&truth(zero, Some(at(60)))).unwrap_err();
        failure(&truth(Some(at(80)), zero)).unwrap();
        failure(&truth(zero, Some(at(80)))).unwrap();
        failure(&truth(None, zero)).unwrap();
        failure(&truth(zero, None)).unwrap();
        failure(&Truth {
            member: false,
            ..truth(zero, zero)
        })
        .unwrap();
    }
}
