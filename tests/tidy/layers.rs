//! The layers of the library, the layers inside the driver (its floors), and names that only some
//! layers may use.

use super::findings::{Finding, assert_no_findings};
use super::modules::{Modules, module_path};
use super::source::{Source, names, product, shipped};

/// The layers, lowest first, each with the layers that it may name. A layer is a folder in `src`,
/// or a file there, such as `src/error.rs`.
const LAYERS: [(&str, &[&str]); 20] = [
    ("burst_queue", &[]),
    ("limits", &[]),
    ("named_slab", &[]),
    ("networks", &[]),
    ("per_second", &["time"]),
    ("printable", &[]),
    ("sorted_map", &[]),
    ("time", &[]),
    ("vocabulary", &[]),
    ("error", &["printable", "vocabulary"]),
    ("wire", &["limits", "printable", "time"]),
    ("key_report", &["wire"]),
    ("member", &["vocabulary", "wire"]),
    (
        "swim",
        &[
            "burst_queue",
            "limits",
            "member",
            "named_slab",
            "networks",
            "printable",
            "sorted_map",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
    (
        "event",
        &["error", "key_report", "member", "time", "vocabulary"],
    ),
    (
        "serf",
        &[
            "burst_queue",
            "event",
            "key_report",
            "limits",
            "member",
            "named_slab",
            "per_second",
            "printable",
            "sorted_map",
            "swim",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
    (
        "service",
        &[
            "error",
            "event",
            "key_report",
            "limits",
            "member",
            "networks",
            "serf",
            "sorted_map",
            "swim",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
    (
        "config",
        &[
            "error",
            "event",
            "limits",
            "networks",
            "member",
            "printable",
            "serf",
            "service",
            "swim",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
    (
        "driver",
        &[
            "config",
            "error",
            "event",
            "key_report",
            "limits",
            "member",
            "networks",
            "per_second",
            "printable",
            "serf",
            "service",
            "sorted_map",
            "swim",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
    (
        "ffi",
        &[
            "config",
            "driver",
            "error",
            "event",
            "key_report",
            "limits",
            "member",
            "printable",
            "serf",
            "service",
            "swim",
            "time",
            "vocabulary",
            "wire",
        ],
    ),
];
/// The floors of the driver, lowest first. A floor may name only itself and floors below it.
const FLOORS: [&str; 5] = ["os", "net", "events", "engine", "node"];
/// Names that only the driver may use, because they reach clocks, the network, threads or files.
const DRIVER_ONLY: [&str; 9] = [
    "Instant::now",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "std::thread",
    "std::fs",
    "socket2",
    "nix::",
];
/// The crate of system calls, which only the driver and the C interface may use.
const SYSTEM: &str = "libc::";
/// Names that no shipped code may use, because they print, end the process, mark unfinished code,
/// change the environment, or can raise SIGPIPE (`write_vectored`).
const FORBIDDEN: [&str; 12] = [
    "write_vectored",
    "print!",
    "println!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "todo!",
    "unimplemented!",
    "process::exit",
    "process::abort",
    "set_var",
    "remove_var",
];

/// The layer of a file: the first part of its module path, if that is the name of a layer.
fn layer(source: &Source) -> Option<&'static str> {
    let first = module_path(&source.path).into_iter().next()?;
    let mut all = LAYERS.iter().map(|(name, _)| *name);
    all.find(|name| *name == first)
}

/// Imports from layers that the file's own layer may not name.
fn upward(sources: &[Source]) -> Vec<Finding> {
    let modules = Modules::of(sources);
    let mut findings = Vec::new();
    for source in sources {
        let Some(own) = layer(source) else {
            continue;
        };
        let below = LAYERS
            .iter()
            .find(|(name, _)| *name == own)
            .map_or(&[][..], |it| it.1);
        for import in modules.imports(source) {
            let target = module_path(&import.target)
                .into_iter()
                .next()
                .unwrap_or_default();
            if target != own && !below.contains(&target.as_str()) {
                let what = format!("{own} names crate::{}", import.path.join("::"));
                findings.push(Finding::new("layer", &source.path, import.line, what));
            }
        }
    }
    findings
}

/// The index in [`FLOORS`] of the floor that a file is on, if it is on one.
fn floor(path: &str) -> Option<usize> {
    let path = module_path(path);
    let inner = path.strip_prefix(&["driver".to_owned()][..])?.first()?;
    FLOORS.iter().position(|it| it == inner)
}

/// Imports by files of the driver from higher floors, or from the driver's own `mod.rs`.
fn upstairs(sources: &[Source]) -> Vec<Finding> {
    let modules = Modules::of(sources);
    let mut findings = Vec::new();
    for source in sources {
        let Some(own) = floor(&source.path) else {
            continue;
        };
        for import in modules.imports(source) {
            let higher = floor(&import.target).is_some_and(|target| target > own);
            if higher || import.target == "src/driver/mod.rs" {
                let what = format!("floor {} names {}", FLOORS[own], import.target);
                findings.push(Finding::new("floor", &source.path, import.line, what));
            }
        }
    }
    findings
}

/// Uses of [`DRIVER_ONLY`] outside the driver, and of [`SYSTEM`] outside the driver and `ffi`.
fn outside_driver(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| layer(source) != Some("driver"))
    {
        for (line, code) in source.product_code() {
            let system = (layer(source) != Some("ffi")).then_some(SYSTEM);
            let words = DRIVER_ONLY.into_iter().chain(system);
            for word in words.filter(|word| code.contains(word)) {
                findings.push(Finding::new("driver only", &source.path, line, word));
            }
        }
    }
    findings
}

/// Uses of [`FORBIDDEN`].
fn forbidden(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, code) in source.product_code() {
            for word in FORBIDDEN.iter().filter(|word| names(code, word)) {
                findings.push(Finding::new("forbidden", &source.path, line, *word));
            }
        }
    }
    findings
}

#[test]
fn a_layer_names_only_layers_below_it() {
    assert_no_findings(&["layer"], upward(&product()));
}

#[test]
fn a_floor_of_the_driver_names_only_floors_below_it() {
    assert_no_findings(&["floor"], upstairs(&product()));
}

#[test]
fn only_the_driver_touches_clock_network_threads_and_files() {
    assert_no_findings(&["driver only"], outside_driver(&product()));
}

#[test]
fn nothing_prints_exits_or_is_left_unfinished() {
    assert_no_findings(&["forbidden"], forbidden(&shipped()));
}

#[test]
fn an_import_from_a_higher_layer_or_floor_is_found() {
    let sources = [
        Source::new(
            "src/swim/mod.rs",
            "use crate::wire::Key;\nuse crate::serf;\n",
        ),
        Source::new("src/wire/mod.rs", "pub struct Key;\n"),
        Source::new("src/serf/mod.rs", "use super::swim;\n"),
        Source::new("src/driver/mod.rs", "pub struct Node;\n"),
        Source::new(
            "src/driver/os/mod.rs",
            "use super::net;\nuse crate::driver::Node;\n",
        ),
        Source::new("src/driver/net/mod.rs", "use super::os;\n"),
    ];
    let found: Vec<String> = upward(&sources).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["src/swim/mod.rs:2: layer: swim names crate::serf"]);
    let found: Vec<String> = upstairs(&sources).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "src/driver/os/mod.rs:1: floor: floor os names src/driver/net/mod.rs",
            "src/driver/os/mod.rs:2: floor: floor os names src/driver/mod.rs",
        ]
    );
}

#[test]
fn a_forbidden_word_is_found_in_code_and_not_in_comments_or_tests() {
    let text = "use std::fs;\n// std::fs\nfn f() { println!(); print!(); }\n\
        #[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    let sources = [
        Source::new("src/wire/x.rs", text),
        Source::new("src/driver/x.rs", text),
    ];
    let found: Vec<String> = outside_driver(&sources)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["src/wire/x.rs:1: driver only: std::fs"]);
    assert_eq!(forbidden(&sources).len(), 4);
}
