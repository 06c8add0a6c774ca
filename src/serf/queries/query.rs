//! Queries that reach this node: each is passed on once, acknowledged if its sender wants that, and
//! handed to the application, which may answer it once before its deadline.
//!
//! Acks and answers go to the sender only if it is a member, so that no outsider can make a whole
//! cluster send to an arbitrary address. A query whose sender is not known yet waits for it. Only a
//! vote is answered to a node that is no member: this node may know the name of the node that calls
//! the vote at the address of the other node that has the name.

use super::answering;
use super::early_queries::EarlyQueries;
use super::internal_query;
use super::query_filter::{self, TagFilters, Undecided};
use crate::event::EventBody;
use crate::limits;
use crate::per_second::PerSecond;
use crate::serf::CommandError;
use crate::serf::keys::query::KeyQuery;
use crate::serf::shared::asker::Asker;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Order;
use crate::serf::shared::ring::Item;
use crate::serf::shared::seen::Seen;
use crate::sorted_map::SortedMap;
use crate::time::Time;
use crate::wire::serf_message::{Query, SerfMessage, flag};
use crate::wire::{Names, Refusal, address, wire_name};
use std::net::SocketAddr;
use std::time::Duration;

/// The maximum number of votes in a second whose answers go to an address at which there is no
/// member.
const CLAIMANTS_PER_SECOND: u32 = 8;

/// The longest time for which a query can be answered, whatever its sender claims.
const LONGEST: Duration = Duration::from_secs(3600);

/// A query that was seen, identified by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) struct SeenQuery(pub u32);

impl Item for SeenQuery {
    fn weight(&self) -> usize {
        size_of::<u32>()
    }
}

/// A query that the application may answer.
struct Open {
    asker: Asker,
    deadline: Time,
    answered: bool,
}

/// The queries of a node: those seen recently, and those that can be answered.
pub(in crate::serf) struct Queries {
    pub seen: Seen<SeenQuery>,
    pub early: EarlyQueries,
    tag_filters: TagFilters,
    /// By the number that the application knows.
    open: SortedMap<u64, Open>,
    last: u64,
    claimants: PerSecond,
}

impl Queries {
    pub fn new() -> Queries {
        Queries {
            seen: Seen::new(),
            early: EarlyQueries::default(),
            tag_filters: TagFilters::new(),
            open: SortedMap::default(),
            last: 0,
            claimants: PerSecond::new(CLAIMANTS_PER_SECOND),
        }
    }

    /// Handles a query. Returns true if this node should pass it on, which does not depend on
    /// whether the query is meant for this node. `silent` is true if this node must not answer.
    pub fn on_query(
        &mut self,
        now: Time,
        common: &mut Common,
        query: &Query<'_>,
        silent: bool,
    ) -> bool {
        let keys = match KeyQuery::read(query) {
            Ok(keys) => keys,
            Err(why) => {
                common.out.refuse(why);
                return false;
            }
        };
        if !self
            .seen
            .see(&mut common.out, query.ltime, SeenQuery(query.id))
        {
            return false;
        }
        if !silent {
            self.take_up(now, common, query, keys);
        }
        query.flags & flag::NO_REBROADCAST == 0
    }

    /// Takes up the queries whose sender has become known.
    pub fn take_up_known(&mut self, now: Time, common: &mut Common) {
        for known in self.early.take_known(now, common) {
            let names = Names::default();
            let message = SerfMessage::decode_in(&known.message, &names);
            let Ok(SerfMessage::Query(query)) = message else {
                continue; // not reached: the message was encoded from a query
            };
            let timeout_ns = i64::try_from(known.time.as_nanos()).unwrap_or(i64::MAX);
            let query = Query {
                timeout_ns,
                ..query
            };
            if let Ok(keys) = KeyQuery::read(&query) {
                self.take_up(now, common, &query, keys);
            }
        }
    }

    /// Acknowledges a query and answers it or hands it to the application, if it is meant for this
    /// node.
    fn take_up(
        &mut self,
        now: Time,
        common: &mut Common,
        query: &Query<'_>,
        keys: Option<KeyQuery>,
    ) {
        let filters = query.filters.as_deref().unwrap_or_default();
        if !query_filter::names_select(filters, &common.name) {
            return;
        }
        let Some(addr) = address::decode_target(query.addr, query.port) else {
            return common.out.refuse(Refusal::AddressLength);
        };
        if !common.is_member_at(now, query.source_node, addr) {
            if internal_query::is_vote_of_claimant(common, query) {
                return self.answer_claimant(now, common, query, addr);
            }
            let time = time_for_answers(query);
            return self.early.keep(now, common, query, addr, time);
        }
        if !self.tags_select(now, common, filters) {
            return;
        }
        let asker = Asker::new(query, addr);
        if query.flags & flag::ACK != 0 {
            let ack = asker.encode(&common.name, flag::ACK, None);
            answering::send(common, &asker, ack);
        }
        if let Some(query) = keys {
            common.out.order(Order::ManageKeys { asker, query });
        } else if internal_query::is_internal(query.name) {
            if let Some(answer) = internal_query::answer(common, query) {
                answering::answer(common, &asker, &answer);
            }
        } else {
            self.open(now, common, query, asker);
        }
    }

    /// Returns true if the filters by tag select this node. If that is not known, the query is
    /// counted.
    fn tags_select(&mut self, now: Time, common: &mut Common, filters: &[&[u8]]) -> bool {
        let Some(own) = common.members.own() else {
            return false;
        };
        match self.tag_filters.select(now, filters, &own.member) {
            Ok(selects) => return selects,
            Err(Undecided::Unreadable) => common.out.counts.queries_unreadable += 1,
            Err(Undecided::TooMuchWork) => common.out.counts.queries_unanswered += 1,
        }
        false
    }

    /// Answers the vote of a node whose name this node knows at another address. An outsider can
    /// forge such a vote with any address, so their number is bounded, and no member is asked to
    /// relay the answer. A node has no vote about its own name, but learns of the other node.
    fn answer_claimant(
        &mut self,
        now: Time,
        common: &mut Common,
        query: &Query<'_>,
        addr: SocketAddr,
    ) {
        let Some(answer) = internal_query::answer(common, query) else {
            return common.out.order(Order::HeedClaim { addr });
        };
        let is_allowed = common.config.swim.allows(addr.ip());
        if !is_allowed || !self.claimants.has_room(now) {
            common.out.counts.queries_unanswered += 1;
            return;
        }
        let mut asker = Asker::new(query, addr);
        asker.relay_factor = 0;
        answering::answer(common, &asker, &answer);
    }

    /// Hands a query to the application.
    fn open(&mut self, now: Time, common: &mut Common, query: &Query<'_>, asker: Asker) {
        let time = time_for_answers(query);
        self.end_late(now);
        if time.is_zero() || self.open.len() >= limits::OPEN_QUERIES {
            common.out.counts.queries_unanswered += 1;
            return;
        }
        self.last += 1;
        common.out.tell(EventBody::Query {
            id: self.last,
            name: wire_name::to_text(query.name).into_owned(),
            payload: query.payload.unwrap_or_default().into(),
            ltime: query.ltime,
            from: query.source_node.to_owned(),
            time,
        });
        let open = Open {
            asker,
            deadline: now + time,
            answered: false,
        };
        self.open.insert(self.last, open);
    }

    /// Answers a query from another node, or from this one.
    ///
    /// # Errors
    /// `UnknownQuery`; `QueryOver` after its deadline; `AlreadyAnswered`; `EventTooLarge` if the
    /// encoded answer takes more bytes than the setting `query_response_bytes` allows.
    pub fn respond(
        &mut self,
        now: Time,
        common: &mut Common,
        query: u64,
        payload: &[u8],
    ) -> Result<(), CommandError> {
        self.end_late(now);
        let last = self.last;
        let open = self.open.get_mut(query);
        let open = open.ok_or(match query {
            1.. if query <= last => CommandError::QueryOver,
            _ => CommandError::UnknownQuery,
        })?;
        if open.answered {
            return Err(CommandError::AlreadyAnswered);
        }
        let answer = open.asker.encode(&common.name, 0, Some(payload));
        let (len, max) = (answer.len(), common.config.query_response_bytes);
        if len > max {
            let content = payload.len();
            return Err(CommandError::EventTooLarge { content, len, max });
        }
        open.answered = true;
        answering::send(common, &open.asker, answer);
        common.out.counts.queries_answered += 1;
        Ok(())
    }

    /// Forgets the queries that can no longer be answered.
    fn end_late(&mut self, now: Time) {
        self.open.retain(|open| open.deadline > now);
    }
}

/// Returns the time for which a query can be answered.
fn time_for_answers(query: &Query<'_>) -> Duration {
    Duration::from_nanos(u64::try_from(query.timeout_ns).unwrap_or(0)).min(LONGEST)
}
