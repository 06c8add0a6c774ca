//! User events in both directions.
//!
//! | file | contents |
//! | --- | --- |
//! | [`user_event`] | sending and receiving them |
//! | [`seen_event`] | a user event that was seen |
//! | [`event_order`] | the order in which the application gets them |
//! | [`replay`] | which of them are from before this node joined |

pub(in crate::serf) mod event_order;
pub(in crate::serf) mod replay;
pub(in crate::serf) mod seen_event;
pub(in crate::serf) mod user_event;
