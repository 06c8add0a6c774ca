//! Text from other nodes, made fit for people and programs to read.
//!
//! Bytes from the network are not always text, and text may hold characters that end a line, steer
//! a terminal, or change the order in which a line is read. Such bytes and characters are not
//! dropped but escaped, as `\xff` or `\u{2028}`. Only the functions with a maximum length cut text
//! off.

use std::borrow::Cow;
use std::fmt::Write;

/// The note that a text was cut off.
const CUT_OFF: &str = " [cut off]";

/// Returns bytes as text. Text in UTF-8 without NUL stays as it is. Otherwise, each byte that is
/// not UTF-8 and each NUL is escaped.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes, |_, _| false)),
    }
}

/// Returns the first `most` bytes as text, as [`text`] does, and appends a note if there are more.
pub(crate) fn text_up_to(bytes: &[u8], most: usize) -> String {
    match bytes.get(..most) {
        Some(first) if bytes.len() > most => text(first).into_owned() + CUT_OFF,
        _ => text(bytes).into_owned(),
    }
}

/// Returns bytes as text in which each byte that is not UTF-8 and each NUL is escaped, and also
/// each ASCII character for which `also` is true. `also` gets the surrounding text and the index of
/// the character in it.
pub(crate) fn escaped(bytes: &[u8], also: impl Fn(&[u8], usize) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        for (at, character) in text.char_indices() {
            if character == '\0' || also(text.as_bytes(), at) {
                put_bytes(&mut out, &text.as_bytes()[at..=at]);
            } else {
                out.push(character);
            }
        }
        put_bytes(&mut out, chunk.invalid());
    }
    out
}

/// Appends each byte as `\x` and two hexadecimal digits.
pub(crate) fn put_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Returns a text as one line, in which each character for which [`is_unfit`] is true is escaped.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|it| put_character(&mut out, it));
    Cow::Owned(out)
}

/// Returns a text as one line, as [`line()`] does. If the line has more than `most` bytes, it ends
/// before the character or escape that goes beyond them, and a note is appended.
pub(crate) fn line_up_to(text: &str, most: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let end = out.len();
        put_character(&mut out, character);
        if out.len() > most {
            out.truncate(end);
            out.push_str(CUT_OFF);
            break;
        }
    }
    out
}

fn put_character(out: &mut String, character: char) {
    match u8::try_from(character) {
        _ if !is_unfit(character) => out.push(character),
        Ok(byte) => put_bytes(out, &[byte]),
        Err(_) => drop(write!(out, "\\u{{{:x}}}", u32::from(character))),
    }
}

/// Returns true for control characters, for the separators of lines and paragraphs, and for the
/// characters that change the direction in which a line is read.
fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(character, '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_escaped_and_text_stays_as_it_is() {
        for (bytes, shown) in [
            (&b"web"[..], "web"),
            ("größe 🐟".as_bytes(), "größe 🐟"),
            (br"C:\xff", r"C:\xff"),
            (b"a\nb", "a\nb"),
            (b"a\xffb\xc3", r"a\xffb\xc3"),
            (b"a\0b\0\xfe", r"a\x00b\x00\xfe"),
            (b"", ""),
        ] {
            assert_eq!(text(bytes), shown);
        }
    }

    #[test]
    fn a_line_has_no_character_that_ends_it_or_steers_a_terminal() {
        for (text, shown) in [
            ("größe 🐟", "größe 🐟"),
            ("a\nb\r\x1b[31m", r"a\x0ab\x0d\x1b[31m"),
            ("\u{85}\u{9b}\u{7f}", r"\x85\x9b\x7f"),
            (
                "a\u{2028}b\u{202e}c\u{2066}",
                r"a\u{2028}b\u{202e}c\u{2066}",
            ),
        ] {
            assert_eq!(line(text), shown);
        }
    }
}
