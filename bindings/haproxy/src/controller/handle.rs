//! The calls that HAProxy's threads or `sprat-hap` make. None of them waits for the node.

use super::config::ControllerConfig;
use super::handover;
use super::notices::Notice;
use super::shared::{Command, NodePhase, Shared};
use super::user_events::UserEvent;
use super::{report_json, report_text, thread};
use crate::backend::Backend;
use crate::balance::{AdminState, Assignment, Reach};
use sprat::driver::PreparedThreads;
use sprat::service::servers::index::MemberIndex;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// The time after which the report says that the controller's thread has not been active.
const SILENCE: Duration = Duration::from_secs(5);

/// A running controller.
pub struct Controller {
    shared: Arc<Shared>,
    backends: Vec<Backend>,
}

impl Controller {
    /// Starts the controller's thread, which starts the node.
    ///
    /// # Errors
    /// The process has no descriptor left, or cannot create a thread.
    pub fn start(config: ControllerConfig) -> io::Result<Controller> {
        let shared = Arc::new(Shared::new(config.node.bind_addr())?);
        let for_thread = shared.clone();
        let backends = config.backends.clone();
        PreparedThreads::run("sprat-control", move || thread::run(&for_thread, config))?;
        Ok(Controller { shared, backends })
    }

    /// Returns a number that changes when assignments, member indexes or addresses have changed.
    pub fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// Takes the next changed assignment and the number of its backend.
    pub fn next_change(&self) -> Option<(usize, Assignment)> {
        self.shared.next_change()
    }

    /// Takes the next line for the log. The line of a condition is returned once while the
    /// condition lasts.
    pub fn next_notice(&self) -> Option<Notice> {
        self.shared.next_notice()
    }

    /// Takes the oldest user event that waits. Before the first call, user events are not kept.
    pub fn next_user_event(&self) -> Option<UserEvent> {
        self.shared.next_user_event()
    }

    /// Returns how long ago the controller's thread was last active.
    pub fn silent_for(&self) -> Duration {
        self.shared.silent_for()
    }

    /// Returns the phase of the node; `None` if another thread holds its lock at this moment.
    pub fn phase(&self) -> Option<NodePhase> {
        self.shared.phase()
    }

    /// Returns the text of `show sprat`: members, slots, and the reason for each server that is
    /// held.
    pub fn report(&self) -> String {
        let silent = self.silent_for();
        let report = self.shared.report();
        let report = report.map(|it| report_text::text(&it, self.shared.user_event_counts()));
        let mut report = report.unwrap_or_else(|| "the node is busy; ask again\n".to_owned());
        if silent > SILENCE {
            let text = format!(
                "the controller has not been active for {} s\n",
                silent.as_secs()
            );
            report.insert_str(0, &text);
        }
        report
    }

    /// Returns the text of `show sprat json`.
    pub fn report_json(&self) -> String {
        match (self.shared.report(), self.phase()) {
            (Some(report), Some(phase)) => {
                let events = self.shared.user_event_counts();
                report_json::text(&report, events, &phase, self.silent_for())
            }
            _ => "{\"error\":\"the node is busy; ask again\"}\n".to_owned(),
        }
    }

    /// Orders a state for the server of a member, in place of the state that the member and the
    /// cluster call for; `None` withdraws the order. `backend` limits the order to one backend.
    ///
    /// # Errors
    /// `name` is more than one name; no backend has a member of this name, or the given backend has
    /// none; or this process is ending.
    pub fn order(
        &self,
        backend: Option<&str>,
        name: &str,
        state: Option<AdminState>,
    ) -> Result<(), String> {
        // A member whose name has a space gets no server: see `is_safe_name` in the library.
        let names = name.split_whitespace().count();
        if names > 1 {
            return Err(format!(
                "an order is for one member, got {names} names ({name}); give one order for each"
            ));
        }
        let rosters = self.shared.rosters();
        let is_meant = |it: &Backend| backend.is_none_or(|backend| it.name == backend);
        let knows = |n: usize| rosters.get(n).is_some_and(|it| it.contains_key(name));
        let all = self.backends.iter().enumerate();
        let meant: Vec<usize> = all
            .filter(|(n, it)| is_meant(it) && knows(*n))
            .map(|(n, _)| n)
            .collect();
        if meant.is_empty() {
            let of = backend.map(|backend| format!(" of backend {backend}"));
            let of = of.unwrap_or_default();
            return Err(format!(
                "there is no member {name:?}{of}; `show` (`show sprat` on HAProxy's socket) lists \
                 the members"
            ));
        }
        for backend in meant {
            let name = name.into();
            self.give(Command::SetOrder {
                backend,
                name,
                state,
            })?;
        }
        Ok(())
    }

    /// Returns whether the snapshot has all orders, freezes and thaws that were given: `Ok` if it
    /// has them, or if there is no snapshot; the reason if it could not be written, so that a
    /// reload or restart will undo them; `None` if it was not written since.
    pub fn saved(&self) -> Option<Result<(), String>> {
        self.shared.saved()
    }

    /// Returns what an operator should know about an order, a freeze or a thaw that was carried
    /// out; `None` if there is nothing to add. `saved` is the result of [`Controller::saved`].
    pub fn remark(saved: Option<Result<(), String>>) -> Option<String> {
        match saved {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(format!(
                "a reload or restart will undo it, because the snapshot cannot be written: {why}"
            )),
            None => Some("it is not in the snapshot yet".to_owned()),
        }
    }

    /// Sends a command of an operator.
    fn give(&self, command: Command) -> Result<(), String> {
        match self.shared.send(command) {
            true => Ok(()),
            false => Err("this process is ending; give the command to its successor".to_owned()),
        }
    }

    /// Returns the name of a member's server in HAProxy's configuration; `None` if the member has
    /// no slot.
    pub fn server_of(&self, backend: usize, name: &str) -> Option<Arc<str>> {
        let rosters = self.shared.rosters();
        let (member, slot) = rosters.get(backend)?.get_key_value(name)?;
        Some(self.backends[backend].server_name((*slot)?, member))
    }

    /// Sets the text that tells how the server of a member in HAProxy differs from its assignment.
    /// An empty text means that it does not differ.
    pub fn set_drift(&self, backend: usize, slot: usize, name: Arc<str>, text: String) {
        self.shared.send(Command::SetDrift {
            backend,
            slot,
            name,
            text,
        });
    }

    /// Returns an index of the members for each backend, by that backend's rules; an empty list
    /// before the node runs. While this node may be isolated, the indexes do not change.
    pub fn member_indexes(&self) -> Arc<Vec<MemberIndex>> {
        self.shared.member_indexes()
    }

    /// Returns the addresses at which members listen for the cluster. Until other members have been
    /// heard from, the addresses of the snapshot are included; while this node may be isolated, no
    /// address is removed.
    pub fn addrs(&self) -> Arc<BTreeSet<IpAddr>> {
        self.shared.addrs()
    }

    /// Sets whether HAProxy sends requests to the server of a member in a slot. The call has no
    /// effect if the slot no longer belongs to this member.
    pub fn set_reach(&self, backend: usize, slot: usize, name: Arc<str>, reach: Reach) {
        self.shared.send(Command::SetReach {
            backend,
            slot,
            name,
            reach,
        });
    }

    /// Returns the name of the handover socket, for HAProxy's `abns@`. The socket lives as long as
    /// the node, and a connection to it keeps a stopping HAProxy alive.
    pub fn handover_socket(&self) -> String {
        handover::socket_name(self.shared.bind)
    }

    /// Freezes removals if `frozen` is true, or else thaws them.
    ///
    /// # Errors
    /// This process is ending.
    pub fn set_frozen(&self, frozen: bool) -> Result<(), String> {
        self.give(Command::SetFrozen(frozen))
    }

    /// Restores assignments of a backend. Members that have been heard from keep the assignments
    /// that they have. The receiver gets a message once the resulting changes can be taken.
    pub fn restore(&self, backend: usize, assignments: Vec<Assignment>) -> Receiver<()> {
        let (done, receiver) = mpsc::channel();
        self.shared.send(Command::Restore {
            backend,
            assignments,
            done,
        });
        receiver
    }

    /// Sets the names of the backend's servers that are reserved, that is, not available to
    /// members. A member with such a name gets no server.
    pub fn reserve_names(&self, backend: usize, names: BTreeSet<String>) {
        self.shared.send(Command::ReserveNames { backend, names });
    }

    /// Ends the node. If a successor process on this host waits for the port, the node ends
    /// silently. Otherwise the node waits up to `patience` for a successor, and leaves the cluster
    /// if none comes. [`NodePhase::Released`] marks the end.
    pub fn release(&self, patience: Duration) {
        self.shared.send(Command::Release { patience });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::balance::Limits;
    use crate::snapshot::Snapshot;
    use sprat::Config;
    use sprat::service::servers::candidate::Rules;
    use std::time::Instant;

    #[test]
    fn questions_from_many_threads_at_once_are_all_answered() {
        let mut node = Config::default();
        for (key, value) in [
            ("bind", "127.0.0.1:0"),
            ("name", "asked"),
            ("profile", "local"),
        ] {
            node.set(key, value).unwrap();
        }
        let rules = Rules {
            tag: ("role".to_owned(), "backend".to_owned()),
            loopback: true,
            ..Rules::default()
        };
        let backend = Backend {
            name: "nodes".to_owned(),
            rules,
            servers: (1..=4).map(|n| format!("app{n}").into()).collect(),
            limits: Limits::default(),
        };
        let controller = Controller::start(ControllerConfig {
            node,
            backends: vec![backend],
            inside_haproxy: true,
            snapshot: Snapshot::default(),
            snapshot_file: None,
        })
        .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let size = || controller.member_indexes().first().map(MemberIndex::size);
        while size() != Some(1) {
            assert!(Instant::now() < until, "the node does not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200_000 {
                        assert_eq!(size(), Some(1));
                    }
                });
            }
        });
        assert!(controller.member_indexes().get(1).is_none());
        controller.release(Duration::ZERO);
    }
}
