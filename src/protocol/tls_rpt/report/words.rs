//! The closed vocabularies of a report.

use serde::{Deserialize, Serialize};

/// `policy-type` (RFC 8460 §4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// MTA-STS.
    Sts,
    /// DANE.
    Tlsa,
    /// Neither was found.
    NoPolicyFound,
    /// A word that the registry does not know, or none.
    #[default]
    Other,
}

/// `result-type`: the registry of RFC 8460 §6.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// The MX did not offer STARTTLS, or did not take it.
    StarttlsNotSupported,
    /// The names of the certificate do not satisfy the policy.
    CertificateHostMismatch,
    /// The certificate is past its end.
    CertificateExpired,
    /// The chain leads to no trusted root.
    CertificateNotTrusted,
    /// Anything else that failed.
    ValidationFailure,
    /// No TLSA record matched.
    TlsaInvalid,
    /// The resolver returned nothing valid.
    DnssecInvalid,
    /// The sender insists on DANE and the host has none.
    DaneRequired,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// The policy was fetched and is none.
    StsPolicyInvalid,
    /// The certificate of the policy host.
    StsWebpkiInvalid,
    /// A word that the registry does not know, or none.
    #[default]
    Other,
}

impl PolicyType {
    /// All, in the order in which people read them.
    pub const ALL: [Self; 4] = [Self::Sts, Self::Tlsa, Self::NoPolicyFound, Self::Other];

    /// The word of the report; `other` for what has none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Tlsa => "tlsa",
            Self::NoPolicyFound => "no-policy-found",
            Self::Other => "other",
        }
    }

    /// Reads the word, in whatever case.
    pub fn parse(text: &str) -> Self {
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(text.trim()));
        known.unwrap_or(Self::Other)
    }
}

impl ResultType {
    /// All, in the order of the registry.
    pub const ALL: [Self; 12] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
        Self::Other,
    ];

    /// The word of the registry; `other` for what has none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
            Self::Other => "other",
        }
    }

    /// Reads the word, in whatever case.
    pub fn parse(text: &str) -> Self {
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(text.trim()));
        known.unwrap_or(Self::Other)
    }
}
