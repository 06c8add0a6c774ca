//! The member table, and how messages change it.
//!
//! | file | contents |
//! | --- | --- |
//! | [`record`] | the record of one member |
//! | [`members`] | all records; the state of a member changes in one function there |
//! | [`hosts`] | the members on each host |
//! | [`merge`] | the rules by which a message about a member changes its record |
//! | [`probe_report`] | the last probe of a member: the answer to each way of probing |
//! | [`watched`] | how many members are alive at the address of each seed |

mod hosts;
pub(in crate::swim) mod members;
pub(in crate::swim) mod merge;
pub(in crate::swim) mod probe_report;
pub(in crate::swim) mod record;
pub(in crate::swim) mod watched;
