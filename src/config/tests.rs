//! Tests of the settings as a whole.

use super::node_config::Config;
use super::table::{defaults_of, find, settings};
use super::types::{Profile, TagPair};
use super::values::Settings;
use crate::error::Status;
use crate::event::{EventKind, Level};
use crate::serf::{self, Mode};
use crate::swim::Seed;
use crate::wire::Key;
use ipnet::IpNet;
use std::time::Duration;

fn with(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

#[test]
fn the_defaults_pass_the_check() {
    assert_eq!(Config::new().check(), Ok(()));
}

#[test]
fn the_defaults_of_the_core_are_those_of_profile_lan() {
    let defaults = defaults_of(Profile::Lan).core;
    assert_eq!(
        format!("{defaults:?}"),
        format!("{:?}", serf::Config::default())
    );
}

#[test]
fn each_profile_has_its_column_of_the_table() {
    for (profile, interval, timeout, nodes) in [
        ("lan", "1000", "500", "3"),
        ("wan", "5000", "3000", "4"),
        ("local", "1000", "200", "3"),
    ] {
        let config = with(&[("profile", profile)]);
        assert_eq!(config.get("probe_interval_ms").unwrap(), interval);
        assert_eq!(config.get("probe_timeout_ms").unwrap(), timeout);
        assert_eq!(config.get("gossip_nodes").unwrap(), nodes);
    }
}

#[test]
fn defaults_are_listed_for_each_profile_that_differs() {
    let defaults = |name| find(name).unwrap().defaults();
    assert_eq!(defaults("probe_timeout_ms"), "500, wan 3000, local 200");
    assert_eq!(defaults("gossip_nodes"), "3, wan 4");
    assert_eq!(defaults("stream_pings"), "true");
    assert_eq!(defaults("profile"), "lan");
    assert_eq!(defaults("spoe_servers"), "role=backend");
    assert_eq!(defaults("seeds"), "");
    assert_eq!(defaults("tag.role"), "");
}

#[test]
fn every_numeric_setting_reports_and_enforces_its_range() {
    for setting in settings() {
        let Some(range) = &setting.range else {
            continue;
        };
        let (min, max) = (*range.start(), *range.end());
        assert_eq!(setting.allowed(), format!("{min} to {max}"));
        let mut config = Config::new();
        for good in [min, max] {
            config.set(setting.name, &format!(" 0{good} ")).unwrap();
            assert_eq!(config.get(setting.name).unwrap(), good.to_string());
        }
        for wrong in [format!("{}", max + 1), "-1".into(), "".into(), "1e1".into()] {
            let error = config.set(setting.name, &wrong).unwrap_err();
            assert_eq!(error.status, Status::Invalid);
            let expected = format!("{} is \"{wrong}\", allowed: {min} to {max}", setting.name);
            assert_eq!(error.message, expected);
        }
    }
}

#[test]
fn names_are_unique_and_every_sentence_ends_with_a_full_stop() {
    for (index, setting) in settings().iter().enumerate() {
        let found = settings().iter().position(|it| it.name == setting.name);
        assert_eq!(found, Some(index));
        assert!(
            setting.help.ends_with('.') && !setting.help.contains("  "),
            "{}",
            setting.name
        );
        assert!(!setting.allowed().is_empty());
    }
}

#[test]
fn a_typed_value_is_the_same_as_its_text() {
    let typed = Config::new()
        .name("a")
        .bind(([127, 0, 0, 1], 99))
        .advertise("::ffff:10.0.0.1".parse::<std::net::IpAddr>().unwrap())
        .profile(Profile::Wan)
        .mode(Mode::Memberlist)
        .probe_interval(Duration::from_secs(2))
        .seeds([Seed::Host("db".into(), 99)])
        .event_queue(64_usize)
        .compression(false)
        .cidrs_allowed(["10.0.0.0/8".parse::<IpNet>().unwrap()])
        .spoe_servers(TagPair::new("role", "web"))
        .log_level(Level::Debug);
    let text = with(&[
        ("name", "a"),
        ("bind", "127.0.0.1:99"),
        ("advertise", "10.0.0.1"),
        ("profile", "wan"),
        ("mode", "memberlist"),
        ("probe_interval_ms", "2000"),
        ("seeds", "db:99"),
        ("event_queue", "64"),
        ("compression", "no"),
        ("cidrs_allowed", "10.0.0.0/8"),
        ("spoe_servers", "role=web"),
        ("log_level", "debug"),
    ]);
    assert_eq!(format!("{typed:?}"), format!("{text:?}"));
    for setting in settings().iter().filter(|setting| setting.place.is_some()) {
        let value = |config: &Config| config.get(setting.name).unwrap();
        assert_eq!(value(&typed), value(&text));
    }
}

#[test]
fn a_typed_value_outside_its_bounds_is_refused_by_check() {
    for (config, expected) in [
        (
            Config::new().probe_interval(Duration::from_secs(601)),
            "probe_interval_ms is \"601000\", allowed: 10 to 600000",
        ),
        (
            Config::new().name(" a"),
            "name is \" a\", allowed: 1 to 255 bytes, no control characters, no space at the ends",
        ),
        (
            Config::new().event_queue(15_usize),
            "event_queue is \"15\", allowed: 16 to 1048576",
        ),
    ] {
        let error = config.check().unwrap_err();
        assert_eq!((error.status, &*error.message), (Status::Config, expected));
    }
}

#[test]
fn a_name_that_is_not_set_is_that_of_the_host() {
    let name = |config: &Config, host: &str| config.node_name(|| host.as_bytes().to_vec());
    assert_eq!(name(&Config::new(), "web-1"), Ok("web-1".to_owned()));
    assert_eq!(name(&Config::new().name("a"), "web-1"), Ok("a".to_owned()));
    assert_eq!(Config::new().get("name"), Ok(String::new()));
    for (host, shown) in [
        (&b""[..], "\"\""),
        (b"web\xff", r"web\xff"),
        (b"a\nb", ""),
        (b"(none)", "(none)"),
    ] {
        let error = Config::new().node_name(|| host.to_vec()).unwrap_err();
        assert_eq!(error.status, Status::Config);
        assert!(error.message.contains(shown), "{error}");
        assert!(error.message.contains("set a name"), "{error}");
    }
}

#[test]
fn the_error_for_an_unknown_setting_names_the_nearest_known_one() {
    for (wrong, nearest) in [
        ("nmae", "name"),
        ("probe_intervall_ms", "probe_interval_ms"),
        ("gossip_node", "gossip_nodes"),
        ("Bind", "bind"),
    ] {
        let error = Config::new().set(wrong, "1").unwrap_err();
        assert_eq!(error.status, Status::NotFound);
        assert!(
            error.message.contains(&format!("\"{nearest}\"")),
            "{}",
            error.message
        );
        assert_eq!(
            Config::new().get(wrong).unwrap_err().status,
            Status::NotFound
        );
    }
}

#[test]
fn a_profile_changes_no_setting_that_was_set_before_or_is_set_after_it() {
    for pairs in [
        [("profile", "wan"), ("probe_interval_ms", "1234")],
        [("probe_interval_ms", "1234"), ("profile", "wan")],
    ] {
        let swim = with(&pairs).settings.core.swim;
        assert_eq!(swim.probe_interval, Duration::from_millis(1234));
        assert_eq!(swim.probe_timeout, Duration::from_secs(3));
        assert_eq!(swim.gossip_nodes, 4);
    }
}

#[test]
fn a_long_value_is_shown_by_its_beginning_and_its_size() {
    let refused = |value: &str| Config::new().set("name", value).unwrap_err().message;
    let message = refused(&"ä".repeat(300));
    assert!(
        message.contains("ää...\" (600 bytes), allowed: "),
        "{message}"
    );
    assert!(message.len() < 250, "{message}");
    let message = refused("a\u{7}\nb\"ü");
    assert!(
        message.contains("is \"a\\x07\\x0ab\"ü\", allowed"),
        "{message}"
    );
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
fn encrypt_comes_before_added_keys_and_excludes_a_keyring_file() {
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
fn a_node_has_at_most_64_keys_wherever_they_come_from() {
    let key = "MDEyMzQ1Njc4OWFiY2RlZg==";
    let add = |config: &mut Config, byte| config.add_key(Key::new(&[byte; 32]).unwrap());
    let mut config = with(&[("encrypt", key)]);
    (1..64).for_each(|byte| add(&mut config, byte).unwrap());
    assert_eq!(config.keyring().unwrap().keys().len(), 64);
    let error = add(&mut config, 64).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
    assert_eq!(error.message, "65 keys are given, at most 64 are allowed");
    config.set("encrypt", "").unwrap();
    add(&mut config, 64).unwrap();
    config.set("encrypt", key).unwrap();
    assert_eq!(config.check().unwrap_err().status, Status::Config);

    let name = format!("sprat-{}-many-keys", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut config = Config::new();
    config.settings.keyring_file = Some(path.clone());
    let checked = |keys: usize| {
        let text = vec![format!("\"{key}\""); keys].join(",");
        std::fs::write(&path, format!("[{text}]")).unwrap();
        let checked = config.check().map_err(|error| error.status);
        std::fs::remove_file(&path).unwrap();
        checked
    };
    assert_eq!(checked(64), Ok(()));
    assert_eq!(checked(65), Err(Status::Config));
}

#[test]
fn tags_are_bounded_together_and_a_refused_one_changes_nothing() {
    let mut config = with(&[("tag.role", "web")]);
    let error = config.set_tag("big", Some(&"x".repeat(600))).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
    assert!(error.message.contains("512"), "{}", error.message);
    assert_eq!(config.settings.core.tags.len(), 1);
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
    let Settings { core, .. } = &config.settings;
    assert_eq!(core.swim.cidrs_allowed.len(), 2);
    assert_eq!(core.filter.names, ["web-*", "db"]);
    assert_eq!(
        core.filter.require_tags.get("dc").map(String::as_str),
        Some("1")
    );
    assert_eq!(config.settings.seeds.len(), 2);
    assert_eq!(
        config.settings.event_kinds,
        [EventKind::MemberJoin, EventKind::Done]
    );
    assert_eq!(config.settings.log_level.0, Some(Level::Debug));
}

#[test]
fn a_node_needs_one_more_thread_for_services_and_one_for_a_keyring_file() {
    assert_eq!(with(&[]).threads(), 2);
    let file = ("keyring_file", "/etc/keys.json");
    assert_eq!(with(&[file]).threads(), 3);
    assert_eq!(with(&[file, ("spoe_bind", "127.0.0.1:9")]).threads(), 4);
}
