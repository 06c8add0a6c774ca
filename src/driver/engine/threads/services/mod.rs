//! The host of services: one thread that serves the connections of all services of a node.
//!
//! The thread is not that of the engine, so services also answer while the engine is stuck. The
//! thread never waits for a single peer. [`crate::service`] lists the bounds of a connection.
//!
//! If the members have changed, a service gets them before each of its events and before the bytes
//! of a peer. The bytes of peers cause at most one such refresh in `REFRESH` (`hosted.rs`). If a
//! service keeps its members while this node is isolated, the host asks the engine before each
//! refresh but the first whether the node is isolated. If the engine does not answer in time, the
//! node counts as isolated.

mod engine_reader;
mod hosted;

use engine_reader::EngineReader;
pub(in crate::driver) use hosted::Hosted;

use crate::driver::engine::LONGEST_SLEEP;
use crate::driver::engine::command::{Command, KeyCommand, MessageCommand};
use crate::driver::engine::handle::EngineHandle;
use crate::driver::events::completion::Waiter;
use crate::driver::events::queue::EventQueue;
use crate::driver::net::listener::accept_waiting;
use crate::driver::os::clock;
use crate::driver::os::descriptors::{self, PollFd, PollFlags};
use crate::event::{Event, EventBody, EventKind};
use crate::service::{Actions, Request, RequestEnd};
use crate::sorted_map::SortedMap;
use crate::swim::StreamId;
use crate::time::Time;
use std::io;
use std::sync::Arc;

/// The maximum number of bytes read from one connection before other connections have their turn.
const PORTION: usize = 64 * 1024;
/// The maximum number of events and outcomes of requests that may wait for this thread.
const EVENTS: usize = 4096;

/// A request that the node has not finished.
struct PendingRequest {
    /// The index of the service in the list of the host.
    service: usize,
    connection: StreamId,
    /// The number that the session gave the request.
    request: u64,
    /// The number of the operation if it is a query, which ends with its connection.
    query: Option<u64>,
}

/// The state of the host's thread.
pub(in crate::driver) struct ServiceHost {
    handle: Arc<EngineHandle>,
    reader: EngineReader,
    /// The events that services want. The queue ends with the node, which wakes this thread.
    events: Arc<EventQueue>,
    /// The outcomes of requests, and the acks and answers to queries.
    outcomes: Arc<EventQueue>,
    services: Vec<Hosted>,
    /// The requests under way, by the numbers of their operations.
    pending: SortedMap<u64, PendingRequest>,
    buffer: Vec<u8>,
}

impl ServiceHost {
    /// A host of these services.
    ///
    /// # Errors
    /// The system refuses a descriptor.
    pub fn new(handle: Arc<EngineHandle>, services: Vec<Hosted>) -> io::Result<ServiceHost> {
        let kinds = services.iter().flat_map(Hosted::event_kinds);
        // Without a kind in the list, all events would come.
        let kinds = kinds.copied().chain([EventKind::Fatal]).collect();
        Ok(ServiceHost {
            reader: EngineReader::new(handle.clone()),
            events: handle.events.observe(EVENTS, kinds)?,
            outcomes: Arc::new(EventQueue::new(EVENTS, Vec::new(), true)?),
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
                    PollSource::Outcomes => self.take_outcomes(now),
                    PollSource::Listener(at) => accept_waiting(&mut self.services[at], now),
                    PollSource::Stream(at, id) => self.serve(now, at, id, flags),
                }
            }
            for (at, id) in self.unread() {
                self.read(now, at, id);
            }
            self.cancel_queries();
            for hosted in &mut self.services {
                hosted.expire(now);
            }
        }
    }

    /// Returns true unless the host program has closed or replaced a descriptor of this thread.
    fn owns_its_descriptors(&self) -> bool {
        let of = |it: &Hosted| it.listener.is_intact() && it.streams.are_intact();
        self.events.is_intact() && self.outcomes.is_intact() && self.services.iter().all(of)
    }

    /// Waits, and returns the sources that are ready. Connections come before listeners: a
    /// connection that has just sent something must not be dropped as silent for a new one.
    fn wait(&self) -> Vec<(PollSource, PollFlags)> {
        let now = clock::now();
        let mut wanted = now + LONGEST_SLEEP;
        let mut sooner = |time: Time| wanted = wanted.min(time);
        let (mut sources, mut fds) = (Vec::new(), Vec::new());
        let queues = [
            (PollSource::Events, &self.events),
            (PollSource::Outcomes, &self.outcomes),
        ];
        for (source, queue) in queues {
            if let Some(fd) = queue.poll_fd() {
                sources.push(source);
                fds.push(PollFd::new(fd, PollFlags::POLLIN));
            }
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
        hosted.refresh(&self.handle.members, &mut self.reader, now);
        let actions = hosted.read(id, &mut self.reader);
        self.apply(now, at, id, actions);
    }

    /// The connections whose sessions stopped early. A connection is left out until its peer has
    /// taken all earlier answers.
    fn unread(&self) -> Vec<(usize, StreamId)> {
        let services = self.services.iter().enumerate();
        let unread = services.flat_map(|(at, hosted)| {
            let ids = hosted.connections().filter(|id| hosted.is_unread(*id));
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
                query: matches!(wanted, Request::Query { .. }).then_some(id),
            };
            self.pending.insert(id, pending);
            let waiter = Waiter::Queue(self.outcomes.clone(), id);
            if self.handle.send(command(id, wanted, waiter)).is_err() {
                return; // the node ends, and this thread with it
            }
        }
    }

    /// Passes the events to the sessions.
    fn take_events(&mut self, now: Time) {
        for event in self.events.drain(EVENTS).unwrap_or_default() {
            self.on_event(now, &event);
        }
    }

    /// Passes the outcomes of requests, and acks and answers, to the sessions that wait for them.
    fn take_outcomes(&mut self, now: Time) {
        for event in self.outcomes.drain(EVENTS).unwrap_or_default() {
            match &event.body {
                EventBody::Done {
                    id,
                    result,
                    missing,
                    keys,
                    ..
                } => {
                    let end = RequestEnd {
                        result,
                        missing,
                        keys: keys.as_deref(),
                    };
                    self.on_done(now, *id, end);
                }
                EventBody::QueryAck { id, .. } | EventBody::QueryResponse { id, .. } => {
                    self.on_answer(now, *id, &event);
                }
                _ => {}
            }
        }
    }

    fn on_done(&mut self, now: Time, id: u64, end: RequestEnd) {
        if let Some(pending) = self.pending.remove(id) {
            let (at, connection) = (pending.service, pending.connection);
            let actions = self.services[at].on_done(connection, pending.request, end);
            self.apply(now, at, connection, actions);
        }
    }

    fn on_answer(&mut self, now: Time, id: u64, answer: &Event) {
        let Some(pending) = self.pending.get(id) else {
            return;
        };
        let (at, connection) = (pending.service, pending.connection);
        let actions = self.services[at].on_answer(connection, pending.request, answer);
        self.apply(now, at, connection, actions);
    }

    /// Ends the queries whose connection has ended.
    fn cancel_queries(&mut self) {
        for pending in self.pending.values_mut() {
            let hosted = &self.services[pending.service];
            if hosted.is_open(pending.connection) {
                continue;
            }
            if let Some(number) = pending.query.take() {
                let command = Command::Message(MessageCommand::CancelQuery { number });
                let _ = self.handle.send(command); // it fails only if the node ends
            }
        }
    }

    fn on_event(&mut self, now: Time, event: &Event) {
        for at in 0..self.services.len() {
            let hosted = &mut self.services[at];
            if !hosted.event_kinds().contains(&event.kind()) {
                continue;
            }
            // A session that gets an event must find the change in the list of members.
            hosted.make_refresh_due(now);
            hosted.refresh(&self.handle.members, &mut self.reader, now);
            let ids: Vec<StreamId> = hosted.connections().collect();
            for id in ids {
                let actions = self.services[at].on_event(id, event);
                self.apply(now, at, id, actions);
            }
        }
    }
}

/// A descriptor that the host waits for. A service is given by its index in the list of the host.
enum PollSource {
    Events,
    Outcomes,
    Listener(usize),
    Stream(usize, StreamId),
}

/// The command for a request. `number` is that of the operation.
fn command(number: u64, request: Request, waiter: Waiter) -> Command {
    match request {
        Request::Join(seeds) => Command::Join { seeds, waiter },
        Request::Leave => Command::Leave { waiter },
        Request::UpdateTags(changes) => Command::UpdateTags { changes, waiter },
        Request::RemoveFailed { name, prune } => Command::RemoveFailed {
            name,
            prune,
            waiter,
        },
        Request::SendEvent {
            name,
            payload,
            coalescing,
        } => Command::Message(MessageCommand::SendEvent {
            name,
            payload,
            coalescing,
            waiter,
        }),
        Request::Query {
            name,
            payload,
            options,
        } => Command::Message(MessageCommand::Query {
            number,
            name,
            payload,
            options,
            waiter,
            reply: None,
        }),
        Request::Respond { query, payload } => Command::Message(MessageCommand::Respond {
            query,
            payload,
            waiter,
        }),
        Request::ManageKeys { query, timeout } => Command::Keys(KeyCommand::Manage {
            number,
            query,
            timeout,
            waiter,
        }),
    }
}
