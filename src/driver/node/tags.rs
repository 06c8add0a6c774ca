//! The description of this node that other members see: its tags, or its meta in memberlist mode.

use super::Node;
use crate::config::check_tag_key;
use crate::driver::engine::command::Command;
use crate::driver::events::completion::{Operation, Waiter};
use crate::driver::events::pending::Pending;
use crate::error::Result;
use crate::serf::Tags;
use std::collections::BTreeMap;
use std::time::Duration;

impl Node {
    /// Sets a tag of this node, or removes it if `value` is `None`.
    ///
    /// # Errors
    /// `Invalid` if the key is empty; `TooLarge` if the key exceeds 255 bytes or all tags together
    /// exceed 512 bytes; `State` in memberlist mode or once a leave has begun; `Closed`; `Forked`.
    /// After an error nothing has changed.
    pub fn set_tag(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.change_tags(vec![(key.to_owned(), value.map(str::to_owned))])
    }

    /// Sets some tags of this node, and removes those whose value is `None`, in one step: the other
    /// members see one update.
    ///
    /// # Errors
    /// Same as [`Node::set_tag`].
    pub fn update_tags(&self, changes: BTreeMap<String, Option<String>>) -> Result<()> {
        self.change_tags(changes.into_iter().collect())
    }

    fn change_tags(&self, changes: Vec<(String, Option<String>)>) -> Result<()> {
        let mut keys = changes.iter().map(|(key, _)| key);
        keys.try_for_each(|key| check_tag_key(key))?;
        self.change(|waiter| Command::UpdateTags { changes, waiter })
    }

    /// Replaces all tags of this node.
    ///
    /// # Errors
    /// Same as [`Node::set_tag`].
    pub fn set_tags(&self, tags: Tags) -> Result<()> {
        tags.keys().try_for_each(|key| check_tag_key(key))?;
        self.change(|waiter| Command::SetTags { tags, waiter })
    }

    /// Replaces the meta of this node.
    ///
    /// # Errors
    /// `TooLarge` if the meta exceeds 512 bytes; `State` in serf mode or once a leave has begun;
    /// `Closed`; `Forked`. After an error nothing has changed.
    pub fn set_meta(&self, meta: &[u8]) -> Result<()> {
        let meta = meta.to_vec();
        self.change(|waiter| Command::SetMeta { meta, waiter })
    }

    /// Waits until the last change of this node's tags, meta or address has been gossiped as often
    /// as the number of members requires. Returns at once if that has happened already, or if no
    /// other member is live. A change that is made during the wait is waited for, too. A `timeout`
    /// of `None` waits without limit.
    ///
    /// A member can still have missed all of the gossip; it learns of the change by push/pull.
    ///
    /// # Errors
    /// `State` once this node has begun to leave; `NameConflict` if another node has the name of
    /// this node; `Timeout`, after which the gossip goes on; `Closed`; `Forked`.
    pub fn spread(&self, timeout: Option<Duration>) -> Result<()> {
        let spread = |waiter| Command::Spread { waiter };
        self.run(timeout, "the gossip", spread)?.result.map(drop)
    }

    /// Like [`Node::spread`], but does not wait: a `Done` event of this operation reports the end.
    ///
    /// # Errors
    /// `Closed`, `Forked`; no event follows such an error.
    pub fn spread_async(&self, operation: Operation) -> Result<()> {
        let waiter = Waiter::Event(operation);
        self.running.send(Command::Spread { waiter })
    }

    /// Like [`Node::spread`], but does not wait: the returned value has a descriptor of its own to
    /// wait on.
    ///
    /// # Errors
    /// `Io` if the system refuses a descriptor, `Closed`, `Forked`.
    pub fn begin_spread(&self) -> Result<Pending> {
        self.start_pending(|waiter| Command::Spread { waiter })
    }
}
