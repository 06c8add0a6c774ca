//! The table of all settings.
//!
//! An entry consists of the name of the setting, its place in [`Settings`], its default, the typed
//! setter of [`Config`](super::Config), and its description. For a number, the
//! defaults of the profiles lan, wan and local replace the single default, followed by the
//! bounds and the unit. A new setting is one entry here, and a field: in the `Config` of `swim` or
//! `serf`, or else in [`Settings`].

use super::setting::{
    Place, Setting, allowed_amounts, allowed_in, read_amount, read_value, rows, type_of,
    type_of_amount,
};
use super::types::{
    Bind, Discover, InterfaceName, Label, Listen, LogLevel, NodeName, Profile, TagPair,
};
use super::value::{Amount, Value};
use super::values::Settings;
use crate::limits::{LABEL_LEN, META_LEN};
use crate::serf::Mode;
use crate::vocabulary::SettingType;

/// Passes the table to a macro that makes either the rows or the typed setters from it.
macro_rules! settings_table {
    ($make:ident) => { $make! {
        "name" => name = NodeName::default(), [name(String)]
            "The name of this node, unique in the cluster; by default the host name.";
        "bind" => bind = Bind::default(), [bind(SocketAddr)]
            "The address that this node listens on, over UDP and TCP; the IPv6 wildcard address \
             also accepts IPv4.";
        "advertise" => advertise = None, [advertise(Advertise)]
            "The address at which the other members reach this node; by default the bound address, \
             or the address of an interface if the bound address is a wildcard.";
        "mode" => core.mode = Mode::Serf, [mode(Mode)]
            "The kind of cluster: serf for members with tags, memberlist for bare memberlist with \
             raw metadata.";
        "profile" => profile = Profile::Lan, [profile(Profile)]
            "Chooses the defaults of the settings that are times or numbers; a setting that is set \
             keeps its value.";
        "encrypt" => encrypt = None, [encrypt(Key)]
            "The key that encrypts all traffic; it cannot be read back.";
        "keyring_file" => keyring_file = None, [keyring_file(PathBuf)]
            "A file with a JSON array of base64 keys, as Serf writes it; the first key encrypts. \
             The node replaces it when its keys change. It cannot be combined with other keys.";
        "label" => label = Label::default(), [label(String)]
            "A label in front of all traffic; clusters with different labels do not see each \
             other.";
        "seeds" => seeds = Vec::new(), [seeds(Vec<Seed>)]
            "Addresses that the node joins at its start. Unless reconnect is false, it tries each \
             again whenever no alive member has that address.";
        "discover" => discover = Discover::default(), [discover(String)]
            "The name of the cluster whose nodes this node finds on the local network with mDNS, \
             as an agent of Serf does with -discover; empty disables it. The library must be built \
             with the feature mdns.";
        "discover_interface" => discover_interface = InterfaceName::default(),
            [discover_interface(String)]
            "The network interface that mDNS uses; by default, every interface that supports \
             multicast, except tunnels; at a loopback address, the loopback interface.";
        "snapshot" => snapshot = None, [snapshot(PathBuf)]
            "A file in which the node keeps its members and clocks for its next run, as Serf \
             does. After a restart, the node looks for these members, unless reconnect is false, \
             and gets the user events that it has missed.";
        "rejoin_after_leave" => rejoin_after_leave = false, [rejoin_after_leave(bool)]
            "Whether the node looks for the members in the snapshot even if its last run has left \
             the cluster.";

        "probe_interval_ms" => core.swim.probe_interval: 1_000, 5_000, 1_000 in 10..=600_000 "ms",
            [probe_interval(Duration)]
            "The time between two probes.";
        "probe_timeout_ms" => core.swim.probe_timeout: 500, 3_000, 200 in 1..=600_000 "ms",
            [probe_timeout(Duration)]
            "The time that a direct probe waits for an answer before helpers are asked; it must be \
             less than probe_interval_ms.";
        "indirect_checks" => core.swim.indirect_checks: 3, 3, 1 in 0..=32 "members",
            [indirect_checks(usize)]
            "The maximum number of helpers that are asked for an indirect probe.";
        "stream_pings" => core.swim.stream_pings = true, [stream_pings(bool)]
            "Whether a probe that gets no answer over UDP is also tried over TCP.";
        "suspicion_mult" => core.swim.suspicion_mult: 4, 6, 3 in 1..=100 "", [suspicion_mult(u32)]
            "Multiplier for the suspicion timeout: the time a suspect is given to refute the \
             suspicion.";
        "suspicion_max_mult" => core.swim.suspicion_max_mult: 6, 6, 6 in 1..=100 "",
            [suspicion_max_mult(u32)]
            "The longest suspicion timeout as a multiple of the shortest.";
        "awareness_max" => core.swim.awareness_max: 8, 8, 8 in 1..=64 "", [awareness_max(u32)]
            "The health score ranges from 0 to this value minus 1; 1 disables it.";
        "gossip_interval_ms" => core.swim.gossip_interval: 200, 500, 100 in 10..=60_000 "ms",
            [gossip_interval(Duration)]
            "The time between two rounds of gossip.";
        "gossip_nodes" => core.swim.gossip_nodes: 3, 4, 3 in 1..=64 "members", [gossip_nodes(usize)]
            "The maximum number of members that a round of gossip is sent to.";
        "gossip_to_the_dead_ms" => core.swim.gossip_to_the_dead: 30_000, 60_000, 15_000
            in 0..=86_400_000 "ms", [gossip_to_the_dead(Duration)]
            "The time for which gossip is still sent to a failed member.";
        "retransmit_mult" => core.swim.retransmit_mult: 4, 4, 4 in 1..=100 "",
            [retransmit_mult(u32)]
            "Multiplier for the number of times that a broadcast is sent.";
        "push_pull_interval_ms" => core.swim.push_pull_interval: 30_000, 60_000, 15_000
            in 0..=86_400_000 "ms", [push_pull_interval(Duration)]
            "The time between two push/pull exchanges with another member, longer in clusters of \
             more than 32 nodes; 0 disables them.";
        "stream_timeout_ms" => core.swim.stream_timeout: 10_000, 30_000, 1_000
            in 100..=600_000 "ms", [stream_timeout(Duration)]
            "The longest time that one TCP exchange may take.";
        "packet_bytes" => core.swim.packet_bytes: 1_400, 1_400, 1_400 in 1_024..=65_000 "bytes",
            [packet_bytes(usize)]
            "The size of the largest gossip datagram.";
        "message_bytes" => core.swim.message_bytes: 1_048_576, 1_048_576, 1_048_576
            in 1_024..=20_971_520 "bytes", [message_bytes(usize)]
            "The size of the largest message between programs that this node sends and accepts. A \
             broadcast must also fit into a datagram of packet_bytes. Only in memberlist mode.";
        "dead_reclaim_ms" => core.swim.dead_reclaim: 30_000, 30_000, 30_000
            in 0..=2_592_000_000 "ms", [dead_reclaim(Duration)]
            "The time after which this node lets the name of a failed member return at another \
             address; 0 forbids it. The members decide by their own setting, not by that of the \
             node that returns.";
        "member_bytes" => core.swim.member_bytes: 16_777_216, 16_777_216, 16_777_216
            in 65_536..=1_073_741_824 "bytes", [member_bytes(usize)]
            "The memory that the members may take: for each, 256 bytes and the lengths of its name \
             and tags. Beyond that, members that never answered make room for new ones.";
        "cidrs_allowed" => core.swim.cidrs_allowed = Vec::new(),
            [cidrs_allowed(Vec<IpNet>)]
            "The networks in which the addresses of members must lie; empty allows all.";
        "compression" => compression = true, [compression(bool)]
            "Whether messages are compressed where that saves bytes.";
        "verify_incoming" => verify_incoming = true, [verify_incoming(bool)]
            "Whether unencrypted traffic is refused when there is a key.";
        "verify_outgoing" => verify_outgoing = true, [verify_outgoing(bool)]
            "Whether outgoing traffic is encrypted when there is a key.";
        "skip_label_check" => skip_label_check = false, [skip_label_check(bool)]
            "Whether to accept incoming traffic without a label, and refuse traffic with one. For \
             use behind a proxy that removes the label.";
        "join_sync" => core.swim.join_sync = true, [join_sync(bool)]
            "Whether a burst of joins is followed by a push/pull exchange, so that no member is \
             missed.";
        "repeat_pings" => core.swim.repeat_pings = true, [repeat_pings(bool)]
            "Whether a probe repeats its ping until an answer comes, so that packet loss alone \
             does not make a member a suspect.";
        "final_probe" => core.swim.final_probe = true, [final_probe(bool)]
            "Whether a suspect is probed a few more times before it is declared failed.";
        "reconnect" => core.swim.reconnect = true, [reconnect(bool)]
            "Whether seeds and lost members are tried again, so that a split cluster heals.";
        "reconnect_min_ms" => core.swim.reconnect_min: 250, 250, 250 in 50..=86_400_000 "ms",
            [reconnect_min(Duration)]
            "The first pause before a seed or a lost member is tried again. A random time is added \
             to each pause.";
        "reconnect_max_ms" => core.swim.reconnect_max: 30_000, 30_000, 30_000
            in 100..=86_400_000 "ms", [reconnect_max(Duration)]
            "The longest pause between two attempts at the same address, without the random time; \
             it must be at least reconnect_min_ms. With many seeds or lost members the pause is \
             longer, because there is one attempt every reconnect_min_ms.";
        "leave_propagate_ms" => core.leave_propagate: 1_000, 1_000, 1_000 in 0..=600_000 "ms",
            [leave_propagate(Duration)]
            "The time for which a leave goes on after it has spread; meanwhile the node still \
             answers probes.";
        "broadcast_timeout_ms" => core.broadcast_timeout: 5_000, 5_000, 5_000 in 100..=600_000 "ms",
            [broadcast_timeout(Duration)]
            "The longest time that one step of a leave may take to spread.";
        "reconnect_timeout_ms" => core.reconnect_timeout: 86_400_000, 86_400_000, 86_400_000
            in 1_000..=2_592_000_000 "ms", [reconnect_timeout(Duration)]
            "The time for which the node tries to reach a failed member again; in serf mode, the \
             member stays in the list for the same time.";
        "tombstone_timeout_ms" => core.tombstone_timeout: 86_400_000, 86_400_000, 86_400_000
            in 1_000..=2_592_000_000 "ms", [tombstone_timeout(Duration)]
            "The time for which a member that left is kept in the list; only in serf mode.";

        "user_event_bytes" => core.user_event_bytes: 512, 512, 512 in 64..=9_216 "bytes",
            [user_event_bytes(usize)]
            "The size of the largest user event that this node sends, encoded. Whatever the value, \
             an event must fit into a datagram of packet_bytes. Only in serf mode.";
        "query_bytes" => core.query_bytes: 1_024, 1_024, 1_024 in 128..=9_216 "bytes",
            [query_bytes(usize)]
            "The size of the largest query that this node sends, encoded. Whatever the value, a \
             query must fit into a datagram of packet_bytes. Only in serf mode.";
        "query_response_bytes" => core.query_response_bytes: 1_024, 1_024, 1_024
            in 64..=9_216 "bytes", [query_response_bytes(usize)]
            "The size of the largest answer to a query that this node sends, encoded. Only in serf \
             mode.";
        "replay_events" => core.replay_events = false, [replay_events(bool)]
            "Whether a node that joins gets the user events that were sent before. Only in serf \
             mode.";
        "coalesce_members_ms" => core.coalesce_members.period: 0, 0, 0 in 0..=600_000 "ms",
            [coalesce_members(Duration)]
            "The longest time for which events about members are collected. Then only the events \
             that lead from the state, address and tags last delivered to the present ones are \
             delivered; 0 delivers each at once. Agents of Serf use 3000.";
        "coalesce_members_quiet_ms" => core.coalesce_members.quiet: 1_000, 1_000, 1_000
            in 1..=600_000 "ms", [coalesce_members_quiet(Duration)]
            "The time without an event about a member after which collected events are delivered.";
        "coalesce_events_ms" => core.coalesce_events.period: 0, 0, 0 in 0..=600_000 "ms",
            [coalesce_events(Duration)]
            "The longest time for which user events whose sender allows it are collected, so that \
             only the last of each name is delivered, earlier if 1,024 events or 1 MiB wait; 0 \
             delivers each at once. Agents of Serf use 3000. Only in serf mode.";
        "coalesce_events_quiet_ms" => core.coalesce_events.quiet: 1_000, 1_000, 1_000
            in 1..=600_000 "ms", [coalesce_events_quiet(Duration)]
            "The time without such a user event after which collected events are delivered.";
        "coordinates" => core.coordinates = true, [coordinates(bool)]
            "Whether this node keeps a network coordinate, from which round-trip times between any \
             two members are estimated, and sends it with each ack. Only in serf mode.";

        "ping_acks" => core.ping_acks = false, [ping_acks(bool)]
            "Whether each answer of a member to a ping of this node becomes an event, with the \
             round-trip time and the payload of the ack.";
        "event_queue" => event_queue: 16_384, 16_384, 16_384 in 16..=1_048_576 "events",
            [event_queue(usize)]
            "The number of events, not counting log lines, that can wait for the application. A \
             full queue drops acks of pings, then keeps only the last event of each member; if \
             that is not enough, it drops the oldest member events, then the oldest user events, \
             and finally the oldest events of any kind. One overflow event reports the loss.";
        "event_kinds" => event_kinds = Vec::new(), [event_kinds(Vec<EventKind>)]
            "The kinds of events that are queued; empty queues all. The kinds overflow and fatal \
             are always queued. The end of an asynchronous operation is reported as an event only \
             if done is queued.";
        "log_level" => log_level = LogLevel::OFF, [log_level(Level)]
            "The level up to which log lines become events.";
        "thread_stack_kib" => thread_stack_kib: 8_192, 8_192, 8_192 in 64..=1_048_576 "KiB",
            [thread_stack_kib(usize)]
            "The size of the stack of the thread that runs callbacks, if the library creates it \
             for the node.";
        "spoe_bind" => spoe_bind = Listen::default(), [spoe_bind(SocketAddr)]
            "The address at which HAProxy may ask about requests (SPOE); empty disables it. A \
             client that can reach it can read all tags, so a loopback address is advisable.";
        "spoe_servers" => spoe_servers = TagPair::new("role", "backend"),
            [spoe_servers(TagPair)]
            "The tag that makes a member a server in the answers to HAProxy's questions at \
             spoe_bind.";
        "spoe_port" => spoe_port: 0, 0, 0 in 0..=65_535 "", [spoe_port(u16)]
            "The port used for members without a `port` tag; 0 ignores such members.";
        "spoe_networks" => spoe_networks = Vec::new(),
            [spoe_networks(Vec<IpNet>)]
            "The networks in which the addresses of servers must lie; empty allows all.";
        "filter.names" => core.filter.names = Vec::new(), [filter_names(Vec<String>)]
            "The node lists and reports only itself and the members whose name matches one of \
             these patterns; empty matches all. The other members stay in the protocol and see \
             this node.";

        + TAG, FILTER_TAG
    } };
}
pub(super) use settings_table;

/// Every setting, in the order of the documentation. The last two, `tag.KEY` and `filter.tag.KEY`,
/// stand for any number of settings: one for each key of a tag.
///
/// ```
/// use sprat::Profile;
///
/// for setting in sprat::settings() {
///     let default = setting.default(Profile::Lan);
///     println!("{} [{default}], {}: {}", setting.name, setting.allowed(), setting.help);
/// }
/// ```
pub fn settings() -> &'static [Setting] {
    static SETTINGS: &[Setting] = settings_table!(rows);
    SETTINGS
}

const TAG: Setting = Setting {
    name: "tag.KEY",
    kind: SettingType::Text,
    unit: "",
    range: None,
    help: "The tag KEY of this node, which all members see; only in serf mode.",
    changeable: true,
    describe: |_| format!("all tags together at most {META_LEN} bytes"),
    place: None,
};

const FILTER_TAG: Setting = Setting {
    name: "filter.tag.KEY",
    help: "The node lists and reports only itself and the members whose tag KEY has exactly this \
           value. With several such settings, a member must match all. The other members stay in \
           the protocol and see this node. Only in serf mode.",
    changeable: false,
    describe: |_| format!("at most {LABEL_LEN} bytes"),
    ..TAG
};

/// The index of a setting in the list of all settings. For the name of a tag, such as `tag.role`,
/// it is the index of the setting whose name ends with `KEY`.
pub(crate) fn position(name: &str) -> Option<usize> {
    settings().iter().position(|setting| {
        let prefix = setting.name.strip_suffix("KEY");
        prefix.map_or(setting.name == name, |prefix| name.starts_with(prefix))
    })
}

/// Returns the setting with this name. For the name of a tag, it is the setting whose name ends
/// with `KEY`.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    position(name).map(|place| &settings()[place])
}

/// The known name that is most similar to an unknown one; `None` if none is similar enough.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |known: &str| (strsim::jaro_winkler(known, name) * 1e6) as u64;
    let names = settings().iter().map(|setting| setting.name);
    let nearest = names.max_by_key(|known| likeness(known))?;
    (likeness(nearest) >= ALIKE).then_some(nearest)
}

/// The lowest similarity, in millionths, at which a name may be a misspelling of another name.
const ALIKE: u64 = 750_000;

/// The defaults of this profile.
pub(super) fn defaults_of(profile: Profile) -> Settings {
    let mut settings = Settings::default();
    let places = self::settings().iter().filter_map(|setting| setting.place);
    places.for_each(|place| (place.reset)(&mut settings, profile));
    settings.profile = profile;
    settings
}
