//! The commands that turn the servers that HAProxy has into those that it should have.
//!
//! HAProxy is asked for its servers before each round. Therefore the result is the same after a
//! restart of either side, and after a reload that forgets all dynamic servers. HAProxy lists the
//! ids of servers, and the id of a server that `sprat-hap` adds follows from a hash of the tag of
//! the members and of the server's name. The servers are therefore recognised after a restart, and
//! no other server is ever touched. Two `sprat-hap` processes for different tags can share a
//! backend: one of them could mistake a server of the other for its own only if the server's name
//! had the same hash with both tags. The chance of that is less than one in ten million.
//!
//! With a `server-template`, the servers exist already: they are the slots, in the order of their
//! numbers, and only addresses, weights and states are set. HAProxy then finds its servers again
//! after a reload.
//!
//! The changes of others are left alone; [`sprat_haproxy::others`] finds them.

use super::deletions::RefusedDeletions;
use super::desired::{Assignments, ChangedServers};
use sprat_haproxy::actual_servers::Server;
use sprat_haproxy::backend::Backend;
use sprat_haproxy::balance::{AdminState, Assignment, Reach};
use sprat_haproxy::others::{ChangesByOthers, Goal, Kept, Parts};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The number of slots without a `server-template`, and the maximum with one. HAProxy itself does
/// not limit the number of servers.
pub const SERVERS: usize = 4096;
/// The lowest id of a server that `sprat-hap` adds. HAProxy itself counts from 1, and ids go up to
/// 2,147,483,647.
const FIRST_ID: u32 = 1_000_000_000;
/// The number of ids that a server may have. The second one is for a server whose first id another
/// server has, and so on.
const IDS: u8 = 8;

/// The beginning of the command that deletes a server.
const DELETE: &str = "del server ";

/// The lines of commands about one server. Each line is sent only if HAProxy did not object to the
/// line before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub server: Arc<str>,
    /// The command that stops the server before it changes its address: no request may go to the
    /// new address in the old state. The last server that serves is not stopped: until HAProxy has
    /// taken the new address, requests go to the old one instead of nowhere.
    stop: Option<String>,
    lines: Vec<String>,
    /// The address that HAProxy must have taken after the first line. HAProxy 3 takes addresses a
    /// moment after the command.
    pub addr: Option<SocketAddr>,
    /// The goal that the server has reached after the step; `None` if it then has no member.
    pub goal: Option<Goal>,
    /// True if the server should be ready after the step.
    pub is_ready: bool,
    /// True if the guard does not apply to the server.
    pub is_unguarded: bool,
}

/// Plans the commands for one backend.
pub struct Planner {
    pub backend: String,
    /// The words that follow the address in `add server`.
    options: String,
    /// The tag of the members that serve, as `key=value`.
    tag: String,
    /// The names of the servers of a `server-template`, one for each slot; empty to add servers.
    template: Vec<Arc<str>>,
    pub others: ChangesByOthers,
    pub refused: RefusedDeletions,
}

impl Planner {
    /// Creates a planner. `tag` is the tag of the members that serve.
    pub fn new(
        backend: String,
        tag: &(String, String),
        options: String,
        template: Vec<Arc<str>>,
    ) -> Planner {
        Planner {
            backend,
            options,
            tag: format!("{}={}", tag.0, tag.1),
            template,
            others: ChangesByOthers::default(),
            refused: RefusedDeletions::default(),
        }
    }

    /// Returns true if the servers are those of a `server-template`.
    pub fn has_template(&self) -> bool {
        !self.template.is_empty()
    }

    /// Returns the ids that a server with this name may have, the preferred one first.
    fn ids(&self, name: &str) -> impl Iterator<Item = u32> {
        let mut begun = crc32fast::Hasher::new();
        begun.update(format!("{}\0{name}\0", self.tag).as_bytes());
        (0..IDS).map(move |n| {
            let mut hasher = begun.clone();
            hasher.update(&[n]);
            FIRST_ID + (hasher.finalize() >> 2) // 30 bits
        })
    }

    /// Returns true if `sprat-hap` has added this server for a member with this tag.
    fn is_own(&self, name: &str, server: &Server) -> bool {
        server.id >= FIRST_ID && self.ids(name).any(|id| id == server.id)
    }

    /// Returns the assignments that this or an earlier `sprat-hap` has carried out, as far as the
    /// servers of HAProxy show. HAProxy does not know which member is in a slot of a
    /// `server-template`, so the member gets a name made from its address. Servers of a
    /// `server-template` that are in maintenance are left out.
    pub fn remembered(&self, present: &BTreeMap<String, Server>) -> Vec<Assignment> {
        let assignment = |(slot, name, server): (usize, String, &Server)| Assignment {
            slot,
            name: Some(name.into()),
            addr: server.addr,
            weight: server.weight,
            state: server.state,
            order: 0,
            is_unguarded: false,
        };
        // HAProxy does not know the slots of added servers. If a slot is taken, the controller
        // gives the member the next one.
        let added = present.iter().filter(|(name, it)| self.is_own(name, it));
        let added = added.enumerate();
        let added = added.map(|(slot, (name, it))| (slot, name.clone(), it));
        let template = self.template.iter().enumerate().filter_map(|(slot, name)| {
            let server = present.get(&**name)?;
            let addr = server.addr.filter(|it| !it.ip().is_unspecified())?;
            (server.state != AdminState::Maint).then(|| (slot, format!("unknown-{addr}"), server))
        });
        let all = added.filter(|_| !self.has_template()).chain(template);
        all.filter(|(_, _, it)| it.addr.is_some())
            .map(assignment)
            .collect()
    }

    /// Returns the names of the servers that `sprat-hap` did not add: members cannot have these
    /// names. With a template, no name is reserved.
    pub fn reserved(&self, present: &BTreeMap<String, Server>) -> BTreeSet<String> {
        let reserved = present
            .iter()
            .filter(|(name, server)| self.template.is_empty() && !self.is_own(name, server));
        reserved.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the name of the server of an assignment; `None` if the slot does not exist.
    fn server_of(&self, assignment: &Assignment) -> Option<Arc<str>> {
        match self.template.is_empty() {
            true => assignment.name.clone(),
            false => self.template.get(assignment.slot).cloned(),
        }
    }

    /// Returns whether HAProxy sends requests to the servers of members, by the names of the
    /// members. Members whose servers it reaches are left out.
    pub fn unreachable(
        &self,
        present: &BTreeMap<String, Server>,
        slots: &[Assignment],
    ) -> BTreeMap<String, Reach> {
        let reach = |it: &Assignment| {
            let name = self.server_of(it)?;
            let server = present.get(&*name)?;
            let is_taken_away =
                it.state == AdminState::Ready && self.others.kept(&name).stops_requests();
            match server.is_unreachable() {
                _ if is_taken_away => Some(Reach::TakenAway),
                true => Some(Reach::Down),
                false => None,
            }
        };
        let unreachable = slots
            .iter()
            .filter_map(|it| Some((it.name.as_deref()?.to_owned(), reach(it)?)));
        unreachable.collect()
    }

    /// Compares all servers with their goals. `process` identifies the HAProxy process. Returns, by
    /// slot, the member of each server that someone else has changed, and what that is.
    pub fn find_changes_by_others(
        &mut self,
        process: String,
        present: &BTreeMap<String, Server>,
        slots: &[Assignment],
    ) -> ChangedServers {
        self.others.begin_round(process);
        let mut found = BTreeMap::new();
        for it in slots {
            let (Some(server), Some(goal)) = (self.server_of(it), Goal::of(it)) else {
                continue;
            };
            let has = present.get(&*server).map(Parts::from);
            self.others.compare(&server, &goal, has);
            let kept = self.others.kept(&server);
            if let Some(member) = it.name.clone().filter(|_| kept != Kept::default()) {
                found.insert(it.slot, (member, kept));
            }
        }
        found
    }

    /// Returns true if a server is for members: `sprat-hap` has added it, or it is one of the
    /// `server-template`.
    pub fn is_of_member(&self, name: &str, server: &Server) -> bool {
        self.is_own(name, server) || self.template.iter().any(|it| **it == *name)
    }

    /// Returns the steps from the present servers to the desired ones, at most one for each
    /// server. Names and addresses were checked when they came from the network.
    pub fn steps(&self, present: &BTreeMap<String, Server>, desired: &Assignments) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut ids: BTreeSet<u32> = present.values().map(|server| server.id).collect();
        // New servers are ready before others are taken away.
        let mut desired_first: Vec<_> = desired.iter().collect();
        desired_first.sort_by_key(|(_, it)| it.state);
        for (name, assignment) in desired_first {
            let Some(addr) = assignment.addr else {
                continue;
            };
            let step = match present.get(&**name) {
                None if assignment.state == AdminState::Maint => continue,
                None => {
                    let Some(id) = self.ids(name).find(|id| !ids.contains(id)) else {
                        continue; // other servers have all these ids
                    };
                    ids.insert(id);
                    let line = self.add(name, id, addr, assignment);
                    Step::new(name.clone(), vec![line], assignment)
                }
                Some(server) if !self.is_own(name, server) => continue,
                Some(server) => self.change(name.clone(), addr, assignment, server),
            };
            steps.push(step);
        }
        steps.extend(self.deletions(present, desired));
        steps.retain(|it| !it.lines.is_empty());
        steps
    }

    /// Returns the steps for the slots of a `server-template`. A free slot is stopped.
    pub fn slot_steps(
        &self,
        present: &BTreeMap<String, Server>,
        slots: &[Assignment],
    ) -> Vec<Step> {
        let mut slots: Vec<&Assignment> = slots.iter().collect();
        slots.sort_by_key(|it| it.state);
        let mut steps = Vec::new();
        for it in slots {
            let Some(name) = self.template.get(it.slot).cloned() else {
                continue;
            };
            steps.push(match (present.get(&*name), it.addr) {
                (Some(server), Some(addr)) => self.change(name, addr, it, server),
                (Some(server), None) if server.state == AdminState::Maint => continue,
                // If there is no such server, HAProxy's answer says so, and the answer is logged.
                (None, _) | (Some(_), None) => {
                    let line = format!("set server {} state maint", self.path(&name));
                    Step::new(name, vec![line], it)
                }
            });
        }
        steps.retain(|it| !it.lines.is_empty());
        steps
    }

    /// Returns the steps that delete servers which `sprat-hap` added and which are no longer
    /// desired. HAProxy refuses to delete a server that still has connections; the next round tries
    /// again.
    fn deletions(&self, present: &BTreeMap<String, Server>, desired: &Assignments) -> Vec<Step> {
        let is_unneeded = |(name, server): &(&String, &Server)| {
            self.is_own(name, server) && !desired.contains_key(name.as_str())
        };
        let unneeded = present.iter().filter(is_unneeded);
        let step = |(name, has): (&String, &Server)| {
            let server = self.path(name);
            let is_stopped = has.state == AdminState::Maint;
            let stop = (!is_stopped).then(|| format!("set server {server} state maint"));
            let is_allowed = self.refused.allows(name, Instant::now());
            let delete = is_allowed.then(|| format!("{DELETE}{server}"));
            Step {
                server: name.as_str().into(),
                stop: None,
                lines: stop.into_iter().chain(delete).collect(),
                addr: None,
                goal: None,
                is_ready: false,
                is_unguarded: false,
            }
        };
        unneeded.map(step).collect()
    }

    /// Returns the name of a server in commands: `BACKEND/NAME`.
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.backend)
    }

    fn add(&self, name: &str, id: u32, addr: SocketAddr, assignment: &Assignment) -> String {
        let (server, options) = (self.path(name), &self.options);
        let weight = assignment.weight;
        let mut line = format!("add server {server} {addr} id {id} weight {weight} {options}");
        let has = |word: &str| options.split(' ').any(|it| it == word);
        for (word, command) in [("check", "health"), ("agent-check", "agent")] {
            if has(word) {
                line += &format!("; enable {command} {server}");
            }
        }
        line + &format!("; set server {server} state {}", assignment.state.name())
    }

    /// Returns the step that changes a server that HAProxy has. A part that someone else has set
    /// stays.
    fn change(
        &self,
        name: Arc<str>,
        addr: SocketAddr,
        assignment: &Assignment,
        present: &Server,
    ) -> Step {
        let server = self.path(&name);
        let kept = self.others.kept(&name);
        let moves = present.addr != Some(addr) && kept.addr.is_none();
        let mut lines = Vec::new();
        if moves {
            let (ip, port) = (addr.ip(), addr.port());
            lines.push(format!("set server {server} addr {ip} port {port}"));
        }
        let mut commands = Vec::new();
        if present.weight != assignment.weight && kept.weight.is_none() {
            commands.push(format!("set server {server} weight {}", assignment.weight));
        }
        if present.check_disabled {
            commands.push(format!("enable health {server}"));
        }
        if present.agent_disabled {
            commands.push(format!("enable agent {server}"));
        }
        if (moves || present.state != assignment.state) && kept.state.is_none() {
            let state = assignment.state.name();
            commands.push(format!("set server {server} state {state}"));
        }
        if !commands.is_empty() {
            lines.push(commands.join("; "));
        }
        let stop =
            (moves && kept.state.is_none()).then(|| format!("set server {server} state maint"));
        Step {
            stop,
            addr: moves.then_some(addr),
            ..Step::new(name, lines, assignment)
        }
    }
}

impl Step {
    /// Returns the lines to send. `is_last` is true if the server is the last one that serves.
    pub fn lines(&self, is_last: bool) -> Vec<String> {
        let mut lines = self.lines.clone();
        if let (Some(stop), Some(first), false) = (&self.stop, lines.first_mut(), is_last) {
            *first = format!("{stop}; {first}");
        }
        lines
    }

    /// Returns the server for the log, with its member unless they have the same name.
    pub fn described(&self) -> String {
        let member = self.goal.as_ref().map_or(&self.server, |it| &it.member);
        Backend::describe(&self.server, member)
    }

    /// Returns true if the step deletes the server.
    pub fn is_deletion(&self) -> bool {
        self.lines.last().is_some_and(|it| it.starts_with(DELETE))
    }

    /// Returns true if the server stops being ready, and the guard does not apply to it. The last
    /// server that serves is then not spared.
    pub fn is_unguarded_removal(&self) -> bool {
        self.is_unguarded && !self.is_ready
    }

    /// Returns true if the server gets no requests for a while after the step, or never again.
    pub fn may_interrupt(&self) -> bool {
        !self.is_ready || self.addr.is_some()
    }

    fn new(server: Arc<str>, lines: Vec<String>, assignment: &Assignment) -> Step {
        Step {
            server,
            stop: None,
            addr: None,
            lines,
            goal: Goal::of(assignment),
            is_ready: assignment.state == AdminState::Ready,
            is_unguarded: assignment.is_unguarded,
        }
    }
}

/// Returns the line of an answer with which HAProxy refuses a weight.
pub fn weight_refusal(answer: &str) -> Option<&str> {
    let mut lines = answer.lines().map(str::trim);
    lines.find(|line| line.contains("static LB algorithm"))
}

/// Returns HAProxy's objection to commands; `None` if it has none. Two refusals do not count as
/// objections: that of a weight, which [`weight_refusal`] finds, and that of the deletion of a
/// server that still has connections, because the deletion is sent again.
pub fn objection(answer: &str) -> Option<String> {
    let is_fine = |line: &&str| {
        line.is_empty()
            || line.starts_with("New server registered")
            || line.starts_with("Server deleted")
            || line.contains("IP changed")
            || line.contains("no need to change")
            || weight_refusal(line).is_some()
            || line.contains("still has connections")
    };
    let mut lines = answer.lines().map(str::trim);
    let objection = lines.find(|line| !is_fine(line))?;
    Some(match objection {
        "Permission denied" => format!("{objection}: the socket needs `level admin`"),
        _ => objection.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_haproxy::actual_servers::parse;
    use sprat_haproxy::server_state::HEAD;

    fn present() -> BTreeMap<String, Server> {
        let rows = "3 nodes ID1 web-1 10.0.0.1 2 4 100 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes ID2 web-2 10.0.0.2 0 1 50 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes 3 fixed 10.0.0.9 2 8 1 1 9 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n";
        let ids = ["web-1", "web-2"].map(|it| planner().ids(it).next().unwrap().to_string());
        let rows = rows.replace("ID1", &ids[0]).replace("ID2", &ids[1]);
        parse(&format!("{HEAD}{rows}")).unwrap()
    }

    fn assignment(n: u8, state: AdminState) -> Assignment {
        Assignment {
            slot: n.into(),
            name: Some(format!("web-{n}").into()),
            addr: Some(([10, 0, 0, n], 3000).into()),
            weight: 100,
            state,
            order: 0,
            is_unguarded: false,
        }
    }

    fn servers(assignments: &[Assignment]) -> Assignments {
        assignments
            .iter()
            .map(|it| (it.name.clone().unwrap(), it.clone()))
            .collect()
    }

    fn planner() -> Planner {
        let tag = ("role".to_owned(), "backend".to_owned());
        Planner::new(
            "nodes".to_owned(),
            &tag,
            "check inter 1s".to_owned(),
            Vec::new(),
        )
    }

    fn lines(has: &BTreeMap<String, Server>, all: &Assignments) -> Vec<String> {
        let steps = planner().steps(has, all).into_iter();
        steps.flat_map(|step| step.lines(false)).collect()
    }

    #[test]
    fn a_server_that_haproxy_finds_down_is_unreachable_unless_it_is_stopped() {
        let slots = [
            assignment(1, AdminState::Ready),
            assignment(2, AdminState::Maint),
        ];
        assert!(
            planner().unreachable(&present(), &slots).is_empty(),
            "web-2 is stopped, so it does not count as unreachable"
        );
        let mut down = present();
        down.get_mut("web-1").unwrap().is_down = true;
        assert_eq!(
            planner().unreachable(&down, &slots),
            [("web-1".to_owned(), Reach::Down)].into()
        );
    }

    #[test]
    fn a_state_that_someone_else_has_set_is_not_touched_and_the_server_does_not_count() {
        let (mut planner, mut has) = (planner(), present());
        let slots = [assignment(1, AdminState::Ready)];
        let compare = |planner: &mut Planner, has: &BTreeMap<String, Server>| {
            planner.find_changes_by_others("a process".to_owned(), has, &slots)
        };
        assert!(compare(&mut planner, &has).is_empty());
        has.get_mut("web-1").unwrap().state = AdminState::Maint;
        let found = compare(&mut planner, &has);
        let kept = Kept {
            state: Some(AdminState::Maint),
            ..Kept::default()
        };
        assert_eq!(found[&1], ("web-1".into(), kept));
        has.get_mut("web-1").unwrap().addr = None;
        let steps = planner.steps(&has, &servers(&slots));
        let step = steps.iter().find(|it| &*it.server == "web-1").unwrap();
        assert_eq!(
            step.lines(false),
            ["set server nodes/web-1 addr 10.0.0.1 port 3000"]
        );
        let unreachable = planner.unreachable(&has, &slots);
        assert_eq!(unreachable, [("web-1".to_owned(), Reach::TakenAway)].into());
    }

    #[test]
    fn a_step_names_the_member_unless_its_server_has_the_same_name() {
        let has = |name: &str| [(name.to_owned(), present()["web-1"].clone())].into();
        let slots = [assignment(1, AdminState::Drain)];
        let steps = planner().steps(&has("web-1"), &servers(&slots));
        assert_eq!(steps[0].described(), "web-1");
        let tag = ("role".to_owned(), "backend".to_owned());
        let template = vec!["app1".into(), "app2".into()];
        let planner = Planner::new("nodes".to_owned(), &tag, String::new(), template);
        let steps = planner.slot_steps(&has("app2"), &slots);
        assert_eq!(steps[0].described(), "app2 (web-1)");
    }

    #[test]
    fn the_last_server_that_serves_is_not_stopped_to_change_its_address() {
        let mut moved = assignment(1, AdminState::Ready);
        moved.addr = Some(([10, 0, 0, 9], 80).into());
        let steps = planner().steps(&present(), &servers(&[moved]));
        let (moves, is_ready) = (
            "set server nodes/web-1 addr 10.0.0.9 port 80",
            "set server nodes/web-1 state ready",
        );
        assert_eq!(steps[0].lines(true), [moves, is_ready]);
        let stops = format!("set server nodes/web-1 state maint; {moves}");
        assert_eq!(steps[0].lines(false), [&*stops, is_ready]);
    }

    #[test]
    fn a_slot_of_a_template_gets_the_address_of_its_member_and_a_free_one_is_stopped() {
        let tag = ("role".to_owned(), "backend".to_owned());
        let names = ["web-1", "web-2", "fixed"].map(Into::into).to_vec();
        let planner = Planner::new("nodes".to_owned(), &tag, String::new(), names);
        let mut moved = assignment(0, AdminState::Ready);
        moved.addr = Some(([10, 0, 0, 9], 80).into());
        let slots = [Assignment::free(2), moved];
        let steps = planner.slot_steps(&present(), &slots);
        let lines: Vec<_> = steps.iter().flat_map(|it| it.lines(true)).collect();
        let wanted = [
            "set server nodes/web-1 addr 10.0.0.9 port 80",
            "set server nodes/web-1 state ready",
            "set server nodes/fixed state maint",
        ];
        assert_eq!(lines, wanted);
        assert!(planner.reserved(&present()).is_empty());
        let found = planner.remembered(&present());
        let found: Vec<_> = found.iter().map(|it| it.name.as_deref().unwrap()).collect();
        assert_eq!(found, ["unknown-10.0.0.1:3000", "unknown-10.0.0.9:80"]);
    }

    #[test]
    fn added_servers_are_recognised_by_their_ids_and_others_are_reserved() {
        let found = planner().remembered(&present());
        let places: Vec<_> = found.iter().map(|it| (it.slot, it.state)).collect();
        assert_eq!(places, [(0, AdminState::Ready), (1, AdminState::Maint)]);
        assert_eq!(planner().reserved(&present()), ["fixed".to_owned()].into());
        let tag = ("role".to_owned(), "api".to_owned());
        let other = Planner::new("nodes".to_owned(), &tag, String::new(), Vec::new());
        assert!(
            other.remembered(&present()).is_empty(),
            "servers for members with another tag are not recognised"
        );
    }

    #[test]
    fn missing_servers_are_added_and_only_servers_that_differ_are_changed() {
        let mut moved = assignment(2, AdminState::Ready);
        moved.addr = Some("[fd00::2]:80".parse().unwrap());
        let desired = servers(&[
            assignment(1, AdminState::Ready),
            moved,
            assignment(3, AdminState::Drain),
        ]);
        let id = planner().ids("web-3").next().unwrap();
        let added = format!(
            "add server nodes/web-3 10.0.0.3:3000 id {id} weight 100 check inter 1s; enable health \
             nodes/web-3; set server nodes/web-3 state drain"
        );
        assert_eq!(
            lines(&present(), &desired),
            [
                "set server nodes/web-2 state maint; set server nodes/web-2 addr fd00::2 port 80",
                "set server nodes/web-2 weight 100; set server nodes/web-2 state ready",
                &added,
            ]
        );
        let stopped = servers(&[assignment(9, AdminState::Maint)]);
        assert!(lines(&BTreeMap::new(), &stopped).is_empty());
    }

    #[test]
    fn a_step_that_was_half_done_is_finished() {
        let mut has = present();
        has.remove("web-2");
        has.get_mut("web-1").unwrap().check_disabled = true;
        let desired = servers(&[assignment(1, AdminState::Ready)]);
        assert_eq!(lines(&has, &desired), ["enable health nodes/web-1"]);
    }

    #[test]
    fn a_taken_id_is_not_used_again() {
        let ids: Vec<u32> = planner().ids("other").collect();
        let mut other = assignment(1, AdminState::Ready);
        other.name = Some("other".into());
        let mut has = present();
        has.get_mut("fixed").unwrap().id = ids[0];
        let line = lines(&has, &servers(&[other.clone()])).remove(0);
        assert!(line.contains(&format!(" id {} ", ids[1])), "{line}");
        let mut added = has["web-1"].clone();
        added.id = ids[1];
        has.insert("other".to_owned(), added);
        assert!(
            !planner().reserved(&has).contains("other"),
            "a server with its second id is recognised"
        );
    }

    #[test]
    fn the_servers_of_any_two_tags_are_distinguished() {
        // The CRCs of these tags are equal modulo 200,000.
        let planners = ["web-251", "web-377"].map(|value| {
            let tag = ("role".to_owned(), value.to_owned());
            Planner::new("nodes".to_owned(), &tag, String::new(), Vec::new())
        });
        let desired = servers(&[1, 2, 3].map(|n| assignment(n, AdminState::Ready)));
        let ids = planners.each_ref().map(|planner| {
            let names = desired.keys();
            names
                .flat_map(|name| planner.ids(name))
                .collect::<BTreeSet<u32>>()
        });
        assert!(ids[0].is_disjoint(&ids[1]));
        let mut has = present();
        has.get_mut("web-1").unwrap().id = planners[0].ids("web-1").next().unwrap();
        let names = planners
            .each_ref()
            .map(|it| it.reserved(&has).contains("web-1"));
        assert_eq!(names, [false, true]);
    }

    #[test]
    fn a_server_that_was_not_added_by_sprat_hap_is_neither_changed_nor_deleted() {
        let mut has = present();
        has.retain(|name, _| name == "fixed");
        let mut impostor = assignment(5, AdminState::Ready);
        impostor.name = Some("fixed".into());
        assert!(lines(&has, &servers(&[impostor])).is_empty());
        assert!(lines(&has, &servers(&[])).is_empty());
    }

    #[test]
    fn servers_that_are_not_desired_are_deleted_until_they_are_gone() {
        let desired = servers(&[assignment(1, AdminState::Ready)]);
        let mut ready = present();
        ready.get_mut("web-2").unwrap().state = AdminState::Ready;
        let (stop, delete) = (
            "set server nodes/web-2 state maint",
            "del server nodes/web-2",
        );
        assert_eq!(lines(&ready, &desired), [stop, delete]);
        assert_eq!(lines(&present(), &desired), [delete]);
        let mut refused = planner();
        let now = Instant::now();
        refused
            .refused
            .note("web-2".into(), "not now".to_owned(), now);
        let found = refused.steps(&ready, &desired);
        assert_eq!(found[0].lines, [stop], "only the deletion was refused");
        assert!(refused.steps(&present(), &desired).is_empty());
        let mut without = present();
        without.remove("web-2");
        assert!(lines(&without, &desired).is_empty());
    }

    #[test]
    fn objections_are_distinguished_from_other_answers() {
        assert_eq!(objection("New server registered.\n\n\n"), None);
        let found = objection("New server registered.\n\nPermission denied\n");
        assert_eq!(
            found.unwrap(),
            "Permission denied: the socket needs `level admin`"
        );
        let refused = "Backend is using a static LB algorithm and only accepts weights '0%' and \
                       '100%'.\n\n";
        assert_eq!(objection(refused), None);
        assert!(weight_refusal(refused).is_some());
        let answer = "Server still has connections attached to it, cannot remove it.\n";
        assert_eq!(objection(answer), None);
        let answer = "This server cannot be removed at runtime due to other configuration elements \
                      pointing to it.\n";
        assert_eq!(objection(answer).as_deref(), Some(answer.trim()));
    }
}
