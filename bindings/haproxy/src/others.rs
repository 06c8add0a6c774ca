//! The changes of others: what someone else has set in HAProxy is left alone, for example with
//! `disable server` or `set weight`. This is the one rule for that, of the Lua module and of
//! `sprat-hap`. A server has three parts: its state, its weight and its address.
//!
//! A part counts as set by someone else if it differs from the desired value, but the server had
//! reached that value before, and nothing else has been desired since. The part is left alone until
//! it equals the desired value again, until the order for the member changes, or until the server
//! gets another member.
//!
//! In a new HAProxy process, a part is left alone only if it is as someone else had set it in the
//! old process, and the server still has its address: then it comes from HAProxy's server-state
//! file.

use crate::actual_servers::Server;
use crate::balance::{AdminState, Assignment};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::sync::Arc;

/// The goal for a server: its member, the number of the last order for the member, and the desired
/// values of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The name of the member.
    pub member: Arc<str>,
    /// The number of the last order for the member.
    pub order: u32,
    /// The desired state.
    pub state: AdminState,
    /// The desired weight.
    pub weight: u16,
    /// The desired address.
    pub addr: SocketAddr,
}

impl Goal {
    /// Returns the goal for a server; `None` if the slot is free.
    pub fn of(assignment: &Assignment) -> Option<Goal> {
        Some(Goal {
            member: assignment.name.clone()?,
            order: assignment.order,
            state: assignment.state,
            weight: assignment.weight,
            addr: assignment.addr?,
        })
    }
}

/// Parts of a server in HAProxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The administrative state.
    pub state: Option<AdminState>,
    /// The weight.
    pub weight: Option<u16>,
    /// The address.
    pub addr: Option<SocketAddr>,
}

/// The parts of a server that someone else has set.
pub type Kept = Parts;

impl From<&Server> for Parts {
    fn from(server: &Server) -> Parts {
        Parts {
            state: Some(server.state),
            weight: Some(server.weight),
            addr: server.addr,
        }
    }
}

impl Parts {
    /// Returns true if a server that should be ready gets no requests because of these parts.
    pub fn stops_requests(&self) -> bool {
        self.state.is_some() || self.weight == Some(0)
    }
}

impl Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.map(|it| format!("state {}", it.name()));
        let weight = self.weight.map(|it| format!("weight {it}"));
        let addr = self.addr.map(|it| format!("address {it}"));
        let parts: Vec<String> = [state, weight, addr].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// A part of a server.
#[derive(Clone, Copy)]
struct Part<T> {
    /// The desired value that the server has reached.
    reached: Option<T>,
    /// The value that someone else has set.
    kept: Option<T>,
}

impl<T: Copy + PartialEq> Part<T> {
    const NEW: Part<T> = Part {
        reached: None,
        kept: None,
    };

    /// Compares the part with its goal. `found` is the value that HAProxy has; `None` if that
    /// cannot be read.
    fn compare(&mut self, goal: T, found: Option<T>) {
        if found == Some(goal) {
            (self.reached, self.kept) = (found, None);
            return;
        }
        let is_of_others = self.kept.is_some() || self.reached == Some(goal);
        self.kept = found.filter(|_| is_of_others);
    }

    /// Notes that commands are sent. Until HAProxy has confirmed them, the value may be the old one
    /// or the new one.
    fn begin(&mut self) {
        if self.kept.is_none() {
            self.reached = None;
        }
    }

    /// Notes that HAProxy has taken the desired value.
    fn finish(&mut self, goal: T) {
        if self.kept.is_none() {
            self.reached = Some(goal);
        }
    }

    /// Forgets everything except a value that someone else has set and HAProxy still has.
    fn begin_process(&mut self, found: Option<T>) {
        if self.kept.is_none() || self.kept != found {
            *self = Part::NEW;
        }
    }
}

/// A server that has a goal, and its parts.
struct Known {
    member: Arc<str>,
    order: u32,
    state: Part<AdminState>,
    weight: Part<u16>,
    addr: Part<SocketAddr>,
}

impl Known {
    fn new(goal: &Goal) -> Known {
        Known {
            member: goal.member.clone(),
            order: goal.order,
            state: Part::NEW,
            weight: Part::NEW,
            addr: Part::NEW,
        }
    }

    fn is_for(&self, goal: &Goal) -> bool {
        (&self.member, self.order) == (&goal.member, goal.order)
    }

    fn compare(&mut self, goal: &Goal, found: &Parts, is_new_process: bool) {
        if is_new_process {
            let own = self.addr.kept.or(Some(goal.addr));
            if found.addr == own {
                self.state.begin_process(found.state);
                self.weight.begin_process(found.weight);
                self.addr.begin_process(found.addr);
            } else {
                *self = Known::new(goal);
            }
        }
        self.state.compare(goal.state, found.state);
        self.weight.compare(goal.weight, found.weight);
        self.addr.compare(goal.addr, found.addr);
    }

    fn kept(&self) -> Kept {
        Kept {
            state: self.state.kept,
            weight: self.weight.kept,
            addr: self.addr.kept,
        }
    }
}

/// The servers and the changes of others, by the names of the servers in HAProxy.
#[derive(Default)]
pub struct ChangesByOthers {
    /// The process that answered last.
    process: String,
    is_new_process: bool,
    known: BTreeMap<Arc<str>, Known>,
}

impl ChangesByOthers {
    /// Begins a round with the HAProxy process that answers now.
    pub fn begin_round(&mut self, process: String) {
        self.is_new_process = process != self.process;
        self.process = process;
    }

    /// Compares a server with its goal. `found` has the parts that can be read; `None` if HAProxy
    /// has no such server.
    pub fn compare(&mut self, server: &Arc<str>, goal: &Goal, found: Option<Parts>) {
        match found {
            Some(found) => {
                let found = &found;
                let is_new_process = self.is_new_process;
                self.of(server, goal).compare(goal, found, is_new_process);
            }
            None => drop(self.known.remove(server)),
        }
    }

    /// Returns a server. Its parts are new if its goal has another member or order now.
    fn of(&mut self, server: &Arc<str>, goal: &Goal) -> &mut Known {
        let known = self.known.entry(server.clone());
        let known = known.or_insert_with(|| Known::new(goal));
        if !known.is_for(goal) {
            *known = Known::new(goal);
        }
        known
    }

    /// Notes that commands for a server are sent.
    pub fn begin(&mut self, server: &str) {
        if let Some(known) = self.known.get_mut(server) {
            known.state.begin();
            known.weight.begin();
            known.addr.begin();
        }
    }

    /// Notes that HAProxy has carried out all commands for a server, except that it may have
    /// refused the weight.
    pub fn finish(&mut self, server: &Arc<str>, goal: Option<Goal>, is_weight_refused: bool) {
        let Some(goal) = goal else {
            self.known.remove(server);
            return;
        };
        let known = self.of(server, &goal);
        known.state.finish(goal.state);
        known.addr.finish(goal.addr);
        if !is_weight_refused {
            known.weight.finish(goal.weight);
        }
    }

    /// Forgets a server that has no member any more.
    pub fn forget(&mut self, server: &str) {
        self.known.remove(server);
    }

    /// Returns the parts of a server that someone else has set.
    pub fn kept(&self, server: &str) -> Kept {
        self.known.get(server).map(Known::kept).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AdminState::{Drain, Maint, Ready};

    const OWN: [u8; 4] = [10, 0, 0, 1];
    const OTHER: [u8; 4] = [10, 0, 0, 2];

    fn goal(member: &str, order: u32, state: AdminState) -> Goal {
        Goal {
            member: member.into(),
            order,
            state,
            weight: 100,
            addr: (OWN, 80).into(),
        }
    }

    fn server(state: AdminState, weight: u16, ip: [u8; 4]) -> Server {
        Server {
            id: 1,
            addr: Some((ip, 80).into()),
            state,
            weight,
            is_down: false,
            check_disabled: false,
            agent_disabled: false,
        }
    }

    fn kept(state: Option<AdminState>, weight: Option<u16>, ip: Option<[u8; 4]>) -> Kept {
        let addr = ip.map(|it| (it, 80).into());
        Kept {
            state,
            weight,
            addr,
        }
    }

    /// A server that has reached the state `ready`, its weight and its address, and that someone
    /// else has changed since.
    fn changed(found: &Server) -> (ChangesByOthers, Arc<str>) {
        let (mut others, name) = (ChangesByOthers::default(), Arc::from("app1"));
        others.begin_round("one".to_owned());
        let ready = server(Ready, 100, OWN);
        others.compare(&name, &goal("a", 0, Ready), Some((&ready).into()));
        assert_eq!(others.kept(&name), Kept::default());
        others.begin_round("one".to_owned());
        others.compare(&name, &goal("a", 0, Ready), Some(found.into()));
        (others, name)
    }

    #[test]
    fn each_part_that_someone_else_has_set_is_kept() {
        for (found, wanted, text) in [
            (
                server(Maint, 100, OWN),
                kept(Some(Maint), None, None),
                "state maint",
            ),
            (server(Ready, 0, OWN), kept(None, Some(0), None), "weight 0"),
            (
                server(Drain, 3, OTHER),
                kept(Some(Drain), Some(3), Some(OTHER)),
                "state drain, weight 3, address 10.0.0.2:80",
            ),
        ] {
            let (others, name) = changed(&found);
            assert_eq!(others.kept(&name), wanted);
            assert_eq!(wanted.to_string(), text);
            assert!(wanted.stops_requests());
        }
        assert!(!kept(None, Some(3), Some(OTHER)).stops_requests());
    }

    #[test]
    fn a_change_lasts_until_the_part_is_as_desired() {
        let (mut others, name) = changed(&server(Maint, 7, OWN));
        for (found, wanted) in [
            (server(Maint, 7, OWN), kept(Some(Maint), Some(7), None)),
            (server(Drain, 7, OWN), kept(None, Some(7), None)),
            (server(Drain, 100, OWN), Kept::default()),
        ] {
            others.compare(&name, &goal("a", 0, Drain), Some((&found).into()));
            assert_eq!(others.kept(&name), wanted);
        }
    }

    #[test]
    fn an_order_or_another_member_ends_a_change() {
        for next in [goal("a", 1, Ready), goal("b", 0, Ready)] {
            let found = server(Maint, 7, OTHER);
            let (mut others, name) = changed(&found);
            others.compare(&name, &next, Some((&found).into()));
            assert_eq!(others.kept(&name), Kept::default());
        }
    }

    #[test]
    fn a_new_process_keeps_a_part_only_if_it_has_the_same_value_and_address() {
        let all = kept(Some(Maint), Some(7), None);
        for (found, wanted) in [
            (Some(server(Maint, 7, OWN)), all),
            (Some(server(Maint, 7, OTHER)), Kept::default()),
            (Some(server(Drain, 7, OWN)), Kept { state: None, ..all }),
            (None, Kept::default()),
        ] {
            let (mut others, name) = changed(&server(Maint, 7, OWN));
            others.begin_round("two".to_owned());
            others.compare(&name, &goal("a", 0, Ready), found.as_ref().map(Parts::from));
            assert_eq!(others.kept(&name), wanted, "{found:?}");
        }
    }

    #[test]
    fn a_new_process_keeps_an_address_that_someone_else_has_set() {
        let found = server(Maint, 100, OTHER);
        let (mut others, name) = changed(&found);
        others.begin_round("two".to_owned());
        others.compare(&name, &goal("a", 0, Ready), Some((&found).into()));
        assert_eq!(others.kept(&name), kept(Some(Maint), None, Some(OTHER)));
    }

    #[test]
    fn an_old_value_in_a_new_process_is_not_a_change() {
        let (mut others, name) = changed(&server(Ready, 100, OWN));
        others.begin_round("two".to_owned());
        let found = server(Maint, 7, OTHER);
        others.compare(&name, &goal("a", 0, Ready), Some((&found).into()));
        assert_eq!(others.kept(&name), Kept::default());
    }

    #[test]
    fn a_command_whose_answer_was_lost_is_not_a_change() {
        let (mut others, name) = changed(&server(Ready, 100, OWN));
        others.begin(&name); // the server is stopped, and HAProxy's answer is lost
        others.begin_round("one".to_owned());
        others.compare(
            &name,
            &goal("a", 0, Ready),
            Some((&server(Maint, 7, OWN)).into()),
        );
        assert_eq!(others.kept(&name), Kept::default());
    }

    #[test]
    fn a_part_that_cannot_be_read_is_not_a_change() {
        let (mut others, name) = changed(&server(Ready, 0, OWN));
        let found = Parts {
            state: None,
            ..(&server(Ready, 0, OWN)).into()
        };
        others.compare(&name, &goal("a", 0, Ready), Some(found));
        assert_eq!(others.kept(&name), kept(None, Some(0), None));
        others.forget(&name);
        assert_eq!(others.kept(&name), Kept::default());
    }

    #[test]
    fn a_weight_that_haproxy_has_refused_is_not_a_change() {
        let (mut others, name) = (ChangesByOthers::default(), Arc::from("app1"));
        others.begin_round("one".to_owned());
        let refused = server(Ready, 1, OWN);
        others.compare(&name, &goal("a", 0, Ready), Some((&refused).into()));
        others.begin(&name);
        others.finish(&name, Some(goal("a", 0, Ready)), true);
        others.begin_round("one".to_owned());
        others.compare(&name, &goal("a", 0, Ready), Some((&refused).into()));
        assert_eq!(others.kept(&name), Kept::default());
    }
}
