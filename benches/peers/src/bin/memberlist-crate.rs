//! A cluster of nodes of the crate memberlist, with the timers of Go's LAN profile, in one process.

use memberlist::delegate::{CompositeDelegate, EventDelegate};
use memberlist::net::NetTransportOptions;
use memberlist::proto::{MaybeResolvedAddress, NodeId, NodeState};
use memberlist::tokio::{TokioSocketAddrResolver, TokioTcp, TokioTcpMemberlist};
use memberlist::{Memberlist, Options};
use peers::Command;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The third octet of the nodes' addresses.
const NETWORK: u8 = 4;

/// Reports the events of one node.
struct Reporter(usize);

type Member = Arc<NodeState<NodeId, SocketAddr>>;

impl EventDelegate for Reporter {
    type Id = NodeId;
    type Address = SocketAddr;

    async fn notify_join(&self, node: Member) {
        peers::report(self.0, true, node.id().as_ref());
    }

    async fn notify_leave(&self, node: Member) {
        peers::report(self.0, false, node.id().as_ref());
    }

    async fn notify_update(&self, _node: Member) {}
}

type Events = CompositeDelegate<NodeId, SocketAddr>;
type Node = TokioTcpMemberlist<
    NodeId,
    TokioSocketAddrResolver,
    CompositeDelegate<
        NodeId,
        SocketAddr,
        memberlist::delegate::VoidDelegate<NodeId, SocketAddr>,
        memberlist::delegate::VoidDelegate<NodeId, SocketAddr>,
        Reporter,
    >,
>;

async fn start(index: usize) -> Node {
    let mut transport = NetTransportOptions::<NodeId, TokioSocketAddrResolver, TokioTcp>::new(
        NodeId::try_from(peers::name(index)).expect("a short name"),
    );
    transport.add_bind_address(peers::addr(NETWORK, index));
    // The crate's own LAN profile has another interval and timeout.
    let options = Options::lan()
        .with_probe_interval(Duration::from_secs(1))
        .with_probe_timeout(Duration::from_millis(500));
    let events = Events::new().with_event_delegate(Reporter(index));
    let node = Memberlist::with_delegate(events, transport, options).await;
    let node: Node = node.expect("the address is free");
    if index > 0 {
        let seed = MaybeResolvedAddress::resolved(peers::addr(NETWORK, 0));
        node.join(seed).await.expect("node 0 answers");
    }
    node
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut starting = HashMap::new();
    for command in peers::commands() {
        match command {
            Command::Start(index) => {
                starting.insert(index, runtime.spawn(start(index)));
            }
            Command::Kill(index) => {
                let node = starting.remove(&index).expect("the node was started");
                runtime.block_on(async {
                    let node = node.await.expect("the node has started");
                    node.shutdown().await.expect("the node ends");
                });
            }
        }
    }
}
