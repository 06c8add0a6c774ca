//! Every setting of a node by name.
//!
//! A [`Config`] holds only what was set, as checked text in its normal form; everything else comes
//! from the profile when it is asked for. So `profile` may be set before or after the others.
//!
//! | file | its idea |
//! | --- | --- |
//! | `settings` | the table: name, type, default, range, sentence |
//! | `value` | is this text allowed, and its normal form |
//! | `address` | addresses as people write them |
//! | `file` | reading settings and keyrings from files |
//! | `typed` | from text to the types that a node needs |

pub(crate) mod address;
mod file;
mod settings;
mod typed;
mod value;

use crate::driver;
use crate::error::{Error, Result, Status};
use crate::limits;
use crate::serf::{Mode, Tags};
use crate::wire::Key;
use crate::wire::serf_message::encode_tags;
pub use settings::Setting;
use std::collections::BTreeMap;
use std::fmt;

/// Keys beside each other.
const KEYS: usize = 64;
/// Bytes of the key of a tag.
const TAG_KEY_LEN: usize = 255;

/// Settings of a node. Each has a name, a type, a default and a range: see [`Config::keys`].
#[derive(Clone, Default)]
pub struct Config {
    /// What was set, in normal form.
    values: BTreeMap<&'static str, String>,
    tags: Tags,
    filter_tags: Tags,
    meta: Vec<u8>,
    /// The setting `encrypt`.
    encrypt: Option<Key>,
    /// Keys added beside it, the first one the primary if `encrypt` is not set.
    keys: Vec<Key>,
}

/// Without the keys.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("values", &self.values)
            .field("tags", &self.tags)
            .field("filter_tags", &self.filter_tags)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Settings that are all at their defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Every setting with a fixed name, in the order of the documentation.
    pub fn keys() -> &'static [Setting] {
        settings::SETTINGS
    }

    /// The settings whose key goes on with a name of the user's: `tag.KEY`, `filter.tag.KEY`.
    pub fn key_families() -> &'static [Setting] {
        settings::FAMILIES
    }

    /// Sets one setting. Space around the value is ignored, but for texts: they are taken as they
    /// are, and a name must not begin or end with it.
    ///
    /// # Errors
    /// `NotFound` for an unknown key, naming the nearest known one; `Invalid` or `TooLarge` for a
    /// value that is not allowed, naming key, value and what is allowed. Nothing changes then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if let Some(tag) = key.strip_prefix("tag.") {
            return self.set_tag(tag, Some(value));
        }
        if let Some(tag) = key.strip_prefix("filter.tag.") {
            return self.set_filter_tag(tag, Some(value));
        }
        let setting = settings::find(key).ok_or_else(|| unknown(key))?;
        let text = value::normal(setting.rule, setting.rule.bare(value))
            .map_err(|why| refused(setting, value, &why))?;
        if setting.rule == settings::Rule::Key {
            self.encrypt = value::key(&text);
        } else {
            self.values.insert(setting.name, text);
        }
        Ok(())
    }

    /// The value that a node would use: the one that was set, else the default. Of `encrypt` only
    /// "set" is told.
    ///
    /// # Errors
    /// `NotFound` for an unknown key and for a tag that is not there.
    pub fn get(&self, key: &str) -> Result<String> {
        let absent = || Error::new(Status::NotFound, format!("{key} is not set"));
        if let Some(tag) = key.strip_prefix("tag.") {
            return self.tags.get(tag).cloned().ok_or_else(absent);
        }
        if let Some(tag) = key.strip_prefix("filter.tag.") {
            return self.filter_tags.get(tag).cloned().ok_or_else(absent);
        }
        let setting = settings::find(key).ok_or_else(|| unknown(key))?;
        if setting.rule == settings::Rule::Key {
            return Ok(self.encrypt.as_ref().map_or("", |_| "set").to_owned());
        }
        Ok(self.effective(setting))
    }

    /// Sets a tag of this node; `None` removes it.
    ///
    /// # Errors
    /// `Invalid` for an empty key, `TooLarge` if the key has more than 255 bytes or all tags
    /// together take more than 512 bytes. Nothing changes then.
    pub fn set_tag(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let mut tags = self.tags.clone();
        put_tag(&mut tags, key, value)?;
        check_tags(&tags)?;
        self.tags = tags;
        Ok(())
    }

    /// Shows only members whose tag `key` has this value; `None` removes the condition.
    ///
    /// # Errors
    /// `Invalid` for an empty key, `TooLarge` for a key or value of more than 255 bytes.
    pub fn set_filter_tag(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let len = value.map_or(0, str::len);
        if len > limits::LABEL_LEN {
            let message = format!("the value of filter.tag.{key} has {len} bytes, allowed are 255");
            return Err(Error::new(Status::TooLarge, message));
        }
        put_tag(&mut self.filter_tags, key, value)
    }

    /// Sets the meta of this node; memberlist mode only.
    ///
    /// # Errors
    /// `TooLarge` for more than 512 bytes.
    pub fn set_meta(&mut self, meta: &[u8]) -> Result<()> {
        let len = meta.len();
        if len > limits::META_LEN {
            let message = format!("meta has {len} bytes, allowed are {}", limits::META_LEN);
            return Err(Error::new(Status::TooLarge, message));
        }
        self.meta = meta.to_vec();
        Ok(())
    }

    /// Adds a key that decrypts. The first one also encrypts, unless `encrypt` is set.
    ///
    /// # Errors
    /// `TooLarge` for more than 64 keys.
    pub fn add_key(&mut self, key: Key) -> Result<()> {
        if self.keys.len() >= KEYS {
            let message = format!("more than {KEYS} keys");
            return Err(Error::new(Status::TooLarge, message));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Everything that `Node::start` would refuse, without starting: settings that do not fit
    /// together, and the keyring file.
    ///
    /// # Errors
    /// `Config`; `Io` for a keyring file that cannot be read.
    pub fn check(&self) -> Result<()> {
        let name = self.name();
        if !value::is_name(&name) {
            let message = format!("name is {}, allowed: {}", shown(&name), settings::NAMES);
            return Err(Error::new(Status::Config, message));
        }
        self.check_order("probe_timeout_ms", "probe_interval_ms", true)?;
        self.check_order("reconnect_min_ms", "reconnect_max_ms", false)?;
        let misplaced = match self.mode() {
            Mode::Serf if !self.meta.is_empty() => Some("raw meta needs mode = memberlist"),
            Mode::Memberlist if !self.tags.is_empty() => Some("tags need mode = serf"),
            Mode::Memberlist if !self.filter_tags.is_empty() => {
                Some("filter.tag needs mode = serf")
            }
            Mode::Serf | Mode::Memberlist => None,
        };
        if let Some(what) = misplaced {
            let message = format!("mode is {}, but {what}", self.text("mode"));
            return Err(Error::new(Status::Config, message));
        }
        self.keyring().map(drop)
    }

    fn check_order(&self, less: &str, more: &str, strictly: bool) -> Result<()> {
        let (low, high) = (self.millis(less), self.millis(more));
        if low < high || (low == high && !strictly) {
            return Ok(());
        }
        let relation = if strictly { "less than" } else { "at most" };
        let message = format!(
            "{less} is {}, allowed is {relation} {more}, which is {}",
            low.as_millis(),
            high.as_millis()
        );
        Err(Error::new(Status::Config, message))
    }

    /// The name of this node: the one that was set, else the host name.
    pub(crate) fn name(&self) -> String {
        match self.values.get("name") {
            Some(name) => name.clone(),
            None => driver::host_name(),
        }
    }
}

fn put_tag(tags: &mut Tags, key: &str, value: Option<&str>) -> Result<()> {
    if key.is_empty() {
        return Err(Error::new(Status::Invalid, "the key of a tag is empty"));
    }
    if key.len() > TAG_KEY_LEN {
        let message = format!("the key of a tag has {} bytes, allowed are 255", key.len());
        return Err(Error::new(Status::TooLarge, message));
    }
    match value {
        Some(value) => tags.insert(key.to_owned(), value.to_owned()),
        None => tags.remove(key),
    };
    Ok(())
}

/// Whether these tags fit on the wire.
fn check_tags(tags: &Tags) -> Result<()> {
    let len = encode_tags(tags).len();
    if len > limits::META_LEN {
        let message = format!(
            "all tags together take {len} bytes, allowed are {}",
            limits::META_LEN
        );
        return Err(Error::new(Status::TooLarge, message));
    }
    Ok(())
}

/// Bytes of a value up to which it is shown whole.
const SHOWN: usize = 80;

fn unknown(key: &str) -> Error {
    let nearest = settings::nearest(key).map(|nearest| format!("; the nearest is \"{nearest}\""));
    let message = format!(
        "there is no setting {}{}",
        shown(key),
        nearest.unwrap_or_default()
    );
    Error::new(Status::NotFound, message)
}

/// A value in a message: quoted, and if it is long its beginning and its size.
fn shown(value: &str) -> String {
    if value.len() <= SHOWN {
        return format!("\"{}\"", readable(value.chars()));
    }
    let beginning = readable(value.chars().take(SHOWN / 2));
    format!("\"{beginning}...\" ({} bytes)", value.len())
}

/// Control characters in words: a message must not do anything to a terminal or a log.
fn readable(text: impl Iterator<Item = char>) -> String {
    let in_words = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.map(in_words).collect()
}

fn refused(setting: &Setting, value: &str, why: &str) -> Error {
    let name = setting.name;
    let shown = if setting.rule == settings::Rule::Key {
        format!("something of {} bytes", value.len()) // a secret stays out of messages
    } else {
        shown(value)
    };
    let colon = if why.is_empty() { "" } else { ": " };
    let message = format!("{name} is {shown}, allowed: {}{colon}{why}", setting.range);
    Error::new(Status::Invalid, message)
}

#[cfg(test)]
mod tests;
