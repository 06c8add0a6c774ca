//! The types of values that only settings have: names, labels, addresses, profiles, log levels.

use super::address;
use super::value::{Reason, Value, Word, allow};
use crate::event::Level;
use crate::limits;
use crate::networks;
use crate::vocabulary::SettingType;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Declares types of values that are text: whether space around the text belongs to the value, what
/// is allowed, and the function that checks it.
macro_rules! text_values {
    ($(
        $(#[$attribute:meta])*
        $name:ident { keeps_space: $keeps:literal, allowed: $allowed:expr, check: $check:expr }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name(pub(crate) String);

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name(text)
            }
        }

        impl Value for $name {
            const TYPE: SettingType = SettingType::Text;
            const KEEPS_SPACE: bool = $keeps;

            fn allowed() -> String {
                $allowed
            }

            fn read(text: &str) -> Result<$name, Reason> {
                Ok($name(text.to_owned()))
            }

            fn check(&self) -> Result<(), Reason> {
                let is_allowed: fn(&str) -> bool = $check;
                allow(is_allowed(&self.0))
            }

            fn write(&self) -> String {
                self.0.clone()
            }
        }
    )*};
}

text_values! {
    /// The name of a node; empty stands for the host name.
    NodeName { keeps_space: true, allowed: NAMES.to_owned(), check: is_name }
    /// The label in front of all traffic; empty for no label.
    Label {
        keeps_space: true,
        allowed: format!("at most {} bytes", limits::LABEL_LEN),
        check: |label| label.len() <= limits::LABEL_LEN
    }
    /// The name of the cluster that mDNS looks for; empty if mDNS is disabled.
    Discover {
        keeps_space: false,
        allowed: format!("ASCII letters, digits, \"-\" and \"_\", at most {DISCOVER_LEN}"),
        check: is_cluster
    }
    /// The name of a network interface; empty for every suitable one.
    InterfaceName {
        keeps_space: false,
        allowed: format!(
            "the name of an interface, at most {INTERFACE_LEN} bytes without spaces or slashes"
        ),
        check: is_interface
    }
}

/// A description of the names that [`is_name`] allows.
pub(super) const NAMES: &str = "1 to 255 bytes, no control characters, no space at the ends";

/// Returns true if this is a valid name of a node. Control characters would garble output, and
/// space at the ends would be invisible.
pub(super) fn is_name(name: &str) -> bool {
    (1..=limits::NAME_LEN).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.trim() == name
}

/// The key and the value of a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagPair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl TagPair {
    /// The tag with this key and value.
    pub fn new(key: &str, value: &str) -> TagPair {
        let (key, value) = (key.to_owned(), value.to_owned());
        TagPair { key, value }
    }
}

impl Value for TagPair {
    const TYPE: SettingType = SettingType::Text;

    fn allowed() -> String {
        "KEY=VALUE".to_owned()
    }

    fn read(text: &str) -> Result<TagPair, Reason> {
        let (key, value) = text.split_once('=').ok_or_else(Reason::new)?;
        Ok(TagPair::new(key, value))
    }

    fn check(&self) -> Result<(), Reason> {
        allow(!self.key.is_empty())
    }

    fn write(&self) -> String {
        format!("{}={}", self.key, self.value)
    }
}

/// The address that a node binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bind(pub(crate) SocketAddr);

impl Default for Bind {
    fn default() -> Bind {
        Bind((Ipv4Addr::UNSPECIFIED, address::PORT).into())
    }
}

impl From<SocketAddr> for Bind {
    fn from(addr: SocketAddr) -> Bind {
        Bind(addr)
    }
}

impl Value for Bind {
    const TYPE: SettingType = SettingType::Address;

    fn allowed() -> String {
        "IP address (not a host name) with an optional port, as IPv4:PORT or [IPv6]:PORT; \
         port 0 means any free port"
            .to_owned()
    }

    fn read(text: &str) -> Result<Bind, Reason> {
        address::bind(text)
            .map(Bind)
            .ok_or_else(|| unreadable(text))
    }

    fn check(&self) -> Result<(), Reason> {
        allow_reachable(Some(self.0.ip()))
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// The address at which the other members reach this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// The IP address.
    pub ip: IpAddr,
    /// The port; `None` stands for the bound port.
    pub port: Option<u16>,
}

/// An IPv4 address written as an IPv6 one, such as `::ffff:10.0.0.1`, becomes an IPv4 address: the
/// other members know the node by that.
impl From<IpAddr> for Advertise {
    fn from(ip: IpAddr) -> Advertise {
        let ip = ip.to_canonical();
        Advertise { ip, port: None }
    }
}

impl From<SocketAddr> for Advertise {
    fn from(addr: SocketAddr) -> Advertise {
        let port = Some(addr.port());
        Advertise {
            port,
            ..Advertise::from(addr.ip())
        }
    }
}

impl Value for Advertise {
    const TYPE: SettingType = SettingType::Address;

    fn allowed() -> String {
        "IP address that others can reach, with an optional port from 1 to 65535".to_owned()
    }

    fn read(text: &str) -> Result<Advertise, Reason> {
        let (ip, port) = address::literal(text).ok_or_else(|| unreadable(text))?;
        Ok(Advertise { ip, port })
    }

    fn check(&self) -> Result<(), Reason> {
        if let Some(why) = networks::unreachable(self.ip) {
            return Err(why.to_owned());
        }
        allow(self.port != Some(0))
    }

    fn write(&self) -> String {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).to_string(),
            None => self.ip.to_string(),
        }
    }
}

/// The length of the longest name of a cluster in bytes: with `_serf_` in front of it, it must fit
/// into a DNS label, which has at most 63 bytes.
const DISCOVER_LEN: usize = 57;

/// Returns true if the name of a cluster can be a part of a DNS label.
fn is_cluster(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    name.len() <= DISCOVER_LEN && name.bytes().all(is_allowed)
}

/// The length of the longest name of an interface in bytes, as Linux defines it.
const INTERFACE_LEN: usize = 15;

/// Returns true if Linux could give an interface this name.
fn is_interface(name: &str) -> bool {
    let is_foreign = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    name.len() <= INTERFACE_LEN && !name.contains(is_foreign)
}

/// The address at which a service listens; `None` if the service is disabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) Option<SocketAddr>);

impl From<SocketAddr> for Listen {
    fn from(addr: SocketAddr) -> Listen {
        Listen(Some(addr))
    }
}

impl Value for Listen {
    const TYPE: SettingType = SettingType::Address;

    fn allowed() -> String {
        "IPv4:PORT or [IPv6]:PORT".to_owned()
    }

    fn read(text: &str) -> Result<Listen, Reason> {
        if text.is_empty() {
            return Ok(Listen(None));
        }
        match address::literal(text) {
            Some((ip, Some(port))) => Ok(SocketAddr::new(ip, port).into()),
            Some((_, None)) | None => Err(unreadable(text)),
        }
    }

    fn check(&self) -> Result<(), Reason> {
        allow_reachable(self.0.map(|addr| addr.ip()))?;
        allow(self.0.is_none_or(|addr| addr.port() != 0))
    }

    fn write(&self) -> String {
        self.0.map(|addr| addr.to_string()).unwrap_or_default()
    }
}

/// A set of defaults for the settings that are times or numbers. The names of the profiles are
/// those of memberlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// For hosts in one local network.
    #[default]
    Lan,
    /// For hosts that are far from each other.
    Wan,
    /// For nodes on one host.
    Local,
}

impl Profile {
    /// Every profile, in the order of the columns in the table of settings.
    pub const ALL: [Profile; 3] = [Profile::Lan, Profile::Wan, Profile::Local];

    /// The name of the profile, as the setting `profile` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Local => "local",
        }
    }
}

impl Word for Profile {
    const ALL: &'static [Profile] = &Profile::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

/// The level up to which log lines become events; `None` if no line becomes an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) Option<Level>);

impl LogLevel {
    pub(super) const OFF: LogLevel = LogLevel(None);
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> LogLevel {
        LogLevel(Some(level))
    }
}

impl Word for LogLevel {
    const ALL: &'static [LogLevel] = &{
        let mut all = [LogLevel::OFF; 1 + Level::ALL.len()];
        let mut at = 0;
        while at < Level::ALL.len() {
            all[at + 1] = LogLevel(Some(Level::ALL[at]));
            at += 1;
        }
        all
    };

    fn word(self) -> &'static str {
        self.0.map_or("off", Level::name)
    }
}

/// Returns the reason why a text is not the address that a setting needs; empty if the text is
/// simply not an address.
fn unreadable(text: &str) -> Reason {
    match text.contains('%') {
        true => address::ZONE.to_owned(),
        false => address::lacks_brackets(text).unwrap_or_default(),
    }
}

/// Allows an unspecified address, and any other address that [`networks::unreachable`] does not
/// refuse.
fn allow_reachable(ip: Option<IpAddr>) -> Result<(), Reason> {
    let ip = ip.filter(|ip| !ip.is_unspecified());
    match ip.and_then(networks::unreachable) {
        Some(why) => Err(why.to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::read_value;

    fn normal<T: Value>(text: &str) -> Result<String, Reason> {
        Ok(read_value::<T>(text)?.write())
    }

    #[test]
    fn an_advertised_address_must_be_one_that_can_be_reached() {
        for (text, written) in [("1.2.3.4", "1.2.3.4"), ("[::1]:9", "[::1]:9")] {
            assert_eq!(normal::<Advertise>(text).as_deref(), Ok(written));
        }
        for text in ["1.2.3.4:0", "host"] {
            assert_eq!(normal::<Advertise>(text), Err(String::new()), "{text}");
        }
        for (text, reason) in [
            ("0.0.0.0", "any"),
            ("[::]:1", "any"),
            ("224.0.0.1", "no single node"),
            ("255.255.255.255", "no single node"),
            ("0.0.0.1", "reserved"),
            ("fe80::1", "link-local"),
            ("[fe80::1%1]:9", "zone"),
            ("fe80::1%eth0", "zone"),
        ] {
            let error = normal::<Advertise>(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            let listens = normal::<Bind>(text).is_ok();
            assert_eq!(listens, reason == "any", "{text}");
        }
    }

    #[test]
    fn a_service_listens_only_where_a_port_is_named() {
        assert_eq!(normal::<Listen>("[::1]:9").as_deref(), Ok("[::1]:9"));
        assert_eq!(normal::<Listen>("").as_deref(), Ok(""));
        for text in ["1.2.3.4", "1.2.3.4:0", ":9", "host:9"] {
            assert_eq!(normal::<Listen>(text), Err(String::new()), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_cluster_fits_into_a_dns_label() {
        let longest = "x".repeat(57);
        for name in ["", "prod", "Prod-1_b", &longest] {
            assert_eq!(normal::<Discover>(name).as_deref(), Ok(name));
        }
        let too_long = "x".repeat(58);
        for name in ["a.b", "a b", "ü", "a\\", &too_long] {
            assert_eq!(normal::<Discover>(name), Err(String::new()), "{name}");
        }
        for (name, good) in [
            ("eth0", true),
            ("br-0.5", true),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(normal::<InterfaceName>(name).is_ok(), good, "{name}");
        }
        assert!(normal::<InterfaceName>("a-name-that-has-16").is_err());
    }

    #[test]
    fn names_are_bounded_and_hold_no_control_characters() {
        for (name, good) in [
            ("a", true),
            ("", false),
            ("a\nb", false),
            ("knoten-ü", true),
            ("a b", true),
            (" a", false),
            ("a ", false),
        ] {
            assert_eq!(is_name(name), good, "{name:?}");
        }
        assert!(is_name(&"n".repeat(255)) && !is_name(&"n".repeat(256)));
    }
}
