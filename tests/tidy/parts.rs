//! The parts of `swim` and `serf`: none imports another, and none calls a method of another.
//!
//! The first table at the top of the layer's `mod.rs` names the parts. The second table names the
//! files that the parts share, called ground here. Only the files that wire the parts know more
//! than one part; ground knows none.

use super::findings::{Finding, assert_no_findings};
use super::modules::Modules;
use super::source::{Source, product};
use std::collections::BTreeSet;

/// A layer that consists of parts.
struct Layer {
    /// The folder of the layer. The head of its `mod.rs` names the parts.
    folder: &'static str,
    /// The files in it that wire the parts together.
    wiring: &'static [&'static str],
}

const SWIM: Layer = Layer {
    folder: "src/swim/",
    wiring: &[
        "mod.rs",
        "apply.rs",
        "commands.rs",
        "remote_state.rs",
        "stream_events.rs",
    ],
};

const SERF: Layer = Layer {
    folder: "src/serf/",
    wiring: &[
        "mod.rs",
        "commands.rs",
        "local_node.rs",
        "messages.rs",
        "notices.rs",
        "resume.rs",
        "stats.rs",
    ],
};

impl Layer {
    fn has(&self, path: &str) -> bool {
        path.starts_with(self.folder)
    }

    fn head(&self) -> String {
        format!("{}mod.rs", self.folder)
    }

    fn is_wiring(&self, path: &str) -> bool {
        let inside = path.strip_prefix(self.folder);
        inside.is_some_and(|file| self.wiring.contains(&file))
    }
}

/// The names of methods of the standard library. A call by such a name is not reported, because it
/// might not be a call of a part.
const STANDARD: [&str; 15] = [
    "clear", "contains", "extend", "get", "insert", "is_empty", "iter", "len", "next", "position",
    "push", "remove", "retain", "take", "clone",
];

/// The files of the parts: the names in backquotes in the first column of the table of parts. A
/// name stands for a file, or for the `mod.rs` of a folder.
fn parts(layer: &Layer, head: &Source, files: &[&Source]) -> BTreeSet<String> {
    let rows = head
        .lines
        .iter()
        .map(|line| line.trim_start_matches("//!").trim());
    let table = rows.skip_while(|row| !row.starts_with("| part |"));
    let first_cells = table
        .take_while(|row| row.starts_with('|'))
        .filter_map(|row| row.split('|').nth(1));
    let names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let file = |name| {
        let folder = format!("{}{name}/mod.rs", layer.folder);
        let is_folder = files.iter().any(|source| source.path == folder);
        if is_folder {
            folder
        } else {
            format!("{}{name}.rs", layer.folder)
        }
    };
    names.map(file).collect()
}

/// The methods that a file defines.
fn methods(source: &Source) -> BTreeSet<String> {
    let code: Vec<&str> = source.product_code().map(|(_, line)| line).collect();
    let heads = code.iter().enumerate().filter_map(|(i, line)| {
        let (_, rest) = line.split_once("fn ").filter(|_| line.starts_with(' '))?;
        let name = rest.split(['(', '<']).next()?;
        // The receiver is on the same line, or alone on the next one.
        let next = code.get(i + 1).map_or("", |line| line.trim());
        let on_line = ["(&self", "(&mut self", "(self", "(mut self"]
            .iter()
            .any(|it| rest.contains(it));
        let below = ["&self,", "&mut self,", "self,"].contains(&next);
        (on_line || below).then(|| name.to_owned())
    });
    heads.collect()
}

fn entangled(layer: &Layer, sources: &[Source]) -> Vec<Finding> {
    let inside = |source: &&Source| layer.has(&source.path) && source.product > 0;
    let files: Vec<&Source> = sources.iter().filter(inside).collect();
    let path = layer.head();
    let Some(head) = files.iter().find(|source| source.path == path) else {
        return vec![Finding::new("part", &path, 1, "is missing")];
    };
    let parts = parts(layer, head, &files);
    let modules = Modules::of(sources);
    let mut findings = Vec::new();
    if parts.len() < 2 {
        findings.push(Finding::new("part", &path, 1, "names fewer than two parts"));
    }
    let missing = parts
        .iter()
        .filter(|part| !files.iter().any(|source| source.path == **part));
    findings.extend(missing.map(|part| Finding::new("part", part, 1, "is not there")));
    for source in files.iter().filter(|source| !layer.is_wiring(&source.path)) {
        for import in modules.imports(source) {
            if layer.is_wiring(&import.target) || parts.contains(&import.target) {
                let what = format!("imports from {}", import.target);
                findings.push(Finding::new("part", &source.path, import.line, what));
            }
        }
        for (owner, method) in foreign_methods(source, &files, &parts) {
            let call = format!(".{method}(");
            let calls = source
                .product_code()
                .filter(|(_, code)| code.contains(&call));
            findings.extend(calls.map(|(line, _)| {
                let what = format!("calls {method} of {owner}");
                Finding::new("part", &source.path, line, what)
            }));
        }
    }
    findings
}

/// The methods that only one file of the layer defines, if that file is another part; each with its
/// file. Names in [`STANDARD`] are left out.
fn foreign_methods(
    source: &Source,
    files: &[&Source],
    parts: &BTreeSet<String>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for other in files
        .iter()
        .filter(|it| it.path != source.path && parts.contains(&it.path))
    {
        for method in methods(other) {
            let elsewhere = files.iter().filter(|it| it.path != other.path);
            let unique = !elsewhere
                .into_iter()
                .any(|it| methods(it).contains(&method));
            if unique && !STANDARD.contains(&method.as_str()) {
                found.push((other.path.clone(), method));
            }
        }
    }
    found
}

#[test]
fn the_parts_of_a_layer_neither_import_nor_call_one_another() {
    let sources = product();
    let findings = [SWIM, SERF].map(|layer| entangled(&layer, &sources));
    assert_no_findings(&["part"], findings.into_iter().flatten().collect());
}

#[cfg(test)]
fn findings_with(probe: &str) -> Vec<String> {
    let head = "//! | part | it |\n//! | --- | --- |\n//! | `probe` | asks |\n\
        //! | `relay` | helps |\n//!\n//! | ground | it |\n//! | `table` | holds |\n\n\
        mod probe;\nmod relay;\nmod table;\n";
    let relay = "pub struct Relay;\nimpl Relay {\n    pub fn pass_on(&mut self) {}\n\
        \x20   pub fn get(&self) {}\n    pub fn shared(&self) {}\n}\n";
    let table = "pub struct Table;\nimpl Table {\n    pub fn shared(&self) {}\n}\n";
    let sources = [
        Source::new("src/swim/mod.rs", head),
        Source::new("src/swim/probe.rs", probe),
        Source::new("src/swim/relay.rs", relay),
        Source::new("src/swim/table.rs", table),
    ];
    entangled(&SWIM, &sources)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_part_that_imports_or_calls_another_is_found() {
    let probe = "use super::relay::Relay;\nuse super::table::Table;\n\
        fn f(it: &mut Relay) {\n    it.pass_on();\n    it.get();\n    it.shared();\n}\n";
    let found = findings_with(probe);
    assert_eq!(
        found,
        [
            "src/swim/probe.rs:1: part: imports from src/swim/relay.rs",
            "src/swim/probe.rs:4: part: calls pass_on of src/swim/relay.rs",
        ]
    );
}

#[test]
fn a_part_without_a_file_is_found() {
    let head = "//! | part | it |\n//! | --- | --- |\n//! | `probe`, `relay` | ask |\n";
    let sources = [
        Source::new("src/swim/mod.rs", head),
        Source::new("src/swim/probe.rs", "pub struct Probe;\n"),
    ];
    let found: Vec<String> = entangled(&SWIM, &sources)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["src/swim/relay.rs:1: part: is not there"]);
}

#[test]
fn a_part_that_uses_only_ground_causes_no_finding() {
    let probe = "use super::table::Table;\nfn f(it: &Table) {\n    it.shared();\n}\n";
    assert_eq!(findings_with(probe), [""; 0]);
}
