//! Failure detection: this node probes each member in turn, and a member that does not answer is
//! suspected before it is declared dead.
//!
//! | file | contents |
//! | --- | --- |
//! | [`probe`] | probes members in turn, directly, through helpers, and over a stream |
//! | [`rounds`] | one probe under way |
//! | [`relay`] | pings on behalf of other nodes |
//! | [`acks`] | the answers to pings, and the data of the layer above in them |
//! | [`suspects`] | keeps the deadlines of suspects, and the final probes before them |
//! | [`suspicion`], [`final_probe`] | the deadline of one suspect, and its final probes |

pub(in crate::swim) mod acks;
pub(in crate::swim) mod final_probe;
pub(in crate::swim) mod probe;
pub(in crate::swim) mod relay;
pub(in crate::swim) mod rounds;
pub(in crate::swim) mod suspects;
pub(in crate::swim) mod suspicion;
