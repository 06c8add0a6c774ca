//! A network for one test: a switch, hosts in network namespaces, and links that can be cut.
//!
//! The hosts have the addresses 10.77.0.x, which exist in the namespaces only. Packet filters in
//! the namespaces cut links, so nothing outside changes. Dropping the [`Lab`] removes everything.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The packets of a link that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Datagrams only.
    Udp,
    /// Everything.
    All,
}

/// A switch and its hosts, numbered from 1.
pub struct Lab {
    prefix: String,
    hosts: u8,
}

impl Lab {
    /// Makes a network with this many hosts. Panics with a hint if it cannot make namespaces.
    pub fn new(hosts: u8) -> Lab {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("sprat-{}-{next}", std::process::id());
        let lab = Lab { prefix, hosts };
        let switch = lab.switch();
        run(&["ip", "netns", "add", &switch]);
        run(&["ip", "-n", &switch, "link", "add", "br0", "type", "bridge"]);
        run(&["ip", "-n", &switch, "link", "set", "br0", "up"]);
        for host in 1..=hosts {
            lab.add(host);
        }
        lab
    }

    fn add(&self, host: u8) {
        let (switch, name, port) = (self.switch(), self.host(host), format!("v{host}"));
        let addr = format!("{}/24", self.ip(host));
        run(&["ip", "netns", "add", &name]);
        run(&[
            "ip", "link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0",
            "netns", &name,
        ]);
        run(&[
            "ip", "-n", &switch, "link", "set", &port, "master", "br0", "up",
        ]);
        run(&["ip", "-n", &name, "addr", "add", &addr, "dev", "eth0"]);
        run(&["ip", "-n", &name, "link", "set", "eth0", "up"]);
        run(&["ip", "-n", &name, "link", "set", "lo", "up"]);
        let filter = "add table inet cut; \
            add chain inet cut input { type filter hook input priority 0; }";
        run(&["ip", "netns", "exec", &name, "nft", filter]);
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// The name of the namespace of a host.
    pub fn host(&self, host: u8) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// The address of a host.
    pub fn ip(&self, host: u8) -> IpAddr {
        assert!(
            host >= 1 && host <= self.hosts,
            "host {host} of {}",
            self.hosts
        );
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, host))
    }

    /// Gives a host a default route, which leads nowhere. Agents and sprat nodes use it to find
    /// their own address.
    pub fn default_route(&self, host: u8) {
        self.ip_command(host, "route add default dev eth0");
    }

    /// Runs `ip` inside a host, with arguments that are separated by spaces.
    pub fn ip_command(&self, host: u8, arguments: &str) {
        let name = self.host(host);
        let arguments = arguments.split(' ');
        run(&["ip", "-n", &name]
            .into_iter()
            .chain(arguments)
            .collect::<Vec<_>>());
    }

    /// Cuts the link between two hosts in both directions.
    pub fn cut(&self, a: u8, b: u8, what: Cut) {
        self.drop_from(a, b, what);
        self.drop_from(b, a, what);
    }

    /// Makes host `at` drop packets from host `from`.
    pub fn drop_from(&self, at: u8, from: u8, what: Cut) {
        let only = if what == Cut::Udp {
            " meta l4proto udp"
        } else {
            ""
        };
        let rule = format!(
            "add rule inet cut input ip saddr {}{only} drop",
            self.ip(from)
        );
        run(&["ip", "netns", "exec", &self.host(at), "nft", &rule]);
    }

    /// Cuts every link between the two sides.
    pub fn split(&self, left: &[u8], right: &[u8]) {
        for a in left {
            for b in right {
                self.cut(*a, *b, Cut::All);
            }
        }
    }

    /// Repairs every link.
    pub fn heal(&self) {
        for host in 1..=self.hosts {
            let flush = "flush chain inet cut input";
            run(&["ip", "netns", "exec", &self.host(host), "nft", flush]);
        }
    }

    /// Runs `work` on a thread inside a host. The sockets and threads that it makes stay there.
    pub fn inside<T: Send>(&self, host: u8, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.host(host));
        let namespace = File::open(&path).expect("the namespace is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the descriptor is open, and the call changes this thread only.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.host(host)])
                .output();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.switch()])
            .output();
    }
}

fn run(args: &[&str]) {
    let output = Command::new(args[0]).args(&args[1..]).output();
    let output = output.unwrap_or_else(|why| panic!("{}: {why}; see `make setup`", args[0]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "`{}` failed: {said}\nThis test makes network namespaces and needs to run as root; \
         `make test` does that with sudo.",
        args.join(" ")
    );
}
