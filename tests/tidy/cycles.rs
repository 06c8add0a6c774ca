//! The imports between the files of a layer form no cycle, nor do those between its folders. A
//! crate of the bindings counts as one layer.

use super::findings::{Finding, assert_no_findings};
use super::modules::{Modules, module_path};
use super::source::{Source, product, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The files of each layer, each with the files of the same layer that it imports from; or folders
/// instead of files.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph(sources: &[Source]) -> Graph {
    let top = |path: &str| module_path(path).into_iter().next();
    imports_within(sources, |from, to| top(from) == top(to))
}

/// The graph of the imports between two files of the same layer.
fn imports_within(sources: &[Source], is_same_layer: impl Fn(&str, &str) -> bool) -> Graph {
    let modules = Modules::of(sources);
    let mut graph = Graph::new();
    for source in sources.iter().filter(|source| source.product > 0) {
        let imports = modules
            .imports(source)
            .into_iter()
            .map(|import| import.target);
        let inside = imports.filter(|target| is_same_layer(&source.path, target));
        graph.insert(source.path.clone(), inside.collect());
    }
    graph
}

/// The crates of the bindings.
const CRATES: [&str; 4] = [
    "bindings/python",
    "bindings/haproxy",
    "bindings/haproxy/lua",
    "bindings/haproxy/hap",
];

/// The graph of a crate of the bindings, with the paths of its files from the root of the crate.
fn graph_of_crate(root: &str) -> Graph {
    let mut sources = sources(&[&format!("{root}/src")]);
    for source in &mut sources {
        source.path = source.path[root.len() + 1..].to_owned();
    }
    imports_within(&sources, |_, _| true)
}

/// The graph of the folders in each layer, which are `depth` folders below the root. A file in no
/// such folder stands for itself.
fn folders(files: &Graph, depth: usize) -> Graph {
    let folder = |file: &str| {
        let parts: Vec<&str> = file.split('/').collect();
        parts[..parts.len().min(depth)].join("/")
    };
    let mut graph = Graph::new();
    for (file, imports) in files {
        let own = folder(file);
        let others = imports.iter().map(|file| folder(file));
        let others: Vec<String> = others.filter(|other| *other != own).collect();
        graph.entry(own).or_default().extend(others);
    }
    graph
}

/// A shortest way from a file or folder back to itself, if there is one.
fn way_back(graph: &Graph, from: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            let next = way.last().and_then(|last| graph.get(last.as_str()));
            for file in next.into_iter().flatten() {
                let mut way = way.clone();
                way.push(file.clone());
                if file == from {
                    return Some(way);
                }
                if seen.insert(file.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

fn cycles(graph: &Graph) -> Vec<Finding> {
    let ways = graph
        .keys()
        .filter_map(|from| Some((from, way_back(graph, from)?)));
    let findings = ways.map(|(from, way)| Finding::new("cycle", from, 1, way.join(" -> ")));
    findings.collect()
}

#[test]
fn the_files_of_a_layer_import_from_one_another_in_one_direction() {
    assert_no_findings(&["cycle"], cycles(&graph(&product())));
}

#[test]
fn the_folders_of_a_layer_import_from_one_another_in_one_direction() {
    assert_no_findings(&["cycle"], cycles(&folders(&graph(&product()), 3)));
}

#[test]
fn the_files_and_folders_of_a_binding_import_from_one_another_in_one_direction() {
    for root in CRATES {
        let files = graph_of_crate(root);
        let imports: usize = files.values().map(BTreeSet::len).sum();
        assert!(imports > 3, "the check found {imports} imports in {root}");
        assert_no_findings(&[], cycles(&files));
        assert_no_findings(&[], cycles(&folders(&files, 2)));
    }
}

#[test]
fn a_cycle_of_folders_is_found_even_if_their_files_form_none() {
    let sources = [
        Source::new("src/swim/mod.rs", "mod a;\nmod b;\n"),
        Source::new("src/swim/a/one.rs", "use crate::swim::b::two::B;\n"),
        Source::new("src/swim/a/three.rs", "pub struct A;\n"),
        Source::new(
            "src/swim/b/two.rs",
            "use crate::swim::a::three::A;\npub struct B;\n",
        ),
    ];
    let files = graph(&sources);
    assert_eq!(cycles(&files), []);
    let found: Vec<String> = cycles(&folders(&files, 3))
        .into_iter()
        .map(|it| it.what)
        .collect();
    let [a, b] = ["src/swim/a", "src/swim/b"];
    assert_eq!(found, [[a, b, a].join(" -> "), [b, a, b].join(" -> ")]);
}

#[test]
fn a_cycle_is_found_with_its_files_and_re_exports_make_none() {
    let sources = [
        Source::new("src/swim/mod.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\n"),
        Source::new("src/swim/a.rs", "use super::b::B;\npub struct A;\n"),
        Source::new("src/swim/b.rs", "use super::c;\npub struct B;\n"),
        Source::new("src/swim/c.rs", "pub fn f(a: super::A) {}\n"),
        Source::new("src/swim/d.rs", "use super::A;\n"),
    ];
    let found: Vec<String> = cycles(&graph(&sources))
        .into_iter()
        .map(|it| it.what)
        .collect();
    let [a, b, c] = ["src/swim/a.rs", "src/swim/b.rs", "src/swim/c.rs"];
    assert_eq!(
        found,
        [
            [a, b, c, a].join(" -> "),
            [b, c, a, b].join(" -> "),
            [c, a, b, c].join(" -> "),
        ]
    );
    let cut = Source::new("src/swim/c.rs", "pub fn f() {}\n");
    let [first, second, third, _, last] = sources;
    assert_eq!(cycles(&graph(&[first, second, third, cut, last])), []);
}
