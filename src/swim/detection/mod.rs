//! Failure detection: this node probes each member in turn, and a member that does not answer is
//! suspected before it is declared dead.
//!
//! | file | contents |
//! | --- | --- |
//! | [`probe`] | probes members in turn, directly, through helpers, and over a stream |
//! | [`rounds`], [`probe_report`] | one probe under way, and the answer to each way of probing |
//! | [`relay`] | pings on behalf of other nodes |
//! | [`acks`] | the answers to pings, and the data of the layer above in them |
//! | [`suspects`] | keeps the deadlines of suspects, and the final probes before them |
//! | [`suspicion`], [`final_probe`] | the deadline of one suspect, and its final probes |
//! | [`awareness`] | the local health score, and whether datagrams and streams get answers |

pub(in crate::swim) mod acks;
pub(in crate::swim) mod awareness;
pub(in crate::swim) mod final_probe;
pub(in crate::swim) mod probe;
pub(in crate::swim) mod probe_report;
pub(in crate::swim) mod relay;
pub(in crate::swim) mod rounds;
pub(in crate::swim) mod suspects;
pub(in crate::swim) mod suspicion;
