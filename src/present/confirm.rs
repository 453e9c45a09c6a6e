//! The command that shows a finding to whoever does not believe it: with tools that administrators have at hand.

use crate::{
    terms::{MxHost, PolicyDomain},
    verdict::{Check, Code, Subject},
};

const STS_RECORD: &str = "dig +short TXT _mta-sts.DOMAIN";
const TLSRPT_RECORD: &str = "dig +short TXT _smtp._tls.DOMAIN";
const MX: &str = "dig +short MX DOMAIN";
const HOST: &str = "dig +short HOST A; dig +short HOST AAAA";
const POLICY: &str = "curl -sSi https://mta-sts.DOMAIN/.well-known/mta-sts.txt";
const POLICY_TLS: &str = "openssl s_client -connect mta-sts.DOMAIN:443 -verify_hostname mta-sts.DOMAIN </dev/null";
// openssl sends the name that it connects to as SNI, and compares none with the certificate unless it is told to.
const STARTTLS: &str = "openssl s_client -starttls smtp -connect HOST:25 -verify_hostname HOST </dev/null";
const TLSA: &str = "dig +dnssec TLSA _25._tcp.HOST";
const TRANSCRIPT: &str = "smtptls-exporter check DOMAIN --verbose";

/// A command that shows the same; `DOMAIN`, `HOST` and the like stand for names to put in.
pub(super) const fn command(code: Code) -> &'static str {
    match code {
        Code::DnsLookupFailed => "dig NAME TYPE; dig +norecurse NAME TYPE @SERVER",
        Code::DnssecBogus => "dig +dnssec NAME TYPE; dig +cd +dnssec NAME TYPE",
        Code::DnssecSignatureExpiring | Code::DnssecAlgorithmWeak => "dig +dnssec +multiline NAME TYPE",
        Code::DomainNonexistent => "dig DOMAIN SOA",
        Code::DnsDelegationDangling => "dig +short NAME CNAME",
        Code::StsSubdomainUncovered => "dig +short TXT _mta-sts.SUBDOMAIN; dig +short MX SUBDOMAIN",
        Code::StsRecordTtlLong => "dig TXT _mta-sts.DOMAIN",
        Code::StsPolicyHostUnresolvable | Code::StsPolicyAddressPrivate => {
            "dig +short mta-sts.DOMAIN A; dig +short mta-sts.DOMAIN AAAA"
        }
        Code::StsPolicyAddressFailed | Code::StsPolicyDiverges => {
            "curl -sSi --resolve mta-sts.DOMAIN:443:ADDRESS https://mta-sts.DOMAIN/.well-known/mta-sts.txt"
        }
        Code::StsPolicyTlsFailed
        | Code::StsPolicyCertificateExpired
        | Code::StsPolicyCertificateNotYetValid
        | Code::StsPolicyCertificateUntrusted
        | Code::StsPolicyCertificateNameMismatch
        | Code::StsPolicyCertificateExpiring => POLICY_TLS,
        Code::MxNotInPolicy | Code::PolicyMxUnused | Code::MxNotInCachedPolicy | Code::MxNullWithPolicy => {
            "dig +short MX DOMAIN; curl -sS https://mta-sts.DOMAIN/.well-known/mta-sts.txt"
        }
        Code::MxCname => "dig +short HOST CNAME",
        Code::MxUnresolvable | Code::MxAddressPrivate => HOST,
        Code::SmtpConnectFailed | Code::SmtpTimeout | Code::SmtpRejected | Code::SmtpProtocolError => "nc -v HOST 25",
        Code::TlsLegacyAccepted => {
            "openssl s_client -starttls smtp -connect HOST:25 -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null"
        }
        Code::TlsSniDependent => {
            "openssl s_client -starttls smtp -connect HOST:25 -noservername -verify_hostname HOST </dev/null"
        }
        Code::DaneMxInsecure => "dig +dnssec MX DOMAIN",
        Code::DaneInsecure | Code::DaneLookupFailed | Code::DanePartial => {
            "dig +dnssec TLSA _25._tcp.HOST; dig +dnssec HOST A"
        }
        Code::DaneMismatch | Code::DaneChainInvalid | Code::DaneCombinationStale => {
            "dig +dnssec TLSA _25._tcp.HOST; openssl s_client -starttls smtp -connect HOST:25 -dane_tlsa_domain HOST \
             -dane_tlsa_rrdata \"3 1 1 DIGEST\" </dev/null"
        }
        Code::ReportsFailing
        | Code::ReportsNewFailure
        | Code::ReportsSilent
        | Code::ReportsSenderCacheOld
        | Code::ReportsDistributionShift => "smtptls-exporter report show FILE",
        Code::TlsRptRuaUnreachable => "dig +short TXT _smtp._tls.DOMAIN; dig +short MX MAILBOX-DOMAIN",
        _ => of_the_group(code.row().check),
    }
}

/// What stands for a name in a command, and is left where nothing can be put in.
const PLACES: [&str; 10] =
    ["DOMAIN", "SUBDOMAIN", "MAILBOX", "HOST", "NAME", "TYPE", "SERVER", "ADDRESS", "DIGEST", "FILE"];

/// The commands with the names of a finding put in; those for which a name is missing are left out.
///
/// People copy them into a shell: only what is a host name gets in.
pub(super) fn commands(code: Code, domain: &PolicyDomain, subject: &Subject) -> Vec<String> {
    let host = subject.mx().and_then(|name| name.parse::<MxHost>().ok());
    let address = subject.address().map(|address| address.to_string());
    let filled = |part: &str| {
        let mut text = part.to_owned();
        for (place, name) in [
            ("DOMAIN", Some(domain.as_str())),
            ("HOST", host.as_ref().map(MxHost::as_str)),
            ("ADDRESS", address.as_deref()),
        ] {
            if let Some(name) = name {
                text = text.replace(place, name);
            }
        }
        text
    };
    let is_place = |word: &str| PLACES.contains(&word);
    let words =
        |text: &str, wanted: &dyn Fn(&str) -> bool| text.split(|c: char| !c.is_ascii_alphanumeric()).any(wanted);
    command(code)
        .split("; ")
        // These hold the word DOMAIN, and are not the domain.
        .filter(|part| !words(part, &|word| ["SUBDOMAIN", "MAILBOX"].contains(&word)))
        .map(filled)
        .filter(|text| !words(text, &is_place))
        .collect()
}

/// What shows the facts of a whole group.
const fn of_the_group(check: Check) -> &'static str {
    match check {
        Check::Record => STS_RECORD,
        Check::Policy => POLICY,
        Check::Mx => MX,
        Check::Starttls | Check::Certificate => STARTTLS,
        Check::Dane => TLSA,
        Check::TlsRpt => TLSRPT_RECORD,
        Check::Dns | Check::None => TRANSCRIPT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_where_they_are_known() {
        let domain: PolicyDomain = "example.com".parse().unwrap();
        let host = Subject::Mx("mx1.example.com".to_owned());
        let address = Subject::MxAddress("mx1.example.com".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let own = Subject::Domain(domain.clone());
        for (code, subject, told) in [
            (Code::StsIdNotChanged, &own, &["dig +short TXT _mta-sts.example.com"][..]),
            (
                Code::MxNotInPolicy,
                &host,
                &["dig +short MX example.com", "curl -sS https://mta-sts.example.com/.well-known/mta-sts.txt"],
            ),
            (
                Code::CertificateExpired,
                &address,
                &[
                    "openssl s_client -starttls smtp -connect mx1.example.com:25 -verify_hostname mx1.example.com </dev/null",
                ],
            ),
            // Without a record at hand there is nothing to compare with, and the records are what to ask for first.
            (Code::DaneMismatch, &address, &["dig +dnssec TLSA _25._tcp.mx1.example.com"]),
            (Code::DnsLookupFailed, &own, &[]),
            (Code::DanePartial, &own, &[]),
            (Code::StsSubdomainUncovered, &own, &[]),
            (Code::TlsRptRuaUnreachable, &own, &["dig +short TXT _smtp._tls.example.com"]),
        ] {
            assert_eq!(commands(code, &domain, subject), told, "{code}");
        }
    }

    #[test]
    fn nothing_that_is_no_name_gets_into_a_command() {
        let domain: PolicyDomain = "example.com".parse().unwrap();
        for name in ["$(id).example.com", "a;id", "`id`", "a b", "a\nid", "-h", "a|b", "a\u{1b}[2J"] {
            for code in Code::ALL {
                for command in commands(*code, &domain, &Subject::Mx(name.to_owned())) {
                    assert!(!command.contains(name) || name == "-h", "{code}: {command}");
                    assert!(!command.contains(['$', '`', '|', '\n', '\u{1b}']), "{code}: {command}");
                }
            }
        }
    }

    #[test]
    fn every_finding_can_be_confirmed_by_a_command_that_people_have() {
        for code in Code::ALL {
            for part in command(*code).split("; ") {
                let program = part.split(' ').next().unwrap();
                assert!(["dig", "curl", "openssl", "nc", "smtptls-exporter"].contains(&program), "{code}: {part}");
                assert!(part.contains(|c: char| c.is_ascii_uppercase()), "{code}: there is nothing to put in: {part}");
            }
        }
    }
}
