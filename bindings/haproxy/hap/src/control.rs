//! The control socket, over which an operator gives orders: one command per line.

use super::desired::DesiredServers;
use super::{accept, log};
use sprat_haproxy::balance::AdminState;
use sprat_haproxy::controller::Controller;
use std::fs::Metadata;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait for the end of a line, and for an answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);
/// The maximum length of a command in bytes, without its line end.
const COMMAND_LEN: usize = 1024;
/// The maximum number of bytes that are read and ignored after a line that is too long.
const REST_LEN: usize = 1 << 20;
/// The longest wait of a command until the snapshot has it, and the pause between two checks.
const SAVE: Duration = Duration::from_secs(1);
const SAVE_PAUSE: Duration = Duration::from_millis(10);

const HELP: &str = "\
drain NAME   drain the server of a member until `auto NAME`
maint NAME   stop the server of a member until `auto NAME`
ready NAME   keep the server of a member ready until `auto NAME`
auto NAME    withdraw the order for the server of a member
freeze       until `thaw`, remove no server except those whose members ask for it
thaw         end a freeze, whether an operator or the node itself began it
show         print the members, the servers, and the reason for each removal that is held back
show json    print the report of show as JSON
help         print this text
";

/// A socket that takes commands once it is served. Its file is deleted when this value is dropped.
pub struct ControlSocket {
    path: PathBuf,
    file: Metadata,
    listener: UnixListener,
}

impl ControlSocket {
    /// Binds a path. A socket that an earlier process has left behind there is replaced.
    ///
    /// # Errors
    /// The path cannot be used, or a process listens there.
    pub fn bind(path: &str) -> std::result::Result<ControlSocket, String> {
        let failed = |error: Error| format!("cannot create the control socket {path}: {error}");
        let path = Path::new(path);
        let found = path.symlink_metadata();
        if found.is_ok_and(|it| it.file_type().is_socket()) {
            let refused = |error: Error| error.kind() == ErrorKind::ConnectionRefused;
            if UnixStream::connect(path).is_err_and(refused) {
                std::fs::remove_file(path).map_err(failed)?;
            }
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        Ok(ControlSocket {
            path: path.to_owned(),
            file: path.symlink_metadata().map_err(failed)?,
            listener,
        })
    }

    /// Starts answering commands.
    ///
    /// # Errors
    /// No descriptor is free, or no thread can be started.
    pub fn serve(&self, desired: Arc<DesiredServers>) -> Result<()> {
        let listener = self.listener.try_clone()?;
        // Connections are served one at a time: while one sends commands, the others wait. A
        // connection that sends nothing for PATIENCE is closed.
        let accept = move || listener.accept().map(|(stream, _)| stream);
        // If the connection breaks, the operator sees no answer.
        let serve = move |stream: UnixStream| drop(answer(&stream, &desired));
        accept::start("hap-control", "the control socket", accept, serve)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let identity = |file: &Metadata| (file.dev(), file.ino());
        let found = self.path.symlink_metadata();
        if found.is_ok_and(|found| identity(&found) == identity(&self.file)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Answers the commands of a connection until the connection ends, sends nothing for `PATIENCE`,
/// or does not end a line in this time.
fn answer(mut stream: &UnixStream, desired: &DesiredServers) -> Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = Lines {
        stream,
        held: Vec::new(),
    };
    loop {
        let line = lines.next()?;
        let is_last = matches!(line, Line::Unfinished | Line::TooLong);
        let result = match line {
            Line::Whole(line) => match String::from_utf8(line) {
                Ok(command) => run(command.trim(), desired),
                Err(_) => Err("a command must be UTF-8".to_owned()),
            },
            Line::Unfinished => {
                let patience = PATIENCE.as_secs();
                Err(format!(
                    "the command did not end with a newline within {patience} s"
                ))
            }
            Line::TooLong => Err(format!("a command has at most {COMMAND_LEN} bytes")),
            Line::None => return Ok(()),
        };
        let text = result.unwrap_or_else(|error| format!("error: {error}\n"));
        stream.write_all(text.as_bytes())?;
        if is_last {
            // The connection ends, because the bytes that still arrive may be the rest of that
            // line. They are read and ignored: closing a socket with unread bytes would discard the
            // answer.
            stream.shutdown(Shutdown::Write)?;
            return lines.discard();
        }
    }
}

/// The lines of a connection.
struct Lines<'a> {
    stream: &'a UnixStream,
    /// Bytes that were read and belong to no line yet.
    held: Vec<u8>,
}

enum Line {
    /// A line without its newline. The last line of a connection needs no newline.
    Whole(Vec<u8>),
    /// The end of the line did not come in time.
    Unfinished,
    TooLong,
    /// No further line comes.
    None,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Line> {
        let until = Instant::now() + PATIENCE;
        loop {
            let end = self.held.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.filter(|end| *end <= COMMAND_LEN) {
                let rest = self.held.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                line.pop();
                return Ok(Line::Whole(line));
            }
            if self.held.len() > COMMAND_LEN {
                return Ok(Line::TooLong);
            }
            let is_open = match self.read(until) {
                Ok(count) => count > 0,
                Err(error) if is_timeout(&error) && !self.held.is_empty() => {
                    return Ok(Line::Unfinished);
                }
                Err(error) => return Err(error),
            };
            if !is_open {
                return Ok(match self.held.is_empty() {
                    true => Line::None,
                    false => Line::Whole(std::mem::take(&mut self.held)),
                });
            }
        }
    }

    /// Reads some bytes, and returns their number; 0 if the other side sends no more.
    fn read(&mut self, until: Instant) -> Result<usize> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut part = [0; COMMAND_LEN];
        self.stream.set_read_timeout(Some(left))?;
        let count = self.stream.read(&mut part)?;
        self.held.extend_from_slice(&part[..count]);
        Ok(count)
    }

    /// Reads and ignores what the other side still sends.
    fn discard(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut total = 0;
        while total < REST_LEN {
            self.held.clear();
            match self.read(until)? {
                0 => break,
                count => total += count,
            }
        }
        Ok(())
    }
}

fn is_timeout(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Returns the answer to a command that was carried out. If the snapshot does not have it within a
/// moment, the answer says so.
fn done(controller: &Controller) -> String {
    let until = Instant::now() + SAVE;
    let mut saved = controller.saved();
    while saved.is_none() && Instant::now() < until {
        std::thread::sleep(SAVE_PAUSE);
        saved = controller.saved();
    }
    match Controller::remark(saved) {
        Some(remark) => format!("ok, but {remark}\n"),
        None => "ok\n".to_owned(),
    }
}

/// Runs a command, and returns the text of the answer.
fn run(command: &str, desired: &DesiredServers) -> std::result::Result<String, String> {
    let controller = desired.controller();
    let (word, name) = command.split_once(' ').unwrap_or((command, ""));
    let order = |state| match name.trim() {
        "" => Err(format!("`{word}` needs the name of a member")),
        name => {
            controller.order(None, name, state)?;
            log(&format!("an operator ordered {word} {name:?}"));
            Ok(done(controller))
        }
    };
    match command {
        "show" => Ok(controller.report()),
        "show json" => Ok(controller.report_json()),
        "help" => Ok(HELP.to_owned()),
        "freeze" | "thaw" => {
            controller.set_frozen(command == "freeze")?;
            Ok(done(controller))
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
