//! A name server that answers as it is told to: over UDP and TCP on one port, with every fault that a resolver meets.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Edns, Message, OpCode, Query as Question, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, CNAME, MX, NS, SOA, TLSA, TXT, opt::EdnsOption},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::sleep,
};

pub use super::dns_tcp::TcpFault;
use super::signed::{Role, Signed, Signing, Wishes};

pub use hickory_resolver::proto::rr::RecordType;

/// The TTL of records unless [`DnsPeer::ttl`] says otherwise, in seconds.
pub const TTL: u32 = 300;
/// TTL and MINIMUM of the SOA record that goes with denials, in seconds.
const NEGATIVE_TTL: u32 = 60;

/// How a name is answered instead of by its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Only this response code.
    Rcode(ResponseCode),
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// The name does not exist, whatever records were set.
    NxDomain,
    /// The name has nothing of the type, whatever records were set.
    NoData,
    /// No answer, ever.
    Silent,
    /// SERVFAIL to this many queries, then the records.
    ServFailAtFirst(usize),
    /// No answer to this many queries, then the records.
    SilentAtFirst(usize),
    /// The records, after a while.
    Delay(Duration),
    /// Over UDP only that the answer does not fit.
    Truncate,
    /// As [`Behaviour::Truncate`]; over TCP one octet of the answer at a time, with this pause between them.
    DripTcp(Duration),
    /// As [`Behaviour::Truncate`]; TCP connections are closed within the answer.
    CutTcp,
    /// The right id, then nonsense.
    Garbage,
    /// An answer with another id and a wrong address; no other.
    WrongId,
    /// An answer with another id and a wrong address first, then the right one.
    WrongIdFirst,
    /// An answer to another question.
    WrongQuestion,
    /// FORMERR without a question section to every query with EDNS.
    NoEdns,
    /// The records in reverse order.
    Reversed,
    /// Of an alias only the CNAME record, as an authoritative server answers that does not know the target's zone.
    OnlyAlias,
    /// The names of other servers, as a server answers that does not resolve.
    Referral,
    /// As [`Behaviour::WrongId`], so many times.
    Strays(usize),
    /// As [`Behaviour::Truncate`]; over TCP this.
    Tcp(TcpFault),
    /// These by turns, for each name and type apart.
    Turns(&'static [Self]),
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A query as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenQuery {
    /// Lower case, without the final dot; the root is `.`.
    pub name: String,
    pub kind: RecordType,
    pub transport: Transport,
    pub edns: bool,
    /// The AD bit: whether the sender wants to see it in the answer.
    pub asks_for_ad: bool,
    /// The DO bit: whether the sender wants the signatures.
    pub dnssec_ok: bool,
    /// The CD bit: whether the sender wants answers that do not hold.
    pub checking_disabled: bool,
}

/// The name server. It stops when it is dropped.
#[derive(Debug)]
pub struct DnsPeer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _tasks: JoinSet<()>,
}

/// What is answered, and what was asked.
#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<String, Vec<RData>>,
    /// Their names, the last label first and each with a dot behind it: what lies below a name begins as it does.
    tree: BTreeSet<String>,
    ttls: HashMap<String, u32>,
    behaviours: HashMap<String, Behaviour>,
    type_behaviours: HashMap<(String, RecordType), Behaviour>,
    extended_errors: HashMap<String, Vec<(u16, String)>>,
    /// What the A records of a name will be, the next first; the last stay.
    turns: HashMap<String, Vec<Vec<RData>>>,
    authentic: bool,
    signed: Option<Signed>,
    uncached: bool,
    outage: Option<Behaviour>,
    /// How many questions for a name and a type met a behaviour that goes by turns.
    turned: HashMap<(String, RecordType), usize>,
    /// The octets that a flood over TCP got rid of.
    flooded: usize,
    seen: Vec<SeenQuery>,
}

/// What is done about a query.
struct Reaction {
    after: Duration,
    messages: Vec<Vec<u8>>,
    /// Over TCP: the pause between two octets.
    drip: Option<Duration>,
    /// Over TCP: end within the answer.
    cut: bool,
    /// Over TCP: this in the place of the answer.
    fault: Option<TcpFault>,
}

impl DnsPeer {
    /// Starts on 127.0.0.1 with a port that is free for UDP and TCP.
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free TCP port");
            // The same port may be taken for UDP: then the next one.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&zone)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zone)));
        Self { address, zone, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the TXT records of a name, one character-string each.
    pub fn txt(&self, name: &str, records: &[&str]) {
        self.set(name, RecordType::TXT, records.iter().map(|text| RData::TXT(TXT::new(vec![(*text).to_owned()]))));
    }

    /// Sets one TXT record of several character-strings.
    pub fn txt_strings(&self, name: &str, strings: &[&[u8]]) {
        self.set(name, RecordType::TXT, [RData::TXT(TXT::from_bytes(strings.to_vec()))]);
    }

    /// Sets the MX records of a name; the exchange `.` is a null MX.
    pub fn mx(&self, name: &str, records: &[(u16, &str)]) {
        let record = |&(preference, exchange): &(u16, &str)| RData::MX(MX::new(preference, wire_name(exchange)));
        self.set(name, RecordType::MX, records.iter().map(record));
    }

    /// Sets the A records of a name.
    pub fn a(&self, name: &str, addresses: &[&str]) {
        self.set(name, RecordType::A, addresses.iter().map(|address| RData::A(A(address.parse().expect("IPv4")))));
    }

    /// Sets the A records of a name anew for each question, with these addresses by turns; the last ones stay.
    pub fn a_by_turns(&self, name: &str, turns: &[&str]) {
        let record = |address: &&str| vec![RData::A(A(address.parse().expect("IPv4")))];
        self.zone().turns.insert(canonical(name), turns.iter().map(record).collect());
    }

    /// Sets the AAAA records of a name.
    pub fn aaaa(&self, name: &str, addresses: &[&str]) {
        let record = |address: &&str| RData::AAAA(AAAA(address.parse().expect("IPv6")));
        self.set(name, RecordType::AAAA, addresses.iter().map(record));
    }

    /// Sets the TLSA records of a name: usage, selector, matching type, data.
    pub fn tlsa(&self, name: &str, records: &[(u8, u8, u8, &[u8])]) {
        let record = |&(usage, selector, matching, data): &(u8, u8, u8, &[u8])| {
            RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), data.to_vec()))
        };
        self.set(name, RecordType::TLSA, records.iter().map(record));
    }

    /// Makes a name an alias.
    pub fn cname(&self, name: &str, target: &str) {
        self.set(name, RecordType::CNAME, [RData::CNAME(CNAME(wire_name(target)))]);
    }

    /// Sets the TTL of all records of a name, in seconds.
    pub fn ttl(&self, name: &str, seconds: u32) {
        self.zone().ttls.insert(canonical(name), seconds);
    }

    /// Lets nobody keep an answer: every TTL is 0.
    pub fn uncached(&self) {
        self.zone().uncached = true;
    }

    /// Answers for every name in this way, until it is told nothing.
    pub fn outage(&self, behaviour: Option<Behaviour>) {
        self.zone().outage = behaviour;
    }

    /// Removes the records of a name and how it behaves.
    pub fn remove(&self, name: &str) {
        let mut zone = self.zone();
        zone.records.remove(&canonical(name));
        zone.tree.remove(&from_the_root(&canonical(name)));
        zone.behaviours.remove(&canonical(name));
        zone.type_behaviours.retain(|(of, _), _| *of != canonical(name));
    }

    /// Answers for a name in this way, whatever type is asked for.
    pub fn behave(&self, name: &str, behaviour: Behaviour) {
        self.zone().behaviours.insert(canonical(name), behaviour);
    }

    /// Answers for a name and a type in this way.
    pub fn behave_for(&self, name: &str, kind: RecordType, behaviour: Behaviour) {
        self.zone().type_behaviours.insert((canonical(name), kind), behaviour);
    }

    /// Adds an extended error (RFC 8914) to every answer about a name.
    pub fn extended_error(&self, name: &str, code: u16, text: &str) {
        self.zone().extended_errors.entry(canonical(name)).or_default().push((code, text.to_owned()));
    }

    /// Whether answers carry the AD bit to those who ask for it.
    pub fn authentic(&self, authentic: bool) {
        self.zone().authentic = authentic;
    }

    /// Signs the root with a key of its own, and what lies below it where [`DnsPeer::zone_signed`] adds a zone; what lies in no
    /// such zone belongs to the root and is signed too.
    pub fn sign(&self, role: Role) {
        self.zone().signed.get_or_insert_default().role = role;
    }

    /// Adds a zone below the signed root, or changes how it is signed.
    pub fn zone_signed(&self, name: &str, signing: Signing) {
        self.zone().signed.get_or_insert_default().add(name, signing);
    }

    /// Sets when the signature over the records of a name begins and ends, in seconds from now.
    pub fn signature_lifetime(&self, name: &str, kind: RecordType, from: i64, to: i64) {
        self.zone().signed.get_or_insert_default().lifetime(name, kind, from, to);
    }

    /// The trust anchor of the signed root as a DNSKEY line.
    pub fn anchor(&self) -> String {
        self.zone().signed.get_or_insert_default().anchor()
    }

    /// The trust anchor of the signed root as a DS line.
    pub fn anchor_digest(&self) -> String {
        self.zone().signed.get_or_insert_default().anchor_digest()
    }

    /// All queries so far, in order.
    pub fn queries(&self) -> Vec<SeenQuery> {
        self.zone().seen.clone()
    }

    /// How many queries for a name came so far, over UDP and TCP.
    pub fn count(&self, name: &str) -> usize {
        self.zone().seen.iter().filter(|query| query.name == canonical(name)).count()
    }

    /// How many octets floods over TCP got rid of, those in the buffers of the system among them.
    pub fn flooded(&self) -> usize {
        self.zone().flooded
    }

    fn set(&self, name: &str, kind: RecordType, records: impl IntoIterator<Item = RData>) {
        let mut zone = self.zone();
        let all = zone.records_of(canonical(name));
        all.retain(|record| record.record_type() != kind);
        all.extend(records);
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let socket = Arc::new(socket);
    let mut answers = JoinSet::new();
    let mut buffer = [0; 4096];
    loop {
        let (length, sender) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // The answer before met a socket that was closed already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => panic!("the UDP socket of the peer: {error}"),
        };
        let reaction = zone.lock().unwrap().react(&buffer[..length], Transport::Udp);
        let socket = Arc::clone(&socket);
        answers.spawn(async move {
            // Even a sleep of nothing takes a millisecond.
            if !reaction.after.is_zero() {
                sleep(reaction.after).await;
            }
            for message in reaction.messages {
                socket.send_to(&message, sender).await.expect("loopback takes a datagram");
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("the TCP listener of the peer");
        let zone = Arc::clone(&zone);
        // A client that goes away is no fault of the peer.
        connections.spawn(async move { serve_stream(stream, &zone).await.ok() });
    }
}

async fn serve_stream(mut stream: TcpStream, zone: &Mutex<Zone>) -> io::Result<()> {
    loop {
        let mut query = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut query).await?;
        let reaction = zone.lock().unwrap().react(&query, Transport::Tcp);
        sleep(reaction.after).await;
        if let Some(fault) = reaction.fault {
            return fault.answer(stream, &reaction.messages, |octets| zone.lock().unwrap().flooded += octets).await;
        }
        for message in reaction.messages {
            let mut bytes = u16::try_from(message.len()).expect("the message fits").to_be_bytes().to_vec();
            bytes.extend(message);
            if reaction.cut {
                bytes.truncate(bytes.len() / 2);
            }
            match reaction.drip {
                Some(pause) => {
                    for byte in bytes {
                        stream.write_all(&[byte]).await?;
                        sleep(pause).await;
                    }
                }
                None => stream.write_all(&bytes).await?,
            }
            if reaction.cut {
                return Ok(());
            }
        }
    }
}

impl Zone {
    fn react(&mut self, bytes: &[u8], transport: Transport) -> Reaction {
        let query = Message::from_vec(bytes).expect("a readable query");
        let question = query.queries.first().expect("a question").clone();
        let name = canonical(&question.name().to_ascii());
        let kind = question.query_type();
        self.seen.push(SeenQuery {
            name: name.clone(),
            kind,
            transport,
            edns: query.edns.is_some(),
            asks_for_ad: query.metadata.authentic_data,
            dnssec_ok: query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: query.metadata.checking_disabled,
        });
        let mut reaction =
            Reaction { after: Duration::ZERO, messages: Vec::new(), drip: None, cut: false, fault: None };
        let for_all = self.outage.as_mut();
        let by_type = self.type_behaviours.get_mut(&(name.clone(), kind));
        let behaviour = for_all.or(by_type).or_else(|| self.behaviours.get_mut(&name));
        let behaviour = match behaviour {
            Some(Behaviour::SilentAtFirst(0) | Behaviour::ServFailAtFirst(0)) | None => None,
            Some(Behaviour::ServFailAtFirst(left)) => {
                *left -= 1;
                Some(Behaviour::ServFail)
            }
            Some(Behaviour::SilentAtFirst(left)) => {
                *left -= 1;
                return reaction;
            }
            Some(Behaviour::Turns(turns)) => {
                let turned = self.turned.entry((name.clone(), kind)).or_default();
                *turned += 1;
                Some(turns[(*turned - 1) % turns.len()])
            }
            Some(behaviour) => Some(*behaviour),
        };

        if kind == RecordType::A
            && let Some(turns) = self.turns.get_mut(&name).filter(|turns| !turns.is_empty())
        {
            let next = turns.remove(0);
            let all = self.records_of(name.clone());
            all.retain(|record| record.record_type() != kind);
            all.extend(next);
        }

        let mut answer = self.answer(&query, &question, behaviour);
        if self.uncached {
            answer.answers.iter_mut().chain(&mut answer.authorities).for_each(|record| record.ttl = 0);
        }
        match (behaviour, transport) {
            (Some(Behaviour::Silent), _) => return reaction,
            (Some(Behaviour::Delay(after)), _) => reaction.after = after,
            (
                Some(Behaviour::Truncate | Behaviour::DripTcp(_) | Behaviour::CutTcp | Behaviour::Tcp(_)),
                Transport::Udp,
            ) => {
                answer = answer.truncate();
            }
            (Some(Behaviour::DripTcp(pause)), Transport::Tcp) => reaction.drip = Some(pause),
            (Some(Behaviour::CutTcp), Transport::Tcp) => reaction.cut = true,
            (Some(Behaviour::Tcp(TcpFault::OtherQuestion)), Transport::Tcp) => {
                answer.queries = vec![Question::query(wire_name("other.example"), kind)];
            }
            (Some(Behaviour::Tcp(TcpFault::Truncated)), Transport::Tcp) => answer = answer.truncate(),
            (Some(Behaviour::Tcp(fault)), Transport::Tcp) => reaction.fault = Some(fault),
            (Some(Behaviour::Garbage), _) => {
                let mut bytes = query.metadata.id.to_be_bytes().to_vec();
                bytes.extend([0x80, 0x80, 0, 9, 0, 9, 0, 9, 0, 9, 0xff, 0xff, 0xff]);
                reaction.messages.push(bytes);
                return reaction;
            }
            (Some(Behaviour::WrongId | Behaviour::WrongIdFirst | Behaviour::Strays(_)), _) => {
                let mut forged = answer.clone();
                forged.metadata.id = query.metadata.id.wrapping_add(1);
                let address = RData::A(A(Ipv4Addr::new(198, 51, 100, 66)));
                forged.answers = vec![Record::from_rdata(question.name().clone(), TTL, address)];
                let times = if let Some(Behaviour::Strays(times)) = behaviour { times } else { 1 };
                reaction.messages.extend(vec![forged.to_vec().unwrap(); times]);
                if behaviour != Some(Behaviour::WrongIdFirst) {
                    return reaction;
                }
            }
            (Some(Behaviour::WrongQuestion), _) => {
                answer.queries = vec![Question::query(wire_name("other.example"), kind)];
            }
            (Some(Behaviour::NoEdns), _) if query.edns.is_some() => {
                answer = Message::error_msg(query.metadata.id, OpCode::Query, ResponseCode::FormErr);
            }
            _ => {}
        }
        let mut bytes = answer.to_vec().unwrap();
        if transport == Transport::Udp && bytes.len() > usize::from(query.max_payload()) {
            bytes = answer.truncate().to_vec().unwrap();
        }
        reaction.messages.push(bytes);
        reaction
    }

    fn answer(&self, query: &Message, question: &Question, behaviour: Option<Behaviour>) -> Message {
        let name = canonical(&question.name().to_ascii());
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.authentic_data = self.authentic && query.metadata.authentic_data;
        answer.add_query(question.clone());
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            for (code, text) in self.extended_errors.get(&name).into_iter().flatten() {
                let mut data = code.to_be_bytes().to_vec();
                data.extend(text.as_bytes());
                edns.options_mut().insert(EdnsOption::Unknown(15, data));
            }
            answer.set_edns(edns);
        }
        match behaviour {
            Some(Behaviour::Rcode(code)) => answer.metadata.response_code = code,
            Some(Behaviour::ServFail) => answer.metadata.response_code = ResponseCode::ServFail,
            Some(Behaviour::Refused) => answer.metadata.response_code = ResponseCode::Refused,
            Some(Behaviour::NxDomain) => deny(&mut answer, ResponseCode::NXDomain),
            Some(Behaviour::NoData) => deny(&mut answer, ResponseCode::NoError),
            Some(Behaviour::Referral) => {
                answer.metadata.recursion_available = false;
                let server = RData::NS(NS(wire_name("ns.example")));
                answer.add_authority(Record::from_rdata(wire_name("example"), TTL, server));
            }
            _ => self.fill(&mut answer, question, behaviour == Some(Behaviour::OnlyAlias)),
        }
        if let Some(signed) = &self.signed {
            let edns = query.edns.as_ref();
            let wishes = Wishes {
                dnssec_ok: edns.is_some_and(|edns| edns.flags().dnssec_ok),
                checking_disabled: query.metadata.checking_disabled,
                authentic_data: query.metadata.authentic_data,
            };
            let kinds = |records: &Vec<RData>| records.iter().map(RData::record_type).collect::<BTreeSet<_>>();
            let owners = self.records.iter().map(|(name, records)| (name.clone(), kinds(records))).collect();
            signed.dress(&mut answer, wishes, &owners);
        }
        if behaviour == Some(Behaviour::Reversed) {
            answer.answers.reverse();
        }
        answer
    }

    /// Puts the records in, with the aliases on the way to them.
    fn fill(&self, answer: &mut Message, question: &Question, only_alias: bool) {
        let mut owner = question.name().clone();
        if let Some(own) = self.signed.as_ref().and_then(|signed| signed.own(&owner, question.query_type())) {
            answer.add_answers(own);
            return;
        }
        if owner.is_root() && question.query_type() == RecordType::SOA {
            answer.add_answer(start_of_authority());
            return;
        }
        let mut passed = Vec::new();
        loop {
            let name = canonical(&owner.to_ascii());
            let ttl = self.ttls.get(&name).copied().unwrap_or(TTL);
            let records = self.records.get(&name).or_else(|| self.wildcard(&name));
            let of_type = |kind| records.into_iter().flatten().filter(move |record| record.record_type() == kind);
            let aliases = of_type(RecordType::CNAME).filter(|_| question.query_type() != RecordType::CNAME);
            let found = of_type(question.query_type()).chain(aliases);
            answer.add_answers(found.map(|record| Record::from_rdata(owner.clone(), ttl, record.clone())));
            let target = of_type(RecordType::CNAME).find_map(|record| match record {
                RData::CNAME(target) => Some(target.0.clone()),
                _ => None,
            });
            if of_type(question.query_type()).next().is_some() {
                return;
            }
            let Some(target) = target else {
                let exists = self.exists(&name) || records.is_some();
                let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
                return deny(answer, code);
            };
            passed.push(owner);
            if only_alias || passed.contains(&target) {
                return;
            }
            owner = target;
        }
    }

    /// The records of the wildcard beside a name that does not exist (RFC 4592 §3.3), one label up.
    fn wildcard(&self, name: &str) -> Option<&Vec<RData>> {
        let (_, parent) = name.split_once('.')?;
        self.records.get(&format!("*.{parent}")).filter(|_| !self.exists(name))
    }

    /// Whether the name has records or lies above one that has (RFC 8020 §2).
    fn exists(&self, name: &str) -> bool {
        let from_here = from_the_root(name);
        let known = self.tree.range(from_here.clone()..).next().is_some_and(|next| next.starts_with(&from_here));
        let above = format!(".{name}");
        let mut zones = self.signed.iter().flat_map(Signed::names);
        known || zones.any(|other| other == name || other.ends_with(&above))
    }

    /// The records of a name, which has some from now on.
    fn records_of(&mut self, name: String) -> &mut Vec<RData> {
        self.tree.insert(from_the_root(&name));
        self.records.entry(name).or_default()
    }
}

/// The labels of a name, the last one first, each with a dot behind it.
fn from_the_root(name: &str) -> String {
    name.rsplit('.').flat_map(|label| [label, "."]).collect()
}

fn deny(answer: &mut Message, code: ResponseCode) {
    answer.metadata.response_code = code;
    answer.add_authority(start_of_authority());
}

fn start_of_authority() -> Record {
    let soa = SOA::new(wire_name("ns.example"), wire_name("hostmaster.example"), 1, 60, 60, 60, NEGATIVE_TTL);
    Record::from_rdata(Name::root(), NEGATIVE_TTL, RData::SOA(soa))
}

pub(super) fn canonical(name: &str) -> String {
    match name.strip_suffix('.') {
        Some("") => ".".to_owned(),
        Some(rest) => rest.to_ascii_lowercase(),
        None => name.to_ascii_lowercase(),
    }
}

pub(super) fn wire_name(text: &str) -> Name {
    match text {
        "." => Name::root(),
        _ => Name::from_labels(text.trim_end_matches('.').split('.').map(str::as_bytes)).expect("a domain name"),
    }
}
