//! Waiting with a bound: a condition is asked until it holds or the patience is over.

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. The bound only ends tests that hang: on a
/// busy machine everything takes longer, and how soon it must happen is for the simulations to
/// say. What gossip misses, a stock agent learns from a push/pull, which it begins every 30 s.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks `condition` until it is `Ok`; panics with its last answer when the patience is over.
pub fn until(what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while let Err(error) = condition() {
        if began.elapsed() > PATIENCE {
            panic!("after {PATIENCE:?} still not: {what}: {error}");
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Asks `condition` for this long; panics as soon as it is not `Ok`.
pub fn throughout(time: Duration, what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while began.elapsed() < time {
        if let Err(error) = condition() {
            panic!("after {:?} no longer: {what}: {error}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}
