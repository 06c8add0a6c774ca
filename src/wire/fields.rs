//! The codecs of fields: each reads, checks and writes one kind of value.
//!
//! A value that passes its codec is safe to store. A name is UTF-8 without NUL: any other name is
//! escaped, or refused if there is no room for its escaped text. Names, addresses, version vectors
//! and meta have valid lengths; lists are not longer than their bounds in [`crate::limits`], if
//! they have any. Other bytes are not checked. Each row of a message names its codec (see
//! [`super::record`]).

use super::{Reader, Refusal, msgpack, wire_name};
use crate::limits;
use std::marker::PhantomData;

/// The codec of a field that holds a `Value`.
pub(super) trait Field<'a, Value> {
    /// The value as it was read. Its default stands for a missing field.
    type Raw: Default;

    /// Reads one msgpack value.
    ///
    /// # Errors
    /// The reason for which the whole message is refused.
    fn read(reader: &mut Reader<'a>) -> Result<Self::Raw, Refusal>;

    /// Checks the value that was read, or the default of a missing field.
    ///
    /// # Errors
    /// The reason for which the record that holds the field is refused.
    fn check(raw: Self::Raw) -> Result<Value, Refusal>;

    /// Appends the value.
    fn put(out: &mut Vec<u8>, value: &Value);

    /// Returns true if the field is to be written.
    fn is_written(_value: &Value) -> bool {
        true
    }
}

/// Declares codecs by rows: name, the type that is read, the type of the value, and the functions
/// that read, check and write it.
macro_rules! codecs {
    ($(
        $(#[$doc:meta])*
        $codec:ident($raw:ty) -> $value:ty: $read:path, $check:path, $put:path;
    )+) => {$(
        $(#[$doc])*
        pub(super) enum $codec {}

        impl<'a> $crate::wire::fields::Field<'a, $value> for $codec {
            type Raw = $raw;

            #[inline]
            fn read(
                reader: &mut $crate::wire::Reader<'a>,
            ) -> Result<$raw, $crate::wire::Refusal> {
                $read(reader)
            }

            #[inline]
            fn check(raw: $raw) -> Result<$value, $crate::wire::Refusal> {
                $check(raw)
            }

            #[inline]
            fn put(out: &mut Vec<u8>, value: &$value) {
                $put(out, value);
            }
        }
    )+};
}

pub(super) use codecs;

codecs! {
    /// A bool; 0 and 1 are read as well.
    Boolean(bool) -> bool: msgpack::boolean, Ok, put_boolean;
    /// Bytes where nil and empty mean the same.
    Bytes(&'a [u8]) -> &'a [u8]: bytes, Ok, msgpack::put_raw;
    /// Bytes, or nil.
    Payload(Option<&'a [u8]>) -> Option<&'a [u8]>: msgpack::bytes, Ok, put_payload;
    /// The name of a node.
    Name(ReadName<'a>) -> &'a str: read_name, check_name, put_name;
    /// The name of a node, or nothing.
    NameOrNone(&'a str) -> &'a str: name_or_none, Ok, put_name;
    /// An address of 4 or 16 bytes.
    Address(&'a [u8]) -> &'a [u8]: bytes, check_address, msgpack::put_raw;
    /// An address of 4 or 16 bytes, or nothing.
    AddressOrNone(&'a [u8]) -> &'a [u8]: address_or_none, Ok, msgpack::put_raw;
    /// The meta of a node.
    Meta(Option<&'a [u8]>) -> Option<&'a [u8]>: msgpack::bytes, check_meta, put_payload;
    /// The version vector of a node: six bytes, or nothing if it announces none.
    Versions(&'a [u8]) -> &'a [u8]: bytes, check_versions, put_versions;
    /// The number of bytes after the map.
    Length(i64) -> usize: msgpack::number, check_length, put_length;
    /// A value of any kind that means nothing here; it is written as empty text.
    Unused(()) -> (): msgpack::skip, Ok, put_unused;
}

/// An integer, which may have any width on the wire but must fit the type of its field.
pub(super) enum Number {}

impl<'a, T> Field<'a, T> for Number
where
    T: Copy + Default + TryFrom<i128> + Into<i128>,
{
    type Raw = T;

    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<T, Refusal> {
        msgpack::number(reader)
    }

    #[inline]
    fn check(raw: T) -> Result<T, Refusal> {
        Ok(raw)
    }

    #[inline]
    fn put(out: &mut Vec<u8>, value: &T) {
        msgpack::put_number(out, *value);
    }
}

/// Reads and writes a field by the codec `C`, but does not write a default value.
pub(super) struct Omitted<C>(PhantomData<C>);

impl<'a, Value: Default + PartialEq, C: Field<'a, Value>> Field<'a, Value> for Omitted<C> {
    type Raw = C::Raw;

    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<C::Raw, Refusal> {
        C::read(reader)
    }

    #[inline]
    fn check(raw: C::Raw) -> Result<Value, Refusal> {
        C::check(raw)
    }

    #[inline]
    fn put(out: &mut Vec<u8>, value: &Value) {
        C::put(out, value);
    }

    #[inline]
    fn is_written(value: &Value) -> bool {
        *value != Value::default()
    }
}

/// Reads `count` items; `item` reads one, and returns `None` to leave it out. `count` is the
/// sender's claim, so it is compared with `bound`, and memory is reserved for no more items than
/// the rest of the input can hold. Each item takes at least `least` bytes; `usize::MAX` means that
/// no memory is reserved.
///
/// # Errors
/// [`Refusal::TooLarge`] above the bound, and the refusals of `item`.
pub(super) fn items<'a, T>(
    reader: &mut Reader<'a>,
    count: u32,
    bound: usize,
    least: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<Option<T>, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let count = count as usize;
    if count > bound {
        return Err(Refusal::TooLarge);
    }
    let mut items = Vec::with_capacity(count.min(reader.remaining() / least));
    for _ in 0..count {
        if let Some(item) = item(reader)? {
            items.push(item);
        }
    }
    Ok(items)
}

/// Appends a list; `put` appends one item.
pub(super) fn put_items<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    msgpack::put_list(out, msgpack::count(items.len()));
    for item in items {
        put(out, item);
    }
}

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

/// The name of a node as it was read. An invalid name is refused only when its whole record is
/// checked, so that a list can leave out the record.
pub(super) struct ReadName<'a>(Result<&'a str, Refusal>);

impl Default for ReadName<'_> {
    fn default() -> Self {
        ReadName(Err(Refusal::NameLength))
    }
}

/// Reads the name of a node that must have one.
#[inline]
pub(super) fn read_name<'a>(reader: &mut Reader<'a>) -> Result<ReadName<'a>, Refusal> {
    let name = bytes(reader)?;
    Ok(ReadName(to_name(reader, name)))
}

/// Checks the name of a node that must have one.
#[inline]
pub(super) fn check_name(name: ReadName<'_>) -> Result<&str, Refusal> {
    name.0
}

#[inline]
fn to_name<'a>(reader: &Reader<'a>, name: &'a [u8]) -> Result<&'a str, Refusal> {
    match name.len() {
        1..=limits::NAME_LEN => reader.name(name),
        _ => Err(Refusal::NameLength),
    }
}

/// Appends the name of a node.
#[inline]
pub(super) fn put_name(out: &mut Vec<u8>, name: &str) {
    msgpack::put_raw(out, &wire_name::to_bytes(name));
}

#[inline]
fn check_address(value: &[u8]) -> Result<&[u8], Refusal> {
    match value.len() {
        4 | 16 => Ok(value),
        _ => Err(Refusal::AddressLength),
    }
}

#[inline]
fn check_versions(value: &[u8]) -> Result<&[u8], Refusal> {
    match value.len() {
        0 | 6 => Ok(value),
        _ => Err(Refusal::VersionLength),
    }
}

#[inline]
fn check_meta(value: Option<&[u8]>) -> Result<Option<&[u8]>, Refusal> {
    match value {
        Some(meta) if meta.len() > limits::REMOTE_META_LEN => Err(Refusal::MetaLength),
        Some(_) | None => Ok(value),
    }
}

fn check_length(value: i64) -> Result<usize, Refusal> {
    match usize::try_from(value) {
        Ok(length) if length <= limits::USER_STATE_LEN => Ok(length),
        Ok(_) | Err(_) => Err(Refusal::TooLarge),
    }
}

/// Reads bytes where nil and empty mean the same.
#[inline]
pub(super) fn bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    msgpack::bytes(reader).map(Option::unwrap_or_default)
}

#[inline]
fn name_or_none<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Refusal> {
    match bytes(reader)? {
        [] => Ok(""),
        name => to_name(reader, name),
    }
}

#[inline]
fn address_or_none<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    match bytes(reader)? {
        [] => Ok(&[]),
        address => check_address(address),
    }
}

/// Appends six bytes or nil. A vector of one to five bytes crashes a process of memberlist 0.2.2,
/// so only vectors of six bytes are written.
fn put_versions(out: &mut Vec<u8>, value: &[u8]) {
    let length = value.len();
    debug_assert!(
        matches!(length, 0 | 6),
        "a version vector of {length} bytes"
    );
    msgpack::put_bytes(out, (length == 6).then_some(value));
}

fn put_boolean(out: &mut Vec<u8>, value: &bool) {
    msgpack::put_bool(out, *value);
}

fn put_payload(out: &mut Vec<u8>, value: &Option<&[u8]>) {
    msgpack::put_bytes(out, *value);
}

fn put_length(out: &mut Vec<u8>, value: &usize) {
    msgpack::put_number(out, *value as u64);
}

fn put_unused(out: &mut Vec<u8>, (): &()) {
    msgpack::put_text(out, "");
}
