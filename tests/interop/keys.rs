//! Changing the key of a mixed cluster, begun by an agent or by a sprat node, and keyring files
//! that one program writes and the other reads.

use super::agent::{Agent, Block, Setup, all_see_alive};
use super::messages::{self, Application};
use super::ours::{self, Ours};
use super::through::Note;
use super::wait::until;
use sprat::{Coalescing, Key, KeyReport, KeyResult};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const OLD: &str = "AAECAwQFBgcICQoLDA0ODw==";
const NEW: &str = "EBESExQVFhcYGRobHB0eHxAREhMUFRYXGBkaGxwdHh8=";
const NAMES: [&str; 4] = ["ours3", "ours4", "web1", "web2"];

/// A keyring file in a folder of its own. Both are removed when the test ends.
struct KeyringFile(PathBuf);

impl KeyringFile {
    fn new(of: &str) -> KeyringFile {
        let name = format!("sprat-keyring-{}-{of}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = KeyringFile(folder.join("keys.json"));
        std::fs::write(&file.0, format!("[\"{OLD}\"]")).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn holds(&self, keys: &[&str]) {
        let keys: Vec<String> = keys.iter().map(|key| format!("\n  \"{key}\"")).collect();
        let expected = format!("[{}\n]", keys.join(","));
        assert_eq!(std::fs::read_to_string(&self.0).unwrap(), expected);
    }
}

impl Drop for KeyringFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A thread that sends user events to the cluster all the time, from an agent and from a sprat node
/// in turn.
struct Chatter {
    ends: Arc<AtomicBool>,
    /// The number of events that were sent.
    count: Arc<AtomicUsize>,
    thread: JoinHandle<(Vec<String>, Agent)>,
}

impl Chatter {
    fn new(from: Agent, ours: Arc<Ours>) -> Chatter {
        let ends = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let (end, counted) = (ends.clone(), count.clone());
        let thread = std::thread::spawn(move || {
            let mut sent = Vec::new();
            while !end.load(Ordering::Relaxed) {
                let payload = format!("{:04} {}", sent.len(), "x".repeat(200));
                match sent.len() % 2 {
                    0 => {
                        let args = ["event", "-coalesce=false", "deploy", &payload];
                        from.try_run(&args).unwrap();
                    }
                    _ => {
                        let (node, payload) = (ours.node(), payload.as_bytes());
                        let sent = node.send_event("deploy", payload, Coalescing::Forbidden);
                        sent.unwrap();
                    }
                }
                sent.push(payload);
                counted.store(sent.len(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
            (sent, from)
        });
        Chatter {
            ends,
            count,
            thread,
        }
    }

    /// Waits until both programs have sent one more event.
    fn goes_on(&self) {
        let count = || self.count.load(Ordering::Relaxed);
        let before = count();
        until("events are sent", || match count() {
            now if now >= before + 2 => Ok(()),
            now => Err(format!("{now} were sent")),
        });
    }

    /// Ends the thread. Returns the payloads that were sent, and the agent.
    fn end(self) -> (Vec<String>, Agent) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Two agents and two sprat nodes that encrypt. The second agent and the second sprat node have
/// keyring files.
struct Cluster {
    block: Block,
    notes: [Note; 2],
    agents: [Agent; 2],
    applications: [Application; 2],
    files: [KeyringFile; 2],
}

impl Cluster {
    fn new(of: &str) -> Cluster {
        let block = Block::new();
        let notes = [1, 2].map(|host| Note::new(&format!("keys-{of}-{host}")));
        let files = ["agent", "sprat"].map(|program| KeyringFile::new(&format!("{of}-{program}")));
        let first = messages::agent("web1", &block, 1, &notes[0])
            .key(OLD)
            .start();
        let second = messages::agent("web2", &block, 2, &notes[1])
            .arg(&format!("-keyring-file={}", files[0].path()))
            .join(first.addr())
            .start();
        let ours = [("encrypt", OLD), ("keyring_file", files[1].path())];
        let mut host = 2;
        let ours = ours.map(|(setting, value)| {
            host += 1;
            let mut config = ours::config(&format!("ours{host}"), block.ip(host));
            config.set(setting, value).unwrap();
            Ours::with(&config)
        });
        ours.iter().for_each(|node| node.join(first.addr()));
        ours.iter().for_each(|node| node.sees_alive(&NAMES));
        all_see_alive(&[&first, &second], &NAMES);
        Cluster {
            block,
            notes,
            agents: [first, second],
            applications: ours.map(Application::new),
            files,
        }
    }

    /// Changes the key while user events are sent. `step` does one step, with the last agent or the
    /// last sprat node, until all members have done it.
    fn rotate(self, step: impl Fn(&Agent, &Ours, &str, &str)) -> Cluster {
        let [first, second] = self.agents;
        let [one, other] = &self.applications;
        let chatter = Chatter::new(first, one.ours.clone());
        chatter.goes_on();
        step(&second, &other.ours, "-install", NEW);
        self.files.iter().for_each(|file| file.holds(&[OLD, NEW]));
        chatter.goes_on();
        step(&second, &other.ours, "-use", NEW);
        self.files.iter().for_each(|file| file.holds(&[NEW, OLD]));
        chatter.goes_on();
        step(&second, &other.ours, "-remove", OLD);
        self.files.iter().for_each(|file| file.holds(&[NEW]));
        chatter.goes_on();
        let (sent, first) = chatter.end();
        for application in &self.applications {
            let expected: Vec<(&str, &str)> = sent.iter().map(|it| ("deploy", &**it)).collect();
            application.has(&expected);
            application.ours.sees_alive(&NAMES);
            // No node has ever sent anything that another one could not read.
            assert_eq!(application.ours.counter("refused_undecryptable"), 0);
        }
        self.notes.iter().for_each(|note| note.holds(&sent));
        all_see_alive(&[&first, &second], &NAMES);
        Cluster {
            agents: [first, second],
            ..self
        }
    }

    /// Waits until every program lists the new key as the only one, and as that of all members.
    fn has_only_the_new_key(&self) {
        for agent in &self.agents {
            until("serf keys -list succeeds", || {
                let said = agent.try_keys(&["-list"])?;
                match said.contains(&format!("{NEW}  [4/4]")) && !said.contains(OLD) {
                    true => Ok(()),
                    false => Err(said),
                }
            });
        }
        for application in &self.applications {
            until("a list of keys succeeds", || {
                let report = done(application.ours.node().list_keys(LONG))?;
                let keys: Vec<(String, usize, usize)> = report
                    .keys
                    .iter()
                    .map(|(key, it)| (key.to_base64().to_string(), it.members, it.primary))
                    .collect();
                match keys == [(NEW.to_owned(), 4, 4)] && report.asked == 4 {
                    true => Ok(()),
                    false => Err(format!("{keys:?} {report:?}")),
                }
            });
        }
    }
}

/// A time that is long enough for answers on a busy machine. A query whose messages are lost takes
/// all of it, and is repeated.
const LONG: Option<Duration> = Some(Duration::from_secs(20));

/// Returns the report if all members have done what was asked.
fn done(result: sprat::Result<KeyResult>) -> Result<Arc<KeyReport>, String> {
    let KeyResult { report, problem } = result.map_err(|error| error.to_string())?;
    match problem {
        None => Ok(report),
        Some(error) => Err(error.to_string()),
    }
}

#[test]
fn an_agent_changes_the_key_of_a_mixed_cluster_without_losing_a_node_or_an_event() {
    let cluster = Cluster::new("by-agent");
    let cluster = cluster.rotate(|agent, _, action, key| {
        until(&format!("serf keys {action}"), || {
            agent.try_keys(&[action, key]).map(drop)
        });
    });
    cluster.has_only_the_new_key();
}

#[test]
fn a_sprat_node_changes_the_key_of_a_mixed_cluster_without_losing_a_node_or_an_event() {
    let cluster = Cluster::new("by-sprat");
    let cluster = cluster.rotate(|_, ours, action, key| {
        let (node, key) = (ours.node(), Key::from_base64(key).unwrap());
        until(&format!("all members do {action}"), || {
            let result = match action {
                "-install" => node.install_key(&key, LONG),
                "-use" => node.use_key(&key, LONG),
                _ => node.remove_key(&key, LONG),
            };
            done(result).map(drop)
        });
    });
    cluster.has_only_the_new_key();
    restart_with_the_files_of_the_other_program(cluster);
}

/// Starts an agent with the keyring file of a sprat node, and a sprat node with that of an agent.
fn restart_with_the_files_of_the_other_program(cluster: Cluster) {
    let Cluster {
        block,
        agents,
        applications,
        files,
        ..
    } = cluster;
    drop((agents, applications));
    let agent = Setup::new("web5", block.ip(5))
        .arg(&format!("-keyring-file={}", files[1].path()))
        .start();
    let mut config = ours::config("ours6", block.ip(6));
    config.set("keyring_file", files[0].path()).unwrap();
    let ours = Ours::with(&config);
    ours.join(agent.addr());
    ours.sees_alive(&["ours6", "web5"]);
    all_see_alive(&[&agent], &["ours6", "web5"]);
}

/// Returns the output of `serf keys`, which must fail, without the spaces that align it.
fn failure(agent: &Agent, args: &[&str]) -> String {
    let said = agent.try_keys(args).expect_err("a member cannot do it");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_errors_of_a_sprat_node_reach_serf_keys_and_those_of_an_agent_reach_the_report() {
    let block = Block::new();
    let agent = Setup::new("agent", block.ip(1))
        .key(OLD)
        .provoked("Failed to change primary key: Requested key is not in the keyring")
        .provoked("Failed to remove key: Removing the primary key is not allowed")
        .start();
    let file = KeyringFile::new("errors");
    let mut config = ours::config("ours", block.ip(2));
    config.set("keyring_file", file.path()).unwrap();
    let ours = Ours::with(&config);
    ours.join(agent.addr());
    ours.sees_alive(&["agent", "ours"]);
    all_see_alive(&[&agent], &["agent", "ours"]);
    for (args, expected) in [
        (["-use", NEW], "ours requested key is not in the keyring"),
        (
            ["-remove", OLD],
            "ours Removing the primary key is not allowed",
        ),
    ] {
        until("serf keys shows the error of the node", || {
            let said = failure(&agent, &args);
            match said.contains(expected) && said.contains("2/2 nodes reported failure") {
                true => Ok(()),
                false => Err(said),
            }
        });
    }
    // The node cannot replace its file. It says so, and has installed the key nevertheless.
    std::fs::remove_dir_all(file.0.parent().unwrap()).unwrap();
    until("serf keys shows that the file is not written", || {
        let said = failure(&agent, &["-install", NEW]);
        match said.contains("ours cannot write keyring_file") {
            true => Ok(()),
            false => Err(said),
        }
    });
    until("the node holds the key", || {
        let said = agent.try_keys(&["-list"])?;
        match said.contains(&format!("{NEW}  [2/2]")) {
            true => Ok(()),
            false => Err(said),
        }
    });
    let other = Key::new(&[9; 24]).unwrap();
    let refused = ours.node().use_key(&other, LONG).unwrap_err();
    assert!(refused.message.contains("does not hold"), "{refused}");
}
