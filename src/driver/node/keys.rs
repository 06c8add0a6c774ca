//! The keys of the cluster: all members install, use, remove or list them.

use super::Node;
use crate::driver::engine::command::{Command, KeyCommand};
use crate::driver::events::answers::KeyResult;
use crate::driver::events::completion::{Operation, Waiter};
use crate::driver::events::pending::Pending;
use crate::error::Result;
use crate::serf::KeyQuery;
use crate::wire::Key;
use std::time::Duration;

impl Node {
    /// Adds a key to the keyrings of all members, this node included. The key decrypts, and does
    /// not encrypt yet. Returns as soon as every member that was present has answered, or has
    /// failed or left, and at the latest after the timeout, which is by default that of a query.
    ///
    /// To change the key of a cluster, install the new key, then let all members use it, then
    /// remove the old key. Each step must have succeeded at all members before the next: a member
    /// that does not know the primary key of the others can no longer talk to them.
    ///
    /// In memberlist mode, this changes the keys of this node alone, because nodes cannot ask one
    /// another to change keys there: the program at each node learns of a new key in its own way.
    ///
    /// A member whose setting `keyring_file` is set stores its keys after each change; if that
    /// fails, it reports the failure, but has changed its keys. Every step can be repeated.
    ///
    /// # Errors
    /// `State` if this node does not encrypt, and in serf mode also once a leave has begun, or if
    /// 256 queries are under way; `Closed`; `Forked`; `Deadlock` on a thread that must not wait.
    pub fn install_key(&self, key: &Key, timeout: Option<Duration>) -> Result<KeyResult> {
        self.manage_keys(KeyQuery::install(key.clone()), timeout)
    }

    /// Makes an installed key the primary one at all members: from now on, it encrypts. See
    /// [`Node::install_key`].
    ///
    /// # Errors
    /// Same as [`Node::install_key`]; `State` also if this node does not hold the key.
    pub fn use_key(&self, key: &Key, timeout: Option<Duration>) -> Result<KeyResult> {
        self.manage_keys(KeyQuery::use_key(key.clone()), timeout)
    }

    /// Removes a key from the keyrings of all members. A member that does not hold it succeeds,
    /// too. See [`Node::install_key`].
    ///
    /// # Errors
    /// Same as [`Node::install_key`]; `State` also if the key is the primary key of this node.
    pub fn remove_key(&self, key: &Key, timeout: Option<Duration>) -> Result<KeyResult> {
        self.manage_keys(KeyQuery::remove(key.clone()), timeout)
    }

    /// Lists the keys of all members. The answer of a member with many keys may lack some of them,
    /// and says so.
    ///
    /// # Errors
    /// Same as [`Node::install_key`].
    pub fn list_keys(&self, timeout: Option<Duration>) -> Result<KeyResult> {
        self.manage_keys(KeyQuery::list(), timeout)
    }

    /// Sends a key query, and waits for its end. [`Node::install_key`] and the other three
    /// functions above call this one.
    ///
    /// # Errors
    /// Same as for these four functions.
    pub fn manage_keys(&self, query: KeyQuery, timeout: Option<Duration>) -> Result<KeyResult> {
        let manage = |waiter| self.key_command(query, timeout, waiter);
        let outcome = self.run(None, "the key query", manage)?;
        let problem = outcome.result.err();
        match (outcome.keys, problem) {
            (Some(report), problem) => Ok(KeyResult { report, problem }),
            (None, Some(error)) => Err(error),
            (None, None) => Err(self.running.lifecycle.end_error()),
        }
    }

    /// Like [`Node::manage_keys`], but does not wait: the returned value has a descriptor of its
    /// own to wait on. Its outcome has the answers, unless the query could not be sent.
    ///
    /// # Errors
    /// `Io` if the system refuses a descriptor; `Closed`; `Forked`.
    pub fn begin_manage_keys(&self, query: KeyQuery, timeout: Option<Duration>) -> Result<Pending> {
        self.start_pending(|waiter| self.key_command(query, timeout, waiter))
    }

    /// Like [`Node::manage_keys`], but does not wait: a `Done` event of this operation reports the
    /// end, with the answers, and with the error that names the members which have not done what
    /// was asked.
    ///
    /// # Errors
    /// `Closed`; `Forked`. No event follows such an error.
    pub fn manage_keys_async(
        &self,
        operation: Operation,
        query: KeyQuery,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let waiter = Waiter::Event(operation);
        self.running.send(self.key_command(query, timeout, waiter))
    }

    fn key_command(&self, query: KeyQuery, timeout: Option<Duration>, waiter: Waiter) -> Command {
        Command::Keys(KeyCommand::Manage {
            number: self.running.next_id(),
            query,
            timeout,
            waiter,
        })
    }
}
