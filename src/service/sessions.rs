//! A service together with its sessions, so that one host can hold services of different types.

use super::{Actions, Members, NodeReader, RequestEnd, Service};
use crate::event::{Event, EventKind};
use crate::sorted_map::SortedMap;
use std::net::SocketAddr;

/// The number of a connection within its service.
pub(crate) type ConnectionId = u64;

/// A [`Service`] whose sessions are known by the numbers of their connections.
pub(crate) trait AnyService: Send {
    /// See [`Service::event_kinds`].
    fn event_kinds(&self) -> &'static [EventKind];
    /// See [`Service::keeps_members_while_isolated`].
    fn keeps_members_while_isolated(&self) -> bool;
    /// See [`Service::on_members`].
    fn on_members(&mut self, members: Members);
    /// See [`Service::open`].
    fn open(&mut self, id: ConnectionId, peer: SocketAddr);
    /// Forgets a session.
    fn close(&mut self, id: ConnectionId);
    /// See [`Service::on_bytes`].
    fn on_bytes(
        &mut self,
        id: ConnectionId,
        input: &[u8],
        node: &mut dyn NodeReader,
        actions: &mut Actions,
    ) -> usize;
    /// See [`Service::on_event`].
    fn on_event(&mut self, id: ConnectionId, event: &Event, actions: &mut Actions);
    /// See [`Service::on_answer`].
    fn on_answer(&mut self, id: ConnectionId, request: u64, answer: &Event, actions: &mut Actions);
    /// See [`Service::on_done`].
    fn on_done(
        &mut self,
        id: ConnectionId,
        request: u64,
        outcome: RequestEnd,
        actions: &mut Actions,
    );
}

/// A service and its sessions.
pub(crate) struct Sessions<S: Service> {
    service: S,
    sessions: SortedMap<ConnectionId, S::Session>,
}

impl<S: Service + 'static> Sessions<S> {
    /// A service without sessions.
    pub fn boxed(service: S) -> Box<dyn AnyService> {
        Box::new(Sessions {
            service,
            sessions: SortedMap::default(),
        })
    }
}

impl<S: Service> AnyService for Sessions<S> {
    fn event_kinds(&self) -> &'static [EventKind] {
        self.service.event_kinds()
    }

    fn keeps_members_while_isolated(&self) -> bool {
        self.service.keeps_members_while_isolated()
    }

    fn on_members(&mut self, members: Members) {
        self.service.on_members(members);
    }

    fn open(&mut self, id: ConnectionId, peer: SocketAddr) {
        let session = self.service.open(peer);
        self.sessions.insert(id, session);
    }

    fn close(&mut self, id: ConnectionId) {
        self.sessions.remove(id);
    }

    fn on_bytes(
        &mut self,
        id: ConnectionId,
        input: &[u8],
        node: &mut dyn NodeReader,
        actions: &mut Actions,
    ) -> usize {
        let session = self.sessions.get_mut(id);
        session.map_or(0, |it| self.service.on_bytes(it, input, node, actions))
    }

    fn on_event(&mut self, id: ConnectionId, event: &Event, actions: &mut Actions) {
        if let Some(session) = self.sessions.get_mut(id) {
            self.service.on_event(session, event, actions);
        }
    }

    fn on_answer(&mut self, id: ConnectionId, request: u64, answer: &Event, actions: &mut Actions) {
        if let Some(session) = self.sessions.get_mut(id) {
            self.service.on_answer(session, request, answer, actions);
        }
    }

    fn on_done(
        &mut self,
        id: ConnectionId,
        request: u64,
        outcome: RequestEnd,
        actions: &mut Actions,
    ) {
        if let Some(session) = self.sessions.get_mut(id) {
            self.service.on_done(session, request, outcome, actions);
        }
    }
}
