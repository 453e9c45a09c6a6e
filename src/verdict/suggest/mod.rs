//! What to publish: a policy, TLSA records, and what is worth saying of a policy before it is published. Facts in, a suggestion
//! out; the words for people are made elsewhere.

#[cfg(test)]
pub(crate) mod fixture;
mod lint;
mod policy;
mod provider;
mod tlsa;

pub use lint::{LARGEST_BODY, PolicyLint, Remark, SMALL_BODY, lint_policy};
pub use policy::{
    FIRST_ENFORCE_AGE, LASTING_AGE, LEAVING_AGE, ModeReason, Need, Obstacle, ObstacleKind, Plan, PolicyHostSight,
    PolicySuggestion, RECORD_TTL, RecordSight, ReportsSight, TESTING_AGE, Wishes, policy_body, suggest_policy,
};
pub use provider::{Provider, provider_of};
pub use tlsa::{
    AUTHORITY, Authority, NeedsCertificate, PublishedSight, ServedCertificate, Signing, TLSA_TTL, TlsaFacts,
    TlsaSuggestion, USUAL, next_record, suggest_tlsa,
};
