//! Reaping: a member is erased when enough time has passed since it failed or left.

use super::early_intents::EarlyIntents;
use crate::serf::shared::common::Common;
use crate::serf::shared::members::SerfStatus;
use crate::time::Time;
use std::sync::Arc;

/// The clock of the reaper.
#[derive(Debug)]
pub(in crate::serf) struct Reaper {
    /// The time at which members are next checked.
    pub next: Time,
}

impl Reaper {
    /// Erases every member and every early intent whose time is up, and ends the searches that have
    /// gone on for too long. Does nothing before the time `next`.
    pub fn reap(&mut self, now: Time, common: &mut Common, early: &mut EarlyIntents) {
        if now < self.next {
            return;
        }
        let config = &common.config;
        self.next = now + config.reap_interval;
        early.expire(now);
        let reconnect_timeout = config.reconnect_timeout;
        let due = common.members.iter().filter(|row| {
            let kept = match row.status {
                SerfStatus::Alive | SerfStatus::Leaving => return false,
                SerfStatus::Failed => reconnect_timeout,
                SerfStatus::Left => config.tombstone_timeout,
            };
            now.since(row.gone_at) > kept && !common.is_self(&row.member.name)
        });
        let due: Vec<Arc<str>> = due.map(|row| row.member.name.clone()).collect();
        due.iter().for_each(|name| common.erase(name));
        let given_up = common.lost.longer_than(now, reconnect_timeout);
        given_up.iter().for_each(|name| common.give_up(name));
    }
}
