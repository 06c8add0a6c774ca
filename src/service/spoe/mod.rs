//! Answers to what HAProxy asks about requests (SPOE, protocol SPOP 2.0), and the rules by which
//! members are servers.
//!
//! | file | its idea |
//! | --- | --- |
//! | `wire` | numbers, texts and typed values as bytes |
//! | `frame` | frames: what HAProxy says, what the agent says |
//! | `talk` | one connection as a state machine: bytes in, bytes out |
//! | `questions` | the questions, answered from the members as they are |
//! | `candidate` | what a member offers as a server, and whether it can be one |
//! | `rendezvous` | which member for this key |
//!
//! Everything is bounded before it is used; what cannot be read ends the connection with the
//! status that the specification has for it, and never the agent. The thread that listens is the
//! driver's.

pub mod candidate;
pub mod frame;
pub mod questions;
pub mod rendezvous;
pub mod talk;
pub mod wire;
