//! The file from which HAProxy loads the servers of a `server-template` after a reload. It holds
//! the answer to `show servers state`, and is written again whenever a server has changed.

use sprat_haproxy::{server_state, trusted_file};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The mode of the file. Every user may read it, because HAProxy may run as another user.
const MODE: u32 = 0o644;

/// The column that changes all the time: the seconds since the last change of a server.
const SECONDS: usize = 9;

/// The file that holds HAProxy's last answer to `show servers state`.
pub struct StateFile {
    path: String,
    /// The content of the file, without the column that changes all the time.
    written: Vec<String>,
    /// The device and the inode of the file that was written last; `None` if none was.
    identity: Option<(u64, u64)>,
}

impl StateFile {
    pub fn new(path: String) -> StateFile {
        StateFile {
            path,
            written: Vec::new(),
            identity: None,
        }
    }

    /// Writes an answer of HAProxy to the file. Does nothing if only the seconds have changed since
    /// the last write and the file is still there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, answer: &str) -> Result<(), String> {
        let content: Vec<String> = answer.lines().map(without_seconds).collect();
        if content == self.written && self.is_in_place() {
            return Ok(());
        }
        let meta = server_state::replace(&self.path, answer, MODE)
            .map_err(|error| format!("{} cannot be written: {error}", self.path))?;
        (self.written, self.identity) = (content, Some(identity(&meta)));
        Ok(())
    }

    /// Returns true if the path still leads to the file that was written last, and no other user
    /// can write it. A file that someone has deleted or replaced is written again.
    fn is_in_place(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        found.is_ok_and(|it| {
            Some(identity(&it)) == self.identity && trusted_file::check(&it).is_ok()
        })
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
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
    use std::path::Path;

    #[test]
    fn a_file_that_someone_has_put_in_its_place_or_made_writable_is_replaced() {
        let folder = std::env::temp_dir().join(format!("sprat-replaced-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (path, foreign) = (folder.join("servers"), folder.join("foreign"));
        let mut file = StateFile::new(path.to_str().unwrap().to_owned());
        file.write("1\n").unwrap();
        fs::write(&foreign, "other servers\n").unwrap();
        fs::rename(&foreign, &path).unwrap();
        file.write("1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::write(&path, "other servers\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        file.write("1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_dir_all(&folder).unwrap();
    }

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
