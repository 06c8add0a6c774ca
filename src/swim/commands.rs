//! The commands of the layer above: joining, looking and leaving, this node's meta and address,
//! hints, messages, and the search for lost members.

use super::exchanges::push_pull;
use super::output::{Node, OpId};
use super::shared::broadcast_queue::PART_COST;
use super::table::record::MemberRecord;
use super::{
    FreshBits, LostSince, NodeState, Seed, Source, Swim, Transport, gossip,
    local::{announcement, local_node},
};
use crate::time::Time;
use crate::wire::message::{Accusation, Message};
use crate::wire::{Keyring, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;

impl Swim {
    /// Remembers seeds. While no alive member has the address of a seed, this node tries again and
    /// again to join through it, unless the setting `reconnect` is false.
    pub fn remember_seeds(&mut self, now: Time, seeds: &[Seed]) {
        self.at(now, |swim| {
            swim.reconnect.remember_seeds(&mut swim.ctx, seeds);
        });
    }

    /// Joins the clusters of these seeds. [`super::Notice::JoinDone`] reports the outcome; a second
    /// notice follows if some seeds had neither answered nor failed by then. If a seed answers, all
    /// these seeds are remembered. A seed that is this node itself counts as one that answers.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId {
        self.begin_join(now, seeds, seeds)
    }

    /// Does the same as [`Swim::join`] for an address that was found and not given by the
    /// application: it is not remembered as a seed.
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub fn join_found(&mut self, now: Time, addr: SocketAddr) -> OpId {
        self.begin_join(now, &[Seed::Addr(addr)], &[])
    }

    fn begin_join(&mut self, now: Time, seeds: &[Seed], remembered: &[Seed]) -> OpId {
        self.at(now, |swim| {
            // No join ends before it is known whether another node has this node's name.
            let undecided = swim.name_conflicts.is_asking();
            let op = (swim.joining).begin(&mut swim.ctx, seeds, remembered, undecided);
            swim.remember_reached_seeds();
            op
        })
    }

    /// Asks a node for the members of its cluster. No member of that cluster learns of this node,
    /// and the answer is not merged. [`super::Notice::LookDone`] reports the answer. Returns `None`
    /// if too many looks are under way.
    pub fn look(&mut self, now: Time, target: &Seed) -> Option<OpId> {
        self.at(now, |swim| swim.looking.begin(&mut swim.ctx, target))
    }

    /// Remembers the seeds of joins that have reached a node. If a join reaches no node, its caller
    /// gets an error and decides whether to try again.
    pub(super) fn remember_reached_seeds(&mut self) {
        let seeds = self.joining.take_seeds();
        self.reconnect.remember_seeds(&mut self.ctx, &seeds);
    }

    /// Tells the live members (in a large cluster some of them) that this node is going to leave;
    /// `intent` is the content of a user message. [`super::Notice::LeaveAcked`] follows when each
    /// member that was told has acknowledged the intent or has been given up.
    pub fn announce_leave(&mut self, now: Time, intent: &[u8]) {
        self.at(now, |swim| {
            swim.ctx.local.intends_to_leave = true;
            swim.leaving
                .announce_intent(&mut swim.ctx, encode_user(intent));
        });
    }

    /// Leaves. [`super::Notice::LeaveSpread`] follows when the announcement has reached its
    /// retransmit limit, or immediately if there is no other live node.
    /// [`super::Notice::LeaveAcked`] follows when each member that was told has acknowledged the
    /// leave or has been given up. Until [`Swim::revive`], this node still answers, but tells no
    /// other node that a member failed, and refutes nothing.
    pub fn leave(&mut self, now: Time) {
        self.at(now, |swim| {
            let departure = local_node::leave(&mut swim.ctx);
            swim.leaving.announce_departure(&mut swim.ctx, departure);
        });
    }

    /// Tells the member `name` of the leave under way, because this member became known only after
    /// the leave had begun. `intent` is a new intent that replaces the earlier one; `None` if
    /// intents are not used.
    pub fn tell_of_leave(&mut self, now: Time, name: &Arc<str>, intent: Option<&[u8]>) {
        self.at(now, |swim| {
            let intent = intent.map(encode_user);
            swim.leaving.tell(&mut swim.ctx, name, intent);
        });
    }

    /// Tells a node of the leave of another member. `intent` is the leave intent, which comes first
    /// in the datagram, because a Serf agent that learns of a leave without an intent reports the
    /// member as failed; `None` if intents are not used.
    pub fn tell_of_past_leave(
        &mut self,
        now: Time,
        to: SocketAddr,
        name: &str,
        intent: Option<&[u8]>,
    ) {
        self.at(now, |swim| {
            let record = swim.ctx.table.named(name);
            let has_left = |it: &&MemberRecord| it.node().state == NodeState::Left;
            let Some(record) = record.filter(has_left) else {
                return;
            };
            let leave = Message::Dead(Accusation::leave(name, record.node().incarnation));
            let (intent, leave) = (intent.map(encode_user), leave.encoded());
            let parts: Vec<&[u8]> = intent.as_deref().into_iter().chain([&*leave]).collect();
            swim.ctx.send_parts(to, &parts, false, None);
        });
    }

    /// Ends the announcements of a leave. Returns the live members that have not acknowledged every
    /// step of the leave.
    pub fn end_leave(&mut self) -> Vec<Arc<str>> {
        self.ctx.local.intends_to_leave = false;
        self.leaving.end(&self.ctx)
    }

    /// Leaves without an announcement. This is for a node that shares its name with another node:
    /// from an announcement, members could conclude that the other node left. Members that know
    /// this node see it fail.
    pub fn leave_silently(&mut self) {
        local_node::leave_silently(&mut self.ctx);
    }

    /// Ends a leave. If this node has left, it takes part again with a higher incarnation.
    pub fn revive(&mut self, now: Time) {
        self.at(now, |swim| {
            swim.end_leave();
            if local_node::revive(&mut swim.ctx) {
                swim.name_conflicts.on_return(&mut swim.ctx);
                swim.reconnect.arm(&mut swim.ctx);
            }
        });
    }

    /// The layer above has heard that a node at this address claims this node's name.
    pub fn heed_claim(&mut self, now: Time, addr: SocketAddr) {
        if !self.ctx.local.left {
            self.at(now, |swim| swim.on_claim(addr, true));
        }
    }

    /// Sets whether this node's name belongs to another node, in which case no other node is told
    /// of this node.
    pub fn set_name_is_taken(&mut self, now: Time, taken: bool) {
        if self.ctx.local.name_is_taken != taken {
            self.at(now, |swim| {
                local_node::set_name_is_taken(&mut swim.ctx, taken);
            });
        }
    }

    /// Sets the function whose bits are mixed into each nonce. With it, this process and a copy of
    /// it, such as the clone of its virtual machine, use different nonces.
    pub fn set_fresh_bits(&mut self, fresh: FreshBits) {
        self.ctx.random.fresh = fresh;
    }

    /// Sets the function that puts the facts about new members on the heap.
    #[cfg(feature = "internals")]
    pub fn set_share_facts(&mut self, share: super::ShareFacts) {
        self.ctx.share = share;
    }

    /// Replaces this node's meta and announces it.
    pub fn set_meta(&mut self, now: Time, meta: Box<[u8]>) {
        self.at(now, |swim| local_node::set_meta(&mut swim.ctx, &meta));
    }

    /// Replaces the address of this node and announces it. The network may have just come back, so
    /// this node soon tries its seeds and lost members again.
    pub fn set_addr(&mut self, now: Time, addr: SocketAddr) {
        self.at(now, |swim| {
            local_node::set_addr(&mut swim.ctx, addr);
            swim.reconnect.begin_anew(&mut swim.ctx);
        });
    }

    /// Waits until the last change of this node has been gossiped. [`super::Notice::SpreadDone`]
    /// reports the end.
    pub fn spread(&mut self, now: Time) -> OpId {
        self.at(now, |swim| swim.spreading.begin(&mut swim.ctx))
    }

    /// Probes a member that the application could not reach: directly, through other members and by
    /// stream at the same time. [`super::Notice::HintDone`] reports the verdict. Returns `None` if
    /// the member is unknown, is dead, has left or is this node itself, or if this node has left.
    /// Also returns `None`, and counts this hint in `hints_limited`, if a hint already probes this
    /// member, or if too many hints are under way.
    pub fn hint(&mut self, now: Time, name: &str) -> Option<OpId> {
        self.at(now, |swim| swim.probing.hint(&mut swim.ctx, name))
    }

    /// The maximum length in bytes of the content of a user message that is sent by gossip.
    pub fn broadcast_room(&self) -> usize {
        self.ctx.packet_room().saturating_sub(PART_COST + 1)
    }

    /// Begins a push/pull with a random member, unless the setting `push_pull_interval` is 0.
    pub fn push_pull(&mut self, now: Time) {
        self.at(now, |swim| {
            if !swim.ctx.config.push_pull_interval.is_zero() {
                push_pull::begin(&mut swim.ctx);
            }
        });
    }

    /// The number of messages in a lane that are gossiped or wait to be.
    pub fn queued_in(&self, lane: usize) -> usize {
        self.ctx.broadcasts.len_of_lane(lane)
    }

    /// Returns true if there is room in a lane for another message; one about the same subject as a
    /// message that waits there needs no room.
    pub fn has_room_in(&self, lane: usize, subject: Option<&str>) -> bool {
        self.ctx.broadcasts.has_room(lane, subject)
    }

    /// Queues a user message in a lane of the layer above, which must be less than
    /// [`super::USER_LANES`]; `bytes` is the complete content of the message. If there is a token,
    /// it must be less than `u64::MAX`, and it comes back in [`super::Notice::BroadcastDone`].
    /// Returns false for a message that does not fit into a packet, which is only counted.
    pub fn broadcast(&mut self, now: Time, lane: usize, bytes: &[u8], token: Option<u64>) -> bool {
        self.at(now, |swim| {
            let gossip = &swim.gossip;
            gossip.broadcast(&mut swim.ctx, lane, bytes, None, token)
        })
    }

    /// Like [`Swim::broadcast`], but the message replaces the one about the same subject that waits
    /// in this lane, if there is one.
    pub fn broadcast_about(&mut self, now: Time, lane: usize, bytes: Vec<u8>, subject: Arc<str>) {
        self.at(now, |swim| {
            let gossip = &swim.gossip;
            gossip.broadcast(&mut swim.ctx, lane, &bytes, Some(subject), None);
        });
    }

    /// The maximum length in bytes of the content of a user message that is sent in one datagram.
    pub fn datagram_room(&self) -> usize {
        gossip::datagram_room(&self.ctx) - 1
    }

    /// Sends a user message to one address on a stream of its own.
    /// [`super::Notice::MessageDone`] reports the end. Returns `None` if too many messages wait,
    /// or if those that wait or are under way have too many bytes.
    pub fn send_message(&mut self, now: Time, to: SocketAddr, content: Arc<[u8]>) -> Option<OpId> {
        self.at(now, |swim| swim.messages.begin(&mut swim.ctx, to, content))
    }

    /// Sends a user message to one address, immediately and only once.
    pub fn send_user(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) {
        self.at(now, |swim| swim.gossip.send_user(&mut swim.ctx, to, bytes));
    }

    /// Sends a user message to one address, immediately and only once, in one datagram with this
    /// node's alive message. If both do not fit, they are sent in two datagrams.
    pub fn send_user_introduced(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) {
        self.at(now, |swim| {
            announcement::introduce(&mut swim.ctx, to, &encode_user(bytes))
        });
    }

    /// Sends a user message to `count` random alive members, except to a node at the address `not`.
    pub fn send_user_through(&mut self, now: Time, count: usize, not: SocketAddr, bytes: &[u8]) {
        self.at(now, |swim| {
            let gossip = &swim.gossip;
            gossip.send_user_through(&mut swim.ctx, count, not, bytes);
        });
    }

    /// Sets the data that acks of direct pings carry to members. If it is empty, acks carry none.
    pub fn set_ack_payload(&mut self, payload: Vec<u8>) {
        let carries = !payload.is_empty();
        self.ctx.local.ack_payload = carries.then(|| payload.into());
    }

    /// Draws a random number of 31 bits.
    pub fn draw_number(&mut self) -> u32 {
        self.ctx.random.below(1 << 31) as u32
    }

    /// Returns the keys of this node; `None` if it does not encrypt what it sends.
    pub fn keyring(&mut self) -> Option<&mut Keyring> {
        let codec = &mut self.ctx.codec;
        codec.encrypts().then_some(&mut codec.keyring)
    }

    /// Remembers a member that is lost. This node tries to reach it again and again until
    /// [`Swim::forget_lost`], unless the setting `reconnect` is false.
    pub fn remember_lost(&mut self, now: Time, name: Arc<str>, addr: SocketAddr, since: LostSince) {
        self.at(now, |swim| {
            let reconnect = &mut swim.reconnect;
            reconnect.remember_lost(&mut swim.ctx, name, addr, since);
        });
    }

    /// Forgets a lost member, because it is back or because the layer above no longer waits for it.
    pub fn forget_lost(&mut self, name: &str) {
        self.reconnect.forget_lost(name);
    }

    /// Goes on looking for a lost member that the layer above has taken off its list: it no longer
    /// counts as known.
    pub fn unlist_lost(&mut self, name: &str) {
        self.reconnect.unlist_lost(name);
    }

    /// Sets the number of members that the layer above knows, in any state. The retransmit limit of
    /// that layer's broadcasts grows with it.
    pub fn set_population(&mut self, members: usize) {
        self.ctx.population = members;
    }

    /// Returns the source of the input that is being handled; `None` if it is not from the network.
    pub fn source(&self) -> Option<Source> {
        self.ctx.outbox.sources.current()
    }

    /// Returns the names of the other nodes at the address of this source, in any order. For an
    /// accepted stream, the nodes at any port of that host count.
    pub fn nodes_at(&self, source: &Source) -> impl Iterator<Item = &Arc<str>> {
        let (addr, transport) = (source.addr, source.transport);
        let is_there = move |it: &&Node| match transport {
            Transport::Accepted => true,
            Transport::Datagram | Transport::Dialled => it.addr == addr,
        };
        let nodes = self.ctx.table.on_host(addr.ip()).map(MemberRecord::node);
        nodes.filter(is_there).map(|node| &node.name)
    }

    /// Counts a refusal. The layer above calls this for its own refusals.
    pub fn refuse(&mut self, why: Refusal) {
        self.ctx.outbox.refuse(why);
    }
}

/// Encodes a user message with this content.
fn encode_user(content: &[u8]) -> Arc<[u8]> {
    Message::User(content).encoded().into()
}
