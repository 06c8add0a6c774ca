//! The members as Serf sees them, and what changes them.
//!
//! | file | contents |
//! | --- | --- |
//! | [`members`], [`filter`] | the table of members, and which of them the application sees |
//! | [`changes`] | changes that the SWIM machine reports |
//! | [`intent`], [`early_intents`] | announcements of joins and leaves |
//! | [`leave`] | this node's own leave, step by step |
//! | [`lost`] | the lost members, which this node tries to reach again |
//! | [`reap`], [`conflict`] | erasing members that failed or left; two nodes with one name |
//! | [`look`] | the members that another node lists |

pub(in crate::serf) mod changes;
pub(in crate::serf) mod conflict;
pub(in crate::serf) mod early_intents;
pub(in crate::serf) mod filter;
pub(in crate::serf) mod intent;
pub(in crate::serf) mod leave;
pub(in crate::serf) mod look;
pub(in crate::serf) mod lost;
pub(in crate::serf) mod members;
pub(in crate::serf) mod reap;
