//! The helper thread: it resolves host names, which is the only work of a node that may block.

use crate::driver::engine::command::Command;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::net::resolve::resolve;
use crate::swim::LookupId;
use crossbeam_channel::Receiver;

/// A host name to resolve.
pub(in crate::driver) struct Lookup {
    pub id: LookupId,
    pub host: String,
}

/// Resolves names until the engine ends.
pub(in crate::driver) fn run(handle: &EngineHandle, lookups: &Receiver<Lookup>) {
    while let Ok(Lookup { id, host }) = lookups.recv() {
        if handle.lifecycle.is_ending() {
            break;
        }
        let addrs = resolve(&host);
        if !handle.commands.send(Command::Resolved { id, addrs }) {
            break;
        }
    }
}
