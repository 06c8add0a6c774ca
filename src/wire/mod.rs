//! Bytes to values and back. Pure functions: no state, no clock, no socket, no randomness.
//!
//! A datagram is opened from outside in by [`packet`] (label, encryption, checksum), its compound
//! and compressed parts are walked, and each message inside is decoded by [`message`] or, for the
//! Serf layer, by [`serf_message`]. [`stream`] does the same for connections.

pub mod codec;
mod fields;
pub mod lzw;
pub mod message;
pub mod msgpack;
pub mod packet;
mod push_pull;
pub mod reader;
pub mod refusal;
pub mod serf_message;
mod serf_state;
pub mod stream;
mod tags;

pub use codec::{Codec, Key, Keyring};
pub use reader::Reader;
pub use refusal::Refusal;
