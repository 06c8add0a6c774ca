//! The servers that HAProxy has, read from its answers to `show servers state` and `show stat`.

use crate::balance::AdminState;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::Lines;

/// A server as HAProxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The id that HAProxy has given it.
    pub id: u32,
    /// Its address; `None` if HAProxy shows none that can be read.
    pub addr: Option<SocketAddr>,
    /// Its administrative state.
    pub state: AdminState,
    /// Its weight.
    pub weight: u16,
    /// True if the server is down: its checks have failed, or it is in maintenance.
    pub is_down: bool,
    /// True if the server has health checks that are not enabled.
    pub check_disabled: bool,
    /// True if the server has agent checks that are not enabled.
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

/// Reads an address as HAProxy shows it to Lua, such as `10.0.0.1:80` and, for IPv6, `::1:80`.
/// Returns `None` if the text is not the address of a server. Addresses are compared and not their
/// texts, because one address has several: HAProxy shows `::1.2.3.4`, and Rust `::102:304`.
pub fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip = ip.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

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
/// The answer is not a table, or lacks a column. The message is the text of the answer, or says
/// that the answer is empty, or names the column.
pub fn parse(answer: &str) -> Result<BTreeMap<String, Server>, String> {
    let table = Table::read(answer, ' ')?;
    let column = |name| table.column(name);
    let (name, id, addr) = (column("srv_name")?, column("srv_id")?, column("srv_addr")?);
    let (admin, weight) = (column("srv_admin_state")?, column("srv_uweight")?);
    let operation = column("srv_op_state")?;
    let (check, agent) = (column("srv_check_state")?, column("srv_agent_state")?);
    let port = column("srv_port")?;
    let mut servers = BTreeMap::new();
    for line in table.lines {
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

/// Whether a server gets new requests, as its status in HAProxy's statistics tells. This is the one
/// rule for which servers count as serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It gets none: it is down, drained or in maintenance, or its weight is 0.
    Out,
    /// It gets requests, but its last health check has failed, or HAProxy has not checked it since
    /// its start.
    Unproven,
    /// It gets requests, and its last health check has succeeded or HAProxy does not check it.
    Proven,
}

impl Rotation {
    /// Reads a status. HAProxy shows a server that was just started as `UP 1/2` until its first
    /// check, and a server whose weight is 0 as `UP`. A status that is not known counts as `Out`.
    pub fn of(status: &str, weight: u32) -> Rotation {
        match status.split_once(' ') {
            _ if weight == 0 => Rotation::Out,
            None if status == "UP" => Rotation::Proven,
            Some(("no", "check")) => Rotation::Proven,
            Some(("UP", _)) => Rotation::Unproven,
            None | Some(_) => Rotation::Out,
        }
    }

    /// Returns the word for it in Lua.
    pub fn name(self) -> &'static str {
        match self {
            Rotation::Out => "out",
            Rotation::Unproven => "unproven",
            Rotation::Proven => "proven",
        }
    }
}

/// Reads the answer to `show stat`. Returns the servers by name.
///
/// # Errors
/// As for [`parse`].
pub fn rotations(answer: &str) -> Result<BTreeMap<String, Rotation>, String> {
    let table = Table::read(answer, ',')?;
    let (name, status) = (table.column("svname")?, table.column("status")?);
    let weight = table.column("weight")?;
    let words = table.lines.map(|line| line.split(',').collect::<Vec<_>>());
    let rotations = words.filter_map(|words| {
        let weight = words.get(weight)?.parse().unwrap_or(0);
        let rotation = Rotation::of(words.get(status)?, weight);
        Some(((*words.get(name)?).to_owned(), rotation))
    });
    Ok(rotations.collect())
}

/// An answer of HAProxy that is a table.
struct Table<'a> {
    columns: Vec<&'a str>,
    /// The lines below the names of the columns.
    lines: Lines<'a>,
}

impl<'a> Table<'a> {
    fn read(answer: &'a str, separator: char) -> Result<Table<'a>, String> {
        let mut lines = answer.lines();
        let head = lines.find(|line| line.starts_with('#'));
        let head = head.ok_or_else(|| match answer.trim() {
            "" => "the answer of HAProxy is empty".to_owned(),
            text => text.to_owned(),
        })?;
        let names = head.trim_start_matches(['#', ' ']).split(separator);
        let columns = names.collect();
        Ok(Table { columns, lines })
    }

    /// Returns the place of a column.
    fn column(&self, name: &str) -> Result<usize, String> {
        let found = self.columns.iter().position(|column| *column == name);
        found.ok_or_else(|| format!("the answer of HAProxy has no column {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::server_state::HEAD;

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
    fn an_address_is_the_same_in_every_form_that_haproxy_shows() {
        for (text, ip) in [
            ("10.0.0.1:80", "10.0.0.1"),
            ("::1:80", "::1"),
            ("fd00::1:80", "fd00::1"),
            ("::1.2.3.4:80", "::102:304"),
            ("0.0.0.0:80", "0.0.0.0"),
        ] {
            let wanted = SocketAddr::new(ip.parse().unwrap(), 80);
            assert_eq!(address(text), Some(wanted), "{text}");
        }
        for text in ["", "10.0.0.1", "10.0.0.1:70000", "/run/app.sock", "app:80"] {
            assert_eq!(address(text), None, "{text}");
        }
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
        assert_eq!(parse("\n\n").unwrap_err(), "the answer of HAProxy is empty");
        let why = parse("# srv_name srv_id srv_addr\n").unwrap_err();
        assert_eq!(why, "the answer of HAProxy has no column srv_admin_state");
    }

    fn server(random: &mut Random) -> Server {
        let states = [AdminState::Ready, AdminState::Drain, AdminState::Maint];
        let ip = std::net::Ipv4Addr::from(random.below(1 << 32) as u32);
        Server {
            id: random.below(1 << 32) as u32,
            addr: (random.below(4) > 0).then(|| (ip, random.below(1 << 16) as u16).into()),
            state: states[random.below(3)],
            weight: random.below(257) as u16,
            is_down: random.below(2) == 0,
            check_disabled: random.below(2) == 0,
            agent_disabled: random.below(2) == 0,
        }
    }

    /// The line with which HAProxy shows a server.
    fn row(name: &str, server: &Server) -> String {
        let (ip, port) = match server.addr {
            Some(addr) => (addr.ip().to_string(), addr.port().to_string()),
            None => ("-".to_owned(), "0".to_owned()),
        };
        let admin = match server.state {
            AdminState::Ready => 0x04,
            AdminState::Drain => DRAIN,
            AdminState::Maint => MAINT | DRAIN,
        };
        let switch = |disabled| CONFIGURED | if disabled { 0 } else { ENABLED };
        let (check, agent) = (switch(server.check_disabled), switch(server.agent_disabled));
        let (id, weight, up) = (server.id, server.weight, 2 * u32::from(!server.is_down));
        format!(
            "3 nodes {id} {name} {ip} {up} {admin} {weight} 1 9 6 3 4 {check} {agent} 0 1 - {port} \
             - 0 0 - - 0\n"
        )
    }

    #[test]
    fn a_table_of_any_servers_is_read_as_it_was_and_a_damaged_one_line_by_line() {
        let mut random = Random(0x5eed);
        for _ in 0..300 {
            let servers = (0..random.below(9)).map(|n| (format!("s{n}"), server(&mut random)));
            let servers: BTreeMap<String, Server> = servers.collect();
            let rows: Vec<String> = servers.iter().map(|(name, it)| row(name, it)).collect();
            assert_eq!(parse(&(HEAD.to_owned() + &rows.concat())).unwrap(), servers);

            let mut bytes = rows.concat().into_bytes();
            for _ in 0..random.below(1 + bytes.len().min(20)) {
                let (at, byte) = (random.below(bytes.len()), random.below(256) as u8);
                bytes[at] = byte;
            }
            let damaged = String::from_utf8_lossy(&bytes).into_owned();
            let mut expected = BTreeMap::new();
            for line in damaged.lines() {
                expected.extend(parse(&format!("{HEAD}{line}")).unwrap());
            }
            let found = parse(&(HEAD.to_owned() + &damaged)).unwrap();
            assert_eq!(found, expected, "{damaged}");
            assert!(
                found
                    .keys()
                    .all(|name| !name.is_empty() && !name.contains(' '))
            );
        }
    }

    #[test]
    fn a_server_is_proven_if_haproxy_sends_requests_and_its_last_check_has_succeeded() {
        let answer = "# pxname,svname,qcur,status,weight,last_chk,\n\
            nodes,a,0,UP,100,,\nnodes,b,0,UP 1/2,100,\"no, not yet\",\nnodes,c,0,no check,100,,\n\
            nodes,d,0,UP,0,,\nnodes,e,0,DOWN,100,,\n\n";
        let wanted = [
            ("a", Rotation::Proven),
            ("b", Rotation::Unproven),
            ("c", Rotation::Proven),
            ("d", Rotation::Out),
            ("e", Rotation::Out),
        ];
        let found = rotations(answer).unwrap();
        assert_eq!(found, wanted.map(|(name, it)| (name.to_owned(), it)).into());
        assert_eq!(
            rotations("# pxname,svname,\n"),
            Err("the answer of HAProxy has no column status".to_owned())
        );
        assert_eq!(
            rotations("No such proxy.\n"),
            Err("No such proxy.".to_owned())
        );
    }

    #[test]
    fn a_server_that_haproxy_sends_no_new_requests_is_out_of_rotation() {
        for status in [
            "DOWN",
            "DOWN 1/2",
            "DOWN (agent)",
            "DRAIN",
            "DRAIN 1/2",
            "DRAIN (agent)",
            "MAINT",
            "MAINT (via nodes/a)",
            "MAINT (resolution)",
            "NOLB",
            "NOLB 1/2",
            "",
            "no",
            "up",
        ] {
            assert_eq!(Rotation::of(status, 1), Rotation::Out, "{status}");
        }
        for status in ["UP", "UP 1/2", "no check"] {
            assert_eq!(Rotation::of(status, 0), Rotation::Out, "{status}");
        }
    }
}
