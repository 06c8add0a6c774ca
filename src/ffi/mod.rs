//! The C ABI of `include/sprat.h`. It converts and checks arguments, and calls the driver.
//!
//! A function that can fail runs inside [`entry`], which catches panics, keeps the sentence for
//! `sprat_last_error` and turns an [`Error`] into the function's result for a failure. A node is a
//! checked number ([`handle`]), so that a freed node is an error and never a dangling pointer.
//! Callbacks of the program run inside a [`callback_guard`], which tells `sprat_node_free` when the
//! last one has returned.
//!
//! `SOURCES` in include/header.rs gives the order of the files in the header: [`numbers`] and
//! [`types`] hold most of its types, and each other file with `sprat_` functions is one part of it.
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
mod coordinates;
mod events;
mod explain;
mod keys;
mod library;
mod member_cache;
mod memberlist;
mod members;
mod node;
mod numbers;
mod operation;
mod queries;
mod settings;
mod stats;
mod tags;
mod threads;
mod types;
mod user_events;

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
