//! Settings of the SWIM layer.

use std::time::Duration;

/// Settings of the SWIM layer. Defaults are those of memberlist's LAN profile.
#[derive(Clone, Debug)]
pub struct Config {
    /// Between two probes.
    pub probe_interval: Duration,
    /// Waiting for a direct answer before helpers are asked.
    pub probe_timeout: Duration,
    /// Helpers asked in an indirect probe.
    pub indirect_checks: usize,
    /// Fall back to a stream ping when datagrams fail.
    pub stream_pings: bool,
    /// Multiplies the suspicion timeout.
    pub suspicion_mult: u32,
    /// Longest suspicion timeout as a multiple of the shortest.
    pub suspicion_max_mult: u32,
    /// Upper end of the health score, exclusive.
    pub awareness_max: u32,
    /// Between two gossip rounds.
    pub gossip_interval: Duration,
    /// Nodes per gossip round.
    pub gossip_nodes: usize,
    /// Dead nodes still get gossip this long, then they are removed from the table.
    pub gossip_to_the_dead: Duration,
    /// Multiplies the number of transmissions of a rumour.
    pub retransmit_mult: u32,
    /// Between two periodic push/pulls; zero switches them off.
    pub push_pull_interval: Duration,
    /// Deadline of a stream.
    pub stream_timeout: Duration,
    /// Target size of a gossip datagram.
    pub packet_len: usize,
    /// A dead name may come back from another address after this long; zero: never.
    pub dead_reclaim: Duration,
    /// Networks that members may have addresses in; empty: all.
    pub cidrs_allowed: Vec<ipnet::IpNet>,
    /// Complete dissemination: catch up by a push/pull after a burst of joins. Beyond memberlist.
    pub join_sync: bool,
    /// Ask a suspect once more before it is declared dead. Beyond memberlist.
    pub final_probe: bool,
    /// Healing: ask seeds and lost members again for as long as the node lives. Beyond memberlist.
    pub reconnect: bool,
    /// First pause before a seed or a lost member is asked again.
    pub reconnect_min: Duration,
    /// Longest pause between two attempts at the same seed or lost member.
    pub reconnect_max: Duration,
}

impl Config {
    /// memberlist's LAN profile, with what sprat adds.
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
            packet_len: crate::limits::PACKET_LEN,
            dead_reclaim: Duration::from_secs(30),
            cidrs_allowed: Vec::new(),
            join_sync: true,
            final_probe: true,
            reconnect: true,
            reconnect_min: Duration::from_millis(250),
            reconnect_max: Duration::from_secs(30),
        }
    }

    /// The same settings without anything that plain memberlist does not do.
    pub fn plain(self) -> Config {
        Config {
            join_sync: false,
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
