//! The queries by which Serf's own nodes talk to each other. Their names begin with `_serf_`, and
//! no application sees them. Key queries are in `serf/keys` and `own_keys.rs`.

use crate::serf::shared::common::Common;
use crate::serf::shared::members::SerfStatus;
use crate::wire::serf_message::{ConflictResponse, Query, encode_tags};
use crate::wire::{address, wire_name};

/// The beginning of the names of internal queries.
const PREFIX: &[u8] = b"_serf_";

/// A query that each node only acknowledges. Applications may send it, too.
pub(in crate::serf) const PING: &[u8] = b"_serf_ping";

/// Asks where the members list a name: the vote about two nodes with one name.
pub(in crate::serf) const CONFLICT: &[u8] = b"_serf_conflict";

/// Returns true if queries of this name are not for the application.
pub(in crate::serf) fn is_internal(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Returns the answer of this node; `None` if it has none.
pub(in crate::serf) fn answer(common: &Common, query: &Query<'_>) -> Option<Vec<u8>> {
    match is_vote(query) {
        true => vote(common, query.payload.unwrap_or_default()),
        false => None,
    }
}

fn is_vote(query: &Query<'_>) -> bool {
    query.name == CONFLICT
}

/// Returns true for a vote whose sender asks about its own name, and if a member is known by that
/// name. The sender then is that member, or another node that has the same name at another address.
pub(in crate::serf) fn is_vote_of_claimant(common: &Common, query: &Query<'_>) -> bool {
    let name = wire_name::to_text(query.payload.unwrap_or_default());
    is_vote(query) && *name == *query.source_node && common.members.get(&name).is_some()
}

/// Returns the vote about a name that two nodes claim: what this node knows about the member with
/// that name. A node does not vote about its own name.
fn vote(common: &Common, name: &[u8]) -> Option<Vec<u8>> {
    let name = wire_name::to_text(name);
    if common.is_self(&name) {
        return None;
    }
    let Some(row) = common.members.get(&name) else {
        return Some(ConflictResponse::encoded(None));
    };
    let addr = address::encode(row.member.addr.ip(), false);
    let tags = encode_tags(&row.member.tags().to_map());
    let [protocol_min, protocol_max, protocol_cur] = row.member.protocol();
    let [delegate_min, delegate_max, delegate_cur] = row.member.delegate();
    let vote = ConflictResponse {
        name: &name,
        addr: &addr,
        port: row.member.addr.port(),
        tags: &tags[1..], // without the byte that marks a meta as tags
        status: match row.status {
            SerfStatus::Alive => 1,
            SerfStatus::Leaving => 2,
            SerfStatus::Left => 3,
            SerfStatus::Failed => 4,
        },
        protocol_min,
        protocol_max,
        protocol_cur,
        delegate_min,
        delegate_max,
        delegate_cur,
    };
    Some(ConflictResponse::encoded(Some(&vote)))
}
