//! The watched addresses, which are those of the seeds, each with the number of other members that
//! are alive there. Without these numbers, each message about a member would need a search among
//! all members on the hosts of the seeds. Anyone can forge many members on one host.

use crate::swim::NodeState;
use crate::swim::output::Node;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The watched addresses and the numbers of members that are alive there.
#[derive(Default)]
pub(in crate::swim) struct Watched(HashMap<SocketAddr, usize>);

impl Watched {
    /// Watches these addresses and no others. `nodes` yields every known node but this one.
    pub fn new<'a>(
        addrs: impl Iterator<Item = SocketAddr>,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Watched {
        let mut watched = Watched(addrs.map(|addr| (addr, 0)).collect());
        nodes.for_each(|node| watched.add(node));
        watched
    }

    /// Returns true if a member is alive at this address; `None` if the address is not watched.
    pub fn is_alive_at(&self, addr: SocketAddr) -> Option<bool> {
        self.0.get(&addr).map(|alive| *alive > 0)
    }

    /// Counts a node as it is after a change.
    pub fn add(&mut self, node: &Node) {
        if let Some(alive) = self.count(node) {
            *alive += 1;
        }
    }

    /// Undoes [`Watched::add`] for a node as it was before a change.
    pub fn subtract(&mut self, node: &Node) {
        if let Some(alive) = self.count(node) {
            *alive -= 1;
        }
    }

    fn count(&mut self, node: &Node) -> Option<&mut usize> {
        match node.state {
            NodeState::Alive => self.0.get_mut(&node.addr),
            NodeState::Suspect | NodeState::Dead | NodeState::Left => None,
        }
    }
}
