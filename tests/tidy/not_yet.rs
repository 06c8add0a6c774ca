//! Files that do not follow a rule yet. Nothing is added to this list.

/// The rule, and the file that breaks it.
pub const NOT_YET: &[(&str, &str)] = &[];
