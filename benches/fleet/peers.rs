//! A million domains on shared mail hosts that are not there: what each look would have seen, after the time that it would have
//! taken. Everything follows from the number of a domain or host and from the time, so that the peers take no memory.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use smtptls_exporter::{
    facts::{
        AddressLookup, AddressObservation, Asked, ConnectFailure, DomainObservation, FetchFailure, FetchTimes,
        Handshake, HostObservation, HttpResponse, Lookup, LookupFailure, LookupOutcome, MxRecord, MxTarget, Offer,
        Phase, PhaseTimes, PolicyFetch, PolicyHostObservation, RuaObservation, RuaOutcome, Said, Security, SmtpOutcome,
        TlsFacts, TlsSurvey, TlsVersion,
    },
    monitor::Eyes,
    net::now,
    terms::{MxHost, Octets, PolicyDomain, Timestamp},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::{
    certificate::{self, Wish},
    chance::Chance,
};

/// So many domains share two mail hosts: a provider.
const DOMAINS_A_PROVIDER: u64 = 10_000;
/// Mail hosts of a provider.
const HOSTS: u64 = 2;
/// One domain in so many has a fault.
const FAULTY: u64 = 100;
/// One domain in so many shows something new within an hour …
const CHANGES: u64 = 100;
/// … and one mail host in so many.
const HOST_CHANGES: u64 = 10;
const HOUR: u64 = 3600;
const DAY: Duration = Duration::from_secs(86_400);
/// From the quickest peer to the slowest.
const DELAYS: (f64, f64) = (0.005, 0.3);
/// How long whoever does not answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    PolicyHostSilent,
    PolicyExpired,
    PolicyMissing,
    PolicyBroken,
    HostNotListed,
    ResolverFails,
    TwoRecords,
    PolicyOfAnother,
}

const FAULTS: [Fault; 8] = [
    Fault::PolicyHostSilent,
    Fault::PolicyExpired,
    Fault::PolicyMissing,
    Fault::PolicyBroken,
    Fault::HostNotListed,
    Fault::ResolverFails,
    Fault::TwoRecords,
    Fault::PolicyOfAnother,
];

/// The peers of so many domains.
#[derive(Debug)]
pub(crate) struct Peers {
    domains: u64,
    world: World,
    /// Where they work, apart from what is measured.
    work: Handle,
    seen: Vec<AtomicU64>,
    pub(crate) looks: Looks,
}

/// What all of them have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// The time that they count from: days before the measurement.
    pub(crate) epoch: Timestamp,
    /// Whether servers send the certificate of their authority as well.
    pub(crate) whole: bool,
}

/// How often was looked.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    pub(crate) domains: AtomicU64,
    /// … of them the first of its domain.
    pub(crate) first: AtomicU64,
    pub(crate) hosts: AtomicU64,
    pub(crate) addresses: AtomicU64,
    pub(crate) surveys: AtomicU64,
}

impl Peers {
    pub(crate) fn new(domains: u64, world: World, work: Handle) -> Self {
        let seen = std::iter::repeat_with(AtomicU64::default).take(domains.div_ceil(64) as usize).collect();
        Self { domains, world, work, seen, looks: Looks::default() }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = PolicyDomain> {
        (0..self.domains).map(|number| PolicyDomain::parse(&name(number)).expect("a name"))
    }

    /// Bytes that they hold between looks; all else follows from numbers.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.seen)
    }

    /// How often something changed at a subject that changes once in so many hours.
    fn generation(&self, number: u64, hours: u64, at: Timestamp) -> u64 {
        let period = hours * HOUR * 1000;
        let gone = at.since(self.world.epoch).as_millis() as u64;
        (gone + Chance::at(&[number, hours]).below(period)) / period
    }

    fn note(&self, number: u64) {
        self.looks.domains.fetch_add(1, Ordering::Relaxed);
        let bit = 1 << (number % 64);
        if self.seen[(number / 64) as usize].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.looks.first.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ten to twenty letters and digits, as customers choose them; the number stands at its end.
fn name(number: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ka", "lor", "mi", "ten", "sa", "vel", "ro", "bin", "da", "fur", "ge", "hol", "ni", "pas", "tu", "wer"];
    let mut chance = Chance::at(&[number]);
    let word: String = (0..2 + chance.below(3)).map(|_| SYLLABLES[chance.below(16) as usize]).collect();
    format!("{word}-{number}.example")
}

fn number(domain: &str) -> u64 {
    let label = domain.strip_suffix(".example").expect("a name of the peers");
    label.rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("a number at its end")
}

fn host(provider: u64, place: u64) -> MxHost {
    MxHost::parse(&format!("mx{place}.mail-{provider}.example")).expect("a name")
}

/// The number of a mail host.
fn host_number(host: &MxHost) -> u64 {
    let (first, provider) = host.as_str().split_once(".mail-").expect("a mail host of the peers");
    let digit = |text: &str| text.parse::<u64>().expect("a number");
    digit(provider.trim_end_matches(".example")) * HOSTS + digit(&first[2..])
}

fn fault(number: u64) -> Fault {
    match number % FAULTY {
        7 => FAULTS[(number / FAULTY % FAULTS.len() as u64) as usize],
        _ => Fault::None,
    }
}

/// Most peers are near, few are far away.
fn delay(chance: &mut Chance) -> Duration {
    let (least, most) = DELAYS;
    Duration::from_secs_f64(least + (most - least) * chance.share().powi(3))
}

impl Eyes for Peers {
    fn domain<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        kept: Option<PolicyHostObservation>,
    ) -> BoxFuture<'a, DomainObservation> {
        Box::pin(async move {
            let (begun, number) = (now(), number(domain.as_str()));
            self.note(number);
            let generation = self.generation(number, CHANGES, begun);
            let world = self.world;
            let domain = domain.clone();
            let work = async move {
                let mut chance = Chance::at(&[number, begun.unix_milliseconds() as u64]);
                let silent = fault(number) == Fault::PolicyHostSilent && kept.is_none();
                let took = if silent { TIMEOUT } else { delay(&mut chance) };
                sleep(took).await;
                Domain { number, generation, domain, begun, took, world, chance }.observation(kept)
            };
            self.work.spawn(work).await.expect("the peers go on")
        })
    }

    fn mail_hosts(&self, observation: &DomainObservation) -> (Vec<MxHost>, usize) {
        let target = |record: &MxRecord| match &record.target {
            MxTarget::Host(host) => Some(host.clone()),
            _ => None,
        };
        (observation.mx.records().iter().filter_map(target).collect(), 0)
    }

    fn host<'a>(&'a self, host: &'a MxHost) -> BoxFuture<'a, HostObservation> {
        Box::pin(async move {
            self.looks.hosts.fetch_add(1, Ordering::Relaxed);
            let host = host.clone();
            let work = async move {
                let mut chance = Chance::at(&[host_number(&host), now().unix_milliseconds() as u64]);
                sleep(delay(&mut chance)).await;
                HostObservation {
                    addresses: AddressLookup {
                        ip4: Some(answer(host.as_str(), vec![mail_address(&host, false)], &mut chance)),
                        ip6: Some(answer(host.as_str(), vec![mail_address(&host, true)], &mut chance)),
                    },
                    at: now(),
                    tlsa: None,
                    resolver_healthy: true,
                    dnssec_healthy: true,
                    host,
                }
            };
            self.work.spawn(work).await.expect("the peers go on")
        })
    }

    fn most_addresses(&self, _: &MxHost) -> Option<usize> {
        Some(usize::MAX)
    }

    fn address<'a>(&'a self, host: &'a MxHost, address: IpAddr) -> BoxFuture<'a, (Instant, AddressObservation)> {
        Box::pin(async move {
            self.looks.addresses.fetch_add(1, Ordering::Relaxed);
            let (began, number) = (Instant::now(), host_number(host));
            let (generation, world) = (self.generation(number, HOST_CHANGES, now()), self.world);
            let host = host.clone();
            let work = async move {
                let mut chance = Chance::at(&[number, now().unix_milliseconds() as u64]);
                let took = delay(&mut chance);
                sleep(took).await;
                dialogue(host, address, generation, world, took)
            };
            (began, self.work.spawn(work).await.expect("the peers go on"))
        })
    }

    fn survey<'a>(&'a self, host: &'a MxHost, address: IpAddr, _: Option<&'a MxHost>) -> BoxFuture<'a, TlsSurvey> {
        Box::pin(async move {
            self.looks.surveys.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            sleep(4 * delay(&mut Chance::of(host.as_str().as_bytes()))).await;
            let generation = self.generation(host_number(host), HOST_CHANGES, now());
            let tls = || Handshake::Done(host_tls(host, generation, self.world));
            TlsSurvey {
                host: host.clone(),
                address,
                at: now(),
                duration: Some(began.elapsed()),
                tls10: Offer::Refused,
                tls11: Offer::Refused,
                without_sni: tls(),
                unknown_sni: tls(),
                base_sni: None,
            }
        })
    }

    fn canary<'a>(&'a self, _: &'a MxHost) -> BoxFuture<'a, Vec<AddressObservation>> {
        Box::pin(async { Vec::new() })
    }
}

/// One look at one domain.
struct Domain {
    number: u64,
    generation: u64,
    domain: PolicyDomain,
    begun: Timestamp,
    took: Duration,
    world: World,
    chance: Chance,
}

impl Domain {
    fn observation(mut self, kept: Option<PolicyHostObservation>) -> DomainObservation {
        let fault = fault(self.number);
        let provider = self.number / DOMAINS_A_PROVIDER;
        let name = self.domain.to_string();
        let (sts, tlsrpt) = (self.domain.sts_record_name(), self.domain.tlsrpt_record_name());
        let chance = &mut self.chance;
        let id = format!("v=STSv1; id={};", 20_260_101_000_000 + self.number % 1_000_000 + self.generation * 1_000_000);
        let mut records = vec![vec![Octets::from(id.as_str())]];
        if fault == Fault::TwoRecords {
            records.push(vec![Octets::from("v=STSv1; id=2019;")]);
        }
        let reports = format!("mailto:tls-reports@mail-{provider}.example");
        let text = format!("v=TLSRPTv1; rua={reports}");
        let mx = (0..HOSTS).map(|place| MxRecord {
            preference: 10 * (place as u16 + 1),
            target: MxTarget::Host(host(provider, place)),
        });
        let fails = fault == Fault::ResolverFails;
        DomainObservation {
            started_at: self.begun,
            duration: self.took,
            sts_record: if fails { unanswered(&sts) } else { answer(&sts, records, chance) },
            tlsrpt_record: answer(&tlsrpt, vec![vec![Octets::from(text.as_str())]], chance),
            mx: if fails { unanswered(&name) } else { answer(&name, mx.collect(), chance) },
            implicit: None,
            rua: vec![RuaObservation { destination: reports, at: self.begun, outcome: RuaOutcome::HasMx }],
            resolver_healthy: true,
            dnssec_healthy: true,
            policy: kept.unwrap_or_else(|| self.policy_host(fault, provider)),
            domain: self.domain,
        }
    }

    fn policy_host(&mut self, fault: Fault, provider: u64) -> PolicyHostObservation {
        let host = self.domain.policy_host();
        // Policy hosts of a provider share some addresses.
        let address = IpAddr::V4(Ipv4Addr::new(151, 101, provider as u8, (self.number % 16) as u8));
        let addresses = AddressLookup {
            ip4: Some(answer(&host, vec![address], &mut self.chance)),
            ip6: Some(Lookup { outcome: LookupOutcome::NoData, ..answer(&host, Vec::new(), &mut self.chance) }),
        };
        let fetch = self.fetch(&host, address, fault, provider);
        PolicyHostObservation { host, addresses, resolve: self.took / 4, fetches: vec![fetch], skipped: 0 }
    }

    fn fetch(&mut self, host: &str, address: IpAddr, fault: Fault, provider: u64) -> PolicyFetch {
        let at = now();
        if fault == Fault::PolicyHostSilent {
            return PolicyFetch {
                address,
                at,
                times: FetchTimes::default(),
                tls: None,
                response: None,
                failure: Some(FetchFailure::Connect(ConnectFailure::Timeout)),
            };
        }
        // The same certificate until something changes: its key follows from the number and the generation alone.
        let mut lasting = Chance::at(&[self.number, self.generation, 1]);
        let not_before = self.world.epoch - DAY * (10 + lasting.below(30) as u32);
        let not_after = if fault == Fault::PolicyExpired { not_before + 2 * DAY } else { not_before + 90 * DAY };
        let other = if fault == Fault::PolicyOfAnother { "www.unrelated.example" } else { host };
        let wish = Wish { name: other, not_before, not_after, whole: self.world.whole };
        let tls = TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
            chain: Arc::new(certificate::chain(&wish, &mut lasting)),
            completed: true,
        };
        let missing = fault == Fault::PolicyMissing;
        let part = self.took.as_secs_f64() / 8.0;
        let mut times = || Some(Duration::from_secs_f64(part * (0.5 + self.chance.share())));
        PolicyFetch {
            address,
            at,
            times: FetchTimes { connect: times(), tls: times(), processing: times(), transfer: times() },
            tls: Some(tls),
            response: Some(HttpResponse {
                status: if missing { 404 } else { 200 },
                content_type: Some("text/plain; charset=utf-8".into()),
                location: None,
                content_encoding: None,
                age: None,
                cache_max_age: self.number.is_multiple_of(3).then_some(300),
                body: if missing { Octets::default() } else { self.policy(fault, provider) },
            }),
            failure: None,
        }
    }

    fn policy(&self, fault: Fault, provider: u64) -> Octets {
        let mode = if self.number % 10 == 3 { "testing" } else { "enforce" };
        let listed = if fault == Fault::HostNotListed { 1 } else { HOSTS };
        let mx: String = (0..listed).map(|place| format!("mx: {}\r\n", host(provider, place))).collect();
        let age = match fault {
            Fault::PolicyBroken => "max_age: soon".to_owned(),
            // What changes with a generation is told by the id, and shows here.
            _ => format!("max_age: {}", 604_800 + self.generation * 3600),
        };
        format!("version: STSv1\r\nmode: {mode}\r\n{mx}{age}\r\n").as_str().into()
    }
}

fn answer<T>(name: &str, records: Vec<T>, chance: &mut Chance) -> Lookup<T> {
    let took = delay(chance);
    Lookup {
        name: name.to_owned(),
        at: now(),
        outcome: LookupOutcome::Records { records, ttl: 60 * (1 + chance.below(60) as u32) },
        cname: Vec::new(),
        security: Security::Indeterminate,
        signatures: None,
        message_bytes: 80 + chance.below(100) as usize,
        extended_errors: Vec::new(),
        asked: Asked::new(took, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    }
}

fn unanswered<T>(name: &str) -> Lookup<T> {
    Lookup {
        outcome: LookupOutcome::Failed(LookupFailure::ServFail),
        ..answer(name, Vec::new(), &mut Chance::of(name.as_bytes()))
    }
}

fn mail_address(host: &MxHost, ip6: bool) -> IpAddr {
    let number = host_number(host);
    let (high, low) = ((number / 250) as u8, (number % 250) as u8);
    match ip6 {
        true => IpAddr::V6(Ipv6Addr::new(0x2a01, 0x4f8, number as u16, 0, 0, 0, 0, 25)),
        // Each in a network of its own.
        false => IpAddr::V4(Ipv4Addr::new(78, 46 + high, low, 25)),
    }
}

fn host_tls(host: &MxHost, generation: u64, world: World) -> TlsFacts {
    let World { epoch, whole } = world;
    let mut lasting = Chance::at(&[host_number(host), generation, 2]);
    let not_before = epoch - DAY * (5 + lasting.below(30) as u32);
    let wish = Wish { name: host.as_str(), not_before, not_after: not_before + 90 * DAY, whole };
    TlsFacts {
        version: TlsVersion::Tls13,
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        chain: Arc::new(certificate::chain(&wish, &mut lasting)),
        completed: true,
    }
}

fn dialogue(host: MxHost, address: IpAddr, generation: u64, world: World, took: Duration) -> AddressObservation {
    let said = |phase, command: &str, code, text: &str| Said {
        phase,
        command: command.to_owned(),
        code,
        text: text.into(),
        cut: false,
    };
    let greeting = format!("{host} ESMTP");
    let part = took / 8;
    // One of a hundred hosts offers no protection over IPv6.
    let bare = host_number(&host) % 100 == 99 && address.is_ipv6();
    let keywords = ["PIPELINING", "SIZE 52428800", "STARTTLS", "8BITMIME", "SMTPUTF8"];
    let keywords: Vec<String> =
        keywords.iter().filter(|word| !bare || **word != "STARTTLS").map(ToString::to_string).collect();
    let ehlo = format!("{host}\n{}", keywords.join("\n"));
    AddressObservation {
        at: now(),
        duration: took,
        times: PhaseTimes {
            connect: Some(part),
            banner: Some(part),
            ehlo: Some(part),
            starttls: (!bare).then_some(part),
            tls: (!bare).then_some(2 * part),
            ehlo_tls: (!bare).then_some(part),
        },
        outcome: if bare { SmtpOutcome::StarttlsNotOffered } else { SmtpOutcome::Done },
        banner: Some(greeting.as_str().into()),
        tls: (!bare).then(|| host_tls(&host, generation, world)),
        cleartext_after_starttls: false,
        said: vec![
            said(Phase::Banner, "", 220, &greeting),
            said(Phase::Ehlo, "EHLO monitor.example", 250, &ehlo),
            said(Phase::Starttls, "STARTTLS", 220, "2.0.0 Ready to start TLS"),
        ],
        capabilities: Some(keywords),
        host,
        address,
    }
}
