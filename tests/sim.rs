//! Clusters of the shipped core in virtual time: scenarios, a random campaign, and starts at
//! scale. Everything follows from one seed; nothing here sleeps or opens a socket.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SPRAT_SIM_SEEDS` | how many seeds the random campaign runs |
//! | `SPRAT_SIM_SEED` | the campaign runs this one seed only |
//! | `SPRAT_BOOT_SEEDS` | how many seeds each size of the bootstrap runs |

#[path = "sim/mod.rs"]
mod sim;
