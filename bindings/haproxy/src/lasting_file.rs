//! A file that is opened while HAProxy reads its configuration, and used as long as HAProxy runs.
//!
//! It keeps the rules that the library has for the descriptors of a node, with one exception:
//!
//! * Its number is never 0, 1 or 2, where a HAProxy that becomes a daemon puts /dev/null.
//! * Before each use, it is checked that the number still stands for the same file. If it does not,
//!   nothing is read, written or closed, because the file belongs to HAProxy.
//! * Unlike the descriptors of a node, it stays open in a forked child: the process that serves
//!   requests is a child of the one that has opened the file.

use crate::trusted_file;
use sprat::driver::above_standard_streams;
use std::fs::{File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

/// A file that keeps the rules at the top of this file.
#[derive(Debug)]
pub(crate) struct LastingFile {
    file: ManuallyDrop<File>,
    identity: (u64, u64),
}

impl LastingFile {
    /// Opens a file, or creates it with a mode that lets only its owner read it.
    ///
    /// # Errors
    /// The error of the system; `InvalidInput` if the path is a symbolic link or not a regular
    /// file, or if another user (except root) owns the file or can write it.
    pub fn open(path: &str) -> io::Result<LastingFile> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        let opened = options.open(path).map_err(|error| match error {
            it if it.raw_os_error() == Some(libc::ELOOP) => {
                io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link")
            }
            it => it,
        })?;
        let file = above_standard_streams(opened)?;
        let meta = file.metadata()?;
        trusted_file::check(&meta)?;
        Ok(LastingFile {
            file: ManuallyDrop::new(file),
            identity: identity(&meta),
        })
    }

    /// Returns the file.
    ///
    /// # Errors
    /// The descriptor was closed, or now stands for another file.
    pub fn get(&self) -> io::Result<&File> {
        match self.file.metadata() {
            Ok(meta) if identity(&meta) == self.identity => Ok(&self.file),
            Ok(_) | Err(_) => Err(io::Error::other("this process has closed its descriptor")),
        }
    }
}

impl Drop for LastingFile {
    fn drop(&mut self) {
        if self.get().is_ok() {
            // SAFETY: only this line drops `file`, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}
