//! Writes the snapshot: at most twice a second, except that an order, a freeze or a thaw is written
//! at the next opportunity. A write that fails is tried again, and the reason is kept.

use crate::snapshot::{Snapshot, SnapshotFile};
use std::time::{Duration, Instant};

/// The time between two writes.
const PAUSE: Duration = Duration::from_millis(500);

/// A problem of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SnapshotProblem {
    /// The last write has failed, for this reason. The next process will not learn of what has
    /// changed since the last record.
    Unwritable(String),
    /// The file has no room for this many lines.
    TooLong(usize),
}

impl SnapshotProblem {
    /// Returns the problem as text that follows the words "the snapshot".
    pub fn text(&self) -> String {
        match self {
            SnapshotProblem::Unwritable(why) => format!(
                "cannot be written ({why}), so a reload or restart will undo what has changed since"
            ),
            SnapshotProblem::TooLong(lines) => format!(
                "has no room for {lines} lines, so a reload or restart will lose them: addresses \
                 of members first, then servers"
            ),
        }
    }
}

/// The writer of a snapshot, which limits how often it writes.
pub(super) struct SnapshotWriter {
    file: Option<SnapshotFile>,
    /// The time at which the snapshot was last written; `None` to write at the next opportunity.
    written: Option<Instant>,
    problem: Option<SnapshotProblem>,
    /// True if a problem has ended since `take_recovery` was last called.
    has_recovered: bool,
}

impl SnapshotWriter {
    /// Writes to this file; `None` writes nothing.
    pub fn new(file: Option<SnapshotFile>) -> SnapshotWriter {
        SnapshotWriter {
            file,
            written: Some(Instant::now()),
            problem: None,
            has_recovered: false,
        }
    }

    /// Returns true if the file could not be read when it was opened.
    pub fn is_damaged(&self) -> bool {
        self.file.as_ref().is_some_and(SnapshotFile::is_damaged)
    }

    /// Asks for a write at the next opportunity.
    pub fn request(&mut self) {
        self.written = None;
    }

    /// Returns the newest snapshot if another process has written it since this process read the
    /// file.
    pub fn read_newer(&mut self) -> Option<Snapshot> {
        self.file.as_mut().and_then(SnapshotFile::read_newer)
    }

    /// From now on, this process and no earlier one writes the snapshot.
    pub fn claim(&mut self) {
        if let Some(file) = &mut self.file {
            file.claim();
        }
    }

    /// Writes the snapshot if it is due.
    pub fn write(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        if self.written.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        if let Some(file) = &mut self.file {
            self.written = Some(Instant::now());
            let problem = match file.write(&snapshot()) {
                Ok(0) => None,
                Ok(left_out) => Some(SnapshotProblem::TooLong(left_out)),
                Err(error) => Some(SnapshotProblem::Unwritable(error.to_string())),
            };
            self.has_recovered |= problem.is_none() && self.problem.is_some();
            self.problem = problem;
        }
    }

    /// Returns the problem that the last write had.
    pub fn problem(&self) -> Option<&SnapshotProblem> {
        self.problem.as_ref()
    }

    /// Returns true once after a problem has ended.
    pub fn take_recovery(&mut self) -> bool {
        std::mem::take(&mut self.has_recovered)
    }
}
