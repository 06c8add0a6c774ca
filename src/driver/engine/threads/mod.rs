//! The other threads of a node that talk to the engine, each of which does what the engine must not
//! wait for.
//!
//! | file | what its thread does |
//! | --- | --- |
//! | [`key_writer`] | writes the keyring file |
//! | [`resolvers`] | resolves names; there can be several |
//! | [`services`] | hosts services such as SPOE |

pub(in crate::driver) mod key_writer;
pub(in crate::driver) mod resolvers;
pub(in crate::driver) mod services;
