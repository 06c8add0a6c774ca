//! Writes the snapshot: at most twice a second, except that an order, a freeze or a thaw is written
//! at the next opportunity.

use crate::snapshot::{Snapshot, SnapshotFile};
use std::time::{Duration, Instant};

/// The time between two writes.
const PAUSE: Duration = Duration::from_millis(500);

/// The writer of a snapshot, which limits how often it writes.
pub(super) struct SnapshotWriter {
    file: Option<SnapshotFile>,
    /// The time at which the snapshot was last written; `None` to write at the next opportunity.
    written: Option<Instant>,
}

impl SnapshotWriter {
    /// Writes to this file; `None` writes nothing.
    pub fn new(file: Option<SnapshotFile>) -> SnapshotWriter {
        SnapshotWriter {
            file,
            written: Some(Instant::now()),
        }
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
            // If the disk is full, the assignments are not kept for the next process, but this
            // process works on.
            let _ = file.write(&snapshot());
        }
    }
}
