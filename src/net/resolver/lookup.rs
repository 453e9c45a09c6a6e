//! The questions that the monitor asks.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{Name, RecordType},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    ResolverOptions, ResolverStats,
    cache::{Cache, Known, MAX_ENTRIES},
    chain::Gathered,
    dnssec::{Dnssec, Link},
    kinds::{A, AAAA, CNAME, Kind, MX, TLSA, TXT},
    source::Source,
    upstream::{NoAnswer, Upstream},
};
use crate::{
    facts::{
        AddressLookup, Asked, DnssecSight, ExtendedError, Lookup, LookupFailure, LookupOutcome, MxRecord, Security,
        TlsaRecord,
    },
    net::clock,
    protocol::dns::{CnameChain, presentation},
    terms::{Octets, Timestamp},
};

/// How many lookups are under way at once. Each holds one socket, and a burst of so many queries still fits into the receive
/// buffer of a resolver's socket at Linux's default size (208 KiB, of which the kernel books 768 bytes a query): what does
/// not fit is lost and costs a retry.
pub const MAX_IN_FLIGHT: usize = 256;
/// RFC 2308 §5 allows hours; a record that was just published should not be missed for long.
const MAX_NEGATIVE: Duration = Duration::from_secs(300);
/// A failure is kept for as long as those who share the name come together (RFC 9520 §3.2 asks for at least a second).
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// Which address families to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// A records.
    pub ip4: bool,
    /// AAAA records.
    pub ip6: bool,
}

impl Families {
    /// Both.
    pub const ALL: Self = Self { ip4: true, ip6: true };
}

/// A stub resolver; clones share everything.
///
/// No method fails: what went wrong is a fact in the [`Lookup`]. Each lookup is bounded by [`ResolverOptions::timeout`] from
/// the moment its turn comes (no more than 256 are under way at once). Equal questions at the same time are asked once.
#[derive(Clone, Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    /// Answers from before this are not used.
    since: Option<Instant>,
    /// Nor answers from before this to the very question; where its aliases lead may be known from before.
    asked_since: Option<Instant>,
}

#[derive(Debug)]
struct Shared {
    source: Arc<Source>,
    dnssec: Dnssec,
    max_cache: Duration,
    turns: Semaphore,
    txt: Cache<Lookup<Vec<Octets>>>,
    mx: Cache<Lookup<MxRecord>>,
    ip4: Cache<Lookup<IpAddr>>,
    ip6: Cache<Lookup<IpAddr>>,
    tlsa: Cache<Lookup<TlsaRecord>>,
    cname: Cache<Lookup<String>>,
    /// What stands at the targets of aliases, by name and type: many names lead to one.
    targets: Cache<Result<Arc<Link>, NoAnswer>>,
}

impl Resolver {
    /// A resolver that has asked nothing yet. Without servers every lookup fails as unreachable.
    pub fn new(options: ResolverOptions) -> Self {
        let shared = Shared {
            source: Arc::new(Source::new(Upstream::new(options.servers), options.timeout)),
            dnssec: Dnssec::new(options.dnssec),
            max_cache: options.max_cache,
            turns: Semaphore::new(MAX_IN_FLIGHT),
            txt: Cache::new(MAX_ENTRIES),
            mx: Cache::new(MAX_ENTRIES),
            ip4: Cache::new(MAX_ENTRIES),
            ip6: Cache::new(MAX_ENTRIES),
            tlsa: Cache::new(MAX_ENTRIES),
            cname: Cache::new(MAX_ENTRIES),
            targets: Cache::new(MAX_ENTRIES),
        };
        Self { shared: Arc::new(shared), since: None, asked_since: None }
    }

    /// The same resolver for a look at what stands in the DNS now: answers that it has from before are not used. What it gets is
    /// there for the others too. Servers behind it may have caches of their own.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), since: Some(Instant::now()), asked_since: None }
    }

    /// The same resolver for names that belong to the one whom a look is at: each is asked for now, however short ago that was
    /// done before, so that a look sees what changed. Where their aliases lead is another's, and may be known from before.
    #[must_use]
    pub fn asking(&self) -> Self {
        Self { asked_since: Some(Instant::now()), ..self.clone() }
    }

    /// The TXT records of a name, each as its character-strings (RFC 1035 §3.3.14).
    pub async fn txt(&self, name: &str) -> Lookup<Vec<Octets>> {
        self.look_up(&self.shared.txt, TXT, name).await
    }

    /// The MX records of a name, by preference and then by target.
    pub async fn mx(&self, name: &str) -> Lookup<MxRecord> {
        let mut lookup = self.look_up(&self.shared.mx, MX, name).await;
        if let LookupOutcome::Records { records, .. } = &mut lookup.outcome {
            records.sort();
        }
        lookup
    }

    /// The addresses of a name, both families at the same time.
    pub async fn addresses(&self, name: &str, families: Families) -> AddressLookup {
        let ip4 = async {
            match families.ip4 {
                true => Some(self.look_up(&self.shared.ip4, A, name).await),
                false => None,
            }
        };
        let ip6 = async {
            match families.ip6 {
                true => Some(self.look_up(&self.shared.ip6, AAAA, name).await),
                false => None,
            }
        };
        let (ip4, ip6) = tokio::join!(ip4, ip6);
        AddressLookup { ip4, ip6 }
    }

    /// The TLSA records of a name, such as `_25._tcp.mx.example.com` (RFC 6698 §3).
    pub async fn tlsa(&self, name: &str) -> Lookup<TlsaRecord> {
        self.look_up(&self.shared.tlsa, TLSA, name).await
    }

    /// As [`Resolver::tlsa`], and asks anew where the last lookup failed.
    pub async fn tlsa_anew(&self, name: &str) -> Lookup<TlsaRecord> {
        self.shared.tlsa.drop_if(&canonical(name), |lookup| !lookup.answered());
        self.tlsa(name).await
    }

    /// The CNAME record at a name itself, as the name that it leads to. It is not followed: so it tells whether the alias alone
    /// is secure (RFC 7672 §2.2.3).
    pub async fn cname(&self, name: &str) -> Lookup<String> {
        self.look_up(&self.shared.cname, CNAME, name).await
    }

    /// Whether the resolver works: the root is answered (NOERROR or NXDOMAIN) now, three times in a row, and was whenever that was asked
    /// within the last minute, so that one that flaps is not believed by turns. It is asked by one at a time, and the result holds for a
    /// second.
    ///
    /// To be asked when a lookup has just failed: then it tells whose fault that is.
    pub async fn healthy(&self) -> bool {
        self.shared.source.upstream.is_healthy(self.shared.source.timeout).await
    }

    /// Whether DNSSEC can be seen from here, as it was seen last: cheap, asks nobody. Before the first
    /// [`Resolver::dnssec_healthy`] nothing was seen.
    pub fn dnssec_sight(&self) -> DnssecSight {
        self.shared.dnssec.sight()
    }

    /// Whether a control name that is known to be signed, the SOA record of the root, validated within the last minute; it is
    /// asked for anew otherwise, by one at a time. Never where DNSSEC is switched off.
    ///
    /// To be asked when an answer is bogus, indeterminate or missing: then it tells whose fault that may be.
    pub async fn dnssec_healthy(&self) -> bool {
        self.shared.dnssec.is_healthy(&self.shared.source).await
    }

    /// The counters since the start.
    pub fn stats(&self) -> ResolverStats {
        self.shared.source.upstream.counters.read()
    }

    async fn look_up<T: Clone>(&self, cache: &Cache<Lookup<T>>, kind: Kind<T>, name: &str) -> Lookup<T> {
        let name = canonical(name);
        let entry = cache.entry_since(&name, Instant::now(), self.since.max(self.asked_since));
        let mut asked = false;
        let known = entry
            .answer
            .get_or_init(|| async {
                asked = true;
                // On the heap: it is some kilobytes, which every future around it would move along, asked or not.
                Box::pin(self.shared.resolve(kind, &name, self.since)).await
            })
            .await;
        if !asked {
            self.shared.source.upstream.counters.count_cache_hit();
        }
        known.value.clone()
    }

    /// Forgets every answer, so that the next lookups see what stands in the DNS now.
    pub fn flush(&self) {
        self.shared.txt.clear();
        self.shared.mx.clear();
        self.shared.ip4.clear();
        self.shared.ip6.clear();
        self.shared.tlsa.clear();
        self.shared.cname.clear();
        self.shared.targets.clear();
        self.shared.source.flush();
        self.shared.dnssec.flush();
    }
}

impl Shared {
    async fn resolve<T>(&self, kind: Kind<T>, name: &str, since: Option<Instant>) -> Known<Lookup<T>> {
        // The semaphore is never closed; without a permit the lookup would only be one too many.
        let _turn = self.turns.acquire().await;
        let mut resolution = Resolution::new(clock::now(), since);
        let started = Instant::now();
        let deadline = started + self.source.timeout;
        let (outcome, aliases) = match wire_name(name) {
            Some(start) => {
                let mut chain = CnameChain::new(start);
                let outcome = self.follow(kind, &mut chain, deadline, &mut resolution).await;
                (outcome, chain.aliases().iter().map(|alias| presentation(alias.iter())).collect())
            }
            None => (LookupOutcome::NxDomain, Vec::new()),
        };
        if let LookupOutcome::Failed(failure) = &outcome {
            self.source.upstream.counters.count_failure(failure);
        }
        let kept = match &outcome {
            LookupOutcome::Records { ttl, .. } => Duration::from_secs((*ttl).into()),
            LookupOutcome::NoData | LookupOutcome::NxDomain => resolution.negative_for.min(MAX_NEGATIVE),
            LookupOutcome::Failed(_) => FAILURE_KEPT,
        };
        let security = match &outcome {
            LookupOutcome::Failed(LookupFailure::Bogus(_)) => Security::Bogus,
            LookupOutcome::Failed(_) => Security::Indeterminate,
            _ => resolution.security.unwrap_or_default(),
        };
        let signatures = match &outcome {
            LookupOutcome::Records { .. } if security == Security::Secure => {
                resolution.gathered.walk(&self.source, resolution.at, deadline).await
            }
            _ => None,
        };
        let lookup = Lookup {
            name: name.to_owned(),
            at: clock::now(),
            security,
            signatures,
            message_bytes: resolution.message_bytes,
            outcome,
            cname: aliases,
            extended_errors: resolution.extended_errors,
            asked: Asked::new(started.elapsed(), resolution.server),
        };
        let until = Instant::now() + kept.min(self.max_cache);
        Known { value: lookup, until: resolution.until.map_or(until, |earlier| until.min(earlier)) }
    }

    /// Asks for a name, and again for where its aliases lead as long as the answers end in an alias.
    async fn follow<T>(
        &self,
        kind: Kind<T>,
        chain: &mut CnameChain<Name>,
        deadline: Instant,
        resolution: &mut Resolution,
    ) -> LookupOutcome<T> {
        loop {
            let asked = match chain.aliases().is_empty() {
                true => {
                    let asked = self.dnssec.ask(&self.source, &chain.end().clone(), kind.record_type, deadline).await;
                    asked.map(Arc::new)
                }
                false => self.target(&chain.end().clone(), kind.record_type, deadline, resolution).await,
            };
            let link = match asked {
                Ok(link) => link,
                Err(NoAnswer { failure, extended_errors, server }) => {
                    resolution.server = server;
                    resolution.note_errors(&extended_errors);
                    return LookupOutcome::Failed(failure);
                }
            };
            let Link { answer, security } = link.as_ref();
            resolution.server = answer.server;
            resolution.note_link(*security);
            resolution.note_errors(&answer.extended_errors);
            resolution.message_bytes = resolution.message_bytes.max(answer.bytes);
            resolution.gathered.note_answer(&answer.answers, kind.record_type, resolution.at);
            let links = chain.aliases().len();
            let records = match kind.is_alias() {
                true => answer.records_at(chain.end(), kind.read),
                false => {
                    let Ok(records) = chain.follow(answer.records(kind.read)) else {
                        return LookupOutcome::Failed(LookupFailure::CnameChain);
                    };
                    records.into_iter().map(|record| (record, chain.ttl())).collect()
                }
            };
            // RFC 2308 §5: a denial without an SOA record is not kept.
            let kept = answer.negative_ttl.unwrap_or(0).min(chain.ttl());
            resolution.negative_for = Duration::from_secs(kept.into());
            // Of an alias that is there, this code says that its target is not.
            if answer.rcode == ResponseCode::NXDomain && (records.is_empty() || !kind.is_alias()) {
                return LookupOutcome::NxDomain;
            }
            if let Some(ttl) = records.iter().map(|(_, ttl)| *ttl).min() {
                return LookupOutcome::Records {
                    records: records.into_iter().map(|(record, _)| record).collect(),
                    ttl,
                };
            }
            // RFC 2308 §2.2: the SOA record says that the end of the chain has nothing. Without it the server may just have
            // stopped there, as one does that knows only the zone of the alias.
            if answer.negative_ttl.is_some() || chain.aliases().len() == links {
                return LookupOutcome::NoData;
            }
        }
    }
}

impl Shared {
    /// What stands at the target of an alias, asked for once by all whose aliases lead there.
    async fn target(
        &self,
        name: &Name,
        kind: RecordType,
        deadline: Instant,
        resolution: &mut Resolution,
    ) -> Result<Arc<Link>, NoAnswer> {
        let key = format!("{} {kind}", name.to_lowercase());
        let mut asked = false;
        let (value, until) = loop {
            let entry = self.targets.entry_since(&key, Instant::now(), resolution.since);
            let asking = entry.answer.get_or_init(|| async {
                asked = true;
                let left = deadline.saturating_duration_since(Instant::now());
                let link = self.dnssec.ask(&self.source, name, kind, deadline).await;
                let kept = match &link {
                    Ok(Link { answer, .. }) if answer.answers.is_empty() => {
                        Duration::from_secs(answer.ttl().into()).min(MAX_NEGATIVE)
                    }
                    Ok(Link { answer, .. }) => Duration::from_secs(answer.ttl().into()),
                    Err(no_answer) => failure_kept(&no_answer.failure, left, self.source.timeout),
                };
                Known { value: link.map(Arc::new), until: Instant::now() + kept.min(self.max_cache) }
            });
            // Who asks is bounded by the deadline of his own lookup, and others wait no longer than theirs.
            let Ok(known) = timeout_at(deadline, asking).await else {
                return Err(NoAnswer::because(LookupFailure::Timeout));
            };
            // What another one had no time to see is no answer for whoever has more.
            if asked || known.value.is_ok() || Instant::now() < known.until {
                break (known.value.clone(), known.until);
            }
        };
        if !asked {
            self.source.upstream.counters.count_cache_hit();
        }
        resolution.until = Some(resolution.until.map_or(until, |earlier| until.min(earlier)));
        value
    }
}

/// How long the failure of a target is kept, by the time that was left when it was asked for. The way to an alias takes from the same
/// time: what a slow one leaves too little for says nothing to others.
fn failure_kept(failure: &LookupFailure, left: Duration, timeout: Duration) -> Duration {
    match failure {
        LookupFailure::Timeout if left < timeout / 2 => Duration::ZERO,
        _ => FAILURE_KEPT,
    }
}

/// What is gathered on the way through a chain.
struct Resolution {
    at: Timestamp,
    /// What is known from before this may not be used.
    since: Option<Instant>,
    /// When the first ends of what was known from before.
    until: Option<Instant>,
    security: Option<Security>,
    negative_for: Duration,
    message_bytes: usize,
    gathered: Gathered,
    extended_errors: Vec<ExtendedError>,
    server: Option<IpAddr>,
}

impl Resolution {
    fn new(at: Timestamp, since: Option<Instant>) -> Self {
        Self {
            at,
            since,
            until: None,
            security: None,
            negative_for: Duration::ZERO,
            message_bytes: 0,
            gathered: Gathered::default(),
            extended_errors: Vec::new(),
            server: None,
        }
    }

    /// RFC 7672 §2.1.3: one insecure link makes the whole insecure. One that cannot be told makes it untold.
    fn note_link(&mut self, security: Security) {
        let doubt = |security| match security {
            Security::Secure => 0,
            Security::Insecure => 1,
            Security::Indeterminate => 2,
            Security::Bogus => 3,
        };
        let before = self.security.unwrap_or(Security::Secure);
        self.security = Some(if doubt(security) > doubt(before) { security } else { before });
    }

    fn note_errors(&mut self, errors: &[ExtendedError]) {
        for error in errors {
            if !self.extended_errors.contains(error) {
                self.extended_errors.push(error.clone());
            }
        }
    }
}

/// A name as it is kept: lower case, without the final dot.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The name as the DNS holds it. One that it cannot hold (RFC 1035 §2.3.4: an empty label, one of more than 63 octets, a name
/// of more than 255) cannot exist there either.
fn wire_name(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_kept_where_there_was_time() {
        let timeout = Duration::from_secs(5);
        let kept = |failure, left| failure_kept(&failure, Duration::from_millis(left), timeout);
        assert_eq!(kept(LookupFailure::Timeout, 5000), FAILURE_KEPT);
        assert_eq!(kept(LookupFailure::Timeout, 2500), FAILURE_KEPT);
        assert_eq!(kept(LookupFailure::Timeout, 2499), Duration::ZERO);
        assert_eq!(kept(LookupFailure::ServFail, 1), FAILURE_KEPT, "the server said so");
    }

    #[test]
    fn a_name_that_the_dns_cannot_hold_is_known_not_to_exist() {
        assert!(wire_name("_smtp._tls.example.com").is_some_and(|name| name.is_fqdn()));
        let longest = format!("{}abc", "a.".repeat(125));
        assert_eq!(longest.len(), 253);
        assert!(wire_name(&longest).is_some());
        for name in [format!("{longest}d"), "a..b".to_owned(), "x".repeat(64), String::new()] {
            assert!(wire_name(&name).is_none(), "{name:?}");
        }
    }
}
