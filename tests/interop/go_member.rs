//! Members on Go's memberlist beside sprat nodes in memberlist mode: messages, states, metas, name
//! conflicts and leaves, in both directions.
//!
//! The members run `go/main.go`, which is built with Debian's package of memberlist (0.2.2 in
//! Debian 12, without labels). It prints a line for each call of its delegates. The events of a
//! sprat node are kept as the same lines.

use super::agent::{Block, PORT};
use super::ours::{self, Ours};
use super::program::{Program, said};
use super::wait::until;

use sprat::{Config, EventBody, EventKind, MemberState, Status, Subscription};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The length of a message that needs a stream.
const LONG: usize = 300_000;
/// A key in base64.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

/// Builds the program of the Go members once, and returns its path.
fn go_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-member");
        let output = Command::new("go")
            .args(["build", "-o"])
            .args([&out])
            .arg(".")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/go"))
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")])
            .envs([("GOFLAGS", ""), ("GOPROXY", "off")])
            .output();
        let output = output.expect("go runs; `make test` installs what is needed");
        assert!(output.status.success(), "{}", said(&output));
        out
    })
}

/// A member on Go's memberlist.
struct GoMember {
    program: Program,
    ip: IpAddr,
}

impl GoMember {
    fn start(name: &str, ip: IpAddr, key: Option<&str>) -> GoMember {
        let mut command = Command::new(go_program());
        command.args([name, &ip.to_string()]).args(key);
        let program = Program::start(&mut command);
        let member = GoMember { program, ip };
        member.prints("ready");
        member
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }

    /// Waits until the member has printed this line.
    fn prints(&self, line: &str) {
        let what = format!("the Go member at {} prints {:.80}", self.ip, line);
        until(&what, || match self.has_printed(line) {
            true => Ok(()),
            false => Err(self.program.last_lines()),
        });
    }

    fn has_printed(&self, line: &str) -> bool {
        self.program.lines().iter().any(|it| it == line)
    }

    /// Carries out a command, and waits until the member is done with it.
    fn run(&mut self, command: &str) {
        let ends = |program: &Program| {
            let lines = program.lines();
            let ends = lines.iter().filter(|it| it.starts_with("done "));
            ends.count()
        };
        let before = ends(&self.program);
        self.program.tell(command);
        until(&format!("{command:.80} is done"), || {
            match ends(&self.program) > before {
                true => Ok(()),
                false => Err(self.program.last_lines()),
            }
        });
    }

    fn join(&mut self, to: SocketAddr) {
        self.run(&format!("join {to}"));
    }
}

impl Drop for GoMember {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.program.last_lines();
            eprintln!(
                "--- end of the output of the Go member at {}\n{lines:.9999}",
                self.ip
            );
        }
    }
}

/// The settings of a sprat node in memberlist mode.
fn config(name: &str, ip: IpAddr, key: Option<&str>) -> Config {
    let mut config = ours::config(name, ip);
    config.set("mode", "memberlist").unwrap();
    config.set("push_pull_interval_ms", "1000").unwrap();
    if let Some(key) = key {
        config.set("encrypt", key).unwrap();
    }
    config
}

/// A sprat node in memberlist mode.
struct SpratMember {
    ours: Ours,
    events: Subscription,
    lines: Mutex<Vec<String>>,
}

impl SpratMember {
    fn start(name: &str, ip: IpAddr, key: Option<&str>) -> SpratMember {
        let ours = Ours::with(&config(name, ip, key));
        let kinds = [
            EventKind::Message,
            EventKind::RemoteState,
            EventKind::MemberConflict,
        ];
        let events = ours.node().subscribe(10_000, &kinds).unwrap();
        SpratMember {
            ours,
            events,
            lines: Mutex::default(),
        }
    }

    /// The events so far, as the Go program prints the calls of its delegates.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for event in self.events.drain(10_000).unwrap() {
            lines.push(match event.body {
                EventBody::Message { payload, .. } => format!("message {}", text(&payload)),
                EventBody::RemoteState { join, payload, .. } => {
                    let when = if join { "join" } else { "later" };
                    format!("state {when} {}", text(&payload))
                }
                EventBody::MemberConflict {
                    name,
                    known,
                    claimed,
                } => format!("conflict {name} {known} {claimed}"),
                other => unreachable!("{other:?}"),
            });
        }
        lines.clone()
    }

    /// Waits until the node has had this event.
    fn hears(&self, line: &str) {
        let name = self.ours.node().name();
        until(&format!("{name} hears {line:.80}"), || {
            let lines = self.lines();
            match lines.iter().any(|it| it == line) {
                true => Ok(()),
                false => Err(format!("{lines:.80?}")),
            }
        });
    }
}

/// Sends every kind of message from each side to the other. Datagrams may be lost, so those and the
/// broadcasts are repeated.
fn messages_arrive_on_both_sides(key: Option<&str>) {
    let block = Block::new();
    let mut go = GoMember::start("go", block.ip(1), key);
    let sprat = SpratMember::start("ours", block.ip(2), key);
    sprat.ours.join(go.addr());
    go.prints("join ours");
    let node = sprat.ours.node();

    let long = "x".repeat(LONG);
    go.run(&format!("reliable ours {long}"));
    sprat.hears(&format!("message {long}"));
    node.send_and_wait("go", long.as_bytes(), None).unwrap();
    go.prints(&format!("message {long}"));

    until("the datagram and the broadcast of Go arrive", || {
        go.run("datagram ours datagram-of-go");
        go.run("broadcast broadcast-of-go");
        let lines = sprat.lines();
        let has = |line: &str| lines.iter().any(|it| it == line);
        match has("message datagram-of-go") && has("message broadcast-of-go") {
            true => Ok(()),
            false => Err(format!("{} events", lines.len())),
        }
    });
    until("the datagram and the broadcast of sprat arrive", || {
        node.send_datagram("go", b"datagram-of-sprat").unwrap();
        node.broadcast(b"broadcast-of-sprat", None).unwrap();
        match go.has_printed("message datagram-of-sprat")
            && go.has_printed("message broadcast-of-sprat")
        {
            true => Ok(()),
            false => Err(go.program.last_lines()),
        }
    });
    assert_eq!(sprat.ours.refusals(), []);
}

#[test]
fn messages_of_every_kind_arrive_on_both_sides() {
    messages_arrive_on_both_sides(None);
}

#[test]
fn encrypted_messages_of_every_kind_arrive_on_both_sides() {
    messages_arrive_on_both_sides(Some(KEY));
}

/// The side that joins and the side that is joined both get a state with the mark of a join;
/// the regular push/pulls bring the others.
#[test]
fn states_of_joins_and_of_later_push_pulls_arrive_on_both_sides() {
    for go_joins in [true, false] {
        let block = Block::new();
        let mut go = GoMember::start("go", block.ip(1), None);
        let sprat = SpratMember::start("ours", block.ip(2), None);
        go.run("state of-go");
        sprat.ours.node().set_local_state(*b"of-sprat").unwrap();
        match go_joins {
            true => go.join(sprat.ours.addr()),
            false => sprat.ours.join(go.addr()),
        }
        go.prints("state join of-sprat");
        sprat.hears("state join join of-go");
        go.prints("state later of-sprat");
        sprat.hears("state later later of-go");
        go.run("state new-of-go");
        sprat.ours.node().set_local_state(*b"new-of-sprat").unwrap();
        go.prints("state later new-of-sprat");
        sprat.hears("state later later new-of-go");
    }
}

#[test]
fn a_new_meta_arrives_on_both_sides() {
    let block = Block::new();
    let mut go = GoMember::start("go", block.ip(1), None);
    let sprat = SpratMember::start("ours", block.ip(2), None);
    sprat.ours.join(go.addr());
    go.prints("join ours");
    sprat.ours.node().set_meta(b"meta-of-sprat").unwrap();
    go.prints("update ours meta-of-sprat");
    go.run("meta meta-of-go");
    sprat.ours.hears(EventKind::MemberUpdate, "go", 1);
    assert_eq!(*sprat.ours.member("go").unwrap().meta, *b"meta-of-go");
}

/// Both sides keep the first of two Go members that have one name, and report the second.
#[test]
fn a_name_that_two_go_members_have_is_reported_on_both_sides() {
    let block = Block::new();
    let go = GoMember::start("go", block.ip(1), None);
    let sprat = SpratMember::start("ours", block.ip(2), None);
    sprat.ours.join(go.addr());
    let mut owner = GoMember::start("twin", block.ip(3), None);
    owner.join(go.addr());
    sprat.ours.sees_alive(&["go", "ours", "twin"]);
    let mut second = GoMember::start("twin", block.ip(4), None);
    second.join(go.addr());
    let line = format!("conflict twin {} {}", owner.addr(), second.addr());
    go.prints(&line);
    sprat.hears(&line);
    assert!(!go.has_printed("leave twin"));
    assert_eq!(sprat.ours.member("twin").unwrap().addr, owner.addr());
}

/// A Go member that takes the name of a sprat node is reported by the other Go member. A sprat node
/// that takes the name of a Go member is told so, and claims the name no longer.
#[test]
fn a_name_stays_with_its_owner_if_a_member_of_the_other_kind_takes_it() {
    let block = Block::new();
    let go = GoMember::start("go", block.ip(1), None);
    let sprat = SpratMember::start("ours", block.ip(2), None);
    sprat.ours.join(go.addr());
    go.prints("join ours");
    let mut second = GoMember::start("ours", block.ip(3), None);
    second.join(go.addr());
    let (first, other) = (sprat.ours.addr(), second.addr());
    go.prints(&format!("conflict ours {first} {other}"));

    let third = Ours::with(&config("go", block.ip(4), None));
    let joined = third.node().join(&[&sprat.ours.addr().to_string()], None);
    match joined.map_err(|why| why.status) {
        Err(why) => assert_eq!(why, Status::NameConflict),
        // On a busy machine, the join ends before the owner of the name has answered.
        Ok(_) => third.hears(EventKind::Fatal, "", 1),
    }
    assert!(!go.has_printed("leave ours"));
    assert_eq!(sprat.ours.member("go").unwrap().addr, go.addr());
    assert_eq!(sprat.ours.count(EventKind::Fatal, ""), 0);
}

/// The members of Go do not tell their program whether another has left or died, but they tell
/// those who join.
#[test]
fn a_leave_is_a_leave_on_both_sides() {
    let block = Block::new();
    let go = GoMember::start("go", block.ip(1), None);
    let sprat = SpratMember::start("ours", block.ip(2), None);
    sprat.ours.join(go.addr());
    let mut leaver = GoMember::start("leaver", block.ip(3), None);
    leaver.join(sprat.ours.addr());
    go.prints("join leaver");
    leaver.run("leave");
    drop(leaver);
    sprat.ours.sees("leaver", MemberState::Left);
    assert_eq!(sprat.ours.count(EventKind::MemberFail, "leaver"), 0);
    sprat.ours.leave();
    go.prints("leave ours");
    go.prints("leave leaver");
    let mut newcomer = GoMember::start("newcomer", block.ip(4), None);
    newcomer.join(go.addr());
    newcomer.prints("listed ours left");
    newcomer.prints("listed leaver left");
}
