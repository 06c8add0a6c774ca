//! One connection of HAProxy as a state machine: bytes in, bytes out.

use super::frame::{self, Incoming, Message, SIZE_MAX, Status, Variable};
use crate::service::{Actions, End};

/// The maximum number of messages in one frame. HAProxy sends the few messages of one event in a
/// frame.
const MESSAGES: usize = 64;
/// The number of answered questions after which no further frame is read until other connections
/// have had their turn. A frame without questions counts as one.
const QUESTIONS: u64 = 64;

/// A source of answers.
pub trait Answers {
    /// The variables that answer one question; empty if it cannot be answered.
    fn answer(&self, question: &Message) -> Vec<Variable>;
}

/// The state of a connection.
#[derive(Default)]
pub struct Session {
    /// The largest frame, once both sides have agreed on it.
    size: Option<u64>,
}

impl Session {
    /// Reads the whole frames at the start of `input` until enough questions are answered, adds the
    /// answers to `actions`, and returns how many bytes it read. HAProxy 3.2 expects the greeting
    /// in one segment, so all answers go out in one write.
    pub fn read(&mut self, input: &[u8], answers: &impl Answers, actions: &mut Actions) -> usize {
        let (mut at, mut work) = (0, 0);
        while actions.end.is_none() {
            if work >= QUESTIONS {
                actions.more = true;
                break;
            }
            match self.next_frame(&input[at..]) {
                Ok(Some(len)) => {
                    let frame = &input[at + 4..at + len];
                    at += len;
                    let before = actions.served;
                    let request = frame::read(frame);
                    if let Err(status) = request.and_then(|it| self.handle(it, answers, actions)) {
                        refuse(status, actions);
                    }
                    work += (actions.served - before).max(1);
                }
                Ok(None) => break,
                Err(status) => refuse(status, actions),
            }
        }
        at
    }

    /// The length of the first frame including its length field; `None` if the frame is incomplete.
    fn next_frame(&self, input: &[u8]) -> Result<Option<usize>, Status> {
        let Some((len, _)) = input.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u64::from(u32::from_be_bytes(*len));
        if len > self.size.unwrap_or(SIZE_MAX) {
            return Err(Status::TooBig);
        }
        let end = 4 + len as usize;
        Ok((end <= input.len()).then_some(end))
    }

    fn handle(
        &mut self,
        request: Incoming,
        answers: &impl Answers,
        actions: &mut Actions,
    ) -> Result<(), Status> {
        match (request, self.size) {
            (Incoming::Hello { size, is_check }, None) => {
                self.size = Some(size);
                actions.bytes.extend(frame::agent_hello(size, is_check));
                actions.end = is_check.then_some(End::Close);
            }
            (
                Incoming::Notify {
                    stream,
                    frame,
                    messages,
                },
                Some(size),
            ) => {
                if messages.len() > MESSAGES {
                    return Err(Status::Invalid);
                }
                actions.served += messages.len() as u64;
                let found = messages.iter().flat_map(|it| answers.answer(it));
                let variables: Vec<Variable> = found.collect();
                let answer = frame::ack(stream, frame, &variables);
                let fits = answer.len() as u64 - 4 <= size;
                // If the answer does not fit, HAProxy gets an answer without variables.
                let answer = if fits {
                    answer
                } else {
                    frame::ack(stream, frame, &[])
                };
                actions.bytes.extend(answer);
            }
            (Incoming::Disconnect, _) => {
                actions
                    .bytes
                    .extend(frame::agent_disconnect(Status::Normal));
                actions.end = Some(End::Close);
            }
            (Incoming::Unknown, Some(_)) => {}
            (Incoming::Hello { .. }, Some(_))
            | (Incoming::Notify { .. } | Incoming::Unknown, None) => {
                return Err(Status::Invalid);
            }
        }
        Ok(())
    }
}

fn refuse(status: Status, actions: &mut Actions) {
    actions.bytes.extend(frame::agent_disconnect(status));
    actions.end = Some(End::Refuse(status.fault()));
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Value, put_number, put_text, put_value};
    use super::*;

    /// A source that answers with the length of a name.
    struct Lengths;

    impl Answers for Lengths {
        fn answer(&self, question: &Message) -> Vec<Variable> {
            let name = question.argument("name").and_then(Value::text);
            let len = name.map(|name| ("len", Value::Uint(name.len() as u64)));
            len.into_iter().collect()
        }
    }

    fn frame(kind: u8, stream: u64, number: u64, payload: &[u8]) -> Vec<u8> {
        let mut body = vec![kind, 0, 0, 0, 1];
        put_number(&mut body, stream);
        put_number(&mut body, number);
        body.extend_from_slice(payload);
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    /// A frame with this number of questions.
    fn notify(messages: usize) -> Vec<u8> {
        let mut payload = Vec::new();
        for _ in 0..messages {
            put_text(&mut payload, b"size");
            payload.push(0);
        }
        frame(3, 1, 1, &payload)
    }

    #[test]
    fn a_frame_with_too_many_questions_is_refused_and_many_frames_are_read_in_portions() {
        let mut session = Session::default();
        let mut actions = Actions::default();
        session.read(&hello(&greeting()), &Lengths, &mut actions);
        let input = notify(1).repeat(QUESTIONS as usize + 1);
        let mut actions = Actions::default();
        let read = session.read(&input, &Lengths, &mut actions);
        assert_eq!(read, input.len() - notify(1).len());
        assert!(actions.more && actions.served == QUESTIONS);
        let mut actions = Actions::default();
        assert_eq!(
            session.read(&input[read..], &Lengths, &mut actions),
            notify(1).len()
        );
        assert!(!actions.more && actions.served == 1);
        let mut actions = Actions::default();
        session.read(&notify(MESSAGES + 1), &Lengths, &mut actions);
        let refused = Some(End::Refuse(Status::Invalid.fault()));
        assert_eq!((actions.end, actions.served), (refused, 0));
    }

    #[test]
    fn frames_without_questions_are_read_in_portions_as_well() {
        let mut session = Session::default();
        read(&mut session, &hello(&greeting()), &Lengths);
        for empty in [notify(0), frame(77, 1, 1, b"?")] {
            let mut actions = Actions::default();
            let read = session.read(&empty.repeat(1_000), &Lengths, &mut actions);
            assert_eq!(read, QUESTIONS as usize * empty.len());
            assert!(actions.more && actions.served == 0);
        }
    }

    fn hello(pairs: &[(&str, Value)]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (key, value) in pairs {
            put_text(&mut payload, key.as_bytes());
            put_value(&mut payload, value);
        }
        frame(1, 0, 0, &payload)
    }

    fn greeting() -> [(&'static str, Value); 3] {
        [
            ("supported-versions", Value::Text(b"2.0".to_vec())),
            ("max-frame-size", Value::Uint(16380)),
            ("capabilities", Value::Text(b"pipelining".to_vec())),
        ]
    }

    fn question(stream: u64, name: &str) -> Vec<u8> {
        let mut payload = Vec::new();
        put_text(&mut payload, b"length");
        payload.push(1);
        put_text(&mut payload, b"name");
        put_value(&mut payload, &Value::Text(name.as_bytes().to_vec()));
        frame(3, stream, 1, &payload)
    }

    fn status(actions: &Actions) -> Option<u8> {
        let text = b"status-code\x03";
        let mut windows = actions.bytes.windows(text.len());
        let at = windows.position(|it| it == text)?;
        actions.bytes.get(at + text.len()).copied()
    }

    /// The actions of a session that gets these bytes in one piece.
    fn read(session: &mut Session, input: &[u8], answers: &impl Answers) -> Actions {
        let mut actions = Actions::default();
        let consumed = session.read(input, answers, &mut actions);
        assert!(consumed <= input.len());
        actions
    }

    /// The actions of a fresh session that gets these bytes in one piece.
    fn answer(input: &[u8]) -> Actions {
        read(&mut Session::default(), input, &Lengths)
    }

    #[test]
    fn questions_are_answered_however_their_bytes_are_split() {
        let mut all = hello(&greeting());
        all.extend(question(1, "abc"));
        all.extend(question(300, "abcdef"));
        all.extend(frame(2, 0, 0, b""));
        let wanted = answer(&all);
        assert_eq!(wanted.end, Some(End::Close));
        assert_eq!(status(&wanted), Some(0));
        assert_eq!(wanted.served, 2);
        for portion in [1, 2, 3, 7, 50] {
            let mut session = Session::default();
            let (mut actions, mut input) = (Actions::default(), Vec::new());
            for bytes in all.chunks(portion) {
                input.extend_from_slice(bytes);
                let consumed = session.read(&input, &Lengths, &mut actions);
                input.drain(..consumed);
            }
            assert_eq!(actions.bytes, wanted.bytes);
        }
        assert!(wanted.bytes.windows(6).any(|it| it == b"\x03len\x03\x06"));
    }

    #[test]
    fn a_health_check_is_answered_and_closed() {
        let mut pairs = greeting().to_vec();
        pairs.push(("healthcheck", Value::Bool(true)));
        let actions = answer(&hello(&pairs));
        assert_eq!(actions.end, Some(End::Close));
        assert_eq!(actions.bytes[4], 101);
    }

    #[test]
    fn an_invalid_frame_ends_the_connection_with_its_status() {
        let without = |name: &str| {
            let pairs = greeting().into_iter().filter(|(key, _)| *key != name);
            hello(&pairs.collect::<Vec<_>>())
        };
        let with = |name: &str, value: Value| {
            let pairs =
                greeting().map(|(key, it)| (key, if key == name { value.clone() } else { it }));
            hello(&pairs)
        };
        let size = |size| with("max-frame-size", Value::Uint(size));
        let greeted = |then: Vec<u8>| [hello(&greeting()), then].concat();
        let cases = [
            (vec![0, 0, 0, 0], 4),
            (vec![0xff; 8], 3),
            (without("supported-versions"), 5),
            (without("max-frame-size"), 6),
            (without("capabilities"), 7),
            (with("supported-versions", Value::Text(b"1.0".to_vec())), 8),
            (size(255), 9),
            (size(u64::MAX), 9),
            (question(1, "early"), 4),
            (greeted(hello(&greeting())), 4),
            (greeted(frame(3, 1, 1, b"\x05ab")), 4),
            (greeted(frame(3, 1, 1, b"\x01a\x01\x01b\x0f")), 4),
            (greeted(vec![0, 0, 0x40, 0]), 3),
        ];
        for (bytes, wanted) in cases {
            let actions = answer(&bytes);
            let is_refused = matches!(actions.end, Some(End::Refuse(_)));
            assert_eq!(
                (is_refused, status(&actions)),
                (true, Some(wanted)),
                "{bytes:?}"
            );
        }
        let mut fragment = question(1, "x");
        fragment[8] = 0; // no FIN
        assert_eq!(status(&answer(&greeted(fragment))), Some(4));
    }

    #[test]
    fn an_unknown_frame_is_ignored_and_an_answer_that_does_not_fit_is_empty() {
        struct Long;
        impl Answers for Long {
            fn answer(&self, _: &Message) -> Vec<Variable> {
                vec![("x", Value::Text(vec![b'x'; 20_000]))]
            }
        }
        let mut session = Session::default();
        read(&mut session, &hello(&greeting()), &Long);
        let unknown = read(&mut session, &frame(77, 1, 1, b"?"), &Long);
        assert_eq!((unknown.bytes.len(), unknown.end), (0, None));
        let actions = read(&mut session, &question(1, "x"), &Long);
        assert_eq!((actions.bytes.len(), actions.end), (11, None));
    }

    #[test]
    fn random_bytes_never_do_more_than_end_the_connection() {
        let mut state = 7_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let seed = [hello(&greeting()), question(1, "abc"), question(2, "def")].concat();
        for _ in 0..20_000 {
            let mut bytes = seed.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() as usize % (bytes.len() + 1));
            let actions = answer(&bytes);
            assert!(actions.bytes.len() < 1000);
        }
    }
}
