//! The JSON of `check` and of the API. What is not known is `null`, and no key is ever left out.

mod enforce;
pub mod lists;
pub(super) mod reports;

use std::{io, net::IpAddr};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use self::{enforce::EnforceView, reports::ReportsView};
use super::text::is_dangerous;
use crate::{
    facts::{AddressObservation, Offer, SmtpOutcome, TlsSurvey, TlsVersion},
    protocol::mta_sts::{Mode, MxPattern},
    terms::Timestamp,
    verdict::{
        AddressAssessment, Assessment, CertificateAssessment, Code, DaneWord, Finding, HostDane, MxAssessment,
        PathCounts, Reach, Security, SenderState, Severity, StarttlsState, State,
    },
};

/// One domain, ready to be serialised.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Domain")]
pub struct DomainView<'a> {
    domain: &'a str,
    /// When the look at it began.
    checked_at: Timestamp,
    /// How long that took.
    duration_seconds: f64,
    /// What happens to mail for it, over all kinds of sender.
    delivery: State,
    /// The same for each kind of sender.
    senders: SendersView,
    /// Worst first; those that the configuration accepts are here too.
    findings: Vec<FindingView<'a>>,
    dnssec: DnssecView,
    sts: StsView<'a>,
    /// `null` where no MX answer is known.
    mx: Option<Vec<MxView<'a>>>,
    tlsrpt: TlsRptView<'a>,
    /// `null` where no report source is configured.
    reports: Option<ReportsView<'a>>,
    /// Whether mode enforce would lose mail; `null` where the policy is not in testing, and in the first hour that it is watched.
    enforce: Option<EnforceView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Senders")]
struct SendersView {
    /// Checks nothing; clear text where TLS does not work.
    opportunistic: SenderView,
    /// Applies MTA-STS.
    sts: SenderView,
    /// Validates DNSSEC and applies DANE.
    dane: SenderView,
    /// Applies both together.
    both: SenderView,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sender")]
struct SenderView {
    state: State,
    /// Why, in words.
    reason: &'static str,
    paths: PathCounts,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
struct FindingView<'a> {
    code: Code,
    severity: Severity,
    /// What it is about: a domain, a policy host, a mail host, or `monitor`.
    subject: &'a str,
    /// The address of the host that it is about; null where it is about no address.
    address: Option<IpAddr>,
    /// The result type that a sender would report for it (RFC 8460 section 4.3); null where there is no such word.
    result_type: Option<&'static str>,
    /// What was seen, with its values.
    detail: &'a str,
    /// What to do.
    fix: &'a str,
    /// The rules that it follows, of those in docs/conformance.md.
    rules: &'static [&'static str],
    /// The configuration accepts it: it is in no count.
    accepted: bool,
    /// Since when the finding stands; `null` where there is no history.
    since: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Dnssec")]
struct DnssecView {
    mx: Security,
    sts: Security,
    tlsrpt: Security,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sts")]
struct StsView<'a> {
    record: RecordView<'a>,
    policy: PolicyView<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StsRecord")]
struct RecordView<'a> {
    present: Option<bool>,
    valid: Option<bool>,
    usable: Option<bool>,
    id: Option<&'a str>,
    /// Every TXT record at the name, escaped; null where no answer is known.
    txt: Option<&'a [String]>,
    cname: Option<&'a [String]>,
    /// In seconds.
    ttl: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Policy")]
struct PolicyView<'a> {
    /// A sender would get a policy that it can use.
    usable: Option<bool>,
    /// It follows the grammar strictly.
    valid: Option<bool>,
    mode: Option<Mode>,
    /// In seconds.
    max_age: Option<u64>,
    mx: Option<Vec<&'a str>>,
    http_status: Option<u16>,
    media_type: Option<&'a str>,
    certificate: Option<CertificateView<'a>>,
    addresses: Option<Vec<PolicyAddressView<'a>>>,
    /// As it was served, escaped where it is no text.
    body: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PolicyAddress")]
struct PolicyAddressView<'a> {
    address: IpAddr,
    ok: bool,
    error: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Certificate")]
struct CertificateView<'a> {
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    not_before: Timestamp,
    not_after: Timestamp,
    chain_valid: bool,
    name_match: bool,
    /// Chain, name and dates are as MTA-STS asks.
    verified: bool,
    fingerprint_sha256: &'a str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mx")]
struct MxView<'a> {
    host: &'a str,
    preference: u16,
    /// There is no MX record: the domain is its own mail host.
    implicit: bool,
    /// The policy covers it; null where there is none.
    in_policy: Option<bool>,
    tlsa: TlsaView,
    addresses: Vec<AddressView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Address")]
struct AddressView<'a> {
    address: IpAddr,
    /// It takes connections; null where a failure may be this side's own.
    connect: Option<bool>,
    starttls: Option<StarttlsState>,
    tls_version: Option<&'static str>,
    cipher: Option<&'a str>,
    /// Withdrawn versions that are accepted; `null` where it was not looked at.
    legacy_tls: Option<Vec<&'static str>>,
    certificate: Option<CertificateView<'a>>,
    dane: Option<DaneWord>,
    duration_seconds: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TlsRpt")]
struct TlsRptView<'a> {
    present: Option<bool>,
    valid: Option<bool>,
    usable: Option<bool>,
    rua: Option<Vec<&'a str>>,
    txt: Option<&'a [String]>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tlsa")]
struct TlsaView {
    /// none, usable, unusable, insecure, bogus, indeterminate or failed.
    status: &'static str,
    /// As in a zone file; `null` where it is not known whether there are any.
    records: Option<Vec<String>>,
}

/// One domain as an object.
pub fn assessment(assessment: &Assessment) -> DomainView<'_> {
    let mx_known = assessment.mx_records.is_some() || !assessment.mx.is_empty();
    DomainView {
        domain: assessment.domain.as_str(),
        checked_at: assessment.checked_at.whole_seconds(),
        duration_seconds: assessment.duration.as_secs_f64(),
        delivery: assessment.delivery,
        senders: SendersView {
            opportunistic: sender(assessment.senders.opportunistic),
            sts: sender(assessment.senders.sts),
            dane: sender(assessment.senders.dane),
            both: sender(assessment.senders.both),
        },
        findings: assessment.findings.iter().map(finding).collect(),
        dnssec: DnssecView { mx: assessment.dnssec.mx, sts: assessment.dnssec.sts, tlsrpt: assessment.dnssec.tlsrpt },
        sts: StsView { record: record(assessment), policy: policy(assessment) },
        mx: mx_known.then(|| assessment.mx.iter().map(mx).collect()),
        tlsrpt: tlsrpt(assessment),
        reports: reports::reports(assessment),
        enforce: enforce::enforce(assessment),
    }
}

/// Why there is no answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorView<'a> {
    /// In words, with what was expected.
    pub error: &'a str,
}

/// Several domains as an array, in the order given.
pub fn assessments(assessments: &[Assessment]) -> Vec<DomainView<'_>> {
    assessments.iter().map(assessment).collect()
}

/// The text of a value, indented, with a final line break.
///
/// Characters that a terminal would obey are written as `\uXXXX`, which JSON readers take for the same text.
///
/// # Errors
/// Those of the value's own `Serialize`; the views of this module have none.
pub fn to_text(value: &impl Serialize) -> serde_json::Result<String> {
    written(value, PrettyFormatter::new())
}

/// The text of a value on one line, with a final line break; as harmless as [`to_text`].
///
/// # Errors
/// As [`to_text`].
pub fn to_line(value: &impl Serialize) -> serde_json::Result<String> {
    written(value, CompactFormatter)
}

fn written(value: &impl Serialize, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Harmless(formatter));
    value.serialize(&mut serializer)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// The text of a value in one line, with a final line break, as the server answers.
///
/// # Errors
/// As of [`to_text`].
pub fn one_line(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| text + "\n")
}

fn sender(sender: SenderState) -> SenderView {
    SenderView { state: sender.state, reason: sender.reason.as_str(), paths: sender.paths }
}

fn finding(finding: &Finding) -> FindingView<'_> {
    let row = finding.code.row();
    FindingView {
        code: finding.code,
        severity: finding.severity,
        subject: finding.subject.name(),
        address: finding.subject.address(),
        result_type: finding.result_type,
        detail: &finding.detail,
        fix: &finding.fix,
        rules: row.rules,
        accepted: !finding.is_active(),
        since: finding.since.map(Timestamp::whole_seconds),
    }
}

fn record(assessment: &Assessment) -> RecordView<'_> {
    let record = &assessment.sts_record;
    let known = record.present.is_some();
    RecordView {
        present: record.present,
        valid: record.valid,
        usable: record.usable,
        id: record.id.as_ref().map(crate::terms::PolicyId::as_str),
        txt: known.then_some(record.txt.as_slice()),
        cname: known.then_some(record.cname.as_slice()),
        ttl: record.ttl,
    }
}

fn policy(assessment: &Assessment) -> PolicyView<'_> {
    let policy = &assessment.policy;
    let current = policy.current.as_deref();
    PolicyView {
        usable: policy.fetch_success,
        valid: policy.valid,
        mode: current.map(|policy| policy.mode),
        max_age: current.map(|policy| policy.max_age.0),
        mx: current.map(|policy| policy.mx.iter().map(MxPattern::as_str).collect()),
        http_status: policy.http_status,
        media_type: policy.media_type.as_deref(),
        certificate: policy.certificate.as_ref().map(certificate),
        addresses: policy.host.is_some().then(|| {
            policy
                .addresses
                .iter()
                .map(|(address, ok, error)| PolicyAddressView { address: *address, ok: *ok, error: error.as_deref() })
                .collect()
        }),
        body: policy.body.as_deref(),
    }
}

fn certificate(certificate: &CertificateAssessment) -> CertificateView<'_> {
    let leaf = &certificate.chain.leaf;
    CertificateView {
        subject: &leaf.subject,
        issuer: &leaf.issuer,
        names: &leaf.names,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        chain_valid: certificate.chain_valid,
        name_match: certificate.name_match,
        verified: certificate.verified(),
        fingerprint_sha256: &leaf.fingerprint_sha256,
    }
}

fn mx(mx: &MxAssessment) -> MxView<'_> {
    MxView {
        host: mx.host.as_ref().map_or(mx.target.as_str(), crate::terms::MxHost::as_str),
        preference: mx.preference,
        implicit: mx.implicit,
        in_policy: mx.in_policy,
        tlsa: tlsa(&mx.dane),
        addresses: mx.addresses.iter().map(address).collect(),
    }
}

fn tlsa(dane: &HostDane) -> TlsaView {
    let records = dane.records();
    let known = dane.usable().is_some() || !records.is_empty();
    TlsaView { status: dane.status.as_str(), records: known.then(|| records.iter().map(ToString::to_string).collect()) }
}

/// Nothing where a version could not be looked at.
fn legacy_tls(survey: &TlsSurvey) -> Option<Vec<&'static str>> {
    let seen = [(&survey.tls10, TlsVersion::Tls10), (&survey.tls11, TlsVersion::Tls11)];
    if seen.iter().any(|(offer, _)| matches!(offer, Offer::NotSeen(_))) {
        return None;
    }
    Some(seen.iter().filter(|(offer, _)| **offer == Offer::Accepted).map(|(_, version)| version.as_str()).collect())
}

fn address(address: &AddressAssessment) -> AddressView<'_> {
    let path = &address.path;
    // Version, cipher and certificate belong together: they are of the dialogue that the judgement rests on.
    let tls = path.judged.as_ref().and_then(|judged| judged.tls.as_ref());
    AddressView {
        address: path.address,
        connect: path.latest.as_ref().and_then(|latest| connected(latest, path.reach)),
        starttls: path.starttls,
        tls_version: tls.map(|tls| tls.version.as_str()),
        cipher: tls.map(|tls| tls.cipher.as_str()),
        legacy_tls: path.survey.as_deref().and_then(legacy_tls),
        certificate: path.certificate.as_ref().map(certificate),
        dane: address.dane_word,
        duration_seconds: path.latest.as_ref().map(|latest| latest.duration.as_secs_f64()),
    }
}

/// Whether the address takes connections; nothing where a failure may be this side's own.
fn connected(latest: &AddressObservation, reach: Reach) -> Option<bool> {
    match &latest.outcome {
        _ if latest.connected() => Some(true),
        SmtpOutcome::ConnectFailed(failure) if failure.is_own_side() => None,
        _ if reach == Reach::CannotTell => None,
        _ => Some(false),
    }
}

fn tlsrpt(assessment: &Assessment) -> TlsRptView<'_> {
    let record = &assessment.tlsrpt;
    let known = record.present.is_some();
    TlsRptView {
        present: record.present,
        valid: record.valid,
        usable: record.usable,
        rua: known.then(|| record.rua.iter().map(|destination| destination.uri.as_str()).collect()),
        txt: known.then_some(record.txt.as_slice()),
    }
}

/// JSON in which no character is left that a terminal would obey.
struct Harmless<F>(F);

impl<F: Formatter> Formatter for Harmless<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_dangerous) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    fn text(assessments: &[Assessment]) -> String {
        to_text(&super::assessments(assessments)).unwrap()
    }

    #[test]
    fn a_healthy_domain() {
        insta::assert_snapshot!(text(&[fixture::healthy("example.com")]));
    }

    #[test]
    fn what_is_not_known_is_null() {
        insta::assert_snapshot!(text(&[fixture::unknown("example.com")]));
    }

    #[test]
    fn a_line_is_the_same_value() {
        let hostile = fixture::hostile("example.com");
        let line = to_line(&assessment(&hostile)).unwrap();
        assert_eq!(line.lines().count(), 1);
        assert!(!line.chars().any(|c| c != '\n' && is_dangerous(c)), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value, serde_json::to_value(assessment(&hostile)).unwrap());
    }

    #[test]
    fn findings_carry_their_row() {
        let value: serde_json::Value = serde_json::from_str(&text(&[fixture::backup_expired("example.com")])).unwrap();
        let findings = value[0]["findings"].as_array().unwrap();
        assert_eq!(findings[0]["code"], "certificate-expired");
        assert_eq!(findings[0]["subject"], "mx2.example.com");
        assert_eq!(findings[0]["address"], "192.0.2.20");
        assert_eq!(findings[0]["result_type"], "certificate-expired");
        assert_eq!(findings[0]["rules"], serde_json::json!(["APP-09", "MXT-11"]));
        assert_eq!(findings[0]["accepted"], false);
        assert_eq!(findings[0]["since"], "2026-11-20T20:00:00Z");
        assert_eq!(findings[1]["since"], serde_json::Value::Null, "nothing was remembered of it");
        assert_eq!(findings[3]["accepted"], true);
        assert_eq!(findings[3]["address"], serde_json::Value::Null);
    }

    #[test]
    fn every_object_has_the_keys_of_the_interface_in_their_order() {
        let all = [
            fixture::healthy("a.example"),
            fixture::unknown("b.example"),
            fixture::own_side("c.example"),
            fixture::unprotected("d.example"),
            fixture::hostile("e.example"),
        ];
        let shown = text(&all);
        let keys = |indent: &str| -> Vec<Vec<String>> {
            let start = format!("{indent}\"");
            let mut objects = Vec::new();
            let mut current = Vec::new();
            for line in shown.lines() {
                if line.starts_with(&start) {
                    current.push(line.trim().split('"').nth(1).unwrap().to_owned());
                } else if line.starts_with("  }") {
                    objects.push(std::mem::take(&mut current));
                }
            }
            objects
        };
        let top = [
            "domain",
            "checked_at",
            "duration_seconds",
            "delivery",
            "senders",
            "findings",
            "dnssec",
            "sts",
            "mx",
            "tlsrpt",
            "reports",
            "enforce",
        ];
        assert_eq!(keys("    "), vec![top.map(str::to_owned).to_vec(); all.len()]);
    }

    #[test]
    fn what_cannot_be_told_is_no_failed_connection() {
        let own_side = fixture::own_side("example.com");
        let value = serde_json::to_value(assessment(&own_side)).unwrap();
        assert_eq!(value["mx"][0]["addresses"][0]["connect"], serde_json::Value::Null);
        let turned_away = fixture::turned_away("example.com");
        let value = serde_json::to_value(assessment(&turned_away)).unwrap();
        assert_eq!(value["mx"][0]["addresses"][0]["connect"], true);
        let down = fixture::down("example.com");
        let value = serde_json::to_value(assessment(&down)).unwrap();
        assert_eq!(value["mx"][0]["addresses"][0]["connect"], false);
        assert_eq!(value["mx"][0]["addresses"][0]["starttls"], "not-reached");
    }

    #[test]
    fn hostile_text_is_harmless_and_the_same_after_reading() {
        let hostile = fixture::hostile("example.com");
        let shown = text(std::slice::from_ref(&hostile));
        assert!(!shown.chars().any(|c| c != '\n' && is_dangerous(c)));
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read[0]["sts"]["policy"]["body"].as_str(), hostile.policy.body.as_deref());
        assert_eq!(read[0]["findings"][0]["detail"].as_str(), Some(hostile.findings[0].detail.as_str()));
    }
}
