//! From what HAProxy has to what it should have: the commands, and nothing else.
//!
//! HAProxy is asked what it has before each round, so a restart of either side, a reload that
//! forgets all dynamic servers, or a person at the CLI change nothing about the result. Servers
//! that are made here have ids of their own, which HAProxy shows: so they are known again after a
//! restart, and others are never touched, whatever they are called. The ids follow from the tag of
//! the members that serve: who serves those of another tag in the same backend has others.

use super::wanted::Servers;
use sprat_haproxy::balance::{Mode, Order};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Servers of one backend. HAProxy has no such bound; names have their place among these.
pub const SERVERS: usize = 4096;
/// The least of their ids. HAProxy itself counts from 1, up to 2,147,483,647.
const FIRST_ID: u32 = 1_000_000_000;
/// Ranges of ids from there on.
const RANGES: u32 = 200_000;

/// A server as HAProxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub id: u32,
    pub addr: Option<SocketAddr>,
    pub mode: Mode,
    pub weight: u16,
    /// HAProxy's checks have found it dead.
    pub is_down: bool,
    /// Health checks are there, and wait to be enabled; and agent checks.
    pub idle_check: bool,
    pub idle_agent: bool,
}

/// Bits of `srv_admin_state`: stopped by a command, with another server, or without an address; and
/// drained. A bit that only tells what the configuration once said is none of them.
const STOPPED: u32 = 0x01 | 0x02 | 0x20;
const DRAINED: u32 = 0x08 | 0x10;
/// Bits of `srv_check_state` and `srv_agent_state`.
const CONFIGURED: u32 = 0x02;
const ENABLED: u32 = 0x04;

/// Reads the answer to `show servers state`.
///
/// # Errors
/// A sentence, if it is none: the answer of HAProxy, as a rule.
pub fn read(answer: &str) -> Result<BTreeMap<String, Server>, String> {
    let mut lines = answer.lines().skip_while(|line| !line.starts_with('#'));
    let head = lines.next().ok_or_else(|| answer.trim().to_owned())?;
    let columns: Vec<&str> = head.trim_start_matches(['#', ' ']).split(' ').collect();
    let place = |name: &str| {
        let found = columns.iter().position(|column| *column == name);
        found.ok_or_else(|| format!("HAProxy tells no {name} of its servers"))
    };
    let (name, id, addr) = (place("srv_name")?, place("srv_id")?, place("srv_addr")?);
    let (admin, weight) = (place("srv_admin_state")?, place("srv_uweight")?);
    let state = place("srv_op_state")?;
    let (check, agent) = (place("srv_check_state")?, place("srv_agent_state")?);
    let port = place("srv_port")?;
    let mut servers = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let number = |at: usize| word(at).parse::<u32>().unwrap_or(0);
        let is_idle = |at: usize| number(at) & (CONFIGURED | ENABLED) == CONFIGURED;
        let ip = word(addr).parse::<IpAddr>().ok();
        let addr = ip.zip(word(port).parse().ok()).map(SocketAddr::from);
        let server = Server {
            id: number(id),
            addr,
            mode: match number(admin) {
                admin if admin & STOPPED != 0 => Mode::Maintenance,
                admin if admin & DRAINED != 0 => Mode::Drain,
                _ => Mode::Ready,
            },
            weight: word(weight).parse().unwrap_or(0),
            is_down: word(state) == "0",
            idle_check: is_idle(check),
            idle_agent: is_idle(agent),
        };
        if !word(name).is_empty() {
            servers.insert(word(name).to_owned(), server);
        }
    }
    Ok(servers)
}

/// What is to be said about one server: lines of commands, each only if HAProxy did not object to
/// the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub server: Arc<str>,
    pub lines: Vec<String>,
}

/// What has to be said to HAProxy.
pub struct Planner {
    pub backend: String,
    /// What follows the address in `add server`.
    options: String,
    /// The id of the first place.
    first_id: u32,
}

impl Planner {
    /// `tag`: what the members have that serve.
    pub fn new(backend: String, tag: &(String, String), options: String) -> Planner {
        let hash = crc32fast::hash(format!("{}={}", tag.0, tag.1).as_bytes());
        Planner {
            backend,
            options,
            first_id: FIRST_ID + hash % RANGES * SERVERS as u32,
        }
    }

    /// Its place, if it was made here.
    fn place(&self, server: &Server) -> Option<usize> {
        let place = server.id.checked_sub(self.first_id)? as usize;
        (place < SERVERS).then_some(place)
    }

    /// What an earlier life has ordered.
    pub fn remembered(&self, has: &BTreeMap<String, Server>) -> Vec<Order> {
        let order = |(name, server): (&String, &Server)| {
            Some(Order {
                slot: self.place(server)?,
                name: Some(name.as_str().into()),
                addr: Some(server.addr?),
                weight: server.weight,
                mode: server.mode,
            })
        };
        has.iter().filter_map(order).collect()
    }

    /// Names of servers that were not made here.
    pub fn others(&self, has: &BTreeMap<String, Server>) -> BTreeSet<String> {
        let others = has
            .iter()
            .filter(|(_, server)| self.place(server).is_none());
        others.map(|(name, _)| name.clone()).collect()
    }

    /// Names of servers that were made here, and that HAProxy does not reach.
    pub fn doubted(&self, has: &BTreeMap<String, Server>) -> BTreeSet<String> {
        let is_doubted = |server: &Server| {
            self.place(server).is_some() && server.is_down && server.mode != Mode::Maintenance
        };
        let doubted = has.iter().filter(|(_, server)| is_doubted(server));
        doubted.map(|(name, _)| name.clone()).collect()
    }

    /// The steps from one to the other, one for each server at most. Names and addresses were
    /// checked when they came from the network.
    pub fn steps(&self, has: &BTreeMap<String, Server>, wanted: &Servers) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut ids: BTreeSet<u32> = has.values().map(|server| server.id).collect();
        for (name, order) in wanted {
            let Some(addr) = order.addr else { continue };
            let lines = match has.get(&**name) {
                None if order.mode == Mode::Maintenance => continue,
                None => {
                    let free = |id: &u32| !ids.contains(id);
                    let places = (order.slot..SERVERS).chain(0..order.slot);
                    let Some(id) = places.map(|it| self.first_id + it as u32).find(free) else {
                        continue; // as many as there can be
                    };
                    ids.insert(id);
                    vec![self.add(name, id, addr, order)]
                }
                Some(server) if self.place(server).is_none() => continue,
                Some(server) => self.change(name, addr, order, server),
            };
            if !lines.is_empty() {
                let server = name.clone();
                steps.push(Step { server, lines });
            }
        }
        // Servers that were made here and are wanted no more. A deletion that is refused, because
        // the server has connections, comes again in the next round.
        for (name, server) in has {
            if self.place(server).is_some() && !wanted.contains_key(name.as_str()) {
                let server = self.server(name);
                let stop = format!("set server {server} state maint");
                let lines = vec![stop, format!("del server {server}")];
                let server = name.as_str().into();
                steps.push(Step { server, lines });
            }
        }
        steps
    }

    fn server(&self, name: &str) -> String {
        format!("{}/{name}", self.backend)
    }

    fn add(&self, name: &str, id: u32, addr: SocketAddr, order: &Order) -> String {
        let (server, options) = (self.server(name), &self.options);
        let weight = order.weight;
        let mut line = format!("add server {server} {addr} id {id} weight {weight} {options}");
        let has = |word: &str| options.split(' ').any(|it| it == word);
        for (word, command) in [("check", "health"), ("agent-check", "agent")] {
            if has(word) {
                line += &format!("; enable {command} {server}");
            }
        }
        line + &format!("; set server {server} state {}", state(order.mode))
    }

    fn change(&self, name: &str, addr: SocketAddr, order: &Order, has: &Server) -> Vec<String> {
        let server = self.server(name);
        let moves = has.addr != Some(addr);
        let mut lines = Vec::new();
        if moves {
            // Requests must not go to the new address as long as the old state holds.
            let (ip, port) = (addr.ip(), addr.port());
            let stop = format!("set server {server} state maint");
            lines.push(format!("{stop}; set server {server} addr {ip} port {port}"));
        }
        let mut commands = Vec::new();
        if has.weight != order.weight {
            commands.push(format!("set server {server} weight {}", order.weight));
        }
        if has.idle_check {
            commands.push(format!("enable health {server}"));
        }
        if has.idle_agent {
            commands.push(format!("enable agent {server}"));
        }
        if moves || has.mode != order.mode {
            commands.push(format!("set server {server} state {}", state(order.mode)));
        }
        if !commands.is_empty() {
            lines.push(commands.join("; "));
        }
        lines
    }
}

fn state(mode: Mode) -> &'static str {
    match mode {
        Mode::Ready => "ready",
        Mode::Drain => "drain",
        Mode::Maintenance => "maint",
    }
}

/// What HAProxy says against a line of commands; `None` if it was done. A server with connections
/// cannot be deleted yet, and will be.
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
        "Permission denied" => format!("{objection}: the socket needs the level admin"),
        _ => objection.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
        srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
        srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
        srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr \
        srv_agent_port\n";

    fn state() -> BTreeMap<String, Server> {
        let rows = "3 nodes ID1 web-1 10.0.0.1 2 4 100 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes ID2 web-2 10.0.0.2 0 1 50 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes 3 fixed 10.0.0.9 2 8 1 1 9 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n";
        let ids = [1, 2].map(|n| (planner().first_id + n).to_string());
        let rows = rows.replace("ID1", &ids[0]).replace("ID2", &ids[1]);
        read(&format!("{HEAD}{rows}")).unwrap()
    }

    fn order(n: u8, mode: Mode) -> Order {
        Order {
            slot: n.into(),
            name: Some(format!("web-{n}").into()),
            addr: Some(([10, 0, 0, n], 3000).into()),
            weight: 100,
            mode,
        }
    }

    fn servers(orders: &[Order]) -> Servers {
        orders
            .iter()
            .map(|it| (it.name.clone().unwrap(), it.clone()))
            .collect()
    }

    fn planner() -> Planner {
        let tag = ("role".to_owned(), "backend".to_owned());
        Planner::new("nodes".to_owned(), &tag, "check inter 1s".to_owned())
    }

    fn lines(has: &BTreeMap<String, Server>, all: &Servers) -> Vec<String> {
        let steps = planner().steps(has, all).into_iter();
        steps.flat_map(|step| step.lines).collect()
    }

    #[test]
    fn the_state_of_haproxy_is_understood() {
        let found = state();
        assert_eq!(found.len(), 3);
        let mode = |name: &str| found[name].mode;
        assert_eq!(mode("web-1"), Mode::Ready);
        assert_eq!(mode("web-2"), Mode::Maintenance);
        assert_eq!(mode("fixed"), Mode::Drain);
        assert_eq!(found["web-2"].addr, Some(([10, 0, 0, 2], 3000).into()));
        assert_eq!(found["web-2"].weight, 50);
        assert!(!found["web-2"].idle_check);
        let why = read("Can't find backend.\n").unwrap_err();
        assert_eq!(why, "Can't find backend.");
        assert!(
            planner().doubted(&found).is_empty(),
            "it is stopped, not dead"
        );
        let mut dead = found.clone();
        dead.get_mut("web-1").unwrap().is_down = true;
        assert_eq!(planner().doubted(&dead), ["web-1".to_owned()].into());
        let why = read("# srv_name srv_id srv_addr\n").unwrap_err();
        assert!(why.contains("srv_admin_state"));
    }

    #[test]
    fn servers_of_an_earlier_life_are_known_by_their_ids_and_others_are_none() {
        let found = planner().remembered(&state());
        let places: Vec<_> = found.iter().map(|it| (it.slot, it.mode)).collect();
        assert_eq!(places, [(1, Mode::Ready), (2, Mode::Maintenance)]);
        assert_eq!(planner().others(&state()), ["fixed".to_owned()].into());
        let tag = ("role".to_owned(), "api".to_owned());
        let other = Planner::new("nodes".to_owned(), &tag, String::new());
        assert!(
            other.remembered(&state()).is_empty(),
            "it serves members of another tag"
        );
    }

    #[test]
    fn what_is_missing_is_added_and_what_differs_is_changed_and_nothing_else() {
        let mut moved = order(2, Mode::Ready);
        moved.addr = Some("[fd00::2]:80".parse().unwrap());
        let wanted = servers(&[order(1, Mode::Ready), moved, order(3, Mode::Drain)]);
        let id = planner().first_id + 3;
        let added = format!(
            "add server nodes/web-3 10.0.0.3:3000 id {id} weight 100 check inter 1s; enable health \
             nodes/web-3; set server nodes/web-3 state drain"
        );
        assert_eq!(
            lines(&state(), &wanted),
            [
                "set server nodes/web-2 state maint; set server nodes/web-2 addr fd00::2 port 80",
                "set server nodes/web-2 weight 100; set server nodes/web-2 state ready",
                &added,
            ]
        );
        let stopped = servers(&[order(9, Mode::Maintenance)]);
        assert!(lines(&BTreeMap::new(), &stopped).is_empty());
    }

    #[test]
    fn a_step_that_was_done_by_half_is_finished() {
        let mut has = state();
        has.remove("web-2");
        has.get_mut("web-1").unwrap().idle_check = true;
        let wanted = servers(&[order(1, Mode::Ready)]);
        assert_eq!(lines(&has, &wanted), ["enable health nodes/web-1"]);
    }

    #[test]
    fn an_id_that_is_taken_is_not_used_again() {
        let mut other = order(1, Mode::Ready);
        other.name = Some("other".into());
        let line = lines(&state(), &servers(&[other])).remove(0);
        let id = planner().first_id + 3;
        assert!(line.contains(&format!(" id {id} ")), "{line}");
    }

    #[test]
    fn a_server_that_was_not_made_here_is_neither_changed_nor_deleted() {
        let mut has = state();
        has.retain(|name, _| name == "fixed");
        let mut impostor = order(5, Mode::Ready);
        impostor.name = Some("fixed".into());
        assert!(lines(&has, &servers(&[impostor])).is_empty());
        assert!(lines(&has, &servers(&[])).is_empty());
    }

    #[test]
    fn servers_that_nobody_wants_are_deleted_and_again_until_they_are_gone() {
        let wanted = servers(&[order(1, Mode::Ready)]);
        let deletion = [
            "set server nodes/web-2 state maint",
            "del server nodes/web-2",
        ];
        assert_eq!(lines(&state(), &wanted), deletion);
        let mut without = state();
        without.remove("web-2");
        assert!(lines(&without, &wanted).is_empty());
    }

    #[test]
    fn answers_that_are_objections_are_told_from_others() {
        let add = "add server nodes/web-1 10.0.0.1:80";
        assert_eq!(objection(add, "New server registered.\n\n\n"), None);
        let found = objection(add, "New server registered.\n\nPermission denied\n");
        assert_eq!(
            found.unwrap(),
            "Permission denied: the socket needs the level admin"
        );
        let answer = "Server still has connections attached to it, cannot remove it.\n";
        assert_eq!(objection("del server nodes/web-1", answer), None);
    }
}
