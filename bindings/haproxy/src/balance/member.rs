//! One member in its slot: what is known of it, what it should be, and what it is.

use super::Order;
use sprat::service::spoe::candidate::{Candidate, Desired, Presence};
use sprat::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Requests.
    Ready,
    /// No new requests; what it has goes on, and it is checked.
    Drain,
    /// Nothing.
    Maintenance,
}

/// Why a server is still ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No other would be left.
    Last,
    /// Too few others would be left.
    Floor,
    /// Nobody is taken away at the moment.
    Frozen,
    /// Others are taken away first, one by one.
    Paced,
    /// It is as an earlier life left it: nobody has spoken of it yet.
    Remembered,
}

impl Hold {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Hold::Last => "no other would be ready",
            Hold::Floor => "too few others would be ready",
            Hold::Frozen => "nobody is taken away now",
            Hold::Paced => "others are taken away first",
            Hold::Remembered => "not heard of since the start",
        }
    }
}

/// What is known of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// From an earlier life; nobody has spoken of it yet.
    Remembered,
    /// As the cluster says.
    Told(Presence),
    /// It is no longer listed, or has another role now.
    Gone,
}

/// A member in a slot.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub weight: u16,
    /// HAProxy cannot reach it.
    pub doubted: bool,
    desired: Desired,
    known: Known,
    /// Since when it is known so.
    since: Time,
    /// Its address belongs to another member now.
    superseded: bool,
    /// It is no longer listed because it had failed for long, not by its own wish.
    lost: bool,
    mode: Mode,
    hold: Option<Hold>,
}

impl Entry {
    /// One that the cluster tells of.
    pub fn new(candidate: &Candidate, addr: SocketAddr, now: Time) -> Entry {
        Entry {
            name: candidate.name.clone(),
            addr,
            weight: candidate.weight,
            doubted: false,
            desired: candidate.desired,
            known: Known::Told(candidate.presence),
            since: now,
            superseded: false,
            lost: false,
            mode: Mode::Maintenance,
            hold: None,
        }
    }

    /// One of an earlier life.
    pub fn remembered(
        name: Arc<str>,
        addr: SocketAddr,
        weight: u16,
        mode: Mode,
        now: Time,
    ) -> Entry {
        Entry {
            name,
            addr,
            weight,
            doubted: false,
            desired: Desired::Ready,
            known: Known::Remembered,
            since: now,
            superseded: false,
            lost: false,
            mode,
            hold: None,
        }
    }

    /// What the cluster says of it now. `addr`: where, if that is an address to serve at.
    pub fn update(&mut self, candidate: &Candidate, addr: Option<SocketAddr>, now: Time) {
        let known = Known::Told(candidate.presence);
        if self.known != known {
            (self.known, self.since) = (known, now);
        }
        self.weight = candidate.weight;
        self.desired = match addr {
            Some(addr) => {
                // Only who is there can claim an address.
                if self.is_there() {
                    (self.addr, self.superseded) = (addr, false);
                }
                candidate.desired
            }
            None => Desired::Maint,
        };
    }

    /// The cluster does not list it.
    pub fn is_not_listed(&mut self, now: Time) {
        match self.known {
            Known::Told(presence) => {
                self.lost = presence == Presence::Failed;
                (self.known, self.since) = (Known::Gone, now);
            }
            Known::Remembered | Known::Gone => {}
        }
    }

    /// Nobody has spoken of it for long enough.
    pub fn end_of_memory(&mut self, now: Time) {
        if self.known == Known::Remembered {
            (self.known, self.since) = (Known::Told(Presence::Failed), now);
        }
    }

    /// Another member is alive at its address.
    pub fn supersede(&mut self) {
        self.superseded = true;
    }

    /// Another earlier life knew it, too, and better.
    pub fn remember_as(&mut self, mode: Mode) {
        if self.is_remembered() && mode < self.mode {
            self.become_mode(mode);
        }
    }

    /// Its slot may be given to one that needs it: who left before who failed, who is gone for
    /// longest first. `None` if it may not.
    pub fn spare(&self) -> Option<(bool, Time)> {
        let gone = match self.known {
            Known::Gone | Known::Told(Presence::Left) => false,
            Known::Told(Presence::Failed) => true,
            Known::Remembered | Known::Told(Presence::Alive | Presence::Suspect) => return None,
        };
        (self.mode == Mode::Maintenance).then_some((gone, self.since))
    }

    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    pub fn is_remembered(&self) -> bool {
        self.known == Known::Remembered
    }

    pub fn is_there(&self) -> bool {
        matches!(self.known, Known::Told(Presence::Alive | Presence::Suspect))
    }

    /// It serves at its own address, as far as anybody knows.
    pub fn owns_its_address(&self) -> bool {
        self.is_there() && !self.superseded
    }

    /// When one that has left is stopped.
    pub fn stops_at(&self, drain: Duration) -> Option<Time> {
        let leaves = self.known == Known::Told(Presence::Left) && self.mode == Mode::Drain;
        leaves.then_some(self.since + drain)
    }

    pub fn since(&self) -> Time {
        self.since
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub fn hold_for(&mut self, why: Hold) {
        self.hold = Some(why);
    }

    pub fn become_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.hold = None;
    }

    /// Its slot may be given to another.
    pub fn is_over(&self) -> bool {
        self.known == Known::Gone && self.mode == Mode::Maintenance
    }

    /// What it should be if nothing were in the way.
    pub fn goal(&self) -> Mode {
        if self.superseded {
            return Mode::Maintenance;
        }
        match (self.known, self.desired) {
            (Known::Remembered, _) => self.mode,
            (Known::Gone | Known::Told(Presence::Failed), _) => Mode::Maintenance,
            (Known::Told(Presence::Left), _) => Mode::Drain,
            (Known::Told(_), Desired::Maint) => Mode::Maintenance,
            (Known::Told(_), Desired::Drain) => Mode::Drain,
            // Two witnesses: the cluster, and HAProxy. Drained and not stopped, so that it is
            // checked, and back as soon as either finds it again.
            (Known::Told(Presence::Suspect), Desired::Ready) if self.doubted => Mode::Drain,
            (Known::Told(Presence::Alive | Presence::Suspect), Desired::Ready) => Mode::Ready,
        }
    }

    /// As `goal`, once one that has left had the time to finish.
    pub fn goal_at(&self, now: Time, drain: Duration) -> Mode {
        match (self.known, self.goal()) {
            (Known::Told(Presence::Left), Mode::Drain) if now.since(self.since) >= drain => {
                Mode::Maintenance
            }
            (_, goal) => goal,
        }
    }

    /// Does it go of its own will, or because the cluster has lost it?
    pub fn goes_willingly(&self) -> bool {
        if self.superseded {
            return true; // its address goes on under another name
        }
        match self.known {
            Known::Gone => !self.lost,
            Known::Told(Presence::Left) => true,
            Known::Remembered | Known::Told(Presence::Failed) => false,
            Known::Told(Presence::Alive | Presence::Suspect) => self.desired != Desired::Ready,
        }
    }

    /// Does it count when it is asked how many there should be?
    pub fn counts(&self, now: Time, memory: Duration) -> bool {
        match self.known {
            Known::Remembered | Known::Told(Presence::Alive | Presence::Suspect) => true,
            Known::Told(Presence::Failed) => now.since(self.since) < memory,
            Known::Gone | Known::Told(Presence::Left) => false,
        }
    }

    pub fn order(&self, slot: usize) -> Order {
        Order {
            slot,
            name: Some(self.name.clone()),
            addr: Some(self.addr),
            weight: self.weight,
            mode: self.mode,
        }
    }
}
