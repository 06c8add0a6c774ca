//! Queries: those that this node sends, those that it receives, and the responses to both.
//!
//! | file | contents |
//! | --- | --- |
//! | [`request`], [`asked`] | making a query, and the answers to the queries of this node |
//! | [`query`], [`query_filter`] | queries that this node receives, and whether they address it |
//! | [`internal_query`] | queries that Serf itself answers |
//! | [`asker`], [`answering`] | the sender of a query; sending acks and answers to it |
//! | [`relays`] | responses to the queries of others |

pub(in crate::serf) mod answering;
pub(in crate::serf) mod asked;
pub(in crate::serf) mod asker;
pub(in crate::serf) mod internal_query;
pub(in crate::serf) mod query;
pub(in crate::serf) mod query_filter;
pub(in crate::serf) mod relays;
pub(in crate::serf) mod request;
