//! What was seen, in a few aligned lines.

use super::{
    briefing,
    text::{Glyph, Line, Page, Role, clean, columns},
    timeline, words,
};
use crate::{
    facts::PathToRoot,
    protocol::mta_sts::{Mode, MxPattern, Policy},
    terms::Timestamp,
    verdict::{
        AddressAssessment, Assessment, CertificateAssessment, Code, DaneWord, MxAssessment, Reach, StarttlsState,
        TlsaStatus,
    },
};

/// Where labels stand.
pub(super) const LABEL: usize = 2;
/// Where what they label begins.
pub(super) const VALUE: usize = 12;

/// Three lines for a domain that needs no more, and one for each mail host that is to come.
pub(super) fn brief(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    let id = assessment.sts_record.id.as_ref().map(|id| format!("id {id}"));
    let policy = assessment.policy.current.as_ref();
    let policy = policy.map(|policy| format!("{}, {}", policy.mode.as_str(), words::span(policy.max_age.duration())));
    let host = assessment.policy.certificate.as_ref().map(|certificate| host_certificate(certificate, now));
    let parts: Vec<String> = policy.into_iter().chain(id).chain(host).collect();
    let parts = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    page.labelled(LABEL, "MTA-STS", VALUE, None, &parts);
    page.labelled(LABEL, "MX", VALUE, None, &mx_summary(assessment, now));
    timeline::planned(page, &assessment.history, now);
    page.labelled(LABEL, "TLSRPT", VALUE, None, &tlsrpt(assessment).1);
}

/// The section "Evidence".
pub(super) fn full(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    page.blank();
    let mut line = page.start();
    line.pad(LABEL).push(Role::Strong, "Evidence");
    page.end(&line);
    record(page, assessment);
    policy(page, assessment, now);
    timeline::all(page, assessment, now);
    mx_table(page, assessment, now);
    let (glyph, text) = tlsrpt(assessment);
    page.labelled(LABEL, "TLSRPT", VALUE, glyph, &text);
    unseen(page, assessment);
}

fn record(page: &mut Page, assessment: &Assessment) {
    let record = &assessment.sts_record;
    let stale = if record.lookup_success { "" } else { " (the last known; it cannot be looked up now)" };
    match (record.present, record.usable) {
        (None, _) => page.labelled(LABEL, "record", VALUE, Some(Glyph::Nothing), "not seen: the lookup failed"),
        (Some(false), _) => page.labelled(LABEL, "record", VALUE, None, &format!("none{stale}")),
        (Some(true), usable) => {
            let glyph = (usable == Some(false)).then_some(Glyph::Bad);
            let through = record.cname.last().map(|name| format!(" (through a CNAME to {name})"));
            let stale = format!("{}{stale}", through.unwrap_or_default());
            for (number, txt) in record.txt.iter().enumerate() {
                let label = if number == 0 { "record" } else { "" };
                page.labelled(LABEL, label, VALUE, glyph, &format!("{txt}{stale}"));
            }
        }
    }
}

/// `enforce, 7 days, 2 patterns`.
pub(crate) fn policy_words(policy: &Policy) -> String {
    let age = words::span(policy.max_age.duration());
    format!("{}, {age}, {}", policy.mode.as_str(), words::count(policy.mx.len(), "pattern"))
}

fn host_certificate(certificate: &CertificateAssessment, now: Timestamp) -> String {
    let faults = faults(certificate, now);
    if faults.is_empty() {
        format!("host certificate {} left", words::span(certificate.chain.ends().since(now)))
    } else {
        format!("host certificate {}", faults.join(", "))
    }
}

fn policy(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    let policy = &assessment.policy;
    let certificate = policy.certificate.as_ref().map(|certificate| host_certificate(certificate, now));
    if let Some(current) = &policy.current {
        let patterns: Vec<&str> = current.mx.iter().map(MxPattern::as_str).collect();
        let mut text = policy_words(current);
        if !patterns.is_empty() {
            text = format!("{text} ({})", words::list(&patterns));
        }
        if let Some(certificate) = certificate {
            text = format!("{text}, {certificate}");
        }
        let glyph = (policy.fetch_success == Some(false)).then_some(Glyph::Warning);
        page.labelled(LABEL, "policy", VALUE, glyph, &text);
        return;
    }
    let status = policy.http_status.filter(|status| *status != 200).map(|status| format!("HTTP status {status}"));
    let errors =
        policy.addresses.iter().filter_map(|(address, _, error)| Some(format!("{address}: {}", error.as_ref()?)));
    let reasons: Vec<String> = match status {
        Some(status) => vec![status],
        None => errors.collect(),
    };
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", words::list(&reasons)) };
    match policy.fetch_success {
        // Nothing announces one, and no host serves one.
        _ if !policy.deployed && assessment.sts_record.present == Some(false) => {
            page.labelled(LABEL, "policy", VALUE, None, "none");
        }
        Some(_) => {
            let certificate = certificate.map(|certificate| format!("; {certificate}")).unwrap_or_default();
            page.labelled(LABEL, "policy", VALUE, Some(Glyph::Bad), &format!("not usable{why}{certificate}"));
        }
        None => page.labelled(LABEL, "policy", VALUE, Some(Glyph::Nothing), &format!("not seen{why}")),
    }
}

pub(crate) fn tlsrpt(assessment: &Assessment) -> (Option<Glyph>, String) {
    let record = &assessment.tlsrpt;
    let stale = if record.lookup_success { "" } else { " (the last known; it cannot be looked up now)" };
    match (record.present, record.usable) {
        (None, _) => (Some(Glyph::Nothing), "not seen: the lookup failed".to_owned()),
        (Some(false), _) => (None, format!("none{stale}")),
        (Some(true), Some(false)) => (Some(Glyph::Bad), format!("not usable: {}{stale}", record.txt.join("  "))),
        (Some(true), _) => {
            let destinations: Vec<&str> = record.rua.iter().map(|destination| destination.uri.as_str()).collect();
            (None, format!("{}{stale}", words::list(&destinations)))
        }
    }
}

/// What could not be seen, and what is not looked at.
fn unseen(page: &mut Page, assessment: &Assessment) {
    let unseen = briefing::unseen(assessment).into_iter().map(|what| (Some(Glyph::Nothing), what));
    let mut all: Vec<(Option<Glyph>, String)> = unseen.collect();
    all.extend(briefing::not_looked_at(assessment).map(|what| (None, what)));
    if all.is_empty() {
        all.push((None, "nothing".to_owned()));
    }
    for (number, (glyph, what)) in all.iter().enumerate() {
        page.labelled(LABEL, if number == 0 { "not seen" } else { "" }, VALUE, *glyph, what);
    }
}

/// The earliest end of validity that matters to a sender.
pub(crate) fn end(certificate: &CertificateAssessment) -> Timestamp {
    certificate.chain.ends()
}

/// What is wrong with a certificate, in few words.
pub(crate) fn faults(certificate: &CertificateAssessment, now: Timestamp) -> Vec<String> {
    let leaf = &certificate.chain.leaf;
    let mut faults = Vec::new();
    if !certificate.in_dates {
        faults.push(if leaf.not_after < now {
            format!("expired {} ago", words::span(now.since(leaf.not_after)))
        } else {
            "not valid yet".to_owned()
        });
    }
    if !certificate.name_match {
        faults.push("wrong name".to_owned());
    }
    if !certificate.chain_valid {
        faults.push(
            match certificate.chain.path {
                PathToRoot::SelfSigned => "self-signed",
                PathToRoot::MissingIntermediate => "incomplete chain",
                _ => "untrusted",
            }
            .to_owned(),
        );
    }
    faults
}

/// `2 hosts, 3 addresses, TLS 1.2 and 1.3, certificates good for 74 days`.
fn mx_summary(assessment: &Assessment, now: Timestamp) -> String {
    let paths = || assessment.mx.iter().flat_map(|mx| &mx.addresses);
    let mut versions: Vec<&str> =
        paths().filter_map(|address| Some(address.path.judged.as_ref()?.tls.as_ref()?.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let ends = paths()
        .filter_map(|address| address.path.certificate.as_ref())
        .map(|found| found.chain.ends().since(now))
        .min();
    let mut parts = vec![words::count(assessment.mx.len(), "host"), words::addresses(paths().count())];
    if !versions.is_empty() {
        parts.push(format!("TLS {}", words::list(&versions)));
    }
    if let Some(left) = ends {
        parts.push(match paths().count() {
            1 => format!("certificate good for {}", words::span(left)),
            _ => format!("certificates good for {}", words::span(left)),
        });
    }
    if !assessment.mx.is_empty() && assessment.mx.iter().all(|mx| mx.dane.status == TlsaStatus::Usable) {
        parts.push("DANE".to_owned());
    }
    parts.join(", ")
}

/// A cell: its sign and its words.
pub(crate) type Cell = (Option<Glyph>, String);

/// One address, or a host of which none is known.
struct Row {
    host: String,
    address: Cell,
    tls: Cell,
    certificate: Cell,
    policy: Cell,
    dane: Cell,
}

const HEADS: [&str; 5] = ["address", "TLS", "certificate", "policy", "DANE"];

impl Row {
    const fn cells(&self) -> [&Cell; 5] {
        [&self.address, &self.tls, &self.certificate, &self.policy, &self.dane]
    }
}

const fn nothing() -> Cell {
    (Some(Glyph::Nothing), String::new())
}

fn rows(assessment: &Assessment, now: Timestamp) -> Vec<Row> {
    let digits = assessment.mx.iter().map(|mx| mx.preference.to_string().len()).max().unwrap_or(1);
    let wrong = wrong(assessment);
    let mut rows = Vec::new();
    for mx in &assessment.mx {
        let label = if mx.implicit { mx.target.clone() } else { format!("{:>digits$} {}", mx.preference, mx.target) };
        let policy = policy_cell(mx, wrong);
        if mx.addresses.is_empty() {
            let address = no_address(mx);
            rows.push(Row {
                host: label,
                address,
                tls: nothing(),
                certificate: nothing(),
                policy,
                dane: host_dane_cell(mx),
            });
            continue;
        }
        for (number, address) in mx.addresses.iter().enumerate() {
            rows.push(Row {
                host: if number == 0 { label.clone() } else { String::new() },
                address: (None, address.path.address.to_string()),
                tls: tls_cell(address, wrong),
                certificate: certificate_cell(assessment, address, wrong, now),
                policy: policy.clone(),
                dane: dane_cell(mx, address),
            });
        }
    }
    rows
}

/// The sign of what is wrong with a mail host: without a policy in enforce, no sender refuses it.
pub(crate) fn wrong(assessment: &Assessment) -> Glyph {
    let enforced = assessment.policy.in_force.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce);
    if enforced { Glyph::Bad } else { Glyph::Warning }
}

/// Whether the policy covers a host.
pub(crate) const fn policy_cell(mx: &MxAssessment, wrong: Glyph) -> Cell {
    match mx.in_policy {
        Some(true) => (Some(Glyph::Good), String::new()),
        Some(false) => (Some(wrong), String::new()),
        None => nothing(),
    }
}

/// What a sender that applies DANE finds at an address.
pub(crate) fn dane_cell(mx: &MxAssessment, address: &AddressAssessment) -> Cell {
    let (glyph, word) = match (address.dane_word, mx.dane.status) {
        (_, TlsaStatus::None) => return nothing(),
        (_, TlsaStatus::Insecure) => (Glyph::Warning, "unsigned"),
        (_, TlsaStatus::Indeterminate) | (None, _) => (Glyph::Nothing, "not seen"),
        (Some(DaneWord::Match), _) => (Glyph::Good, "match"),
        (Some(DaneWord::Mismatch), _) => (Glyph::Bad, "mismatch"),
        (Some(DaneWord::EncryptOnly), _) => (Glyph::Warning, "unusable"),
        (Some(DaneWord::Failed), TlsaStatus::Bogus) => (Glyph::Bad, "bogus"),
        (Some(DaneWord::Failed), TlsaStatus::Failed) => (Glyph::Bad, "no answer"),
        (Some(DaneWord::Failed), _) => (Glyph::Bad, "no TLS"),
        (Some(DaneWord::NotApplicable), _) => return nothing(),
    };
    (Some(glyph), word.to_owned())
}

/// The same for a host without an address.
pub(crate) fn host_dane_cell(mx: &MxAssessment) -> Cell {
    match mx.dane.status {
        TlsaStatus::Bogus => (Some(Glyph::Bad), "bogus".to_owned()),
        TlsaStatus::Failed => (Some(Glyph::Bad), "no answer".to_owned()),
        _ => nothing(),
    }
}

pub(crate) fn no_address(mx: &MxAssessment) -> Cell {
    let (glyph, text) = match (&mx.host, &mx.lookup) {
        (None, _) => (Glyph::Bad, "no host name"),
        (Some(_), None) => (Glyph::Nothing, "not looked at"),
        (Some(_), Some(lookup)) if lookup.addresses.failure().is_some() => (Glyph::Nothing, "lookup failed"),
        (Some(_), Some(_)) => (Glyph::Bad, "no address"),
    };
    (Some(glyph), text.to_owned())
}

pub(crate) fn tls_cell(address: &AddressAssessment, wrong: Glyph) -> Cell {
    let path = &address.path;
    let (glyph, word) = match (path.starttls, path.reach) {
        (Some(StarttlsState::Ok), _) => {
            let tls = path.latest.as_ref().and_then(|latest| latest.tls.as_ref());
            return (None, tls.map_or("yes", |tls| tls.version.as_str()).to_owned());
        }
        (_, Reach::Down) => (Glyph::Bad, "down"),
        (_, Reach::CannotTell) | (None | Some(StarttlsState::NotReached), _) => (Glyph::Nothing, "not seen"),
        (Some(StarttlsState::NotOffered), _) => (wrong, "no TLS"),
        (Some(StarttlsState::Refused), _) => (wrong, "refused"),
        (Some(StarttlsState::Failed), _) => (wrong, "failed"),
        (Some(StarttlsState::ProtocolError), _) => (wrong, "broken"),
        (Some(StarttlsState::Timeout), _) => (wrong, "timeout"),
    };
    (Some(glyph), word.to_owned())
}

pub(crate) fn certificate_cell(
    assessment: &Assessment,
    address: &AddressAssessment,
    wrong: Glyph,
    now: Timestamp,
) -> Cell {
    let Some(certificate) = &address.path.certificate else { return nothing() };
    let faults = faults(certificate, now);
    if !faults.is_empty() {
        // Where DANE-EE holds and no policy is enforced, no sender minds.
        let minded = wrong == Glyph::Bad || address.dane_word != Some(DaneWord::Match);
        return (Some(if minded { wrong } else { Glyph::Note }), faults.join(", "));
    }
    let left = certificate.chain.ends().since(now);
    let ends_soon = assessment.active().any(|finding| {
        finding.code == Code::CertificateExpiring && finding.subject.address() == Some(address.path.address)
    });
    (Some(if ends_soon { Glyph::Warning } else { Glyph::Good }), format!("{} left", words::span(left)))
}

/// The columns that a cell takes.
fn cell_columns(page: &Page, (glyph, text): &Cell) -> usize {
    let unicode = page.look().unicode;
    let sign = glyph.map_or(0, |glyph| columns(&clean(glyph.as_str(), unicode)));
    let gap = usize::from(sign > 0 && !text.is_empty());
    sign + gap + columns(&clean(text, unicode))
}

fn push_cell(line: &mut Line, (glyph, text): &Cell) {
    if let Some(glyph) = glyph {
        line.push(glyph.role(), glyph.as_str());
        if !text.is_empty() {
            line.push(Role::Plain, " ");
        }
    }
    line.push(Role::Plain, text);
}

/// The mail hosts with their addresses: in one table, with the hosts on lines of their own where they are long, or, where
/// even that is too wide, in words.
fn mx_table(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    /// Between two columns.
    const GAP: usize = 2;
    let rows = rows(assessment, now);
    if rows.is_empty() {
        let text = match assessment.mx_records {
            None => "not seen: the lookup failed",
            Some(0) => "none, and the domain has no address either",
            Some(_) => "none that takes mail",
        };
        page.labelled(LABEL, "MX", VALUE, None, text);
        return;
    }
    // Most hosts have no DANE: then there is nothing to show of it.
    let with_dane = rows.iter().any(|row| row.dane != nothing());
    let shown = if with_dane { HEADS.len() } else { HEADS.len() - 1 };
    let heads = HEADS.get(..shown).unwrap_or(&HEADS);
    let mut widths: Vec<usize> = heads.iter().map(|head| head.len()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row.cells()) {
            *width = (*width).max(cell_columns(page, cell));
        }
    }
    let hosts = rows.iter().map(|row| columns(&clean(&row.host, page.look().unicode))).max().unwrap_or(0);
    let cells: usize = widths.iter().map(|width| width + GAP).sum();
    let beside = LABEL + hosts + cells <= super::WIDTH;
    let below = 2 * LABEL + cells - GAP <= super::WIDTH;
    let column = if beside { LABEL + hosts + GAP } else { 2 * LABEL };
    let mut head = page.start();
    head.pad(LABEL).push(Role::Faint, "MX");
    if beside || below {
        if !beside {
            page.end(&head);
            head = page.start();
        }
        let mut at = column;
        for (title, width) in heads.iter().zip(&widths) {
            head.pad(at).push(Role::Faint, title);
            at += width + GAP;
        }
    }
    page.end(&head);
    for row in &rows {
        let mut line = page.start();
        if !row.host.is_empty() {
            line.pad(LABEL).push(Role::Plain, &row.host);
            if !beside {
                page.end(&line);
                line = page.start();
            }
        }
        if !beside && !below {
            in_words(page, heads, row);
            continue;
        }
        let mut at = column;
        for (cell, width) in row.cells().into_iter().zip(&widths) {
            line.pad(at);
            push_cell(&mut line, cell);
            at += width + GAP;
        }
        page.end(&line);
    }
    let skipped: usize = assessment.mx.iter().map(|mx| mx.skipped).sum();
    if skipped > 0 {
        let text = format!("{} beyond the configured limit: not looked at", words::addresses(skipped));
        page.paragraph(LABEL, Role::Faint, &text);
    }
    if assessment.mx.iter().any(|mx| mx.implicit) {
        page.paragraph(LABEL, Role::Faint, "There is no MX record: senders use the domain's own address.");
    }
}

fn in_words(page: &mut Page, heads: &[&str], row: &Row) {
    let parts: Vec<String> = heads
        .iter()
        .zip(row.cells())
        .map(|(title, (glyph, text))| {
            let sign = glyph.map_or("", Glyph::as_str);
            let gap = if sign.is_empty() || text.is_empty() { "" } else { " " };
            format!("{title} {sign}{gap}{text}")
        })
        .collect();
    page.paragraph(2 * LABEL, Role::Plain, &parts.join(", "));
}
