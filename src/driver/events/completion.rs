//! From the events of the core to those of the application, the members' view, and whoever waits.

use crate::driver::engine::Engine;
use crate::driver::engine::shared::Shared;
use crate::driver::events::failure::{failure_text, join_outcome};
use crate::driver::events::pending::{Outcome, Promise};
use crate::driver::os::oneshot::Reply;
use crate::error::{Error, Result, Status};
use crate::event::{EventBody, EventKind, Level};
use crate::serf::CoreEvent;
use crate::swim::OpId;
use crate::vocabulary::NodeState;
use std::net::SocketAddr;

/// Who wants to know how an operation ended.
pub(in crate::driver) enum Waiter {
    /// A caller waits for the number of members reached.
    Caller(Reply<Result<usize>>),
    /// An event with this number tells.
    Event(u64),
    /// Somebody waits in a way of its own.
    Pending(Promise),
    /// Nobody; a log line at most.
    Nobody,
}

impl Waiter {
    pub fn tell(self, shared: &Shared, outcome: Outcome) {
        let result = outcome.result.clone();
        match self {
            Waiter::Caller(reply) => reply.send(result),
            Waiter::Event(id) => shared.events.push(EventBody::Done { id, result }),
            Waiter::Pending(promise) => promise.keep(outcome),
            Waiter::Nobody => {}
        }
    }

    /// The engine ends before the operation did.
    pub fn give_up(self, shared: &Shared) {
        let over = shared.over();
        self.tell(shared, Err(over).into());
    }
}

impl Engine {
    /// Hands on what the core has to tell; true if there was anything.
    pub fn hand_on_events(&mut self) -> bool {
        let mut changes = 0;
        let mut told = false;
        // The picture of the members changes first: who reads an event finds it there.
        let mut queue = Vec::new();
        while let Some(happened) = self.core.poll_event() {
            told = true;
            if let CoreEvent::App(body) = &happened
                && let Some(member) = body.member()
            {
                let listed = body.kind() != EventKind::MemberReap;
                self.shared.view.change(member, listed);
                changes += 1;
            }
            queue.push(happened);
        }
        self.update_view(changes, false);
        for happened in queue {
            self.tell(happened);
        }
        told
    }

    /// Brings the picture of the members to the version of the core. `changes` of them are in; if
    /// the core made others, which no event tells (a member that is about to leave), all are read.
    pub fn update_view(&mut self, changes: u64, afresh: bool) {
        let (held, now) = (self.shared.view.version(), self.core.version());
        if afresh || now.wrapping_sub(held) != changes {
            self.shared.view.replace(self.core.members(), now);
        } else if changes > 0 {
            self.shared.view.is_at(now);
        }
    }

    fn tell(&mut self, happened: CoreEvent) {
        match happened {
            CoreEvent::App(body) => {
                if let Some(member) = body.member() {
                    self.journal.line(&self.shared, Level::Info, "members", || {
                        format!("{} {} {}", body.kind().name(), member.name, member.addr)
                    });
                }
                self.shared.events.push(body);
            }
            CoreEvent::JoinDone { op, report, owner } => {
                for (target, why) in &report.failures {
                    let text = format!("join {target}: {}", failure_text(why));
                    self.journal.warn(&self.shared, "join", text);
                }
                self.debug("join", || format!("{} answered", report.contacted));
                let taken = owner.map(|other| Err(self.name_is_taken(other)).into());
                self.end_of(op, taken.unwrap_or_else(|| join_outcome(&report)));
            }
            CoreEvent::LeaveDone { op } => {
                if self.shared.state() == NodeState::Leaving {
                    self.shared.set_state(NodeState::Left);
                }
                self.debug("leave", || "the departure has spread".to_owned());
                self.end_of(op, Ok(0).into());
            }
            CoreEvent::HintDone { op, name, answered } => {
                let verdict = if answered { "answers" } else { "is silent" };
                self.debug("probe", || {
                    format!("{name}, as a hint wanted to know, {verdict}")
                });
                let silent = || Error::new(Status::Unreachable, format!("{name} does not answer"));
                let result = if answered { Ok(0) } else { Err(silent()) };
                self.end_of(op, result.into());
            }
            CoreEvent::NameClaimed { other } => {
                let (name, own) = (&self.shared.name, self.shared.addr);
                let text =
                    format!("the name \"{name}\" of this node at {own} is listed at {other}, too");
                self.journal.warn(&self.shared, "members", text);
            }
            CoreEvent::NameConflict { other } => {
                let taken = self.name_is_taken(other);
                let text = || taken.message.clone();
                self.journal
                    .line(&self.shared, Level::Error, "members", text);
                self.fail_joins(&taken);
                self.shared.events.push(EventBody::Fatal { error: taken });
            }
        }
    }

    fn name_is_taken(&self, owner: SocketAddr) -> Error {
        let name = &self.shared.name;
        let text = format!("the name \"{name}\" is in use by another node at {owner}");
        Error::new(Status::NameConflict, text)
    }

    /// Whoever waits for a join need not wait for those who have not answered yet.
    fn fail_joins(&mut self, why: &Error) {
        let joins: Vec<OpId> = self.joins.drain().collect();
        for op in joins {
            self.end_of(op, Err(why.clone()).into());
        }
    }

    fn end_of(&mut self, op: OpId, outcome: Outcome) {
        self.joins.remove(&op);
        // Without a waiter nobody asked: the end of an earlier join that a leave had overtaken.
        if let Some(waiter) = self.waiters.remove(&op) {
            waiter.tell(&self.shared, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::driver::Node;
    use crate::error::Status;
    use crate::{EventKind, NodeState};
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn whoever_waits_for_a_node_that_breaks_is_told_why() {
        let mut config = Config::new();
        config.set("name", "fragile").unwrap();
        config.set("bind", "127.0.0.1:0").unwrap();
        let node = Node::start(&config).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = silent.local_addr().unwrap().to_string();
        let other = node.clone();
        let joining = std::thread::spawn(move || other.join(&[&addr], None));
        std::thread::sleep(Duration::from_millis(100));
        node.shared.order(|_| panic!("on purpose")).unwrap();
        let error = joining.join().unwrap().unwrap_err();
        assert_eq!(error.status, Status::Internal);
        assert!(error.message.contains("on purpose"), "{error:?}");
        assert_eq!(node.state(), NodeState::Broken);
        let fatal = std::iter::from_fn(|| node.next_event(None).ok().flatten());
        assert_eq!(
            fatal.last().map(|event| event.kind()),
            Some(EventKind::Fatal)
        );
        assert_eq!(node.leave(None).unwrap_err().status, Status::Internal);
    }
}
