//! What stands in the cells of several lists.

use maud::{Markup, html};

use super::layout::time;
use crate::{
    present::{certificate_faults, words},
    terms::Timestamp,
    verdict::{Assessment, CertificateAssessment, Code, HostDane, PathAssessment, TlsaStatus},
};

/// The certificate that ends first, and its end.
pub(super) fn ends_first<'a>(
    certificates: impl Iterator<Item = &'a CertificateAssessment>,
) -> Option<(&'a CertificateAssessment, Timestamp)> {
    certificates.map(|certificate| (certificate, certificate.chain.ends())).min_by_key(|(_, end)| *end)
}

/// `74 days`, or what is wrong with it.
pub(super) fn certificate(certificate: Option<&CertificateAssessment>, now: Timestamp) -> Markup {
    let Some(certificate) = certificate else { return nothing("none seen") };
    let end = certificate.chain.ends();
    let faults = certificate_faults(certificate, now);
    html! {
        @if !faults.is_empty() {
            span.trouble { (faults.join(", ")) }
        } @else if end < now {
            // The leaf is in its dates: what ended lies above it.
            span.trouble { "chain ended " (words::span(now.since(end))) " ago" }
        } @else {
            (time(end, &words::span(end.since(now))))
        }
    }
}

/// What DANE comes to at a host, in a word or two. The order is that of sorting: what is wrong first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dane {
    /// Records are asked for, and an address does not fit them or has no TLS.
    Fails,
    /// DNSSEC does not validate, or the lookup fails.
    Broken,
    /// It could not be told.
    NotSeen,
    /// There are records, and senders do not take them: the zone is not signed, or no record is usable.
    Ignored,
    /// There are usable records, and every address fits them.
    Valid,
    /// No records.
    None,
}

impl Dane {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Fails => "does not match",
            Self::Broken => "lookup fails",
            Self::NotSeen => "not seen",
            Self::Ignored => "not usable",
            Self::Valid => "valid",
            Self::None => "none",
        }
    }

    /// Of one host, apart from any domain.
    pub(super) fn of_host<'a>(dane: &HostDane, paths: impl Iterator<Item = &'a PathAssessment>) -> Self {
        Self::of_status(dane.status, paths.map(|path| path.dane_valid))
    }

    fn of_status(status: TlsaStatus, valid: impl Iterator<Item = Option<bool>>) -> Self {
        match status {
            TlsaStatus::None => Self::None,
            TlsaStatus::Unusable | TlsaStatus::Insecure => Self::Ignored,
            TlsaStatus::Bogus | TlsaStatus::Failed => Self::Broken,
            TlsaStatus::Indeterminate => Self::NotSeen,
            TlsaStatus::Usable => valid.fold(Self::Valid, |so_far, valid| match valid {
                Some(true) => so_far,
                Some(false) => Self::Fails,
                None => so_far.min(Self::NotSeen),
            }),
        }
    }

    pub(super) fn cell(self) -> Markup {
        match self {
            Self::Fails | Self::Broken => html! { span.trouble { (self.words()) } },
            Self::None => nothing("none"),
            _ => html! { (self.words()) },
        }
    }
}

/// What a finding is, in a few words: for a line of a list.
pub(super) fn gist(code: Code) -> &'static str {
    let summary = code.row().summary;
    summary.split(':').next().unwrap_or(summary).trim_end_matches([' ', '.'])
}

/// How long ago, with the exact time behind it.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> Markup {
    match at {
        Some(at) => html! { span.nowrap { (time(at, &format!("{} ago", words::span(now.since(at))))) } },
        None => nothing("never"),
    }
}

/// Where senders hold no policy. One that could not be looked for, or is announced and could not be fetched from here, may be there.
pub(super) fn no_policy(seen: &Assessment) -> Markup {
    match (seen.sts_record.present, seen.policy.fetch_success) {
        (None, _) | (Some(true), None) => html! { span.quiet { "not seen" } },
        _ => nothing("no policy"),
    }
}

/// There is nothing here: a dash for the eye, a word for the ear.
pub(super) fn nothing(word: &str) -> Markup {
    html! { span.quiet aria-hidden="true" { "–" } span.hidden { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{self, NOW};

    #[test]
    fn a_certificate_shows_its_days_or_its_faults() {
        let good = certificate(Some(&fixture::good_certificate()), NOW).into_string();
        assert!(good.contains(">60 days<") && !good.contains("trouble"), "{good}");
        let bad = certificate(Some(&fixture::bad_certificate()), NOW).into_string();
        assert!(bad.contains("expired 3 days ago, wrong name, self-signed"), "{bad}");
        assert!(certificate(None, NOW).into_string().contains("none seen"));
    }

    #[test]
    fn dane_of_a_host_is_as_bad_as_its_worst_address() {
        let of = |status, valid: &[Option<bool>]| Dane::of_status(status, valid.iter().copied());
        assert_eq!(of(TlsaStatus::Usable, &[Some(true), Some(true)]), Dane::Valid);
        assert_eq!(of(TlsaStatus::Usable, &[Some(true), None]), Dane::NotSeen);
        assert_eq!(of(TlsaStatus::Usable, &[Some(false), Some(true), None]), Dane::Fails);
        assert_eq!(of(TlsaStatus::None, &[None]), Dane::None);
        assert_eq!(of(TlsaStatus::Bogus, &[]), Dane::Broken);
        // "Could not look" is never "is not there".
        assert_eq!(of(TlsaStatus::Indeterminate, &[]), Dane::NotSeen);
    }
}
