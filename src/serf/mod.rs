//! Serf on top of [`crate::swim`]: tags, intents, member states, and messages that are passed on.
//!
//! A driver drives a [`Core`], which has the same shape as [`Swim`]: bytes and time go in, outputs
//! and events come out. It consists of the SWIM machine and the `SerfState`. After every input,
//! `Core` hands the notices of the SWIM machine to the Serf state and carries out the orders of the
//! Serf state, until neither has anything left.
//!
//! # How it is built
//!
//! The Serf state consists of parts: types that own their state, or functions if there is no state.
//! The parts share the `Common`, an argument of their functions: the settings, the members, the
//! lost members, the snapshot and the outbox. No part calls another part or the SWIM machine: a
//! part returns whatever another part must act on, or leaves an order in the outbox. Seven files
//! connect the parts: this one for inputs and timers, `notices` for notices and orders, `commands`
//! for commands, `messages` for messages and states, `local_node` for the joins, the leave and the
//! name of this node, `resume` for what an earlier run has left, and `stats` for the counters.
//!
//! | part | what it does |
//! | --- | --- |
//! | `membership/changes` | applies the changes of members that the SWIM machine reports |
//! | `membership/intent` | announces joins and leaves, and handles the announcements of others |
//! | `membership/leave` | carries out this node's leave, step by step |
//! | `membership/conflict` | decides whether this node may keep its name |
//! | `membership/reap` | erases members that failed or left long ago |
//! | `membership/look` | lists the members that another node knows |
//! | `user_events/user_event` | sends and receives user events |
//! | `user_events/replay` | notes which user events are from before this node joined |
//! | `queries/query` | answers queries, or hands them to the application |
//! | `queries/request` | makes the queries of this node |
//! | `queries/asked` | collects the answers to the queries of this node |
//! | `queries/own_keys` | lists and changes the keys of this node |
//! | `queries/relays` | forwards responses to the queries of others |
//! | `push_pull` | makes messages of a state that another node sent, and a state of this node |
//! | `coordinates` | moves the network coordinate of this node |
//! | `coalesce` | turns many events within a short time into few |
//! | `memberlist` | reports messages, states and name conflicts in memberlist mode |
//!
//! The head of each folder's `mod.rs` lists its other files. These are below the parts:
//!
//! | file or folder | contents |
//! | --- | --- |
//! | `shared` | the state that all parts share, and the types that several of them use |
//! | `snapshot` | the file from which the next run knows members and clocks |
//! | `keys` | key queries as values, and what their answers add to the report |
//! | `config`, `filter` | settings, and which members the application sees |
//! | `event`, `command_error` | reports to the driver, and reasons for refusing a command |

mod coalesce;
mod command_error;
mod commands;
mod config;
mod coordinates;
mod event;
mod filter;
mod keys;
mod local_node;
mod memberlist;
mod membership;
#[cfg(test)]
mod message_tests;
mod messages;
mod notices;
mod push_pull;
mod queries;
mod resume;
mod shared;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;
mod user_events;

use crate::limits;
pub use crate::member::{Member, MemberState, MemberTags, NodeFacts};
use crate::swim::{
    Explanation, Health, Identity, JoinFailure, LookupId, NameConflict, Output, SendFailure,
    Source, SourceCount, StreamEnd, StreamId, Swim,
};
use crate::time::Time;
pub use crate::wire::coordinate::Coordinate;
pub use crate::wire::serf_message::{Tags, encode_tags};
use crate::wire::{Codec, Refusal, wire_name};
use coalesce::Coalescer;
pub use command_error::CommandError;
pub use config::{Config, Mode};
use coordinates::Coordinates;
pub use event::{CoreEvent, KeyChange, KeyStore, LeaveEnd};
pub use filter::MemberFilter;
pub use keys::query::KeyQuery;
use memberlist::{InputSender, Memberlist};
use membership::conflict::Conflicts;
use membership::intent::Intents;
use membership::leave::Leave;
use membership::reap::Reaper;
use queries::asked::Asked;
use queries::own_keys::Keys;
use queries::query::Queries;
use queries::relays::Relays;
pub use queries::request::QueryOptions;
use shared::common::Common;
pub use shared::counts::Counter;
pub use snapshot::SnapshotWrite;
pub use snapshot::reader::{FormerMember, Past, SnapshotReader};
pub use snapshot::record::Numbers;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use user_events::replay::Replay;
use user_events::user_event::UserEvents;

/// The versions of the Serf protocol that this node announces: lowest, highest and used.
const DELEGATE: [u8; 3] = [2, 5, 5];

/// A deterministic member of a Serf or memberlist cluster. It opens no socket and reads no clock.
pub struct Core {
    swim: Swim,
    serf: SerfState,
    /// The number of members that was last reported to the SWIM machine.
    population: usize,
    /// The sender of the input that is being handled, once it was looked up.
    sender: Option<InputSender>,
}

/// The state that Serf adds to that of the SWIM machine.
struct SerfState {
    common: Common,
    /// The tags of this node.
    tags: Tags,
    intents: Intents,
    events: UserEvents,
    queries: Queries,
    asked: Asked,
    keys: Keys,
    replay: Replay,
    relays: Relays,
    leave: Leave,
    reaper: Reaper,
    conflicts: Conflicts,
    coordinates: Coordinates,
    coalescer: Coalescer,
    memberlist: Memberlist,
    /// The conflict about this node's name that the SWIM machine knows of.
    name_conflict: Option<NameConflict>,
    /// True if the name of this node was disputed after the last input: see `local_node.rs`.
    was_disputed: bool,
}

impl Core {
    /// Creates a node whose only member is itself.
    ///
    /// # Errors
    /// `TooLarge` if the name is empty or longer than [`limits::NAME_LEN`], or the encoded tags
    /// (memberlist mode: the meta) are longer than [`limits::META_LEN`].
    pub fn new(
        config: Config,
        codec: Codec,
        name: Arc<str>,
        addr: SocketAddr,
        seed: [u8; 32],
        now: Time,
    ) -> Result<Core, CommandError> {
        let (len, max) = (wire_name::to_bytes(&name).len(), limits::NAME_LEN);
        if len == 0 || len > max {
            return Err(CommandError::TooLarge { len, max });
        }
        let (meta, delegate) = match config.mode {
            Mode::Serf => (encode_tags(&config.tags), DELEGATE),
            Mode::Memberlist => (config.meta.clone(), [0; 3]),
        };
        let meta = command_error::checked_meta(meta)?;
        // With a higher incarnation than the earlier run had, members that still know that run
        // accept this one at once.
        let past = config.past.as_ref();
        let earlier = past.map_or(0, |past| past.numbers.incarnation);
        let identity = Identity {
            name: name.clone(),
            addr,
            meta,
            delegate,
            incarnation: earlier.saturating_add(1),
        };
        let mut of_swim = config.swim.clone();
        if config.mode == Mode::Serf {
            // The setting is that of memberlist mode.
            of_swim.message_bytes = limits::SERF_MESSAGE_LEN;
        }
        let swim = Swim::new(of_swim, codec, identity, seed, now);
        let mut core = Core {
            swim,
            serf: SerfState::new(config, name, now),
            population: 0,
            sender: None,
        };
        core.pump(now, false);
        Ok(core)
    }

    /// Handles a datagram.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        self.swim.handle_datagram(now, from, bytes);
        self.pump(now, false);
    }

    /// Handles a datagram that could not be sent; it belongs to the probe with this sequence
    /// number.
    pub fn handle_send_failure(&mut self, now: Time, probe: u32, why: SendFailure) {
        self.swim.handle_send_failure(now, probe, why);
        self.pump(now, false);
    }

    /// Returns true if another accepted stream would be served. If not, the driver leaves
    /// connections in the backlog.
    pub fn accepts_streams(&self) -> bool {
        self.swim.accepts_streams()
    }

    /// See [`Swim::admits_stream`].
    pub fn admits_stream(&mut self, from: SocketAddr) -> bool {
        self.swim.admits_stream(from)
    }

    /// Handles a stream that a peer opened.
    pub fn handle_stream_accepted(&mut self, now: Time, id: StreamId, from: SocketAddr) {
        self.swim.handle_stream_accepted(now, id, from);
        self.pump(now, false);
    }

    /// Handles the opening of a stream that [`Output::Connect`] asked for.
    pub fn handle_stream_connected(&mut self, now: Time, id: StreamId) {
        self.swim.handle_stream_connected(now, id);
        self.pump(now, false);
    }

    /// Handles bytes that arrived on a stream that a peer opened, and after which it has hung up.
    pub fn handle_stream_last_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) {
        self.swim.note_hang_up(id);
        self.handle_stream_data(now, id, bytes);
    }

    /// Handles bytes that arrived on a stream.
    pub fn handle_stream_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) {
        self.swim.handle_stream_data(now, id, bytes);
        // Streams that this node opened have odd numbers: bytes on them answer a request of this
        // node.
        self.pump(now, id.0 % 2 == 1);
    }

    /// Handles the end of a stream.
    pub fn handle_stream_end(&mut self, now: Time, id: StreamId, end: StreamEnd) {
        self.swim.handle_stream_end(now, id, end);
        self.pump(now, id.0 % 2 == 1);
    }

    /// Handles the answer to a lookup. An empty list means that the name could not be resolved.
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) {
        self.swim.handle_resolved(now, id, addrs);
        self.pump(now, false);
    }

    /// Handles a period in which this process did not run: see [`Swim::handle_stall`].
    pub fn handle_stall(&mut self, now: Time, missed: Duration, suspended: Duration) -> bool {
        let stale = self.swim.handle_stall(now, missed, suspended);
        self.serf.handle_stall(missed);
        self.pump(now, false);
        stale
    }

    /// Counts a refusal that happened in the driver.
    pub fn refuse(&mut self, why: Refusal) {
        self.swim.refuse(why);
    }

    /// Returns the number of refusals since the last call, for each pair of reason and source. The
    /// number of pairs is bounded: refusals of further pairs appear only in the counters.
    pub fn take_refusals(&mut self) -> Vec<SourceCount> {
        self.swim.take_refusals()
    }

    /// Returns the names of the members from which refused input may have come, in any order.
    pub fn members_at(&self, source: &Source) -> impl Iterator<Item = &Arc<str>> {
        self.swim.nodes_at(source)
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.swim.handle_timeout(now);
        self.pump(now, false);
        if self.serf.deadline() <= now {
            self.serf.handle_timeout(now);
            self.pump(now, false);
        }
        self.send_waiting_events(now);
    }

    /// Returns the time at which [`Core::handle_timeout`] has to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.serf.deadline();
        Some(self.swim.poll_timeout().map_or(own, |swim| swim.min(own)))
    }

    /// Returns the next output for the driver to carry out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.swim.poll_output()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<CoreEvent> {
        let queue = &mut self.serf.common.out.events;
        self.serf.coalescer.next(queue)
    }

    /// Returns a member; `None` if it is unknown or the filter hides it.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let row = self.serf.common.members.get(name);
        Some(&row.filter(|row| !row.hidden)?.member)
    }

    /// Returns the members in any state, this node included, sorted by name; those that the filter
    /// hides are left out.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.serf.common.members.visible()
    }

    /// Returns the names of the visible members that were added, removed or changed since the last
    /// call, sorted; after a removal, [`Core::member`] returns `None`.
    pub fn take_changed(&mut self) -> Vec<Arc<str>> {
        self.serf.common.members.take_changed()
    }

    /// Returns a number that changes whenever a visible member changes.
    pub fn version(&self) -> u64 {
        self.serf.common.members.version()
    }

    /// Explains why a member is in its state. Returns `None` if the member is unknown or hidden, or
    /// if the SWIM machine has forgotten it.
    pub fn explain(&self, now: Time, name: &str) -> Option<Explanation> {
        self.member(name)?;
        self.swim.explain(now, name)
    }

    /// Returns the coordinate of a member, this node included.
    ///
    /// # Errors
    /// `NoCoordinates` in memberlist mode, or if the settings switch coordinates off;
    /// `UnknownMember`; `NotMeasured` until the member has answered a ping from this node with its
    /// coordinate.
    pub fn coordinate(&self, name: &str) -> Result<Coordinate, CommandError> {
        self.serf.coordinates.of(&self.serf.common, name)
    }

    /// Returns the health of this node itself.
    pub fn health(&self, now: Time) -> Health {
        self.swim.health(now)
    }

    /// Returns true if this node knows another member that has not left. Failed members count,
    /// former members do not.
    pub fn knows_others(&self) -> bool {
        self.swim.knows_others()
    }

    /// Returns true if another member that is alive has this address.
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub fn is_alive_at(&self, addr: SocketAddr) -> bool {
        self.swim.is_alive_at(addr)
    }

    /// Returns true if this node has seeds other than itself, or former members, but knows no other
    /// member, or only members that have left.
    pub fn is_waiting_for_seeds(&self) -> bool {
        self.swim.is_waiting_for_seeds()
    }

    /// See [`Swim::reconnect_refusal`].
    pub fn reconnect_refusal(&self) -> Option<&(SocketAddr, JoinFailure)> {
        self.swim.reconnect_refusal()
    }

    /// Returns the time from which [`Core::snapshot_write`] returns lines; `None` if it has none,
    /// or if no snapshot is kept.
    pub fn snapshot_deadline(&self) -> Option<Time> {
        self.serf.common.snapshot.as_ref()?.deadline()
    }

    /// Returns the lines of the snapshot that are to be written; `None` if nothing has changed. The
    /// driver calls this when [`Core::snapshot_deadline`] has passed, and at the end of the node.
    /// It reports the result with [`Core::on_snapshot_written`].
    pub fn snapshot_write(&self, now: Time) -> Option<SnapshotWrite> {
        self.serf.common.snapshot.as_ref()?.write(now)
    }

    /// The driver has written these lines, or has failed to.
    pub fn on_snapshot_written(&mut self, now: Time, write: &SnapshotWrite, succeeded: bool) {
        if let Some(snapshot) = &mut self.serf.common.snapshot {
            snapshot.on_written(now, write, succeeded);
        }
    }
}

impl SerfState {
    fn new(mut config: Config, name: Arc<str>, now: Time) -> SerfState {
        let past = config.past.take();
        let mut state = SerfState {
            tags: config.tags.clone(),
            intents: Intents::new(),
            events: UserEvents::new(),
            queries: Queries::new(),
            asked: Asked::default(),
            keys: Keys::default(),
            replay: Replay::default(),
            relays: Relays::new(),
            leave: Leave::default(),
            reaper: Reaper {
                next: now + config.reap_interval,
            },
            conflicts: Conflicts::default(),
            name_conflict: None,
            was_disputed: false,
            coordinates: Coordinates::default(),
            coalescer: Coalescer::new(config.coalesce_members, config.coalesce_events),
            memberlist: Memberlist::default(),
            common: Common::new(config, name),
        };
        state.coordinates.start(&mut state.common);
        if let Some(past) = past {
            state.resume(now, past);
        }
        state
    }

    /// Returns the time at which [`SerfState::handle_timeout`] has to be called.
    fn deadline(&self) -> Time {
        let deadlines = [
            self.leave.deadline(),
            self.asked.deadline(),
            self.queries.early.deadline(),
            self.events.order.deadline(),
            self.coalescer.deadline(),
        ];
        deadlines
            .into_iter()
            .flatten()
            .fold(self.reaper.next, Time::min)
    }

    /// Does everything that is due.
    fn handle_timeout(&mut self, now: Time) {
        self.leave.handle_timeout(now, &mut self.common);
        self.asked.handle_timeout(now, &mut self.common);
        let early = &mut self.queries.early;
        early.handle_timeout(now, &mut self.common);
        self.coalescer.handle_timeout(now);
        let order = &mut self.events.order;
        order.handle_timeout(now, &mut self.common.out);
        self.reaper
            .reap(now, &mut self.common, &mut self.intents.early);
    }

    /// Moves the stored times of the leave, this node's queries, early queries, held user events,
    /// members, intents and claims into the future: the time of a stall of this process must not
    /// count as time in which other nodes were silent.
    fn handle_stall(&mut self, stalled: Duration) {
        self.leave.postpone(stalled);
        self.asked.postpone(stalled);
        self.queries.early.postpone(stalled);
        self.events.order.postpone(stalled);
        self.common.postpone(stalled);
        self.intents.early.postpone(stalled);
        self.conflicts.postpone(stalled);
        self.memberlist.postpone(stalled);
    }
}
