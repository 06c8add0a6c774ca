//! The network coordinate of this node, and the rules by which measured round-trip times move it.
//!
//! The rules are those of Vivaldi (Dabek et al., "Vivaldi: a decentralized network coordinate
//! system", 2004) with heights. Two rules follow Ledlie et al., "Network coordinates in the wild"
//! (2007): the adjustment, which is half the mean error of the last measurements, and the gravity
//! that keeps the whole cluster near the origin. The constants are those of Serf, and the same
//! measurements lead to the same bits as in a Serf agent: a distance that goes into a formula is
//! first rounded down to whole nanoseconds, and sums are taken in the order of the indices.

use crate::wire::coordinate::{Coordinate, DIMENSIONS};
use std::time::Duration;

/// The largest value of [`Coordinate::error`], and the first.
const ERROR_MAX: f64 = 1.5;

/// The largest share of the error by which one measurement changes it.
const ERROR_SHARE: f64 = 0.25;

/// The largest share of a wrong distance that one measurement corrects.
const FORCE_SHARE: f64 = 0.25;

/// The number of measurements over which the adjustment is taken.
const ADJUSTMENT_WINDOW: usize = 20;

/// The smallest height, and the first, in seconds.
const HEIGHT_MIN: f64 = 1e-5;

/// The distance from the origin, in seconds, at which the gravity is a second.
const GRAVITY_RHO: f64 = 150.0;

/// A round-trip time, distance or error below this value counts as zero.
const ZERO: f64 = 1e-6;

/// The longest round-trip time that is believed.
const RTT_MAX: Duration = Duration::from_secs(10);

/// A source of random numbers between -0.5 and 0.5.
pub(in crate::serf) type Jitter<'a> = &'a mut dyn FnMut() -> f64;

/// The effect of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) enum Effect {
    /// This node has a new coordinate.
    Moved,
    /// The new coordinate was not finite, so this node has begun again at the origin.
    Reset,
    /// None: the measurement makes no sense. A value of the other coordinate is not finite, or the
    /// round-trip time is longer than [`RTT_MAX`].
    Refused,
}

impl Coordinate {
    /// The coordinate of a node that has measured nothing.
    pub(in crate::serf) const ORIGIN: Coordinate = Coordinate {
        vec: [0.0; DIMENSIONS],
        error: ERROR_MAX,
        adjustment: 0.0,
        height: HEIGHT_MIN,
    };

    /// Returns the estimated round-trip time between two nodes with these coordinates, in whole
    /// nanoseconds. The result is the same in both directions.
    #[must_use]
    pub fn rtt_to(&self, other: &Coordinate) -> Duration {
        let distance = self.raw_distance(other);
        let adjusted = distance + self.adjustment + other.adjustment;
        let seconds = if adjusted > 0.0 { adjusted } else { distance };
        Duration::from_nanos((seconds * 1e9) as u64)
    }

    /// Returns the distance without the adjustments.
    fn raw_distance(&self, other: &Coordinate) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    fn is_finite(&self) -> bool {
        let others = [self.error, self.adjustment, self.height];
        self.vec
            .iter()
            .chain(&others)
            .all(|value| value.is_finite())
    }

    /// Moves the coordinate by this force, in seconds, away from the other coordinate.
    fn push_away(&mut self, force: f64, other: &Coordinate, jitter: Jitter<'_>) {
        let way = difference(&self.vec, &other.vec);
        let length = magnitude(&way);
        let unit = if length > ZERO {
            way.map(|value| value * (1.0 / length))
        } else {
            random_direction(jitter)
        };
        for (value, direction) in self.vec.iter_mut().zip(unit) {
            *value += direction * force;
        }
        if length > ZERO {
            let height = (self.height + other.height) * force / length + self.height;
            self.height = height.max(HEIGHT_MIN);
        }
    }
}

/// The coordinate of this node, and the measurements that its adjustment is made of.
#[derive(Clone, Debug)]
pub(in crate::serf) struct Vivaldi {
    coordinate: Coordinate,
    /// The differences between the measured and the estimated round-trip times, in seconds.
    samples: [f64; ADJUSTMENT_WINDOW],
    /// The index of the oldest sample.
    oldest: usize,
}

impl Default for Vivaldi {
    fn default() -> Vivaldi {
        Vivaldi {
            coordinate: Coordinate::ORIGIN,
            samples: [0.0; ADJUSTMENT_WINDOW],
            oldest: 0,
        }
    }
}

impl Vivaldi {
    pub fn coordinate(&self) -> &Coordinate {
        &self.coordinate
    }

    /// Moves the coordinate: the node with the coordinate `other` has answered. `filter` holds the
    /// round-trip times of that node, to which this one is added.
    pub fn update(
        &mut self,
        other: &Coordinate,
        filter: &mut LatencyFilter,
        rtt: Duration,
        jitter: Jitter<'_>,
    ) -> Effect {
        if !other.is_finite() || rtt > RTT_MAX {
            return Effect::Refused;
        }
        let rtt = filter.add(rtt.as_secs_f64());
        self.approach(other, rtt, jitter);
        self.adjust(other, rtt);
        self.fall(jitter);
        if self.coordinate.is_finite() {
            return Effect::Moved;
        }
        *self = Vivaldi::default();
        Effect::Reset
    }

    /// Corrects a part of the difference between the measured and the estimated round-trip time.
    fn approach(&mut self, other: &Coordinate, rtt: f64, jitter: Jitter<'_>) {
        let this = &mut self.coordinate;
        let rtt = rtt.max(ZERO);
        let distance = this.rtt_to(other).as_secs_f64();
        let wrongness = (distance - rtt).abs() / rtt;
        let total = (this.error + other.error).max(ZERO);
        let weight = this.error / total;
        let error = ERROR_SHARE * weight * wrongness + this.error * (1.0 - ERROR_SHARE * weight);
        this.error = error.min(ERROR_MAX);
        let force = FORCE_SHARE * weight * (rtt - distance);
        this.push_away(force, other, jitter);
    }

    /// Includes the measurement in the adjustment.
    fn adjust(&mut self, other: &Coordinate, rtt: f64) {
        self.samples[self.oldest] = rtt - self.coordinate.raw_distance(other);
        self.oldest = (self.oldest + 1) % ADJUSTMENT_WINDOW;
        let sum: f64 = self.samples.iter().fold(0.0, |sum, sample| sum + sample);
        self.coordinate.adjustment = sum / (2.0 * ADJUSTMENT_WINDOW as f64);
    }

    /// Pulls the coordinate towards the origin.
    fn fall(&mut self, jitter: Jitter<'_>) {
        let origin = Coordinate::ORIGIN;
        let distance = origin.rtt_to(&self.coordinate).as_secs_f64();
        let ratio = distance / GRAVITY_RHO;
        self.coordinate.push_away(-(ratio * ratio), &origin, jitter);
    }
}

/// The coordinate of a member, from its last ack, and the round-trip times that this node measured.
#[derive(Clone, Copy, Debug)]
pub(in crate::serf) struct Measured {
    pub coordinate: Coordinate,
    pub latencies: LatencyFilter,
}

/// The number of round-trip times whose median is used.
const LATENCIES: usize = 3;

/// The last round-trip times of one member. Their median hides a single packet that was delayed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::serf) struct LatencyFilter {
    /// In seconds; those at `count` and later are unused.
    seconds: [f64; LATENCIES],
    count: u8,
}

impl LatencyFilter {
    /// Adds a round-trip time, and returns the median.
    fn add(&mut self, seconds: f64) -> f64 {
        if usize::from(self.count) == LATENCIES {
            self.seconds.rotate_left(1);
        } else {
            self.count += 1;
        }
        let count = usize::from(self.count);
        self.seconds[count - 1] = seconds;
        let mut sorted = self.seconds;
        sorted[..count].sort_unstable_by(f64::total_cmp);
        sorted[count / 2]
    }
}

fn difference(from: &[f64; DIMENSIONS], to: &[f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    std::array::from_fn(|axis| from[axis] - to[axis])
}

fn magnitude(vec: &[f64; DIMENSIONS]) -> f64 {
    vec.iter()
        .fold(0.0, |sum, value| sum + value * value)
        .sqrt()
}

/// Returns a vector of length 1 in a random direction.
fn random_direction(jitter: Jitter<'_>) -> [f64; DIMENSIONS] {
    let way: [f64; DIMENSIONS] = std::array::from_fn(|_| jitter());
    let length = magnitude(&way);
    if length > ZERO {
        return way.map(|value| value * (1.0 / length));
    }
    let mut first_axis = [0.0; DIMENSIONS];
    first_axis[0] = 1.0;
    first_axis
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn coordinate(json: &Value) -> Coordinate {
        Coordinate {
            vec: std::array::from_fn(|axis| json["Vec"][axis].as_f64().unwrap()),
            error: json["Error"].as_f64().unwrap(),
            adjustment: json["Adjustment"].as_f64().unwrap(),
            height: json["Height"].as_f64().unwrap(),
        }
    }

    #[test]
    fn the_measurements_of_an_agent_lead_to_the_same_coordinates_bit_for_bit() {
        let text = include_str!("../../../tests/golden/coordinates.json");
        let file: Value = serde_json::from_str(text).unwrap();
        let steps = file["vectors"].as_array().unwrap();
        assert_eq!(steps.len(), 40);
        let mut own = Vivaldi::default();
        let mut filters: BTreeMap<&str, LatencyFilter> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            let other = coordinate(&step["other"]);
            let estimate = own.coordinate().rtt_to(&other).as_nanos();
            assert_eq!(step["distance_before_ns"], estimate as u64, "{at}");
            let filter = filters.entry(step["node"].as_str().unwrap()).or_default();
            let rtt = Duration::from_nanos(step["rtt_ns"].as_u64().unwrap());
            let effect = own.update(&other, filter, rtt, &mut || unreachable!());
            match step["error"].as_str().unwrap() {
                "" => assert_eq!(effect, Effect::Moved, "{at}"),
                _ => {
                    assert_eq!(effect, Effect::Refused, "{at}");
                    continue; // the next step shows that nothing has changed
                }
            }
            assert_eq!(*own.coordinate(), coordinate(&step["after"]), "{at}");
        }
    }

    #[test]
    fn a_coordinate_that_is_not_finite_is_refused_and_changes_nothing() {
        let places: [fn(&mut Coordinate) -> &mut f64; 4] = [
            |it| &mut it.vec[7],
            |it| &mut it.error,
            |it| &mut it.adjustment,
            |it| &mut it.height,
        ];
        for place in places {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut other = Coordinate::ORIGIN;
                *place(&mut other) = value;
                let (mut own, mut filter) = (Vivaldi::default(), LatencyFilter::default());
                let rtt = Duration::from_millis(5);
                let effect = own.update(&other, &mut filter, rtt, &mut || 0.0);
                assert_eq!(effect, Effect::Refused);
                assert_eq!(*own.coordinate(), Coordinate::ORIGIN);
                assert_eq!(filter.count, 0);
            }
        }
    }

    #[test]
    fn a_coordinate_that_overflows_begins_again_at_the_origin() {
        let mut other = Coordinate::ORIGIN;
        other.vec = [f64::MAX; DIMENSIONS];
        let (mut own, mut filter) = (Vivaldi::default(), LatencyFilter::default());
        let rtt = Duration::from_millis(5);
        let effect = own.update(&other, &mut filter, rtt, &mut || 0.0);
        assert_eq!(effect, Effect::Reset);
        assert_eq!(*own.coordinate(), Coordinate::ORIGIN);
        assert_eq!(own.samples, [0.0; ADJUSTMENT_WINDOW]);
    }

    /// Two pairs of nodes, 40 ms apart, 2 ms within a pair.
    #[test]
    fn nodes_that_measure_one_another_can_tell_near_from_far() {
        let mut nodes = [(); 4].map(|()| Vivaldi::default());
        let mut filters = [[LatencyFilter::default(); 4]; 4];
        let measured = |a: usize, b: usize| if a / 2 == b / 2 { 2 } else { 40 };
        let mut state = 1u32;
        let mut jitter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state) / f64::from(u32::MAX) - 0.5
        };
        for round in 0..400 {
            let (from, to) = (round % 4, (round / 4 + round % 4 + 1) % 4);
            if from == to {
                continue;
            }
            let other = *nodes[to].coordinate();
            let rtt = Duration::from_millis(measured(from, to));
            let effect = nodes[from].update(&other, &mut filters[from][to], rtt, &mut jitter);
            assert_eq!(effect, Effect::Moved);
        }
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let estimate = nodes[a].coordinate().rtt_to(nodes[b].coordinate());
            let (estimate, rtt) = (estimate.as_secs_f64(), measured(a, b) as f64 / 1e3);
            assert!(
                (estimate - rtt).abs() < rtt / 4.0 + 0.002,
                "{a}-{b}: {estimate}"
            );
        }
    }

    #[test]
    fn the_filter_gives_the_median_of_the_last_three_round_trip_times() {
        let mut filter = LatencyFilter::default();
        let medians = [5.0, 1.0, 9.0, 8.0, 2.0].map(|seconds| filter.add(seconds));
        assert_eq!(medians, [5.0, 5.0, 5.0, 8.0, 8.0]);
    }
}
