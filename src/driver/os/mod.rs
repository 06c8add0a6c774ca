//! The lowest layer of the driver: it wraps the system calls, except those of sockets and streams.
//!
//! | file | what it wraps |
//! | --- | --- |
//! | [`clock`] | the two clocks that a node reads |
//! | [`descriptors`] | polling descriptors, the limit on open ones, waking a waiting thread |
//! | [`fork`] | noticing a fork, and closing inherited descriptors in the child |
//! | [`fork_gate`] | keeping forks and changes of descriptors apart |
//! | [`frame`] | whether a function is still on the stack below the code that it called |
//! | [`identity`] | the file to which a descriptor refers |
//! | [`interfaces`] | the name and the addresses of this host |
//! | [`kept_file`] | a file that only one node writes |
//! | [`lock`] | locks and condition variables that a fork cannot freeze |
//! | [`oneshot`] | one answer, handed from one thread to another |
//! | [`open_table`] | the descriptors that a forked child closes |
//! | [`own_fd`] | a descriptor of this library in the process of a host program |
//! | `panic` | catching panics and describing them |
//! | [`prepared`] | threads that were created before they are needed |
//! | [`replacement`] | replacing a file in one step |
//! | [`signals`] | the signal mask of a thread |
//! | [`threads`] | creating a thread, its name, its privileges, its end |
//! | [`worker`] | a thread of a node: prepared, created on demand, or created by the host program |
//!
//! The crate `nix` provides safe versions of the calls. The C library is called directly only where
//! `nix` has none: for `pthread_atfork`, `pthread_setcancelstate`, `tgkill` and the marks of
//! [`identity`].

pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod fork_gate;
#[cfg(feature = "capi")]
pub(crate) mod frame;
pub(crate) mod identity;
pub(crate) mod interfaces;
pub(crate) mod kept_file;
pub(crate) mod lock;
pub(crate) mod oneshot;
pub(crate) mod open_table;
pub(crate) mod own_fd;
pub(crate) mod panic;
pub(crate) mod prepared;
pub(crate) mod replacement;
pub(crate) mod signals;
pub(crate) mod threads;
pub(crate) mod worker;
