//! The value on a line `key = value` of a file of settings: its quotes, and the comment after it.
//!
//! ```text
//! name = web-1                # a comment
//! tag.color = "#fff"          # in quotes, # does not begin a comment
//! tag.note = "say \"hi\" \\"   # \" and \\ stand for a quote and a backslash
//! tag.rule = '\d+ "x"'        # in single quotes, every character stands for itself
//! ```
//!
//! A text that could be meant in two ways is refused: an unclosed quote, text after the closing
//! quote, an escape other than `\"` and `\\`, or a comment in place of the value.

use crate::error::{Error, Result, Status};
use std::borrow::Cow;

/// Returns the value in the text after the `=`, without the quotes around it and without a comment.
pub(super) fn value_in(text: &str) -> Result<Cow<'_, str>> {
    let start = text.trim_start();
    let (value, rest) = match start.chars().next() {
        Some('"') => double_quoted(&start[1..])?,
        Some('\'') => {
            let (value, rest) = start[1..].split_once('\'').ok_or_else(unclosed)?;
            (Cow::Borrowed(value), rest)
        }
        _ => return plain(text),
    };
    match rest.trim_start() {
        rest if rest.is_empty() || rest.starts_with('#') => Ok(value),
        _ => Err(refused(
            "only a comment may follow the closing quote; a list is quoted as a whole",
        )),
    }
}

/// Returns the value of a text without quotes.
fn plain(text: &str) -> Result<Cow<'_, str>> {
    let is_comment = |at: &usize| text[..*at].ends_with(char::is_whitespace);
    let mut marks = text.match_indices('#').map(|(at, _)| at);
    let Some(at) = marks.find(is_comment) else {
        return Ok(Cow::Borrowed(text.trim()));
    };
    match text[..at].trim() {
        "" => Err(refused(
            "there is no value before the comment: put a value that begins with # in quotes",
        )),
        value => Ok(Cow::Borrowed(value)),
    }
}

/// Splits the text after a double quote into the value and the text after the closing quote.
fn double_quoted(text: &str) -> Result<(Cow<'_, str>, &str)> {
    // Only a text with a backslash is copied. A secret has no backslash, so it is never copied.
    let mut value = Cow::Borrowed("");
    let mut left = text;
    loop {
        let at = left.find(['"', '\\']).ok_or_else(unclosed)?;
        value += &left[..at];
        let (mark, rest) = left[at..].split_at(1);
        if mark == "\"" {
            return Ok((value, rest));
        }
        let escaped = rest.chars().next().filter(|it| matches!(it, '"' | '\\'));
        value.to_mut().push(
            escaped.ok_or_else(|| refused(r#"in double quotes, write \\ for \ and \" for ""#))?,
        );
        left = &rest[1..];
    }
}

fn unclosed() -> Error {
    refused("the quote at the beginning of the value is not closed")
}

fn refused(message: &str) -> Error {
    Error::new(Status::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_not_part_of_a_value() {
        for (text, value) in [
            (" web", "web"),
            (" web # a comment", "web"),
            (" web\t# a # comment", "web"),
            (" a#b", "a#b"),
            ("#fff", "#fff"),
            (" two words", "two words"),
            (" it's # fine", "it's"),
            (" \"web\"", "web"),
            (" \"web\" # a comment", "web"),
            (" \" a # b \"", " a # b "),
            (r#" "say \"a\" \\ b""#, r#"say "a" \ b"#),
            (" \"it's\"", "it's"),
            (" \"\"", ""),
            (" ''", ""),
            (r#" 'a "b" \c # d'"#, r#"a "b" \c # d"#),
            (" 'web'#a comment", "web"),
            (" \"é\"", "é"),
            (" a=b", "a=b"),
            ("", ""),
            (" ", ""),
        ] {
            assert_eq!(value_in(text).unwrap(), value, "{text}");
        }
        for (text, says) in [
            (" \"web", "not closed"),
            (" 'web", "not closed"),
            (" \"web\\\"", "not closed"),
            (" \"web\\", "write \\\\ for \\"),
            (r#" "\d""#, r#"write \\ for \ and \" for ""#),
            (r#" "\é""#, r#"write \\ for \"#),
            (" \"a\", \"b\"", "a list is quoted as a whole"),
            (" 'a' b", "only a comment may follow"),
            (" # nothing", "there is no value before the comment"),
        ] {
            let error = value_in(text).unwrap_err();
            assert_eq!(error.status, Status::Invalid);
            assert!(error.message.contains(says), "{text}: {}", error.message);
        }
    }
}
