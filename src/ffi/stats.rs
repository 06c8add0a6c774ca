//! Counters as a list of names and values, so that a new counter never changes the ABI.

use super::types::sprat_node;
use super::{args, entry, handle};
use std::ffi::{CString, c_char, c_int};
use std::ptr;

/// The counters of a node at one moment, made by sprat_node_stats(). Several threads may read them.
pub struct sprat_stats {
    counters: Vec<Counter>,
}

struct Counter {
    name: CString,
    value: i64,
    help: CString,
}

/// Reads all counters of a node.
///
/// @param node  the node; it may have been shut down
/// @param out   receives the counters, to be freed with sprat_stats_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_stats(
    node: *const sprat_node,
    out: *mut *mut sprat_stats,
) -> c_int {
    entry::status("sprat_node_stats", || {
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let counters = handle::get(node)?.node.stats().into_iter();
        let counters = counters
            .map(|it| Counter {
                name: args::text(it.name),
                value: it.value,
                help: args::text(it.help),
            })
            .collect();
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(Box::new(sprat_stats { counters }))) };
        Ok(())
    })
}

/// Returns the number of counters.
///
/// @param stats  the counters
/// @return the number; 0 if stats is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_stats_count(stats: *const sprat_stats) -> usize {
    // SAFETY: the program passes NULL or counters that it has not freed.
    entry::quiet("sprat_stats_count", 0, || {
        unsafe { stats.as_ref() }.map_or(0, |stats| stats.counters.len())
    })
}

/// Returns a counter by its index.
///
/// @param stats  the counters
/// @param i      the index, less than sprat_stats_count()
/// @param value  receives the value, or 0 if there is no such counter; may be NULL
/// @param help   receives a sentence that explains the counter, or NULL if there is no such
///               counter; may be NULL
/// @return the name of the counter; NULL past the end or if stats is NULL. The strings live as long
///         as the counters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_stats_get(
    stats: *const sprat_stats,
    i: usize,
    value: *mut i64,
    help: *mut *const c_char,
) -> *const c_char {
    entry::quiet("sprat_stats_get", ptr::null(), || {
        // SAFETY: the program passes NULL or counters that it has not freed.
        let counter = unsafe { stats.as_ref() }.and_then(|stats| stats.counters.get(i));
        let text = |of: fn(&Counter) -> &CString| counter.map_or(ptr::null(), |c| of(c).as_ptr());
        // SAFETY: the program passes NULL or places for these.
        unsafe {
            args::give(value, counter.map_or(0, |counter| counter.value));
            args::give(help, text(|counter| &counter.help));
        }
        text(|counter| &counter.name)
    })
}

/// Returns the value of a counter by its name.
///
/// @param stats    the counters
/// @param name     the name of the counter
/// @param missing  the value to return if there is no such counter or an argument is NULL
/// @return the value of the counter, or missing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_stats_value(
    stats: *const sprat_stats,
    name: *const c_char,
    missing: i64,
) -> i64 {
    entry::quiet("sprat_stats_value", missing, || {
        // SAFETY: the program passes NULL or counters that it has not freed.
        let Some(stats) = (unsafe { stats.as_ref() }) else {
            return missing;
        };
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let Ok(Some(name)) = (unsafe { args::optional("name", name) }) else {
            return missing;
        };
        let mut counters = stats.counters.iter();
        let found = counters.find(|counter| counter.name.as_bytes() == name.as_bytes());
        found.map_or(missing, |counter| counter.value)
    })
}

/// Frees counters.
///
/// @param stats  the counters; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_stats_free(stats: *mut sprat_stats) {
    // SAFETY: the program passes NULL or counters that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_stats_free", stats) }
}
