//! The conversion of bytes to values and back. It uses no clock and no socket, and no result
//! depends on randomness.
//!
//! A message is one table of fields, from which its struct, decoder and encoder follow.
//!
//! | file | contents |
//! | --- | --- |
//! | [`packet`] | a datagram from outside in: label, encryption, checksum, compression, compound |
//! | [`stream`] | the messages of streams |
//! | [`message`], `push_pull` | the messages of memberlist, and its exchange of states |
//! | [`serf_message`], `serf_push_pull` | the messages of Serf in user messages, and its state |
//! | `coordinate`, `tags`, `query_filter` | coordinates in acks, tags in the meta, filters |
//! | [`codec`], [`lzw`] | keys, labels and compression |
//! | `record`, `fields`, `msgpack`, `reader` | tables of fields, the kinds of fields, their bytes |
//! | [`wire_name`], `address` | names that are not text, addresses |
//! | [`refusal`] | the reasons for refusing input |

pub(crate) mod address;
pub mod codec;
pub(crate) mod coordinate;
mod fields;
pub mod lzw;
pub mod message;
pub mod msgpack;
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
pub mod wire_name;

pub use codec::{Codec, Key, Keyring};
pub use reader::Reader;
pub use refusal::Refusal;
pub use wire_name::Names;
