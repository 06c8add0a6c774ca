//! Network coordinates: reading those of members, and estimating round-trip times.

use super::Node;
use crate::driver::engine::command::Command;
use crate::error::Result;
use crate::serf::Coordinate;
use std::time::Duration;

impl Node {
    /// Returns the network coordinate of a member, this node included. It is the one that the
    /// member sent with its last answer to a ping from this node. A node pings one member in each
    /// `probe_interval_ms`, so it takes a while until the coordinates of all members are known.
    ///
    /// # Errors
    /// `NotFound` if there is no such member, if a filter hides it, or if it has not sent a
    /// coordinate yet; `State` in memberlist mode or if the setting `coordinates` is false;
    /// `Closed`; `Forked`.
    pub fn coordinate(&self, name: &str) -> Result<Coordinate> {
        let name = name.to_owned();
        self.running
            .ask(|reply| Command::Coordinate { name, reply })?
    }

    /// Estimates the round-trip time between two members from their coordinates. They need not have
    /// measured it themselves.
    ///
    /// # Errors
    /// Same as [`Node::coordinate`].
    pub fn rtt(&self, from: &str, to: &str) -> Result<Duration> {
        Ok(self.coordinate(from)?.rtt_to(&self.coordinate(to)?))
    }
}
