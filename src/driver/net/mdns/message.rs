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
//! Old agents of Serf read only the first section of a message, so all four records are in that
//! section. The name of the instance also takes the place of the host name, because two nodes on
//! one host can have different addresses, and because another mDNS responder on the host does not
//! use it.
//!
//! Agents of Serf join every address that a message names, even if the message is about another
//! cluster. So a node sends its address only to a program that has asked for the cluster, never to
//! everybody. Its goodbye, which goes to everybody, names no address.

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{
    CLASS, CharacterString, Label, Name, Packet, PacketFlag, QCLASS, QTYPE, Question,
    ResourceRecord, TYPE,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The time in seconds for which others may keep the records of a node, the same as in Serf.
const LIFETIME: u32 = 120;
/// The maximum number of questions or records in one section of a message.
const ENTRIES: u16 = 64;
/// The maximum number of addresses that one message announces.
const ADDRS: usize = 16;
/// The length of the longest label in bytes.
const LABEL_LEN: usize = 63;
/// The length of a header in bytes.
const HEADER_LEN: usize = 12;

/// The service of the nodes of one cluster.
pub struct Service {
    /// The text of the record TXT.
    text: String,
    /// The first label of the name of the service.
    label: String,
}

/// A node as mDNS announces it.
pub struct Announced<'a> {
    /// The name of the node.
    pub name: &'a str,
    /// The address that the node advertises.
    pub addr: SocketAddr,
}

/// The meaning of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It does not concern the nodes of the cluster.
    Nothing,
    /// It asks about the nodes of the cluster, or about this node.
    Question(QuestionId),
    /// It announces other nodes, or is the goodbye of other nodes.
    Notifications(Vec<Notification>),
}

/// The number of a question, which its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionId(pub u16);

/// The announcement or the goodbye of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The checksum of the name of the node. Two names rarely have the same one.
    pub name: u32,
    /// `None` if the node says goodbye.
    pub addr: Option<SocketAddr>,
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

    /// Returns the answer to a question.
    pub fn answer(&self, id: QuestionId, node: &Announced) -> Option<Vec<u8>> {
        let mut packet = reply(id.0);
        packet.questions.push(self.asks_for_all());
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
        packet.answers.push(self.pointer(&instance, LIFETIME));
        let record = |data| ResourceRecord::new(instance.clone(), CLASS::IN, LIFETIME, data);
        packet.answers.extend(data.map(record));
        packet.build_bytes_vec_compressed().ok()
    }

    /// Returns the message that the node with this name is no longer there.
    pub fn goodbye(&self, name: &str) -> Option<Vec<u8>> {
        let mut packet = reply(0);
        let label = label_of(name);
        packet.answers.push(self.pointer(&self.instance(&label), 0));
        packet.build_bytes_vec_compressed().ok()
    }

    /// The record that names an instance of the service.
    fn pointer<'a>(&'a self, instance: &Name<'a>, lifetime: u32) -> ResourceRecord<'a> {
        let data = RData::PTR(PTR(instance.clone()));
        ResourceRecord::new(self.name(), CLASS::IN, lifetime, data)
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
            let id = self.question_in(&packet, own);
            return Some(id.map_or(Meaning::Nothing, Meaning::Question));
        }
        let found = self.notifications_in(&packet);
        Some(match found.is_empty() {
            true => Meaning::Nothing,
            false => Meaning::Notifications(found),
        })
    }

    fn question_in(&self, packet: &Packet, own: &str) -> Option<QuestionId> {
        let label = label_of(own);
        let (all, instance) = (self.name(), self.instance(&label));
        // Agents of Serf ask for the pointer of an instance if its address is missing in a message,
        // whatever its cluster is.
        let is_ours = |it: &Question| match it.qtype {
            QTYPE::TYPE(TYPE::PTR) => it.qname == all,
            QTYPE::ANY => it.qname == all || it.qname == instance,
            _ => it.qname == instance,
        };
        let asks = packet.questions.iter().any(is_ours);
        asks.then(|| QuestionId(packet.id()))
    }

    fn notifications_in(&self, packet: &Packet) -> Vec<Notification> {
        let service = self.name();
        let records = || packet.answers.iter().chain(&packet.additional_records);
        let mut all = Vec::new();
        for record in records() {
            match &record.rdata {
                RData::PTR(PTR(instance)) if record.ttl == 0 && record.name == service => {
                    let name = checksum(instance);
                    all.push(Notification { name, addr: None });
                }
                RData::SRV(place) if record.name.is_subdomain_of(&service) && place.port != 0 => {
                    let name = checksum(&record.name);
                    let ips = records().filter_map(|it| ip_of(it, &place.target));
                    let addrs = ips.map(|ip| Some(SocketAddr::new(ip, place.port)));
                    all.extend(addrs.take(ADDRS).map(|addr| Notification { name, addr }));
                }
                _ => {}
            }
        }
        // A node that says goodbye with all its records is gone as well.
        let is_gone = |it: &Notification| it.addr.is_none();
        let gone: Vec<u32> = (all.iter().filter(|it| is_gone(it)))
            .map(|it| it.name)
            .collect();
        all.retain(|it| is_gone(it) || !gone.contains(&it.name));
        all.truncate(ADDRS);
        all
    }
}

/// An answer to the question with this number, or a message that answers none, without records.
fn reply<'a>(id: u16) -> Packet<'a> {
    let mut packet = Packet::new_reply(id);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet
}

/// The checksum of a name, in which capital letters count as small ones.
fn checksum(name: &Name) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for label in name.as_bytes() {
        hasher.update(&label.to_ascii_lowercase());
        hasher.update(b"\0");
    }
    hasher.finalize()
}

/// The record of an address.
fn address<'a>(ip: IpAddr) -> RData<'a> {
    match ip {
        IpAddr::V4(ip) => RData::A(A { address: ip.into() }),
        IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.into() }),
    }
}

/// Returns the address in a record, if the record has this name and is not a goodbye.
fn ip_of(record: &ResourceRecord, name: &Name) -> Option<IpAddr> {
    let ip = match &record.rdata {
        RData::A(A { address }) => IpAddr::V4(Ipv4Addr::from(*address)),
        RData::AAAA(AAAA { address }) => IpAddr::V6(Ipv6Addr::from(*address)),
        _ => return None,
    };
    (record.name == *name && record.ttl != 0).then(|| ip.to_canonical())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer of an agent, version 0.8.2, that has the name `web.1` and runs on the host `vm`.
    const OF_AGENT: &str = "0000840000000004000000000a5f736572665f70726f64045f746370056c6f63616c00\
        000c0001000000780008037765620131c00cc02d0021000100000078000a000a00011f0a02766d00c047000100\
        010000007800040a630001c02d001000010000007800141353657266202770726f642720636c7573746572";

    fn bytes(hex: &str) -> Vec<u8> {
        let places = (0..hex.len()).step_by(2);
        let bytes = places.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        bytes.collect()
    }

    fn node<'a>(name: &'a str, addr: &str) -> Announced<'a> {
        let addr = addr.parse().unwrap();
        Announced { name, addr }
    }

    /// The addresses in a message; `None` stands for a goodbye.
    fn announced(prod: &Service, bytes: &[u8]) -> Vec<Option<String>> {
        match prod.read(bytes, "a") {
            Some(Meaning::Notifications(all)) => {
                let addrs = all.iter().map(|it| it.addr);
                addrs.map(|it| it.map(|it| it.to_string())).collect()
            }
            Some(Meaning::Nothing) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn name_in(prod: &Service, bytes: &[u8]) -> u32 {
        match prod.read(bytes, "a") {
            Some(Meaning::Notifications(all)) => all[0].name,
            other => panic!("{other:?}"),
        }
    }

    /// The questions of a packet, with flags and number of a query.
    fn query(id: u16, questions: Vec<Question>) -> Vec<u8> {
        let mut packet = Packet::new_query(id);
        packet.questions = questions;
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn the_answer_of_an_agent_gives_its_address() {
        let (prod, bytes) = (Service::new("prod"), bytes(OF_AGENT));
        assert!(prod.is_mentioned(&bytes));
        assert_eq!(
            announced(&prod, &bytes),
            [Some("10.99.0.1:7946".to_owned())]
        );
        let other = Service::new("test");
        assert!(!other.is_mentioned(&bytes));
        assert_eq!(other.read(&bytes, "a"), Some(Meaning::Nothing));
        // A message with a longer name mentions the shorter one, and does not concern it.
        let other = Service::new("pro");
        assert!(other.is_mentioned(&bytes));
        assert_eq!(other.read(&bytes, "a"), Some(Meaning::Nothing));
    }

    #[test]
    fn an_answer_has_the_four_records_in_the_section_that_agents_read() {
        let prod = Service::new("prod");
        let sent = prod
            .answer(QuestionId(7), &node("web-1", "10.0.0.5:7946"))
            .unwrap();
        let packet = Packet::parse(&sent).unwrap();
        let records: Vec<(String, u16, u32)> = (packet.answers.iter())
            .map(|it| (it.name.to_string(), it.rdata.type_code().into(), it.ttl))
            .collect();
        let instance = || "web-1._serf_prod._tcp.local".to_owned();
        let expected = [
            ("_serf_prod._tcp.local".to_owned(), 12, 120), // PTR
            (instance(), 33, 120),                         // SRV
            (instance(), 16, 120),                         // TXT
            (instance(), 1, 120),                          // A
        ];
        assert_eq!(records, expected);
        assert_eq!(sent[..4], [0, 7, 0x84, 0], "an answer with authority");
        assert!(sent.windows(19).any(|it| it == b"Serf 'prod' cluster"));
    }

    #[test]
    fn what_one_node_says_another_understands() {
        let prod = Service::new("prod");
        for (name, addr) in [
            ("web-1", "10.0.0.5:7946"),
            ("a.b c", "[fd00::5]:1"),
            ("ü\\", "127.0.0.1:65535"),
            (&"n".repeat(255), "10.0.0.5:7946"),
        ] {
            let said = prod.answer(QuestionId(7), &node(name, addr)).unwrap();
            let goodbye = prod.goodbye(name).unwrap();
            for say in [|it: &[u8]| it.to_vec(), |it: &[u8]| it.to_ascii_uppercase()] {
                assert!(prod.is_mentioned(&say(&said)));
                assert_eq!(
                    announced(&prod, &say(&said)),
                    [Some(addr.to_owned())],
                    "{name}"
                );
                assert_eq!(announced(&prod, &say(&goodbye)), [None], "{name}");
                assert_eq!(name_in(&prod, &say(&said)), name_in(&prod, &say(&goodbye)));
            }
        }
        let mapped = prod
            .answer(QuestionId(7), &node("a", "[::ffff:10.0.0.5]:1"))
            .unwrap();
        assert_eq!(announced(&prod, &mapped), [Some("10.0.0.5:1".to_owned())]);
        let no_port = prod
            .answer(QuestionId(7), &node("a", "10.0.0.5:0"))
            .unwrap();
        assert_eq!(announced(&prod, &no_port), []);
    }

    #[test]
    fn a_goodbye_with_all_records_or_without_the_pointer_names_no_address() {
        let prod = Service::new("prod");
        let said = prod
            .answer(QuestionId(0), &node("b", "10.0.0.5:1"))
            .unwrap();
        let mut packet = Packet::parse(&said).unwrap();
        packet.answers.iter_mut().for_each(|it| it.ttl = 0);
        assert_eq!(announced(&prod, &packet.build_bytes_vec().unwrap()), [None]);
        packet.answers.remove(0);
        assert_eq!(announced(&prod, &packet.build_bytes_vec().unwrap()), []);
    }

    #[test]
    fn a_goodbye_holds_no_address() {
        let bytes = Service::new("prod").goodbye("web-1").unwrap();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.answers.len(), 1);
        assert_eq!(packet.answers[0].ttl, 0);
        assert!(matches!(packet.answers[0].rdata, RData::PTR(_)));
    }

    #[test]
    fn a_question_about_the_cluster_or_this_node_is_recognised() {
        let prod = Service::new("prod");
        let question = |id| Some(Meaning::Question(QuestionId(id)));
        let asked = prod.question().unwrap();
        assert_eq!(prod.read(&asked, "a"), question(0));
        let other = Service::new("test");
        assert_eq!(other.read(&asked, "a"), Some(Meaning::Nothing));
        let ask = |name, kind| {
            let name = Name::new_unchecked(name);
            let class = QCLASS::CLASS(CLASS::IN);
            let questions = vec![Question::new(name, kind, class, false)];
            prod.read(&query(9, questions), "a")
        };
        let (ptr, srv) = (QTYPE::TYPE(TYPE::PTR), QTYPE::TYPE(TYPE::SRV));
        let all = "_SERF_prod._tcp.local";
        let (own, foreign) = ("a._serf_prod._tcp.local", "b._serf_prod._tcp.local");
        for (name, kind) in [(all, ptr), (all, QTYPE::ANY), (own, srv), (own, QTYPE::ANY)] {
            assert_eq!(ask(name, kind), question(9), "{name}");
        }
        for (name, kind) in [
            (all, srv),
            (own, ptr),
            (foreign, srv),
            (foreign, QTYPE::ANY),
        ] {
            assert_eq!(ask(name, kind), Some(Meaning::Nothing), "{name}");
        }
    }

    #[test]
    fn a_message_that_is_cut_or_has_too_many_records_is_refused() {
        let (prod, whole) = (Service::new("prod"), bytes(OF_AGENT));
        for len in 0..whole.len() {
            assert_eq!(prod.read(&whole[..len], "a"), None, "{len} bytes");
        }
        let many = |count: usize| {
            let question = || prod.asks_for_all();
            prod.read(&query(0, (0..count).map(|_| question()).collect()), "a")
        };
        assert!(many(64).is_some());
        assert_eq!(many(65), None);
        // The header of a message that is too short for the records that it counts.
        let mut header = whole[..HEADER_LEN].to_vec();
        header[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(prod.read(&header, "a"), None);
    }

    #[test]
    fn a_message_announces_a_bounded_number_of_addresses() {
        let prod = Service::new("prod");
        let mut packet = Packet::new_reply(0);
        let instance = prod.instance(b"a");
        let record = |data| ResourceRecord::new(instance.clone(), CLASS::IN, 120, data);
        packet.answers.push(record(RData::SRV(SRV {
            priority: 0,
            weight: 0,
            port: 1,
            target: instance.clone(),
        })));
        for host in 1..=40 {
            let ip = IpAddr::from([10, 0, 0, host]);
            packet.answers.push(record(address(ip)));
        }
        let bytes = packet.build_bytes_vec().unwrap();
        let Some(Meaning::Notifications(all)) = prod.read(&bytes, "a") else {
            panic!("it announces nothing");
        };
        assert_eq!(all.len(), ADDRS);
    }

    #[test]
    fn a_label_is_the_name_or_a_part_of_it_that_no_other_name_has() {
        assert_eq!(label_of("web-1"), b"web-1");
        assert_eq!(label_of(&"n".repeat(63)), "n".repeat(63).as_bytes());
        let (one, other) = (label_of(&"ü".repeat(100)), label_of(&"ü".repeat(101)));
        assert_ne!(one, other);
        for label in [one, other] {
            assert!(label.len() <= LABEL_LEN);
            assert!(String::from_utf8(label).unwrap().starts_with("üü"));
        }
    }
}
