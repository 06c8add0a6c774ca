//! Replacing a file in one step: a reader finds the old content or the new one, even after a crash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes the content of `file`, which was created at the path `temporary` in the folder of `path`,
/// and lets it take the place of the file at `path`. After an error, the caller removes the file at
/// `temporary`.
///
/// # Errors
/// The error of the system; the file at `path` is then as before.
pub fn put_in_place(
    mut file: &File,
    temporary: &Path,
    path: &Path,
    content: &[u8],
) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// Waits until the folder of a file is on the disk. If the machine crashes before that, the file
/// that was replaced may be back.
///
/// # Errors
/// The error of the system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}
