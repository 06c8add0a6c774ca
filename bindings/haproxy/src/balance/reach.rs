//! Whether HAProxy sends requests to a server, and whether that has been so for long enough to act
//! on it.
//!
//! One report of the health checks proves little: a program that is being restarted is down for
//! some seconds, and a server that was just started counts as up until it is checked. A member
//! therefore loses its slot to one that waits only if its server has been down without interruption
//! for [`Limits::patience`], and another server has served for as long. If HAProxy itself has lost
//! its network, no server serves for that long.
//!
//! [`Limits::patience`]: super::Limits::patience

use sprat::time::Time;
use std::time::Duration;

/// Whether HAProxy sends requests to a server that is ready. The order is that of
/// [`Reach::of_all`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// HAProxy sends requests to the server.
    #[default]
    Reached,
    /// Someone else has drained, stopped or deleted the server, or has set its weight to 0. This
    /// says nothing about its member.
    TakenAway,
    /// HAProxy's health checks find the server down.
    Down,
}

impl Reach {
    const ALL: [Reach; 3] = [Reach::Reached, Reach::TakenAway, Reach::Down];

    /// Returns the word for it in Lua.
    pub fn name(self) -> &'static str {
        match self {
            Reach::Reached => "reached",
            Reach::TakenAway => "taken away",
            Reach::Down => "down",
        }
    }

    /// Returns the value for a word, or `None` if there is no such word.
    pub fn from_name(name: &str) -> Option<Reach> {
        Reach::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Combines the reports of several HAProxys: a server is reached if one of them reaches it, and
    /// is down only if all of them find it down.
    pub fn of_all(reports: impl Iterator<Item = Reach>) -> Reach {
        reports.min().unwrap_or_default()
    }
}

/// The use of a server for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is ready, and HAProxy reaches it.
    Serves,
    /// It should get requests, or its clients should, and the health checks find it down.
    Down,
    /// Neither can be said of it.
    #[default]
    Unknown,
}

/// The standing of a server, and the time since which it has had this standing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    standing: Standing,
    since: Time,
}

impl Record {
    /// Notes the standing that the server has now.
    pub fn note(&mut self, standing: Standing, now: Time) {
        if self.standing != standing {
            (self.standing, self.since) = (standing, now);
        }
    }

    /// Returns the time at which this standing will have lasted for `patience`; `None` if the
    /// server has another one.
    pub fn lasts_at(&self, standing: Standing, patience: Duration) -> Option<Time> {
        (self.standing == standing).then_some(self.since + patience)
    }
}
