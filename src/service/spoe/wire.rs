//! Numbers, texts and typed values as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The error for bytes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A typed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed number, of 32 or 64 bits on the wire.
    Int(i64),
    /// An unsigned number, of 32 or 64 bits on the wire.
    Uint(u64),
    /// An address.
    Ip(IpAddr),
    /// Text. HAProxy may put any bytes into it.
    Text(Vec<u8>),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Value {
    /// The text, if this value is text in UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

mod kind {
    pub const NULL: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INT32: u8 = 2;
    pub const UINT32: u8 = 3;
    pub const INT64: u8 = 4;
    pub const UINT64: u8 = 5;
    pub const IPV4: u8 = 6;
    pub const IPV6: u8 = 7;
    pub const TEXT: u8 = 8;
    pub const BINARY: u8 = 9;
    /// A flag that is added to BOOL if the value is true.
    pub const TRUE: u8 = 0x10;
}

/// A reader that takes bytes from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Returns true if no byte is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Reads this number of bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a number: one byte if it is below 240, else 4 bits in the first byte and 7 bits in
    /// each further byte.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        let mut number = u64::from(first);
        if first < 240 {
            return Ok(number);
        }
        let mut shift = 4;
        loop {
            let next = self.byte()?;
            let more = u64::from(next).checked_shl(shift).ok_or(Malformed)?;
            if more >> shift != u64::from(next) {
                return Err(Malformed);
            }
            number = number.checked_add(more).ok_or(Malformed)?;
            if next < 128 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    /// Reads a length, then that many bytes.
    pub fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.number()?;
        self.bytes(usize::try_from(len).map_err(|_| Malformed)?)
    }

    /// Reads a typed value.
    pub fn value(&mut self) -> Result<Value, Malformed> {
        let byte = self.byte()?;
        Ok(match byte & 0x0f {
            kind::NULL => Value::Null,
            kind::BOOL => Value::Bool(byte & kind::TRUE != 0),
            kind::INT32 => Value::Int(int32(self.number()?)?.into()),
            kind::UINT32 => {
                Value::Uint(u32::try_from(self.number()?).map_err(|_| Malformed)?.into())
            }
            kind::INT64 => Value::Int(self.number()? as i64),
            kind::UINT64 => Value::Uint(self.number()?),
            kind::IPV4 => {
                let octets: [u8; 4] = self.bytes(4)?.try_into().map_err(|_| Malformed)?;
                Value::Ip(Ipv4Addr::from(octets).into())
            }
            kind::IPV6 => {
                let octets: [u8; 16] = self.bytes(16)?.try_into().map_err(|_| Malformed)?;
                Value::Ip(Ipv6Addr::from(octets).into())
            }
            kind::TEXT => Value::Text(self.text()?.to_vec()),
            kind::BINARY => Value::Binary(self.text()?.to_vec()),
            _ => return Err(Malformed),
        })
    }
}

/// Returns the signed number that the peer has written as an unsigned one. The peer may have
/// extended a negative number to 64 bits.
fn int32(number: u64) -> Result<i32, Malformed> {
    let extended = i32::try_from(number as i64);
    let extended = extended.or_else(|_| u32::try_from(number).map(|number| number as i32));
    extended.map_err(|_| Malformed)
}

/// Writes a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    if number < 240 {
        return out.push(number as u8);
    }
    out.push(number as u8 | 0xf0);
    number = (number - 240) >> 4;
    while number >= 128 {
        out.push(number as u8 | 0x80);
        number = (number - 128) >> 7;
    }
    out.push(number as u8);
}

/// Writes a length and the bytes.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Writes a typed value.
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(kind::NULL),
        Value::Bool(flag) => out.push(kind::BOOL | if *flag { kind::TRUE } else { 0 }),
        Value::Int(number) => {
            out.push(kind::INT64);
            put_number(out, *number as u64);
        }
        Value::Uint(number) => match u32::try_from(*number) {
            Ok(small) => {
                out.push(kind::UINT32);
                put_number(out, small.into());
            }
            Err(_) => {
                out.push(kind::UINT64);
                put_number(out, *number);
            }
        },
        Value::Ip(IpAddr::V4(ip)) => {
            out.push(kind::IPV4);
            out.extend_from_slice(&ip.octets());
        }
        Value::Ip(IpAddr::V6(ip)) => {
            out.push(kind::IPV6);
            out.extend_from_slice(&ip.octets());
        }
        Value::Text(bytes) => {
            out.push(kind::TEXT);
            put_text(out, bytes);
        }
        Value::Binary(bytes) => {
            out.push(kind::BINARY);
            put_text(out, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_lengths_of_the_specification_and_are_read_back() {
        let sizes = [
            (0, 1),
            (239, 1),
            (240, 2),
            (2_287, 2),
            (2_288, 3),
            (264_431, 3),
            (264_432, 4),
            (u64::from(u32::MAX), 5),
            (u64::MAX, 10),
        ];
        for (number, size) in sizes {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(bytes.len(), size, "{number}");
            let mut reader = Reader(&bytes);
            assert_eq!(reader.number(), Ok(number));
            assert!(reader.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(Reader(&bytes[..cut]).number(), Err(Malformed));
            }
        }
        assert_eq!(
            Reader(&[0xff; 20]).number(),
            Err(Malformed),
            "a number without an end is refused"
        );
    }

    #[test]
    fn values_of_every_kind_are_read_back() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Int(-1),
            Value::Int(i64::MAX),
            Value::Uint(7),
            Value::Uint(u64::MAX),
            Value::Ip("10.0.0.1".parse().unwrap()),
            Value::Ip("fe80::1".parse().unwrap()),
            Value::Text(b"text".to_vec()),
            Value::Binary(vec![0, 255]),
        ];
        for value in values {
            let mut bytes = Vec::new();
            put_value(&mut bytes, &value);
            assert_eq!(Reader(&bytes).value(), Ok(value));
            for cut in 0..bytes.len() {
                assert_eq!(Reader(&bytes[..cut]).value(), Err(Malformed));
            }
        }
        assert_eq!(Reader(&[15]).value(), Err(Malformed), "the kind is unknown");
    }

    #[test]
    fn values_of_32_bits_are_read_with_their_sign_and_longer_ones_are_refused() {
        let read = |kind: u8, number: u64| {
            let mut bytes = vec![kind];
            put_number(&mut bytes, number);
            Reader(&bytes).value()
        };
        let (top, beyond) = (u64::from(u32::MAX), u64::from(u32::MAX) + 1);
        assert_eq!(read(kind::INT32, 7), Ok(Value::Int(7)));
        assert_eq!(read(kind::INT32, top), Ok(Value::Int(-1)));
        assert_eq!(read(kind::INT32, -1_i64 as u64), Ok(Value::Int(-1)));
        assert_eq!(read(kind::INT32, beyond), Err(Malformed));
        assert_eq!(read(kind::UINT32, top), Ok(Value::Uint(top)));
        assert_eq!(read(kind::UINT32, beyond), Err(Malformed));
    }
}
