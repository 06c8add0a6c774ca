//! Queries: those that this node sends, those that it receives, and the responses to both.
//!
//! | file | contents |
//! | --- | --- |
//! | [`request`] | making a query |
//! | [`asked`], [`asked_query`] | the queries of this node until they end, and the answers |
//! | [`replies`] | the members that have replied to a query, and those whose reply is missing |
//! | [`query`], [`query_filter`] | queries that this node receives, and whether they address it |
//! | [`go_syntax`] | whether an agent and this node read a regular expression alike |
//! | [`early_queries`] | queries whose sender is not known yet |
//! | [`internal_query`] | queries that Serf itself answers, except those about keys |
//! | [`own_keys`] | queries about the keys of this node, which list and change them |
//! | [`answering`] | sending acks and answers to the sender of a query |
//! | [`relays`] | responses to the queries of others |

pub(in crate::serf) mod answering;
pub(in crate::serf) mod asked;
pub(in crate::serf) mod asked_query;
pub(in crate::serf) mod early_queries;
mod go_syntax;
pub(in crate::serf) mod internal_query;
pub(in crate::serf) mod own_keys;
pub(in crate::serf) mod query;
mod query_filter;
pub(in crate::serf) mod relays;
mod replies;
pub(in crate::serf) mod request;
