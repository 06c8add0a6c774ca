//! Push/pull: two nodes tell each other everything they know.
//!
//! Who dials sends its state and reads the other's. Who answers reads, sends its own state as it
//! was before, then merges. A remote *dead* is taken as a suspicion only: nobody dies by hearsay.

use super::members;
use super::news::{Spread, versions};
use super::streams::Purpose;
use super::{JoinFailure, NodeState, Notice, OpId, StreamId, Swim};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Alive, PushPull, PushPullNode};
use crate::wire::stream::Side;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A push/pull that this node began.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The join flag of its header.
    pub join: bool,
    /// Why it was begun.
    pub cause: Cause,
    /// Only this node's own entry is sent: the answer is what counts.
    pub pull_only: bool,
    pub peer: SocketAddr,
}

/// Why a push/pull was begun.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// A join command, with the target as the caller wrote it.
    Join { op: OpId, target: String },
    /// The regular exchange with a random member.
    Periodic,
    /// After a burst of joins.
    JoinSync,
    /// A seed or a lost member is asked again.
    Reconnect,
    /// A suspect answers, but its refutation was lost.
    Suspect,
    /// A node that we do not know believes that we are in its cluster.
    Stranger,
    /// Somebody lists our name at another address.
    NameConflict,
}

impl Swim {
    pub(super) fn begin_exchange(&mut self, now: Time, exchange: Exchange) -> StreamId {
        self.stats.push_pulls += 1;
        let deadline = now + self.config.stream_timeout;
        self.dial(exchange.peer, Purpose::PushPull(exchange), deadline)
    }

    /// The regular exchange; its period grows with the cluster.
    pub(super) fn push_pull_tick(&mut self, now: Time) {
        self.arm_push_pull(now, Duration::ZERO);
        if self.left {
            return;
        }
        let own = self.own;
        let chosen = self.table.choose(1, &mut self.random, |slot, entry| {
            slot != own && entry.node.state == NodeState::Alive
        });
        let Some(peer) = chosen.first().and_then(|&slot| self.table.get(slot)) else {
            return;
        };
        let peer = peer.node.addr;
        if self.may_dial() {
            let cause = Cause::Periodic;
            self.begin_exchange(
                now,
                Exchange {
                    join: false,
                    cause,
                    pull_only: false,
                    peer,
                },
            );
        }
    }

    pub(super) fn arm_push_pull(&mut self, now: Time, delay: Duration) {
        let interval = self.config.push_pull_interval;
        if interval.is_zero() {
            return;
        }
        let period = interval * push_pull_scale(self.table.len());
        self.timers
            .set(super::timer::Timer::PushPull, now + period + delay);
    }

    /// The layer above gives its user state for a push/pull that asked for it.
    pub fn provide_user_state(&mut self, now: Time, id: StreamId, bytes: Vec<u8>) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        match &mut stream.purpose {
            Purpose::PushPull(exchange) => {
                let (join, pull_only) = (exchange.join, exchange.pull_only);
                let state = self.local_state(join, pull_only, &bytes);
                self.write(id, Side::Dialled, &state);
            }
            Purpose::Answer { join, request } => {
                let (join, request) = (*join, std::mem::take(request));
                let state = self.local_state(join, false, &bytes);
                self.write(id, Side::Accepted, &state);
                self.close(id);
                // The state above was taken before this merge, as the protocol has it.
                if let Err(refusal) = self.merge_remote(now, &request) {
                    self.refuse(refusal);
                }
            }
            Purpose::Ping { .. } | Purpose::Serve => {}
        }
    }

    /// A push/pull request is complete: ask the layer above for its part of the answer.
    pub(super) fn serve_exchange(&mut self, id: StreamId, request: Vec<u8>) {
        let join = match PushPull::decode(&request) {
            Ok(state) => state.join,
            Err(refusal) => {
                self.refuse(refusal);
                return self.answer_error(id, refusal.help());
            }
        };
        if let Some(stream) = self.streams.get_mut(id) {
            stream.purpose = Purpose::Answer { join, request };
            self.notices.push_back(Notice::WantUserState { id, join });
        }
    }

    /// The answer to a push/pull of ours.
    pub(super) fn finish_exchange(&mut self, now: Time, exchange: Exchange, answer: &[u8]) {
        self.probes.stream_failures = 0;
        match self.merge_remote(now, answer) {
            Ok(gained) => self.exchange_succeeded(now, exchange, gained),
            Err(refusal) => {
                self.refuse(refusal);
                self.exchange_failed(now, exchange, JoinFailure::Protocol(refusal));
            }
        }
    }

    fn exchange_succeeded(&mut self, now: Time, exchange: Exchange, gained: u32) {
        match exchange.cause {
            Cause::Join { op, .. } => {
                self.note_joined(now, exchange.peer);
                self.join_target_ended(now, op, None);
            }
            Cause::JoinSync => self.caught_up(now, gained),
            Cause::Reconnect => {
                if gained > 0 {
                    self.note_joined(now, exchange.peer);
                }
                self.reconnect_ended(now, exchange.peer, true);
            }
            Cause::Periodic | Cause::Suspect | Cause::Stranger | Cause::NameConflict => {}
        }
    }

    pub(super) fn exchange_failed(&mut self, now: Time, exchange: Exchange, why: JoinFailure) {
        match exchange.cause {
            Cause::Join { op, target } => self.join_target_ended(now, op, Some((target, why))),
            Cause::JoinSync => self.join_sync_failed(now),
            Cause::Reconnect => self.reconnect_ended(now, exchange.peer, false),
            Cause::Periodic | Cause::Suspect | Cause::Stranger | Cause::NameConflict => {}
        }
    }

    fn local_state(&self, join: bool, own_only: bool, user_state: &[u8]) -> Vec<u8> {
        let chosen: Vec<_> = self
            .table
            .iter()
            .filter(|(slot, _)| !own_only || *slot == self.own)
            .map(|(_, entry)| {
                (
                    entry,
                    members::address_bytes(entry.node.addr.ip(), entry.mapped),
                )
            })
            .collect();
        let nodes = chosen.iter().map(|(entry, addr)| PushPullNode {
            name: &entry.node.name,
            addr,
            port: entry.node.addr.port(),
            incarnation: entry.node.incarnation,
            meta: Some(&entry.node.meta),
            vsn: &entry.node.vsn,
            state: entry.node.state,
        });
        let state = PushPull {
            join,
            nodes: nodes.collect(),
            user_state,
        };
        let mut bytes = Vec::with_capacity(128 * state.nodes.len() + user_state.len() + 64);
        state.encode(&mut bytes);
        bytes
    }

    /// Merges a remote state, entry by entry. Returns how many members became known by it.
    fn merge_remote(&mut self, now: Time, bytes: &[u8]) -> Result<u32, Refusal> {
        let state = PushPull::decode_counting(bytes, &mut |refusal| self.refuse(refusal))?;
        self.check_versions(&state.nodes)?;
        // Who knows nobody else has nobody to tell: the others are where this comes from.
        let quiet = self.config.join_sync && self.table.live() <= 1;
        let spread = if quiet {
            Spread::Quiet
        } else {
            Spread::Encoded
        };
        let mut gained = 0;
        for node in &state.nodes {
            gained += u32::from(self.merge_node(now, node, spread));
        }
        if !state.user_state.is_empty() {
            let bytes = state.user_state.to_vec();
            self.notices.push_back(Notice::UserState {
                join: state.join,
                bytes,
            });
        }
        Ok(gained)
    }

    fn merge_node(&mut self, now: Time, node: &PushPullNode, spread: Spread) -> bool {
        let own: Arc<str> = self.own_name.clone();
        let incarnation = node.incarnation;
        match node.state {
            NodeState::Alive => {
                let alive = Alive {
                    incarnation,
                    node: node.name,
                    addr: node.addr,
                    port: node.port,
                    meta: node.meta,
                    vsn: node.vsn,
                };
                return self.hear_alive(now, &alive, spread);
            }
            NodeState::Left => {
                let news = Accusation {
                    incarnation,
                    node: node.name,
                    from: node.name,
                };
                self.hear_dead(now, &news, Spread::Encoded);
            }
            NodeState::Dead | NodeState::Suspect => {
                let news = Accusation {
                    incarnation,
                    node: node.name,
                    from: &own,
                };
                self.hear_suspect(now, &news, Spread::Encoded);
            }
        }
        false
    }

    /// Every spoken version, theirs and ours, must lie in the range that all alive nodes
    /// understand. Entries that tell no versions are not counted.
    fn check_versions(&self, remote: &[PushPullNode]) -> Result<(), Refusal> {
        let told = remote
            .iter()
            .filter(|node| node.vsn.len() == 6)
            .map(|node| (versions(node.vsn), node.state));
        let held = self
            .table
            .iter()
            .map(|(_, entry)| (entry.node.vsn, entry.node.state));
        let all: Vec<_> = told.chain(held).filter(|(vsn, _)| *vsn != [0; 6]).collect();
        let alive = || all.iter().filter(|(_, state)| *state == NodeState::Alive);
        for (min, max, spoken) in [(0, 1, 2), (3, 4, 5)] {
            let low = alive().map(|(vsn, _)| vsn[min]).max().unwrap_or(0);
            let high = alive().map(|(vsn, _)| vsn[max]).min().unwrap_or(u8::MAX);
            if all
                .iter()
                .any(|(vsn, _)| vsn[spoken] < low || vsn[spoken] > high)
            {
                return Err(Refusal::Incompatible);
            }
        }
        Ok(())
    }
}

/// By how much the period of push/pulls grows: 1 up to 32 nodes, then with the logarithm.
fn push_pull_scale(nodes: usize) -> u32 {
    if nodes <= 32 {
        return 1;
    }
    let rounded_up = (nodes - 1).ilog2() + 1;
    rounded_up - 4 // log2(32) counts as one
}

#[cfg(test)]
mod tests {
    use super::push_pull_scale;

    #[test]
    fn the_period_of_push_pulls_grows_with_the_cluster() {
        let scale = [1, 32, 33, 64, 65, 128, 1025, 2048].map(push_pull_scale);
        assert_eq!(scale, [1, 1, 2, 2, 3, 3, 7, 7]);
    }
}
