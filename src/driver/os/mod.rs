//! System calls: threads, fork, signals, clocks, descriptors.

pub(crate) mod clock;
pub(crate) mod fork;
pub(crate) mod interfaces;
pub(crate) mod lock;
pub(crate) mod panic;
pub(crate) mod prepared;
pub(crate) mod signals;
pub(crate) mod threads;
pub(crate) mod wake;
