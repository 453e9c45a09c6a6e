//! What a report says, as one number: the same for the same content, however its JSON is laid out and whichever way it comes.

use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};

use super::TlsReport;
use crate::terms::PolicyDomain;

impl TlsReport {
    /// SHA-256 of the content as it was read. Quirks are no part of it: some tell of the way in which the report came.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut print = Print(Context::new(&SHA256));
        for text in [&self.organization, &self.contact, &self.report_id] {
            print.text(text.as_deref());
        }
        for time in [self.begin, self.end] {
            print.text(time.map(|time| time.unix_milliseconds().to_string()).as_deref());
        }
        print.number(self.policies.len() as u64);
        for policy in &self.policies {
            print.text(Some(policy.policy_type.as_str()));
            print.text(policy.domain.as_deref());
            for list in [&policy.mx, &policy.policy_string] {
                print.number(list.len() as u64);
                list.iter().for_each(|line| print.text(Some(line)));
            }
            print.number(policy.successful);
            print.number(policy.failed);
            print.number(policy.failures.len() as u64);
            for failure in &policy.failures {
                print.text(Some(failure.result_type.as_str()));
                print.number(failure.sessions);
                print.address(failure.sending_ip);
                print.address(failure.receiving_ip);
                for text in [&failure.receiving_mx, &failure.receiving_helo, &failure.reason, &failure.more] {
                    print.text(text.as_deref());
                }
            }
        }
        let digest = print.0.finish();
        // SHA-256 has 32 bytes.
        digest.as_ref().try_into().unwrap_or_default()
    }

    /// The domain of `contact-info`, with which TLS-Report-Submitter has to agree (RFC 8460 §5.3).
    pub fn submitter_domain(&self) -> Option<PolicyDomain> {
        let (_, domain) = self.contact.as_deref()?.rsplit_once('@')?;
        // Some write a name before the address, or a URI.
        let domain = domain.split(['>', '?', ' ', ',', ';']).next()?;
        PolicyDomain::parse(domain).ok()
    }
}

/// Every part with its length, so that no two contents are the same bytes.
struct Print(Context);

impl Print {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.number(text.len() as u64);
                self.0.update(text.as_bytes());
            }
            None => self.number(u64::MAX),
        }
    }

    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            Some(IpAddr::V4(address)) => {
                self.0.update(b"4");
                self.0.update(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                self.0.update(b"6");
                self.0.update(&address.octets());
            }
            None => self.0.update(b"-"),
        }
    }
}
