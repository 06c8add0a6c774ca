//! The one source of randomness of a node: a ChaCha generator started from a given seed.
//!
//! The numbers are repeatable for the simulator. That is not enough for the nonces of encryption: a
//! copy of a running virtual machine has the same generator, and two messages with the same nonce
//! and the same key reveal their contents. So each nonce is mixed with fresh bits, which the driver
//! gets from the system.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// A function that returns bits which differ between this process and a copy of it.
pub type FreshBits = fn() -> [u8; 12];

/// A seeded generator.
pub(in crate::swim) struct Random {
    generator: ChaCha12Rng,
    /// The source of the bits that are mixed into each nonce; zeros in the simulator.
    pub fresh: FreshBits,
}

impl Random {
    pub fn new(seed: [u8; 32]) -> Random {
        Random {
            generator: ChaCha12Rng::from_seed(seed),
            fresh: || [0; 12],
        }
    }

    /// Returns a random number below `n`, or 0 if `n` is 0. The bias of the method is below
    /// n / 2^32.
    pub fn below(&mut self, n: usize) -> usize {
        let wide = u64::from(self.generator.next_u32()) * n as u64;
        (wide >> 32) as usize
    }

    /// Returns a random duration below `span`, or zero if `span` is zero.
    pub fn within(&mut self, span: Duration) -> Duration {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let wide = u128::from(self.generator.next_u64()) * u128::from(nanos);
        Duration::from_nanos((wide >> 64) as u64)
    }

    /// Returns a nonce of 96 random bits, which does not repeat in practice.
    pub fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        self.generator.fill_bytes(&mut nonce);
        let fresh = (self.fresh)();
        std::array::from_fn(|at| nonce[at] ^ fresh[at])
    }

    /// Shuffles the items with the Fisher-Yates algorithm.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_copies_of_a_generator_have_different_nonces_if_their_fresh_bits_differ() {
        let [mut a, mut b] = [(); 2].map(|()| Random::new([7; 32]));
        assert_eq!(a.nonce(), b.nonce());
        b.fresh = || [1; 12];
        let (one, other) = (a.nonce(), b.nonce());
        assert_eq!(std::array::from_fn(|at| one[at] ^ other[at]), [1; 12]);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let mut a = Random::new([7; 32]);
        let mut b = Random::new([7; 32]);
        let first: Vec<usize> = (0..100).map(|_| a.below(1000)).collect();
        assert_eq!(first, (0..100).map(|_| b.below(1000)).collect::<Vec<_>>());
        assert!(first.iter().any(|&x| x != first[0]));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_every_value() {
        let mut random = Random::new([1; 32]);
        let mut seen = [0u32; 5];
        for _ in 0..5_000 {
            seen[random.below(5)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.within(Duration::from_secs(1)) < Duration::from_secs(1)));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Random::new([3; 32]).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
