//! Checks of the house rules: layers, parts, cycles, heads of folders, vocabularies, words, sizes,
//! forms, scripts.
//!
//! The rules are about text, so the checks read text. Each check is a function of files. It runs on
//! the files of the project, and on broken examples, in which it must find the faults. Exceptions
//! are listed in `findings.rs`, with their reasons.

#[path = "tidy/cycles.rs"]
mod cycles;
#[path = "tidy/findings.rs"]
mod findings;
#[path = "tidy/heads.rs"]
mod heads;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/not_yet.rs"]
mod not_yet;
#[path = "tidy/parts.rs"]
mod parts;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/scripts.rs"]
mod scripts;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/vocabulary.rs"]
mod vocabulary;
#[path = "tidy/words.rs"]
mod words;
