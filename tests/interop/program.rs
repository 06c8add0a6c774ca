//! A program as a child process: its output is kept line by line, and it ends with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A running program. Dropping it kills its process.
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts a program. Panics with a hint if it is not installed.
    pub fn start(command: &mut Command) -> Program {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|why| {
            panic!("{command:?} does not start ({why}); `make test` installs what is needed")
        });
        let lines = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().expect("it is piped"), &lines);
        keep(child.stderr.take().expect("it is piped"), &lines);
        Program { child, lines }
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines that the program has written so far, to standard output and to standard error.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The last of these lines, for failure messages.
    pub fn last_lines(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Writes a line to the standard input of the program.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        let written = writeln!(stdin, "{line}");
        written.unwrap_or_else(|why| panic!("{line}: {why}\n{}", self.last_lines()));
    }

    /// Returns true if the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Sends a signal to the process.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        let sent = status.expect("kill runs").success();
        assert!(sent, "no signal {name} to {pid}");
    }

    /// Kills the process, and waits for its end.
    pub fn end(&mut self) {
        // Both calls fail only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns a command that runs its arguments in a network namespace; `None` is that of the test.
pub fn in_namespace(namespace: Option<&str>) -> Command {
    match namespace {
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name]);
            command
        }
        None => Command::new("env"),
    }
}

/// The output of a command that has ended: standard output and standard error.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn keep(from: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = lines.clone();
    std::thread::spawn(move || {
        // A line may hold a name that is not UTF-8.
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.lock().unwrap().push(line);
        }
    });
}
