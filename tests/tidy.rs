//! The house rules, checked: layers, what only the driver may touch, sizes, comments.
//!
//! The rules are about text, so the checks read text: line by line, with comments and string
//! literals blanked where they would mislead. They rely on the layout that rustfmt makes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests.
const FILE_LINES: usize = 500;
/// Lines of a function, head and closing brace included.
const FUNCTION_LINES: usize = 70;
/// Characters of a line.
const LINE_CHARS: usize = 100;

/// The layers, lowest first, and the layers each may name.
const LAYERS: [(&str, &[&str]); 6] = [
    ("wire", &[]),
    ("swim", &["wire"]),
    ("serf", &["swim", "wire"]),
    ("service", &["serf"]),
    ("driver", &["serf", "service", "swim", "wire"]),
    ("ffi", &["driver", "serf", "swim", "wire"]),
];
/// Modules beside the layers that every layer may name.
const COMMON: [&str; 2] = ["limits", "time"];
/// Modules beside the layers for the two upper layers.
const UPPER: [&str; 6] = ["config", "error", "Config", "Node", "Error", "Status"];
/// What only `driver` may name: clock, network, threads, files.
const DRIVER_ONLY: [&str; 8] = [
    "Instant::now",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "std::thread",
    "std::fs",
    "socket2",
];
/// What only the two upper layers may name: system calls.
const SYSTEM: [&str; 1] = ["libc::"];
/// What nobody may name: these print, end the process, are unfinished, or raise SIGPIPE.
const NOWHERE: [&str; 10] = [
    "write_vectored",
    "println!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "todo!",
    "unimplemented!",
    "process::exit",
    "process::abort",
    "set_var",
];

/// Exceptions: rule, file, and a word that the line (or the file, for sizes) must contain.
/// The last column is the reason; an exception that is not needed any more fails the test.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[(
    "driver only",
    "src/config/file.rs",
    "std::fs",
    "reads the settings file on the caller's thread, before there is a node",
)];

/// A source file, three ways.
struct Source {
    path: String,
    /// As it is.
    lines: Vec<String>,
    /// With comments and the contents of string literals blanked.
    code: Vec<String>,
    /// Lines before the first `#[cfg(test)] mod`.
    product: usize,
}

impl Source {
    fn read(path: &Path, root: &Path) -> Source {
        let text = std::fs::read_to_string(path).expect("a source file is readable");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(&text).lines().map(str::to_owned).collect();
        let path = path.strip_prefix(root).unwrap().display().to_string();
        let only_tests = path.contains("tests.rs") || format!("/{path}").contains("/tests/");
        let starts_tests = |i: &usize| {
            let next = code.get(i + 1).map_or("", |line| line.trim());
            code[*i].trim() == "#[cfg(test)]" && names(next, "mod ") && next.ends_with('{')
        };
        let product = match only_tests {
            true => 0,
            false => (0..code.len()).find(starts_tests).unwrap_or(code.len()),
        };
        Source {
            path,
            lines,
            code,
            product,
        }
    }

    /// The layer that the file belongs to.
    fn layer(&self) -> Option<&'static str> {
        let rest = self.path.strip_prefix("src/")?;
        let first = rest.split(['/', '.']).next()?;
        LAYERS
            .iter()
            .map(|(name, _)| *name)
            .find(|name| *name == first)
    }

    fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate();
        numbered
            .take(self.product)
            .map(|(i, line)| (i + 1, line.as_str()))
    }
}

/// Blanks comments, string literals and character literals, keeping every line break.
fn blank(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < bytes.len() {
        let end = literal_end(&bytes, i);
        if end == i {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        out.extend(
            bytes[i..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        i = end;
    }
    out
}

/// Where the comment or literal that begins at `i` ends; `i` if none begins there.
fn literal_end(text: &[char], i: usize) -> usize {
    let starts = |what: &str| {
        what.chars()
            .enumerate()
            .all(|(k, c)| text.get(i + k) == Some(&c))
    };
    let from = |start: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = (start..text.len()).find(|k| text[*k..].starts_with(&end));
        found.map_or(text.len(), |k| k + end.len())
    };
    let word_before = i > 0 && (text[i - 1].is_alphanumeric() || text[i - 1] == '_');
    if starts("//") {
        return (i..text.len())
            .find(|k| text[*k] == '\n')
            .unwrap_or(text.len());
    }
    if starts("/*") {
        return from(i + 2, "*/");
    }
    if !word_before && (starts("r\"") || starts("br\"")) {
        return from(i + 3, "\"");
    }
    if !word_before && (starts("r#\"") || starts("br#\"")) {
        return from(i + 3, "\"#");
    }
    if starts("\"") {
        let mut k = i + 1;
        while k < text.len() && text[k] != '"' {
            k += if text[k] == '\\' { 2 } else { 1 };
        }
        return (k + 1).min(text.len());
    }
    if starts("'") && text.get(i + 1) == Some(&'\\') {
        return from(i + 3, "'");
    }
    if starts("'") && text.get(i + 2) == Some(&'\'') {
        return i + 3;
    }
    i
}

/// Everything that was found wrong, minus the exceptions.
#[derive(Default)]
struct Findings {
    report: String,
    count: usize,
    used: Vec<usize>,
}

impl Findings {
    fn add(&mut self, rule: &str, source: &Source, line: usize, what: &str) {
        let text = source.lines.get(line - 1).map_or("", |text| text.as_str());
        let excused = EXCEPTIONS.iter().position(|(of, path, word, _)| {
            *of == rule && *path == source.path && (text.contains(word) || word.is_empty())
        });
        match excused {
            Some(index) => self.used.push(index),
            None => {
                self.count += 1;
                writeln!(self.report, "{}:{line}: {rule}: {what}", source.path).unwrap();
            }
        }
    }

    fn finish(self, rules: &[&str]) {
        let mut report = self.report;
        let mut count = self.count;
        for (index, (rule, path, word, _)) in EXCEPTIONS.iter().enumerate() {
            if rules.contains(rule) && !self.used.contains(&index) {
                count += 1;
                writeln!(
                    report,
                    "{path}: {rule}: the exception '{word}' is not needed"
                )
                .unwrap();
            }
        }
        assert_eq!(count, 0, "{count} findings:\n{report}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file under these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = root();
    let mut queue: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                queue.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("build.rs")
            {
                found.push(path); // but for build scripts, which speak to cargo by printing
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no source files in {folders:?}");
    found.iter().map(|path| Source::read(path, &root)).collect()
}

fn product() -> Vec<Source> {
    sources(&["src"])
}

/// The library and the bindings in Rust.
fn shipped() -> Vec<Source> {
    sources(&["src", "bindings"])
}

fn everything() -> Vec<Source> {
    sources(&["src", "bindings", "tests", "examples", "benches"])
}

/// The first names after every `crate::` in the code, with their lines.
fn crate_paths(source: &Source) -> Vec<(usize, String)> {
    let text = source.code[..source.product].join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        let name = |text: &str| -> String {
            let text = text.trim_start();
            text.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            None => found.push((line, name(rest))),
            Some(group) => found.extend(top_level(group).iter().map(|one| (line, name(one)))),
        }
    }
    found
}

/// The parts of a brace group, cut at its own commas.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Line of the head and number of lines of every function of the product.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (number, line) in source.product_code() {
        let head = line.trim_start();
        let words: Vec<&str> = head.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else {
            continue;
        };
        let qualifier = |word: &&str| {
            word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(word)
        };
        let is_head = words[..at]
            .iter()
            .all(|word| qualifier(word) || word.is_empty());
        if !is_head {
            continue;
        }
        let indent = &line[..line.len() - head.len()];
        let close = format!("{indent}}}");
        let rest = &source.code[number - 1..];
        let opens = rest
            .iter()
            .position(|l| l.contains('{') || l.trim_end().ends_with(';'));
        let body = opens.map_or("", |k| rest[k].trim_end());
        if body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let length = rest
            .iter()
            .position(|l| l.trim_end() == close)
            .unwrap_or(rest.len())
            + 1;
        found.push((number, length));
    }
    found
}

#[test]
fn a_layer_names_only_layers_below_it() {
    let mut findings = Findings::default();
    for source in product() {
        let Some(layer) = source.layer() else {
            continue;
        };
        let (_, below) = LAYERS.iter().find(|(name, _)| *name == layer).unwrap();
        let upper = layer == "driver" || layer == "ffi";
        for (line, name) in crate_paths(&source) {
            let fine = name == layer
                || below.contains(&name.as_str())
                || COMMON.contains(&name.as_str())
                || (upper && UPPER.contains(&name.as_str()));
            if !fine {
                findings.add(
                    "layer",
                    &source,
                    line,
                    &format!("{layer} names crate::{name}"),
                );
            }
        }
    }
    findings.finish(&["layer"]);
}

#[test]
fn only_the_driver_touches_clock_network_threads_and_files() {
    let mut findings = Findings::default();
    for source in product()
        .iter()
        .filter(|source| source.layer() != Some("driver"))
    {
        for (line, code) in source.product_code() {
            let system = SYSTEM.iter().filter(|_| source.layer() != Some("ffi"));
            let words = DRIVER_ONLY.iter().chain(system);
            for word in words.filter(|word| code.contains(*word)) {
                findings.add("driver only", source, line, word);
            }
        }
    }
    findings.finish(&["driver only"]);
}

#[test]
fn nothing_prints_exits_or_is_left_open() {
    let mut findings = Findings::default();
    for source in shipped() {
        for (line, code) in source.product_code() {
            for word in NOWHERE.iter().filter(|word| names(code, word)) {
                findings.add("nowhere", &source, line, word);
            }
        }
    }
    findings.finish(&["nowhere"]);
}

/// Whether `code` has `word` as a word of its own: `println!` is not in `eprintln!`.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn unsafe_code_stands_at_the_borders_and_says_why_it_is_sound() {
    let mut findings = Findings::default();
    for source in shipped() {
        let binding = source.path.starts_with("bindings");
        let allowed = binding || matches!(source.layer(), Some("driver" | "ffi"));
        for (line, code) in source.product_code() {
            let block = names(code, "unsafe {") || names(code, "unsafe impl");
            if (block || names(code, "unsafe fn")) && !allowed {
                findings.add("unsafe", &source, line, "outside driver, ffi and bindings");
            }
            if block && !explained(&source, line) {
                findings.add("safety", &source, line, "no SAFETY: line above");
            }
        }
    }
    findings.finish(&["unsafe", "safety"]);
}

/// Whether a SAFETY: comment stands on the line, or in the comment above the statement it is in.
fn explained(source: &Source, line: usize) -> bool {
    let mut at = line - 1;
    let mut code_lines = 0;
    loop {
        if source.lines[at].contains("SAFETY:") {
            return true;
        }
        let is_comment = source.lines[at].trim_start().starts_with("//");
        code_lines += usize::from(!is_comment);
        // rustfmt may put the block some lines below the start of its statement.
        if at == 0 || code_lines > 4 {
            return false;
        }
        at -= 1;
    }
}

#[test]
fn unwrap_and_expect_are_proved_by_a_comment() {
    let mut findings = Findings::default();
    for source in shipped() {
        for (line, code) in source.product_code() {
            let takes = code.contains(".unwrap()") || code.contains(".expect(");
            let said = |at: usize| source.lines.get(at).is_some_and(|text| text.contains("//"));
            let above = (line.saturating_sub(4)..line).any(said);
            if takes && !above {
                findings.add("unwrap", &source, line, "no comment proves it");
            }
        }
    }
    findings.finish(&["unwrap"]);
}

#[test]
fn a_file_holds_one_idea_and_tells_its_story() {
    let mut findings = Findings::default();
    for source in everything() {
        if !source
            .lines
            .first()
            .is_some_and(|line| line.starts_with("//!"))
        {
            findings.add("story", &source, 1, "does not begin with //!");
        }
        if source.product > FILE_LINES {
            let what = format!("{} lines without tests", source.product);
            findings.add("file length", &source, 1, &what);
        }
    }
    findings.finish(&["story", "file length"]);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut findings = Findings::default();
    let mut seen = 0;
    for source in everything() {
        for (line, length) in functions(&source) {
            seen += 1;
            if length > FUNCTION_LINES {
                findings.add("function length", &source, line, &format!("{length} lines"));
            }
        }
    }
    assert!(
        seen > 100,
        "the check found only {seen} functions: it is blind"
    );
    findings.finish(&["function length"]);
}

#[test]
fn lines_are_not_wider_than_a_hundred_characters() {
    let mut findings = Findings::default();
    for source in everything() {
        for (i, line) in source.lines.iter().enumerate() {
            let length = line.chars().count();
            if length > LINE_CHARS {
                findings.add(
                    "line length",
                    &source,
                    i + 1,
                    &format!("{length} characters"),
                );
            }
        }
    }
    findings.finish(&["line length"]);
}

#[test]
fn names_of_tests_are_sentences() {
    let mut findings = Findings::default();
    for source in everything() {
        for (i, line) in source.code.iter().enumerate() {
            if line.trim() != "#[test]" {
                continue;
            }
            let mut after = source.code[i + 1..].iter();
            let head = after
                .find_map(|line| line.trim().strip_prefix("fn "))
                .unwrap_or("");
            let name = head.split('(').next().unwrap_or("");
            if name.split('_').count() < 3 {
                findings.add(
                    "test name",
                    &source,
                    i + 1,
                    &format!("'{name}' is no sentence"),
                );
            }
        }
    }
    findings.finish(&["test name"]);
}

#[test]
fn the_checks_see_what_they_look_for() {
    let text = "let a = \"unsafe { x }\"; // println!\nlet b = 'x'; let c = r#\"todo!\"#;\n";
    let blanked = blank(text);
    assert_eq!(blanked.lines().count(), 2);
    assert!(
        !blanked.contains("unsafe") && !blanked.contains("println") && !blanked.contains("todo")
    );
    assert!(blanked.contains("let b =") && blanked.contains("let c ="));
    assert_eq!(
        top_level("wire::{a, b}, swim, x::y}; rest"),
        ["wire::{a, b}", " swim", " x::y"]
    );
    assert!(names("std::println!(x)", "println!") && !names("eprintln!(x)", "println!"));

    let lines = [
        "//! x",
        "fn f(",
        "    a: u8,",
        ") -> u8 {",
        "    a",
        "}",
        "fn g() {}",
    ];
    let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
    let source = Source {
        path: "src/wire/x.rs".into(),
        code: lines.clone(),
        product: lines.len(),
        lines,
    };
    assert_eq!(functions(&source), [(2, 5)]);
    assert_eq!(source.layer(), Some("wire"));
}
