//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// The longest time that a test waits for something that must happen. The bound only ends tests
/// that hang: on a busy machine everything takes longer, and the simulations check how soon things
/// happen. An agent that missed some gossip catches up by a push/pull, which it begins every 30 s.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The number of times that [`in_one_attempt`] runs a scenario.
const ATTEMPTS: usize = 5;

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
pub fn throughout(time: Duration, what: &str, condition: impl FnMut() -> Result<(), String>) {
    if let Err(error) = holds(time, condition) {
        panic!("not true for {time:?}: {what}: {error}");
    }
}

/// Calls `condition` for this long, or until it returns an error, which this function returns too.
pub fn holds(
    time: Duration,
    mut condition: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < time {
        condition().map_err(|error| format!("after {:?}: {error}", began.elapsed()))?;
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

/// Runs a scenario until it succeeds, at most [`ATTEMPTS`] times. For scenarios that fail if a node
/// gets no processor time for a second: a busy machine lets this happen in one attempt, but hardly
/// in all of them, while a fault in the protocol makes every attempt fail.
pub fn in_one_attempt(scenario: impl Fn() -> Result<(), String>) {
    let mut errors = Vec::new();
    while errors.len() < ATTEMPTS {
        match scenario() {
            Ok(()) => return,
            Err(error) => errors.push(error),
        }
    }
    panic!("not in {ATTEMPTS} attempts: {errors:#?}");
}
