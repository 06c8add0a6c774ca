//! Words: no sentence without its subject, and no `SAFETY:` line that only points elsewhere.

use super::findings::{Finding, assert_no_findings};
use super::prose::{EXTENSIONS, Sentence, sentences};
use super::source::{files, relative};

/// The folders and files with prose.
const FOLDERS: [&str; 11] = [
    "src",
    "bindings",
    "tests",
    "examples",
    "benches",
    "scripts",
    "docs",
    "include",
    "fuzz",
    "packaging",
    ".github",
];
const FILES: [&str; 8] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Cargo.toml",
    "Makefile",
    "build.rs",
    "cbindgen.toml",
];
/// Openings that stand for a thing without naming it.
const HEADLESS: [&str; 8] = [
    "What",
    "Who",
    "Whom",
    "Whose",
    "Whoever",
    "Those",
    "So many",
    "That which",
];
/// Words at the start of a comment about safety that only point to another comment.
const ELSEWHERE: [&str; 7] = [
    "as above",
    "see above",
    "as before",
    "same as",
    "the same",
    "likewise",
    "ditto",
];

/// The [`HEADLESS`] opening of a sentence, if it has one. A question may begin with `What`, `Who`,
/// `Whom` or `Whose`, and `Those` may stand before a noun in the plural.
fn headless(sentence: &str) -> Option<&'static str> {
    let opening = HEADLESS.into_iter().find(|opening| {
        let rest = sentence.strip_prefix(opening);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ',']))
    })?;
    let next = sentence[opening.len()..]
        .split_whitespace()
        .next()
        .unwrap_or("");
    let noun = next.len() > 3 && next.trim_end_matches([',', '.']).ends_with('s');
    let fine = match opening {
        "What" | "Who" | "Whom" | "Whose" => sentence.ends_with('?'),
        "Those" => noun,
        _ => false,
    };
    (!fine).then_some(opening)
}

fn without_subject(path: &str, text: &str) -> Vec<Finding> {
    let found = sentences(path, text).into_iter();
    let found = found.filter_map(|Sentence { line, text }| {
        headless(&text)?;
        let words: Vec<&str> = text.split_whitespace().take(8).collect();
        Some(Finding::new("headless", path, line, words.join(" ")))
    });
    found.collect()
}

fn pointing_elsewhere(path: &str, text: &str) -> Vec<Finding> {
    let found = sentences(path, text).into_iter();
    let found = found.filter_map(|Sentence { line, text }| {
        let fact = text.split_once("SAFETY:")?.1.trim().to_lowercase();
        let points = ELSEWHERE.iter().any(|words| fact.starts_with(words));
        points.then(|| Finding::new("safety elsewhere", path, line, text))
    });
    found.collect()
}

/// All files with prose: their paths and their texts.
fn all_prose() -> Vec<(String, String)> {
    let there = FOLDERS
        .iter()
        .filter(|folder| super::source::root().join(folder).is_dir());
    let mut paths: Vec<_> = there
        .flat_map(|folder| files(&[folder], &EXTENSIONS))
        .collect();
    paths.extend(FILES.iter().map(|file| super::source::root().join(file)));
    paths.retain(|path| path.is_file());
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("a file with prose is readable");
        (relative(path), text)
    };
    paths.iter().map(read).collect()
}

#[test]
fn no_sentence_opens_without_its_subject() {
    let prose = all_prose();
    let found = prose
        .iter()
        .flat_map(|(path, text)| without_subject(path, text));
    assert_no_findings(&["headless"], found.collect());
}

#[test]
fn a_safety_line_says_the_fact_and_does_not_point_elsewhere() {
    let prose = all_prose();
    let found = prose
        .iter()
        .flat_map(|(path, text)| pointing_elsewhere(path, text));
    assert_no_findings(&["safety elsewhere"], found.collect());
}

#[test]
fn openings_without_a_subject_are_found_and_questions_are_not() {
    for bad in [
        "What the application is told.",
        "Who has left accuses nobody.",
        "Whoever drives a node calls it.",
        "Those of them that wait.",
        "So many seconds.",
        "That which is held.",
        "Whose name is taken is renamed.",
    ] {
        let text = format!("//! A good sentence. {bad}\n");
        let found = without_subject("src/x.rs", &text);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
    }
    for good in [
        "What is it?",
        "Who is there?",
        "Those members are gone.",
        "Whatever happens, it ends.",
        "The caller says what it wants. So it is.",
        "That is all.",
    ] {
        assert_eq!(without_subject("a.md", good), [], "{good}");
    }
    let markdown = "A row:\n\n| it | What it does |\n| --- | --- |\n\n# What is a heading\n";
    assert_eq!(without_subject("a.md", markdown).len(), 1);
}

#[test]
fn a_safety_line_that_points_elsewhere_is_found() {
    let bad = "fn f() {\n    // SAFETY: as above.\n}\n// SAFETY: The same call.\n";
    assert_eq!(pointing_elsewhere("src/x.rs", bad).len(), 2);
    let good = "// SAFETY: the descriptor is open, as the type above guarantees.\n";
    assert_eq!(pointing_elsewhere("src/x.rs", good), []);
}
