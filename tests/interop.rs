//! Mixed clusters of sprat nodes and other programs: `serf` agents, Alertmanagers, members on Go's
//! memberlist.
//!
//! Every test starts its own programs, either on loopback addresses that no other test uses, or in
//! network namespaces of its own. A test fails, and is not skipped, if a program or a privilege is
//! missing. `make test` installs everything and runs the tests as root.

#[path = "interop/addresses.rs"]
mod addresses;
#[path = "interop/agent.rs"]
mod agent;
#[path = "interop/alertmanager.rs"]
mod alertmanager;
#[path = "interop/attack.rs"]
mod attack;
#[path = "interop/changing.rs"]
mod changing;
#[path = "interop/compression.rs"]
mod compression;
#[path = "interop/conflict.rs"]
mod conflict;
#[path = "interop/coordinates.rs"]
mod coordinates;
#[path = "interop/departure.rs"]
mod departure;
#[path = "interop/discovery.rs"]
mod discovery;
#[path = "interop/eight.rs"]
mod eight;
#[path = "interop/faults.rs"]
mod faults;
#[path = "interop/go_member.rs"]
mod go_member;
#[path = "interop/ipv6.rs"]
mod ipv6;
#[path = "interop/joining.rs"]
mod joining;
#[path = "interop/keys.rs"]
mod keys;
#[path = "interop/leaving.rs"]
mod leaving;
#[path = "interop/messages.rs"]
mod messages;
#[path = "interop/net.rs"]
mod net;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/program.rs"]
mod program;
#[path = "interop/reaping.rs"]
mod reaping;
#[path = "interop/refused.rs"]
mod refused;
#[path = "interop/removing.rs"]
mod removing;
#[path = "interop/snapshot.rs"]
mod snapshot;
#[path = "interop/stopped.rs"]
mod stopped;
#[path = "interop/through.rs"]
mod through;
#[path = "interop/wait.rs"]
mod wait;
