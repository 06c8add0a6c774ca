//! The messages of mDNS about the nodes of one cluster.
//!
//! A node is an instance of the service `_serf_NAME._tcp` in the domain `local`. Four records
//! describe it:
//!
//! ```text
//! _serf_prod._tcp.local        PTR   web-1._serf_prod._tcp.local
//! web-1._serf_prod._tcp.local  SRV   port 7946 at web-1._serf_prod._tcp.local
//! web-1._serf_prod._tcp.local  TXT   "Serf 'prod' cluster"
//! web-1._serf_prod._tcp.local  A     10.0.0.5      (AAAA for an IPv6 address)
//! ```
//!
//! Old agents of Serf read only the first section of a message, so all four records are there. The
//! name of the instance also takes the place of the host name, because two nodes on one host can
//! have different addresses, and because it clashes with no other responder of the host.

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{
    CLASS, CharacterString, Label, Name, Packet, PacketFlag, QCLASS, QTYPE, Question,
    ResourceRecord, TYPE,
};
use std::net::{IpAddr, SocketAddr};

/// The time in seconds for which others may keep the records of this node.
const LIFETIME: u32 = 120;
/// The same for an answer to a program that is no full responder (RFC 6762, section 6.7).
const SHORT_LIFETIME: u32 = 10;
/// The maximum number of questions or records in one section of a message.
const ENTRIES: u16 = 64;
/// The maximum number of addresses that one message announces.
const ADDRS: usize = 16;
/// The length of the longest label in bytes.
const LABEL_LEN: usize = 63;
/// The length of a header in bytes.
const HEADER_LEN: usize = 12;

/// The service of the nodes of one cluster.
pub(in crate::driver) struct Service {
    /// The text of the record TXT.
    text: String,
    /// The first label of the name of the service.
    label: String,
}

/// A node as mDNS announces it.
pub(in crate::driver) struct Announced<'a> {
    pub name: &'a str,
    pub addr: SocketAddr,
}

/// The meaning of a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum Meaning {
    /// It does not concern the nodes of the cluster.
    Nothing,
    /// It asks about the nodes of the cluster, or about this node.
    Question(Asked),
    /// It announces nodes at these addresses.
    News(Vec<News>),
}

/// A question about this node.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) struct Asked {
    /// The number of the message.
    pub id: u16,
    /// True if the answer is to go to the sender only.
    pub to_sender: bool,
}

/// The announcement of a node.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) struct News {
    pub addr: SocketAddr,
    /// True if the node says goodbye.
    pub is_goodbye: bool,
}

impl Service {
    /// The service of the cluster that the setting `discover` names.
    pub fn new(cluster: &str) -> Service {
        Service {
            text: format!("Serf '{cluster}' cluster"),
            label: format!("_serf_{cluster}"),
        }
    }

    /// Returns true if a message mentions the service. The messages of other services, which can be
    /// many, need not be decoded.
    pub fn is_mentioned(&self, bytes: &[u8]) -> bool {
        let label = self.label.as_bytes();
        let mut windows = bytes.windows(label.len());
        windows.any(|window| window.eq_ignore_ascii_case(label))
    }

    /// Returns the question for all nodes of the cluster.
    pub fn question(&self) -> Option<Vec<u8>> {
        let mut packet = Packet::new_query(0);
        packet.questions.push(self.asks_for_all());
        packet.build_bytes_vec_compressed().ok()
    }

    /// Returns the announcement of a node, which everyone may keep for a while.
    pub fn announcement(&self, node: &Announced) -> Option<Vec<u8>> {
        self.reply(0, node, LIFETIME)
    }

    /// Returns the announcement that a node is no longer there.
    pub fn goodbye(&self, node: &Announced) -> Option<Vec<u8>> {
        self.reply(0, node, 0)
    }

    /// Returns the answer to a program that asks from a port of its own.
    pub fn answer(&self, id: u16, node: &Announced) -> Option<Vec<u8>> {
        self.reply(id, node, SHORT_LIFETIME)
    }

    fn reply(&self, id: u16, node: &Announced, lifetime: u32) -> Option<Vec<u8>> {
        let mut packet = Packet::new_reply(id);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        if lifetime == SHORT_LIFETIME {
            packet.questions.push(self.asks_for_all());
        }
        let label = label_of(node.name);
        let instance = self.instance(&label);
        let text = CharacterString::new(self.text.as_bytes()).ok()?;
        let data = [
            RData::SRV(SRV {
                priority: 10,
                weight: 1,
                port: node.addr.port(),
                target: instance.clone(),
            }),
            RData::TXT(TXT::new().with_char_string(text)),
            address(node.addr.ip()),
        ];
        let pointer = RData::PTR(PTR(instance.clone()));
        packet.answers.push(ResourceRecord::new(
            self.name(),
            CLASS::IN,
            lifetime,
            pointer,
        ));
        let of_instance = |data| ResourceRecord::new(instance.clone(), CLASS::IN, lifetime, data);
        packet.answers.extend(data.map(of_instance));
        packet.build_bytes_vec_compressed().ok()
    }

    fn asks_for_all(&self) -> Question<'_> {
        let (kind, class) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
        Question::new(self.name(), kind, class, false)
    }

    /// The name of the service.
    fn name(&self) -> Name<'_> {
        Name::new_with_labels(&self.labels())
    }

    /// The name of the instance with this label.
    fn instance<'a>(&'a self, label: &'a [u8]) -> Name<'a> {
        let [service, protocol, domain] = self.labels();
        Name::new_with_labels(&[Label::new_unchecked(label), service, protocol, domain])
    }

    fn labels(&self) -> [Label<'_>; 3] {
        [self.label.as_bytes(), b"_tcp", b"local"].map(Label::new_unchecked)
    }

    /// Reads a message. `own` is the name of this node. Returns `None` for a message that is
    /// malformed or too long.
    pub fn read(&self, bytes: &[u8], own: &str) -> Option<Meaning> {
        let header = bytes.get(..HEADER_LEN)?;
        let mut counts = header[4..].chunks_exact(2);
        if counts.any(|count| u16::from_be_bytes([count[0], count[1]]) > ENTRIES) {
            return None;
        }
        let packet = Packet::parse(bytes).ok()?;
        if !packet.has_flags(PacketFlag::RESPONSE) {
            let asked = self.question_in(&packet, own);
            return Some(asked.map_or(Meaning::Nothing, Meaning::Question));
        }
        let news = self.news_in(&packet);
        Some(match news.is_empty() {
            true => Meaning::Nothing,
            false => Meaning::News(news),
        })
    }

    fn question_in(&self, packet: &Packet, own: &str) -> Option<Asked> {
        let label = label_of(own);
        let (all, instance) = (self.name(), self.instance(&label));
        let is_for_all = |kind: QTYPE| matches!(kind, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
        // Agents of Serf ask for the records of an instance with the type PTR.
        let is_ours =
            |it: &&Question| it.qname == instance || (it.qname == all && is_for_all(it.qtype));
        let question = packet.questions.iter().find(is_ours)?;
        Some(Asked {
            id: packet.id(),
            to_sender: question.unicast_response,
        })
    }

    fn news_in(&self, packet: &Packet) -> Vec<News> {
        let service = self.name();
        let records = || packet.answers.iter().chain(&packet.additional_records);
        let mut news = Vec::new();
        for record in records().filter(|it| it.name.is_subdomain_of(&service)) {
            let RData::SRV(found) = &record.rdata else {
                continue;
            };
            for (ip, lifetime) in records().filter_map(|it| ip_of(it, &found.target)) {
                if news.len() < ADDRS && found.port != 0 {
                    news.push(News {
                        addr: SocketAddr::new(ip, found.port),
                        is_goodbye: record.ttl == 0 || lifetime == 0,
                    });
                }
            }
        }
        news
    }
}

/// The record of an address.
fn address<'a>(ip: IpAddr) -> RData<'a> {
    match ip {
        IpAddr::V4(ip) => RData::A(A { address: ip.into() }),
        IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.into() }),
    }
}

/// Returns the address in a record of this name, and how long it may be kept.
fn ip_of(record: &ResourceRecord, name: &Name) -> Option<(IpAddr, u32)> {
    let ip: IpAddr = match &record.rdata {
        RData::A(A { address }) => std::net::Ipv4Addr::from(*address).into(),
        RData::AAAA(AAAA { address }) => std::net::Ipv6Addr::from(*address).into(),
        _ => return None,
    };
    (record.name == *name).then_some((ip.to_canonical(), record.ttl))
}

/// The label of a node. A name that is too long for a label is cut, and its checksum keeps it apart
/// from names with the same beginning.
fn label_of(name: &str) -> Vec<u8> {
    if name.len() <= LABEL_LEN {
        return name.as_bytes().to_vec();
    }
    let checksum = format!("-{:08x}", crc32fast::hash(name.as_bytes()));
    let mut end = LABEL_LEN - checksum.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    [&name.as_bytes()[..end], checksum.as_bytes()].concat()
}
