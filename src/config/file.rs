//! Reading files: settings as `key = value` lines, and text for other formats.

use super::line::value_in;
use super::node_config::Config;
use crate::error::{Error, Result, Status};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The maximum size of a file in bytes. Larger files are refused before they are read.
const FILE_LEN: u64 = 1024 * 1024;

/// Reads a text file of at most [`FILE_LEN`] bytes.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let failed =
        |error: io::Error| Error::io(format_args!("cannot read {}", path.display()), &error);
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() || meta.len() > FILE_LEN {
        let message = format!(
            "{} is not a regular file of at most {FILE_LEN} bytes",
            path.display()
        );
        return Err(Error::new(Status::Io, message));
    }
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            let message = format!("{} is not UTF-8 text", path.display());
            Error::new(Status::Config, message)
        }
        _ => failed(error),
    })?;
    Ok(Zeroizing::new(text))
}

impl Config {
    /// Reads settings from a file of lines `key = value`. The keys are the names that
    /// [`Config::set`] takes, including `tag.KEY`. A `#` at the beginning of a line or after a
    /// space begins a comment. A value may be in double quotes, where `\"` and `\\` stand for a
    /// quote and a backslash, or in single quotes, where every character stands for itself. After
    /// an error no setting has changed.
    ///
    /// # Errors
    /// `Io` if the file cannot be read, is not a regular file or is too large; `Config` if it is
    /// not UTF-8; `Invalid` for a line that is not `key = value` or has wrong quotes; the errors of
    /// [`Config::set`]. An error in a line begins with the file and the number of the line.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let mut loaded = self.clone();
        each_line(path, |key, value| loaded.set(key, value))?;
        *self = loaded;
        Ok(())
    }

    /// Reads and checks a file as [`Config::load`] does, but changes no setting: returns the keys
    /// and values in the order of the lines.
    ///
    /// # Errors
    /// The same as for [`Config::load`].
    pub fn entries_of(path: &Path) -> Result<Vec<(String, String)>> {
        let mut entries = Vec::new();
        let mut checked = Config::new();
        each_line(path, |key, value| {
            entries.push((key.to_owned(), value.to_owned()));
            checked.set(key, value)
        })?;
        Ok(entries)
    }
}

/// Passes each key and value of a file to `take`. The message of an error about a line begins with
/// the file and the number of the line.
fn each_line(path: &Path, mut take: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    for (index, line) in read(path)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let taken = match line.split_once('=') {
            Some((key, text)) => value_in(text).and_then(|value| take(key.trim(), &value)),
            None => Err(Error::new(Status::Invalid, "expected \"key = value\"")),
        };
        taken.map_err(|error| Error {
            message: format!("{}:{}: {}", path.display(), index + 1, error.message),
            ..error
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is removed at the end of its test.
    struct File(std::path::PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> File {
            let name = format!("sprat-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).unwrap();
            File(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_file_sets_what_its_lines_say() {
        let text = "# comment\n\nname = n1\n tag.role=web = 1\nprobe_interval_ms = 2000\n";
        let file = File::new("good", text);
        let mut config = Config::new();
        config.load(&file.0).unwrap();
        assert_eq!(config.get("name").unwrap(), "n1");
        assert_eq!(config.get("tag.role").unwrap(), "web = 1");
        assert_eq!(config.get("probe_interval_ms").unwrap(), "2000");
        let entries = Config::entries_of(&file.0).unwrap();
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["name", "tag.role", "probe_interval_ms"]);
        assert_eq!(entries[1].1, "web = 1");
    }

    #[test]
    fn an_unclosed_quote_before_a_secret_does_not_reveal_the_secret() {
        let file = File::new("secret", "encrypt = \"c2VjcmV0\n");
        let error = Config::new().load(&file.0).unwrap_err();
        assert!(!error.message.contains("c2VjcmV0"), "{}", error.message);
        assert!(
            error.message.contains("secret:1: the quote"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_wrong_line_is_named_and_no_setting_of_the_file_is_kept() {
        let file = File::new("bad", "name = n1\n\nprobe_intervall_ms = 5\n");
        let mut config = Config::new();
        config.set("name", "before").unwrap();
        let error = config.load(&file.0).unwrap_err();
        assert_eq!(error.status, Status::NotFound);
        assert!(error.message.contains("bad:3: "), "{}", error.message);
        assert!(error.message.contains("probe_interval_ms"));
        assert_eq!(config.get("name").unwrap(), "before");
        let file = File::new("line", "name\n");
        let error = config.load(&file.0).unwrap_err();
        assert!(
            error.message.contains("line:1: expected"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_missing_file_is_an_error_of_the_system() {
        let error = Config::new()
            .load(Path::new("/nonexistent/sprat"))
            .unwrap_err();
        assert_eq!((error.status, error.errno), (Status::Io, libc::ENOENT));
    }
}
