//! Resolving names with the resolver of the system, which can block.

use crate::Config;
use crate::config::address;
use crate::driver::os::threads;
use crate::driver::os::worker::STACK;
use crate::swim::Seed;
use crossbeam_channel::unbounded;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The maximum number of addresses of one name that are used.
const ADDRESSES: usize = 64;

/// The longest time for which [`resolve_seeds`] waits for all names together.
const DEADLINE: Duration = Duration::from_secs(5);
/// The number of threads that [`resolve_seeds`] uses at most.
const THREADS: usize = 64;

/// Resolves all seeds that are host names, adds their addresses to the seeds, and returns the names
/// for which no address was found in time. If the addresses would make too many seeds, none is
/// added. A process that changes its root directory before it starts the node calls this first,
/// since it cannot resolve names afterwards. The call looks up the names at the same time, and
/// blocks for at most five seconds.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn resolve_seeds(config: &mut Config) -> Vec<String> {
    let mut seeds = config.settings.seeds.clone();
    let mut unknown = Vec::new();
    let hosts = config.settings.seeds.iter().filter_map(|seed| match seed {
        Seed::Host(host, _) => Some(host.clone()),
        Seed::Addr(_) => None,
    });
    let found = resolve_all(hosts.collect(), resolve, DEADLINE);
    for seed in &config.settings.seeds {
        let Seed::Host(host, port) = seed else {
            continue;
        };
        let addrs = found.get(host).cloned().unwrap_or_default();
        if addrs.is_empty() {
            unknown.push(host.clone());
        }
        for ip in addrs {
            let addr = Seed::Addr(SocketAddr::new(ip, *port));
            if !seeds.contains(&addr) {
                seeds.push(addr);
            }
        }
    }
    if seeds.len() <= address::TARGETS {
        config.settings.seeds = seeds;
    }
    unknown
}

/// Looks up names, each on a thread of its own as long as there are not more than [`THREADS`].
/// Returns the addresses of the names for which `lookup` has returned in this time. A thread that
/// still waits for a silent name server ends by itself later.
fn resolve_all(
    hosts: BTreeSet<String>,
    lookup: fn(&str) -> Vec<IpAddr>,
    time: Duration,
) -> BTreeMap<String, Vec<IpAddr>> {
    let until = Instant::now() + time;
    let (queue, waiting) = unbounded();
    let (answers, answered) = unbounded();
    let threads = hosts.len().min(THREADS);
    hosts.into_iter().for_each(|host| drop(queue.send(host)));
    drop(queue); // a thread that finds no more names ends
    for _ in 0..threads {
        let (waiting, answers) = (waiting.clone(), answers.clone());
        let work = move || {
            for host in waiting {
                let addrs = lookup(&host);
                if answers.send((host, addrs)).is_err() {
                    return; // the time is up
                }
            }
        };
        // If the system refuses the thread, the others do its work.
        drop(threads::create("sprat-seeds", STACK, Box::new(work)));
    }
    drop(answers);
    std::iter::from_fn(|| answered.recv_deadline(until).ok()).collect()
}

/// The addresses of a host name, at most [`ADDRESSES`], without duplicates; empty if the name does
/// not resolve. An IPv4 address is never in its IPv6 form.
pub(in crate::driver) fn resolve(host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let Ok(addrs) = (host, 0).to_socket_addrs() else {
        return found;
    };
    for addr in addrs {
        let ip = addr.ip().to_canonical();
        if !found.contains(&ip) && found.len() < ADDRESSES {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_addresses_of_seeds_that_are_names_are_added_to_the_seeds() {
        let mut config = Config::new();
        let seeds = "10.0.0.1:1,localhost:5,nowhere.invalid";
        config.set("seeds", seeds).unwrap();
        assert_eq!(resolve_seeds(&mut config), ["nowhere.invalid"]);
        let resolved = config.get("seeds").unwrap();
        assert!(
            resolved.starts_with("10.0.0.1:1,localhost:5,nowhere.invalid:7946,"),
            "{resolved}"
        );
        assert!(resolved.contains("127.0.0.1:5") || resolved.contains("[::1]:5"));
    }

    #[test]
    fn silent_name_servers_hold_up_no_other_name_and_one_deadline_holds_for_all() {
        /// The name server of names that begin with "mute" does not answer.
        fn lookup(host: &str) -> Vec<IpAddr> {
            if host.starts_with("mute") {
                std::thread::sleep(Duration::from_secs(600));
            }
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
        }
        let mute = (0..40).map(|n| format!("mute{n}"));
        let names: BTreeSet<String> = mute.chain(["zz.live".to_owned()]).collect();
        let began = Instant::now();
        let found = resolve_all(names, lookup, Duration::from_secs(2));
        assert!(began.elapsed() < Duration::from_secs(300));
        let addr = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        assert_eq!(found, [("zz.live".to_owned(), addr)].into());
    }

    #[test]
    fn a_literal_and_localhost_resolve_and_nonsense_does_not() {
        assert_eq!(resolve("127.0.0.1"), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert!(!resolve("localhost").is_empty());
        assert!(resolve("no such host").is_empty());
    }
}
