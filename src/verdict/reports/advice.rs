//! What a failure in a report means, and what to do about it: for findings, and for whoever reads reports.

use crate::protocol::tls_rpt::{PolicyType, ResultType};

/// A failure in words. `DOMAIN` in them stands for the policy domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What the sender met and what became of the mail, in one or two sentences.
    pub meaning: &'static str,
    /// What to do, in one or two sentences.
    pub fix: &'static str,
}

const fn says(meaning: &'static str, fix: &'static str) -> Advice {
    Advice { meaning, fix }
}

/// What a result type (RFC 8460 §4.3) means under a kind of policy.
pub const fn advice(result_type: ResultType, policy_type: PolicyType) -> Advice {
    use PolicyType::Tlsa;
    match (result_type, policy_type) {
        (ResultType::StarttlsNotSupported, _) => says(
            "The mail host did not offer STARTTLS, or refused it: senders that enforce do not deliver to it.",
            "Switch STARTTLS on at every address of the host. If it is on, look for a firewall or proxy before the host that takes it \
             out of the EHLO answer.",
        ),
        (ResultType::CertificateHostMismatch, Tlsa) => says(
            "The certificate is for another name than the TLSA base domain, where the TLSA record (usage 2) asks for the name: senders \
             that apply DANE do not deliver.",
            "Issue a certificate that names the host, or publish 3 1 1 records, which ask for no name.",
        ),
        (ResultType::CertificateHostMismatch, _) => says(
            "The certificate does not name the mail host, or the policy does not list the host: senders that enforce do not deliver to \
             it.",
            "Issue a certificate with the host's name among its DNS names, and compare the mx lines of the policy with the MX records.",
        ),
        (ResultType::CertificateExpired, Tlsa) => says(
            "The certificate has expired, where the TLSA record (usage 2) asks for its dates: senders that apply DANE do not deliver.",
            "Renew the certificate and reload the mail server; or publish 3 1 1 records, which ask for no dates.",
        ),
        (ResultType::CertificateExpired, _) => says(
            "The certificate of the mail host has expired: senders that enforce do not deliver to it.",
            "Renew the certificate and reload the mail server: often the new one lies on the disk and the old one is in use.",
        ),
        (ResultType::CertificateNotTrusted, Tlsa) => says(
            "The certificate leads to none of the CAs that the TLSA records name: senders that apply DANE do not deliver.",
            "Send the whole chain, and publish a TLSA record for a CA that is in it, or 3 1 1 records for the host's own key.",
        ),
        (ResultType::CertificateNotTrusted, _) => says(
            "The certificate of the mail host leads to no CA that the sender trusts: senders that enforce do not deliver to it.",
            "Install a certificate of a public CA with its intermediates; a missing intermediate is the usual cause.",
        ),
        (ResultType::ValidationFailure, _) => says(
            "The sender could not set up TLS as the policy asks, for a reason that has no word of its own: senders that enforce do not \
             deliver.",
            "Read the failure reason in the report. The usual ones: a mail host that the policy does not list, no TLS version or cipher \
             in common, a TLS alert.",
        ),
        (ResultType::TlsaInvalid, _) => says(
            "No TLSA record matches what the mail host presents: senders that apply DANE do not deliver to it.",
            "Publish a TLSA record for the certificate in use beside the old one; take the old one out after two TTLs.",
        ),
        (ResultType::DnssecInvalid, _) => says(
            "The sender's resolver got no answer that validates by DNSSEC: senders that validate do not deliver.",
            "Look for expired signatures, a DS record without its key, and name servers that do not prove what is absent.",
        ),
        (ResultType::DaneRequired, _) => says(
            "The sender insists on DANE for this domain, and the mail host has no usable TLSA records: it does not deliver.",
            "Publish TLSA records in a signed zone, or ask that sender to drop its rule.",
        ),
        (ResultType::StsPolicyFetchError, _) => says(
            "The sender could not fetch the MTA-STS policy: without an older one it delivers unprotected, with one it keeps to that.",
            "Fetch https://mta-sts.DOMAIN/.well-known/mta-sts.txt from elsewhere: it has to answer 200 without a redirect, as text/plain, \
             and to robots too.",
        ),
        (ResultType::StsPolicyInvalid, _) => says(
            "The sender fetched the MTA-STS policy and cannot use it: it delivers unprotected, or keeps to an older one.",
            "Check the policy file line by line: version, mode, mx and max_age, each on a line of its own.",
        ),
        (ResultType::StsWebpkiInvalid, _) => says(
            "The certificate of the policy host is not valid for mta-sts.DOMAIN: the sender takes no policy from it, and delivers \
             unprotected or keeps to an older one.",
            "Renew the certificate of the policy host, for exactly that name and with its intermediates.",
        ),
        (ResultType::Other, _) => says(
            "The sender names a failure that RFC 8460 does not know.",
            "Read the failure reason in the report, and compare with what this monitor sees of the host.",
        ),
    }
}
