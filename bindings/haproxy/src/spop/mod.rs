//! The agent's side of SPOP 2.0, by which HAProxy asks questions about requests.
//!
//! | file | its idea |
//! | --- | --- |
//! | `wire` | numbers, texts and typed values as bytes |
//! | `frame` | frames: what HAProxy says, what the agent says |
//! | `talk` | one connection as a state machine: bytes in, bytes out |
//!
//! Everything is bounded before it is used; what cannot be read ends the connection with the
//! status that the specification has for it, and never the agent.

pub mod frame;
pub mod talk;
pub mod wire;
