//! Starting a node: its sockets, services, core and threads, in this order. If one of these steps
//! fails, the earlier steps are undone.

use crate::Config;
use crate::driver::engine::Engine;
use crate::driver::engine::command::{Command, CommandQueue};
use crate::driver::engine::handle::EngineHandle;
use crate::driver::engine::snapshot::SnapshotKeeper;
use crate::driver::engine::threads::key_writer::{KeyWriter, KeyWriting};
use crate::driver::engine::threads::resolvers::Resolvers;
use crate::driver::engine::threads::services::{Hosted, ServiceHost};
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::driver::events::queue::EventQueue;
use crate::driver::events::subscriptions::Subscriptions;
use crate::driver::net::sockets;
use crate::driver::node::running::{EventCallback, RunningNode, Threads, ThreadsCell};
use crate::driver::os::clock;
use crate::driver::os::descriptors;
use crate::driver::os::fork;
use crate::driver::os::interfaces::host_name;
use crate::driver::os::panic;
use crate::driver::os::worker::{STACK, Spawn, Worker};
use crate::error::{Error, Result, Status};
use crate::networks;
use crate::serf::{Core, Past};
use crate::service::sessions::Sessions;
use crate::service::{CounterNames, Service, ServiceCounters};
use crate::time::Time;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Starts a node.
pub(super) fn start(
    config: &Config,
    callback: Option<EventCallback>,
    spawn: Option<Arc<dyn Spawn>>,
) -> Result<RunningNode> {
    build(config, callback, spawn).map_err(name_the_limit)
}

/// Adds the limit of descriptors to an error that only says "Too many open files".
fn name_the_limit(mut error: Error) -> Error {
    if error.errno == libc::EMFILE {
        let limit = descriptors::limit();
        let text =
            format!("; this process may open {limit} descriptors (RLIMIT_NOFILE, ulimit -n)");
        error.message.push_str(&text);
    }
    error
}

fn build(
    config: &Config,
    callback: Option<EventCallback>,
    spawn: Option<Arc<dyn Spawn>>,
) -> Result<RunningNode> {
    config.check()?;
    #[cfg(not(feature = "mdns"))]
    refuse_discovery(config)?;
    let settings = &config.settings;
    let name = config.node_name(host_name)?;
    fork::install();
    let sockets = sockets::bind(settings.bind.0)?;
    let networks = &settings.core.swim.cidrs_allowed;
    let addr = sockets::advertised(settings.advertise, sockets.bound, networks)?;
    let is_chosen = sockets::is_address_chosen(settings.advertise.as_ref(), sockets.bound);
    check_own_address(addr.ip(), is_chosen, networks)?;
    let services = services(config, addr.ip().is_loopback() && !is_chosen)?;
    let (snapshot, past) = open_snapshot(config)?;
    let core = core(config, &name, (addr, is_chosen), past)?;
    let (key_writer, key_writing) = key_writer(config)?.unzip();
    let with_callback = callback.is_some();
    let no_descriptor = |error| Error::io("cannot create the descriptor of a node", &error);
    let events = EventQueue::new(
        settings.event_queue,
        settings.event_kinds.clone(),
        !with_callback,
    );
    let handle = Arc::new(EngineHandle::new(
        name,
        addr,
        CommandQueue::new().map_err(no_descriptor)?,
        Subscriptions::new(events.map_err(no_descriptor)?),
        services.counters,
    ));
    let host = match services.hosted.is_empty() {
        true => None,
        false => Some(ServiceHost::new(handle.clone(), services.hosted).map_err(no_descriptor)?),
    };
    let resolvers = Arc::new(Resolvers::default());
    let (own, lookups) = (handle.clone(), resolvers.clone());
    let engine = Engine::new(config, core, own, sockets, lookups, snapshot);
    let mut engine = engine.map_err(no_descriptor)?;
    engine.store_keys_with(key_writer);
    if !settings.seeds.is_empty() {
        engine.remember_seeds(&settings.seeds);
        // The engine joins when it runs, after all other threads have started. If an event came
        // earlier, its callback could be running when a later thread is refused, and the failing
        // start would have to wait for that callback.
        let (seeds, waiter) = (settings.seeds.clone(), Waiter::Nobody);
        handle.commands.send(Command::Join { seeds, waiter });
    }
    let threads = ThreadsCell::default();
    let mut starting = Starting {
        handle: &handle,
        spawn: spawn.as_deref(),
        threads: Threads::new(resolvers),
    };
    let callback = callback.map(|callback| Callback {
        run: callback,
        stack: settings.thread_stack_kib * 1024,
        threads: threads.clone(),
    });
    if let Err(error) = starting.start(engine, callback, host, key_writing) {
        handle.request_end();
        starting.threads.finish();
        return Err(Error::io("cannot create the threads of a node", &error));
    }
    let _ = threads.set(starting.threads); // this is the only place that sets `threads`
    Ok(RunningNode::new(handle, threads, with_callback))
}

/// Checks that this node passes its own member filter: peers with the same filter would reject a
/// node that does not. While the network is down, a node that has chosen its address has a loopback
/// address. That address is not checked, because it changes once an interface is up.
fn check_own_address(own: IpAddr, is_chosen: bool, networks: &[IpNet]) -> Result<()> {
    if (is_chosen && own.is_loopback()) || networks::allow(networks, own) {
        return Ok(());
    }
    let networks: Vec<String> = networks.iter().map(IpNet::to_string).collect();
    let networks = networks.join(", ");
    let message = match is_chosen {
        true => format!(
            "no interface that is up has an address in the networks of cidrs_allowed ({networks}); \
             {own} is not in them"
        ),
        false => format!(
            "the address of this node, {own}, is in none of the networks of cidrs_allowed: \
             {networks}"
        ),
    };
    Err(Error::new(Status::Config, message))
}

/// Refuses a node that is to use mDNS.
#[cfg(not(feature = "mdns"))]
fn refuse_discovery(config: &Config) -> Result<()> {
    let cluster = &config.settings.discover.0;
    if cluster.is_empty() {
        return Ok(());
    }
    let message = format!(
        "discover is \"{cluster}\", but this library was built without mDNS; remove the setting, \
         or build the library with the feature mdns"
    );
    Err(Error::new(Status::Config, message))
}

/// Opens the snapshot if the settings name one, and reads what the earlier run has left there.
fn open_snapshot(config: &Config) -> Result<(Option<SnapshotKeeper>, Option<Past>)> {
    let (path, rejoins) = (
        &config.settings.snapshot,
        config.settings.rejoin_after_leave,
    );
    let opened = path.as_ref();
    let opened = opened.map(|path| SnapshotKeeper::open(path, rejoins));
    Ok(opened.transpose()?.unzip())
}

fn core(
    config: &Config,
    name: &str,
    (addr, is_chosen): (SocketAddr, bool),
    past: Option<Past>,
) -> Result<Core> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        let message = format!("the system provides no random numbers: {error}");
        Error::new(Status::Io, message)
    })?;
    let (mut settings, codec) = (config.settings.core.clone(), config.codec()?);
    settings.store_keys = config.stored_keyring().is_some();
    settings.past = past;
    settings.swim.chooses_address = is_chosen;
    let core = Core::new(settings, codec, Arc::from(name), addr, seed, clock::now());
    let error = |error| command_error("this node cannot be a member", &error);
    let mut core = core.map_err(error)?;
    core.set_fresh_bits(fresh_bits);
    Ok(core)
}

/// Makes both sides of the writer of the keyring file; `None` if the keys are not stored. A file
/// that is reached by a link is replaced where it is, and the link stays.
fn key_writer(config: &Config) -> Result<Option<(KeyWriter, KeyWriting)>> {
    let Some(path) = config.stored_keyring() else {
        return Ok(None);
    };
    let place = std::fs::canonicalize(path).map_err(|error| {
        Error::io(
            format_args!("cannot find keyring_file {}", path.display()),
            &error,
        )
    })?;
    Ok(Some(KeyWriter::new(place)))
}

/// Returns random bytes of the system, mixed with the time. Two copies of a virtual machine may get
/// the same random bytes for a while, but hardly ever at the same nanosecond. If the system returns
/// no bytes, the core's own generator still makes each nonce unique within this process.
fn fresh_bits() -> [u8; 12] {
    let mut bytes = [0; 12];
    let _ = getrandom::fill(&mut bytes);
    let nanos = clock::now().since(Time::ZERO).as_nanos() as u64;
    for (byte, of_clock) in bytes.iter_mut().zip(nanos.to_ne_bytes()) {
        *byte ^= of_clock;
    }
    bytes
}

/// The services of a node.
#[derive(Default)]
struct Services {
    /// The services that the settings ask for.
    hosted: Vec<Hosted>,
    /// The counters of all services of this build.
    counters: Vec<Arc<ServiceCounters>>,
}

impl Services {
    /// Adds a service that listens at the address that a setting gives. If the setting gives
    /// no address, only the counters of the service exist.
    #[cfg_attr(not(feature = "spoe"), allow(dead_code))] // a build without services adds none
    fn add<S: Service + 'static>(
        &mut self,
        counters: CounterNames,
        (setting, addr): (&str, Option<SocketAddr>),
        service: impl FnOnce() -> S,
    ) -> Result<()> {
        let counters = Arc::new(ServiceCounters::new(counters));
        self.counters.push(counters.clone());
        if let Some(addr) = addr {
            let listener = sockets::listen_for(setting, addr)?;
            let service = Sessions::boxed(service());
            self.hosted.push(Hosted::new(service, listener, counters));
        }
        Ok(())
    }
}

/// The services of a node. `loopback` is true if the settings give the node a loopback address that
/// never changes. A new service is added here.
#[cfg(feature = "spoe")]
fn services(config: &Config, loopback: bool) -> Result<Services> {
    use crate::service::servers::candidate::Rules;
    use crate::service::spoe::{COUNTERS, Spoe};
    let mut services = Services::default();
    // If this node always has a loopback address, servers can have loopback addresses, too.
    let spoe = || {
        Spoe::new(Rules {
            loopback,
            ..config.server_rules()
        })
    };
    let [spoe_bind] = config.service_addrs();
    services.add(COUNTERS, spoe_bind, spoe)?;
    Ok(services)
}

#[cfg(not(feature = "spoe"))]
fn services(config: &Config, _: bool) -> Result<Services> {
    let [(setting, addr)] = config.service_addrs();
    if addr.is_some() {
        let message = format!(
            "{setting} is set, but this library was built without SPOE; remove it, or build the \
             library with the feature spoe"
        );
        return Err(Error::new(Status::Config, message));
    }
    Ok(Services::default())
}

/// The callback of the application, and everything else that the event thread needs.
struct Callback {
    run: EventCallback,
    stack: usize,
    threads: ThreadsCell,
}

/// The threads of a node while they are being started.
struct Starting<'a> {
    handle: &'a Arc<EngineHandle>,
    spawn: Option<&'a dyn Spawn>,
    threads: Threads,
}

impl Starting<'_> {
    /// Starts all threads, the engine's last. If an earlier thread is refused, the engine is
    /// dropped here, before the caller ends the threads that have started.
    fn start(
        &mut self,
        engine: Engine,
        callback: Option<Callback>,
        host: Option<ServiceHost>,
        keys: Option<KeyWriting>,
    ) -> io::Result<()> {
        if let Some(mut host) = host {
            let run = move |_: &EngineHandle| host.run();
            let worker = (self.handle).start_worker("sprat-services", STACK, self.spawn, run);
            self.threads.services = Some(worker?);
        }
        self.threads.resolvers.start(self.handle, self.spawn)?;
        if let Some(keys) = keys {
            let write = |handle: &EngineHandle| keys.run(handle);
            let worker = (self.handle).start_worker("sprat-keys", STACK, self.spawn, write);
            self.threads.keys = Some(worker?);
        }
        if let Some(callback) = callback {
            let stack = callback.stack;
            let deliver = |handle: &EngineHandle| deliver(handle, callback);
            let worker = (self.handle).start_worker("sprat-events", stack, self.spawn, deliver);
            self.threads.events = Some(worker?);
        }
        let run = move || run(engine);
        self.threads.engine = Some(Worker::start("sprat-engine", STACK, self.spawn, run)?);
        Ok(())
    }
}

/// The engine's thread. If the engine panics, it is dropped only after the panic has been reported,
/// because its drop ends the event queues.
fn run(mut engine: Engine) {
    let handle = engine.handle();
    handle.thread.enter();
    if let Err(text) = panic::caught(|| engine.run()) {
        handle.break_down(text);
    }
    drop(engine);
    handle.thread.leave();
}

/// The event thread: runs the callback of the application, with no lock held. If the callback forks
/// and returns in the child as well, the thread ends there, and the process with it: the events
/// belong to the parent, and the child must not touch the locks of their queue.
fn deliver(handle: &EngineHandle, callback: Callback) {
    let Callback {
        mut run, threads, ..
    } = callback;
    let delivering = panic::caught(|| {
        while let Ok(Some(event)) = handle.events.take(None) {
            run(&event);
            if handle.origin.is_elsewhere() {
                return;
            }
        }
    });
    if handle.origin.is_elsewhere() {
        return std::mem::forget(run);
    }
    if let Err(text) = delivering {
        handle.break_down(format!("a callback panicked: {text}"));
    }
    if let Some(threads) = threads.get() {
        threads.finish_inner();
    }
    drop(run);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_node_chose_is_not_called_its_setting() {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|it| it.parse().unwrap());
        let check = |own: &str, is_chosen| {
            let checked = check_own_address(own.parse().unwrap(), is_chosen, &networks);
            checked.map_err(|error| error.message)
        };
        assert_eq!(check("10.1.2.3", true), Ok(()));
        assert_eq!(check("127.0.0.1", true), Ok(()));
        assert_eq!(
            check("172.17.0.1", true).unwrap_err(),
            "no interface that is up has an address in the networks of cidrs_allowed (10.0.0.0/8, \
             fd00::/8); 172.17.0.1 is not in them"
        );
        assert_eq!(
            check("127.0.0.1", false).unwrap_err(),
            "the address of this node, 127.0.0.1, is in none of the networks of cidrs_allowed: \
             10.0.0.0/8, fd00::/8"
        );
    }
}
