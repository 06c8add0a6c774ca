//! Files that do not follow a rule yet. Nothing may be added to this list.

/// Pairs of a rule and a file that breaks it.
pub const NOT_YET: &[(&str, &str)] = &[];
