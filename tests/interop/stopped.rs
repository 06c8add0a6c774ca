//! A sprat node whose process is stopped for longer than a suspicion lasts.
//!
//! The node runs in a forked child, which reports its events and counters through a pipe.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::ours::{self, Ours};
use super::wait::{throughout, until};
use sprat::Config;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A child process with a sprat node.
pub(super) struct Process {
    pid: libc::pid_t,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a node with these settings in a child process. It joins the seed, if there is one.
    pub(super) fn start(config: &Config, seed: Option<SocketAddr>) -> Process {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        assert_eq!(
            unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) },
            0
        );
        // SAFETY: both descriptors were just opened, and nothing else owns them.
        let [from, to] = ends.map(|fd| unsafe { File::from_raw_fd(fd) });
        // SAFETY: the child closes descriptors and runs a node, which the library allows after a
        // fork, and it ends with `_exit`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            live(config, seed, to);
        }
        drop(to);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Process { pid, lines }
    }

    /// The lines that the child has reported.
    fn reported(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: `pid` is a child of this process that has not been waited for yet.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        // SAFETY: the process id is that of a child that no other code waits for; the null pointer
        // means that its status is not wanted.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        if std::thread::panicking() {
            eprintln!("--- the node in the child reported {:?}", self.reported());
        }
    }
}

/// Runs a node in the child process until that process is killed.
fn live(config: &Config, seed: Option<SocketAddr>, mut to: File) -> ! {
    let fd = to.as_raw_fd() as u32;
    // SAFETY: no code in the child uses the descriptors that are closed here. They are copies of
    // descriptors of other tests, which would otherwise wait for their pipes to close. `prctl`
    // makes the child end with the thread of its test.
    unsafe {
        libc::close_range(3, fd - 1, 0);
        libc::close_range(fd + 1, u32::MAX, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let mut life = || -> std::io::Result<()> {
        let ours = Ours::with(config);
        if let Some(seed) = seed {
            ours.join(seed);
        }
        let mut counted = (0, 0);
        loop {
            let event = ours.node().next_event(Some(Duration::from_millis(200)));
            if let Some(event) = event.map_err(std::io::Error::other)? {
                let about = event.member().map(|member| member.name.to_string());
                writeln!(to, "{:?} {}", event.kind(), about.unwrap_or_default())?;
            }
            let now = (ours.counter("stalls"), ours.counter("refutations"));
            if now != counted {
                counted = now;
                writeln!(to, "stalls {}\nrefutations {}", now.0, now.1)?;
            }
        }
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut life));
    // SAFETY: `_exit` ends the child without running exit handlers of the parent.
    unsafe { libc::_exit(1) };
}

#[test]
fn a_process_stopped_for_longer_than_a_suspicion_blames_nobody_and_is_alive_again_for_all() {
    let block = Block::new();
    let first = Setup::new("web1", block.ip(1)).start();
    let second = Setup::new("web2", block.ip(2)).join(first.addr()).start();
    let third = Setup::new("web3", block.ip(3)).join(first.addr()).start();
    let agents: [&Agent; 3] = [&first, &second, &third];
    let config = ours::config("ours", block.ip(4));
    let process = Process::start(&config, Some(first.addr()));
    let names = ["ours", "web1", "web2", "web3"];
    all_see_alive(&agents, &names);
    process.signal(libc::SIGSTOP);
    for agent in agents {
        agent_sees(agent, "ours", "failed");
    }
    let has_reported = |what: &str| process.reported().iter().any(|line| line == what);
    assert!(!has_reported("stalls 1"));
    process.signal(libc::SIGCONT);
    until("the child notices its stall", || {
        match has_reported("stalls 1") {
            true => Ok(()),
            false => Err(format!("{:?}", process.reported())),
        }
    });
    all_see_alive(&agents, &names);
    let blamed = || {
        process
            .reported()
            .into_iter()
            .find(|it| it.starts_with("MemberFail"))
    };
    throughout(Duration::from_secs(12), "the child blames nobody", || {
        blamed().map_or(Ok(()), Err)
    });
    assert!(
        process
            .reported()
            .iter()
            .any(|line| line.starts_with("refutations "))
    );
    all_see_alive(&agents, &names);
    for agent in agents {
        assert_eq!(
            agent.logged("EventMemberFailed"),
            1,
            "only ours, and only once"
        );
    }
}
