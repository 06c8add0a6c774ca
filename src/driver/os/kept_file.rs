//! A file that a node keeps on the disk while it runs, such as its snapshot.
//!
//! * No other user can have written it: a file that belongs to another user or that others may
//!   write is refused. So is a symbolic link, with which a user who can write in the folder could
//!   choose the file that is overwritten.
//! * Only one node has it. A lock ensures this, and ends with the process, whatever ends it.
//! * It is never half replaced. Its new content is written to a second file and synced, and this
//!   file then takes its place.
//!
//! A forked child closes its copy of the descriptor at once, so it can neither write the file nor
//! keep the lock. A node that ends releases the lock even if a child has not come to that yet.

use crate::driver::os::own_fd::OwnFd;
use crate::driver::os::replacement;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The end of the name of the file that takes the place of the kept one; agents use the same.
const TEMPORARY: &str = ".compact";
/// The mode of a new file, less the umask: it holds the addresses of all members.
const MODE: u32 = 0o600;
/// The number of attempts to open a file that is replaced while it is being opened.
const ATTEMPTS: usize = 10;
/// The length of the pieces in which a file is read.
const PIECE: usize = 64 * 1024;

/// A file that only this node writes.
pub(in crate::driver) struct KeptFile {
    /// The absolute path: the host program may change its folder.
    path: PathBuf,
    file: OwnFd<File>,
}

impl KeptFile {
    /// Opens a file, or creates it.
    ///
    /// # Errors
    /// The error of the system; `InvalidInput`, with the reason, for a file that is refused.
    pub fn open(path: &Path) -> io::Result<KeptFile> {
        let path = std::path::absolute(path)?;
        for _ in 0..ATTEMPTS {
            let opened = OwnFd::open(|| options().read(true).create(true).open(&path));
            let file = opened.map_err(|error| match error.raw_os_error() {
                Some(libc::ELOOP) => refused("it is a symbolic link"),
                _ => error,
            })?;
            check_owner(&file.metadata()?, geteuid().as_raw())?;
            lock(&*file)?;
            if is_at(&path, &file.metadata()?) {
                return Ok(KeptFile { path, file });
            }
        }
        Err(refused("other processes replace it again and again"))
    }

    /// The path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true unless the host program has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.file.is_intact()
    }

    /// Returns the length of the file in bytes.
    ///
    /// # Errors
    /// The error of the system.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Passes the content to `take`, piece by piece, beginning with the byte `start`.
    ///
    /// # Errors
    /// The error of the system.
    pub fn read_from(&self, start: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let (mut at, mut piece) = (start, vec![0; PIECE]);
        loop {
            match self.file.read_at(&mut piece, at) {
                Ok(0) => return Ok(()),
                Ok(len) => {
                    take(&piece[..len]);
                    at += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// The error of the system.
    pub fn cut(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Checks that the descriptor does not stand for a file of the host program.
    fn check_intact(&self) -> io::Result<()> {
        match self.is_intact() {
            true => Ok(()),
            false => Err(io::Error::other("this process has closed its descriptor")),
        }
    }

    /// Appends bytes. After an error, the file is as before, if the system still allows that.
    ///
    /// # Errors
    /// The error of the system; `Other` if the host program has closed the descriptor.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.check_intact()?;
        let len = self.len()?;
        let written = (&*self.file).write_all(bytes);
        written.inspect_err(|_| drop(self.cut(len)))
    }

    /// Replaces the content. After an error, the file is as before.
    ///
    /// # Errors
    /// The same as for [`KeptFile::append`].
    pub fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_intact()?;
        let temporary = self.temporary();
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OwnFd::open(|| options().create_new(true).open(&temporary))?;
        let fill = || {
            // A node that opens the file in the moment after the renaming finds it locked.
            lock(&*file)?;
            file.set_permissions(self.file.metadata()?.permissions())?;
            replacement::put_in_place(&file, &temporary, &self.path, bytes)
        };
        fill().inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        self.file = file;
        let _ = replacement::sync_folder(&self.path); // a crash may bring the old file back
        Ok(())
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    /// The same as for [`KeptFile::append`].
    pub fn sync(&self) -> io::Result<()> {
        self.check_intact()?;
        self.file.sync_data()
    }

    fn temporary(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(TEMPORARY);
        path.into()
    }
}

/// The options with which every file is opened. Each write goes to the end of the file. Opening a
/// pipe does not block.
fn options() -> fs::OpenOptions {
    let mut options = File::options();
    options.append(true).mode(MODE);
    // The standard library adds O_CLOEXEC.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}

/// Refuses a file that a user other than `user` and root could have written, or that is not a
/// regular file.
///
/// # Errors
/// `InvalidInput`, with the reason.
pub fn check_owner(meta: &Metadata, user: u32) -> io::Result<()> {
    if !meta.is_file() {
        return Err(refused("it is not a regular file"));
    }
    let (owner, mode) = (meta.uid(), meta.mode() & 0o777);
    if owner != user && owner != 0 {
        let text = format!("it belongs to the user {owner}, allowed: {user} and root");
        return Err(refused(text));
    }
    if mode & 0o022 != 0 {
        let text = format!("other users can write it (mode {mode:o}); use `chmod 600`");
        return Err(refused(text));
    }
    Ok(())
}

impl Drop for KeptFile {
    /// Unlocks the file for everyone: a child that was forked a moment ago may not have closed its
    /// copy yet, and would keep the lock until then.
    fn drop(&mut self) {
        if self.is_intact() {
            let _ = set_lock(&*self.file, libc::F_UNLCK); // the last copy to go unlocks it, too
        }
    }
}

/// Locks a file. The lock belongs to the open file, not to the process, so that two nodes of one
/// process cannot have it either.
fn lock(file: &impl AsFd) -> io::Result<()> {
    match set_lock(file, libc::F_WRLCK) {
        Ok(_) => Ok(()),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Err(refused("another node uses it")),
        Err(error) => Err(error.into()),
    }
}

fn set_lock(file: &impl AsFd, kind: libc::c_int) -> nix::Result<libc::c_int> {
    let whole = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole))
}

/// Returns true if the path leads to this file, and not to one that has taken its place.
fn is_at(path: &Path, meta: &Metadata) -> bool {
    let there = fs::symlink_metadata(path);
    there.is_ok_and(|there| (there.dev(), there.ino()) == (meta.dev(), meta.ino()))
}

#[cfg(test)]
pub(in crate::driver) mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder that is removed at the end of its test.
    pub(in crate::driver) struct Folder(PathBuf);

    impl Folder {
        pub fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("sprat-kept-{}-{next}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        pub fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// The names of the files, sorted.
        pub fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().map(Result::unwrap);
            let mut names: Vec<String> = entries
                .map(|it| it.file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn why(path: &Path) -> String {
        match KeptFile::open(path) {
            Ok(_) => panic!("{} was opened", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_new_file_is_private_and_everything_is_appended() {
        let folder = Folder::new();
        let path = folder.path("file");
        let file = KeptFile::open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        file.append(b"one\n").unwrap();
        file.append(b"two\n").unwrap();
        file.sync().unwrap();
        drop(file);
        let file = KeptFile::open(&path).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        let mut read: Vec<u8> = Vec::new();
        file.read_from(4, |piece| read.extend(piece)).unwrap();
        assert_eq!(read, b"two\nthree\n");
        file.cut(8).unwrap();
        file.append(b"4\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n4\n");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_lock_and_leaves_no_other_file() {
        let folder = Folder::new();
        let path = folder.path("file");
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        fs::write(folder.path("file.compact"), "of a crash").unwrap();
        let mut file = KeptFile::open(&path).unwrap();
        file.replace(b"new\n").unwrap();
        file.append(b"more\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\nmore\n");
        assert_eq!((mode(&path), folder.names()), (0o640, vec!["file".into()]));
        assert_eq!(why(&path), "another node uses it");
        drop(file);
        assert!(KeptFile::open(&path).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_as_it_is() {
        let folder = Folder::new();
        let path = folder.path("file");
        let mut file = KeptFile::open(&path).unwrap();
        file.append(b"old\n").unwrap();
        fs::create_dir(folder.path("file.compact")).unwrap();
        assert!(file.replace(b"new\n").is_err());
        file.append(b"more\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old\nmore\n");
    }

    #[test]
    fn a_file_is_refused_if_another_user_could_have_written_it_or_another_node_has_it() {
        let folder = Folder::new();
        let path = folder.path("file");
        let file = KeptFile::open(&path).unwrap();
        assert_eq!(why(&path), "another node uses it");
        drop(file);
        symlink(&path, folder.path("link")).unwrap();
        assert_eq!(why(&folder.path("link")), "it is a symbolic link");
        assert_eq!(why(Path::new("/dev/null")), "it is not a regular file");
        let meta = fs::metadata(&path).unwrap();
        if meta.uid() != 0 {
            let why = check_owner(&meta, meta.uid() + 1).unwrap_err().to_string();
            assert!(why.starts_with("it belongs to the user"), "{why}");
        }
        for mode in [0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let expected = format!("other users can write it (mode {mode:o}); use `chmod 600`");
            assert_eq!(why(&path), expected);
        }
    }
}
