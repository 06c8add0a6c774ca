//! A view of bytes that is read from the front and cannot overrun.
//!
//! Every read either yields what was asked for or says [`Refusal::Truncated`]; nothing is
//! indexed and nothing is copied. All decoders of this layer stand on it.

use super::Refusal;

/// The part of some bytes that has not been read yet.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have not been read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when there are fewer; then nothing is read.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Refusal::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when there are fewer; then nothing is read.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Refusal::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte without reading it, if there is one.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] at the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when there are fewer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when there are fewer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes, most significant first.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when there are fewer.
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
