//! What HAProxy does with the members of a cluster, whichever way it is told.
//!
//! A deterministic core: it takes members and time, and says what each server slot of HAProxy
//! shall be. The module that HAProxy loads (`lua/`) and `sprat-hap` (`hap/`) carry that out. What
//! makes a member a server stands in [`sprat::service::spoe::candidate`].
//!
//! | module | its idea |
//! | --- | --- |
//! | [`balance`] | members to slots, and who may be taken away |
//! | [`controller`] | the thread between a node and HAProxy |
//! | [`snapshot`] | what is remembered across a reload |

pub mod balance;
pub mod controller;
pub mod snapshot;
