//! Joins a cluster and prints what happens there, until its time is over or its input ends.
//!
//! ```text
//! cargo run --example watch -- --name me --bind 127.0.0.9:7946 --tag role=client 127.0.0.1:7946
//! ```
//!
//! Each event is one line of output. For an event about a member, the line has the name of the
//! event, and the member's name, address and tags. `--key KEY` encrypts the traffic with a key in
//! base64, and `--set KEY=VALUE` sets any setting. With `--for SECONDS`, the program leaves after
//! that time. It also leaves when standard input ends or has the line `leave`.

use sprat::{Config, Event, EventBody, Member, Node};
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The options of the command line.
struct Options {
    config: Config,
    join: Vec<String>,
    limit: Option<Duration>,
}

fn options() -> Result<Options, Box<dyn std::error::Error>> {
    let mut options = Options {
        config: Config::new(),
        join: Vec::new(),
        limit: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--name" => options.config.set("name", &value()?)?,
            "--bind" => options.config.set("bind", &value()?)?,
            "--key" => options.config.set("encrypt", &value()?)?,
            "--for" => options.limit = Some(Duration::from_secs(value()?.parse()?)),
            "--set" => {
                let setting = value()?;
                let (key, value) = setting
                    .split_once('=')
                    .ok_or_else(|| needs("--set", &setting))?;
                options.config.set(key, value)?;
            }
            "--tag" => {
                let tag = value()?;
                let (key, value) = tag.split_once('=').ok_or_else(|| needs("--tag", &tag))?;
                options.config.set_tag(key, Some(value))?;
            }
            option if option.starts_with('-') => {
                return Err(format!("unknown option {option}").into());
            }
            address => options.join.push(address.to_owned()),
        }
    }
    Ok(options)
}

fn needs(option: &str, value: &str) -> String {
    format!("{option} needs KEY=VALUE, not {value:?}")
}

fn described(member: &Member) -> String {
    let mut line = format!("{} {}", member.name, member.addr);
    for (key, value) in member.tags().to_map() {
        line.push_str(&format!(" {key}={value}"));
    }
    line
}

fn show(event: &Event) {
    let name = event.kind().name();
    match (event.member(), &event.body) {
        (Some(member), _) => println!("{name} {}", described(member)),
        (None, EventBody::Log { target, text, .. }) => println!("{name} {target} {text}"),
        (None, EventBody::Fatal { error }) => println!("{name} {error}"),
        (None, _) => println!("{name}"),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    let node = Node::start(&options.config)?;
    println!("started {} {}", node.name(), node.addr());
    if !options.join.is_empty() {
        let addresses: Vec<&str> = options.join.iter().map(String::as_str).collect();
        match node.join(&addresses, Some(Duration::from_secs(10))) {
            Ok(count) => println!("joined through {count} of {} addresses", addresses.len()),
            // Other members may still join this node.
            Err(why) => println!("not joined: {why}"),
        }
    }

    let leave = Arc::new(AtomicBool::new(false));
    let request = leave.clone();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines();
        let _ = lines
            .map_while(Result::ok)
            .find(|line| line.trim() == "leave");
        request.store(true, Ordering::Relaxed);
    });

    let began = Instant::now();
    let over = || options.limit.is_some_and(|limit| began.elapsed() >= limit);
    while !leave.load(Ordering::Relaxed) && !over() {
        if let Some(event) = node.next_event(Some(Duration::from_millis(200)))? {
            show(&event);
        }
    }
    node.leave(Some(Duration::from_secs(10)))?;
    println!("left");
    node.shutdown();
    Ok(())
}
