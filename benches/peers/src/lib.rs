//! All programs of this workspace use the names and addresses of the nodes from here, and the
//! commands with which the comparison controls a program that runs all nodes of a cluster itself.
//!
//! Such a program reads one command per line from its standard input, `start INDEX` or `kill
//! INDEX`, and ends with its input. It prints `INDEX joined NAME` and `INDEX failed NAME` when the
//! node with that index learns that a member has joined or failed.

use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};

/// The port of every node.
pub const PORT: u16 = 7946;

/// A command to a program that runs all nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Starts the node with this index, which joins node 0.
    Start(usize),
    /// Ends the node with this index as if its process had been killed.
    Kill(usize),
}

/// Returns the name of a node.
pub fn name(index: usize) -> String {
    format!("n{}", index + 1)
}

/// Returns the address of a node. `network` separates the clusters of different programs.
pub fn addr(network: u8, index: usize) -> SocketAddr {
    let host = u8::try_from(index + 1).expect("a cluster has at most 254 nodes");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 88, network, host)), PORT)
}

/// Returns the commands that arrive on standard input, until it ends.
pub fn commands() -> Receiver<Command> {
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let (verb, index) = line.split_once(' ').expect("a command has an argument");
            let index = index
                .parse()
                .expect("the argument of a command is an index");
            let command = match verb {
                "start" => Command::Start(index),
                "kill" => Command::Kill(index),
                _ => panic!("there is no command '{verb}'"),
            };
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    commands
}

/// Reports that a node has learned of a member's joining, or of its failure.
pub fn report(index: usize, joined: bool, name: &str) {
    let what = if joined { "joined" } else { "failed" };
    println!("{index} {what} {name}");
}
