//! Settings of the SWIM layer.

use std::time::Duration;

/// The settings of the SWIM layer. The defaults are those of [`Config::lan`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The time between two probes.
    pub probe_interval: Duration,
    /// The time that the answer to a direct ping may take before helpers are asked.
    pub probe_timeout: Duration,
    /// The maximum number of helpers asked in an indirect probe.
    pub indirect_checks: usize,
    /// True if probes also ping by stream. A regular probe does so when it asks its helpers.
    pub stream_pings: bool,
    /// The shortest suspicion timeout in a cluster of up to 10 nodes, as a multiple of
    /// `probe_interval`. In larger clusters, the timeout also grows with the logarithm of their
    /// size.
    pub suspicion_mult: u32,
    /// The longest suspicion timeout, as a multiple of the shortest.
    pub suspicion_max_mult: u32,
    /// The health score ranges from 0 to this value minus 1; 1 disables it.
    pub awareness_max: u32,
    /// The time between two gossip rounds.
    pub gossip_interval: Duration,
    /// The maximum number of members that get a packet in each gossip round.
    pub gossip_nodes: usize,
    /// The time for which dead members still get gossip. Members that died or left longer ago than
    /// that are removed from the table when the next round of probes starts.
    pub gossip_to_the_dead: Duration,
    /// The number of transmissions of a broadcast in a cluster of fewer than 10 nodes. In larger
    /// clusters it is multiplied by the number of digits of their size.
    pub retransmit_mult: u32,
    /// The time between two periodic push/pulls in a cluster of up to 32 nodes; it is longer in a
    /// larger cluster. Zero disables them.
    pub push_pull_interval: Duration,
    /// The longest life of a stream, from dialling or accepting it to its end. A stream ping
    /// instead ends with its probe.
    pub stream_timeout: Duration,
    /// The size up to which a datagram is filled with broadcasts.
    pub packet_bytes: usize,
    /// The largest content of a user message that is accepted, in bytes.
    pub message_bytes: usize,
    /// The time that a member must have been dead before another address may claim its name; zero
    /// means that no other address ever may. The name of a member that has left may be claimed at
    /// once.
    pub dead_reclaim: Duration,
    /// The number of bytes that the other members may take: for each, 256 bytes and the lengths of
    /// its name and meta. Beyond that, members that are not needed make room.
    pub member_bytes: usize,
    /// The networks in which the addresses of members must lie; an empty list allows all addresses.
    pub cidrs_allowed: Vec<ipnet::IpNet>,
    /// True if this node's address was chosen among those of its host and not set. Then a loopback
    /// address means that the host has no address that others can reach.
    pub chooses_address: bool,
    /// If true, this node pulls the state of one more node after a burst of joins, announces itself
    /// with its pings, and exchanges states with unknown nodes that ping it. It also refuses an
    /// incarnation that is far ahead of the known one until it has asked the member itself.
    /// memberlist does not do this.
    pub join_sync: bool,
    /// If true, a ping is repeated while its ack is missing. memberlist does not do this.
    pub repeat_pings: bool,
    /// If true, a suspect is probed again before it is declared dead. memberlist does not do this.
    pub final_probe: bool,
    /// If true, seeds and lost members are asked again and again, except after this node has left.
    /// memberlist does not do this.
    pub reconnect: bool,
    /// The first pause before a seed or a lost member is asked again, without the random time that
    /// is added. It is also the shortest time between attempts at any two of them.
    pub reconnect_min: Duration,
    /// The longest pause between two attempts at the same seed or lost member, without the random
    /// time that may be added.
    pub reconnect_max: Duration,
}

impl Config {
    /// Returns memberlist's LAN profile, with the additions of sprat enabled.
    pub fn lan() -> Config {
        Config {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            stream_pings: true,
            suspicion_mult: 4,
            suspicion_max_mult: 6,
            awareness_max: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_the_dead: Duration::from_secs(30),
            retransmit_mult: 4,
            push_pull_interval: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(10),
            packet_bytes: crate::limits::PACKET_LEN,
            message_bytes: 1 << 20,
            dead_reclaim: Duration::from_secs(30),
            member_bytes: 16 << 20,
            cidrs_allowed: Vec::new(),
            chooses_address: false,
            join_sync: true,
            repeat_pings: true,
            final_probe: true,
            reconnect: true,
            reconnect_min: Duration::from_millis(250),
            reconnect_max: Duration::from_secs(30),
        }
    }

    /// Returns these settings, with everything disabled that goes beyond the defaults of
    /// memberlist.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn plain(self) -> Config {
        Config {
            join_sync: false,
            repeat_pings: false,
            final_probe: false,
            reconnect: false,
            dead_reclaim: Duration::ZERO,
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::lan()
    }
}
