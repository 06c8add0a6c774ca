//! From what HAProxy has to what it should have: the commands, and nothing else.
//!
//! HAProxy is asked what it has before each round, so a restart of either side, a reload that
//! forgets all dynamic servers, or a person at the CLI change nothing about the result. Servers
//! that are not those of members are never touched.

use super::wanted::Servers;
use sprat_haproxy::balance::{Mode, Order};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A server as HAProxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub addr: Option<SocketAddr>,
    pub mode: Mode,
    pub weight: u16,
}

/// Bits of `srv_admin_state`: stopped or drained by a command, or by the configuration.
const STOPPED: u32 = 0x01 | 0x02 | 0x04;
const DRAINED: u32 = 0x08 | 0x10;

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
    let [name, addr, admin, weight, port] = [
        "srv_name",
        "srv_addr",
        "srv_admin_state",
        "srv_uweight",
        "srv_port",
    ]
    .map(place);
    let (name, addr, admin, weight, port) = (name?, addr?, admin?, weight?, port?);
    let mut servers = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let admin: u32 = word(admin).parse().unwrap_or(0);
        let ip = word(addr).parse::<IpAddr>();
        let server = Server {
            addr: ip
                .ok()
                .zip(word(port).parse().ok())
                .map(|(ip, port)| SocketAddr::new(ip, port)),
            mode: match admin {
                _ if admin & STOPPED != 0 => Mode::Maintenance,
                _ if admin & DRAINED != 0 => Mode::Drain,
                _ => Mode::Ready,
            },
            weight: word(weight).parse().unwrap_or(0),
        };
        if !word(name).is_empty() {
            servers.insert(word(name).to_owned(), server);
        }
    }
    Ok(servers)
}

/// What has to be said to HAProxy.
pub struct Planner {
    pub backend: String,
    /// What follows the address in `add server`.
    pub options: String,
    /// Members that were wanted at some time: their servers are ours to delete.
    ours: BTreeSet<Arc<str>>,
}

impl Planner {
    pub fn new(backend: String, options: String) -> Planner {
        Planner {
            backend,
            options,
            ours: BTreeSet::new(),
        }
    }

    /// The commands from one to the other, each a line. Names and addresses were checked when
    /// they came from the network.
    pub fn commands(&mut self, has: &BTreeMap<String, Server>, wanted: &Servers) -> Vec<String> {
        self.ours.extend(wanted.keys().cloned());
        let mut commands = Vec::new();
        for order in wanted.values() {
            if let (Some(name), Some(addr)) = (&order.name, order.addr) {
                match has.get(&**name) {
                    None if order.mode == Mode::Maintenance => {}
                    None => self.add(name, addr, order, &mut commands),
                    Some(server) => self.change(name, addr, order, server, &mut commands),
                }
            }
        }
        let gone = self.ours.iter().filter(|name| !wanted.contains_key(*name));
        for name in gone.filter(|name| has.contains_key(&***name)) {
            let server = self.server(name);
            commands.push(format!("set server {server} state maint"));
            commands.push(format!("del server {server}"));
        }
        // Deleted for good once HAProxy has it no more: until then it is tried again.
        self.ours
            .retain(|name| wanted.contains_key(name) || has.contains_key(&**name));
        commands
    }

    fn server(&self, name: &str) -> String {
        format!("{}/{name}", self.backend)
    }

    fn add(&self, name: &str, addr: SocketAddr, order: &Order, commands: &mut Vec<String>) {
        let (server, options) = (self.server(name), &self.options);
        let weight = order.weight;
        commands.push(format!(
            "add server {server} {addr} weight {weight} {options}"
        ));
        if options.split(' ').any(|word| word == "check") {
            commands.push(format!("enable health {server}"));
        }
        if options.split(' ').any(|word| word == "agent-check") {
            commands.push(format!("enable agent {server}"));
        }
        commands.push(format!("set server {server} state {}", state(order.mode)));
    }

    fn change(
        &self,
        name: &str,
        addr: SocketAddr,
        order: &Order,
        has: &Server,
        commands: &mut Vec<String>,
    ) {
        let server = self.server(name);
        let moves = has.addr != Some(addr);
        if moves {
            // Requests must not go to the new address as long as the old state holds.
            commands.push(format!("set server {server} state maint"));
            let (ip, port) = (addr.ip(), addr.port());
            commands.push(format!("set server {server} addr {ip} port {port}"));
        }
        if has.weight != order.weight {
            commands.push(format!("set server {server} weight {}", order.weight));
        }
        if moves || has.mode != order.mode {
            commands.push(format!("set server {server} state {}", state(order.mode)));
        }
    }
}

fn state(mode: Mode) -> &'static str {
    match mode {
        Mode::Ready => "ready",
        Mode::Drain => "drain",
        Mode::Maintenance => "maint",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
        srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
        srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
        srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr \
        srv_agent_port\n\
        3 nodes 1 web-1 10.0.0.1 2 0 100 1 9 6 3 4 6 0 0 0 - 3000 - 0 0 - - 0\n\
        3 nodes 2 web-2 10.0.0.2 0 1 50 1 9 6 3 4 6 0 0 0 - 3000 - 0 0 - - 0\n\
        3 nodes 3 fixed 10.0.0.9 2 8 1 1 9 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n";

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
        Planner::new("nodes".to_owned(), "check inter 1s".to_owned())
    }

    #[test]
    fn the_state_of_haproxy_is_understood() {
        let found = read(STATE).unwrap();
        assert_eq!(found.len(), 3);
        let mode = |name: &str| found[name].mode;
        assert_eq!(mode("web-1"), Mode::Ready);
        assert_eq!(mode("web-2"), Mode::Maintenance);
        assert_eq!(mode("fixed"), Mode::Drain);
        assert_eq!(found["web-2"].addr, Some(([10, 0, 0, 2], 3000).into()));
        assert_eq!(found["web-2"].weight, 50);
        assert_eq!(
            read("Can't find backend.\n"),
            Err("Can't find backend.".to_owned())
        );
        assert!(
            read("# srv_name srv_addr\n")
                .unwrap_err()
                .contains("srv_admin_state")
        );
    }

    #[test]
    fn what_is_missing_is_added_and_what_differs_is_changed_and_nothing_else() {
        let has = read(STATE).unwrap();
        let mut moved = order(2, Mode::Ready);
        moved.addr = Some("[fd00::2]:80".parse().unwrap());
        let wanted = servers(&[order(1, Mode::Ready), moved, order(3, Mode::Drain)]);
        assert_eq!(
            planner().commands(&has, &wanted),
            [
                "set server nodes/web-2 state maint",
                "set server nodes/web-2 addr fd00::2 port 80",
                "set server nodes/web-2 weight 100",
                "set server nodes/web-2 state ready",
                "add server nodes/web-3 10.0.0.3:3000 weight 100 check inter 1s",
                "enable health nodes/web-3",
                "set server nodes/web-3 state drain",
            ]
        );
        assert!(
            planner()
                .commands(&has, &servers(&[order(9, Mode::Maintenance)]))
                .is_empty()
        );
    }

    #[test]
    fn only_servers_of_members_are_deleted_and_again_until_they_are_gone() {
        let has = read(STATE).unwrap();
        let mut planner = planner();
        let all = servers(&[order(1, Mode::Ready), order(2, Mode::Maintenance)]);
        planner.commands(&has, &all);
        let less = servers(&[order(1, Mode::Ready)]);
        let deletion = [
            "set server nodes/web-2 state maint",
            "del server nodes/web-2",
        ];
        assert_eq!(planner.commands(&has, &less), deletion);
        assert_eq!(
            planner.commands(&has, &less),
            deletion,
            "it still had connections"
        );
        let mut without = has.clone();
        without.remove("web-2");
        assert!(planner.commands(&without, &less).is_empty());
        assert!(
            planner.commands(&has, &less).is_empty(),
            "somebody else has made it since"
        );
    }
}
