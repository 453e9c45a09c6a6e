//! What a failure that senders report means, and what to do about it: one table for every place that shows it.

use crate::protocol::tls_rpt::{PolicyType, ResultType};

/// What a person needs to know of a kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What the senders saw, as a sentence.
    pub meaning: &'static str,
    /// What to do, as a sentence behind "To do:".
    pub fix: &'static str,
}

/// The advice on a result type (RFC 8460 §4.3) under a kind of policy.
pub const fn advice(result_type: ResultType, policy_type: PolicyType) -> Advice {
    let dane = matches!(policy_type, PolicyType::Tlsa);
    let (meaning, fix) = match result_type {
        ResultType::StarttlsNotSupported => (
            "The mail host did not offer STARTTLS, or did not take it.",
            "See that each address of the host offers STARTTLS to everybody, and that no firewall or spam filter before it \
             takes it out of the greeting.",
        ),
        ResultType::CertificateHostMismatch if dane => (
            "A TLSA record with usage 2 asks for a certificate with the name of the host, and it has another one.",
            "Renew the certificate with the name of the MX host among its names, or publish \"3 1 1\" records, which need no name.",
        ),
        ResultType::CertificateHostMismatch => (
            "The certificate is for another name than that of the mail host.",
            "Renew it with the name of the MX host among its names; if only some addresses fail, one of them serves an old one.",
        ),
        ResultType::CertificateExpired => (
            "The certificate of the mail host was past its end.",
            "Renew it and reload the mail server: often the new file is there, and the server still serves the old one.",
        ),
        ResultType::CertificateNotTrusted if dane => (
            "The chain of the mail host leads to no certificate that a TLSA record names.",
            "Send the whole chain, with the certificate that the TLSA record with usage 2 names.",
        ),
        ResultType::CertificateNotTrusted => (
            "The chain of the mail host leads to no root that the senders trust.",
            "Serve the full chain with its intermediate certificates, from a public CA; a self-signed one does not do under MTA-STS.",
        ),
        ResultType::ValidationFailure => (
            "The session failed in a way that has no word of its own: a broken handshake, no common TLS version, or an MX that the \
             policy does not list.",
            "Read the reason that is told, compare the mx lines of the policy with the MX records, and check the domain now.",
        ),
        ResultType::TlsaInvalid => (
            "No TLSA record matched the certificate of the mail host.",
            "Publish a record for the certificate in use at once, and take the stale ones out later; before the next renewal publish the \
             new record first.",
        ),
        ResultType::DnssecInvalid => (
            "The DNSSEC signatures of the domain or of its mail host did not validate.",
            "Check the zone with a DNSSEC debugger: signatures past their end, a DS record that does not fit, a server with an old zone.",
        ),
        ResultType::DaneRequired => (
            "The sender insists on DANE, and the mail host has no usable TLSA records.",
            "Sign the zone and publish TLSA records, or ask the sender to take this destination out of its own rule.",
        ),
        ResultType::StsPolicyFetchError => (
            "The record announces a policy, and the senders could not fetch it.",
            "See that https://mta-sts.DOMAIN/.well-known/mta-sts.txt answers 200 without a redirect from everywhere: a filter against bots \
             often stands before it.",
        ),
        ResultType::StsPolicyInvalid => (
            "The policy was fetched, and the senders could not use it.",
            "Correct the policy file, then publish a new id; smtptls-exporter check shows the line that is wrong.",
        ),
        ResultType::StsWebpkiInvalid => (
            "The certificate of the policy host mta-sts.DOMAIN did not validate.",
            "Renew the certificate of the policy host, with that name and the full chain.",
        ),
        ResultType::Other => (
            "The report gives a result that the registry does not know, or none.",
            "Read the reason that is told, and check the domain now.",
        ),
    };
    Advice { meaning, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_own_sentences() {
        for policy_type in PolicyType::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for result_type in ResultType::ALL {
                let Advice { meaning, fix } = advice(result_type, policy_type);
                assert!(meaning.ends_with('.') && fix.ends_with('.') && meaning.is_ascii() && fix.is_ascii());
                assert!(seen.insert(meaning), "{result_type:?}: {meaning}");
            }
        }
        // What helps under MTA-STS may not under DANE: a public CA means nothing there (RFC 7672 §3.1.1).
        for result_type in [ResultType::CertificateHostMismatch, ResultType::CertificateNotTrusted] {
            assert_ne!(advice(result_type, PolicyType::Sts), advice(result_type, PolicyType::Tlsa), "{result_type:?}");
        }
    }
}
