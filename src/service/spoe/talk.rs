//! One connection of HAProxy as a state machine: bytes in, bytes out.

use super::frame::{self, Heard, Message, SIZE_MAX, Status, Variable};

/// Whoever knows the answers.
pub trait Answers {
    /// The variables that answer one question; none for one that is not known.
    fn answer(&self, question: &Message) -> Vec<Variable>;
}

/// What the agent does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// To be sent, in one write: HAProxy 3.2 wants the greeting in one segment.
    pub bytes: Vec<u8>,
    /// The connection ends after that.
    pub close: bool,
    /// It ends because of something that makes no sense.
    pub refused: bool,
    /// Questions that were heard.
    pub questions: u64,
}

/// A connection.
#[derive(Default)]
pub struct Talk {
    /// What has come and is no whole frame yet.
    pending: Vec<u8>,
    /// The largest frame, once that is agreed.
    size: Option<u64>,
    over: bool,
}

impl Talk {
    /// Bytes have arrived.
    pub fn hear(&mut self, bytes: &[u8], answers: &impl Answers) -> Reply {
        let mut reply = Reply::default();
        if self.over {
            reply.close = true;
            return reply;
        }
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while !reply.close {
            match self.next_frame(at) {
                Ok(Some(end)) => {
                    let frame = &self.pending[at + 4..end];
                    at = end;
                    let heard = frame::read(frame);
                    if let Err(status) = heard.and_then(|it| self.obey(it, answers, &mut reply)) {
                        Self::refuse(status, &mut reply);
                    }
                }
                Ok(None) => break,
                Err(status) => Self::refuse(status, &mut reply),
            }
        }
        self.pending.drain(..at);
        self.over = reply.close;
        reply
    }

    /// Where the frame that begins here ends, if it is whole.
    fn next_frame(&self, at: usize) -> Result<Option<usize>, Status> {
        let Some((len, _)) = self.pending[at..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u64::from(u32::from_be_bytes(*len));
        if len > self.size.unwrap_or(SIZE_MAX) {
            return Err(Status::TooBig);
        }
        let end = at + 4 + len as usize;
        Ok((end <= self.pending.len()).then_some(end))
    }

    fn obey(
        &mut self,
        heard: Heard,
        answers: &impl Answers,
        reply: &mut Reply,
    ) -> Result<(), Status> {
        match (heard, self.size) {
            (Heard::Hello { size, is_check }, None) => {
                self.size = Some(size);
                reply.bytes.extend(frame::agent_hello(size, is_check));
                reply.close = is_check;
            }
            (
                Heard::Notify {
                    stream,
                    frame,
                    messages,
                },
                Some(size),
            ) => {
                reply.questions += messages.len() as u64;
                let found = messages.iter().flat_map(|it| answers.answer(it));
                let variables: Vec<Variable> = found.collect();
                let answer = frame::ack(stream, frame, &variables);
                let fits = answer.len() as u64 - 4 <= size;
                // An answer that does not fit is none: HAProxy sees no variable.
                let answer = if fits {
                    answer
                } else {
                    frame::ack(stream, frame, &[])
                };
                reply.bytes.extend(answer);
            }
            (Heard::Disconnect, _) => {
                reply.bytes.extend(frame::agent_disconnect(Status::Normal));
                reply.close = true;
            }
            (Heard::Unknown, Some(_)) => {}
            (Heard::Hello { .. }, Some(_)) | (Heard::Notify { .. } | Heard::Unknown, None) => {
                return Err(Status::Invalid);
            }
        }
        Ok(())
    }

    fn refuse(status: Status, reply: &mut Reply) {
        reply.bytes.extend(frame::agent_disconnect(status));
        (reply.close, reply.refused) = (true, true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Value, put_number, put_text, put_value};
    use super::*;

    /// Knows how long a name is.
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

    fn status(reply: &Reply) -> Option<u8> {
        let text = b"status-code\x03";
        let at = reply.bytes.windows(text.len()).position(|it| it == text)?;
        reply.bytes.get(at + text.len()).copied()
    }

    #[test]
    fn questions_are_answered_in_any_portion_of_bytes() {
        let mut all = hello(&greeting());
        all.extend(question(1, "abc"));
        all.extend(question(300, "abcdef"));
        all.extend(frame(2, 0, 0, b""));
        let mut whole = Talk::default();
        let wanted = whole.hear(&all, &Lengths);
        assert!(wanted.close);
        assert_eq!(status(&wanted), Some(0));
        assert_eq!((wanted.questions, wanted.refused), (2, false));
        for portion in [1, 2, 3, 7, 50] {
            let mut talk = Talk::default();
            let mut said = Vec::new();
            for bytes in all.chunks(portion) {
                said.extend(talk.hear(bytes, &Lengths).bytes);
            }
            assert_eq!(said, wanted.bytes);
        }
        assert!(wanted.bytes.windows(6).any(|it| it == b"\x03len\x03\x06"));
    }

    #[test]
    fn a_health_check_is_answered_and_closed() {
        let mut pairs = greeting().to_vec();
        pairs.push(("healthcheck", Value::Bool(true)));
        let reply = Talk::default().hear(&hello(&pairs), &Lengths);
        assert!(reply.close);
        assert_eq!(reply.bytes[4], 101);
    }

    #[test]
    fn what_makes_no_sense_ends_the_connection_with_its_status() {
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
            let reply = Talk::default().hear(&bytes, &Lengths);
            assert_eq!(
                (reply.close, reply.refused, status(&reply)),
                (true, true, Some(wanted)),
                "{bytes:?}"
            );
        }
        let mut fragment = question(1, "x");
        fragment[8] = 0; // no FIN
        let reply = Talk::default().hear(&greeted(fragment), &Lengths);
        assert_eq!(status(&reply), Some(4));
    }

    #[test]
    fn an_unknown_frame_is_passed_over_and_an_answer_that_does_not_fit_is_empty() {
        struct Long;
        impl Answers for Long {
            fn answer(&self, _: &Message) -> Vec<Variable> {
                vec![("x", Value::Text(vec![b'x'; 20_000]))]
            }
        }
        let mut talk = Talk::default();
        talk.hear(&hello(&greeting()), &Long);
        assert_eq!(talk.hear(&frame(77, 1, 1, b"?"), &Long), Reply::default());
        let reply = talk.hear(&question(1, "x"), &Long);
        assert_eq!((reply.bytes.len(), reply.close), (11, false));
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
            let mut talk = Talk::default();
            let reply = talk.hear(&bytes, &Lengths);
            assert!(reply.bytes.len() < 1000);
            if reply.close {
                assert!(talk.hear(&seed, &Lengths).close);
            }
        }
    }
}
