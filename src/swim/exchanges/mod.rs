//! Exchanges over streams: of states, the commands that begin them, and user messages. Probes open
//! streams of their own (`detection/probe.rs`).
//!
//! | file | contents |
//! | --- | --- |
//! | [`requests`] | reads the requests and answers that arrive on streams, and answers requests |
//! | [`push_pull`] | exchanges everything that two nodes know |
//! | [`joining`] | carries out join commands |
//! | [`looking`] | carries out looks at other clusters |
//! | [`join_sync`] | pulls states after a burst of joins, and from unknown nodes that ping |
//! | [`messages`] | sends user messages by stream |

pub(in crate::swim) mod join_sync;
pub(in crate::swim) mod joining;
pub(in crate::swim) mod looking;
pub(in crate::swim) mod messages;
pub(in crate::swim) mod push_pull;
pub(in crate::swim) mod requests;
