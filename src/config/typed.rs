//! From the text of the settings to the types that a node needs.

use super::settings::{self, Rule, Setting};
use super::{Config, address, file, value};
#[cfg(doc)]
use crate::driver::PreparedThreads;
use crate::error::{Error, Result, Status};
use crate::event::{EventKind, Level};
use crate::serf::{self, MemberFilter, Mode};
#[cfg(feature = "spoe")]
use crate::service::spoe::candidate::Rules;
use crate::swim::{self, Seed};
use crate::wire::{Codec, Key, Keyring};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The place of a setting in the settings of the core.
enum Field<'a> {
    Millis(&'a mut Duration),
    Size(&'a mut usize),
    Number(&'a mut u32),
    Flag(&'a mut bool),
}

/// Where the core keeps the setting of this name, if it does.
fn field<'a>(config: &'a mut serf::Config, name: &str) -> Option<Field<'a>> {
    let swim = &mut config.swim;
    Some(match name {
        "probe_interval_ms" => Field::Millis(&mut swim.probe_interval),
        "probe_timeout_ms" => Field::Millis(&mut swim.probe_timeout),
        "indirect_checks" => Field::Size(&mut swim.indirect_checks),
        "stream_pings" => Field::Flag(&mut swim.stream_pings),
        "suspicion_mult" => Field::Number(&mut swim.suspicion_mult),
        "suspicion_max_mult" => Field::Number(&mut swim.suspicion_max_mult),
        "awareness_max" => Field::Number(&mut swim.awareness_max),
        "gossip_interval_ms" => Field::Millis(&mut swim.gossip_interval),
        "gossip_nodes" => Field::Size(&mut swim.gossip_nodes),
        "gossip_to_the_dead_ms" => Field::Millis(&mut swim.gossip_to_the_dead),
        "retransmit_mult" => Field::Number(&mut swim.retransmit_mult),
        "push_pull_interval_ms" => Field::Millis(&mut swim.push_pull_interval),
        "stream_timeout_ms" => Field::Millis(&mut swim.stream_timeout),
        "packet_bytes" => Field::Size(&mut swim.packet_len),
        "dead_reclaim_ms" => Field::Millis(&mut swim.dead_reclaim),
        "join_sync" => Field::Flag(&mut swim.join_sync),
        "final_probe" => Field::Flag(&mut swim.final_probe),
        "reconnect" => Field::Flag(&mut swim.reconnect),
        "reconnect_min_ms" => Field::Millis(&mut swim.reconnect_min),
        "reconnect_max_ms" => Field::Millis(&mut swim.reconnect_max),
        "leave_propagate_ms" => Field::Millis(&mut config.leave_propagate),
        "broadcast_timeout_ms" => Field::Millis(&mut config.broadcast_timeout),
        "reconnect_timeout_ms" => Field::Millis(&mut config.reconnect_timeout),
        "tombstone_timeout_ms" => Field::Millis(&mut config.tombstone_timeout),
        _ => return None,
    })
}

impl Config {
    /// The text of a setting: what was set, else its default.
    pub(super) fn text(&self, name: &str) -> &str {
        if let Some(text) = self.values.get(name) {
            return text;
        }
        settings::find(name).map_or("", |setting| setting.default)
    }

    /// The value that a node would use, as text.
    pub(super) fn effective(&self, setting: &Setting) -> String {
        if setting.rule == Rule::Name {
            return self.name();
        }
        match field(&mut self.core(), setting.name) {
            Some(Field::Millis(it)) => it.as_millis().to_string(),
            Some(Field::Size(it)) => it.to_string(),
            Some(Field::Number(it)) => it.to_string(),
            Some(Field::Flag(it)) => it.to_string(),
            None => self.text(setting.name).to_owned(),
        }
    }

    /// A number that the core does not keep.
    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    fn flag(&self, name: &str) -> bool {
        value::flag(self.text(name)).unwrap_or(false)
    }

    /// A time that the core keeps.
    pub(super) fn millis(&self, name: &str) -> Duration {
        match field(&mut self.core(), name) {
            Some(Field::Millis(it)) => *it,
            Some(Field::Size(_) | Field::Number(_) | Field::Flag(_)) | None => Duration::ZERO,
        }
    }

    /// What kind of cluster this is.
    pub(super) fn mode(&self) -> Mode {
        match self.text("mode") {
            "memberlist" => Mode::Memberlist,
            _ => Mode::Serf,
        }
    }

    /// The settings of the core: the profile, and what was set over it.
    pub(crate) fn core(&self) -> serf::Config {
        let swim = match self.text("profile") {
            "wan" => swim::Config::wan(),
            "local" => swim::Config::local(),
            _ => swim::Config::lan(),
        };
        let mut config = serf::Config {
            swim,
            mode: self.mode(),
            tags: self.tags.clone(),
            meta: self.meta.clone(),
            filter: MemberFilter {
                require_tags: self.filter_tags.clone(),
                names: value::elements(self.text("filter.names"))
                    .map(str::to_owned)
                    .collect(),
            },
            ..serf::Config::default()
        };
        config.swim.cidrs_allowed = self.networks("cidrs_allowed");
        for (name, text) in &self.values {
            // Every text was checked against the range of its setting, which fits its type.
            match field(&mut config, name) {
                Some(Field::Millis(it)) => {
                    *it = Duration::from_millis(text.parse().unwrap_or(0));
                }
                Some(Field::Size(it)) => *it = text.parse().unwrap_or(0),
                Some(Field::Number(it)) => *it = text.parse().unwrap_or(0),
                Some(Field::Flag(it)) => *it = value::flag(text).unwrap_or(false),
                None => {}
            }
        }
        config
    }

    /// The keys, the primary first.
    ///
    /// # Errors
    /// `Config` for keys from two sources, or for what is in the file; `Io`.
    pub(super) fn keyring(&self) -> Result<Keyring> {
        let own: Vec<Key> = self.encrypt.iter().chain(&self.keys).cloned().collect();
        let path = self.text("keyring_file");
        if path.is_empty() {
            return Ok(Keyring::new(own));
        }
        if !own.is_empty() {
            let message = "keys come from keyring_file and from encrypt: only one is allowed";
            return Err(Error::new(Status::Config, message));
        }
        file::keyring(Path::new(path)).map(Keyring::new)
    }

    /// Reads the keyring file now, for a process that cannot when it starts the node: it changes
    /// its user or its root in between.
    ///
    /// # Errors
    /// `Config`; `Io` for a file that cannot be read.
    pub fn load_keys(&mut self) -> Result<()> {
        let path = self.text("keyring_file").to_owned();
        if !path.is_empty() {
            self.keyring()?;
            self.keys = file::keyring(Path::new(&path))?;
            self.values.remove("keyring_file");
        }
        Ok(())
    }

    /// How bytes are written and read.
    ///
    /// # Errors
    /// Those of the keyring file.
    pub(crate) fn codec(&self) -> Result<Codec> {
        Ok(Codec {
            keyring: self.keyring()?,
            label: self.text("label").as_bytes().to_vec(),
            compress: self.flag("compression"),
            verify_incoming: self.flag("verify_incoming"),
            verify_outgoing: self.flag("verify_outgoing"),
            skip_label_check: self.flag("skip_label_check"),
        })
    }

    /// Where to listen.
    pub(crate) fn bind(&self) -> SocketAddr {
        let fallback = (Ipv4Addr::UNSPECIFIED, address::PORT).into();
        address::bind(self.text("bind")).unwrap_or(fallback)
    }

    /// What others are told, if it was set; the port only if it was.
    pub(crate) fn advertise(&self) -> Option<(IpAddr, Option<u16>)> {
        address::advertise(self.text("advertise"))
    }

    /// How many threads a node with these settings takes: for [`PreparedThreads::prepare`].
    pub fn threads(&self, with_callback: bool) -> usize {
        2 + usize::from(with_callback) + usize::from(self.spoe_bind().is_some())
    }

    /// Where HAProxy may ask about requests.
    pub(crate) fn spoe_bind(&self) -> Option<SocketAddr> {
        address::listen(self.text("spoe_bind"))
    }

    /// Who is a server for HAProxy. `loopback`: whether those of this host's loopback are, too.
    #[cfg(feature = "spoe")]
    pub fn spoe_rules(&self, loopback: bool) -> Rules {
        let tag = value::pair(self.text("spoe_servers")).unwrap_or_default();
        let port = u16::try_from(self.number("spoe_port")).unwrap_or(0);
        Rules {
            tag: (tag.0.to_owned(), tag.1.to_owned()),
            port: (port != 0).then_some(port),
            loopback,
            networks: self.networks("spoe_networks"),
            ..Rules::default()
        }
    }

    fn networks(&self, name: &str) -> Vec<IpNet> {
        let networks = value::elements(self.text(name));
        networks.filter_map(value::network).collect()
    }

    /// Whom to join from the start.
    pub(crate) fn seeds(&self) -> Vec<Seed> {
        address::targets(self.text("seeds")).unwrap_or_default()
    }

    /// Events that may wait.
    pub(crate) fn event_queue(&self) -> usize {
        self.number("event_queue") as usize
    }

    /// Which kinds of events are queued; empty: all.
    pub(crate) fn event_kinds(&self) -> Vec<EventKind> {
        let names = value::elements(self.text("event_kinds"));
        names.filter_map(EventKind::from_name).collect()
    }

    /// Up to which level log lines become events; `None`: no line does.
    pub(crate) fn log_level(&self) -> Option<Level> {
        Level::from_name(self.text("log_level"))
    }

    /// Bytes of stack of the event thread.
    pub(crate) fn thread_stack(&self) -> usize {
        self.number("thread_stack_kib") as usize * 1024
    }
}
