//! The types of the C ABI: structs that the library fills, structs that the program fills, and the
//! functions of the program that the library calls.

use std::ffi::{c_char, c_int, c_void};

/// A running node, made by sprat_node_start(). Any number of threads may use it at the same time.
///
/// It is a checked number, not an address: after sprat_node_free() every function fails with
/// SPRAT_ERR_HANDLE for it. Never dereference it.
pub struct sprat_node {
    _opaque: [u8; 0],
}

/// Everything that is known about one setting. Read it through its pointer and never copy it by
/// value: later versions may add fields at its end. The struct and its strings are never freed.
#[repr(C)]
pub struct sprat_setting {
    /// The name, as sprat_config_set() takes it. KEY in "tag.KEY" and "filter.tag.KEY" stands for
    /// the key of a tag.
    pub name: *const c_char,
    /// An enum sprat_setting_type.
    pub r#type: i32,
    /// True if the setting can be changed while a node runs.
    pub changeable: bool,
    /// The type in words, such as "milliseconds". Never NULL.
    pub type_name: *const c_char,
    /// The unit of a number, such as "ms" or "bytes"; empty if it has none. Never NULL.
    pub unit: *const c_char,
    /// The smallest allowed value of a NUMBER or MILLISECONDS; 0 for other types.
    pub min: u64,
    /// The largest allowed value of a NUMBER or MILLISECONDS; 0 for other types.
    pub max: u64,
    /// The allowed values in words, such as "10 to 600000". Never NULL.
    pub allowed: *const c_char,
    /// A description of what the setting does. Never NULL.
    pub help: *const c_char,
}

/// A member of the cluster. Read it through its pointer and never copy it by value: later versions
/// may add fields at its end. Its strings live as long as the list or event that it came from.
#[repr(C)]
pub struct sprat_member {
    /// Its name, unique in the cluster. Bytes that are not UTF-8 and NUL bytes are escaped, as in
    /// "web\xff".
    pub name: *const c_char,
    /// Its address in network order; IPv4 uses the first 4 bytes. See sprat_member_addr().
    pub addr: [u8; 16],
    /// 4 for IPv4 or 16 for IPv6.
    pub addr_len: u8,
    /// The versions of the gossip protocol: lowest, highest and used.
    pub protocol: [u8; 3],
    /// The versions of the Serf protocol: lowest, highest and used; zeros for a memberlist node.
    pub delegate: [u8; 3],
    /// Its port, in host order.
    pub port: u16,
    /// An enum sprat_member_state.
    pub state: i32,
    /// Its incarnation: a number that the member raises to refute a suspicion, and when it changes
    /// its tags, its metadata or its address.
    pub incarnation: u32,
    /// The number of its tags. See sprat_member_tag() and sprat_member_tag_at().
    pub ntags: u32,
    /// Its metadata as on the wire. Never NULL.
    pub meta: *const u8,
    /// The length of its metadata in bytes.
    pub meta_len: usize,
}

/// An event. Read it through its pointer and never copy it by value: later versions may add fields
/// at its end. Fields that do not belong to its kind are 0, NULL or empty.
#[repr(C)]
pub struct sprat_event {
    /// An enum sprat_event_kind; ignore kinds that you do not know.
    pub kind: i32,
    /// DONE, FATAL: SPRAT_OK or the sprat_status of the failure; else 0.
    pub status: i32,
    /// The sequence number: one more than that of the previous event. A larger step means that
    /// events were lost, or that log lines between the two events went to a log callback.
    pub seq: u64,
    /// The time at which it was queued, in nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// Member events: the member as it was at that time; else NULL.
    pub member: *const sprat_member,
    /// USER, QUERY: the name of the event or of the query; bytes that are not UTF-8 and NUL bytes
    /// are escaped as in the name of a member. QUERY_ACK, QUERY_RESPONSE: the member that answers.
    /// MESSAGE, REMOTE_STATE: the member at `addr`, empty if no member or several are there.
    /// MEMBER_CONFLICT, PING_ACK: the member. LOG: the part of the library that writes the line.
    /// Else empty. Never NULL.
    pub name: *const c_char,
    /// FATAL, LOG, and a DONE that failed: a sentence. QUERY: the member that asks.
    /// MEMBER_CONFLICT: the address of the other node. Else empty. Never NULL.
    pub text: *const c_char,
    /// DONE: the number of the operation, from an _async function, sprat_node_hint(),
    /// sprat_node_query(), sprat_node_manage_keys() or sprat_node_send(). QUERY_ACK,
    /// QUERY_RESPONSE: the number of the query, from sprat_node_query(). QUERY: the number for
    /// sprat_node_respond(). Else 0.
    pub id: u64,
    /// LOG: an enum sprat_log_level; else 0.
    pub level: i32,
    /// OVERFLOW: the number of events merged or dropped since the last OVERFLOW; else 0.
    pub lost: u64,
    /// DONE: the op_data of the call that began the operation; else NULL.
    pub op_data: *mut c_void,
    /// USER, QUERY, QUERY_RESPONSE, MESSAGE: the payload, which need not be text and has no NUL at
    /// its end. REMOTE_STATE: the state. PING_ACK: the payload of the ack. Else empty. Never NULL.
    pub payload: *const u8,
    /// The number of bytes of the payload.
    pub payload_len: usize,
    /// USER, QUERY: the Lamport time at which the event or query was sent: higher than those of
    /// all events or queries that its sender had sent or received before. Else 0.
    pub ltime: u64,
    /// QUERY: the time after time_ns in which it can be answered, in milliseconds; else 0.
    pub time_ms: i32,
    /// REMOTE_STATE: true if one of the two sides is joining; else false.
    pub join: bool,
    /// MESSAGE, REMOTE_STATE: the address and port from which it came, as "10.0.0.1:7946"; if the
    /// other side dialled a stream, the port is not that at which it listens. MEMBER_CONFLICT: the
    /// address at which the member is known. Else empty. Never NULL.
    pub addr: *const c_char,
    /// PING_ACK: the time between the ping and its ack, in microseconds; else 0.
    pub rtt_us: i64,
}

/// A tag: a key and a value, both chosen by the program.
#[repr(C)]
pub struct sprat_tag {
    /// 1 to 255 bytes, UTF-8.
    pub key: *const c_char,
    /// Any text, UTF-8.
    pub value: *const c_char,
}

/// One member that was asked to probe another on this node's behalf. Read it through its pointer
/// and never copy it by value.
#[repr(C)]
pub struct sprat_helper {
    /// The name of the helper.
    pub name: *const c_char,
    /// An enum sprat_probe_answer: the result of this helper's probe.
    pub answer: i32,
}

/// The options of a query. Begin with `sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;`, so
/// that a program that is compiled with this header works with later versions of the library, and
/// then change the fields that matter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sprat_query_options {
    /// sizeof(sprat_query_options), as SPRAT_QUERY_OPTIONS_INIT sets it.
    pub size: usize,
    /// The time in which answers count, in milliseconds; 0 for the default, which follows from the
    /// number of members: 3,200 for up to 9 members with the profile `lan`.
    pub timeout_ms: i32,
    /// The number of members, at most 255, through which each answer is sent as well, so that it
    /// arrives even if the direct way is blocked. A sprat node uses at most 8.
    pub relay_factor: u32,
    /// Whether each node acknowledges the query as soon as it arrives.
    pub want_ack: bool,
    /// The names of the members that are asked; may be NULL if nnodes is 0.
    pub nodes: *const *const c_char,
    /// The number of names, at most 4096; 0 asks all members.
    pub nnodes: usize,
    /// Only members in whose tag `key` the regular expression `value` finds a match are asked; with
    /// several, all must match. A missing tag counts as empty. An expression that agents of Serf
    /// would refuse or read in another way is an error. tags may be NULL if ntags is 0.
    pub tags: *const sprat_tag,
    /// The number of tags, at most 4096.
    pub ntags: usize,
}

/// The reason why a member is in its state, as far as this node knows. Read it through its pointer
/// and never copy it by value. Its strings live until sprat_explanation_free().
#[repr(C)]
pub struct sprat_explanation {
    /// The name of the member.
    pub name: *const c_char,
    /// Its address and port, as "10.0.0.1:7946".
    pub addr: *const c_char,
    /// An enum sprat_member_state: ALIVE, SUSPECT, FAILED or LEFT.
    pub state: i32,
    /// Its incarnation.
    pub incarnation: u32,
    /// Milliseconds since it entered this state.
    pub since_ms: i64,
    /// The node that suspected it or declared it failed; NULL if it is alive or has left.
    pub accuser: *const c_char,
    /// The names of the other nodes whose accusations confirmed the suspicion, while the member is
    /// suspected; NULL if nconfirmations is 0.
    pub confirmations: *const *const c_char,
    /// The number of these names; 0 if the member is not suspected.
    pub nconfirmations: u32,
    /// The number of confirmations that shorten the suspicion timeout to its minimum; 0 if the
    /// member is not suspected.
    pub confirmations_wanted: u32,
    /// Milliseconds until the suspect is declared failed unless it refutes; -1 if it is not
    /// suspected.
    pub time_left_ms: i64,
    /// Milliseconds since the start of this node's last finished probe of it; -1 if there is none.
    /// A final probe that got no answer does not count.
    pub probe_ago_ms: i64,
    /// An enum sprat_probe_answer: the result of the direct probe by datagram.
    pub probe_direct: i32,
    /// An enum sprat_probe_answer: the result of the probe by stream, for networks that lose only
    /// datagrams.
    pub probe_stream: i32,
    /// The round-trip time of its last direct answer in microseconds; -1 if unknown.
    pub rtt_us: i64,
    /// Pointers to the members that were asked to probe it on this node's behalf; NULL if nhelpers
    /// is 0.
    pub helpers: *const *const sprat_helper,
    /// The number of helpers that were asked.
    pub nhelpers: u32,
}

/// A network coordinate: the place of a member in the space in which the distance of two members
/// is the round-trip time between them. All values but `error` are in seconds. The program
/// allocates it, and may copy it by value: it has no further fields in later versions.
#[repr(C)]
pub struct sprat_coordinate {
    /// The position.
    pub vec: [f64; 8],
    /// The uncertainty of the coordinate: 1.5 at the start; it approaches 0 as the estimates of
    /// that member improve.
    pub error: f64,
    /// A correction of distances that the position cannot express.
    pub adjustment: f64,
    /// The time that every packet takes between the member and the network.
    pub height: f64,
}

/// The health of this node itself. Read it through its pointer and never copy it by value.
#[repr(C)]
pub struct sprat_health {
    /// The health score: 0 is healthy, and each step makes this node slower to suspect other
    /// members.
    pub score: u32,
    /// The highest score possible.
    pub score_max: u32,
    /// The number of members that are alive or suspect, this node included.
    pub live: u32,
    /// The number of known members that have not left, this node included.
    pub known: u32,
    /// True if this node hears nothing from other members, or if most of them, and at least two,
    /// fell silent within a short time: the fault may be at this node. It becomes true before the
    /// first of them is declared failed, so that a handler of SPRAT_EVENT_MEMBER_FAIL can rely on
    /// it. It is always false if fewer than two other members are known.
    pub isolated: bool,
    /// True if datagrams get answers.
    pub datagrams_work: bool,
    /// True if streams get answers.
    pub streams_work: bool,
    /// Another address at which members list this node's name, as "10.0.0.5:7946"; NULL if there is
    /// none, as is usual. Members that list the name at that address do not see this node.
    pub name_conflict: *const c_char,
    /// True if another node answers at that address, so two nodes have the same name; false while
    /// the address is still being asked. If no node answers there, the address is that of an
    /// earlier run of this node: members accept the new address some time after they have declared
    /// the old one failed (half a minute in Serf).
    pub name_conflict_alive: bool,
    /// One sentence, as "streams work, datagrams do not". Never NULL.
    pub summary: *const c_char,
}

/// A function that is called with each event. The event is borrowed: it is freed when the function
/// returns. sprat_event_copy() makes a copy to keep.
///
/// A callback set by sprat_config_set_event_cb() runs on a thread of the library, one call at a
/// time. A function given to sprat_node_dispatch() runs on the calling thread. Both may call every
/// function of this header, sprat_node_free() included. A slow function delays events, but never
/// the protocol.
///
/// A callback on a thread of the library must return normally: an exception or pthread_exit() that
/// leaves it ends the process, and longjmp() out of it corrupts the process, because the thread is
/// the library's. sprat_node_dispatch() describes the rules for a function that is given to it.
///
/// A callback must not switch to another stack, as coroutines do, before it returns: the library
/// could mistake it for a callback that was left without a return.
pub type sprat_event_cb = Option<
    unsafe extern "C-unwind" fn(
        node: *mut sprat_node,
        event: *const sprat_event,
        user_data: *mut c_void,
    ),
>;

/// A function that is called with each line of the log: an enum sprat_log_level, the part of the
/// library that writes the line, and a sentence without a newline. The rules of sprat_event_cb
/// apply. sprat_config_set_log_cb() says which thread calls it.
pub type sprat_log_cb = Option<
    unsafe extern "C-unwind" fn(
        level: c_int,
        target: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// A function that is called once, when the library no longer needs the user_data. It must return
/// normally.
pub type sprat_free_cb = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A function that starts a thread with the name `name` (at most 15 bytes). The thread must call
/// run(arg) exactly once.
///
/// The function returns 0 if run(arg) will be called, and another number, preferably an errno, if
/// run(arg) will never be called. The library calls the function only inside sprat_node_start(), on
/// the thread that called sprat_node_start(). It must return normally: in C++, catch the exception
/// with which std::thread reports that the system refuses a thread, and return its code.
pub type sprat_spawn_cb = Option<
    unsafe extern "C" fn(
        name: *const c_char,
        run: Option<unsafe extern "C" fn(arg: *mut c_void)>,
        arg: *mut c_void,
        user_data: *mut c_void,
    ) -> c_int,
>;
