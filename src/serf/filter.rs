//! The filter that decides which members the application sees.
//!
//! It is applied when a member joins and when it changes. A rejected member is hidden from the list
//! and from the events, but stays in the protocol: a node must not disagree with its peers about
//! which members exist. The node itself is never filtered.

use crate::serf::{MemberTags, Tags};

/// The conditions that a member must meet to be shown; other members are hidden and counted. All
/// given conditions must hold. The default admits every member.
///
/// A visible member whose new tags no longer fit disappears with a `MemberReap` event; a hidden
/// member that fits after a change appears with a `MemberJoin` event.
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    /// Tags that a member must have with exactly these values.
    pub require_tags: Tags,
    /// Patterns for names, at least one of which must match. `*` matches any run of characters, `?`
    /// one character. An empty list admits all names.
    pub names: Vec<String>,
}

impl MemberFilter {
    /// Returns true if a member with this name and these tags is shown.
    pub fn admits(&self, name: &str, tags: MemberTags<'_>) -> bool {
        let tagged = self
            .require_tags
            .iter()
            .all(|(key, value)| tags.get(key).is_some_and(|it| it == *value));
        let named = self.names.is_empty() || self.names.iter().any(|p| fits(p, name));
        tagged && named
    }
}

/// Returns true if `name` fits `pattern`. When the part after a star does not fit, the star takes
/// one more character. Only the star that was met last does that, so the work is bounded by the
/// product of both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        match (rest.next(), name.chars().next()) {
            (Some('*'), _) => {
                pattern = rest.as_str();
                retry = Some((pattern, name));
                continue;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                pattern = rest.as_str();
                name = &name[found.len_utf8()..];
                continue;
            }
            (None, None) => return true,
            (Some(_), None) => return false,
            (Some(_) | None, Some(_)) => {}
        }
        let Some((after_star, taken)) = retry else {
            return false;
        };
        let Some(skipped) = taken.chars().next() else {
            return false;
        };
        (pattern, name) = (after_star, &taken[skipped.len_utf8()..]);
        retry = Some((pattern, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::{Member, MemberState, NodeFacts, encode_tags};
    use std::net::SocketAddr;
    use std::sync::Arc;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    fn admits(filter: &MemberFilter, name: &str, pairs: &[(&str, &str)]) -> bool {
        let facts = NodeFacts {
            meta: encode_tags(&tags(pairs)).into(),
            ..NodeFacts::new(name, SocketAddr::from(([10, 0, 0, 1], 7946)))
        };
        let member = Member::with_tags(Arc::new(facts), MemberState::Alive);
        filter.admits(name, member.tags())
    }

    #[test]
    fn a_star_matches_any_run_and_a_question_mark_one_character() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "anything"),
            ("web-*", "web-"),
            ("web-*", "web-17"),
            ("*-db-?", "eu-db-db-1"),
            ("a*b*c", "aXbXbXc"),
            ("n?de", "nöde"),
            ("", ""),
            ("**x", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern} must match {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("web-*", "web"),
            ("?", ""),
            ("?", "ab"),
            ("a*b", "abc"),
            ("*-db-?", "eu-db-12"),
            ("Web", "web"),
        ] {
            assert!(!fits(pattern, name), "{pattern} must not match {name}");
        }
    }

    #[test]
    fn a_pattern_full_of_stars_does_not_take_exponential_time() {
        assert!(!fits(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!fits(&format!("{}b", "a*".repeat(60)), &"a".repeat(255)));
    }

    #[test]
    fn the_default_filter_admits_every_member() {
        assert!(admits(&MemberFilter::default(), "any", &[]));
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = MemberFilter {
            require_tags: tags(&[("role", "web"), ("dc", "1")]),
            names: vec!["a*".into(), "b*".into()],
        };
        let both = [("role", "web"), ("dc", "1"), ("more", "x")];
        assert!(admits(&filter, "alpha", &both));
        assert!(admits(&filter, "beta", &both));
        assert!(!admits(&filter, "gamma", &both));
        assert!(!admits(&filter, "alpha", &[("role", "web")]));
        assert!(!admits(&filter, "alpha", &[("role", "db"), ("dc", "1")]));
    }
}
