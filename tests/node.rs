//! Nodes with real sockets and threads on the loopback interface.

#[path = "node/help.rs"]
mod help;
#[path = "node/life.rs"]
mod life;
#[path = "node/limits.rs"]
mod limits;
#[path = "node/memberlist.rs"]
mod memberlist;
#[path = "node/pressure.rs"]
mod pressure;
#[path = "node/process.rs"]
mod process;
#[path = "node/snapshot.rs"]
mod snapshot;
#[path = "node/spoe.rs"]
mod spoe;
#[path = "node/waiting.rs"]
mod waiting;
