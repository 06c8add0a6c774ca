//! The settings that a controller is started with.

use crate::backend::Backend;
use crate::snapshot::{Snapshot, SnapshotFile};
use sprat::{Config, Level};

/// The settings of a controller.
pub struct ControllerConfig {
    /// The settings of the node.
    pub node: Config,
    /// The backends.
    pub backends: Vec<Backend>,
    /// True if this process is the load balancer. In this case no server may be at an address where
    /// this process listens.
    pub inside_haproxy: bool,
    /// The snapshot of the previous process.
    pub snapshot: Snapshot,
    /// The file that keeps the next snapshot.
    pub snapshot_file: Option<SnapshotFile>,
}

impl ControllerConfig {
    /// Returns the settings of a node, before those of the operator: the node logs its warnings,
    /// which the controller hands on as notices.
    pub fn node_defaults() -> Config {
        Config::new().log_level(Level::Warn)
    }

    /// Returns the number of threads that a running controller takes: those of the node, and its
    /// own.
    pub fn threads(node: &Config) -> usize {
        node.threads() + 1
    }
}
