//! Whether the text of one value is allowed, and its one normal form.

use super::address;
use super::settings::Rule;
use crate::event::EventKind;
use crate::limits;
use crate::wire::Key;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use std::net::IpAddr;

/// Elements of one list.
const ELEMENTS: usize = 4096;

impl Rule {
    /// The value without the space around it, where that cannot be meant.
    pub fn bare(self, value: &str) -> &str {
        match self {
            Rule::Name | Rule::Path | Rule::Label => value,
            Rule::Number(..)
            | Rule::Flag
            | Rule::Word(_)
            | Rule::Bind
            | Rule::Advertise
            | Rule::Listen
            | Rule::Pair
            | Rule::Key
            | Rule::Targets
            | Rule::Networks
            | Rule::Kinds
            | Rule::Patterns => value.trim(),
        }
    }
}

/// The normal form of a value, or what is wrong with it; an empty reason if that is plain.
pub(super) fn normal(rule: Rule, value: &str) -> Result<String, String> {
    let found = match rule {
        Rule::Number(min, max) => {
            let number = value
                .parse::<u64>()
                .ok()
                .filter(|n| (min..=max).contains(n));
            number.map(|n| n.to_string())
        }
        Rule::Flag => flag(value).map(|flag| flag.to_string()),
        Rule::Word(words) => words.contains(&value).then(|| value.to_owned()),
        Rule::Name => is_name(value).then(|| value.to_owned()),
        Rule::Bind => optional(value, |v| address::bind(v).map(|addr| addr.to_string())),
        Rule::Advertise => optional(value, |v| {
            address::advertise(v).map(|(ip, port)| match port {
                Some(port) => std::net::SocketAddr::new(ip, port).to_string(),
                None => ip.to_string(),
            })
        }),
        Rule::Listen => optional(value, |v| address::listen(v).map(|addr| addr.to_string())),
        Rule::Pair => pair(value).map(|_| value.to_owned()),
        Rule::Key => optional(value, |v| key(v).map(|_| v.to_owned())),
        Rule::Path => Some(value.to_owned()),
        Rule::Label => (value.len() <= limits::LABEL_LEN).then(|| value.to_owned()),
        Rule::Targets => {
            let seeds = address::targets(value).map_err(|error| error.message)?;
            let written: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            Some(written.join(","))
        }
        Rule::Networks => joined(value, |part| network(part).map(|net| net.to_string()))?,
        Rule::Kinds => joined(value, |part| {
            EventKind::from_name(part).map(|kind| kind.name().to_owned())
        })?,
        Rule::Patterns => joined(value, |part| {
            (part.len() <= limits::NAME_LEN).then(|| part.to_owned())
        })?,
    };
    found.ok_or_else(String::new)
}

fn optional(value: &str, read: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    if value.is_empty() {
        return Some(String::new());
    }
    read(value)
}

/// KEY=VALUE.
pub(super) fn pair(value: &str) -> Option<(&str, &str)> {
    value.split_once('=').filter(|(key, _)| !key.is_empty())
}

/// The elements of a list that is separated by commas.
pub(super) fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn joined(list: &str, read: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let mut parts = Vec::new();
    for part in elements(list) {
        parts.push(read(part).ok_or_else(|| format!("\"{part}\" is none"))?);
        if parts.len() > ELEMENTS {
            return Err(format!("more than {ELEMENTS} elements"));
        }
    }
    Ok(Some(parts.join(",")))
}

/// true or false, in the words that people use.
pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A name that every member can carry: no control characters, which would garble what people read,
/// and no space at its ends, which nobody sees.
pub(super) fn is_name(value: &str) -> bool {
    (1..=limits::NAME_LEN).contains(&value.len())
        && !value.chars().any(char::is_control)
        && value.trim() == value
}

/// A key written as base64.
pub(super) fn key(value: &str) -> Option<Key> {
    let mut bytes = STANDARD.decode(value).ok()?;
    let key = Key::new(&bytes);
    zeroize::Zeroize::zeroize(&mut bytes);
    key
}

/// A network, or one address alone.
pub(super) fn network(value: &str) -> Option<IpNet> {
    let whole = value.parse::<IpNet>().ok();
    whole.or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_accepted_up_to_both_ends_of_their_range() {
        let rule = Rule::Number(10, 20);
        for (value, normal_form) in [("10", "10"), ("20", "20"), ("015", "15")] {
            assert_eq!(normal(rule, value).as_deref(), Ok(normal_form));
        }
        for value in ["9", "21", "-1", "", "1e1", "10ms", "99999999999999999999"] {
            assert!(normal(rule, value).is_err(), "{value}");
        }
    }

    #[test]
    fn flags_understand_four_words_each() {
        for value in ["true", "yes", "on", "1"] {
            assert_eq!(normal(Rule::Flag, value).as_deref(), Ok("true"));
        }
        for value in ["false", "no", "off", "0"] {
            assert_eq!(normal(Rule::Flag, value).as_deref(), Ok("false"));
        }
        assert!(normal(Rule::Flag, "TRUE?").is_err());
    }

    #[test]
    fn keys_have_16_24_or_32_bytes() {
        for (bytes, good) in [(15, false), (16, true), (24, true), (31, false), (32, true)] {
            let text = STANDARD.encode(vec![7u8; bytes]);
            assert_eq!(normal(Rule::Key, &text).is_ok(), good, "{bytes}");
        }
        assert!(normal(Rule::Key, "not base64!").is_err());
    }

    #[test]
    fn a_wrong_element_of_a_list_is_named() {
        let error = normal(Rule::Networks, "10.0.0.0/8, 10.0.0.0/33").unwrap_err();
        assert!(error.contains("10.0.0.0/33"));
        let error = normal(Rule::Kinds, "member-join,member-explode").unwrap_err();
        assert!(error.contains("member-explode"));
    }

    #[test]
    fn a_network_may_be_one_address() {
        assert_eq!(
            normal(Rule::Networks, "10.1.2.3").as_deref(),
            Ok("10.1.2.3/32")
        );
        assert_eq!(
            normal(Rule::Networks, " ::1 ,, 10.0.0.0/8").as_deref(),
            Ok("::1/128,10.0.0.0/8")
        );
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
