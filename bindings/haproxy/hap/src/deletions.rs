//! The servers that HAProxy refuses to delete for a reason that does not pass by itself, for
//! example because another part of the configuration refers to the server. Such a refusal stays a
//! problem, and the deletion is tried again only after a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time after a refusal until the deletion is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The refused deletions, by the names of the servers in HAProxy.
#[derive(Default)]
pub struct RefusedDeletions(BTreeMap<Arc<str>, Refusal>);

struct Refusal {
    problem: String,
    at: Instant,
}

impl RefusedDeletions {
    /// Notes a refusal. `problem` is the line for the log.
    pub fn note(&mut self, server: Arc<str>, problem: String, now: Instant) {
        self.0.insert(server, Refusal { problem, at: now });
    }

    /// Forgets the servers that no longer have to be deleted.
    pub fn retain(&mut self, is_unneeded: impl Fn(&str) -> bool) {
        self.0.retain(|server, _| is_unneeded(server));
    }

    /// Returns true if the deletion of a server may be sent.
    pub fn allows(&self, server: &str, now: Instant) -> bool {
        let refusal = self.0.get(server);
        refusal.is_none_or(|it| now.duration_since(it.at) >= RETRY)
    }

    /// Returns the lines for the log.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.0.values().map(|it| it.problem.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_deletion_is_a_problem_until_the_server_is_gone_and_is_rarely_tried_again() {
        let (mut refused, now) = (RefusedDeletions::default(), Instant::now());
        assert!(refused.allows("a", now));
        refused.note("a".into(), "a: no".to_owned(), now);
        for (seconds, allowed) in [(1, false), (59, false), (60, true)] {
            assert_eq!(
                refused.allows("a", now + Duration::from_secs(seconds)),
                allowed
            );
        }
        refused.retain(|name| name == "a");
        assert_eq!(refused.problems().collect::<Vec<_>>(), ["a: no"]);
        refused.retain(|_| false);
        assert_eq!(refused.problems().count(), 0);
        assert!(refused.allows("a", now));
    }
}
