//! Looks: the state that another node sent, as a list of members.
//!
//! A node forgets the address and the tags of a member soon after the member has failed or left,
//! but in serf mode it keeps the name for a day by default. Such a member is listed without tags,
//! at the address 0.0.0.0:0.

use crate::serf::shared::common::Common;
use crate::serf::shared::members::ByName;
use crate::serf::{Member, MemberState, NodeFacts};
use crate::swim::{NodeState, RemoteState};
use crate::wire::Names;
use crate::wire::serf_message::SerfPushPull;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Returns the members that another node lists, sorted by name.
pub(in crate::serf) fn members(common: &mut Common, state: &RemoteState) -> Vec<Member> {
    let names = Names::default();
    let serf = decode_serf_part(common, &names, &state.user_state);
    let left = serf.times_of_left_members();
    let mut found: ByName<Member> = ByName::new();
    let mut list = |member: Member, state: NodeState| {
        let state = member_state(state, left.contains_key(&*member.name));
        found.insert(member.name.clone(), Box::new(member.in_state(state)));
    };
    for (name, _) in &serf.status_ltimes {
        list(forgotten_member(name), NodeState::Dead);
    }
    for node in &state.nodes {
        list(common.describe(node), node.state);
    }
    found.into_values().map(|member| *member).collect()
}

/// Decodes the Serf part of a node's state. Returns an empty state in memberlist mode, or if the
/// part is missing or refused.
fn decode_serf_part<'a>(
    common: &mut Common,
    names: &'a Names,
    bytes: &'a [u8],
) -> SerfPushPull<'a> {
    if bytes.is_empty() || !common.is_serf() {
        return SerfPushPull::default();
    }
    let state = SerfPushPull::decode_in(bytes, names);
    let left_out = names.take_left_out().into_iter();
    let refused = left_out.chain(state.as_ref().err().copied());
    refused.for_each(|why| common.out.refuse(why));
    state.unwrap_or_default()
}

/// A member of which only the name is known.
fn forgotten_member(name: &str) -> Member {
    let facts = NodeFacts {
        name: name.into(),
        addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        meta: Box::default(),
        vsn: [0; 6],
        incarnation: 0,
    };
    Member::without_tags(Arc::new(facts), MemberState::Failed)
}

/// Returns the state that the application sees, from the state in the other node's list.
fn member_state(state: NodeState, is_listed_as_left: bool) -> MemberState {
    match (state, is_listed_as_left) {
        (NodeState::Alive, false) => MemberState::Alive,
        (NodeState::Suspect, false) => MemberState::Suspect,
        (NodeState::Alive | NodeState::Suspect, true) => MemberState::Leaving,
        (NodeState::Dead, false) => MemberState::Failed,
        (NodeState::Dead, true) | (NodeState::Left, _) => MemberState::Left,
    }
}
