//! Services that the engine can host beside the protocol.

pub mod spoe;
