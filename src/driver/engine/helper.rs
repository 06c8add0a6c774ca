//! The helper thread: it resolves host names, which is the only work of a node that may block.

use crate::driver::engine::command::Command;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::net::resolve::resolve;

/// Resolves names until the node ends.
pub(in crate::driver) fn run(handle: &EngineHandle) {
    while let Some((id, host)) = handle.lookups.next() {
        let addrs = resolve(&host);
        if !handle.commands.send(Command::Resolved { id, addrs }) {
            break;
        }
    }
}
