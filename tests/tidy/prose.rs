//! The prose of the project: comments, documentation strings and Markdown, as sentences.
//!
//! Prose is found by the kind of file: `//` and `/* */` in Rust and C, `#` and strings that stand
//! alone in Python, `#` in shell, make and TOML, `--` in Lua, and everything but code and headings
//! in Markdown. Lines that belong together become a paragraph, which is cut into sentences.

/// A sentence, and the line where it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Sentence {
    pub line: usize,
    pub text: String,
}

/// The languages whose prose is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    /// Rust, C, C++ and JavaScript.
    Slashes,
    /// Python.
    Python,
    /// Shell, make, TOML, configuration of HAProxy.
    Hash,
    Lua,
    Markdown,
}

/// The extensions of the files that have prose.
pub const EXTENSIONS: [&str; 13] = [
    "rs", "c", "h", "cpp", "py", "pyi", "sh", "toml", "cfg", "lua", "md", "js", "in",
];

fn language(path: &str) -> Language {
    match path.rsplit('.').next().unwrap_or("") {
        "rs" | "c" | "h" | "cpp" | "js" => Language::Slashes,
        "py" | "pyi" => Language::Python,
        "lua" => Language::Lua,
        "md" => Language::Markdown,
        _ => Language::Hash,
    }
}

/// The sentences of a file.
pub fn sentences(path: &str, text: &str) -> Vec<Sentence> {
    let language = language(path);
    let lines = match language {
        Language::Markdown => markdown(text),
        Language::Python => python(text),
        _ => comments(text, language),
    };
    let mut found = Vec::new();
    let mut paragraph: Vec<(usize, String)> = Vec::new();
    for (number, line) in lines.into_iter().enumerate() {
        let line = line.as_deref().map_or("", str::trim);
        let (begins, rest) = marker(line);
        if begins || rest.is_empty() {
            found.extend(cut(&paragraph));
            paragraph.clear();
        }
        for (at, cell) in cells(rest).into_iter().enumerate() {
            if at > 0 {
                found.extend(cut(&paragraph));
                paragraph.clear();
            }
            if !cell.is_empty() {
                paragraph.push((number + 1, cell.to_owned()));
            }
        }
    }
    found.extend(cut(&paragraph));
    found
}

/// Returns whether a line begins an item of a list or a quotation, or is a row of a table, and the
/// line without its marker. A row keeps its bars.
fn marker(line: &str) -> (bool, &str) {
    for mark in ["- ", "* ", "+ ", "> "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return (true, rest.trim());
        }
    }
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    if let Some(rest) = line[digits..].strip_prefix(". ").filter(|_| digits > 0) {
        return (true, rest.trim());
    }
    (line.starts_with('|'), line)
}

/// The cells of a row of a table, or the line itself.
fn cells(line: &str) -> Vec<&str> {
    match line.starts_with('|') {
        true => line.trim_matches('|').split('|').map(str::trim).collect(),
        false => vec![line],
    }
}

/// The lines of Markdown outside of code and headings.
fn markdown(text: &str) -> Vec<Option<String>> {
    let mut fenced = false;
    let lines = text.lines().map(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let prose = !fenced && !fence && !line.starts_with('#');
        prose.then(|| line.to_owned())
    });
    lines.collect()
}

/// The comments of Python, and the strings that stand alone.
fn python(text: &str) -> Vec<Option<String>> {
    let mut within: Option<&str> = None;
    let lines = text.lines().map(|line| {
        let trimmed = line.trim();
        if let Some(quotes) = within {
            if trimmed.contains(quotes) {
                within = None;
            }
            return Some(trimmed.replace(quotes, ""));
        }
        for quotes in ["\"\"\"", "'''"] {
            let after = trimmed.strip_prefix(quotes);
            let after = after.or_else(|| trimmed.strip_prefix('r')?.strip_prefix(quotes));
            if let Some(after) = after {
                if !after.contains(quotes) {
                    within = Some(quotes);
                }
                return Some(after.replace(quotes, ""));
            }
        }
        comment_after(line, "#")
    });
    lines.collect()
}

/// The comments of a language without documentation strings.
fn comments(text: &str, language: Language) -> Vec<Option<String>> {
    let mut within = false;
    let lines = text.lines().map(|line| match language {
        Language::Hash => comment_after(line, "#"),
        Language::Lua => comment_after(line, "--").map(|it| it.trim_matches(['[', '-']).to_owned()),
        _ => {
            let trimmed = line.trim();
            if within {
                within = !trimmed.contains("*/");
                return Some(trimmed.trim_start_matches('*').replace("*/", ""));
            }
            if let Some((_, after)) = line.split_once("/*") {
                within = !after.contains("*/");
                let after = after.split("*/").next().unwrap_or("");
                return Some(after.trim_start_matches(['*', '!']).to_owned());
            }
            let after = comment_after(line, "//")?;
            Some(after.trim_start_matches(['/', '!']).to_owned())
        }
    });
    lines.collect()
}

/// The text after a mark that begins a comment: at the start of the line or after a space, and
/// not within a string.
fn comment_after(line: &str, mark: &str) -> Option<String> {
    let found = line.match_indices(mark).find(|(at, _)| {
        let before = &line[..*at];
        let quotes = before.matches('"').count() - before.matches("\\\"").count();
        (before.is_empty() || before.ends_with(char::is_whitespace)) && quotes % 2 == 0
    });
    found.map(|(at, _)| line[at + mark.len()..].to_owned())
}

/// Cuts a paragraph after every full stop, question mark or exclamation mark that ends a word,
/// except after `e.g.` and `i.e.`
fn cut(paragraph: &[(usize, String)]) -> Vec<Sentence> {
    let mut found: Vec<Sentence> = Vec::new();
    let mut ended = true;
    for (line, text) in paragraph {
        for word in text.split_whitespace() {
            match found.last_mut() {
                Some(last) if !ended => {
                    last.text.push(' ');
                    last.text.push_str(word);
                }
                _ => found.push(Sentence {
                    line: *line,
                    text: word.to_owned(),
                }),
            }
            let bare = word.trim_end_matches(['"', '\'', ')', '*', '_', '`']);
            ended = bare.ends_with(['.', '?', '!']) && !["e.g.", "i.e."].contains(&bare);
        }
    }
    found
}

#[cfg(test)]
fn numbered(path: &str, text: &str) -> Vec<(usize, String)> {
    let sentences = sentences(path, text).into_iter();
    sentences.map(|it| (it.line, it.text)).collect()
}

#[test]
fn comments_of_every_language_are_cut_into_sentences() {
    let expected = vec![(1, "One two.".to_owned()), (2, "Three?".to_owned())];
    for (path, text) in [
        ("a.rs", "//! One\n//! two. Three?\nlet x = \"// no\";\n"),
        ("a.rs", "/// One\n/// two. Three?\nfn f() {}\n"),
        ("a.c", "/* One\n * two. Three? */\nint x;\n"),
        ("a.py", "\"\"\"One\ntwo. Three?\"\"\"\nx = 'no'\n"),
        ("a.py", "# One\n# two. Three?\n"),
        ("a.sh", "# One\n# two. Three?\necho \"# no\"\n"),
        ("a.lua", "-- One\n-- two. Three?\n"),
        ("a.md", "One\ntwo. Three?\n\n```\nno\n```\n# no\n"),
    ] {
        // The second sentence begins on the second line of each text.
        assert_eq!(numbered(path, text), expected, "{path}");
    }
}

#[test]
fn items_of_lists_and_cells_of_tables_begin_sentences() {
    let text = "a\n- b\n  c\n1. d\n| e | f |\n";
    let texts: Vec<String> = numbered("a.md", text).into_iter().map(|it| it.1).collect();
    assert_eq!(texts, ["a", "b c", "d", "e", "f"]);
}
