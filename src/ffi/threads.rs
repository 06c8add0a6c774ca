//! Threads that the program provides: through a callback, or prepared early.

use super::entry;
use super::types::sprat_spawn_cb;
use crate::driver::os::panic;
use crate::driver::{PreparedThreads, Spawn};
use crate::error::{Error, Status};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::sync::Arc;

/// The maximum number of prepared threads that a program can ask for.
const PREPARED_MAX: c_uint = 1024;

/// Prepares threads for nodes that the program starts later, when it can no longer create threads.
/// A node takes prepared threads before it creates new ones, unless its settings have a spawn
/// callback (sprat_config_set_spawn_cb()). A node that takes prepared threads needs two, and one
/// more for each of these: an event callback, the setting spoe_bind, and the setting keyring_file
/// in mode "serf". It takes all of them when it starts. A node with neither prepared threads nor a
/// spawn callback creates no thread for resolving host names before it has a name to resolve. A
/// program that can create threads during sprat_node_start(), but not afterwards, must therefore
/// prepare threads or set a spawn callback.
///
/// A prepared thread waits and does nothing until a node takes it. A forked child gets the same
/// number of prepared threads. The number `n` includes the threads that are already prepared, even
/// if a node uses them, so a second call with the same number does nothing.
///
/// @param n  the number of prepared threads in all, at most 1024
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_IO if the system refuses a thread.
///         Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_threads_prepare(n: c_uint) -> c_int {
    entry::status("sprat_threads_prepare", || {
        if n > PREPARED_MAX {
            let message = format!("n is {n}, allowed: 0 to {PREPARED_MAX}");
            return Err(Error::new(Status::TooLarge, message));
        }
        PreparedThreads::prepare(n as usize)
            .map_err(|error| Error::io("cannot create threads", &error))
    })
}

/// Returns the number of prepared threads that wait for a node.
///
/// @return the number. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_threads_idle() -> c_int {
    entry::number("sprat_threads_idle", || {
        Ok(c_int::try_from(PreparedThreads::idle()).unwrap_or(c_int::MAX))
    })
}

/// The callback of the program that starts threads.
#[derive(Clone, Copy)]
pub(super) struct HostSpawn {
    call: unsafe extern "C" fn(
        *const c_char,
        Option<unsafe extern "C" fn(*mut c_void)>,
        *mut c_void,
        *mut c_void,
    ) -> c_int,
    data: *mut c_void,
}

// SAFETY: the callback and its data are only used inside sprat_node_start, on the calling thread.
unsafe impl Send for HostSpawn {}
// SAFETY: only the thread that called sprat_node_start ever uses the callback.
unsafe impl Sync for HostSpawn {}

type Job = Box<dyn FnOnce() + Send>;

impl HostSpawn {
    /// Returns a spawner that calls `cb`, or `None` if `cb` is NULL.
    pub(super) fn new(cb: sprat_spawn_cb, data: *mut c_void) -> Option<HostSpawn> {
        cb.map(|call| HostSpawn { call, data })
    }
}

impl Spawn for HostSpawn {
    fn spawn(&self, name: &str, job: Job) -> io::Result<()> {
        let name = CString::new(name).unwrap_or_default();
        let arg: *mut Job = Box::into_raw(Box::new(job));
        let (call, data) = (self.call, self.data);
        let spawn = || {
            // SAFETY: the program promised that this function either calls `run` with `arg` exactly
            // once, or returns an error; `name` outlives the call.
            unsafe { call(name.as_ptr(), Some(run), arg.cast(), data) }
        };
        let refused = panic::outside(spawn);
        if refused == 0 {
            return Ok(());
        }
        // SAFETY: the program refused the job, so it will not run it, and `arg` is still ours.
        drop(unsafe { Box::from_raw(arg) });
        Err(match refused {
            1.. => io::Error::from_raw_os_error(refused),
            _ => io::Error::other("the callback of the program did not start the thread"),
        })
    }
}

/// Runs a job on a thread of the program.
unsafe extern "C" fn run(arg: *mut c_void) {
    // SAFETY: the program passes the pointer that `spawn` gave it, and passes it once.
    let job = unsafe { Box::from_raw(arg.cast::<Job>()) };
    // The job reports its own panics; none may reach the code of the program.
    let _ = panic::caught(job);
}

/// The spawner for a node: the callback of the program, or `None` if the library provides the
/// threads.
pub(super) fn spawner(host: Option<HostSpawn>) -> Option<Arc<dyn Spawn>> {
    host.map(|host| Arc::new(host) as Arc<dyn Spawn>)
}
