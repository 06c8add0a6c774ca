//! The driver: the only place with side effects. Threads, sockets, clock and name resolution around
//! the deterministic core.
//!
//! ```text
//!   application --commands--> engine --events--> application, or the event thread's callback
//!                             |    ^
//!                      lookups|    |addresses
//!                             v    |
//!                             helper
//! ```
//!
//! | folder | what it holds |
//! | --- | --- |
//! | [`os`] | system calls: threads, fork, signals, clocks, descriptors |
//! | [`net`] | sockets, streams, name resolution |
//! | [`events`] | what the application reads: queue, subscriptions, completions, log |
//! | [`engine`] | the thread that owns the core: loop, commands, services |
//! | [`node`] | the public face: [`Node`] |

pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod net;
pub(crate) mod node;
pub(crate) mod os;

pub use events::pending::{Outcome, Pending};
pub use events::subscriptions::Subscription;
#[cfg(feature = "internals")]
pub use net::resolve::resolve_seeds;
#[cfg(feature = "internals")]
pub use node::guarded;
pub use node::{EventCallback, Node};
#[cfg(feature = "internals")]
pub use os::interfaces::addresses;
pub use os::worker::PreparedThreads;
pub use os::worker::Spawn;
