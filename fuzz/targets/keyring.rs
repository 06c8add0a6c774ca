//! Any keyring file is loaded or refused with a message, and the keys of one that is loaded can be
//! used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::Config;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

fuzz_target!(|bytes: &[u8]| {
    let path = format!("/dev/shm/sprat-fuzz-keys-{}", std::process::id());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).expect("the file can be opened");
    file.write_all(bytes).expect("the file can be written");
    let mut config = Config::new();
    config.set("keyring_file", &path).expect("a path is legal");
    match config.load_keys() {
        Ok(()) => config.check().expect("keys that were loaded are legal"),
        Err(error) => assert!(!error.message.is_empty()),
    }
    let _ = std::fs::remove_file(&path);
});
