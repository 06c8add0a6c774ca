//! The list of settings in the header, kept equal to the table of settings.
//!
//! The build script writes the header before the library is compiled, so it cannot read the table:
//! it copies the list from the committed file `settings.h`. A test compares that file with the
//! table; `SPRAT_WRITE_HEADER=1 cargo test --lib settings` rewrites the file.

use crate::settings;
use std::{env, fs};

/// The maximum length of a line of the list in bytes.
const WIDTH: usize = 96;

/// Makes the comment that lists every setting.
fn list() -> String {
    let mut text = String::from(
        "/* The settings, for sprat_config_set(), sprat_config_get() and sprat_config_load():\n \
         * name, type, default in brackets, allowed values, and description.\n",
    );
    for setting in settings() {
        let (name, kind, allowed) = (setting.name, setting.kind.name(), setting.allowed());
        let defaults = match setting.defaults() {
            text if text.is_empty() => "not set".to_owned(),
            text => text,
        };
        text += " *\n";
        let head = format!("{name}: {kind} [{defaults}], {allowed}");
        wrap(&mut text, [" *", " *        "], &head);
        wrap(&mut text, [" *    ", " *    "], setting.help);
    }
    text + " */\n"
}

/// Appends a paragraph to `text`. Its first line begins with `start`, the others with `hang`.
fn wrap(text: &mut String, [start, hang]: [&str; 2], paragraph: &str) {
    let mut line = String::from(start);
    for word in paragraph.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            *text += &line;
            text.push('\n');
            line = String::from(hang);
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
