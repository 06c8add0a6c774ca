//! Starting a node: settings, sockets, core, threads, in this order; an error undoes what was done.

use crate::Config;
use crate::driver::EventCallback;
use crate::driver::engine::agent::{Agent, Place};
use crate::driver::engine::commands::Commands;
use crate::driver::engine::shared::{Owner, Shared, Workers};
use crate::driver::engine::{Engine, Parts};
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::driver::events::queue::{Events, Taken};
use crate::driver::events::subscriptions::Feed;
use crate::driver::net::resolve;
use crate::driver::net::sockets;
use crate::driver::os::clock;
use crate::driver::os::descriptors;
use crate::driver::os::fork;
use crate::driver::os::interfaces::host_name;
use crate::driver::os::panic;
use crate::driver::os::worker::{Spawn, Worker};
use crate::error::{Error, Result, Status};
use crate::serf::Core;
use crossbeam_channel::Receiver;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Stack of the engine and of the helper. A resolver of the C library needs more than 100 KiB.
const STACK: usize = 256 * 1024;

/// Starts a node.
pub(in crate::driver) fn start(
    config: &Config,
    callback: Option<EventCallback>,
    spawn: Option<Arc<dyn Spawn>>,
) -> Result<Owner> {
    build(config, callback, spawn).map_err(name_the_limit)
}

/// "Too many open files" says neither whose limit that is nor how high.
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
) -> Result<Owner> {
    config.check()?;
    let settings = &config.settings;
    let name = config.node_name(host_name)?;
    fork::install();
    let sockets = sockets::bind(settings.bind.0)?;
    let (place, door) = Place::bind(settings.spoe_bind.0)?;
    let addr = sockets::advertised(settings.advertise, sockets.bound)?;
    allow(addr.ip(), &settings.core.swim.cidrs_allowed)?;
    let core = core(config, &name, addr)?;
    let pollable = callback.is_none();
    let events = Events::new(settings.event_queue, settings.event_kinds.clone(), pollable);
    let events = events.map_err(|error| Error::io("no descriptor for events", &error))?;
    let commands = Commands::new().map_err(|error| Error::io("no descriptor", &error))?;
    let feed = Feed::new(events);
    let with_callback = callback.is_some();
    let shared = Shared::new(name, addr, commands, feed, with_callback, door.clone());
    let shared = Arc::new(shared);
    let agent = place.zip(door).map(|(place, door)| {
        // Who is a member by a loopback address may be served there, too.
        let rules = config.spoe_rules(addr.ip().is_loopback());
        Agent::new(shared.clone(), door, place, rules)
    });
    let (lookups, requests) = crossbeam_channel::unbounded();
    let mut engine = Engine::new(Parts {
        core,
        shared: shared.clone(),
        sockets,
        lookups,
        stream_timeout: settings.core.swim.stream_timeout,
        probe_interval: settings.core.swim.probe_interval,
        log_level: settings.log_level.0,
    });
    if !settings.seeds.is_empty() {
        engine.join(&settings.seeds, Waiter::Nobody);
    }
    let threads = Threads {
        shared: &shared,
        spawn: spawn.as_deref(),
        callback_stack: settings.thread_stack_kib * 1024,
    };
    let workers = threads
        .start(engine, requests, callback, agent)
        .map_err(|error| Error::io("cannot create the threads of a node", &error))?;
    // Set once, here.
    let _ = shared.workers.set(workers);
    Ok(Owner::new(shared))
}

/// Who is not allowed in by its own rule would be let in by nobody who has the same.
fn allow(own: IpAddr, networks: &[IpNet]) -> Result<()> {
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

fn core(config: &Config, name: &str, addr: SocketAddr) -> Result<Core> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        Error::new(
            Status::Io,
            format!("the system gives no random numbers: {error}"),
        )
    })?;
    let core = Core::new(
        config.settings.core.clone(),
        config.codec()?,
        Arc::from(name),
        addr,
        seed,
        clock::now(),
    );
    core.map_err(|error| command_error("this node cannot be a member", &error))
}

/// Where the threads of a node come from.
struct Threads<'a> {
    shared: &'a Arc<Shared>,
    spawn: Option<&'a dyn Spawn>,
    callback_stack: usize,
}

impl Threads<'_> {
    /// Starts all threads. If one is refused, those before it find nothing to do and end.
    fn start(
        &self,
        engine: Engine,
        requests: Receiver<resolve::Lookup>,
        callback: Option<EventCallback>,
        agent: Option<Agent>,
    ) -> io::Result<Workers> {
        let agent = agent.map(|agent| self.start_agent(agent)).transpose()?;
        match self.start_others(engine, requests, callback) {
            Ok(others) => Ok(Workers { agent, ..others }),
            Err(error) => {
                self.shared.begin_end();
                if let Some(agent) = agent {
                    agent.finish(None);
                }
                Err(error)
            }
        }
    }

    fn start_agent(&self, mut agent: Agent) -> io::Result<Worker> {
        let shared = self.shared.clone();
        let answer = move || {
            if let Err(text) = panic::caught(|| agent.run()) {
                shared.break_down(text);
            }
        };
        Worker::start("sprat-spoe", STACK, self.spawn, answer)
    }

    /// The engine is the last: it is dropped if one of the others is refused.
    fn start_others(
        &self,
        engine: Engine,
        requests: Receiver<resolve::Lookup>,
        callback: Option<EventCallback>,
    ) -> io::Result<Workers> {
        let shared = self.shared.clone();
        let resolve = move || {
            if let Err(text) = panic::caught(|| resolve::run(&shared, &requests)) {
                shared.break_down(text);
            }
        };
        let helper = Worker::start("sprat-helper", STACK, self.spawn, resolve)?;
        let events = match callback {
            None => None,
            Some(callback) => match self.start_events(callback) {
                Ok(worker) => Some(worker),
                Err(error) => {
                    drop(engine);
                    helper.finish(None);
                    return Err(error);
                }
            },
        };
        let engine = Worker::start("sprat-engine", STACK, self.spawn, move || run(engine));
        match engine {
            Ok(engine) => Ok(Workers {
                engine,
                helper,
                events,
                agent: None,
            }),
            Err(error) => {
                helper.finish(None);
                if let Some(events) = events {
                    events.finish(None);
                }
                Err(error)
            }
        }
    }

    fn start_events(&self, callback: EventCallback) -> io::Result<Worker> {
        let shared = self.shared.clone();
        let deliver = move || deliver(&shared, callback);
        Worker::start("sprat-events", self.callback_stack, self.spawn, deliver)
    }
}

/// The engine's thread.
fn run(mut engine: Engine) {
    let shared = engine.shared.clone();
    if let Err(text) = panic::caught(|| engine.run()) {
        shared.break_down(text);
    }
}

/// The event thread: runs code of the application, with no lock held.
fn deliver(shared: &Arc<Shared>, mut callback: EventCallback) {
    let delivering = panic::caught(|| {
        while let Taken::Event(event) = shared.events.take(None) {
            callback(&event);
        }
    });
    if let Err(text) = delivering {
        shared.break_down(format!("a callback panicked: {text}"));
    }
    if let Some(workers) = shared.workers.get() {
        shared.finish_inner_threads(workers);
    }
    drop(callback);
}
