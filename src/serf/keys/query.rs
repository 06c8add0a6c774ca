//! The four queries by which Serf manages the keys of a cluster, and their effect on a keyring.
//!
//! The messages for the operator are those of a stock agent, whose users know them.

use crate::limits;
use crate::serf::CommandError;
use crate::vocabulary::KeyAction;
use crate::wire::codec::KeyringFault;
use crate::wire::serf_message::{KeyRequest, Query};
use crate::wire::{Key, Keyring, Refusal};

/// Returns the name of the query for an action.
pub(in crate::serf) fn query_name(action: KeyAction) -> &'static str {
    match action {
        KeyAction::Install => "_serf_install-key",
        KeyAction::Use => "_serf_use-key",
        KeyAction::Remove => "_serf_remove-key",
        KeyAction::List => "_serf_list-keys",
    }
}

/// An action, and the key that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    pub(in crate::serf) action: KeyAction,
    /// `None` to list the keys, or if another node sent a key of a wrong length.
    pub(in crate::serf) key: Option<Key>,
}

impl KeyQuery {
    /// Adds a key to the keyrings. It decrypts, and does not encrypt yet.
    pub fn install(key: Key) -> KeyQuery {
        KeyQuery::about(KeyAction::Install, key)
    }

    /// Makes a key of the keyrings the primary one, which encrypts.
    pub fn use_key(key: Key) -> KeyQuery {
        KeyQuery::about(KeyAction::Use, key)
    }

    /// Removes a key, which must not be the primary one.
    pub fn remove(key: Key) -> KeyQuery {
        KeyQuery::about(KeyAction::Remove, key)
    }

    /// Lists the keys.
    pub fn list() -> KeyQuery {
        let (action, key) = (KeyAction::List, None);
        KeyQuery { action, key }
    }

    fn about(action: KeyAction, key: Key) -> KeyQuery {
        let key = Some(key);
        KeyQuery { action, key }
    }

    /// The action.
    pub fn action(&self) -> KeyAction {
        self.action
    }

    /// Reads a query from the wire; `None` if it is not about keys.
    ///
    /// # Errors
    /// The reason for refusing the payload. A stock agent crashes on a payload without content, so
    /// a refused query must not be passed on.
    pub(in crate::serf) fn read(query: &Query<'_>) -> Result<Option<KeyQuery>, Refusal> {
        let is_named = |action: &KeyAction| query_name(*action).as_bytes() == query.name;
        let Some(action) = KeyAction::ALL.into_iter().find(is_named) else {
            return Ok(None);
        };
        let request = KeyRequest::decode(query.payload.unwrap_or_default())?;
        let key = Key::new(request.key);
        Ok(Some(KeyQuery { action, key }))
    }

    /// Returns the payload of the query.
    pub(in crate::serf) fn payload(&self) -> Vec<u8> {
        let key = self.key.as_ref().map(Key::as_bytes).unwrap_or_default();
        KeyRequest { key }.encoded()
    }

    /// Checks that the query does not cut this node off from the members that carry it out.
    ///
    /// # Errors
    /// `UnknownKey` for the use of a key that the keyring of this node does not hold; `PrimaryKey`
    /// for the removal of its primary key.
    pub(in crate::serf) fn check(&self, own: &Keyring) -> Result<(), CommandError> {
        let Some(key) = &self.key else {
            return Ok(());
        };
        match self.action {
            KeyAction::Use if !own.contains(key) => Err(CommandError::UnknownKey),
            KeyAction::Remove if own.is_primary(key) => Err(CommandError::PrimaryKey),
            _ => Ok(()),
        }
    }

    /// Carries out the change. The removal of a key that the keyring does not hold succeeds, as in
    /// Serf, so that it can be repeated.
    ///
    /// # Errors
    /// The message for the operator; the keyring is then unchanged.
    pub(in crate::serf) fn apply(self, keyring: &mut Keyring) -> Result<(), &'static str> {
        const ABSENT: &str = "requested key is not in the keyring";
        match (self.action, self.key) {
            (KeyAction::Install, None) => Err("key size must be 16, 24 or 32 bytes"),
            (KeyAction::Install, Some(key)) => {
                if keyring.len() >= limits::KEYS && !keyring.contains(&key) {
                    return Err("the keyring is full: it holds 64 keys");
                }
                keyring.add(key);
                Ok(())
            }
            (KeyAction::Use, None) => Err(ABSENT),
            (KeyAction::Use, Some(key)) => keyring.use_primary(&key).map_err(|_| ABSENT),
            (KeyAction::Remove, Some(key)) => match keyring.remove(&key) {
                Ok(()) | Err(KeyringFault::Absent) => Ok(()),
                Err(KeyringFault::Primary) => Err("Removing the primary key is not allowed"),
            },
            (KeyAction::Remove, None) | (KeyAction::List, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    fn held(keyring: &Keyring) -> Vec<u8> {
        keyring.keys().iter().map(|key| key.as_bytes()[0]).collect()
    }

    #[test]
    fn a_keyring_changes_by_the_rules_of_serf() {
        let mut keyring = Keyring::new(vec![key(1)]);
        let mut apply = |action, key, keys: &[u8]| {
            let result = KeyQuery { action, key }.apply(&mut keyring);
            assert_eq!(held(&keyring), keys, "{action:?}");
            result
        };
        let absent = Err("requested key is not in the keyring");
        let primary = Err("Removing the primary key is not allowed");
        let size = Err("key size must be 16, 24 or 32 bytes");
        assert_eq!(apply(KeyAction::Use, Some(key(2)), &[1]), absent);
        assert_eq!(apply(KeyAction::Use, None, &[1]), absent);
        assert_eq!(apply(KeyAction::Install, None, &[1]), size);
        assert_eq!(apply(KeyAction::Install, Some(key(2)), &[1, 2]), Ok(()));
        assert_eq!(apply(KeyAction::Install, Some(key(2)), &[1, 2]), Ok(()));
        assert_eq!(apply(KeyAction::Remove, Some(key(1)), &[1, 2]), primary);
        assert_eq!(apply(KeyAction::Use, Some(key(2)), &[2, 1]), Ok(()));
        assert_eq!(apply(KeyAction::List, None, &[2, 1]), Ok(()));
        assert_eq!(apply(KeyAction::Remove, Some(key(2)), &[2, 1]), primary);
        assert_eq!(apply(KeyAction::Remove, Some(key(1)), &[2]), Ok(()));
        assert_eq!(apply(KeyAction::Remove, Some(key(1)), &[2]), Ok(()));
        assert_eq!(apply(KeyAction::Remove, None, &[2]), Ok(()));
    }

    #[test]
    fn a_keyring_holds_a_bounded_number_of_keys() {
        let mut keyring = Keyring::new((0..limits::KEYS as u8).map(key).collect());
        let mut install = |byte| {
            let (action, key) = (KeyAction::Install, Some(key(byte)));
            KeyQuery { action, key }.apply(&mut keyring)
        };
        assert_eq!(install(63), Ok(()));
        let full = Err("the keyring is full: it holds 64 keys");
        assert_eq!(install(64), full);
        assert_eq!(limits::KEYS, 64, "the message names the number");
    }
}
