//! Any message of mDNS is read or refused, the addresses in it are bounded, and what a node answers
//! is read as it was meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::driver::{Announced, Meaning, Notification, QuestionId, Service};

/// The largest number of addresses that one message announces.
const ADDRS: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let prod = Service::new("prod");
    let is_mentioned = prod.is_mentioned(bytes);
    let Some(Meaning::Notifications(all)) = prod.read(bytes, "a") else {
        return;
    };
    assert!(all.len() <= ADDRS);
    // A name in a message may refer to the end of an earlier one, but its labels are whole.
    assert!(is_mentioned);
    for addr in all.iter().filter_map(|it| it.addr) {
        assert_ne!(addr.port(), 0);
        let node = Announced { name: "b", addr };
        let answer = prod
            .answer(QuestionId(7), &node)
            .expect("an answer is short");
        match prod.read(&answer, "a") {
            Some(Meaning::Notifications(read)) => {
                assert!(matches!(read[..], [Notification { addr: Some(it), .. }] if it == addr));
            }
            other => panic!("{other:?}"),
        }
    }
});
