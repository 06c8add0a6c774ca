//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// The longest time that a test waits for something that must happen. The bound only ends tests
/// that hang: on a busy machine everything takes longer, and the simulations check how soon things
/// happen. An agent that missed some gossip catches up by a push/pull, which it begins every 30 s.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Calls `condition` until it returns `Ok`. Panics with its last error after [`PATIENCE`].
pub fn until(what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while let Err(error) = condition() {
        if began.elapsed() > PATIENCE {
            panic!("not within {PATIENCE:?}: {what}: {error}");
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Calls `condition` for this long. Panics as soon as it returns an error.
pub fn throughout(time: Duration, what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while began.elapsed() < time {
        if let Err(error) = condition() {
            panic!("not true after {:?}: {what}: {error}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}
