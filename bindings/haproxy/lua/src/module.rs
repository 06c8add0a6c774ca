//! The functions of the module. Backends, slots and results are numbered from 1, as in Lua.

use super::call::{self, Arguments, CallResult, Value, done};
use super::changes::{begin_changes, end_changes, find_changes, forget_changes};
use super::lua_api::{Function, LuaState};
use super::state::module;
use sprat::driver::PreparedThreads;
use sprat::service::servers::candidate::Rules;
use sprat_haproxy::actual_servers::{self, Rotation};
use sprat_haproxy::backend::{Backend, BackendKey};
use sprat_haproxy::balance::{AdminState, Assignment, Limits, Reach};
use sprat_haproxy::controller::{Controller, ControllerConfig, NodePhase};
use sprat_haproxy::server_state::StateEntry;
use sprat_haproxy::snapshot::SnapshotFile;
use sprat_haproxy::{restore, server_state};
use std::borrow::Cow;
use std::ffi::c_int;
use std::net::IpAddr;
use std::time::Duration;

fn nothing() -> Vec<Value> {
    vec![Value::Nil]
}

/// `prepare()`: checks the settings, reads keys and creates the threads. The script calls it while
/// HAProxy loads the script, because HAProxy allows no new threads later.
fn prepare(_: &Arguments) -> CallResult {
    let mut module = module();
    let config = module.config();
    config.check().map_err(|error| error.message)?;
    config.load_keys().map_err(|error| error.message)?;
    PreparedThreads::prepare(ControllerConfig::threads(config))
        .map_err(|error| format!("threads cannot be created: {error}"))?;
    done()
}

/// `resolve_seeds()`: looks up the seeds that are names, before HAProxy changes its root. Returns
/// the names for which no address was found, or nil if there are none.
fn resolve_seeds(_: &Arguments) -> CallResult {
    let unknown = sprat::driver::resolve_seeds(module().config());
    let unknown = (!unknown.is_empty()).then(|| unknown.join(", "));
    Ok(vec![unknown.into()])
}

/// `open_snapshot(path)`: opens the file of the snapshot, before HAProxy changes its root.
fn open_snapshot(arguments: &Arguments) -> CallResult {
    let path = arguments.text(1, "path")?;
    let opened = SnapshotFile::open(&path)
        .map_err(|error| format!("the snapshot {path} cannot be opened: {error}"))?;
    module().snapshot = Some(opened);
    done()
}

/// `write_server_state(path, backends)`: writes the file from which HAProxy reads the addresses of
/// the snapshot. `backends` holds the name of each backend and the tag of its members as
/// `key=value`, all separated by spaces.
fn write_server_state(arguments: &Arguments) -> CallResult {
    let path = arguments.text(1, "path")?;
    let backends = arguments.text(2, "backends")?;
    let words: Vec<&str> = backends.split(' ').collect();
    let keys = words.chunks_exact(2).filter_map(|pair| {
        let (key, value) = pair[1].split_once('=')?;
        Some(BackendKey::new(pair[0], key, value))
    });
    let keys: Vec<BackendKey> = keys.collect();
    let mut module = module();
    let entries = match &module.snapshot {
        Some((_, snapshot)) => server_state::entries(snapshot, &keys),
        None => Vec::new(),
    };
    server_state::write(&path, &keys, &entries)
        .map_err(|error| format!("the server-state file {path} cannot be written: {error}"))?;
    module.server_state = entries;
    done()
}

/// `is_in_server_state(backend, server, address)`: returns true if `write_server_state` has written
/// this server with this address, which is as HAProxy shows it.
fn is_in_server_state(arguments: &Arguments) -> CallResult {
    let (backend, server) = (arguments.text(1, "backend")?, arguments.text(2, "server")?);
    let shown = actual_servers::address(&arguments.text(3, "address")?);
    let is_it = |(of, name, addr): &StateEntry| {
        **of == *backend && **name == *server && shown == Some(*addr)
    };
    Ok(vec![module().server_state.iter().any(is_it).into()])
}

/// `is_address(shown, wanted)`: returns true if two texts are the same address and port.
fn is_address(arguments: &Arguments) -> CallResult {
    let shown = actual_servers::address(&arguments.text(1, "shown")?);
    let wanted = actual_servers::address(&arguments.text(2, "wanted")?);
    Ok(vec![(shown.is_some() && shown == wanted).into()])
}

/// `set(key, value)`: sets a setting of the node.
fn set(arguments: &Arguments) -> CallResult {
    let (key, value) = (arguments.text(1, "key")?, arguments.text(2, "value")?);
    let mut module = module();
    let config = module.config();
    config.set(&key, &value).map_err(|error| error.message)?;
    done()
}

/// `unknown_variables(known)`: returns the environment variables that look like settings of this
/// module but are not, or nil if there are none. `known` holds the names of the settings without
/// `SPRAT_`, separated by spaces.
fn unknown_variables(arguments: &Arguments) -> CallResult {
    let known = arguments.text(1, "known")?;
    let is_known = |name: &str| known.split(' ').any(|it| it == name);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = names.filter(|name| {
        name.to_ascii_uppercase().starts_with("SPRAT")
            && !name.strip_prefix("SPRAT_").is_some_and(is_known)
    });
    let unknown: Vec<String> = unknown.collect();
    let unknown = (!unknown.is_empty()).then(|| unknown.join(", "));
    Ok(vec![unknown.into()])
}

/// `add_backend(name, tag, value, servers, min_ready, drain_ms, grace_ms, loopback)`: adds a
/// backend and the tag of the members that serve it. `servers` holds the names of the servers that
/// are slots, separated by spaces. Returns the number of the backend.
fn add_backend(arguments: &Arguments) -> CallResult {
    let drain = arguments.number(6, "drain_ms", 0, 86_400_000)?;
    let grace = arguments.number(7, "grace_ms", 0, 86_400_000)?;
    let loopback = arguments.flag(8, "loopback")?;
    let tag = (arguments.text(2, "tag")?, arguments.text(3, "value")?);
    let servers = arguments.text(4, "servers")?;
    let mut module = module();
    let rules = module.config().spoe_rules();
    let backend = Backend {
        name: arguments.text(1, "name")?,
        rules: Rules {
            tag,
            loopback,
            ..rules
        },
        servers: servers.split(' ').map(Into::into).collect(),
        limits: Limits {
            min_ready: arguments.number(5, "min_ready", 0, 100)? as u32,
            drain: Duration::from_millis(drain as u64),
            grace: Duration::from_millis(grace as u64),
            ..Limits::default()
        },
    };
    // With `lua-load-per-thread` each thread adds the same backends.
    let key = backend.key();
    let known = module.backends.iter().position(|it| it.key() == key);
    let number = known.unwrap_or(module.backends.len());
    if known.is_none() {
        module.backends.push(backend);
    }
    Ok(vec![(number as i64 + 1).into()])
}

/// `remembered(n)`: returns the nth assignment of the snapshot, in the form of `next_change`, or
/// nil after the last one.
fn remembered(arguments: &Arguments) -> CallResult {
    let n = arguments.number(1, "n", 1, i64::MAX)?;
    let mut module = module();
    if let (1, Some((_, snapshot))) = (n, &module.snapshot) {
        module.restored = restore::assignments(snapshot, &module.backends);
    }
    let found = module.restored.get(n as usize - 1);
    Ok(found.map_or_else(nothing, |(backend, it)| assignment_values(*backend, it)))
}

fn assignment_values(backend: usize, assignment: &Assignment) -> Vec<Value> {
    let addr = assignment.addr;
    vec![
        (backend as i64 + 1).into(),
        (assignment.slot as i64 + 1).into(),
        assignment.state.name().into(),
        i64::from(assignment.weight).into(),
        addr.map(|addr| addr.ip().to_string()).into(),
        addr.map(|addr| i64::from(addr.port())).into(),
        assignment.name.as_deref().into(),
        i64::from(assignment.order).into(),
        assignment.is_unguarded.into(),
    ]
}

/// `start()`: starts the node. The script calls it in the process that serves requests.
fn start(_: &Arguments) -> CallResult {
    let mut module = module();
    if module.controller().is_some() {
        return done();
    }
    let (snapshot_file, snapshot) = module.snapshot.take().unzip();
    let config = ControllerConfig {
        node: module.config().clone(),
        backends: module.backends.clone(),
        inside_haproxy: true,
        snapshot: snapshot.unwrap_or_default(),
        snapshot_file,
    };
    let controller = Controller::start(config)
        .map_err(|error| format!("the thread of the controller cannot be started: {error}"))?;
    module.controller = Some((std::process::id(), controller));
    done()
}

/// `generation()`: returns a number that changes when `next_change`, `addresses` or `map` has
/// something new; 0 before the node is started.
fn generation(_: &Arguments) -> CallResult {
    let module = module();
    let generation = module.controller().map_or(0, Controller::generation);
    Ok(vec![(generation as i64).into()])
}

/// `next_change()`: takes the next changed assignment: backend, slot, state, weight, ip, port,
/// name, the number of an operator's order, and true if the guard does not apply; ip, port and
/// name are nil for a free slot. Returns nil if no assignment has changed.
fn next_change(_: &Arguments) -> CallResult {
    let change = module().running()?.next_change();
    Ok(change.map_or_else(nothing, |(backend, it)| assignment_values(backend, &it)))
}

/// `set_reach(backend, slot, name, reach)`: reports whether HAProxy sends requests to the server of
/// a member: "reached", "taken away" or "down", as [`Reach`] defines them.
fn set_reach(arguments: &Arguments) -> CallResult {
    let backend = arguments.number(1, "backend", 1, 10_000)? as usize - 1;
    let slot = arguments.number(2, "slot", 1, 10_000)? as usize - 1;
    let name = arguments.text(3, "name")?;
    let word = arguments.text(4, "reach")?;
    let reach = Reach::from_name(&word)
        .ok_or_else(|| format!("the reach is {word:?}, allowed: reached, taken away or down"))?;
    let module = module();
    module
        .running()?
        .set_reach(backend, slot, name.into(), reach);
    done()
}

/// `order(member, state)`: orders a state for the server of a member: "ready", "drain" or "maint";
/// "auto" withdraws the order. `member` may be BACKEND/NAME.
fn order(arguments: &Arguments) -> CallResult {
    let (member, word) = (arguments.text(1, "member")?, arguments.text(2, "state")?);
    let state = AdminState::from_name(&word);
    if state.is_none() && word != "auto" {
        return Err(format!(
            "the state is {word:?}, allowed: ready, drain, maint or auto"
        ));
    }
    let (backend, name) = match member.split_once('/') {
        Some((backend, name)) => (Some(backend), name),
        None => (None, &*member),
    };
    module().running()?.order(backend, name, state)?;
    done()
}

/// `set_drift(backend, slot, name, text)`: reports how the server of a member in HAProxy differs
/// from its assignment; "" if it does not differ.
fn set_drift(arguments: &Arguments) -> CallResult {
    let backend = arguments.number(1, "backend", 1, 10_000)? as usize - 1;
    let slot = arguments.number(2, "slot", 1, 10_000)? as usize - 1;
    let (name, text) = (arguments.text(3, "name")?, arguments.text(4, "text")?);
    let module = module();
    module
        .running()?
        .set_drift(backend, slot, name.into(), text);
    done()
}

/// `freeze(frozen)`: freezes removals if `frozen` is true, or else thaws them.
fn freeze(arguments: &Arguments) -> CallResult {
    let frozen = arguments.flag(1, "frozen")?;
    module().running()?.set_frozen(frozen)?;
    done()
}

/// `saved()`: returns true if the snapshot has all orders, freezes and thaws that were given.
/// Otherwise returns false and a remark for the operator, or nil and a remark if that is not known
/// yet.
fn saved(_: &Arguments) -> CallResult {
    let saved = module().running()?.saved();
    let known = match &saved {
        Some(saved) => saved.is_ok().into(),
        None => Value::Nil,
    };
    Ok(vec![known, Controller::remark(saved).into()])
}

/// `rotation(status, weight)`: returns whether a server with this status in HAProxy's statistics
/// and this weight gets requests: "out", "unproven" or "proven", as [`Rotation`] defines them.
fn rotation(arguments: &Arguments) -> CallResult {
    let status = arguments.text(1, "status")?;
    let weight = arguments.number(2, "weight", 0, 256)? as u32;
    Ok(vec![Rotation::of(&status, weight).name().into()])
}

/// `release(patience_ms)`: ends the node. The node waits up to `patience_ms` for a successor, and
/// leaves the cluster if none comes. At the end, `phase` returns "released".
fn release(arguments: &Arguments) -> CallResult {
    let patience = arguments.number(1, "patience_ms", 0, 60_000)?;
    let patience = Duration::from_millis(patience as u64);
    module().running()?.release(patience);
    done()
}

/// `phase()`: returns "starting", "running", "released", "broken" or "busy"; the reason, or nil;
/// and the time since the controller's thread was last active, in milliseconds.
fn phase(_: &Arguments) -> CallResult {
    let module = module();
    let controller = module.running()?;
    let (word, why) = match controller.phase() {
        Some(NodePhase::Starting(why)) => ("starting", why),
        Some(NodePhase::Running) => ("running", None),
        Some(NodePhase::Released) => ("released", None),
        Some(NodePhase::Broken(why)) => ("broken", Some(why)),
        None => ("busy", None),
    };
    let silent = controller.silent_for().as_millis() as i64;
    Ok(vec![word.into(), why.into(), silent.into()])
}

/// `handover_socket()`: returns the name of an abstract socket that lives as long as the node.
fn handover_socket(_: &Arguments) -> CallResult {
    let name = module().running()?.handover_socket();
    Ok(vec![name.into()])
}

/// `show()`: returns members, slots, and the reason for each server that is held, as text for a
/// person.
fn show(_: &Arguments) -> CallResult {
    let report = module().running()?.report();
    Ok(vec![report.into()])
}

/// `show_json()`: returns the content of `show()` as JSON, for programs.
fn show_json(_: &Arguments) -> CallResult {
    let report = module().running()?.report_json();
    Ok(vec![report.into()])
}

/// `is_member(ip)`: returns true if a member of the cluster listens at this address.
fn is_member(arguments: &Arguments) -> CallResult {
    let text = arguments.text(1, "ip")?;
    let ip: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IP address"))?;
    let is_member = module().running()?.addrs().contains(&ip.to_canonical());
    Ok(vec![Value::Flag(is_member)])
}

/// `pick(key, backend)`: returns four values: ip, port and name of the member for a key, and the
/// name of its server; the last is nil if the member has no slot here. Hosts that see the same
/// members pick the same member. Returns a single nil if no member serves.
fn pick(arguments: &Arguments) -> CallResult {
    let key = arguments.text(1, "key")?;
    let backend = arguments.number(2, "backend", 1, 10_000)? as usize - 1;
    let module = module();
    let controller = module.running()?;
    let indexes = controller.member_indexes();
    let picked = (indexes.get(backend)).and_then(|it| Some((it, it.pick(key.as_bytes())?)));
    let Some((index, server)) = picked else {
        return Ok(nothing());
    };
    let Ok(addr) = &server.addr else {
        return Ok(nothing());
    };
    let (ip, port) = (addr.ip().to_string(), i64::from(addr.port()));
    let name = &server.name;
    let mut names = index.names(server);
    let server = names.find_map(|name| controller.server_of(backend, name));
    let server = server.as_deref().into();
    Ok(vec![ip.into(), port.into(), (&**name).into(), server])
}

/// `addresses()`: returns the addresses of the members, each as a line of the address and a space,
/// which is the form of `map` with empty values.
fn addresses(_: &Arguments) -> CallResult {
    let addrs = module().running()?.addrs();
    let lines: String = addrs.iter().map(|ip| format!("{ip} \n")).collect();
    Ok(vec![lines.into()])
}

/// `map(tag)`: returns the addresses of the members, each as a line of the address, a space, and
/// the value of this tag. Members without the tag are left out, and so are values with control
/// characters. If members share an address, the first by name counts. If the tag is "", the value
/// is the name of the member.
fn map(arguments: &Arguments) -> CallResult {
    let tag = arguments.text(1, "tag")?;
    let tag = (!tag.is_empty()).then_some(&*tag);
    let indexes = module().running()?.member_indexes();
    let is_line = |(_, text): &(IpAddr, Cow<str>)| !text.contains(char::is_control);
    let found = indexes
        .iter()
        .take(1)
        .flat_map(|it| it.by_address(tag))
        .filter(is_line);
    let lines: String = found.map(|(ip, text)| format!("{ip} {text}\n")).collect();
    Ok(vec![lines.into()])
}

/// `next_notice()`: takes the next line for the log: the name of HAProxy's function that logs it,
/// and the text; nil if no line is left.
fn next_notice(_: &Arguments) -> CallResult {
    let notice = module().running()?.next_notice();
    Ok(notice.map_or_else(nothing, |it| vec![it.level.name().into(), it.text.into()]))
}

/// `next_event()`: takes the next user event: name, payload, Lamport time, and true if its sender
/// allows that receivers handle only the last of several; nil if no event waits. Before the first
/// call, user events are not kept.
fn next_event(_: &Arguments) -> CallResult {
    let event = module().running()?.next_user_event();
    Ok(event.map_or_else(nothing, |it| {
        let ltime = i64::try_from(it.ltime).unwrap_or(i64::MAX);
        vec![
            it.name.into(),
            Value::Bytes(it.payload),
            ltime.into(),
            it.coalesce.into(),
        ]
    }))
}

/// `version()`: returns the version of the module.
fn version(_: &Arguments) -> CallResult {
    Ok(vec![env!("CARGO_PKG_VERSION").into()])
}

/// `panic()`: fails with an internal error, so that a test can check that HAProxy survives it.
fn panic(_: &Arguments) -> CallResult {
    panic!("on purpose")
}

/// Makes the table of functions, each wrapped in a function that C can call.
macro_rules! functions {
    ($($name:ident),*) => {
        &[$((
            {
                const NAME: &[u8] = concat!(stringify!($name), "\0").as_bytes();
                match std::ffi::CStr::from_bytes_with_nul(NAME) {
                    Ok(name) => name,
                    Err(_) => panic!("the name has no NUL at its end"),
                }
            },
            {
                unsafe extern "C" fn entry(state: *mut LuaState) -> c_int {
                    call::run(state, $name)
                }
                entry as Function
            },
        )),*]
    };
}

static FUNCTIONS: &[(&std::ffi::CStr, Function)] = functions![
    prepare,
    resolve_seeds,
    open_snapshot,
    write_server_state,
    is_in_server_state,
    is_address,
    set,
    unknown_variables,
    add_backend,
    remembered,
    start,
    generation,
    next_change,
    set_reach,
    find_changes,
    begin_changes,
    end_changes,
    forget_changes,
    order,
    set_drift,
    freeze,
    rotation,
    saved,
    release,
    phase,
    handover_socket,
    show,
    show_json,
    is_member,
    addresses,
    map,
    next_notice,
    next_event,
    pick,
    version,
    panic
];

/// Loads the module: `require("sprat")` calls it.
///
/// # Safety
/// Lua calls this function with the state that is loading the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn luaopen_sprat(state: *mut LuaState) -> c_int {
    // SAFETY: `require` calls this function with the state that is loading the module.
    unsafe { call::push_module(state, FUNCTIONS) }
}
