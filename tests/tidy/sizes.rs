//! Sizes and forms: files, functions, lines, heads of files, names of tests, and comments that
//! justify `unwrap` and `unsafe`.

use super::findings::{Finding, assert_no_findings};
use super::source::{Source, everything, files, names, relative, shipped};

/// The maximum number of lines of a file without its tests. Python and Lua keep tests elsewhere.
const FILE_LINES: usize = 500;
/// The maximum number of lines of a function, its head and closing brace included.
const FUNCTION_LINES: usize = 70;
/// The maximum number of characters of a line.
const LINE_CHARS: usize = 100;
/// The folders that may hold `unsafe` code.
const FOLDERS_WITH_UNSAFE: [&str; 3] = ["src/driver/", "src/ffi/", "bindings/"];

fn head_comments_and_file_lengths(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let first = source.lines.first();
        if !first.is_some_and(|line| line.starts_with("//!")) {
            findings.push(Finding::new(
                "head comment",
                &source.path,
                1,
                "does not begin with //!",
            ));
        }
        if source.product > FILE_LINES {
            let what = format!(
                "{} lines without tests, allowed: {FILE_LINES}",
                source.product
            );
            findings.push(Finding::new("file length", &source.path, 1, what));
        }
    }
    findings
}

/// A file in Python or Lua that is too long; `lines` is the number of its lines.
fn script_length(path: &str, lines: usize) -> Option<Finding> {
    let what = format!("{lines} lines, allowed: {FILE_LINES}");
    (lines > FILE_LINES).then(|| Finding::new("script length", path, 1, what))
}

/// The line of the head and the number of lines of every function of the product, except functions
/// without a body and functions whose body begins and ends on one line.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (number, line) in source.product_code() {
        let head = line.trim_start();
        let mut words = without_visibility(head).split_whitespace();
        let is_qualifier = |word: &&str| {
            ["const", "async", "unsafe", "extern"].contains(word) || word.starts_with('"')
        };
        if words.find(|word| !is_qualifier(word)) != Some("fn") {
            continue;
        }
        let indent = &line[..line.len() - head.len()];
        let close = format!("{indent}}}");
        let rest = &source.code[number - 1..];
        let opens = |line: &String| line.contains('{') || line.trim_end().ends_with(';');
        let body = rest
            .iter()
            .find(|line| opens(line))
            .map_or("", |line| line.trim_end());
        if body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let closes = rest.iter().position(|line| line.trim_end() == close);
        found.push((number, closes.unwrap_or(rest.len()) + 1));
    }
    found
}

/// The head of an item without its visibility, such as `pub` or `pub(in crate::driver)`.
fn without_visibility(head: &str) -> &str {
    match head.strip_prefix("pub(") {
        Some(rest) => rest.split_once(')').map_or(head, |(_, rest)| rest),
        None => head.strip_prefix("pub ").unwrap_or(head),
    }
}

fn long_functions(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, length) in functions(source) {
            if length > FUNCTION_LINES {
                let what = format!("{length} lines, allowed: {FUNCTION_LINES}");
                findings.push(Finding::new("function length", &source.path, line, what));
            }
        }
    }
    findings
}

fn wide_lines(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (i, line) in source.lines.iter().enumerate() {
            let width = line.chars().count();
            if width > LINE_CHARS {
                let what = format!("{width} characters, allowed: {LINE_CHARS}");
                findings.push(Finding::new("line length", &source.path, i + 1, what));
            }
        }
    }
    findings
}

/// Tests whose name has fewer than three words.
fn unnamed_tests(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (i, line) in source.code.iter().enumerate() {
            if line.trim() != "#[test]" {
                continue;
            }
            let mut after = source.code[i + 1..].iter();
            let head = after.find_map(|line| line.trim().strip_prefix("fn "));
            let name = head.unwrap_or("").split('(').next().unwrap_or("");
            if name.split('_').count() < 3 {
                let what = format!("'{name}' is not a sentence");
                findings.push(Finding::new("test name", &source.path, i + 1, what));
            }
        }
    }
    findings
}

fn unproved_unwraps(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, code) in source.product_code() {
            let takes = code.contains(".unwrap()") || code.contains(".expect(");
            let said = |at: usize| source.lines.get(at).is_some_and(|text| text.contains("//"));
            if takes && !(line.saturating_sub(4)..line).any(said) {
                let what = "no comment proves that it cannot fail";
                findings.push(Finding::new("unwrap", &source.path, line, what));
            }
        }
    }
    findings
}

/// `unsafe` outside of [`FOLDERS_WITH_UNSAFE`], and blocks and impls without a `SAFETY:` line.
fn unsafe_code(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let allowed = FOLDERS_WITH_UNSAFE
            .iter()
            .any(|folder| source.path.starts_with(folder));
        for (line, code) in source.product_code() {
            let block = names(code, "unsafe {") || names(code, "unsafe impl");
            if (block || names(code, "unsafe fn")) && !allowed {
                let what = format!("is outside of {FOLDERS_WITH_UNSAFE:?}");
                findings.push(Finding::new("unsafe", &source.path, line, what));
            }
            if block && !explained(source, line) {
                let what = "no SAFETY: line above";
                findings.push(Finding::new("safety", &source.path, line, what));
            }
        }
    }
    findings
}

/// Returns true if a SAFETY: comment is on the line or above it, with at most three other lines of
/// code between them.
fn explained(source: &Source, line: usize) -> bool {
    let mut code_lines = 0;
    for text in source.lines[..line].iter().rev() {
        if text.contains("SAFETY:") {
            return true;
        }
        code_lines += usize::from(!text.trim_start().starts_with("//"));
        // rustfmt may put the block some lines below the start of its statement.
        if code_lines > 4 {
            return false;
        }
    }
    false
}

#[test]
fn a_file_is_short_and_begins_with_a_comment_about_itself() {
    assert_no_findings(
        &["head comment", "file length"],
        head_comments_and_file_lengths(&everything()),
    );
}

#[test]
fn a_script_that_is_shipped_is_short() {
    let scripts = files(
        &["bindings/python/python", "bindings/haproxy/lua"],
        &["py", "lua"],
    );
    let findings = scripts.iter().filter_map(|path| {
        let text = std::fs::read_to_string(path).expect("a script is text");
        script_length(&relative(path), text.lines().count())
    });
    assert_no_findings(&["script length"], findings.collect());
    assert_eq!(script_length("a.py", FILE_LINES), None);
    assert!(script_length("a.py", FILE_LINES + 1).is_some());
}

#[test]
fn functions_fit_on_a_screen() {
    let sources = everything();
    let seen: usize = sources.iter().map(|source| functions(source).len()).sum();
    assert!(
        seen > 100,
        "the check found only {seen} functions, so it does not work"
    );
    assert_no_findings(&["function length"], long_functions(&sources));
}

#[test]
fn lines_are_not_wider_than_a_hundred_characters() {
    assert_no_findings(&["line length"], wide_lines(&everything()));
}

#[test]
fn names_of_tests_are_sentences() {
    assert_no_findings(&["test name"], unnamed_tests(&everything()));
}

#[test]
fn unwrap_and_expect_are_proved_by_a_comment() {
    assert_no_findings(&["unwrap"], unproved_unwraps(&shipped()));
}

#[test]
fn unsafe_code_is_in_few_folders_and_each_block_says_why_it_is_sound() {
    assert_no_findings(&["unsafe", "safety"], unsafe_code(&shipped()));
}

#[test]
fn broken_sizes_and_forms_are_found() {
    let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES - 1));
    let wide = format!("// {}\n", "x".repeat(LINE_CHARS));
    let short = "#[test]\nfn short() {}\n";
    let unproved = "fn h() {\n    a.unwrap();\n    unsafe { b() }\n}\n";
    let restricted = format!("pub(in crate::driver) const {long}");
    let text = long + &restricted + &wide + short + unproved + &"\n".repeat(FILE_LINES);
    let sources = [Source::new("src/wire/x.rs", &text)];
    let rules = |found: Vec<Finding>| found.into_iter().map(|it| it.rule).collect::<Vec<_>>();
    assert_eq!(
        rules(head_comments_and_file_lengths(&sources)),
        ["head comment", "file length"]
    );
    assert_eq!(
        rules(long_functions(&sources)),
        ["function length", "function length"]
    );
    assert_eq!(rules(wide_lines(&sources)), ["line length"]);
    assert_eq!(rules(unnamed_tests(&sources)), ["test name"]);
    assert_eq!(rules(unproved_unwraps(&sources)), ["unwrap"]);
    assert_eq!(rules(unsafe_code(&sources)), ["unsafe", "safety"]);
}

#[test]
fn good_sizes_and_forms_cause_no_finding() {
    let text = "//! A file.\nfn f(\n    a: u8,\n) -> u8 {\n    a\n}\nfn g() {}\n\
        // It is there.\nlet b = a.unwrap();\n// SAFETY: it is open.\nunsafe { c(b) }\n\
        #[test]\nfn a_name_of_words() {}\n";
    let sources = [Source::new("src/ffi/x.rs", text)];
    assert_eq!(functions(&sources[0]), [(2, 5)]);
    assert_eq!(head_comments_and_file_lengths(&sources), []);
    assert_eq!(long_functions(&sources), []);
    assert_eq!(wide_lines(&sources), []);
    assert_eq!(unnamed_tests(&sources), []);
    assert_eq!(unproved_unwraps(&sources), []);
    assert_eq!(unsafe_code(&sources), []);
}
