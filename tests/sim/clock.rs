//! The clock of a host: the virtual time, faster or slower, and with jumps.

use sprat::time::Time;
use std::time::Duration;

const BILLION: u128 = 1_000_000_000;

/// Maps the virtual time of the world to the monotonic time of one host, and back.
#[derive(Clone, Debug)]
pub struct Clock {
    world: Time,
    local: Time,
    /// Local nanoseconds per second of the world.
    rate: u64,
}

impl Clock {
    /// A correct clock that shows `local` at world time `world`.
    pub fn new(world: Time, local: Time) -> Clock {
        let rate = BILLION as u64;
        Clock { world, local, rate }
    }

    /// The time that the clock shows at this time of the world.
    pub fn local(&self, world: Time) -> Time {
        let passed = world.since(self.world);
        if self.is_correct() {
            return self.local + passed;
        }
        let passed = passed.as_nanos() * u128::from(self.rate) / BILLION;
        self.local + Duration::from_nanos(passed as u64)
    }

    /// The first time of the world at which the clock shows `local` or more.
    pub fn world(&self, local: Time) -> Time {
        let wanted = local.since(self.local);
        if self.is_correct() {
            return self.world + wanted;
        }
        let wanted = wanted.as_nanos() * BILLION;
        self.world + Duration::from_nanos(wanted.div_ceil(u128::from(self.rate)) as u64)
    }

    /// Returns true if the clock is neither fast nor slow. It then needs no division.
    fn is_correct(&self) -> bool {
        u128::from(self.rate) == BILLION
    }

    /// Lets the clock run `ppm` millionths too fast from now on, or too slow if `ppm` is negative.
    pub fn set_skew(&mut self, world: Time, ppm: i64) {
        self.local = self.local(world);
        self.world = world;
        self.rate = (BILLION as i64 + ppm * 1000) as u64;
    }

    /// Accounts for the time from `from` to `to`, in which the clock stood still.
    pub fn hold(&mut self, from: Time, to: Time) {
        self.local = self.local(from);
        self.world = to;
    }

    /// Lets the clock jump forward.
    pub fn step(&mut self, world: Time, by: Duration) {
        self.local = self.local(world) + by;
        self.world = world;
    }
}

#[test]
fn a_clock_that_runs_fast_shows_more_and_its_deadlines_come_early() {
    let secs = |s: u64| Time::from_nanos(s * 1_000_000_000);
    let mut clock = Clock::new(Time::ZERO, secs(1000));
    assert_eq!(clock.local(secs(10)), secs(1010));
    clock.set_skew(secs(10), 100_000);
    assert_eq!(clock.local(secs(20)), secs(1021));
    assert_eq!(clock.world(secs(1021)), secs(20));
    assert_eq!(
        clock.world(secs(5)),
        secs(10),
        "past deadlines are due at once"
    );
    clock.step(secs(20), Duration::from_secs(60));
    assert_eq!(clock.local(secs(20)), secs(1081));
    clock.hold(secs(20), secs(50));
    assert_eq!(clock.local(secs(50)), secs(1081));
    for nanos in [1u64, 999, 12_345_678_901] {
        let local = secs(1081) + Duration::from_nanos(nanos);
        assert!(
            clock.local(clock.world(local)) >= local,
            "a wake-up is never too early"
        );
    }
}
