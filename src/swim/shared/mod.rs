//! The state that all parts share. The functions of the parts get it as one argument, the
//! [`context::Context`].
//!
//! | file | contents |
//! | --- | --- |
//! | [`context`] | the state that all parts share, and the functions that send |
//! | [`outbox`] | outputs for the driver, and notices for the layer above |
//! | [`broadcast_queue`] | the messages to gossip, and which of them go into the next packet |
//! | [`timer`] | deadlines |
//! | [`streams`], [`lookups`] | the open streams, and the names that are being resolved |
//! | [`identity`] | the name, meta and address of this node |
//! | [`awareness`] | the local health score, and whether datagrams and streams get answers |
//! | [`refusals`], [`stats`] | the sources of refused input, and the counters |

pub(in crate::swim) mod awareness;
pub(in crate::swim) mod broadcast_queue;
pub(in crate::swim) mod context;
pub(in crate::swim) mod identity;
pub(in crate::swim) mod lookups;
pub(in crate::swim) mod outbox;
pub(in crate::swim) mod refusals;
pub(in crate::swim) mod stats;
pub(in crate::swim) mod streams;
pub(in crate::swim) mod timer;
