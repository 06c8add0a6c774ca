//! One command, one connection: a socket of HAProxy ends after it has answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// Longer answers are cut: none of those that are read is longer.
const ANSWER: u64 = 16 * 1024 * 1024;

/// Sends a line and gives the answer.
///
/// # Errors
/// A sentence.
pub fn ask(haproxy: &str, command: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    match haproxy.parse::<SocketAddr>() {
        Ok(addr) => {
            let stream = TcpStream::connect_timeout(&addr, PATIENCE).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            talk(stream, command).map_err(failed)
        }
        Err(_) => {
            let stream = UnixStream::connect(haproxy).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            talk(stream, command).map_err(failed)
        }
    }
}

fn talk(mut stream: impl Read + Write, command: &str) -> std::io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
