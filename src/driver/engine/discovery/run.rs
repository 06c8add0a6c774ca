//! Runs mDNS on the engine's thread. [`Discovery`] decides what to send and when, and whom to join.
//!
//! [`Discovery`]: crate::driver::engine::discovery::Discovery

use crate::driver::engine::Engine;
use crate::driver::events::completion::Waiter;
use crate::event::Level;
use crate::vocabulary::NodeState;

/// The maximum number of messages that are read in one turn before other work is done.
const BURST: usize = 64;

impl Engine {
    /// Does what mDNS has to do now.
    pub(in crate::driver::engine) fn discover(&mut self) {
        let own = self.handle.addr();
        let is_running = self.handle.lifecycle.state() == NodeState::Running;
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        if !is_running {
            return discovery.stop();
        }
        if let Some(text) = discovery.ask_if_due(self.now, own) {
            self.warn("mdns", text);
        }
        self.join_found();
    }

    fn join_found(&mut self) {
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        if discovery.is_joining() {
            discovery.keep_joins(&self.operations.joins());
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
            discovery.on_join_begun(op);
        }
    }

    /// Receives messages of mDNS.
    pub(in crate::driver::engine) fn receive_discovery(&mut self) {
        let own = self.handle.addr();
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        for _ in 0..BURST {
            let received = discovery.receive(&mut self.buffer);
            let Some((len, from)) = received else {
                return;
            };
            let before = discovery.refusals().value;
            for it in discovery.read(self.now, &self.buffer[..len], from) {
                let is_alive_at = |addr| self.core.is_alive_at(addr);
                discovery.on_notification(self.now, &it, own, is_alive_at);
            }
            let refusals = discovery.refusals();
            if refusals.value > before {
                (self.log).refused(&self.handle.events, refusals, from, self.now);
            }
        }
    }

    /// Says goodbye at the end of the node.
    pub(in crate::driver::engine) fn end_discovery(&mut self) {
        if let Some(discovery) = &mut self.discovery {
            discovery.stop();
        }
    }
}
