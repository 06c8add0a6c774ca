//! The thread that writes the keyring file, because a disk may block.
//!
//! A change replaces the file in one step: a reader finds the old keys or the new ones, and so does
//! a node that starts after a crash. The file belongs to its owner alone (mode 0600), whatever mode
//! it had before.

use crate::config::keyring_file;
use crate::driver::engine::command::{Command, KeyCommand};
use crate::driver::engine::handle::EngineHandle;
use crate::driver::os::own_fd::OwnFd;
use crate::driver::os::replacement;
use crate::error::system_text;
use crate::serf::KeyStore;
use crate::wire::Key;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The engine's side of the writer. Once it is dropped, the thread writes what waits, and ends.
pub(in crate::driver) struct KeyWriter(Sender<KeyStore>);

/// The work of the thread.
pub(in crate::driver) struct KeyWriting {
    path: PathBuf,
    changes: Receiver<KeyStore>,
}

impl KeyWriter {
    /// Makes both sides of a writer of the file at this path. The path is absolute, because the
    /// process may change its directory.
    pub fn new(path: PathBuf) -> (KeyWriter, KeyWriting) {
        let (sender, changes) = unbounded();
        (KeyWriter(sender), KeyWriting { path, changes })
    }

    /// Queues a change. The core bounds the number of changes that wait.
    pub fn write(&self, change: KeyStore) {
        let _ = self.0.send(change); // fails only if the thread has ended, together with the node
    }
}

impl KeyWriting {
    /// Writes changes until the engine has ended.
    pub fn run(self, handle: &EngineHandle) {
        for KeyStore { number, keys } in self.changes {
            let result = replace(&self.path, &keys).map_err(|error| {
                let (path, why) = (self.path.display(), system_text(&error));
                format!("cannot write keyring_file {path}: {why}")
            });
            let stored = KeyCommand::Stored { number, result };
            handle.commands.send(Command::Keys(stored));
        }
    }
}

/// Replaces the keyring file.
fn replace(path: &Path, keys: &[Key]) -> io::Result<()> {
    let (new, file) = create(path)?;
    keep_owner(&file, path);
    let content = keyring_file::format(keys);
    let written = replacement::put_in_place(&file, &new, path, content.as_bytes());
    written.inspect_err(|_| drop(fs::remove_file(&new)))?;
    replacement::sync_folder(path)
}

/// Creates a file next to the keyring file, under a name that no other writer has: several nodes
/// may have the same keyring file.
fn create(path: &Path) -> io::Result<(PathBuf, OwnFd<File>)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}-{number}.new", std::process::id()));
        // `create_new` follows no link that someone else may have put there.
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        match OwnFd::open(|| options.open(&new)) {
            Ok(file) => return Ok((new.into(), file)),
            // A process that was killed has left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives a new file to the owner of the file `old`. A process that may not give files away keeps
/// the file as its own.
fn keep_owner(file: &File, old: &Path) {
    if let Ok(old) = fs::metadata(old) {
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder that is removed at the end of its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("sprat-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn files(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap();
            names
                .map(|it| it.unwrap().file_name().into_string().unwrap())
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    #[test]
    fn a_file_is_replaced_in_the_form_of_serf_and_only_its_owner_may_read_it() {
        let folder = Folder::new("replace");
        let path = folder.0.join("keys.json");
        fs::write(&path, "[]").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, &[key(1), key(2)]).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let expected = "[\n  \"AQEBAQEBAQEBAQEBAQEBAQ==\",\n  \"AgICAgICAgICAgICAgICAg==\"\n]";
        assert_eq!(written, expected);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.files(), ["keys.json"]);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_as_it_is_and_nothing_is_left_behind() {
        let folder = Folder::new("refused");
        let missing = folder.0.join("missing").join("keys.json");
        let error = replace(&missing, &[key(1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A folder with content cannot be replaced by a file.
        let path = folder.0.join("keys.json");
        fs::create_dir_all(path.join("content")).unwrap();
        assert!(replace(&path, &[key(1)]).is_err());
        assert_eq!(folder.files(), ["keys.json"]);
    }
}
