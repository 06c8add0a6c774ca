//! The frames of HAProxy, and the frames of this side (the agent).

use super::wire::{Malformed, Reader, Value, put_number, put_text, put_value};
use crate::service::Fault;

/// The version of the protocol.
pub const VERSION: &str = "2.0";
/// The smallest frame size that the specification allows.
pub const SIZE_MIN: u64 = 256;
/// The largest frame size that this side accepts, whatever HAProxy is configured for.
pub const SIZE_MAX: u64 = 256 * 1024;

/// The reason why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// One side is done.
    Normal = 0,
    /// A frame is larger than the size that both sides have agreed on, or than [`SIZE_MAX`] before
    /// that.
    TooBig = 3,
    /// A frame cannot be read, or comes at the wrong time.
    Invalid = 4,
    /// HELLO names no version.
    NoVersion = 5,
    /// HELLO names no frame size.
    NoFrameSize = 6,
    /// HELLO names no capabilities.
    NoCapabilities = 7,
    /// HELLO names only unknown versions.
    BadVersion = 8,
    /// The frame size is out of range.
    BadFrameSize = 9,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Status::Normal => "normal",
            Status::TooBig => "frame is too big",
            Status::Invalid => "invalid frame received",
            Status::NoVersion => "version value not found",
            Status::NoFrameSize => "max-frame-size value not found",
            Status::NoCapabilities => "capabilities value not found",
            Status::BadVersion => "unsupported version",
            Status::BadFrameSize => "max-frame-size too big or too small",
        }
    }

    /// Returns the fault for the log.
    pub fn fault(self) -> Fault {
        let only_haproxy = "Let only the SPOE of HAProxy connect to the address in `spoe_bind`.";
        let size = "Set max-frame-size in the section spoe-agent of HAProxy to at most 262144.";
        let (help, advice) = match self {
            Status::Normal => ("The conversation is complete.", None),
            Status::TooBig => ("A frame is larger than allowed.", Some(only_haproxy)),
            Status::Invalid => (
                "A frame cannot be read, has too many questions, or comes at the wrong time.",
                Some(only_haproxy),
            ),
            Status::NoVersion => ("The greeting names no version.", Some(only_haproxy)),
            Status::NoFrameSize => ("The greeting names no frame size.", Some(only_haproxy)),
            Status::NoCapabilities => ("The greeting names no capabilities.", Some(only_haproxy)),
            Status::BadVersion => (
                "The greeting does not name version 2.0 of the protocol.",
                Some("Use HAProxy 1.8 or later."),
            ),
            Status::BadFrameSize => (
                "The frame size in the greeting is not between 256 and 262144 bytes.",
                Some(size),
            ),
        };
        Fault { help, advice }
    }
}

/// A question: its name and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name that `spoe-message` gives to the question.
    pub name: String,
    /// The arguments in their order. An unnamed argument has an empty name.
    pub arguments: Vec<(String, Value)>,
}

impl Message {
    /// The argument of this name.
    pub fn argument(&self, name: &str) -> Option<&Value> {
        let mut all = self.arguments.iter();
        all.find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// A frame of HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The greeting.
    Hello {
        /// The largest frame that HAProxy accepts.
        size: u64,
        /// True if HAProxy only checks whether a program answers.
        is_check: bool,
    },
    /// Questions about one stream.
    Notify {
        /// The number of the stream. The answer repeats it.
        stream: u64,
        /// The number of the frame in the stream. The answer repeats it.
        frame: u64,
        /// The questions.
        messages: Vec<Message>,
    },
    /// The end of the connection.
    Disconnect,
    /// A frame of a kind that this version does not know.
    Unknown,
}

const FIN: u32 = 1;

mod kind {
    pub const HELLO: u8 = 1;
    pub const DISCONNECT: u8 = 2;
    pub const NOTIFY: u8 = 3;
    pub const AGENT_HELLO: u8 = 101;
    pub const AGENT_DISCONNECT: u8 = 102;
    pub const ACK: u8 = 103;
}

/// Reads a frame without its length field.
pub fn read(frame: &[u8]) -> Result<Incoming, Status> {
    let mut reader = Reader(frame);
    let head = (|| {
        let kind = reader.byte()?;
        let flags = reader.bytes(4)?.try_into().map_err(|_| Malformed)?;
        Ok((
            kind,
            u32::from_be_bytes(flags),
            reader.number()?,
            reader.number()?,
        ))
    })();
    let (kind, flags, stream, frame) = head.map_err(|_: Malformed| Status::Invalid)?;
    if flags & FIN == 0 {
        return Err(Status::Invalid); // this side does not announce that it understands fragments
    }
    match kind {
        kind::HELLO => hello(reader),
        kind::DISCONNECT => Ok(Incoming::Disconnect),
        kind::NOTIFY => {
            let messages = messages(reader).map_err(|Malformed| Status::Invalid)?;
            Ok(Incoming::Notify {
                stream,
                frame,
                messages,
            })
        }
        _ => Ok(Incoming::Unknown),
    }
}

fn hello(reader: Reader<'_>) -> Result<Incoming, Status> {
    let pairs = pairs(reader).map_err(|Malformed| Status::Invalid)?;
    let find = |wanted: &[u8]| {
        pairs
            .iter()
            .find(|(key, _)| *key == wanted)
            .map(|(_, it)| it)
    };
    let Some(versions) = find(b"supported-versions").and_then(Value::text) else {
        return Err(Status::NoVersion);
    };
    let known = |version: &str| version.trim().starts_with("2.");
    if !versions.split(',').any(known) {
        return Err(Status::BadVersion);
    }
    let Some(Value::Uint(size)) = find(b"max-frame-size") else {
        return Err(Status::NoFrameSize);
    };
    if find(b"capabilities").is_none() {
        return Err(Status::NoCapabilities);
    }
    if !(SIZE_MIN..=SIZE_MAX).contains(size) {
        return Err(Status::BadFrameSize);
    }
    Ok(Incoming::Hello {
        size: *size,
        is_check: find(b"healthcheck") == Some(&Value::Bool(true)),
    })
}

fn pairs(mut reader: Reader<'_>) -> Result<Vec<(&[u8], Value)>, Malformed> {
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        pairs.push((reader.text()?, reader.value()?));
    }
    Ok(pairs)
}

fn messages(mut reader: Reader<'_>) -> Result<Vec<Message>, Malformed> {
    let mut messages = Vec::new();
    while !reader.is_empty() {
        let name = name(reader.text()?)?;
        let mut arguments = Vec::new();
        for _ in 0..reader.byte()? {
            arguments.push((self::name(reader.text()?)?, reader.value()?));
        }
        messages.push(Message { name, arguments });
    }
    Ok(messages)
}

fn name(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

/// A variable that an answer sets in the scope of the transaction.
pub type Variable = (&'static str, Value);

/// The greeting of this side, with its length field. It repeats the frame size that HAProxy named,
/// because HAProxy 2.6 would not keep to a smaller size.
pub fn agent_hello(size: u64, is_check: bool) -> Vec<u8> {
    let capabilities = if is_check { "" } else { "pipelining" };
    let mut payload = Vec::new();
    let pairs = [
        ("version", Value::Text(VERSION.into())),
        ("max-frame-size", Value::Uint(size)),
        ("capabilities", Value::Text(capabilities.into())),
    ];
    for (key, value) in pairs {
        put_text(&mut payload, key.as_bytes());
        put_value(&mut payload, &value);
    }
    whole(kind::AGENT_HELLO, 0, 0, &payload)
}

/// The frame that ends a connection, with its length field.
pub fn agent_disconnect(status: Status) -> Vec<u8> {
    let mut payload = Vec::new();
    let pairs = [
        ("status-code", Value::Uint(status as u64)),
        ("message", Value::Text(status.text().into())),
    ];
    for (key, value) in pairs {
        put_text(&mut payload, key.as_bytes());
        put_value(&mut payload, &value);
    }
    whole(kind::AGENT_DISCONNECT, 0, 0, &payload)
}

/// The answer to the questions of a frame, with its length field.
pub fn ack(stream: u64, frame: u64, variables: &[Variable]) -> Vec<u8> {
    const SET: u8 = 1;
    const ARGUMENTS: u8 = 3;
    const TRANSACTION: u8 = 2;
    let mut payload = Vec::new();
    for (name, value) in variables {
        payload.extend_from_slice(&[SET, ARGUMENTS, TRANSACTION]);
        put_text(&mut payload, name.as_bytes());
        put_value(&mut payload, value);
    }
    whole(kind::ACK, stream, frame, &payload)
}

fn whole(kind: u8, stream: u64, frame: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.push(kind);
    out.extend_from_slice(&FIN.to_be_bytes());
    put_number(&mut out, stream);
    put_number(&mut out, frame);
    out.extend_from_slice(payload);
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}
