//! The types that cross the border: what the library fills, what the program fills, and the
//! functions of the program that the library calls.

use std::ffi::{c_char, c_int, c_void};

/// A running node, made by sprat_node_start(). Any number of threads may use it at once.
///
/// It is a checked number, not an address: after sprat_node_free() every function answers it with
/// SPRAT_ERR_HANDLE, for ever. Never dereference it.
pub struct sprat_node {
    _opaque: [u8; 0],
}

/// Everything that is known about one setting. Read it through the pointer you got: never copy it
/// by value, because later versions may add fields at its end. It and its strings are never freed.
#[repr(C)]
pub struct sprat_setting {
    /// The name, as sprat_config_set() takes it. KEY in "tag.KEY" and "filter.tag.KEY" stands for
    /// the key of a tag.
    pub name: *const c_char,
    /// An enum sprat_setting_type.
    pub r#type: i32,
    /// Whether a running node can change it.
    pub changeable: bool,
    /// The type in words, such as "milliseconds". Never NULL.
    pub type_name: *const c_char,
    /// The unit of a number, such as "ms" or "bytes"; empty if it has none. Never NULL.
    pub unit: *const c_char,
    /// NUMBER, MILLISECONDS: the smallest value that is allowed; else 0.
    pub min: u64,
    /// NUMBER, MILLISECONDS: the largest value that is allowed; else 0.
    pub max: u64,
    /// The allowed values in words, such as "10 to 600000". Never NULL.
    pub allowed: *const c_char,
    /// The sentences that say what the setting does. Never NULL.
    pub help: *const c_char,
}

/// A member of the cluster. Read it through the pointer you got: never copy it by value, later
/// versions may add fields at its end. Its strings live as long as the object it came from.
#[repr(C)]
pub struct sprat_member {
    /// Its name, unique in the cluster.
    pub name: *const c_char,
    /// Its address in network order; IPv4 uses the first 4 bytes. See sprat_member_addr().
    pub addr: [u8; 16],
    /// 4 for IPv4 or 16 for IPv6.
    pub addr_len: u8,
    /// Version of the gossip protocol: lowest, highest and used.
    pub protocol: [u8; 3],
    /// Version of the Serf protocol: lowest, highest and used.
    pub delegate: [u8; 3],
    /// Its port, in host order.
    pub port: u16,
    /// An enum sprat_member_state.
    pub state: i32,
    /// How often it has renewed its own entry, for instance to refute a suspicion.
    pub incarnation: u32,
    /// Number of its tags. See sprat_member_tag() and sprat_member_tag_at().
    pub ntags: u32,
    /// Its metadata as on the wire; never NULL.
    pub meta: *const u8,
    /// Bytes of metadata.
    pub meta_len: usize,
}

/// Something that happened. Read it through the pointer you got: never copy it by value, later
/// versions may add fields at its end. Fields that do not fit the kind are 0, NULL or empty.
#[repr(C)]
pub struct sprat_event {
    /// An enum sprat_event_kind; ignore the ones you do not know.
    pub kind: i32,
    /// DONE, FATAL: SPRAT_OK or the sprat_status of what went wrong; else 0.
    pub status: i32,
    /// One more than that of the event before it; a larger step means that events were lost.
    pub seq: u64,
    /// When it was noticed, in nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// Member events: the member as it was then; else NULL.
    pub member: *const sprat_member,
    /// LOG: the part of the library that speaks. Never NULL.
    pub name: *const c_char,
    /// FATAL, LOG, and a DONE that failed: a sentence; else empty. Never NULL.
    pub text: *const c_char,
    /// DONE: the number that the _async function gave.
    pub id: u64,
    /// LOG: an enum sprat_log_level, else 0.
    pub level: i32,
    /// OVERFLOW: how many events were merged or dropped since the last one, else 0.
    pub lost: u64,
}

/// A tag: a key and a value, both chosen by you.
#[repr(C)]
pub struct sprat_tag {
    /// 1 or more bytes, UTF-8.
    pub key: *const c_char,
    /// Any text, UTF-8.
    pub value: *const c_char,
}

/// One member that was asked to probe another on this node's behalf.
#[repr(C)]
pub struct sprat_helper {
    /// Name of the helper.
    pub name: *const c_char,
    /// An enum sprat_answer: what the helper brought back.
    pub answer: i32,
}

/// Why a member is in its state, as far as this node knows. Read it through the pointer you got:
/// never copy it by value. Its strings live until sprat_explanation_free().
#[repr(C)]
pub struct sprat_explanation {
    /// Name of the member.
    pub name: *const c_char,
    /// Its address and port, as "10.0.0.1:7946".
    pub addr: *const c_char,
    /// An enum sprat_member_state: ALIVE, SUSPECT, FAILED or LEFT.
    pub state: i32,
    /// Its incarnation.
    pub incarnation: u32,
    /// Milliseconds that it has been in this state.
    pub since_ms: i64,
    /// Who suspected it or declared it failed; NULL if nobody did.
    pub accuser: *const c_char,
    /// Names of others who confirmed the suspicion; NULL if nconfirmations is 0.
    pub confirmations: *const *const c_char,
    /// How many confirmed it.
    pub nconfirmations: u32,
    /// How many confirmations shorten the wait to its minimum.
    pub confirmations_wanted: u32,
    /// Milliseconds until the suspect is declared failed; -1 if it is not suspected.
    pub time_left_ms: i64,
    /// Milliseconds since this node's last probe of it began; -1 if it never probed it.
    pub probe_ago_ms: i64,
    /// An enum sprat_answer: the direct probe by datagram.
    pub probe_direct: i32,
    /// An enum sprat_answer: the probe by stream, for networks that lose only datagrams.
    pub probe_stream: i32,
    /// Round-trip time of its last direct answer in microseconds; -1 if unknown.
    pub rtt_us: i64,
    /// Members that probed it on this node's behalf; NULL if nhelpers is 0.
    pub helpers: *const sprat_helper,
    /// How many helpers were asked.
    pub nhelpers: u32,
}

/// How this node itself is doing. Read it through the pointer you got: never copy it by value.
#[repr(C)]
pub struct sprat_health {
    /// 0 is healthy; each step makes this node slower to suspect others.
    pub score: u32,
    /// The highest score possible.
    pub score_max: u32,
    /// Members alive or suspect, this node included.
    pub live: u32,
    /// Members known that have not left, this node included.
    pub known: u32,
    /// Most of the cluster fell silent at once: the fault may be here, not there. Two members at
    /// least, this node not counted. True before the first of them is given up, so a handler of
    /// SPRAT_EVENT_MEMBER_FAIL can rely on it.
    pub isolated: bool,
    /// Datagrams get answers.
    pub datagrams_work: bool,
    /// Streams get answers.
    pub streams_work: bool,
    /// Where members list this node's name beside its own address, as "10.0.0.5:7946"; NULL if
    /// none does, as is usual. Members that list it there do not see this node.
    pub name_conflict: *const c_char,
    /// Somebody answers there: two nodes have one name. Else it is a former life of this node,
    /// and members take the new address when the old one has been failed for a while (half a
    /// minute in Serf).
    pub name_conflict_answers: bool,
    /// One sentence, as "streams work, datagrams do not". Never NULL.
    pub summary: *const c_char,
}

/// Called with each event. The event is borrowed: it ends when the function returns;
/// sprat_event_copy() keeps it.
///
/// As a callback of the settings it runs on a thread of the library, one call at a time; in
/// sprat_node_dispatch() it runs on the thread that called. It may call every function of this
/// header, sprat_node_free() included, and may take its time: it delays events, never the
/// protocol.
///
/// It must return normally. An exception or pthread_exit() that leaves it aborts the process, and
/// longjmp() out of it (which is what lua_error() does) corrupts it.
pub type sprat_event_cb = Option<
    unsafe extern "C" fn(node: *mut sprat_node, event: *const sprat_event, user_data: *mut c_void),
>;

/// Called with each line of the log: an enum sprat_log_level, the part of the library that speaks,
/// and a sentence without a newline. The rules of sprat_event_cb hold. See
/// sprat_config_set_log_cb() for the thread it runs on.
pub type sprat_log_cb = Option<
    unsafe extern "C" fn(
        level: c_int,
        target: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// Called once when the library no longer needs your user_data.
pub type sprat_free_cb = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Starts a thread called `name` (at most 15 bytes) that calls run(arg) exactly once.
///
/// Return 0 if run(arg) will be called, and anything else, best an errno, if it never will. It is
/// called only inside sprat_node_start(), on the thread that called that.
pub type sprat_spawn_cb = Option<
    unsafe extern "C" fn(
        name: *const c_char,
        run: Option<unsafe extern "C" fn(arg: *mut c_void)>,
        arg: *mut c_void,
        user_data: *mut c_void,
    ) -> c_int,
>;
