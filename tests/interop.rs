//! Against the original: mixed clusters of our nodes and stock `serf` agents.
//!
//! Every test starts its own agents on loopback addresses of its own, or in network namespaces
//! of its own where links must fail. A missing `serf`, or missing rights, is a failure and not a
//! reason to skip: `make test` installs and runs what is needed.

#[path = "interop/agent.rs"]
mod agent;
#[path = "interop/changing.rs"]
mod changing;
#[path = "interop/compression.rs"]
mod compression;
#[path = "interop/eight.rs"]
mod eight;
#[path = "interop/faults.rs"]
mod faults;
#[path = "interop/ipv6.rs"]
mod ipv6;
#[path = "interop/joining.rs"]
mod joining;
#[path = "interop/net.rs"]
mod net;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/stopped.rs"]
mod stopped;
#[path = "interop/through.rs"]
mod through;
#[path = "interop/wait.rs"]
mod wait;
