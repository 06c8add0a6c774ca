//! Tests of the settings as a whole.

use super::settings::{FAMILIES, Rule, SETTINGS};
use super::*;
use crate::swim;
use std::time::Duration;

fn with(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

#[test]
fn the_defaults_are_a_config_that_starts() {
    assert_eq!(Config::new().check(), Ok(()));
}

#[test]
fn every_default_in_the_table_is_the_one_in_use() {
    for setting in SETTINGS {
        let used = Config::new().get(setting.name).unwrap();
        if setting.name == "name" {
            assert_eq!(used, driver::host_name());
            continue;
        }
        let mut told = setting.default.split(", ");
        let lan = told.next().unwrap();
        assert_eq!(used, lan, "{}", setting.name);
        let others: Vec<&str> = told.collect();
        for profile in ["wan", "local"] {
            let used = with(&[("profile", profile)]).get(setting.name).unwrap();
            let said = others
                .iter()
                .find_map(|it| it.strip_prefix(profile))
                .map(str::trim);
            if setting.name != "profile" {
                assert_eq!(used, said.unwrap_or(lan), "{} {profile}", setting.name);
            }
        }
    }
}

#[test]
fn every_number_tells_its_range_and_keeps_it() {
    for setting in SETTINGS {
        let Rule::Number(min, max) = setting.rule else {
            continue;
        };
        assert_eq!(setting.range, format!("{min} to {max}"), "{}", setting.name);
        let mut config = Config::new();
        for good in [min, max] {
            config.set(setting.name, &good.to_string()).unwrap();
            assert_eq!(config.get(setting.name).unwrap(), good.to_string());
        }
        let error = config
            .set(setting.name, &(max + 1).to_string())
            .unwrap_err();
        assert_eq!(error.status, Status::Invalid);
        for part in [setting.name, setting.range, &(max + 1).to_string()] {
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}

#[test]
fn names_are_unique_and_every_sentence_ends_with_a_full_stop() {
    for (index, setting) in SETTINGS.iter().chain(FAMILIES).enumerate() {
        let same = |other: &&Setting| other.name == setting.name;
        assert_eq!(
            SETTINGS.iter().chain(FAMILIES).position(|s| same(&s)),
            Some(index)
        );
        assert!(
            setting.help.ends_with('.') && !setting.help.contains("  "),
            "{}",
            setting.name
        );
        assert!(!setting.kind.is_empty() && !setting.range.is_empty());
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    for (wrong, nearest) in [
        ("nmae", "name"),
        ("probe_intervall_ms", "probe_interval_ms"),
        ("gossip_node", "gossip_nodes"),
        ("snapshot_file", "keyring_file"),
        ("Bind", "bind"),
    ] {
        let error = Config::new().set(wrong, "1").unwrap_err();
        assert_eq!(error.status, Status::NotFound);
        if wrong != "snapshot_file" {
            assert!(
                error.message.contains(&format!("\"{nearest}\"")),
                "{}",
                error.message
            );
        }
        assert_eq!(
            Config::new().get(wrong).unwrap_err().status,
            Status::NotFound
        );
    }
}

#[test]
fn a_profile_sets_only_what_was_not_set_whatever_comes_first() {
    for pairs in [
        [("profile", "wan"), ("probe_interval_ms", "1234")],
        [("probe_interval_ms", "1234"), ("profile", "wan")],
    ] {
        let core = with(&pairs).core();
        assert_eq!(core.swim.probe_interval, Duration::from_millis(1234));
        assert_eq!(core.swim.probe_timeout, swim::Config::wan().probe_timeout);
        assert_eq!(core.swim.gossip_nodes, 4);
    }
}

#[test]
fn a_long_value_is_told_by_its_beginning_and_its_size() {
    let refused = |value: &str| Config::new().set("name", value).unwrap_err().message;
    let told = refused(&"ä".repeat(300));
    assert!(told.contains("ää...\" (600 bytes), allowed: "), "{told}");
    assert!(told.len() < 250, "{told}");
    let told = refused("a\u{7}\nb\"ü");
    assert!(told.contains("is \"a\\u{7}\\nb\"ü\", allowed"), "{told}");
    assert!(refused(" web1").contains("no space at the ends"));
}

#[test]
fn a_refused_value_changes_nothing() {
    let mut config = with(&[("bind", "127.0.0.1:99"), ("label", "blue")]);
    assert!(config.set("bind", "localhost:99").is_err());
    assert!(config.set("label", &"x".repeat(256)).is_err());
    assert!(config.set("mode", "consul").is_err());
    assert_eq!(config.get("bind").unwrap(), "127.0.0.1:99");
    assert_eq!(config.get("label").unwrap(), "blue");
    assert_eq!(config.get("mode").unwrap(), "serf");
}

#[test]
fn a_key_is_never_shown() {
    let mut config = with(&[("encrypt", "MDEyMzQ1Njc4OWFiY2RlZg==")]);
    assert_eq!(config.get("encrypt").unwrap(), "set");
    let error = config.set("encrypt", "c2VjcmV0").unwrap_err();
    assert!(!error.message.contains("c2VjcmV0"), "{}", error.message);
    assert_eq!(
        config.keyring().unwrap().keys()[0].as_bytes(),
        b"0123456789abcdef"
    );
    config.set("encrypt", "").unwrap();
    assert!(config.keyring().unwrap().is_empty());
}

#[test]
fn encrypt_comes_before_added_keys_and_no_key_beside_a_keyring_file() {
    let mut config = Config::new();
    config.add_key(Key::new(&[1; 32]).unwrap()).unwrap();
    assert_eq!(config.keyring().unwrap().keys()[0].as_bytes(), [1; 32]);
    config.set("encrypt", "MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
    assert_eq!(
        config.keyring().unwrap().keys()[0].as_bytes(),
        b"0123456789abcdef"
    );
    config.set("keyring_file", "/some/file").unwrap();
    assert_eq!(config.check().unwrap_err().status, Status::Config);
}

#[test]
fn tags_are_bounded_together_and_a_refused_one_changes_nothing() {
    let mut config = with(&[("tag.role", "web")]);
    let error = config.set_tag("big", Some(&"x".repeat(600))).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
    assert!(error.message.contains("512"), "{}", error.message);
    assert_eq!(config.core().tags.len(), 1);
    assert_eq!(
        config.set_tag("", Some("x")).unwrap_err().status,
        Status::Invalid
    );
    config.set_tag("role", None).unwrap();
    assert_eq!(config.get("tag.role").unwrap_err().status, Status::NotFound);
}

#[test]
fn settings_that_do_not_fit_together_are_refused_by_check() {
    for pairs in [
        &[("probe_timeout_ms", "1000")][..],
        &[("reconnect_min_ms", "500"), ("reconnect_max_ms", "499")],
        &[("mode", "memberlist"), ("tag.a", "b")],
        &[("mode", "memberlist"), ("filter.tag.a", "b")],
    ] {
        assert_eq!(
            with(pairs).check().unwrap_err().status,
            Status::Config,
            "{pairs:?}"
        );
    }
    assert_eq!(
        with(&[("reconnect_min_ms", "500"), ("reconnect_max_ms", "500")]).check(),
        Ok(())
    );
    let mut config = Config::new();
    config.set_meta(b"raw").unwrap();
    assert_eq!(config.check().unwrap_err().status, Status::Config);
    config.set("mode", "memberlist").unwrap();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(
        config.set_meta(&[0; 513]).unwrap_err().status,
        Status::TooLarge
    );
}

#[test]
fn lists_reach_the_core() {
    let config = with(&[
        ("cidrs_allowed", "10.0.0.0/8, 127.0.0.0/8"),
        ("filter.names", "web-*,db"),
        ("filter.tag.dc", "1"),
        ("seeds", "10.0.0.1, db:99"),
        ("event_kinds", "member-join,done"),
        ("log_level", "debug"),
    ]);
    let core = config.core();
    assert_eq!(core.swim.cidrs_allowed.len(), 2);
    assert_eq!(core.filter.names, ["web-*", "db"]);
    assert_eq!(
        core.filter.require_tags.get("dc").map(String::as_str),
        Some("1")
    );
    assert_eq!(config.seeds().len(), 2);
    assert_eq!(
        config.event_kinds(),
        [
            crate::event::EventKind::MemberJoin,
            crate::event::EventKind::Done
        ]
    );
    assert_eq!(config.log_level(), Some(crate::event::Level::Debug));
}
