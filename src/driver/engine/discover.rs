//! Running mDNS on the engine's thread: see `discovery.rs` for what it does and when.

use crate::driver::engine::Engine;
use crate::driver::events::completion::Waiter;
use crate::event::Level;
use crate::vocabulary::NodeState;

/// The maximum number of messages that are read in one turn before other work is done.
const BURST: usize = 64;

impl Engine {
    /// Does what mDNS has to do now.
    pub(super) fn discover(&mut self) {
        let own = self.handle.addr();
        let is_running = self.handle.lifecycle.state() == NodeState::Running;
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        if !is_running {
            return discovery.stop();
        }
        if let Some(error) = discovery.ask_if_due(self.now, own) {
            let place = match &*discovery.interface {
                "" => String::new(),
                name => format!(" on {name}"),
            };
            let text = format!("mDNS does not work{place}, and is tried again: {error}");
            self.warn("mdns", text);
        }
        self.join_found();
    }

    fn join_found(&mut self) {
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        if !discovery.joins.is_empty() {
            let under_way = self.operations.joins();
            discovery.joins.retain(|op| under_way.contains(op));
        }
        for addr in discovery.take_found(self.now) {
            // It may have become a member since it was found.
            if self.core.is_alive_at(addr) {
                discovery.forget(addr);
                continue;
            }
            let text = || format!("mDNS has found {addr}; joining it");
            self.log
                .line(&self.handle.events, Level::Info, "mdns", text);
            let op = self.core.join_found(self.now, addr);
            self.operations.begin_join(op, Waiter::Nobody);
            discovery.joins.push(op);
            discovery.joined += 1;
        }
    }

    /// Receives messages of mDNS.
    pub(super) fn receive_discovery(&mut self) {
        let own = self.handle.addr();
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        for _ in 0..BURST {
            let received = discovery.receive(&mut self.buffer);
            let Some((len, from)) = received else {
                return;
            };
            for news in discovery.read(self.now, &self.buffer[..len], from) {
                let is_alive_at = |addr| self.core.is_alive_at(addr);
                discovery.hear(self.now, &news, own, is_alive_at);
            }
        }
    }

    /// Says goodbye at the end of the node.
    pub(super) fn end_discovery(&mut self) {
        if let Some(discovery) = &mut self.discovery {
            discovery.stop();
        }
    }
}
