//! sprat: cluster membership as a library.
//!
//! A process that links this crate is a full member of a memberlist or Serf cluster by itself.
//! The crate is six layers, each knowing only the ones below it:
//!
//! | layer | what it is | knows |
//! | --- | --- | --- |
//! | [`wire`] | bytes to values and back, pure functions | nobody |
//! | [`swim`] | the SWIM state machine: bytes and time in, outputs out | `wire` |
//! | [`serf`] | tags, intents and member states of Serf on top of it | `swim`, `wire` |
//! | [`spoe`] | answers to what HAProxy asks about requests | `serf` |
//! | [`driver`] | threads, sockets, clock, name resolution: the [`Node`] | the four above |
//! | `ffi` | the C ABI of `include/sprat.h` (feature `capi`) | `driver` |
//!
//! All but `driver` and `ffi` open no socket, read no clock, start no thread and draw no
//! randomness but from their seed. The code that ships is the code that the simulator runs.

// The feature `internals` opens the layers to the tests, benches, fuzz targets and bindings of this
// repository. Everything else uses what is named below.
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

mod config;
#[cfg(not(feature = "internals"))]
mod driver;
mod error;
mod event;
#[cfg(feature = "capi")]
mod ffi;
#[cfg(not(feature = "internals"))]
mod limits;
mod member;
#[cfg(not(feature = "internals"))]
mod serf;
#[cfg(not(feature = "internals"))]
mod service;
#[cfg(not(feature = "internals"))]
mod swim;
#[cfg(not(feature = "internals"))]
mod time;
mod vocabulary;
#[cfg(not(feature = "internals"))]
mod wire;

pub use config::{Advertise, Config, Profile, Setting, SettingType, settings};
#[cfg(feature = "internals")]
pub use driver::guarded;
pub use driver::{EventCallback, Node, Outcome, Pending, PreparedThreads, Spawn, Subscription};
pub use error::{Error, Result, Status};
pub use event::{Event, EventBody, EventKind, Level};
pub use member::{Member, MemberState};
pub use serf::{Mode, Tags};
pub use swim::NodeState as ProtocolState;
pub use swim::{Explanation, Health, NameConflict, ProbeAnswer, ProbeReport, Seed};
pub use time::Time;
pub use vocabulary::NodeState;
pub use wire::Key;
