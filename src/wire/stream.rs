//! Streams: a request or an answer is collected, unwrapped and handed over when it is complete.
//!
//! A stream carries one message each way. From outside in: a label header, written once by the
//! side that dialled; one encrypted frame, or none; compression; the message. A message without
//! frame has no length in front, so its end is found by passing its msgpack values as they arrive:
//! each is looked at once, however the bytes are cut.

use super::message::kind;
use super::msgpack::Scan;
use super::push_pull::Header;
use super::{Codec, Reader, Refusal, lzw, msgpack};
use crate::limits;

/// Which end of the connection this is: the dialler writes the label header, the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This node dialled: it sent a request and reads the answer.
    Dialled,
    /// This node was dialled: it reads the request and sends the answer.
    Accepted,
}

/// What the bytes that come next belong to.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The label header, or the type byte if there is none.
    Label,
    /// The type byte of the outermost layer.
    Kind,
    /// The encrypted frame behind its type byte.
    Frame,
    /// The compress message, whose only value is being passed.
    Compressed(Scan),
    /// A message without frame or compression.
    Plain(Plain),
    /// Handed over, or refused for this reason.
    Done(Option<Refusal>),
}

/// Where in a plain message the end of what is there lies.
#[derive(Clone, Copy, Debug)]
enum Plain {
    /// In the first map: a whole message, or a header.
    Head(Scan),
    /// Among the nodes of a push/pull; the number is the length of its user state.
    Nodes(Scan, usize),
    /// In this many raw bytes at the end.
    Raw(usize),
}

/// Collects what arrives on one stream until its single message is complete.
pub struct StreamReader {
    side: Side,
    phase: Phase,
    /// What has arrived, the label header already taken off.
    buffer: Vec<u8>,
    /// How much of it has been passed and need not be looked at again.
    passed: usize,
}

impl StreamReader {
    /// A reader for the given end.
    pub fn new(side: Side) -> StreamReader {
        StreamReader {
            side,
            phase: Phase::Label,
            buffer: Vec::new(),
            passed: 0,
        }
    }

    /// Takes bytes that arrived, and says whether the message is now complete. `Ok(Some(plain))` is
    /// the message, type byte first, label, encryption and compression removed: ping, ack, error,
    /// push/pull (all nodes and user state) or user (`08`, header map, content). After `Some` or
    /// an error nothing more is accepted: further bytes are ignored or refused for the same
    /// reason. `codec` must stay the same for one stream.
    ///
    /// # Errors
    /// Why the stream is refused; it should be answered with an error message and closed.
    pub fn push(&mut self, codec: &Codec, bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        if let Phase::Done(fate) = self.phase {
            return fate.map_or(Ok(None), Err);
        }
        self.buffer.extend_from_slice(bytes);
        let result = self.advance(codec);
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.end(None),
            Err(refusal) => self.end(Some(*refusal)),
        }
        result
    }

    /// How many bytes wait here for the rest of their message.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn end(&mut self, fate: Option<Refusal>) {
        self.phase = Phase::Done(fate);
        self.buffer = Vec::new();
    }

    /// Goes through the phases as far as the bytes allow.
    fn advance(&mut self, codec: &Codec) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            let went_on = match self.phase {
                Phase::Label => self.label(codec)?,
                Phase::Kind => self.kind(codec)?,
                Phase::Frame => return self.frame(codec),
                Phase::Compressed(scan) => return self.compressed(scan),
                Phase::Plain(plain) => return self.plain(plain),
                Phase::Done(_) => return Ok(None),
            };
            if !went_on {
                return Ok(None);
            }
        }
    }

    /// Takes the label header off when it is complete.
    fn label(&mut self, codec: &Codec) -> Result<bool, Refusal> {
        let Some(first) = self.buffer.first() else {
            return Ok(false);
        };
        match self.side {
            // An answer has no label header, although its encryption knows the label.
            Side::Dialled if *first == kind::LABEL => return Err(Refusal::Label),
            Side::Dialled => {}
            Side::Accepted => match codec.strip_label(&self.buffer) {
                Ok(rest) => {
                    let header = self.buffer.len() - rest.len();
                    self.buffer.drain(..header);
                }
                Err(Refusal::Truncated) => return Ok(false),
                Err(refusal) => return Err(refusal),
            },
        }
        self.phase = Phase::Kind;
        Ok(true)
    }

    /// Decides by the type byte.
    fn kind(&mut self, codec: &Codec) -> Result<bool, Refusal> {
        let Some(first) = self.buffer.first() else {
            return Ok(false);
        };
        let keys = !codec.keyring.is_empty();
        self.phase = match *first {
            kind::ENCRYPTED if !keys => return Err(Refusal::UnexpectedEncryption),
            kind::ENCRYPTED => Phase::Frame,
            _ if keys && codec.verify_incoming => return Err(Refusal::PlaintextRefused),
            kind::COMPRESS => Phase::Compressed(Scan::new(1)),
            kind => {
                expected(self.side, kind)?;
                Phase::Plain(Plain::Head(Scan::new(1)))
            }
        };
        self.passed = 1;
        Ok(true)
    }

    /// The encrypted frame: four bytes of length, then that many.
    fn frame(&mut self, codec: &Codec) -> Result<Option<Vec<u8>>, Refusal> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let [_, a, b, c, d] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > limits::STREAM_LEN {
            return Err(Refusal::TooLarge);
        }
        let Some(sealed) = rest.get(..length) else {
            return Ok(None);
        };
        let aad = [header, codec.label.as_slice()].concat();
        let plain = codec.keyring.open(sealed, &aad)?;
        match plain.first() {
            None => Err(Refusal::EmptyPart),
            Some(&kind::COMPRESS) => inflated(self.side, &plain).map(Some),
            Some(_) => complete(self.side, plain).map(Some),
        }
    }

    fn compressed(&mut self, mut scan: Scan) -> Result<Option<Vec<u8>>, Refusal> {
        let ended = self.pass(&mut scan)?;
        self.phase = Phase::Compressed(scan);
        if ended {
            inflated(self.side, &self.buffer).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A plain message: passes what is there, part by part.
    fn plain(&mut self, mut plain: Plain) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            plain = match plain {
                Plain::Head(mut scan) => {
                    if !self.pass(&mut scan)? {
                        self.phase = Phase::Plain(Plain::Head(scan));
                        return Ok(None);
                    }
                    behind_head(&self.buffer)?
                }
                Plain::Nodes(mut scan, user_state) => {
                    if !self.pass(&mut scan)? {
                        self.phase = Phase::Plain(Plain::Nodes(scan, user_state));
                        return Ok(None);
                    }
                    Plain::Raw(user_state)
                }
                Plain::Raw(length) => {
                    let end = self.passed + length;
                    self.phase = Phase::Plain(plain);
                    if self.buffer.len() < end {
                        return Ok(None);
                    }
                    self.buffer.truncate(end);
                    return Ok(Some(std::mem::take(&mut self.buffer)));
                }
            };
        }
    }

    /// Passes values, and says whether the last one has ended. The buffer is bounded here: behind
    /// the values only a length that has its own bound is waited for.
    fn pass(&mut self, scan: &mut Scan) -> Result<bool, Refusal> {
        let (passed, ended) = scan.advance(&self.buffer[self.passed..])?;
        self.passed += passed;
        if !ended && self.buffer.len() > limits::STREAM_BUFFER_LEN {
            return Err(Refusal::TooLarge);
        }
        Ok(ended)
    }
}

/// Refuses a message that has no meaning at this end of a stream.
fn expected(side: Side, kind: u8) -> Result<(), Refusal> {
    let fine = match side {
        Side::Dialled => matches!(kind, kind::ACK | kind::PUSH_PULL | kind::ERROR),
        Side::Accepted => matches!(kind, kind::PING | kind::PUSH_PULL | kind::USER),
    };
    if fine {
        Ok(())
    } else {
        Err(Refusal::UnknownType)
    }
}

/// What follows the first map of a message that begins with its type byte.
fn behind_head(message: &[u8]) -> Result<Plain, Refusal> {
    let mut reader = Reader::new(message);
    Ok(match reader.u8()? {
        kind::PUSH_PULL => {
            let header = Header::decode(&mut reader)?;
            Plain::Nodes(Scan::new(header.nodes.into()), header.user_state)
        }
        kind::USER => Plain::Raw(user_length(&mut reader)?),
        _ => Plain::Raw(0),
    })
}

fn inflated(side: Side, message: &[u8]) -> Result<Vec<u8>, Refusal> {
    complete(side, lzw::expand(message, limits::INFLATED_STREAM_LEN)?)
}

/// Checks that `plain` is one whole message for this end, and cuts off what is behind it.
fn complete(side: Side, plain: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    expected(side, *plain.first().ok_or(Refusal::EmptyPart)?)?;
    let mut rest = StreamReader {
        side,
        phase: Phase::Plain(Plain::Head(Scan::new(1))),
        buffer: plain,
        passed: 1,
    };
    rest.plain(Plain::Head(Scan::new(1)))?
        .ok_or(Refusal::Truncated)
}

/// The header of a stream's user message: how long its content is.
fn user_length(reader: &mut Reader<'_>) -> Result<usize, Refusal> {
    let mut length = 0_i64;
    msgpack::structure(reader, &["UserMsgLen"], |name, reader| {
        match name {
            b"UserMsgLen" => length = msgpack::number(reader)?,
            _ => msgpack::skip(reader)?,
        }
        Ok(())
    })?;
    match usize::try_from(length) {
        Ok(length) if length <= limits::USER_STATE_LEN => Ok(length),
        Ok(_) | Err(_) => Err(Refusal::TooLarge),
    }
}

/// The content of a stream's user message (its `08` and header map checked and removed).
///
/// # Errors
/// [`Refusal::UnknownType`], [`Refusal::Truncated`], [`Refusal::Msgpack`], [`Refusal::TooLarge`].
pub fn user_content(plain: &[u8]) -> Result<&[u8], Refusal> {
    let mut reader = Reader::new(plain);
    if reader.u8()? != kind::USER {
        return Err(Refusal::UnknownType);
    }
    let length = user_length(&mut reader)?;
    reader.take(length)
}

/// Appends a user message in its form for streams: `08`, header map, content.
pub fn put_user(out: &mut Vec<u8>, content: &[u8]) {
    super::message::head(out, kind::USER, 1);
    super::message::put_number(out, "UserMsgLen", content.len() as u64);
    out.extend_from_slice(content);
}

/// Wraps a stream message: compress always when on, encryption frame, label header if `side`
/// dialled. `nonce` is used only when there is a key, and must never repeat for it.
pub fn seal(codec: &Codec, side: Side, plain: &[u8], nonce: [u8; 12]) -> Vec<u8> {
    let mut out = Vec::with_capacity(codec.overhead() + 5 + plain.len());
    match side {
        Side::Dialled => codec.put_label(&mut out),
        Side::Accepted => {}
    }
    if !codec.encrypts() {
        if codec.compress {
            lzw::put_compressed(&mut out, plain);
        } else {
            out.extend_from_slice(plain);
        }
        return out;
    }
    let mut compressed = Vec::new();
    let content = if codec.compress {
        lzw::put_compressed(&mut compressed, plain);
        &compressed
    } else {
        plain
    };
    let length = u32::try_from(content.len() + super::codec::SEAL_LEN).unwrap_or(u32::MAX);
    let mut header = [kind::ENCRYPTED; 5];
    header[1..].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&header);
    let aad = [&header, codec.label.as_slice()].concat();
    codec.keyring.seal(&mut out, content, nonce, &aad);
    out
}

#[cfg(test)]
mod tests {
    use super::super::message::{Message, Ping, Source};
    use super::super::push_pull::{NodeState, PushPull, PushPullNode};
    use super::super::{Key, Keyring};
    use super::*;

    fn ping() -> Vec<u8> {
        let mut out = Vec::new();
        Message::Ping(Ping {
            seq: 1,
            node: "n",
            source: Source::default(),
        })
        .encode(&mut out);
        out
    }

    fn push_pull(nodes: usize) -> Vec<u8> {
        let node = PushPullNode {
            name: "n",
            addr: &[1; 4],
            port: 1,
            incarnation: 1,
            meta: Some(&[7; 100]),
            vsn: &[1, 5, 2, 2, 5, 5],
            state: NodeState::Alive,
        };
        let nodes = vec![node; nodes];
        let mut out = Vec::new();
        PushPull {
            join: true,
            nodes,
            user_state: b"user state",
        }
        .encode(&mut out);
        out
    }

    fn codecs() -> Vec<Codec> {
        let keyring = Keyring::new(vec![Key::new(&[1; 32]).unwrap()]);
        let mut codecs = vec![Codec::default()];
        for label in ["", "blue"] {
            for compress in [false, true] {
                for keyring in [Keyring::default(), keyring.clone()] {
                    codecs.push(Codec {
                        keyring,
                        label: label.into(),
                        compress,
                        verify_incoming: true,
                        verify_outgoing: true,
                        skip_label_check: false,
                    });
                }
            }
        }
        codecs
    }

    fn read(codec: &Codec, side: Side, bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        StreamReader::new(side).push(codec, bytes)
    }

    #[test]
    fn what_is_sealed_is_read_at_the_other_end_however_it_is_cut() {
        let plain = push_pull(3);
        for codec in codecs() {
            for (writer, side) in [
                (Side::Dialled, Side::Accepted),
                (Side::Accepted, Side::Dialled),
            ] {
                let sealed = seal(&codec, writer, &plain, [3; 12]);
                assert_eq!(read(&codec, side, &sealed), Ok(Some(plain.clone())));
                for cut in 0..sealed.len() {
                    let mut reader = StreamReader::new(side);
                    assert_eq!(
                        reader.push(&codec, &sealed[..cut]),
                        Ok(None),
                        "cut at {cut}"
                    );
                    assert_eq!(reader.push(&codec, &sealed[cut..]), Ok(Some(plain.clone())));
                }
            }
        }
    }

    #[test]
    fn nothing_is_accepted_after_the_message_or_an_error() {
        let codec = Codec::default();
        let mut reader = StreamReader::new(Side::Accepted);
        let with_more = [ping(), vec![1, 2, 3]].concat();
        assert_eq!(reader.push(&codec, &with_more), Ok(Some(ping())));
        assert_eq!(reader.push(&codec, &ping()), Ok(None));
        let mut reader = StreamReader::new(Side::Accepted);
        assert_eq!(reader.push(&codec, &[2]), Err(Refusal::UnknownType));
        assert_eq!(reader.push(&codec, &ping()), Err(Refusal::UnknownType));
    }

    #[test]
    fn each_end_takes_its_own_kinds_by_the_first_byte() {
        let codec = Codec::default();
        for kind in 0..=255_u8 {
            let unknown = Err(Refusal::UnknownType);
            let waits = Ok(None);
            let accepted = match kind {
                0 | 6 | 8 | 9 => waits.clone(),
                10 => Err(Refusal::UnexpectedEncryption),
                // A label header that is not complete yet.
                244 => waits.clone(),
                _ => unknown.clone(),
            };
            assert_eq!(read(&codec, Side::Accepted, &[kind]), accepted, "{kind}");
            let dialled = match kind {
                2 | 6 | 13 | 9 => waits,
                10 => Err(Refusal::UnexpectedEncryption),
                244 => Err(Refusal::Label),
                _ => unknown,
            };
            assert_eq!(read(&codec, Side::Dialled, &[kind]), dialled, "{kind}");
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header() {
        let keyring = Keyring::new(vec![Key::new(&[1; 32]).unwrap()]);
        let codec = Codec {
            keyring,
            ..Codec::default()
        };
        let header = |length: u32| [&[kind::ENCRYPTED][..], &length.to_be_bytes()].concat();
        let most = limits::STREAM_LEN as u32;
        assert_eq!(read(&codec, Side::Accepted, &header(most)), Ok(None));
        assert_eq!(
            read(&codec, Side::Accepted, &header(most + 1)),
            Err(Refusal::TooLarge)
        );
        assert_eq!(
            read(&codec, Side::Accepted, &header(0)),
            Err(Refusal::Undecryptable)
        );
    }

    #[test]
    fn a_message_that_ends_inside_its_frame_or_compression_is_refused() {
        let whole = push_pull(2);
        for codec in codecs()
            .into_iter()
            .filter(|codec| codec.compress || codec.encrypts())
        {
            for end in 1..whole.len() {
                let sealed = seal(&codec, Side::Accepted, &whole[..end], [3; 12]);
                assert_eq!(
                    read(&codec, Side::Dialled, &sealed),
                    Err(Refusal::Truncated)
                );
            }
        }
    }

    #[test]
    fn compression_inside_compression_is_refused() {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        lzw::put_compressed(&mut once, &ping());
        lzw::put_compressed(&mut twice, &once);
        let codec = Codec::default();
        assert_eq!(read(&codec, Side::Accepted, &once), Ok(Some(ping())));
        assert_eq!(
            read(&codec, Side::Accepted, &twice),
            Err(Refusal::UnknownType)
        );
    }

    #[test]
    fn endless_values_are_refused_at_the_bound_of_the_buffer() {
        let codec = Codec::default();
        let mut reader = StreamReader::new(Side::Accepted);
        // A ping whose first key claims four gigabytes.
        assert_eq!(reader.push(&codec, b"\0\x81\xdb\xff\xff\xff\xff"), Ok(None));
        let piece = vec![0; 1024 * 1024];
        let mut taken = 0;
        while reader.push(&codec, &piece) == Ok(None) {
            taken += piece.len();
            assert!(taken <= limits::STREAM_BUFFER_LEN);
        }
        assert_eq!(reader.push(&codec, &piece), Err(Refusal::TooLarge));
    }

    #[test]
    fn a_long_push_pull_in_small_pieces_is_looked_at_once() {
        let plain = push_pull(20_000);
        let codec = Codec::default();
        let mut reader = StreamReader::new(Side::Accepted);
        let mut pieces = plain.chunks(100).peekable();
        // With a scan from the start for each of the 30,000 pieces this would take minutes.
        let start = std::time::Instant::now();
        while let Some(piece) = pieces.next() {
            let expected = pieces.peek().is_none().then(|| plain.clone());
            assert_eq!(reader.push(&codec, piece), Ok(expected));
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
    }

    #[test]
    fn a_user_message_keeps_its_content() {
        let mut plain = Vec::new();
        put_user(&mut plain, b"content");
        let codec = Codec::default();
        assert_eq!(
            read(&codec, Side::Accepted, &plain),
            Ok(Some(plain.clone()))
        );
        assert_eq!(user_content(&plain), Ok(&b"content"[..]));
        assert_eq!(
            user_content(&plain[..plain.len() - 1]),
            Err(Refusal::Truncated)
        );
        assert_eq!(user_content(&ping()), Err(Refusal::UnknownType));
        let claim = b"\x08\x81\xaaUserMsgLen\xce\x01\x40\x00\x01";
        assert_eq!(read(&codec, Side::Accepted, claim), Err(Refusal::TooLarge));
    }
}
