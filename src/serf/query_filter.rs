//! Decides whether a query is addressed to a member: the filters select by name and by tags.
//!
//! Regular expressions come from other nodes. The matching takes a time that grows linearly with
//! the text, and a compiled expression takes at most [`EXPRESSION_BYTES`]. The syntax is that of
//! the crate regex-lite, which has the same meaning as Go's, but lacks Unicode classes such as
//! `\pL` and quoting with `\Q`. As in Serf, an expression that cannot be compiled matches nothing.

use super::Member;
use crate::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use crate::wire::{Names, node_name, serf_message::Query};
use regex_lite::{Regex, RegexBuilder};

/// The number of bytes that a compiled expression may take.
const EXPRESSION_BYTES: usize = 256 * 1024;

/// The filters of a query, ready for use. A member is addressed if all of them match.
pub(super) struct Filters(Vec<Filter>);

enum Filter {
    Nodes(Vec<Box<[u8]>>),
    Tag {
        key: Box<[u8]>,
        expression: Regex,
    },
    /// The filter cannot be read or compiled, so it matches nothing.
    Nothing,
}

impl Filters {
    /// The filters of a query.
    pub fn of(query: &Query<'_>) -> Filters {
        let filters = query.filters.iter().flatten();
        Filters(filters.map(|bytes| Filter::of(bytes)).collect())
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
            Ok(QueryFilter::Tag(TagFilter { tag, expr })) => {
                let expr = std::str::from_utf8(expr).ok();
                match expr.and_then(|expr| compile(expr).ok()) {
                    Some(expression) => Filter::Tag {
                        key: tag.into(),
                        expression,
                    },
                    None => Filter::Nothing,
                }
            }
            Err(_) => Filter::Nothing,
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
            Filter::Nothing => false,
        }
    }
}

/// Compiles an expression.
///
/// # Errors
/// The reason in words.
pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(|why| why.to_string())
}
