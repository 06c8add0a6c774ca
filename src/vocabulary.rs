//! The words that have a number in C and a name in text: statuses, kinds of events, states, levels.
//!
//! Each vocabulary is one table. The enum, its numbers, its names, the constants of the C header
//! and the class names of Python follow from it. `build.rs` compiles this file too, so it uses no
//! other file of the crate. Once a number has been released, its meaning never changes.
//!
//! CONTRIBUTING.md lists the steps for a new kind of event.

use std::ffi::CStr;

/// Defines an enum from rows of documentation, variant, number and name.
macro_rules! vocabulary {
    (
        $(#[doc = $about:literal])*
        pub enum $Enum:ident {
            $($(#[doc = $doc:literal])* $Variant:ident = $number:literal, $name:literal;)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $Enum {
            $($(#[doc = $doc])* $Variant = $number,)*
        }

        impl $Enum {
            /// All values, in the order of the table.
            pub const ALL: [$Enum; [$($number),*].len()] = [$($Enum::$Variant,)*];

            /// The number, as in the C header.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The name, in the spelling of Serf if Serf has a name for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($Enum::$Variant => $name,)*
                }
            }

            /// The name for C.
            #[allow(dead_code)] // without the C ABI nothing needs it
            pub(crate) const fn c_name(self) -> &'static CStr {
                match self {
                    $($Enum::$Variant => c_str(concat!($name, "\0")),)*
                }
            }

            /// The value with this number.
            pub fn from_number(number: i32) -> Option<$Enum> {
                $Enum::ALL.into_iter().find(|it| it.number() == number)
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<$Enum> {
                $Enum::ALL.into_iter().find(|it| it.name() == name)
            }

            /// The table, for the C header.
            #[allow(dead_code)] // build.rs reads it
            pub(crate) const TABLE: Table = Table {
                about: concat!($($about, "\n"),*),
                rows: &[$(Row {
                    variant: stringify!($Variant),
                    number: $number,
                    about: concat!($($doc, "\n"),*),
                },)*],
            };
        }
    };
}

/// The rows of a vocabulary as text, and its documentation.
#[allow(dead_code)] // build.rs reads it
pub(crate) struct Table {
    pub about: &'static str,
    pub rows: &'static [Row],
}

/// A row of a [`Table`].
#[allow(dead_code)] // build.rs reads it
pub(crate) struct Row {
    pub variant: &'static str,
    pub number: i32,
    pub about: &'static str,
}

/// The name of a constant in C, padded with NULs.
#[allow(dead_code)] // without the C ABI nothing needs it
pub(crate) struct CConstant([u8; 40]);

#[allow(dead_code)] // without the C ABI nothing needs it
impl CConstant {
    /// Joins a prefix and the name of a variant: `SPRAT_ERR_` and `TooLarge` become
    /// `SPRAT_ERR_TOO_LARGE`.
    pub const fn new(prefix: &str, variant: &str) -> CConstant {
        let (prefix, variant) = (prefix.as_bytes(), variant.as_bytes());
        let (mut name, mut len) = ([0; 40], 0);
        while len < prefix.len() {
            name[len] = prefix[len];
            len += 1;
        }
        let mut i = 0;
        while i < variant.len() {
            if i > 0 && variant[i].is_ascii_uppercase() {
                name[len] = b'_';
                len += 1;
            }
            name[len] = variant[i].to_ascii_uppercase();
            (i, len) = (i + 1, len + 1);
        }
        CConstant(name)
    }

    /// The name for C.
    pub const fn c_str(&self) -> &CStr {
        match CStr::from_bytes_until_nul(&self.0) {
            Ok(name) => name,
            Err(_) => panic!("the name is too long"),
        }
    }
}

/// Returns a text that ends with NUL as a C string.
const fn c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a name must end with NUL and contain no other NUL"),
    }
}

/// The table of events, passed to the macro `$make`, which makes code from it.
///
/// A row of `members` has the documentation, the kind, its number, its name and its class in
/// Python; the payload is the member. A row of `others` spells its payload out.
#[doc(hidden)]
#[macro_export]
macro_rules! event_table {
    ($make:ident) => {
        $make! {
            members {
                /// A member joined, returned after it had failed or left, or now fits the filter.
                MemberJoin = 1, "member-join", MemberJoined;
                /// A member changed its tags, metadata, address or protocol versions.
                MemberUpdate = 2, "member-update", MemberUpdated;
                /// A member left of its own will, or was removed after it had failed.
                MemberLeave = 3, "member-leave", MemberLeft;
                /// A member failed: it stopped answering without having announced that it leaves.
                MemberFail = 4, "member-failed", MemberFailed;
                /// A member is no longer listed: it had failed or left, the filter rejects it, or a
                /// full table needed its place.
                MemberReap = 5, "member-reap", MemberReaped;
                /// A member is suspected: it will fail unless it refutes the suspicion.
                MemberSuspect = 6, "member-suspect", MemberSuspected;
                /// A suspicion was refuted: the member is alive after all.
                MemberAlive = 7, "member-alive", MemberAlive;
            }
            others {
                /// A user event: a message that a program sent to all members, this node included.
                User {
                    /// The name of the event. Bytes that are not text are escaped as in the name
                    /// of a member: `\xff`.
                    name: String,
                    /// Its content; empty if it has none.
                    payload: Box<[u8]>,
                    /// The Lamport time at which it was sent. Later events of the same node have a
                    /// later time, and so do events that a node sends after it has received this
                    /// one.
                    ltime: u64,
                    /// True if the sender allows receivers to deliver only the last of several
                    /// events with this name.
                    coalesce: bool,
                } = 8, "user";
                /// A message of a program built on memberlist; only in memberlist mode.
                Message {
                    /// The name of the member at the address; empty if no member is there, or, for
                    /// a message by stream, if several members have this IP address.
                    from: String,
                    /// The address from which the message came. For a message by stream, the port
                    /// is not that at which the sender listens. A message that was gossiped may
                    /// come from a member other than the one that wrote it.
                    addr: SocketAddr,
                    /// Its content.
                    payload: Arc<[u8]>,
                } = 9, "message";
                /// Another member, or this node, asks a question, which can be answered once.
                Query {
                    /// The number with which to answer it.
                    id: u64,
                    /// The name of the query. Bytes that are not text are escaped as in the name
                    /// of a member: `\xff`.
                    name: String,
                    /// Its content; empty if it has none.
                    payload: Box<[u8]>,
                    /// The Lamport time at which it was sent.
                    ltime: u64,
                    /// The name of the member that asks; empty if that is a very old agent.
                    from: String,
                    /// The time in which it can be answered, from the time of the event.
                    time: Duration,
                } = 10, "query";
                /// A member has received a query of this node.
                QueryAck {
                    /// The number of the query.
                    id: u64,
                    /// The name of the member.
                    from: String,
                } = 11, "query-ack";
                /// A member has answered a query of this node.
                QueryResponse {
                    /// The number of the query.
                    id: u64,
                    /// The name of the member.
                    from: String,
                    /// The answer.
                    payload: Box<[u8]>,
                } = 12, "query-response";
                /// The state of a program built on memberlist, received in a push/pull; only in
                /// memberlist mode.
                RemoteState {
                    /// The name of the member at the address; empty if no member is there, or, if
                    /// the other side dialled, if several members have this IP address.
                    from: String,
                    /// The address of the other side. If it dialled, the port is not that at which
                    /// it listens.
                    addr: SocketAddr,
                    /// True if one of the two sides is joining; false for a regular exchange.
                    join: bool,
                    /// The state.
                    payload: Arc<[u8]>,
                } = 13, "remote-state";
                /// Two nodes claim the name of a member; only in memberlist mode. A conflict about
                /// this node's own name is a fatal event.
                MemberConflict {
                    /// The name.
                    name: String,
                    /// The address at which the member is known here.
                    known: SocketAddr,
                    /// The address of the other node.
                    claimed: SocketAddr,
                } = 15, "member-conflict";
                /// A member has answered a ping of this node; only if the setting ping_acks is on.
                PingAck {
                    /// The name of the member.
                    from: String,
                    /// The time between the ping and its ack.
                    rtt: Duration,
                    /// The bytes that the other program adds to its acks; empty if it adds none.
                    /// In serf mode it is the network coordinate of the member, as on the wire.
                    payload: Box<[u8]>,
                } = 16, "ping-ack";
                /// An operation that was started without waiting has ended.
                Done {
                    /// The number of the operation.
                    id: u64,
                    /// The value that the program gave to the operation.
                    token: usize,
                    /// The number of addresses that a join reached, or of answers to a query, or 0
                    /// for any other operation; an error if the operation failed.
                    result: Result<usize>,
                    /// The names of the members whose ack or answer is missing, sorted. They are
                    /// only here for a query whose answers have a queue of their own; otherwise,
                    /// only the error names the first few.
                    missing: Vec<Arc<str>>,
                    /// The answers to a key query that was sent; `None` for any other operation.
                    keys: Option<Arc<KeyReport>>,
                } = 14, "done";
                /// Events were not taken in time and are lost: read the list of members again.
                Overflow {
                    /// The number of events merged or dropped since the last event of this kind.
                    lost: u64,
                } = 20, "overflow";
                /// A line of the log.
                Log {
                    /// The importance of the line.
                    level: Level,
                    /// The part of the library that wrote the line.
                    target: &'static str,
                    /// A sentence without a newline.
                    text: String,
                } = 21, "log";
                /// The node cannot do its work. It is broken, or another node has its name; in the
                /// latter case it goes on, and becomes a member if it gets the name.
                Fatal {
                    /// The reason.
                    error: Error,
                } = 22, "fatal";
                /// The name conflict that a fatal event reported is over: no other node has this
                /// node's name any more. The members now list this node under its name.
                NameRegained {} = 23, "name-regained";
            }
        }
    };
}

macro_rules! event_kinds {
    (
        members {
            $($(#[doc = $doc:literal])*
            $Member:ident = $number:literal, $name:literal, $class:ident;)*
        }
        others {
            $($(#[doc = $odoc:literal])*
            $Other:ident $payload:tt = $onumber:literal, $oname:literal;)*
        }
    ) => {
        vocabulary! {
            /// Kinds of events. Ignore kinds that you do not know: later versions may add some.
            pub enum EventKind {
                $($(#[doc = $doc])* $Member = $number, $name;)*
                $($(#[doc = $odoc])* $Other = $onumber, $oname;)*
            }
        }

        impl EventKind {
            /// Returns true if an event of this kind is about a member.
            pub const fn is_of_member(self) -> bool {
                match self {
                    $(EventKind::$Member => true,)*
                    $(EventKind::$Other => false,)*
                }
            }
        }
    };
}

event_table!(event_kinds);

vocabulary! {
    /// The reason for a failure. In C, a function that can fail returns one of these numbers, or 0
    /// or a count on success.
    pub enum Status {
        /// An argument that must not be NULL is NULL.
        Null = -1, "an argument is NULL";
        /// An argument has a value that is not allowed.
        Invalid = -2, "an argument is not valid";
        /// A string is not UTF-8.
        Utf8 = -3, "a string is not UTF-8";
        /// A tag, the metadata, a list or a count exceeds its limit.
        TooLarge = -4, "too large";
        /// The node is NULL, was freed, or never was a node.
        Handle = -5, "not a node, or freed already";
        /// The node was started before a fork and lives in the parent process.
        Forked = -6, "the node lives in the parent process";
        /// The node was shut down.
        Closed = -7, "the node was shut down";
        /// The call is not possible in the current state or with these settings.
        State = -8, "not possible in the current state";
        /// The time is up.
        Timeout = -9, "the time is up";
        /// The call would wait for the thread that it runs on.
        Deadlock = -10, "the call would wait for itself";
        /// No such member, setting or tag.
        NotFound = -11, "not found";
        /// Another member of the cluster has this node's name.
        NameConflict = -12, "the node's name is taken";
        /// The settings are wrong.
        Config = -13, "the settings are wrong";
        /// The operating system refused a call; the errno of the error says why.
        Io = -14, "the operating system refused";
        /// An address cannot be parsed, resolved or used.
        Address = -15, "the address cannot be used";
        /// No node answered.
        Unreachable = -16, "no node answered";
        /// Encryption: a key is wrong or missing, or the peer has no key. Between nodes with keys,
        /// different labels cause the same error.
        Crypto = -17, "encryption keys or labels do not fit";
        /// A peer answered with something that is not this protocol, or closed the connection
        /// without an answer: its label may differ, or the port may be an agent's RPC port.
        Protocol = -18, "the peer speaks another protocol";
        /// Not supported by this version of the library.
        Unsupported = -19, "not supported";
        /// The buffer is too small; it holds the beginning of the text.
        Buffer = -20, "the buffer is too small";
        /// The library has a defect, or the process has closed descriptors of a node. The process
        /// goes on; a node whose state is broken has stopped.
        Internal = -99, "a defect of the library, or its descriptors were closed";
    }
}

vocabulary! {
    /// The importance of a line of the log. Each level includes the levels before it.
    pub enum Level {
        /// The node cannot do what it should.
        Error = 1, "error";
        /// Something is wrong here or elsewhere, and a person should look at it.
        Warn = 2, "warn";
        /// The ordinary course of things in the cluster.
        Info = 3, "info";
        /// The steps of the node and their reasons, for troubleshooting.
        Debug = 4, "debug";
        /// Everything else.
        Trace = 5, "trace";
    }
}

vocabulary! {
    /// The state of a member as the application sees it.
    pub enum MemberState {
        /// It answers.
        Alive = 1, "alive";
        /// It did not answer a probe and has not refuted the suspicion yet. It still counts as a
        /// member.
        Suspect = 2, "suspect";
        /// It was suspected for too long.
        Failed = 3, "failed";
        /// It has announced that it leaves.
        Leaving = 4, "leaving";
        /// It left of its own will, or was removed after it had failed.
        Left = 5, "left";
    }
}

vocabulary! {
    /// The state of a node.
    pub enum NodeState {
        /// It takes part in its cluster.
        Running = 1, "running";
        /// It is announcing that it leaves.
        Leaving = 2, "leaving";
        /// It has left. It still lists members, and may join again.
        Left = 3, "left";
        /// It was shut down.
        Shutdown = 4, "shutdown";
        /// One of its threads failed: the library has a defect, or the process has closed
        /// descriptors of the node.
        Broken = 5, "broken";
    }
}

vocabulary! {
    /// The result of one way of probing a member: the direct ping, a helper, or the stream ping.
    pub enum ProbeAnswer {
        /// The member was not probed this way, or another way brought the answer first.
        NotAsked = 1, "not-asked";
        // 2 is not used: a probe that still waits for answers is never reported.
        /// The member answered.
        Answered = 3, "answered";
        /// The helper reported that the member does not answer.
        Nack = 4, "nack";
        /// No answer came in time.
        Silent = 5, "silent";
    }
}

vocabulary! {
    /// An action of the members of a cluster on their keys. To change the key of a cluster without
    /// losing a message takes three steps, each done by all members before the next: install the
    /// new key, use it, remove the old one.
    pub enum KeyAction {
        /// Adds a key to the keyrings. It decrypts, and does not encrypt yet.
        Install = 1, "install";
        /// Makes a key of the keyrings the primary one, which encrypts. The others still decrypt.
        Use = 2, "use";
        /// Removes a key, which must not be the primary one.
        Remove = 3, "remove";
        /// Lists the keys; changes nothing.
        List = 4, "list";
    }
}

vocabulary! {
    /// The type of a setting, which says how the text of its value is written. Ignore the types
    /// that you do not know: later versions may add some.
    pub enum SettingType {
        /// Any text.
        Text = 1, "text";
        /// A whole number.
        Number = 2, "number";
        /// `true` or `false`.
        Boolean = 3, "boolean";
        /// A time as a whole number of milliseconds.
        Milliseconds = 4, "milliseconds";
        /// One of a few words.
        Word = 5, "word";
        /// An IP address and a port. Some settings let you leave out the port.
        Address = 6, "address";
        /// A secret in base64, which cannot be read back.
        Base64 = 7, "base64";
        /// The path of a file.
        File = 8, "file";
        /// Addresses separated by commas.
        Addresses = 9, "list of addresses";
        /// Networks separated by commas.
        Networks = 10, "list of networks";
        /// Words separated by commas.
        Words = 11, "list of words";
        /// Patterns separated by commas.
        Patterns = 12, "list of patterns";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_by_its_number() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
            assert_eq!(EventKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(EventKind::from_name("member"), None);
        assert_eq!(EventKind::from_number(0), None);
    }

    #[test]
    fn the_numbers_and_names_of_events_are_those_that_programs_were_built_with() {
        let all = EventKind::ALL.map(|kind| (kind.number(), kind.name()));
        let expected = [
            (1, "member-join"),
            (2, "member-update"),
            (3, "member-leave"),
            (4, "member-failed"),
            (5, "member-reap"),
            (6, "member-suspect"),
            (7, "member-alive"),
            (8, "user"),
            (9, "message"),
            (10, "query"),
            (11, "query-ack"),
            (12, "query-response"),
            (13, "remote-state"),
            (15, "member-conflict"),
            (16, "ping-ack"),
            (14, "done"),
            (20, "overflow"),
            (21, "log"),
            (22, "fatal"),
            (23, "name-regained"),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn constants_of_c_are_words_in_capitals() {
        let name = |variant| CConstant::new("SPRAT_ERR_", variant);
        assert_eq!(name("TooLarge").c_str(), c"SPRAT_ERR_TOO_LARGE");
        assert_eq!(name("Utf8").c_str(), c"SPRAT_ERR_UTF8");
    }
}
