//! The sender of a query that this node answers.

use crate::wire::serf_message::{Query, QueryResponse, SerfMessage};
use std::net::SocketAddr;
use std::sync::Arc;

/// The sender of a query, and what an answer to it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serf) struct Asker {
    pub addr: SocketAddr,
    pub name: Arc<str>,
    ltime: u64,
    id: u32,
    /// The number of members through which the sender wants to get each response as well.
    pub relay_factor: u8,
}

impl Asker {
    /// Returns the sender of a query. The answers go to `addr`.
    pub fn new(query: &Query<'_>, addr: SocketAddr) -> Asker {
        Asker {
            addr,
            name: query.source_node.into(),
            ltime: query.ltime,
            id: query.id,
            relay_factor: query.relay_factor,
        }
    }

    /// Encodes an ack or an answer, with the flags of a response.
    pub fn encode(&self, own_name: &str, flags: u32, payload: Option<&[u8]>) -> Vec<u8> {
        let response = QueryResponse {
            ltime: self.ltime,
            id: self.id,
            from: own_name,
            flags,
            payload: payload.filter(|it| !it.is_empty()),
        };
        SerfMessage::QueryResponse(response).encoded()
    }
}
