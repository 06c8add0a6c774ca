//! Filling the report about a key query of this node with the answers of the members.

use crate::key_report::{KeyAnswer, KeyReport};
use crate::limits;
use crate::printable;
use crate::wire::Key;
use crate::wire::serf_message::KeyResponse;
use std::sync::Arc;

/// The maximum length of a member's message; the rest is cut off.
const MESSAGE_LEN: usize = 512;

impl KeyReport {
    /// Adds the answer of a member.
    pub(in crate::serf) fn add(&mut self, from: Arc<str>, payload: &[u8]) {
        let answer = match KeyResponse::decode(payload) {
            Ok(response) => {
                self.count_keys(&response);
                KeyAnswer {
                    done: response.result,
                    message: printable::text_up_to(response.message, MESSAGE_LEN),
                }
            }
            Err(why) => KeyAnswer {
                done: false,
                message: format!("the answer of the member was refused: {}", why.help()),
            },
        };
        self.answers.insert(from, answer);
    }

    /// Counts the keys of an answer, each once. A text that is not a key is left out, and so is a
    /// new key beyond the bound.
    fn count_keys(&mut self, response: &KeyResponse<'_>) {
        let key = |text: &[u8]| Key::from_base64(std::str::from_utf8(text).ok()?);
        let texts = response.keys.iter().flatten();
        let mut keys: Vec<Key> = texts.filter_map(|text| key(text)).collect();
        keys.sort_unstable();
        keys.dedup();
        let primary = key(response.primary_key);
        for key in keys {
            if self.keys.len() >= limits::ANSWERED_KEYS && !self.keys.contains_key(&key) {
                continue;
            }
            let is_primary = primary.as_ref() == Some(&key);
            let holders = self.keys.entry(key).or_default();
            holders.members += 1;
            holders.primary += usize::from(is_primary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_report::KeyHolders;

    fn answer(keys: Option<Vec<&[u8]>>, primary_key: &[u8]) -> Vec<u8> {
        let response = KeyResponse {
            result: true,
            message: b"",
            keys,
            primary_key,
        };
        response.encoded()
    }

    #[test]
    fn keys_and_primary_keys_are_counted_once_for_each_member() {
        const ONE: &[u8] = b"AQEBAQEBAQEBAQEBAQEBAQ==";
        const TWO: &[u8] = b"AgICAgICAgICAgICAgICAg==";
        let mut report = KeyReport::default();
        report.add("a".into(), &answer(Some(vec![ONE, TWO]), ONE));
        report.add(
            "b".into(),
            &answer(Some(vec![TWO, TWO, ONE, b"!", b"\xff"]), TWO),
        );
        report.add("old".into(), &answer(Some(vec![TWO]), b""));
        let keys: Vec<_> = report.keys.iter().collect();
        let holders = |members, primary| KeyHolders { members, primary };
        let key = |byte| Key::new(&[byte; 16]).unwrap();
        let expected = [(&key(1), &holders(2, 1)), (&key(2), &holders(3, 1))];
        assert_eq!(keys, expected);
        assert_eq!(report.failures().count(), 0);
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_a_failure_of_its_member() {
        let mut report = KeyReport::default();
        for (name, payload) in [("a", &b""[..]), ("b", b"\x07\x80"), ("c", b"\x08\x81")] {
            report.add(name.into(), payload);
        }
        assert_eq!(report.failures().count(), 3);
        let refused = &report.answers["a"].message;
        assert!(refused.contains("refused: A message or part"), "{refused}");
    }

    #[test]
    fn forged_lists_of_keys_take_bounded_memory() {
        let mut report = KeyReport::default();
        for first in 0..4u8 {
            let texts: Vec<_> = (0..1000u16)
                .map(|at| {
                    let mut bytes = [first; 16];
                    bytes[..2].copy_from_slice(&at.to_be_bytes());
                    Key::new(&bytes).unwrap().to_base64()
                })
                .collect();
            let keys = texts.iter().map(|text| text.as_bytes()).collect();
            report.add(first.to_string().into(), &answer(Some(keys), b""));
        }
        assert_eq!(report.keys.len(), limits::ANSWERED_KEYS);
    }
}
