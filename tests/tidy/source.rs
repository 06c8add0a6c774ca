//! Files as the checks read them: each Rust file in three forms, and the folders that are searched.
//!
//! A Rust file is kept as its text, as its code alone, and as its string literals alone. All three
//! have the lines and columns of the file: whatever a form leaves out is replaced by spaces. The
//! split relies on the layout that rustfmt makes. It knows comments, strings, raw strings and
//! characters.

use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// The path from the root of the repository.
    pub path: String,
    /// The lines.
    pub lines: Vec<String>,
    /// The lines, with comments and literals replaced by spaces.
    pub code: Vec<String>,
    /// The lines, with everything but string literals replaced by spaces.
    pub strings: Vec<String>,
    /// The number of lines of the product: those before the first `#[cfg(test)] mod NAME {`; 0 for
    /// a file of tests.
    pub product: usize,
}

impl Source {
    /// Splits the text of a file.
    pub fn new(path: &str, text: &str) -> Source {
        let split = Split::of(text);
        let owned = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let code = owned(&split.code);
        let only_tests = path.ends_with("tests.rs") || format!("/{path}").contains("/tests/");
        let starts_tests = |i: &usize| {
            let next = code.get(i + 1).map_or("", |line| line.trim());
            code[*i].trim() == "#[cfg(test)]" && names(next, "mod ") && next.ends_with('{')
        };
        let product = match only_tests {
            true => 0,
            false => (0..code.len()).find(starts_tests).unwrap_or(code.len()),
        };
        Source {
            path: path.to_owned(),
            lines: owned(text),
            code,
            strings: owned(&split.strings),
            product,
        }
    }

    /// The code before the tests, with line numbers from 1.
    pub fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate().take(self.product);
        numbered.map(|(i, line)| (i + 1, line.as_str()))
    }

    /// The code before the tests as one text.
    pub fn product_text(&self) -> String {
        self.code[..self.product].join("\n")
    }
}

/// The code and the string literals of a Rust text, each with all line breaks of the text.
struct Split {
    code: String,
    strings: String,
}

impl Split {
    fn of(text: &str) -> Split {
        let chars: Vec<char> = text.chars().collect();
        let (mut code, mut strings) = (String::new(), String::new());
        let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
        let mut i = 0;
        while i < chars.len() {
            let end = literal_end(&chars, i).max(i + 1);
            let part = &chars[i..end];
            if end == i + 1 {
                code.push(part[0]);
                strings.push(blank(&part[0]));
            } else {
                code.extend(part.iter().map(blank));
                match part.contains(&'"') && !matches!(part[0], '/' | '\'') {
                    true => strings.extend(part),
                    false => strings.extend(part.iter().map(blank)),
                }
            }
            i = end;
        }
        Split { code, strings }
    }
}

/// The end of the comment or literal that begins at `i`; `i` if none begins there.
fn literal_end(text: &[char], i: usize) -> usize {
    let starts = |what: &str| {
        let mut expected = what.chars().enumerate();
        expected.all(|(k, c)| text.get(i + k) == Some(&c))
    };
    let from = |start: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = (start..text.len()).find(|k| text[*k..].starts_with(&end));
        found.map_or(text.len(), |k| k + end.len())
    };
    let word_before = i > 0 && (text[i - 1].is_alphanumeric() || text[i - 1] == '_');
    if starts("//") {
        let found = (i..text.len()).find(|k| text[*k] == '\n');
        return found.unwrap_or(text.len());
    }
    if starts("/*") {
        return from(i + 2, "*/");
    }
    if !word_before && (starts("r\"") || starts("br\"")) {
        return from(i + if starts("b") { 3 } else { 2 }, "\"");
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

/// Returns true if `code` contains `word` and not only as the end of a longer word: `println!` is
/// not found in `eprintln!`.
pub fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The paths of all files under these folders that have one of these extensions, sorted. Folders of
/// builds, caches and version control are left out.
pub fn files(folders: &[&str], extensions: &[&str]) -> Vec<PathBuf> {
    let skipped = ["target", ".git", "__pycache__", "build"];
    let mut queue: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let wanted = |ext: &std::ffi::OsStr| extensions.iter().any(|it| *it == ext);
            if path.is_dir() {
                if !skipped.contains(&&*name) {
                    queue.push(path);
                }
            } else if path.extension().is_some_and(wanted) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {extensions:?} files in {folders:?}");
    found
}

/// A path from the root of the repository.
pub fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}

/// The Rust files under these folders. Build scripts are left out: they speak to cargo by printing.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = files(folders, &["rs"]);
    paths.retain(|path| !path.ends_with("build.rs"));
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source file is readable");
        Source::new(&relative(path), &text)
    };
    paths.iter().map(read).collect()
}

/// The Rust files of the library.
pub fn product() -> Vec<Source> {
    sources(&["src"])
}

/// The Rust files of the library and the bindings.
pub fn shipped() -> Vec<Source> {
    sources(&["src", "bindings"])
}

/// All Rust files of the repository except build scripts.
pub fn everything() -> Vec<Source> {
    sources(&[
        "src", "include", "bindings", "tests", "examples", "benches", "fuzz",
    ])
}

#[test]
fn comments_and_literals_are_distinguished_from_code() {
    let text = "let a = \"unsafe { x }\"; // println!\nlet b = 'x'; let c = r#\"todo!\"#;\n";
    let source = Source::new("src/wire/x.rs", text);
    assert_eq!(source.code.len(), 2);
    assert!(!source.product_text().contains("unsafe"));
    assert!(!source.product_text().contains("println"));
    assert!(!source.product_text().contains("todo"));
    assert!(source.code[1].contains("let b =") && source.code[1].contains("let c ="));
    assert_eq!(source.strings[0].trim(), "\"unsafe { x }\"");
    assert_eq!(source.strings[1].trim(), "r#\"todo!\"#");
    assert!(names("std::println!(x)", "println!") && !names("eprintln!(x)", "println!"));
}

#[test]
fn the_product_ends_where_the_tests_begin() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(Source::new("src/wire/x.rs", text).product, 1);
    assert_eq!(Source::new("src/wire/tests.rs", text).product, 0);
    assert_eq!(Source::new("tests/node/x.rs", text).product, 0);
}
