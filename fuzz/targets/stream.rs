//! A stream that arrives in pieces has the same outcome however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::wire::message::PushPull;
use sprat::wire::serf_message::SerfPushPull;
use sprat::wire::stream::{Side, StreamReader};
use sprat::wire::{Codec, Refusal};

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let side = if cut & 1 == 0 {
        Side::Accepted
    } else {
        Side::Dialled
    };
    let whole = read(side, &[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(1 + usize::from(cut / 2)).collect();
    let outcome = read(side, &pieces);
    assert_eq!(outcome, whole);
    if let Ok(Some(plain)) = whole {
        if let Ok(state) = PushPull::decode(&plain) {
            check(&state);
        }
    }
});

/// Returns the first message or refusal of a reader that is given these pieces.
fn read(side: Side, pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, Refusal> {
    let (mut reader, codec) = (StreamReader::new(side), Codec::default());
    for piece in pieces {
        match reader.push(&codec, piece) {
            Ok(None) => {}
            said => return said,
        }
    }
    Ok(None)
}

fn check(state: &PushPull) {
    let mut written = Vec::new();
    state.encode(&mut written);
    assert_eq!(PushPull::decode(&written).as_ref(), Ok(state));
    if let Ok(state) = SerfPushPull::decode(state.user_state) {
        let mut written = Vec::new();
        state.encode(&mut written);
        assert!(SerfPushPull::decode(&written).is_ok());
    }
}
