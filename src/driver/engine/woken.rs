//! The reasons why the engine wakes up.

use crate::driver::os::descriptors::PollFlags;
use crate::swim::StreamId;
use crate::time::Time;

/// A descriptor that the engine waits for.
pub(super) enum PollSource {
    Commands,
    Datagrams,
    Connections,
    Discovery,
    Stream(StreamId),
}

/// The reasons why the engine woke up.
#[derive(Default)]
pub(super) struct Woken {
    /// The latest moment at which the sleep was to end.
    pub wanted: Time,
    pub commands: bool,
    pub datagrams: bool,
    pub connections: bool,
    /// True if messages of mDNS wait.
    pub discovery: bool,
    pub streams: Vec<(StreamId, PollFlags)>,
}

impl Woken {
    pub fn new(wanted: Time, ready: impl Iterator<Item = (PollSource, PollFlags)>) -> Woken {
        let mut woken = Woken {
            wanted,
            ..Woken::default()
        };
        for (source, flags) in ready.filter(|(_, flags)| !flags.is_empty()) {
            match source {
                PollSource::Commands => woken.commands = true,
                PollSource::Datagrams => woken.datagrams = true,
                PollSource::Connections => woken.connections = true,
                PollSource::Discovery => woken.discovery = true,
                PollSource::Stream(id) => woken.streams.push((id, flags)),
            }
        }
        woken
    }
}
