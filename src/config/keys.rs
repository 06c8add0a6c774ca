//! The keys of a node, and the codec of its traffic.

use super::keyring_file;
use super::node_config::Config;
use crate::error::{Error, Result, Status};
use crate::limits::KEYS;
use crate::wire::{Codec, Key, Keyring};
use std::path::Path;

impl Config {
    /// Adds a key that decrypts. The first key that is added also encrypts, unless the setting
    /// `encrypt` is set.
    ///
    /// # Errors
    /// `TooLarge` for more than 64 keys, including the key in `encrypt`.
    pub fn add_key(&mut self, key: Key) -> Result<()> {
        let keys = self.settings.encrypt.iter().len() + self.keys.len() + 1;
        check_count(keys, Status::TooLarge)?;
        self.keys.push(key);
        Ok(())
    }

    /// Reads the keyring file now. This is for a process that changes its user or its root
    /// directory before it starts the node, and can no longer read the file then. Such a node does
    /// not write the file either: keys that change while it runs are lost with it.
    ///
    /// # Errors
    /// `Config` if keys come from two sources, the file has no valid keys, or there are more than
    /// 64 keys; `Io` if the file cannot be read.
    pub fn load_keys(&mut self) -> Result<()> {
        if self.settings.keyring_file.is_some() {
            self.keys = self.keyring()?.keys().to_vec();
            self.settings.keyring_file = None;
        }
        Ok(())
    }

    /// The keys. The first key is the one that encrypts.
    ///
    /// # Errors
    /// `Config` if keys come from two sources, the file has no valid keys, or there are more than
    /// 64 keys; `Io` if the file cannot be read.
    pub(super) fn keyring(&self) -> Result<Keyring> {
        let own = self.settings.encrypt.iter().chain(&self.keys);
        let own: Vec<Key> = own.cloned().collect();
        let keys = match &self.settings.keyring_file {
            None => own,
            Some(path) if own.is_empty() => keyring_file::read(path)?,
            Some(_) => {
                let message = "keys come from keyring_file and from another source; use only one";
                return Err(Error::new(Status::Config, message));
            }
        };
        // A file may hold any number of keys, and `encrypt` may be set after keys were added.
        check_count(keys.len(), Status::Config)?;
        Ok(Keyring::new(keys))
    }

    /// The file in which the node stores keys that change while it runs.
    pub(crate) fn stored_keyring(&self) -> Option<&Path> {
        self.settings.keyring_file.as_deref()
    }

    /// The codec that writes and reads the traffic of the node.
    ///
    /// # Errors
    /// The same as for [`Config::load_keys`].
    pub(crate) fn codec(&self) -> Result<Codec> {
        let settings = &self.settings;
        Ok(Codec {
            keyring: self.keyring()?,
            label: settings.label.0.clone().into_bytes(),
            compress: settings.compression,
            verify_incoming: settings.verify_incoming,
            verify_outgoing: settings.verify_outgoing,
            skip_label_check: settings.skip_label_check,
        })
    }
}

/// Checks that a node may have this many keys. `status` is the status of the error.
fn check_count(keys: usize, status: Status) -> Result<()> {
    if keys > KEYS {
        let message = format!("{keys} keys are given, at most {KEYS} are allowed");
        return Err(Error::new(status, message));
    }
    Ok(())
}
