//! The values of key queries. This node's own keys are in `queries/own_keys.rs`.
//!
//! | file | contents |
//! | --- | --- |
//! | [`query`] | a query that lists or changes the keys of all members |
//! | [`report`] | the answers of the members to such a query |

pub(super) mod query;
pub(super) mod report;
#[cfg(test)]
mod tests;
