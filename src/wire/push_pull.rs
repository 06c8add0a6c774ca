//! The push/pull: everything one node knows, for one other node, over a stream.
//!
//! A header map, then a map per node, then the user state of the layer above. The header's counts
//! are the sender's claims and are bounded before they are used. Both reference versions store and
//! pass on nodes that are malformed (a five-byte address, for example); one of those must not
//! stop the exchange with everybody who has heard of it, so such a node is left out and counted,
//! and the others are taken.

use super::message::{head, kind, put_field, put_number, put_raw_field, put_versions};
use super::{Reader, Refusal, fields, msgpack};
use crate::limits;

/// State of a node in a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Answers.
    Alive,
    /// Suspected to have failed.
    Suspect,
    /// Failed.
    Dead,
    /// Left on purpose.
    Left,
}

impl NodeState {
    /// Its number on the wire.
    fn number(self) -> u8 {
        match self {
            NodeState::Alive => 0,
            NodeState::Suspect => 1,
            NodeState::Dead => 2,
            NodeState::Left => 3,
        }
    }

    fn from_number(number: i64) -> Option<NodeState> {
        Some(match number {
            0 => NodeState::Alive,
            1 => NodeState::Suspect,
            2 => NodeState::Dead,
            3 => NodeState::Left,
            _ => return None,
        })
    }
}

/// One node of a push/pull. An unknown state number refuses the whole push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushPullNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address, 4 or 16 bytes.
    pub addr: &'a [u8],
    /// Its port; 0: the receiver's own.
    pub port: u16,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its meta, at most [`crate::limits::REMOTE_META_LEN`] bytes.
    pub meta: Option<&'a [u8]>,
    /// Its versions: empty or six bytes.
    pub vsn: &'a [u8],
    /// Its state in the sender's view.
    pub state: NodeState,
}

/// A whole push/pull, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPull<'a> {
    /// The dialler joins; the answer repeats it.
    pub join: bool,
    /// Every node the sender knows, itself included.
    pub nodes: Vec<PushPullNode<'a>>,
    /// What the layer above says; empty: nothing.
    pub user_state: &'a [u8],
}

/// What the header claims, within bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub join: bool,
    pub nodes: u32,
    pub user_state: usize,
}

impl Header {
    /// Reads the header map; both counts are within their bounds afterwards.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Header, Refusal> {
        let (mut join, mut nodes, mut user_state) = (false, 0_i64, 0_i64);
        msgpack::structure(
            reader,
            &["Nodes", "UserStateLen", "Join"],
            |name, reader| {
                match name {
                    b"Nodes" => nodes = msgpack::number(reader)?,
                    b"UserStateLen" => user_state = msgpack::number(reader)?,
                    b"Join" => join = msgpack::boolean(reader)?,
                    _ => msgpack::skip(reader)?,
                }
                Ok(())
            },
        )?;
        let nodes = u32::try_from(nodes).map_err(|_| Refusal::TooManyNodes)?;
        let user_state = usize::try_from(user_state).map_err(|_| Refusal::TooLarge)?;
        if nodes as usize > limits::PUSH_PULL_NODES {
            return Err(Refusal::TooManyNodes);
        }
        if user_state > limits::USER_STATE_LEN {
            return Err(Refusal::TooLarge);
        }
        Ok(Header {
            join,
            nodes,
            user_state,
        })
    }
}

impl<'a> PushPull<'a> {
    /// Decodes a push/pull, its type byte (6) first, bounded by `limits`. Nodes that break a
    /// bound are left out silently; [`PushPull::decode_counting`] tells about them.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::Truncated`], [`Refusal::Msgpack`] (also for an unknown
    /// state number), [`Refusal::TooManyNodes`], [`Refusal::TooLarge`].
    pub fn decode(bytes: &'a [u8]) -> Result<PushPull<'a>, Refusal> {
        PushPull::decode_counting(bytes, &mut |_| ())
    }

    /// As [`PushPull::decode`], and calls `left_out` with the reason for each node left out.
    ///
    /// # Errors
    /// As [`PushPull::decode`].
    pub fn decode_counting(
        bytes: &'a [u8],
        left_out: &mut dyn FnMut(Refusal),
    ) -> Result<PushPull<'a>, Refusal> {
        // The least that a node takes which is not left out: the array form with a name of one
        // byte and an address of four. It keeps a claimed count from sizing the table.
        const LEAST_NODE_LEN: usize = 8;
        let mut reader = Reader::new(bytes);
        if reader.u8()? != kind::PUSH_PULL {
            return Err(Refusal::UnknownType);
        }
        let header = Header::decode(&mut reader)?;
        let room = reader.remaining() / LEAST_NODE_LEN;
        let mut nodes = Vec::with_capacity((header.nodes as usize).min(room));
        for _ in 0..header.nodes {
            match node(&mut reader)? {
                Ok(node) => nodes.push(node),
                Err(refusal) => left_out(refusal),
            }
        }
        let user_state = reader.take(header.user_state)?;
        Ok(PushPull {
            join: header.join,
            nodes,
            user_state,
        })
    }

    /// Appends it, type byte first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(out, kind::PUSH_PULL, 3);
        msgpack::put_text(out, "Join");
        msgpack::put_bool(out, self.join);
        put_number(out, "Nodes", self.nodes.len() as u64);
        put_number(out, "UserStateLen", self.user_state.len() as u64);
        for node in &self.nodes {
            put_node(out, node);
        }
        out.extend_from_slice(self.user_state);
    }
}

/// One node: the outer error refuses the whole push/pull, the inner one this node only.
#[allow(clippy::type_complexity)]
fn node<'a>(reader: &mut Reader<'a>) -> Result<Result<PushPullNode<'a>, Refusal>, Refusal> {
    const DECLARED: [&str; 7] = [
        "Name",
        "Addr",
        "Port",
        "Meta",
        "Incarnation",
        "State",
        "Vsn",
    ];
    let (mut port, mut incarnation, mut state) = (0, 0, 0_i64);
    let (mut label, mut addr, mut vsn, mut meta) = (&[][..], &[][..], &[][..], None);
    msgpack::structure(reader, &DECLARED, |name, reader| {
        match name {
            b"Addr" => addr = fields::raw(reader)?,
            b"Incarnation" => incarnation = msgpack::number(reader)?,
            b"Meta" => meta = msgpack::bytes(reader)?,
            b"Name" => label = fields::raw(reader)?,
            b"Port" => port = msgpack::number(reader)?,
            b"State" => state = msgpack::number(reader)?,
            b"Vsn" => vsn = fields::raw(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    let state = NodeState::from_number(state).ok_or(Refusal::Msgpack)?;
    let check = || {
        Ok(PushPullNode {
            name: fields::check_name(label)?,
            addr: fields::check_address(addr)?,
            port,
            incarnation,
            meta: fields::check_meta(meta)?,
            vsn: fields::check_versions(vsn)?,
            state,
        })
    };
    Ok(check())
}

fn put_node(out: &mut Vec<u8>, node: &PushPullNode<'_>) {
    msgpack::put_map(out, 7);
    put_raw_field(out, "Addr", node.addr);
    put_number(out, "Incarnation", node.incarnation);
    msgpack::put_text(out, "Meta");
    msgpack::put_bytes(out, node.meta);
    put_field(out, "Name", node.name);
    put_number(out, "Port", node.port);
    put_number(out, "State", node.state.number());
    put_versions(out, node.vsn);
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
        let mut out = vec![kind::PUSH_PULL];
        msgpack::put_map(&mut out, 2);
        msgpack::put_text(&mut out, "Nodes");
        msgpack::put_int(&mut out, nodes);
        msgpack::put_text(&mut out, "UserStateLen");
        msgpack::put_int(&mut out, user_state);
        out
    }

    #[test]
    fn every_state_comes_back_as_it_was() {
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
        let mut reasons = Vec::new();
        let push_pull = PushPull::decode_counting(&wire, &mut |why| reasons.push(why)).unwrap();
        assert_eq!(
            push_pull.nodes.iter().map(|n| n.name).collect::<Vec<_>>(),
            ["first", "last"]
        );
        assert_eq!(push_pull.user_state, b"x");
        assert_eq!(reasons, [Refusal::AddressLength]);
    }

    #[test]
    fn an_unknown_state_refuses_the_whole() {
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
