//! Regular expressions that an agent and this node read alike.
//!
//! An agent reads the expression of a filter with the package `regexp` of Go; this node reads it
//! with the crate regex-lite. Nearly every expression has the same meaning in both. The crate
//! refuses much of the rest by itself: `\Q...\E`, `\pL`, octal escapes, a single brace. [`check`]
//! finds the expressions that the crate would accept, although Go refuses them or reads them in
//! another way.
//!
//! Two differences are left, both in the values of tags: if case is ignored, Go lets `k` match the
//! Kelvin sign and `s` match the long s, and only here does `\s` match a vertical tab.

/// The maximum number of repetitions in Go, nested ones multiplied.
const REPETITIONS: u32 = 1000;

const LITERAL: &str = "agents of Serf read \\< and \\> as the characters themselves; leave out the \
                       backslash";
const CODE_POINT: &str = "agents of Serf do not know \\u and \\U; write \\x{...}";
const WORD_BOUNDARY: &str = "agents of Serf do not know \\b{...}; write \\b";
const FLAG: &str = "agents of Serf know only the flags i, m, s and U";
const GROUP_NAME: &str = "agents of Serf know only names such as (?P<name>...), of letters, digits \
                          and underscores";
const DASHES: &str = "agents of Serf read -- at the start of a class as a range; write \\-";
const BRACE: &str = "agents of Serf read these braces as characters; write \\{, or {2}, {2,} or \
                     {2,5} without spaces and leading zeros";
const TOO_MANY: &str = "agents of Serf allow at most 1,000 repetitions, nested ones multiplied";
const TWICE: &str = "agents of Serf refuse a repetition of a repetition without a group";
const CASE: &str = "this node ignores the case of ASCII letters only, agents of Serf that of all \
                    letters";

/// Checks that Go reads an expression in the same way as the crate regex-lite, if the crate accepts
/// it.
///
/// # Errors
/// The difference in words.
pub(super) fn check(expression: &str) -> Result<(), &'static str> {
    let mut walk = Walk {
        rest: expression,
        open: Vec::new(),
        level: Level::default(),
        ignores_case: false,
        is_ascii: true,
    };
    while let Some(next) = walk.take() {
        walk.step(next)?;
    }
    match walk.ignores_case && !walk.is_ascii {
        true => Err(CASE),
        false => Ok(()),
    }
}

/// The part of a group that was read.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The number of repetitions in the last item: 1 if it is not repeated.
    last: u32,
    /// The largest number of repetitions in an item.
    most: u32,
    /// True directly after a repetition.
    is_repeated: bool,
}

impl Level {
    /// An item with this number of repetitions in it has been read.
    fn add(&mut self, repetitions: u32) {
        self.last = repetitions.max(1);
        self.most = self.most.max(self.last);
        self.is_repeated = false;
    }
}

/// A walk through an expression.
struct Walk<'a> {
    rest: &'a str,
    /// The groups around the present one.
    open: Vec<Level>,
    level: Level,
    ignores_case: bool,
    /// True if every character of the expression that may occur in a match is ASCII.
    is_ascii: bool,
}

impl Walk<'_> {
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }

    fn take_if(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn step(&mut self, next: char) -> Result<(), &'static str> {
        match next {
            '\\' => {
                self.escape()?;
                self.level.add(1);
            }
            '[' => {
                self.class()?;
                self.level.add(1);
            }
            '(' => self.group()?,
            ')' => {
                let inside = self.level.most;
                self.level = self.open.pop().unwrap_or_default();
                self.level.add(inside);
            }
            '*' | '+' | '?' => self.repeat(1)?,
            '{' => {
                let times = self.count()?;
                self.repeat(times)?;
            }
            other => self.literal(other),
        }
        Ok(())
    }

    fn literal(&mut self, character: char) {
        self.is_ascii &= character.is_ascii();
        self.level.add(1);
    }

    /// Reads an escape sequence after its backslash.
    fn escape(&mut self) -> Result<(), &'static str> {
        match self.take() {
            Some('<' | '>') => Err(LITERAL),
            Some('u' | 'U') => Err(CODE_POINT),
            Some('b') => match self.rest.strip_prefix('{').map(counted) {
                Some(None) => Err(WORD_BOUNDARY),
                Some(Some(_)) | None => Ok(()),
            },
            Some('x') => {
                self.is_ascii &= self.hex() < 0x80;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads the digits after `\x`.
    fn hex(&mut self) -> u32 {
        let in_braces = self
            .rest
            .strip_prefix('{')
            .and_then(|it| it.split_once('}'));
        let (digits, rest) = in_braces
            .or_else(|| self.rest.split_at_checked(2))
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        u32::from_str_radix(digits, 16).unwrap_or(u32::MAX)
    }

    /// Reads a class after its opening bracket.
    fn class(&mut self) -> Result<(), &'static str> {
        self.take_if("^");
        if self.rest.starts_with("--") {
            return Err(DASHES);
        }
        self.take_if("]");
        while let Some(next) = self.take() {
            match next {
                ']' => break,
                '\\' => self.escape()?,
                '[' if self.rest.starts_with(':') => {
                    let (_, rest) = self.rest.split_once(":]").unwrap_or_default();
                    self.rest = rest;
                }
                other => self.is_ascii &= other.is_ascii(),
            }
        }
        Ok(())
    }

    /// Reads the beginning of a group after its parenthesis, or flags.
    fn group(&mut self) -> Result<(), &'static str> {
        if self.take_if("?P<") {
            let (name, rest) = self.rest.split_once('>').unwrap_or_default();
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !name.chars().all(is_word) {
                return Err(GROUP_NAME);
            }
            self.rest = rest;
        } else if self.rest.starts_with("?<") {
            return Err(GROUP_NAME);
        } else if self.take_if("?") && self.flags()? {
            self.level.is_repeated = false;
            return Ok(());
        }
        self.open.push(std::mem::take(&mut self.level));
        Ok(())
    }

    /// Reads flags. Returns true if they hold for the rest of the group around them, and false if
    /// they begin a group.
    fn flags(&mut self) -> Result<bool, &'static str> {
        let mut is_on = true;
        while let Some(flag) = self.take() {
            match flag {
                ':' => return Ok(false),
                ')' => return Ok(true),
                '-' => is_on = false,
                'i' => self.ignores_case |= is_on,
                'm' | 's' | 'U' => {}
                _ => return Err(FLAG),
            }
        }
        Ok(true)
    }

    /// Reads a counted repetition after its opening brace.
    fn count(&mut self) -> Result<u32, &'static str> {
        let (times, rest) = counted(self.rest).ok_or(BRACE)?;
        self.rest = rest;
        Ok(times)
    }

    /// The last item is repeated at most this number of times; 1 stands for any number without a
    /// count.
    fn repeat(&mut self, times: u32) -> Result<(), &'static str> {
        if self.level.is_repeated {
            return Err(TWICE);
        }
        let repetitions = times.saturating_mul(self.level.last.max(1));
        if repetitions > REPETITIONS {
            return Err(TOO_MANY);
        }
        self.take_if("?");
        self.level.add(repetitions);
        self.level.is_repeated = true;
        Ok(())
    }
}

/// Returns the number of repetitions in the text after an opening brace, and the rest after the
/// closing brace; `None` if Go does not take the braces for a repetition.
fn counted(text: &str) -> Option<(u32, &str)> {
    let (inside, rest) = text.split_once('}')?;
    let (min, max) = inside.split_once(',').unwrap_or((inside, ""));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let has_zeros = text.len() > 1 && text.starts_with('0');
        (is_number && !has_zeros).then(|| text.parse().unwrap_or(u32::MAX))
    };
    let min = number(min)?;
    let max = if max.is_empty() { min } else { number(max)? };
    Some((min.max(max), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_go_refuses_or_reads_in_another_way_are_found() {
        for (expression, why) in [
            (r"\<web", LITERAL),
            (r"web\>", LITERAL),
            (r"[\<]", LITERAL),
            (r"\u0041", CODE_POINT),
            (r"\u{41}", CODE_POINT),
            (r"[\U00000041]", CODE_POINT),
            (r"\b{start}web", WORD_BOUNDARY),
            (r"web\b{end-half}", WORD_BOUNDARY),
            (r"(?x) w e b", FLAG),
            (r"(?i-x:web)", FLAG),
            (r"(?R)web", FLAG),
            (r"(?<n>web)", GROUP_NAME),
            (r"(?P<a.b>web)", GROUP_NAME),
            ("(?P<é>web)", GROUP_NAME),
            (r"[--a]", DASHES),
            (r"[^--a]", DASHES),
            (r"a{01}", BRACE),
            (r"a{ 2 }", BRACE),
            (r"a{2, 3}", BRACE),
            (r"a{,5}", BRACE),
            (r"a{", BRACE),
            (r"a{x}", BRACE),
            (r".{1001}", TOO_MANY),
            (r".{2,99999999999}", TOO_MANY),
            (r"(a{10}b*){101}", TOO_MANY),
            (r"(?:(?:a{11}){11}c){11}", TOO_MANY),
            (r"a**", TWICE),
            (r"a*?+", TWICE),
            (r"a{2}{3}", TWICE),
            ("(?i)ärger", CASE),
            ("(?i:a)b[c-ä]", CASE),
            (r"(?i)\xe4", CASE),
            (r"(?si)\x{1F600}", CASE),
        ] {
            assert_eq!(check(expression), Err(why), "{expression}");
        }
    }

    #[test]
    fn other_expressions_are_left_to_the_compiler() {
        for expression in [
            "",
            "^(web|db)-[0-9]+$",
            r"\.example\.com$",
            r"\bweb\b",
            r"\b{2}web",
            "(?i)web",
            "(?i:web)",
            "(?-i)ärger",
            "(?ms-U:web)",
            "(?P<name_1>web)",
            "(?:web)?",
            "a*?",
            "(a*)*",
            "a{0}",
            "a{2,}",
            "a{2,5}?",
            ".{1000}",
            "(a{10}){100}",
            "(a{10}|b{20}){50}",
            "[]a]",
            "[-a]",
            "[a-]",
            "[^]a]",
            "[[:alpha:]{}*+]",
            r"[\]]",
            "ärger",
            r"\x{e4}",
            r"(?i)\x41\x{5a}",
            "}",
            // The crate refuses these.
            "(",
            ")",
            "[",
            "*",
            r"\",
            r"\x",
            r"\pL",
            r"\Qa.b\E",
            r"\1",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }
}
