//! The server-state file: HAProxy reads it when it starts, before the first request
//! (`load-server-state-from-file`).
//!
//! From HAProxy 3.0 on, an address that Lua sets takes effect only once HAProxy runs, so the first
//! requests after a reload would find no server. The file is therefore written from the snapshot
//! while HAProxy reads its configuration. It restores only addresses and ports: HAProxy leaves
//! the servers in maintenance, and the Lua script makes them ready before the first request.
//!
//! An operator may save the states of other backends in the same file, because HAProxy has only one
//! global file. The lines of these backends are kept.

use crate::backend::BackendKey;
use crate::restore::servers_of;
use crate::snapshot::Snapshot;
use crate::trusted_file;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

/// The version of the format, and the columns that HAProxy documents.
pub const HEAD: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
    srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
    srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
    srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

/// The maximum length of a file whose lines are kept, in bytes.
const LONGEST: u64 = 16 << 20;

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

/// Writes the file with these servers of the configured backends. The lines of other backends stay,
/// unless the path is a link: the link is replaced, and its file is not read.
///
/// # Errors
/// The file cannot be read or replaced, is longer than 16 MiB, or is not a regular file. A file
/// that another user (except root) owns or can write is refused, because its lines become servers
/// of HAProxy.
pub fn write(path: &str, configured: &[BackendKey], entries: &[StateEntry]) -> io::Result<()> {
    let mut text = HEAD.to_owned();
    text += &lines_of_others(path, configured)?;
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
    replace(path, &text, 0o600).map(drop)
}

/// Returns the lines of the file that are about backends other than the configured ones.
fn lines_of_others(path: &str, configured: &[BackendKey]) -> io::Result<String> {
    let mut options = std::fs::File::options();
    options.read(true);
    // Opening a pipe must not block: it is refused below.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        // The link will be replaced, not the file that it points to.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(String::new()),
        opened => opened?,
    };
    trusted_file::check(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("it has more than 16 MiB"));
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_kept = |line: &&str| {
        // The line of a server begins with the number and the name of its backend.
        let mut words = line.split(' ');
        let id = words.next().unwrap_or_default();
        let backend = words.next().unwrap_or_default();
        let is_server = !backend.is_empty() && id.parse::<u32>().is_ok();
        is_server && !configured.iter().any(|key| &*key.name == backend)
    };
    let kept = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(kept.filter(is_kept).collect())
}

/// Replaces the file with one that has this text, and this mode less the umask, and returns the
/// metadata of the new file. The old content stays until the new one is complete, because another
/// HAProxy may read it at the same moment. Links are not followed at this path or at that of the
/// temporary file: otherwise a user who can write in the folder could choose which file is
/// overwritten.
///
/// # Errors
/// The file cannot be written.
pub fn replace(path: &str, text: &str, mode: u32) -> io::Result<Metadata> {
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
        .and_then(|()| file.metadata())
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_another_user_could_have_written_is_refused_and_kept() {
        let folder = std::env::temp_dir().join(format!("sprat-foreign-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("state");
        let other = "7 api 1 s1 10.6.6.6 2 0 1 1 12 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n";
        std::fs::write(&path, other).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        let configured = [BackendKey::new("nodes", "role", "backend")];
        let why = write(path.to_str().unwrap(), &configured, &[]).unwrap_err();
        assert_eq!(
            why.to_string(),
            "other users can write it (mode 646); use `chmod 600`"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn lines_of_other_backends_stay_and_lines_of_configured_backends_are_replaced() {
        let folder = std::env::temp_dir().join(format!("sprat-state-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("state");
        let path = path.to_str().unwrap();
        let other = "7 static 1 s1 10.0.0.9 0 1 1 1 12 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n";
        let own = "8 nodes 1 s1 10.0.0.8 2 0 1 1 12 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n";
        std::fs::write(path, format!("{HEAD}\n{other}{own}9 cut")).unwrap();
        let configured = [BackendKey::new("nodes", "role", "backend")];
        let addr = "10.0.0.1:3000".parse().unwrap();
        let entries = [("nodes".into(), "s1".into(), addr)];
        write(path, &configured, &entries).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.strip_prefix(HEAD).unwrap().lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], other.trim_end());
        assert!(lines[1].starts_with("0 nodes 0 s1 10.0.0.1 2 5 "), "{text}");
        write(path, &configured, &[]).unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            format!("{HEAD}{other}")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
