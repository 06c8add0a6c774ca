//! Sends commands to HAProxy's runtime API, each on a connection of its own: HAProxy closes the
//! connection after its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of an answer, in bytes. Longer answers are not expected, and would be cut
/// short.
const ANSWER_LEN: u64 = 16 * 1024 * 1024;

/// Sends a line to the runtime API at a path or at IP:PORT, and returns the answer.
///
/// # Errors
/// The text of the system's error.
pub fn send(haproxy: &str, line: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    match haproxy.parse::<SocketAddr>() {
        Ok(addr) => {
            let stream = TcpStream::connect_timeout(&addr, TIMEOUT).map_err(failed)?;
            stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
            stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
            exchange(stream, line).map_err(failed)
        }
        Err(_) => {
            let stream = UnixStream::connect(haproxy).map_err(failed)?;
            stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
            stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
            exchange(stream, line).map_err(failed)
        }
    }
}

fn exchange(mut stream: impl Read + Write, line: &str) -> std::io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
