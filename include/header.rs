//! Makes the C header from the files of src/ffi. This file is part of the build script, and not of
//! the library.
//!
//! The header goes to `OUT_DIR`, so that building does not change the source tree. A test compares
//! it with the committed copy, `include/sprat.h`. After an intended change,
//! `SPRAT_WRITE_HEADER=1 cargo build` overwrites that copy.

use super::vocabulary::{
    CConstant, EventKind, KeyAction, Level, MemberState, NodeState, ProbeAnswer, Row, SettingType,
    Status, Table,
};
use std::path::PathBuf;
use std::{env, fs};

/// The ABI number, which is part of the soname. It is raised only if programs that are already
/// linked would break.
pub const ABI: u32 = 0;

/// The files of `src/ffi` from which the header is made, in the order of the header.
const SOURCES: [&str; 17] = [
    "numbers",
    "types",
    "library",
    "settings",
    "config",
    "node",
    "members",
    "tags",
    "user_events",
    "queries",
    "keys",
    "memberlist",
    "events",
    "explain",
    "coordinates",
    "stats",
    "threads",
];

/// The first function of each part of the header, and the heading that is put before it.
const HEADINGS: [(&str, &str); 15] = [
    (
        "sprat_version",
        "The library: versions, names of numbers, the last error",
    ),
    ("sprat_setting_count", "The list of settings"),
    ("sprat_config_new", "Settings"),
    ("sprat_node_start", "Life of a node"),
    ("sprat_node_members", "Members"),
    ("sprat_node_set_tag", "The tags and the meta of this node"),
    ("sprat_node_send_event", "Sending user events"),
    ("sprat_node_query", "Queries"),
    ("sprat_node_manage_keys", "The keys of the cluster"),
    (
        "sprat_node_send",
        "Messages, states and ack payloads of programs built on memberlist",
    ),
    ("sprat_node_fd", "Events"),
    ("sprat_node_hint", "Hints, explanations, health"),
    ("sprat_node_coordinate", "Network coordinates"),
    ("sprat_node_stats", "Counters"),
    ("sprat_threads_prepare", "Threads"),
];

/// Writes the header to `OUT_DIR`, and also to the source tree if `SPRAT_WRITE_HEADER` is set.
pub fn write() {
    let out = PathBuf::from(variable("OUT_DIR")).join("sprat.h");
    let header = header();
    fs::write(&out, &header).expect("OUT_DIR is writable");
    if env::var_os("SPRAT_WRITE_HEADER").is_some() {
        let committed = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("include/sprat.h");
        fs::create_dir_all("include").expect("the source tree is writable");
        fs::write(committed, &header).expect("the source tree is writable");
    }
}

/// The value of a variable that cargo always sets for build scripts.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// The whole text of the header.
fn header() -> String {
    let mut config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml is valid");
    config.header = Some(read("src/ffi/head.h").trim_end().to_owned());
    config.after_includes = Some(versions() + "\n" + &read("src/ffi/settings.h"));
    let numbers = PathBuf::from(variable("OUT_DIR")).join("numbers.rs");
    fs::write(&numbers, vocabularies()).expect("OUT_DIR is writable");
    let mut builder = cbindgen::Builder::new().with_config(config);
    builder = builder.with_src(numbers);
    for source in SOURCES {
        builder = builder.with_src(format!("src/ffi/{source}.rs"));
    }
    let mut text = Vec::new();
    builder
        .generate()
        .expect("the C interface is valid")
        .write(&mut text);
    let text = String::from_utf8(text).expect("cbindgen writes UTF-8");
    let text = one_line_comments(&plain_enums(&text));
    HEADINGS.iter().fold(text, |text, (function, heading)| {
        with_heading(&text, function, heading)
    })
}

/// The vocabularies of the library as C enums, in the form of Rust source for cbindgen.
fn vocabularies() -> String {
    [
        enumeration(
            "sprat_status",
            "SPRAT_ERR_",
            &Status::TABLE,
            Some(("SPRAT_OK", "Success.")),
        ),
        enumeration(
            "sprat_member_state",
            "SPRAT_MEMBER_",
            &MemberState::TABLE,
            None,
        ),
        enumeration("sprat_node_state", "SPRAT_NODE_", &NodeState::TABLE, None),
        enumeration("sprat_event_kind", "SPRAT_EVENT_", &EventKind::TABLE, None),
        enumeration(
            "sprat_log_level",
            "SPRAT_LOG_",
            &Level::TABLE,
            Some(("SPRAT_LOG_OFF", "No lines.")),
        ),
        enumeration(
            "sprat_probe_answer",
            "SPRAT_PROBE_",
            &ProbeAnswer::TABLE,
            None,
        ),
        enumeration("sprat_key_action", "SPRAT_KEY_", &KeyAction::TABLE, None),
        enumeration(
            "sprat_setting_type",
            "SPRAT_SETTING_",
            &SettingType::TABLE,
            None,
        ),
    ]
    .concat()
}

/// One enum of [`vocabularies`]; `zero` is a constant for 0, which the table does not have.
fn enumeration(name: &str, prefix: &str, table: &Table, zero: Option<(&str, &str)>) -> String {
    let doc = |text: &str| -> String {
        let lines = text.lines().map(|line| format!("///{line}\n"));
        lines.collect()
    };
    let zero = zero.map(|(constant, about)| format!("/// {about}\n{constant} = 0,\n"));
    let row = |row: &Row| {
        let constant = CConstant::new(prefix, row.variant);
        let constant = constant.c_str().to_string_lossy();
        format!("{}{constant} = {},\n", doc(row.about), row.number)
    };
    format!(
        "{}#[repr(C)]\npub enum {name} {{\n{}{}}}\n",
        doc(table.about),
        zero.unwrap_or_default(),
        table.rows.iter().map(row).collect::<String>(),
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The macros with the version of the header, which a program compares with that of the library.
fn versions() -> String {
    let part = |name: &str| variable(&format!("CARGO_PKG_VERSION_{name}"));
    let (major, minor, patch) = (part("MAJOR"), part("MINOR"), part("PATCH"));
    format!(
        "\n/** The version of this header, as text and as numbers. */\n\
         #define SPRAT_VERSION \"{}\"\n\
         #define SPRAT_VERSION_MAJOR {major}\n\
         #define SPRAT_VERSION_MINOR {minor}\n\
         #define SPRAT_VERSION_PATCH {patch}\n\
         /** Major * 1000000 + minor * 1000 + patch: compare with sprat_version_number(). */\n\
         #define SPRAT_VERSION_NUMBER \\\n    \
         (SPRAT_VERSION_MAJOR * 1000000 + SPRAT_VERSION_MINOR * 1000 + SPRAT_VERSION_PATCH)\n\
         /** The number in libsprat.so.N. It changes only if programs linked before would \
         break. */\n\
         #define SPRAT_ABI {ABI}\n\
         /** The defaults of a sprat_query_options. */\n\
         #define SPRAT_QUERY_OPTIONS_INIT \\\n    \
         {{ sizeof(struct sprat_query_options), 0, 0, false, NULL, 0, NULL, 0 }}\n",
        variable("CARGO_PKG_VERSION"),
    )
}

/// Turns `typedef enum` into `enum`: a typedef `sprat_node_state` would clash with the function.
fn plain_enums(text: &str) -> String {
    let mut inside = false;
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        match line.strip_prefix("typedef enum ") {
            Some(rest) => {
                inside = true;
                plain += &format!("enum {rest}\n");
            }
            None if inside && line.starts_with('}') => {
                inside = false;
                plain += "};\n";
            }
            None => plain += &format!("{line}\n"),
        }
    }
    plain
}

/// Puts each comment with one line of text on one line, so that a struct fits on a screen.
fn one_line_comments(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut short = String::with_capacity(text.len());
    let mut at = 0;
    while at < lines.len() {
        let comment = match &lines[at..] {
            [open, middle, close, ..] if open.trim() == "/**" && close.trim() == "*/" => {
                let indent = &open[..open.len() - 3];
                let text = middle.trim_start().trim_start_matches("* ");
                Some(format!("{indent}/** {text} */")).filter(|line| line.len() <= 100)
            }
            _ => None,
        };
        at += if comment.is_some() { 3 } else { 1 };
        short += &comment.unwrap_or_else(|| lines[at - 1].to_owned());
        short.push('\n');
    }
    short
}

/// Puts a heading before the comment of `function`.
fn with_heading(text: &str, function: &str, heading: &str) -> String {
    let at = text.find(&format!("{function}(void);")).or_else(|| {
        // A declaration starts its line with a type; a mention in a comment does not.
        text.match_indices(&format!("{function}("))
            .map(|(at, _)| at)
            .find(|at| {
                let line = &text[text[..*at].rfind('\n').map_or(0, |n| n + 1)..*at];
                line.starts_with(|c: char| c.is_ascii_lowercase())
            })
    });
    let at = at.unwrap_or_else(|| panic!("{function} is not in the header"));
    let comment = text[..at]
        .rfind("/**")
        .unwrap_or_else(|| panic!("{function} has no comment"));
    let bar = "=".repeat(90);
    format!(
        "{}/* {bar}\n * {heading}\n * {bar} */\n\n{}",
        &text[..comment],
        &text[comment..]
    )
}
