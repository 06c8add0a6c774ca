//! The members on each host: an index by IP address, which finds the members at the source of an
//! input without a search of the whole table.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The indexes of members by their IP addresses, which are only in the records of the members.
#[derive(Default)]
pub(super) struct Hosts {
    members: HashTable<u32>,
    /// Seeded at random, so that other nodes cannot choose addresses that collide. No result
    /// depends on the order of the index.
    hasher: RandomState,
}

impl Hosts {
    /// Returns the members with this IP address, and perhaps a few others.
    pub fn at(&self, ip: IpAddr) -> impl Iterator<Item = u32> {
        let hash = self.hasher.hash_one(Some(ip));
        self.members.iter_hash(hash).copied()
    }

    /// Adds a member. `ip_of` returns the IP address of each member of the index.
    pub fn add(&mut self, member: u32, ip_of: impl Fn(u32) -> Option<IpAddr>) {
        let hash_of = |member: &u32| self.hasher.hash_one(ip_of(*member));
        self.members
            .insert_unique(hash_of(&member), member, hash_of);
    }

    /// Removes a member that was added with this IP address.
    pub fn remove(&mut self, member: u32, ip: IpAddr) {
        let hash = self.hasher.hash_one(Some(ip));
        if let Ok(entry) = self.members.find_entry(hash, |it| *it == member) {
            entry.remove();
        }
    }
}
