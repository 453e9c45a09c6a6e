//! States facts fluently: a world in which all is well, and what is changed in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use smtptls_exporter::{
    facts::{
        AddressLookup, AddressObservation, Asked, CertificateFacts, ChainFacts, DomainObservation, FetchFailure,
        FetchTimes, HostObservation, HttpResponse, KeyFacts, Lookup, LookupFailure, LookupOutcome, MxFacts, MxRecord,
        MxTarget, Observation, PathToRoot, PhaseTimes, PolicyFetch, PolicyHostObservation, RuaObservation, RuaOutcome,
        Security, SmtpOutcome, TlsFacts, TlsVersion, Vantage,
    },
    terms::{MxHost, Octets, PolicyDomain, Timestamp},
    verdict::{
        Acceptance, Assessment, Change, Code, Context, DomainReports, Expectation, Finding, History, HostPattern, Pace,
        Severity, Thresholds, judge,
    },
};

/// 2026-11-23T20:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// The default of the configuration.
pub(crate) const INTERVAL: Duration = Duration::from_secs(600);
/// … and of failures that count.
pub(crate) const PACE: Pace = Pace { interval: INTERVAL, retry: MINUTE };
/// The default of the configuration.
pub(crate) const MX_INTERVAL: Duration = Duration::from_secs(1800);

pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const MX1: &str = "mx1.example.com";
pub(crate) const MX2: &str = "mx2.example.com";
pub(crate) const A1: &str = "192.0.2.1";
pub(crate) const A2: &str = "192.0.2.2";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn host(text: &str) -> MxHost {
    MxHost::parse(text).unwrap()
}

pub(crate) fn records<T>(name: &str, records: Vec<T>) -> Lookup<T> {
    lookup(name, LookupOutcome::Records { records, ttl: 300 })
}

pub(crate) fn lookup<T>(name: &str, outcome: LookupOutcome<T>) -> Lookup<T> {
    Lookup {
        name: name.to_owned(),
        at: NOW,
        outcome,
        cname: Vec::new(),
        security: Security::Insecure,
        signatures: None,
        message_bytes: 0,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    }
}

pub(crate) fn failed<T>(name: &str) -> Lookup<T> {
    lookup(name, LookupOutcome::Failed(LookupFailure::ServFail))
}

/// The lookups of a name with these addresses; a family without one is answered with "no data".
pub(crate) fn addresses(name: &str, of: &[&str]) -> AddressLookup {
    let family = |wanted: fn(&IpAddr) -> bool| {
        let found: Vec<IpAddr> = of.iter().map(|text| ip(text)).filter(wanted).collect();
        Some(if found.is_empty() { lookup(name, LookupOutcome::NoData) } else { records(name, found) })
    };
    AddressLookup { ip4: family(IpAddr::is_ipv4), ip6: family(IpAddr::is_ipv6) }
}

pub(crate) fn policy_body(mode: &str, mx: &[&str]) -> String {
    let lines: String = mx.iter().map(|mx| format!("mx: {mx}\n")).collect();
    format!("version: STSv1\nmode: {mode}\n{lines}max_age: 604800\n")
}

/// A certificate of 90 days, 60 of them left, for these names.
pub(crate) fn certificate(names: &[&str]) -> ChainFacts {
    let not_after = NOW + 60 * DAY;
    ChainFacts {
        leaf: CertificateFacts {
            subject: format!("CN={}", names.first().unwrap_or(&"none")),
            issuer: "CN=R11, O=Let's Encrypt, C=US".to_owned(),
            issuer_cn: "R11".to_owned(),
            common_name: names.first().map(ToString::to_string),
            names: names.iter().map(ToString::to_string).collect(),
            serial: "01".to_owned(),
            not_before: NOW - 30 * DAY,
            not_after,
            fingerprint_sha256: "ab".repeat(32),
            spki_sha256: "cd".repeat(32),
            key: KeyFacts { algorithm: "ec".to_owned(), bits: 256 },
            signature_algorithm: "ecdsa-with-SHA256".to_owned(),
            self_issued: false,
            is_ca: false,
        },
        others: Vec::new(),
        der: Vec::new(),
        unreadable: 0,
        path: PathToRoot::Trusted { not_after },
    }
}

/// The same with this much left, of a lifetime.
pub(crate) fn ending(mut chain: ChainFacts, left: Duration, life: Duration) -> ChainFacts {
    chain.leaf.not_after = NOW + left;
    chain.leaf.not_before = chain.leaf.not_after - life;
    chain.path = PathToRoot::Trusted { not_after: chain.leaf.not_after };
    chain
}

pub(crate) fn expired(mut chain: ChainFacts) -> ChainFacts {
    chain.leaf.not_after = NOW - 3 * DAY;
    chain.leaf.not_before = chain.leaf.not_after - 90 * DAY;
    chain
}

pub(crate) fn not_yet_valid(mut chain: ChainFacts) -> ChainFacts {
    chain.leaf.not_before = NOW + DAY;
    chain
}

pub(crate) fn untrusted(mut chain: ChainFacts, path: PathToRoot) -> ChainFacts {
    chain.path = path;
    chain
}

fn tls(chain: ChainFacts) -> TlsFacts {
    TlsFacts {
        version: TlsVersion::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        chain: Arc::new(chain),
        completed: true,
    }
}

/// A probe that came all the way.
pub(crate) fn probe(name: &str, address: &str) -> AddressObservation {
    AddressObservation {
        host: host(name),
        address: ip(address),
        at: NOW,
        duration: Duration::from_millis(50),
        times: PhaseTimes::default(),
        outcome: SmtpOutcome::Done,
        banner: Some("mail ESMTP".into()),
        capabilities: Some(vec!["STARTTLS".to_owned()]),
        tls: Some(tls(certificate(&[name]))),
        cleartext_after_starttls: false,
        said: Vec::new(),
    }
}

/// A fetch that brought `body`.
pub(crate) fn fetch(address: &str, body: &str) -> PolicyFetch {
    PolicyFetch {
        address: ip(address),
        at: NOW,
        times: FetchTimes { connect: Some(Duration::from_millis(9)), ..FetchTimes::default() },
        tls: Some(tls(certificate(&["mta-sts.example.com"]))),
        response: Some(HttpResponse {
            status: 200,
            content_type: Some("text/plain".into()),
            location: None,
            content_encoding: None,
            age: None,
            cache_max_age: None,
            body: body.into(),
        }),
        failure: None,
    }
}

/// A look at a destination of reports.
pub(crate) fn rua(destination: &str, outcome: RuaOutcome) -> RuaObservation {
    RuaObservation { destination: destination.to_owned(), at: NOW, outcome }
}

/// All that a judgement is made of.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) domain: DomainObservation,
    pub(crate) hosts: BTreeMap<MxHost, MxFacts>,
    pub(crate) skipped_hosts: usize,
    pub(crate) vantage: Vantage,
    pub(crate) expectation: Option<Expectation>,
    pub(crate) severities: BTreeMap<String, Severity>,
    pub(crate) accept: Vec<Acceptance>,
    pub(crate) own_mx: Vec<HostPattern>,
    pub(crate) thresholds: Thresholds,
    pub(crate) enforcing_parent: Option<PolicyDomain>,
    pub(crate) planned_mx: Vec<MxHost>,
    /// Nothing where no report source is configured.
    pub(crate) reports: Option<DomainReports>,
}

impl World {
    /// example.com with a policy in `mode`, one mail host that passes, and a TLSRPT record.
    pub(crate) fn good(mode: &str) -> Self {
        let name = |prefix: &str| format!("{prefix}.{DOMAIN}");
        let domain = DomainObservation {
            domain: PolicyDomain::parse(DOMAIN).unwrap(),
            started_at: NOW,
            duration: Duration::from_millis(800),
            sts_record: records(&name("_mta-sts"), vec![vec!["v=STSv1; id=2026;".into()]]),
            tlsrpt_record: records(&name("_smtp._tls"), vec![vec!["v=TLSRPTv1; rua=mailto:t@reports.example".into()]]),
            mx: records(DOMAIN, Vec::new()),
            implicit: None,
            policy: PolicyHostObservation {
                host: name("mta-sts"),
                addresses: addresses(&name("mta-sts"), &["192.0.2.80"]),
                resolve: Duration::from_millis(3),
                fetches: vec![fetch("192.0.2.80", &policy_body(mode, &[MX1]))],
                skipped: 0,
            },
            rua: vec![rua("mailto:t@reports.example", RuaOutcome::HasMx)],
            resolver_healthy: true,
            dnssec_healthy: true,
        };
        Self {
            domain,
            hosts: BTreeMap::new(),
            skipped_hosts: 0,
            vantage: Vantage::default(),
            expectation: None,
            severities: BTreeMap::new(),
            accept: Vec::new(),
            own_mx: Vec::new(),
            thresholds: Thresholds::default(),
            enforcing_parent: None,
            planned_mx: Vec::new(),
            reports: None,
        }
        .mx(MX1, &[A1])
    }

    /// Nothing of MTA-STS and TLSRPT is deployed.
    pub(crate) fn bare() -> Self {
        Self::good("enforce").no_record().no_policy_host()
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn records(self, texts: &[&str]) -> Self {
        let found = texts.iter().map(|text| vec![Octets::from(*text)]).collect();
        self.with(|world| world.domain.sts_record = records("_mta-sts.example.com", found))
    }

    pub(crate) fn no_record(self) -> Self {
        self.with(|world| world.domain.sts_record = lookup("_mta-sts.example.com", LookupOutcome::NxDomain))
    }

    pub(crate) fn tlsrpt(self, texts: &[&str]) -> Self {
        let found = texts.iter().map(|text| vec![Octets::from(*text)]).collect();
        self.with(|world| world.domain.tlsrpt_record = records("_smtp._tls.example.com", found))
    }

    pub(crate) fn no_policy_host(self) -> Self {
        self.with(|world| {
            let gone = || Some(lookup("mta-sts.example.com", LookupOutcome::NxDomain));
            world.domain.policy.addresses = AddressLookup { ip4: gone(), ip6: gone() };
            world.domain.policy.fetches.clear();
        })
    }

    /// Every address of the policy host serves this body.
    pub(crate) fn body(self, body: &str) -> Self {
        self.answer(|response| response.body = body.into())
    }

    /// Changes lines of the body.
    pub(crate) fn edit(self, from: &str, to: &str) -> Self {
        self.answer(|response| {
            let text = response.body.to_text();
            assert!(text.contains(from), "{text} holds no {from:?}");
            response.body = text.replace(from, to).as_str().into();
        })
    }

    pub(crate) fn answer(self, change: impl Fn(&mut HttpResponse)) -> Self {
        self.fetched(|fetch| fetch.response.iter_mut().for_each(&change))
    }

    pub(crate) fn status(self, status: u16) -> Self {
        self.answer(|response| response.status = status)
    }

    pub(crate) fn fetched(mut self, change: impl Fn(&mut PolicyFetch)) -> Self {
        self.domain.policy.fetches.iter_mut().for_each(change);
        self
    }

    pub(crate) fn fetch_fails(self, failure: &FetchFailure) -> Self {
        self.fetched(|fetch| {
            fetch.failure = Some(failure.clone());
            fetch.response = None;
            if matches!(failure, FetchFailure::Connect(_) | FetchFailure::Tls(_)) {
                fetch.tls = None;
            }
        })
    }

    pub(crate) fn policy_chain(self, chain: &ChainFacts) -> Self {
        self.fetched(|fetch| fetch.tls = Some(tls(chain.clone())))
    }

    /// Another address of the policy host, which serves what the first one does.
    pub(crate) fn policy_address(mut self, address: &str) -> Self {
        let mut fetch = self.domain.policy.fetches[0].clone();
        fetch.address = ip(address);
        self.domain.policy.fetches.push(fetch);
        self
    }

    /// Another MX, preferences in the order of the calls.
    pub(crate) fn mx(mut self, name: &str, of: &[&str]) -> Self {
        let preference = u16::try_from(self.domain.mx.records().len() + 1).unwrap() * 10;
        let record = MxRecord { preference, target: MxTarget::Host(host(name)) };
        self.domain.mx = records(DOMAIN, self.domain.mx.records().iter().cloned().chain([record]).collect());
        self.host(name, of)
    }

    /// A mail host without an MX record of its own.
    pub(crate) fn host(mut self, name: &str, of: &[&str]) -> Self {
        let seen = HostObservation {
            host: host(name),
            at: NOW,
            addresses: addresses(name, of),
            tlsa: None,
            resolver_healthy: true,
            dnssec_healthy: true,
        };
        let probes = of.iter().map(|address| (ip(address), Arc::new(probe(name, address)))).collect();
        self.hosts.insert(
            host(name),
            MxFacts { host: Arc::new(seen), addresses: probes, surveys: BTreeMap::new(), skipped: 0 },
        );
        self
    }

    /// Only these targets.
    pub(crate) fn targets(self, targets: Vec<MxTarget>) -> Self {
        let records_of = |target| MxRecord { preference: 0, target };
        self.with(|world| world.domain.mx = records(DOMAIN, targets.into_iter().map(records_of).collect()))
    }

    pub(crate) fn mx_outcome(self, outcome: LookupOutcome<MxRecord>) -> Self {
        self.with(|world| world.domain.mx = lookup(DOMAIN, outcome))
    }

    /// No MX record; the domain has these addresses.
    pub(crate) fn implicit(self, of: &[&str]) -> Self {
        let world = self.mx_outcome(LookupOutcome::NoData).with(|world| {
            world.hosts.clear();
            world.domain.implicit = Some(addresses(DOMAIN, of));
        });
        if of.is_empty() { world } else { world.host(DOMAIN, of) }
    }

    /// Changes the address lookups of a mail host.
    pub(crate) fn host_lookup(self, name: &str, change: impl FnOnce(&mut HostObservation)) -> Self {
        self.with(|world| change(Arc::make_mut(&mut world.hosts.get_mut(&host(name)).unwrap().host)))
    }

    /// Changes what an address did.
    pub(crate) fn at(mut self, address: &str, change: impl Fn(&mut AddressObservation)) -> Self {
        let mut found = 0;
        for facts in self.hosts.values_mut() {
            if let Some(probe) = facts.addresses.get_mut(&ip(address)) {
                found += 1;
                change(Arc::make_mut(probe));
            }
        }
        assert!(found > 0, "{address} is no address of a mail host");
        self
    }

    /// The dialogue with an address ended before a certificate was seen.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the outcome in place")]
    pub(crate) fn smtp(self, address: &str, outcome: SmtpOutcome) -> Self {
        self.at(address, |probe| {
            probe.outcome = outcome.clone();
            probe.tls = None;
        })
    }

    pub(crate) fn chain(self, address: &str, change: impl Fn(ChainFacts) -> ChainFacts) -> Self {
        self.at(address, |probe| {
            let chain = probe.tls.as_ref().map(|tls| (*tls.chain).clone()).unwrap();
            probe.tls = Some(tls(change(chain)));
        })
    }

    /// Another mail host goes on answering here, over the family of this address.
    pub(crate) fn answered(self, address: &str) -> Self {
        let always = Timestamp::from_unix_seconds(4_102_444_800);
        self.answered_at(address, always)
    }

    /// Another mail host answered here at that time, and was not probed since.
    pub(crate) fn answered_at(self, address: &str, at: Timestamp) -> Self {
        self.with(|world| world.vantage.note_answer(ip(address), at))
    }

    pub(crate) fn expect(self, expectation: Expectation) -> Self {
        self.with(|world| world.expectation = Some(expectation))
    }

    pub(crate) fn observation(&self, at: Timestamp) -> Observation {
        let mut domain = self.domain.clone();
        domain.started_at = at;
        domain.policy.fetches.iter_mut().for_each(|fetch| fetch.at = at);
        domain.rua.iter_mut().filter(|seen| seen.at == NOW).for_each(|seen| seen.at = at);
        let hosts = self.hosts.iter().map(|(name, facts)| {
            let mut seen = (*facts.host).clone();
            seen.at = at;
            let probes = facts.addresses.iter().map(|(address, probe)| {
                let mut probe = (**probe).clone();
                probe.at = at;
                (*address, Arc::new(probe))
            });
            let facts = MxFacts {
                host: Arc::new(seen),
                addresses: probes.collect(),
                surveys: facts.surveys.clone(),
                skipped: facts.skipped,
            };
            (name.clone(), facts)
        });
        Observation { hosts: hosts.collect(), domain: Arc::new(domain), skipped_hosts: self.skipped_hosts }
    }

    /// What `check` says: there is no history.
    pub(crate) fn assess(&self) -> Assessment {
        let mut monitor = Monitor::new();
        monitor.once = true;
        monitor.see(self)
    }
}

/// A monitor that goes on: what was seen stays in its history.
pub(crate) struct Monitor {
    pub(crate) now: Timestamp,
    pub(crate) history: History,
    pub(crate) once: bool,
    pub(crate) changes: Vec<Change>,
}

impl Monitor {
    pub(crate) fn new() -> Self {
        Self { now: NOW, history: History::default(), once: false, changes: Vec::new() }
    }

    pub(crate) fn later(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// Folds in what is seen now, and judges it.
    pub(crate) fn see(&mut self, world: &World) -> Assessment {
        let observation = world.observation(self.now);
        self.see_observation(world, &observation)
    }

    pub(crate) fn see_observation(&mut self, world: &World, observation: &Observation) -> Assessment {
        let mut vantage = world.vantage.clone();
        for facts in observation.hosts.values() {
            facts
                .addresses
                .values()
                .filter(|probe| probe.connected())
                .for_each(|probe| vantage.note_answer(probe.address, probe.at));
        }
        self.history.reports = world.reports.clone().map(Arc::new);
        self.changes.extend(self.history.domain.observe(&observation.domain, PACE));
        for (name, facts) in &observation.hosts {
            let history = Arc::make_mut(self.history.hosts.entry(name.clone()).or_default());
            self.changes.extend(history.observe(&facts.host, PACE.retry));
            for (address, probe) in &facts.addresses {
                history.compare_tlsa(probe);
                let path = history.addresses.entry(*address).or_default();
                self.changes.extend(path.observe(probe, &vantage, PACE.retry));
            }
        }
        let assessment = self.judge(world, observation, &vantage);
        self.changes.extend(self.history.domain.judged(&assessment, self.now));
        assessment
    }

    pub(crate) fn judge(&self, world: &World, observation: &Observation, vantage: &Vantage) -> Assessment {
        let context = Context {
            vantage,
            expectation: world.expectation.as_ref(),
            thresholds: &world.thresholds,
            severities: &world.severities,
            accept: &world.accept,
            own_mx: &world.own_mx,
            enforcing_parent: world.enforcing_parent.as_ref(),
            once: self.once,
            interval: INTERVAL,
            mx_interval: MX_INTERVAL,
            planned_mx: &world.planned_mx,
        };
        judge(observation, &self.history, &context, self.now)
    }
}

pub(crate) fn find(assessment: &Assessment, code: Code) -> Option<&Finding> {
    assessment.findings.iter().find(|finding| finding.code == code)
}

pub(crate) fn codes(assessment: &Assessment) -> BTreeSet<&'static str> {
    assessment.findings.iter().map(|finding| finding.code.as_str()).collect()
}
