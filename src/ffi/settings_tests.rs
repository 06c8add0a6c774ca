//! The list of settings in the header, kept equal to the list that the library knows.
//!
//! The header is made before the library can be asked, so the list lies in `settings.h`. A test
//! compares the two; `SPRAT_WRITE_HEADER=1 cargo test --lib settings` writes it anew.

use crate::settings;
use std::fmt::Write;
use std::{env, fs};

/// Longest line of the header.
const WIDTH: usize = 96;

/// The comment that lists every setting.
fn list() -> String {
    let mut text = String::from(
        "/* The settings, for sprat_config_set(), sprat_config_get() and sprat_config_load():\n \
         * name, type, default in brackets, what is allowed, and what it does.\n",
    );
    for setting in settings() {
        let (name, kind, allowed) = (setting.name, setting.kind.name(), setting.allowed());
        let defaults = match setting.defaults() {
            text if text.is_empty() => "not set".to_owned(),
            text => text,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, " *\n * {name}: {kind} [{defaults}], {allowed}");
        wrap(&mut text, setting.help);
    }
    text + " */\n"
}

/// A paragraph, indented.
fn wrap(text: &mut String, paragraph: &str) {
    let mut line = String::from(" *    ");
    for word in paragraph.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            *text += &line;
            text.push('\n');
            line = String::from(" *    ");
        }
        line.push(' ');
        line += word;
    }
    *text += &line;
    text.push('\n');
}

#[test]
fn the_header_lists_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ffi/settings.h");
    let list = list();
    assert!(
        !list[2..].trim_end().trim_end_matches("*/").contains("*/"),
        "{list}"
    );
    if env::var_os("SPRAT_WRITE_HEADER").is_some() {
        fs::write(path, &list).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert!(
        committed == list,
        "run SPRAT_WRITE_HEADER=1 cargo test --lib settings"
    );
}
