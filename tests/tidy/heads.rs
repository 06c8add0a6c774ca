//! The head of a folder that has a table of its files names each of its modules, and each row of
//! the table names modules that exist.
//!
//! The head is the first comment of `mod.rs`, `lib.rs` or `main.rs`. Names are in backticks; a path
//! such as `detection/probe` names the folder as well as the file.

use super::findings::{Finding, assert_no_findings};
use super::source::{Source, shipped};
use std::collections::BTreeSet;

/// The files that have the heads of folders.
const HEADS: [&str; 3] = ["mod.rs", "lib.rs", "main.rs"];

/// The modules that a file declares, without those of tests, each with its line.
fn declared(source: &Source) -> Vec<(usize, &str)> {
    let is_for_tests = |line: &str| line.starts_with("#[cfg(") && line.contains("test");
    let mut before = "";
    let mut found = Vec::new();
    for (number, line) in source.product_code() {
        let declared = line.strip_suffix(';').and_then(|it| it.split_once("mod "));
        if let Some((_, name)) = declared.filter(|_| !is_for_tests(before)) {
            found.push((number, name));
        }
        before = line;
    }
    found
}

/// The lines of the first comment, with line numbers from 1.
fn head(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines.iter().map(String::as_str).zip(1..);
    let head = lines.take_while(|(line, _)| line.starts_with("//!"));
    head.map(|(line, number)| (number, line))
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names in the first cells of tables, each with its line.
fn rows(source: &Source) -> Vec<(usize, &str)> {
    let rows = head(source).filter_map(|(number, line)| {
        let cell = line.strip_prefix("//! | ")?.split(" | ").next()?;
        Some((number, cell))
    });
    let names = rows.flat_map(|(number, cell)| in_backticks(cell).map(move |name| (number, name)));
    names.collect()
}

fn wrong_heads(sources: &[Source]) -> Vec<Finding> {
    let files: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut findings = Vec::new();
    for source in sources {
        let Some((folder, file)) = source.path.rsplit_once('/') else {
            continue;
        };
        let rows = rows(source);
        if !HEADS.contains(&file) || rows.is_empty() {
            continue;
        }
        let named = head(source).flat_map(|(_, line)| in_backticks(line));
        let named: BTreeSet<&str> = named.filter_map(|name| name.split('/').next()).collect();
        for (line, name) in declared(source) {
            if !named.contains(name) {
                let what = format!("the head does not name {name}");
                findings.push(Finding::new("head", &source.path, line, what));
            }
        }
        for (line, name) in rows {
            let paths = [
                format!("{folder}/{name}.rs"),
                format!("{folder}/{name}/mod.rs"),
            ];
            if !paths.iter().any(|path| files.contains(path.as_str())) {
                let what = format!("there is no module {name}");
                findings.push(Finding::new("head", &source.path, line, what));
            }
        }
    }
    findings
}

#[test]
fn the_head_of_a_folder_names_its_modules() {
    assert_no_findings(&["head"], wrong_heads(&shipped()));
}

#[test]
fn a_module_without_a_name_in_the_head_and_a_row_without_a_module_are_found() {
    let text = "//! A folder, wired by `w`.\n//!\n//! | file | what |\n//! | --- | --- |\n\
        //! | [`a`], `b/one` | two |\n//! | `c` | gone |\n\
        mod a;\npub(crate) mod b;\nmod w;\nmod d;\n#[cfg(test)]\nmod tests;\n";
    let empty = |path| Source::new(path, "//! Empty.\n");
    let others = ["src/x/a.rs", "src/x/b/one.rs", "src/x/w.rs", "src/x/d.rs"].map(empty);
    let sources: Vec<Source> = others
        .into_iter()
        .chain([Source::new("src/x/mod.rs", text)])
        .collect();
    let found: Vec<String> = wrong_heads(&sources)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "src/x/mod.rs:10: head: the head does not name d",
            "src/x/mod.rs:6: head: there is no module c",
        ]
    );
    assert_eq!(wrong_heads(&[Source::new("src/x/y.rs", text)]), []);
}
