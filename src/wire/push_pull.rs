//! The push/pull: everything that one node knows, sent to one other node over a stream.
//!
//! A push/pull is a header map, then a map per node, then the user state of the layer above. The
//! header's counts are the sender's claims and are bounded before they are used. memberlist stores
//! and passes on nodes that are malformed (a five-byte address, for example). Such a node must not
//! stop the exchange with any node that knows it, so its map is left out and counted, and the
//! other nodes are taken.

use super::fields::{self, Address, Boolean, Length, Meta, Name, Number, Versions, codecs};
use super::record::{Body, Record, record};
use super::{Names, Reader, Refusal, msgpack};
use crate::limits;

/// The type byte of a push/pull.
pub(super) const KIND: u8 = 6;

/// The state of a node in a push/pull. The states are in the order of their numbers on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// The node answers.
    #[default]
    Alive,
    /// The node is suspected to have failed.
    Suspect,
    /// The node has failed.
    Dead,
    /// The node has left on purpose.
    Left,
}

impl NodeState {
    /// All states in the order of their numbers.
    const ALL: [NodeState; 4] = [
        NodeState::Alive,
        NodeState::Suspect,
        NodeState::Dead,
        NodeState::Left,
    ];
}

codecs! {
    /// The state of a node. If the number is unknown, the whole push/pull is refused.
    StateNumber(NodeState) -> NodeState: node_state, Ok, put_node_state;
    /// The number of nodes after the header.
    NodeCount(i64) -> u32: msgpack::number, check_node_count, put_node_count;
}

fn node_state(reader: &mut Reader<'_>) -> Result<NodeState, Refusal> {
    let number: u8 = msgpack::number(reader)?;
    let state = NodeState::ALL.get(usize::from(number));
    state.copied().ok_or(Refusal::Msgpack)
}

fn put_node_state(out: &mut Vec<u8>, state: &NodeState) {
    msgpack::put_number(out, *state as u8);
}

fn check_node_count(count: i64) -> Result<u32, Refusal> {
    match u32::try_from(count) {
        Ok(count) if count as usize <= limits::PUSH_PULL_NODES => Ok(count),
        Ok(_) | Err(_) => Err(Refusal::TooManyNodes),
    }
}

fn put_node_count(out: &mut Vec<u8>, count: &u32) {
    msgpack::put_number(out, *count);
}

record! {
    /// The header of a push/pull, whose claims are within bounds.
    pub(super) struct Header {
        /// The number of nodes that follow.
        nodes: u32 => "Nodes" NodeCount,
        /// The number of bytes of user state after the nodes.
        user_state: usize => "UserStateLen" Length,
        /// True if the dialler joins; the answer repeats the flag.
        join: bool => "Join" Boolean,
    }

    /// One node of a push/pull.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PushPullNode<'a> {
        /// Its name.
        name: &'a str => "Name" Name,
        /// Its address, 4 or 16 bytes.
        addr: &'a [u8] => "Addr" Address,
        /// Its port. 0 means the receiver's own port or, in the answer to a look, the port of the
        /// peer.
        port: u16 => "Port" Number,
        /// Its meta, at most [`crate::limits::REMOTE_META_LEN`] bytes.
        meta: Option<&'a [u8]> => "Meta" Meta,
        /// Its incarnation.
        incarnation: u32 => "Incarnation" Number,
        /// Its state in the sender's view.
        state: NodeState => "State" StateNumber,
        /// Its versions: empty or six bytes.
        vsn: &'a [u8] => "Vsn" Versions,
    }
}

impl PushPullNode<'_> {
    /// Appends the encoded node.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out);
    }
}

/// A whole push/pull, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPull<'a> {
    /// True if the dialler joins; the answer repeats the flag.
    pub join: bool,
    /// The nodes that the sender lists: usually all that it knows, itself included.
    pub nodes: Vec<PushPullNode<'a>>,
    /// The state of the layer above, or empty.
    pub user_state: &'a [u8],
}

impl<'a> PushPull<'a> {
    /// Decodes a push/pull, its type byte (6) first, bounded by [`crate::limits`]. Malformed nodes,
    /// and those whose name needs an escape, are left out silently; [`PushPull::decode_counting`]
    /// reports nodes that are left out.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::Truncated`], [`Refusal::Msgpack`] (also for an unknown
    /// state number), [`Refusal::TooManyNodes`], [`Refusal::TooLarge`].
    pub fn decode(bytes: &'a [u8]) -> Result<PushPull<'a>, Refusal> {
        PushPull::read(Reader::new(bytes), &mut |_| ())
    }

    /// Decodes like [`PushPull::decode`], but also takes names that are not text: `names` keeps
    /// their escaped texts. Calls `left_out` with the reason for each node that is left out.
    ///
    /// # Errors
    /// The same as those of [`PushPull::decode`].
    pub fn decode_counting(
        bytes: &'a [u8],
        names: &'a Names,
        left_out: &mut dyn FnMut(Refusal),
    ) -> Result<PushPull<'a>, Refusal> {
        PushPull::read(Reader::with_names(bytes, names), left_out)
    }

    fn read(
        mut reader: Reader<'a>,
        left_out: &mut dyn FnMut(Refusal),
    ) -> Result<PushPull<'a>, Refusal> {
        // The shortest valid node has the array form, with a name of one byte and an address of
        // four bytes.
        const LEAST_NODE_LEN: usize = 8;
        if reader.u8()? != KIND {
            return Err(Refusal::UnknownType);
        }
        let header = Header::decode(&mut reader)?;
        let (bound, least) = (limits::PUSH_PULL_NODES, LEAST_NODE_LEN);
        let nodes = fields::items(&mut reader, header.nodes, bound, least, |reader| {
            let node = PushPullNode::read(reader)?;
            Ok(PushPullNode::check(node).map_err(&mut *left_out).ok())
        })?;
        let user_state = reader.take(header.user_state)?;
        Ok(PushPull {
            join: header.join,
            nodes,
            user_state,
        })
    }

    /// Appends the beginning of a push/pull, type byte first. The nodes follow, then the user
    /// state.
    pub fn put_header(out: &mut Vec<u8>, nodes: usize, user_state: usize, join: bool) {
        out.push(KIND);
        Header {
            nodes: msgpack::count(nodes),
            user_state,
            join,
        }
        .put(out);
    }

    /// Appends the encoded push/pull, type byte first.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn encode(&self, out: &mut Vec<u8>) {
        PushPull::put_header(out, self.nodes.len(), self.user_state.len(), self.join);
        for node in &self.nodes {
            node.encode(out);
        }
        out.extend_from_slice(self.user_state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, state: NodeState) -> PushPullNode<'_> {
        PushPullNode {
            name,
            addr: &[10, 0, 0, 1],
            port: 7946,
            incarnation: 1,
            meta: None,
            vsn: &[1, 5, 2, 2, 5, 5],
            state,
        }
    }

    fn encoded(push_pull: &PushPull<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        push_pull.encode(&mut out);
        out
    }

    fn header(nodes: i64, user_state: i64) -> Vec<u8> {
        let mut out = vec![KIND];
        msgpack::put_map(&mut out, 2);
        msgpack::put_text(&mut out, "Nodes");
        msgpack::put_number(&mut out, nodes);
        msgpack::put_text(&mut out, "UserStateLen");
        msgpack::put_number(&mut out, user_state);
        out
    }

    #[test]
    fn every_state_survives_encoding_and_decoding() {
        let states = [
            NodeState::Alive,
            NodeState::Suspect,
            NodeState::Dead,
            NodeState::Left,
        ];
        let nodes = states.map(|state| node("n", state)).to_vec();
        let push_pull = PushPull {
            join: true,
            nodes,
            user_state: b"state",
        };
        assert_eq!(PushPull::decode(&encoded(&push_pull)), Ok(push_pull));
        let nothing = PushPull::default();
        assert_eq!(PushPull::decode(&encoded(&nothing)), Ok(nothing));
    }

    #[test]
    fn a_malformed_node_is_left_out_and_counted_and_the_others_are_taken() {
        let mut nodes = vec![node("first", NodeState::Alive); 3];
        nodes[1].addr = &[1, 2, 3, 4, 5];
        nodes[2].name = "last";
        let wire = encoded(&PushPull {
            join: false,
            nodes,
            user_state: b"x",
        });
        let (names, mut reasons) = (Names::default(), Vec::new());
        let push_pull =
            PushPull::decode_counting(&wire, &names, &mut |why| reasons.push(why)).unwrap();
        assert_eq!(
            push_pull.nodes.iter().map(|n| n.name).collect::<Vec<_>>(),
            ["first", "last"]
        );
        assert_eq!(push_pull.user_state, b"x");
        assert_eq!(reasons, [Refusal::AddressLength]);
    }

    #[test]
    fn an_unknown_state_refuses_the_whole_push_pull() {
        let nodes = vec![node("n", NodeState::Left)];
        let mut wire = encoded(&PushPull {
            join: false,
            nodes,
            user_state: b"",
        });
        let place = wire.windows(6).position(|at| at == b"\xa5State").unwrap() + 6;
        wire[place] = 4;
        assert_eq!(PushPull::decode(&wire), Err(Refusal::Msgpack));
    }

    #[test]
    fn claims_of_the_header_are_bounded_before_they_are_used() {
        let most = limits::PUSH_PULL_NODES as i64;
        assert_eq!(
            PushPull::decode(&header(most + 1, 0)),
            Err(Refusal::TooManyNodes)
        );
        assert_eq!(PushPull::decode(&header(-1, 0)), Err(Refusal::TooManyNodes));
        assert_eq!(PushPull::decode(&header(most, 0)), Err(Refusal::Truncated));
        let most = limits::USER_STATE_LEN as i64;
        assert_eq!(
            PushPull::decode(&header(0, most + 1)),
            Err(Refusal::TooLarge)
        );
        assert_eq!(
            PushPull::decode(&header(0, i64::MIN)),
            Err(Refusal::TooLarge)
        );
        assert_eq!(PushPull::decode(&header(0, most)), Err(Refusal::Truncated));
    }
}
