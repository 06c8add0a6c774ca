//! Every setting of a node by name (skeleton of its public face; bodies follow).

use crate::error::Result;
use crate::wire::Key;

/// Settings of a node. Each has a name, a type, a default and a range: see [`Config::keys`].
#[derive(Clone, Default)]
pub struct Config {}

/// What is known of one setting.
#[allow(missing_docs)]
pub struct Setting { pub name: &'static str, pub kind: &'static str, pub default: &'static str, pub range: &'static str, pub help: &'static str }

#[allow(unused_variables, missing_docs)]
impl Config {
    pub fn new() -> Config { todo!() }
    /// Every setting, in the order of the documentation.
    pub fn keys() -> &'static [Setting] { todo!() }
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> { todo!() }
    pub fn get(&self, key: &str) -> Result<String> { todo!() }
    pub fn load(&mut self, path: &std::path::Path) -> Result<()> { todo!() }
    pub fn set_tag(&mut self, key: &str, value: Option<&str>) -> Result<()> { todo!() }
    pub fn set_meta(&mut self, meta: &[u8]) -> Result<()> { todo!() }
    pub fn add_key(&mut self, key: Key) -> Result<()> { todo!() }
    /// Everything `Node::start` would refuse, without starting.
    pub fn check(&self) -> Result<()> { todo!() }
}
