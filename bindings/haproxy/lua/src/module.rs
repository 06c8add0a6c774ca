//! What each function of the module does.

use super::call::{self, Answer, Arguments, Value};
use super::lua::{Function, State};
use sprat::Config;
use sprat::driver::PreparedThreads;
use sprat::service::spoe::candidate::Rules;
use sprat_haproxy::balance::Limits;
use sprat_haproxy::controller::{self, Phase, Pilot, Plan, Pool};
use sprat_haproxy::snapshot::{Snapshot, Store, mode_name};
use std::ffi::c_int;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// HAProxy has one Lua state, or one for each thread; there is one node for all of them.
static STATE: Mutex<Loaded> = Mutex::new(Loaded {
    config: None,
    pools: Vec::new(),
    store: None,
    pilot: None,
});

/// What was set up before the node starts, and then the node.
struct Loaded {
    config: Option<Config>,
    pools: Vec<Pool>,
    store: Option<(Store, Snapshot)>,
    pilot: Option<(u32, Pilot)>,
}

fn state() -> MutexGuard<'static, Loaded> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loaded {
    /// The node, if this process has started it.
    fn pilot(&self) -> Option<&Pilot> {
        let (pid, pilot) = self.pilot.as_ref()?;
        (*pid == std::process::id()).then_some(pilot)
    }

    fn running(&self) -> Result<&Pilot, String> {
        self.pilot()
            .ok_or_else(|| "the node was not started in this process".to_owned())
    }
}

fn done() -> Answer {
    Ok(vec![true.into()])
}

/// `prepare()`: checks the settings together, reads keys, and creates the threads, before HAProxy
/// forbids that. Where the script is loaded.
fn prepare(_: &Arguments) -> Answer {
    let mut state = state();
    let config = state.config.get_or_insert_with(Config::new);
    config.check().map_err(|error| error.message)?;
    config.load_keys().map_err(|error| error.message)?;
    let created = PreparedThreads::prepare(controller::threads(config));
    created.map_err(|error| format!("threads cannot be created: {error}"))?;
    done()
}

/// `resolve_seeds()`: looks up seeds that are names, before HAProxy changes its root. The names
/// that have no address, or nil.
fn resolve_seeds(_: &Arguments) -> Answer {
    let mut state = state();
    let unknown = sprat::driver::resolve_seeds(state.config.get_or_insert_with(Config::new));
    Ok(vec![match unknown.is_empty() {
        true => Value::Nil,
        false => unknown.join(", ").into(),
    }])
}

/// `open_snapshot(path)`: opens the file of what is remembered, before HAProxy changes its root.
fn open_snapshot(arguments: &Arguments) -> Answer {
    let path = arguments.text(1, "path")?;
    let opened = Store::open(&path);
    let opened =
        opened.map_err(|error| format!("the snapshot {path} cannot be opened: {error}"))?;
    state().store = Some(opened);
    done()
}

/// `set(key, value)`: a setting of the node.
fn set(arguments: &Arguments) -> Answer {
    let (key, value) = (arguments.text(1, "key")?, arguments.text(2, "value")?);
    let mut state = state();
    let config = state.config.get_or_insert_with(Config::new);
    config.set(&key, &value).map_err(|error| error.message)?;
    done()
}

/// `strange_variables(known)`: names of variables of the environment that look like settings of
/// this module and are none, or nil. `known`: the names it has, without `SPRAT_`, with spaces
/// between.
fn strange_variables(arguments: &Arguments) -> Answer {
    let known = arguments.text(1, "known")?;
    let is_known = |name: &str| known.split(' ').any(|it| it == name);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let strange = names.filter(|name| {
        name.to_ascii_uppercase().starts_with("SPRAT")
            && !name.strip_prefix("SPRAT_").is_some_and(is_known)
    });
    let strange: Vec<String> = strange.collect();
    Ok(vec![match strange.is_empty() {
        true => Value::Nil,
        false => strange.join(", ").into(),
    }])
}

/// `pool(name, tag, value, slots, min_ready, drain_ms, loopback)`: a backend, and the tag of the
/// members that serve it. Its number, from 1.
fn pool(arguments: &Arguments) -> Answer {
    let drain = arguments.number(6, "drain_ms", 0, 86_400_000)?;
    let loopback = arguments.flag(7, "loopback")?;
    let tag = (arguments.text(2, "tag")?, arguments.text(3, "value")?);
    let rules = state()
        .config
        .get_or_insert_with(Config::new)
        .spoe_rules(loopback);
    let pool = Pool {
        name: arguments.text(1, "name")?,
        rules: Rules { tag, ..rules },
        slots: arguments.number(4, "slots", 1, 10_000)? as usize,
        limits: Limits {
            min_ready: arguments.number(5, "min_ready", 0, 100)? as u32,
            drain: Duration::from_millis(drain as u64),
            ..Limits::default()
        },
    };
    let mut state = state();
    // With `lua-load-per-thread` each thread says the same again.
    let known = state.pools.iter().position(|it| it.key() == pool.key());
    let number = known.unwrap_or(state.pools.len());
    if known.is_none() {
        state.pools.push(pool);
    }
    Ok(vec![(number as i64 + 1).into()])
}

/// `remembered(n)`: the nth server of the snapshot, as `poll` gives it; nil after the last.
fn remembered(arguments: &Arguments) -> Answer {
    let n = arguments.number(1, "n", 1, i64::MAX)?;
    let state = state();
    let servers = state.store.as_ref().map_or(&[][..], |(_, it)| &it.servers);
    let in_pools = servers.iter().filter_map(|(key, order)| {
        let of_pool = |it: &Pool| it.key() == **key && it.takes(order);
        Some((state.pools.iter().position(of_pool)?, order))
    });
    let found = in_pools.into_iter().nth(n as usize - 1);
    Ok(found.map_or_else(|| vec![Value::Nil], |(pool, order)| as_values(pool, order)))
}

fn as_values(pool: usize, order: &sprat_haproxy::balance::Order) -> Vec<Value> {
    let text = |text: Option<String>| text.map_or(Value::Nil, Value::Text);
    vec![
        (pool as i64 + 1).into(),
        (order.slot as i64 + 1).into(),
        mode_name(order.mode).into(),
        i64::from(order.weight).into(),
        text(order.addr.map(|addr| addr.ip().to_string())),
        order
            .addr
            .map_or(Value::Nil, |addr| i64::from(addr.port()).into()),
        text(order.name.as_deref().map(str::to_owned)),
    ]
}

/// `start()`: starts the node, in the process that serves.
fn start(_: &Arguments) -> Answer {
    let mut state = state();
    if state.pilot().is_some() {
        return done();
    }
    let config = state.config.clone().unwrap_or_default();
    let (store, snapshot) = state.store.take().unzip();
    let plan = Plan {
        config,
        pools: state.pools.clone(),
        inside: true,
        remembered: snapshot.unwrap_or_default(),
        store,
    };
    let pilot = Pilot::start(plan).map_err(|error| format!("no thread for the node: {error}"))?;
    state.pilot = Some((std::process::id(), pilot));
    done()
}

/// `generation()`: changes when `poll` has something.
fn generation(_: &Arguments) -> Answer {
    let state = state();
    let generation = state.pilot().map_or(0, Pilot::generation);
    Ok(vec![(generation as i64).into()])
}

/// `poll()`: pool, slot, mode, weight, ip, port, name of a slot that has changed, or nil.
fn poll(_: &Arguments) -> Answer {
    let order = state().running()?.take_order();
    Ok(order.map_or_else(|| vec![Value::Nil], |(pool, order)| as_values(pool, &order)))
}

/// `doubt(pool, slot, doubted)`: HAProxy cannot reach that server, or can again.
fn doubt(arguments: &Arguments) -> Answer {
    let pool = arguments.number(1, "pool", 1, 10_000)? as usize - 1;
    let slot = arguments.number(2, "slot", 1, 10_000)? as usize - 1;
    let doubted = arguments.flag(3, "doubted")?;
    state().running()?.doubt(pool, slot, doubted);
    done()
}

/// `freeze(frozen)`: takes nobody away until it is thawed.
fn freeze(arguments: &Arguments) -> Answer {
    let frozen = arguments.flag(1, "frozen")?;
    state().running()?.freeze(frozen);
    done()
}

/// `release(patience_ms)`: ends the node; without an heir it says goodbye. `phase` tells when it
/// is over.
fn release(arguments: &Arguments) -> Answer {
    let patience = arguments.number(1, "patience_ms", 0, 60_000)?;
    let patience = Duration::from_millis(patience as u64);
    state().running()?.release(patience);
    done()
}

/// `phase()`: starting, running, released, broken or busy, and why, and for how many milliseconds
/// nothing was heard of the node.
fn phase(_: &Arguments) -> Answer {
    let state = state();
    let pilot = state.running()?;
    let (word, why) = match pilot.phase() {
        Some(Phase::Starting(why)) => ("starting", why),
        Some(Phase::Running) => ("running", None),
        Some(Phase::Released) => ("released", None),
        Some(Phase::Broken(why)) => ("broken", Some(why)),
        None => ("busy", None),
    };
    let silent = pilot.silent_for().as_millis() as i64;
    Ok(vec![
        word.into(),
        why.map_or(Value::Nil, Value::Text),
        silent.into(),
    ])
}

/// `socket()`: the name of an abstract socket that lives as long as the node.
fn socket(_: &Arguments) -> Answer {
    let name = state().running()?.socket();
    Ok(vec![name.map_or(Value::Nil, Value::Text)])
}

/// `show()`: members, slots and what holds them, for a person.
fn show(_: &Arguments) -> Answer {
    let state = state();
    Ok(vec![state.running()?.report().into()])
}

/// `is_member(ip)`: whether a member of the cluster listens at this address.
fn is_member(arguments: &Arguments) -> Answer {
    let text = arguments.text(1, "ip")?;
    let ip: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is no IP address"))?;
    let is_member = state().running()?.addrs().contains(&ip.to_canonical());
    Ok(vec![Value::Flag(is_member)])
}

/// `pick(key, pool)`: ip, port and name of the server for this key, the same on every host; nil if
/// nobody serves.
fn pick(arguments: &Arguments) -> Answer {
    let key = arguments.text(1, "key")?;
    let pool = arguments.number(2, "pool", 1, 10_000)? as usize - 1;
    let known = state().running()?.known();
    let server = known.get(pool).and_then(|it| it.pick(key.as_bytes()));
    let Some((name, Ok(addr))) = server.map(|it| (&it.name, &it.addr)) else {
        return Ok(vec![Value::Nil]);
    };
    let (ip, port) = (addr.ip().to_string(), i64::from(addr.port()));
    Ok(vec![ip.into(), port.into(), (&**name).into()])
}

/// `addresses()`: those of the members, as lines of an address, a space, and nothing.
fn addresses(_: &Arguments) -> Answer {
    let addrs = state().running()?.addrs();
    let lines: String = addrs.iter().map(|ip| format!("{ip} \n")).collect();
    Ok(vec![lines.into()])
}

/// `map(tag)`: the addresses of members and what this tag of theirs says, or their names for "", as
/// lines of an address, a space, and that.
fn map(arguments: &Arguments) -> Answer {
    let tag = arguments.text(1, "tag")?;
    let tag = (!tag.is_empty()).then_some(&*tag);
    let known = state().running()?.known();
    let is_line = |(_, text): &(IpAddr, &str)| !text.contains(char::is_control);
    let found = known
        .iter()
        .take(1)
        .flat_map(|it| it.by_address(tag))
        .filter(is_line);
    let lines: String = found.map(|(ip, text)| format!("{ip} {text}\n")).collect();
    Ok(vec![lines.into()])
}

/// `notice()`: a sentence that an operator should read, or nil.
fn notice(_: &Arguments) -> Answer {
    let notice = state().running()?.take_notice();
    Ok(vec![notice.map_or(Value::Nil, Value::Text)])
}

/// `version()`: of this module.
fn version(_: &Arguments) -> Answer {
    Ok(vec![env!("CARGO_PKG_VERSION").into()])
}

/// `panic()`: an internal error, for tests of what becomes of one.
fn panic(_: &Arguments) -> Answer {
    panic!("on purpose")
}

/// Declares the functions of the module for C.
macro_rules! functions {
    ($($name:ident),*) => {
        &[$((
            {
                const NAME: &[u8] = concat!(stringify!($name), "\0").as_bytes();
                match std::ffi::CStr::from_bytes_with_nul(NAME) {
                    Ok(name) => name,
                    Err(_) => panic!("a name without NUL"),
                }
            },
            {
                unsafe extern "C" fn entry(state: *mut State) -> c_int {
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
    set,
    strange_variables,
    pool,
    remembered,
    start,
    generation,
    poll,
    doubt,
    freeze,
    release,
    phase,
    socket,
    show,
    is_member,
    addresses,
    map,
    notice,
    pick,
    version,
    panic
];

/// What `require("sprat")` calls.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn luaopen_sprat(state: *mut State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call::module(state, FUNCTIONS) }
}
