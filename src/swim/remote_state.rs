//! The state of another node, which a push/pull brought: each entry is merged as a message about a
//! member.

use super::output::Notice;
use super::shared::broadcast_queue::PassOn;
use super::shared::streams::Shows;
use super::table::merge::Offer;
use super::{NodeState, Swim, exchanges::push_pull};
use crate::wire::message::{Accusation, Alive, PushPull, PushPullNode};
use crate::wire::{Names, Refusal};
use std::net::SocketAddr;

/// The result of merging the state of another node.
pub(super) struct Merged {
    /// The number of members that became known or alive again.
    pub gained: u32,
    /// The state of this node's name at the other node.
    pub own_name: OwnName,
}

/// The state of this node's name at another node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnName {
    /// The name is not listed as alive.
    Free,
    /// The name is listed as alive at an address of this node.
    Ours,
    /// The name is listed as alive at this other address.
    Taken(SocketAddr),
}

impl Swim {
    /// Merges the state of another node, entry by entry.
    pub(super) fn merge_state(&mut self, bytes: &[u8]) -> Result<Merged, Refusal> {
        let names = Names::default();
        let state = PushPull::decode_counting(bytes, &names, &mut |refusal| self.refuse(refusal))?;
        let own_versions = self.ctx.table.local().node().vsn;
        push_pull::check_versions(own_versions, &state.nodes)?;
        self.check_own_address(&state)?;
        // A node that knows no other live node does not pass on that nodes are alive. The nodes
        // that it now learns of already know this state, because it is that of their cluster.
        let alone = self.ctx.config.join_sync && self.ctx.table.live() <= 1;
        let pass_on = if alone { PassOn::No } else { PassOn::Encoded };
        let own_name = self.ctx.local.name.clone();
        let mut gained = 0;
        let mut is_noted = false;
        for node in &state.nodes {
            if *node.name != *own_name && !push_pull::is_compatible(own_versions, node.vsn) {
                self.refuse(Refusal::Incompatible);
                continue;
            }
            gained += u32::from(self.merge_node(node, &own_name, pass_on));
            is_noted = is_noted || self.note_heard(node);
        }
        if !state.user_state.is_empty() {
            self.ctx.outbox.tell(Notice::UserState {
                join: state.join,
                bytes: state.user_state.into(),
            });
        }
        let own_name = self.own_name_in(&state);
        Ok(Merged { gained, own_name })
    }

    /// Notes that a member has been heard if this entry is about the node on the other side of the
    /// stream: it is alive at the address that this node dialled, or at the IP address from which
    /// the other side dialled. Returns true if the member had not been heard before. Only one entry
    /// of a state is noted, so each forged name that is noted costs an attacker a connection.
    fn note_heard(&mut self, node: &PushPullNode) -> bool {
        let sources = &self.ctx.outbox.sources;
        let (dialled, accepted) = (sources.answering(), sources.accepted());
        let is_other_side = |addr: SocketAddr| match dialled {
            Some(dialled) => addr == dialled,
            None => accepted.is_some_and(|it| it.ip() == addr.ip()),
        };
        let addr = self.ctx.decode_addr(node.addr, node.port);
        if node.state != NodeState::Alive || !addr.is_some_and(|(addr, _)| is_other_side(addr)) {
            return false;
        }
        let member = self.ctx.table.find(node.name);
        let record = member.and_then(|it| self.ctx.table.get_mut(it));
        let Some(record) = record.filter(|it| is_other_side(it.node().addr)) else {
            return false;
        };
        !std::mem::replace(&mut record.heard, true)
    }

    /// Returns how another node lists this node's name in its state.
    fn own_name_in(&self, state: &PushPull) -> OwnName {
        let own = self.ctx.table.local().node();
        let is_own = |node: &&PushPullNode| node.name == &*own.name;
        let alive = state.nodes.iter().filter(is_own);
        let alive = alive.filter(|node| node.state == NodeState::Alive);
        let addrs = alive.filter_map(|node| self.ctx.decode_addr(node.addr, node.port));
        match addrs.map(|(addr, _)| addr).next() {
            None => OwnName::Free,
            Some(addr) if addr == own.addr || self.name_conflicts.is_alias(addr) => OwnName::Ours,
            Some(addr) => OwnName::Taken(addr),
        }
    }

    /// Returns how this node answers another one that asks for its state: the join flag, and the
    /// entries that it shows. If the other node lists this node's name at another address, it could
    /// not accept this node's entry. If it is an agent and itself the node there, the entry would
    /// even make it call a vote about the name, and end without a majority. So the entry is left
    /// out, unless it is known that no node answers at that address.
    ///
    /// # Errors
    /// The request cannot be decoded, or the nodes that it lists cannot reach this node.
    pub(super) fn answer_to(&self, request: &[u8]) -> Result<(bool, Shows), Refusal> {
        let state = PushPull::decode(request)?;
        self.check_own_address(&state)?;
        let is_silent = |addr| self.name_conflicts.is_silent(addr);
        let shows = match self.own_name_in(&state) {
            OwnName::Taken(addr) if !is_silent(addr) => Shows::Others,
            OwnName::Taken(_) | OwnName::Ours | OwnName::Free => Shows::Everything,
        };
        Ok((state.join, shows))
    }

    /// Checks that this node may show itself to the nodes of a state. A node that has chosen a
    /// loopback address, because its host has no better one, joins only nodes with loopback
    /// addresses. Nodes on other hosts would ping themselves instead of this node, and declare it
    /// failed again and again. The same holds for a node on this host if it knows nodes on others.
    ///
    /// # Errors
    /// [`Refusal::OwnAddress`].
    fn check_own_address(&self, state: &PushPull) -> Result<(), Refusal> {
        let own = self.ctx.local.addr.ip();
        if !(self.ctx.config.chooses_address && own.is_loopback()) {
            return Ok(());
        }
        let is_live = |it: &&PushPullNode| {
            matches!(it.state, NodeState::Alive | NodeState::Suspect)
                && *it.name != *self.ctx.local.name
        };
        let live = state.nodes.iter().filter(is_live);
        let addrs = live.filter_map(|node| self.ctx.decode_addr(node.addr, node.port));
        let other_side = self.ctx.outbox.sources.current().map(|it| it.addr);
        let mut all = addrs.map(|(addr, _)| addr).chain(other_side);
        match all.all(|addr| addr.ip().is_loopback()) {
            true => Ok(()),
            false => Err(Refusal::OwnAddress),
        }
    }

    /// Merges one entry. If it lists another node as suspect or dead, it counts as a suspicion by
    /// this node. Returns true if the entry made a member known or alive again.
    fn merge_node(&mut self, node: &PushPullNode, own_name: &str, pass_on: PassOn) -> bool {
        let accusation = |from| Accusation {
            incarnation: node.incarnation,
            node: node.name,
            from,
        };
        match node.state {
            NodeState::Suspect | NodeState::Dead if node.name == own_name => {
                self.on_listed_as_gone(node);
            }
            NodeState::Alive => {
                let alive = Alive {
                    incarnation: node.incarnation,
                    node: node.name,
                    addr: node.addr,
                    port: node.port,
                    meta: node.meta,
                    vsn: node.vsn,
                };
                return self.on_alive(&alive, pass_on);
            }
            NodeState::Left => self.on_dead(&accusation(node.name), PassOn::Encoded),
            NodeState::Dead | NodeState::Suspect => {
                let pass_on = self.pass_on_own_accusation();
                self.on_suspect(&accusation(own_name), pass_on);
            }
        }
        false
    }

    /// Another node lists this node as suspect or dead. If it lists this node at a different
    /// address, it might not accept a refutation from this node's own address, so the different
    /// address is handled as a claim to the name.
    fn on_listed_as_gone(&mut self, node: &PushPullNode) {
        let own = self.ctx.table.local().node().addr;
        let listed = self
            .ctx
            .decode_addr(node.addr, node.port)
            .map(|(addr, _)| addr);
        if let Some(addr) = listed.filter(|addr| *addr != own && !self.ctx.local.left) {
            self.on_claim(addr, node.state == NodeState::Suspect);
        }
        self.on_accusation_of_self(Offer::Suspect, node.incarnation);
    }
}
