//! The state of the module: the settings that the script collects, and then the controller.

use sprat::Config;
use sprat_haproxy::backend::Backend;
use sprat_haproxy::balance::Assignment;
use sprat_haproxy::controller::{Controller, ControllerConfig};
use sprat_haproxy::others::ChangesByOthers;
use sprat_haproxy::server_state::StateEntry;
use sprat_haproxy::snapshot::{Snapshot, SnapshotFile};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// HAProxy has one Lua state, or one for each thread; one node serves all of them.
static MODULE: Mutex<Module> = Mutex::new(Module {
    config: None,
    backends: Vec::new(),
    snapshot: None,
    server_state: Vec::new(),
    restored: Vec::new(),
    others: None,
    controller: None,
});

/// The settings that are collected before the node starts, and then the running controller.
pub struct Module {
    /// The settings of the node; `None` before the first use.
    config: Option<Config>,
    /// The backends, by their numbers.
    pub backends: Vec<Backend>,
    /// The file of the snapshot, and the snapshot that it held; `None` once the node was started.
    pub snapshot: Option<(SnapshotFile, Snapshot)>,
    /// The servers that were written to the server-state file.
    pub server_state: Vec<StateEntry>,
    /// The assignments that `remembered` returns.
    pub restored: Vec<(usize, Assignment)>,
    /// The changes of others in HAProxy; `None` before the first use.
    others: Option<ChangesByOthers>,
    /// The process that started the controller, and the controller.
    pub controller: Option<(u32, Controller)>,
}

/// Locks the state.
pub fn module() -> MutexGuard<'static, Module> {
    MODULE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    /// Returns the settings, which are the defaults at first.
    pub fn config(&mut self) -> &mut Config {
        self.config
            .get_or_insert_with(ControllerConfig::node_defaults)
    }

    /// Returns the changes of others. The servers are named `BACKEND/SLOT`, by their numbers.
    pub fn others(&mut self) -> &mut ChangesByOthers {
        self.others.get_or_insert_default()
    }

    /// Returns the controller, unless it was started before a fork.
    pub fn controller(&self) -> Option<&Controller> {
        let (pid, controller) = self.controller.as_ref()?;
        (*pid == std::process::id()).then_some(controller)
    }

    /// Returns the controller, or a message if this process has none.
    pub fn running(&self) -> Result<&Controller, String> {
        self.controller()
            .ok_or_else(|| "the node was not started in this process".to_owned())
    }
}
