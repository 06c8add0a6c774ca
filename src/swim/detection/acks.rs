//! Acks, and the data of the layer above that they carry.

use super::rounds::Round;
use crate::swim::output::Notice;
use crate::swim::shared::context::Context;
use crate::wire::message::{Ack, Message, Ping};
use std::net::SocketAddr;
use std::time::Duration;

/// Answers a ping by datagram. `to` is the address to which the ack goes. Only members get the data
/// of the layer above, which can be much longer than a ping: otherwise, a forged ping would make
/// this node send many times its bytes to any address.
pub(in crate::swim) fn answer(ctx: &mut Context, from: SocketAddr, to: SocketAddr, ping: &Ping) {
    let payload = ctx.local.ack_payload.as_deref();
    let ack = Message::Ack(Ack {
        seq: ping.seq,
        payload: payload.filter(|_| ctx.is_live_at(ping.source_node, to)),
    });
    ctx.answer(from, to, ping.source_node, &ack.encoded());
}

/// Tells the layer above of an ack to a direct ping, unless the name now belongs to a node at
/// another address.
pub(in crate::swim) fn tell(
    ctx: &mut Context,
    round: &Round,
    rtt: Duration,
    payload: Option<&[u8]>,
) {
    if round.is_current(&ctx.table) {
        ctx.outbox.tell(Notice::PingAnswered {
            name: round.name.clone(),
            rtt,
            payload: payload.unwrap_or_default().to_vec(),
        });
    }
}
