//! Agent checks: a thread for each connection, up to a bound.

use super::wanted::Wanted;
use sprat_haproxy::balance::Mode;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

/// Connections at once: HAProxy has one per thread, and a few more under load.
const CONNECTIONS: usize = 256;
/// An agent check says what it asks for at once.
const QUESTION: Duration = Duration::from_secs(1);

/// Answers agent checks.
///
/// # Errors
/// The address cannot be used.
pub fn agent_checks(addr: SocketAddr, wanted: Arc<Wanted>) -> Result<(), String> {
    serve(addr, "hap-check", move |stream| check(stream, &wanted))
}

fn serve(
    addr: SocketAddr,
    name: &'static str,
    work: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{addr}: {error}");
    let listener = TcpListener::bind(addr).map_err(failed)?;
    let (work, open) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let accept = move || {
        for stream in listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue; // dropped: HAProxy goes on without an answer
            }
            let (work, open_here) = (work.clone(), open.clone());
            let one = move || {
                // A connection that breaks is HAProxy's to open again.
                let _ = work(stream);
                open_here.fetch_sub(1, Ordering::Relaxed);
            };
            if Builder::new().name(name.to_owned()).spawn(one).is_err() {
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    let thread = Builder::new().name(name.to_owned()).spawn(accept);
    thread.map(drop).map_err(failed)
}

/// One agent check: the name of a member, and what HAProxy shall make of it. Of who is unknown
/// nothing is said, and nothing changes.
fn check(mut stream: TcpStream, wanted: &Wanted) -> std::io::Result<()> {
    stream.set_read_timeout(Some(QUESTION))?;
    stream.set_write_timeout(Some(QUESTION))?;
    let mut question = Vec::new();
    let mut byte = [0];
    while question.len() < 256 && stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
        question.push(byte[0]);
    }
    let name = String::from_utf8_lossy(&question);
    let (_, servers) = wanted.now();
    let answer = servers.get(name.trim()).map(|order| match order.mode {
        // 100 is the weight of a member that names none: that is the whole weight of its server.
        Mode::Ready => format!("up ready {}%\n", order.weight),
        Mode::Drain => "drain\n".to_owned(),
        Mode::Maintenance => "down #not a member now\n".to_owned(),
    });
    stream.write_all(answer.unwrap_or_default().as_bytes())
}
