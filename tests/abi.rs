//! The C ABI seen from C: the header, the shared library, and programs that use both.
//!
//! Most programs of `tests/abi` make their own checks, and end with status 0 if all of them hold.
//! Here the programs are compiled with the system's compilers, linked with the library of the
//! release profile, and run under a time limit: plain, most of them also under AddressSanitizer and
//! under valgrind, and `free.c` also under ThreadSanitizer.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

#[path = "abi/memory.rs"]
mod memory;

const HEADER: &str = include_str!("../include/sprat.h");
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// The options for AddressSanitizer.
const ASAN: [&str; 2] = ["-fsanitize=address", "-fno-omit-frame-pointer"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory in which this run keeps its programs, with links to the library.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi");
        fs::create_dir_all(&scratch).unwrap();
        let built = built_library();
        for name in ["libsprat.so", "libsprat.so.0"] {
            let link = scratch.join(name);
            let _ = fs::remove_file(&link);
            symlink(&built, &link).unwrap();
        }
        scratch
    })
}

/// Builds the shared library with the release profile, as it is shipped, and returns its path. The
/// library in the folder of this test program is not used: a build of a binding leaves a library
/// with the same name there, but without the C interface.
fn built_library() -> PathBuf {
    let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
    let target = deps.parent().unwrap().parent().unwrap();
    // The same command as in scripts/env.sh, so that nothing is built twice.
    let built = Command::new(env!("CARGO"))
        .args(["rustc", "--locked", "--release", "--lib", "--quiet"])
        .args(["--crate-type", "cdylib,staticlib", "--target-dir"])
        .arg(target)
        .current_dir(root())
        .status();
    assert!(built.unwrap().success(), "the library does not build");
    target.join("release/libsprat.so")
}

/// The longest time that a program may take. It only ends programs that hang.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs a command to its end, and fails if that takes longer than [`LIMIT`].
fn run(command: &mut Command) -> Output {
    let what = format!("{command:?}");
    let stderr = tempfile(&what);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr).unwrap());
    let mut child = child
        .spawn()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "{what} took more than {LIMIT:?}: {}",
                fs::read_to_string(&stderr).unwrap()
            );
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = fs::read(&stderr).unwrap();
    fs::remove_file(&stderr).unwrap();
    Output {
        status,
        stdout: Vec::new(),
        stderr: text,
    }
}

/// Returns the path of a file that no other running call uses.
fn tempfile(what: &str) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (what, thread::current().id()).hash(&mut hasher);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stderr-{:016x}", hasher.finish()))
}

/// Runs a command that must succeed and print nothing to standard error.
fn succeed(command: &mut Command) {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{command:?}: {}\n{stderr}",
        output.status
    );
}

/// Compiles `source` against the library, and puts the program next to it.
fn compile(source: &Path, program: &str, options: &[&str]) -> PathBuf {
    let out = scratch().join(program);
    let cpp = source
        .extension()
        .is_some_and(|extension| extension == "cpp");
    let mut command = Command::new(if cpp { "c++" } else { "cc" });
    command
        .arg("-o")
        .arg(&out)
        .arg(source)
        .args(WARNINGS)
        .args(["-g", "-pthread"]);
    command
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("tests/abi"));
    command.arg("-L").arg(scratch()).arg("-lsprat");
    command
        .arg(format!("-Wl,-rpath,{}", scratch().display()))
        .args(options);
    succeed(&mut command);
    out
}

fn test_program(name: &str) -> PathBuf {
    root().join("tests/abi").join(name)
}

/// Compiles and runs a program of `tests/abi`.
fn passes(source: &str, args: &[&str]) {
    let program = compile(&test_program(source), &source.replace('.', "-"), &[]);
    succeed(Command::new(program).args(args));
}

/// Compiles and runs a program of `tests/abi` under AddressSanitizer, which checks the memory of
/// the program and of the library.
fn passes_asan(source: &str, args: &[&str]) {
    let program = compile(&test_program(source), &format!("{source}-asan"), &ASAN);
    succeed(
        Command::new(program)
            .args(args)
            .env("ASAN_OPTIONS", "detect_leaks=1"),
    );
}

/// Returns a command that runs a program under valgrind. An invalid access is an error, and so is a
/// block of memory that is lost or possibly lost.
fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["-q", "--error-exitcode=99", "--fair-sched=yes", "--vgdb=no"]);
    command.arg("--leak-check=full");
    for option in ["show-leak-kinds", "errors-for-leak-kinds"] {
        command.arg(format!("--{option}=definite,indirect,possible"));
    }
    let known = test_program("valgrind.supp");
    command.arg(format!("--suppressions={}", known.display()));
    command
}

/// Compiles and runs a program of `tests/abi` under valgrind.
fn passes_valgrind(source: &str, args: &[&str]) {
    let program = compile(&test_program(source), &format!("{source}-valgrind"), &[]);
    succeed(valgrind().arg(program).args(args));
}

/// Compiles and runs a program of `tests/abi` under ThreadSanitizer, with the suppressions that are
/// installed.
fn passes_tsan(source: &str, args: &[&str]) {
    let options = ["-fsanitize=thread"];
    let program = compile(&test_program(source), &format!("{source}-tsan"), &options);
    let known = root().join("packaging/tsan.supp");
    let options = format!("suppressions={}", known.display());
    succeed(
        Command::new(program)
            .args(args)
            .env("TSAN_OPTIONS", options),
    );
}

/// Names of the functions that the header declares.
fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in HEADER
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
    {
        let Some((before, _)) = line.split_once('(') else {
            continue;
        };
        let name = before.rsplit([' ', '*']).next().unwrap();
        if name.starts_with("sprat_") && !before.starts_with("typedef") {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn the_committed_header_matches_the_source() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/sprat.h"));
    assert!(
        HEADER == generated,
        "run SPRAT_WRITE_HEADER=1 cargo build, and look at the change"
    );
}

#[test]
fn the_header_compiles_in_every_dialect_without_a_warning() {
    for dialect in ["c99", "c11", "c17"] {
        let program = format!("header-{dialect}");
        let built = compile(
            &test_program("header.c"),
            &program,
            &[&format!("-std={dialect}")],
        );
        succeed(&mut Command::new(built));
    }
    for dialect in ["c++11", "c++17", "c++20"] {
        let program = format!("header-{dialect}");
        let dialect = format!("-std={dialect}");
        let built = compile(&test_program("life.cpp"), &program, &[&dialect]);
        succeed(&mut Command::new(built));
    }
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(built_library())
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let exported: BTreeSet<String> = text
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert!(declared().len() > 50, "{:?}", declared());
    assert_eq!(exported, declared());
}

#[test]
fn the_library_has_its_soname_and_stays_loaded() {
    let output = Command::new("readelf")
        .arg("-dW")
        .arg(built_library())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Library soname: [libsprat.so.0]"), "{text}");
    assert!(text.contains("NODELETE"), "{text}");
}

#[test]
fn every_function_is_tried_with_bad_input() {
    let source = fs::read_to_string(test_program("bad_input.c")).unwrap();
    let missing: Vec<String> = declared()
        .into_iter()
        .filter(|name| !source.contains(&format!("{name}(")))
        .collect();
    assert!(missing.is_empty(), "bad_input.c leaves out {missing:?}");
}

#[test]
fn bad_input_gets_the_promised_result_and_never_crashes() {
    passes("bad_input.c", &[]);
    passes_asan("bad_input.c", &[]);
    passes_valgrind("bad_input.c", &[]);
}

#[test]
fn reading_a_freed_event_is_detected_by_the_checkers() {
    let source = test_program("after_free.c");
    let asan = run(&mut Command::new(compile(
        &source,
        "after_free-asan",
        &ASAN,
    )));
    let said = String::from_utf8_lossy(&asan.stderr);
    assert!(said.contains("heap-use-after-free"), "{said}");
    let program = compile(&source, "after_free", &[]);
    let valgrind = run(valgrind().arg(program));
    let said = String::from_utf8_lossy(&valgrind.stderr);
    assert!(said.contains("Invalid read of size 4"), "{said}");
    assert_eq!(valgrind.status.code(), Some(99));
}

#[test]
fn a_node_may_be_freed_in_its_callback_and_during_calls_of_other_threads() {
    passes("free.c", &["200"]);
    passes_asan("free.c", &["20"]);
    passes_valgrind("free.c", &["3"]);
    passes_tsan("free.c", &["3"]);
}

#[test]
fn a_callback_may_be_left_by_an_exception_the_end_of_its_thread_or_a_jump() {
    passes("leave_callback.cpp", &["jump"]);
    passes_asan("leave_callback.cpp", &[]);
    passes_valgrind("leave_callback.cpp", &[]);
}

#[test]
fn a_thread_may_be_cancelled_inside_a_callback() {
    passes("cancel.c", &[]);
    passes_asan("cancel.c", &[]);
    passes_valgrind("cancel.c", &[]);
}

#[test]
fn the_done_event_of_an_operation_never_comes_before_its_number_and_no_event_is_missed() {
    passes("operations.c", &[]);
    passes_asan("operations.c", &[]);
    passes_valgrind("operations.c", &[]);
}

#[test]
fn user_events_and_queries_cross_between_two_nodes() {
    passes("messages.c", &[]);
    passes_asan("messages.c", &[]);
    passes_valgrind("messages.c", &[]);
}

#[test]
fn messages_and_states_of_programs_built_on_memberlist_cross_between_two_nodes() {
    passes("memberlist.c", &[]);
    passes_asan("memberlist.c", &[]);
}

#[test]
fn a_c_program_reads_coordinates_and_estimated_round_trip_times() {
    passes("coordinates.c", &[]);
    passes_asan("coordinates.c", &[]);
}

#[test]
fn the_keys_of_two_nodes_are_changed_listed_and_stored() {
    passes("keys.c", &[]);
    passes_asan("keys.c", &[]);
    passes_valgrind("keys.c", &[]);
}

#[test]
fn a_node_with_a_snapshot_finds_its_member_again_in_the_next_run() {
    passes("snapshot.c", &[]);
    passes_asan("snapshot.c", &[]);
    passes_valgrind("snapshot.c", &[]);
}

#[test]
fn without_memory_a_start_fails_or_the_process_aborts_with_a_message() {
    passes("out_of_memory.c", &[]);
}

#[test]
fn a_node_does_not_disturb_forks_signals_threads_and_descriptors() {
    passes("process.c", &["200"]);
    passes_asan("process.c", &["20"]);
    passes_valgrind("process.c", &["20"]);
}

#[test]
fn threads_may_come_from_the_program_or_be_prepared() {
    passes("threads.c", &[]);
    passes_asan("threads.c", &[]);
    passes_valgrind("threads.c", &[]);
}

#[test]
fn two_nodes_do_what_the_header_promises() {
    passes("cluster.c", &[]);
    passes_asan("cluster.c", &[]);
    passes_valgrind("cluster.c", &[]);
}

#[test]
fn a_call_that_waits_returns_when_its_node_ends() {
    passes("waits.c", &[]);
    passes_asan("waits.c", &[]);
    passes_valgrind("waits.c", &[]);
}

#[test]
fn errors_can_be_read_even_at_the_end_of_a_thread() {
    passes("last_error.c", &[]);
    passes_asan("last_error.c", &[]);
    passes_valgrind("last_error.c", &[]);
}

#[test]
fn main_may_end_while_a_node_lives() {
    let program = compile(&test_program("leave_main.c"), "leave_main", &[]);
    for _ in 0..50 {
        succeed(&mut Command::new(&program));
    }
}

#[test]
fn the_library_survives_being_unloaded() {
    let program = compile(&test_program("unload.c"), "unload", &["-ldl"]);
    succeed(Command::new(program).arg(scratch().join("libsprat.so.0")));
}

#[test]
fn a_fork_and_a_call_go_on_although_the_fork_handlers_run_in_the_wrong_order() {
    let program = compile(&test_program("fork_order.c"), "fork_order", &["-ldl"]);
    // The program calls no function of the library by name, so the linker has left the library out.
    succeed(Command::new(program).arg(scratch().join("libsprat.so.0")));
}

#[test]
fn the_examples_compile_without_a_warning() {
    for (name, options) in [
        ("watch", &[][..]),
        ("callback", &[]),
        ("dispatch", &[]),
        ("uv", &["-luv"]),
    ] {
        let source = root().join("examples/c").join(name).with_extension("c");
        compile(
            &source,
            &format!("example-{name}"),
            &[&["-std=gnu11"], options].concat(),
        );
    }
}
