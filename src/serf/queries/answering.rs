//! Sending acks and answers to the sender of a query: directly, and through as many random members
//! as the query asks for, but at most [`HELPERS`].

use crate::serf::shared::asker::Asker;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Order;
use crate::wire::address;
use crate::wire::serf_message::{Relay, SerfMessage};

/// The maximum number of members through which this node sends a response, whatever the query asks
/// for.
const HELPERS: usize = 8;

/// Sends the answer with this payload.
pub(in crate::serf) fn answer(common: &mut Common, asker: &Asker, payload: &[u8]) {
    let response = asker.encode(&common.name, 0, Some(payload));
    send(common, asker, response);
}

/// Sends an encoded ack or answer.
pub(in crate::serf) fn send(common: &mut Common, asker: &Asker, response: Vec<u8>) {
    let helpers = usize::from(asker.relay_factor);
    let to = asker.addr;
    let is_own = common.is_self(&asker.name);
    if helpers > 0 && common.members.len() > helpers && !is_own {
        let octets = address::encode(to.ip(), false);
        let relay = SerfMessage::Relay(Relay {
            addr: &octets,
            port: to.port(),
            node: &asker.name,
            inner: &response,
        });
        let bytes = relay.encoded();
        if bytes.len() <= common.config.query_response_bytes {
            let helpers = helpers.min(HELPERS);
            common.out.order(Order::SendThrough {
                helpers,
                not: to,
                bytes,
            });
        }
    }
    common.out.order(Order::SendUser {
        to,
        bytes: response,
    });
}
