//! Network coordinates: this node's own, which acks carry, and those of the members that answered.

use super::CommandError;
use super::shared::vivaldi::{Effect, Jitter, Measured, Vivaldi};
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Order;
use crate::wire::coordinate::Coordinate;
use std::time::Duration;

/// The coordinate of this node.
#[derive(Debug, Default)]
pub(super) struct Coordinates {
    own: Vivaldi,
}

impl Coordinates {
    /// Makes acks carry the coordinate of this node, if the settings allow it.
    pub fn start(&self, common: &mut Common) {
        if common.has_coordinates() {
            self.put_into_acks(common);
        }
    }

    fn put_into_acks(&self, common: &mut Common) {
        let payload = self.own.coordinate().encoded();
        common.out.order(Order::SetAckPayload(payload));
    }

    /// A member has answered a ping, after the time `rtt` and with this payload.
    pub fn on_answer(
        &mut self,
        common: &mut Common,
        name: &str,
        rtt: Duration,
        payload: &[u8],
        jitter: Jitter<'_>,
    ) {
        if payload.is_empty() || !common.has_coordinates() {
            return;
        }
        let Some(row) = common.members.get(name) else {
            return;
        };
        let coordinate = match Coordinate::decode(payload) {
            Ok(Some(coordinate)) => coordinate,
            Ok(None) => return, // of a later version
            Err(why) => return common.out.refuse(why),
        };
        let measured = row.measured.as_deref();
        let mut latencies = measured.map(|it| it.latencies).unwrap_or_default();
        match self.own.update(&coordinate, &mut latencies, rtt, jitter) {
            Effect::Moved => {}
            Effect::Reset => common.out.counts.coordinate_resets += 1,
            Effect::Refused => {
                common.out.counts.coordinates_refused += 1;
                return;
            }
        }
        let measured = Measured {
            coordinate,
            latencies,
        };
        common.members.set_measured(name, measured);
        self.put_into_acks(common);
    }

    /// Returns the coordinate of a member, this node included.
    ///
    /// # Errors
    /// `NoCoordinates`, `UnknownMember`, `NotMeasured`.
    pub fn of(&self, common: &Common, name: &str) -> Result<Coordinate, CommandError> {
        if !common.has_coordinates() {
            return Err(CommandError::NoCoordinates);
        }
        if common.is_self(name) {
            return Ok(*self.own.coordinate());
        }
        let row = common.members.get(name).filter(|row| !row.hidden);
        let row = row.ok_or(CommandError::UnknownMember)?;
        let measured = row.measured.as_deref();
        measured
            .map(|it| it.coordinate)
            .ok_or(CommandError::NotMeasured)
    }
}
