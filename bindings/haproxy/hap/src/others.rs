//! The servers whose state someone else has set, for example with `disable server`: `sprat-hap`
//! leaves such a state alone.
//!
//! A state counts as set by someone else if it differs from the desired state, but the server had
//! reached that desired state before, and nothing else has been desired since. The state is left
//! alone until it equals the desired state again, until the order for the member changes, or until
//! the server gets another member.
//!
//! In a new HAProxy process, a state is left alone only if it is the one that someone else had set
//! in the old process, and the server still has the address of its member: then the state comes
//! from HAProxy's server-state file.

use sprat_haproxy::balance::{AdminState, Assignment};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The goal for a server: its member, the number of the last order for the member, and the desired
/// state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    member: Arc<str>,
    order: u32,
    state: AdminState,
}

impl Goal {
    /// Returns the goal for a server; `None` if the slot is free.
    pub fn of(assignment: &Assignment) -> Option<Goal> {
        Some(Goal {
            member: assignment.name.clone()?,
            order: assignment.order,
            state: assignment.state,
        })
    }

    fn is_for_the_same(&self, other: &Goal) -> bool {
        (&self.member, self.order) == (&other.member, other.order)
    }
}

/// The servers whose state someone else has set, by their names in HAProxy.
#[derive(Default)]
pub struct ChangesByOthers {
    /// The process that answered last.
    process: String,
    is_new_process: bool,
    /// The goals that the servers have reached.
    reached: BTreeMap<Arc<str>, Goal>,
    /// The servers whose state someone else has set, and that state.
    changed: BTreeMap<Arc<str>, AdminState>,
}

impl ChangesByOthers {
    /// Begins a round with the HAProxy process that answers now.
    pub fn begin_round(&mut self, process: String) {
        self.is_new_process = process != self.process;
        self.process = process;
    }

    /// Compares a server with its goal. `found` is the state that HAProxy has, and whether the
    /// server is at the address of its member; `None` if HAProxy has no such server.
    pub fn compare(&mut self, server: &Arc<str>, goal: Goal, found: Option<(AdminState, bool)>) {
        let Some((state, is_at_address)) = found else {
            return self.forget(server);
        };
        let is_kept = is_at_address && self.changed.get(server) == Some(&state);
        if self.is_new_process && !is_kept {
            self.forget(server);
        }
        if state == goal.state {
            self.changed.remove(server);
            self.reached.insert(server.clone(), goal);
            return;
        }
        let reached = self.reached.get(server);
        let was_changed = self.changed.contains_key(server);
        let by_others =
            reached.is_some_and(|it| *it == goal || (was_changed && it.is_for_the_same(&goal)));
        match by_others {
            true => self.changed.insert(server.clone(), state),
            false => self.changed.remove(server),
        };
    }

    /// Notes that commands for a server are sent. Until HAProxy has confirmed them, the state of
    /// the server may be the old one or the new one.
    pub fn begin(&mut self, server: &str) {
        if !self.has_changed(server) {
            self.reached.remove(server);
        }
    }

    /// Notes that HAProxy has carried out all commands for a server.
    pub fn finish(&mut self, server: &Arc<str>, goal: Option<Goal>) {
        match goal {
            Some(_) if self.has_changed(server) => {}
            Some(goal) => drop(self.reached.insert(server.clone(), goal)),
            None => self.forget(server),
        }
    }

    /// Returns true if someone else has set the state of a server.
    pub fn has_changed(&self, server: &str) -> bool {
        self.changed.contains_key(server)
    }

    /// Returns the state that someone else has given a server.
    pub fn state(&self, server: &str) -> Option<AdminState> {
        self.changed.get(server).copied()
    }

    fn forget(&mut self, server: &str) {
        self.reached.remove(server);
        self.changed.remove(server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AdminState::{Drain, Maint, Ready};

    fn goal(member: &str, order: u32, state: AdminState) -> Goal {
        Goal {
            member: member.into(),
            order,
            state,
        }
    }

    /// A server that has reached the state `ready`, and that someone else has stopped since.
    fn stopped_by_others() -> (ChangesByOthers, Arc<str>) {
        let (mut others, server) = (ChangesByOthers::default(), Arc::from("app1"));
        others.begin_round("one".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Ready, true)));
        assert!(!others.has_changed(&server));
        others.begin_round("one".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Maint, true)));
        assert_eq!(others.state(&server), Some(Maint));
        (others, server)
    }

    #[test]
    fn a_change_lasts_until_the_state_is_as_desired() {
        let (mut others, server) = stopped_by_others();
        others.compare(&server, goal("a", 0, Drain), Some((Maint, true)));
        assert!(others.has_changed(&server));
        others.compare(&server, goal("a", 0, Drain), Some((Drain, true)));
        assert!(!others.has_changed(&server));
    }

    #[test]
    fn an_order_or_another_member_ends_a_change() {
        for next in [goal("a", 1, Ready), goal("b", 0, Ready)] {
            let (mut others, server) = stopped_by_others();
            others.compare(&server, next, Some((Maint, true)));
            assert!(!others.has_changed(&server));
        }
    }

    #[test]
    fn a_new_process_keeps_a_change_only_if_it_has_the_same_state_and_address() {
        for (found, is_kept) in [
            (Some((Maint, true)), true),
            (Some((Maint, false)), false),
            (Some((Drain, true)), false),
            (None, false),
        ] {
            let (mut others, server) = stopped_by_others();
            others.begin_round("two".to_owned());
            others.compare(&server, goal("a", 0, Ready), found);
            assert_eq!(others.has_changed(&server), is_kept, "{found:?}");
        }
    }

    #[test]
    fn an_old_state_in_a_new_process_is_not_a_change() {
        let (mut others, server) = (ChangesByOthers::default(), Arc::from("app1"));
        others.begin_round("one".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Ready, true)));
        others.begin_round("two".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Maint, true)));
        assert!(!others.has_changed(&server));
    }

    #[test]
    fn a_command_whose_answer_was_lost_is_not_a_change() {
        let (mut others, server) = (ChangesByOthers::default(), Arc::from("app1"));
        others.begin_round("one".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Ready, true)));
        others.begin(&server); // the server is stopped, and HAProxy's answer is lost
        others.begin_round("one".to_owned());
        others.compare(&server, goal("a", 0, Ready), Some((Maint, true)));
        assert!(!others.has_changed(&server));
    }
}
