//! The keys of this node, as the key queries of a cluster change and list them.
//!
//! A change takes effect in memory at once. If the driver keeps a keyring file, the answer waits
//! until the driver has stored the keys, and reports a failure to do so; the change stays in memory
//! nevertheless, as in a stock agent.

pub(super) mod query;
pub(super) mod report;
#[cfg(test)]
mod tests;

use super::CoreEvent;
use super::common::Common;
use super::event::{KeyChange, KeyStore};
use super::queries::answering;
use super::queries::asker::Asker;
use crate::limits;
use crate::printable;
use crate::sorted_map::SortedMap;
use crate::vocabulary::KeyAction;
use crate::wire::Keyring;
use crate::wire::serf_message::KeyResponse;
use query::KeyQuery;

/// The minimum length of a key in base64, with its length in front. The maximum number of keys that
/// a list can have follows from it, as in Serf.
const LISTED_KEY_LEN: usize = 25;

/// The maximum number of bytes of the driver's error message that an answer carries.
const MESSAGE_LEN: usize = 256;

/// The queries whose answers wait until the keys are stored.
#[derive(Default)]
pub(super) struct Keys {
    /// By the number of the change.
    waiting: SortedMap<u64, Asker>,
    last: u64,
}

impl Keys {
    /// Carries out a key query and answers it. `keyring` is `None` if this node does not encrypt.
    pub fn on_query(
        &mut self,
        common: &mut Common,
        keyring: Option<&mut Keyring>,
        asker: Asker,
        query: KeyQuery,
    ) {
        let action = query.action;
        let Some(keyring) = keyring else {
            let why = match action {
                KeyAction::List => "Keyring is empty (encryption not enabled)",
                _ => "No keyring to modify (encryption not enabled)",
            };
            return answer(common, &asker, Err(why));
        };
        if action == KeyAction::List {
            return match listed(common, &asker, keyring) {
                Some(list) => answering::answer(common, &asker, &list),
                None => common.out.counts.queries_unanswered += 1,
            };
        }
        let stores = common.config.store_keys;
        if stores && self.waiting.len() >= limits::KEY_CHANGES {
            common.out.counts.queries_unanswered += 1;
            return;
        }
        if let Err(why) = query.apply(keyring) {
            return answer(common, &asker, Err(why));
        }
        let store = stores.then(|| {
            self.last += 1;
            let (number, keys) = (self.last, keyring.keys());
            KeyStore { number, keys }
        });
        let by = asker.name.clone();
        let change = KeyChange { action, by, store };
        common.out.report(CoreEvent::KeysChanged(change));
        match stores {
            true => self.waiting.insert(self.last, asker),
            false => answer(common, &asker, Ok(())),
        }
    }

    /// The keys are stored, or could not be.
    pub fn on_stored(&mut self, common: &mut Common, number: u64, result: Result<(), &str>) {
        if let Some(asker) = self.waiting.remove(number) {
            answer(common, &asker, result);
        }
    }
}

/// Answers a query that changes keys.
fn answer(common: &mut Common, asker: &Asker, result: Result<(), &str>) {
    let message = result.err().unwrap_or_default();
    let response = KeyResponse {
        result: result.is_ok(),
        message: printable::text_up_to(message.as_bytes(), MESSAGE_LEN).as_bytes(),
        keys: None,
        primary_key: b"",
    }
    .encoded();
    answering::answer(common, asker, &response);
}

/// Returns the list of the keys. If it is too long for an answer, it has only the first of them,
/// and a message says so. Returns `None` if not even a list without keys fits.
fn listed(common: &Common, asker: &Asker, keyring: &Keyring) -> Option<Vec<u8>> {
    let texts: Vec<_> = keyring.keys().iter().map(|key| key.to_base64()).collect();
    let keys: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let primary_key = keys.first().copied().unwrap_or_default();
    let list = |count: usize, message: &str| {
        let response = KeyResponse {
            result: true,
            message: message.as_bytes(),
            keys: Some(keys[..count].to_vec()),
            primary_key,
        };
        response.encoded()
    };
    let max = common.config.query_response_len;
    let fits = |list: &Vec<u8>| asker.encode(&common.name, 0, Some(list)).len() <= max;
    let (all, most) = (keys.len(), keys.len().min(max / LISTED_KEY_LEN));
    let truncated = |count: usize| {
        let text = format!("truncated key list response, showing first {count} of {all} keys");
        list(count, &text)
    };
    let mut lists = std::iter::once(list(all, "")).chain((0..=most).rev().map(truncated));
    lists.find(fits)
}
