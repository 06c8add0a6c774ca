//! The addresses that mDNS has found, and when the node asks each of them.
//!
//! Anyone on the local network can announce any address. So the number of addresses is bounded, a
//! few are asked at a time, and an address that was asked has to wait longer each time before it is
//! asked again.

use crate::time::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// The maximum number of addresses that are kept. A further one takes the place of the one whose
/// last announcement is oldest.
const ADDRS: usize = 256;
/// The first pause before an address is asked again; each further pause is twice as long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// An address, and when it may be asked.
struct Found {
    addr: SocketAddr,
    /// The checksum of the name of the node there.
    name: u32,
    /// The time of its last announcement.
    announced: Time,
    /// True if it was announced since it was last asked, and may be asked again.
    waits: bool,
    /// The time from which another announcement counts.
    again: Time,
    pause: Duration,
}

/// The addresses, in no order.
#[derive(Default)]
pub(super) struct FoundAddrs(Vec<Found>);

impl FoundAddrs {
    /// Notes an announcement.
    pub fn on_announcement(&mut self, now: Time, addr: SocketAddr, name: u32) {
        if let Some(found) = self.0.iter_mut().find(|it| it.addr == addr) {
            (found.announced, found.name) = (now, name);
            found.waits |= now >= found.again;
            return;
        }
        if self.0.len() >= ADDRS {
            let oldest = (self.0.iter().enumerate()).min_by_key(|(_, it)| it.announced);
            if let Some((at, _)) = oldest {
                self.0.swap_remove(at);
            }
        }
        self.0.push(Found {
            addr,
            name,
            announced: now,
            waits: true,
            again: now,
            pause: PAUSE,
        });
    }

    /// Does not ask the nodes whose name has this checksum before their next announcement: they
    /// have said goodbye. Their pauses stay, because anyone can say goodbye for them.
    pub fn on_goodbye(&mut self, name: u32) {
        let of_name = self.0.iter_mut().filter(|it| it.name == name);
        of_name.for_each(|it| it.waits = false);
    }

    /// Forgets an address that needs no join.
    pub fn forget(&mut self, addr: SocketAddr) {
        self.0.retain(|it| it.addr != addr);
    }

    /// Forgets all addresses.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes at most `count` addresses to ask now. The one whose last announcement is oldest comes
    /// first.
    pub fn take(&mut self, now: Time, count: usize) -> Vec<SocketAddr> {
        let mut waiting: Vec<&mut Found> = self.0.iter_mut().filter(|it| it.waits).collect();
        waiting.sort_by_key(|it| it.announced);
        let taken = waiting.into_iter().take(count).map(|it| {
            it.waits = false;
            it.again = now + it.pause;
            it.pause = (it.pause * 2).min(LONGEST_PAUSE);
            it.addr
        });
        taken.collect()
    }

    /// Returns true if an address waits to be asked.
    pub fn any_waits(&self) -> bool {
        self.0.iter().any(|it| it.waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn addr(host: u16) -> SocketAddr {
        let [high, low] = host.to_be_bytes();
        (Ipv4Addr::new(10, 0, high, low), 7946).into()
    }

    /// Announces an address. Returns true if an address now waits to be asked.
    fn announce(found: &mut FoundAddrs, seconds: u64, host: u16) -> bool {
        found.on_announcement(at(seconds), addr(host), host.into());
        found.any_waits()
    }

    #[test]
    fn an_address_that_was_asked_waits_longer_each_time_and_needs_another_announcement() {
        let mut found = FoundAddrs::default();
        assert!(announce(&mut found, 0, 1));
        assert!(announce(&mut found, 0, 1), "it has not been asked yet");
        assert_eq!(found.take(at(0), 4), [addr(1)]);
        let mut asked = 0;
        for pause in [60, 120, 240, 480, 600, 600] {
            assert!(!announce(&mut found, asked + pause - 1, 1));
            assert!(announce(&mut found, asked + pause, 1));
            asked += pause;
            assert_eq!(found.take(at(asked), 4), [addr(1)]);
        }
        assert_eq!(found.take(at(asked + 9999), 4), [], "it was not announced");
        assert!(!announce(&mut found, asked, 1));
        found.forget(addr(1));
        assert!(announce(&mut found, asked, 1));
    }

    #[test]
    fn a_node_that_has_said_goodbye_is_not_asked_and_its_pause_stays() {
        let mut found = FoundAddrs::default();
        announce(&mut found, 0, 1);
        announce(&mut found, 0, 2);
        found.on_goodbye(1);
        assert_eq!(found.take(at(0), 4), [addr(2)]);
        found.on_goodbye(2);
        assert!(!announce(&mut found, 59, 2));
        assert!(announce(&mut found, 1, 1), "it has not been asked yet");
    }

    #[test]
    fn a_few_addresses_are_taken_at_a_time_in_the_order_of_their_announcements() {
        let mut found = FoundAddrs::default();
        for host in 0..6 {
            announce(&mut found, 100 - u64::from(host), host);
        }
        assert_eq!(found.take(at(100), 4), [addr(5), addr(4), addr(3), addr(2)]);
        assert!(found.any_waits());
        assert_eq!(found.take(at(100), 4), [addr(1), addr(0)]);
        assert!(!found.any_waits());
    }

    #[test]
    fn the_number_of_addresses_is_bounded_and_the_newest_stay() {
        let mut found = FoundAddrs::default();
        for host in 0..1000 {
            announce(&mut found, host.into(), host);
        }
        let taken = found.take(at(1000), 1000);
        assert_eq!(taken.len(), ADDRS);
        assert!(taken.iter().all(|it| *it >= addr(744)));
        found.clear();
        assert_eq!(found.take(at(9999), 1000), []);
    }
}
