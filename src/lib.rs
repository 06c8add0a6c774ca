//! sprat: cluster membership as a library.
//!
//! With this crate, a process becomes a full member of a memberlist or Serf cluster. Make the
//! settings, a [`Config`]; start a [`Node`] with them; join other nodes; then read the members and
//! take events.
//!
//! ```
//! use sprat::{Config, EventKind, Node, Profile};
//! use std::time::Duration;
//!
//! # fn main() -> sprat::Result<()> {
//! let settings = |name: &str| {
//!     let config = Config::new().name(name).profile(Profile::Local);
//!     config.bind(([127, 0, 0, 1], 0)).tag("role", "db")
//! };
//! let first = Node::start(&settings("first"))?;
//! let second = Node::start(&settings("second"))?;
//!
//! let addr = first.addr().to_string();
//! assert_eq!(second.join(&[&addr], Some(Duration::from_secs(10)))?, 1);
//! let names: Vec<String> = second.members().iter().map(|it| it.name.to_string()).collect();
//! assert_eq!(names, ["first", "second"]);
//!
//! second.leave(Some(Duration::from_secs(10)))?; // `first` sees a leave, not a failure
//! while let Some(event) = first.next_event(Some(Duration::from_secs(10)))? {
//!     if event.kind() == EventKind::MemberLeave {
//!         assert_eq!(&*event.member().unwrap().name, "second");
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How the crate is built
//!
//! The crate consists of layers. Each layer uses only the layers listed before it.
//!
//! | layer | contents |
//! | --- | --- |
//! | `wire` | bytes to values and back, without side effects |
//! | `swim` | the SWIM protocol as a state machine: bytes and time go in, outputs come out |
//! | `serf` | Serf on top of `swim`: tags, intents, member states, user events, queries |
//! | `service` | protocols with listeners of their own, such as HAProxy's SPOE |
//! | `config` | the settings |
//! | `driver` | threads, sockets, the clock, name resolution: the [`Node`] |
//! | `ffi` | the C interface of `include/sprat.h` (feature `capi`) |
//!
//! Only `driver` and `ffi` have side effects, except that `config` reads files of settings and
//! keys. The layers listed before `driver` open no socket, read no clock, start no thread, and draw
//! randomness only from a seed that they are given. The seeds of hash functions are an exception,
//! but no result depends on them. So the simulator runs the code that ships.
//!
//! # Features
//!
//! - `capi`, on by default: the exported C functions. Bindings to other languages turn it off.
//! - `spoe`, on by default: nodes can answer HAProxy's questions (SPOE). Without it, the setting
//!   `spoe_bind` is refused.
//! - `mdns`: nodes find each other on the local network with mDNS. Without it, the setting
//!   `discover` is refused.
//! - `internals`, **unstable**: makes the layers below `config` and the `driver` public, for the
//!   tests, benches, fuzz targets and bindings of this repository. Anything that it exposes may
//!   change in any release.

#[cfg(feature = "internals")]
pub mod driver;
#[cfg(feature = "internals")]
pub mod limits;
#[cfg(feature = "internals")]
pub mod serf;
#[cfg(feature = "internals")]
pub mod service;
#[cfg(feature = "internals")]
pub mod swim;
#[cfg(feature = "internals")]
pub mod time;
#[cfg(feature = "internals")]
pub mod wire;

mod burst_queue;
mod config;
#[cfg(not(feature = "internals"))]
mod driver;
mod error;
mod event;
#[cfg(feature = "capi")]
mod ffi;
mod key_report;
#[cfg(not(feature = "internals"))]
mod limits;
mod member;
mod named_slab;
mod networks;
mod per_second;
mod printable;
#[cfg(not(feature = "internals"))]
mod serf;
#[cfg(not(feature = "internals"))]
mod service;
mod sorted_map;
#[cfg(not(feature = "internals"))]
mod swim;
#[cfg(not(feature = "internals"))]
mod time;
mod vocabulary;
#[cfg(not(feature = "internals"))]
mod wire;

pub use config::{Advertise, Config, Profile, Setting, SettingType, TagPair, settings};
#[cfg(feature = "internals")]
pub use driver::guarded;
pub use driver::{
    EventCallback, FailedAddr, KeyResult, Node, Operation, Outcome, Pending, PendingQuery,
    PreparedThreads, QueryAnswer, QueryAnswers, Spawn, Subscription,
};
pub use error::{Error, Result, Status};
pub use event::{Coalescing, Event, EventBody, EventKind, Level};
pub use ipnet::IpNet;
pub use key_report::{KeyAnswer, KeyHolders, KeyReport};
pub use member::{Member, MemberState, MemberTags, NodeFacts};
pub use serf::{Coordinate, Counter, KeyQuery, Mode, QueryOptions, Tags};
pub use swim::{
    ConflictVerdict, Explanation, Health, HelperReport, NameConflict, ProbeAnswer, ProbeReport,
    Seed,
};
pub use time::Time;
pub use vocabulary::{KeyAction, NodeState};
pub use wire::Key;
