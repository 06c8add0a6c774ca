//! The loop that accepts the connections of a listener, on a thread of its own.

use super::log;
use std::io;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The pause after a failure: there may be no free descriptor, and the next attempt would fail at
/// once.
const PAUSE: Duration = Duration::from_millis(100);
/// The shortest time between two log lines about failures.
const QUIET: Duration = Duration::from_secs(60);

/// Starts a thread that hands every connection to `serve`. `accept` waits for the next one. `what`
/// is the listener in log lines.
///
/// # Errors
/// The thread cannot be created.
pub fn start<S>(
    name: &str,
    what: &'static str,
    accept: impl Fn() -> io::Result<S> + Send + 'static,
    serve: impl Fn(S) + Send + 'static,
) -> io::Result<()> {
    let mut failures = Failures::default();
    let accept_all = move || {
        loop {
            match accept() {
                Ok(stream) => serve(stream),
                Err(error) => {
                    if failures.is_log_due(Instant::now()) {
                        log(&format!(
                            "{what}: connections cannot be accepted at the moment: {error}"
                        ));
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    };
    let thread = Builder::new().name(name.to_owned()).spawn(accept_all);
    thread.map(drop)
}

/// The failures of one listener.
#[derive(Default)]
struct Failures {
    /// The time of the last log line.
    logged: Option<Instant>,
}

impl Failures {
    /// Returns true if a failure is to be logged now.
    fn is_log_due(&mut self, now: Instant) -> bool {
        let is_quiet = self.logged.is_some_and(|at| now.duration_since(at) < QUIET);
        if !is_quiet {
            self.logged = Some(now);
        }
        !is_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_logged_at_most_once_a_minute() {
        let (mut failures, began) = (Failures::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 120]
            .map(|second| failures.is_log_due(began + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
