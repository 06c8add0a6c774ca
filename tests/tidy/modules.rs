//! The modules of the library, and which file imports from which.
//!
//! An import is a path, in a `use` or elsewhere in code, that begins with `crate`, `super`, `self`
//! or a module declared in the same file. It leads to the file that defines its item: re-exports
//! are followed.

use super::source::{Source, names};
use std::collections::BTreeMap;

/// A module path below `crate`.
pub type Path = Vec<String>;

/// All modules by path, and what each brings into its scope.
pub struct Modules<'a> {
    by_path: BTreeMap<Path, Module<'a>>,
}

struct Module<'a> {
    source: &'a Source,
    /// The names that the `use` lines bring in, with the paths that they stand for. `*` is a glob.
    uses: Vec<(String, Path)>,
}

/// An import: its line, its path below `crate`, and the file that it leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    pub path: Path,
    pub target: String,
}

impl<'a> Modules<'a> {
    /// The modules of these files, which must be below `src`.
    pub fn of(sources: &'a [Source]) -> Modules<'a> {
        let mut by_path = BTreeMap::new();
        for source in sources {
            let uses = Vec::new();
            by_path.insert(module_path(&source.path), Module { source, uses });
        }
        let mut modules = Modules { by_path };
        let paths: Vec<Path> = modules.by_path.keys().cloned().collect();
        for path in paths {
            let text = modules.by_path[&path].source.product_text();
            let mut uses = Vec::new();
            for (_, statement) in use_statements(&text) {
                for written in expand(&statement) {
                    let (written, name) = match written.split_once(" as ") {
                        Some((written, name)) => (written.trim().to_owned(), name.trim()),
                        None => (written.clone(), written.rsplit("::").next().unwrap_or("")),
                    };
                    if let Some(absolute) = modules.absolute(&path, &written) {
                        uses.push((name.to_owned(), absolute));
                    }
                }
            }
            modules.by_path.get_mut(&path).expect("it is a key").uses = uses;
        }
        modules
    }

    /// The imports of a file from other files of the library, without those of its tests.
    pub fn imports(&self, source: &Source) -> Vec<Import> {
        let own = module_path(&source.path);
        let text = source.product_text();
        let mut written: Vec<(usize, String)> = Vec::new();
        let mut code = text.clone();
        for (at, statement) in use_statements(&text) {
            let line = line_of(&text, at);
            written.extend(expand(&statement).into_iter().map(|path| (line, path)));
            let blank: String = text[at..at + statement.len()]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' })
                .collect();
            code.replace_range(at..at + statement.len(), &blank);
        }
        written.extend(paths_in_code(&code, |name| {
            self.by_path.contains_key(&child(&own, name))
        }));
        let mut found = Vec::new();
        for (line, written) in written {
            let written = written.split(" as ").next().unwrap_or("").trim();
            let Some(path) = self.absolute(&own, written) else {
                continue;
            };
            let Some(target) = self.defining(&path, 0) else {
                continue;
            };
            if target.path != source.path {
                let target = target.path.clone();
                found.push(Import { line, path, target });
            }
        }
        found
    }

    /// The path below `crate` that a path written in module `own` stands for; `None` for a path
    /// outside of the library.
    fn absolute(&self, own: &Path, written: &str) -> Option<Path> {
        let mut segments = written.split("::").map(str::trim);
        let mut base = own.clone();
        let first = segments.next()?;
        match first {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop()?;
            }
            name if self.by_path.contains_key(&child(own, name)) => base.push(name.to_owned()),
            _ => return None,
        }
        for segment in segments {
            match segment {
                "super" => {
                    base.pop()?;
                }
                "self" | "" => {}
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }

    /// The file that defines the item at `path`.
    fn defining(&self, path: &Path, depth: usize) -> Option<&'a Source> {
        let known = (0..=path.len())
            .rev()
            .find(|len| self.by_path.contains_key(&path[..*len]))?;
        let module = &self.by_path[&path[..known]];
        let Some(item) = path.get(known) else {
            return Some(module.source);
        };
        if item == "*" || depth > 8 || defines(module.source, item) {
            return Some(module.source);
        }
        let named = module.uses.iter().find(|(name, _)| name == item);
        if let Some((_, stands_for)) = named {
            return self.defining(stands_for, depth + 1);
        }
        for (_, glob) in module.uses.iter().filter(|(name, _)| name == "*") {
            let of = glob[..glob.len() - 1].to_vec();
            if self
                .by_path
                .get(&of)
                .is_some_and(|it| defines(it.source, item))
            {
                return self.defining(&of, depth + 1);
            }
        }
        Some(module.source)
    }
}

fn child(own: &Path, name: &str) -> Path {
    let mut path = own.clone();
    path.push(name.to_owned());
    path
}

/// The module path of a file: `src/swim/mod.rs` is `swim`, `src/lib.rs` is the empty path.
pub fn module_path(file: &str) -> Path {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Path = inner.split('/').map(str::to_owned).collect();
    if path
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        path.pop();
    }
    path
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Returns true if a file defines an item of this name, other than a module, at its top level.
fn defines(source: &Source, item: &str) -> bool {
    const KINDS: [&str; 9] = [
        "struct ",
        "enum ",
        "trait ",
        "type ",
        "fn ",
        "const ",
        "static ",
        "union ",
        "macro_rules! ",
    ];
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    source.code.iter().any(|line| {
        let top_level = !line.starts_with(' ');
        let heads = KINDS.iter().filter(|kind| names(line, kind));
        top_level
            && heads.into_iter().any(|kind| {
                let rest = line.split_once(kind).map_or("", |(_, rest)| rest);
                let rest = rest.trim_start_matches("mut ");
                rest.strip_prefix(item).is_some_and(ends)
            })
    })
}

/// All `use` statements, those inside functions included: the offset at which the path of each
/// begins, and its text up to the semicolon.
fn use_statements(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("use ") {
        let line_start = text[..at].rfind('\n').map_or(0, |it| it + 1);
        let before = text[line_start..at].trim();
        if !(before.is_empty() || before.starts_with("pub") || before.ends_with('{')) {
            continue;
        }
        let start = at + "use ".len();
        let end = text[start..].find(';').map_or(text.len(), |it| start + it);
        found.push((start, text[start..end].to_owned()));
    }
    found
}

/// The single paths of a `use`, whose braces may be nested.
fn expand(written: &str) -> Vec<String> {
    let written = written.trim();
    let Some((prefix, group)) = written.split_once('{') else {
        return match written.is_empty() {
            true => Vec::new(),
            false => vec![written.to_owned()],
        };
    };
    let parts = top_level(group);
    let expanded = parts.iter().flat_map(|part| expand(part));
    expanded
        .map(|part| format!("{}{part}", prefix.trim()))
        .collect()
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

/// The paths in code that begin with `crate`, `super`, `self` or a child module.
fn paths_in_code(code: &str, is_child: impl Fn(&str) -> bool) -> Vec<(usize, String)> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let first_from = code[..at].rfind(|c| !word(c)).map_or(0, |it| it + 1);
        let first = &code[first_from..at];
        // `pub(in crate::driver)` says who may see an item; it imports nothing.
        let begins = !code[..first_from].ends_with("::") && !code[..first_from].ends_with("(in ");
        if !begins || !(["crate", "super", "self"].contains(&first) || is_child(first)) {
            continue;
        }
        let rest = &code[first_from..];
        let end = rest.find(|c| !(word(c) || c == ':')).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':');
        found.push((line_of(code, first_from), path.to_owned()));
    }
    found
}

#[test]
fn imports_lead_to_the_file_that_defines_the_item() {
    let sources = [
        Source::new("src/lib.rs", "pub mod a;\npub mod b;\npub use b::Thing;\n"),
        Source::new(
            "src/a/mod.rs",
            "mod inner;\npub use inner::{Deep as Renamed, other};\n",
        ),
        Source::new("src/a/inner.rs", "pub struct Deep;\npub fn other() {}\n"),
        Source::new(
            "src/b.rs",
            "use crate::{a::{Renamed, self}, Thing};\nuse std::fmt;\n\npub struct Thing;\n\
             fn f() { super::a::other(); }\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n",
        ),
    ];
    let modules = Modules::of(&sources);
    let imports = modules.imports(&sources[3]);
    let targets: Vec<_> = imports
        .iter()
        .map(|it| (it.line, it.target.as_str()))
        .collect();
    assert_eq!(
        targets,
        [
            (1, "src/a/inner.rs"),
            (1, "src/a/mod.rs"),
            (5, "src/a/inner.rs")
        ]
    );
    let targets: Vec<_> = modules
        .imports(&sources[1])
        .into_iter()
        .map(|it| it.target)
        .collect();
    assert_eq!(targets, ["src/a/inner.rs", "src/a/inner.rs"]);
}

#[test]
fn groups_are_expanded_at_every_depth() {
    let expanded = expand("wire::{a, b::{c, d as e}, self}");
    assert_eq!(
        expanded,
        ["wire::a", "wire::b::c", "wire::b::d as e", "wire::self"]
    );
    assert_eq!(top_level("a{b, c}, d; } rest"), ["a{b, c}", " d; "]);
    assert_eq!(module_path("src/swim/mod.rs"), ["swim"]);
    assert_eq!(module_path("src/lib.rs"), [""; 0]);
}
