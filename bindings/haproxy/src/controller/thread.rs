//! The controller's thread: it starts the node, follows the members until the end, and hands the
//! port over or leaves the cluster.
//!
//! Each round reads the members, hands them to the parts, publishes the resulting changes, and
//! sleeps until an event, a command or a timeout.

use super::config::ControllerConfig;
use super::handover::{self, Handover};
use super::isolation::Isolation;
use super::join_diagnosis::JoinDiagnosis;
use super::notices::{self, Level, Notice, Notices};
use super::own_listeners::OwnListeners;
use super::peers::{self, Peers};
use super::pools::Pools;
use super::report::{self, Census, Report};
use super::round_trips::RoundTrips;
use super::shared::{Command, NodePhase, Shared};
use super::snapshot_writer::{SnapshotProblem, SnapshotWriter};
use sprat::driver::Subscription;
use sprat::service::servers::candidate::is_present;
use sprat::swim::Health;
use sprat::time::Time;
use sprat::{Config, ConflictVerdict, EventKind, Member, MemberState, Node, NodeState, Status};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// The longest pause between two rounds: the period of the heartbeat.
const BEAT: Duration = Duration::from_millis(250);
/// The pause between two attempts to bind, and between two checks for a successor. It is short,
/// because the previous process may free the port at any moment.
const BIND_RETRY: Duration = Duration::from_millis(5);
/// The pause after an attempt to start that failed for a reason other than the address.
const START_RETRY: Duration = Duration::from_secs(1);
/// The longest time to wait for the leave to spread.
const LEAVE: Duration = Duration::from_secs(5);
/// The line that is logged when user events are dropped.
const DROPS: &str = "user events are dropped, because a function of `on_event` is too slow; \
                     `show sprat` counts them";
/// The line that is logged if the snapshot cannot be read.
const DAMAGED: &str = "the snapshot holds no record that can be read (it is damaged, or another \
                       version has written it), so slots, orders and a freeze from before are lost";
/// The maximum number of events that wait between two rounds.
const EVENTS: usize = 1024;

/// Runs the controller until it is released.
pub(super) fn run(shared: &Shared, mut config: ControllerConfig) {
    config.node = peers::add_to_seeds(config.node, &config.snapshot.peers);
    let node_config = config.node.clone();
    let mut thread = ControllerThread::new(shared, config);
    if let Some(node) = thread.start(node_config) {
        thread.follow(&node);
        thread.end(&node);
    }
    shared.set_phase(NodePhase::Released);
}

/// The state of the thread.
struct ControllerThread<'a> {
    shared: &'a Shared,
    began: Instant,
    pools: Pools,
    peers: Peers,
    snapshots: SnapshotWriter,
    /// The number of members in each state when they were last listed.
    census: Census,
    /// The health of the node when it was last read; `None` while no node runs.
    health: Option<String>,
    /// Empty while no node runs.
    round_trips: RoundTrips,
    /// True while user events are dropped, because the script does not take them in time.
    drops_user_events: bool,
    isolation: Isolation,
    diagnosis: JoinDiagnosis,
    /// `None` if this process is not the load balancer.
    own_listeners: Option<OwnListeners>,
    notices: Notices,
    /// The lines that the node logs; `None` while no node runs.
    node_log: Option<Subscription>,
    handover: Option<Handover>,
    /// The version of the members from which questions are answered; `None` before the first
    /// round.
    index_version: Option<u64>,
    /// Members whose servers were reported unreachable, and which the node has not been asked to
    /// probe yet.
    unreachable: Vec<Arc<str>>,
    /// The parties waiting for the changes that follow from restored assignments.
    restored: Vec<Sender<()>>,
    /// The time to wait for a successor; `None` until the release is requested.
    release: Option<Duration>,
    /// The orders, freezes and thaws that have come while another process may still have the port;
    /// `None` once this process has it.
    given: Option<Vec<Command>>,
}

impl ControllerThread<'_> {
    /// Prepares the thread: restores the snapshot, and publishes the servers in it.
    fn new(shared: &Shared, config: ControllerConfig) -> ControllerThread<'_> {
        let mut thread = ControllerThread {
            shared,
            began: Instant::now(),
            pools: Pools::new(config.backends),
            peers: Peers::new(config.snapshot.peers.clone()),
            snapshots: SnapshotWriter::new(config.snapshot_file),
            census: Census::default(),
            health: None,
            round_trips: RoundTrips::default(),
            drops_user_events: false,
            isolation: Isolation::default(),
            diagnosis: JoinDiagnosis::new(config.node.seed_list()),
            own_listeners: config.inside_haproxy.then(OwnListeners::new),
            notices: Notices::default(),
            node_log: None,
            handover: None,
            index_version: None,
            unreachable: Vec::new(),
            restored: Vec::new(),
            release: None,
            given: Some(Vec::new()),
        };
        if thread.snapshots.is_damaged() {
            shared.push_notices(vec![Notice::new(Level::Warning, DAMAGED.to_owned())]);
        }
        thread.refresh_own_listeners();
        let now = thread.now();
        thread.pools.restore_snapshot(now, &config.snapshot);
        thread.publish(Vec::new());
        thread
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.began.elapsed().as_nanos() as u64 + 1)
    }

    /// Starts the node, and retries until the start succeeds. Returns `None` if the controller is
    /// released before the node runs.
    fn start(&mut self, config: Config) -> Option<Node> {
        let mut request = None;
        loop {
            self.run_and_publish();
            if self.release.is_some() {
                self.run_last_commands();
                if self.take_over_orders() {
                    self.save();
                }
                return None;
            }
            let error = match Node::start(&config) {
                Ok(node) => {
                    self.snapshots.claim();
                    self.take_over_orders();
                    self.shared.set_phase(NodePhase::Running);
                    return Some(node);
                }
                Err(error) => error,
            };
            let pause = match error.status {
                Status::Address => {
                    // The previous process may have the port. When it has to stop, it frees the
                    // port without a leave if another process has asked for it. Once it has
                    // ended, yet another process may have the port.
                    request = request
                        .filter(handover::is_open)
                        .or_else(|| handover::request(self.shared.bind));
                    BIND_RETRY
                }
                _ => START_RETRY,
            };
            self.shared
                .set_phase(NodePhase::Starting(Some(error.message)));
            self.pause(pause, None);
        }
    }

    /// Follows the members until the controller is released or the node is broken.
    fn follow(&mut self, node: &Node) {
        let of_members = EventKind::ALL.into_iter().filter(|it| it.is_of_member());
        let kinds: Vec<EventKind> = of_members.collect();
        // User events have a reader of their own, so that changes of members do not displace them.
        // The lines of the log are read in each round, and do not wake this thread.
        let subscriptions = node.subscribe(EVENTS, &kinds).and_then(|events| {
            self.node_log = Some(node.subscribe(EVENTS, &[EventKind::Log])?);
            Ok([events, node.subscribe(EVENTS, &[EventKind::User])?])
        });
        let subscriptions = match subscriptions {
            Ok(subscriptions) => subscriptions,
            Err(error) => return self.wait_for_release(error.message),
        };
        while self.release.is_none() {
            self.observe(node);
            if self.handover.is_none() {
                // This fails as long as the previous process has the socket.
                self.handover = Handover::listen(self.shared.bind);
            }
            if node.state() == NodeState::Broken {
                let why = node.health().err().map(|error| error.message);
                return self.wait_for_release(why.unwrap_or_default());
            }
            let now = self.now();
            let due = self.pools.next_timeout(now);
            let pause = due.map_or(BEAT, |at| at.since(now).min(BEAT));
            self.pause(pause, Some(&subscriptions));
            let [of_members, of_users] = &subscriptions;
            // The events only wake this thread: the next round reads all members anyway.
            let _ = of_members.drain(usize::MAX);
            let events = of_users.drain(usize::MAX).unwrap_or_default();
            self.drops_user_events = self.shared.push_user_events(events);
            self.run_commands();
            self.send_hints(node);
        }
    }

    /// Reads the members, and publishes the resulting changes, report and notices.
    fn observe(&mut self, node: &Node) {
        self.refresh_own_listeners();
        let version = node.members_version(); // read first, so that it is not newer than `members`
        let members = node.members();
        let health = node.health().ok(); // read later, so that it is not older than `members`
        let local = node.name();
        let others: Vec<&Member> = members.iter().filter(|it| *it.name != *local).collect();
        let count = |state: MemberState| others.iter().filter(|it| it.state == state).count();
        let present = others.iter().filter(|it| is_present(it)).count();
        let cut_off = |it: &Health| it.isolated || it.score == it.score_max;
        self.isolation
            .expect_at_most(present + count(MemberState::Failed));
        let isolated = self.isolation.update(
            health.as_ref().is_some_and(cut_off),
            present,
            count(MemberState::Alive),
        );
        self.pools.observe(self.now(), &others, isolated);
        self.peers.observe(&members, local, isolated);
        self.answer_questions(version, &members, isolated);
        let is_alone = members.len() == 1;
        let diagnosis = self.diagnosis.update(node, is_alone).map(str::to_owned);
        let alone = diagnosis.as_ref();
        let alone = alone.map(|why| format!("alone in the cluster: {why}"));
        let conflict = health.as_ref().and_then(|it| name_conflict(it, local));
        let drops = self.drops_user_events.then(|| DROPS.to_owned());
        let alerts = [alone, conflict, drops].into_iter().flatten().collect();
        self.health = health.as_ref().map(|it| match &diagnosis {
            Some(why) => format!("{}: {why}", it.summary),
            None => it.summary.to_owned(),
        });
        self.census = Census::of(&members);
        self.round_trips.update(self.now(), node, &others);
        self.publish(alerts);
        self.save();
    }

    /// Updates the members from which questions are answered. While this node may be isolated,
    /// the answers stay as they were before.
    fn answer_questions(&mut self, version: u64, members: &Arc<Vec<Member>>, isolated: bool) {
        let is_new = self.index_version != Some(version);
        if is_new && !(isolated && self.index_version.is_some()) {
            self.index_version = Some(version);
            let indexes = self.pools.member_indexes(members);
            self.shared.set_member_indexes(indexes);
        }
    }

    /// Publishes changes, the report, the addresses of members, and log lines. `alerts` are the
    /// lines about conditions of the node itself.
    fn publish(&mut self, alerts: Vec<String>) {
        self.shared.push_assignments(self.pools.take_assignments());
        let report = Report::new(
            &self.pools,
            self.census,
            self.health.clone(),
            self.snapshots.problem().cloned(),
            &self.round_trips,
        );
        let mut conditions = report::conditions(&report);
        let alerts = alerts.into_iter();
        conditions.extend(alerts.map(|it| (it.clone(), Notice::new(Level::Alert, it))));
        let mut changes = report::changes(&mut self.pools);
        if self.snapshots.take_recovery() {
            let text = "the snapshot is written again, with all its lines".to_owned();
            changes.push(Notice::new(Level::Info, text));
        }
        let of_node = self
            .node_log
            .as_ref()
            .map(notices::of_node)
            .unwrap_or_default();
        let now = self.now();
        let notices = self.notices.update(now, conditions, changes, of_node);
        self.shared.push_notices(notices);
        self.shared.set_report(report);
        self.shared.set_rosters(self.pools.rosters());
        self.shared.set_addrs(self.peers.addrs());
        for done in self.restored.drain(..) {
            let _ = done.send(()); // this fails if the other side no longer waits
        }
        self.shared.beat();
    }

    /// Updates the addresses at which this process listens, if that is due: a host may gain or lose
    /// addresses. Returns true if they were updated.
    fn refresh_own_listeners(&mut self) -> bool {
        let now = self.now();
        let listeners = self.own_listeners.as_mut();
        let addrs = listeners.and_then(|it| it.addresses_if_due(Instant::now()));
        if let Some(addrs) = &addrs {
            self.pools.set_own_listeners(now, addrs);
        }
        addrs.is_some()
    }

    /// Makes the node immediately probe the members that HAProxy does not reach. If the node
    /// refuses a hint, it still probes the member when the member's turn comes.
    fn send_hints(&mut self, node: &Node) {
        for name in self.unreachable.drain(..) {
            let _ = node.begin_hint(&name);
        }
    }

    /// Takes over the orders and the freeze that the previous process has saved since this process
    /// read the snapshot, and adds those that this process was given in the meantime. The previous
    /// process saves before it frees the port. Returns true if this process was given any.
    fn take_over_orders(&mut self) -> bool {
        if let Some(snapshot) = self.snapshots.read_newer() {
            let now = self.now();
            self.pools.restore_orders(now, &snapshot);
        }
        let given = self.given.take().unwrap_or_default();
        let was_given = !given.is_empty();
        self.run(given);
        was_given
    }

    fn save(&mut self) {
        let (pools, peers) = (&self.pools, &self.peers);
        self.snapshots.write(|| pools.snapshot(peers.peers()));
        self.shared.set_written(match self.snapshots.problem() {
            Some(SnapshotProblem::Unwritable(why)) => Some(why.clone()),
            Some(SnapshotProblem::TooLong(_)) | None => None, // orders come first in the file
        });
    }

    /// Runs the commands that have arrived.
    fn run_commands(&mut self) {
        let commands = self.shared.take_commands();
        self.run(commands);
    }

    /// Runs the commands that have arrived, and publishes the result. It is called while no members
    /// are observed.
    fn run_and_publish(&mut self) {
        let is_refreshed = self.refresh_own_listeners();
        let commands = self.shared.take_commands();
        if is_refreshed || !commands.is_empty() {
            self.run(commands);
            self.publish(Vec::new());
        }
    }

    /// Runs the commands that have arrived. Later ones are refused, because they would be lost.
    fn run_last_commands(&mut self) {
        let commands = self.shared.take_last_commands();
        self.run(commands);
        self.publish(Vec::new());
    }

    fn run(&mut self, commands: Vec<Command>) {
        let now = self.now();
        for command in commands {
            if let Some(given) = self.given.as_mut().filter(|_| command.is_saved()) {
                given.push(command.clone());
            }
            match command {
                Command::SetReach {
                    backend,
                    slot,
                    name,
                    reach,
                } => {
                    let member = self.pools.set_reach(now, backend, slot, &name, reach);
                    self.unreachable.extend(member);
                }
                Command::SetOrder {
                    backend,
                    name,
                    state,
                } => {
                    self.snapshots.request();
                    self.pools.set_order(now, backend, &name, state);
                }
                Command::SetDrift {
                    backend,
                    slot,
                    name,
                    text,
                } => self.pools.set_drift(backend, slot, name, text),
                Command::Restore {
                    backend,
                    assignments,
                    done,
                } => {
                    self.pools.restore(now, backend, &assignments);
                    self.restored.push(done);
                }
                Command::ReserveNames { backend, names } => {
                    self.pools.reserve_names(backend, names);
                }
                Command::SetFrozen(frozen) => {
                    self.snapshots.request();
                    if !frozen {
                        // By thawing, an operator says that the missing members are gone.
                        self.isolation.expect_at_most(0);
                    }
                    self.pools.set_frozen(now, frozen);
                }
                Command::Release { patience } => self.release = Some(patience),
            }
        }
    }

    /// Reports the node as broken, and waits until the controller is released. Until then, servers
    /// stay as they are, with the exceptions that [`Pools::set_broken`] names. Commands are carried
    /// out, shown and saved as while the node runs.
    fn wait_for_release(&mut self, why: String) {
        self.shared.set_phase(NodePhase::Broken(why));
        self.health = None;
        self.round_trips = RoundTrips::default();
        let now = self.now();
        self.pools.set_broken(now);
        while self.release.is_none() {
            self.refresh_own_listeners();
            self.publish(Vec::new());
            self.save();
            self.pause(BEAT, None);
            self.run_commands();
            self.unreachable.clear(); // no node is left that could probe these members
        }
    }

    /// Hands the port over to a successor, or leaves the cluster if there is none.
    fn end(&mut self, node: &Node) {
        let until = Instant::now() + self.release.unwrap_or_default();
        self.publish(Vec::new()); // commands may have arrived together with the release
        while !self.has_successor() && Instant::now() < until {
            self.pause(BIND_RETRY, None);
            self.run_and_publish();
        }
        // A successor reads the snapshot once it has the port, which is not before the end of this
        // node.
        self.run_last_commands();
        self.snapshots.request();
        self.save();
        if !self.has_successor() {
            // A member that misses the leave sees a failure instead, which does no harm to
            // requests.
            let missed = node.leave(Some(LEAVE)).err();
            let notice = missed.map(|error| Notice::new(Level::Warning, error.message));
            self.shared.push_notices(notice.into_iter().collect());
        }
        node.shutdown();
    }

    fn has_successor(&mut self) -> bool {
        self.handover.as_mut().is_some_and(Handover::is_requested)
    }

    /// Sleeps until a command or an event arrives, or `time` has passed.
    fn pause(&self, time: Duration, events: Option<&[Subscription; 2]>) {
        self.shared.beat();
        let fd = |it: &Subscription| it.fd().unwrap_or(-1);
        let fds = events.map_or([-1, -1], |[first, second]| [fd(first), fd(second)]);
        self.shared.wait(time, fds);
    }
}

/// Returns a line about another node with the name of the local one; `None` if no such node is
/// alive.
fn name_conflict(health: &Health, local: &str) -> Option<String> {
    let conflict = health.name_conflict.as_ref();
    let conflict = conflict.filter(|it| it.verdict == ConflictVerdict::Alive)?;
    Some(format!(
        "the node at {} has the name {local:?}, too; members report only to one of the two, so \
         one of them needs another name",
        conflict.addr
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, BackendKey};
    use crate::balance::{AdminState, Limits};
    use crate::snapshot::tests::Temporary;
    use crate::snapshot::{SavedServer, Snapshot, SnapshotFile};
    use sprat::service::servers::candidate::Rules;

    const PATIENCE: Duration = Duration::from_secs(60);

    impl Temporary {
        fn snapshot(&self) -> Snapshot {
            SnapshotFile::open(&self.0).unwrap().1
        }

        /// Returns the settings of a controller that has restored the members web-0 and web-1, both
        /// ready, and keeps its next snapshot in this file.
        fn config(&self, bind: &str) -> ControllerConfig {
            let mut node = Config::default();
            for (key, value) in [("bind", bind), ("name", "lb"), ("profile", "local")] {
                node.set(key, value).unwrap();
            }
            let saved = |n: u8| SavedServer {
                backend: BackendKey::new("nodes", "role", "backend"),
                server: format!("app{n}").into(),
                state: AdminState::Ready,
                weight: 100,
                addr: ([10, 0, 0, n], 80).into(),
                name: format!("web-{n}").into(),
            };
            let snapshot = Snapshot {
                servers: [0, 1].map(saved).to_vec(),
                ..Snapshot::default()
            };
            let rules = Rules {
                tag: ("role".to_owned(), "backend".to_owned()),
                ..Rules::default()
            };
            ControllerConfig {
                node,
                backends: vec![Backend {
                    name: "nodes".to_owned(),
                    rules,
                    servers: (0..4).map(|n| format!("app{n}").into()).collect(),
                    limits: Limits::default(),
                }],
                inside_haproxy: false,
                snapshot,
                snapshot_file: Some(SnapshotFile::open(&self.0).unwrap().0),
            }
        }
    }

    /// Releases the controller when this value is dropped, even if the test fails.
    struct ReleaseOnDrop<'s>(&'s Shared);

    impl Drop for ReleaseOnDrop<'_> {
        fn drop(&mut self) {
            let patience = Duration::ZERO;
            self.0.send(Command::Release { patience });
        }
    }

    fn stop(name: &str) -> Command {
        Command::SetOrder {
            backend: 0,
            name: name.into(),
            state: Some(AdminState::Maint),
        }
    }

    fn orders(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.orders.iter().map(|it| &*it.name).collect()
    }

    fn wait_for(what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_order_that_arrives_together_with_the_release_is_saved() {
        let file = Temporary::new("release");
        let config = file.config("127.0.0.1:0");
        let shared = Shared::new(config.node.bind_addr()).unwrap();
        assert!(shared.send(stop("web-1")));
        let patience = Duration::ZERO;
        assert!(shared.send(Command::Release { patience }));
        run(&shared, config);
        assert_eq!(orders(&file.snapshot()), ["web-1"]);
        assert!(!shared.send(stop("web-0")), "later commands are refused");
    }

    #[test]
    fn an_order_that_arrives_while_a_successor_is_awaited_is_saved_and_later_ones_are_refused() {
        let file = Temporary::new("end");
        // A successor asks for the port by its number.
        let free = std::net::UdpSocket::bind("127.0.0.97:0").unwrap();
        let bind = free.local_addr().unwrap().to_string();
        drop(free);
        let config = file.config(&bind);
        let shared = Shared::new(config.node.bind_addr()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| run(&shared, config));
            let _released = ReleaseOnDrop(&shared);
            wait_for("the node runs", || {
                shared.phase() == Some(NodePhase::Running)
            });
            let patience = PATIENCE;
            shared.send(Command::Release { patience });
            assert!(shared.send(stop("web-1")));
            wait_for("the order is carried out", || {
                shared
                    .next_change()
                    .is_some_and(|(_, it)| it.name.as_deref() == Some("web-1") && it.is_unguarded)
            });
            let successor = handover::request(shared.bind);
            wait_for("it ends", || shared.phase() == Some(NodePhase::Released));
            drop(successor);
        });
        assert_eq!(orders(&file.snapshot()), ["web-1"]);
        assert!(!shared.send(stop("web-0")));
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_is_logged() {
        let file = Temporary::new("damaged");
        let notices = || {
            let config = file.config("127.0.0.1:0");
            let shared = Shared::new(config.node.bind_addr()).unwrap();
            drop(ControllerThread::new(&shared, config));
            let notices = std::iter::from_fn(|| shared.next_notice());
            notices.map(|it| it.text).collect::<Vec<_>>()
        };
        assert!(notices().is_empty(), "a new file is not damaged");
        std::fs::write(&file.0, b"sprat-3\nxxx").unwrap();
        assert_eq!(notices(), [DAMAGED]);
    }

    #[test]
    fn a_new_process_takes_over_the_orders_that_the_old_one_gets_in_the_meantime() {
        let file = Temporary::new("takeover");
        let mut old = SnapshotFile::open(&file.0).unwrap().0;
        old.claim();
        let config = file.config("127.0.0.1:0");
        let node_config = config.node.clone();
        let shared = Shared::new(config.node.bind_addr()).unwrap();
        let mut thread = ControllerThread::new(&shared, config);
        thread.run(vec![stop("web-0")]);
        let mut saved = thread.pools.snapshot(Vec::new());
        saved.orders[0].name = "web-1".into();
        saved.frozen = true;
        old.write(&saved).unwrap();
        let node = thread.start(node_config).unwrap();
        let found = thread.pools.snapshot(Vec::new());
        assert_eq!(
            (orders(&found), found.frozen),
            (vec!["web-0", "web-1"], true),
            "the order that the new process was given is not lost either"
        );
        node.shutdown();
    }

    #[test]
    fn with_a_broken_node_orders_are_carried_out_shown_and_saved_and_nothing_else_changes() {
        let file = Temporary::new("broken");
        let config = file.config("127.0.0.1:0");
        let shared = Shared::new(config.node.bind_addr()).unwrap();
        let mut thread = ControllerThread::new(&shared, config);
        while shared.next_change().is_some() {}
        let report = || report_text(&shared);
        std::thread::scope(|scope| {
            scope.spawn(|| thread.wait_for_release("a fault".to_owned()));
            let _released = ReleaseOnDrop(&shared);
            wait_for("the freeze is shown", || {
                report().contains("frozen: the node is broken")
            });
            let (done, restored) = std::sync::mpsc::channel();
            shared.send(Command::Restore {
                backend: 0,
                assignments: Vec::new(),
                done,
            });
            assert_eq!(restored.recv_timeout(PATIENCE), Ok(()));
            shared.send(Command::SetFrozen(true));
            shared.send(stop("web-1"));
            wait_for("the order is shown", || report().contains("ordered maint"));
            wait_for("the order is saved", || {
                orders(&file.snapshot()) == ["web-1"]
            });
            assert!(file.snapshot().frozen);
            shared.send(Command::Release {
                patience: Duration::ZERO,
            });
        });
        let changes: Vec<_> = std::iter::from_fn(|| shared.next_change()).collect();
        let names: Vec<_> = changes.iter().map(|(_, it)| it.name.as_deref()).collect();
        assert_eq!(names, [Some("web-1")]);
    }

    fn report_text(shared: &Shared) -> String {
        let report = shared.report();
        report
            .map(|it| super::super::report_text::text(&it, None))
            .unwrap_or_default()
    }
}
