//! The types of the settings: how the text of a value is read, checked and written.
//!
//! A [`Value`] defines its form as text. Reading and checking are separate steps, because a value
//! from a typed setter is only checked. A list is a [`Value`] whose [`Element`]s are separated by
//! commas, a [`Word`] is one of a few names, and an [`Amount`] is a whole number, whose bounds are
//! in the table of settings.

use super::address;
use crate::event::EventKind;
use crate::limits;
use crate::serf::Mode;
use crate::swim::Seed;
use crate::vocabulary::SettingType;
use crate::wire::Key;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The largest number of elements in one list.
const ELEMENTS: usize = 4096;

/// The reason why a value is refused; empty if the description of the allowed values is enough.
pub(super) type Reason = String;

/// A type that a setting can have.
pub(super) trait Value: Sized {
    const TYPE: SettingType;
    /// True if space around the text belongs to the value.
    const KEEPS_SPACE: bool = false;
    /// Describes the allowed values, for documentation and errors.
    fn allowed() -> String;
    /// Reads the value from text, without calling [`Value::check`].
    fn read(text: &str) -> Result<Self, Reason>;
    /// Checks that a value is allowed, after it was read or given by a typed setter.
    fn check(&self) -> Result<(), Reason> {
        Ok(())
    }
    /// Writes the value as text that [`Value::read`] can read, unless the value is a secret.
    fn write(&self) -> String;
}

/// Returns `Ok` if `allowed` is true, and otherwise a refusal without a further reason.
pub(super) fn allow(allowed: bool) -> Result<(), Reason> {
    if allowed { Ok(()) } else { Err(Reason::new()) }
}

/// The value of a setting that may be absent. Empty text means that it is absent.
impl<T: Value> Value for Option<T> {
    const TYPE: SettingType = T::TYPE;
    const KEEPS_SPACE: bool = T::KEEPS_SPACE;

    fn allowed() -> String {
        T::allowed()
    }

    fn read(text: &str) -> Result<Self, Reason> {
        (!text.is_empty()).then(|| T::read(text)).transpose()
    }

    fn check(&self) -> Result<(), Reason> {
        self.as_ref().map_or(Ok(()), T::check)
    }

    fn write(&self) -> String {
        self.as_ref().map(T::write).unwrap_or_default()
    }
}

impl Value for bool {
    const TYPE: SettingType = SettingType::Boolean;

    fn allowed() -> String {
        "true or false".to_owned()
    }

    fn read(text: &str) -> Result<bool, Reason> {
        match text {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(Reason::new()),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const TYPE: SettingType = SettingType::File;
    const KEEPS_SPACE: bool = true;

    fn allowed() -> String {
        "the path of a file".to_owned()
    }

    fn read(text: &str) -> Result<PathBuf, Reason> {
        Ok(PathBuf::from(text))
    }

    fn write(&self) -> String {
        self.display().to_string()
    }
}

/// The key is never written: its text is "set".
impl Value for Key {
    const TYPE: SettingType = SettingType::Base64;

    fn allowed() -> String {
        "base64 of 16, 24 or 32 bytes".to_owned()
    }

    fn read(text: &str) -> Result<Key, Reason> {
        Key::from_base64(text).ok_or_else(Reason::new)
    }

    fn write(&self) -> String {
        "set".to_owned()
    }
}

/// A whole number, such as a count or a time in milliseconds.
pub(super) trait Amount {
    const TYPE: SettingType = SettingType::Number;
    fn from_number(number: u64) -> Self;
    fn number(&self) -> u64;
}

/// A time is checked and written in whole milliseconds, without the fraction of a millisecond.
impl Amount for Duration {
    const TYPE: SettingType = SettingType::Milliseconds;

    fn from_number(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn number(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Implements [`Amount`] for integers. The bounds of each setting fit into its type, so the
/// conversions lose nothing.
macro_rules! amounts {
    ($($number:ty)*) => { $(
        impl Amount for $number {
            fn from_number(number: u64) -> $number {
                <$number>::try_from(number).unwrap_or(<$number>::MAX)
            }

            fn number(&self) -> u64 {
                *self as u64
            }
        }
    )* };
}

amounts! { u16 u32 usize }

/// A value that is one of a few words.
pub(super) trait Word: Copy + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
}

impl<T: Word> Value for T {
    const TYPE: SettingType = SettingType::Word;

    fn allowed() -> String {
        let words: Vec<&str> = T::ALL.iter().map(|value| value.word()).collect();
        match words.split_last() {
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn read(text: &str) -> Result<T, Reason> {
        let mut all = T::ALL.iter().copied();
        all.find(|value| value.word() == text)
            .ok_or_else(Reason::new)
    }

    fn write(&self) -> String {
        self.word().to_owned()
    }
}

impl Word for Mode {
    const ALL: &'static [Mode] = &[Mode::Serf, Mode::Memberlist];

    fn word(self) -> &'static str {
        match self {
            Mode::Serf => "serf",
            Mode::Memberlist => "memberlist",
        }
    }
}

/// A value that can be an element of a list.
pub(super) trait Element: Sized {
    const TYPE: SettingType;
    /// Describes the allowed elements, as the beginning of "..., separated by commas".
    fn allowed() -> String;
    fn read(text: &str) -> Result<Self, Reason>;
    fn write(&self) -> String;
}

impl<T: Element> Value for Vec<T> {
    const TYPE: SettingType = T::TYPE;

    fn allowed() -> String {
        format!("{}, separated by commas", T::allowed())
    }

    fn read(text: &str) -> Result<Vec<T>, Reason> {
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        // One element more than allowed is read, so that `check` can refuse the list.
        parts.take(ELEMENTS + 1).map(T::read).collect()
    }

    fn check(&self) -> Result<(), Reason> {
        if self.len() > ELEMENTS {
            return Err(format!("more than {ELEMENTS} elements"));
        }
        // A list from a typed setter may have elements that `Element::read` would refuse.
        let read_back = |element: &T| T::read(&element.write()).map(drop);
        self.iter().try_for_each(read_back)
    }

    fn write(&self) -> String {
        let parts: Vec<String> = self.iter().map(T::write).collect();
        parts.join(",")
    }
}

impl Element for Seed {
    const TYPE: SettingType = SettingType::Addresses;

    fn allowed() -> String {
        "HOST or HOST:PORT".to_owned()
    }

    fn read(text: &str) -> Result<Seed, Reason> {
        address::target(text).map_err(|error| error.message)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// A network. An address without a prefix length is the network of that one address.
impl Element for IpNet {
    const TYPE: SettingType = SettingType::Networks;

    fn allowed() -> String {
        "CIDR networks".to_owned()
    }

    fn read(text: &str) -> Result<IpNet, Reason> {
        let whole = text.parse::<IpNet>().ok();
        let network = whole.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.ok_or_else(|| format!("\"{text}\" is not a network"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Element for EventKind {
    const TYPE: SettingType = SettingType::Words;

    fn allowed() -> String {
        let always = [EventKind::Overflow, EventKind::Fatal];
        let kinds = EventKind::ALL.iter().filter(|kind| !always.contains(kind));
        let names: Vec<&str> = kinds.map(|kind| kind.name()).collect();
        names.join(", ")
    }

    fn read(text: &str) -> Result<EventKind, Reason> {
        EventKind::from_name(text).ok_or_else(|| format!("\"{text}\" is not a kind of event"))
    }

    fn write(&self) -> String {
        self.name().to_owned()
    }
}

/// A pattern for names.
impl Element for String {
    const TYPE: SettingType = SettingType::Patterns;

    fn allowed() -> String {
        "patterns with * and ?".to_owned()
    }

    fn read(text: &str) -> Result<String, Reason> {
        if text.len() > limits::NAME_LEN {
            let longest = limits::NAME_LEN;
            return Err(format!("a pattern has more than {longest} bytes"));
        }
        if text.trim().is_empty() || text.contains(',') {
            return Err(format!("\"{text}\" is not a pattern"));
        }
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::read_value;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn normal<T: Value>(text: &str) -> Result<String, Reason> {
        Ok(read_value::<T>(text)?.write())
    }

    #[test]
    fn a_boolean_has_four_words_for_each_value() {
        for text in ["true", "yes", "on", "1"] {
            assert_eq!(normal::<bool>(text).as_deref(), Ok("true"));
        }
        for text in ["false", "no", "off", "0"] {
            assert_eq!(normal::<bool>(text).as_deref(), Ok("false"));
        }
        assert!(normal::<bool>("TRUE?").is_err());
    }

    #[test]
    fn keys_have_16_24_or_32_bytes_and_are_never_written() {
        for (bytes, good) in [(15, false), (16, true), (24, true), (31, false), (32, true)] {
            let text = STANDARD.encode(vec![7u8; bytes]);
            assert_eq!(normal::<Key>(&text).is_ok(), good, "{bytes}");
        }
        assert_eq!(normal::<Key>("not base64!"), Err(String::new()));
        for text in ["{}\n", "\r\n{}\r\n\n"] {
            let text = text.replace("{}", &STANDARD.encode([7u8; 16]));
            assert!(<Key as Value>::read(&text) == Ok(Key::new(&[7; 16]).unwrap()));
        }
        assert!(<Key as Value>::read("BwcH\nBwcHBwcHBwcHBwcHBw==").is_ok());
        assert!(<Key as Value>::read(" BwcHBwcHBwcHBwcHBwcHBw==").is_err());
        let key = Key::new(&[7; 16]);
        assert_eq!(key.write(), "set");
        assert_eq!(None::<Key>.write(), "");
    }

    #[test]
    fn a_wrong_element_of_a_list_is_named() {
        let error = normal::<Vec<IpNet>>("10.0.0.0/8, 10.0.0.0/33").unwrap_err();
        assert_eq!(error, "\"10.0.0.0/33\" is not a network");
        let error = normal::<Vec<EventKind>>("member-join,member-explode").unwrap_err();
        assert_eq!(error, "\"member-explode\" is not a kind of event");
    }

    #[test]
    fn a_list_holds_at_most_4096_elements() {
        let list = |count| vec!["10.0.0.1"; count].join(",");
        assert!(normal::<Vec<Seed>>(&list(4096)).is_ok());
        let error = normal::<Vec<Seed>>(&list(4097)).unwrap_err();
        assert_eq!(error, "more than 4096 elements");
    }

    #[test]
    fn a_network_may_be_one_address() {
        let networks = normal::<Vec<IpNet>>;
        assert_eq!(networks("10.1.2.3").as_deref(), Ok("10.1.2.3/32"));
        let list = networks(" ::1 ,, 10.0.0.0/8");
        assert_eq!(list.as_deref(), Ok("::1/128,10.0.0.0/8"));
    }
}
