//! What a finding is about, and the group it counts in.

/// The group of a finding: `smtptls_domain_check_passed{check}` is 0 exactly while an error of the group is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Lookups.
    Dns,
    /// The `_mta-sts` record.
    Record,
    /// The policy and its host.
    Policy,
    /// The MX records against the policy.
    Mx,
    /// SMTP and STARTTLS.
    Starttls,
    /// Certificates of mail hosts.
    Certificate,
    /// TLSA records against what the mail hosts present.
    Dane,
    /// The `_smtp._tls` record.
    TlsRpt,
    /// No group.
    None,
}

/// What kind of thing a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// Any of the others.
    Any,
    /// The policy domain.
    Domain,
    /// `mta-sts.<domain>`.
    PolicyHost,
    /// A mail host.
    Mx,
    /// One address of a mail host.
    MxAddress,
    /// The `_smtp._tls` record.
    TlsRpt,
    /// What reports say of the policy domain.
    Reports,
    /// This monitor.
    Monitor,
}

impl Check {
    /// The groups that exist, in the order of the metrics.
    pub const ALL: [Self; 8] =
        [Self::Dns, Self::Record, Self::Policy, Self::Mx, Self::Starttls, Self::Certificate, Self::Dane, Self::TlsRpt];

    /// The word of `smtptls_domain_check_passed{check}`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Record => "record",
            Self::Policy => "policy",
            Self::Mx => "mx",
            Self::Starttls => "starttls",
            Self::Certificate => "certificate",
            Self::Dane => "dane",
            Self::TlsRpt => "tlsrpt",
            Self::None => "none",
        }
    }
}

impl SubjectKind {
    /// The word of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Domain => "domain",
            Self::PolicyHost => "policy-host",
            Self::Mx => "mx",
            Self::MxAddress => "mx-address",
            Self::TlsRpt => "tlsrpt",
            Self::Reports => "reports",
            Self::Monitor => "monitor",
        }
    }
}
