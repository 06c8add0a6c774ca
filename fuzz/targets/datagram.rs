//! Any datagram is refused or decoded, and a decoded message is the same after it is written and
//! read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::wire::message::Message;
use sprat::wire::serf_message::{
    ConflictResponse, KeyRequest, KeyResponse, SerfMessage, decode_tags, encode_tags,
};
use sprat::wire::{Codec, packet};

fuzz_target!(|bytes: &[u8]| {
    let Ok(opened) = packet::open(&Codec::default(), bytes) else {
        return;
    };
    packet::walk(opened.as_bytes(), &mut |part| {
        if let Ok(message) = part.and_then(Message::decode) {
            check(message);
        }
    });
});

fn check(message: Message) {
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(Message::decode(&written), Ok(message));
    match message {
        Message::User(content) => check_serf(content),
        Message::Alive(alive) => check_tags(alive.meta.unwrap_or_default()),
        _ => {}
    }
}

fn check_serf(content: &[u8]) {
    if let Ok(message) = SerfMessage::decode(content) {
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(SerfMessage::decode(&written).as_ref(), Ok(&message));
        match message {
            SerfMessage::Query(query) => check_keys(query.payload.unwrap_or_default()),
            SerfMessage::QueryResponse(response) => {
                let payload = response.payload.unwrap_or_default();
                check_keys(payload);
                check_vote(payload);
            }
            _ => {}
        }
    }
}

/// Checks a payload that may be a request about keys or the answer to one.
fn check_keys(payload: &[u8]) {
    if let Ok(request) = KeyRequest::decode(payload) {
        assert!(KeyRequest::decode(&request.encoded()).is_ok_and(|again| again == request));
    }
    if let Ok(response) = KeyResponse::decode(payload) {
        assert!(KeyResponse::decode(&response.encoded()).is_ok_and(|again| again == response));
    }
}

/// Checks a payload that may be a vote about a name. A vote without tags is read, but never sent.
fn check_vote(payload: &[u8]) {
    let Ok(vote) = ConflictResponse::decode(payload) else {
        return;
    };
    if vote.is_none_or(|vote| !vote.tags.is_empty()) {
        let again = ConflictResponse::encoded(vote.as_ref());
        assert_eq!(ConflictResponse::decode(&again), Ok(vote));
    }
}

fn check_tags(meta: &[u8]) {
    let tags = decode_tags(meta, &mut |_| ());
    let again = decode_tags(&encode_tags(&tags), &mut |why| panic!("{why:?}"));
    assert_eq!(again, tags);
}
