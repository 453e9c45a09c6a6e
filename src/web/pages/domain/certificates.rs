//! The certificates of the mail hosts and of the policy host, along the time.

use std::{net::IpAddr, time::Duration};

use maud::{Markup, html};

use super::{Shown, parts};
use crate::{
    present::{Glyph, evidence, words},
    terms::Timestamp,
    verdict::{Assessment, CertificateAssessment, Code, Finding, MxAssessment, SeenCertificate},
    web::pages::{
        layout,
        plot::{Bar, BarLook, Lifeline, TimeAxis, Told, lifelines},
    },
};

/// So far back the plot shows at most …
const BACK_MOST: Duration = Duration::from_secs(180 * 86_400);
/// … and so far ahead: what lasts longer needs nobody's care now.
const AHEAD_MOST: Duration = Duration::from_secs(400 * 86_400);
/// It shows so much before and behind the present at least.
const AROUND: Duration = Duration::from_secs(14 * 86_400);
/// More lines than this nobody compares; the table has all.
const LINES_MOST: usize = 24;

/// A certificate in use, with those that show it.
struct InUse<'a> {
    name: String,
    addresses: Vec<IpAddr>,
    certificate: &'a CertificateAssessment,
    look: BarLook,
    former: Vec<SeenCertificate>,
}

/// The section; nothing where no certificate was ever seen.
pub(super) fn certificates(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    let now = shown.now;
    let all = in_use(shown, seen);
    if all.is_empty() {
        return html! {};
    }
    let content = html! {
        (plot(&all, now))
        details {
            summary { "The certificates as a table" }
            (layout::scroll("Table of certificates", &table(&all, now)))
        }
    };
    parts::section("certificates", "Certificates", &content)
}

/// Every certificate in use: those of the mail hosts, then that of the policy host. Addresses of a host that show the same share
/// one.
fn in_use<'a>(shown: &Shown<'a>, seen: &'a Assessment) -> Vec<InUse<'a>> {
    let mut all: Vec<InUse<'a>> = Vec::new();
    for mx in &seen.mx {
        let first = all.len();
        for address in &mx.addresses {
            let Some(certificate) = &address.path.certificate else { continue };
            let same = |one: &InUse<'_>| fingerprint(one.certificate) == fingerprint(certificate);
            let of_host = all.get_mut(first..).unwrap_or_default();
            if let Some(known) = of_host.iter_mut().find(|one| same(one)) {
                known.addresses.push(address.path.address);
                continue;
            }
            let look = look(certificate, || is_ending(seen, mx));
            let past = mx.host.as_ref().map_or(&[][..], |host| shown.past.certificates(host, address.path.address));
            let former = past.iter().filter(|one| one.fingerprint_sha256 != fingerprint(certificate)).cloned();
            let (name, addresses) = (mx.target.clone(), vec![address.path.address]);
            all.push(InUse { name, addresses, certificate, look, former: former.collect() });
        }
    }
    if let Some(certificate) = &seen.policy.certificate {
        let ending = || seen.active().any(|finding| is_about_policy_host(seen, finding));
        all.push(InUse {
            name: format!("{} (policy)", seen.domain.policy_host()),
            addresses: Vec::new(),
            look: look(certificate, ending),
            certificate,
            former: Vec::new(),
        });
    }
    all
}

impl InUse<'_> {
    /// In a line: the address where it is one, else how many.
    fn short(&self) -> String {
        match self.addresses.as_slice() {
            [] => self.name.clone(),
            [one] => format!("{} [{one}]", self.name),
            many => format!("{}, {}", self.name, words::addresses(many.len())),
        }
    }

    /// All that show it.
    fn long(&self) -> String {
        let addresses: String = self.addresses.iter().map(|address| format!(" [{address}]")).collect();
        format!("{}{addresses}", self.name)
    }
}

fn fingerprint(certificate: &CertificateAssessment) -> &str {
    &certificate.chain.leaf.fingerprint_sha256
}

fn look(certificate: &CertificateAssessment, ending: impl FnOnce() -> bool) -> BarLook {
    match certificate.verified() {
        false => BarLook::Bad,
        true if ending() => BarLook::Ending,
        true => BarLook::Good,
    }
}

/// Whether a certificate of a mail host is inside its warning period.
fn is_ending(seen: &Assessment, mx: &MxAssessment) -> bool {
    seen.active().any(|finding| finding.code == Code::CertificateExpiring && finding.subject.name() == mx.target)
}

fn is_about_policy_host(seen: &Assessment, finding: &Finding) -> bool {
    finding.code == Code::CertificateExpiring && finding.subject.name() == seen.domain.policy_host()
}

fn plot(all: &[InUse<'_>], now: Timestamp) -> Markup {
    let lines: Vec<Lifeline> = all.iter().take(LINES_MOST).map(|one| line(one, now)).collect();
    let bars = || lines.iter().flat_map(|line| &line.bars);
    let from = bars().map(|bar| bar.from).min().unwrap_or(now).clamp(now - BACK_MOST, now - AROUND);
    let to = bars().map(|bar| bar.to).max().unwrap_or(now).clamp(now + AROUND, now + AHEAD_MOST);
    let ends = all.iter().min_by_key(|one| evidence::end(one.certificate));
    let description = ends.map_or_else(String::new, |one| {
        format!(
            "{}. The first to end is that of {}: {}.",
            words::count(all.len(), "certificate"),
            one.short(),
            state(one, now)
        )
    });
    let told = Told {
        id: "certificates-plot",
        title: "Validity of each certificate, with the present as a line",
        description: &description,
    };
    html! {
        (lifelines(told, &TimeAxis::new(from, to), &lines, now))
        @if all.len() > LINES_MOST { p.quiet { (all.len() - LINES_MOST) " more in the table." } }
    }
}

fn line(one: &InUse<'_>, now: Timestamp) -> Lifeline {
    let leaf = &one.certificate.chain.leaf;
    let mut bars = Vec::new();
    let mut replaced = None;
    for past in &one.former {
        // Its life here ended when another took its place, and began when it took that of the one before.
        let from = replaced.map_or(past.not_before, |at| past.not_before.max(at));
        let to = past.last.min(past.not_after);
        let words = format!("until {}, from {}", words::date(past.last, now), past.issuer_cn);
        bars.push(Bar { from, to, look: BarLook::Former, words });
        replaced = Some(to);
    }
    bars.push(Bar { from: leaf.not_before, to: leaf.not_after, look: one.look, words: state(one, now) });
    Lifeline { name: one.short(), bars }
}

/// How long it lasts, or what is wrong with it.
fn state(one: &InUse<'_>, now: Timestamp) -> String {
    let faults = evidence::faults(one.certificate, now);
    match faults.is_empty() {
        true => format!("{} left", words::span(evidence::end(one.certificate).since(now))),
        false => faults.join(", "),
    }
}

fn table(all: &[InUse<'_>], now: Timestamp) -> Markup {
    html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "Shown by" }
                    th scope="col" { "State" }
                    th scope="col" { "Names" }
                    th scope="col" { "Issuer" }
                    th scope="col" { "Valid" }
                    th scope="col" { "Key" }
                    th scope="col" { "SHA-256" }
                }
            }
            tbody {
                @for one in all {
                    @let leaf = &one.certificate.chain.leaf;
                    @let glyph = match one.look { BarLook::Bad => Glyph::Bad, BarLook::Ending => Glyph::Warning, _ => Glyph::Good };
                    tr {
                        th scope="row" { (one.long()) }
                        td data-label="State" { (parts::cell(&(Some(glyph), state(one, now)))) }
                        td data-label="Names" { (words::list(&leaf.names)) }
                        td data-label="Issuer" { (leaf.issuer_cn) }
                        td data-label="Valid" {
                            (layout::time(leaf.not_before, &words::date(leaf.not_before, now))) " to "
                            (layout::time(leaf.not_after, &words::date(leaf.not_after, now)))
                        }
                        td data-label="Key" { (leaf.key) }
                        td data-label="SHA-256" { code.break { (leaf.fingerprint_sha256) } }
                    }
                }
            }
        }
    }
}
