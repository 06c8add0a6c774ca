//! Decides whether a query is addressed to a member: the filters select by name and by tags.
//!
//! Regular expressions come from other nodes. The matching takes a time that grows linearly with
//! the text, and a compiled expression takes at most [`EXPRESSION_BYTES`]. The syntax is that of
//! the crate regex-lite, which has the same meaning as Go's, but lacks Unicode classes such as
//! `\pL` and quoting with `\Q`. As in Serf, an expression that cannot be compiled matches nothing.

use crate::serf::Member;
use crate::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use crate::wire::{Names, node_name};
use regex_lite::{Regex, RegexBuilder};

/// The number of bytes that a compiled expression may take.
const EXPRESSION_BYTES: usize = 256 * 1024;

/// The filters of a query, ready for use. A member is addressed if all of them match.
pub(in crate::serf) struct Filters(Vec<Filter>);

enum Filter {
    Nodes(Vec<Box<[u8]>>),
    Tag {
        key: Box<[u8]>,
        expression: Regex,
    },
    /// The expression cannot be compiled, for this reason, so the filter matches nothing.
    BadExpression {
        expression: String,
        why: String,
    },
    /// The filter cannot be read, so it matches nothing.
    Unreadable,
}

impl Filters {
    /// The filters of a query, from their form on the wire.
    pub fn of<'a>(encoded: impl Iterator<Item = &'a [u8]>) -> Filters {
        Filters(encoded.map(Filter::of).collect())
    }

    /// Returns an expression that cannot be compiled, and the reason in words; `None` if there is
    /// none.
    pub fn bad_expression(&self) -> Option<(&str, &str)> {
        self.0.iter().find_map(|filter| match filter {
            Filter::BadExpression { expression, why } => Some((&**expression, &**why)),
            Filter::Nodes(_) | Filter::Tag { .. } | Filter::Unreadable => None,
        })
    }

    /// Returns true if a query with these filters is addressed to this member.
    pub fn select(&self, member: &Member) -> bool {
        self.0.iter().all(|filter| filter.selects(member))
    }
}

impl Filter {
    fn of(bytes: &[u8]) -> Filter {
        match QueryFilter::decode_in(bytes, &Names::default()) {
            Ok(QueryFilter::Nodes(NodeNames(names))) => {
                Filter::Nodes(names.into_iter().map(Box::from).collect())
            }
            Ok(QueryFilter::Tag(TagFilter { tag, expr })) => match std::str::from_utf8(expr) {
                Ok(expr) => Filter::by_tag(tag, expr),
                Err(_) => Filter::Unreadable,
            },
            Err(_) => Filter::Unreadable,
        }
    }

    fn by_tag(key: &[u8], expression: &str) -> Filter {
        match compile(expression) {
            Ok(expression) => Filter::Tag {
                key: key.into(),
                expression,
            },
            Err(why) => Filter::BadExpression {
                expression: expression.to_owned(),
                why,
            },
        }
    }

    fn selects(&self, member: &Member) -> bool {
        match self {
            Filter::Nodes(names) => {
                let own = node_name::to_bytes(&member.name);
                names.iter().any(|name| **name == *own)
            }
            Filter::Tag { key, expression } => {
                let value = std::str::from_utf8(key)
                    .ok()
                    .and_then(|key| member.tags().get(key));
                expression.is_match(value.as_deref().unwrap_or_default())
            }
            Filter::BadExpression { .. } | Filter::Unreadable => false,
        }
    }
}

/// Compiles an expression.
///
/// # Errors
/// The reason in words.
fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(|why| why.to_string())
}
