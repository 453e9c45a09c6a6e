//! The mail hosts, with what a sender finds at each address.

use maud::{Markup, html};

use super::{Shown, parts};
use crate::{
    present::{evidence, words},
    protocol::dane::TlsaStatus,
    terms::Timestamp,
    verdict::{AddressAssessment, Assessment, MxAssessment, Reach},
    web::pages::layout,
};

/// The section.
pub(super) fn hosts(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    let content = html! {
        @if seen.mx.is_empty() {
            p { (none(seen)) }
        } @else {
            @if seen.mx.iter().any(|mx| mx.implicit) {
                p { "There is no MX record: senders use the domain's own address." }
            }
            (layout::scroll("Table of mail hosts", &table(shown, seen)))
        }
        @if !seen.mx_lookup_success {
            p.quiet { "The MX records cannot be looked up now; this is the last known answer." }
        }
    };
    parts::section("hosts", "Mail hosts", &content)
}

/// Why there is no mail host.
fn none(seen: &Assessment) -> &'static str {
    match seen.mx_records {
        None => "Not seen: the lookup failed.",
        Some(0) => "None, and the domain has no address either.",
        Some(_) => "None that takes mail.",
    }
}

fn table(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "Address" }
                    th scope="col" { "Reached" }
                    th scope="col" { "TLS" }
                    th scope="col" { "Certificate" }
                    th scope="col" { "In policy" }
                    th scope="col" { "DANE" }
                    th scope="col" { "Last probe" }
                }
            }
            @for mx in &seen.mx { tbody { (rows(shown, seen, mx)) } }
        }
    }
}

fn rows(shown: &Shown<'_>, seen: &Assessment, mx: &MxAssessment) -> Markup {
    let wrong = evidence::wrong(seen);
    html! {
        tr.group {
            th scope="rowgroup" colspan="7" {
                @if !mx.implicit { span.quiet title="preference: senders try the lowest first" { (mx.preference) } " " }
                @match &mx.host {
                    Some(host) => a href=(shown.site.links.host(host)) { (mx.target) },
                    None => (mx.target),
                }
                @if let Some(records) = tlsa(mx) { " " span.quiet { (records) } }
            }
        }
        @if mx.addresses.is_empty() {
            tr {
                td { (parts::cell(&evidence::no_address(mx))) }
                td data-label="Reached" {}
                td data-label="TLS" {}
                td data-label="Certificate" {}
                td data-label="In policy" { (parts::cell(&evidence::policy_cell(mx, wrong))) }
                td data-label="DANE" { (parts::cell(&evidence::host_dane_cell(mx))) }
                td data-label="Last probe" {}
            }
        }
        @for address in &mx.addresses {
            tr {
                td { (address.path.address) }
                td data-label="Reached" { (reach(address, shown.now)) }
                td data-label="TLS" {
                    (parts::cell(&evidence::tls_cell(address, wrong)))
                    @if let Some(tls) = address.path.tls() { br; span.quiet.small { (tls.cipher) } }
                }
                td data-label="Certificate" {
                    (parts::cell(&evidence::certificate_cell(seen, address, wrong, shown.now)))
                    @if let Some(certificate) = &address.path.certificate {
                        br;
                        span.quiet.small { (certificate.chain.leaf.issuer_cn) }
                    }
                }
                td data-label="In policy" { (parts::cell(&evidence::policy_cell(mx, wrong))) }
                td data-label="DANE" { (parts::cell(&evidence::dane_cell(mx, address))) }
                td data-label="Last probe" {
                    @match &address.path.latest {
                        None => "not probed yet",
                        Some(latest) => {
                            (parts::ago(latest.at, shown.now))
                            br;
                            span.quiet.small { "took " (parts::took(latest.duration)) }
                        }
                    }
                }
            }
        }
        @if mx.skipped > 0 {
            tr {
                td colspan="7" { (words::addresses(mx.skipped)) " beyond the configured limit: not looked at" }
            }
        }
    }
}

/// How many TLSA records there are, where there are any.
fn tlsa(mx: &MxAssessment) -> Option<String> {
    let records = mx.dane.records().len();
    let status = match mx.dane.status {
        TlsaStatus::None => return None,
        TlsaStatus::Usable => "",
        TlsaStatus::Unusable => ", none usable",
        TlsaStatus::Insecure => ", not signed",
        TlsaStatus::Bogus => ", DNSSEC does not validate",
        TlsaStatus::Indeterminate => ", DNSSEC not seen",
        TlsaStatus::Failed => ", the lookup fails",
    };
    Some(format!("{}{status}", words::count(records, "TLSA record")))
}

fn reach(address: &AddressAssessment, now: Timestamp) -> Markup {
    let path = &address.path;
    html! {
        @match path.reach {
            Reach::Up => "yes",
            Reach::Down => { span.trouble { "no" } },
            Reach::CannotTell => "not seen",
        }
        @if path.reach == Reach::Up && !path.is_latest_judged() {
            br;
            span.quiet.small { "not at the last look" }
        }
        @if path.reach != Reach::Up && let Some(at) = path.last_success_at {
            br;
            span.quiet.small { "last " (parts::ago(at, now)) }
        }
        @if path.consecutive_failures > 1 {
            br;
            span.quiet.small { (words::count(usize::try_from(path.consecutive_failures).unwrap_or(usize::MAX), "failure")) " in a row" }
        }
    }
}
