//! Which files HAProxy and `sprat-hap` may read or keep: the addresses in a file become servers.

use sprat::driver::check_owner;
use std::fs::Metadata;
use std::io;

/// Returns the user as whom this process opens files.
pub fn own_user() -> u32 {
    // SAFETY: `geteuid` takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Refuses a file that a user other than the own one and root could have written, or that is not a
/// regular file.
///
/// # Errors
/// `InvalidInput`, with the reason.
pub fn check(meta: &Metadata) -> io::Result<()> {
    check_owner(meta, own_user())
}
