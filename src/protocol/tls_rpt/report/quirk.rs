//! How reports depart from the specification and are taken all the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The quirks of one report: each once, however often it stands in it.
pub type Quirks = BTreeSet<Quirk>;

macro_rules! quirks {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// A departure that loses nothing of a report. The list is closed: each is a value of a label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Quirk { $($(#[$doc])* $name,)* }

        impl Quirk {
            /// All.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for metrics and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

quirks! {
    /// A byte order mark before the JSON (REP-01).
    ByteOrderMark => "byte-order-mark",
    /// A key stands twice; the last one counts (REP-01).
    DuplicateKey => "duplicate-key",
    /// The text is not UTF-8 everywhere.
    NotUtf8 => "not-utf8",
    /// A control character as it is within a text, where JSON wants an escape.
    ControlCharacter => "control-character",
    /// Something stands behind the JSON object, the compressed data, or the report in an archive.
    TrailingData => "trailing-data",
    /// The media type does not say what the bytes are (REP-07).
    MediaTypeMismatch => "media-type-mismatch",
    /// More than one gzip member (REP-22).
    MultiMemberGzip => "multi-member-gzip",
    /// A zip archive (REP-08).
    Zip => "zip",
    /// A mail that is no multipart/report; report-type=tlsrpt (REP-05).
    NotMultipartReport => "not-multipart-report",
    /// A mail without TLS-Report-Domain or TLS-Report-Submitter (REP-06).
    MailHeaderMissing => "mail-header-missing",
    /// A part of a mail that should be a report cannot be read, and another part was.
    PartUnread => "part-unread",
    /// TLS-Report-Submitter is not the domain of contact-info (REP-10).
    SubmitterMismatch => "submitter-mismatch",
    /// No organization-name (FLD-01).
    OrganizationMissing => "organization-missing",
    /// No contact-info at all (FLD-04).
    ContactInfoMissing => "contact-info-missing",
    /// contact-info is null (FLD-04).
    ContactInfoNull => "contact-info-null",
    /// No report-id (FLD-05).
    ReportIdMissing => "report-id-missing",
    /// A report-id that ends in `+`, where the domain is missing (FLD-05).
    ReportIdCut => "report-id-cut",
    /// Start or end are missing or unreadable (FLD-02).
    DateRangeMissing => "date-range-missing",
    /// A time without its zone: taken as UTC (FLD-03).
    DateWithoutZone => "date-without-zone",
    /// A time in another form than RFC 3339.
    DateFormat => "date-format",
    /// The end lies before the start.
    DateRangeInverted => "date-range-inverted",
    /// The range is not one UTC day (FLD-03).
    DateRangeNotADay => "date-range-not-a-day",
    /// `policies` is one object, not an array (FLD-07).
    PoliciesNotArray => "policies-not-array",
    /// `policies` is empty, or missing (FLD-07).
    PoliciesEmpty => "policies-empty",
    /// An entry of `policies` or `failure-details` is no object.
    EntryNotObject => "entry-not-object",
    /// A policy-type that the registry does not know (FLD-09).
    PolicyTypeUnknown => "policy-type-unknown",
    /// No policy-type (FLD-09).
    PolicyTypeMissing => "policy-type-missing",
    /// No policy-domain (FLD-11).
    PolicyDomainMissing => "policy-domain-missing",
    /// A policy-domain with U-labels, another case or a final dot (FLD-11).
    PolicyDomainNotCanonical => "policy-domain-not-canonical",
    /// A policy-domain that is no name.
    PolicyDomainInvalid => "policy-domain-invalid",
    /// policy-string is one string, or holds several lines in one (FLD-10).
    PolicyStringNotArray => "policy-string-not-array",
    /// policy-string holds a JSON array as text (FLD-10).
    PolicyStringNested => "policy-string-nested",
    /// mx-host is one string, or holds several hosts in one (FLD-12).
    MxHostNotArray => "mx-host-not-array",
    /// mx-host under another key, as mx-host-pattern (FLD-12).
    MxHostOtherKey => "mx-host-other-key",
    /// An mx-host written as a line of the policy, `mx: name`.
    MxHostAsLine => "mx-host-as-line",
    /// No summary, or a count is missing in it or in a detail: 0 (FLD-14, FLD-19).
    CountMissing => "count-missing",
    /// A count as text (FLD-14).
    CountAsText => "count-as-text",
    /// A count that is no whole number from 0 on: 0 (FLD-14).
    CountInvalid => "count-invalid",
    /// failure-details is null (FLD-16).
    FailureDetailsNull => "failure-details-null",
    /// failure-details is one object, not an array (FLD-16).
    FailureDetailsNotArray => "failure-details-not-array",
    /// Failures without details (FLD-19).
    FailureDetailsMissing => "failure-details-missing",
    /// The details do not add up to the summary (FLD-19).
    CountsDisagree => "counts-disagree",
    /// A result-type that the registry does not know, or none (FLD-17).
    ResultTypeUnknown => "result-type-unknown",
    /// No sending-mta-ip, though sessions with a mail host failed (FLD-18).
    SendingIpMissing => "sending-ip-missing",
    /// An address that is none (FLD-18).
    AddressInvalid => "address-invalid",
    /// A receiving-mx-hostname that is no name (FLD-18).
    MxHostnameInvalid => "mx-hostname-invalid",
    /// A key of an early draft or a misread one (FLD-20).
    OtherKeyName => "other-key-name",
    /// A value of another type than the specification says.
    ValueType => "value-type",
    /// More policies, details, lines or characters than are kept. The sums hold all.
    Truncated => "truncated",
}

/// The quirks that were seen so far, while a report is read: cheap to add to.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::protocol::tls_rpt) struct Seen(u64);

// A bit each.
const _: () = assert!(Quirk::ALL.len() <= 64);

impl Seen {
    pub(in crate::protocol::tls_rpt) const fn add(&mut self, quirk: Quirk) {
        self.0 |= 1 << quirk as u32;
    }

    pub(in crate::protocol::tls_rpt) const fn has(self, quirk: Quirk) -> bool {
        self.0 & 1 << quirk as u32 != 0
    }

    pub(in crate::protocol::tls_rpt) fn into_quirks(self) -> Quirks {
        Quirk::ALL.iter().copied().filter(|quirk| self.has(*quirk)).collect()
    }
}
