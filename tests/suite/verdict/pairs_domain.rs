//! Findings on the records and the expectation of a domain.

use smtptls_exporter::{
    facts::{LookupOutcome, MxTarget},
    verdict::{Code, Expectation},
};

use super::{
    case::{A1, World, failed, ip, lookup},
    codes::Pair,
};

const STS: &str = "_mta-sts.example.com";
const TLSRPT: &str = "_smtp._tls.example.com";

fn same(world: World) -> World {
    world
}

pub(crate) fn no_tlsrpt(world: World) -> World {
    world.with(|world| world.domain.tlsrpt_record = lookup(TLSRPT, LookupOutcome::NoData))
}

fn delegated(world: World) -> World {
    world.with(|world| world.domain.sts_record.cname = vec!["sts.provider.example".to_owned()])
}

fn ttl(world: World, seconds: u32) -> World {
    world.with(|world| {
        if let LookupOutcome::Records { ttl, .. } = &mut world.domain.sts_record.outcome {
            *ttl = seconds;
        }
    })
}

fn below_a_parent(world: World) -> World {
    world.with(|world| world.enforcing_parent = smtptls_exporter::terms::PolicyDomain::parse("parent.example").ok())
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::DnsLookupFailed,
        severity: "WWWW",
        raised: |world| world.with(|world| world.domain.sts_record = failed(STS)),
        near: |world| world.with(|world| world.domain.sts_record = lookup(STS, LookupOutcome::NoData)),
    },
    Pair {
        code: Code::DomainNonexistent,
        severity: "EEEE",
        raised: |world| world.mx_outcome(LookupOutcome::NxDomain),
        near: |world| world.implicit(&["192.0.2.3"]),
    },
    Pair {
        code: Code::DnsDelegationDangling,
        severity: "EEEE",
        raised: |world| delegated(world.no_record()),
        near: delegated,
    },
    Pair {
        code: Code::StsSubdomainUncovered,
        // While senders still hold the domain's own policy, it is covered.
        severity: "-III",
        raised: |world| below_a_parent(world.no_record()),
        near: |world| below_a_parent(world.no_record().implicit(&["192.0.2.3"])),
    },
    Pair {
        code: Code::TlsRptRuaSharesFate,
        severity: "IIII",
        raised: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:t@example.com,https://r.example.com/in"]),
        near: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:t@example.com,mailto:t@notexample.com"]),
    },
    Pair { code: Code::StsRecordMissing, severity: "IIII", raised: World::no_record, near: same },
    Pair {
        code: Code::StsRecordMultiple,
        severity: "EEEE",
        raised: |world| world.records(&["v=STSv1; id=1;", "v=STSv1; id=2;"]),
        near: |world| world.records(&["v=STSv1; id=1;", "v=spf1 -all"]),
    },
    Pair {
        code: Code::StsRecordInvalid,
        severity: "EEEE",
        raised: |world| world.records(&["v=STSv1; id=2026; x"]),
        near: |world| world.records(&["v=STSv1; id=2026; x=y"]),
    },
    Pair {
        code: Code::StsRecordIdInvalid,
        severity: "EEEE",
        raised: |world| world.records(&["v=STSv1; id=2026-11-23;"]),
        near: |world| world.records(&["v=STSv1; id=20261123200000Z20261123200000Zab;"]),
    },
    Pair {
        code: Code::StsRecordLenient,
        severity: "WWWW",
        raised: |world| world.records(&["v=STSv1 ; id=2026;"]),
        near: |world| world.records(&["v=STSv1;id=2026"]),
    },
    Pair {
        code: Code::StsRecordUnrelatedTxt,
        severity: "IIII",
        raised: |world| world.records(&["v=spf1 -all", "v=STSv1; id=2026;"]),
        near: same,
    },
    Pair {
        code: Code::StsRecordDelegated,
        severity: "IIII",
        raised: delegated,
        near: |world| delegated(world.with(|world| world.domain.sts_record = lookup(STS, LookupOutcome::NoData))),
    },
    Pair {
        code: Code::StsRecordTtlLong,
        severity: "WWWW",
        raised: |world| ttl(world, 86_401),
        near: |world| ttl(world, 86_400),
    },
    Pair {
        code: Code::StsRecordNote,
        severity: "IIII",
        raised: |world| world.records(&["v=STSv1; id=2026; x=y"]),
        near: |world| world.records(&["v=STSv1; id=2026;"]),
    },
    Pair {
        code: Code::TlsRptRecordMissing,
        severity: "WWIW",
        raised: no_tlsrpt,
        near: |world| world.with(|world| world.domain.tlsrpt_record = failed(TLSRPT)),
    },
    Pair {
        code: Code::TlsRptRecordMultiple,
        severity: "EEEE",
        raised: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"]),
        near: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:a@example.com,mailto:b@example.com"]),
    },
    Pair {
        code: Code::TlsRptRecordInvalid,
        severity: "EEEE",
        raised: |world| world.tlsrpt(&["v=TLSRPTv1; rua=tls@example.com"]),
        near: |world| world.tlsrpt(&["v=TLSRPTv1; rua=https://tls.example.com/"]),
    },
    Pair {
        code: Code::TlsRptRecordLenient,
        severity: "WWWW",
        raised: |world| world.tlsrpt(&["v=TLSRPTv1 ; rua=mailto:a@example.com"]),
        near: |world| world.tlsrpt(&["v=TLSRPTv1;rua=mailto:a@example.com;"]),
    },
    Pair {
        code: Code::TlsRptRecordNote,
        severity: "IIII",
        raised: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:a@example.com; x=y"]),
        near: |world| world.tlsrpt(&["v=TLSRPTv1; rua=mailto:a@example.com"]),
    },
    Pair {
        code: Code::ExpectationNotMet,
        severity: "EEEE",
        raised: |world| world.expect(Expectation { mail: Some(false), ..Expectation::default() }),
        near: |world| world.expect(Expectation { mail: Some(true), ..Expectation::default() }),
    },
    Pair {
        code: Code::MxImplicit,
        severity: "WWII",
        raised: |world| world.implicit(&["192.0.2.3"]),
        near: |world| world.implicit(&[]),
    },
    Pair {
        code: Code::MxNone,
        severity: "EEEE",
        raised: |world| world.implicit(&[]),
        near: |world| world.implicit(&["2001:db8::3"]),
    },
    Pair {
        code: Code::MxNull,
        severity: "IIII",
        raised: |world| world.targets(vec![MxTarget::Null]),
        near: |world| world.targets(vec![MxTarget::Null, MxTarget::Host(super::case::host("mx1.example.com"))]),
    },
    Pair {
        code: Code::MxNullWithPolicy,
        severity: "WWWW",
        raised: |world| world.targets(vec![MxTarget::Null]),
        near: |world| no_tlsrpt(world.no_record().targets(vec![MxTarget::Null])),
    },
    Pair {
        code: Code::MxNullMixed,
        severity: "EEEE",
        raised: |world| world.targets(vec![MxTarget::Null, MxTarget::Host(super::case::host("mx1.example.com"))]),
        near: |world| world.targets(vec![MxTarget::Null]),
    },
    Pair {
        code: Code::MxInvalidTarget,
        severity: "EEEE",
        raised: |world| world.targets(vec![MxTarget::Address(ip(A1))]),
        near: |world| world.targets(vec![MxTarget::Null]),
    },
];
