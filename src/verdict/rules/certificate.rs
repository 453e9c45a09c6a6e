//! Certificates of mail hosts: dates, chain and name, each apart.

use std::time::Duration;

use super::{
    Raised, refusal_words,
    whose::{for_host, for_refused},
};
use crate::{
    facts::{ChainFacts, PathToRoot},
    terms::{MxHost, Timestamp},
    verdict::{
        CertificateAssessment, CertificateThreshold, Code, PathAssessment, Severity, Subject,
        case::{Case, Standing},
        policy_view::path_words,
        words,
    },
};

/// The bands for certificates near their end: warning below min(lifetime/4, 30 d), error below min(3 d, lifetime/12).
const WARNING_SHARE: u32 = 4;
const WARNING_MOST: Duration = Duration::from_secs(30 * 86_400);
const ERROR_SHARE: u32 = 12;
const ERROR_MOST: Duration = Duration::from_secs(3 * 86_400);
/// More names than this make a detail unreadable; hostile certificates hold thousands.
const MOST_NAMES: usize = 4;
/// RFC 9325 §4.5.
const SMALLEST_RSA: u32 = 2048;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    for mx in case.mx() {
        let Some(host) = &mx.host else { continue };
        for address in &mx.addresses {
            if let Some(certificate) = &address.path.certificate {
                judge(case, raised, host, &address.path, certificate);
            }
        }
    }
}

fn judge(
    case: &Case<'_>,
    raised: &mut Raised,
    host: &MxHost,
    path: &PathAssessment,
    certificate: &CertificateAssessment,
) {
    let subject = || Subject::MxAddress(host.clone(), path.address);
    let place = format!("{host} [{}]", path.address);
    let leaf = &certificate.chain.leaf;
    let renew = "Renew it and reload the mail server; see why the renewal did not run by itself.";
    if leaf.not_after < case.now {
        raised.raise(
            case,
            Code::CertificateExpired,
            subject(),
            format!(
                "The certificate of {place} expired {}: {}.",
                words::ago(leaf.not_after, case.now),
                refusal_words(case, host.as_str())
            ),
            for_refused(case, host.as_str(), renew),
        );
    } else if case.now < leaf.not_before {
        raised.raise(
            case,
            Code::CertificateNotYetValid,
            subject(),
            format!(
                "The certificate of {place} becomes valid {}; until then {}.",
                words::ahead(leaf.not_before, case.now),
                refusal_words(case, host.as_str())
            ),
            for_refused(
                case,
                host.as_str(),
                "Install a certificate that is valid now; check the clock of the machine that issued it.",
            ),
        );
    } else if let Some(near) = nearness(case, &certificate.chain, case.dane_ground(&subject()).ee_holds) {
        let what = if near.leaf { "The certificate" } else { "An intermediate certificate" };
        raised.raise_as(
            case,
            Code::CertificateExpiring,
            near.severity,
            subject(),
            format!("{what} of {place} expires {}.", words::ahead(near.end, case.now)),
            for_host(case, host.as_str(), renew),
        );
    }
    if !certificate.name_match {
        raised.raise(
            case,
            Code::CertificateNameMismatch,
            subject(),
            format!(
                "The certificate of {place} does not name {host}, but {}: {}.",
                names_words(&leaf.names),
                refusal_words(case, host.as_str())
            ),
            for_refused(case, host.as_str(), &format!("Issue a certificate with the DNS name {host}.")),
        );
    }
    if !certificate.chain_valid {
        let remedy = match certificate.chain.path {
            PathToRoot::MissingIntermediate => {
                "Let the mail server send the whole chain: its certificate, then the intermediates of the CA."
            }
            PathToRoot::IntermediateExpired => {
                "Install the CA's present intermediate certificate beside the server's own."
            }
            _ => "Install a certificate of a public CA, with its intermediates.",
        };
        raised.raise(
            case,
            Code::CertificateUntrusted,
            subject(),
            format!(
                "The certificate of {place} is not trusted, because {}: {}.",
                path_words(&certificate.chain.path),
                refusal_words(case, host.as_str())
            ),
            for_refused(case, host.as_str(), remedy),
        );
    }
    let weak = weaknesses(&certificate.chain);
    if !weak.is_empty() {
        raised.raise(
            case,
            Code::CertificateWeak,
            subject(),
            format!(
                "The certificate of {place} is weak: {}. Senders with a current TLS library do not accept it.",
                words::list(&weak, MOST_NAMES)
            ),
            for_host(case, host.as_str(), "Issue a new certificate with an ECDSA P-256 or RSA 2048 key."),
        );
    }
}

/// RFC 9325 §4.5: short RSA keys and withdrawn digests. What a certificate says of itself needs no signature.
fn weaknesses(chain: &ChainFacts) -> Vec<String> {
    let mut weak = Vec::new();
    let leaf = &chain.leaf;
    if leaf.key.algorithm.starts_with("rsa") && (1..SMALLEST_RSA).contains(&leaf.key.bits) {
        weak.push(format!("its RSA key has {} bits, and {SMALLEST_RSA} are the least", leaf.key.bits));
    }
    for certificate in std::iter::once(leaf).chain(&chain.others).filter(|certificate| !certificate.self_issued) {
        let algorithm = certificate.signature_algorithm.to_ascii_lowercase();
        if algorithm.contains("sha1") || algorithm.contains("md5") {
            let whose = if std::ptr::eq(certificate, leaf) { "it" } else { "an intermediate certificate" };
            weak.push(format!("{whose} is signed with {}", certificate.signature_algorithm));
        }
    }
    weak
}

/// A certificate near its end.
pub(super) struct Nearness {
    pub(super) severity: Severity,
    pub(super) end: Timestamp,
    /// It is the leaf that ends first, not an intermediate.
    pub(super) leaf: bool,
}

/// Whether a valid chain is near its end, and how near.
pub(super) fn nearness(case: &Case<'_>, chain: &ChainFacts, ee_holds: bool) -> Option<Nearness> {
    let leaf = &chain.leaf;
    let end = chain.ends();
    let left = end.since(case.now);
    let life = leaf.lifetime();
    let thresholds = case.context.thresholds;
    let warning = band(thresholds.certificate_warning, life, WARNING_SHARE, WARNING_MOST);
    let error = band(thresholds.certificate_error, life, ERROR_SHARE, ERROR_MOST);
    // Where an expired certificate would be no error, one that is about to expire is none either.
    let severity = if left < error && case.standing == Standing::Enforce {
        Severity::Error
    } else if left < warning || left < error {
        // With DANE-EE alone nobody looks at dates.
        if ee_holds && matches!(case.standing, Standing::None | Standing::Unknown) {
            Severity::Info
        } else {
            Severity::Warning
        }
    } else {
        return None;
    };
    Some(Nearness { severity, end, leaf: end == leaf.not_after })
}

fn band(threshold: CertificateThreshold, life: Duration, share: u32, most: Duration) -> Duration {
    match threshold {
        CertificateThreshold::Auto => (life / share).min(most),
        CertificateThreshold::Left(left) => left,
        CertificateThreshold::Share(share) => share.of(life),
    }
}

/// The DNS names of a certificate, for a sentence.
pub(super) fn names_words(names: &[String]) -> String {
    if names.is_empty() { "no DNS name at all".to_owned() } else { words::list(names, MOST_NAMES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bands_of_the_usual_lifetimes() {
        let hours = |duration: Duration| duration.as_secs_f64() / 3600.0;
        for (days, warning, error) in
            [(398.0, 720.0, 72.0), (90.0, 540.0, 72.0), (47.0, 282.0, 72.0), (160.0 / 24.0, 40.0, 13.333)]
        {
            let life = Duration::from_secs(86_400).mul_f64(days);
            let auto = CertificateThreshold::Auto;
            assert!((hours(band(auto, life, WARNING_SHARE, WARNING_MOST)) - warning).abs() < 0.01, "{days} d");
            assert!((hours(band(auto, life, ERROR_SHARE, ERROR_MOST)) - error).abs() < 0.01, "{days} d");
        }
    }
}
