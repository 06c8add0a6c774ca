/* The settings, for sprat_config_set(), sprat_config_get() and sprat_config_load():
 * name, type, default in brackets, what is allowed, and what it does.
 *
 * name: text [the host name], 1 to 255 bytes, no control characters, no space at the ends
 *     Name of this node, unique in the cluster.
 *
 * bind: address [0.0.0.0:7946], IP address, no host name; IPv4:PORT, [IPv6]:PORT, port optional, 0 takes any
 *     Where this node listens, with UDP and TCP; [::] serves IPv6 and IPv4.
 *
 * advertise: address [none], IP address that others can reach, not 0.0.0.0 or ::, port optional
 *     Where others reach this node; by default the bound address or one of an interface.
 *
 * mode: word [serf], serf or memberlist
 *     What kind of cluster this is: members with tags, or bare memberlist with raw meta.
 *
 * profile: word [lan], lan, wan or local
 *     Chooses the defaults of all times and numbers below; those that are set keep their value.
 *
 * encrypt: base64 [none], base64 of 16, 24 or 32 bytes
 *     Key that encrypts all traffic; it cannot be read back.
 *
 * keyring_file: file [none], a readable file
 *     JSON array of base64 keys as Serf writes it, the first encrypts; not beside other keys.
 *
 * label: text [none], at most 255 bytes
 *     Label in front of all traffic: clusters with different labels do not see each other.
 *
 * seeds: list of addresses [none], HOST or HOST:PORT, separated by commas
 *     Joined from the start, and asked again for as long as the node lives.
 *
 * probe_interval_ms: milliseconds [1000, wan 5000], 10 to 600000
 *     Between two probes.
 *
 * probe_timeout_ms: milliseconds [500, wan 3000, local 200], 1 to 600000
 *     Waiting for a direct answer before helpers are asked; less than probe_interval_ms.
 *
 * indirect_checks: number [3, local 1], 0 to 32
 *     Helpers asked in an indirect probe.
 *
 * stream_pings: boolean [true], true or false
 *     Whether a probe that fails by UDP is tried by TCP.
 *
 * suspicion_mult: number [4, wan 6, local 3], 1 to 100
 *     Multiplies the time that a suspect has to refute.
 *
 * suspicion_max_mult: number [6], 1 to 100
 *     Longest suspicion as a multiple of the shortest.
 *
 * awareness_max: number [8], 1 to 64
 *     Upper end of the own health score, exclusive; 1 switches it off.
 *
 * gossip_interval_ms: milliseconds [200, wan 500, local 100], 10 to 60000
 *     Between two rounds of gossip.
 *
 * gossip_nodes: number [3, wan 4], 1 to 64
 *     Members told in a round of gossip.
 *
 * gossip_to_the_dead_ms: milliseconds [30000, wan 60000, local 15000], 0 to 86400000
 *     How long dead members still get gossip.
 *
 * retransmit_mult: number [4, local 2], 1 to 100
 *     Multiplies how often a rumour is sent.
 *
 * push_pull_interval_ms: milliseconds [30000, wan 60000, local 15000], 0 to 86400000
 *     Between two full exchanges with another member; 0 switches them off.
 *
 * stream_timeout_ms: milliseconds [10000, wan 30000, local 1000], 100 to 600000
 *     Longest time that one TCP exchange may take.
 *
 * packet_bytes: number [1400], 1024 to 65000
 *     Largest datagram of gossip.
 *
 * dead_reclaim_ms: milliseconds [30000], 0 to 2592000000
 *     A dead member's name may come back at another address after this time; 0: never.
 *
 * cidrs_allowed: list of networks [none], CIDR networks, separated by commas
 *     Members must have addresses in one of these networks; empty: all.
 *
 * compression: boolean [true], true or false
 *     Whether what is sent is compressed where that saves bytes.
 *
 * verify_incoming: boolean [true], true or false
 *     Whether plain traffic is refused when there is a key.
 *
 * verify_outgoing: boolean [true], true or false
 *     Whether traffic is encrypted when there is a key.
 *
 * skip_label_check: boolean [false], true or false
 *     Whether a proxy has removed the label from what arrives.
 *
 * join_sync: boolean [true], true or false
 *     Whether a burst of joins is followed by an exchange, so that nobody is missed.
 *
 * final_probe: boolean [true], true or false
 *     Whether a suspect is asked once more before it is declared dead.
 *
 * reconnect: boolean [true], true or false
 *     Whether seeds and lost members are asked again, so that a split heals.
 *
 * reconnect_min_ms: milliseconds [250], 50 to 86400000
 *     First pause before a seed or a lost member is asked again.
 *
 * reconnect_max_ms: milliseconds [30000], 100 to 86400000
 *     Longest pause between two attempts; not below reconnect_min_ms.
 *
 * leave_propagate_ms: milliseconds [1000], 0 to 600000
 *     How long a leaving node still answers after its leave has spread.
 *
 * broadcast_timeout_ms: milliseconds [5000], 100 to 600000
 *     Longest wait for a step of a leave to spread.
 *
 * reconnect_timeout_ms: milliseconds [86400000], 1000 to 2592000000
 *     A failed member is erased after this time.
 *
 * tombstone_timeout_ms: milliseconds [86400000], 1000 to 2592000000
 *     A member that left is erased after this time.
 *
 * event_queue: number [4096], 16 to 1048576
 *     Events that wait for the application; then the oldest of each member go.
 *
 * event_kinds: list of words [none], member-join, member-update, member-leave, member-failed, member-reap, member-suspect, member-alive, done, log, separated by commas
 *     Which events are queued, empty: all; overflow and fatal always are. Without done, calls
 *     that do not wait end unseen.
 *
 * log_level: word [off], off, error, warn, info, debug or trace
 *     Up to which level log lines become events.
 *
 * thread_stack_kib: number [8192], 64 to 1048576
 *     Stack of the thread that runs callbacks, in KiB.
 *
 * spoe_bind: address [none], IPv4:PORT or [IPv6]:PORT
 *     Where HAProxy may ask about requests (SPOE); empty: nowhere. Who reaches it reads all
 *     tags: a loopback address is wise.
 *
 * spoe_servers: text [role=backend], KEY=VALUE
 *     Tag of the members that are servers, for questions that come in by spoe_bind.
 *
 * spoe_port: number [0], 0 to 65535
 *     Port of servers that have no tag port; 0: they are none.
 *
 * spoe_networks: list of networks [none], CIDR networks, separated by commas
 *     Servers must have addresses in one of these networks; empty: all.
 *
 * filter.names: list of patterns [none], patterns with * and ?, separated by commas
 *     Only members whose name fits one of these are listed and cause events, and this node;
 *     empty: all. The others stay in the protocol, and see this node.
 *
 * tag.KEY: text [none], all tags together at most 512 bytes
 *     Tag KEY of this node, seen by all members; not in memberlist mode.
 *
 * filter.tag.KEY: text [none], at most 255 bytes
 *     Only members whose tag KEY has exactly this value are shown; not in memberlist mode.
 */
