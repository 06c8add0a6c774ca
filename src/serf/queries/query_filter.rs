//! Decides whether a query is addressed to a member: the filters select by name and by tags.
//!
//! Filters come from other nodes, so they are read one at a time, and none before it is needed: the
//! names are compared first, and an expression is compiled only once the sender of the query is
//! known to be a member, and if all filters before it select this node. The work and the memory are
//! bounded: see [`EXPRESSION_LEN`], [`EXPRESSION_BYTES`] and [`WORK_PER_SECOND`].
//!
//! An agent reads expressions as Go does. An expression that this node cannot read, or would read
//! in another way (see [`go_syntax`]), selects no member, and is counted.

use super::go_syntax;
use crate::per_second::PerSecond;
use crate::serf::Member;
use crate::time::Time;
use crate::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use crate::wire::{Names, wire_name};
use regex_lite::{Regex, RegexBuilder};

/// The maximum length of an expression in bytes: that of the largest query of a sprat node. While
/// it is compiled, each character may take a hundred bytes.
const EXPRESSION_LEN: usize = 9216;

/// The number of bytes that a compiled expression may take. This is enough for every expression of
/// one kilobyte, the size of the largest query of an agent, unless it repeats something by count.
const EXPRESSION_BYTES: usize = 64 * 1024;

/// The number of bytes of expressions, and of the tags searched by them, that are read in a second.
/// [`COMPILING`] is added for each expression. If an expression was made to take long, a search
/// takes up to 30 microseconds for each byte of the tag, and compiling nine kilobytes of expression
/// takes 25 milliseconds.
const WORK_PER_SECOND: u32 = 16 * 1024;

/// The least work of compiling an expression, in the unit of [`WORK_PER_SECOND`].
const COMPILING: usize = 64;

/// The filters of a query, each in its form on the wire.
pub(super) type Encoded<'a> = [&'a [u8]];

/// The reason why it is not known whether the filters of a query select this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecided {
    /// A filter cannot be read as an agent reads it.
    Unreadable,
    /// Too much was searched in this second.
    TooMuchWork,
}

/// Returns true unless a filter lists names, and the name of this member is not among them.
pub(super) fn names_select(filters: &Encoded<'_>, name: &str) -> bool {
    let own = wire_name::to_bytes(name);
    let unused = Names::default();
    filters
        .iter()
        .all(|filter| match QueryFilter::decode_in(filter, &unused) {
            Ok(QueryFilter::Nodes(NodeNames(names))) => names.contains(&&*own),
            Ok(QueryFilter::Tag(_)) | Err(_) => true,
        })
}

/// Decides by tags whether queries of other nodes are addressed to this node.
pub(super) struct TagFilters {
    work: PerSecond,
}

impl TagFilters {
    pub fn new() -> TagFilters {
        let work = PerSecond::new(WORK_PER_SECOND);
        TagFilters { work }
    }

    /// Returns true if all filters by tag select this member.
    ///
    /// # Errors
    /// The reason why this is not known. No filter before the one in question excludes the member.
    pub fn select(
        &mut self,
        now: Time,
        filters: &Encoded<'_>,
        member: &Member,
    ) -> Result<bool, Undecided> {
        let unused = Names::default();
        for filter in filters {
            let selects = match QueryFilter::decode_in(filter, &unused) {
                Ok(QueryFilter::Nodes(_)) => true,
                Ok(QueryFilter::Tag(filter)) => self.search(now, filter, member)?,
                Err(_) => return Err(Undecided::Unreadable),
            };
            if !selects {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn search(
        &mut self,
        now: Time,
        filter: TagFilter<'_>,
        member: &Member,
    ) -> Result<bool, Undecided> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Undecided::Unreadable);
        let (key, expression) = (text(filter.tag)?, text(filter.expr)?);
        let value = member.tags().get(key).unwrap_or_default();
        let work = u32::try_from(COMPILING + expression.len() + value.len()).unwrap_or(u32::MAX);
        if !self.work.has_room_for(now, work) {
            return Err(Undecided::TooMuchWork);
        }
        let expression = compile(expression).map_err(|_| Undecided::Unreadable)?;
        Ok(expression.is_match(&value))
    }
}

/// The members that a query of this node selects.
pub(super) struct Selection {
    /// The names, as bytes of the wire; empty if the name does not matter.
    names: Vec<Vec<u8>>,
    /// The tags, each with an expression that finds a match in its value.
    tags: Vec<(String, Regex)>,
}

impl Selection {
    /// Makes a selection from names, and from pairs of a tag and an expression.
    ///
    /// # Errors
    /// The first wrong expression, and what is wrong with it in words.
    pub fn new<'a>(
        names: &[String],
        tags: &'a [(String, String)],
    ) -> Result<Selection, (&'a str, String)> {
        let names = names.iter().map(|name| wire_name::to_bytes(name).into());
        let compiled = |(key, expression): &'a (String, String)| match compile(expression) {
            Ok(compiled) => Ok((key.clone(), compiled)),
            Err(why) => Err((expression.as_str(), why)),
        };
        Ok(Selection {
            names: names.collect(),
            tags: tags.iter().map(compiled).collect::<Result<_, _>>()?,
        })
    }

    /// Returns true if a query with this selection is addressed to this member.
    pub fn selects(&self, member: &Member) -> bool {
        let has_name = || {
            let name = wire_name::to_bytes(&member.name);
            self.names.iter().any(|wanted| **wanted == *name)
        };
        let tags = member.tags();
        let has_tag = |(key, expression): &(String, Regex)| {
            expression.is_match(&tags.get(key).unwrap_or_default())
        };
        (self.names.is_empty() || has_name()) && self.tags.iter().all(has_tag)
    }
}

/// Compiles an expression, if an agent reads it in the same way.
///
/// # Errors
/// The reason in words.
fn compile(expression: &str) -> Result<Regex, String> {
    if expression.len() > EXPRESSION_LEN {
        return Err(format!("it is longer than {EXPRESSION_LEN} bytes"));
    }
    go_syntax::check(expression)?;
    RegexBuilder::new(expression)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(|why| why.to_string())
}
