//! Files that are not yet brought to a rule. The list shrinks to nothing; nothing is added to it.

/// The rule and the file.
pub const NOT_YET: &[(&str, &str)] = &[];
