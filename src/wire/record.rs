//! The two macros by which every message is described once.
//!
//! [`record!`] declares a struct and what its fields are on the wire: one row holds a field's
//! name in Rust, its type, its name in Go, and its codec from [`super::fields`]. Struct, decoder,
//! encoder and the size of the map follow from the rows. Rows stand in the order in which the Go
//! struct declares its fields, which is the order of the array form; the map is written in
//! ascending order of the names, as the reference writes it.
//!
//! A record is read in two steps. [`Record::read`] takes the map apart: fields in any order,
//! unknown ones skipped, missing ones at their default, the last one taken of several with one
//! name. [`Record::check`] then judges the values that may also be wrong by being absent. Lists of
//! records leave out what only the second step refuses.
//!
//! [`messages!`] declares an enum of messages by their type bytes, with `decode` and `encode`.

use super::{Reader, Refusal};

/// A struct that travels as a map of named fields.
pub(super) trait Record<'a>: Sized {
    /// Its values as they were read, in the order of the rows, before they are checked.
    type Raw: Default;

    /// Names of the fields in the order of the rows.
    const NAMES: &'static [&'static str];

    /// Places of the fields in the order in which they are written.
    const WRITTEN: &'static [usize];

    /// Reads the map.
    ///
    /// # Errors
    /// [`Refusal::Truncated`], [`Refusal::Msgpack`], and what the codecs refuse at once.
    fn read(reader: &mut Reader<'a>) -> Result<Self::Raw, Refusal>;

    /// Checks the values and makes the record of them.
    ///
    /// # Errors
    /// What the first codec refuses, in the order of the rows.
    fn check(raw: Self::Raw) -> Result<Self, Refusal>;

    /// Appends the map.
    fn put(&self, out: &mut Vec<u8>);

    /// Appends name and value of the field at this place, unless its codec leaves it out.
    fn put_field(&self, out: &mut Vec<u8>, place: usize);
}

/// What follows the type byte of a message.
pub(super) trait Body<'a>: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// Why it is refused.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Refusal>;

    /// Appends it.
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

/// Bytes without a shape of their own: all that is left.
impl<'a> Body<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Refusal> {
        Ok(reader.rest())
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// The places of `names` in ascending order of the names, bytewise. Runs while compiling.
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
    let mut places = [0; N];
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
        places[rank] = name;
        name += 1;
    }
    places
}

/// Declares records; see the head of this file.
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
                // One call for each row instead of a loop: the compiler then knows every place.
                let mut rank = 0;
                $(
                    let _: &str = $name;
                    self.put_field(out, Self::WRITTEN[rank]);
                    rank += 1;
                )+
                debug_assert!(rank == Self::NAMES.len());
            }

            #[inline(always)]
            fn put_field(&self, out: &mut Vec<u8>, place: usize) {
                let mut row = 0;
                $(
                    if place == row
                        && <$codec as $crate::wire::fields::Field<'a, $value>>::is_written(
                            &self.$field,
                        )
                    {
                        $crate::wire::msgpack::put_text(out, $name);
                        <$codec as $crate::wire::fields::Field<'a, $value>>::put(out, &self.$field);
                    }
                    row += 1;
                )+
                debug_assert!(place < row);
            }
        }
    )+};
}

/// Declares an enum of messages; see the head of this file.
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
            /// Decodes one complete message, its type byte first. Bytes behind it are ignored.
            ///
            /// # Errors
            /// [`Refusal::EmptyPart`] without a type byte, [`Refusal::UnknownType`] for a type
            /// that is not listed here, otherwise what is wrong with the body.
            ///
            /// [`Refusal::EmptyPart`]: $crate::wire::Refusal::EmptyPart
            /// [`Refusal::UnknownType`]: $crate::wire::Refusal::UnknownType
            #[inline]
            pub fn decode(bytes: &'a [u8]) -> Result<Self, $crate::wire::Refusal> {
                use $crate::wire::{Reader, Refusal, record::Body};
                let mut reader = Reader::new(bytes);
                Ok(match reader.u8().map_err(|_| Refusal::EmptyPart)? {
                    $($kind => Self::$variant(<$body as Body>::decode(&mut reader)?),)+
                    _ => return Err(Refusal::UnknownType),
                })
            }

            /// Appends the message, type byte first, exactly as the reference writes it.
            pub fn encode(&self, out: &mut Vec<u8>) {
                use $crate::wire::record::Body;
                match self {
                    $(Self::$variant(body) => {
                        out.push($kind);
                        body.put_body(out);
                    })+
                }
            }
        }
    };
}

pub(super) use {messages, record};
