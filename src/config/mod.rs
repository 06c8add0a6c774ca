//! The settings of a node.
//!
//! | file | contents |
//! | --- | --- |
//! | `table` | the table of all settings |
//! | `setting` | a row of that table: everything that is known about one setting |
//! | `value` | the traits of a value: how its text is read, checked and written |
//! | `types` | types of values that are made for settings alone |
//! | `values` | `Settings`: one field for each setting of the driver or of a service |
//! | `node_config` | [`Config`]: the settings of one node, as text or typed |
//! | `setters` | the typed setters of [`Config`] |
//! | `file` | reading files; settings from files |
//! | `keyring_file` | the keyring file of Serf |
//! | `line` | the value on a line of a file: quotes and comments |
//! | `keys` | the keys of a node, and the codec of its traffic |
//! | `address` | addresses as people write them |

pub(crate) mod address;
mod file;
pub(crate) mod keyring_file;
mod keys;
mod line;
mod node_config;
mod setters;
mod setting;
mod table;
mod types;
mod value;
mod values;

#[cfg(test)]
mod tests;

pub use crate::vocabulary::SettingType;
pub use node_config::Config;
pub(crate) use node_config::check_tag_key;
pub use setting::Setting;
#[cfg(feature = "capi")]
pub(crate) use table::position;
pub use table::settings;
pub use types::{Advertise, Profile, TagPair};
