//! The resources of other processes, as the kernel counts them.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// Returns the processor time that a process has used, its ended threads included.
pub fn processor_time(pid: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).expect("the process runs");
    let time = clock_gettime(clock).expect("the process runs");
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}

/// Returns the number in the line `Key: number` of a file in `/proc`.
fn field(path: &str, key: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(f64::NAN)
}

/// Returns the resident memory of a process, in KiB.
pub fn resident(pid: u32) -> f64 {
    field(&format!("/proc/{pid}/status"), "VmRSS")
}

/// Returns the memory that a process shares with no other process, in KiB.
pub fn private(pid: u32) -> f64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    field(&path, "Private_Clean") + field(&path, "Private_Dirty")
}

/// Returns the number of threads of a process.
pub fn threads(pid: u32) -> f64 {
    field(&format!("/proc/{pid}/status"), "Threads")
}

/// Returns how often the threads of a process have been switched to. Ended threads do not count.
pub fn switches(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let of = |thread: fs::DirEntry| {
        let path = format!("{}/status", thread.path().display());
        field(&path, "voluntary_ctxt_switches") + field(&path, "nonvoluntary_ctxt_switches")
    };
    threads.into_iter().flatten().flatten().map(of).sum()
}

/// Returns the bytes that wait in the receive queue of the UDP socket with this IPv4 address, and
/// the number of datagrams that it has dropped; `None` if there is no such socket.
pub fn udp_queue(addr: SocketAddr) -> Option<(u64, u64)> {
    let SocketAddr::V4(addr) = addr else {
        panic!("{addr} is not an IPv4 address")
    };
    let ip = u32::from_ne_bytes(addr.ip().octets());
    let local = format!("{ip:08X}:{:04X}", addr.port());
    let table = fs::read_to_string("/proc/net/udp").ok()?;
    let mut row = table
        .lines()
        .map(str::split_whitespace)
        .find(|words| words.clone().nth(1) == Some(&local))?;
    let queue = row.nth(4)?.split_once(':')?.1;
    let drops = row.last()?;
    Some((u64::from_str_radix(queue, 16).ok()?, drops.parse().ok()?))
}
