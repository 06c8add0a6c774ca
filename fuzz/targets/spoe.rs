//! The input of an SPOE connection gets the same answers however it is cut into pieces, and the
//! length of the answers is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::service::Actions;
use sprat::service::servers::index::MemberIndex;
use sprat::service::spoe::session::Session;

/// The largest number of bytes in the answers for each byte of input.
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

/// Returns the answers of the server, and true if it closes the connection.
fn converse(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut session, known) = (Session::default(), MemberIndex::default());
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
