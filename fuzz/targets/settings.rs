//! Any settings file is loaded or refused. Any single setting is accepted or refused with an error
//! message, and the text of an accepted setting can be set again and stays the same. If
//! `SPRAT_FUZZ_VALID` is set, every file must be valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::Config;
use std::path::PathBuf;

fuzz_target!(|bytes: &[u8]| {
    let path = PathBuf::from(format!("/dev/shm/sprat-fuzz-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("the file can be written");
    let entries = Config::entries_of(&path);
    let mut all = Config::new();
    let loaded = all.load(&path);
    assert!(entries.is_ok() || loaded.is_err());
    if std::env::var_os("SPRAT_FUZZ_VALID").is_some() {
        loaded.expect("the file is valid");
    }
    for (key, value) in entries.unwrap_or_default() {
        let mut config = Config::new();
        match config.set(&key, &value) {
            Ok(()) => reads_back(&config, &key),
            Err(error) => assert!(!error.message.is_empty()),
        }
    }
    let _ = all.check();
    let _ = std::fs::remove_file(&path);
});

fn reads_back(config: &Config, key: &str) {
    // The text of a secret key is only "set".
    if key == "encrypt" {
        return;
    }
    let text = config.get(key).expect("it was just set");
    let mut again = Config::new();
    again
        .set(key, &text)
        .unwrap_or_else(|error| panic!("{key} = {text:?}: {error}"));
    assert_eq!(again.get(key).expect("it was just set"), text);
}
