//! A service with its listener and its connections, and the bounds of these.

use crate::driver::events::view::View;
use crate::driver::net::listener::{Acceptor, Listener};
use crate::driver::net::streams::{StreamEvent, StreamSet};
use crate::driver::os::descriptors::PollFlags;
use crate::driver::os::own_fd::OwnFd;
use crate::event::{Event, EventKind};
use crate::service::sessions::AnyService;
use crate::service::{
    Actions, CONNECTIONS, End, Fault, INPUT_MAX, NodeReader, OUTPUT_MAX, REQUESTS_MAX, Request,
    RequestEnd, ServiceCounters,
};
use crate::sorted_map::SortedMap;
use crate::swim::StreamId;
use crate::time::Time;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The minimum time between two refreshes of a service's members that the bytes of peers cause.
const REFRESH: Duration = Duration::from_millis(20);
/// The longest time that a peer may take to receive the last bytes of a connection.
const FLUSH: Duration = Duration::from_secs(5);
/// The time for which a connection is silent before it gives way to another one that needs its
/// descriptor.
const IDLE: Duration = Duration::from_secs(1);

const TOO_MANY: Fault = Fault {
    help: "The connection gave way to a newer one, because too many were open.",
    advice: Some("Let only the intended programs connect to this address."),
};
const NO_DESCRIPTOR: Fault = Fault {
    help: "The connection was idle and gave way to a newer one, because descriptors ran out.",
    advice: Some("Allow this process more open files."),
};
const LONG_INPUT: Fault = Fault {
    help: "A message is longer than this service accepts.",
    advice: Some("Let only the intended programs connect to this address."),
};
const MANY_REQUESTS: Fault = Fault {
    help: "The peer sends requests without waiting for the end of earlier ones.",
    advice: None,
};
const UNREAD: Fault = Fault {
    help: "The peer does not read the answers to its requests.",
    advice: None,
};

/// A service with its listener and its connections.
pub(in crate::driver) struct Hosted {
    service: Box<dyn AnyService>,
    pub(super) listener: Listener,
    pub(super) streams: StreamSet,
    connections: SortedMap<StreamId, Connection>,
    counters: Arc<ServiceCounters>,
    /// The maximum number of connections that may be open at once.
    places: usize,
    /// The version of the members that the service knows; `None` if it has none yet.
    members: Option<u64>,
    /// The earliest time at which bytes of a peer can cause the next refresh of the members.
    refresh_from: Time,
}

struct Connection {
    peer: SocketAddr,
    /// The bytes that the session has not consumed.
    input: Vec<u8>,
    /// The time at which the peer last sent something.
    heard: Time,
    /// The number of requests that the node has not finished.
    requests: usize,
    /// True once the session has answered a question of the peer.
    served: bool,
    /// See [`Actions::more`].
    more: bool,
}

impl Hosted {
    /// A service that will serve the connections of this listener.
    pub fn new(
        service: Box<dyn AnyService>,
        listener: Listener,
        counters: Arc<ServiceCounters>,
    ) -> Hosted {
        Hosted {
            service,
            listener,
            streams: StreamSet::for_services(),
            connections: SortedMap::default(),
            counters,
            places: CONNECTIONS,
            members: None,
            refresh_from: Time::ZERO,
        }
    }

    /// Returns the same service with another limit on connections.
    #[cfg(test)]
    pub fn with_places(self, places: usize) -> Hosted {
        Hosted { places, ..self }
    }

    /// The kinds of events that the service wants.
    pub(super) fn event_kinds(&self) -> &'static [EventKind] {
        self.service.event_kinds()
    }

    /// The connections whose sessions are open.
    pub(super) fn connections(&self) -> impl Iterator<Item = StreamId> {
        self.connections.iter().map(|(id, _)| id)
    }

    /// Makes the next call of [`Hosted::refresh`] pass on the members if they have changed.
    pub(super) fn make_refresh_due(&mut self, now: Time) {
        self.refresh_from = now;
    }

    /// Passes the members to the service if they have changed and a refresh is due, unless the
    /// service keeps its members because this node is isolated, or because the engine does not say
    /// in time whether it is.
    pub(super) fn refresh(&mut self, members: &View, node: &mut dyn NodeReader, now: Time) {
        let version = members.version();
        if self.members == Some(version) || now < self.refresh_from {
            return;
        }
        self.refresh_from = now + REFRESH;
        if self.members.is_some() && self.service.keeps_members_while_isolated() {
            let isolated = node.health().is_none_or(|health| health.isolated);
            if isolated {
                return;
            }
        }
        self.service.on_members(members.all());
        self.members = Some(version);
    }

    /// Returns true while a session serves this connection.
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.connections.get(id).is_some()
    }

    /// Makes room for a connection, for the given reason: drops one of those that may be dropped,
    /// and returns whether there is one. The one that has been silent longest gives way, but
    /// connections that never had a question answered come first.
    fn drop_first(&mut self, why: Fault, may_drop: impl Fn(&Connection) -> bool) -> bool {
        let open = self.connections.iter().filter(|(_, it)| may_drop(it));
        let first = open.min_by_key(|(_, it)| (it.served, it.heard));
        let id = first.map(|(id, _)| id);
        id.is_some_and(|id| {
            self.refuse(id, why);
            true
        })
    }

    /// Drops a connection that exceeds a bound or must make room, and counts it as refused.
    fn refuse(&mut self, id: StreamId, why: Fault) {
        if let Some(connection) = self.connections.get(id) {
            self.counters.refuse(connection.peer, why);
        }
        self.drop_connection(id);
    }

    fn drop_connection(&mut self, id: StreamId) {
        self.forget(id);
        self.streams.give_up(id);
    }

    /// Returns true if the session of a connection stopped early and can read on now, because its
    /// peer has taken all earlier answers.
    pub(super) fn is_unread(&self, id: StreamId) -> bool {
        let connection = self.connections.get(id);
        connection.is_some_and(|it| it.more) && self.streams.unsent(id) == 0
    }

    fn forget(&mut self, id: StreamId) {
        self.service.close(id.0);
        self.connections.remove(id);
    }

    /// Reads and writes as much as is possible without waiting, and returns whether bytes have
    /// arrived.
    pub(super) fn transfer(
        &mut self,
        now: Time,
        id: StreamId,
        ready: PollFlags,
        buffer: &mut [u8],
    ) -> bool {
        let (mut arrived, mut ended) = (false, false);
        let connection = self.connections.get_mut(id);
        let mut connection = connection; // `None` if the stream is being closed already
        let mut on_event = |event: StreamEvent, bytes: &[u8]| match event {
            StreamEvent::Data | StreamEvent::LastData => {
                if let Some(connection) = &mut connection {
                    connection.input.extend_from_slice(bytes);
                    connection.heard = now;
                    arrived = true;
                }
            }
            StreamEvent::End(_) => ended = true,
            StreamEvent::Connected => {}
        };
        self.streams.ready(now, id, ready, buffer, &mut on_event);
        if ended {
            self.drop_connection(id);
        }
        arrived && !ended
    }

    /// Passes the bytes that have arrived to the session, and returns what the session wants done.
    pub(super) fn read(&mut self, id: StreamId, node: &mut dyn NodeReader) -> Actions {
        let mut actions = Actions::default();
        if let Some(connection) = self.connections.get_mut(id) {
            let input = &mut connection.input;
            let consumed = self.service.on_bytes(id.0, input, node, &mut actions);
            input.drain(..consumed.min(input.len()));
            connection.served |= actions.served > 0;
            connection.more = actions.more;
        }
        actions
    }

    /// Passes an event to a session, and returns what the session wants done.
    pub(super) fn on_event(&mut self, id: StreamId, event: &Event) -> Actions {
        let mut actions = Actions::default();
        self.service.on_event(id.0, event, &mut actions);
        actions
    }

    /// Passes an ack or an answer to the session that sent the query with this number, and returns
    /// what the session wants done.
    pub(super) fn on_answer(&mut self, id: StreamId, request: u64, answer: &Event) -> Actions {
        let mut actions = Actions::default();
        self.service.on_answer(id.0, request, answer, &mut actions);
        actions
    }

    /// Passes the end of a request to the session that sent it, and returns what the session wants
    /// done.
    pub(super) fn on_done(&mut self, id: StreamId, request: u64, end: RequestEnd) -> Actions {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.requests -= 1;
        }
        let mut actions = Actions::default();
        self.service.on_done(id.0, request, end, &mut actions);
        actions
    }

    /// Ends the connections whose time is up, and counts those that are open.
    pub(super) fn expire(&mut self, now: Time) {
        self.streams.expire(now);
        let open = self.connections.len() as u64;
        self.counters.open.store(open, Ordering::Relaxed);
    }

    /// Carries out what a session wants, and returns its requests.
    pub(super) fn apply(
        &mut self,
        now: Time,
        id: StreamId,
        actions: Actions,
    ) -> Vec<(u64, Request)> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Vec::new();
        };
        let counters = &self.counters;
        counters.served.fetch_add(actions.served, Ordering::Relaxed);
        connection.requests += actions.requests.len();
        let peer = connection.peer;
        let excess = connection.excess();
        if !actions.bytes.is_empty() {
            self.streams.write(id, actions.bytes);
        }
        if let Some(end) = actions.end {
            if let End::Refuse(fault) = end {
                counters.refuse(peer, fault);
            }
            self.forget(id);
            self.streams.close(now, id, FLUSH);
            return actions.requests;
        }
        let unread = (self.streams.unsent(id) > OUTPUT_MAX).then_some(UNREAD);
        if let Some(fault) = excess.or(unread) {
            self.refuse(id, fault);
            return Vec::new();
        }
        actions.requests
    }
}

impl Acceptor for Hosted {
    fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    /// If all places are taken, any connection can give way.
    fn has_room(&self, _: Time) -> bool {
        true
    }

    fn take(&mut self, now: Time, socket: OwnFd<TcpStream>, peer: SocketAddr) {
        let Ok(id) = self.streams.accept(now, socket) else {
            return; // this connection is broken already
        };
        if self.connections.len() >= self.places {
            self.drop_first(TOO_MANY, |_| true);
        }
        self.service.open(id.0, peer);
        let connection = Connection {
            peer,
            input: Vec::new(),
            heard: now,
            requests: 0,
            served: false,
            more: false,
        };
        self.connections.insert(id, connection);
    }

    /// Only an idle connection gives way.
    fn free_descriptor(&mut self, now: Time, _: &io::Error) -> bool {
        self.counters.note_shortage(now);
        self.streams.drop_lingering() || self.drop_first(NO_DESCRIPTOR, |it| it.is_idle(now))
    }

    /// The engine logs that this counter has grown.
    fn count_failure(&mut self) {
        let failures = &self.counters.accept_failures;
        failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Returns the bound that the connection exceeds; `None` if it exceeds none.
    fn excess(&self) -> Option<Fault> {
        match self.input.len() > INPUT_MAX {
            true => Some(LONG_INPUT),
            false => (self.requests > REQUESTS_MAX).then_some(MANY_REQUESTS),
        }
    }

    /// Returns true if the peer has sent nothing for a while, and waits for nothing.
    fn is_idle(&self, now: Time) -> bool {
        self.requests == 0 && !self.more && now.since(self.heard) >= IDLE
    }
}
