//! The counters of a node: those of the core, of the engine and of the services in one list.

use crate::driver::engine::Engine;
use crate::driver::engine::discovery::Discovery;
use crate::serf::Counter;

impl Engine {
    /// The counters of the core, the engine and the services.
    pub fn counters(&self) -> Vec<Counter> {
        let mut all = self.core.stats();
        let snapshot = self.snapshot.as_ref();
        let own = [
            (
                "events_waiting",
                self.handle.events.waiting() as u64,
                "Events that wait for a reader.",
            ),
            (
                "events_lost",
                self.handle.events.lost(),
                "Events merged or dropped because the queue was full.",
            ),
            (
                "streams_open",
                self.streams.len() as u64,
                "Streams that are open now.",
            ),
            (
                "accept_failures",
                self.counts.accept_failures,
                "Times that no connection could be accepted because descriptors or memory ran out.",
            ),
            (
                "streams_given_up",
                self.counts.streams_given_up,
                "Accepted streams that were dropped for newer ones.",
            ),
            (
                "stalls",
                self.counts.stalls,
                "Times that this process or machine did not run for a while.",
            ),
            (
                "snapshot_failures",
                snapshot.map_or(0, |it| it.failures),
                "Writes of the snapshot that failed.",
            ),
            (
                "snapshot_unreadable",
                snapshot.map_or(0, |it| it.unreadable),
                "Lines of the snapshot that could not be read when the node started.",
            ),
            (
                "engine_turns",
                self.counts.turns,
                "Times that the engine woke up.",
            ),
        ];
        all.extend(own.map(|(name, value, help)| Counter::new(name, value, help)));
        all.extend(self.discovery.iter().flat_map(Discovery::counters));
        for service in &self.handle.services {
            all.extend(service.read());
        }
        all
    }
}
