//! The server-state file: HAProxy reads it when it starts, before the first request
//! (`load-server-state-from-file`).
//!
//! From HAProxy 3.0 on, an address that Lua sets takes effect only once HAProxy runs, so the first
//! requests after a reload would find no server. The file is therefore written from the snapshot
//! while HAProxy reads its configuration. It holds only addresses and ports: HAProxy leaves the
//! servers in maintenance, and the Lua script makes them ready before the first request.

use crate::backend::BackendKey;
use crate::restore::servers_of;
use crate::snapshot::Snapshot;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

/// The version of the format, and the columns that HAProxy documents.
pub const HEAD: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
    srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
    srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
    srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

/// A server in the file: the name of its backend, its own name, and its address.
pub type StateEntry = (Arc<str>, Arc<str>, SocketAddr);

/// Returns the servers of a snapshot that belong to the configured backends.
pub fn entries(snapshot: &Snapshot, configured: &[BackendKey]) -> Vec<StateEntry> {
    let of = |key: &BackendKey| {
        let name = key.name.clone();
        let servers = servers_of(snapshot, key, configured).into_iter();
        servers.map(move |it| (name.clone(), it.server.clone(), it.addr))
    };
    configured.iter().flat_map(of).collect()
}

/// Writes the file with these servers.
///
/// # Errors
/// The error of the system.
pub fn write(path: &str, entries: &[StateEntry]) -> io::Result<()> {
    let mut text = HEAD.to_owned();
    for (backend, server, addr) in entries {
        let (ip, port) = (addr.ip(), addr.port());
        // The states 2, 5 and 6 mean: the server was running before, is in maintenance by
        // configuration and by command, and has health checks that are enabled. Writing to a string
        // cannot fail.
        let _ = writeln!(
            text,
            "0 {backend} 0 {server} {ip} 2 5 1 1 0 1 0 0 6 0 0 0 - {port} - 0 0 - - 0"
        );
    }
    replace(path, &text, 0o600)
}

/// Replaces the file with one that has this text and mode. The old content stays until the new one
/// is complete, because another HAProxy may read it at the same moment. Links are not followed at
/// this path or at that of the temporary file: otherwise a user who may write in the folder could
/// choose which file is overwritten.
///
/// # Errors
/// The error of the system.
pub fn replace(path: &str, text: &str, mode: u32) -> io::Result<()> {
    let temporary = format!("{path}.{}", std::process::id());
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(text.as_bytes())
        .and_then(|()| std::fs::rename(&temporary, path))
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}
