//! The host of services: one thread that serves the connections of all services of a node.
//!
//! The thread is not that of the engine, so services also answer while the engine is stuck. The
//! thread never waits for a single peer. [`crate::service`] lists the bounds of a connection.
//!
//! If the members have changed, a service gets them before each of its events and before the bytes
//! of a peer. The bytes of peers cause at most one such refresh per [`REFRESH`]. If a service keeps
//! its members while this node is isolated, the host asks the engine before each refresh but the
//! first whether the node is isolated. If the engine does not answer in time, the node counts as
//! isolated.

use crate::driver::engine::LONGEST_SLEEP;
use crate::driver::engine::command::Command;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::events::completion::Waiter;
use crate::driver::events::queue::EventQueue;
use crate::driver::net::listener::{Acceptor, Listener, accept_waiting};
use crate::driver::net::streams::{StreamEvent, StreamSet};
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFd, PollFlags};
use crate::driver::os::oneshot::{Waited, oneshot};
use crate::driver::os::own_fd::OwnFd;
use crate::error::Result;
use crate::event::{Event, EventBody, EventKind};
use crate::service::sessions::AnyService;
use crate::service::{
    Actions, CONNECTIONS, End, INPUT_MAX, OUTPUT_MAX, REQUESTS_MAX, Request, ServiceCounters,
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
/// The longest time that the engine may take to say whether this node is isolated. All peers wait
/// during that time.
const ENGINE_PATIENCE: Duration = Duration::from_millis(10);
/// The time until the bytes of a peer can cause a refresh again if the engine did not answer in
/// time.
const REFRESH_STUCK: Duration = Duration::from_secs(1);
/// The longest time that a peer may take to receive the last bytes of a connection.
const FLUSH: Duration = Duration::from_secs(5);
/// The time for which a connection is silent before it gives way to another one that needs its
/// descriptor.
const IDLE: Duration = Duration::from_secs(1);
/// The maximum number of bytes read from one connection before other connections have their turn.
const PORTION: usize = 64 * 1024;
/// The maximum number of events and outcomes of requests that may wait for this thread.
const EVENTS: usize = 4096;

/// A service with its listener and its connections.
pub(in crate::driver) struct Hosted {
    service: Box<dyn AnyService>,
    listener: Listener,
    streams: StreamSet,
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

/// A request that the node has not finished.
struct PendingRequest {
    /// The index of the service in the list of the host.
    service: usize,
    connection: StreamId,
    /// The number that the session gave the request.
    request: u64,
}

/// The state of the host's thread.
pub(in crate::driver) struct ServiceHost {
    handle: Arc<EngineHandle>,
    /// The events that services want, and the outcomes of their requests. The queue ends with the
    /// node, which wakes this thread.
    events: Arc<EventQueue>,
    services: Vec<Hosted>,
    /// The requests under way, by the numbers of their operations.
    pending: SortedMap<u64, PendingRequest>,
    buffer: Vec<u8>,
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

    /// Makes room for a connection: drops one of those that may be dropped, and returns whether
    /// there is one. The one that has been silent longest gives way, but connections that never had
    /// a question answered come first.
    fn drop_first(&mut self, may_drop: impl Fn(&Connection) -> bool) -> bool {
        let open = self.connections.iter().filter(|(_, it)| may_drop(it));
        let first = open.min_by_key(|(_, it)| (it.served, it.heard));
        let id = first.map(|(id, _)| id);
        id.is_some_and(|id| {
            self.refuse(id);
            true
        })
    }

    /// Drops a connection that exceeds a bound or must make room, and counts it as refused.
    fn refuse(&mut self, id: StreamId) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        self.drop_connection(id);
    }

    fn drop_connection(&mut self, id: StreamId) {
        self.forget(id);
        self.streams.give_up(id);
    }

    /// Returns true if the session of a connection stopped early and can read on now, because its
    /// peer has taken all earlier answers.
    fn is_unread(&self, id: StreamId) -> bool {
        let connection = self.connections.get(id);
        connection.is_some_and(|it| it.more) && self.streams.unsent(id) == 0
    }

    fn forget(&mut self, id: StreamId) {
        self.service.close(id.0);
        self.connections.remove(id);
    }

    /// Reads and writes as much as is possible without waiting, and returns whether bytes have
    /// arrived.
    fn transfer(&mut self, now: Time, id: StreamId, ready: PollFlags, buffer: &mut [u8]) -> bool {
        let (mut arrived, mut ended) = (false, false);
        let connection = self.connections.get_mut(id);
        let mut connection = connection; // `None` if the stream is being closed already
        let mut on_event = |event: StreamEvent, bytes: &[u8]| match event {
            StreamEvent::Data => {
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
    fn read(&mut self, id: StreamId) -> Actions {
        let mut actions = Actions::default();
        if let Some(connection) = self.connections.get_mut(id) {
            let input = &mut connection.input;
            let consumed = self.service.on_bytes(id.0, input, &mut actions);
            input.drain(..consumed.min(input.len()));
            connection.served |= actions.served > 0;
            connection.more = actions.more;
        }
        actions
    }

    /// Carries out what a session wants, and returns its requests.
    fn apply(&mut self, now: Time, id: StreamId, actions: Actions) -> Vec<(u64, Request)> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Vec::new();
        };
        let counters = &self.counters;
        counters.served.fetch_add(actions.served, Ordering::Relaxed);
        connection.requests += actions.requests.len();
        let exceeds = connection.input.len() > INPUT_MAX || connection.requests > REQUESTS_MAX;
        if !actions.bytes.is_empty() {
            self.streams.write(id, actions.bytes);
        }
        if let Some(end) = actions.end {
            let refused = u64::from(end == End::Refuse);
            counters.refused.fetch_add(refused, Ordering::Relaxed);
            self.forget(id);
            self.streams.close(now, id, FLUSH);
        } else if exceeds || self.streams.unsent(id) > OUTPUT_MAX {
            self.refuse(id);
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
            self.drop_first(|_| true);
        }
        self.service.open(id.0, peer);
        let connection = Connection {
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
        self.streams.drop_lingering() || self.drop_first(|it| it.is_idle(now))
    }

    /// The engine logs that this counter has grown.
    fn count_failure(&mut self) {
        let failures = &self.counters.accept_failures;
        failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Returns true if the peer has sent nothing for a while, and waits for nothing.
    fn is_idle(&self, now: Time) -> bool {
        self.requests == 0 && !self.more && now.since(self.heard) >= IDLE
    }
}

impl ServiceHost {
    /// A host of these services.
    ///
    /// # Errors
    /// The system refuses a descriptor.
    pub fn new(handle: Arc<EngineHandle>, services: Vec<Hosted>) -> io::Result<ServiceHost> {
        let kinds = services.iter().flat_map(|it| it.service.event_kinds());
        let kinds = kinds.copied().chain([EventKind::Done]).collect();
        Ok(ServiceHost {
            events: handle.events.observe(EVENTS, kinds)?,
            handle,
            services,
            pending: SortedMap::default(),
            buffer: vec![0; PORTION],
        })
    }

    /// Serves until the node ends.
    pub fn run(&mut self) {
        while !self.handle.lifecycle.is_ending() {
            let ready = self.wait();
            if !self.owns_its_descriptors() {
                return self.handle.on_lost_descriptors();
            }
            let now = clock::now();
            for (source, flags) in ready {
                match source {
                    PollSource::Events => self.take_events(now),
                    PollSource::Listener(at) => accept_waiting(&mut self.services[at], now),
                    PollSource::Stream(at, id) => self.serve(now, at, id, flags),
                }
            }
            for (at, id) in self.unread() {
                self.read(now, at, id);
            }
            for hosted in &mut self.services {
                hosted.streams.expire(now);
                let open = hosted.connections.len() as u64;
                hosted.counters.open.store(open, Ordering::Relaxed);
            }
        }
    }

    /// Returns true unless the host program has closed or replaced a descriptor of this thread.
    fn owns_its_descriptors(&self) -> bool {
        let of = |it: &Hosted| it.listener.is_intact() && it.streams.are_intact();
        self.events.is_intact() && self.services.iter().all(of)
    }

    /// Waits, and returns the sources that are ready. Connections come before listeners: a
    /// connection that has just sent something must not be dropped as silent for a new one.
    fn wait(&self) -> Vec<(PollSource, PollFlags)> {
        let now = clock::now();
        let mut wanted = now + LONGEST_SLEEP;
        let mut sooner = |time: Time| wanted = wanted.min(time);
        let (mut sources, mut fds) = (Vec::new(), Vec::new());
        if let Some(fd) = self.events.poll_fd() {
            sources.push(PollSource::Events);
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        for (at, hosted) in self.services.iter().enumerate() {
            hosted.streams.deadline().into_iter().for_each(&mut sooner);
            for (id, fd) in hosted.streams.poll_entries() {
                // The session first reads the bytes that have arrived; further bytes wait until
                // then.
                if hosted.is_unread(id) {
                    sooner(now);
                    continue;
                }
                sources.push(PollSource::Stream(at, id));
                fds.push(fd);
            }
        }
        for (at, hosted) in self.services.iter().enumerate() {
            if hosted.listener.resumes() > now {
                sooner(hosted.listener.resumes());
            } else {
                sources.push(PollSource::Listener(at));
                fds.push(hosted.listener.poll_entry());
            }
        }
        let ready = descriptors::wait(&mut fds, Some(wanted.since(now)));
        let found = sources.into_iter().zip(ready);
        found.filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn serve(&mut self, now: Time, at: usize, id: StreamId, ready: PollFlags) {
        let hosted = &mut self.services[at];
        if hosted.transfer(now, id, ready, &mut self.buffer) {
            self.read(now, at, id);
        }
    }

    fn read(&mut self, now: Time, at: usize, id: StreamId) {
        let hosted = &mut self.services[at];
        refresh(hosted, &self.handle, now);
        let actions = hosted.read(id);
        self.apply(now, at, id, actions);
    }

    /// The connections whose sessions stopped early. A connection is left out until its peer has
    /// taken all earlier answers.
    fn unread(&self) -> Vec<(usize, StreamId)> {
        let services = self.services.iter().enumerate();
        let unread = services.flat_map(|(at, hosted)| {
            let ids = hosted.connections.iter().map(|(id, _)| id);
            let ids = ids.filter(|id| hosted.is_unread(*id));
            ids.map(move |id| (at, id))
        });
        unread.collect()
    }

    /// Carries out what a session wants, and sends its requests to the engine.
    fn apply(&mut self, now: Time, at: usize, connection: StreamId, actions: Actions) {
        for (request, wanted) in self.services[at].apply(now, connection, actions) {
            let id = self.handle.next_id();
            let pending = PendingRequest {
                service: at,
                connection,
                request,
            };
            self.pending.insert(id, pending);
            let waiter = Waiter::Queue(self.events.clone(), id);
            if self.handle.send(command(wanted, waiter)).is_err() {
                return; // the node ends, and this thread with it
            }
        }
    }

    /// Passes the outcomes of requests and the events to the sessions.
    fn take_events(&mut self, now: Time) {
        for event in self.events.drain(EVENTS).unwrap_or_default() {
            if let EventBody::Done { id, result, .. } = &event.body {
                if let Some(pending) = self.pending.remove(*id) {
                    self.on_done(now, &pending, result);
                    continue;
                }
            }
            self.on_event(now, &event);
        }
    }

    fn on_done(&mut self, now: Time, pending: &PendingRequest, result: &Result<usize>) {
        let hosted = &mut self.services[pending.service];
        if let Some(connection) = hosted.connections.get_mut(pending.connection) {
            connection.requests -= 1;
        }
        let (id, mut actions) = (pending.connection, Actions::default());
        let service = &mut hosted.service;
        service.on_done(id.0, pending.request, result, &mut actions);
        self.apply(now, pending.service, id, actions);
    }

    fn on_event(&mut self, now: Time, event: &Event) {
        for at in 0..self.services.len() {
            let hosted = &mut self.services[at];
            if !hosted.service.event_kinds().contains(&event.kind()) {
                continue;
            }
            // A session that gets an event must find the change in the list of members.
            hosted.refresh_from = now;
            refresh(hosted, &self.handle, now);
            let ids: Vec<StreamId> = hosted.connections.iter().map(|(id, _)| id).collect();
            for id in ids {
                let mut actions = Actions::default();
                let service = &mut self.services[at].service;
                service.on_event(id.0, event, &mut actions);
                self.apply(now, at, id, actions);
            }
        }
    }
}

/// A descriptor that the host waits for. A service is given by its index in the list of the host.
enum PollSource {
    Events,
    Listener(usize),
    Stream(usize, StreamId),
}

/// Passes the members to the service if they have changed and a refresh is due, unless the service
/// keeps its members because this node is isolated.
fn refresh(hosted: &mut Hosted, handle: &EngineHandle, now: Time) {
    let version = handle.members.version();
    if hosted.members == Some(version) || now < hosted.refresh_from {
        return;
    }
    hosted.refresh_from = now + REFRESH;
    if hosted.members.is_some() && hosted.service.keeps_members_while_isolated() {
        match is_isolated(handle) {
            Some(false) => {}
            Some(true) => return,
            None => {
                hosted.refresh_from = now + REFRESH_STUCK;
                return;
            }
        }
    }
    hosted.service.on_members(handle.members.all());
    hosted.members = Some(version);
}

/// Returns true if this node may be cut off from the cluster; `None` if the engine does not answer
/// in time.
fn is_isolated(handle: &EngineHandle) -> Option<bool> {
    let (reply, answer) = oneshot();
    handle.send(Command::Health { reply }).ok()?;
    match answer.wait(Some(ENGINE_PATIENCE)) {
        Waited::Answered(health) => Some(health.isolated),
        Waited::TimedOut | Waited::Dropped => None,
    }
}

fn command(request: Request, waiter: Waiter) -> Command {
    match request {
        Request::Join(seeds) => Command::Join { seeds, waiter },
        Request::Leave => Command::Leave { waiter },
        Request::UpdateTags(changes) => Command::UpdateTags { changes, waiter },
        Request::RemoveFailed { name, prune } => Command::RemoveFailed {
            name,
            prune,
            waiter,
        },
    }
}
