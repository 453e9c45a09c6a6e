//! Findings on DNSSEC and DANE.

use std::time::Duration;

use smtptls_exporter::{
    facts::{LookupFailure, LookupOutcome, Security, SignatureFacts, TlsaRecord},
    verdict::Code,
};

use super::{
    case::{A1, A2, DAY, DOMAIN, MX1, MX2, NOW, World, lookup},
    codes::Pair,
    signed::{bogus, issued, issuer, leaf, own, signature, tlsa_name, trusted},
};
use crate::dane::pki::stranger;

pub(crate) fn live() -> TlsaRecord {
    own([3, 1, 1], MX1)
}

fn signatures(world: World, change: impl Fn(&mut SignatureFacts)) -> World {
    let mut facts = signature(NOW + 7 * DAY);
    change(&mut facts);
    world.signed().with(|world| world.domain.mx.signatures = Some(facts))
}

/// Another key for each number.
fn others(count: u8) -> Vec<TlsaRecord> {
    let other = |number| TlsaRecord { data: vec![number; 32].into(), ..stranger([3, 1, 1]) };
    (0..count).map(other).collect()
}

fn fails(world: World) -> World {
    let answer = lookup(&tlsa_name(MX1), LookupOutcome::Failed(LookupFailure::ServFail));
    world.signed().tlsa_lookup(MX1, answer)
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::DnssecBogus,
        severity: "EEEE",
        raised: |world| world.signed().with(|world| world.domain.mx = bogus(DOMAIN)),
        near: |world| {
            world.signed().with(|world| {
                world.domain.mx = bogus(DOMAIN);
                world.domain.dnssec_healthy = false;
            })
        },
    },
    Pair {
        code: Code::DnssecSignatureExpiring,
        severity: "WWWW",
        raised: |world| signatures(world, |facts| facts.expires = NOW + 2 * DAY - Duration::from_secs(1)),
        near: |world| signatures(world, |facts| facts.expires = NOW + 2 * DAY),
    },
    Pair {
        code: Code::DnssecAlgorithmWeak,
        severity: "WWWW",
        raised: |world| {
            signatures(world, |facts| {
                facts.weak = Some("example.com has a DS record of digest type 1 alone".to_owned());
            })
        },
        near: |world| signatures(world, |_| ()),
    },
    Pair {
        code: Code::DaneMismatch,
        severity: "EEEE",
        raised: |world| world.with_dane(&[stranger([3, 1, 1])]),
        // The same key under another matching type.
        near: |world| world.with_dane(&[own([3, 1, 2], MX1)]),
    },
    Pair {
        code: Code::DaneChainInvalid,
        severity: "EEEE",
        raised: |world| {
            world.with_dane(&[issued([2, 1, 1])]).chain(A1, |_| trusted(&[&leaf("mx.provider.example"), &issuer()]))
        },
        // The domain's own name counts where its MX records are secure (RFC 7672 §3.2.2).
        near: |world| world.with_dane(&[issued([2, 1, 1])]).chain(A1, |_| trusted(&[&leaf(DOMAIN), &issuer()])),
    },
    Pair {
        code: Code::DaneLookupFailed,
        severity: "EEEE",
        raised: fails,
        // Nobody asks for the records of insecure addresses.
        near: |world| fails(world).addresses_are(MX1, Security::Insecure),
    },
    Pair {
        code: Code::DaneUnusable,
        severity: "WWWW",
        raised: |world| world.with_dane(&[own([1, 1, 1], MX1)]),
        near: |world| world.with_dane(&[own([1, 1, 1], MX1), live()]),
    },
    Pair {
        code: Code::DaneRecordUnusable,
        severity: "WWWW",
        raised: |world| world.with_dane(&[TlsaRecord { data: vec![0xab; 31].into(), ..live() }, live()]),
        // All of them: that is more than a record.
        near: |world| world.with_dane(&[TlsaRecord { data: vec![0xab; 31].into(), ..live() }]),
    },
    Pair {
        code: Code::DaneInsecure,
        severity: "WWWW",
        raised: |world| world.with_dane(&[live()]).edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure),
        near: |world| world.with_dane(&[]).edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure),
    },
    Pair {
        code: Code::DaneMxInsecure,
        severity: "WWWW",
        raised: |world| world.with_dane(&[live()]).mx_is(Security::Insecure),
        near: |world| world.with_dane(&[live()]).mx_is(Security::Indeterminate),
    },
    Pair {
        code: Code::DanePartial,
        severity: "WWWW",
        raised: |world| world.mx(MX2, &[A2]).with_dane(&[live()]),
        // A mismatch is another matter: the host has records.
        near: |world| world.mx(MX2, &[A2]).with_dane(&[live()]).tlsa(MX2, &[stranger([3, 1, 1])]),
    },
    Pair {
        code: Code::DaneCombinationStale,
        severity: "WWWW",
        raised: |world| world.with_dane(&[stranger([3, 1, 1]), own([3, 1, 2], MX1)]),
        near: |world| world.with_dane(&[stranger([3, 1, 1]), live(), own([3, 1, 2], MX1)]),
    },
    Pair {
        code: Code::DaneRollover,
        severity: "IIII",
        raised: |world| world.with_dane(&[live(), stranger([3, 1, 1])]),
        // The same twice is no other key.
        near: |world| world.with_dane(&[live(), live()]),
    },
    Pair {
        code: Code::DaneTaOnly,
        severity: "IIII",
        raised: |world| world.with_dane(&[issued([2, 1, 1]), issued([2, 0, 1])]),
        near: |world| world.with_dane(&[issued([2, 1, 1]), live()]),
    },
    Pair {
        code: Code::DaneAnswerLarge,
        severity: "WWWW",
        raised: |world| world.with_dane(&[vec![live()], others(12)].concat()),
        near: |world| {
            let found = [vec![live()], others(11)].concat();
            world.with_dane(&found).edit_tlsa(MX1, |lookup| lookup.message_bytes = 1232)
        },
    },
];
