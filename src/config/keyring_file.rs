//! The keyring file of Serf: a JSON array of keys in base64, the primary one first.

use super::file;
use crate::error::{Error, Result, Status};
use crate::limits::KEYS;
use crate::wire::Key;
use std::path::Path;
use zeroize::Zeroizing;

/// Reads the keys of a keyring file. The first key is the one that encrypts.
///
/// # Errors
/// `Io` if the file cannot be read; `Config` if it is not a JSON array of 1 to 64 keys in base64.
pub(super) fn read(path: &Path) -> Result<Vec<Key>> {
    parse(&file::read(path)?).map_err(|what| {
        let message = format!(
            "keyring_file {}: {what}; allowed is a JSON array of 1 to {KEYS} keys, each a string \
             with base64 of 16, 24 or 32 bytes",
            path.display()
        );
        Error::new(Status::Config, message)
    })
}

/// Reads the keys, or says what is wrong. The text is secret, so no message contains a part of it.
fn parse(text: &str) -> std::result::Result<Vec<Key>, String> {
    let written: Vec<String> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("line {line}, column {column} is not part of a JSON array of strings")
    })?;
    let count = written.len();
    if count == 0 {
        return Err("the array holds no key".to_owned());
    }
    if count > KEYS {
        return Err(format!("the array holds {count} keys"));
    }
    let written = written.into_iter().map(Zeroizing::new).enumerate();
    let read = |(index, text): (usize, Zeroizing<String>)| {
        let wrong = || format!("key {} of {count} is not a key in base64", index + 1);
        Key::from_base64(&text).ok_or_else(wrong)
    };
    written.map(read).collect()
}

/// Writes keys as Serf does: indented by two spaces, without a newline at the end.
pub(crate) fn format(keys: &[Key]) -> Zeroizing<String> {
    // The text does not grow, because no copy of a key must be left behind in memory.
    let longest = 2 + keys.len() * (44 + 6);
    let mut text = Zeroizing::new(String::with_capacity(longest));
    for (index, key) in keys.iter().enumerate() {
        text.push_str(if index == 0 { "[\n  \"" } else { ",\n  \"" });
        text.push_str(&key.to_base64());
        text.push('"');
    }
    text.push_str("\n]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

    #[test]
    fn keys_are_read_as_they_are_written() {
        let keys = [16, 24, 32].map(|len| Key::new(&vec![len as u8; len]).unwrap());
        let text = format(&keys);
        assert_eq!(parse(&text).unwrap(), keys);
        assert!(text.len() <= text.capacity() && text.capacity() < 200);
        let other = format!("[ \"{KEY}\",\n\"{KEY}\\n\"]\n");
        let keys = parse(&other).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1].as_bytes(), b"0123456789abcdef");
    }

    #[test]
    fn a_wrong_file_is_explained_without_showing_what_is_in_it() {
        let many = format!("[{}]", vec![format!("\"{KEY}\""); 65].join(","));
        for (text, what) in [
            (
                "",
                "line 1, column 0 is not part of a JSON array of strings",
            ),
            ("[]", "the array holds no key"),
            (
                "{\n\"secret\":",
                "line 1, column 0 is not part of a JSON array of strings",
            ),
            ("[\n  \"secret\n", "line 3, column 0"),
            (
                "[1]",
                "line 1, column 2 is not part of a JSON array of strings",
            ),
            (
                &format!("[\"{KEY}\", \"secret\"]"),
                "key 2 of 2 is not a key in base64",
            ),
            (&many, "the array holds 65 keys"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.starts_with(what), "{text}: {why}");
            assert!(!why.contains("secret"), "{why}");
        }
        let path = std::env::temp_dir().join(format!("sprat-{}-ring", std::process::id()));
        std::fs::write(&path, "[]").unwrap();
        let error = read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let expected = format!(
            "keyring_file {}: the array holds no key; allowed is a JSON array of 1 to 64 keys, \
             each a string with base64 of 16, 24 or 32 bytes",
            path.display()
        );
        assert_eq!((error.status, error.message), (Status::Config, expected));
        let error = read(Path::new("/nonexistent/ring")).unwrap_err();
        assert_eq!((error.status, error.errno), (Status::Io, libc::ENOENT));
    }
}
