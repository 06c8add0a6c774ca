//! Random numbers of the simulator: SplitMix64, which gives the same numbers on every platform.

use std::time::Duration;

/// A seeded generator. Copies continue independently from the same point.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A duration that is at least `low` and less than `high`; `low` if `high` is not greater.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos() as usize;
        low + Duration::from_nanos(self.below(span) as u64)
    }

    /// True with this probability. Draws nothing if the probability is 0.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.next() >> 11) as f64 / ((1u64 << 53) as f64) < probability
    }

    /// A seed for a core.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        seed
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers_with_the_right_odds_and_bounds() {
    let hits = |seed| {
        let mut rng = Rng::new(seed);
        (0..10_000).filter(|_| rng.chance(0.3)).count()
    };
    assert_eq!(hits(1), hits(1));
    for seed in 0..5 {
        assert!((2_800..3_200).contains(&hits(seed)), "{}", hits(seed));
    }
    let mut rng = Rng::new(9);
    let (low, high) = (Duration::from_millis(2), Duration::from_millis(3));
    assert!((0..1000).all(|_| (low..high).contains(&rng.between(low, high))));
    assert_eq!(rng.between(high, low), high);
}
