//! A connection of HAProxy's SPOE that comes in pieces: however it is cut, the answers are the
//! same, and bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::service::Actions;
use sprat::service::spoe::questions::Known;
use sprat::service::spoe::session::Session;

/// Bytes of answers for a byte that is heard, and those that every connection gets.
const ANSWERS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = converse(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(1 + usize::from(cut)).collect();
    assert_eq!(converse(&pieces), whole);
    assert!(whole.0.len() <= ANSWERS * (bytes.len() + 2));
});

/// All answers of a session that gets these pieces one by one, and whether it ends the connection.
fn converse(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut session, known) = (Session::default(), Known::default());
    let (mut actions, mut input) = (Actions::default(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        let consumed = session.read(&input, &known, &mut actions);
        input.drain(..consumed);
        if actions.end.is_some() {
            break;
        }
    }
    (actions.bytes, actions.end.is_some())
}
