//! The answers to agent checks: one thread for each connection, up to a limit.

use super::desired::DesiredServers;
use super::{accept, log};
use sprat_haproxy::balance::AdminState;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// The maximum number of open connections. HAProxy opens one for each server that it is checking.
const CONNECTIONS: usize = 256;
/// The longest wait for the first bytes of a question, and for the answer to be sent.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait for more bytes of a question that has no line end.
const MORE: Duration = Duration::from_millis(50);
/// The maximum length of a question in bytes; no more are read.
const QUESTION_LEN: usize = 256;
/// The maximum number of unknown names that are logged.
const UNKNOWN: usize = 100;

/// A socket that takes agent checks once it is served.
pub struct AgentChecks {
    addr: SocketAddr,
    listener: TcpListener,
}

impl AgentChecks {
    /// Listens at an address.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn bind(addr: SocketAddr) -> Result<AgentChecks, String> {
        let listener = TcpListener::bind(addr).map_err(|error| failed(addr, &error))?;
        Ok(AgentChecks { addr, listener })
    }

    /// Starts answering agent checks.
    ///
    /// # Errors
    /// No thread can be created.
    pub fn serve(self, desired: Arc<DesiredServers>) -> Result<(), String> {
        let AgentChecks { addr, listener } = self;
        let responder = Arc::new(Responder {
            desired,
            logged: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let accept = move || listener.accept().map(|(stream, _)| stream);
        let serve = move |stream| responder.clone().accept(stream);
        accept::start("hap-check", "agent checks", accept, serve)
            .map_err(|error| failed(addr, &error))
    }
}

fn failed(addr: SocketAddr, error: &std::io::Error) -> String {
    format!("cannot serve agent checks at {addr}: {error}")
}

/// Answers the questions of all connections.
struct Responder {
    desired: Arc<DesiredServers>,
    /// The unknown names that have been logged.
    logged: Mutex<BTreeSet<String>>,
    /// The number of open connections.
    open: AtomicUsize,
}

impl Responder {
    /// Answers a connection on a thread of its own, or closes it if too many are open. HAProxy then
    /// goes on without an answer.
    fn accept(self: Arc<Self>, stream: TcpStream) {
        if self.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let responder = self.clone();
        let work = move || {
            // If the connection breaks, HAProxy connects again.
            let _ = responder.answer(stream);
            responder.open.fetch_sub(1, Ordering::Relaxed);
        };
        let thread = Builder::new().name("hap-check".to_owned()).spawn(work);
        if thread.is_err() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Answers one agent check. The question is the name of a member. The answer for an unknown
    /// name is empty, and HAProxy then changes nothing. No answer has the words `ready`, `drain` or
    /// `maint`, because these set the administrative state, which belongs to an operator: `ready`
    /// would end a `disable server`. A server with the weight 0 drains.
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_write_timeout(Some(FIRST))?;
        let question = read_question(&mut stream)?;
        let name = question.trim();
        let servers = self.desired.current();
        let answer = servers.get(name).map(|it| match it.state {
            // HAProxy takes the weight as a percentage of the weight in its configuration.
            AdminState::Ready => format!("up {}%\n", it.weight),
            AdminState::Drain => "up 0%\n".to_owned(),
            AdminState::Maint => "down #failed, gone or in maintenance\n".to_owned(),
        });
        if answer.is_none() {
            self.log_unknown(name);
        }
        stream.write_all(answer.unwrap_or_default().as_bytes())
    }

    /// Logs a name that no member in a slot has, once for each name.
    fn log_unknown(&self, name: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < UNKNOWN && logged.insert(name.to_owned()) {
            log(&format!(
                "an agent check asks for {name:?}, but no member of this name has a server; the \
                 answer is empty"
            ));
        }
    }
}

/// Reads the text of `agent-send`: a line, or all that arrives if there is no line end.
fn read_question(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut question = Vec::new();
    let mut part = [0; QUESTION_LEN];
    stream.set_read_timeout(Some(FIRST))?;
    while question.len() < QUESTION_LEN && !question.contains(&b'\n') {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => question.extend_from_slice(&part[..len]),
            Err(error) if question.is_empty() => return Err(error),
            Err(_) => break,
        }
        stream.set_read_timeout(Some(MORE))?;
    }
    Ok(String::from_utf8_lossy(&question).into_owned())
}
