//! The keys of a node, and how it writes and reads bytes.

use super::file;
use super::node_config::Config;
use crate::error::{Error, Result, Status};
use crate::wire::{Codec, Key, Keyring};

/// The largest number of keys beside each other.
const KEYS: usize = 64;

impl Config {
    /// Adds a key that decrypts. The first one also encrypts, unless `encrypt` is set.
    ///
    /// # Errors
    /// `TooLarge` for more than 64 keys.
    pub fn add_key(&mut self, key: Key) -> Result<()> {
        if self.keys.len() >= KEYS {
            let message = format!("more than {KEYS} keys");
            return Err(Error::new(Status::TooLarge, message));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Reads the keyring file now, for a process that cannot do so when it starts the node, because
    /// it changes its user or its root directory before.
    ///
    /// # Errors
    /// `Config` for keys from two sources and for a file without keys; `Io` for a file that cannot
    /// be read.
    pub fn load_keys(&mut self) -> Result<()> {
        if self.settings.keyring_file.is_some() {
            self.keys = self.keyring()?.keys().to_vec();
            self.settings.keyring_file = None;
        }
        Ok(())
    }

    /// The keys, the one that encrypts first.
    ///
    /// # Errors
    /// `Config` for keys from two sources and for a file without keys; `Io` for a file that cannot
    /// be read.
    pub(super) fn keyring(&self) -> Result<Keyring> {
        let own = self.settings.encrypt.iter().chain(&self.keys);
        let own: Vec<Key> = own.cloned().collect();
        let Some(path) = &self.settings.keyring_file else {
            return Ok(Keyring::new(own));
        };
        if !own.is_empty() {
            let message = "keys come from keyring_file and from encrypt: only one is allowed";
            return Err(Error::new(Status::Config, message));
        }
        file::keyring(path).map(Keyring::new)
    }

    /// How bytes are written and read.
    ///
    /// # Errors
    /// Those of the keyring file.
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
