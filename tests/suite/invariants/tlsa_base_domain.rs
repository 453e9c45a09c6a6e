//! Which names are asked for TLSA records, and what the answers come to (RFC 7672 §2.1, §2.2; RFC 7671 §7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smtptls_exporter::{
    facts::{
        AddressLookup, Asked, Lookup, LookupFailure, LookupOutcome, Security, TlsaLookup, TlsaObservation, TlsaRecord,
    },
    protocol::dane::{
        LookupLink, NotAsked, Question, TlsaState, TlsaStatus, next_question, read_record_set, read_tlsa, tlsa_state,
    },
    terms::MxHost,
};

use super::{certificate::NOW, is_printable};

/// The first is the host itself; a CNAME may lead to any, and to what is no host name.
const NAMES: [&str; 5] = ["mx.example.com", "mail.provider.example", "between.example", "not a host", "192.0.2.1"];

/// An alias by itself, what it leads to, the host.
const MOST_QUESTIONS: usize = 3;

/// A decision a byte; where they end, the first there is.
pub fn tlsa_base_domain(bytes: &[u8]) {
    let mut decisions = Decisions(bytes);
    let host = MxHost::parse(NAMES[0]).unwrap();
    let addresses = decisions.addresses();
    let mut seen = decisions.seen();

    let without = tlsa_state(&host, &addresses, None);
    let nothing = TlsaObservation::default();
    let first = next_question(&host, &addresses, &nothing);
    assert_eq!(first.is_some(), without == TlsaState::NotAsked(NotAsked::NotSeen), "{without:?}");

    let mut asked = 0;
    while let Some(question) = next_question(&host, &addresses, &seen) {
        assert!(asked < MOST_QUESTIONS, "no end");
        asked += 1;
        assert_eq!(tlsa_state(&host, &addresses, Some(&seen)), TlsaState::NotAsked(NotAsked::NotSeen));
        match question {
            Question::Alias => {
                assert!(seen.alias.is_none(), "asked twice");
                assert!(secure(&addresses).next().is_none() && !addresses.cname().is_empty());
                seen.alias = Some(decisions.lookup(vec![NAMES[1].to_owned()]));
            }
            Question::Tlsa(base) => {
                assert!(seen.lookups.iter().all(|lookup| lookup.base != base), "asked twice");
                assert!(is_base(&host, &addresses, &base), "{base} is no TLSA base domain");
                let lookup = decisions.tlsa();
                seen.lookups.push(TlsaLookup { base, lookup });
            }
        }
    }
    let state = tlsa_state(&host, &addresses, Some(&seen));
    assert_eq!(state, tlsa_state(&host, &addresses, Some(&seen)));
    check_state(&host, &addresses, &seen, &state);
}

struct Decisions<'a>(&'a [u8]);

impl Decisions<'_> {
    fn choose(&mut self, among: usize) -> usize {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*byte) % among
    }

    fn addresses(&mut self) -> AddressLookup {
        let family = self.choose(3);
        let ip4 = (family != 1).then(|| self.lookup(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]));
        let ip6 = (family != 0).then(|| self.lookup(vec![IpAddr::from(Ipv6Addr::LOCALHOST)]));
        AddressLookup { ip4, ip6 }
    }

    /// What was asked before, and may be of no use.
    fn seen(&mut self) -> TlsaObservation {
        let alias = (self.choose(2) == 1).then(|| self.lookup(vec![NAMES[1].to_owned()]));
        let mut lookups: Vec<TlsaLookup> = Vec::new();
        for _ in 0..self.choose(3) {
            // Those among the names that are host names.
            let base = MxHost::parse(NAMES[self.choose(3)]).unwrap();
            let lookup = self.tlsa();
            if lookups.iter().all(|known| known.base != base) {
                lookups.push(TlsaLookup { base, lookup });
            }
        }
        TlsaObservation { alias, lookups }
    }

    fn tlsa(&mut self) -> Lookup<TlsaRecord> {
        let records = (0..=self.choose(3)).map(|_| {
            let parameters = [self.choose(5), self.choose(3), self.choose(4)].map(|value| u8::try_from(value).unwrap());
            read_tlsa(&[&parameters[..], &[7; 32]].concat()).unwrap()
        });
        let records = records.collect();
        self.lookup(records)
    }

    fn lookup<T>(&mut self, records: Vec<T>) -> Lookup<T> {
        let outcome = match self.choose(7) {
            0 | 1 => LookupOutcome::Records { records, ttl: 3600 },
            2 => LookupOutcome::NoData,
            3 => LookupOutcome::NxDomain,
            4 => LookupOutcome::Failed(LookupFailure::ServFail),
            5 => LookupOutcome::Failed(LookupFailure::Timeout),
            _ => LookupOutcome::Failed(LookupFailure::Bogus("expired".into())),
        };
        let security = [Security::Secure, Security::Insecure, Security::Bogus, Security::Indeterminate];
        Lookup {
            name: NAMES[0].to_owned(),
            at: NOW,
            outcome,
            security: security[self.choose(5) % 4],
            cname: (0..self.choose(4)).map(|_| NAMES[self.choose(NAMES.len())].to_owned()).collect(),
            signatures: None,
            message_bytes: 0,
            extended_errors: Vec::new(),
            asked: Asked::default(),
        }
    }
}

/// The address lookups with records that DNSSEC secures.
fn secure(addresses: &AddressLookup) -> impl Iterator<Item = &Lookup<IpAddr>> {
    addresses.lookups().filter(|lookup| lookup.security == Security::Secure && !lookup.records().is_empty())
}

/// RFC 7671 §7: what secure CNAME records lead to in the end, or the host; never a name on the way.
fn is_base(host: &MxHost, addresses: &AddressLookup, base: &MxHost) -> bool {
    base == host || secure(addresses).any(|lookup| lookup.cname.last().is_some_and(|last| last == base.as_str()))
}

/// No address was found behind a CNAME.
fn leads_nowhere(addresses: &AddressLookup) -> bool {
    addresses.lookups().filter(|lookup| !lookup.records().is_empty()).all(|lookup| lookup.cname.is_empty())
}

/// RFC 7672 §2.1: no answer, or one that does not validate.
fn fails<T>(lookup: &Lookup<T>) -> bool {
    is_bogus(lookup) || matches!(lookup.outcome, LookupOutcome::Failed(_))
}

fn is_bogus<T>(lookup: &Lookup<T>) -> bool {
    lookup.security == Security::Bogus || matches!(lookup.outcome, LookupOutcome::Failed(LookupFailure::Bogus(_)))
}

fn check_state(host: &MxHost, addresses: &AddressLookup, seen: &TlsaObservation, state: &TlsaState<'_>) {
    let lookups: Vec<&TlsaLookup> =
        seen.lookups.iter().filter(|lookup| is_base(host, addresses, &lookup.base)).collect();
    let is_secure = |lookup: &Lookup<TlsaRecord>| lookup.security == Security::Secure && !lookup.records().is_empty();
    // RFC 7672 §2.2.2: the addresses are secure, or the alias is, which then leaves the host's own name alone.
    let addresses_are = secure(addresses).next().is_some();
    let alias_is = seen.alias.as_ref().is_some_and(|alias| {
        alias.security == Security::Secure && !alias.records().is_empty() && !leads_nowhere(addresses)
    });
    assert_eq!(state.base().is_some(), matches!(state, TlsaState::Records { .. }));
    if addresses.lookups().any(fails) {
        let of_addresses = matches!(
            state,
            TlsaState::Bogus { at: LookupLink::Addresses } | TlsaState::Failed { at: LookupLink::Addresses, .. }
        );
        assert!(of_addresses, "{state:?}");
    }
    let expected = match state {
        TlsaState::NotAsked(NotAsked::NotSeen) => panic!("all was asked"),
        TlsaState::NotAsked(why) => {
            assert_eq!(*why == NotAsked::NoAddress, addresses.addresses().next().is_none());
            assert!(!addresses_are);
            TlsaStatus::None
        }
        TlsaState::Absent => {
            assert!(addresses_are || alias_is);
            let own = lookups.iter().find(|lookup| lookup.base == *host).expect("the host's own name comes last");
            assert!(!fails(&own.lookup) && own.lookup.records().is_empty());
            TlsaStatus::None
        }
        TlsaState::Insecure { lookup } => {
            assert!(!lookup.lookup.records().is_empty());
            assert!(!is_secure(&lookup.lookup) || !(addresses_are || alias_is), "{state:?}");
            TlsaStatus::Insecure
        }
        TlsaState::Bogus { at } | TlsaState::Failed { at, .. } => {
            let is_bogus_there = match at {
                LookupLink::Addresses => addresses.lookups().find(|lookup| fails(lookup)).map(is_bogus),
                LookupLink::Alias => seen.alias.as_ref().filter(|lookup| fails(lookup)).map(is_bogus),
                LookupLink::Tlsa(base) => lookups
                    .iter()
                    .find(|lookup| lookup.base == *base)
                    .map(|lookup| &lookup.lookup)
                    .filter(|lookup| fails(lookup))
                    .map(is_bogus),
            };
            let is_bogus = is_bogus_there.expect("something fails there");
            assert_eq!(is_bogus, matches!(state, TlsaState::Bogus { .. }));
            if is_bogus { TlsaStatus::Bogus } else { TlsaStatus::Failed }
        }
        TlsaState::Indeterminate { at } => {
            let security = match at {
                LookupLink::Addresses => {
                    assert!(!addresses_are);
                    addresses.lookups().map(|lookup| lookup.security).find(|one| *one == Security::Indeterminate)
                }
                LookupLink::Alias => seen.alias.as_ref().map(|alias| alias.security),
                LookupLink::Tlsa(base) => {
                    lookups.iter().find(|lookup| lookup.base == *base).map(|lookup| lookup.lookup.security)
                }
            };
            assert_eq!(security, Some(Security::Indeterminate));
            TlsaStatus::Indeterminate
        }
        TlsaState::Records { lookup, set } => {
            assert!(is_secure(&lookup.lookup) && is_base(host, addresses, &lookup.base));
            assert!(addresses_are || (alias_is && lookup.base == *host));
            assert_eq!(*set, read_record_set(lookup.lookup.records()));
            if lookup.base == *host && addresses_are {
                check_the_way(host, addresses, seen);
            }
            if set.usable.is_empty() { TlsaStatus::Unusable } else { TlsaStatus::Usable }
        }
    };
    assert_eq!(state.status(), expected);
    assert!(is_printable(state.status().as_str()));
}

/// RFC 7672 §2.2.3: the host's own name is the base only where the expanded one has no secure records.
fn check_the_way(host: &MxHost, addresses: &AddressLookup, seen: &TlsaObservation) {
    let first = secure(addresses).next().unwrap();
    let Some(expanded) = first.cname.last().and_then(|last| MxHost::parse(last).ok()) else { return };
    if expanded == *host {
        return;
    }
    let asked = &seen.lookups.iter().find(|lookup| lookup.base == expanded).expect("it comes first").lookup;
    let is_passed_over = asked.security == Security::Insecure || asked.records().is_empty();
    assert!(is_passed_over && !fails(asked) && asked.security != Security::Indeterminate, "{asked:?}");
}
