//! The identity of this node: the facts that it starts with, and those that the parts need.

use crate::member::NodeFacts;
use crate::swim::output::Node;
use crate::swim::{NodeState, address};
use crate::time::Time;
use crate::wire::message::{Message, Ping};
use std::net::SocketAddr;
use std::sync::Arc;

/// The identity with which a node starts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name, unique in the cluster.
    pub name: Arc<str>,
    /// The address at which others reach the node.
    pub addr: SocketAddr,
    /// The meta (encoded tags).
    pub meta: Box<[u8]>,
    /// The versions of the layer above: lowest, highest and used.
    pub delegate: [u8; 3],
    /// The first incarnation; 0 counts as 1.
    pub incarnation: u32,
}

/// The memberlist protocol versions that this node announces: lowest, highest and used.
const PROTOCOL: [u8; 3] = [1, 5, 2];

impl Identity {
    /// Turns the identity into a node that is alive from now on.
    pub(in crate::swim) fn into_node(self, now: Time) -> Node {
        let [pmin, pmax, pcur] = PROTOCOL;
        let [dmin, dmax, dcur] = self.delegate;
        let facts = NodeFacts {
            name: self.name,
            addr: self.addr,
            meta: self.meta,
            vsn: [pmin, pmax, pcur, dmin, dmax, dcur],
            incarnation: self.incarnation.max(1),
        };
        Node {
            facts: Arc::new(facts),
            state: NodeState::Alive,
            since: now,
        }
    }
}

/// The facts about this node that the parts need; its record in the member table has the rest.
pub(in crate::swim) struct LocalNode {
    pub name: Arc<str>,
    pub addr: SocketAddr,
    /// True if this node has left. It still answers, but begins no probe, declares no member dead
    /// to others, and refutes no accusation.
    pub left: bool,
    /// True from the announcement of an intent to leave to the end of the leave. During this time,
    /// push/pulls show this node as alive: an agent that learned of the departure before the intent
    /// would show a failure.
    pub intends_to_leave: bool,
    /// True while this node's name belongs to another node, as the layer above has found out.
    pub name_is_taken: bool,
    /// True if this node has left without an announcement.
    pub left_silently: bool,
    /// The data that the layer above adds to acks; `None` if it adds nothing.
    pub ack_payload: Option<Box<[u8]>>,
}

impl LocalNode {
    /// Returns true if push/pulls, gossip and pings may show this node. If they showed a node whose
    /// name belongs to another node, agents would start a vote, and the owner might have to quit.
    pub fn is_shown(&self) -> bool {
        !self.name_is_taken && !self.left_silently
    }

    /// Returns true if this node answers pings that are meant for the node of this name, which is
    /// empty in the pings of very old nodes. If this node must not be shown, it answers none:
    /// members that still list it find that it is gone, and turn to the owner of the name.
    pub fn answers_to(&self, node: &str) -> bool {
        self.is_shown() && (node.is_empty() || *node == *self.name)
    }

    /// Encodes a ping from this node to `node`.
    pub fn encode_ping(&self, seq: u32, node: &str) -> Vec<u8> {
        let addr = address::encode(self.addr.ip(), false);
        let ping = Ping {
            seq,
            node,
            source_addr: &addr,
            source_port: self.addr.port(),
            source_node: &self.name,
        };
        Message::Ping(ping).encoded()
    }
}
