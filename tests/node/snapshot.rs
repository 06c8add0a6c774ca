//! The snapshot of a node: restarts after a crash and after a leave, files that are refused, and
//! writes that fail.

use super::help::{
    PATIENCE, alone, config, counter, eventually, in_child, join, node, state_of, with_others,
};
use sprat::serf::MemberState;
use sprat::{Coalescing, Config, EventBody, EventKind, Node, Status};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A folder for the snapshot of a test. It is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sprat-node-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("members")
    }

    /// Writes the file, so that only its owner may write it, whatever the umask is.
    fn put(&self, bytes: &[u8]) {
        fs::write(self.file(), bytes).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// The settings of a node that keeps its snapshot here.
    fn config(&self, name: &str, bind: &str) -> Config {
        config(name, bind).snapshot(self.file())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sees(node: &Node, name: &str, state: MemberState) {
    eventually(&format!("{name} is {state:?}"), || {
        state_of(node, name) == Some(state)
    });
}

/// Waits until `node` lists `name` as alive with a higher incarnation than `before`.
fn sees_new_run(node: &Node, name: &str, before: u32) {
    eventually(&format!("{name} is back"), || {
        let member = node.member(name).unwrap();
        member.state == MemberState::Alive && member.incarnation > before
    });
}

#[test]
fn a_killed_node_rejoins_by_itself_with_its_name_and_a_higher_incarnation() {
    let _turn = alone();
    let (a, folder) = (node("a"), Folder::new());
    let addr = a.addr();
    for _ in 0..2 {
        let before = a.member("b").map_or(0, |member| member.incarnation);
        let bind = a
            .member("b")
            .map_or("127.0.0.1:0".to_owned(), |member| member.addr.to_string());
        // SAFETY: the child uses nodes only as the library allows after a fork, until it is killed.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // The child of the second round joins nobody: it knows `a` from the snapshot.
            let life = std::panic::catch_unwind(|| {
                let b = Node::start(&folder.config("b", &bind)).unwrap();
                if before == 0 {
                    b.join(&[&addr.to_string()], Some(PATIENCE)).unwrap();
                }
                std::thread::sleep(PATIENCE);
            });
            // SAFETY: `_exit` takes a number, and runs no exit handlers of the parent.
            unsafe { libc::_exit(i32::from(life.is_err())) };
        }
        if before == 0 {
            sees(&a, "b", MemberState::Alive);
        } else {
            sees_new_run(&a, "b", before);
        }
        eventually("the snapshot has both", || {
            let text = folder.text();
            text.contains(&format!("alive: a {addr}\n")) && text.contains("# incarnation: ")
        });
        // SAFETY: `child` is a child of this process that has not been waited for yet.
        unsafe { libc::kill(child, libc::SIGKILL) };
        // SAFETY: the null pointer means that the status of this child is not wanted.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    // The third run begins after `a` has noticed that the second one has ended.
    sees(&a, "b", MemberState::Failed);
    let member = a.member("b").unwrap();
    let b = Node::start(&folder.config("b", &member.addr.to_string())).unwrap();
    sees_new_run(&a, "b", member.incarnation);
    sees(&b, "a", MemberState::Alive);
}

#[test]
fn a_node_whose_snapshot_is_lost_raises_its_incarnation_by_a_refutation() {
    let _turn = with_others();
    let (a, b) = (node("a"), node("b"));
    join(&b, &a);
    let addr = b.addr().to_string();
    b.shutdown();
    sees(&a, "b", MemberState::Failed);
    let before = a.member("b").unwrap().incarnation;
    let b = Node::start(&config("b", &addr)).unwrap();
    join(&b, &a);
    sees_new_run(&a, "b", before);
    assert!(counter(&b, "refutations") > 0);
}

/// Returns the node `a`, the node `b`, which keeps a snapshot, had joined `a` and has left, the
/// folder of the snapshot, and the address of `b`.
fn member_that_has_left() -> (Node, Node, Folder, String) {
    let (a, folder) = (node("a"), Folder::new());
    let b = Node::start(&folder.config("b", "127.0.0.1:0")).unwrap();
    let addr = b.addr().to_string();
    join(&b, &a);
    b.leave(Some(PATIENCE)).unwrap();
    (a, b, folder, addr)
}

#[test]
fn a_node_that_has_left_stays_away_unless_it_is_told_to_rejoin() {
    let _turn = with_others();
    let (a, b, folder, addr) = member_that_has_left();
    assert!(folder.text().ends_with("leave\n"));
    drop(b);
    let b = Node::start(&folder.config("b", &addr)).unwrap();
    assert_eq!(
        b.health().unwrap().summary,
        "healthy",
        "it awaits no member"
    );
    drop(b);
    let mut config = folder.config("b", &addr);
    config.set("rejoin_after_leave", "true").unwrap();
    let b = Node::start(&config).unwrap();
    sees(&a, "b", MemberState::Alive);
    sees(&b, "a", MemberState::Alive);
}

#[test]
fn a_node_that_leaves_and_joins_again_keeps_its_members() {
    let _turn = with_others();
    let (a, b, folder, addr) = member_that_has_left();
    join(&b, &a);
    drop(b);
    let _b = Node::start(&folder.config("b", &addr)).unwrap();
    sees(&a, "b", MemberState::Alive);
}

#[test]
fn a_node_gets_the_user_events_that_it_missed_and_none_twice() {
    let _turn = with_others();
    let (a, folder) = (node("a"), Folder::new());
    let next = |node: &Node| {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let event = node.next_event(Some(Duration::from_millis(100))).unwrap();
            if let Some(EventBody::User { name, .. }) = event.map(|event| event.body) {
                return name;
            }
        }
        panic!("no user event arrived");
    };
    let send = |name| a.send_event(name, b"", Coalescing::Forbidden).unwrap();
    let b = Node::start(&folder.config("b", "127.0.0.1:0")).unwrap();
    let addr = b.addr().to_string();
    join(&b, &a);
    send("first");
    assert_eq!(next(&b), "first");
    drop(b);
    send("second");
    let b = Node::start(&folder.config("b", &addr)).unwrap();
    assert_eq!(next(&b), "second");
}

#[test]
fn a_file_that_is_in_use_foreign_or_writable_by_others_is_refused_with_the_reason() {
    let _turn = with_others();
    let folder = Folder::new();
    let why = |folder: &Folder| {
        let error = Node::start(&folder.config("b", "127.0.0.1:0"))
            .err()
            .unwrap();
        assert_eq!(error.status, Status::Config, "{error}");
        error.message
    };
    let path = folder.file();
    let a = Node::start(&folder.config("a", "127.0.0.1:0")).unwrap();
    let expected = format!("snapshot is {}, but another node uses it", path.display());
    assert_eq!(why(&folder), expected);
    drop(a);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(why(&folder).ends_with("other users can write it (mode 666); use `chmod 600`"));
    folder.put(b"[section]\nkey = value\n");
    assert!(why(&folder).ends_with("it holds something other than a snapshot"));
    assert_eq!(folder.text(), "[section]\nkey = value\n");
    let nowhere = config("b", "127.0.0.1:0").snapshot(folder.0.join("no/where"));
    let error = Node::start(&nowhere).err().unwrap();
    assert_eq!((error.status, error.errno), (Status::Io, libc::ENOENT));
}

#[test]
fn a_damaged_file_is_used_as_far_as_it_is_intact_and_reported() {
    let _turn = with_others();
    let (a, folder) = (node("a"), Folder::new());
    let text = format!("\0\0\0\nhello\n\0\0alive: a {}\nclock: 12", a.addr());
    folder.put(text.as_bytes());
    let mut config = folder.config("b", "127.0.0.1:0");
    config.set("log_level", "warn").unwrap();
    let b = Node::start(&config).unwrap();
    sees(&a, "b", MemberState::Alive);
    assert_eq!(counter(&b, "snapshot_unreadable"), 4);
    let mut lines = std::iter::from_fn(|| b.next_event(Some(Duration::ZERO)).unwrap());
    let line = lines.find_map(|event| match event.body {
        EventBody::Log { text, .. } if text.contains("snapshot") => Some(text),
        _ => None,
    });
    assert!(line.unwrap().starts_with("4 lines of the snapshot "));
    eventually("the file has the member again", || {
        folder
            .text()
            .contains(&format!("\nalive: a {}\n", a.addr()))
    });
    assert!(
        !folder.text().contains("clock: 12"),
        "the torn line is gone"
    );
}

#[test]
fn of_a_huge_file_the_end_counts_and_the_file_is_replaced_by_a_small_one() {
    let _turn = with_others();
    let (a, folder) = (node("a"), Folder::new());
    let line = format!("alive: a {}\n", a.addr());
    folder.put(b"");
    let mut file = fs::File::options()
        .append(true)
        .open(folder.file())
        .unwrap();
    file.set_len(1 << 40).unwrap(); // a hole, which takes no space on the disk
    file.write_all(format!("\n{line}").as_bytes()).unwrap();
    let b = Node::start(&folder.config("b", "127.0.0.1:0")).unwrap();
    sees(&a, "b", MemberState::Alive);
    assert_eq!(counter(&b, "snapshot_unreadable"), 1);
    let len = || fs::metadata(folder.file()).unwrap().len();
    eventually("the file is small", || len() < 1000);
    assert!(folder.text().contains(&line));
}

#[test]
fn a_forked_child_neither_writes_the_snapshot_nor_keeps_it_from_a_new_node() {
    let _turn = alone();
    let (a, folder) = (node("a"), Folder::new());
    let b = Node::start(&folder.config("b", "127.0.0.1:0")).unwrap();
    join(&b, &a);
    let addr = b.addr().to_string();
    eventually("the member is in the file", || {
        folder.text().contains("alive: a")
    });
    let (inherited, path) = (b.clone(), folder.file());
    let good = in_child(move || {
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let open = open.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
        assert!(open.into_iter().all(|target| target != path));
        let before = fs::read(&path).unwrap();
        inherited.shutdown();
        drop(inherited);
        fs::read(&path).unwrap() == before
    });
    assert!(good);
    drop(b);
    assert!(Node::start(&folder.config("b", &addr)).is_ok());
}

#[test]
fn a_write_that_fails_is_counted_and_logged_once_and_made_up_for_at_the_end() {
    let _turn = alone();
    let a = node("a");
    let addr = a.addr().to_string();
    let folder = Folder::new();
    let good = in_child(|| {
        let limit = |bytes: u64| {
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: libc::RLIM_INFINITY,
            };
            // SAFETY: `limit` is valid for the call, which affects this child process only.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        };
        let mut config = folder.config("b", "127.0.0.1:0");
        config.set("log_level", "warn").unwrap();
        let b = Node::start(&config).unwrap();
        eventually("the first line is written", || !folder.text().is_empty());
        let whole = folder.text();
        limit(whole.len() as u64 + 5);
        assert_eq!(b.join(&[&addr], Some(PATIENCE)), Ok(1));
        eventually("a write fails", || counter(&b, "snapshot_failures") > 0);
        assert_eq!(folder.text(), whole, "no half line is left");
        assert_eq!(state_of(&b, "a"), Some(MemberState::Alive));
        limit(libc::RLIM_INFINITY);
        b.shutdown();
        let mut logged = 0;
        while let Ok(Some(event)) = b.next_event(Some(Duration::ZERO)) {
            logged += usize::from(event.kind() == EventKind::Log);
        }
        logged == 1 && folder.text().contains(&format!("alive: a {addr}\n"))
    });
    assert!(good);
}

#[test]
fn a_node_at_rest_neither_writes_its_snapshot_nor_wakes_up_for_it() {
    let _turn = with_others();
    let folder = Folder::new();
    let b = Node::start(&folder.config("b", "127.0.0.1:0")).unwrap();
    eventually("the first line is written", || !folder.text().is_empty());
    let text = folder.text();
    assert_eq!(text, "# incarnation: 1\n");
    // Each call wakes the engine, which would write what is due.
    for _ in 0..50 {
        b.health().unwrap();
    }
    assert_eq!(folder.text(), text);
}
