/* sprat.h - cluster membership as a library.
 *
 * A program that links libsprat is a full member of a memberlist or Serf cluster: it finds the
 * other members, notices which of them fail, describes itself with tags, and reads the tags of the
 * others.
 *
 *     #include <sprat.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         sprat_config *config = sprat_config_new();
 *         sprat_config_set(config, "bind", "0.0.0.0:7946");
 *         sprat_config_set_tag(config, "role", "backend");
 *
 *         sprat_node *node;
 *         int status = sprat_node_start(config, &node);     // any mistake above shows up here
 *         sprat_config_free(config);
 *         if (status < 0 ||
 *             (argc > 1 &&
 *              sprat_node_join(node, (const char *const *)argv + 1, argc - 1, 0, 5000) < 0)) {
 *             fprintf(stderr, "%s\n", sprat_last_error());
 *             return 1;
 *         }
 *         for (;;) {
 *             const sprat_event *event;
 *             if (sprat_node_next_event(node, -1, &event) < 1)
 *                 break;
 *             printf("%s %s\n", sprat_event_kind_name(event->kind),
 *                    event->member ? event->member->name : event->text);
 *             sprat_event_free(event);
 *         }
 *         sprat_node_free(node);
 *     }
 *
 *     cc -o first first.c $(pkg-config --cflags --libs sprat)
 *
 * The rules
 *
 * - An object that you get from a function whose name ends in _new, _start or _copy, or through an
 *   `out` argument, is yours: free it with the _free function of its type. Every _free function
 *   accepts NULL.
 * - A function that returns an int and can fail returns 0 or more on success, otherwise a negative
 *   enum sprat_status. An `out` argument is emptied first and written only on success. After a
 *   failure sprat_last_error() returns a sentence for people, on the thread that made the call.
 * - A setter of sprat_config that fails marks the settings as wrong: sprat_node_start() then fails
 *   with SPRAT_ERR_CONFIG and the sentence of the first failure.
 * - Any number of threads may use one sprat_node at the same time. Any other object belongs to one
 *   thread at a time; several threads may read it as long as none changes it.
 * - A sprat_node is a checked number: given NULL, a freed node or garbage, functions fail with
 *   SPRAT_ERR_HANDLE. If another argument is NULL and must not be, they return SPRAT_ERR_NULL;
 *   functions that only look something up return NULL or 0 instead, or the value that their
 *   comment names.
 * - Strings are NUL-terminated UTF-8. Strings that you pass are copied before the call returns.
 *   Strings that you get live as long as the object that they came from.
 * - Timeouts are milliseconds: -1 waits without limit, 0 does not wait, and for other negative
 *   values functions return SPRAT_ERR_INVALID. A wait continues after a signal handler has run, and
 *   pthread_cancel() takes effect after the call, or in a function of yours that the call runs;
 *   sprat_node_shutdown() ends a wait.
 * - The library never prints, never exits, installs no signal handler, and leaves the locale, the
 *   environment and the current directory alone. One exception: when the system refuses memory,
 *   Rust writes a message to standard error and aborts the process (SIGABRT). The threads of the
 *   library block all signals except SIGPROF and those that report a fault, such as SIGSEGV. No
 *   function may be called from a signal handler.
 * - In the child of a fork, calls on an inherited node return SPRAT_ERR_FORKED, and freeing it does
 *   nothing. The child may start nodes of its own.
 * - Link the library, or load it before you register fork handlers (pthread_atfork) that take a
 *   lock. If you load it afterwards and hold that lock during a call, the call and a fork may wait
 *   for each other for a second; the child may then keep a descriptor of the library open.
 * - Structs that the library fills may get new fields at their end in later versions: read them
 *   through the pointer that you were given, never copy them by value, and ignore numbers that you
 *   do not know. Lists of structs are lists of pointers, so the rule holds for their items as well.
 *
 * Generated from the source of the library: do not edit.
 */

#ifndef SPRAT_H
#define SPRAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header, as text and as numbers. */
#define SPRAT_VERSION "0.1.0"
#define SPRAT_VERSION_MAJOR 0
#define SPRAT_VERSION_MINOR 1
#define SPRAT_VERSION_PATCH 0
/** Major * 1000000 + minor * 1000 + patch: compare with sprat_version_number(). */
#define SPRAT_VERSION_NUMBER \
    (SPRAT_VERSION_MAJOR * 1000000 + SPRAT_VERSION_MINOR * 1000 + SPRAT_VERSION_PATCH)
/** The number in libsprat.so.N. It changes only if programs linked before would break. */
#define SPRAT_ABI 0
/** The defaults of a sprat_query_options. */
#define SPRAT_QUERY_OPTIONS_INIT \
    { sizeof(struct sprat_query_options), 0, 0, false, NULL, 0, NULL, 0 }

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


/**
 * The reason for a failure. In C, a function that can fail returns one of these numbers, or 0
 * or a count on success.
 */
enum sprat_status {
    /** Success. */
    SPRAT_OK = 0,
    /** An argument that must not be NULL is NULL. */
    SPRAT_ERR_NULL = -1,
    /** An argument has a value that is not allowed. */
    SPRAT_ERR_INVALID = -2,
    /** A string is not UTF-8. */
    SPRAT_ERR_UTF8 = -3,
    /** A tag, the metadata, a list or a count exceeds its limit. */
    SPRAT_ERR_TOO_LARGE = -4,
    /** The node is NULL, was freed, or never was a node. */
    SPRAT_ERR_HANDLE = -5,
    /** The node was started before a fork and lives in the parent process. */
    SPRAT_ERR_FORKED = -6,
    /** The node was shut down. */
    SPRAT_ERR_CLOSED = -7,
    /** The call is not possible in the current state or with these settings. */
    SPRAT_ERR_STATE = -8,
    /** The time is up. */
    SPRAT_ERR_TIMEOUT = -9,
    /** The call would wait for the thread that it runs on. */
    SPRAT_ERR_DEADLOCK = -10,
    /** No such member, setting or tag. */
    SPRAT_ERR_NOT_FOUND = -11,
    /** Another member of the cluster has this node's name. */
    SPRAT_ERR_NAME_CONFLICT = -12,
    /** The settings are wrong. */
    SPRAT_ERR_CONFIG = -13,
    /** The operating system refused a call; the errno of the error says why. */
    SPRAT_ERR_IO = -14,
    /** An address cannot be parsed, resolved or used. */
    SPRAT_ERR_ADDRESS = -15,
    /** No node answered. */
    SPRAT_ERR_UNREACHABLE = -16,
    /**
     * Encryption: a key is wrong or missing, or the peer has no key. Between nodes with keys,
     * different labels cause the same error.
     */
    SPRAT_ERR_CRYPTO = -17,
    /**
     * A peer answered with something that is not this protocol, or closed the connection
     * without an answer: its label may differ, or the port may be an agent's RPC port.
     */
    SPRAT_ERR_PROTOCOL = -18,
    /** Not supported by this version of the library. */
    SPRAT_ERR_UNSUPPORTED = -19,
    /** The buffer is too small; it holds the beginning of the text. */
    SPRAT_ERR_BUFFER = -20,
    /**
     * The library has a defect, or the process has closed descriptors of a node. The process
     * goes on; a node whose state is broken has stopped.
     */
    SPRAT_ERR_INTERNAL = -99,
};

/** The state of a member as the application sees it. */
enum sprat_member_state {
    /** It answers. */
    SPRAT_MEMBER_ALIVE = 1,
    /**
     * It did not answer a probe and has not refuted the suspicion yet. It still counts as a
     * member.
     */
    SPRAT_MEMBER_SUSPECT = 2,
    /** It was suspected for too long. */
    SPRAT_MEMBER_FAILED = 3,
    /** It has announced that it leaves. */
    SPRAT_MEMBER_LEAVING = 4,
    /** It left of its own will, or was removed after it had failed. */
    SPRAT_MEMBER_LEFT = 5,
};

/** The state of a node. */
enum sprat_node_state {
    /** It takes part in its cluster. */
    SPRAT_NODE_RUNNING = 1,
    /** It is announcing that it leaves. */
    SPRAT_NODE_LEAVING = 2,
    /** It has left. It still lists members, and may join again. */
    SPRAT_NODE_LEFT = 3,
    /** It was shut down. */
    SPRAT_NODE_SHUTDOWN = 4,
    /**
     * One of its threads failed: the library has a defect, or the process has closed
     * descriptors of the node.
     */
    SPRAT_NODE_BROKEN = 5,
};

/** Kinds of events. Ignore kinds that you do not know: later versions may add some. */
enum sprat_event_kind {
    /** A member joined, returned after it had failed or left, or now fits the filter. */
    SPRAT_EVENT_MEMBER_JOIN = 1,
    /** A member changed its tags, metadata, address or protocol versions. */
    SPRAT_EVENT_MEMBER_UPDATE = 2,
    /** A member left of its own will, or was removed after it had failed. */
    SPRAT_EVENT_MEMBER_LEAVE = 3,
    /** A member failed: it stopped answering without having announced that it leaves. */
    SPRAT_EVENT_MEMBER_FAIL = 4,
    /**
     * A member is no longer listed: it had failed or left, the filter rejects it, or a
     * full table needed its place.
     */
    SPRAT_EVENT_MEMBER_REAP = 5,
    /** A member is suspected: it will fail unless it refutes the suspicion. */
    SPRAT_EVENT_MEMBER_SUSPECT = 6,
    /** A suspicion was refuted: the member is alive after all. */
    SPRAT_EVENT_MEMBER_ALIVE = 7,
    /** A user event: a message that a program sent to all members, this node included. */
    SPRAT_EVENT_USER = 8,
    /** A message of a program built on memberlist; only in memberlist mode. */
    SPRAT_EVENT_MESSAGE = 9,
    /** Another member, or this node, asks a question, which can be answered once. */
    SPRAT_EVENT_QUERY = 10,
    /** A member has received a query of this node. */
    SPRAT_EVENT_QUERY_ACK = 11,
    /** A member has answered a query of this node. */
    SPRAT_EVENT_QUERY_RESPONSE = 12,
    /**
     * The state of a program built on memberlist, received in a push/pull; only in
     * memberlist mode.
     */
    SPRAT_EVENT_REMOTE_STATE = 13,
    /**
     * Two nodes claim the name of a member; only in memberlist mode. A conflict about
     * this node's own name is a fatal event.
     */
    SPRAT_EVENT_MEMBER_CONFLICT = 15,
    /** A member has answered a ping of this node; only if the setting ping_acks is on. */
    SPRAT_EVENT_PING_ACK = 16,
    /** An operation that was started without waiting has ended. */
    SPRAT_EVENT_DONE = 14,
    /** Events were not taken in time and are lost: read the list of members again. */
    SPRAT_EVENT_OVERFLOW = 20,
    /** A line of the log. */
    SPRAT_EVENT_LOG = 21,
    /**
     * The node cannot do its work. It is broken, or another node has its name; in the
     * latter case it goes on, and becomes a member if it gets the name.
     */
    SPRAT_EVENT_FATAL = 22,
    /**
     * The name conflict that a fatal event reported is over: no other node has this
     * node's name any more. The members now list this node under its name.
     */
    SPRAT_EVENT_NAME_REGAINED = 23,
};

/** The importance of a line of the log. Each level includes the levels before it. */
enum sprat_log_level {
    /** No lines. */
    SPRAT_LOG_OFF = 0,
    /** The node cannot do what it should. */
    SPRAT_LOG_ERROR = 1,
    /** Something is wrong here or elsewhere, and a person should look at it. */
    SPRAT_LOG_WARN = 2,
    /** The ordinary course of things in the cluster. */
    SPRAT_LOG_INFO = 3,
    /** The steps of the node and their reasons, for troubleshooting. */
    SPRAT_LOG_DEBUG = 4,
    /** Everything else. */
    SPRAT_LOG_TRACE = 5,
};

/** The result of one way of probing a member: the direct ping, a helper, or the stream ping. */
enum sprat_probe_answer {
    /** The member was not probed this way, or another way brought the answer first. */
    SPRAT_PROBE_NOT_ASKED = 1,
    /** The member answered. */
    SPRAT_PROBE_ANSWERED = 3,
    /** The helper reported that the member does not answer. */
    SPRAT_PROBE_NACK = 4,
    /** No answer came in time. */
    SPRAT_PROBE_SILENT = 5,
};

/**
 * An action of the members of a cluster on their keys. To change the key of a cluster without
 * losing a message takes three steps, each done by all members before the next: install the
 * new key, use it, remove the old one.
 */
enum sprat_key_action {
    /** Adds a key to the keyrings. It decrypts, and does not encrypt yet. */
    SPRAT_KEY_INSTALL = 1,
    /** Makes a key of the keyrings the primary one, which encrypts. The others still decrypt. */
    SPRAT_KEY_USE = 2,
    /** Removes a key, which must not be the primary one. */
    SPRAT_KEY_REMOVE = 3,
    /** Lists the keys; changes nothing. */
    SPRAT_KEY_LIST = 4,
};

/** Flags of sprat_node_remove_failed(). */
enum sprat_remove_flags {
    /** Erase the member from the list at once instead of keeping it as a member that left. */
    SPRAT_REMOVE_PRUNE = 1,
};

/** Flags of sprat_node_send_event(). */
enum sprat_send_event_flags {
    /**
     * Receivers may leave out the event if another one with the same name follows, as Serf agents
     * do.
     */
    SPRAT_SEND_EVENT_COALESCE = 1,
};

/**
 * The type of a setting, which says how the text of its value is written. Ignore the types
 * that you do not know: later versions may add some.
 */
enum sprat_setting_type {
    /** Any text. */
    SPRAT_SETTING_TEXT = 1,
    /** A whole number. */
    SPRAT_SETTING_NUMBER = 2,
    /** `true` or `false`. */
    SPRAT_SETTING_BOOLEAN = 3,
    /** A time as a whole number of milliseconds. */
    SPRAT_SETTING_MILLISECONDS = 4,
    /** One of a few words. */
    SPRAT_SETTING_WORD = 5,
    /** An IP address and a port. Some settings let you leave out the port. */
    SPRAT_SETTING_ADDRESS = 6,
    /** A secret in base64, which cannot be read back. */
    SPRAT_SETTING_BASE64 = 7,
    /** The path of a file. */
    SPRAT_SETTING_FILE = 8,
    /** Addresses separated by commas. */
    SPRAT_SETTING_ADDRESSES = 9,
    /** Networks separated by commas. */
    SPRAT_SETTING_NETWORKS = 10,
    /** Words separated by commas. */
    SPRAT_SETTING_WORDS = 11,
    /** Patterns separated by commas. */
    SPRAT_SETTING_PATTERNS = 12,
};

/** The answers to a query, made by sprat_node_query_wait(). Several threads may read them. */
typedef struct sprat_answers sprat_answers;

/** The settings of a node, made by sprat_config_new(). They belong to one thread at a time. */
typedef struct sprat_config sprat_config;

/** The answers of the members to sprat_node_manage_keys_wait(). Several threads may read them. */
typedef struct sprat_key_report sprat_key_report;

/**
 * The members at one moment, made by sprat_node_members() or sprat_node_look(). Several threads
 * may read the list.
 */
typedef struct sprat_members sprat_members;

/**
 * A running node, made by sprat_node_start(). Any number of threads may use it at the same time.
 *
 * It is a checked number, not an address: after sprat_node_free() every function fails with
 * SPRAT_ERR_HANDLE for it. Never dereference it.
 */
typedef struct sprat_node sprat_node;

/**
 * The counters of a node at one moment, made by sprat_node_stats(). Several threads may read them.
 */
typedef struct sprat_stats sprat_stats;

/**
 * Everything that is known about one setting. Read it through its pointer and never copy it by
 * value: later versions may add fields at its end. The struct and its strings are never freed.
 */
typedef struct sprat_setting {
    /**
     * The name, as sprat_config_set() takes it. KEY in "tag.KEY" and "filter.tag.KEY" stands for
     * the key of a tag.
     */
    const char *name;
    /** An enum sprat_setting_type. */
    int32_t type;
    /** True if the setting can be changed while a node runs. */
    bool changeable;
    /** The type in words, such as "milliseconds". Never NULL. */
    const char *type_name;
    /** The unit of a number, such as "ms" or "bytes"; empty if it has none. Never NULL. */
    const char *unit;
    /** The smallest allowed value of a NUMBER or MILLISECONDS; 0 for other types. */
    uint64_t min;
    /** The largest allowed value of a NUMBER or MILLISECONDS; 0 for other types. */
    uint64_t max;
    /** The allowed values in words, such as "10 to 600000". Never NULL. */
    const char *allowed;
    /** A description of what the setting does. Never NULL. */
    const char *help;
} sprat_setting;

/**
 * A member of the cluster. Read it through its pointer and never copy it by value: later versions
 * may add fields at its end. Its strings live as long as the list or event that it came from.
 */
typedef struct sprat_member {
    /**
     * Its name, unique in the cluster. Bytes that are not UTF-8 and NUL bytes are escaped, as in
     * "web\xff".
     */
    const char *name;
    /** Its address in network order; IPv4 uses the first 4 bytes. See sprat_member_addr(). */
    uint8_t addr[16];
    /** 4 for IPv4 or 16 for IPv6. */
    uint8_t addr_len;
    /** The versions of the gossip protocol: lowest, highest and used. */
    uint8_t protocol[3];
    /** The versions of the Serf protocol: lowest, highest and used; zeros for a memberlist node. */
    uint8_t delegate[3];
    /** Its port, in host order. */
    uint16_t port;
    /** An enum sprat_member_state. */
    int32_t state;
    /**
     * Its incarnation: a number that the member raises to refute a suspicion, and when it changes
     * its tags, its metadata or its address.
     */
    uint32_t incarnation;
    /** The number of its tags. See sprat_member_tag() and sprat_member_tag_at(). */
    uint32_t ntags;
    /** Its metadata as on the wire. Never NULL. */
    const uint8_t *meta;
    /** The length of its metadata in bytes. */
    size_t meta_len;
} sprat_member;

/**
 * An event. Read it through its pointer and never copy it by value: later versions may add fields
 * at its end. Fields that do not belong to its kind are 0, NULL or empty.
 */
typedef struct sprat_event {
    /** An enum sprat_event_kind; ignore kinds that you do not know. */
    int32_t kind;
    /** DONE, FATAL: SPRAT_OK or the sprat_status of the failure; else 0. */
    int32_t status;
    /**
     * The sequence number: one more than that of the previous event. A larger step means that
     * events were lost, or that log lines between the two events went to a log callback.
     */
    uint64_t seq;
    /** The time at which it was queued, in nanoseconds of CLOCK_MONOTONIC. */
    uint64_t time_ns;
    /** Member events: the member as it was at that time; else NULL. */
    const struct sprat_member *member;
    /**
     * USER, QUERY: the name of the event or of the query; bytes that are not UTF-8 and NUL bytes
     * are escaped as in the name of a member. QUERY_ACK, QUERY_RESPONSE: the member that answers.
     * MESSAGE, REMOTE_STATE: the member at `addr`, empty if no member or several are there.
     * MEMBER_CONFLICT, PING_ACK: the member. LOG: the part of the library that writes the line.
     * Else empty. Never NULL.
     */
    const char *name;
    /**
     * FATAL, LOG, and a DONE that failed: a sentence. QUERY: the member that asks.
     * MEMBER_CONFLICT: the address of the other node. Else empty. Never NULL.
     */
    const char *text;
    /**
     * DONE: the number of the operation, from an _async function, sprat_node_hint(),
     * sprat_node_query(), sprat_node_manage_keys() or sprat_node_send(). QUERY_ACK,
     * QUERY_RESPONSE: the number of the query, from sprat_node_query(). QUERY: the number for
     * sprat_node_respond(). Else 0.
     */
    uint64_t id;
    /** LOG: an enum sprat_log_level; else 0. */
    int32_t level;
    /** OVERFLOW: the number of events merged or dropped since the last OVERFLOW; else 0. */
    uint64_t lost;
    /** DONE: the op_data of the call that began the operation; else NULL. */
    void *op_data;
    /**
     * USER, QUERY, QUERY_RESPONSE, MESSAGE: the payload, which need not be text and has no NUL at
     * its end. REMOTE_STATE: the state. PING_ACK: the payload of the ack. Else empty. Never NULL.
     */
    const uint8_t *payload;
    /** The number of bytes of the payload. */
    size_t payload_len;
    /**
     * USER, QUERY: the Lamport time at which the event or query was sent: higher than those of
     * all events or queries that its sender had sent or received before. Else 0.
     */
    uint64_t ltime;
    /** QUERY: the time after time_ns in which it can be answered, in milliseconds; else 0. */
    int32_t time_ms;
    /** REMOTE_STATE: true if one of the two sides is joining; else false. */
    bool join;
    /**
     * MESSAGE, REMOTE_STATE: the address and port from which it came, as "10.0.0.1:7946"; if the
     * other side dialled a stream, the port is not that at which it listens. MEMBER_CONFLICT: the
     * address at which the member is known. Else empty. Never NULL.
     */
    const char *addr;
    /** PING_ACK: the time between the ping and its ack, in microseconds; else 0. */
    int64_t rtt_us;
} sprat_event;

/**
 * A function that is called with each event. The event is borrowed: it is freed when the function
 * returns. sprat_event_copy() makes a copy to keep.
 *
 * A callback set by sprat_config_set_event_cb() runs on a thread of the library, one call at a
 * time. A function given to sprat_node_dispatch() runs on the calling thread. Both may call every
 * function of this header, sprat_node_free() included. A slow function delays events, but never
 * the protocol.
 *
 * A callback on a thread of the library must return normally: an exception or pthread_exit() that
 * leaves it ends the process, and longjmp() out of it corrupts the process, because the thread is
 * the library's. sprat_node_dispatch() describes the rules for a function that is given to it.
 *
 * A callback must not switch to another stack, as coroutines do, before it returns: the library
 * could mistake it for a callback that was left without a return.
 */
typedef void (*sprat_event_cb)(struct sprat_node *node,
                               const struct sprat_event *event,
                               void *user_data);

/**
 * A function that is called once, when the library no longer needs the user_data. It must return
 * normally.
 */
typedef void (*sprat_free_cb)(void *user_data);

/**
 * A function that is called with each line of the log: an enum sprat_log_level, the part of the
 * library that writes the line, and a sentence without a newline. The rules of sprat_event_cb
 * apply. sprat_config_set_log_cb() says which thread calls it.
 */
typedef void (*sprat_log_cb)(int level, const char *target, const char *message, void *user_data);

/**
 * A function that starts a thread with the name `name` (at most 15 bytes). The thread must call
 * run(arg) exactly once.
 *
 * The function returns 0 if run(arg) will be called, and another number, preferably an errno, if
 * run(arg) will never be called. The library calls the function only inside sprat_node_start(), on
 * the thread that called sprat_node_start(). It must return normally: in C++, catch the exception
 * with which std::thread reports that the system refuses a thread, and return its code.
 */
typedef int (*sprat_spawn_cb)(const char *name,
                              void (*run)(void *arg),
                              void *arg,
                              void *user_data);

/** A tag: a key and a value, both chosen by the program. */
typedef struct sprat_tag {
    /** 1 to 255 bytes, UTF-8. */
    const char *key;
    /** Any text, UTF-8. */
    const char *value;
} sprat_tag;

/**
 * The options of a query. Begin with `sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;`, so
 * that a program that is compiled with this header works with later versions of the library, and
 * then change the fields that matter.
 */
typedef struct sprat_query_options {
    /** sizeof(sprat_query_options), as SPRAT_QUERY_OPTIONS_INIT sets it. */
    size_t size;
    /**
     * The time in which answers count, in milliseconds; 0 for the default, which follows from the
     * number of members: 3,200 for up to 9 members with the profile `lan`.
     */
    int32_t timeout_ms;
    /**
     * The number of members, at most 255, through which each answer is sent as well, so that it
     * arrives even if the direct way is blocked. A sprat node uses at most 8.
     */
    uint32_t relay_factor;
    /** Whether each node acknowledges the query as soon as it arrives. */
    bool want_ack;
    /** The names of the members that are asked; may be NULL if nnodes is 0. */
    const char *const *nodes;
    /** The number of names, at most 4096; 0 asks all members. */
    size_t nnodes;
    /**
     * Only members in whose tag `key` the regular expression `value` finds a match are asked; with
     * several, all must match. A missing tag counts as empty. An expression that agents of Serf
     * would refuse or read in another way is an error. tags may be NULL if ntags is 0.
     */
    const struct sprat_tag *tags;
    /** The number of tags, at most 4096. */
    size_t ntags;
} sprat_query_options;

/**
 * One member that was asked to probe another on this node's behalf. Read it through its pointer
 * and never copy it by value.
 */
typedef struct sprat_helper {
    /** The name of the helper. */
    const char *name;
    /** An enum sprat_probe_answer: the result of this helper's probe. */
    int32_t answer;
} sprat_helper;

/**
 * The reason why a member is in its state, as far as this node knows. Read it through its pointer
 * and never copy it by value. Its strings live until sprat_explanation_free().
 */
typedef struct sprat_explanation {
    /** The name of the member. */
    const char *name;
    /** Its address and port, as "10.0.0.1:7946". */
    const char *addr;
    /** An enum sprat_member_state: ALIVE, SUSPECT, FAILED or LEFT. */
    int32_t state;
    /** Its incarnation. */
    uint32_t incarnation;
    /** Milliseconds since it entered this state. */
    int64_t since_ms;
    /** The node that suspected it or declared it failed; NULL if it is alive or has left. */
    const char *accuser;
    /**
     * The names of the other nodes whose accusations confirmed the suspicion, while the member is
     * suspected; NULL if nconfirmations is 0.
     */
    const char *const *confirmations;
    /** The number of these names; 0 if the member is not suspected. */
    uint32_t nconfirmations;
    /**
     * The number of confirmations that shorten the suspicion timeout to its minimum; 0 if the
     * member is not suspected.
     */
    uint32_t confirmations_wanted;
    /**
     * Milliseconds until the suspect is declared failed unless it refutes; -1 if it is not
     * suspected.
     */
    int64_t time_left_ms;
    /**
     * Milliseconds since the start of this node's last finished probe of it; -1 if there is none.
     * A final probe that got no answer does not count.
     */
    int64_t probe_ago_ms;
    /** An enum sprat_probe_answer: the result of the direct probe by datagram. */
    int32_t probe_direct;
    /**
     * An enum sprat_probe_answer: the result of the probe by stream, for networks that lose only
     * datagrams.
     */
    int32_t probe_stream;
    /** The round-trip time of its last direct answer in microseconds; -1 if unknown. */
    int64_t rtt_us;
    /**
     * Pointers to the members that were asked to probe it on this node's behalf; NULL if nhelpers
     * is 0.
     */
    const struct sprat_helper *const *helpers;
    /** The number of helpers that were asked. */
    uint32_t nhelpers;
} sprat_explanation;

/** The health of this node itself. Read it through its pointer and never copy it by value. */
typedef struct sprat_health {
    /**
     * The health score: 0 is healthy, and each step makes this node slower to suspect other
     * members.
     */
    uint32_t score;
    /** The highest score possible. */
    uint32_t score_max;
    /** The number of members that are alive or suspect, this node included. */
    uint32_t live;
    /** The number of known members that have not left, this node included. */
    uint32_t known;
    /**
     * True if this node hears nothing from other members, or if most of them, and at least two,
     * fell silent within a short time: the fault may be at this node. It becomes true before the
     * first of them is declared failed, so that a handler of SPRAT_EVENT_MEMBER_FAIL can rely on
     * it. It is always false if fewer than two other members are known.
     */
    bool isolated;
    /** True if datagrams get answers. */
    bool datagrams_work;
    /** True if streams get answers. */
    bool streams_work;
    /**
     * Another address at which members list this node's name, as "10.0.0.5:7946"; NULL if there is
     * none, as is usual. Members that list the name at that address do not see this node.
     */
    const char *name_conflict;
    /**
     * True if another node answers at that address, so two nodes have the same name; false while
     * the address is still being asked. If no node answers there, the address is that of an
     * earlier run of this node: members accept the new address some time after they have declared
     * the old one failed (half a minute in Serf).
     */
    bool name_conflict_alive;
    /** One sentence, as "streams work, datagrams do not". Never NULL. */
    const char *summary;
} sprat_health;

/**
 * A network coordinate: the place of a member in the space in which the distance of two members
 * is the round-trip time between them. All values but `error` are in seconds. The program
 * allocates it, and may copy it by value: it has no further fields in later versions.
 */
typedef struct sprat_coordinate {
    /** The position. */
    double vec[8];
    /**
     * The uncertainty of the coordinate: 1.5 at the start; it approaches 0 as the estimates of
     * that member improve.
     */
    double error;
    /** A correction of distances that the position cannot express. */
    double adjustment;
    /** The time that every packet takes between the member and the network. */
    double height;
} sprat_coordinate;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ==========================================================================================
 * The library: versions, names of numbers, the last error
 * ========================================================================================== */

/**
 * Returns the version of the loaded library, such as "0.1.0".
 *
 * @return a static string, never NULL. Thread-safe.
 */
const char *sprat_version(void);

/**
 * Returns the version of the loaded library as a number, to be compared with the
 * SPRAT_VERSION_NUMBER of this header.
 *
 * Thread-safe.
 */
uint32_t sprat_version_number(void);

/**
 * Returns the name of a status, such as "SPRAT_ERR_TIMEOUT"; "SPRAT_ERR_UNKNOWN" for other
 * numbers.
 *
 * @param status  an enum sprat_status
 * @return a static string, never NULL. Thread-safe.
 */
const char *sprat_status_name(int status);

/**
 * Returns a description of a status, such as "the time is up". sprat_last_error() says more.
 *
 * @param status  an enum sprat_status
 * @return a static string, never NULL. Thread-safe.
 */
const char *sprat_status_text(int status);

/**
 * Returns the name of a kind of event, such as "member-join"; "unknown" for other numbers. The
 * setting `event_kinds` uses the same names, and so does Serf for the kinds that it has.
 *
 * @param kind  an enum sprat_event_kind
 * @return a static string, never NULL. Thread-safe.
 */
const char *sprat_event_kind_name(int kind);

/**
 * Returns the name of the state of a member, such as "alive"; "unknown" for other numbers.
 *
 * @param state  an enum sprat_member_state
 * @return a static string, never NULL. Thread-safe.
 */
const char *sprat_member_state_name(int state);

/**
 * Returns the sentence of the last failure on this thread: the function and what was wrong, and
 * for an argument its name and what is allowed. A call that succeeds does not clear it.
 *
 * @return the sentence, never NULL; "success" if no call has failed yet. A sentence of more than
 *         1020 bytes is cut. The pointer can be read until the thread ends. It shows this sentence
 *         until four more calls have failed on the same thread.
 */
const char *sprat_last_error(void);

/** Returns the status of the last failure on this thread, or SPRAT_OK if no call has failed yet. */
int sprat_last_status(void);

/**
 * Returns the errno of the last failure on this thread if that was SPRAT_ERR_IO, or
 * SPRAT_ERR_ADDRESS for an address that the system refused to bind; 0 if no system call failed.
 */
int sprat_last_errno(void);

/* ==========================================================================================
 * The list of settings
 * ========================================================================================== */

/**
 * Returns the number of settings.
 *
 * The last two are "tag.KEY" and "filter.tag.KEY": each stands for any number of settings, one
 * for each key of a tag.
 *
 * Thread-safe.
 */
size_t sprat_setting_count(void);

/**
 * Returns a setting by its index in the list.
 *
 * @param i  the index, less than sprat_setting_count()
 * @return the setting, which is never freed; NULL past the end. Thread-safe.
 */
const struct sprat_setting *sprat_setting_at(size_t i);

/**
 * Returns a setting by its name.
 *
 * @param name  the name; the name of a tag, such as "tag.role", finds the setting "tag.KEY"
 * @return the setting, which is never freed; NULL if there is no such setting or name is NULL.
 *         Thread-safe.
 */
const struct sprat_setting *sprat_setting_find(const char *name);

/**
 * Returns the default of a setting as text.
 *
 * @param setting  the setting, from sprat_setting_at() or sprat_setting_find()
 * @param profile  "lan", "wan" or "local"; NULL for "lan", which is the default profile
 * @return the default, which is never freed; "" if the setting is not set by default; NULL if
 *         there is no such profile, or if `setting` is NULL or not in the list. Thread-safe.
 */
const char *sprat_setting_default(const struct sprat_setting *setting, const char *profile);

/* ==========================================================================================
 * Settings
 * ========================================================================================== */

/**
 * Creates settings, all of them at their defaults.
 *
 * @return the settings, to be freed with sprat_config_free(); NULL only after an internal error of
 *         the library. Thread-safe.
 */
struct sprat_config *sprat_config_new(void);

/**
 * Copies settings without their callbacks. The error of a failed setter is copied too, so that no
 * mistake is lost.
 *
 * @param config  the settings to copy
 * @return the copy, to be freed with sprat_config_free(); NULL if config is NULL.
 */
struct sprat_config *sprat_config_copy(const struct sprat_config *config);

/**
 * Frees settings. Nodes that were started with them are not affected.
 *
 * Calls free_user_data of the callbacks that no node has taken over.
 *
 * @param config  the settings; NULL is ignored
 */
void sprat_config_free(struct sprat_config *config);

/**
 * Sets one of the settings that are listed at the top of sprat.h; see also sprat_setting_at(). A
 * boolean is true, yes, on or 1, or else false, no, off or 0, in lower case.
 *
 * Like every setter, this function keeps its failure in the settings: sprat_node_start() then
 * fails with SPRAT_ERR_CONFIG and the sentence of the first failure. The result may be ignored.
 *
 * @param config  the settings
 * @param key     the name of the setting
 * @param value   the value as text, which is copied
 * @return SPRAT_OK; SPRAT_ERR_NOT_FOUND for an unknown name, and sprat_last_error() then gives the
 *         most similar known name, if one is similar enough; SPRAT_ERR_INVALID or
 *         SPRAT_ERR_TOO_LARGE for a value that is not allowed; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
 *         After a failure, no setting has changed.
 */
int sprat_config_set(struct sprat_config *config,
                     const char *key,
                     const char *value);

/**
 * Reads one of the settings: the value that was set, or else the default. The text is empty if the
 * setting is not set and has no default. An encryption key cannot be read back: the text of
 * `encrypt` is "set" if there is a key.
 *
 * @param config  the settings
 * @param key     the name of the setting
 * @param buf     receives the value, NUL-terminated
 * @param size    the size of buf in bytes
 * @return SPRAT_OK; SPRAT_ERR_NOT_FOUND for an unknown name and for a tag that is not set;
 *         SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the value;
 *         SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
 */
int sprat_config_get(const struct sprat_config *config,
                     const char *key,
                     char *buf,
                     size_t size);

/**
 * Reads settings from a file. Its lines are `name = value`. A `#` at the beginning of a line or
 * after a space begins a comment. A value may be in double quotes, where `\"` and `\\` stand for a
 * quote and a backslash, or in single quotes, where every character stands for itself.
 *
 * @param config  the settings
 * @param path    the path of the file
 * @return SPRAT_OK; SPRAT_ERR_IO if the file cannot be read (see sprat_last_errno()), is not a
 *         regular file, or has more than 1 MiB; SPRAT_ERR_CONFIG if the file is not UTF-8;
 *         SPRAT_ERR_INVALID also for a line that is not `name = value` or has wrong quotes;
 *         otherwise as sprat_config_set(). For an error in a line, sprat_last_error() also gives
 *         the file and the line. After a failure, no setting has changed.
 */
int sprat_config_load(struct sprat_config *config,
                      const char *path);

/**
 * Sets a tag of the node, which all members see. Tags need mode "serf".
 *
 * @param config  the settings
 * @param key     the key of the tag, 1 to 255 bytes
 * @param value   the value, or NULL to remove the tag
 * @return SPRAT_OK; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_TOO_LARGE for a key of more than
 *         255 bytes, or if all tags together would take more than 512 bytes; SPRAT_ERR_UTF8;
 *         SPRAT_ERR_NULL.
 */
int sprat_config_set_tag(struct sprat_config *config,
                         const char *key,
                         const char *value);

/**
 * Sets the metadata of the node, which all members see. Metadata needs mode "memberlist".
 *
 * @param config  the settings
 * @param meta    any bytes, which are copied; may be NULL if len is 0
 * @param len     the number of bytes, at most 512
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_NULL.
 */
int sprat_config_set_meta(struct sprat_config *config, const void *meta, size_t len);

/**
 * Adds an encryption key. All keys decrypt. The key of the setting `encrypt` encrypts; if
 * `encrypt` is not set, the key that was added first encrypts.
 *
 * @param config  the settings
 * @param key     the bytes of the key, which are copied
 * @param len     the number of bytes: 16, 24 or 32
 * @return SPRAT_OK; SPRAT_ERR_INVALID for any other length; SPRAT_ERR_TOO_LARGE for more than 64
 *         keys, including that of `encrypt`; SPRAT_ERR_NULL. After a failure nothing is stored.
 */
int sprat_config_add_key(struct sprat_config *config,
                         const void *key,
                         size_t len);

/**
 * Adds a pattern to the setting `filter.names`. The node then lists and reports only itself and
 * the members whose name matches at least one of the patterns. The other members stay in the
 * protocol.
 *
 * @param config   the settings
 * @param pattern  the pattern: `*` stands for any characters, `?` for one character; it must not
 *                 contain a comma. NULL removes all patterns
 * @return SPRAT_OK; SPRAT_ERR_INVALID if pattern is empty, has a comma or a space at an end, or
 *         has more than 255 bytes; SPRAT_ERR_UTF8; SPRAT_ERR_NULL if config is NULL.
 */
int sprat_config_set_filter_name(struct sprat_config *config,
                                 const char *pattern);

/**
 * Sets the setting `filter.tag.KEY`. The node then lists and reports only itself and the members
 * that have a tag `key` with exactly this value. With several such filters, a member must match
 * all of them. The other members stay in the protocol.
 *
 * @param config  the settings
 * @param key     the key of the tag
 * @param value   the value that the tag must have
 * @return SPRAT_OK; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_TOO_LARGE for a key or a value
 *         of more than 255 bytes; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
 */
int sprat_config_set_filter_tag(struct sprat_config *config,
                                const char *key,
                                const char *value);

/**
 * Delivers events through a callback on a thread of the library. Without a callback the program
 * takes events with sprat_node_next_event(), sprat_node_next_events() or sprat_node_dispatch().
 *
 * @param config          the settings
 * @param cb              the callback; NULL removes it
 * @param user_data       a pointer that is passed to cb
 * @param free_user_data  called once, when neither the settings nor a node needs user_data any
 *                        more; never if this call fails or if cb is NULL; may be NULL
 * @return SPRAT_OK; SPRAT_ERR_NULL if config is NULL.
 */
int sprat_config_set_event_cb(struct sprat_config *config,
                              sprat_event_cb cb,
                              void *user_data,
                              sprat_free_cb free_user_data);

/**
 * Delivers log lines to a callback instead of as events of kind SPRAT_EVENT_LOG, whatever the
 * setting `event_kinds` is.
 *
 * The callback runs where events are delivered: on the thread of the library if there is an event
 * callback, otherwise inside sprat_node_next_event(), sprat_node_next_events() and
 * sprat_node_dispatch(), on the thread that calls them.
 *
 * @param config          the settings
 * @param max_level       an enum sprat_log_level: the most detailed level that is delivered. This
 *                        call also sets the setting `log_level` to it
 * @param cb              the callback; NULL removes it
 * @param user_data       a pointer that is passed to cb
 * @param free_user_data  called once, when neither the settings nor a node needs user_data any
 *                        more; never if this call fails or if cb is NULL; may be NULL
 * @return SPRAT_OK; SPRAT_ERR_INVALID for an unknown level; SPRAT_ERR_NULL if config is NULL.
 */
int sprat_config_set_log_cb(struct sprat_config *config,
                            int max_level,
                            sprat_log_cb cb,
                            void *user_data,
                            sprat_free_cb free_user_data);

/**
 * Sets a callback with which the program creates the threads of nodes. Without this callback the
 * library takes the threads that sprat_threads_prepare() has prepared, and creates its own when
 * none are left.
 *
 * @param config     the settings
 * @param cb         the callback; NULL removes it
 * @param user_data  a pointer that is passed to cb; it must be valid until sprat_node_start() has
 *                   returned
 * @return SPRAT_OK; SPRAT_ERR_NULL if config is NULL.
 */
int sprat_config_set_spawn_cb(struct sprat_config *config,
                              sprat_spawn_cb cb,
                              void *user_data);

/**
 * Checks the settings, without starting a node. sprat_node_start() also checks what depends on the
 * host, such as its addresses, and whether the user_data of a callback belongs to another node
 * already.
 *
 * @param config  the settings
 * @return SPRAT_OK; SPRAT_ERR_CONFIG if a setter failed, settings contradict each other, or the
 *         keys are not valid; SPRAT_ERR_IO if the keyring file cannot be read; SPRAT_ERR_NULL.
 */
int sprat_config_check(const struct sprat_config *config);

/* ==========================================================================================
 * Life of a node
 * ========================================================================================== */

/**
 * Starts a node: binds its sockets and starts its threads. The node is a cluster of its own until
 * it joins other nodes or they join it.
 *
 * The settings are copied and may be freed right after the call. The callbacks and their user_data
 * now belong to the node. Settings whose callback has a free_user_data can start only one node.
 * Set the callback again before starting another.
 *
 * @param config  the settings
 * @param out     receives the node, to be freed with sprat_node_free(); NULL after a failure
 * @return SPRAT_OK; SPRAT_ERR_CONFIG if a setter failed, or if the settings contradict each other
 *         or do not fit this host; SPRAT_ERR_STATE if the user_data of a callback belongs to
 *         another node already; SPRAT_ERR_ADDRESS if an address cannot be bound, or if this host
 *         has no usable address; SPRAT_ERR_IO if the keyring file cannot be read, or if the
 *         system refuses a thread, a descriptor or a port; SPRAT_ERR_TOO_LARGE if the process has
 *         too many nodes; SPRAT_ERR_NULL.
 *
 * The call waits for the operating system only. It is thread-safe if no other thread uses config.
 */
int sprat_node_start(const struct sprat_config *config,
                     struct sprat_node **out);

/**
 * Joins a cluster: contacts every address and exchanges lists of members with it. After
 * sprat_node_leave() the node first becomes a member again.
 *
 * One address is enough. The call succeeds within half of probe_timeout_ms after the first address
 * has answered, or somewhat later if the cluster lists the name of this node at another address.
 * The node goes on with the other addresses, but reports no further result. From then on all
 * addresses count as `seeds`; a node remembers at most 4,096 seeds. It tries a seed again whenever
 * no alive member has its address, so that a split cluster heals. The pauses between the attempts
 * grow from reconnect_min_ms to reconnect_max_ms. If the setting `reconnect` is false, seeds are
 * not tried again. After a join that fails, the node tries none of the addresses again: call this
 * function again, or start the node with the setting `seeds`.
 *
 * @param node        the node
 * @param addrs       addresses as `10.0.0.1:7946`, `[::1]:7946`, `10.0.0.1`, `host` or
 *                    `host:7946`; without a port, 7946 is used
 * @param naddrs      the number of addresses, 1 to 4096
 * @param flags       must be 0
 * @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait
 * @return the number of addresses that answered so far, at least 1; an address of this node itself
 *         counts, and so does each IP address of a host name. If none answered, SPRAT_ERR_ADDRESS,
 *         SPRAT_ERR_CRYPTO or SPRAT_ERR_PROTOCOL if that is the reason, and otherwise
 *         SPRAT_ERR_UNREACHABLE; SPRAT_ERR_ADDRESS if an address cannot be parsed;
 *         SPRAT_ERR_NAME_CONFLICT if another node has the name of this node and the join learns of
 *         that before it ends (SPRAT_EVENT_FATAL reports it in any case); SPRAT_ERR_TIMEOUT if
 *         the time is up, after which the join goes on; SPRAT_ERR_INVALID if naddrs is 0, flags is
 *         not 0, or timeout_ms is below -1; SPRAT_ERR_TOO_LARGE if naddrs is greater than 4096;
 *         SPRAT_ERR_CLOSED if the node is shut down before or during the call; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED; SPRAT_ERR_NULL; SPRAT_ERR_UTF8.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events.
 */
int sprat_node_join(struct sprat_node *node,
                    const char *const *addrs,
                    size_t naddrs,
                    unsigned int flags,
                    int timeout_ms);

/**
 * Joins like sprat_node_join(), but does not wait. An event of kind SPRAT_EVENT_DONE with the same
 * number in `id` and the same op_data reports the end, with SPRAT_OK or the reason for the failure
 * in `status`.
 *
 * The number is stored before the operation begins. So *id has its value before any thread gets
 * the event, even if this call has not returned yet. A call that fails causes no event.
 *
 * @param node     the node
 * @param addrs    the addresses, as for sprat_node_join()
 * @param naddrs   the number of addresses, 1 to 4096
 * @param flags    must be 0
 * @param op_data  any pointer, which the event hands back; the library never follows it
 * @param id       receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the join has begun; if it cannot begin, an error as for sprat_node_join().
 *         Thread-safe.
 */
int sprat_node_join_async(struct sprat_node *node,
                          const char *const *addrs,
                          size_t naddrs,
                          unsigned int flags,
                          void *op_data,
                          uint64_t *id);

/**
 * Leaves the cluster, so that the other members see a leave and not a failure. Afterwards the node
 * still answers and lists members, and it may join again.
 *
 * Success means that every live member that was asked, Serf agents included, has acknowledged the
 * leave, and lists the node as left. The node repeats lost messages until then. It does not wait
 * for members that have left or failed meanwhile. If gossip sends each message at least 16 times
 * (with a retransmit_mult of 4, in a cluster of 1,000 members or more), the node asks at most
 * 1,024 members. Each of the others misses the leave with a probability below 0.000001, even if
 * 10 % of the datagrams are lost. A member that has crashed unnoticed does not answer; the node
 * leaves without its acknowledgement after about five times probe_timeout_ms. In serf mode a leave
 * has two steps, in memberlist mode one; broadcast_timeout_ms limits each of them, and the leave
 * ends leave_propagate_ms after the last one. If another node seems to have the name of this node,
 * this node leaves without telling the other members.
 *
 * @param node        the node
 * @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait for
 *                    the leave
 * @return SPRAT_OK; if the node had left already, even with timeout_ms 0, the result of the
 *         earlier leave; SPRAT_ERR_UNREACHABLE if the node has left but members did not
 *         acknowledge it, and may list the node as failed: the error text names up to five of
 *         them; SPRAT_ERR_STATE if a join cancels the leave; SPRAT_ERR_TIMEOUT if the time is up,
 *         after which the leave goes on; SPRAT_ERR_CLOSED if the node is shut down before or
 *         during the call; SPRAT_ERR_INVALID if timeout_ms is below -1; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events.
 */
int sprat_node_leave(struct sprat_node *node,
                     int timeout_ms);

/**
 * Leaves like sprat_node_leave(), but does not wait. An event of kind SPRAT_EVENT_DONE with the
 * same number in `id` and the same op_data reports the end. The number is stored before the leave
 * begins, as for sprat_node_join_async().
 *
 * @param node     the node
 * @param op_data  any pointer, which the event hands back; the library never follows it
 * @param id       receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the leave has begun; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED. Thread-safe.
 */
int sprat_node_leave_async(struct sprat_node *node,
                           void *op_data,
                           uint64_t *id);

/**
 * Stops a node immediately, without announcing a leave: the other members will see a failure,
 * unless the node has left the cluster before.
 *
 * Calls that wait for the node return SPRAT_ERR_CLOSED. Queued events, the members, the counters
 * and the state can still be read until sprat_node_free().
 *
 * @param node  the node
 * @return SPRAT_OK, also if the node was shut down before; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
 *         Thread-safe. The call is allowed in a callback.
 */
int sprat_node_shutdown(struct sprat_node *node);

/**
 * Frees a node: shuts it down and releases everything. Afterwards every function that is given the
 * node fails with SPRAT_ERR_HANDLE.
 *
 * When this call returns, no callback runs or will run, free_user_data has been called, and the
 * threads and descriptors of the node are gone. One exception: if the system takes more than a
 * second to resolve a host name, the thread that resolves it ends later. Calls of other threads
 * that wait for the node return SPRAT_ERR_CLOSED; other calls finish safely. Inside a callback of
 * the same node this call returns immediately: that callback is then the last one, and
 * free_user_data is called when it ends.
 *
 * This call waits for a running callback: do not hold a lock that the callback waits for. If the
 * callback never returns, neither does this call.
 *
 * @param node  the node; NULL, a node already freed, and (after a fork) a node of the parent
 *              process are ignored
 */
void sprat_node_free(struct sprat_node *node);

/**
 * Returns the state of a node.
 *
 * @param node  the node
 * @return an enum sprat_node_state; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
 */
int sprat_node_state(const struct sprat_node *node);

/**
 * Writes the address at which the other members reach this node, with its actual port, such as
 * "10.0.0.1:7946". It may change while the node runs if `bind` is a wildcard and `advertise` is
 * not set.
 *
 * @param node  the node
 * @param buf   receives the text, NUL-terminated; 64 bytes are always enough
 * @param size  the size of buf in bytes
 * @return SPRAT_OK; SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the
 *         text; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_addr(const struct sprat_node *node, char *buf, size_t size);

/**
 * Tells the cluster that a failed member will not return: from then on it counts as a member that
 * has left.
 *
 * @param node   the node
 * @param name   the name of the member
 * @param flags  0, or SPRAT_REMOVE_PRUNE to erase the member from the lists as well; this flag
 *               also erases a member that has left
 * @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member; SPRAT_ERR_STATE if the member
 *         has not failed, if the mode is "memberlist", or after sprat_node_leave();
 *         SPRAT_ERR_INVALID for unknown flags; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_remove_failed(struct sprat_node *node,
                             const char *name,
                             unsigned int flags);

/* ==========================================================================================
 * Members
 * ========================================================================================== */

/**
 * Takes a list of all members, whatever their state, this node included, sorted by name. Members
 * that the filter settings hide are left out. A node learns nothing of members that had failed or
 * left before it joined; sprat_node_look() asks another node for them.
 *
 * The list is a consistent picture of one moment. It never changes and may outlive the node. The
 * call is cheap: the list shares unchanged members with the previous list.
 *
 * @param node  the node; it may have been shut down
 * @param out   receives the list, to be freed with sprat_members_free(); NULL after a failure
 * @return SPRAT_OK; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_members(const struct sprat_node *node,
                       struct sprat_members **out);

/**
 * Asks a node which members its cluster has, without joining that cluster. No member of that
 * cluster learns of this node, and no event or other list of this node shows the members found.
 *
 * The list has the members in every state as the other node sees them, including members that have
 * failed or left. A node forgets the address and the tags of a member soon after the member has
 * failed or left (gossip_to_the_dead_ms). In serf mode it then lists the member with the address
 * 0.0.0.0, the port 0 and no tags for about a day; in memberlist mode not at all.
 * sprat_members_self() returns NULL for this list.
 *
 * @param node        the node, whose keys and settings are used; it need not have joined
 * @param addr        the address of the other node, in the forms that sprat_node_join() takes. If
 *                    a host name has several addresses, each is asked until one answers.
 * @param flags       must be 0
 * @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait.
 *                    An address that is silent is given up after stream_timeout_ms.
 * @param out         receives the list, to be freed with sprat_members_free(); NULL after a
 *                    failure
 * @return SPRAT_OK; SPRAT_ERR_ADDRESS, SPRAT_ERR_CRYPTO, SPRAT_ERR_PROTOCOL or
 *         SPRAT_ERR_UNREACHABLE if no node answered, as for sprat_node_join(); SPRAT_ERR_ADDRESS
 *         if addr cannot be parsed; SPRAT_ERR_STATE if 16 of these calls are under way;
 *         SPRAT_ERR_TIMEOUT if the time is up; SPRAT_ERR_INVALID if flags is not 0 or timeout_ms
 *         is below -1; SPRAT_ERR_CLOSED if the node is shut down before or during the call;
 *         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL; SPRAT_ERR_UTF8.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events.
 */
int sprat_node_look(struct sprat_node *node,
                    const char *addr,
                    unsigned int flags,
                    int timeout_ms,
                    struct sprat_members **out);

/**
 * Returns a number that changes whenever the list of members changes. While it stays the same
 * there is no need to take a new list.
 *
 * @param node  the node
 * @return the number, at least 1; 0 after a failure, see sprat_last_error(). Thread-safe.
 */
uint64_t sprat_node_members_version(const struct sprat_node *node);

/**
 * Returns the number of members in the list.
 *
 * @param members  the list
 * @return the number; 0 if members is NULL.
 */
size_t sprat_members_count(const struct sprat_members *members);

/**
 * Returns a member by its index in the list.
 *
 * @param members  the list
 * @param i        the index, less than sprat_members_count()
 * @return the member, which lives as long as the list; NULL past the end or if members is NULL.
 */
const struct sprat_member *sprat_members_get(const struct sprat_members *members, size_t i);

/**
 * Returns a member by its name.
 *
 * @param members  the list
 * @param name     the name
 * @return the member, which lives as long as the list; NULL if there is no such member, or if an
 *         argument is NULL.
 */
const struct sprat_member *sprat_members_find(const struct sprat_members *members,
                                              const char *name);

/**
 * Returns the member that is the node itself.
 *
 * @param members  the list
 * @return the member, which lives as long as the list; NULL if members is NULL or comes from
 *         sprat_node_look().
 */
const struct sprat_member *sprat_members_self(const struct sprat_members *members);

/**
 * Frees a list with its members and their strings.
 *
 * @param members  the list; NULL is ignored
 */
void sprat_members_free(struct sprat_members *members);

/**
 * Returns the value of a tag of a member. If another program sent a key or a value that is not
 * UTF-8, the invalid bytes are escaped, as in "\xff". A NUL byte is escaped too. The meta of the
 * member has the original bytes.
 *
 * @param member  the member
 * @param key     the key of the tag
 * @return the value, which lives as long as the member; NULL if there is no such tag, or if an
 *         argument is NULL.
 */
const char *sprat_member_tag(const struct sprat_member *member,
                             const char *key);

/**
 * Returns a tag of a member by its index. The tags are sorted by key.
 *
 * @param member  the member
 * @param i       the index, less than the ntags of the member
 * @param key     receives the key, or NULL past the end; may be NULL
 * @return the value; NULL past the end or if member is NULL. The strings live as long as the
 *         member.
 */
const char *sprat_member_tag_at(const struct sprat_member *member, size_t i, const char **key);

/**
 * Writes the address and port of a member, such as `10.0.0.1:7946` or `[::1]:7946`.
 *
 * @param member  the member
 * @param buf     receives the text, NUL-terminated; 64 bytes are always enough
 * @param size    the size of buf in bytes
 * @return SPRAT_OK; SPRAT_ERR_BUFFER if buf is too small, which then holds the beginning of the
 *         text; SPRAT_ERR_NULL.
 */
int sprat_member_addr(const struct sprat_member *member, char *buf, size_t size);

/* ==========================================================================================
 * The tags and the meta of this node
 * ========================================================================================== */

/**
 * Sets or removes one tag of this node and announces the change. Tags need mode "serf".
 *
 * @param node   the node
 * @param key    the key of the tag, 1 to 255 bytes
 * @param value  the value, or NULL to remove the tag
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE for a key of more than 255 bytes, or if all tags together
 *         would take more than 512 bytes; SPRAT_ERR_INVALID for an empty key; SPRAT_ERR_STATE if
 *         the mode is "memberlist", or after sprat_node_leave(); SPRAT_ERR_CLOSED;
 *         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. After a failure
 *         nothing has changed. Thread-safe.
 */
int sprat_node_set_tag(struct sprat_node *node,
                       const char *key,
                       const char *value);

/**
 * Replaces all tags of this node in one step and announces the change. Tags need mode "serf".
 *
 * @param node   the node
 * @param tags   the new tags, which are copied; may be NULL if ntags is 0
 * @param ntags  the number of tags, at most 4096
 * @return SPRAT_OK; SPRAT_ERR_INVALID for a key that is empty or occurs twice; SPRAT_ERR_TOO_LARGE
 *         also if ntags is greater than 4096; SPRAT_ERR_NULL also for a value that is NULL;
 *         otherwise as sprat_node_set_tag(). After a failure nothing has changed. Thread-safe.
 */
int sprat_node_set_tags(struct sprat_node *node,
                        const struct sprat_tag *tags,
                        size_t ntags);

/**
 * Replaces the metadata of this node and announces the change. Metadata needs mode "memberlist".
 *
 * @param node  the node
 * @param meta  any bytes, which are copied; may be NULL if len is 0
 * @param len   the number of bytes, at most 512
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_STATE if the mode is "serf", or after
 *         sprat_node_leave(); SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED;
 *         SPRAT_ERR_NULL. After a failure nothing has changed. Thread-safe.
 */
int sprat_node_set_meta(struct sprat_node *node,
                        const void *meta,
                        size_t len);

/**
 * Waits until the last change of this node's tags, metadata or address has been gossiped as often
 * as the number of members requires. Returns at once if that has happened already, or if no other
 * member is live. A change that is made during the wait is waited for, too. A member can still
 * have missed all of the gossip; it learns of the change by push/pull.
 *
 * @param node        the node
 * @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, and 0 usually ends
 *                    before the node has answered
 * @return SPRAT_OK; SPRAT_ERR_TIMEOUT if the time is up, after which the gossip goes on;
 *         SPRAT_ERR_STATE after sprat_node_leave(), or if the node leaves during the call;
 *         SPRAT_ERR_NAME_CONFLICT if another node has the name of this node; SPRAT_ERR_CLOSED if
 *         the node is shut down before or during the call; SPRAT_ERR_INVALID if timeout_ms is
 *         below -1; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events.
 */
int sprat_node_spread(struct sprat_node *node,
                      int timeout_ms);

/**
 * Does the same as sprat_node_spread(), but does not wait. An event of kind SPRAT_EVENT_DONE with
 * the same number in `id` and the same op_data reports the end. The number is stored before the
 * operation begins, as for sprat_node_join_async().
 *
 * @param node     the node
 * @param op_data  any pointer, which the event hands back; the library never follows it
 * @param id       receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the operation has begun; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED. Thread-safe.
 */
int sprat_node_spread_async(struct sprat_node *node,
                            void *op_data,
                            uint64_t *id);

/* ==========================================================================================
 * Sending user events
 * ========================================================================================== */

/**
 * Sends a user event to all members: a name and a payload that mean something to the programs of
 * the cluster. Every node that takes part, this one and Serf agents included, delivers the event
 * once, as an event of kind SPRAT_EVENT_USER. User events need mode "serf".
 *
 * Gossip brings the event to the other members within about a second. A member that misses the
 * gossip gets the event with its next push/pull. A node that joins later does not get it, unless
 * its setting `replay_events` is true. Other nodes deliver the events of one node in the order in
 * which it sent them: if an earlier event is missing, the later one waits for it, in a small
 * cluster about two seconds, and longer while missing events keep coming. Only events that a
 * receiver coalesces may come after later ones that it does not coalesce. A node delivers one of
 * two events with the same ltime, name and payload.
 *
 * With the profile "lan", gossip carries about a hundred small events a second from all of up to
 * nine members together, and half as many from up to 99. Events that are sent faster wait at this
 * node, which delivers them when they are sent.
 *
 * @param node         the node
 * @param name         the name of the event; an escape such as "\xff" stands for a byte, as in the
 *                     name of a member
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @param flags        0, or SPRAT_SEND_EVENT_COALESCE to let receivers leave out the event if
 *                     another one with the same name follows
 * @return SPRAT_OK once the event is delivered to this node and its gossip has begun, or once it
 *         waits behind others;
 *         SPRAT_ERR_TOO_LARGE if the encoded event takes more bytes than the setting
 *         `user_event_bytes` (512) allows: about 40 more than the name and the payload;
 *         SPRAT_ERR_STATE if the mode is "memberlist", after sprat_node_leave(), or if 2,048
 *         user events of this node wait until gossip has room; SPRAT_ERR_INVALID for an
 *         unknown flag; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8;
 *         SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_send_event(struct sprat_node *node,
                          const char *name,
                          const void *payload,
                          size_t payload_len,
                          unsigned int flags);

/* ==========================================================================================
 * Queries
 * ========================================================================================== */

/**
 * Sends a query: asks the programs of all members, or of those that the options select, a
 * question. Every node that is asked, this one and Serf agents included, delivers it as an event
 * of kind SPRAT_EVENT_QUERY, and its program may answer with sprat_node_respond(). Queries need
 * mode "serf".
 *
 * The acks and answers come as events of kind SPRAT_EVENT_QUERY_ACK and
 * SPRAT_EVENT_QUERY_RESPONSE, whose `id` is the number of the query. An event of kind
 * SPRAT_EVENT_DONE with the same number and op_data reports the end. The query ends as soon as
 * every member that was present when it was sent has answered, or has failed or left. The status
 * is SPRAT_OK if all of them have answered or left. It is SPRAT_ERR_TIMEOUT if a member has failed
 * or has not answered in time, or if no member that is present has one of the names in the
 * options; the text names up to five of these. The number is stored before the query is sent, as
 * for sprat_node_join_async().
 *
 * Gossip can miss a member. If at most 64 members have neither answered nor acknowledged the
 * query, the node sends it to them again, directly and up to three times. No program gets it
 * twice. In a cluster in which many programs do not answer, `want_ack` avoids these repetitions.
 *
 * The name `_serf_ping` without a payload asks the nodes themselves: each acknowledges it, and no
 * program sees it. Other names that begin with `_serf_` are reserved.
 *
 * @param node         the node
 * @param name         the name of the query; an escape such as "\xff" stands for a byte, as in the
 *                     name of a member
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @param options      the options; NULL for the defaults
 * @param op_data      any pointer, which the DONE event hands back; the library never follows it
 * @param id           receives the number of the query, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the query is sent; SPRAT_ERR_TOO_LARGE if the encoded query takes more
 *         bytes than the setting `query_bytes` (1,024) allows, or for more than 4,096 nodes or
 *         tags; SPRAT_ERR_INVALID for a reserved name, a regular expression that is wrong or that
 *         agents of Serf read in another way, or options with a value that is not allowed;
 *         SPRAT_ERR_UNSUPPORTED for options of a later version; SPRAT_ERR_STATE if the mode is
 *         "memberlist", after sprat_node_leave(), or if 256 queries are under way;
 *         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
 *         Thread-safe.
 */
int sprat_node_query(struct sprat_node *node,
                     const char *name,
                     const void *payload,
                     size_t payload_len,
                     const struct sprat_query_options *options,
                     void *op_data,
                     uint64_t *id);

/**
 * Sends a query like sprat_node_query(), but waits for its end and collects the answers. The
 * timeout of the options limits the wait. No event reports the acks and answers.
 *
 * @param node         the node
 * @param name         the name of the query; an escape such as "\xff" stands for a byte, as in the
 *                     name of a member
 * @param payload      any bytes; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @param options      the options; NULL for the defaults
 * @param out          receives the answers, to be freed with sprat_answers_free(); NULL after a
 *                     failure
 * @return the number of answers, which may be 0; an error as for sprat_node_query(). Members that
 *         do not answer are not an error: see sprat_answers_missing() and
 *         sprat_answers_problem(). SPRAT_ERR_CLOSED also if the node is shut down during the call.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events; this node's own
 * answer to the query then cannot come.
 */
int sprat_node_query_wait(struct sprat_node *node,
                          const char *name,
                          const void *payload,
                          size_t payload_len,
                          const struct sprat_query_options *options,
                          struct sprat_answers **out);

/**
 * Ends a query of this node now, as if its time were up. Does nothing if no query with this number
 * is under way.
 *
 * @param node  the node
 * @param id    the number from sprat_node_query()
 * @return SPRAT_OK; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
 */
int sprat_node_cancel_query(struct sprat_node *node,
                            uint64_t id);

/**
 * Answers a query. Any thread may do so. The last moment for an answer is time_ms milliseconds
 * after the time_ns of the event.
 *
 * @param node         the node
 * @param query_id     the `id` of the event of kind SPRAT_EVENT_QUERY
 * @param payload      the answer, which is copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @return SPRAT_OK once the answer is sent; SPRAT_ERR_STATE if the query was answered already;
 *         SPRAT_ERR_TIMEOUT if its time is over; SPRAT_ERR_NOT_FOUND if there never was such a
 *         query; SPRAT_ERR_TOO_LARGE if the encoded answer takes more bytes than the setting
 *         `query_response_bytes` (1,024) allows; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_respond(struct sprat_node *node,
                       uint64_t query_id,
                       const void *payload,
                       size_t payload_len);

/**
 * Returns the number of answers.
 *
 * @param answers  the answers
 * @return the number; 0 if answers is NULL.
 */
size_t sprat_answers_count(const struct sprat_answers *answers);

/**
 * Returns the number of members that acknowledged the query.
 *
 * @param answers  the answers
 * @return the number; 0 if answers is NULL, or if the options did not ask for acks.
 */
size_t sprat_answers_acks(const struct sprat_answers *answers);

/**
 * Returns the name of a member whose ack or answer is missing, by its index. These names are
 * sorted. They are those of members that have failed before they replied, or have not replied in
 * time, and names in the options that no present member has, unless they have replied
 * nevertheless. A member that has left is not among them, nor is one that had failed before the
 * query was sent, unless the options name it.
 *
 * @param answers  the answers
 * @param i        the index, from 0
 * @return the name, which lives as long as the answers; NULL past the end or if answers is NULL.
 */
const char *sprat_answers_missing(const struct sprat_answers *answers,
                                  size_t i);

/**
 * Returns a sentence that says what is missing, and names up to five of the members that
 * sprat_answers_missing() gives.
 *
 * @param answers  the answers
 * @return the sentence, which lives as long as the answers; "" if nothing is missing, or if
 *         answers is NULL. Never NULL.
 */
const char *sprat_answers_problem(const struct sprat_answers *answers);

/**
 * Returns an answer by its index, in the order in which the answers came.
 *
 * @param answers      the answers
 * @param i            the index, less than sprat_answers_count()
 * @param payload      receives the answer, or NULL if there is no such answer; may be NULL
 * @param payload_len  receives the number of bytes, or 0; may be NULL
 * @return the name of the member; NULL past the end or if answers is NULL. The name and the answer
 *         live as long as the answers.
 */
const char *sprat_answers_get(const struct sprat_answers *answers,
                              size_t i,
                              const uint8_t **payload,
                              size_t *payload_len);

/**
 * Frees answers.
 *
 * @param answers  the answers; NULL is ignored
 */
void sprat_answers_free(struct sprat_answers *answers);

/* ==========================================================================================
 * The keys of the cluster
 * ========================================================================================== */

/**
 * Lets all members of an encrypted cluster, this node and Serf agents included, install a key, use
 * it, remove it, or list their keys. The node must encrypt. In mode "memberlist", the function
 * changes or lists the keys of this node alone, because nodes cannot ask one another to change
 * keys there: the program at each node learns of a new key in its own way.
 *
 * To change the key of a cluster without losing a message: SPRAT_KEY_INSTALL the new key,
 * SPRAT_KEY_USE it, SPRAT_KEY_REMOVE the old key. Go on to the next step only when all members
 * have done the one before: a member that does not know the primary key of the others can no
 * longer talk to them. Each step can be repeated.
 *
 * A member whose setting `keyring_file` is set stores its keys after each change. If that fails,
 * it reports the failure, but has changed its keys in memory.
 *
 * An event of kind SPRAT_EVENT_DONE with the number and op_data reports the end, which comes as
 * soon as every member that was present has answered, or has failed or left. Its status is
 * SPRAT_OK if all members have done what was asked, SPRAT_ERR_STATE if some report that they could
 * not (the text names up to five of them, with their messages), and SPRAT_ERR_TIMEOUT if some have
 * failed before they answered, or have not answered in time. It is SPRAT_ERR_STATE as well if
 * nothing was sent: if this node does not encrypt or has begun to leave, if 256 queries are under
 * way, for the use of a key that this node does not hold, and for the removal of its primary key.
 * The event has no list of keys: for that, there is sprat_node_manage_keys_wait().
 *
 * @param node        the node
 * @param action      an enum sprat_key_action
 * @param key         the bytes of the key, which are copied; NULL for SPRAT_KEY_LIST
 * @param key_len     16, 24 or 32; 0 for SPRAT_KEY_LIST
 * @param timeout_ms  the time in which answers count; 0 for the default, which is that of a query
 * @param op_data     any pointer, which the DONE event hands back; the library never follows it
 * @param id          receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK; SPRAT_ERR_INVALID for an unknown action, a key of a wrong length, a key for
 *         SPRAT_KEY_LIST, or a negative timeout; SPRAT_ERR_TOO_LARGE for a key_len above 64;
 *         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_manage_keys(struct sprat_node *node,
                           int action,
                           const void *key,
                           size_t key_len,
                           int timeout_ms,
                           void *op_data,
                           uint64_t *id);

/**
 * Manages keys like sprat_node_manage_keys(), but waits for the end, and gives the answers of the
 * members.
 *
 * @param node        the node
 * @param action      an enum sprat_key_action
 * @param key         the bytes of the key, which are copied; NULL for SPRAT_KEY_LIST
 * @param key_len     16, 24 or 32; 0 for SPRAT_KEY_LIST
 * @param timeout_ms  the time in which answers count; 0 for the default, which is that of a query
 * @param out         receives the answers, to be freed with sprat_key_report_free(); may be NULL.
 *                    Unlike other `out` arguments, it is also set if the function fails with
 *                    SPRAT_ERR_STATE or SPRAT_ERR_TIMEOUT because of a member; NULL if nothing was
 *                    sent.
 * @return SPRAT_OK if all members have done what was asked; otherwise the status that the DONE
 *         event of sprat_node_manage_keys() would have, or an error of that function.
 *         SPRAT_ERR_CLOSED also if the node is shut down during the call.
 *
 * Thread-safe. The call is allowed in a callback, where it delays further events.
 */
int sprat_node_manage_keys_wait(struct sprat_node *node,
                                int action,
                                const void *key,
                                size_t key_len,
                                int timeout_ms,
                                struct sprat_key_report **out);

/**
 * Returns the number of members that were asked, this node included. It is the sum of the members
 * that have answered and of the missing ones: a member that left before it answered is not
 * counted, whereas one that joined meanwhile, or had failed, is counted if it has answered.
 *
 * @param report  the answers
 * @return the number; 0 if report is NULL.
 */
size_t sprat_key_report_asked(const struct sprat_key_report *report);

/**
 * Returns an answer by its index. The answers are sorted by the names of the members.
 *
 * @param report   the answers
 * @param i        the index, from 0
 * @param done     receives whether the member has done what was asked; may be NULL
 * @param message  receives the reason if it has not; if it has, a remark, for example that its
 *                 list lacks keys, or ""; NULL if there is no such answer; may be NULL
 * @return the name of the member; NULL past the end or if report is NULL. The name and the message
 *         live as long as the report.
 */
const char *sprat_key_report_answer(const struct sprat_key_report *report,
                                    size_t i,
                                    bool *done,
                                    const char **message);

/**
 * Returns the name of a member that has failed or has not answered in time, by its index. These
 * names are sorted. A member that has left, or has answered after it failed, is not among them.
 *
 * @param report  the answers
 * @param i       the index, from 0
 * @return the name of the member, which lives as long as the report; NULL past the end or if
 *         report is NULL.
 */
const char *sprat_key_report_missing(const struct sprat_key_report *report, size_t i);

/**
 * Returns a key by its index. The keys have no particular order. Only SPRAT_KEY_LIST gives keys.
 *
 * @param report   the answers
 * @param i        the index, from 0
 * @param len      receives the number of bytes, 16, 24 or 32, or 0 if there is no such key; may be
 *                 NULL
 * @param members  receives the number of members that hold the key, or 0; may be NULL
 * @param primary  receives the number of members whose primary key it is, or 0; may be NULL
 * @return the bytes of the key, which live as long as the report and are then wiped; NULL past the
 *         end or if report is NULL.
 */
const uint8_t *sprat_key_report_key(const struct sprat_key_report *report,
                                    size_t i,
                                    size_t *len,
                                    size_t *members,
                                    size_t *primary);

/**
 * Frees the answers, and wipes their keys.
 *
 * @param report  the answers; NULL is ignored
 */
void sprat_key_report_free(struct sprat_key_report *report);

/* ==========================================================================================
 * Messages, states and ack payloads of programs built on memberlist
 * ========================================================================================== */

/**
 * Sends a message to a member on a TCP stream of its own. The program there gets it as an event of
 * kind SPRAT_EVENT_MESSAGE, or from NotifyMsg of its delegate if it uses HashiCorp's memberlist.
 * Messages need mode "memberlist".
 *
 * An event of kind SPRAT_EVENT_DONE with the same number and op_data reports the end. Its status
 * is SPRAT_OK once the other side has taken the whole message and closed the stream without an
 * error, which does not mean that its program has acted on it. The protocol has no acknowledgement
 * of messages: a stock member with another label, or a proxy, also takes and closes, and cannot be
 * told apart. Otherwise the status and the text say why the message has not arrived, as for
 * sprat_node_join(). The number is stored before the message is sent, as for
 * sprat_node_join_async(). Eight messages are under way at a time; others wait for their turn.
 *
 * @param node         the node
 * @param to           the name of the member
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @param op_data      any pointer, which the DONE event hands back; the library never follows it
 * @param id           receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the message waits to be sent; SPRAT_ERR_TOO_LARGE if it has more bytes
 *         than the setting `message_bytes` (1 MiB) allows; SPRAT_ERR_NOT_FOUND if there is no such
 *         member; SPRAT_ERR_STATE if it has failed or left, if the mode is "serf", after
 *         sprat_node_leave(), or if 1,024 messages or 64 MiB of them wait; SPRAT_ERR_CLOSED;
 *         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_send(struct sprat_node *node,
                    const char *to,
                    const void *payload,
                    size_t payload_len,
                    void *op_data,
                    uint64_t *id);

/**
 * Sends a message to a member in one UDP datagram, which may get lost; nothing is reported then.
 * The program there gets it as with sprat_node_send().
 *
 * @param node         the node
 * @param to           the name of the member
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @return SPRAT_OK once the message is handed to the kernel; SPRAT_ERR_TOO_LARGE if it has more
 *         bytes than the setting `message_bytes` (1 MiB) allows, or does not fit into a datagram
 *         (about 65,000); other errors as for sprat_node_send(). Thread-safe.
 */
int sprat_node_send_datagram(struct sprat_node *node,
                             const char *to,
                             const void *payload,
                             size_t payload_len);

/**
 * Gossips a message to the other members. Each program there gets it, perhaps several times, as an
 * event of kind SPRAT_EVENT_MESSAGE. Its node does not pass the message on: to reach all members
 * of a large cluster, each program must broadcast the messages that are new to it.
 *
 * @param node         the node
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes
 * @param name         the message replaces the one with the same name that still waits to be sent;
 *                     NULL to replace none. The name stays on this node.
 * @return SPRAT_OK once the message waits to be gossiped; SPRAT_ERR_TOO_LARGE if it does not fit
 *         into a datagram of the setting `packet_bytes` (1,400) or has more bytes than
 *         `message_bytes` allows; SPRAT_ERR_STATE if the mode is "serf", after
 *         sprat_node_leave(), or if 4,096 broadcasts wait to be gossiped and this one replaces
 *         none of them (a node that is alone drops one instead); SPRAT_ERR_CLOSED;
 *         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_broadcast(struct sprat_node *node,
                         const void *payload,
                         size_t payload_len,
                         const char *name);

/**
 * Sets the state of the program: from now on, every push/pull hands it to the program on the other
 * side, which gets it as an event of kind SPRAT_EVENT_REMOTE_STATE, or from MergeRemoteState of
 * its delegate if it uses HashiCorp's memberlist. Call it whenever the state has changed: the
 * library never asks for the state, so a slow program does not delay the protocol.
 *
 * @param node       the node
 * @param state      any bytes, which are copied once; may be NULL if state_len is 0
 * @param state_len  the number of bytes; 0 to hand out no state, as before the first call
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE if the state has more than 8 MiB; SPRAT_ERR_STATE if the
 *         mode is "serf"; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL.
 *         Thread-safe.
 */
int sprat_node_set_local_state(struct sprat_node *node,
                               const void *state,
                               size_t state_len);

/**
 * Sets the bytes that the acks of this node carry from now on; before the first call, none carries
 * any. Each member gets them with every answer to one of its pings: as an event of kind
 * SPRAT_EVENT_PING_ACK if its setting `ping_acks` is on, or from NotifyPingComplete of its
 * delegate if it uses HashiCorp's memberlist.
 *
 * @param node         the node
 * @param payload      any bytes, which are copied; may be NULL if payload_len is 0
 * @param payload_len  the number of bytes, at most 512
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_STATE if the mode is "serf", where acks carry
 *         the network coordinate of the node; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE;
 *         SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_set_ack_payload(struct sprat_node *node,
                               const void *payload,
                               size_t payload_len);

/* ==========================================================================================
 * Events
 * ========================================================================================== */

/**
 * Returns a descriptor for poll(), epoll or select(). It is readable exactly while events are
 * queued, and permanently once the node has ended. Only poll it; never read, write or close it. It
 * is valid until sprat_node_free().
 *
 * @param node  the node
 * @return the descriptor; SPRAT_ERR_STATE if the settings have an event callback;
 *         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED. Thread-safe.
 */
int sprat_node_fd(const struct sprat_node *node);

/**
 * Takes the next event. Several threads that call this share the events between them.
 *
 * @param node        the node
 * @param timeout_ms  how long to wait in milliseconds; -1 waits without limit, 0 does not wait
 * @param out         receives the event, to be freed with sprat_event_free(), or NULL if there is
 *                    none; the event may outlive the node
 * @return 1 for an event, 0 when the time is up; SPRAT_ERR_CLOSED after the last event of a node
 *         that was shut down; SPRAT_ERR_INTERNAL after the last event of a node that is broken;
 *         SPRAT_ERR_STATE if the settings have an event callback; SPRAT_ERR_INVALID if timeout_ms
 *         is below -1; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_next_event(struct sprat_node *node,
                          int timeout_ms,
                          const struct sprat_event **out);

/**
 * Takes the next events, up to max: waits for the first one, then takes the others that are
 * queued.
 *
 * @param node        the node
 * @param timeout_ms  how long to wait for the first event in milliseconds; -1 waits without limit,
 *                    0 does not wait
 * @param out         receives the events, each to be freed with sprat_event_free(); the remaining
 *                    entries become NULL
 * @param max         the number of entries in out, 1 to 4096
 * @return the number of events; 0 when the time is up; SPRAT_ERR_INVALID if max is 0;
 *         SPRAT_ERR_TOO_LARGE if max is greater than 4096; otherwise as sprat_node_next_event().
 *         Thread-safe.
 */
int sprat_node_next_events(struct sprat_node *node,
                           int timeout_ms,
                           const struct sprat_event **out,
                           size_t max);

/**
 * Waits like sprat_node_next_event(), then calls cb on this thread for each event that is queued
 * at that moment. If further events have come meanwhile, the descriptor signals once more, also to
 * a poller that reports only changes. The events are borrowed: cb must not free them.
 *
 * An exception may leave cb, cb may call pthread_exit(), and pthread_cancel() may end the thread
 * in cb: the event then counts as delivered, the other events stay queued, and any thread can use
 * and free the node as usual. longjmp() out of cb, as lua_error() does, leaks the event that was
 * given to cb. After such a jump, sprat_node_free() on another thread waits until the library can
 * tell that cb was left. It can tell when the thread that jumped sleeps outside of cb, overwrites
 * that part of its stack, calls this function again, or ends.
 *
 * @param node        the node
 * @param timeout_ms  how long to wait for the first event in milliseconds; -1 waits without limit,
 *                    0 does not wait
 * @param cb          the function to call; it may free the node, which ends the call
 * @param user_data   passed to cb
 * @return the number of events that cb was called with; 0 when the time is up; otherwise as
 *         sprat_node_next_event(). Thread-safe.
 */
int sprat_node_dispatch(struct sprat_node *node,
                        int timeout_ms,
                        sprat_event_cb cb,
                        void *user_data);

/**
 * Copies an event, so that the copy outlives the callback that was given the event.
 *
 * @param event  the event
 * @return a copy to be freed with sprat_event_free(); NULL if event is NULL. Thread-safe.
 */
const struct sprat_event *sprat_event_copy(const struct sprat_event *event);

/**
 * Frees an event from sprat_node_next_event(), sprat_node_next_events() or sprat_event_copy().
 *
 * @param event  the event; NULL and an event that a callback borrows are ignored
 */
void sprat_event_free(const struct sprat_event *event);

/* ==========================================================================================
 * Hints, explanations, health
 * ========================================================================================== */

/**
 * Tells the node that the program could not reach a member: the node probes that member at once
 * instead of waiting for its turn. An event of kind SPRAT_EVENT_DONE reports the result: its
 * status is SPRAT_OK if the member answered, and SPRAT_ERR_UNREACHABLE if it did not and is now
 * suspected. The number of the operation is stored before the probe begins, as for
 * sprat_node_join_async().
 *
 * @param node     the node
 * @param name     the name of the member
 * @param op_data  any pointer, which the event hands back; the library never follows it
 * @param id       receives the number of the operation, or 0 after a failure; may be NULL
 * @return SPRAT_OK once the probe has begun; SPRAT_ERR_NOT_FOUND if there is no such member, or a
 *         filter hides it; SPRAT_ERR_STATE if it has failed or left, if it is this node itself, if
 *         a hint already probes it, if 16 hints are under way, or after sprat_node_leave();
 *         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
 *         Thread-safe.
 */
int sprat_node_hint(struct sprat_node *node,
                    const char *name,
                    void *op_data,
                    uint64_t *id);

/**
 * Explains why a member is in its state, as far as this node knows.
 *
 * @param node  the node
 * @param name  the name of the member
 * @param out   receives the explanation, to be freed with sprat_explanation_free(); NULL after a
 *              failure
 * @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member, if a filter hides it, or if
 *         it failed or left more than `gossip_to_the_dead_ms` ago and the node has forgotten the
 *         reasons; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8;
 *         SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_explain(const struct sprat_node *node,
                       const char *name,
                       struct sprat_explanation **out);

/**
 * Returns the explanation as one paragraph for a person.
 *
 * @param explanation  the explanation
 * @return the paragraph, which lives as long as the explanation; "" if explanation is NULL. Never
 *         NULL.
 */
const char *sprat_explanation_text(const struct sprat_explanation *explanation);

/**
 * Frees an explanation.
 *
 * @param explanation  the explanation; NULL is ignored
 */
void sprat_explanation_free(struct sprat_explanation *explanation);

/**
 * Reads the health of this node.
 *
 * @param node  the node
 * @param out   receives the health, to be freed with sprat_health_free(); NULL after a failure
 * @return SPRAT_OK; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL.
 *         Thread-safe.
 */
int sprat_node_health(const struct sprat_node *node, struct sprat_health **out);

/**
 * Frees the result of sprat_node_health().
 *
 * @param health  the health; NULL is ignored
 */
void sprat_health_free(struct sprat_health *health);

/* ==========================================================================================
 * Network coordinates
 * ========================================================================================== */

/**
 * Reads the network coordinate of a member (Vivaldi, as in Serf). It is the one that the member
 * sent with its last answer to a ping from this node. A node pings one member in each
 * `probe_interval_ms`, so it takes a while until the coordinates of all members are known.
 *
 * @param node  the node
 * @param name  the name of the member; NULL for this node itself
 * @param out   receives the coordinate; zeros after a failure
 * @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member, if a filter hides it, or if
 *         it has not sent a coordinate yet; SPRAT_ERR_STATE in memberlist mode or if the setting
 *         `coordinates` is false; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED;
 *         SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_coordinate(const struct sprat_node *node,
                          const char *name,
                          struct sprat_coordinate *out);

/**
 * Estimates the round-trip time between two members from their coordinates. They need not have
 * measured it themselves. sprat_explanation has the latest round-trip time that this node itself
 * has measured.
 *
 * @param node    the node
 * @param from    the name of a member; NULL for this node itself
 * @param to      the name of another member; NULL for this node itself
 * @param rtt_us  receives the time in microseconds; -1 after a failure
 * @return the same as sprat_node_coordinate(). Thread-safe.
 */
int sprat_node_rtt(const struct sprat_node *node,
                   const char *from,
                   const char *to,
                   int64_t *rtt_us);

/* ==========================================================================================
 * Counters
 * ========================================================================================== */

/**
 * Reads all counters of a node.
 *
 * @param node  the node; it may have been shut down
 * @param out   receives the counters, to be freed with sprat_stats_free(); NULL after a failure
 * @return SPRAT_OK; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL. Thread-safe.
 */
int sprat_node_stats(const struct sprat_node *node, struct sprat_stats **out);

/**
 * Returns the number of counters.
 *
 * @param stats  the counters
 * @return the number; 0 if stats is NULL.
 */
size_t sprat_stats_count(const struct sprat_stats *stats);

/**
 * Returns a counter by its index.
 *
 * @param stats  the counters
 * @param i      the index, less than sprat_stats_count()
 * @param value  receives the value, or 0 if there is no such counter; may be NULL
 * @param help   receives a sentence that explains the counter, or NULL if there is no such
 *               counter; may be NULL
 * @return the name of the counter; NULL past the end or if stats is NULL. The strings live as long
 *         as the counters.
 */
const char *sprat_stats_get(const struct sprat_stats *stats,
                            size_t i,
                            int64_t *value,
                            const char **help);

/**
 * Returns the value of a counter by its name.
 *
 * @param stats    the counters
 * @param name     the name of the counter
 * @param missing  the value to return if there is no such counter or an argument is NULL
 * @return the value of the counter, or missing.
 */
int64_t sprat_stats_value(const struct sprat_stats *stats, const char *name, int64_t missing);

/**
 * Frees counters.
 *
 * @param stats  the counters; NULL is ignored
 */
void sprat_stats_free(struct sprat_stats *stats);

/* ==========================================================================================
 * Threads
 * ========================================================================================== */

/**
 * Prepares threads for nodes that the program starts later, when it can no longer create threads.
 * A node takes prepared threads before it creates new ones, unless its settings have a spawn
 * callback (sprat_config_set_spawn_cb()). A node that takes prepared threads needs two, and one
 * more for each of these: an event callback, the setting spoe_bind, and the setting keyring_file
 * in mode "serf". It takes all of them when it starts. A node with neither prepared threads nor a
 * spawn callback creates no thread for resolving host names before it has a name to resolve. A
 * program that can create threads during sprat_node_start(), but not afterwards, must therefore
 * prepare threads or set a spawn callback.
 *
 * A prepared thread waits and does nothing until a node takes it. A forked child gets the same
 * number of prepared threads. The number `n` includes the threads that are already prepared, even
 * if a node uses them, so a second call with the same number does nothing.
 *
 * @param n  the number of prepared threads in all, at most 1024
 * @return SPRAT_OK; SPRAT_ERR_TOO_LARGE; SPRAT_ERR_IO if the system refuses a thread.
 *         Thread-safe.
 */
int sprat_threads_prepare(unsigned int n);

/**
 * Returns the number of prepared threads that wait for a node.
 *
 * @return the number. Thread-safe.
 */
int sprat_threads_idle(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SPRAT_H */
