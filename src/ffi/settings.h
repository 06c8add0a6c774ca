/* The settings, for sprat_config_set(), sprat_config_get() and sprat_config_load():
 * name, type, default in brackets, allowed values, and description.
 *
 * name: text [not set], 1 to 255 bytes, no control characters, no space at the ends
 *     The name of this node, unique in the cluster; by default the host name.
 *
 * bind: address [0.0.0.0:7946], IP address (not a host name) with an optional port, as
 *         IPv4:PORT or [IPv6]:PORT; port 0 means any free port
 *     The address that this node listens on, over UDP and TCP; the IPv6 wildcard address also
 *     accepts IPv4.
 *
 * advertise: address [not set], IP address that others can reach, with an optional port from 1
 *         to 65535
 *     The address at which the other members reach this node; by default the bound address, or
 *     the address of an interface if the bound address is a wildcard.
 *
 * mode: word [serf], serf or memberlist
 *     The kind of cluster: serf for members with tags, memberlist for bare memberlist with raw
 *     metadata.
 *
 * profile: word [lan], lan, wan or local
 *     Chooses the defaults of the settings that are times or numbers; a setting that is set
 *     keeps its value.
 *
 * encrypt: base64 [not set], base64 of 16, 24 or 32 bytes
 *     The key that encrypts all traffic; it cannot be read back.
 *
 * keyring_file: file [not set], the path of a file
 *     A file with a JSON array of base64 keys, as Serf writes it; the first key encrypts. The
 *     node replaces it when its keys change. It cannot be combined with other keys.
 *
 * label: text [not set], at most 255 bytes
 *     A label in front of all traffic; clusters with different labels do not see each other.
 *
 * seeds: list of addresses [not set], HOST or HOST:PORT, separated by commas
 *     Addresses that the node joins at its start. Unless reconnect is false, it tries each
 *     again whenever no alive member has that address.
 *
 * discover: text [not set], ASCII letters, digits, "-" and "_", at most 57
 *     The name of the cluster whose nodes this node finds on the local network with mDNS, as an
 *     agent of Serf does with -discover; empty disables it. The library must be built with the
 *     feature mdns.
 *
 * discover_interface: text [not set], the name of an interface, at most 15 bytes without spaces
 *         or slashes
 *     The network interface that mDNS uses; by default, every interface that supports
 *     multicast, except tunnels; at a loopback address, the loopback interface.
 *
 * snapshot: file [not set], the path of a file
 *     A file in which the node keeps its members and clocks for its next run, as Serf does.
 *     After a restart, the node looks for these members, unless reconnect is false, and gets
 *     the user events that it has missed.
 *
 * rejoin_after_leave: boolean [false], true or false
 *     Whether the node looks for the members in the snapshot even if its last run has left the
 *     cluster.
 *
 * probe_interval_ms: milliseconds [1000, wan 5000], 10 to 600000
 *     The time between two probes.
 *
 * probe_timeout_ms: milliseconds [500, wan 3000, local 200], 1 to 600000
 *     The time that a direct probe waits for an answer before helpers are asked; it must be
 *     less than probe_interval_ms.
 *
 * indirect_checks: number [3, local 1], 0 to 32
 *     The maximum number of helpers that are asked for an indirect probe.
 *
 * stream_pings: boolean [true], true or false
 *     Whether a probe that gets no answer over UDP is also tried over TCP.
 *
 * suspicion_mult: number [4, wan 6, local 3], 1 to 100
 *     Multiplier for the suspicion timeout: the time a suspect is given to refute the
 *     suspicion.
 *
 * suspicion_max_mult: number [6], 1 to 100
 *     The longest suspicion timeout as a multiple of the shortest.
 *
 * awareness_max: number [8], 1 to 64
 *     The health score ranges from 0 to this value minus 1; 1 disables it.
 *
 * gossip_interval_ms: milliseconds [200, wan 500, local 100], 10 to 60000
 *     The time between two rounds of gossip.
 *
 * gossip_nodes: number [3, wan 4], 1 to 64
 *     The maximum number of members that a round of gossip is sent to.
 *
 * gossip_to_the_dead_ms: milliseconds [30000, wan 60000, local 15000], 0 to 86400000
 *     The time for which gossip is still sent to a failed member.
 *
 * retransmit_mult: number [4], 1 to 100
 *     Multiplier for the number of times that a broadcast is sent.
 *
 * push_pull_interval_ms: milliseconds [30000, wan 60000, local 15000], 0 to 86400000
 *     The time between two push/pull exchanges with another member, longer in clusters of more
 *     than 32 nodes; 0 disables them.
 *
 * stream_timeout_ms: milliseconds [10000, wan 30000, local 1000], 100 to 600000
 *     The longest time that one TCP exchange may take.
 *
 * packet_bytes: number [1400], 1024 to 65000
 *     The size of the largest gossip datagram.
 *
 * message_bytes: number [1048576], 1024 to 20971520
 *     The size of the largest message between programs that this node sends and accepts. A
 *     broadcast must also fit into a datagram of packet_bytes. Only in memberlist mode.
 *
 * dead_reclaim_ms: milliseconds [30000], 0 to 2592000000
 *     The time after which this node lets the name of a failed member return at another
 *     address; 0 forbids it. The members decide by their own setting, not by that of the node
 *     that returns.
 *
 * member_bytes: number [16777216], 65536 to 1073741824
 *     The memory that the members may take: for each, 256 bytes and the lengths of its name and
 *     tags. Beyond that, members that never answered make room for new ones.
 *
 * cidrs_allowed: list of networks [not set], CIDR networks, separated by commas
 *     The networks in which the addresses of members must lie; empty allows all.
 *
 * compression: boolean [true], true or false
 *     Whether messages are compressed where that saves bytes.
 *
 * verify_incoming: boolean [true], true or false
 *     Whether unencrypted traffic is refused when there is a key.
 *
 * verify_outgoing: boolean [true], true or false
 *     Whether outgoing traffic is encrypted when there is a key.
 *
 * skip_label_check: boolean [false], true or false
 *     Whether to accept incoming traffic without a label, and refuse traffic with one. For use
 *     behind a proxy that removes the label.
 *
 * join_sync: boolean [true], true or false
 *     Whether a burst of joins is followed by a push/pull exchange, so that no member is
 *     missed.
 *
 * repeat_pings: boolean [true], true or false
 *     Whether a probe repeats its ping until an answer comes, so that packet loss alone does
 *     not make a member a suspect.
 *
 * final_probe: boolean [true], true or false
 *     Whether a suspect is probed a few more times before it is declared failed.
 *
 * reconnect: boolean [true], true or false
 *     Whether seeds and lost members are tried again, so that a split cluster heals.
 *
 * reconnect_min_ms: milliseconds [250], 50 to 86400000
 *     The first pause before a seed or a lost member is tried again. A random time is added to
 *     each pause.
 *
 * reconnect_max_ms: milliseconds [30000], 100 to 86400000
 *     The longest pause between two attempts at the same address, without the random time; it
 *     must be at least reconnect_min_ms. With many seeds or lost members the pause is longer,
 *     because there is one attempt every reconnect_min_ms.
 *
 * leave_propagate_ms: milliseconds [1000], 0 to 600000
 *     The time for which a leave goes on after it has spread; meanwhile the node still answers
 *     probes.
 *
 * broadcast_timeout_ms: milliseconds [5000], 100 to 600000
 *     The longest time that one step of a leave may take to spread.
 *
 * reconnect_timeout_ms: milliseconds [86400000], 1000 to 2592000000
 *     The time for which the node tries to reach a failed member again; in serf mode, the
 *     member stays in the list for the same time.
 *
 * tombstone_timeout_ms: milliseconds [86400000], 1000 to 2592000000
 *     The time for which a member that left is kept in the list; only in serf mode.
 *
 * user_event_bytes: number [512], 64 to 9216
 *     The size of the largest user event that this node sends, encoded. Whatever the value, an
 *     event must fit into a datagram of packet_bytes. Only in serf mode.
 *
 * query_bytes: number [1024], 128 to 9216
 *     The size of the largest query that this node sends, encoded. Whatever the value, a query
 *     must fit into a datagram of packet_bytes. Only in serf mode.
 *
 * query_response_bytes: number [1024], 64 to 9216
 *     The size of the largest answer to a query that this node sends, encoded. Only in serf
 *     mode.
 *
 * replay_events: boolean [false], true or false
 *     Whether a node that joins gets the user events that were sent before. Only in serf mode.
 *
 * coalesce_members_ms: milliseconds [0], 0 to 600000
 *     The longest time for which events about members are collected. Then only the events that
 *     lead from the state, address and tags last delivered to the present ones are delivered; 0
 *     delivers each at once. Agents of Serf use 3000.
 *
 * coalesce_members_quiet_ms: milliseconds [1000], 1 to 600000
 *     The time without an event about a member after which collected events are delivered.
 *
 * coalesce_events_ms: milliseconds [0], 0 to 600000
 *     The longest time for which user events whose sender allows it are collected, so that only
 *     the last of each name is delivered, earlier if 1,024 events or 1 MiB wait; 0 delivers
 *     each at once. Agents of Serf use 3000. Only in serf mode.
 *
 * coalesce_events_quiet_ms: milliseconds [1000], 1 to 600000
 *     The time without such a user event after which collected events are delivered.
 *
 * coordinates: boolean [true], true or false
 *     Whether this node keeps a network coordinate, from which round-trip times between any two
 *     members are estimated, and sends it with each ack. Only in serf mode.
 *
 * ping_acks: boolean [false], true or false
 *     Whether each answer of a member to a ping of this node becomes an event, with the
 *     round-trip time and the payload of the ack.
 *
 * event_queue: number [16384], 16 to 1048576
 *     The number of events, not counting log lines, that can wait for the application. A full
 *     queue drops acks of pings, then keeps only the last event of each member; if that is not
 *     enough, it drops the oldest member events, then the oldest user events, and finally the
 *     oldest events of any kind. One overflow event reports the loss.
 *
 * event_kinds: list of words [not set], member-join, member-update, member-leave,
 *         member-failed, member-reap, member-suspect, member-alive, user, message, query,
 *         query-ack, query-response, remote-state, member-conflict, ping-ack, done, log,
 *         name-regained, separated by commas
 *     The kinds of events that are queued; empty queues all. The kinds overflow and fatal are
 *     always queued. The end of an asynchronous operation is reported as an event only if done
 *     is queued.
 *
 * log_level: word [off], off, error, warn, info, debug or trace
 *     The level up to which log lines become events.
 *
 * thread_stack_kib: number [8192], 64 to 1048576
 *     The size of the stack of the thread that runs callbacks, if the library creates it for
 *     the node.
 *
 * spoe_bind: address [not set], IPv4:PORT or [IPv6]:PORT
 *     The address at which HAProxy may ask about requests (SPOE); empty disables it. A client
 *     that can reach it can read all tags, so a loopback address is advisable.
 *
 * spoe_servers: text [role=backend], KEY=VALUE
 *     The tag that makes a member a server in the answers to HAProxy's questions at spoe_bind.
 *
 * spoe_port: number [0], 0 to 65535
 *     The port used for members without a `port` tag; 0 ignores such members.
 *
 * spoe_networks: list of networks [not set], CIDR networks, separated by commas
 *     The networks in which the addresses of servers must lie; empty allows all.
 *
 * filter.names: list of patterns [not set], patterns with * and ?, separated by commas
 *     The node lists and reports only itself and the members whose name matches one of these
 *     patterns; empty matches all. The other members stay in the protocol and see this node.
 *
 * tag.KEY: text [not set], all tags together at most 512 bytes
 *     The tag KEY of this node, which all members see; only in serf mode.
 *
 * filter.tag.KEY: text [not set], at most 255 bytes
 *     The node lists and reports only itself and the members whose tag KEY has exactly this
 *     value. With several such settings, a member must match all. The other members stay in the
 *     protocol and see this node. Only in serf mode.
 */
