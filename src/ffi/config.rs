//! `sprat_config`: the settings and the callbacks that a node is started with.
//!
//! A setter that fails also marks the object, so that a program may ignore the individual results
//! and check once, when it starts the node.

use super::callback_guard::{EventSink, LogSink, UserData};
use super::threads::HostSpawn;
use super::types::{sprat_event_cb, sprat_free_cb, sprat_log_cb, sprat_spawn_cb};
use super::{args, entry};
use crate::Config;
use crate::error::{Error, Result, Status};
use crate::event::Level;
use crate::limits;
use crate::wire::Key;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

/// The settings of a node, made by sprat_config_new(). They belong to one thread at a time.
pub struct sprat_config {
    pub(super) config: Config,
    /// The error of the first setter that failed.
    failed: Option<Error>,
    pub(super) event: Callback<EventSink>,
    pub(super) log: Callback<LogSink>,
    pub(super) spawn: Option<HostSpawn>,
}

/// A callback of the program, and a flag that is true once a node has taken over its data.
pub(super) struct Callback<S> {
    pub(super) sink: Option<S>,
    taken: Cell<bool>,
}

/// A callback with the program's data.
pub(super) trait Sink: Copy {
    fn user(&self) -> UserData;
}

impl Sink for EventSink {
    fn user(&self) -> UserData {
        self.user
    }
}

impl Sink for LogSink {
    fn user(&self) -> UserData {
        self.user
    }
}

impl<S: Sink> Callback<S> {
    fn none() -> Callback<S> {
        Callback {
            sink: None,
            taken: Cell::new(false),
        }
    }

    /// Replaces the callback, and releases the data of the old one unless a node owns it.
    fn replace(&mut self, sink: Option<S>) {
        self.release();
        *self = Callback {
            sink,
            taken: Cell::new(false),
        };
    }

    fn release(&self) {
        if let Some(sink) = self.sink.filter(|_| !self.taken.replace(true)) {
            sink.user().release();
        }
    }

    /// Refuses to give the data to a second node: neither of the two nodes could free it.
    fn check_free(&self, what: &str) -> Result<()> {
        let owned = self.sink.is_some_and(|sink| sink.user().free.is_some());
        if owned && self.taken.get() {
            let message = format!(
                "config gave the user_data of its {what} callback to another node: set the \
                 callback again"
            );
            return Err(Error::new(Status::State, message));
        }
        Ok(())
    }
}

impl Drop for sprat_config {
    fn drop(&mut self) {
        self.event.release();
        self.log.release();
    }
}

impl sprat_config {
    /// Returns the error of the first setter that failed.
    pub(super) fn check_set(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(Error {
                status: Status::Config,
                ..first.clone()
            }),
        }
    }

    /// Keeps the error of a setter, unless an earlier setter failed.
    fn keep_failure(&mut self, function: &str, error: &Error) {
        let message = || format!("{function}: {}", error.message);
        self.failed.get_or_insert_with(|| Error {
            message: message(),
            ..error.clone()
        });
    }

    /// Refuses to start a node if another node owns the data of a callback.
    pub(super) fn check_callbacks(&self) -> Result<()> {
        self.event.check_free("event")?;
        self.log.check_free("log")
    }

    /// Notes that a node has started and owns the data of the callbacks.
    pub(super) fn hand_over(&self) {
        self.event.taken.set(true);
        self.log.taken.set(true);
    }
}

/// Runs a setter. The first failure stays in the settings.
fn change(
    function: &str,
    config: *mut sprat_config,
    body: impl FnOnce(&mut sprat_config) -> Result<()>,
) -> c_int {
    entry::status(function, || {
        // SAFETY: the program passes NULL or settings that it has not freed.
        let config = unsafe { config.as_mut() }.ok_or_else(|| args::null("config"))?;
        body(config).inspect_err(|error| config.keep_failure(function, error))
    })
}

/// Creates settings, all of them at their defaults.
///
/// @return the settings, to be freed with sprat_config_free(); NULL only after an internal error of
///         the library. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_config_new() -> *mut sprat_config {
    entry::value("sprat_config_new", ptr::null_mut(), || {
        Ok(Box::into_raw(Box::new(sprat_config {
            config: Config::new(),
            failed: None,
            event: Callback::none(),
            log: Callback::none(),
            spawn: None,
        })))
    })
}

/// Copies settings without their callbacks. The error of a failed setter is copied too, so that no
/// mistake is lost.
///
/// @param config  the settings to copy
/// @return the copy, to be freed with sprat_config_free(); NULL if config is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_copy(config: *const sprat_config) -> *mut sprat_config {
    entry::value("sprat_config_copy", ptr::null_mut(), || {
        // SAFETY: the program passes NULL or settings that it has not freed.
        let from = unsafe { config.as_ref() }.ok_or_else(|| args::null("config"))?;
        Ok(Box::into_raw(Box::new(sprat_config {
            config: from.config.clone(),
            failed: from.failed.clone(),
            event: Callback::none(),
            log: Callback::none(),
            spawn: None,
        })))
    })
}

/// Frees settings. Nodes that were started with them are not affected.
///
/// Calls free_user_data of the callbacks that no node has taken over.
///
/// @param config  the settings; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_free(config: *mut sprat_config) {
    // SAFETY: the program passes NULL or settings that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_config_free", config) }
}

/// Sets one of the settings that are listed at the top of sprat.h; see also sprat_setting_at(). A
/// boolean is true, yes, on or 1, or else false, no, off or 0, in lower case.
///
/// Like every setter, this function keeps its failure in the settings: sprat_node_start() then
/// fails with SPRAT_ERR_CONFIG and the sentence of the first failure. The result may be ignored.
///
/// @param config  the settings
/// @param key     the name of the setting
/// @param value   the value as text, which is copied
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND for an unknown name, and sprat_last_error() then gives the
///         most similar known name, if one is similar enough; SPRAT_ERR_INVALID or
///         SPRAT_ERR_TOO_LARGE for a value that is not allowed; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
///         After a failure, no setting has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set(
    config: *mut sprat_config,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    change("sprat_config_set", config, |config| {
        // SAFETY: the program passes NULL or NUL-terminated strings.
        let (key, value) = unsafe { (args::string("key", key)?, args::string("value", value)?) };
        config.config.set(key, value)
    })
}

/// Reads one of the settings: the value that was set, or else the default. The text is empty if the
/// setting is not set and has no default. An encryption key cannot be read back: the text of
/// `encrypt` is "set" if there is a key.
///
/// @param config  the settings
/// @param key     the name of the setting
/// @param buf     receives the value, NUL-terminated
/// @param size    the size of buf in bytes
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND for an unknown name and for a tag that is not set;
///         SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the value;
///         SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_get(
    config: *const sprat_config,
    key: *const c_char,
    buf: *mut c_char,
    size: usize,
) -> c_int {
    entry::status("sprat_config_get", || {
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::blank(buf, size) };
        // SAFETY: the program passes NULL or settings that it has not freed.
        let config = unsafe { config.as_ref() }.ok_or_else(|| args::null("config"))?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let value = config.config.get(unsafe { args::string("key", key)? })?;
        // SAFETY: the program passes NULL or a buffer of `size` bytes.
        unsafe { args::fill(buf, size, &value) }
    })
}

/// Reads settings from a file. Its lines are `name = value`. A `#` at the beginning of a line or
/// after a space begins a comment. A value may be in double quotes, where `\"` and `\\` stand for a
/// quote and a backslash, or in single quotes, where every character stands for itself.
///
/// @param config  the settings
/// @param path    the path of the file
/// @return SPRAT_OK; SPRAT_ERR_IO if the file cannot be read (see sprat_last_errno()), is not a
///         regular file, or has more than 1 MiB; SPRAT_ERR_CONFIG if the file is not UTF-8;
///         SPRAT_ERR_INVALID also for a line that is not `name = value` or has wrong quotes;
///         otherwise as sprat_config_set(). For an error in a line, sprat_last_error() also gives
///         the file and the line. After a failure, no setting has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_load(
    config: *mut sprat_config,
    path: *const c_char,
) -> c_int {
    change("sprat_config_load", config, |config| {
        // SAFETY: the program passes NULL or a NUL-terminated string.
        config
            .config
            .load(Path::new(unsafe { args::string("path", path)? }))
    })
}

/// Sets a tag of the node, which all members see. Tags need mode "serf".
///
/// @param config  the settings
/// @param key     the key of the tag, 1 to 255 bytes
/// @param value   the value, or NULL to remove the tag
/// @return SPRAT_OK; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_TOO_LARGE for a key of more than
///         255 bytes, or if all tags together would take more than 512 bytes; SPRAT_ERR_UTF8;
///         SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_tag(
    config: *mut sprat_config,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    change("sprat_config_set_tag", config, |config| {
        // SAFETY: the program passes NULL or NUL-terminated strings.
        let (key, value) = unsafe { (args::string("key", key)?, args::optional("value", value)?) };
        config.config.set_tag(key, value)
    })
}

/// Sets the metadata of the node, which all members see. Metadata needs mode "memberlist".
///
/// @param config  the settings
/// @param meta    any bytes, which are copied; may be NULL if len is 0
/// @param len     the number of bytes, at most 512
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_meta(
    config: *mut sprat_config,
    meta: *const c_void,
    len: usize,
) -> c_int {
    change("sprat_config_set_meta", config, |config| {
        // SAFETY: the program passes NULL or `len` bytes.
        let meta = unsafe { args::bytes("meta", meta, len, limits::META_LEN)? };
        config.config.set_meta(meta)
    })
}

/// Adds an encryption key. All keys decrypt. The key of the setting `encrypt` encrypts; if
/// `encrypt` is not set, the key that was added first encrypts.
///
/// @param config  the settings
/// @param key     the bytes of the key, which are copied
/// @param len     the number of bytes: 16, 24 or 32
/// @return SPRAT_OK; SPRAT_ERR_INVALID for any other length; SPRAT_ERR_TOO_LARGE for more than 64
///         keys, including that of `encrypt`; SPRAT_ERR_NULL. After a failure nothing is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_add_key(
    config: *mut sprat_config,
    key: *const c_void,
    len: usize,
) -> c_int {
    change("sprat_config_add_key", config, |config| {
        if key.is_null() {
            return Err(args::null("key"));
        }
        let wrong = || {
            let message = format!("key has {len} bytes, allowed: 16, 24 or 32");
            Error::new(Status::Invalid, message)
        };
        if ![16, 24, 32].contains(&len) {
            return Err(wrong());
        }
        // SAFETY: the program passes NULL or `len` bytes.
        let key = unsafe { args::bytes("key", key, len, 32)? };
        config.config.add_key(Key::new(key).ok_or_else(wrong)?)
    })
}

/// Adds a pattern to the setting `filter.names`. The node then lists and reports only itself and
/// the members whose name matches at least one of the patterns. The other members stay in the
/// protocol.
///
/// @param config   the settings
/// @param pattern  the pattern: `*` stands for any characters, `?` for one character; it must not
///                 contain a comma. NULL removes all patterns
/// @return SPRAT_OK; SPRAT_ERR_INVALID if pattern is empty, has a comma or a space at an end, or
///         has more than 255 bytes; SPRAT_ERR_UTF8; SPRAT_ERR_NULL if config is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_filter_name(
    config: *mut sprat_config,
    pattern: *const c_char,
) -> c_int {
    change("sprat_config_set_filter_name", config, |config| {
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let Some(pattern) = (unsafe { args::optional("pattern", pattern)? }) else {
            return config.config.set("filter.names", "");
        };
        let is_one = !pattern.is_empty() && !pattern.contains(',') && pattern.trim() == pattern;
        if !is_one {
            let message = format!(
                "pattern is \"{pattern}\", allowed: text without a comma, and no space at its ends"
            );
            return Err(Error::new(Status::Invalid, message));
        }
        let before = config.config.get("filter.names")?;
        let comma = if before.is_empty() { "" } else { "," };
        config
            .config
            .set("filter.names", &format!("{before}{comma}{pattern}"))
    })
}

/// Sets the setting `filter.tag.KEY`. The node then lists and reports only itself and the members
/// that have a tag `key` with exactly this value. With several such filters, a member must match
/// all of them. The other members stay in the protocol.
///
/// @param config  the settings
/// @param key     the key of the tag
/// @param value   the value that the tag must have
/// @return SPRAT_OK; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_TOO_LARGE for a key or a value
///         of more than 255 bytes; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_filter_tag(
    config: *mut sprat_config,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    change("sprat_config_set_filter_tag", config, |config| {
        // SAFETY: the program passes NULL or NUL-terminated strings.
        let (key, value) = unsafe { (args::string("key", key)?, args::string("value", value)?) };
        if key.is_empty() {
            return Err(Error::new(Status::Invalid, "key is empty"));
        }
        config.config.set(&format!("filter.tag.{key}"), value)
    })
}

/// Delivers events through a callback on a thread of the library. Without a callback the program
/// takes events with sprat_node_next_event(), sprat_node_next_events() or sprat_node_dispatch().
///
/// @param config          the settings
/// @param cb              the callback; NULL removes it
/// @param user_data       a pointer that is passed to cb
/// @param free_user_data  called once, when neither the settings nor a node needs user_data any
///                        more; never if this call fails or if cb is NULL; may be NULL
/// @return SPRAT_OK; SPRAT_ERR_NULL if config is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_event_cb(
    config: *mut sprat_config,
    cb: sprat_event_cb,
    user_data: *mut c_void,
    free_user_data: sprat_free_cb,
) -> c_int {
    change("sprat_config_set_event_cb", config, |config| {
        let user = UserData::new(user_data, free_user_data);
        config.event.replace(EventSink::new(cb, user));
        Ok(())
    })
}

/// Delivers log lines to a callback instead of as events of kind SPRAT_EVENT_LOG, whatever the
/// setting `event_kinds` is.
///
/// The callback runs where events are delivered: on the thread of the library if there is an event
/// callback, otherwise inside sprat_node_next_event(), sprat_node_next_events() and
/// sprat_node_dispatch(), on the thread that calls them.
///
/// @param config          the settings
/// @param max_level       an enum sprat_log_level: the most detailed level that is delivered. This
///                        call also sets the setting `log_level` to it
/// @param cb              the callback; NULL removes it
/// @param user_data       a pointer that is passed to cb
/// @param free_user_data  called once, when neither the settings nor a node needs user_data any
///                        more; never if this call fails or if cb is NULL; may be NULL
/// @return SPRAT_OK; SPRAT_ERR_INVALID for an unknown level; SPRAT_ERR_NULL if config is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_log_cb(
    config: *mut sprat_config,
    max_level: c_int,
    cb: sprat_log_cb,
    user_data: *mut c_void,
    free_user_data: sprat_free_cb,
) -> c_int {
    change("sprat_config_set_log_cb", config, |config| {
        let level = match Level::from_number(max_level) {
            Some(level) => level.name(),
            None if max_level == 0 => "off",
            None => {
                let message = format!("max_level is {max_level}, allowed: 0 to 5");
                return Err(Error::new(Status::Invalid, message));
            }
        };
        config.config.set("log_level", level)?;
        let user = UserData::new(user_data, free_user_data);
        config.log.replace(LogSink::new(cb, user));
        Ok(())
    })
}

/// Sets a callback with which the program creates the threads of nodes. Without this callback the
/// library takes the threads that sprat_threads_prepare() has prepared, and creates its own when
/// none are left.
///
/// @param config     the settings
/// @param cb         the callback; NULL removes it
/// @param user_data  a pointer that is passed to cb; it must be valid until sprat_node_start() has
///                   returned
/// @return SPRAT_OK; SPRAT_ERR_NULL if config is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_set_spawn_cb(
    config: *mut sprat_config,
    cb: sprat_spawn_cb,
    user_data: *mut c_void,
) -> c_int {
    change("sprat_config_set_spawn_cb", config, |config| {
        config.spawn = HostSpawn::new(cb, user_data);
        Ok(())
    })
}

/// Checks the settings, without starting a node. sprat_node_start() also checks what depends on the
/// host, such as its addresses, and whether the user_data of a callback belongs to another node
/// already.
///
/// @param config  the settings
/// @return SPRAT_OK; SPRAT_ERR_CONFIG if a setter failed, settings contradict each other, or the
///         keys are not valid; SPRAT_ERR_IO if the keyring file cannot be read; SPRAT_ERR_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_config_check(config: *const sprat_config) -> c_int {
    entry::status("sprat_config_check", || {
        // SAFETY: the program passes NULL or settings that it has not freed.
        let config = unsafe { config.as_ref() }.ok_or_else(|| args::null("config"))?;
        config.check_set()?;
        config.config.check()
    })
}
