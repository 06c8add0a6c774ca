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

pub mod config;
pub mod driver;
pub mod error;
pub mod event;
#[cfg(feature = "capi")]
mod ffi;
pub mod limits;
pub mod member;
pub mod serf;
pub mod service;
pub mod swim;
pub mod time;
mod vocabulary;
pub mod wire;

pub use config::{Advertise, Config, Profile, Setting, SettingType, settings};
pub use driver::{Node, guarded};
pub use error::{Error, Result, Status};
pub use event::{Event, EventBody, EventKind, Level};
pub use member::{Member, MemberState};
pub use vocabulary::NodeState;
pub use wire::Key;
