//! Any sequence of calls of the C interface, with handles that are good, freed or invented, ends
//! without a crash or a hang. A call that fails says so with a known status and a message.
//!
//! The nodes listen on loopback addresses and join only one another. Settings from the input go
//! into an object from which no node is started.
#![no_main]

use libfuzzer_sys::fuzz_target;
// The C functions come from this crate, too.
use sprat::Status;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};

/// The number of nodes that may run at the same time.
const NODES: usize = 3;
/// The errors for a bad handle: no node has it, or its number says that another process made it.
const BAD_HANDLE: [c_int; 2] = [Status::Handle.number(), Status::Forked.number()];

type Node = *mut c_void;
type Settings = *mut c_void;
type Object = *mut c_void;
type EventCallback = extern "C" fn(Node, *const c_void, *mut c_void);

unsafe extern "C" {
    fn sprat_last_error() -> *const c_char;
    fn sprat_status_name(status: c_int) -> *const c_char;
    fn sprat_config_new() -> Settings;
    fn sprat_config_copy(config: Settings) -> Settings;
    fn sprat_config_free(config: Settings);
    fn sprat_config_set(config: Settings, key: *const c_char, value: *const c_char) -> c_int;
    fn sprat_config_get(
        config: Settings,
        key: *const c_char,
        buf: *mut c_char,
        size: usize,
    ) -> c_int;
    fn sprat_config_set_tag(config: Settings, key: *const c_char, value: *const c_char) -> c_int;
    fn sprat_config_set_filter_name(config: Settings, pattern: *const c_char) -> c_int;
    fn sprat_config_add_key(config: Settings, key: *const c_void, len: usize) -> c_int;
    fn sprat_config_check(config: Settings) -> c_int;
    fn sprat_node_start(config: Settings, out: *mut Node) -> c_int;
    fn sprat_node_free(node: Node);
    fn sprat_node_shutdown(node: Node) -> c_int;
    fn sprat_node_state(node: Node) -> c_int;
    fn sprat_node_addr(node: Node, buf: *mut c_char, size: usize) -> c_int;
    fn sprat_node_join_async(
        node: Node,
        addrs: *const *const c_char,
        naddrs: usize,
        flags: c_uint,
        op_data: *mut c_void,
        id: *mut u64,
    ) -> c_int;
    fn sprat_node_leave(node: Node, timeout_ms: c_int) -> c_int;
    fn sprat_node_leave_async(node: Node, op_data: *mut c_void, id: *mut u64) -> c_int;
    fn sprat_node_remove_failed(node: Node, name: *const c_char, flags: c_uint) -> c_int;
    fn sprat_node_members(node: Node, out: *mut Object) -> c_int;
    fn sprat_members_count(members: Object) -> usize;
    fn sprat_members_get(members: Object, i: usize) -> *const c_void;
    fn sprat_members_free(members: Object);
    fn sprat_member_tag(member: *const c_void, key: *const c_char) -> *const c_char;
    fn sprat_node_set_tag(node: Node, key: *const c_char, value: *const c_char) -> c_int;
    fn sprat_node_set_meta(node: Node, meta: *const c_void, len: usize) -> c_int;
    fn sprat_node_next_event(node: Node, timeout_ms: c_int, out: *mut *const c_void) -> c_int;
    fn sprat_node_dispatch(
        node: Node,
        timeout_ms: c_int,
        cb: Option<EventCallback>,
        user_data: *mut c_void,
    ) -> c_int;
    fn sprat_event_copy(event: *const c_void) -> *const c_void;
    fn sprat_event_free(event: *const c_void);
    fn sprat_node_hint(
        node: Node,
        name: *const c_char,
        op_data: *mut c_void,
        id: *mut u64,
    ) -> c_int;
    fn sprat_node_explain(node: Node, name: *const c_char, out: *mut Object) -> c_int;
    fn sprat_explanation_free(explanation: Object);
    fn sprat_node_health(node: Node, out: *mut Object) -> c_int;
    fn sprat_health_free(health: Object);
    fn sprat_node_stats(node: Node, out: *mut Object) -> c_int;
    fn sprat_stats_free(stats: Object);
}

/// The program: its nodes, the settings of the input, and the events that it keeps.
struct Program<'a> {
    input: &'a [u8],
    nodes: [Node; NODES],
    settings: Settings,
    kept: Vec<*const c_void>,
}

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.input.split_first() else {
            return 0;
        };
        self.input = rest;
        *first
    }

    /// Returns the next text of the input, cut at its first NUL. Its first byte is the index of a
    /// text in `known`, or else the length of the text plus the number of known texts.
    fn text(&mut self) -> CString {
        let known = [
            "name", "bind", "role", "fuzz-0", "encrypt", "profile", "lan", "",
        ];
        let length = usize::from(self.byte());
        if let Some(text) = known.get(length) {
            return CString::new(*text).expect("it has no NUL");
        }
        let (text, rest) = self
            .input
            .split_at((length - known.len()).min(self.input.len()));
        self.input = rest;
        let end = text.iter().position(|byte| *byte == 0);
        CString::new(&text[..end.unwrap_or(text.len())]).expect("it has no NUL")
    }

    /// Returns the handle of a node: of one that runs, of one that was freed, NULL, or an invented
    /// one.
    fn handle(&mut self) -> Node {
        let byte = self.byte();
        match byte {
            0..=199 => self.nodes[usize::from(byte) % NODES],
            200..=209 => null_mut(),
            // A handle is a number, which nobody dereferences.
            210..=255 => std::ptr::without_provenance_mut(usize::from(self.byte()) << (byte % 60)),
        }
    }

    fn call(&mut self) {
        let (kind, node) = (self.byte(), self.handle());
        let (text, other) = (self.text(), self.text());
        let (text, other) = (text.as_ptr(), other.as_ptr());
        let mut object = null_mut();
        // SAFETY: the calls get what the header asks for: any handle, texts that live until the end
        // of this function, places for results, and objects that are used and freed once.
        unsafe {
            match kind % 24 {
                0 => self.start(),
                1 => self.join(node),
                2 => self.free(node),
                3 => check(sprat_node_shutdown(node)),
                4 => check(sprat_node_state(node)),
                5 => check(sprat_node_addr(node, [0; 8].as_mut_ptr(), 8)),
                6 => check(sprat_node_leave(node, 0)),
                7 => check(sprat_node_leave_async(node, null_mut(), null_mut())),
                8 => check(sprat_node_remove_failed(node, text, 0)),
                9 => check(sprat_node_set_tag(node, text, other)),
                10 => check(sprat_node_set_tag(node, text, null())),
                11 => check(sprat_node_set_meta(
                    node,
                    text.cast(),
                    CStr::from_ptr(text).count_bytes(),
                )),
                12 => check(sprat_node_hint(node, text, null_mut(), null_mut())),
                13 => self.read(node),
                14 => check(sprat_node_dispatch(node, 0, Some(ignore), null_mut())),
                15 => check(sprat_node_dispatch(node, 0, Some(free_it), null_mut())),
                16 => self.members(node, text),
                17 => {
                    check(sprat_node_explain(node, text, &mut object));
                    sprat_explanation_free(object);
                }
                18 => {
                    check(sprat_node_health(node, &mut object));
                    sprat_health_free(object);
                    check(sprat_node_stats(node, &mut object));
                    sprat_stats_free(object);
                }
                19 => check(sprat_config_set(self.settings, text, other)),
                20 => check(sprat_config_set_tag(self.settings, text, other)),
                21 => check(sprat_config_set_filter_name(self.settings, text)),
                22 => {
                    let length = CStr::from_ptr(text).count_bytes();
                    check(sprat_config_add_key(self.settings, text.cast(), length));
                    check(sprat_config_check(self.settings));
                }
                _ => {
                    let copy = sprat_config_copy(self.settings);
                    check(sprat_config_get(copy, text, [0; 8].as_mut_ptr(), 8));
                    sprat_config_free(copy);
                }
            }
        }
    }

    /// Starts a node in a place that has none.
    fn start(&mut self) {
        let place = usize::from(self.byte()) % NODES;
        let name = CString::new(format!("fuzz-{place}")).expect("it has no NUL");
        // SAFETY: the settings are freed once, after their last use.
        unsafe {
            if !BAD_HANDLE.contains(&sprat_node_state(self.nodes[place])) {
                return;
            }
            let config = sprat_config_new();
            check(sprat_config_set(config, c"name".as_ptr(), name.as_ptr()));
            check(sprat_config_set(
                config,
                c"bind".as_ptr(),
                c"127.0.0.1:0".as_ptr(),
            ));
            let mut node = null_mut();
            let started = sprat_node_start(config, &mut node);
            assert_eq!(started, 0, "{:?}", CStr::from_ptr(sprat_last_error()));
            self.nodes[place] = node;
            sprat_config_free(config);
        }
    }

    /// Lets a node join another node of this program.
    fn join(&mut self, node: Node) {
        let mut addr = [0; 64];
        let place = usize::from(self.byte()) % NODES;
        // SAFETY: `addr` has the size that is given, and lives until the end of the call.
        unsafe {
            if sprat_node_addr(self.nodes[place], addr.as_mut_ptr(), addr.len()) == 0 {
                let (addrs, flags) = ([addr.as_ptr()], c_uint::from(self.byte() % 4));
                let none = null_mut();
                check(sprat_node_join_async(
                    node,
                    addrs.as_ptr(),
                    1,
                    flags,
                    none,
                    null_mut(),
                ));
            }
        }
    }

    /// Frees a node. Its handle stays, and is bad from now on.
    fn free(&mut self, node: Node) {
        // SAFETY: a handle may be freed again, and may be any number.
        unsafe {
            sprat_node_free(node);
            assert!(BAD_HANDLE.contains(&sprat_node_state(node)));
        }
    }

    /// Takes an event, and keeps it or a copy of it.
    fn read(&mut self, node: Node) {
        let mut event = null();
        // SAFETY: each event is freed once.
        unsafe {
            check(sprat_node_next_event(node, 0, &mut event));
            if !event.is_null() && self.byte() % 2 == 0 {
                self.kept.push(sprat_event_copy(event));
                sprat_event_free(event);
            } else {
                self.kept.push(event);
            }
        }
    }

    fn members(&mut self, node: Node, key: *const c_char) {
        let mut members = null_mut();
        // SAFETY: a member is used only before its list is freed.
        unsafe {
            check(sprat_node_members(node, &mut members));
            let count = sprat_members_count(members);
            assert!(sprat_members_get(members, count).is_null());
            for i in 0..count {
                sprat_member_tag(sprat_members_get(members, i), key);
            }
            sprat_members_free(members);
        }
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: everything is freed once; a node that was freed before has a bad handle.
        unsafe {
            self.kept.iter().for_each(|event| sprat_event_free(*event));
            self.nodes.iter().for_each(|node| sprat_node_free(*node));
            sprat_config_free(self.settings);
        }
    }
}

extern "C" fn ignore(_node: Node, _event: *const c_void, _user_data: *mut c_void) {}

extern "C" fn free_it(node: Node, _event: *const c_void, _user_data: *mut c_void) {
    // SAFETY: a callback may free its node.
    unsafe { sprat_node_free(node) };
}

/// Checks that a result is a success, or a known status with a message.
fn check(result: c_int) {
    if result < 0 {
        // SAFETY: both functions return texts that live until the next call on this thread.
        let (name, message) = unsafe {
            let name = CStr::from_ptr(sprat_status_name(result));
            (name, CStr::from_ptr(sprat_last_error()))
        };
        assert!(!message.is_empty(), "{name:?} has no message");
        let known = name != c"SPRAT_ERR_UNKNOWN" && name != c"SPRAT_ERR_INTERNAL";
        assert!(known, "{name:?}: {message:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program {
        input: bytes,
        nodes: [null_mut(); NODES],
        // SAFETY: the settings are freed when the program ends.
        settings: unsafe { sprat_config_new() },
        kept: Vec::new(),
    };
    while !program.input.is_empty() {
        program.call();
    }
});
