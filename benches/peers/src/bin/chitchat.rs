//! A cluster of nodes of the crate chitchat, with a gossip interval of one second, in one process.

use chitchat::transport::UdpTransport;
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig};
use peers::Command;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The third octet of the nodes' addresses.
const NETWORK: u8 = 5;

/// The pause after a change: while a cluster starts, the live nodes may change many times a second.
const POLL: Duration = Duration::from_millis(20);

async fn start(index: usize) -> ChitchatHandle {
    let addr = peers::addr(NETWORK, index);
    // A node that comes back has a new generation.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let generation = now.expect("the clock is right").as_millis() as u64;
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(peers::name(index), generation, addr),
        cluster_id: "bench".to_owned(),
        gossip_interval: Duration::from_secs(1),
        listen_addr: addr,
        seed_nodes: vec![peers::addr(NETWORK, 0).to_string()],
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(900),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: chitchat::ProtocolVersion::V1,
    };
    let handle = chitchat::spawn_chitchat(config, Vec::new(), &UdpTransport).await;
    let handle = handle.expect("the address is free");
    let mut live = handle.chitchat().lock().await.live_nodes_watcher();
    tokio::spawn(async move {
        let mut known = BTreeSet::new();
        while live.changed().await.is_ok() {
            let names = |id: &ChitchatId| id.node_id.to_string();
            let seen: BTreeSet<String> = live.borrow_and_update().keys().map(names).collect();
            seen.difference(&known)
                .for_each(|name| peers::report(index, true, name));
            known
                .difference(&seen)
                .for_each(|name| peers::report(index, false, name));
            known = seen;
            tokio::time::sleep(POLL).await;
        }
    });
    handle
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut nodes = HashMap::new();
    for command in peers::commands() {
        match command {
            Command::Start(index) => {
                nodes.insert(index, runtime.block_on(start(index)));
            }
            Command::Kill(index) => {
                let node = nodes.remove(&index).expect("the node was started");
                node.abort();
            }
        }
    }
}
