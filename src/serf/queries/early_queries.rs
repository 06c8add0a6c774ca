//! Queries whose sender is not known yet: they wait for it to join.
//!
//! Gossip may bring a query before it brings the member that sends it, above all if that member has
//! just joined. Only members get answers, so the query is kept for a short time, and taken up when
//! a member has the name and the address of its sender.

use crate::limits;
use crate::serf::shared::common::Common;
use crate::time::Time;
use crate::wire::serf_message::{Query, SerfMessage};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest time for which a query waits for its sender.
const PATIENCE: Duration = Duration::from_secs(10);

/// A query of an unknown sender.
#[derive(Debug)]
struct EarlyQuery {
    sender: Arc<str>,
    addr: SocketAddr,
    message: Vec<u8>,
    since: Time,
    /// The time for which answers count, from `since` on.
    time: Duration,
}

impl EarlyQuery {
    fn end(&self) -> Time {
        self.since + self.time.min(PATIENCE)
    }
}

/// A query whose sender has become known.
pub(in crate::serf) struct ReadyQuery {
    pub message: Vec<u8>,
    /// The time for which answers still count.
    pub time: Duration,
}

/// The queries whose senders are not known yet: at most [`limits::EARLY_QUERIES`], with at most
/// [`limits::EARLY_QUERY_BYTES`].
#[derive(Debug, Default)]
pub(in crate::serf) struct EarlyQueries {
    waiting: Vec<EarlyQuery>,
}

impl EarlyQueries {
    /// Keeps a query whose answers count for `time`. If it does not name its sender, or if there is
    /// no room, it is counted as one that is not answered.
    pub fn keep(
        &mut self,
        now: Time,
        common: &mut Common,
        query: &Query<'_>,
        addr: SocketAddr,
        time: Duration,
    ) {
        self.handle_timeout(now, common);
        let is_usable = !time.is_zero() && !query.source_node.is_empty();
        let message = (is_usable && self.waiting.len() < limits::EARLY_QUERIES)
            .then(|| SerfMessage::Query(query.clone()).encoded())
            .filter(|message| self.bytes() + message.len() <= limits::EARLY_QUERY_BYTES);
        let Some(message) = message else {
            common.out.counts.queries_unanswered += 1;
            return;
        };
        common.out.counts.queries_held += 1;
        self.waiting.push(EarlyQuery {
            sender: query.source_node.into(),
            addr,
            message,
            since: now,
            time,
        });
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|it| it.message.len()).sum()
    }

    /// Takes out the queries whose sender is a member now.
    pub fn take_known(&mut self, now: Time, common: &mut Common) -> Vec<ReadyQuery> {
        self.handle_timeout(now, common);
        let is_known = |it: &EarlyQuery| common.is_member_at(now, &it.sender, it.addr);
        let (known, unknown): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(is_known);
        self.waiting = unknown;
        let known = known.into_iter().map(|it| ReadyQuery {
            message: it.message,
            time: it.time.saturating_sub(now.since(it.since)),
        });
        known.collect()
    }

    /// Returns the time at which a query has waited too long.
    pub fn deadline(&self) -> Option<Time> {
        self.waiting.iter().map(EarlyQuery::end).min()
    }

    /// Drops the queries that have waited too long.
    pub fn handle_timeout(&mut self, now: Time, common: &mut Common) {
        let before = self.waiting.len();
        self.waiting.retain(|it| it.end() > now);
        let dropped = before - self.waiting.len();
        common.out.counts.queries_unanswered += dropped as u64;
    }

    /// Moves the arrival times of queries forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        for query in &mut self.waiting {
            query.since = query.since + by;
        }
    }
}
