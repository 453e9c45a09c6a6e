//! Who can do something about a finding.

use serde::Serialize;

use super::{Code, Subject, TlsaStatus, case::Case};

/// Who can mend what a finding tells of. Many domains own neither their mail hosts nor the web server of their policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fixer {
    /// Who runs the domain or this monitor.
    You,
    /// Only who runs the mail host, the policy host or the zone that the domain refers to.
    Provider,
    /// Nobody here: it is the way of a sender, or nothing has to be mended.
    Nobody,
}

impl Fixer {
    /// `you`, `provider` or `nobody`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::You => "you",
            Self::Provider => "provider",
            Self::Nobody => "nobody",
        }
    }

    /// Who can mend this in this case.
    pub(crate) fn of(case: &Case<'_>, code: Code, subject: &Subject) -> Self {
        let provider = match ground(code) {
            Ground::Nobody => return Self::Nobody,
            Ground::Domain => false,
            Ground::StsRecord => case.record_host().is_some(),
            Ground::TlsRptRecord => case.tlsrpt_host().is_some(),
            Ground::Policy => case.policy_provider().is_some(),
            Ground::Host => subject.mx().is_some_and(|host| !case.is_own(host)),
            Ground::Uncovered => {
                let mut without = case.mx().iter().filter(|mx| mx.dane.status != TlsaStatus::Usable);
                without.all(|mx| !case.is_own(&mx.target))
            }
        };
        if provider { Self::Provider } else { Self::You }
    }
}

impl Code {
    /// What is different where somebody else runs what the finding is about; nothing where that cannot be.
    pub const fn hosted_elsewhere(self) -> Option<&'static str> {
        Some(match ground(self) {
            Ground::Domain | Ground::Nobody => return None,
            Ground::Host => on_a_host(self),
            Ground::Uncovered => {
                "Only your provider can publish TLSA records for its hosts: ask for DANE. In Exchange Online you switch it on yourself: \
                 Enable-DnssecForVerifiedDomain, the new MX record, then Enable-SmtpDaneInbound."
            }
            Ground::Policy => {
                "Where mta-sts.DOMAIN is an alias, whoever publishes the file at its target changes it: you, where that is a web space or \
                 a CDN of yours. Where _mta-sts.DOMAIN is an alias as well, it is taken to be the provider of both."
            }
            Ground::StsRecord => "Where _mta-sts.DOMAIN is an alias, whoever runs its target changes the record.",
            Ground::TlsRptRecord => "Where _smtp._tls.DOMAIN is an alias, whoever runs its target changes the record.",
        })
    }
}

/// What is left to a domain whose mail host is somebody else's. Mode testing helps where the policy is what keeps mail away, and is
/// lost protection everywhere else.
const fn on_a_host(code: Code) -> &'static str {
    use Code::*;
    match code {
        StarttlsNotOffered
        | StarttlsRefused
        | TlsHandshakeFailed
        | TlsVersionObsolete
        | CertificateExpired
        | CertificateNotYetValid
        | CertificateNameMismatch
        | CertificateUntrusted => {
            "Only your provider can do this: send them what the finding says. While senders refuse the host, you can take it out of \
             the MX records if another one is left, or, where it has no TLSA records, set the policy to mode testing under a new id. \
             Name hosts that are yours outside the domain in own_mx."
        }
        // RFC 7672 §2.1, §2.2: whatever MTA-STS says. Who finds no address, or nobody there, has no choice either.
        DaneMismatch | DaneChainInvalid | DaneLookupFailed | DaneUnusable | DnsLookupFailed | DnssecBogus
        | MxUnresolvable | MxAddressPrivate | SmtpConnectFailed | SmtpTimeout | SmtpProtocolError => {
            "Only your provider can do this: send them what the finding says. While senders do not deliver to the host, you can take \
             it out of the MX records if another one is left; MTA-STS in mode testing does not help. Name hosts that are yours \
             outside the domain in own_mx."
        }
        SmtpRejected => {
            "Whom the host lets in is for your provider to say; the host name and the address of the monitor are yours. Name hosts \
             that are yours outside the domain in own_mx."
        }
        _ => {
            "Only your provider can do this: send them what the finding says. Name hosts that are yours outside the domain in own_mx."
        }
    }
}

/// Where a finding is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// In what the domain itself publishes, or in the configuration of this monitor.
    Domain,
    /// In the `_mta-sts` record, wherever an alias leads.
    StsRecord,
    /// In the `_smtp._tls` record, wherever an alias leads.
    TlsRptRecord,
    /// On the policy host, or in the policy that it serves.
    Policy,
    /// On the mail host that the finding is about, or in its zone.
    Host,
    /// At the mail hosts that have no usable TLSA records.
    Uncovered,
    /// Nowhere.
    Nobody,
}

const fn ground(code: Code) -> Ground {
    use Code::*;
    match code {
        // What a subject of any kind can have is mended where the subject is.
        DnsLookupFailed | DnssecBogus | DnssecSignatureExpiring | DnssecAlgorithmWeak | MxCname => Ground::Host,
        DomainNonexistent
        | MxImplicit
        | MxNone
        | MxNullWithPolicy
        | MxNullMixed
        | MxInvalidTarget
        | DnsDelegationDangling => Ground::Domain,
        DanePartial => Ground::Uncovered,
        StsRecordMissing | StsSubdomainUncovered | StsPolicyUnused | TlsRptRecordMissing => Ground::Domain,
        StsRecordVanished
        | StsIdNotChanged
        | StsIdChangedOnly
        | StsRecordMultiple
        | StsRecordInvalid
        | StsRecordIdInvalid
        | StsRecordLenient
        | StsRecordUnrelatedTxt
        | StsRecordTtlLong
        | StsRecordNote => Ground::StsRecord,
        StsPolicyHostUnresolvable
        | StsPolicyConnectFailed
        | StsPolicyAddressFailed
        | StsPolicyAddressPrivate
        | StsPolicyTimeout
        | StsPolicySlow
        | StsPolicyTlsFailed
        | StsPolicyCertificateExpired
        | StsPolicyCertificateNotYetValid
        | StsPolicyCertificateUntrusted
        | StsPolicyCertificateNameMismatch
        | StsPolicyCertificateExpiring
        | StsPolicyHttpStatus
        | StsPolicyRedirect
        | StsPolicyMediaType
        | StsPolicyTooLarge
        | StsPolicyDiverges
        | StsPolicyInvalid
        | StsPolicyLenient
        | StsPolicyMaxAgeShort
        | StsPolicyMaxAgeExcessive
        | StsPolicyWildcardWide
        | StsPolicyMxImpossible
        | StsPolicyMxSingleLabel
        | StsPolicyModeTesting
        | StsPolicyTestingLong
        | StsPolicyReadyForEnforce
        | StsPolicyDowngraded
        | MxNotInPolicy
        | PolicyMxUnused => Ground::Policy,
        MxUnresolvable
        | MxAddressPrivate
        | SmtpConnectFailed
        | SmtpTimeout
        | SmtpProtocolError
        | SmtpRejected
        | StarttlsNotOffered
        | StarttlsRefused
        | StarttlsInjection
        | TlsHandshakeFailed
        | TlsVersionObsolete
        | TlsLegacyAccepted
        | TlsSniDependent
        | TlsWeakCiphers
        | AddressesDiverge
        | CertificateExpired
        | CertificateNotYetValid
        | CertificateNameMismatch
        | CertificateUntrusted
        | CertificateExpiring
        | CertificateWeak
        | DaneMismatch
        | DaneChainInvalid
        | DaneLookupFailed
        | DaneUnusable
        | DaneRecordUnusable
        | DaneInsecure
        | DaneCombinationStale
        | DaneRecordStale
        | DaneTaOnly
        | DaneAnswerLarge => Ground::Host,
        TlsRptRecordMultiple | TlsRptRecordInvalid | TlsRptRecordLenient | TlsRptRecordNote | TlsRptRuaSharesFate
        | TlsRptRuaUnreachable => Ground::TlsRptRecord,
        MxAddressesSkipped | MxNotInCachedPolicy | DaneMxInsecure | ReportsFailing | ReportsNewFailure
        | ReportsSilent | ExpectationNotMet | VantageLimited => Ground::Domain,
        StsRecordDelegated
        | StsPolicyNote
        | StsPolicyModeNone
        | MxNull
        | DaneRollover
        | ReportsSenderCacheOld
        | ReportsDistributionShift => Ground::Nobody,
    }
}
