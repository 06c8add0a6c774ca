//! The C ABI of `include/sprat.h`: converts, checks, calls.
//!
//! Every function goes through one door, [`entry`]: it catches panics, remembers the sentence for
//! `sprat_last_error` and turns an [`Error`] into the function's way of failing. A node is a
//! checked number ([`handle`]), so that a freed one is an error and never a dangling pointer. Code
//! of the program runs behind a [`callback_guard`], which is how `sprat_node_free` knows that none is left.
//!
//! The order of the files in the header is that of `SOURCES` in build.rs; [`numbers`] and
//! [`types`] are its declarations, the other files with `sprat_` functions its parts.
//!
//! [`Error`]: crate::Error
#![allow(non_camel_case_types)]

mod args;
mod callback_guard;
mod entry;
mod handle;
mod last_error;
mod record;

mod config;
mod events;
mod explain;
mod library;
mod members;
mod node;
mod numbers;
mod settings;
mod stats;
mod tags;
mod threads;
mod types;

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
