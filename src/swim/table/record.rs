//! The record of one member: its facts, its state, and what this node has learned by probing it.

use super::probe_report::LastProbe;
use crate::member::NodeFacts;
use crate::named_slab::Named;
use crate::swim::output::Node;
use crate::swim::{NodeState, address};
use crate::wire::message::{Alive, Message};
use std::net::SocketAddr;
use std::sync::Arc;

/// The approximate number of bytes that a member takes in addition to its name and meta
/// (`tests/memory.rs`).
const MEMBER_BYTES: usize = 256;

/// An announcement: the incarnation of this node, and that of the member that received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) struct Announced {
    pub own: u32,
    pub receiver: u32,
}

/// Everything the table holds about one member.
#[derive(Clone, Debug)]
pub(in crate::swim) struct MemberRecord {
    /// The facts and the state. [`MemberTable::set_state`](super::members::MemberTable::set_state)
    /// changes the state.
    pub(super) node: Node,
    /// True if the member's IPv4 address was learned in its 16-byte form, and is passed on in that
    /// form.
    pub mapped: bool,
    /// The accuser in the suspect or dead message that put the member into its state; `None` if the
    /// member is alive or has left.
    pub accuser: Option<Arc<str>>,
    pub last_probe: Option<Box<LastProbe>>,
    /// The announcement of this node that the member last acknowledged.
    pub acked: Option<Announced>,
    /// True if the member, at its present address, has answered a probe (by itself or through a
    /// helper) or a push/pull, or has begun a push/pull from its own IP address. Until then, it is
    /// known only from messages that anyone could have sent.
    pub heard: bool,
}

impl MemberRecord {
    pub(super) fn new(node: Node, mapped: bool) -> MemberRecord {
        MemberRecord {
            node,
            mapped,
            accuser: None,
            last_probe: None,
            acked: None,
            heard: false,
        }
    }

    /// Returns the facts about the member.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The approximate number of bytes that all layers together hold for the member.
    pub(super) fn bytes(&self) -> usize {
        MEMBER_BYTES + self.node.name.len() + self.node.meta.len()
    }

    /// Returns true if the member is alive or suspect.
    pub fn is_live(&self) -> bool {
        matches!(self.node.state, NodeState::Alive | NodeState::Suspect)
    }

    /// The highest memberlist protocol version that the member understands.
    pub fn protocol_max(&self) -> u8 {
        self.node.vsn[1]
    }

    /// Returns the facts for a change. If the layer above still holds them, they are copied first.
    fn facts_mut(&mut self) -> &mut NodeFacts {
        Arc::make_mut(&mut self.node.facts)
    }

    pub fn set_incarnation(&mut self, incarnation: u32) {
        if self.node.incarnation != incarnation {
            self.facts_mut().incarnation = incarnation;
        }
    }

    /// Replaces the address of this node itself. An IPv4 address is then passed on in 4 bytes.
    pub fn set_addr(&mut self, addr: SocketAddr) {
        self.facts_mut().addr = addr;
        self.mapped = false;
    }

    pub fn set_meta(&mut self, meta: &[u8]) {
        if *self.node.meta != *meta {
            self.facts_mut().meta = meta.into();
        }
    }

    /// See [`MemberTable::refresh`](super::members::MemberTable::refresh).
    pub(super) fn refresh(&mut self, alive: &Alive, addr: SocketAddr, mapped: bool) {
        self.set_meta(alive.meta.unwrap_or_default());
        // At another address, it may be another node that has taken the name.
        self.heard &= self.node.addr == addr;
        let facts = self.facts_mut();
        if alive.vsn.len() == 6 {
            facts.vsn = versions(alive.vsn);
        }
        facts.incarnation = alive.incarnation;
        facts.addr = addr;
        self.mapped = mapped;
        self.accuser = None;
    }

    /// Takes over the content of a leave message, but does not change the state. A leave has no
    /// accuser.
    pub fn leave(&mut self, incarnation: u32) {
        self.set_incarnation(incarnation);
        self.accuser = None;
    }

    /// Takes over the content of a suspect or dead message, but does not change the state.
    pub fn accuse(&mut self, incarnation: u32, accuser: &Arc<str>) {
        self.set_incarnation(incarnation);
        self.accuser = Some(accuser.clone());
    }

    /// Encodes an alive message with the facts that are held about the member.
    pub fn encode_alive(&self) -> Vec<u8> {
        let addr = address::encode(self.node.addr.ip(), self.mapped);
        let alive = Alive {
            incarnation: self.node.incarnation,
            node: &self.node.name,
            addr: &addr,
            port: self.node.addr.port(),
            meta: Some(&self.node.meta),
            vsn: &self.node.vsn,
        };
        Message::Alive(alive).encoded()
    }
}

impl Named for MemberRecord {
    fn name(&self) -> &str {
        &self.node.name
    }
}

/// Returns the versions of a node; zeros if it announced none.
pub(in crate::swim) fn versions(bytes: &[u8]) -> [u8; 6] {
    bytes.try_into().unwrap_or([0; 6])
}
