//! What the domain publishes: the record, the policy with its host, and where reports go.

use maud::{Markup, html};

use super::parts::{self, fact};
use crate::{
    facts::{DnssecSight, Security},
    present::{Glyph, evidence, words},
    protocol::mta_sts::{MxPattern, Policy},
    terms::Timestamp,
    verdict::{Assessment, CertificateAssessment},
    web::pages::layout,
};

/// More destinations than this are none that a sender would serve.
const DESTINATIONS_MOST: usize = 10;

/// The section.
pub(super) fn policy(seen: &Assessment, now: Timestamp) -> Markup {
    let content = html! {
        dl.facts {
            (fact("Record", &record(seen)))
            (policy_facts(seen, now))
            (fact("Reports go to", &destinations(seen)))
            (fact("DNSSEC", &dnssec(seen)))
        }
        @if let Some(body) = &seen.policy.body {
            details {
                summary { "The policy as it is served" }
                pre tabindex="0" { (body) }
            }
        }
    };
    parts::section("policy", "Policy and records", &content)
}

fn record(seen: &Assessment) -> Markup {
    let record = &seen.sts_record;
    html! {
        @match (record.present, record.usable) {
            (None, _) => { (parts::sign(Glyph::Nothing)) " not seen: the lookup failed" },
            (Some(false), _) => "none: MTA-STS is not announced",
            (Some(true), usable) => {
                @if usable == Some(false) { (parts::sign(Glyph::Bad)) " senders cannot use it: " }
                @for txt in &record.txt { code.line { (txt) } }
                @if let Some(name) = record.cname.last() { span.quiet { "through a CNAME to " (name) } br; }
                @if let Some(ttl) = record.ttl {
                    span.quiet { "TTL " (words::span(std::time::Duration::from_secs(u64::from(ttl)))) }
                }
            }
        }
        @if record.present.is_some() && !record.lookup_success {
            br; span.quiet { "the last known; it cannot be looked up now" }
        }
    }
}

fn policy_facts(seen: &Assessment, now: Timestamp) -> Markup {
    let policy = &seen.policy;
    html! {
        @match (&policy.current, policy.fetch_success) {
            (Some(current), _) => {
                (fact("Policy", &html! { (mode(current)) ", for " (words::span(current.max_age.duration()))
                    span.quiet { " (max_age " (current.max_age) ")" } }))
                (fact("It lists", &patterns(current, policy.unused_patterns)))
            },
            (None, _) if !policy.deployed && seen.sts_record.present == Some(false) => (fact("Policy", &html! { "none" })),
            (None, Some(_)) => (fact("Policy", &html! { (parts::sign(Glyph::Bad)) " not usable" })),
            (None, None) => (fact("Policy", &html! { (parts::sign(Glyph::Nothing)) " not seen" })),
        }
        @if policy.deployed || policy.current.is_some() { (host(seen, now)) }
    }
}

fn mode(policy: &Policy) -> Markup {
    html! { strong { (policy.mode.as_str()) } }
}

fn patterns(policy: &Policy, unused: Option<usize>) -> Markup {
    let patterns: Vec<&str> = policy.mx.iter().map(MxPattern::as_str).collect();
    html! {
        @if patterns.is_empty() { "no mail host" }
        @for pattern in &patterns { code.line { (pattern) } }
        @if let Some(unused) = unused.filter(|unused| *unused > 0) {
            span.quiet { (words::count(unused, "pattern")) " of them match no mail host now" }
        }
    }
}

/// The policy host: each address, the answer, the certificate.
fn host(seen: &Assessment, now: Timestamp) -> Markup {
    let policy = &seen.policy;
    let name = seen.domain.policy_host();
    let served = html! {
        (name) br;
        @for (address, well, error) in &policy.addresses {
            @let glyph = if *well { Glyph::Good } else { Glyph::Bad };
            span.line { (parts::sign(glyph)) " " (address) @if let Some(error) = error { ": " (error) } @else if *well { " serves it" } }
        }
        @if let Some(status) = policy.http_status {
            span.quiet { "HTTP status " (status) @if let Some(media_type) = &policy.media_type { ", " (media_type) } } br;
        }
        @if let Some(at) = policy.last_success_at { span.quiet { "last fetched " (parts::ago(at, now)) } }
        @else if policy.fetch_success == Some(false) { span.quiet { "never fetched by this monitor" } }
    };
    html! {
        (fact("Policy host", &served))
        @if let Some(certificate) = &policy.certificate { (fact("Its certificate", &certificate_words(certificate, now))) }
    }
}

/// What is wrong with a certificate, or how long it lasts; and who issued it.
fn certificate_words(certificate: &CertificateAssessment, now: Timestamp) -> Markup {
    let faults = evidence::faults(certificate, now);
    let leaf = &certificate.chain.leaf;
    html! {
        @if faults.is_empty() {
            (parts::sign(Glyph::Good)) " " (words::span(evidence::end(certificate).since(now))) " left, until "
            (layout::time(leaf.not_after, &words::date(leaf.not_after, now)))
        } @else {
            (parts::sign(Glyph::Bad)) " " (faults.join(", "))
        }
        br;
        span.quiet { (leaf.issuer_cn) }
    }
}

fn dnssec(seen: &Assessment) -> Markup {
    let told = |security: Security| match security {
        Security::Secure => "signed",
        Security::Insecure => "not signed",
        Security::Bogus => "signed, and the signatures do not hold",
        Security::Indeterminate => "not seen",
    };
    html! {
        @if seen.dnssec_sight == DnssecSight::Off {
            "not looked at (" code { "resolver.dnssec" } " is off)"
        } @else {
            span.line { "MX records: " (told(seen.dnssec.mx)) }
            span.line { "MTA-STS record: " (told(seen.dnssec.sts)) }
            span.line { "TLSRPT record: " (told(seen.dnssec.tlsrpt)) }
        }
    }
}

fn destinations(seen: &Assessment) -> Markup {
    let record = &seen.tlsrpt;
    html! {
        @match (record.present, record.usable) {
            (Some(true), Some(true)) => {
                @for destination in record.rua.iter().take(DESTINATIONS_MOST) { code.line { (destination.uri) } }
                @if record.rua.len() > DESTINATIONS_MOST {
                    span.quiet { "and " (record.rua.len() - DESTINATIONS_MOST) " more" }
                }
                @if !record.lookup_success { span.quiet { "the last known; the record cannot be looked up now" } }
            },
            _ => (parts::cell(&evidence::tlsrpt(seen))),
        }
    }
}
