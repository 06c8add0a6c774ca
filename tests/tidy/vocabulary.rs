//! One list per vocabulary: kinds of events, settings, counters and refusals are listed in one file
//! each.
//!
//! A name is a string literal of lower-case words joined by `-` or `_`, such as `"member-join"`.
//! Two files may mention a few of the same names; when they share more, one of them repeats a list
//! that should be derived from the other.

use super::findings::{Finding, assert_no_findings};
use super::source::{Source, shipped};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of names that two files may share.
const SHARED: usize = 3;

/// The names in a file, without its tests.
fn names_in(source: &Source) -> BTreeSet<String> {
    let text = source.strings[..source.product].join("\n");
    let is_name = |word: &&str| {
        let words = word.split(['-', '_']);
        let small = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_lowercase());
        words.clone().count() > 1 && words.into_iter().all(small)
    };
    text.split('"')
        .skip(1)
        .step_by(2)
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

fn repeated_lists(sources: &[Source]) -> Vec<Finding> {
    let names: BTreeMap<&str, BTreeSet<String>> = sources
        .iter()
        .map(|source| (source.path.as_str(), names_in(source)))
        .collect();
    let mut findings = Vec::new();
    for (first, names_of_first) in &names {
        for (second, names_of_second) in names.range(*first..).skip(1) {
            let shared: Vec<_> = names_of_first.intersection(names_of_second).collect();
            if shared.len() > SHARED {
                let what = format!("{second} has {} of its names: {shared:?}", shared.len());
                findings.push(Finding::new("vocabulary", first, 1, what));
            }
        }
    }
    findings
}

#[test]
fn a_vocabulary_is_listed_in_one_file() {
    assert_no_findings(&["vocabulary"], repeated_lists(&shipped()));
}

#[test]
fn a_list_in_two_files_is_found_and_a_mention_is_not() {
    let list = "const ALL: [&str; 4] = [\"member-join\", \"member-leave\", \"in_use\",\n\
        \"member-failed\"];\n";
    let mention = "fn f() { g(\"member-join\"); g(\"member-leave\"); g(\"x\"); g(\"No-name\"); }\n";
    let tests = format!("#[cfg(test)]\nmod tests {{\n    {list}}}\n");
    let sources = [
        Source::new("src/a.rs", list),
        Source::new("src/b.rs", mention),
        Source::new("src/c.rs", list),
        Source::new("src/d.rs", &tests),
    ];
    let found = repeated_lists(&sources);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, "src/a.rs");
    assert!(found[0].what.starts_with("src/c.rs has 4 of its names"));
}
