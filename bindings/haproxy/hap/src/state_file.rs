//! The file from which HAProxy loads the servers of a `server-template` after a reload. It holds
//! the answer to `show servers state`, and is written again whenever a server has changed.

use sprat_haproxy::server_state;
use std::path::Path;

/// The mode of the file. Every user may read it, because HAProxy may run as another user.
const MODE: u32 = 0o644;

/// The column that changes all the time: the seconds since the last change of a server.
const SECONDS: usize = 9;

/// The file that holds HAProxy's last answer to `show servers state`.
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

    /// Writes an answer of HAProxy to the file. Does nothing if the file exists and only the
    /// seconds have changed since the last write.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, answer: &str) -> Result<(), String> {
        let content: Vec<String> = answer.lines().map(without_seconds).collect();
        // A file that someone has deleted is written again.
        if content == self.written && Path::new(&self.path).exists() {
            return Ok(());
        }
        server_state::replace(&self.path, answer, MODE)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn links_in_the_place_of_the_file_or_its_temporary_file_are_not_followed() {
        let folder = std::env::temp_dir().join(format!("sprat-state-file-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (other, path) = (folder.join("other"), folder.join("servers"));
        fs::write(&other, "somebody else's").unwrap();
        symlink(&other, &path).unwrap();
        let temporary = format!("{}.{}", path.display(), std::process::id());
        symlink(&other, &temporary).unwrap();
        let mut file = StateFile::new(path.to_str().unwrap().to_owned());
        for answer in ["1\n", "1\n# more\n"] {
            file.write(answer).unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "somebody else's");
            let meta = fs::symlink_metadata(&path).unwrap();
            assert!(meta.is_file() && meta.permissions().mode() & 0o700 == 0o600);
            assert_eq!(fs::read_to_string(&path).unwrap(), answer);
            assert!(!Path::new(&temporary).exists());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
