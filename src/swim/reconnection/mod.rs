//! Finding the way back: this node asks its seeds and its lost members again.
//!
//! | file | contents |
//! | --- | --- |
//! | [`reconnect`] | asks seeds and lost members again |
//! | [`seeds`], [`lost_members`] | the nodes to ask |
//! | [`retry`] | the pauses between two attempts |

pub(in crate::swim) mod lost_members;
pub(in crate::swim) mod reconnect;
pub(in crate::swim) mod retry;
pub(in crate::swim) mod seeds;
