//! The old dialect of msgpack that the protocol uses, with one "raw" family for text and bytes.
//!
//! The `rmp` crate defines the markers, and writes bools, integers and the heads of lists and maps.
//! The rest is written here, because no crate writes or reads this dialect. Writing is strict: raw
//! forms only, the shortest unsigned integers, nil where memberlist and Serf write nil. Reading is
//! as liberal as their decoders: any width of numbers, the newer text and byte forms, nil as the
//! zero value, a struct as a map in any order (unknown keys are skipped) or as an array in
//! declaration order. Text and bytes borrow from the input.

use super::{Reader, Refusal};
use rmp::Marker;

/// The size of a msgpack value, as far as its first bytes show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The value ends after this many more bytes.
    Bytes(usize),
    /// The value holds this many other values, which follow.
    Values(u64),
}

/// Reads the head of a value: its marker and its length or count.
fn shape(reader: &mut Reader<'_>) -> Result<Shape, Refusal> {
    use Marker::*;
    Ok(match Marker::from_u8(reader.u8()?) {
        FixPos(_) | FixNeg(_) | Null | True | False => Shape::Bytes(0),
        U8 | I8 => Shape::Bytes(1),
        U16 | I16 => Shape::Bytes(2),
        U32 | I32 | F32 => Shape::Bytes(4),
        U64 | I64 | F64 => Shape::Bytes(8),
        FixStr(length) => Shape::Bytes(length.into()),
        Str8 | Bin8 => Shape::Bytes(reader.u8()?.into()),
        Str16 | Bin16 => Shape::Bytes(reader.u16()?.into()),
        Str32 | Bin32 => Shape::Bytes(reader.u32()? as usize),
        FixExt1 => Shape::Bytes(2),
        FixExt2 => Shape::Bytes(3),
        FixExt4 => Shape::Bytes(5),
        FixExt8 => Shape::Bytes(9),
        FixExt16 => Shape::Bytes(17),
        Ext8 => Shape::Bytes(usize::from(reader.u8()?) + 1),
        Ext16 => Shape::Bytes(usize::from(reader.u16()?) + 1),
        Ext32 => Shape::Bytes((reader.u32()? as usize).saturating_add(1)),
        FixArray(count) => Shape::Values(count.into()),
        Array16 => Shape::Values(reader.u16()?.into()),
        Array32 => Shape::Values(reader.u32()?.into()),
        FixMap(count) => Shape::Values(u64::from(count) * 2),
        Map16 => Shape::Values(u64::from(reader.u16()?) * 2),
        Map32 => Shape::Values(u64::from(reader.u32()?) * 2),
        Reserved => return Err(Refusal::Msgpack),
    })
}

/// Finds the end of msgpack values in a buffer that grows, without starting over each time.
///
/// It keeps only the number of values that are still missing, so nesting costs no memory. It
/// consumes a value, or the head of a list or map, once all bytes of it have arrived, and does not
/// read it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    missing: u64,
}

impl Scan {
    /// Makes a scan over `count` values.
    pub fn new(count: u64) -> Scan {
        Scan { missing: count }
    }

    /// Continues at the front of `bytes`. Returns the number of bytes that it has consumed, and
    /// true if the last value has ended. The next call must begin with the first byte that was not
    /// consumed.
    ///
    /// # Errors
    /// [`Refusal::Msgpack`] when the bytes are not msgpack.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let mut reader = Reader::new(bytes);
        while self.missing > 0 {
            let mut ahead = reader;
            let step = shape(&mut ahead).and_then(|shape| match shape {
                Shape::Bytes(length) => ahead.take(length).map(|_| 0),
                Shape::Values(count) => Ok(count),
            });
            match step {
                // Five bytes announce at most 2^33 values, so no input overflows 64 bits.
                Ok(more) => self.missing = self.missing - 1 + more,
                Err(Refusal::Truncated) => break,
                Err(refusal) => return Err(refusal),
            }
            reader = ahead;
        }
        Ok((bytes.len() - reader.remaining(), self.missing == 0))
    }
}

/// Skips one value of any kind and depth.
///
/// # Errors
/// [`Refusal::Truncated`] when it is incomplete, [`Refusal::Msgpack`] when it is not msgpack.
pub fn skip(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let (passed, ended) = Scan::new(1).advance(reader.rest())?;
    reader.take(passed)?;
    if ended {
        Ok(())
    } else {
        Err(Refusal::Truncated)
    }
}

/// Reads the length of a raw value, or `None` for nil.
#[inline]
fn raw_length(reader: &mut Reader<'_>) -> Result<Option<usize>, Refusal> {
    Ok(Some(match Marker::from_u8(reader.u8()?) {
        Marker::FixStr(length) => length.into(),
        Marker::Str8 | Marker::Bin8 => reader.u8()?.into(),
        Marker::Str16 | Marker::Bin16 => reader.u16()?.into(),
        Marker::Str32 | Marker::Bin32 => reader.u32()? as usize,
        Marker::Null => return Ok(None),
        _ => return Err(Refusal::Msgpack),
    }))
}

/// Reads a byte string in any raw, str or bin form, or `None` for nil.
///
/// # Errors
/// [`Refusal::Msgpack`] for any other kind of value, [`Refusal::Truncated`].
#[inline]
pub fn bytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Refusal> {
    match raw_length(reader)? {
        Some(length) => reader.take(length).map(Some),
        None => Ok(None),
    }
}

/// Reads an integer of any width and signedness; nil is zero.
///
/// # Errors
/// [`Refusal::Msgpack`] for any other kind of value, [`Refusal::Truncated`].
#[inline]
fn integer(reader: &mut Reader<'_>) -> Result<i128, Refusal> {
    Ok(match Marker::from_u8(reader.u8()?) {
        Marker::FixPos(value) => value.into(),
        Marker::FixNeg(value) => value.into(),
        Marker::Null => 0,
        Marker::U8 => reader.u8()?.into(),
        Marker::U16 => reader.u16()?.into(),
        Marker::U32 => reader.u32()?.into(),
        Marker::U64 => reader.u64()?.into(),
        Marker::I8 => i8::from_be_bytes(reader.array()?).into(),
        Marker::I16 => i16::from_be_bytes(reader.array()?).into(),
        Marker::I32 => i32::from_be_bytes(reader.array()?).into(),
        Marker::I64 => i64::from_be_bytes(reader.array()?).into(),
        _ => return Err(Refusal::Msgpack),
    })
}

/// Reads an integer that must fit the type `T`: `u8` to `u64`, `i64`.
///
/// # Errors
/// [`Refusal::Msgpack`] when the integer does not fit or the value is not an integer,
/// [`Refusal::Truncated`].
#[inline]
pub fn number<T: TryFrom<i128>>(reader: &mut Reader<'_>) -> Result<T, Refusal> {
    T::try_from(integer(reader)?).map_err(|_| Refusal::Msgpack)
}

/// Reads a bool. The numbers 0 and 1 are read as false and true, and nil as false.
///
/// # Errors
/// [`Refusal::Msgpack`] for any other value, [`Refusal::Truncated`].
#[inline]
pub fn boolean(reader: &mut Reader<'_>) -> Result<bool, Refusal> {
    match Marker::from_u8(reader.u8()?) {
        Marker::True | Marker::FixPos(1) => Ok(true),
        Marker::False | Marker::FixPos(0) | Marker::Null => Ok(false),
        _ => Err(Refusal::Msgpack),
    }
}

/// Reads a floating-point number of either width; an integer or nil is accepted as well.
///
/// # Errors
/// [`Refusal::Msgpack`] for any other kind of value, [`Refusal::Truncated`].
pub fn float(reader: &mut Reader<'_>) -> Result<f64, Refusal> {
    let marker = Marker::from_u8(reader.peek().ok_or(Refusal::Truncated)?);
    Ok(match marker {
        Marker::F64 | Marker::F32 => {
            reader.u8()?;
            match marker {
                Marker::F64 => f64::from_be_bytes(reader.array()?),
                _ => f32::from_be_bytes(reader.array()?).into(),
            }
        }
        _ => integer(reader)? as f64,
    })
}

/// Reads the number of elements of a list; nil is an empty list. The number is the sender's claim:
/// it may bound a loop that reads at least a byte in each turn, but must not determine the size of
/// an allocation.
///
/// # Errors
/// [`Refusal::Msgpack`] for a value that is not a list, [`Refusal::Truncated`].
pub fn list(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    Ok(match Marker::from_u8(reader.u8()?) {
        Marker::FixArray(count) => count.into(),
        Marker::Array16 => reader.u16()?.into(),
        Marker::Array32 => reader.u32()?,
        Marker::Null => 0,
        _ => return Err(Refusal::Msgpack),
    })
}

/// Reads the number of pairs of a map; nil is an empty map. Like the number of [`list`], it is a
/// claim.
///
/// # Errors
/// [`Refusal::Msgpack`] for a value that is not a map, [`Refusal::Truncated`].
pub fn map(reader: &mut Reader<'_>) -> Result<u32, Refusal> {
    Ok(match Marker::from_u8(reader.u8()?) {
        Marker::FixMap(count) => count.into(),
        Marker::Map16 => reader.u16()?.into(),
        Marker::Map32 => reader.u32()?,
        Marker::Null => 0,
        _ => return Err(Refusal::Msgpack),
    })
}

/// Reads a struct: calls `field` with the name of each field that is there. `field` must read
/// exactly the value (with [`skip`] if it does not know the name). Nil has no fields. `declared`
/// holds the names in the order in which the Go struct declares them, for the array form.
///
/// # Errors
/// [`Refusal::Msgpack`] for a value that is not a struct, [`Refusal::Truncated`], and the
/// refusals of `field`.
#[inline]
pub fn structure<'a>(
    reader: &mut Reader<'a>,
    declared: &[&str],
    mut field: impl FnMut(&[u8], &mut Reader<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match Marker::from_u8(reader.peek().ok_or(Refusal::Truncated)?) {
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            for index in 0..list(reader)? {
                match declared.get(index as usize) {
                    Some(name) => field(name.as_bytes(), reader)?,
                    None => skip(reader)?,
                }
            }
        }
        _ => {
            for _ in 0..map(reader)? {
                let name = bytes(reader)?.unwrap_or_default();
                field(name, reader)?;
            }
        }
    }
    Ok(())
}

/// If the next value is nil, skips it and returns true.
#[inline]
pub fn take_nil(reader: &mut Reader<'_>) -> bool {
    let nil = reader.peek() == Some(Marker::Null.to_u8());
    nil && reader.u8().is_ok()
}

/// Drops the result that `rmp` returns for a write. A write into a `Vec` cannot fail.
fn written<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok(), "a write into memory failed");
}

/// Appends nil.
pub fn put_nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

/// Appends a bool.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    written(rmp::encode::write_bool(out, value));
}

/// Appends an integer in the shortest form, as older writers do: a form for unsigned integers,
/// unless the integer is negative.
#[inline]
pub fn put_number(out: &mut Vec<u8>, value: impl Into<i128>) {
    let value = value.into();
    match u64::try_from(value) {
        Ok(value) => written(rmp::encode::write_uint(out, value)),
        Err(_) => {
            debug_assert!(value >= i64::MIN.into(), "{value} has more than 64 bits");
            written(rmp::encode::write_sint(out, value as i64))
        }
    }
}

/// Appends a floating-point number of 64 bits.
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    written(rmp::encode::write_f64(out, value));
}

/// Returns a length as the count of a list or map. No list or map of this crate has 2^32 elements.
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Appends the head of a list.
pub fn put_list(out: &mut Vec<u8>, count: u32) {
    written(rmp::encode::write_array_len(out, count));
}

/// Appends the head of a map.
pub fn put_map(out: &mut Vec<u8>, count: u32) {
    written(rmp::encode::write_map_len(out, count));
}

/// Appends text or bytes in the raw form, never as str8 or bin, which older readers refuse. Only
/// the first 2^32 - 1 bytes are written; this crate builds no value of that size.
pub fn put_raw(out: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match length {
        0..=31 => out.push(Marker::FixStr(length as u8).to_u8()),
        32..=0xffff => {
            out.push(Marker::Str16.to_u8());
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        0x1_0000.. => {
            out.push(Marker::Str32.to_u8());
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&value[..length as usize]);
}

/// Appends text.
pub fn put_text(out: &mut Vec<u8>, value: &str) {
    put_raw(out, value.as_bytes());
}

/// Appends bytes, or nil for `None`.
pub fn put_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => put_raw(out, value),
        None => put_nil(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_by(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn raw_values_never_use_str8_or_bin() {
        assert_eq!(written_by(|o| put_raw(o, &[7; 31]))[..2], [0xbf, 7]);
        assert_eq!(written_by(|o| put_raw(o, &[7; 32]))[..4], [0xda, 0, 32, 7]);
        assert_eq!(written_by(|o| put_raw(o, &[7; 255]))[..3], [0xda, 0, 255]);
        assert_eq!(
            written_by(|o| put_raw(o, &[7; 65_535]))[..3],
            [0xda, 255, 255]
        );
        assert_eq!(
            written_by(|o| put_raw(o, &[7; 65_536]))[..5],
            [0xdb, 0, 1, 0, 0]
        );
        assert_eq!(written_by(|o| put_bytes(o, Some(&[]))), [0xa0]);
        assert_eq!(written_by(|o| put_bytes(o, None)), [0xc0]);
    }

    #[test]
    fn integers_take_the_shortest_unsigned_form() {
        assert_eq!(written_by(|o| put_number(o, 127)), [0x7f]);
        assert_eq!(written_by(|o| put_number(o, 128)), [0xcc, 0x80]);
        assert_eq!(written_by(|o| put_number(o, 586)), [0xcd, 0x02, 0x4a]);
        assert_eq!(written_by(|o| put_number(o, 65_536)), [0xce, 0, 1, 0, 0]);
        assert_eq!(
            written_by(|o| put_number(o, 1_u64 << 32)),
            [0xcf, 0, 0, 0, 1, 0, 0, 0, 0]
        );
        assert_eq!(written_by(|o| put_number(o, -1)), [0xff]);
        assert_eq!(written_by(|o| put_number(o, -200)), [0xd1, 0xff, 0x38]);
    }

    #[test]
    fn integers_of_any_width_are_read_when_the_value_fits() {
        for wire in [
            &[0x07][..],
            &[0xcc, 7],
            &[0xd1, 0, 7],
            &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
        ] {
            assert_eq!(number::<u16>(&mut Reader::new(wire)), Ok(7));
        }
        assert_eq!(number::<u16>(&mut Reader::new(&[0xc0])), Ok(0));
        assert_eq!(
            number::<u16>(&mut Reader::new(&[0xff])),
            Err(Refusal::Msgpack)
        );
        assert_eq!(number::<i64>(&mut Reader::new(&[0xff])), Ok(-1));
        assert_eq!(
            number::<u16>(&mut Reader::new(&[0xce, 0, 1, 0, 0])),
            Err(Refusal::Msgpack)
        );
        assert_eq!(
            number::<u16>(&mut Reader::new(&[0xa1, 7])),
            Err(Refusal::Msgpack)
        );
        assert_eq!(
            number::<u64>(&mut Reader::new(&[0xcf, 255])),
            Err(Refusal::Truncated)
        );
        let most = [0xcf, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(number::<u64>(&mut Reader::new(&most)), Ok(u64::MAX));
        assert_eq!(
            number::<i64>(&mut Reader::new(&most)),
            Err(Refusal::Msgpack)
        );
    }

    #[test]
    fn bytes_are_read_in_every_form() {
        for wire in [
            &b"\xa1x"[..],
            b"\xd9\x01x",
            b"\xda\0\x01x",
            b"\xc4\x01x",
            b"\xc5\0\x01x",
        ] {
            assert_eq!(bytes(&mut Reader::new(wire)), Ok(Some(&b"x"[..])));
        }
        assert_eq!(bytes(&mut Reader::new(&[0xc0])), Ok(None));
        assert_eq!(bytes(&mut Reader::new(&[0x91, 1])), Err(Refusal::Msgpack));
        assert_eq!(
            bytes(&mut Reader::new(b"\xdb\xff\xff\xff\xffx")),
            Err(Refusal::Truncated)
        );
    }

    #[test]
    fn a_bool_may_be_a_number() {
        for (wire, value) in [
            (0xc3, true),
            (0xc2, false),
            (1, true),
            (0, false),
            (0xc0, false),
        ] {
            assert_eq!(boolean(&mut Reader::new(&[wire])), Ok(value));
        }
        assert_eq!(boolean(&mut Reader::new(&[2])), Err(Refusal::Msgpack));
    }

    #[test]
    fn a_struct_is_a_map_in_any_order_or_an_array_in_declaration_order() {
        let read = |wire: &[u8]| {
            let (mut one, mut two) = (0, 0);
            structure(&mut Reader::new(wire), &["One", "Two"], |name, reader| {
                match name {
                    b"One" => one = number::<u32>(reader)?,
                    b"Two" => two = number::<u32>(reader)?,
                    _ => skip(reader)?,
                }
                Ok(())
            })
            .map(|()| (one, two))
        };
        assert_eq!(read(b"\x82\xa3One\x01\xa3Two\x02"), Ok((1, 2)));
        assert_eq!(
            read(b"\x83\xa3Two\x02\xa1x\x92\xa0\x81\x01\x02\xa3One\x01"),
            Ok((1, 2))
        );
        assert_eq!(read(b"\x92\x01\x02"), Ok((1, 2)));
        assert_eq!(read(b"\x93\x01\x02\x91\xa0"), Ok((1, 2)));
        assert_eq!(read(b"\x91\x01"), Ok((1, 0)));
        assert_eq!(read(b"\xc0"), Ok((0, 0)));
        assert_eq!(read(b"\xa0"), Err(Refusal::Msgpack));
        assert_eq!(read(b"\x82\xa3One\x01\xa3Tw"), Err(Refusal::Truncated));
        assert_eq!(read(b""), Err(Refusal::Truncated));
    }

    #[test]
    fn nesting_of_any_depth_is_skipped_without_recursion() {
        let deep = vec![0x91; 1_000_000];
        assert_eq!(skip(&mut Reader::new(&deep)), Err(Refusal::Truncated));
        let mut closed = deep;
        closed.push(0xc0);
        assert_eq!(skip(&mut Reader::new(&closed)), Ok(()));
    }

    #[test]
    fn a_scan_that_is_interrupted_at_any_byte_finds_the_same_end() {
        let wire =
            b"\x84\xa1a\x92\xda\0\x02xy\xc0\xc4\x01z\xcf12345678\xa0\xc7\x01\x05e\xa1f\xcbFLOATING";
        for end in 0..wire.len() {
            let mut scan = Scan::new(1);
            let (first, ended) = scan.advance(&wire[..end]).unwrap();
            assert!(!ended, "ended after {end} bytes");
            assert_eq!(scan.advance(&wire[first..]), Ok((wire.len() - first, true)));
        }
        assert_eq!(Scan::new(1).advance(&[0xc1]), Err(Refusal::Msgpack));
    }
}
