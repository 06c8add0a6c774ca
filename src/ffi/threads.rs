//! Threads that the program makes: through a callback, or parked beforehand.

use super::entry;
use super::types::sprat_spawn_cb;
use crate::driver::os::panic;
use crate::driver::{Parked, Spawn};
use crate::error::{Error, Status};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::sync::Arc;

/// Threads that one process may park.
const PARKED: c_uint = 1024;

/// Parks threads for nodes that start later, where threads cannot be created any more by then: a
/// node takes parked threads first. A node needs two, one more with an event callback, and one
/// more with the setting spoe_bind.
///
/// They wait and do nothing until then. A child of a fork gets as many of its own. Calling this
/// again with the same number does nothing more.
///
/// @param n  how many shall wait, 1024 at most
/// @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_IO if the system refuses. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_threads_prepare(n: c_uint) -> c_int {
    entry::status("sprat_threads_prepare", || {
        if n > PARKED {
            let message = format!("n is {n}, allowed are 0 to {PARKED}");
            return Err(Error::new(Status::TooLarge, message));
        }
        Parked::prepare(n as usize).map_err(|error| Error::io("cannot create threads", &error))
    })
}

/// How many parked threads wait for a node now.
///
/// @return the number. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_threads_parked() -> c_int {
    entry::number("sprat_threads_parked", || {
        Ok(c_int::try_from(Parked::waiting()).unwrap_or(c_int::MAX))
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

// SAFETY: used only inside sprat_node_start, on the thread that called it.
unsafe impl Send for HostSpawn {}
// SAFETY: as above.
unsafe impl Sync for HostSpawn {}

type Job = Box<dyn FnOnce() + Send>;

impl HostSpawn {
    /// The spawner of a callback that is not NULL.
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
            // SAFETY: the program's function; it calls `run` with `arg` once, or answers otherwise.
            unsafe { call(name.as_ptr(), Some(run), arg.cast(), data) }
        };
        let refused = panic::outside(spawn);
        if refused == 0 {
            return Ok(());
        }
        // SAFETY: refused, so the program will not run it.
        drop(unsafe { Box::from_raw(arg) });
        Err(match refused {
            1.. => io::Error::from_raw_os_error(refused),
            _ => io::Error::other("the program did not start the thread"),
        })
    }
}

/// Runs a job on the program's thread.
unsafe extern "C" fn run(arg: *mut c_void) {
    // SAFETY: the program passes what `spawn` gave it, once.
    let job = unsafe { Box::from_raw(arg.cast::<Job>()) };
    // The job tells of its own panics; nothing may get through to the program's code.
    let _ = panic::caught(job);
}

/// Who starts the threads of a node: the program's callback, or the library.
pub(super) fn spawner(host: Option<HostSpawn>) -> Option<Arc<dyn Spawn>> {
    host.map(|host| Arc::new(host) as Arc<dyn Spawn>)
}
