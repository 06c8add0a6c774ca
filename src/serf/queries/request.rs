//! Making a query of this node: its checks, its message, and the members whose answers it awaits.

use super::asked_query::{AskedQuery, Purpose, Repetition};
use super::internal_query;
use super::query_filter::Selection;
use super::replies::Replies;
use crate::serf::CommandError;
use crate::serf::shared::common::Common;
use crate::time::Time;
use crate::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use crate::wire::serf_message::{Query, SerfMessage, flag};
use crate::wire::{address, wire_name};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The factor of the default time of a query: see [`Common::gossip_time`]. Serf calls it
/// QueryTimeoutMult.
const TIMEOUT_MULT: u32 = 16;

/// The factor of the time after which silent members get a query again: about the time for which a
/// message is gossiped.
const REPETITION_MULT: u32 = 4;

/// The options of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// The time in which answers count; by default, it follows from the size of the cluster, as in
    /// Serf: 3.2 seconds with up to 9 members and the profile `lan`.
    pub timeout: Option<Duration>,
    /// The names of the members that are to answer; an empty list addresses all members.
    pub nodes: Vec<String>,
    /// Pairs of a tag and a regular expression: only members that have a match in the value of each
    /// of these tags are to answer. A missing tag counts as empty.
    pub tags: Vec<(String, String)>,
    /// True if each member is to acknowledge the query as soon as it arrives.
    pub ack: bool,
    /// The number of members through which each answer is sent as well, so that it arrives even if
    /// the direct way is blocked. A sprat node uses at most 8.
    pub relay_factor: u8,
}

/// The node that sends a query, as the query shows it, and the limit of its messages.
#[derive(Clone, Copy)]
pub(in crate::serf) struct QuerySender {
    /// A random number.
    pub id: u32,
    /// The address for the answers.
    pub addr: SocketAddr,
    /// The maximum length in bytes of a message that fits into a packet of gossip.
    pub room: usize,
}

/// The name and the payload of a query.
#[derive(Clone, Copy)]
pub(in crate::serf) struct Content<'a> {
    pub name: &'a [u8],
    pub payload: &'a [u8],
    /// True if Serf itself asks, whose queries have names that the application may not use.
    pub is_internal: bool,
}

/// A query of this node.
pub(in crate::serf) struct Request<'a> {
    ltime: u64,
    content: Content<'a>,
    sender: QuerySender,
    octets: address::Encoded,
    source_node: Arc<str>,
    /// The filters as the message carries them.
    filters: Vec<Vec<u8>>,
    /// The same filters, ready for use.
    selection: Selection,
    options: &'a QueryOptions,
    timeout: Duration,
}

impl<'a> Request<'a> {
    /// Makes a query.
    ///
    /// # Errors
    /// `ReservedName`, `BadExpression`, `EventTooLarge`.
    pub fn new(
        common: &Common,
        ltime: u64,
        content: Content<'a>,
        options: &'a QueryOptions,
        sender: QuerySender,
    ) -> Result<Request<'a>, CommandError> {
        let is_ping = content.name == internal_query::PING;
        let is_allowed = content.is_internal || (is_ping && content.payload.is_empty());
        if internal_query::is_internal(content.name) && !is_allowed {
            return Err(CommandError::ReservedName);
        }
        let wrong = |(expression, why): (&str, _)| CommandError::BadExpression {
            expression: expression.to_owned(),
            why,
        };
        let selection = Selection::new(&options.nodes, &options.tags).map_err(wrong)?;
        let request = Request {
            ltime,
            content,
            sender,
            octets: address::encode(sender.addr.ip(), false),
            source_node: common.name.clone(),
            filters: filters(options),
            selection,
            options,
            timeout: options
                .timeout
                .unwrap_or_else(|| common.gossip_time(TIMEOUT_MULT)),
        };
        let len = request.message().encoded().len();
        let max = common.config.query_bytes.min(sender.room);
        if len > max {
            let content = content.name.len() + content.payload.len();
            return Err(CommandError::EventTooLarge { content, len, max });
        }
        Ok(request)
    }

    /// The message.
    pub fn message(&self) -> SerfMessage<'_> {
        SerfMessage::Query(self.query())
    }

    /// The names in the options that no present member has.
    fn absent(&self, common: &Common) -> BTreeSet<Arc<str>> {
        let is_present = |name: &str| {
            let row = common.members.get(name);
            row.is_some_and(|row| row.status.is_present())
        };
        let absent = self.options.nodes.iter().filter(|name| !is_present(name));
        absent.map(|name| name.as_str().into()).collect()
    }

    /// The message that silent members get again.
    fn repetition(&self, common: &Common, now: Time) -> Repetition {
        let query = self.query();
        let flags = query.flags | flag::NO_REBROADCAST;
        let message = SerfMessage::Query(Query { flags, ..query }).encoded();
        let interval = common.gossip_time(REPETITION_MULT).min(self.timeout / 2);
        Repetition::new(message, interval, now)
    }

    fn query(&self) -> Query<'_> {
        let filters: Vec<&[u8]> = self.filters.iter().map(Vec::as_slice).collect();
        Query {
            ltime: self.ltime,
            id: self.sender.id,
            addr: &self.octets,
            port: self.sender.addr.port(),
            source_node: &self.source_node,
            filters: (!filters.is_empty()).then_some(filters),
            flags: if self.options.ack { flag::ACK } else { 0 },
            relay_factor: self.options.relay_factor,
            timeout_ns: i64::try_from(self.timeout.as_nanos()).unwrap_or(i64::MAX),
            name: self.content.name,
            payload: (!self.content.payload.is_empty()).then_some(self.content.payload),
        }
    }

    /// The query as it is kept until it ends, with the present members that it is addressed to.
    pub fn to_be_answered(&self, common: &Common, purpose: Purpose, now: Time) -> AskedQuery {
        let mut addressed: BTreeSet<Arc<str>> = common
            .members
            .iter()
            .filter(|row| row.status.is_present() && self.selection.selects(&row.member))
            .map(|row| row.member.name.clone())
            .collect();
        let is_ping = self.content.name == internal_query::PING;
        if matches!(purpose, Purpose::Vote(_)) {
            addressed.remove(&common.name); // it has no vote about its own name
        }
        let absent = self.absent(common);
        let replies_if = |wanted: bool| match wanted {
            true => Replies::new(addressed.clone(), absent.clone()),
            false => Replies::default(),
        };
        AskedQuery {
            purpose,
            deadline: now + self.timeout,
            acks: replies_if(self.options.ack),
            answers: replies_if(!is_ping),
            repetition: self.repetition(common, now),
        }
    }
}

/// The filters of a query, encoded.
fn filters(options: &QueryOptions) -> Vec<Vec<u8>> {
    let mut filters = Vec::new();
    if !options.nodes.is_empty() {
        let names: Vec<_> = options
            .nodes
            .iter()
            .map(|name| wire_name::to_bytes(name))
            .collect();
        let names = NodeNames(names.iter().map(|name| &**name).collect());
        filters.push(QueryFilter::Nodes(names).encoded());
    }
    for (tag, expression) in &options.tags {
        let filter = TagFilter {
            tag: tag.as_bytes(),
            expr: expression.as_bytes(),
        };
        filters.push(QueryFilter::Tag(filter).encoded());
    }
    filters
}
