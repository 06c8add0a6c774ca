//! The two macros that describe each message once.
//!
//! [`record!`] declares a struct by rows, one for each field: name in Rust, type, name in Go, and
//! codec from [`super::fields`]. The struct, its decoder, its encoder and the size of its map
//! follow from the rows. The rows are in the order in which the Go struct declares its fields,
//! which is the order of the array form. The map is written in ascending order of the names, as
//! memberlist and Serf write it.
//!
//! Decoding has two steps. [`Record::read`] takes the map apart: fields come in any order, unknown
//! ones are skipped, missing ones keep their default, and if several have the same name, the last
//! one counts. [`Record::check`] then refuses values that are malformed or missing. A list of
//! records leaves out a record that fails only the second step.
//!
//! [`messages!`] declares an enum of messages with their type bytes, and the decoder and encoder of
//! the enum.

use super::fields::Field;
use super::{Reader, Refusal};

/// A struct that travels as a map of named fields.
pub(super) trait Record<'a>: Sized {
    /// The values in the order of the rows, before they are checked.
    type Raw: Default;

    /// The names of the fields in the order of the rows.
    const NAMES: &'static [&'static str];

    /// The indices of the rows in the order in which the fields are written.
    const WRITTEN: &'static [usize];

    /// Reads the map.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::Msgpack`], and the refusals of the codecs that check a
    /// value when they read it.
    fn read(reader: &mut Reader<'a>) -> Result<Self::Raw, Refusal>;

    /// Checks the values in the order of the rows, and makes a record of them.
    ///
    /// # Errors
    /// The refusal of the first codec that refuses its value.
    fn check(raw: Self::Raw) -> Result<Self, Refusal>;

    /// Appends the map.
    fn put(&self, out: &mut Vec<u8>);

    /// Appends the name and the value of the field in this row, unless its codec omits the field.
    fn put_field(&self, out: &mut Vec<u8>, row: usize);
}

/// The part of a message after its type byte.
pub(super) trait Body<'a>: Sized {
    /// Decodes the body.
    ///
    /// # Errors
    /// The reason for which the message is refused.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Refusal>;

    /// Appends the body.
    fn put_body(&self, out: &mut Vec<u8>);
}

impl<'a, R: Record<'a>> Body<'a> for R {
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Refusal> {
        R::check(R::read(reader)?)
    }

    #[inline]
    fn put_body(&self, out: &mut Vec<u8>) {
        self.put(out);
    }
}

/// A body of plain bytes, which goes on to the end of the message.
impl<'a> Body<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Refusal> {
        Ok(reader.rest())
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// The codec of a field that holds a record.
pub(super) enum Nested {}

impl<'a, R: Record<'a>> Field<'a, R> for Nested {
    type Raw = R::Raw;

    fn read(reader: &mut Reader<'a>) -> Result<R::Raw, Refusal> {
        R::read(reader)
    }

    fn check(raw: R::Raw) -> Result<R, Refusal> {
        R::check(raw)
    }

    fn put(out: &mut Vec<u8>, value: &R) {
        value.put(out);
    }
}

/// Returns the indices of `names` in the bytewise ascending order of the names. The compiler runs
/// this function once for each record.
pub(super) const fn ascending<const N: usize>(names: [&str; N]) -> [usize; N] {
    const fn is_before(left: &[u8], right: &[u8]) -> bool {
        let mut at = 0;
        while at < left.len() && at < right.len() {
            if left[at] != right[at] {
                return left[at] < right[at];
            }
            at += 1;
        }
        left.len() < right.len()
    }
    let mut indices = [0; N];
    let mut name = 0;
    while name < N {
        let mut rank = 0;
        let mut other = 0;
        while other < N {
            if is_before(names[other].as_bytes(), names[name].as_bytes()) {
                rank += 1;
            }
            other += 1;
        }
        indices[rank] = name;
        name += 1;
    }
    indices
}

/// Declares records; see the top of this file.
macro_rules! record {
    ($(
        $(#[$attribute:meta])*
        $vis:vis struct $record:ident $(<$life:lifetime>)? {
            $($(#[$doc:meta])* $field:ident: $value:ty => $name:literal $codec:ty,)+
        }
    )+) => {$(
        $(#[$attribute])*
        $vis struct $record $(<$life>)? {
            $($(#[$doc])* pub $field: $value,)+
        }

        impl<'a> $crate::wire::record::Record<'a> for $record $(<$life>)? {
            type Raw = ($(<$codec as $crate::wire::fields::Field<'a, $value>>::Raw,)+);

            const NAMES: &'static [&'static str] = &[$($name),+];

            const WRITTEN: &'static [usize] =
                &$crate::wire::record::ascending([$($name),+]);

            #[inline]
            fn read(
                reader: &mut $crate::wire::Reader<'a>,
            ) -> Result<Self::Raw, $crate::wire::Refusal> {
                let ($(mut $field,)+) = Self::Raw::default();
                $crate::wire::msgpack::structure(reader, Self::NAMES, |name, reader| {
                    $(if name == $name.as_bytes() {
                        $field = <$codec as $crate::wire::fields::Field<'a, $value>>::read(reader)?;
                        return Ok(());
                    })+
                    $crate::wire::msgpack::skip(reader)
                })?;
                Ok(($($field,)+))
            }

            #[inline]
            fn check(($($field,)+): Self::Raw) -> Result<Self, $crate::wire::Refusal> {
                Ok($record {
                    $($field: <$codec as $crate::wire::fields::Field<'a, $value>>::check($field)?,)+
                })
            }

            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                let mut count = 0;
                $(count += u32::from(
                    <$codec as $crate::wire::fields::Field<'a, $value>>::is_written(&self.$field),
                );)+
                $crate::wire::msgpack::put_map(out, count);
                // One call for each row instead of a loop, so that the compiler knows each row.
                let mut rank = 0;
                $(
                    let _: &str = $name;
                    self.put_field(out, Self::WRITTEN[rank]);
                    rank += 1;
                )+
                debug_assert!(rank == Self::NAMES.len());
            }

            #[inline(always)]
            fn put_field(&self, out: &mut Vec<u8>, row: usize) {
                let mut this = 0;
                $(
                    if row == this
                        && <$codec as $crate::wire::fields::Field<'a, $value>>::is_written(
                            &self.$field,
                        )
                    {
                        $crate::wire::msgpack::put_text(out, $name);
                        <$codec as $crate::wire::fields::Field<'a, $value>>::put(out, &self.$field);
                    }
                    this += 1;
                )+
                debug_assert!(row < this);
            }
        }
    )+};
}

/// Declares an enum of messages; see the top of this file.
macro_rules! messages {
    (
        $(#[$attribute:meta])*
        pub enum $messages:ident<'a> {
            $($(#[$doc:meta])* $variant:ident($body:ty) = $kind:path,)+
        }
    ) => {
        $(#[$attribute])*
        pub enum $messages<'a> {
            $($(#[$doc])* $variant($body),)+
        }

        impl<'a> $messages<'a> {
            /// Decodes one complete message, its type byte first. Bytes after the message are
            /// ignored. This function is for tests and tools: names have to be text.
            ///
            /// # Errors
            /// [`Refusal::EmptyPart`] without a type byte, [`Refusal::UnknownType`] for a type
            /// that is not listed here, otherwise the refusal of the body.
            ///
            /// [`Refusal::EmptyPart`]: $crate::wire::Refusal::EmptyPart
            /// [`Refusal::UnknownType`]: $crate::wire::Refusal::UnknownType
            #[cfg(any(test, feature = "internals"))]
            pub fn decode(bytes: &'a [u8]) -> Result<Self, $crate::wire::Refusal> {
                Self::read($crate::wire::Reader::new(bytes))
            }

            /// Decodes like `decode`, but also takes names that are not text: `names` keeps their
            /// escaped texts.
            ///
            /// # Errors
            /// The same as those of `decode`.
            #[inline]
            pub fn decode_in(
                bytes: &'a [u8],
                names: &'a $crate::wire::Names,
            ) -> Result<Self, $crate::wire::Refusal> {
                Self::read($crate::wire::Reader::with_names(bytes, names))
            }

            #[inline]
            fn read(
                mut reader: $crate::wire::Reader<'a>,
            ) -> Result<Self, $crate::wire::Refusal> {
                use $crate::wire::{Refusal, record::Body};
                Ok(match reader.u8().map_err(|_| Refusal::EmptyPart)? {
                    $($kind => Self::$variant(<$body as Body>::decode(&mut reader)?),)+
                    _ => return Err(Refusal::UnknownType),
                })
            }

            /// Appends the message, type byte first, exactly as stock agents write it.
            pub fn encode(&self, out: &mut Vec<u8>) {
                use $crate::wire::record::Body;
                match self {
                    $(Self::$variant(body) => {
                        out.push($kind);
                        body.put_body(out);
                    })+
                }
            }

            /// Returns the message, type byte first, exactly as stock agents write it.
            pub fn encoded(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(128);
                self.encode(&mut bytes);
                bytes
            }
        }
    };
}

pub(super) use {messages, record};

#[cfg(test)]
mod tests {
    use super::super::fields::{Name, NameOrNone, Number, Omitted};
    use super::*;

    record! {
        #[derive(Debug, PartialEq, Eq)]
        pub struct Sample<'a> {
            second: u16 => "Second" Number,
            first: &'a str => "First" Name,
            rare: &'a str => "Rare" Omitted<NameOrNone>,
        }
    }

    const KIND: u8 = 7;

    messages! {
        #[derive(Debug, PartialEq, Eq)]
        pub enum Samples<'a> {
            Sample(Sample<'a>) = KIND,
        }
    }

    fn sample<'a>(second: u16, first: &'a str, rare: &'a str) -> Sample<'a> {
        Sample {
            second,
            first,
            rare,
        }
    }

    fn decoded(wire: &[u8]) -> Result<Sample<'_>, Refusal> {
        Sample::decode(&mut Reader::new(wire))
    }

    #[test]
    fn fields_are_written_in_ascending_order_of_their_names() {
        let mut out = Vec::new();
        sample(5, "a", "b").put(&mut out);
        assert_eq!(out, b"\x83\xa5First\xa1a\xa4Rare\xa1b\xa6Second\x05");
        out.clear();
        sample(5, "a", "").put(&mut out);
        assert_eq!(out, b"\x82\xa5First\xa1a\xa6Second\x05");
        assert_eq!(ascending(["LeftMembers", "LTime", "L", "CC"]), [3, 2, 1, 0]);
    }

    #[test]
    fn fields_are_read_in_any_order_and_unknown_ones_are_skipped() {
        let wire = b"\x84\xa6Second\x05\xa3New\x92\x01\xa1x\xa4Rare\xa1b\xa5First\xa1a";
        assert_eq!(decoded(wire), Ok(sample(5, "a", "b")));
        let twice = b"\x83\xa5First\xa0\xa6Second\x05\xa5First\xa1a";
        assert_eq!(decoded(twice), Ok(sample(5, "a", "")));
    }

    #[test]
    fn the_array_form_has_the_fields_in_the_order_of_the_rows() {
        assert_eq!(decoded(b"\x92\x05\xa1a"), Ok(sample(5, "a", "")));
        assert_eq!(decoded(b"\x94\x05\xa1a\xa1b\xc3"), Ok(sample(5, "a", "b")));
    }

    #[test]
    fn a_missing_field_has_its_default_which_its_codec_may_refuse() {
        assert_eq!(decoded(b"\x81\xa5First\xa1a"), Ok(sample(0, "a", "")));
        assert_eq!(decoded(b"\x81\xa6Second\x05"), Err(Refusal::NameLength));
        assert_eq!(decoded(b"\xc0"), Err(Refusal::NameLength));
    }

    #[test]
    fn a_message_has_its_type_byte_in_front() {
        let message = Samples::Sample(sample(5, "a", ""));
        let out = message.encoded();
        assert_eq!(out[0], KIND);
        assert_eq!(Samples::decode(&out), Ok(message));
        let names = crate::wire::Names::default();
        let named = Samples::decode_in(b"\x07\x82\xa5First\xa1\xff\xa6Second\x05", &names);
        assert_eq!(named, Ok(Samples::Sample(sample(5, r"\xff", ""))));
        assert_eq!(Samples::decode(&[8, 0x80]), Err(Refusal::UnknownType));
        assert_eq!(Samples::decode(&[]), Err(Refusal::EmptyPart));
    }
}
