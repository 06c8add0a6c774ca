//! Agent checks: a thread for each connection, up to a bound.

use super::log;
use super::wanted::Wanted;
use sprat_haproxy::balance::Mode;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// Connections at once: HAProxy has one per thread, and a few more under load.
const CONNECTIONS: usize = 256;
/// An agent check says what it asks for at once.
const QUESTION: Duration = Duration::from_secs(1);
/// After a part of it that is no line.
const REST: Duration = Duration::from_millis(50);

/// Answers agent checks.
///
/// # Errors
/// The address cannot be used.
pub fn agent_checks(addr: SocketAddr, wanted: Arc<Wanted>) -> Result<(), String> {
    let unknown = Unknown::default();
    serve(addr, "hap-check", move |stream| {
        check(stream, &wanted, &unknown)
    })
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
fn check(mut stream: TcpStream, wanted: &Wanted, unknown: &Unknown) -> std::io::Result<()> {
    stream.set_write_timeout(Some(QUESTION))?;
    let name = question(&mut stream)?;
    let servers = wanted.now();
    let answer = servers.get(name.trim()).map(|order| match order.mode {
        // 100 is the weight of a member that names none: that is the whole weight of its server.
        Mode::Ready => format!("up ready {}%\n", order.weight),
        Mode::Drain => "drain\n".to_owned(),
        Mode::Maintenance => "down #failed, gone or in maintenance\n".to_owned(),
    });
    if answer.is_none() {
        unknown.tell(name.trim());
    }
    stream.write_all(answer.unwrap_or_default().as_bytes())
}

/// What `agent-send` says: a line, or all there is without a line end.
fn question(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut question = Vec::new();
    let mut part = [0; 256];
    stream.set_read_timeout(Some(QUESTION))?;
    while question.len() < part.len() && !question.contains(&b'\n') {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => question.extend_from_slice(&part[..len]),
            Err(error) if question.is_empty() => return Err(error),
            Err(_) => break,
        }
        stream.set_read_timeout(Some(REST))?;
    }
    Ok(String::from_utf8_lossy(&question).into_owned())
}

/// Names that nobody has: each is told of once. At the start nobody has any.
#[derive(Default)]
struct Unknown(Mutex<BTreeSet<String>>);

impl Unknown {
    fn tell(&self, name: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 100 && told.insert(name.to_owned()) {
            let what = "an agent check asks for a member that nobody knows";
            log(&format!("{what}: {name:?}, and gets no answer"));
        }
    }
}
