//! The table of all settings: name, type, default, range and one sentence each.
//!
//! Everything that is known about a setting stands in one place, so that the documentation, the
//! header and the checks cannot differ. What a value may be is told by its [`Rule`].

/// What is known of one setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// The type, in words.
    pub kind: &'static str,
    /// The default; empty for none.
    pub default: &'static str,
    /// What is allowed.
    pub range: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// How a value is checked.
    pub(crate) rule: Rule,
}

/// How the text of a value is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A whole number in this range.
    Number(u64, u64),
    /// true or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A node name.
    Name,
    /// A local IP address with an optional port.
    Bind,
    /// An IP address that others reach, with an optional port.
    Advertise,
    /// An IP address with a port.
    Listen,
    /// KEY=VALUE.
    Pair,
    /// A key as base64.
    Key,
    /// A file name.
    Path,
    /// At most 255 bytes.
    Label,
    /// Addresses separated by commas.
    Targets,
    /// Networks separated by commas.
    Networks,
    /// Kinds of events separated by commas.
    Kinds,
    /// Patterns separated by commas.
    Patterns,
}

const fn setting(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    range: &'static str,
    rule: Rule,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        range,
        help,
        rule,
    }
}

const fn millis(
    name: &'static str,
    default: &'static str,
    range: &'static str,
    bounds: (u64, u64),
    help: &'static str,
) -> Setting {
    let rule = Rule::Number(bounds.0, bounds.1);
    setting(name, "milliseconds", default, range, rule, help)
}

const fn number(
    name: &'static str,
    default: &'static str,
    range: &'static str,
    bounds: (u64, u64),
    help: &'static str,
) -> Setting {
    let rule = Rule::Number(bounds.0, bounds.1);
    setting(name, "number", default, range, rule, help)
}

const fn flag(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    setting(name, "boolean", default, "true or false", Rule::Flag, help)
}

/// Words of `mode`.
pub(crate) const MODES: &[&str] = &["serf", "memberlist"];
/// Words of `profile`.
pub(crate) const PROFILES: &[&str] = &["lan", "wan", "local"];
/// Words of `log_level`, in the order of the numbers of the levels.
pub(crate) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// What a name may be.
pub(super) const NAMES: &str = "1 to 255 bytes, no control characters, no space at the ends";

const DAYS_30: u64 = 30 * 24 * 3600 * 1000;

/// All settings with a fixed name, in the order of the documentation.
pub(crate) static SETTINGS: &[Setting] = &[
    setting(
        "name",
        "text",
        "the host name",
        NAMES,
        Rule::Name,
        "Name of this node, unique in the cluster.",
    ),
    setting(
        "bind",
        "address",
        "0.0.0.0:7946",
        "IP address, no host name; IPv4:PORT, [IPv6]:PORT, port optional, 0 takes any",
        Rule::Bind,
        "Where this node listens, with UDP and TCP; [::] serves IPv6 and IPv4.",
    ),
    setting(
        "advertise",
        "address",
        "",
        "IP address that others can reach, not 0.0.0.0 or ::, port optional",
        Rule::Advertise,
        "Where others reach this node; by default the bound address or one of an interface.",
    ),
    setting(
        "mode",
        "word",
        "serf",
        "serf or memberlist",
        Rule::Word(MODES),
        "What kind of cluster this is: members with tags, or bare memberlist with raw meta.",
    ),
    setting(
        "profile",
        "word",
        "lan",
        "lan, wan or local",
        Rule::Word(PROFILES),
        "Chooses the defaults of all times and numbers below; those that are set keep their value.",
    ),
    setting(
        "encrypt",
        "base64",
        "",
        "base64 of 16, 24 or 32 bytes",
        Rule::Key,
        "Key that encrypts all traffic; it cannot be read back.",
    ),
    setting(
        "keyring_file",
        "file",
        "",
        "a readable file",
        Rule::Path,
        "JSON array of base64 keys as Serf writes it, the first encrypts; not beside other keys.",
    ),
    setting(
        "label",
        "text",
        "",
        "at most 255 bytes",
        Rule::Label,
        "Label in front of all traffic: clusters with different labels do not see each other.",
    ),
    setting(
        "seeds",
        "list of addresses",
        "",
        "HOST or HOST:PORT, separated by commas",
        Rule::Targets,
        "Joined from the start, and asked again for as long as the node lives.",
    ),
    millis(
        "probe_interval_ms",
        "1000, wan 5000",
        "10 to 600000",
        (10, 600_000),
        "Between two probes.",
    ),
    millis(
        "probe_timeout_ms",
        "500, wan 3000, local 200",
        "1 to 600000",
        (1, 600_000),
        "Waiting for a direct answer before helpers are asked; less than probe_interval_ms.",
    ),
    number(
        "indirect_checks",
        "3, local 1",
        "0 to 32",
        (0, 32),
        "Helpers asked in an indirect probe.",
    ),
    flag(
        "stream_pings",
        "true",
        "Whether a probe that fails by UDP is tried by TCP.",
    ),
    number(
        "suspicion_mult",
        "4, wan 6, local 3",
        "1 to 100",
        (1, 100),
        "Multiplies the time that a suspect has to refute.",
    ),
    number(
        "suspicion_max_mult",
        "6",
        "1 to 100",
        (1, 100),
        "Longest suspicion as a multiple of the shortest.",
    ),
    number(
        "awareness_max",
        "8",
        "1 to 64",
        (1, 64),
        "Upper end of the own health score, exclusive; 1 switches it off.",
    ),
    millis(
        "gossip_interval_ms",
        "200, wan 500, local 100",
        "10 to 60000",
        (10, 60_000),
        "Between two rounds of gossip.",
    ),
    number(
        "gossip_nodes",
        "3, wan 4",
        "1 to 64",
        (1, 64),
        "Members told in a round of gossip.",
    ),
    millis(
        "gossip_to_the_dead_ms",
        "30000, wan 60000, local 15000",
        "0 to 86400000",
        (0, 86_400_000),
        "How long dead members still get gossip.",
    ),
    number(
        "retransmit_mult",
        "4, local 2",
        "1 to 100",
        (1, 100),
        "Multiplies how often a rumour is sent.",
    ),
    millis(
        "push_pull_interval_ms",
        "30000, wan 60000, local 15000",
        "0 to 86400000",
        (0, 86_400_000),
        "Between two full exchanges with another member; 0 switches them off.",
    ),
    millis(
        "stream_timeout_ms",
        "10000, wan 30000, local 1000",
        "100 to 600000",
        (100, 600_000),
        "Longest time that one TCP exchange may take.",
    ),
    number(
        "packet_bytes",
        "1400",
        "1024 to 65000",
        (1024, 65_000),
        "Largest datagram of gossip.",
    ),
    millis(
        "dead_reclaim_ms",
        "30000",
        "0 to 2592000000",
        (0, DAYS_30),
        "A dead member's name may come back at another address after this time; 0: never.",
    ),
    setting(
        "cidrs_allowed",
        "list of networks",
        "",
        "CIDR networks, separated by commas",
        Rule::Networks,
        "Members must have addresses in one of these networks; empty: all.",
    ),
    flag(
        "compression",
        "true",
        "Whether what is sent is compressed where that saves bytes.",
    ),
    flag(
        "verify_incoming",
        "true",
        "Whether plain traffic is refused when there is a key.",
    ),
    flag(
        "verify_outgoing",
        "true",
        "Whether traffic is encrypted when there is a key.",
    ),
    flag(
        "skip_label_check",
        "false",
        "Whether a proxy has removed the label from what arrives.",
    ),
    flag(
        "join_sync",
        "true",
        "Whether a burst of joins is followed by an exchange, so that nobody \
        is missed.",
    ),
    flag(
        "final_probe",
        "true",
        "Whether a suspect is asked once more before it is declared dead.",
    ),
    flag(
        "reconnect",
        "true",
        "Whether seeds and lost members are asked again, so that a split heals.",
    ),
    millis(
        "reconnect_min_ms",
        "250",
        "50 to 86400000",
        (50, 86_400_000),
        "First pause before a seed or a lost member is asked again.",
    ),
    millis(
        "reconnect_max_ms",
        "30000",
        "100 to 86400000",
        (100, 86_400_000),
        "Longest pause between two attempts; not below reconnect_min_ms.",
    ),
    millis(
        "leave_propagate_ms",
        "1000",
        "0 to 600000",
        (0, 600_000),
        "How long a leaving node still answers after its leave has spread.",
    ),
    millis(
        "broadcast_timeout_ms",
        "5000",
        "100 to 600000",
        (100, 600_000),
        "Longest wait for a step of a leave to spread.",
    ),
    millis(
        "reconnect_timeout_ms",
        "86400000",
        "1000 to 2592000000",
        (1000, DAYS_30),
        "A failed member is erased after this time.",
    ),
    millis(
        "tombstone_timeout_ms",
        "86400000",
        "1000 to 2592000000",
        (1000, DAYS_30),
        "A member that left is erased after this time.",
    ),
    number(
        "event_queue",
        "4096",
        "16 to 1048576",
        (16, 1_048_576),
        "Events that wait for the application; then the oldest of each member go.",
    ),
    setting(
        "event_kinds",
        "list of words",
        "",
        "member-join, member-update, member-leave, member-failed, member-reap, member-suspect, \
        member-alive, done, log, separated by commas",
        Rule::Kinds,
        "Which events are queued, empty: all; overflow and fatal always are. Without done, calls \
        that do not wait end unseen.",
    ),
    setting(
        "log_level",
        "word",
        "off",
        "off, error, warn, info, debug or trace",
        Rule::Word(LEVELS),
        "Up to which level log lines become events.",
    ),
    number(
        "thread_stack_kib",
        "8192",
        "64 to 1048576",
        (64, 1_048_576),
        "Stack of the thread that runs callbacks, in KiB.",
    ),
    setting(
        "spoe_bind",
        "address",
        "",
        "IPv4:PORT or [IPv6]:PORT",
        Rule::Listen,
        "Where HAProxy may ask about requests (SPOE); empty: nowhere. Who reaches it reads all \
        tags: a loopback address is wise.",
    ),
    setting(
        "spoe_servers",
        "text",
        "role=backend",
        "KEY=VALUE",
        Rule::Pair,
        "Tag of the members that are servers, for questions that come in by spoe_bind.",
    ),
    number(
        "spoe_port",
        "0",
        "0 to 65535",
        (0, 65_535),
        "Port of servers that have no tag port; 0: they are none.",
    ),
    setting(
        "spoe_networks",
        "list of networks",
        "",
        "CIDR networks, separated by commas",
        Rule::Networks,
        "Servers must have addresses in one of these networks; empty: all.",
    ),
    setting(
        "filter.names",
        "list of patterns",
        "",
        "patterns with * and ?, separated by commas",
        Rule::Patterns,
        "Only members whose name fits one of these are listed and cause events, and this node; \
        empty: all. The others stay in the protocol, and see this node.",
    ),
];

/// Settings whose key goes on with a name of the user's.
pub(crate) static FAMILIES: &[Setting] = &[
    setting(
        "tag.KEY",
        "text",
        "",
        "all tags together at most 512 bytes",
        Rule::Label,
        "Tag KEY of this node, seen by all members; not in memberlist mode.",
    ),
    setting(
        "filter.tag.KEY",
        "text",
        "",
        "at most 255 bytes",
        Rule::Label,
        "Only members whose tag KEY has exactly this value are shown; not in memberlist mode.",
    ),
];

/// The setting of this name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The known name that looks most like an unknown one.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let all = SETTINGS.iter().chain(FAMILIES).map(|setting| setting.name);
    let likeness = |known: &str| (strsim::jaro_winkler(known, name) * 1e6) as u64;
    let nearest = all.max_by_key(|known| likeness(known))?;
    (likeness(nearest) >= ALIKE).then_some(nearest)
}

/// Two names less alike than this, in millionths, are not one of them misspelt.
const ALIKE: u64 = 750_000;
