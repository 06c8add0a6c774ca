//! The addresses at which members listen for the cluster: the seeds of the next start, and the
//! answer to "is this source a member?".
//!
//! A fault of this node does not remove these addresses. Until other members have been heard from,
//! those of the snapshot are kept; while this node may be isolated, no address is removed.

use sprat::service::servers::candidate::is_present;
use sprat::{Config, Member, Seed};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The maximum number of peers that a snapshot keeps.
const PEERS: usize = 256;

/// The addresses of the members that are present, or were in the snapshot.
pub(super) struct Peers {
    peers: Vec<SocketAddr>,
    addrs: BTreeSet<IpAddr>,
    /// True once another member has been heard from.
    has_heard: bool,
}

/// Returns the settings of a node with the peers of a snapshot added to the seeds, because the
/// seeds in the settings may all be gone.
pub(super) fn add_to_seeds(config: Config, peers: &[SocketAddr]) -> Config {
    let peers = peers.iter().copied().map(Seed::Addr);
    let seeds = config.seed_list();
    // Peers that do not fit are left out: a list of seeds that is too long would be refused.
    let most = seeds.len().max(PEERS);
    let seeds: Vec<Seed> = seeds.iter().cloned().chain(peers).take(most).collect();
    config.seeds(seeds)
}

impl Peers {
    /// Starts with the peers of a snapshot.
    pub fn new(peers: Vec<SocketAddr>) -> Peers {
        Peers {
            addrs: peers.iter().map(SocketAddr::ip).collect(),
            peers,
            has_heard: false,
        }
    }

    /// Applies the current list of members, among them the local node.
    pub fn observe(&mut self, members: &[Member], local: &str, isolated: bool) {
        self.has_heard |= members.len() > 1;
        let present = || members.iter().filter(|it| is_present(it));
        if !isolated && self.has_heard {
            let others = present().filter(|it| *it.name != *local);
            self.peers = others.map(|it| it.addr).take(PEERS).collect();
            self.addrs.clear();
        }
        self.addrs.extend(present().map(|it| it.addr.ip()));
    }

    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.clone()
    }

    pub fn addrs(&self) -> &BTreeSet<IpAddr> {
        &self.addrs
    }
}
