//! The control socket, over which an operator gives orders: a command in each line.

use super::desired::DesiredServers;
use super::log;
use sprat_haproxy::balance::AdminState;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _, copy, sink};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// The longest wait for a command, and for its answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);
/// The number of bytes that a command may have, with its line end.
const COMMAND_LEN: u64 = 1024;
/// The number of bytes that are read and ignored after a line that is too long.
const REST_LEN: u64 = 1 << 20;

const HELP: &str = "\
drain NAME   drain the server of a member until `auto NAME`
maint NAME   stop the server of a member until `auto NAME`
ready NAME   keep the server of a member ready until `auto NAME`
auto NAME    withdraw the order for the server of a member
freeze       freeze removals
thaw         end a freeze
show         print the members, the servers, and the reason for each removal that is held back
show json    the same as JSON
help         print this text
";

/// The socket. Its file is deleted when this value is dropped.
pub struct ControlSocket(PathBuf);

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Starts answering commands at a path. A socket that an earlier process has left there is
/// replaced.
///
/// # Errors
/// The path cannot be used, or a process listens there.
pub fn serve(path: &str, desired: Arc<DesiredServers>) -> Result<ControlSocket, String> {
    let failed = |error: std::io::Error| format!("the control socket {path}: {error}");
    let place = Path::new(path);
    let is_socket = std::fs::symlink_metadata(place).is_ok_and(|it| it.file_type().is_socket());
    if is_socket {
        let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
        if UnixStream::connect(place).is_err_and(refused) {
            std::fs::remove_file(place).map_err(failed)?;
        }
    }
    let listener = UnixListener::bind(place).map_err(failed)?;
    let socket = ControlSocket(place.to_owned());
    // One connection after the other: each takes a moment, and a silent one a few seconds.
    let answer_all = move || {
        for stream in listener.incoming() {
            match stream {
                // If the connection breaks, the operator gives the command again.
                Ok(stream) => drop(answer(stream, &desired)),
                Err(_) => std::thread::sleep(Duration::from_millis(100)), // no descriptor is free
            }
        }
    };
    let thread = Builder::new()
        .name("hap-control".to_owned())
        .spawn(answer_all);
    thread.map(|_| socket).map_err(failed)
}

/// Answers the commands of a connection, one in each line, until it ends or is silent.
fn answer(stream: UnixStream, desired: &DesiredServers) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(&stream);
    loop {
        let mut line = Vec::new();
        (&mut lines)
            .take(COMMAND_LEN)
            .read_until(b'\n', &mut line)?;
        let is_cut = line.len() as u64 == COMMAND_LEN && line.last() != Some(&b'\n');
        let text = match std::str::from_utf8(&line) {
            Ok("") => return Ok(()),
            Ok(command) if !is_cut => {
                let done = run(command.trim(), desired);
                done.unwrap_or_else(|wrong| format!("error: {wrong}\n"))
            }
            Ok(_) | Err(_) => {
                format!("error: a command has less than {COMMAND_LEN} bytes of UTF-8\n")
            }
        };
        (&stream).write_all(text.as_bytes())?;
        if is_cut {
            // If the socket is closed while bytes wait that were not read, the answer is lost.
            stream.shutdown(Shutdown::Write)?;
            return copy(&mut lines.take(REST_LEN), &mut sink()).map(drop);
        }
    }
}

/// Runs a command, and returns the text to answer.
fn run(command: &str, desired: &DesiredServers) -> Result<String, String> {
    let controller = desired.controller();
    let (word, name) = command.split_once(' ').unwrap_or((command, ""));
    let order = |state| match name.trim() {
        "" => Err(format!("`{word}` needs the name of a member")),
        name => {
            controller.order(None, name, state)?;
            log(&format!("an operator ordered {word} {name:?}"));
            Ok(String::new())
        }
    };
    match command {
        "show" => Ok(controller.report()),
        "show json" => Ok(controller.report_json()),
        "help" => Ok(HELP.to_owned()),
        "freeze" | "thaw" => {
            controller.set_frozen(command == "freeze");
            Ok(String::new())
        }
        _ => match word {
            "drain" => order(Some(AdminState::Drain)),
            "maint" => order(Some(AdminState::Maint)),
            "ready" => order(Some(AdminState::Ready)),
            "auto" => order(None),
            _ => Err(format!("unknown command {command:?}; `help` lists all")),
        },
    }
}
