//! Findings of the checks, and the exceptions from the rules, each with its reason.

use super::not_yet::NOT_YET;
use std::fmt;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule.
    pub rule: &'static str,
    /// The file, from the root of the repository.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The description of the problem.
    pub what: String,
}

impl Finding {
    /// A finding about a line of a file.
    pub fn new(rule: &'static str, path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            rule,
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, .. } = self;
        write!(f, "{path}:{line}: {}: {}", self.rule, self.what)
    }
}

/// An exception: the rule, the file, words that the finding must contain, and the reason.
pub type Exception = (&'static str, &'static str, &'static str, &'static str);

/// All exceptions. A check fails if one of its exceptions is no longer needed.
pub const EXCEPTIONS: &[Exception] = &[
    (
        "driver only",
        "src/config/file.rs",
        "std::fs",
        "reads the settings file on the caller's thread, before there is a node",
    ),
    (
        "layer",
        "src/event.rs",
        "crate::event_table",
        "a macro that `vocabulary` exports is at the root of the crate",
    ),
    (
        "vocabulary",
        "bindings/haproxy/hap/src/arguments.rs",
        "src/config/table.rs",
        "each of these options of sprat-hap sets the setting that it names",
    ),
    (
        "vocabulary",
        "src/config/node_config.rs",
        "src/config/table.rs",
        "compares pairs of settings in which one bounds the other",
    ),
    (
        "head",
        "src/lib.rs",
        "does not name",
        "the head is for users of the crate; docs/architecture.md names the small modules",
    ),
    (
        "script length",
        "bindings/haproxy/lua/sprat-haproxy.lua",
        "lines",
        "users install one script beside the module, and `lua-load` loads one file",
    ),
    (
        "line length",
        "bindings/python/src/event.rs",
        "101",
        "rustfmt does not break the lines of a macro's pattern",
    ),
    (
        "line length",
        "bindings/python/src/event_classes.rs",
        "101",
        "rustfmt does not break the lines of a macro's pattern",
    ),
];

/// Fails if a finding has neither an exception nor an entry in [`NOT_YET`], or if an exception from
/// one of `rules` is not needed by any finding.
pub fn assert_no_findings(rules: &[&str], mut findings: Vec<Finding>) {
    findings.retain(|it| !NOT_YET.contains(&(it.rule, it.path.as_str())));
    let left = unexcused(rules, EXCEPTIONS, findings);
    assert!(
        left.is_empty(),
        "{} findings:\n{}",
        left.len(),
        left.join("\n")
    );
}

fn unexcused(rules: &[&str], exceptions: &[Exception], findings: Vec<Finding>) -> Vec<String> {
    let mut used = vec![false; exceptions.len()];
    let mut left = Vec::new();
    for finding in findings {
        assert!(
            rules.contains(&finding.rule),
            "{} is not in {rules:?}",
            finding.rule
        );
        let excuses = |(rule, path, words, _): &Exception| {
            *rule == finding.rule && *path == finding.path && finding.what.contains(words)
        };
        match exceptions.iter().position(excuses) {
            Some(index) => used[index] = true,
            None => left.push(finding.to_string()),
        }
    }
    for ((rule, path, words, _), used) in exceptions.iter().zip(used) {
        if rules.contains(rule) && !used {
            left.push(format!(
                "{path}: {rule}: nothing needs the exception '{words}'"
            ));
        }
    }
    left
}

#[test]
fn an_exception_excuses_its_finding_alone_and_is_reported_when_nothing_needs_it() {
    let finding = |what: &str| Finding::new("layer", "src/a.rs", 3, what);
    let exceptions: [Exception; 1] = [("layer", "src/a.rs", "crate::b", "a reason")];
    let both = vec![finding("names crate::b"), finding("names crate::c")];
    let left = unexcused(&["layer"], &exceptions, both);
    assert_eq!(left, ["src/a.rs:3: layer: names crate::c"]);
    let left = unexcused(&["layer"], &exceptions, Vec::new());
    assert_eq!(
        left,
        ["src/a.rs: layer: nothing needs the exception 'crate::b'"]
    );
    assert_eq!(unexcused(&["sizes"], &exceptions, Vec::new()), [""; 0]);
}
