//! The snapshot file of a node: read when the node starts, and written by the engine.
//!
//! The core says which lines are to be written, and when. The engine writes them itself: an append
//! goes to the memory of the system. The engine waits for the disk only at the leave and at the end
//! of the node, and when the file is replaced, which happens once for thousands of changes. If the
//! disk takes seconds, the wait counts as a stall, and no other node is blamed for it. An error
//! neither ends the node nor delays it: the error is counted and logged once, and the lines that
//! could not be written are written half a minute later.

use crate::driver::os::kept_file::KeptFile;
use crate::error::{Error, Result, Status};
use crate::serf::{Core, Past, SnapshotReader, SnapshotWrite};
use crate::time::Time;
use std::io;
use std::path::Path;

/// The number of bytes at the end of a file that are read. A node replaces its file long before it
/// has this length, so a longer file was not written by a node that works.
const LONGEST: u64 = 64 << 20;

/// The snapshot file, and what could not be read from it or written to it.
pub(in crate::driver) struct SnapshotKeeper {
    file: KeptFile,
    /// The number of lines that could not be read when the node started.
    pub unreadable: u64,
    /// The number of writes that failed.
    pub failures: u64,
    /// True from a write that failed until the file has been replaced.
    is_failing: bool,
    /// A line for the log.
    warning: Option<String>,
}

impl SnapshotKeeper {
    /// Opens a snapshot, or creates an empty one, and reads it. A torn last line is cut off.
    /// `rejoins` is true if members from before a leave count.
    ///
    /// # Errors
    /// `Config` if another user could have written the file, another node uses it, or it holds
    /// something other than a snapshot; `Io` for an error of the system.
    pub fn open(path: &Path, rejoins: bool) -> Result<(SnapshotKeeper, Past)> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => {
                let message = format!("snapshot is {}, but {error}", path.display());
                Error::new(Status::Config, message)
            }
            _ => Error::io(
                format_args!("cannot open the snapshot {}", path.display()),
                &error,
            ),
        };
        let file = KeptFile::open(path).map_err(failed)?;
        let past = read(&file, rejoins).map_err(failed)?;
        let warning = (past.unreadable > 0).then(|| {
            let (path, lines) = (file.path().display(), past.unreadable);
            format!("{lines} lines of the snapshot {path} could not be read; the others are used")
        });
        let keeper = SnapshotKeeper {
            file,
            unreadable: past.unreadable,
            failures: 0,
            is_failing: false,
            warning,
        };
        Ok((keeper, past))
    }

    /// Returns true unless the host program has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.file.is_intact()
    }

    /// Writes the lines of the core that are due.
    pub fn write_due(&mut self, core: &mut Core, now: Time) {
        while core.snapshot_deadline().is_some_and(|due| due <= now) && self.write_any(core, now) {}
    }

    /// Writes all lines of the core, and waits until they are on the disk.
    pub fn end(&mut self, core: &mut Core, now: Time) {
        // If the file cannot be replaced, the second write may be able to append to it.
        let _ = self.write_any(core, now) && self.write_any(core, now);
        if let Err(error) = self.file.sync() {
            self.on_failure(&error);
        }
    }

    /// Returns the next line for the log.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Writes the lines of the core, and returns whether there were any.
    fn write_any(&mut self, core: &mut Core, now: Time) -> bool {
        let Some(write) = core.snapshot_write(now) else {
            return false;
        };
        let succeeded = self.write(&write);
        core.on_snapshot_written(now, &write, succeeded);
        true
    }

    /// Writes lines, and returns whether that has succeeded.
    fn write(&mut self, write: &SnapshotWrite) -> bool {
        let written = match write.replaces {
            true => self.file.replace(&write.bytes),
            false => self.file.append(&write.bytes),
        };
        let synced = match write.sync && !write.replaces {
            true => written.and_then(|()| self.file.sync()),
            false => written,
        };
        match synced {
            Ok(()) => self.is_failing &= !write.replaces,
            Err(ref error) => self.on_failure(error),
        }
        synced.is_ok()
    }

    fn on_failure(&mut self, error: &io::Error) {
        self.failures += 1;
        if !std::mem::replace(&mut self.is_failing, true) {
            let path = self.file.path().display();
            let text = format!("cannot write the snapshot {path}: {error}");
            self.warning = Some(text);
        }
    }
}

/// Reads a snapshot, and cuts off a torn last line.
fn read(file: &KeptFile, rejoins: bool) -> io::Result<Past> {
    let mut reader = SnapshotReader::new(rejoins);
    let len = file.len()?;
    let start = len.saturating_sub(LONGEST);
    if start > 0 {
        reader.skip_line();
    }
    file.read_from(start, |piece| reader.read(piece))?;
    let mut past = reader.finish();
    if past.is_foreign {
        let text = "it holds something other than a snapshot";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    past.len += start;
    if past.len < len {
        file.cut(past.len)?;
    }
    Ok(past)
}
