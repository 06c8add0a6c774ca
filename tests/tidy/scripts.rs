//! Scripts: no command in a pipe stops reading before the previous command has finished writing.
//!
//! With `pipefail`, a command that writes into a closed pipe makes the whole pipe fail. Whether the
//! command still writes when the pipe is closed is a matter of chance.

use super::findings::{Finding, assert_no_findings};
use super::source::{files, relative};

/// Commands at the end of a pipe that stop reading early.
const EARLY: [&str; 3] = ["| head", "| grep -q", "| grep -m"];

fn early_ends(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().zip(1..);
    let code = lines.filter(|(line, _)| !line.trim_start().starts_with('#'));
    let early = code.filter_map(|(line, number)| {
        let end = EARLY.into_iter().find(|end| line.contains(end))?;
        Some(Finding::new("early end", path, number, format!("`{end}`")))
    });
    early.collect()
}

#[test]
fn no_pipe_in_a_script_ends_early() {
    let scripts = files(&["scripts", "examples", "benches"], &["sh"]);
    assert!(scripts.len() > 10, "the check finds too few scripts");
    let findings = scripts.iter().flat_map(|path| {
        let text = std::fs::read_to_string(path).expect("a script is text");
        early_ends(&relative(path), &text)
    });
    assert_no_findings(&["early end"], findings.collect());
}

#[test]
fn an_early_end_is_found_in_code_and_not_in_comments() {
    let found = |text| early_ends("a.sh", text).len();
    assert_eq!(found("a | grep -q b || die\n"), 1);
    assert_eq!(found("a | head -n 1\n"), 1);
    assert_eq!(found("# a | head\na | grep b >/dev/null\n"), 0);
}
