//! SPOE in a real node: its answers over real connections, and the start and end of the service.

use super::help::{
    PATIENCE, alone, config, count, counter, eventually, join, node, state_of, threads, with,
};
use sprat::serf::MemberState;
use sprat::service::spoe::wire::{Value, put_number, put_text, put_value};
use sprat::{EventBody, Node, Status};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.3:0").unwrap();
    listener.local_addr().unwrap()
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, 1];
    put_number(&mut body, 1);
    put_number(&mut body, 1);
    body.extend_from_slice(payload);
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn hello() -> Vec<u8> {
    let mut payload = Vec::new();
    for (key, value) in [
        ("supported-versions", Value::Text(b"2.0".to_vec())),
        ("max-frame-size", Value::Uint(16_380)),
        ("capabilities", Value::Text(b"pipelining".to_vec())),
    ] {
        put_text(&mut payload, key.as_bytes());
        put_value(&mut payload, &value);
    }
    frame(1, &payload)
}

/// A connection as HAProxy opens it.
struct Caller(TcpStream);

impl Caller {
    fn new(addr: SocketAddr) -> Caller {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut caller = Caller(stream);
        assert_eq!(caller.send(&hello())[0], 101);
        caller
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.write_all(bytes).unwrap();
        let mut len = [0; 4];
        self.0.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }

    /// Asks the service for the size of the cluster.
    fn size(&mut self) -> u8 {
        let mut payload = Vec::new();
        put_text(&mut payload, b"size");
        payload.push(0);
        let answer = self.send(&frame(3, &payload));
        let at = answer.windows(5).position(|it| it == b"\x04size");
        answer[at.expect("the variable") + 6]
    }
}

#[test]
fn spoe_answers_and_counts_questions_and_ends_with_its_node() {
    let _turn = alone();
    let addr = free_addr();
    let settings = with("a", &[("spoe_bind", &addr.to_string())]);
    let descriptors = count("/proc/self/fd");
    for _ in 0..2 {
        let node = Node::start(&settings).unwrap();
        let all = settings.threads() - 1; // no thread resolves names yet
        eventually("each thread has its name", || threads() == all);
        let mut caller = Caller::new(addr);
        assert_eq!(caller.size(), 1);
        assert_eq!(counter(&node, "spoe_connections"), 1);
        assert_eq!(counter(&node, "spoe_questions"), 1);
        assert_eq!(counter(&node, "spoe_refused"), 0);
        assert_eq!(caller.send(&[0; 4])[0], 102);
        eventually("the connection is closed", || {
            counter(&node, "spoe_connections") == 0
        });
        assert_eq!(counter(&node, "spoe_refused"), 1);
        node.shutdown();
        assert!(
            TcpStream::connect(addr).is_err(),
            "the service still listens"
        );
    }
    eventually("no thread and no descriptor is left", || {
        threads() == 0 && count("/proc/self/fd") == descriptors
    });
}

#[test]
fn a_refused_connection_is_logged_with_its_source_the_reason_and_the_remedy() {
    let _turn = alone();
    let addr = free_addr();
    let settings = [("spoe_bind", &*addr.to_string()), ("log_level", "warn")];
    let node = Node::start(&with("a", &settings)).unwrap();
    let mut caller = Caller::new(addr);
    let source = caller.0.local_addr().unwrap();
    assert_eq!(caller.send(&[0; 4])[0], 102);
    let said = format!(
        "spoe_refused +1 from {source}: A frame cannot be read, has too many questions, or \
         comes at the wrong time. Let only the SPOE of HAProxy connect to the address in \
         `spoe_bind`."
    );
    let mut lines = Vec::new();
    eventually("the refusal is logged", || {
        while let Some(event) = node.next_event(Some(Duration::ZERO)).unwrap() {
            if let EventBody::Log { text, .. } = event.body {
                lines.push(text);
            }
        }
        !lines.is_empty()
    });
    assert_eq!(lines, [said]);
}

#[test]
fn a_spoe_address_in_use_is_an_error_and_leaves_nothing_open() {
    let _turn = alone();
    let taken = TcpListener::bind("127.0.0.3:0").unwrap();
    let text = taken.local_addr().unwrap().to_string();
    let descriptors = count("/proc/self/fd");
    let error = Node::start(&with("a", &[("spoe_bind", &text)])).unwrap_err();
    assert_eq!(
        (error.status, error.errno),
        (Status::Address, libc::EADDRINUSE)
    );
    assert!(
        error.message.contains(&format!("spoe_bind {text}")),
        "{}",
        error.message
    );
    eventually("threads and descriptors are gone", || {
        (threads(), count("/proc/self/fd")) == (0, descriptors)
    });
}

#[test]
fn answers_follow_the_members_but_not_while_the_node_may_be_cut_off() {
    let _turn = alone();
    let addr = free_addr();
    let text = addr.to_string();
    let quick = [("probe_interval_ms", "100"), ("probe_timeout_ms", "50")];
    let settings = [quick[0], quick[1], ("spoe_bind", &text)];
    let a = Node::start(&with("a", &settings)).unwrap();
    let b = node("b");
    join(&b, &a);
    let mut caller = Caller::new(addr);
    eventually("the service counts two members", || caller.size() == 2);
    let c = Node::start(&config("c", "127.0.0.1:0")).unwrap();
    join(&c, &a);
    eventually("the service counts three members", || caller.size() == 3);
    b.shutdown();
    c.shutdown();
    eventually("both members have failed", || {
        ["b", "c"].map(|it| state_of(&a, it)) == [Some(MemberState::Failed); 2]
    });
    assert!(a.health().unwrap().isolated);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(caller.size(), 3);
}

#[test]
fn a_peer_that_takes_no_answers_is_no_longer_read_from_and_delays_no_other() {
    let _turn = alone();
    let addr = free_addr();
    let node = Node::start(&with("a", &[("spoe_bind", &addr.to_string())])).unwrap();
    let deaf = Caller::new(addr);
    deaf.0.set_nonblocking(true).unwrap();
    let mut payload = Vec::new();
    put_text(&mut payload, b"size");
    payload.push(0);
    let questions = frame(3, &payload).repeat(1000);
    let mut sent = 0;
    eventually("the buffers of the connection are full", || {
        match (&deaf.0).write(&questions) {
            Ok(len) => sent += len,
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                return (&deaf.0).write(&questions).is_err();
            }
        }
        false
    });
    assert!(sent > questions.len());
    let mut other = Caller::new(addr);
    assert_eq!(other.size(), 1);
    assert_eq!(counter(&node, "spoe_connections"), 2);
}
