//! The servers that HAProxy has, read from its answer to `show servers state`.

use sprat_haproxy::balance::AdminState;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A server as HAProxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub id: u32,
    pub addr: Option<SocketAddr>,
    pub state: AdminState,
    pub weight: u16,
    /// Set if the server is down: its checks have failed, or it is in maintenance.
    pub is_down: bool,
    /// Set if the server has health checks that are not enabled.
    pub check_disabled: bool,
    /// Set if the server has agent checks that are not enabled.
    pub agent_disabled: bool,
}

impl Server {
    /// Returns true if the health checks find the server down. They do not check a server in
    /// maintenance; a server that leaves maintenance counts as up until they do.
    pub fn is_unreachable(&self) -> bool {
        self.is_down && self.state != AdminState::Maint
    }
}

/// Bits of `srv_admin_state`: in maintenance because of a command, because of another server, or
/// because the server has no address. The bit for `disabled` in the configuration is not among
/// them, because it stays set after the server has been enabled.
const MAINT: u32 = 0x01 | 0x02 | 0x20;
/// Bits of `srv_admin_state`: drained because of a command, or because of another server.
const DRAIN: u32 = 0x08 | 0x10;
/// Bits of `srv_check_state` and `srv_agent_state`.
const CONFIGURED: u32 = 0x02;
const ENABLED: u32 = 0x04;

/// Returns the text that identifies the process that has answered `show info`.
pub fn process(answer: &str) -> String {
    let is_one = |line: &&str| {
        ["Pid: ", "Start_time_sec: "]
            .iter()
            .any(|it| line.starts_with(it))
    };
    let lines: Vec<&str> = answer.lines().filter(is_one).collect();
    lines.join(" ")
}

/// Reads the answer to `show servers state`. Returns the servers by name.
///
/// # Errors
/// The answer is not a table, or lacks a column. The message is the text of the answer, or names
/// the column.
pub fn parse(answer: &str) -> Result<BTreeMap<String, Server>, String> {
    let mut lines = answer.lines().skip_while(|line| !line.starts_with('#'));
    let head = lines.next().ok_or_else(|| answer.trim().to_owned())?;
    let columns: Vec<&str> = head.trim_start_matches(['#', ' ']).split(' ').collect();
    let column = |name: &str| {
        let found = columns.iter().position(|column| *column == name);
        found.ok_or_else(|| format!("the answer of HAProxy has no column {name}"))
    };
    let (name, id, addr) = (column("srv_name")?, column("srv_id")?, column("srv_addr")?);
    let (admin, weight) = (column("srv_admin_state")?, column("srv_uweight")?);
    let operation = column("srv_op_state")?;
    let (check, agent) = (column("srv_check_state")?, column("srv_agent_state")?);
    let port = column("srv_port")?;
    let mut servers = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let number = |at: usize| word(at).parse::<u32>().unwrap_or(0);
        let is_disabled = |at: usize| number(at) & (CONFIGURED | ENABLED) == CONFIGURED;
        let ip = word(addr).parse::<IpAddr>().ok();
        let addr = ip.zip(word(port).parse().ok()).map(SocketAddr::from);
        let server = Server {
            id: number(id),
            addr,
            state: match number(admin) {
                admin if admin & MAINT != 0 => AdminState::Maint,
                admin if admin & DRAIN != 0 => AdminState::Drain,
                _ => AdminState::Ready,
            },
            weight: word(weight).parse().unwrap_or(0),
            is_down: word(operation) == "0",
            check_disabled: is_disabled(check),
            agent_disabled: is_disabled(agent),
        };
        if !word(name).is_empty() {
            servers.insert(word(name).to_owned(), server);
        }
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_haproxy::server_state::HEAD;

    #[test]
    fn the_servers_of_haproxy_are_read_from_its_table() {
        let rows = "3 nodes 7 web-1 10.0.0.1 2 4 100 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes 8 web-2 10.0.0.2 0 1 50 1 9 6 3 4 6 0 0 1 - 3000 - 0 0 - - 0\n\
            3 nodes 9 fixed 10.0.0.9 2 8 1 1 9 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n";
        let found = parse(&format!("{HEAD}{rows}")).unwrap();
        assert_eq!(found.len(), 3);
        let states = ["web-1", "web-2", "fixed"].map(|name| found[name].state);
        let wanted = [AdminState::Ready, AdminState::Maint, AdminState::Drain];
        assert_eq!(states, wanted);
        assert_eq!(found["web-2"].addr, Some(([10, 0, 0, 2], 3000).into()));
        assert_eq!((found["web-2"].id, found["web-2"].weight), (8, 50));
        assert!(found["web-2"].is_down && !found["web-2"].check_disabled);
    }

    #[test]
    fn a_process_is_known_by_its_number_and_the_time_of_its_start() {
        let answer = "Name: HAProxy\nPid: 7\nUptime_sec: 3\nStart_time_sec: 9\n\n1\n# be_id\n";
        assert_eq!(process(answer), "Pid: 7 Start_time_sec: 9");
    }

    #[test]
    fn an_answer_that_is_not_a_table_is_an_error_with_the_reason() {
        let why = parse("Can't find backend.\n").unwrap_err();
        assert_eq!(why, "Can't find backend.");
        let why = parse("# srv_name srv_id srv_addr\n").unwrap_err();
        assert_eq!(why, "the answer of HAProxy has no column srv_admin_state");
    }
}
