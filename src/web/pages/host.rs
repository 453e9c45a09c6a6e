//! `/hosts/NAME`: one mail host, apart from any domain: its addresses, what they present, and who depends on it.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, sync::Arc};

use maud::{Markup, html};

use super::{
    cells::{self, Dane},
    hosts::domains_of,
    layout::{Nav, badge, exact, page, record, scroll, severity, time},
    table::grouped,
};
use crate::{
    facts::{AddressObservation, Handshake, LookupOutcome, Offer, SmtpOutcome, TlsSurvey},
    monitor::{DomainState, HostState, KnownDomain, Snapshot},
    present::{certificate_faults, split_fix, words},
    terms::{MxHost, Timestamp},
    verdict::{
        Assessment, CertificateAssessment, Code, Finding, PathAssessment, Reach, Severity, StarttlsState, TlsaStatus,
    },
    web::links::Links,
};

/// So many of the domains that use the host are named here; all of them stand in the list of domains.
const DOMAINS_SHOWN: usize = 100;

/// For so many domains that use the host all is opened and judged anew to tell what they share: of a host that a hundred thousand use, the
/// others show nothing else, and the page would take seconds.
const OPENED_MOST: usize = 200;
/// So many names of a certificate are shown.
const NAMES_SHOWN: usize = 20;

/// The page; the one of an unknown host where no configured domain uses it.
pub(in crate::web) fn render(snapshot: &Snapshot, host: &MxHost, links: &Links, now: Timestamp) -> Markup {
    let Some(state) = snapshot.host(host) else { return unknown(host.as_str(), links, now) };
    let known = users_of(host, snapshot);
    let states: Vec<Arc<DomainState>> = known.iter().take(OPENED_MOST).map(|known| snapshot.open(known)).collect();
    let users: Vec<&DomainState> = states.iter().map(AsRef::as_ref).collect();
    let content = html! {
        p { a href=(links.to("/hosts")) { "Mail hosts" } }
        h1 { (host) }
        (summary(state, &known, links, now))
        (findings(state, &users, &known, now))
        (addresses(state, now))
        (certificates(state, now))
        (surveys(state, now))
        (domains(host, &users, known.len(), links))
    };
    page(host.as_str(), links, now, Nav::Hosts, &content)
}

/// The domains that use the host, those that are worst off first, then by name.
fn users_of<'a>(host: &MxHost, snapshot: &'a Snapshot) -> Vec<&'a Arc<KnownDomain>> {
    let mut users: Vec<&Arc<KnownDomain>> = snapshot.domains.iter().filter(|known| known.uses(host)).collect();
    let rank = |known: &KnownDomain| known.summary.as_ref().map(|seen| (seen.delivery.rank(), Reverse(seen.worst())));
    users.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.domain().cmp(other.domain())));
    users
}

/// The page for a name that no configured domain has as its mail host.
pub(in crate::web) fn unknown(name: &str, links: &Links, now: Timestamp) -> Markup {
    let content = html! {
        h1 { "No such mail host" }
        p { "No configured domain names " code { (name) } " as its mail host. A host is listed while a domain uses it." }
        p { a href=(links.to("/hosts")) { "All mail hosts" } }
    };
    page("No such mail host", links, now, Nav::Hosts, &content)
}

fn summary(state: &HostState, users: &[&Arc<KnownDomain>], links: &Links, now: Timestamp) -> Markup {
    let records = state.dane.records();
    html! {
        dl.facts {
            dt { "Used by" }
            dd {
                a href=(domains_of(&state.host, links)) { (grouped(state.domains)) @if state.domains == 1 { " domain" } @else { " domains" } }
                ", of which " (grouped(state.domains_enforcing)) " enforce"
                @let groups = groups(users);
                @if !groups.is_empty() { span.quiet { " (" (groups) ")" } }
            }
            dt { "Addresses" }
            dd { (lookup(state)) }
            dt { "DANE" }
            dd {
                (Dane::of_host(&state.dane, state.paths.iter().map(AsRef::as_ref)).cell())
                " " span.quiet { (tlsa_words(state.dane.status)) }
                @for found in records { pre.record { code { (found) } } }
            }
            @if let Some(seen) = &state.lookup {
                @if let Some(base) = seen.tlsa_base().filter(|base| **base != state.host) {
                    dt { "TLSA base domain" } dd { (base) }
                }
                dt { "Looked up" } dd { (cells::ago(Some(seen.at), now)) }
            }
            dt { "Last probe" }
            dd { (cells::ago(super::hosts::probed(state), now)) }
            @if let Some(until) = state.patient_until.filter(|until| *until > now) {
                dt { "Asks for patience" }
                dd {
                    "it answered “not now” (4xx), so it is left alone for " (time(until, &words::span(until.since(now))))
                    ", and longer each time that it says so again"
                }
            }
        }
    }
}

/// The groups of the domains, the largest first.
fn groups(users: &[&Arc<KnownDomain>]) -> String {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users.iter().filter(|user| !user.group().is_empty()) {
        *groups.entry(user.group()).or_default() += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| Reverse(*count));
    let words: Vec<String> = groups.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    words::list(&words)
}

/// What the DNS says of the addresses.
fn lookup(state: &HostState) -> Markup {
    let Some(seen) = &state.lookup else { return html! { span.quiet { "not looked up yet" } } };
    let lookups = &seen.addresses;
    html! {
        @let addresses: Vec<String> = lookups.addresses().map(|address| address.to_string()).collect();
        @if addresses.is_empty() && lookups.is_absent() { span.trouble { "none: the DNS says that the host has no address" } }
        @else { (addresses.join(", ")) }
        @for lookup in lookups.lookups() {
            @if let LookupOutcome::Failed(failure) = &lookup.outcome { p.trouble { "The lookup failed: " (failure) } }
        }
        @if state.skipped > 0 { p.quiet { (state.skipped) " more are not probed (probe.max_addresses)" } }
        @if !lookups.cname().is_empty() { p.quiet { "through a CNAME: " (lookups.cname().join(" → ")) } }
    }
}

/// What a status of TLSA records means to senders.
const fn tlsa_words(status: TlsaStatus) -> &'static str {
    match status {
        TlsaStatus::None => "No TLSA records: senders that apply DANE treat the host as any other.",
        TlsaStatus::Usable => "Senders that apply DANE insist on these records.",
        TlsaStatus::Unusable => "No record is usable: senders insist on TLS and authenticate nobody.",
        TlsaStatus::Insecure => "There are records, and the zone is not signed: senders do not look at them.",
        TlsaStatus::Bogus => "DNSSEC does not validate: senders that apply DANE do not deliver.",
        TlsaStatus::Indeterminate => "It cannot be told from here whether the answer is secure.",
        TlsaStatus::Failed => "The lookup fails: senders that apply DANE do not deliver.",
    }
}

/// A finding on the host with the domains for which it holds.
struct Shared<'a> {
    finding: &'a Finding,
    addresses: Vec<IpAddr>,
    domains: usize,
    accepted: usize,
}

/// The findings on the host over all domains, worst first. What several domains and addresses share is told once.
fn shared<'a>(host: &MxHost, users: &[&'a DomainState]) -> Vec<Shared<'a>> {
    let mut all: Vec<Shared<'a>> = Vec::new();
    let mut places: BTreeMap<(Code, &str, &str), usize> = BTreeMap::new();
    for seen in users.iter().filter_map(|user| user.assessment.as_deref()) {
        let mut counted: Vec<usize> = Vec::new();
        for finding in seen.findings.iter().filter(|finding| finding.subject.mx() == Some(host.as_str())) {
            let key = (finding.code, finding.detail.as_str(), finding.fix.as_str());
            let place = *places.entry(key).or_insert(all.len());
            if place == all.len() {
                all.push(Shared { finding, addresses: Vec::new(), domains: 0, accepted: 0 });
            }
            let Some(entry) = all.get_mut(place) else { continue };
            if finding.is_active() && (!entry.finding.is_active() || entry.finding.severity < finding.severity) {
                entry.finding = finding;
            }
            if let Some(address) = finding.subject.address().filter(|address| !entry.addresses.contains(address)) {
                entry.addresses.push(address);
            }
            if !counted.contains(&place) {
                counted.push(place);
                entry.domains += 1;
                entry.accepted += usize::from(!finding.is_active());
            }
        }
    }
    all.sort_by_key(|entry| Reverse((entry.finding.is_active(), entry.finding.severity, entry.domains)));
    all
}

/// What the absence of findings says. Of an address that was not seen it says nothing.
fn no_findings(state: &HostState, users: &[&DomainState]) -> &'static str {
    let up = state.paths.iter().filter(|path| path.reach == Reach::Up).count();
    if users.is_empty() {
        "Not judged yet."
    } else if up == 0 {
        "Nothing is known: it could not be looked at."
    } else if up < state.paths.len() {
        "None at the addresses that could be looked at. Of the others nothing is known."
    } else {
        "None: nothing at this host stands in the way of mail."
    }
}

fn findings(state: &HostState, users: &[&DomainState], known: &[&Arc<KnownDomain>], now: Timestamp) -> Markup {
    let all = shared(&state.host, users);
    html! {
        h2 #findings { "Findings" }
        @if known.len() > users.len() {
            p.quiet {
                "As they stand for the " (grouped(users.len())) " domains that are worst off, of the " (grouped(known.len())) " that use the host."
            }
        }
        @if all.is_empty() { p { (no_findings(state, users)) } }
        @for Shared { finding, addresses, domains, accepted } in &all {
            @let class = if finding.is_active() { finding.severity.as_str() } else { Severity::Info.as_str() };
            article class={ "card " (class) } {
                h3 { (severity(finding.severity)) " " (cells::gist(finding.code)) }
                p {
                    // Most details name the address themselves.
                    @for address in addresses.iter().filter(|address| !finding.detail.contains(&address.to_string())) {
                        "[" (address) "] "
                    }
                    (finding.detail)
                }
                p { (finding.code.row().effect) }
                @let (todo, line) = split_fix(&finding.fix);
                @if let Some(todo) = todo { p { strong { "To do: " } (todo) } }
                @if let Some(line) = line { (record(line)) }
                div.tags {
                    code { (finding.code) }
                    span { "for " (grouped(*domains)) @if *domains == 1 { " domain" } @else { " domains" } }
                    @if *accepted > 0 { span { "accepted for " (grouped(*accepted)) } }
                    @if let Some(since) = finding.since { span { "since " (time(since, &words::ago(since, now))) } }
                }
            }
        }
    }
}

fn addresses(state: &HostState, now: Timestamp) -> Markup {
    html! {
        h2 #addresses { "Addresses" }
        @if state.paths.is_empty() {
            p { "No address was probed yet." }
        } @else {
            (scroll("Addresses", &html! {
                table.rows {
                    thead {
                        tr {
                            @for name in ["Address", "Reached", "STARTTLS", "TLS", "Certificate", "DANE", "Failures in a row", "Last probe", "Last success"] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    tbody { @for path in &state.paths { (address(state, path, now)) } }
                }
            }))
        }
    }
}

fn address(state: &HostState, path: &PathAssessment, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { code { (path.address) } }
            td data-label="Reached" {
                @match path.reach {
                    Reach::Up => "yes",
                    Reach::Down => span.trouble { "no" },
                    Reach::CannotTell => "cannot be told from here",
                }
                @if let Some(latest) = &path.latest {
                    @if latest.outcome != SmtpOutcome::Done { " " span.quiet { (outcome(&latest.outcome)) } }
                }
            }
            td data-label="STARTTLS" {
                @match path.starttls {
                    Some(StarttlsState::Ok) => "ok",
                    Some(StarttlsState::NotReached) | None => (cells::nothing("not reached")),
                    Some(other) => span.trouble { (other.as_str()) },
                }
            }
            td data-label="TLS" {
                @match path.tls() {
                    Some(tls) => { (tls.version) " " span.quiet { (tls.cipher) } }
                    None => (cells::nothing("none seen")),
                }
            }
            td data-label="Certificate" { (cells::certificate(path.certificate.as_ref(), now)) }
            td data-label="DANE" { (Dane::of_host(&state.dane, std::iter::once(path)).cell()) }
            td.number data-label="Failures in a row" { (path.consecutive_failures) }
            td data-label="Last probe" { (cells::ago(path.latest.as_ref().map(|latest| latest.at), now)) }
            td data-label="Last success" { (cells::ago(path.last_success_at, now)) }
        }
    }
}

/// How a dialogue ended short of its end, in few words.
fn outcome(outcome: &SmtpOutcome) -> String {
    match outcome {
        SmtpOutcome::Done => String::new(),
        SmtpOutcome::ConnectFailed(failure) => failure.to_string(),
        SmtpOutcome::Timeout(phase) => format!("no answer in time ({})", phase.label()),
        SmtpOutcome::Rejected { phase, code, text } => format!("turned away with {code} ({}): {text}", phase.label()),
        SmtpOutcome::ProtocolError { phase, fault } => format!("{fault} ({})", phase.label()),
        SmtpOutcome::StarttlsNotOffered => "STARTTLS is not offered".to_owned(),
        SmtpOutcome::StarttlsRefused { code, text } => format!("STARTTLS is refused with {code}: {text}"),
        SmtpOutcome::HandshakeFailed(failure) => format!("the handshake failed: {failure}"),
    }
}

/// Each certificate that the addresses present, once, and what they say before TLS.
fn certificates(state: &HostState, now: Timestamp) -> Markup {
    let mut shown: Vec<(&CertificateAssessment, Vec<String>)> = Vec::new();
    for path in &state.paths {
        let Some(certificate) = &path.certificate else { continue };
        let print = |known: &CertificateAssessment| known.chain.leaf.fingerprint_sha256.clone();
        match shown.iter_mut().find(|(known, _)| print(known) == print(certificate)) {
            Some((_, addresses)) => addresses.push(path.address.to_string()),
            None => shown.push((certificate, vec![path.address.to_string()])),
        }
    }
    html! {
        @if !shown.is_empty() { h2 #certificates { "Certificates" } }
        @for (certificate, addresses) in shown {
            @let leaf = &certificate.chain.leaf;
            @let faults = certificate_faults(certificate, now);
            dl.facts {
                dt { "Presented at" } dd { (addresses.join(", ")) }
                dt { "Verdict" }
                dd { @if faults.is_empty() { "valid for this host" } @else { span.trouble { (faults.join(", ")) } } }
                dt { "Names" } dd { (names(&leaf.names)) }
                dt { "Subject" } dd { (leaf.subject) }
                dt { "Issuer" } dd { (leaf.issuer) }
                dt { "Valid" } dd { (time(leaf.not_before, &exact(leaf.not_before))) " to " (time(leaf.not_after, &exact(leaf.not_after))) }
                dt { "Key" } dd { (leaf.key) ", " (leaf.signature_algorithm) }
                dt { "Chain" } dd { (1 + certificate.chain.others.len()) " sent" @if certificate.chain.unreadable > 0 { ", " (certificate.chain.unreadable) " unreadable" } }
                dt { "SHA-256" } dd { code { (leaf.fingerprint_sha256) } }
                dt { "SHA-256 of the key" } dd { code { (leaf.spki_sha256) } " " span.quiet { "(as in a TLSA record 3 1 1)" } }
            }
        }
    }
}

fn names(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What the extra connections showed, and what the server says in clear.
fn surveys(state: &HostState, now: Timestamp) -> Markup {
    let surveyed: Vec<(&PathAssessment, &TlsSurvey)> =
        state.paths.iter().filter_map(|path| Some((path.as_ref(), path.survey.as_deref()?))).collect();
    let greeted: Vec<&AddressObservation> =
        state.paths.iter().filter_map(|path| path.latest.as_deref()).filter(|latest| latest.connected()).collect();
    html! {
        @if !surveyed.is_empty() {
            h2 #survey { "TLS beyond the usual handshake" }
            p.quiet { "Asked once a day: withdrawn versions, and handshakes without the host's name or with another one." }
            @for (path, survey) in surveyed {
                h3 { code { (path.address) } }
                dl.facts {
                    dt { "TLS 1.0" } dd { (offer(&survey.tls10)) }
                    dt { "TLS 1.1" } dd { (offer(&survey.tls11)) }
                    dt { "Without a name" } dd { (handshake(&survey.without_sni)) }
                    dt { "With an unknown name" } dd { (handshake(&survey.unknown_sni)) }
                    @if let Some((name, result)) = &survey.base_sni { dt { "With " (name) } dd { (handshake(result)) } }
                    dt { "Asked" } dd { (cells::ago(Some(survey.at), now)) }
                }
            }
        }
        @if !greeted.is_empty() {
            h2 #greeting { "What the server says in clear" }
            @for latest in greeted {
                h3 { code { (latest.address) } }
                dl.facts {
                    dt { "Banner" }
                    dd { @match &latest.banner { Some(banner) => code { (banner) }, None => (cells::nothing("none")) } }
                    dt { "EHLO" }
                    dd {
                        @match &latest.capabilities {
                            Some(keywords) => code { (keywords.join(" ")) },
                            None => (cells::nothing("not answered")),
                        }
                    }
                    dt { "Took" } dd { (words::seconds(latest.duration)) }
                }
            }
        }
    }
}

fn offer(offer: &Offer) -> Markup {
    html! {
        @match offer {
            Offer::Accepted => span.trouble { "still accepted" },
            Offer::Refused => "refused, as it should be",
            Offer::NotSeen(why) => { "not seen: " (why) }
        }
    }
}

fn handshake(handshake: &Handshake) -> Markup {
    html! {
        @match handshake {
            Handshake::Done(tls) => { "TLS " (tls.version) ", certificate for " (names(&tls.chain.leaf.names)) }
            Handshake::Failed(failure) => span.trouble { "fails: " (failure) },
            Handshake::NotSeen(why) => { "not seen: " (why) }
        }
    }
}

fn domains(host: &MxHost, users: &[&DomainState], all: usize, links: &Links) -> Markup {
    let users: Vec<(&DomainState, &Assessment)> =
        users.iter().filter_map(|user| Some((*user, user.assessment.as_deref()?))).collect();
    html! {
        h2 #domains { "Domains that use it" }
        @if !users.is_empty() {
            (scroll("Domains that use the host", &html! {
                table.rows {
                    thead {
                        tr {
                            th scope="col" { "Domain" }
                            th scope="col" { "Delivery" }
                            th.number scope="col" { "Preference" }
                            th scope="col" { "In policy" }
                        }
                    }
                    tbody {
                        @for (user, seen) in users.iter().take(DOMAINS_SHOWN) {
                            @let entry = seen.mx.iter().find(|mx| mx.host.as_ref() == Some(host));
                            tr {
                                th scope="row" { a href=(links.domain(&user.domain)) { (user.domain) } }
                                td data-label="Delivery" { (badge(Some(seen.delivery))) }
                                td.number data-label="Preference" { @if let Some(mx) = entry { (mx.preference) } }
                                td data-label="In policy" {
                                    @match entry.and_then(|mx| mx.in_policy) {
                                        Some(true) => "yes",
                                        Some(false) => span.trouble { "no" },
                                        None => (cells::no_policy(seen)),
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
        @if all > DOMAINS_SHOWN {
            p { a href=(domains_of(host, links)) { "All " (grouped(all)) " domains" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        metrics::fixture::{self, NOW},
        terms::Octets,
    };

    fn of(snapshot: &Snapshot, name: &str) -> String {
        render(snapshot, &fixture::host(name), &Links::default(), NOW).into_string()
    }

    #[test]
    fn a_host_shows_its_addresses_and_what_they_present() {
        let html = of(&fixture::snapshot(), "mx.broken.example");
        for part in [
            "198.51.100.1",
            "expired 3 days ago, wrong name, self-signed",
            "not-offered",
            "the connection was refused",
            "cannot be told from here",
            "The lookup failed: SERVFAIL",
            "still accepted",
            "/domains/broken.example",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    #[test]
    fn a_host_with_tlsa_records_shows_them() {
        let html = of(&fixture::snapshot(), "mx1.example.com");
        assert!(html.contains(&format!("3 1 1 {}", "cd".repeat(32))), "{html}");
        assert!(html.contains("Senders that apply DANE insist on these records."));
        assert!(html.contains(&"ab".repeat(32)) && html.contains("TLS_AES_128_GCM_SHA256"));
    }

    /// The page of the healthy host after a change to it.
    fn changed(change: impl FnOnce(&mut HostState)) -> String {
        let mut snapshot = fixture::snapshot();
        let name = fixture::host("mx1.example.com");
        let mut state = snapshot.host(&name).unwrap().clone();
        change(Arc::make_mut(&mut state));
        snapshot.put_host(state);
        of(&snapshot, name.as_str())
    }

    #[test]
    fn a_host_that_asks_for_patience_is_said_to() {
        let asks = |until| changed(|state| state.patient_until = Some(until)).contains("it answered “not now” (4xx)");
        assert!(asks(NOW + Duration::from_secs(240)));
        assert!(!asks(NOW), "it is asked again");
        assert!(changed(|state| state.patient_until = Some(NOW + Duration::from_secs(240))).contains("4 minutes"));
    }

    #[test]
    fn no_finding_on_what_was_not_seen_is_no_praise() {
        const PRAISE: &str = "nothing at this host stands in the way of mail";
        let unseen = |path: &mut Arc<PathAssessment>| Arc::make_mut(path).reach = Reach::CannotTell;
        assert!(changed(|_| {}).contains(PRAISE));
        for html in [changed(|host| host.paths.iter_mut().for_each(unseen)), changed(|host| host.paths.clear())] {
            assert!(html.contains("Nothing is known: it could not be looked at.") && !html.contains(PRAISE), "{html}");
        }
        let html = changed(|host| unseen(&mut host.paths[0]));
        assert!(html.contains("Of the others nothing is known.") && !html.contains(PRAISE), "{html}");
    }

    #[test]
    fn dane_that_is_broken_or_not_seen_is_not_called_unasked() {
        let cell = |change: fn(&mut HostState)| {
            let html = changed(change);
            let cell = html.rsplit("data-label=\"DANE\">").next().unwrap();
            cell.split("</td>").next().unwrap().to_owned()
        };
        let all = |host: &mut HostState, valid| {
            host.paths.iter_mut().for_each(|path| Arc::make_mut(path).dane_valid = valid);
        };
        assert!(cell(|host| host.dane.status = TlsaStatus::Bogus).contains("lookup fails"));
        assert_eq!(cell(|host| host.dane.status = TlsaStatus::Unusable), "not usable");
        let down = changed(|host| all(host, None));
        assert!(down.contains("data-label=\"DANE\">not seen</td>"), "{down}");
        let good = changed(|host| all(host, Some(true)));
        assert!(good.contains("data-label=\"DANE\">valid</td>"), "{good}");
    }

    #[test]
    fn what_several_domains_share_is_told_once() {
        let mut snapshot = fixture::snapshot();
        for name in ["a.example", "b.example", "c.example"] {
            let mut seen = Assessment { domain: fixture::domain(name), ..fixture::broken() };
            if name == "c.example" {
                for finding in &mut seen.findings {
                    finding.accepted = Some("known".to_owned());
                }
            }
            snapshot.put(fixture::domain_state(name, Some(seen)));
        }
        let host = fixture::host("mx.broken.example");
        let states: Vec<_> = users_of(&host, &snapshot).into_iter().map(|known| snapshot.open(known)).collect();
        let users: Vec<&DomainState> = states.iter().map(AsRef::as_ref).collect();
        let all = shared(&host, &users);
        let counts: Vec<_> = all.iter().map(|one| (one.finding.code, one.domains, one.accepted)).collect();
        assert_eq!(counts, [(Code::StarttlsNotOffered, 4, 1)]);
        assert!(of(&snapshot, "mx.broken.example").contains("for 4 domains"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut snapshot = fixture::snapshot();
        let name = fixture::host("mx1.example.com");
        let mut state = (**snapshot.host(&name).unwrap()).clone();
        let mut path = (*state.paths[0]).clone();
        let mut seen = (**path.latest.as_ref().unwrap()).clone();
        let hostile = "</script><img src=x onerror=alert(1)>\"'&\u{202e}";
        seen.banner = Some(Octets(hostile.as_bytes().to_vec()));
        seen.capabilities = Some(vec![hostile.to_owned()]);
        path.latest = Some(Arc::new(seen));
        let mut certificate = path.certificate.clone().unwrap();
        let chain = Arc::make_mut(&mut certificate.chain);
        chain.leaf.names = vec![hostile.to_owned()];
        chain.leaf.subject = hostile.to_owned();
        chain.leaf.issuer = hostile.to_owned();
        path.certificate = Some(certificate);
        state.paths[0] = Arc::new(path);
        snapshot.put_host(Arc::new(state));
        let html = of(&snapshot, "mx1.example.com");
        assert!(html.contains("&lt;/script&gt;&lt;img src=x"), "{html}");
        assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("</script"), "{html}");
        let unknown = unknown(hostile, &Links::default(), NOW).into_string();
        assert!(unknown.contains("&lt;img") && !unknown.contains("<img"));
    }
}
