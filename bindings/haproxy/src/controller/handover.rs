//! Who takes over: the next process on this host with the same address for the cluster.
//!
//! A load balancer that stops cannot tell a reload from an end. After a reload its successor wants
//! the port and connects here meanwhile; then the old one goes without a word. If nobody comes it
//! says goodbye. The name of the socket is abstract: it needs no file, so it works in a chroot,
//! and it vanishes with its owner.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as Name, UnixListener, UnixStream};

/// HAProxy pads the names of abstract sockets with zeros to this length.
const NAME_LEN: usize = 107;
/// What an heir says, unlike others who connect.
const WORD: &[u8] = b"heir\n";

/// The name of the socket, as HAProxy has it after `abns@`.
pub fn name(addr: SocketAddr) -> String {
    format!("sprat-{addr}")
}

fn abstract_name(addr: SocketAddr) -> std::io::Result<Name> {
    let mut bytes = name(addr).into_bytes();
    bytes.resize(NAME_LEN, 0);
    Name::from_abstract_name(bytes)
}

/// Waits for an heir.
pub(super) struct Heirs {
    listener: UnixListener,
    /// Who has connected and said nothing yet.
    silent: Vec<UnixStream>,
    /// Somebody waits for our place.
    found: bool,
}

impl Heirs {
    /// Listens, unless somebody does so already.
    pub fn listen(addr: SocketAddr) -> Option<Heirs> {
        let listener = UnixListener::bind_addr(&abstract_name(addr).ok()?).ok()?;
        listener.set_nonblocking(true).ok()?;
        let silent = Vec::new();
        Some(Heirs {
            listener,
            silent,
            found: false,
        })
    }

    /// Is there an heir?
    pub fn found(&mut self) -> bool {
        while let Ok((stream, _)) = self.listener.accept() {
            if is_trusted(&stream) && stream.set_nonblocking(true).is_ok() && self.silent.len() < 64
            {
                self.silent.push(stream);
            }
        }
        self.silent.retain_mut(|stream| {
            let mut word = [0; WORD.len()];
            match stream.read(&mut word) {
                Ok(0) => false,
                Ok(_) => {
                    self.found |= word == WORD;
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        self.found
    }
}

/// Abstract names have no owner and no mode: anybody on this host can connect. Who is neither this
/// user nor root is not listened to.
fn is_trusted(stream: &UnixStream) -> bool {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: a place for the answer and its length, both our own; `geteuid` always works.
    let (failed, own) = unsafe {
        let place = (&raw mut peer).cast();
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        let failed = libc::getsockopt(stream.as_raw_fd(), level, option, place, &mut len);
        (failed, libc::geteuid())
    };
    failed == 0 && (peer.uid == own || peer.uid == 0)
}

/// Says to who has the port that we want it. The answer is that it becomes free.
pub(super) fn claim(addr: SocketAddr) -> Option<UnixStream> {
    let mut stream = UnixStream::connect_addr(&abstract_name(addr).ok()?).ok()?;
    stream.write_all(WORD).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_heir_is_who_says_so() {
        let addr = SocketAddr::from(([127, 0, 0, 1], std::process::id() as u16));
        assert!(claim(addr).is_none());
        let mut heirs = Heirs::listen(addr).unwrap();
        assert!(Heirs::listen(addr).is_none(), "there is one");
        let _other = UnixStream::connect_addr(&abstract_name(addr).unwrap()).unwrap();
        assert!(!heirs.found());
        let heir = claim(addr).unwrap();
        assert!(heirs.found());
        drop(heir);
        assert!(heirs.found(), "it was there");
        drop(heirs);
        assert!(
            Heirs::listen(addr).is_some(),
            "the name vanishes with its owner"
        );
    }
}
