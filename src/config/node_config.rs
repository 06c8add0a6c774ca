//! [`Config`]: the settings of a node, each set from text or by a typed setter.
//!
//! Text is parsed and checked when it is set. A setting that is not set follows the profile, so the
//! profile may be set before or after the others.

use super::setting::{Place, Setting};
use super::table::{defaults_of, find, nearest, settings};
use super::types::{NAMES, Profile, is_name};
use super::value::Word;
use super::values::Settings;
use crate::error::{Error, Result, Status};
use crate::limits;
use crate::printable;
use crate::serf::{Mode, Tags};
#[cfg(feature = "spoe")]
use crate::service::servers::candidate::Rules;
use crate::swim::Seed;
use crate::vocabulary::SettingType;
use crate::wire::Key;
use crate::wire::serf_message::encode_tags;
use crate::wire::wire_name;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The name that Linux has for a host to which nobody has given one.
const UNNAMED_HOST: &str = "(none)";
/// The maximum size in bytes of the key of a tag.
const TAG_KEY_LEN: usize = 255;

/// The settings of a node; [`settings()`] lists them.
///
/// Each setting can be set from text, which is checked immediately, or by a typed setter, whose
/// value is checked when the node starts.
///
/// ```
/// use sprat::{Config, Profile};
/// use std::time::Duration;
///
/// # fn main() -> sprat::Result<()> {
/// let mut config = Config::new()
///     .name("web-1")
///     .bind(([127, 0, 0, 1], 7946))
///     .profile(Profile::Wan)
///     .probe_interval(Duration::from_secs(4))
///     .tag("role", "web");
/// config.set("gossip_nodes", "5")?;
///
/// assert_eq!(config.get("probe_interval_ms")?, "4000");
/// assert_eq!(config.get("probe_timeout_ms")?, "3000"); // from the profile
/// let error = config.set("gossip_nodes", "100").unwrap_err();
/// assert_eq!(error.message, "gossip_nodes is \"100\", allowed: 1 to 64");
/// config.check()
/// # }
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) settings: Settings,
    /// The names of the settings that were set; the others follow the profile.
    given: Vec<&'static str>,
    /// The keys other than that of the setting `encrypt`. The first one encrypts if `encrypt` is
    /// not set.
    pub(super) keys: Vec<Key>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            settings: defaults_of(Profile::default()),
            given: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// Shows the settings that were set, but never a key.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for setting in settings().iter().filter(|it| self.given.contains(&it.name)) {
            if let Some(place) = setting.place {
                map.entry(&setting.name, &(place.write)(&self.settings));
            }
        }
        map.entry(&"tags", &self.settings.core.tags);
        map.entry(&"filter.tags", &self.settings.core.filter.require_tags);
        map.finish()
    }
}

impl Config {
    /// Returns settings that are all at their defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets one setting from text. Space around the value is ignored, except in a name, a label,
    /// the value of a tag and the name of a file, which are taken as they are. The name of a node
    /// must not begin or end with space.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, with the most similar known name if there is one; `Invalid`
    /// for a value that is not allowed, with the name, the value (only its size if it is a key) and
    /// the allowed values; for a tag, the errors of [`Config::set_tag`] or
    /// [`Config::set_filter_tag`]. After an error nothing has changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if let Some(key) = name.strip_prefix("tag.") {
            return self.set_tag(key, Some(value));
        }
        if let Some(key) = name.strip_prefix("filter.tag.") {
            return self.set_filter_tag(key, Some(value));
        }
        let (setting, place) = known(name)?;
        (place.read)(&mut self.settings, setting, value)
            .map_err(|why| refused(setting, value, &why))?;
        self.mark_given(setting);
        Ok(())
    }

    /// Notes that a setting was set. If it is the profile, the settings that were not set get the
    /// defaults of that profile.
    fn mark_given(&mut self, setting: &'static Setting) {
        if !self.given.contains(&setting.name) {
            self.given.push(setting.name);
        }
        if setting.name == "profile" {
            let profile = self.settings.profile;
            let others = settings()
                .iter()
                .filter(|it| !self.given.contains(&it.name));
            for place in others.filter_map(|setting| setting.place) {
                (place.reset)(&mut self.settings, profile);
            }
        }
    }

    /// Puts a typed value in its place.
    pub(super) fn with(mut self, name: &str, put: impl FnOnce(&mut Settings)) -> Config {
        put(&mut self.settings);
        if let Some(setting) = find(name) {
            self.mark_given(setting);
        }
        self
    }

    /// Returns the value that a node would use, as text: the value that was set, or else the
    /// default. The text is empty for a setting that is not set and has no default. The text of a
    /// key in `encrypt` is only "set".
    ///
    /// # Errors
    /// `NotFound` for an unknown name, and for a tag that is not set.
    pub fn get(&self, name: &str) -> Result<String> {
        let absent = || Error::new(Status::NotFound, format!("{name} is not set"));
        if let Some(key) = name.strip_prefix("tag.") {
            return self.settings.core.tags.get(key).cloned().ok_or_else(absent);
        }
        if let Some(key) = name.strip_prefix("filter.tag.") {
            let tags = &self.settings.core.filter.require_tags;
            return tags.get(key).cloned().ok_or_else(absent);
        }
        let (_, place) = known(name)?;
        Ok((place.write)(&self.settings))
    }

    /// Adds a tag of this node. Tags that do not fit are reported by [`Config::check`] and by
    /// [`Node::start`](crate::Node::start).
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Config {
        self.settings.core.tags.insert(key.into(), value.into());
        self
    }

    /// Sets a tag of this node; `None` removes it.
    ///
    /// # Errors
    /// `Invalid` for an empty key, `TooLarge` if the key has more than 255 bytes or all tags
    /// together take more than 512 bytes. After an error nothing has changed.
    pub fn set_tag(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let mut tags = self.settings.core.tags.clone();
        put_tag(&mut tags, key, value)?;
        check_tags(&tags)?;
        self.settings.core.tags = tags;
        Ok(())
    }

    /// Lists and reports only this node and the members whose tag `key` has this value; `None`
    /// removes the condition.
    ///
    /// # Errors
    /// `Invalid` for an empty key, `TooLarge` for a key or value of more than 255 bytes.
    pub fn set_filter_tag(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let len = value.map_or(0, str::len);
        if len > limits::LABEL_LEN {
            let message =
                format!("the value of filter.tag.{key} has {len} bytes, at most 255 are allowed");
            return Err(Error::new(Status::TooLarge, message));
        }
        put_tag(&mut self.settings.core.filter.require_tags, key, value)
    }

    /// Sets the metadata of this node; only in memberlist mode.
    ///
    /// # Errors
    /// `TooLarge` for more than 512 bytes.
    pub fn set_meta(&mut self, meta: &[u8]) -> Result<()> {
        let len = meta.len();
        if len > limits::META_LEN {
            let message = format!(
                "meta has {len} bytes, at most {} are allowed",
                limits::META_LEN
            );
            return Err(Error::new(Status::TooLarge, message));
        }
        self.settings.core.meta = meta.to_vec();
        Ok(())
    }

    /// Checks the settings without starting a node: the bounds of values, settings that contradict
    /// each other, and the keyring file. [`Node::start`](crate::Node::start) does the same first,
    /// and then checks what depends on this host, such as its name and its addresses.
    ///
    /// # Errors
    /// `Config`; `Invalid` or `TooLarge` for tags that are not allowed; `Io` for a keyring file
    /// that cannot be read.
    pub fn check(&self) -> Result<()> {
        self.check_values()?;
        let Settings { core, .. } = &self.settings;
        let (timeout, interval) = (core.swim.probe_timeout, core.swim.probe_interval);
        let (min, max) = (core.swim.reconnect_min, core.swim.reconnect_max);
        if timeout >= interval {
            return Err(misordered(
                ("probe_timeout_ms", timeout),
                "less than",
                ("probe_interval_ms", interval),
            ));
        }
        if min > max {
            return Err(misordered(
                ("reconnect_min_ms", min),
                "at most",
                ("reconnect_max_ms", max),
            ));
        }
        let misplaced = match core.mode {
            Mode::Serf if !core.meta.is_empty() => Some("metadata needs mode = memberlist"),
            Mode::Memberlist if !core.tags.is_empty() => Some("tags need mode = serf"),
            Mode::Memberlist if !core.filter.require_tags.is_empty() => {
                Some("filter.tag needs mode = serf")
            }
            Mode::Serf | Mode::Memberlist => None,
        };
        if let Some(what) = misplaced {
            let message = format!("mode is {}, but {what}", core.mode.word());
            return Err(Error::new(Status::Config, message));
        }
        self.keyring().map(drop)
    }

    /// Checks the values that were set, and the tags, because typed setters do not check them.
    fn check_values(&self) -> Result<()> {
        for name in &self.given {
            let (setting, place) = known(name)?;
            (place.check)(&self.settings, setting).map_err(|why| Error {
                status: Status::Config,
                ..refused(setting, &(place.write)(&self.settings), &why)
            })?;
        }
        let tags = &self.settings.core.tags;
        tags.keys().try_for_each(|key| check_tag_key(key))?;
        check_tags(tags)
    }

    /// Returns the name of a node on this host: the setting `name`, or else the name of the host.
    ///
    /// # Errors
    /// `Config` if `name` is not set and the name of the host cannot be the name of a node.
    pub(crate) fn node_name(&self, host: impl FnOnce() -> Vec<u8>) -> Result<String> {
        let name = &self.settings.name.0;
        if !name.is_empty() {
            return Ok(wire_name::to_text(name.as_bytes()).into_owned());
        }
        let host = host();
        let name = printable::text(&host).into_owned();
        if name.as_bytes() != host || !is_name(&name) || name == UNNAMED_HOST {
            let (name, allowed) = (shown(&name), NAMES);
            let message = format!(
                "name is not set, and the host name is {name}, which cannot be a name: \
                 set a name; allowed: {allowed}"
            );
            return Err(Error::new(Status::Config, message));
        }
        Ok(wire_name::to_text(&host).into_owned())
    }

    /// The number of threads that a node with these settings needs, for
    /// [`PreparedThreads::prepare`](crate::driver::PreparedThreads::prepare). A callback needs one
    /// more thread.
    pub fn threads(&self) -> usize {
        let addrs = self.service_addrs();
        let has_services = addrs.iter().any(|(_, addr)| addr.is_some());
        2 + usize::from(has_services) + usize::from(self.stored_keyring().is_some())
    }

    /// Adds a kind to those that the node queues, unless it queues all kinds.
    #[cfg(feature = "capi")]
    pub(crate) fn queue_kind(&mut self, kind: crate::event::EventKind) {
        let kinds = &mut self.settings.event_kinds;
        if !kinds.is_empty() && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }

    /// The settings that give the addresses of services, and their values. A service is enabled if
    /// it has an address; all services of a node share one thread.
    pub(crate) fn service_addrs(&self) -> [(&'static str, Option<SocketAddr>); 1] {
        [("spoe_bind", self.settings.spoe_bind.0)]
    }

    /// The address to bind.
    pub fn bind_addr(&self) -> SocketAddr {
        self.settings.bind.0
    }

    /// The address at which the node answers SPOE; `None` if SPOE is disabled.
    pub fn spoe_addr(&self) -> Option<SocketAddr> {
        self.settings.spoe_bind.0
    }

    /// The addresses that the node joins at its start.
    pub fn seed_list(&self) -> &[Seed] {
        &self.settings.seeds
    }

    /// The number of events that can wait for a reader.
    pub fn event_queue_len(&self) -> usize {
        self.settings.event_queue
    }

    /// The rules that decide which members are servers for HAProxy, for the bindings.
    #[cfg(all(feature = "spoe", feature = "internals"))]
    pub fn spoe_rules(&self) -> Rules {
        self.server_rules()
    }

    /// The rules that decide which members are servers for HAProxy. They exclude members at
    /// loopback addresses.
    #[cfg(feature = "spoe")]
    pub(crate) fn server_rules(&self) -> Rules {
        let settings = &self.settings;
        let (tag, port) = (&settings.spoe_servers, settings.spoe_port);
        Rules {
            tag: (tag.key.clone(), tag.value.clone()),
            port: (port != 0).then_some(port),
            networks: settings.spoe_networks.clone(),
            ..Rules::default()
        }
    }
}

/// Returns the row of the setting with this name, and the place of its value.
fn known(name: &str) -> Result<(&'static Setting, Place)> {
    let setting = find(name);
    let row = setting.and_then(|setting| Some((setting, setting.place?)));
    row.ok_or_else(|| unknown(name))
}

/// The error for two times in the wrong order: the first is too long compared with the second.
fn misordered(one: (&str, Duration), relation: &str, other: (&str, Duration)) -> Error {
    let message = format!(
        "{} is {}, but must be {relation} {}, which is {}",
        one.0,
        one.1.as_millis(),
        other.0,
        other.1.as_millis()
    );
    Error::new(Status::Config, message)
}

/// Checks that the key of a tag is neither empty nor too long.
///
/// # Errors
/// `Invalid` if it is empty, `TooLarge` if it is too long.
pub(crate) fn check_tag_key(key: &str) -> Result<()> {
    let len = key.len();
    if len == 0 {
        let message = format!("the key of a tag is empty, allowed: 1 to {TAG_KEY_LEN} bytes");
        return Err(Error::new(Status::Invalid, message));
    }
    if len > TAG_KEY_LEN {
        let message = format!("the key of a tag has {len} bytes, allowed: 1 to {TAG_KEY_LEN}");
        return Err(Error::new(Status::TooLarge, message));
    }
    Ok(())
}

/// Sets a tag; `None` removes it.
fn put_tag(tags: &mut Tags, key: &str, value: Option<&str>) -> Result<()> {
    check_tag_key(key)?;
    match value {
        Some(value) => tags.insert(key.to_owned(), value.to_owned()),
        None => tags.remove(key),
    };
    Ok(())
}

/// Checks that the tags fit on the wire.
fn check_tags(tags: &Tags) -> Result<()> {
    let len = encode_tags(tags).len();
    if len > limits::META_LEN {
        let message = format!(
            "all tags together take {len} bytes, at most {} are allowed",
            limits::META_LEN
        );
        return Err(Error::new(Status::TooLarge, message));
    }
    Ok(())
}

/// The maximum size in bytes of a value that is shown whole.
const SHOWN: usize = 80;

/// The error for a name that no setting has.
fn unknown(name: &str) -> Error {
    let nearest = nearest(name).map(|nearest| format!("; the nearest is \"{nearest}\""));
    let (name, nearest) = (shown(name), nearest.unwrap_or_default());
    Error::new(
        Status::NotFound,
        format!("there is no setting {name}{nearest}"),
    )
}

/// A value as error messages show it, in quotes. A long value is cut, and its size is added.
fn shown(value: &str) -> String {
    if value.len() <= SHOWN {
        return format!("\"{value}\"");
    }
    let beginning: String = value.chars().take(SHOWN / 2).collect();
    format!("\"{beginning}...\" ({} bytes)", value.len())
}

/// The error for a value that a setting does not allow.
fn refused(setting: &Setting, value: &str, why: &str) -> Error {
    let shown = match setting.kind {
        SettingType::Base64 => format!("a secret of {} bytes", value.len()),
        _ => shown(value),
    };
    let (name, allowed) = (setting.name, setting.allowed());
    let colon = if why.is_empty() { "" } else { ": " };
    let message = format!("{name} is {shown}, allowed: {allowed}{colon}{why}");
    Error::new(Status::Invalid, message)
}
