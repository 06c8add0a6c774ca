//! The commands that turn the servers that HAProxy has into those that it should have.
//!
//! HAProxy is asked for its servers before each round. So the result is the same after a restart of
//! either side, after a reload that forgets all dynamic servers, and after commands of a person at
//! the CLI. Servers that `sprat-hap` adds have ids in a range of their own, and HAProxy lists these
//! ids. So the servers are recognised after a restart, and no other server is ever touched,
//! whatever its name. The range follows from the tag of the members, so two `sprat-hap` for
//! different tags can share a backend.

use super::desired::Assignments;
use super::server_state::Server;
use sprat_haproxy::balance::{AdminState, Assignment};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// The number of slots of the backend. HAProxy itself does not limit the number of servers.
pub const SERVERS: usize = 4096;
/// The lowest id of a server that `sprat-hap` adds. HAProxy itself counts from 1, and ids go up to
/// 2,147,483,647.
const FIRST_ID: u32 = 1_000_000_000;
/// The number of ranges of ids.
const RANGES: u32 = 200_000;

/// The lines of commands about one server. Each line is sent only if HAProxy did not object to the
/// line before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub server: Arc<str>,
    pub lines: Vec<String>,
}

/// Plans the commands for one backend.
pub struct Planner {
    pub backend: String,
    /// The words that follow the address in `add server`.
    options: String,
    /// The id of the first slot.
    first_id: u32,
}

impl Planner {
    /// `tag` is the tag of the members that serve.
    pub fn new(backend: String, tag: &(String, String), options: String) -> Planner {
        let hash = crc32fast::hash(format!("{}={}", tag.0, tag.1).as_bytes());
        Planner {
            backend,
            options,
            first_id: FIRST_ID + hash % RANGES * SERVERS as u32,
        }
    }

    /// Returns the slot of a server; `None` if `sprat-hap` did not add the server.
    fn slot(&self, server: &Server) -> Option<usize> {
        let slot = server.id.checked_sub(self.first_id)? as usize;
        (slot < SERVERS).then_some(slot)
    }

    /// Returns the assignments that an earlier `sprat-hap` has carried out.
    pub fn remembered(&self, present: &BTreeMap<String, Server>) -> Vec<Assignment> {
        let assignment = |(name, server): (&String, &Server)| {
            Some(Assignment {
                slot: self.slot(server)?,
                name: Some(name.as_str().into()),
                addr: Some(server.addr?),
                weight: server.weight,
                state: server.state,
                order: 0,
            })
        };
        present.iter().filter_map(assignment).collect()
    }

    /// Returns the names of the servers that `sprat-hap` did not add.
    pub fn reserved(&self, present: &BTreeMap<String, Server>) -> BTreeSet<String> {
        let reserved = present
            .iter()
            .filter(|(_, server)| self.slot(server).is_none());
        reserved.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of the servers that `sprat-hap` added and that HAProxy does not reach.
    pub fn unreachable(&self, present: &BTreeMap<String, Server>) -> BTreeSet<String> {
        let is_unreachable = |server: &Server| {
            self.slot(server).is_some() && server.is_down && server.state != AdminState::Maint
        };
        let unreachable = present.iter().filter(|(_, server)| is_unreachable(server));
        unreachable.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the steps from the present servers to the desired ones, at most one for each
    /// server. Names and addresses were checked when they came from the network.
    pub fn steps(&self, present: &BTreeMap<String, Server>, desired: &Assignments) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut ids: BTreeSet<u32> = present.values().map(|server| server.id).collect();
        for (name, assignment) in desired {
            let Some(addr) = assignment.addr else {
                continue;
            };
            let lines = match present.get(&**name) {
                None if assignment.state == AdminState::Maint => continue,
                None => {
                    let free = |id: &u32| !ids.contains(id);
                    let slots = (assignment.slot..SERVERS).chain(0..assignment.slot);
                    let Some(id) = slots.map(|it| self.first_id + it as u32).find(free) else {
                        continue; // the range of ids is full
                    };
                    ids.insert(id);
                    vec![self.add(name, id, addr, assignment)]
                }
                Some(server) if self.slot(server).is_none() => continue,
                Some(server) => self.change(name, addr, assignment, server),
            };
            if !lines.is_empty() {
                let server = name.clone();
                steps.push(Step { server, lines });
            }
        }
        steps.extend(self.deletions(present, desired));
        steps
    }

    /// Returns the steps that delete servers which `sprat-hap` added and which are no longer
    /// desired. HAProxy refuses to delete a server that still has connections; the next round tries
    /// again.
    fn deletions(&self, present: &BTreeMap<String, Server>, desired: &Assignments) -> Vec<Step> {
        let is_unneeded = |(name, server): &(&String, &Server)| {
            self.slot(server).is_some() && !desired.contains_key(name.as_str())
        };
        let unneeded = present.iter().filter(is_unneeded);
        let step = |(name, _): (&String, &Server)| {
            let server = self.path(name);
            let stop = format!("set server {server} state maint");
            Step {
                server: name.as_str().into(),
                lines: vec![stop, format!("del server {server}")],
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

    fn change(
        &self,
        name: &str,
        addr: SocketAddr,
        assignment: &Assignment,
        present: &Server,
    ) -> Vec<String> {
        let server = self.path(name);
        let moves = present.addr != Some(addr);
        let mut lines = Vec::new();
        if moves {
            // The server is stopped first: no request may go to the new address in the old state.
            let (ip, port) = (addr.ip(), addr.port());
            let stop = format!("set server {server} state maint");
            lines.push(format!("{stop}; set server {server} addr {ip} port {port}"));
        }
        let mut commands = Vec::new();
        if present.weight != assignment.weight {
            commands.push(format!("set server {server} weight {}", assignment.weight));
        }
        if present.check_disabled {
            commands.push(format!("enable health {server}"));
        }
        if present.agent_disabled {
            commands.push(format!("enable agent {server}"));
        }
        if moves || present.state != assignment.state {
            let state = assignment.state.name();
            commands.push(format!("set server {server} state {state}"));
        }
        if !commands.is_empty() {
            lines.push(commands.join("; "));
        }
        lines
    }
}

/// Returns HAProxy's objection to a line of commands; `None` if HAProxy carried them out. A server
/// that cannot be deleted yet, because it still has connections, is not an objection: the deletion
/// is sent again.
pub fn objection(line: &str, answer: &str) -> Option<String> {
    let is_deletion = line.starts_with("del server ");
    let is_fine = |line: &&str| {
        line.is_empty()
            || line.starts_with("New server registered")
            || line.starts_with("Server deleted")
            || line.contains("IP changed")
            || line.contains("no need to change")
            || is_deletion
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
    use super::super::server_state::parse;
    use super::*;
    use sprat_haproxy::server_state::HEAD;

    fn present() -> BTreeMap<String, Server> {
        let rows = "3 nodes ID1 web-1 10.0.0.1 2 4 100 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes ID2 web-2 10.0.0.2 0 1 50 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes 3 fixed 10.0.0.9 2 8 1 1 9 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n";
        let ids = [1, 2].map(|n| (planner().first_id + n).to_string());
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
        Planner::new("nodes".to_owned(), &tag, "check inter 1s".to_owned())
    }

    fn lines(has: &BTreeMap<String, Server>, all: &Assignments) -> Vec<String> {
        let steps = planner().steps(has, all).into_iter();
        steps.flat_map(|step| step.lines).collect()
    }

    #[test]
    fn a_server_that_haproxy_finds_down_is_unreachable_unless_it_is_stopped() {
        assert!(
            planner().unreachable(&present()).is_empty(),
            "web-2 is stopped"
        );
        let mut down = present();
        down.get_mut("web-1").unwrap().is_down = true;
        assert_eq!(planner().unreachable(&down), ["web-1".to_owned()].into());
    }

    #[test]
    fn added_servers_are_recognised_by_their_ids_and_others_are_reserved() {
        let found = planner().remembered(&present());
        let places: Vec<_> = found.iter().map(|it| (it.slot, it.state)).collect();
        assert_eq!(places, [(1, AdminState::Ready), (2, AdminState::Maint)]);
        assert_eq!(planner().reserved(&present()), ["fixed".to_owned()].into());
        let tag = ("role".to_owned(), "api".to_owned());
        let other = Planner::new("nodes".to_owned(), &tag, String::new());
        assert!(
            other.remembered(&present()).is_empty(),
            "it serves members of another tag"
        );
    }

    #[test]
    fn missing_servers_are_added_different_ones_are_changed_and_no_others_are_touched() {
        let mut moved = assignment(2, AdminState::Ready);
        moved.addr = Some("[fd00::2]:80".parse().unwrap());
        let desired = servers(&[
            assignment(1, AdminState::Ready),
            moved,
            assignment(3, AdminState::Drain),
        ]);
        let id = planner().first_id + 3;
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
        let mut other = assignment(1, AdminState::Ready);
        other.name = Some("other".into());
        let line = lines(&present(), &servers(&[other])).remove(0);
        let id = planner().first_id + 3;
        assert!(line.contains(&format!(" id {id} ")), "{line}");
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
        let deletion = [
            "set server nodes/web-2 state maint",
            "del server nodes/web-2",
        ];
        assert_eq!(lines(&present(), &desired), deletion);
        let mut without = present();
        without.remove("web-2");
        assert!(lines(&without, &desired).is_empty());
    }

    #[test]
    fn objections_are_distinguished_from_other_answers() {
        let add = "add server nodes/web-1 10.0.0.1:80";
        assert_eq!(objection(add, "New server registered.\n\n\n"), None);
        let found = objection(add, "New server registered.\n\nPermission denied\n");
        assert_eq!(
            found.unwrap(),
            "Permission denied: the socket needs `level admin`"
        );
        let answer = "Server still has connections attached to it, cannot remove it.\n";
        assert_eq!(objection("del server nodes/web-1", answer), None);
    }
}
