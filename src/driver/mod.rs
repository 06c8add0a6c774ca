//! The driver: the only layer with side effects. It adds threads, sockets, clocks and name
//! resolution to the deterministic core.
//!
//! ```text
//!   application --commands--> engine --events, members--> application
//!   services                  |    ^                      services
//!                      lookups|    |addresses
//!                             v    |
//!                            resolvers
//! ```
//!
//! If the application has set a callback, the event thread takes the events and runs the callback.
//!
//! Each folder is a floor, which uses only the floors below it in this table:
//!
//! | floor | what it holds |
//! | --- | --- |
//! | `node` | the public interface: [`Node`] |
//! | `engine` | the thread that owns the core, its commands, and the host of services |
//! | `events` | event queues, subscriptions, completions, the log, the list of members |
//! | `net` | sockets, listeners, streams, name resolution, mDNS |
//! | `os` | system calls: threads, forks, signals, clocks, descriptors |

pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod net;
pub(crate) mod node;
pub(crate) mod os;

pub use events::answers::{KeyResult, PendingQuery, QueryAnswer, QueryAnswers};
pub use events::completion::Operation;
pub use events::pending::{FailedAddr, Outcome, Pending};
pub use events::subscriptions::Subscription;
#[cfg(all(feature = "internals", feature = "mdns"))]
pub use net::mdns::message::{Announced, Meaning, Notification, QuestionId, Service};
#[cfg(feature = "internals")]
pub use net::resolve::resolve_seeds;
#[cfg(feature = "internals")]
pub use node::guarded;
pub use node::{EventCallback, Node};
#[cfg(feature = "internals")]
pub use os::interfaces::addresses;
#[cfg(feature = "internals")]
pub use os::kept_file::check_owner;
#[cfg(feature = "internals")]
pub use os::own_fd::above_standard_streams;
#[cfg(feature = "internals")]
pub use os::threads::create as create_thread;
pub use os::worker::PreparedThreads;
pub use os::worker::Spawn;
