//! The questions that the monitor asks.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{Name, RData, RecordType},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    ResolverOptions, ResolverStats,
    cache::{Cache, Known, MAX_ENTRIES},
    upstream::{NoAnswer, Upstream},
};
use crate::{
    facts::{AddressLookup, ExtendedError, Lookup, LookupFailure, LookupOutcome, MxRecord, Security},
    net::clock,
    protocol::dns::{CnameChain, mx_target, presentation},
    terms::Octets,
};

/// How many lookups are under way at once. Each holds one socket, and a burst of so many queries still fits into the receive
/// buffer of a resolver's socket at Linux's default size (208 KiB, of which the kernel books 768 bytes a query): what does
/// not fit is lost and costs a retry.
const MAX_IN_FLIGHT: usize = 256;
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
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    timeout: Duration,
    max_cache: Duration,
    turns: Semaphore,
    txt: Cache<Vec<Octets>>,
    mx: Cache<MxRecord>,
    ip4: Cache<IpAddr>,
    ip6: Cache<IpAddr>,
}

/// A record type and how its records are read.
#[derive(Clone, Copy)]
struct Kind<T> {
    record_type: RecordType,
    read: fn(&RData) -> Option<T>,
}

const TXT: Kind<Vec<Octets>> = Kind {
    record_type: RecordType::TXT,
    read: |data| match data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|string| Octets(string.to_vec())).collect()),
        _ => None,
    },
};

const MX: Kind<MxRecord> = Kind {
    record_type: RecordType::MX,
    read: |data| match data {
        RData::MX(mx) => Some(MxRecord { preference: mx.preference, target: mx_target(mx.exchange.iter()) }),
        _ => None,
    },
};

const A: Kind<IpAddr> = Kind {
    record_type: RecordType::A,
    read: |data| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    },
};

const AAAA: Kind<IpAddr> = Kind {
    record_type: RecordType::AAAA,
    read: |data| match data {
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    },
};

impl Resolver {
    /// A resolver that has asked nothing yet. Without servers every lookup fails as unreachable.
    pub fn new(options: ResolverOptions) -> Self {
        let shared = Shared {
            upstream: Upstream::new(options.servers),
            timeout: options.timeout,
            max_cache: options.max_cache,
            turns: Semaphore::new(MAX_IN_FLIGHT),
            txt: Cache::new(MAX_ENTRIES),
            mx: Cache::new(MAX_ENTRIES),
            ip4: Cache::new(MAX_ENTRIES),
            ip6: Cache::new(MAX_ENTRIES),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The TXT records of a name, each as its character-strings (RFC 1035 §3.3.14).
    pub async fn txt(&self, name: &str) -> Lookup<Vec<Octets>> {
        self.shared.look_up(&self.shared.txt, TXT, name).await
    }

    /// The MX records of a name, by preference and then by target.
    pub async fn mx(&self, name: &str) -> Lookup<MxRecord> {
        let mut lookup = self.shared.look_up(&self.shared.mx, MX, name).await;
        if let LookupOutcome::Records { records, .. } = &mut lookup.outcome {
            records.sort();
        }
        lookup
    }

    /// The addresses of a name, both families at the same time.
    pub async fn addresses(&self, name: &str, families: Families) -> AddressLookup {
        let ip4 = async {
            match families.ip4 {
                true => Some(self.shared.look_up(&self.shared.ip4, A, name).await),
                false => None,
            }
        };
        let ip6 = async {
            match families.ip6 {
                true => Some(self.shared.look_up(&self.shared.ip6, AAAA, name).await),
                false => None,
            }
        };
        let (ip4, ip6) = tokio::join!(ip4, ip6);
        AddressLookup { ip4, ip6 }
    }

    /// Whether the resolver works: some name was answered (NOERROR or NXDOMAIN) within the last second, or the root is now.
    /// That question is asked by one at a time, and its result holds for a second.
    ///
    /// To be asked when a lookup has just failed: then it tells whose fault that is.
    pub async fn healthy(&self) -> bool {
        self.shared.upstream.is_healthy(self.shared.timeout).await
    }

    /// Whether every server answers the question for the SOA record of the root with the AD bit: it validates.
    pub async fn root_answers_with_ad(&self) -> bool {
        self.shared.upstream.root_answers_with_ad(self.shared.timeout).await
    }

    /// Whether every server has a loopback address, so that nobody on the way can set the AD bit (RFC 7672 §2.1.3).
    /// 127.0.0.11 does not count: there Docker forwards to servers elsewhere.
    pub fn is_local(&self) -> bool {
        self.shared.upstream.is_local()
    }

    /// The counters since the start.
    pub fn stats(&self) -> ResolverStats {
        self.shared.upstream.counters.read()
    }

    /// Forgets every answer, so that the next lookups see what stands in the DNS now.
    pub fn flush(&self) {
        self.shared.txt.clear();
        self.shared.mx.clear();
        self.shared.ip4.clear();
        self.shared.ip6.clear();
    }
}

impl Shared {
    async fn look_up<T: Clone>(&self, cache: &Cache<T>, kind: Kind<T>, name: &str) -> Lookup<T> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let entry = cache.entry(&name, Instant::now());
        let mut asked = false;
        let known = entry
            .get_or_init(|| async {
                asked = true;
                self.resolve(kind, &name).await
            })
            .await;
        if !asked {
            self.upstream.counters.count_cache_hit();
        }
        known.lookup.clone()
    }

    async fn resolve<T>(&self, kind: Kind<T>, name: &str) -> Known<T> {
        // The semaphore is never closed; without a permit the lookup would only be one too many.
        let _turn = self.turns.acquire().await;
        let mut resolution = Resolution::default();
        let (outcome, aliases) = match wire_name(name) {
            Some(start) => {
                let mut chain = CnameChain::new(start);
                let deadline = Instant::now() + self.timeout;
                let outcome = self.follow(kind, &mut chain, deadline, &mut resolution).await;
                (outcome, chain.aliases().iter().map(|alias| presentation(alias.iter())).collect())
            }
            None => (LookupOutcome::NxDomain, Vec::new()),
        };
        if let LookupOutcome::Failed(failure) = &outcome {
            self.upstream.counters.count_failure(failure);
        }
        let kept = match &outcome {
            LookupOutcome::Records { ttl, .. } => Duration::from_secs((*ttl).into()),
            LookupOutcome::NoData | LookupOutcome::NxDomain => resolution.negative_for.min(MAX_NEGATIVE),
            LookupOutcome::Failed(_) => FAILURE_KEPT,
        };
        let lookup = Lookup {
            name: name.to_owned(),
            at: clock::now(),
            security: match &outcome {
                LookupOutcome::Failed(_) => Security::Indeterminate,
                _ if resolution.authentic => Security::Secure,
                _ => Security::Insecure,
            },
            signatures: None,
            message_bytes: 0,
            outcome,
            cname: aliases,
            extended_errors: resolution.extended_errors,
        };
        Known { lookup, until: Instant::now() + kept.min(self.max_cache) }
    }

    /// Asks for a name, and again for where its aliases lead as long as the answers end in an alias.
    async fn follow<T>(
        &self,
        kind: Kind<T>,
        chain: &mut CnameChain<Name>,
        deadline: Instant,
        resolution: &mut Resolution,
    ) -> LookupOutcome<T> {
        let mut authentic = true;
        loop {
            let answer = match self.upstream.ask(&chain.end().clone(), kind.record_type, deadline).await {
                Ok(answer) => answer,
                Err(NoAnswer { failure, extended_errors }) => {
                    resolution.note_errors(extended_errors);
                    return LookupOutcome::Failed(failure);
                }
            };
            authentic &= answer.authentic;
            resolution.authentic = authentic;
            resolution.note_errors(answer.extended_errors.clone());
            let links = chain.aliases().len();
            let (rcode, negative_ttl) = (answer.rcode, answer.negative_ttl);
            let Ok(records) = chain.follow(answer.into_records(kind.read)) else {
                return LookupOutcome::Failed(LookupFailure::CnameChain);
            };
            // RFC 2308 §5: a denial without an SOA record is not kept.
            let kept = negative_ttl.unwrap_or(0).min(chain.ttl());
            resolution.negative_for = Duration::from_secs(kept.into());
            if rcode == ResponseCode::NXDomain {
                return LookupOutcome::NxDomain;
            }
            if !records.is_empty() {
                return LookupOutcome::Records { records, ttl: chain.ttl() };
            }
            // RFC 2308 §2.2: the SOA record says that the end of the chain has nothing. Without it the server may just have
            // stopped there, as one does that knows only the zone of the alias.
            if negative_ttl.is_some() || chain.aliases().len() == links {
                return LookupOutcome::NoData;
            }
        }
    }
}

/// What is gathered on the way through a chain.
#[derive(Default)]
struct Resolution {
    authentic: bool,
    negative_for: Duration,
    extended_errors: Vec<ExtendedError>,
}

impl Resolution {
    fn note_errors(&mut self, errors: Vec<ExtendedError>) {
        for error in errors {
            if !self.extended_errors.contains(&error) {
                self.extended_errors.push(error);
            }
        }
    }
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
