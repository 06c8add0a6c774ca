//! Waiting with a bound: a condition is asked until it holds or the patience is over.

use std::time::{Duration, Instant};

/// How long to wait, and how often to ask.
#[derive(Clone, Copy)]
pub struct Patience {
    limit: Duration,
    pause: Duration,
}

impl Patience {
    /// So many seconds.
    pub fn new(seconds: u64) -> Patience {
        Patience::of(Duration::from_secs(seconds))
    }

    /// This long.
    pub fn of(limit: Duration) -> Patience {
        Patience {
            limit,
            pause: Duration::from_millis(150),
        }
    }
}

/// Asks `condition` until it is `Ok`, and returns how long that took; panics with its last
/// answer when the patience is over.
pub fn until(
    patience: Patience,
    what: &str,
    mut condition: impl FnMut() -> Result<(), String>,
) -> Duration {
    let began = Instant::now();
    loop {
        match condition() {
            Ok(()) => return began.elapsed(),
            Err(why) if began.elapsed() > patience.limit => {
                panic!("after {:?} still not: {what}: {why}", patience.limit)
            }
            Err(_) => std::thread::sleep(patience.pause),
        }
    }
}

/// Asks `condition` for this long; panics as soon as it is not `Ok`.
pub fn throughout(time: Duration, what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while began.elapsed() < time {
        if let Err(why) = condition() {
            panic!("after {:?} no longer: {what}: {why}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}
