//! Everything that changes the members as Serf sees them.
//!
//! | file | contents |
//! | --- | --- |
//! | [`changes`] | changes that the SWIM machine reports |
//! | [`intent`], [`early_intents`] | announcements of joins and leaves |
//! | [`leave`] | this node's own leave, step by step |
//! | [`reap`], [`conflict`] | erasing members that failed or left; nodes with this node's name |
//! | [`look`] | the members that another node lists |

pub(in crate::serf) mod changes;
pub(in crate::serf) mod conflict;
pub(in crate::serf) mod early_intents;
pub(in crate::serf) mod intent;
pub(in crate::serf) mod leave;
pub(in crate::serf) mod look;
pub(in crate::serf) mod reap;
