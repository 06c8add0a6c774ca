//! The reports of this node about itself and about members.
//!
//! | file | contents |
//! | --- | --- |
//! | [`explain`] | explains why a member is in its state, and describes the health of this node |
//! | [`explanation`] | the explanation of a member's state, and its text |
//! | [`refusals`] | the sources of refused input |
//! | [`stats`] | the counters |

pub(in crate::swim) mod explain;
pub(in crate::swim) mod explanation;
pub(in crate::swim) mod refusals;
pub(in crate::swim) mod stats;
