//! What HAProxy does with the members of a cluster, whichever way it is told.
//!
//! A deterministic core: it takes members and time, and says what each server slot of HAProxy
//! shall be. The module that HAProxy loads (`lua/`) carries that out.
//!
//! | module | its idea |
//! | --- | --- |
//! | [`candidate`] | what a member offers as a server, and whether it can be one |
//! | [`balance`] | members to slots, and who may be taken away |
//! | [`pilot`] | the thread between a node and HAProxy |
//! | [`rendezvous`], [`questions`] | which member for a key; what HAProxy can ask |
//! | [`snapshot`] | what is remembered across a reload |
//! | [`spop`] | answers to what HAProxy asks about requests |

pub mod balance;
pub mod candidate;
pub mod pilot;
pub mod questions;
pub mod rendezvous;
pub mod snapshot;
pub mod spop;
