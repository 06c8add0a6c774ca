//! Streams: [`StreamReader`] collects a request or an answer until it is complete and unwraps it;
//! [`seal`] wraps one.
//!
//! A stream carries at most one message each way. From outside in, it has a label header, which
//! only the side that dialled writes; an encrypted frame, if the message is encrypted; compression,
//! if it is used; and the message. A message without a frame has no length in front, so the reader
//! finds its end by scanning its msgpack values as they arrive. The reader scans each value once,
//! however the bytes are cut.

use super::fields::Length;
use super::lzw::{self, CompressCache, Pieces};
use super::message::kind;
use super::msgpack::Scan;
use super::push_pull::Header;
use super::record::{Body, Record, record};
use super::{Codec, Reader, Refusal};
use crate::limits;

record! {
    /// The header of a user message in its form for streams.
    struct UserHeader {
        length: usize => "UserMsgLen" Length,
    }
}

/// The side of a connection that this node is on. Only the dialler writes a label header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This node dialled: it sends a request and reads the answer.
    Dialled,
    /// This node was dialled: it reads the request and sends the answer.
    Accepted,
}

/// The part of the stream to which the next bytes belong.
#[derive(Clone, Copy, Debug)]
enum NextPart {
    /// The label header, or the type byte if there is none.
    Label,
    /// The type byte of the outermost layer.
    Kind,
    /// The encrypted frame after its type byte.
    Frame,
    /// The compress message, whose only value is being scanned.
    Compressed(Scan),
    /// A message without frame or compression.
    Plain(PlainPart),
    /// Nothing: the message was returned, or the stream was refused for this reason.
    Done(Option<Refusal>),
}

/// The part of a plain message that is being scanned.
#[derive(Clone, Copy, Debug)]
enum PlainPart {
    /// The first map: a whole message, or a header.
    Head(Scan),
    /// The nodes of a push/pull; the number is the length of the user state after them.
    Nodes(Scan, usize),
    /// This many raw bytes at the end.
    Raw(usize),
}

/// Collects the bytes of one stream until its single message is complete.
pub struct StreamReader {
    side: Side,
    next: NextPart,
    /// The bytes that have arrived, without the label header.
    buffer: Vec<u8>,
    /// The number of bytes in `buffer` that have been scanned and need not be scanned again.
    passed: usize,
}

impl StreamReader {
    /// Makes a reader for the given side.
    pub fn new(side: Side) -> StreamReader {
        StreamReader {
            side,
            next: NextPart::Label,
            buffer: Vec::new(),
            passed: 0,
        }
    }

    /// Takes bytes that arrived, and returns the message when it is complete: type byte first,
    /// without label, encryption and compression. It is a ping, ack, error, push/pull (with all
    /// nodes and user state) or user message (`08`, header map, content). After a message or an
    /// error, the reader is done: it ignores the bytes after a message, and refuses the bytes after
    /// an error for the same reason. `codec` must stay the same for one stream.
    ///
    /// # Errors
    /// The reason for which the stream is refused. The caller should close the stream. If this node
    /// accepted the stream, it should answer with an error message first.
    pub fn push(&mut self, codec: &Codec, bytes: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        if let NextPart::Done(refusal) = self.next {
            return refusal.map_or(Ok(None), Err);
        }
        // `Vec` would double a large buffer.
        if self.buffer.len() + bytes.len() > self.buffer.capacity() {
            self.buffer
                .reserve_exact(bytes.len().max(self.buffer.len() / 8));
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

    /// Returns the number of bytes that wait here for the rest of their message.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn end(&mut self, refusal: Option<Refusal>) {
        self.next = NextPart::Done(refusal);
        self.buffer = Vec::new();
    }

    /// Goes through the parts as far as the bytes allow.
    fn advance(&mut self, codec: &Codec) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            let passed = match self.next {
                NextPart::Label => self.label(codec)?,
                NextPart::Kind => self.kind(codec)?,
                NextPart::Frame => return self.frame(codec),
                NextPart::Compressed(scan) => return self.compressed(scan),
                NextPart::Plain(plain) => return self.plain(plain),
                NextPart::Done(_) => return Ok(None),
            };
            if !passed {
                return Ok(None);
            }
        }
    }

    /// Takes off the label header. Returns false if it is not complete yet.
    fn label(&mut self, codec: &Codec) -> Result<bool, Refusal> {
        let Some(first) = self.buffer.first() else {
            return Ok(false);
        };
        match self.side {
            // An answer has no label header, although its encryption authenticates the label.
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
        self.next = NextPart::Kind;
        Ok(true)
    }

    /// Chooses the next part by the type byte. Returns false if the type byte has not arrived yet.
    fn kind(&mut self, codec: &Codec) -> Result<bool, Refusal> {
        let Some(first) = self.buffer.first() else {
            return Ok(false);
        };
        let keys = !codec.keyring.is_empty();
        self.next = match *first {
            kind::ENCRYPTED if !keys => return Err(Refusal::UnexpectedEncryption),
            kind::ENCRYPTED => NextPart::Frame,
            _ if keys && codec.verify_incoming => return Err(Refusal::PlaintextRefused),
            kind::COMPRESS => NextPart::Compressed(Scan::new(1)),
            kind => {
                check_kind(self.side, kind)?;
                NextPart::Plain(PlainPart::Head(Scan::new(1)))
            }
        };
        self.passed = 1;
        Ok(true)
    }

    /// Decrypts the frame when it is complete: four bytes of length, then that many bytes.
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
            Some(_) => check_complete(self.side, plain).map(Some),
        }
    }

    /// Expands the compress message when it is complete.
    fn compressed(&mut self, mut scan: Scan) -> Result<Option<Vec<u8>>, Refusal> {
        let ended = self.pass(&mut scan)?;
        self.next = NextPart::Compressed(scan);
        if ended {
            inflated(self.side, &self.buffer).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Scans the bytes of a plain message that have arrived, part by part.
    fn plain(&mut self, mut plain: PlainPart) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            plain = match plain {
                PlainPart::Head(mut scan) => {
                    if !self.pass(&mut scan)? {
                        self.next = NextPart::Plain(PlainPart::Head(scan));
                        return Ok(None);
                    }
                    after_head(&self.buffer)?
                }
                PlainPart::Nodes(mut scan, user_state) => {
                    if !self.pass(&mut scan)? {
                        self.next = NextPart::Plain(PlainPart::Nodes(scan, user_state));
                        return Ok(None);
                    }
                    PlainPart::Raw(user_state)
                }
                PlainPart::Raw(length) => {
                    let end = self.passed + length;
                    self.next = NextPart::Plain(plain);
                    if self.buffer.len() < end {
                        return Ok(None);
                    }
                    self.buffer.truncate(end);
                    return Ok(Some(std::mem::take(&mut self.buffer)));
                }
            };
        }
    }

    /// Scans values. Returns true if the last one has ended. Also bounds the buffer: after the
    /// values, the reader only waits for raw bytes, whose number has a bound of its own.
    fn pass(&mut self, scan: &mut Scan) -> Result<bool, Refusal> {
        let (passed, ended) = scan.advance(&self.buffer[self.passed..])?;
        self.passed += passed;
        if !ended && self.buffer.len() > limits::STREAM_BUFFER_LEN {
            return Err(Refusal::TooLarge);
        }
        Ok(ended)
    }
}

/// Refuses a message that has no meaning on this side of a stream.
fn check_kind(side: Side, kind: u8) -> Result<(), Refusal> {
    let allowed = match side {
        Side::Dialled => matches!(kind, kind::ACK | kind::PUSH_PULL | kind::ERROR),
        Side::Accepted => matches!(kind, kind::PING | kind::PUSH_PULL | kind::USER),
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::UnknownType)
    }
}

/// Returns the part that follows the first map of a message, which begins with its type byte.
fn after_head(message: &[u8]) -> Result<PlainPart, Refusal> {
    let mut reader = Reader::new(message);
    Ok(match reader.u8()? {
        kind::PUSH_PULL => {
            let header = Header::decode(&mut reader)?;
            PlainPart::Nodes(Scan::new(header.nodes.into()), header.user_state)
        }
        kind::USER => PlainPart::Raw(UserHeader::decode(&mut reader)?.length),
        _ => PlainPart::Raw(0),
    })
}

/// Expands a compress message, and checks the message inside.
fn inflated(side: Side, message: &[u8]) -> Result<Vec<u8>, Refusal> {
    check_complete(side, lzw::expand(message, limits::INFLATED_STREAM_LEN)?)
}

/// Checks that `plain` begins with one whole message for this side, and cuts off the rest.
fn check_complete(side: Side, plain: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    check_kind(side, *plain.first().ok_or(Refusal::EmptyPart)?)?;
    let mut rest = StreamReader {
        side,
        next: NextPart::Plain(PlainPart::Head(Scan::new(1))),
        buffer: plain,
        passed: 1,
    };
    rest.plain(PlainPart::Head(Scan::new(1)))?
        .ok_or(Refusal::Truncated)
}

/// Returns the content of a stream's user message: the bytes after its `08` and header map.
///
/// # Errors
/// [`Refusal::UnknownType`], [`Refusal::Truncated`], [`Refusal::Msgpack`], [`Refusal::TooLarge`].
pub fn user_content(plain: &[u8]) -> Result<&[u8], Refusal> {
    let mut reader = Reader::new(plain);
    if reader.u8()? != kind::USER {
        return Err(Refusal::UnknownType);
    }
    let header = UserHeader::decode(&mut reader)?;
    reader.take(header.length)
}

/// Appends the beginning of a user message in its form for streams: `08` and a header map. The
/// content, of this length, follows.
pub fn put_user_header(out: &mut Vec<u8>, length: usize) {
    out.push(kind::USER);
    UserHeader { length }.put(out);
}

/// Appends a user message in its form for streams.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn put_user(out: &mut Vec<u8>, content: &[u8]) {
    put_user_header(out, content.len());
    out.extend_from_slice(content);
}

/// Wraps a message for a stream: compression and an encrypted frame, as `codec` says, and the label
/// header if `side` is the side that dialled. `nonce` is used only for encryption, and must not be
/// used twice with one key. `cache` may already hold the compressed form of the message.
pub fn seal(
    codec: &Codec,
    side: Side,
    plain: &Pieces<'_>,
    nonce: [u8; 12],
    cache: &mut CompressCache,
) -> Vec<u8> {
    let mut out = Vec::new();
    match side {
        Side::Dialled => codec.put_label(&mut out),
        Side::Accepted => {}
    }
    let mut put = |out: &mut Vec<u8>| match codec.compress {
        true => cache.put_compressed(out, plain),
        false => plain(&mut |piece| out.extend_from_slice(piece)),
    };
    if !codec.encrypts() {
        put(&mut out);
        return out;
    }
    let mut content = Vec::new();
    put(&mut content);
    let length = u32::try_from(content.len() + super::codec::SEAL_LEN).unwrap_or(u32::MAX);
    let mut header = [kind::ENCRYPTED; 5];
    header[1..].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&header);
    let aad = [&header, codec.label.as_slice()].concat();
    codec.keyring.seal(&mut out, &content, nonce, &aad);
    out
}

#[cfg(test)]
mod tests {
    use super::super::message::{Message, Ping};
    use super::super::push_pull::{NodeState, PushPull, PushPullNode};
    use super::super::{Key, Keyring};
    use super::*;

    fn ping() -> Vec<u8> {
        let mut out = Vec::new();
        Message::Ping(Ping {
            seq: 1,
            node: "n",
            source_addr: &[],
            source_port: 0,
            source_node: "",
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
    fn a_sealed_message_is_read_at_the_other_end_however_it_is_cut() {
        let plain = push_pull(3);
        for codec in codecs() {
            for (writer, side) in [
                (Side::Dialled, Side::Accepted),
                (Side::Accepted, Side::Dialled),
            ] {
                let sealed = seal(
                    &codec,
                    writer,
                    &|take| take(&plain),
                    [3; 12],
                    &mut CompressCache::default(),
                );
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
    fn each_side_accepts_only_its_own_kinds_of_messages() {
        let codec = Codec::default();
        for kind in 0..=255_u8 {
            let unknown = Err(Refusal::UnknownType);
            let waits = Ok(None);
            let accepted = match kind {
                0 | 6 | 8 | 9 => waits.clone(),
                10 => Err(Refusal::UnexpectedEncryption),
                // This label header is not complete yet.
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
                let sealed = seal(
                    &codec,
                    Side::Accepted,
                    &|take| take(&whole[..end]),
                    [3; 12],
                    &mut CompressCache::default(),
                );
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
    fn every_byte_of_a_long_push_pull_in_small_pieces_is_scanned_once() {
        let plain = push_pull(20_000);
        let codec = Codec::default();
        let mut reader = StreamReader::new(Side::Accepted);
        let mut pieces = plain.chunks(100).peekable();
        // A reader that scanned from the start for each of the 30,000 pieces would need minutes.
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
