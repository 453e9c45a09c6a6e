//! Policies as they are fetched.

use super::*;
use crate::{
    facts::{HttpResponse, PathToRoot, PolicyFetch, TlsFacts, TlsVersion},
    metrics::fixture,
};

/// A policy with these lines, served as it has to be.
pub(super) fn fetched(name: &str, lines: &str) -> PolicyFetch {
    let ends = NOW + 60 * DAY;
    let mut chain = (*fixture::chain("Test CA", ends, PathToRoot::Trusted { not_after: ends })).clone();
    chain.leaf.names = vec![format!("mta-sts.{name}")];
    chain.leaf.not_before = NOW - 30 * DAY;
    let response = HttpResponse {
        status: 200,
        content_type: Some("text/plain".into()),
        location: None,
        content_encoding: None,
        age: None,
        cache_max_age: None,
        body: Octets(format!("version: STSv1\r\n{lines}\r\n").into_bytes()),
    };
    PolicyFetch {
        address: ip("192.0.2.80"),
        at: NOW,
        tls: Some(TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            chain: Arc::new(chain),
            completed: true,
        }),
        response: Some(response),
        ..fixture::healthy().policy.host.unwrap().fetches[0].clone()
    }
}
