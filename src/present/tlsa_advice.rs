//! What `tlsa suggest` says: whether DANE holds now, what to publish, and how to change the key without losing mail.

use std::time::Duration;

use serde::Serialize;

use super::{
    Look, json,
    text::{Glyph, Page, Role},
    words, zone,
};
use crate::{
    facts::TlsaRecord,
    protocol::dane::LookupLink,
    terms::Timestamp,
    verdict::suggest::{PublishedSight, ServedCertificate, Signing, TlsaSuggestion},
};

/// Where texts begin that stand below a heading.
const TEXT: usize = 4;
/// Where the text of a step begins.
const STEP: usize = 8;

/// RFC 7671 §8.1: a new record has to be in every cache before its key is used. One TTL is what a cache may keep the old answer;
/// the second is for name servers that get the zone late.
const TTLS: u32 = 2;

/// The suggestion for people.
pub fn report(suggestion: &TlsaSuggestion, now: Timestamp, look: Look) -> String {
    let mut page = Page::new(look);
    head(&mut page, suggestion);
    certificates(&mut page, suggestion, now);
    records(&mut page, suggestion);
    published(&mut page, suggestion);
    if !suggestion.records.is_empty() {
        rollover(&mut page, suggestion, now);
    }
    page.finish()
}

/// The suggestion for programs.
///
/// # Errors
/// Only where memory is short: every value can be written.
pub fn to_json(suggestion: &TlsaSuggestion, now: Timestamp) -> serde_json::Result<String> {
    json::to_text(&SuggestionView {
        host: suggestion.host.as_str(),
        base: suggestion.base.as_str(),
        alias: suggestion.alias.as_deref(),
        name: name(suggestion),
        dnssec: suggestion.signing.as_str(),
        holds: suggestion.holds,
        ttl: suggestion.ttl,
        records: suggestion.records.iter().map(ToString::to_string).collect(),
        dns: suggestion.records.iter().map(|record| line(suggestion, record)).collect(),
        next: suggestion.next.as_ref().map(ToString::to_string),
        missing: suggestion.missing().map(ToString::to_string).collect(),
        leftover: suggestion.leftover().map(ToString::to_string).collect(),
        published: suggestion
            .published
            .iter()
            .map(|(record, sight)| PublishedView { record: record.to_string(), sight: sight.as_str() })
            .collect(),
        authorities: suggestion
            .authorities
            .iter()
            .map(|authority| AuthorityView { record: authority.record.to_string(), subject: &authority.subject })
            .collect(),
        certificates: suggestion.certificates.iter().map(certificate_view).collect(),
        differ: suggestion.differ,
        unseen: suggestion
            .unseen
            .iter()
            .map(|(address, why)| UnseenView { address: address.map(|address| address.to_string()), why })
            .collect(),
        steps: steps(suggestion, now),
    })
}

#[derive(Debug, Serialize)]
struct SuggestionView<'a> {
    host: &'a str,
    /// The TLSA base domain.
    base: &'a str,
    alias: Option<&'a str>,
    /// Where the records stand.
    name: String,
    /// `signed`, `unsigned`, `broken`, `not-seen` or `no-address`.
    dnssec: &'static str,
    /// Senders that apply DANE deliver to every address; `null` where they do not ask, or where it cannot be told.
    holds: Option<bool>,
    ttl: u32,
    records: Vec<String>,
    /// The same as lines of a zone file.
    dns: Vec<String>,
    next: Option<String>,
    missing: Vec<String>,
    leftover: Vec<String>,
    published: Vec<PublishedView>,
    authorities: Vec<AuthorityView<'a>>,
    certificates: Vec<CertificateView<'a>>,
    /// Addresses present different certificates.
    differ: bool,
    unseen: Vec<UnseenView<'a>>,
    steps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PublishedView {
    record: String,
    /// `matches`, `next`, `unusable` or `no-match`.
    sight: &'static str,
}

#[derive(Debug, Serialize)]
struct AuthorityView<'a> {
    record: String,
    subject: &'a str,
}

#[derive(Debug, Serialize)]
struct CertificateView<'a> {
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    not_after: Timestamp,
    key: String,
    fingerprint_sha256: &'a str,
    addresses: Vec<String>,
    record: String,
    /// The published records authenticate it; `null` where senders use none.
    authenticated: Option<bool>,
}

#[derive(Debug, Serialize)]
struct UnseenView<'a> {
    address: Option<String>,
    why: &'a str,
}

fn certificate_view(certificate: &ServedCertificate) -> CertificateView<'_> {
    let facts = &certificate.facts;
    CertificateView {
        subject: &facts.subject,
        issuer: &facts.issuer,
        names: &facts.names,
        not_after: facts.not_after,
        key: facts.key.to_string(),
        fingerprint_sha256: &facts.fingerprint_sha256,
        addresses: certificate.addresses.iter().map(ToString::to_string).collect(),
        record: certificate.record.to_string(),
        authenticated: certificate.authenticated,
    }
}

fn name(suggestion: &TlsaSuggestion) -> String {
    format!("_25._tcp.{}", suggestion.base)
}

fn line(suggestion: &TlsaSuggestion, record: &TlsaRecord) -> String {
    zone::line(&name(suggestion), suggestion.ttl, "TLSA", &record.to_string())
}

fn head(page: &mut Page, suggestion: &TlsaSuggestion) {
    let (role, title) = title(suggestion);
    let mut line = page.start();
    line.push(Role::Strong, suggestion.host.as_str()).push(Role::Plain, "   ").push(role, title);
    page.end(&line);
    if suggestion.certificates.is_empty() {
        unseen(page, suggestion);
    }
    for sentence in sentences(suggestion) {
        page.paragraph(2, Role::Plain, &sentence);
    }
}

fn title(suggestion: &TlsaSuggestion) -> (Role, &'static str) {
    match (&suggestion.signing, suggestion.holds) {
        (_, Some(false)) => (Role::Bad, "THE RECORDS DO NOT MATCH"),
        (Signing::Broken(_), _) => (Role::Bad, "DNSSEC IS BROKEN"),
        (_, Some(true)) if suggestion.missing().next().is_none() => (Role::Good, "PUBLISHED ALREADY"),
        (_, Some(true)) => (Role::Good, "THE RECORDS MATCH"),
        (Signing::NoAddress, _) => (Role::Warning, "NO ADDRESS"),
        (_, _) if suggestion.certificates.is_empty() => (Role::Warning, "NO CERTIFICATE SEEN"),
        (Signing::Unsigned, _) => (Role::Warning, "NOT SIGNED: RECORDS WOULD DO NOTHING"),
        (_, _) => (Role::Plain, "SUGGESTED RECORDS"),
    }
}

fn sentences(suggestion: &TlsaSuggestion) -> Vec<String> {
    let base = &suggestion.base;
    let mut said = Vec::new();
    if suggestion.holds == Some(false) {
        said.push(
            "Senders that apply DANE do not deliver to the addresses whose certificate has no record. Publish the missing \
             records now; the mail waits for some days."
                .to_owned(),
        );
    }
    match &suggestion.signing {
        Signing::Signed if suggestion.published.is_empty() => {
            said.push(format!("The zone of {base} is signed, and has no TLSA records for port 25 yet."));
        }
        Signing::Signed => {}
        Signing::Unsigned => said.push(format!(
            "The zone of {base} is not signed with DNSSEC, so that nobody believes in TLSA records there. Sign it first: that is \
             for whoever runs its DNS. Until then MTA-STS is what protects mail to this host."
        )),
        Signing::Broken(at) => {
            let what = match at {
                LookupLink::Addresses => "its addresses",
                LookupLink::Alias => "its alias",
                LookupLink::Tlsa(_) => "its TLSA records",
            };
            said.push(format!(
                "The lookup of {what} fails validation or is not answered: senders that apply DANE do not deliver at all. Mend the \
                 DNS before anything else."
            ));
        }
        Signing::NotSeen => said.push(
            "Whether the zone is signed cannot be told from here (resolver.dnssec, or a resolver that returns no signatures). \
             Where it is not, TLSA records do nothing."
                .to_owned(),
        ),
        Signing::NoAddress => said.push(format!("{} has no address: nothing can be looked at.", suggestion.host)),
    }
    if let Some(alias) = &suggestion.alias {
        said.push(format!(
            "{} is an alias of {alias}. Senders look for TLSA records at what the alias leads to, and then at the name itself, \
             and take the first that has some (RFC 7672 section 2.2.3); MX records should name no alias (RFC 5321 section 5.1).",
            suggestion.host
        ));
    }
    if suggestion.differ {
        said.push("Its addresses present different certificates: a record for each of them is needed.".to_owned());
    }
    said
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    let mut line = page.start();
    line.pad(2).push(Role::Strong, title);
    page.end(&line);
}

fn certificates(page: &mut Page, suggestion: &TlsaSuggestion, now: Timestamp) {
    if !suggestion.certificates.is_empty() {
        heading(page, "In use");
    }
    for certificate in &suggestion.certificates {
        let facts = &certificate.facts;
        let glyph = match certificate.authenticated {
            Some(true) => Glyph::Good,
            Some(false) => Glyph::Bad,
            None => Glyph::Note,
        };
        let addresses: Vec<String> = certificate.addresses.iter().map(ToString::to_string).collect();
        let ends = match facts.not_after < now {
            true => format!("expired {}", words::ago(facts.not_after, now)),
            false => format!("until {}", words::date(facts.not_after, now)),
        };
        let text = format!(
            "{} key, {}, issued by {}, {ends}, at {}",
            facts.key,
            facts.names.first().or(facts.common_name.as_ref()).unwrap_or(&facts.subject),
            facts.issuer_cn,
            words::list(&addresses)
        );
        page.marked(2, glyph, &text);
    }
    // Without any certificate the reasons stand at the top already.
    if !suggestion.unseen.is_empty() && !suggestion.certificates.is_empty() {
        heading(page, "Not seen");
        unseen(page, suggestion);
    }
}

fn unseen(page: &mut Page, suggestion: &TlsaSuggestion) {
    for (address, why) in &suggestion.unseen {
        let address = address.map(|address| format!("{address}: ")).unwrap_or_default();
        page.marked(2, Glyph::Warning, &format!("{address}{why}"));
    }
}

/// Lines to be copied, in the first column: a zone file takes a line that begins with blanks for one more of the name above.
fn copied(page: &mut Page, lines: impl IntoIterator<Item = String>) {
    page.blank();
    for line in lines {
        page.verbatim(0, Role::Plain, &line);
    }
}

fn records(page: &mut Page, suggestion: &TlsaSuggestion) {
    if !suggestion.records.is_empty() {
        heading(page, "The records, as lines of a zone file");
        copied(page, suggestion.records.iter().map(|record| annotated(suggestion, record)));
    }
    let other = suggestion.authorities.iter().filter(|authority| !suggestion.records.contains(&authority.record));
    let other: Vec<_> = other.collect();
    if let Some(first) = other.first() {
        heading(page, "Or instead, for the issuer");
        copied(page, other.iter().map(|authority| line(suggestion, &authority.record)));
        page.blank();
        page.paragraph(
            TEXT,
            Role::Plain,
            &format!(
                "This holds for whatever {} issues for the name, through every renewal with any key. But names and dates count \
                 then, the server has to send the whole chain, and when the authority changes its issuing key, which it does \
                 without asking, mail stops. With 3 1 1 nobody but you decides.",
                first.subject
            ),
        );
    }
    if suggestion.records.is_empty() && suggestion.certificates.iter().len() > 0 {
        heading(page, "No record for the issuer");
        page.paragraph(
            TEXT,
            Role::Plain,
            "No certificate that the server sends beside its own authenticates it by usage 2: send the chain up to the authority, \
             for a name and dates that hold, or take 3 1 1.",
        );
    }
}

fn annotated(suggestion: &TlsaSuggestion, record: &TlsaRecord) -> String {
    let line = line(suggestion, record);
    match suggestion.next.as_ref() == Some(record) {
        true if !suggestion.certificates.iter().any(|certificate| certificate.record == *record) => {
            format!("{line} ; the next key")
        }
        _ => line,
    }
}

fn published(page: &mut Page, suggestion: &TlsaSuggestion) {
    if suggestion.published.is_empty() {
        return;
    }
    heading(page, &format!("Published at {}", name(suggestion)));
    for (record, sight) in &suggestion.published {
        let (glyph, what) = match sight {
            PublishedSight::Matches => (Glyph::Good, "matches a certificate in use"),
            PublishedSight::Next => (Glyph::Good, "is that of the next key"),
            PublishedSight::Unusable => (Glyph::Warning, "cannot be used for SMTP: take it away"),
            PublishedSight::NoMatch => {
                (Glyph::Warning, "matches no certificate in use: of a key before, or of one to come")
            }
        };
        page.marked(2, glyph, &format!("{record} {what}"));
    }
}

/// How long to wait between publishing a record and using its key.
fn wait(suggestion: &TlsaSuggestion) -> Duration {
    Duration::from_secs(u64::from(suggestion.ttl.saturating_mul(TTLS)))
}

fn rollover(page: &mut Page, suggestion: &TlsaSuggestion, now: Timestamp) {
    heading(page, "To renew without losing mail");
    for (number, step) in steps(suggestion, now).into_iter().enumerate() {
        page.labelled(TEXT, &format!("{}.", number + 1), STEP, None, &step);
    }
    heading(page, "To renew with the same key, so that 3 1 1 stays");
    for (program, how) in KEEPING {
        page.labelled(TEXT, program, STEP + 6, None, how);
    }
}

/// How the usual programs keep the key of a certificate.
const KEEPING: [(&str, &str); 3] = [
    ("certbot", "ask for the certificate with --reuse-key; certbot renew keeps to it"),
    ("acme.sh", "keeps the key by itself, unless --always-force-new-domain-key was given"),
    ("Caddy", "reuse_private_keys in the tls block of the site"),
];

/// A change of the key, step by step (RFC 7671 §8.1).
fn steps(suggestion: &TlsaSuggestion, now: Timestamp) -> Vec<String> {
    let host = &suggestion.host;
    let mut steps = Vec::new();
    if suggestion.next.is_none() {
        steps.push(format!(
            "Make the next key ahead of time, and see its record: smtptls-exporter tlsa suggest {host} --next-key next.key"
        ));
    }
    steps.push(format!(
        "Publish the record of the next key beside those in use, and wait for two TTLs, {}: until then caches may hold the set \
         without it.{}",
        words::span(wait(suggestion)),
        match suggestion.next.is_some() {
            true => format!(" Published now, that is {}.", words::moment(now + wait(suggestion), now)),
            false => String::new(),
        }
    ));
    steps.push(format!(
        "Only then let the server use the next key, on every address; see that it holds: smtptls-exporter tlsa suggest {host}"
    ));
    steps.push("Take the record of the old key away, when no server uses it any more.".to_owned());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        present::fixture::NOW,
        verdict::suggest::fixture::{Host, suggested},
    };

    fn shown(host: &Host) -> String {
        report(&suggested(host), NOW, Look { unicode: true, ..Look::default() })
    }

    #[test]
    fn a_signed_zone_without_records() {
        insta::assert_snapshot!("tlsa_first", shown(&Host::signed()));
    }

    #[test]
    fn records_that_match() {
        insta::assert_snapshot!("tlsa_published", shown(&Host::signed().publishing_its_own()));
    }

    #[test]
    fn records_of_another_key() {
        insta::assert_snapshot!("tlsa_mismatch", shown(&Host::signed().publishing(&[[7; 32]])));
    }

    #[test]
    fn a_zone_that_is_not_signed() {
        insta::assert_snapshot!("tlsa_unsigned", shown(&Host::unsigned()));
    }

    #[test]
    fn a_host_that_was_not_seen() {
        insta::assert_snapshot!("tlsa_not_seen", shown(&Host::signed().silent()));
    }

    #[test]
    fn for_programs() {
        let text = to_json(&suggested(&Host::signed().publishing(&[[7; 32]]).with_next([9; 32])), NOW).unwrap();
        insta::assert_snapshot!("tlsa_json", text);
    }
}
