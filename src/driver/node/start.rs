//! Starting a node: sockets, services, core and threads, in this order. After an error nothing of it
//! is left.

use crate::Config;
use crate::driver::EventCallback;
use crate::driver::engine::command::CommandQueue;
use crate::driver::engine::handle::EngineHandle;
use crate::driver::engine::helper::{self, Lookup};
use crate::driver::engine::services::{Hosted, ServiceHost};
use crate::driver::engine::{Engine, Parts};
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::driver::events::queue::{Events, Taken};
use crate::driver::events::subscriptions::Feed;
use crate::driver::net::sockets;
use crate::driver::node::running::{RunningNode, Threads, ThreadsCell};
use crate::driver::os::clock;
use crate::driver::os::descriptors;
use crate::driver::os::fork;
use crate::driver::os::panic;
use crate::driver::os::worker::{Spawn, Worker};
use crate::error::{Error, Result, Status};
use crate::serf::Core;
use crate::service::ServiceCounters;
use crossbeam_channel::Receiver;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The stack of a thread that runs no code of the application. A resolver of the C library needs more
/// than 100 KiB.
const STACK: usize = 256 * 1024;

/// Starts a node.
pub(super) fn start(
    config: &Config,
    callback: Option<EventCallback>,
    spawn: Option<Arc<dyn Spawn>>,
) -> Result<RunningNode> {
    build(config, callback, spawn).map_err(name_the_limit)
}

/// Adds the limit to an error that only says "Too many open files".
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
    fork::install();
    let sockets = sockets::bind(config.bind())?;
    let addr = sockets::advertised(config.advertise(), sockets.bound)?;
    let settings = config.core().swim;
    check_own_address(addr.ip(), &settings.cidrs_allowed)?;
    let services = services(config, addr.ip())?;
    let core = core(config, addr)?;
    let with_callback = callback.is_some();
    let no_descriptor = |error| Error::io("no descriptor for a node", &error);
    let events = Events::new(config.event_queue(), config.event_kinds(), !with_callback);
    let handle = Arc::new(EngineHandle::new(
        config.name(),
        addr,
        CommandQueue::new().map_err(no_descriptor)?,
        Feed::new(events.map_err(no_descriptor)?),
        services.counters,
    ));
    let host = match services.hosted.is_empty() {
        true => None,
        false => Some(ServiceHost::new(handle.clone(), services.hosted).map_err(no_descriptor)?),
    };
    let (lookups, requests) = crossbeam_channel::unbounded();
    let mut engine = Engine::new(Parts {
        core,
        handle: handle.clone(),
        sockets,
        lookups,
        stream_timeout: settings.stream_timeout,
        probe_interval: settings.probe_interval,
        log_level: config.log_level(),
    });
    let seeds = config.seeds();
    if !seeds.is_empty() {
        engine.join(&seeds, Waiter::Nobody);
    }
    let threads = ThreadsCell::default();
    let mut starting = Starting {
        handle: &handle,
        spawn: spawn.as_deref(),
        helper: None,
        events: None,
        services: None,
    };
    let callback = callback.map(|callback| Callback {
        run: callback,
        stack: config.thread_stack(),
        threads: threads.clone(),
    });
    let started = starting
        .start(engine, requests, callback, host)
        .map_err(|error| Error::io("cannot create the threads of a node", &error))?;
    let _ = threads.set(started); // this is the only place that sets it
    Ok(RunningNode::new(handle, threads, with_callback))
}

/// Checks that this node passes its own member filter: peers with the same filter would reject a
/// node that does not.
fn check_own_address(own: IpAddr, networks: &[IpNet]) -> Result<()> {
    if networks.is_empty() || networks.iter().any(|network| network.contains(&own)) {
        return Ok(());
    }
    let networks: Vec<String> = networks.iter().map(IpNet::to_string).collect();
    let message = format!(
        "the address of this node, {own}, is in none of the networks of cidrs_allowed: {}",
        networks.join(", ")
    );
    Err(Error::new(Status::Config, message))
}

fn core(config: &Config, addr: SocketAddr) -> Result<Core> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        let message = format!("the system provides no random numbers: {error}");
        Error::new(Status::Io, message)
    })?;
    let name = Arc::from(config.name());
    let (codec, now) = (config.codec()?, clock::now());
    let core = Core::new(config.core(), codec, name, addr, seed, now);
    core.map_err(|error| command_error("this node cannot be a member", &error))
}

/// The services of a node.
#[derive(Default)]
struct Services {
    /// The services that the settings ask for.
    hosted: Vec<Hosted>,
    /// The counters of all services of this build.
    counters: Vec<Arc<ServiceCounters>>,
}

/// Pairs each service that the settings ask for with its listener. `own` is the address of this
/// node.
#[cfg(feature = "spoe")]
fn services(config: &Config, own: IpAddr) -> Result<Services> {
    use crate::service::{Sessions, spoe};
    let mut services = Services::default();
    let counters = Arc::new(ServiceCounters::new(spoe::COUNTERS));
    services.counters.push(counters.clone());
    if let Some(addr) = config.spoe_bind() {
        let listener = sockets::listen_for("spoe_bind", addr)?;
        // If this node is a member by a loopback address, servers may have such addresses too.
        let service = Sessions::new(spoe::Spoe::new(config.spoe_rules(own.is_loopback())));
        let hosted = Hosted::new(service, listener, counters);
        services.hosted.push(hosted);
    }
    Ok(services)
}

#[cfg(not(feature = "spoe"))]
fn services(config: &Config, _: IpAddr) -> Result<Services> {
    if config.spoe_bind().is_some() {
        let message = "spoe_bind is set, but this library was built without SPOE; leave the setting \
                       out, or build the library with the feature spoe";
        return Err(Error::new(Status::Config, message));
    }
    Ok(Services::default())
}

/// The callback of the application, with what its thread needs.
struct Callback {
    run: EventCallback,
    stack: usize,
    threads: ThreadsCell,
}

/// The threads of a node while they are being started.
struct Starting<'a> {
    handle: &'a Arc<EngineHandle>,
    spawn: Option<&'a dyn Spawn>,
    helper: Option<Worker>,
    events: Option<Worker>,
    services: Option<Worker>,
}

impl Starting<'_> {
    /// Starts all threads. If one is refused, those before it are told to end and waited for.
    fn start(
        &mut self,
        engine: Engine,
        requests: Receiver<Lookup>,
        callback: Option<Callback>,
        host: Option<ServiceHost>,
    ) -> io::Result<Threads> {
        let engine = self.start_all(engine, requests, callback, host);
        let (helper, events) = (self.helper.take(), self.events.take());
        let services = self.services.take();
        match engine {
            Ok(engine) => Ok(Threads {
                engine,
                helper,
                events,
                services,
            }),
            Err(error) => {
                self.handle.begin_end();
                for worker in [helper, events, services].iter().flatten() {
                    worker.finish(None);
                }
                Err(error)
            }
        }
    }

    /// Starts the engine last: if another thread is refused, the engine is dropped here, which ends
    /// the others.
    fn start_all(
        &mut self,
        engine: Engine,
        requests: Receiver<Lookup>,
        callback: Option<Callback>,
        host: Option<ServiceHost>,
    ) -> io::Result<Worker> {
        if let Some(mut host) = host {
            let worker = self.worker("sprat-services", STACK, move |_| host.run())?;
            self.services = Some(worker);
        }
        let resolve = move |handle: &EngineHandle| helper::run(handle, &requests);
        self.helper = Some(self.worker("sprat-helper", STACK, resolve)?);
        if let Some(callback) = callback {
            let stack = callback.stack;
            let deliver = |handle: &EngineHandle| deliver(handle, callback);
            self.events = Some(self.worker("sprat-events", stack, deliver)?);
        }
        let run = move || run(engine);
        Worker::start("sprat-engine", STACK, self.spawn, run)
    }

    /// Starts a thread whose panic breaks the node.
    fn worker(
        &self,
        name: &'static str,
        stack: usize,
        work: impl FnOnce(&EngineHandle) + Send + 'static,
    ) -> io::Result<Worker> {
        let handle = self.handle.clone();
        let work = move || {
            if let Err(text) = panic::caught(|| work(&handle)) {
                handle.break_down(text);
            }
        };
        Worker::start(name, stack, self.spawn, work)
    }
}

/// The thread of the engine. The engine is dropped after its panic has been reported, since its drop
/// ends the events.
fn run(mut engine: Engine) {
    let handle = engine.handle();
    handle.thread.enter();
    if let Err(text) = panic::caught(|| engine.run()) {
        handle.break_down(text);
    }
    drop(engine);
    handle.thread.leave();
}

/// The event thread: runs the callback of the application, with no lock held.
fn deliver(handle: &EngineHandle, callback: Callback) {
    let Callback {
        mut run, threads, ..
    } = callback;
    let delivering = panic::caught(|| {
        while let Taken::Event(event) = handle.events.take(None) {
            run(&event);
        }
    });
    if let Err(text) = delivering {
        handle.break_down(format!("a callback panicked: {text}"));
    }
    if let Some(threads) = threads.get() {
        threads.finish_inner();
    }
    drop(run);
}
