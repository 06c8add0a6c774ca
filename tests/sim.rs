//! Clusters of the shipped core in virtual time: scenarios, a random campaign, and starts of large
//! clusters. Each run follows from its random seed alone; nothing here sleeps or opens a socket.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SPRAT_SIM_SEEDS` | the number of random seeds that the campaign runs |
//! | `SPRAT_SIM_SEED` | the only random seed that the campaign runs |
//! | `SPRAT_BOOT_SEEDS` | the number of random seeds that the bootstrap runs for each size |

mod counting;
#[path = "sim/mod.rs"]
mod sim;

use counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
