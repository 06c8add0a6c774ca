//! Assigns the members of a cluster to the servers of HAProxy.
//!
//! The assignments are carried out either by the Lua module that HAProxy loads (`lua/`), or by
//! `sprat-hap`, which drives HAProxy's runtime API from outside (`hap/`). The library `sprat`
//! decides which members can be servers: [`sprat::service::servers::candidate`].
//!
//! | module | contents |
//! | --- | --- |
//! | [`balance`] | assigns members to slots and guards removals; deterministic, without I/O |
//! | [`actual_servers`] | the servers that HAProxy has, read from its answer |
//! | [`others`] | what someone else has set in HAProxy, and is left alone |
//! | [`backend`] | a backend of HAProxy, and the rules that choose its members |
//! | [`snapshot`] | the file that keeps assignments across a reload or a restart |
//! | [`restore`] | the assignments of a snapshot that a backend takes over |
//! | `lasting_file` | a file that stays open as long as HAProxy runs |
//! | [`trusted_file`] | which files may be read or kept |
//! | [`server_state`] | the file from which HAProxy itself reads addresses when it starts |
//! | [`controller`] | the thread between a node and HAProxy |

pub mod actual_servers;
pub mod backend;
pub mod balance;
pub mod controller;
mod lasting_file;
pub mod others;
#[cfg(test)]
mod random;
pub mod restore;
pub mod server_state;
pub mod snapshot;
pub mod trusted_file;
