//! `/certificates`: every certificate of mail hosts and policy hosts once, by the time that is left.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use maud::{Markup, html};

use super::{
    bars::{Bar, plot},
    cells,
    layout::{Nav, page, scroll, time},
    query::Query,
    table::{Column, Order, choice, grouped, heads, kept, notes, pages, search},
};
use crate::{
    monitor::{KnownDomain, PolicyCertificate, Snapshot, print},
    present::{certificate_faults, words},
    terms::{MxHost, Timestamp},
    verdict::CertificateAssessment,
    web::links::Links,
};

const NAMES: &[&str] = &["q", "at", "within", "sort", "page", "per_page"];

const DAY: Duration = Duration::from_secs(86_400);

/// The days up to which certificates are counted together. Most live for 90 days or less; 398 is the longest of a public CA.
const HORIZON: [(u32, &str); 6] = [
    (7, "within 7 days"),
    (14, "7 to 14 days"),
    (30, "14 to 30 days"),
    (60, "30 to 60 days"),
    (90, "60 to 90 days"),
    (398, "90 to 398 days"),
];

/// So many places where a certificate is used are named.
const PLACES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    End,
    Subject,
    Issuer,
    Places,
    Algorithm,
}

const COLUMNS: [Column<Key>; 5] = [
    Column::new(Key::End, "end", "Time left"),
    Column::new(Key::Subject, "subject", "Certificate"),
    Column::new(Key::Issuer, "issuer", "Issuer"),
    Column::new(Key::Places, "places", "Where").largest_first(),
    Column::new(Key::Algorithm, "key", "Key"),
];

/// Where certificates are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    MailHosts,
    PolicyHosts,
}

impl At {
    const ALL: [(Self, &str, &str); 2] =
        [(Self::MailHosts, "mail", "mail hosts"), (Self::PolicyHosts, "policy", "policy hosts")];
}

/// A certificate and its places. A large fleet has as many certificates as domains: of those of policy hosts only what lies open of
/// a domain is looked at, and the rest is opened for the lines that are shown.
struct Entry<'a> {
    print: u64,
    end: Timestamp,
    /// What mail hosts present, with those that do.
    mail: Option<Mail<'a>>,
    /// The policy hosts that present it, the first few by name.
    policies: &'a [Presented<'a>],
}

/// What the policy host of a domain presents.
struct Presented<'a> {
    known: &'a Arc<KnownDomain>,
    certificate: &'a PolicyCertificate,
}

struct Mail<'a> {
    /// As one place judges it: one where something is wrong, if there is any.
    certificate: &'a CertificateAssessment,
    hosts: BTreeSet<&'a MxHost>,
}

impl<'a> Entry<'a> {
    fn hosts(&self) -> impl Iterator<Item = &'a MxHost> + '_ {
        self.mail.iter().flat_map(|mail| mail.hosts.iter().copied())
    }

    fn places(&self) -> usize {
        self.hosts().count() + self.policies.len()
    }

    /// What names it: the first name, else the subject.
    fn name(&self) -> Cow<'a, str> {
        let first = self.policies.first();
        match (&self.mail, first) {
            (Some(mail), _) => Cow::Borrowed(name(mail.certificate)),
            (None, Some(policy)) => match &policy.certificate.name {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(policy.known.domain().policy_host()),
            },
            (None, None) => Cow::Borrowed(""),
        }
    }

    fn issuer(&self) -> &str {
        let policy = || self.policies.first().map(|policy| policy.certificate.issuer.as_str());
        let mail = self.mail.as_ref().map(|mail| mail.certificate.chain.leaf.issuer_cn.as_str());
        mail.or_else(policy).unwrap_or_default()
    }

    fn key(&self) -> Cow<'_, str> {
        match (&self.mail, self.policies.first()) {
            (Some(mail), _) => Cow::Owned(mail.certificate.chain.leaf.key.to_string()),
            (None, Some(policy)) => Cow::Borrowed(policy.certificate.key.as_str()),
            (None, None) => Cow::Borrowed(""),
        }
    }

    fn contains(&self, needle: &str) -> bool {
        let of_mail = |mail: &Mail<'_>| {
            let leaf = &mail.certificate.chain.leaf;
            let mut texts = leaf.names.iter().chain([&leaf.subject, &leaf.issuer, &leaf.fingerprint_sha256]);
            texts.any(|text| text.to_lowercase().contains(needle))
        };
        self.mail.as_ref().is_some_and(of_mail)
            || self.hosts().any(|host| host.as_str().contains(needle))
            || self.policies.iter().any(|Presented { known, certificate: policy }| {
                known.domain().policy_host().contains(needle)
                    || policy.name.as_ref().is_some_and(|name| name.to_lowercase().contains(needle))
                    || policy.issuer.as_str().to_lowercase().contains(needle)
                    || format!("{:016x}", policy.print).contains(needle)
            })
    }

    /// The certificate itself, as one place judges it: one where something is wrong, if there is any.
    fn certificate(&self, snapshot: &Snapshot) -> Option<CertificateAssessment> {
        let faulty = self.policies.iter().find(|policy| !policy.certificate.verified);
        let mail = self.mail.as_ref().map(|mail| mail.certificate);
        match (mail, faulty.or_else(|| self.policies.first())) {
            (Some(certificate), _) if !certificate.verified() || faulty.is_none() => Some(certificate.clone()),
            (mail, Some(policy)) => {
                let opened =
                    snapshot.open(policy.known).assessment.as_ref().and_then(|seen| seen.policy.certificate.clone());
                opened.or_else(|| mail.cloned())
            }
            (mail, None) => mail.cloned(),
        }
    }
}

fn name(certificate: &CertificateAssessment) -> &str {
    let leaf = &certificate.chain.leaf;
    leaf.names.first().unwrap_or(&leaf.subject)
}

/// The page.
pub(in crate::web) fn render(snapshot: &Snapshot, text: &str, links: &Links, now: Timestamp) -> Markup {
    let mut query = Query::read(text, NAMES);
    let order = query.choose("sort", |text| Order::read(text, &COLUMNS));
    let at = query.choose("at", |text| At::ALL.into_iter().find(|(_, word, _)| *word == text).map(|(at, ..)| at));
    let within = query.choose("within", |text| text.parse::<u32>().ok().filter(|days| *days <= MOST_DAYS));
    let needle = query.get("q").to_lowercase();
    let presented = presented(snapshot, at);
    let all = collect(snapshot, at, &presented);
    let horizon = horizon(&all, now);
    let total = all.len();
    let mut rows: Vec<Entry<'_>> = all
        .into_iter()
        .filter(|entry| within.is_none_or(|days| entry.end < now + DAY * days))
        .filter(|entry| needle.is_empty() || entry.contains(&needle))
        .collect();
    let cut = query.cut(rows.len());
    cut.arrange(&mut rows, |one, other| compare(one, other, order));
    let path = links.to("/certificates");
    let content = html! {
        h1 { "Certificates" }
        p {
            "What mail hosts and policy hosts present, each certificate once. The time left is that of the certificate, or of the \
             intermediate above it that ends sooner."
        }
        (notes(&query))
        @if total > 0 { (plot("Certificates by the time that is left", &horizon)) }
        form.filters method="get" action=(path) role="search" {
            (search("q", "Name, host or issuer contains", query.get("q")))
            (choice("at", "Presented by", "all hosts", &At::ALL.map(|(_, word, name)| (word.to_owned(), name.to_owned())), query.get("at")))
            (choice("within", "Ends", "at any time", &ends(), query.get("within")))
            (kept(&query, &["sort", "per_page"]))
            div { button type="submit" { "Show" } }
            @if query.has(&["q", "at", "within"]) { div { a.button href=(path) { "Show all" } } }
        }
        @if rows.is_empty() {
            div.banner.plain {
                @if total == 0 && at.is_none() {
                    p { "No certificate was seen yet. They show here as soon as a host was probed." }
                } @else {
                    p { "No certificate fits. " a href=(path) { "Show all certificates" } }
                }
            }
        } @else {
            (scroll("Certificates", &html! {
                table.rows {
                    caption { (grouped(rows.len())) @if rows.len() == 1 { " certificate" } @else { " certificates" } }
                    (heads(&path, &query, &COLUMNS, order))
                    tbody { @for entry in cut.of(&rows) { (line(entry, snapshot, links, now)) } }
                }
            }))
            (pages(&path, &query, cut))
        }
    };
    page("Certificates", links, now, Nav::Certificates, &content)
}

/// The filter "ends within so many days" goes up to so many: no certificate of a public CA lives longer than 398.
const MOST_DAYS: u32 = 1000;

fn ends() -> Vec<(String, String)> {
    let ends =
        [(0, "is over"), (7, "within 7 days"), (14, "within 14 days"), (30, "within 30 days"), (90, "within 90 days")];
    ends.map(|(days, words)| (days.to_string(), words.to_owned())).into()
}

/// What policy hosts present, the same certificates side by side.
fn presented(snapshot: &Snapshot, at: Option<At>) -> Vec<Presented<'_>> {
    let mut all: Vec<Presented<'_>> = match at {
        Some(At::MailHosts) => Vec::new(),
        _ => snapshot.domains.iter().filter_map(Presented::of).collect(),
    };
    all.sort_unstable_by_key(Presented::print);
    for same in all.chunk_by_mut(|one, other| one.print() == other.print()) {
        // More are not named. One certificate may have a million places.
        if same.len() > PLACES {
            same.select_nth_unstable_by(PLACES, Presented::by_name);
        }
        let first = same.len().min(PLACES);
        if let Some(first) = same.get_mut(..first) {
            first.sort_unstable_by(Presented::by_name);
        }
    }
    all
}

impl<'a> Presented<'a> {
    fn of(known: &'a Arc<KnownDomain>) -> Option<Self> {
        let certificate = known.summary.as_ref()?.policy_certificate.as_deref()?;
        Some(Self { known, certificate })
    }

    const fn print(&self) -> u64 {
        self.certificate.print
    }

    fn by_name(&self, other: &Self) -> Ordering {
        self.known.domain().cmp(other.known.domain())
    }
}

/// Every certificate once, in no order. `presented`: what policy hosts present.
fn collect<'a>(snapshot: &'a Snapshot, at: Option<At>, presented: &'a [Presented<'a>]) -> Vec<Entry<'a>> {
    let mut of_mail: HashMap<u64, Entry<'a>> = HashMap::new();
    for state in snapshot.host_states().into_iter().filter(|_| at != Some(At::PolicyHosts)) {
        for certificate in state.paths.iter().filter_map(|path| path.certificate.as_ref()) {
            let (print, end) = (print(&certificate.chain.leaf.fingerprint_sha256), certificate.chain.ends());
            let entry = of_mail.entry(print).or_insert(Entry { print, end, mail: None, policies: &[] });
            entry.end = entry.end.min(end);
            let mail = entry.mail.get_or_insert_with(|| Mail { certificate, hosts: BTreeSet::new() });
            mail.hosts.insert(&state.host);
            if mail.certificate.verified() && !certificate.verified() {
                mail.certificate = certificate;
            }
        }
    }
    let mut all = Vec::new();
    for policies in presented.chunk_by(|one, other| one.print() == other.print()) {
        let Some((print, end)) = policies.iter().map(|one| (one.print(), one.certificate.ends_at)).min() else {
            continue;
        };
        let entry = of_mail.remove(&print);
        all.push(match entry {
            Some(entry) => Entry { end: entry.end.min(end), policies, ..entry },
            None => Entry { print, end, mail: None, policies },
        });
    }
    all.extend(of_mail.into_values());
    all
}

/// By what is asked for, then by the end, then by the name; no two are the same.
fn compare(one: &Entry<'_>, other: &Entry<'_>, order: Option<Order<Key>>) -> Ordering {
    let by_end = || one.end.cmp(&other.end);
    let by_name = || one.name().cmp(&other.name());
    let asked = order.map_or(Ordering::Equal, |order| {
        order.of(match order.column.key {
            Key::End => by_end(),
            Key::Subject => by_name(),
            Key::Issuer => one.issuer().cmp(other.issuer()),
            Key::Places => one.places().cmp(&other.places()),
            Key::Algorithm => one.key().cmp(&other.key()),
        })
    });
    asked.then_with(by_end).then_with(by_name).then_with(|| one.print.cmp(&other.print))
}

/// How many certificates end when.
fn horizon(all: &[Entry<'_>], now: Timestamp) -> Vec<Bar> {
    let mut bars = vec![Bar { name: "over".to_owned(), value: 0, bad: true }];
    bars.extend(HORIZON.iter().map(|(days, name)| Bar { name: (*name).to_owned(), value: 0, bad: *days <= 7 }));
    bars.push(Bar { name: "later".to_owned(), value: 0, bad: false });
    for entry in all {
        let place = match entry.end < now {
            true => 0,
            false => 1 + HORIZON.iter().take_while(|(days, _)| entry.end >= now + DAY * *days).count(),
        };
        if let Some(bar) = bars.get_mut(place) {
            bar.value += 1;
        }
    }
    bars
}

fn line(entry: &Entry<'_>, snapshot: &Snapshot, links: &Links, now: Timestamp) -> Markup {
    // A domain that shows another certificate by now has none of this line.
    let Some(certificate) = entry.certificate(snapshot) else { return Markup::default() };
    let leaf = &certificate.chain.leaf;
    let faults = certificate_faults(&certificate, now);
    html! {
        tr {
            td.nowrap data-label="Time left" {
                @if entry.end < now {
                    span.trouble { (time(entry.end, &format!("expired {} ago", words::span(now.since(entry.end))))) }
                } @else {
                    (time(entry.end, &format!("{} ({})", words::span(entry.end.since(now)), words::date(entry.end, now))))
                }
            }
            th scope="row" {
                (name(&certificate))
                @if leaf.names.len() > 1 { span.quiet { " and " (leaf.names.len() - 1) " more" } }
                @if !faults.is_empty() { br; span.trouble { (faults.join(", ")) } }
            }
            td data-label="Issuer" { (leaf.issuer_cn) }
            td data-label="Where" { (places(entry, links)) }
            td data-label="Key" { (leaf.key) " " span.quiet.nowrap { "since " (time(leaf.not_before, &words::date(leaf.not_before, now))) } }
        }
    }
}

fn places(entry: &Entry<'_>, links: &Links) -> Markup {
    let more = |all: usize| all.saturating_sub(PLACES);
    let hosts = entry.hosts().count();
    html! {
        @for host in entry.hosts().take(PLACES) { a href=(links.host(host)) { (host) } " " }
        @if more(hosts) > 0 { "and " (grouped(more(hosts))) " more mail hosts " }
        @for Presented { known, .. } in entry.policies.iter().take(PLACES) { a href=(links.domain(known.domain())) { (known.domain().policy_host()) } " " }
        @if more(entry.policies.len()) > 0 { "and " (grouped(more(entry.policies.len()))) " more policy hosts" }
        @if entry.places() == 0 { (cells::nothing("nowhere")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{self, NOW};

    fn at(snapshot: &Snapshot, query: &str) -> String {
        render(snapshot, query, &Links::default(), NOW).into_string()
    }

    /// A world in which two hosts share a certificate, and a third has another one.
    fn world() -> Snapshot {
        let mut snapshot = fixture::snapshot();
        let expired = fixture::host("mx.broken.example");
        let mut state = (**snapshot.host(&expired).unwrap()).clone();
        for path in &mut state.paths {
            let path = Arc::make_mut(path);
            if let Some(certificate) = &mut path.certificate {
                Arc::make_mut(&mut certificate.chain).leaf.fingerprint_sha256 = "ee".repeat(32);
            }
        }
        snapshot.put_host(Arc::new(state));
        snapshot
    }

    #[test]
    fn what_is_shared_stands_there_once_with_its_places() {
        let snapshot = world();
        let presented = presented(&snapshot, None);
        let mut all = collect(&snapshot, None, &presented);
        all.sort_by(|one, other| compare(one, other, None));
        assert_eq!(all.len(), 2);
        let [expired, good] = all.as_slice() else { panic!() };
        assert!(expired.end < NOW && good.end > NOW, "what ends first stands first");
        assert_eq!(expired.hosts().count(), 1);
        // The fixture's mail host and the policy hosts of three domains present the same.
        assert_eq!((good.hosts().count(), good.policies.len()), (1, 3));
        assert_eq!(collect(&snapshot, Some(At::PolicyHosts), &presented).len(), 1);
        let html = at(&snapshot, "");
        assert!(html.contains("expired 3 days ago") && html.contains("60 days (22 Jan 2027)"), "{html}");
        assert!(html.contains("mta-sts.example.com"));
    }

    #[test]
    fn every_certificate_is_counted_in_one_bar() {
        let snapshot = world();
        let presented = presented(&snapshot, None);
        let all = collect(&snapshot, None, &presented);
        let counted = |now: Timestamp| {
            let bars = horizon(&all, now);
            assert_eq!(bars.iter().map(|bar| bar.value).sum::<u64>(), 2);
            bars.into_iter().filter(|bar| bar.value > 0).map(|bar| (bar.name, bar.value)).collect::<Vec<_>>()
        };
        let one = |name: &str| (name.to_owned(), 1);
        assert_eq!(counted(NOW), [one("over"), one("60 to 90 days")]);
        assert_eq!(counted(NOW + DAY * 60), [one("over"), one("within 7 days")], "the very end is not over yet");
        assert_eq!(counted(NOW - DAY * 500), [("later".to_owned(), 2)]);
    }

    #[test]
    fn filters_leave_out_what_does_not_fit() {
        let snapshot = world();
        let rows =
            |query: &str| at(&snapshot, query).matches("<tr><td class=\"nowrap\" data-label=\"Time left\">").count();
        assert_eq!((rows(""), rows("within=0"), rows("within=90"), rows("at=policy")), (2, 1, 2, 1));
        assert_eq!((rows("q=MX.broken"), rows("q=eeee"), rows("q=nobody")), (1, 1, 0));
        assert!(at(&snapshot, "within=never").contains("There is no within &quot;never&quot;"));
        assert!(at(&Snapshot::default(), "").contains("No certificate was seen yet"));
    }
}
