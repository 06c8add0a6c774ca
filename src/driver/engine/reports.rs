//! Passing on the reports of the core: to the list of members, to the readers of events, to the
//! log, and to the parties that wait for operations.

use crate::driver::engine::Engine;
use crate::driver::events::failure::{
    join_outcome, leave_outcome, message_outcome, query_outcome, spread_outcome, target_text,
};
use crate::driver::events::pending::Outcome;
use crate::driver::os::clock;
use crate::error::{Error, Status};
use crate::event::{EventBody, Level};
use crate::serf::{CoreEvent, LeaveEnd};
use crate::swim::OpId;
use crate::vocabulary::NodeState;
use std::net::SocketAddr;
use std::sync::Arc;

impl Engine {
    /// Passes on everything that the core reports, and returns whether there was anything.
    pub(super) fn pass_on_reports(&mut self) -> bool {
        // The list of members changes first, so that a reader of an event finds the change there.
        self.update_members();
        let mut any = false;
        while let Some(report) = self.core.poll_event() {
            self.pass_on(report);
            any = true;
        }
        any
    }

    /// Brings the list of members up to date with the core.
    pub(super) fn update_members(&mut self) {
        let changed = self.core.take_changed();
        if !changed.is_empty() {
            let (core, version) = (&self.core, self.core.version());
            let members = &self.handle.members;
            members.update(&changed, |name| core.member(name), version);
        }
    }

    fn pass_on(&mut self, report: CoreEvent) {
        match report {
            CoreEvent::App(body) => {
                if let Some(member) = body.member() {
                    self.log
                        .line(&self.handle.events, Level::Info, "members", || {
                            format!("{} {} {}", body.kind().name(), member.name, member.addr)
                        });
                }
                self.push_event(body);
            }
            CoreEvent::JoinDone { op, report, owner } => {
                for (target, why) in &report.failures {
                    let why = target_text(target, why);
                    self.warn("join", format!("join {target}: {why}"));
                }
                self.debug("join", || format!("{} answered", report.contacted));
                let taken = owner.map(|owner| Err(self.name_is_taken(owner)).into());
                self.complete(op, taken.unwrap_or_else(|| join_outcome(&report)));
            }
            CoreEvent::LookDone {
                op,
                report,
                members,
            } => {
                self.debug("look", || format!("{} members found", members.len()));
                let mut outcome = join_outcome(&report);
                outcome.members = members.into();
                self.complete(op, outcome);
            }
            CoreEvent::LeaveDone { op, end } => {
                let has_left = end != LeaveEnd::Cancelled;
                if has_left && self.handle.lifecycle.state() == NodeState::Leaving {
                    self.handle.lifecycle.enter(NodeState::Left);
                }
                let outcome = leave_outcome(end);
                // The caller decides whether a leave that was not acknowledged deserves a warning.
                self.debug("leave", || match &outcome.result {
                    Ok(_) => "every live member that was asked has acknowledged the leave".into(),
                    Err(error) => error.message.clone(),
                });
                self.complete(op, outcome);
            }
            CoreEvent::QueryDone {
                number,
                answers,
                missing,
            } => self.on_query_done(number, answers, missing),
            CoreEvent::KeysChanged(change) => self.on_keys_changed(change),
            CoreEvent::KeysDone { number, report } => self.on_keys_done(number, report),
            CoreEvent::MessageDone { op, failure } => self.complete(op, message_outcome(failure)),
            CoreEvent::SpreadDone { op, end } => self.complete(op, spread_outcome(end)),
            CoreEvent::HintDone { op, name, answered } => self.on_hint_done(op, &name, answered),
            CoreEvent::NameClaimed { other } => {
                let (name, own) = (&self.handle.name, self.handle.addr());
                let text =
                    format!("the name \"{name}\" of this node at {own} is also listed at {other}");
                self.warn("members", text);
            }
            CoreEvent::NameConflict { other } => self.on_name_conflict(other),
            CoreEvent::NameVote {
                other,
                answers,
                votes,
                kept,
            } => self.on_name_vote(other, (votes, answers), kept),
            CoreEvent::NameFree { reported } => self.on_name_free(reported),
        }
    }

    /// Queues an event: an ack of a query or an answer to it for the caller that waits for it, if
    /// there is one, and any other event for all readers.
    fn push_event(&self, body: EventBody) {
        let (EventBody::QueryAck { id, .. } | EventBody::QueryResponse { id, .. }) = &body else {
            return self.handle.events.push(body);
        };
        match self.operations.answers_to(*id) {
            Some(queue) => drop(queue.push(clock::now(), body)),
            None => self.handle.events.push(body),
        }
    }

    fn on_query_done(&mut self, number: u64, answers: usize, missing: Vec<Arc<str>>) {
        self.debug("query", || format!("{answers} members have answered"));
        if let Some(waiter) = self.operations.finish_query(number) {
            waiter.complete(&self.handle.events, query_outcome(answers, missing));
        }
    }

    fn on_hint_done(&mut self, op: OpId, name: &str, answered: bool) {
        let verdict = match answered {
            true => "answers",
            false => "does not answer",
        };
        self.debug("probe", || {
            format!("{name} {verdict} (probed because of a hint)")
        });
        let silent = || Error::new(Status::Unreachable, format!("{name} does not answer"));
        let result = if answered { Ok(0) } else { Err(silent()) };
        self.complete(op, result.into());
    }

    fn on_name_conflict(&mut self, other: SocketAddr) {
        let error = self.name_is_taken(other);
        let text = || error.message.clone();
        let events = &self.handle.events;
        self.log.line(events, Level::Error, "members", text);
        self.fail_joins(&error);
        self.handle.events.push(EventBody::Fatal { error });
    }

    /// Logs a vote about the name of this node. `votes` are those for this node, and all.
    fn on_name_vote(&mut self, other: SocketAddr, votes: (usize, usize), kept: bool) {
        let (level, verb) = match kept {
            true => (Level::Info, "keeps"),
            false => (Level::Warn, "gives up"),
        };
        let (events, name) = (&self.handle.events, &self.handle.name);
        let (own, (for_own, all)) = (self.handle.addr(), votes);
        self.log.line(events, level, "members", || {
            format!(
                "this node {verb} the name \"{name}\", which a node at {other} has as well: \
                 {for_own} of {all} members list it at {own}"
            )
        });
    }

    fn on_name_free(&mut self, reported: bool) {
        let (events, name) = (&self.handle.events, &self.handle.name);
        let text = || format!("no other node has the name \"{name}\" any more");
        self.log.line(events, Level::Info, "members", text);
        if reported {
            events.push(EventBody::NameRegained {});
        }
    }

    fn name_is_taken(&self, owner: SocketAddr) -> Error {
        let name = &self.handle.name;
        let text = format!("the name \"{name}\" is in use by another node at {owner}");
        Error::new(Status::NameConflict, text)
    }

    /// Ends all joins with this error: their callers need not wait for the seeds that have not
    /// answered yet.
    fn fail_joins(&mut self, error: &Error) {
        for op in self.operations.joins() {
            self.complete(op, Err(error.clone()).into());
        }
    }

    fn complete(&mut self, op: OpId, outcome: Outcome) {
        if let Some(waiter) = self.operations.finish(op) {
            waiter.complete(&self.handle.events, outcome);
        }
    }
}
