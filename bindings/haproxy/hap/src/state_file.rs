//! The file from which HAProxy loads the servers of a `server-template` after a reload: the answer
//! to
//! `show servers state`, written again whenever a server has changed.

use std::path::Path;

/// The column that changes all the time: the seconds since the last change of a server.
const SECONDS: usize = 9;

/// See the top of this file.
pub struct StateFile {
    path: String,
    /// The content of the file, without the column that changes all the time.
    written: Vec<String>,
}

impl StateFile {
    pub fn new(path: String) -> StateFile {
        StateFile {
            path,
            written: Vec::new(),
        }
    }

    /// Writes an answer of HAProxy, if it differs from the last one. The old content stays until
    /// the new one is complete, because HAProxy may read the file at the same moment.
    ///
    /// # Errors
    /// The error of the system.
    pub fn write(&mut self, answer: &str) -> Result<(), String> {
        let content: Vec<String> = answer.lines().map(without_seconds).collect();
        // After a restart of HAProxy its first answer may come before its servers are set.
        if content == self.written && Path::new(&self.path).exists() {
            return Ok(());
        }
        let temporary = format!("{}.{}", self.path, std::process::id());
        std::fs::write(&temporary, answer)
            .and_then(|()| std::fs::rename(&temporary, &self.path))
            .map_err(|error| format!("{} cannot be written: {error}", self.path))?;
        self.written = content;
        Ok(())
    }
}

fn without_seconds(line: &str) -> String {
    let words = line.split(' ').enumerate();
    let words: Vec<&str> = words
        .filter(|(column, _)| *column != SECONDS)
        .map(|(_, word)| word)
        .collect();
    words.join(" ")
}
