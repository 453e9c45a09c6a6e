//! The result of a judgement: all that the faces of the program show of one domain.

use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DaneWord, Finding, HistoryAssessment, HostDane, Outcome, Reach, ReportsAssessment, SenderState, Severity, State,
};
use crate::{
    facts::{
        AddressObservation, ChainFacts, DnssecSight, HostObservation, PolicyHostObservation, Security, SignatureFacts,
        SmtpOutcome, TlsFacts, TlsSurvey,
    },
    protocol::{dane::Verification, mta_sts::Policy, tls_rpt::Destination},
    terms::{MxHost, PolicyDomain, PolicyId, Timestamp},
};

/// What is known and judged of one domain.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// Whose.
    pub domain: PolicyDomain,
    /// When the look at the domain began.
    pub checked_at: Timestamp,
    /// How long it took, the mail hosts included where they were probed with it.
    pub duration: Duration,
    /// What happens to mail for the domain, over all kinds of sender that are judged.
    pub delivery: State,
    /// The kinds of sender.
    pub senders: Senders,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// The `expect` entries of the configuration that can be told, with whether each is met.
    pub expectations: Vec<(&'static str, bool)>,
    /// Whether DNSSEC can be seen from here.
    pub dnssec_sight: DnssecSight,
    /// DNSSEC, as far as it can be seen from here.
    pub dnssec: DnssecStates,
    /// The signatures on the way to the MX records, where they are secure.
    pub mx_signatures: Option<SignatureFacts>,
    /// The `_mta-sts` record.
    pub sts_record: RecordAssessment,
    /// The policy and its host.
    pub policy: PolicyAssessment,
    /// The MX lookup was answered.
    pub mx_lookup_success: bool,
    /// The number of MX records of the last known answer; nothing where none is known.
    pub mx_records: Option<usize>,
    /// The mail hosts in the order in which senders try them.
    pub mx: Vec<MxAssessment>,
    /// The `_smtp._tls` record.
    pub tlsrpt: TlsRptAssessment,
    /// What reports say; nothing where no report source is configured.
    pub reports: Option<ReportsAssessment>,
    /// What follows from what was seen over time.
    pub history: HistoryAssessment,
    /// The domain could not be checked for a reason on this side.
    pub own_side: bool,
    /// What could not be seen, and why, in words; empty where all was.
    pub unseen: Vec<String>,
}

/// The state of each kind of sender that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Senders {
    /// No checks; clear text if TLS does not work.
    pub opportunistic: SenderState,
    /// Applies MTA-STS.
    pub sts: SenderState,
    /// Validates DNSSEC and applies DANE.
    pub dane: SenderState,
    /// Applies both together, as large senders do.
    pub both: SenderState,
}

impl Senders {
    /// The same for every kind.
    pub const fn all(state: SenderState) -> Self {
        Self { opportunistic: state, sts: state, dane: state, both: state }
    }
}

/// DNSSEC of the answers that stand on the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnssecStates {
    /// The MX answer.
    pub mx: Security,
    /// The `_mta-sts` answer.
    pub sts: Security,
    /// The `_smtp._tls` answer.
    pub tlsrpt: Security,
}

/// The `_mta-sts` record. Values are of the last known answer: a failed lookup does not take them away.
#[derive(Clone, Debug, Default)]
pub struct RecordAssessment {
    /// This lookup was answered.
    pub lookup_success: bool,
    /// A record that means to be MTA-STS is there; nothing where no answer is known.
    pub present: Option<bool>,
    /// It follows the grammar; nothing where it is absent or unknown.
    pub valid: Option<bool>,
    /// Senders can use it.
    pub usable: Option<bool>,
    /// Its id, where usable.
    pub id: Option<PolicyId>,
    /// Every TXT record at the name, escaped.
    pub txt: Vec<String>,
    /// The CNAME chain.
    pub cname: Vec<String>,
    /// The TTL in seconds.
    pub ttl: Option<u32>,
}

/// The policy and its host.
#[derive(Clone, Debug, Default)]
pub struct PolicyAssessment {
    /// The look itself; nothing before the first one.
    pub host: Option<Arc<PolicyHostObservation>>,
    /// A record or a policy host is there, so that the policy is worth a verdict.
    pub deployed: bool,
    /// A usable policy came as RFC 8461 asks: from at least one address, with a verified certificate, status 200, and a media
    /// type that senders accept. Nothing where this side could not look.
    pub fetch_success: Option<bool>,
    /// The policy that came now, where usable.
    pub current: Option<Arc<Policy>>,
    /// It follows the grammar strictly.
    pub valid: Option<bool>,
    /// The policy that senders may still hold: the current one, else the last usable one while its `max_age` lasts.
    pub in_force: Option<Arc<Policy>>,
    /// When a usable policy was last fetched.
    pub last_success_at: Option<Timestamp>,
    /// The TLS-RPT result type that a sender would report while the fetch fails (RFC 8460 §4.3).
    pub result_type: Option<&'static str>,
    /// The status code of the judged answer.
    pub http_status: Option<u16>,
    /// `Content-Type` of the judged answer, escaped.
    pub media_type: Option<String>,
    /// The certificate of the judged address.
    pub certificate: Option<CertificateAssessment>,
    /// Each address with whether it served a usable policy, and the error in words.
    pub addresses: Vec<(IpAddr, bool, Option<String>)>,
    /// The body of the judged answer, escaped only where it is not text.
    pub body: Option<String>,
    /// How many patterns match no current MX; nothing where either side is not known.
    pub unused_patterns: Option<usize>,
}

/// A certificate with its three verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateAssessment {
    /// What was presented.
    pub chain: Arc<ChainFacts>,
    /// A path leads to a trusted root; dates of the leaf and names apart.
    pub chain_valid: bool,
    /// The certificate names the host (RFC 8461 §4.1).
    pub name_match: bool,
    /// Now lies within the validity of the leaf.
    pub in_dates: bool,
}

impl CertificateAssessment {
    /// What MTA-STS asks: chain, name and dates.
    pub const fn verified(&self) -> bool {
        self.chain_valid && self.name_match && self.in_dates
    }
}

/// One mail host of the domain.
#[derive(Clone, Debug)]
pub struct MxAssessment {
    /// The target as the MX record has it, escaped.
    pub target: String,
    /// The host; nothing where the target is no host name.
    pub host: Option<MxHost>,
    /// The preference; 0 for the implicit MX.
    pub preference: u16,
    /// There is no MX record: the domain itself is its mail host (RFC 5321 §5.1).
    pub implicit: bool,
    /// The policy in force covers it; nothing where there is none.
    pub in_policy: Option<bool>,
    /// The address lookup; nothing where it was not made.
    pub lookup: Option<Arc<HostObservation>>,
    /// Its addresses.
    pub addresses: Vec<AddressAssessment>,
    /// Its TLSA records.
    pub dane: HostDane,
    /// Addresses beyond the cap.
    pub skipped: usize,
}

/// One address of a mail host, for this domain: a path.
#[derive(Clone, Debug)]
pub struct AddressAssessment {
    /// What is so for every domain that uses the host.
    pub path: Arc<PathAssessment>,
    /// What an opportunistic sender does.
    pub opportunistic: Outcome,
    /// What a sender that applies MTA-STS and holds nothing does.
    pub sts: Outcome,
    /// What a sender that applies DANE does.
    pub dane: Outcome,
    /// The TLSA records against what the address presents, for mail to this domain; nothing where there is nothing to compare.
    pub dane_verdict: Option<Verification>,
    /// The same in one word; nothing where it cannot be told.
    pub dane_word: Option<DaneWord>,
}

/// One address of a mail host, apart from any domain.
#[derive(Clone, Debug)]
pub struct PathAssessment {
    /// Which.
    pub address: IpAddr,
    /// The latest probe; nothing before the first one.
    pub latest: Option<Arc<AddressObservation>>,
    /// Whether it can be reached, by [`latest`](Self::latest) and what was seen before.
    pub reach: Reach,
    /// Another mail host answered over the same family meanwhile: a timeout is then this address's own.
    pub another_answered: bool,
    /// What is judged: the latest probe where an SMTP server answered, else the last one in which it did and that is not too
    /// old. Nothing where the address is down or cannot be told.
    pub judged: Option<Arc<AddressObservation>>,
    /// STARTTLS of the latest probe.
    pub starttls: Option<StarttlsState>,
    /// The extra connections to the address, where they were made.
    pub survey: Option<Arc<TlsSurvey>>,
    /// The usable TLSA records of the host against what is judged, for the TLSA base domain alone: what is so for every domain.
    pub dane: Option<Verification>,
    /// Whether DANE holds, by the same; nothing where senders do not ask for it, or it cannot be told.
    pub dane_valid: Option<bool>,
    /// The certificate of what is judged.
    pub certificate: Option<CertificateAssessment>,
    /// Probes in a row that failed.
    pub consecutive_failures: u32,
    /// The latest probe that came all the way.
    pub last_success_at: Option<Timestamp>,
    /// The TLS-RPT result type of the present failure, or one of the words that metrics add (`dns-error`, `connect-refused`,
    /// `timeout`, `smtp-error`, `other`).
    pub result_type: Option<&'static str>,
}

/// How STARTTLS went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StarttlsState {
    /// A handshake was done, whatever the certificate.
    Ok,
    /// EHLO did not offer it.
    NotOffered,
    /// 4xx or 5xx to STARTTLS.
    Refused,
    /// The handshake failed.
    Failed,
    /// The server broke the protocol.
    ProtocolError,
    /// No progress in time.
    Timeout,
    /// The dialogue did not come so far: no connection, or this client was turned away.
    NotReached,
}

/// The `_smtp._tls` record. Values are of the last known answer.
#[derive(Clone, Debug, Default)]
pub struct TlsRptAssessment {
    /// This lookup was answered.
    pub lookup_success: bool,
    /// A record is there.
    pub present: Option<bool>,
    /// It follows the grammar.
    pub valid: Option<bool>,
    /// Reporters can use it.
    pub usable: Option<bool>,
    /// Its destinations.
    pub rua: Vec<Destination>,
    /// Every TXT record at the name, escaped.
    pub txt: Vec<String>,
}

impl Assessment {
    /// The findings that count: those not accepted.
    pub fn active(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_active())
    }

    /// How many active findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.active().filter(|finding| finding.severity == severity).count()
    }

    /// The worst severity of an active finding.
    pub fn worst(&self) -> Option<Severity> {
        self.active().map(|finding| finding.severity).max()
    }

    /// Every lookup of the domain was answered.
    pub fn lookups_answered(&self) -> bool {
        self.mx_lookup_success && self.sts_record.lookup_success && self.tlsrpt.lookup_success
    }
}

impl PathAssessment {
    /// The handshake of what is judged.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.judged.as_ref()?.tls.as_ref()
    }

    /// Whether the latest probe is the one that is judged. Else the server did not answer it, or turned this client away, and
    /// what stands here was seen before.
    pub fn is_latest_judged(&self) -> bool {
        let at = |seen: &Option<Arc<AddressObservation>>| seen.as_ref().map(|seen| seen.at);
        at(&self.judged) == at(&self.latest)
    }

    /// Whether mail gets through inside TLS, whatever the certificate. A server that breaks off after the handshake takes none;
    /// one with ciphers that only other senders speak takes theirs; TLS 1.1 and older are no TLS to a sender that insists
    /// (RFC 8461 §7.2, RFC 8996).
    pub fn takes_mail_in_tls(&self) -> bool {
        let Some(judged) = &self.judged else { return false };
        let readable = judged.tls.as_ref().is_some_and(|tls| !tls.completed && !tls.version.is_obsolete());
        match judged.outcome {
            SmtpOutcome::Done => true,
            SmtpOutcome::HandshakeFailed(_) => readable,
            _ => false,
        }
    }
}

impl StarttlsState {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotOffered => "not-offered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::ProtocolError => "protocol-error",
            Self::Timeout => "timeout",
            Self::NotReached => "not-reached",
        }
    }
}
