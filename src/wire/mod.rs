//! The conversion of bytes to values and back. It uses no clock and no socket, and no result
//! depends on randomness.
//!
//! [`packet`] opens a datagram from outside in (label, encryption, checksum) and walks its compound
//! and compressed parts. [`message`] decodes each message inside, and [`serf_message`] decodes the
//! message of the Serf layer that a user message holds. [`stream`] unwraps the messages of streams.
//! A message is one table of fields, from which its struct, decoder and encoder follow: see
//! `record.rs`, and `fields.rs` for the kinds of fields. [`coordinate`] is the payload of acks.
//! [`node_name`] escapes names that are not text.

pub(crate) mod address;
pub mod codec;
pub(crate) mod coordinate;
mod fields;
pub mod lzw;
pub mod message;
pub mod msgpack;
pub mod node_name;
pub mod packet;
mod push_pull;
pub mod query_filter;
pub mod reader;
mod record;
pub mod refusal;
pub mod serf_message;
mod serf_push_pull;
pub mod stream;
mod tags;

pub use codec::{Codec, Key, Keyring};
pub use node_name::Names;
pub use reader::Reader;
pub use refusal::Refusal;
