//! The settings of a node as typed values.

use super::types::{
    Advertise, Bind, Discover, InterfaceName, Label, Listen, LogLevel, NodeName, Profile, TagPair,
};
use crate::event::EventKind;
use crate::serf;
use crate::swim::Seed;
use crate::wire::Key;
use ipnet::IpNet;
use std::path::PathBuf;

/// The values of all settings. [`Default`] does not give the settings their defaults: these are in
/// the table of settings, and `defaults_of` sets them.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) name: NodeName,
    pub(crate) bind: Bind,
    pub(crate) advertise: Option<Advertise>,
    pub(crate) profile: Profile,
    pub(crate) encrypt: Option<Key>,
    pub(crate) keyring_file: Option<PathBuf>,
    pub(crate) label: Label,
    pub(crate) seeds: Vec<Seed>,
    pub(crate) discover: Discover,
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub(crate) discover_interface: InterfaceName,
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) rejoin_after_leave: bool,
    pub(crate) compression: bool,
    pub(crate) verify_incoming: bool,
    pub(crate) verify_outgoing: bool,
    pub(crate) skip_label_check: bool,
    /// The settings of the protocol, with the tags, the metadata and the filter.
    pub(crate) core: serf::Config,
    pub(crate) event_queue: usize,
    pub(crate) event_kinds: Vec<EventKind>,
    pub(crate) log_level: LogLevel,
    pub(crate) thread_stack_kib: usize,
    pub(crate) spoe_bind: Listen,
    pub(crate) spoe_servers: TagPair,
    pub(crate) spoe_port: u16,
    pub(crate) spoe_networks: Vec<IpNet>,
}
