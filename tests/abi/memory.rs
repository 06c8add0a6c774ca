//! The memory that a node in a cluster of 50 adds to a C program.
//!
//! The library is built with the release profile, like the library that is installed.

use super::{compile, test_program};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The number of members of the cluster, including the measured one.
const MEMBERS: usize = 50;
/// The memory that a node may add to its program, in KiB.
const ALLOWED: i64 = 4 * 1024;

/// Builds `memory.c`.
fn program() -> PathBuf {
    compile(&test_program("memory.c"), "memory", &[])
}

/// The other members of the cluster, in one process that ends when its standard input is closed.
struct Crowd {
    process: Child,
    addr: String,
}

impl Crowd {
    fn gather(program: &Path) -> Crowd {
        let mut process = Command::new(program)
            .args(["crowd", &(MEMBERS - 1).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addr = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut addr).unwrap();
        let addr = addr.trim().to_owned();
        Crowd { process, addr }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait(); // if it hangs, its own alarm ends it
    }
}

/// The memory that the program reports, in KiB: resident, private, and proportional share (PSS).
fn measured(program: &Path, args: &[&str]) -> [i64; 3] {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<i64> = text
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    numbers.try_into().expect("three numbers")
}

#[test]
fn a_node_among_fifty_adds_at_most_four_megabytes_to_its_program() {
    let program = program();
    let crowd = Crowd::gather(&program);
    assert!(
        !crowd.addr.is_empty(),
        "the other members did not find each other"
    );
    let without = measured(&program, &["alone"]);
    let with = measured(&program, &["member", &crowd.addr, &MEMBERS.to_string()]);
    let added = with[0] - without[0];
    println!("KiB resident, private, PSS: without a node {without:?}, with one {with:?}");
    assert!(
        with[0] > without[0],
        "a node must add memory: {with:?} with a node, {without:?} without"
    );
    assert!(
        added <= ALLOWED,
        "a node adds {added} KiB, {ALLOWED} are allowed: {with:?} with a node, {without:?} without"
    );
}
