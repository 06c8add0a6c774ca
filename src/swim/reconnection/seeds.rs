//! The seeds that a node remembers, up to a bound, each with the time of the next attempt at it.

use super::retry::Retry;
use crate::limits;
use crate::swim::seed::Seed;
use crate::swim::table::members::MemberTable;
use std::net::{IpAddr, SocketAddr};

/// When the list is full, this many seeds at its beginning stay, and the oldest of the others makes
/// room for a new one.
const FIRST_SEEDS: usize = limits::SEEDS / 2;

/// A seed that is remembered.
pub(in crate::swim) struct KnownSeed {
    pub seed: Seed,
    /// The literal address, or the addresses of the host name at the last lookup.
    pub addrs: Vec<SocketAddr>,
    pub retry: Retry,
    /// True while `reconnect` is looking up its name. A second lookup would only wait behind the
    /// first.
    pub in_lookup: bool,
}

impl KnownSeed {
    /// Returns true if the seed is to be asked again. A literal address other than this node's is
    /// asked while no alive member has it. A host name is looked up again, one lookup at a time,
    /// unless it has addresses other than this node's and all of these belong to alive members.
    pub fn wants(&self, table: &MemberTable) -> bool {
        let own = table.local().node().addr;
        let missing = |addr: &SocketAddr| !table.is_alive_at(*addr);
        match &self.seed {
            Seed::Addr(addr) => *addr != own && missing(addr),
            Seed::Host(..) => {
                let mut others = self.addrs.iter().filter(|addr| **addr != own).peekable();
                !self.in_lookup && (others.peek().is_none() || others.any(missing))
            }
        }
    }
}

/// All seeds that are remembered.
#[derive(Default)]
pub(in crate::swim) struct Seeds(Vec<KnownSeed>);

impl Seeds {
    pub fn iter(&self) -> impl Iterator<Item = &KnownSeed> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut KnownSeed> {
        self.0.iter_mut()
    }

    /// Returns the known addresses of all seeds.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.iter().flat_map(|it| it.addrs.iter().copied())
    }

    pub fn contains(&self, seed: &Seed) -> bool {
        self.iter().any(|it| it.seed == *seed)
    }

    /// Remembers a seed that is not known yet.
    pub fn push(&mut self, seed: Seed, retry: Retry) {
        if self.0.len() >= limits::SEEDS {
            self.0.remove(FIRST_SEEDS);
        }
        let addrs = match &seed {
            Seed::Addr(addr) => vec![*addr],
            Seed::Host(..) => Vec::new(),
        };
        self.0.push(KnownSeed {
            seed,
            addrs,
            retry,
            in_lookup: false,
        });
    }

    /// Replaces the addresses of the seeds with this host name and port.
    pub fn resolved(&mut self, host: &str, port: u16, found: &[IpAddr]) {
        for it in self.iter_mut() {
            if matches!(&it.seed, Seed::Host(h, p) if h == host && *p == port) {
                it.addrs = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                it.in_lookup = false;
            }
        }
    }

    /// Returns true if there are seeds other than this node itself.
    pub fn has_others(&self, own: SocketAddr) -> bool {
        self.iter()
            .any(|it| it.addrs.is_empty() || it.addrs.iter().any(|addr| *addr != own))
    }
}
