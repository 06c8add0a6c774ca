//! The parts of `swim`: none imports another, and none calls a method of another.
//!
//! The first table at the top of `src/swim/mod.rs` names the parts. The second table names the
//! files that the parts share, called ground here. Only the files of [`WIRING`] know more than one
//! part; ground knows none.

use super::findings::{Finding, assert_no_findings};
use super::modules::Modules;
use super::source::{Source, product};
use std::collections::BTreeSet;

/// The file whose head names the parts.
const HEAD: &str = "src/swim/mod.rs";
/// The files that wire parts together.
const WIRING: [&str; 5] = [
    HEAD,
    "src/swim/apply.rs",
    "src/swim/commands.rs",
    "src/swim/remote_state.rs",
    "src/swim/stream_events.rs",
];
/// The names of methods of the standard library. A call by such a name is not reported, because it
/// might not be a call of a part.
const STANDARD: [&str; 15] = [
    "clear", "contains", "extend", "get", "insert", "is_empty", "iter", "len", "next", "position",
    "push", "remove", "retain", "take", "clone",
];

/// The files of the parts: the names in backquotes in the first column of the table of parts. A
/// name stands for a file, or for the `mod.rs` of a folder.
fn parts(head: &Source, swim: &[&Source]) -> BTreeSet<String> {
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
        let folder = format!("src/swim/{name}/mod.rs");
        let is_folder = swim.iter().any(|source| source.path == folder);
        if is_folder {
            folder
        } else {
            format!("src/swim/{name}.rs")
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

fn entangled(sources: &[Source]) -> Vec<Finding> {
    let inside = |source: &&Source| source.path.starts_with("src/swim/") && source.product > 0;
    let swim: Vec<&Source> = sources.iter().filter(inside).collect();
    let Some(head) = swim.iter().find(|source| source.path == HEAD) else {
        return vec![Finding::new("part", HEAD, 1, "is missing")];
    };
    let parts = parts(head, &swim);
    let modules = Modules::of(sources);
    let mut findings = Vec::new();
    if parts.len() < 2 {
        findings.push(Finding::new("part", HEAD, 1, "names fewer than two parts"));
    }
    for source in swim
        .iter()
        .filter(|source| !WIRING.contains(&source.path.as_str()))
    {
        for import in modules.imports(source) {
            let wiring = WIRING.contains(&import.target.as_str());
            if wiring || parts.contains(&import.target) {
                let what = format!("imports from {}", import.target);
                findings.push(Finding::new("part", &source.path, import.line, what));
            }
        }
        for (owner, method) in foreign_methods(source, &swim, &parts) {
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

/// The methods that only one file of `swim` defines, if that file is another part; each with its
/// file. Names in [`STANDARD`] are left out.
fn foreign_methods(
    source: &Source,
    swim: &[&Source],
    parts: &BTreeSet<String>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for other in swim
        .iter()
        .filter(|it| it.path != source.path && parts.contains(&it.path))
    {
        for method in methods(other) {
            let elsewhere = swim.iter().filter(|it| it.path != other.path);
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
fn the_parts_of_swim_neither_import_nor_call_one_another() {
    assert_no_findings(&["part"], entangled(&product()));
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
        Source::new(HEAD, head),
        Source::new("src/swim/probe.rs", probe),
        Source::new("src/swim/relay.rs", relay),
        Source::new("src/swim/table.rs", table),
    ];
    entangled(&sources)
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
fn a_part_that_uses_only_ground_causes_no_finding() {
    let probe = "use super::table::Table;\nfn f(it: &Table) {\n    it.shared();\n}\n";
    assert_eq!(findings_with(probe), [""; 0]);
}
