//! The keys of this node, as key queries of the cluster, or its own program, change and list them.
//!
//! A change takes effect in memory at once. If the driver keeps a keyring file, the answer waits
//! until the driver has stored the keys, and reports a failure to do so; the change stays in memory
//! nevertheless, as in a stock agent.

use super::answering;
use crate::key_report::KeyReport;
use crate::limits;
use crate::printable;
use crate::serf::CoreEvent;
use crate::serf::event::{KeyChange, KeyStore};
use crate::serf::keys::query::KeyQuery;
use crate::serf::shared::asker::Asker;
use crate::serf::shared::common::Common;
use crate::sorted_map::SortedMap;
use crate::vocabulary::KeyAction;
use crate::wire::serf_message::KeyResponse;
use crate::wire::{Key, Keyring};
use std::sync::Arc;

/// The least length of a key in base64, with its length in front. The greatest number of keys that
/// a list can have follows from it, as in Serf.
const LISTED_KEY_LEN: usize = 25;

/// The maximum length of the driver's error message in an answer.
const MESSAGE_LEN: usize = 256;

/// The changes that end when the keys are stored.
#[derive(Default)]
pub(in crate::serf) struct Keys {
    /// By the number of the change.
    waiting: SortedMap<u64, Caller>,
    last: u64,
}

/// The one that lists or changes the keys of this node.
pub(in crate::serf) enum Caller {
    /// A member of the cluster, by a query.
    Member(Asker),
    /// The program of this node, in memberlist mode: nodes send no queries there, and each program
    /// learns of a new key in its own way. The number is that of [`CoreEvent::KeysDone`].
    Program(u64),
}

impl Keys {
    /// Lists or changes the keys, and answers. `keyring` is `None` if this node does not encrypt.
    pub fn manage(
        &mut self,
        common: &mut Common,
        keyring: Option<&mut Keyring>,
        caller: Caller,
        query: KeyQuery,
    ) {
        let action = query.action;
        let Some(keyring) = keyring else {
            let why = match action {
                KeyAction::List => "Keyring is empty (encryption not enabled)",
                _ => "No keyring to modify (encryption not enabled)",
            };
            return caller.answer(common, &done(Err(why)));
        };
        if action == KeyAction::List {
            return match caller.listed(common, keyring) {
                Some(list) => caller.answer(common, &list),
                None => common.out.counts.queries_unanswered += 1,
            };
        }
        let stores = common.config.store_keys;
        if stores && self.waiting.len() >= limits::KEY_CHANGES {
            return caller.refuse(common);
        }
        if let Err(why) = query.apply(keyring) {
            return caller.answer(common, &done(Err(why)));
        }
        let store = stores.then(|| {
            self.last += 1;
            let (number, keys) = (self.last, keyring.keys());
            KeyStore { number, keys }
        });
        let by = caller.name(common);
        let change = KeyChange { action, by, store };
        common.out.report(CoreEvent::KeysChanged(change));
        match stores {
            true => self.waiting.insert(self.last, caller),
            false => caller.answer(common, &done(Ok(()))),
        }
    }

    /// The driver has stored the keys, or failed to.
    pub fn on_stored(&mut self, common: &mut Common, number: u64, result: Result<(), &str>) {
        if let Some(caller) = self.waiting.remove(number) {
            caller.answer(common, &done(result));
        }
    }
}

impl Caller {
    fn name(&self, common: &Common) -> Arc<str> {
        match self {
            Caller::Member(asker) => asker.name.clone(),
            Caller::Program(_) => common.name.clone(),
        }
    }

    fn answer(&self, common: &mut Common, answer: &[u8]) {
        match *self {
            Caller::Member(ref asker) => answering::answer(common, asker, answer),
            Caller::Program(number) => {
                let mut report = KeyReport {
                    asked: 1,
                    ..KeyReport::default()
                };
                report.add(common.name.clone(), answer);
                common.out.report(CoreEvent::KeysDone { number, report });
            }
        }
    }

    /// Ends a change for which there is no room. A member sees no answer.
    fn refuse(&self, common: &mut Common) {
        match self {
            Caller::Member(_) => common.out.counts.queries_unanswered += 1,
            Caller::Program(_) => {
                self.answer(common, &done(Err("too many keys wait to be stored")))
            }
        }
    }

    /// Returns the list of the keys. If it is too long for the answer to a member, it has only the
    /// first of them, and a message says so. Returns `None` if not even a list without keys fits.
    fn listed(&self, common: &Common, keyring: &Keyring) -> Option<Vec<u8>> {
        let keys = keyring.keys();
        let all = keys.len();
        let Caller::Member(asker) = self else {
            return Some(list(&keys, all, ""));
        };
        let max = common.config.query_response_bytes;
        let fits = |list: &Vec<u8>| asker.encode(&common.name, 0, Some(list)).len() <= max;
        let truncated = |count: usize| {
            let text = format!("truncated key list response, showing first {count} of {all} keys");
            list(&keys, count, &text)
        };
        let most = all.min(max / LISTED_KEY_LEN);
        let mut lists =
            std::iter::once(list(&keys, all, "")).chain((0..=most).rev().map(truncated));
        lists.find(fits)
    }
}

/// Returns the answer to a change of keys.
fn done(result: Result<(), &str>) -> Vec<u8> {
    let message = result.err().unwrap_or_default();
    KeyResponse {
        result: result.is_ok(),
        message: printable::text_up_to(message.as_bytes(), MESSAGE_LEN).as_bytes(),
        keys: None,
        primary_key: b"",
    }
    .encoded()
}

/// Returns the answer that lists the first `count` of these keys, of which the first is the primary
/// one.
fn list(keys: &[Key], count: usize, message: &str) -> Vec<u8> {
    let texts: Vec<_> = keys.iter().map(|key| key.to_base64()).collect();
    let keys: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let primary_key = keys.first().copied().unwrap_or_default();
    KeyResponse {
        result: true,
        message: message.as_bytes(),
        keys: Some(keys[..count].to_vec()),
        primary_key,
    }
    .encoded()
}
