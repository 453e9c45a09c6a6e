//! What this monitor sees of a failure that a reporter tells of.

use super::OwnView;
use crate::{
    facts::Security,
    protocol::{
        dane::TlsaStatus,
        tls_rpt::{PolicyType, ResultType},
    },
    verdict::{
        AddressAssessment, CertificateAssessment, DaneWord, MxAssessment, Reach, StarttlsState,
        case::Case,
        words::{ago, list},
    },
};

/// More names than this make a sentence unreadable.
const MOST: usize = 3;

/// The faults of TLS. Reporters use `validation-failure` for whatever they do not tell apart.
const TLS_WORDS: [&str; 5] = [
    ResultType::ValidationFailure.as_str(),
    ResultType::StarttlsNotSupported.as_str(),
    ResultType::CertificateExpired.as_str(),
    ResultType::CertificateHostMismatch.as_str(),
    ResultType::CertificateNotTrusted.as_str(),
];

/// What one address, or one host, shows.
enum Sight {
    /// The same; in words.
    Same(String),
    /// Not this.
    Other,
    /// It cannot be told from here.
    Unseen,
}

/// Whether what is seen from here agrees with a reported failure, and in words, one sentence.
///
/// `host`: the receiving MX that the report names; where it names none, any mail host may be meant.
pub(super) fn own_view(
    case: &Case<'_>,
    policy_type: PolicyType,
    result_type: ResultType,
    host: Option<&str>,
) -> (OwnView, String) {
    match result_type {
        ResultType::Other => (OwnView::CannotSee, "What is meant cannot be told from here.".to_owned()),
        ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid => {
            policy(case, result_type)
        }
        _ => at_hosts(case, policy_type, result_type, host),
    }
}

fn policy(case: &Case<'_>, result_type: ResultType) -> (OwnView, String) {
    let own = case.policy.result_type();
    match case.fetched {
        None => (OwnView::CannotSee, "The policy could not be looked at from here.".to_owned()),
        Some(true) => (OwnView::Disagrees, "The policy is fetched from here without a fault.".to_owned()),
        Some(false) if own == Some(result_type.as_str()) => {
            let why =
                case.policy.best().and_then(|view| view.faults.first()).map(|fault| format!(": {}", fault.words()));
            (OwnView::Agrees, format!("The same is seen from here{}.", why.unwrap_or_default()))
        }
        Some(false) => {
            let own = own.unwrap_or(ResultType::StsPolicyFetchError.as_str());
            (OwnView::Disagrees, format!("The fetch fails from here too, and for another reason: {own}."))
        }
    }
}

fn at_hosts(
    case: &Case<'_>,
    policy_type: PolicyType,
    result_type: ResultType,
    host: Option<&str>,
) -> (OwnView, String) {
    let named = |mx: &&MxAssessment| {
        host.is_none_or(|host| mx.target == host || mx.host.as_ref().is_some_and(|known| known.as_str() == host))
    };
    let hosts: Vec<&MxAssessment> = case.mx().iter().filter(named).collect();
    if hosts.is_empty() {
        let why = match host {
            Some(host) => format!("{host} is none of the present mail hosts."),
            None => "No mail host is known.".to_owned(),
        };
        return (OwnView::CannotSee, why);
    }
    let mut same = Vec::new();
    let mut unseen = Vec::new();
    for mx in &hosts {
        match result_type {
            ResultType::DnssecInvalid | ResultType::DaneRequired => match of_host(case, mx, result_type) {
                Sight::Same(words) => same.push(words),
                Sight::Unseen => unseen.push(mx.target.clone()),
                Sight::Other => {}
            },
            _ if mx.addresses.is_empty() => unseen.push(mx.target.clone()),
            _ => {
                for address in &mx.addresses {
                    match of_path(case, mx, address, policy_type, result_type) {
                        Sight::Same(words) => same.push(words),
                        Sight::Unseen => unseen.push(format!("{} [{}]", mx.target, address.path.address)),
                        Sight::Other => {}
                    }
                }
            }
        }
    }
    match (same.is_empty(), unseen.is_empty()) {
        (false, _) => (OwnView::Agrees, format!("The same is seen from here: {}.", list(&same, MOST))),
        // What was not seen may be what the reporter met.
        (true, false) => (OwnView::CannotSee, format!("It cannot be told from here for {}.", list(&unseen, MOST))),
        (true, true) => {
            let names: Vec<&str> = hosts.iter().map(|mx| mx.target.as_str()).collect();
            (OwnView::Disagrees, format!("Nothing of it is seen from here at {}.", list(&names, MOST)))
        }
    }
}

fn of_host(case: &Case<'_>, mx: &MxAssessment, result_type: ResultType) -> Sight {
    let status = mx.dane.status;
    if result_type == ResultType::DaneRequired {
        return match status {
            TlsaStatus::Usable => Sight::Other,
            TlsaStatus::None | TlsaStatus::Unusable | TlsaStatus::Insecure => {
                Sight::Same(format!("{} has no usable TLSA records", mx.target))
            }
            TlsaStatus::Bogus | TlsaStatus::Indeterminate | TlsaStatus::Failed => Sight::Unseen,
        };
    }
    match status {
        TlsaStatus::Bogus => Sight::Same(format!("DNSSEC of {} does not validate", mx.target)),
        TlsaStatus::Failed if mx.dane.failure_counts => Sight::Same(format!("the TLSA lookup of {} fails", mx.target)),
        _ if case.observation.domain.mx.security == Security::Bogus => {
            Sight::Same("DNSSEC of the MX records does not validate".to_owned())
        }
        TlsaStatus::Failed | TlsaStatus::Indeterminate => Sight::Unseen,
        TlsaStatus::None | TlsaStatus::Usable | TlsaStatus::Unusable | TlsaStatus::Insecure => Sight::Other,
    }
}

fn of_path(
    case: &Case<'_>,
    mx: &MxAssessment,
    address: &AddressAssessment,
    policy_type: PolicyType,
    result_type: ResultType,
) -> Sight {
    let path = &address.path;
    let name = format!("{} [{}]", mx.target, path.address);
    if path.reach != Reach::Up {
        return Sight::Unseen;
    }
    let by_certificate = |fault: &dyn Fn(&CertificateAssessment) -> Option<String>| match &path.certificate {
        None => Sight::Unseen,
        Some(shown) => fault(shown).map_or(Sight::Other, Sight::Same),
    };
    match result_type {
        ResultType::StarttlsNotSupported => match path.starttls {
            Some(StarttlsState::NotOffered) => Sight::Same(format!("{name} does not offer STARTTLS")),
            Some(StarttlsState::Refused) => Sight::Same(format!("{name} refuses STARTTLS")),
            Some(StarttlsState::Ok | StarttlsState::Failed) => Sight::Other,
            _ => Sight::Unseen,
        },
        ResultType::CertificateHostMismatch => {
            if policy_type != PolicyType::Tlsa && mx.in_policy == Some(false) {
                return Sight::Same(format!("the policy does not list {}", mx.target));
            }
            by_certificate(&|shown| {
                (!shown.name_match).then(|| format!("the certificate of {name} is for another name"))
            })
        }
        ResultType::CertificateExpired => by_certificate(&|shown| {
            let end = shown.chain.leaf.not_after;
            (end < case.now).then(|| format!("the certificate of {name} expired {}", ago(end, case.now)))
        }),
        ResultType::CertificateNotTrusted => by_certificate(&|shown| {
            (!shown.chain_valid).then(|| format!("the certificate of {name} leads to no trusted root"))
        }),
        ResultType::TlsaInvalid => match address.dane_word {
            Some(DaneWord::Mismatch) => Sight::Same(format!("no TLSA record matches {name}")),
            Some(DaneWord::EncryptOnly) => Sight::Same(format!("no TLSA record of {} is usable", mx.target)),
            Some(DaneWord::Match | DaneWord::NotApplicable) => Sight::Other,
            Some(DaneWord::Failed) | None => Sight::Unseen,
        },
        ResultType::ValidationFailure => {
            if policy_type == PolicyType::Sts && mx.in_policy == Some(false) {
                return Sight::Same(format!("the policy does not list {}", mx.target));
            }
            match path.result_type {
                Some(word) if TLS_WORDS.contains(&word) => Sight::Same(format!("{name} shows {word}")),
                None if path.takes_mail_in_tls() => Sight::Other,
                _ => Sight::Unseen,
            }
        }
        ResultType::DnssecInvalid
        | ResultType::DaneRequired
        | ResultType::StsPolicyFetchError
        | ResultType::StsPolicyInvalid
        | ResultType::StsWebpkiInvalid
        | ResultType::Other => Sight::Unseen,
    }
}
