//! The kinds of fields that messages are made of, each with its bound.
//!
//! What passes here is safe to store and to show: text is UTF-8 without NUL, names, addresses,
//! version vectors and meta have lengths that make sense. Whoever decodes a message reads its
//! values through this file and nowhere else.

use super::{Reader, Refusal, msgpack};
use crate::limits;

/// Checks text: UTF-8 without NUL, so that it survives in C programs and in logs.
#[inline]
pub(super) fn check_text(value: &[u8]) -> Result<&str, Refusal> {
    let value = std::str::from_utf8(value).map_err(|_| Refusal::Utf8)?;
    if value.as_bytes().contains(&0) {
        Err(Refusal::Utf8)
    } else {
        Ok(value)
    }
}

/// Checks the name of a node that must have one.
#[inline]
pub(super) fn check_name(value: &[u8]) -> Result<&str, Refusal> {
    match value.len() {
        1..=limits::NAME_LEN => check_text(value),
        _ => Err(Refusal::NameLength),
    }
}

/// Checks an address: 4 or 16 bytes.
#[inline]
pub(super) fn check_address(value: &[u8]) -> Result<&[u8], Refusal> {
    match value.len() {
        4 | 16 => Ok(value),
        _ => Err(Refusal::AddressLength),
    }
}

/// Checks a version vector: six bytes, or none from a node that announces nothing.
#[inline]
pub(super) fn check_versions(value: &[u8]) -> Result<&[u8], Refusal> {
    match value.len() {
        0 | 6 => Ok(value),
        _ => Err(Refusal::VersionLength),
    }
}

/// Checks meta.
#[inline]
pub(super) fn check_meta(value: Option<&[u8]>) -> Result<Option<&[u8]>, Refusal> {
    match value {
        Some(meta) if meta.len() > limits::REMOTE_META_LEN => Err(Refusal::MetaLength),
        Some(_) | None => Ok(value),
    }
}

/// Bytes where nil and empty mean the same.
#[inline]
pub(super) fn raw<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    msgpack::bytes(reader).map(Option::unwrap_or_default)
}

/// Text; nil is empty.
#[inline]
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Refusal> {
    check_text(raw(reader)?)
}

/// The name of a node, which may be empty.
#[inline]
pub(super) fn maybe_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Refusal> {
    match raw(reader)? {
        [] => Ok(""),
        name => check_name(name),
    }
}

/// An address, which may be absent.
#[inline]
pub(super) fn maybe_address<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    match raw(reader)? {
        [] => Ok(&[]),
        address => check_address(address),
    }
}
