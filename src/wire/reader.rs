//! A view of bytes that is read from the front and cannot overrun.
//!
//! Every read returns as many bytes as it was asked for, or [`Refusal::Truncated`]. Nothing is
//! indexed, and nothing is copied except a name that needs an escape. All decoders of messages use
//! this reader.

use super::{Names, Refusal, wire_name};

/// The part of a byte slice that has not been read yet.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    names: Option<&'a Names>,
}

impl<'a> Reader<'a> {
    /// Makes a reader at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            rest: bytes,
            names: None,
        }
    }

    /// Makes a reader that accepts names that need an escape: `names` keeps their escaped texts. A
    /// reader from [`Reader::new`] refuses such names.
    pub fn with_names(bytes: &'a [u8], names: &'a Names) -> Reader<'a> {
        Reader {
            rest: bytes,
            names: Some(names),
        }
    }

    /// Returns the text of a name that was read.
    ///
    /// # Errors
    /// [`Refusal::Utf8`] if the name needs an escape and there is no room for the escaped text.
    #[inline]
    pub(super) fn name(&self, name: &'a [u8]) -> Result<&'a str, Refusal> {
        wire_name::plain(name)
            .or_else(|| self.names?.keep(name))
            .ok_or(Refusal::Utf8)
    }

    /// Notes that a part of the message is left out, if the names of the message are kept.
    pub(super) fn leave_out(&self, why: Refusal) {
        if let Some(names) = self.names {
            names.leave_out(why);
        }
    }

    /// Returns the bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the number of bytes that have not been read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns true if everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads the next `count` bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when fewer bytes are left; then nothing is read.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Refusal::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when fewer bytes are left; then nothing is read.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Refusal::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Returns the next byte without reading it, or `None` at the end.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next byte.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] at the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads the next two bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when fewer bytes are left.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads the next four bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when fewer bytes are left.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads the next eight bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when fewer bytes are left.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Refusal> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_is_refused_and_reads_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), Err(Refusal::Truncated));
        assert_eq!(reader.take(4), Err(Refusal::Truncated));
        assert_eq!(reader.take(usize::MAX), Err(Refusal::Truncated));
        assert_eq!(reader.rest(), [1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.peek(), Some(3));
        assert_eq!(reader.u8(), Ok(3));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(Refusal::Truncated));
        assert_eq!(reader.take(0), Ok(&[][..]));
    }

    #[test]
    fn integers_are_read_most_significant_byte_first() {
        let bytes = [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 1, 2];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u64(), Ok(0x0102));
        assert_eq!(reader.u32(), Ok(0x0102));
        assert_eq!(reader.remaining(), 0);
    }
}
