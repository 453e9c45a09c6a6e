//! The TLS side of the peers.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{DemoError, stage::Stage};

/// A server that presents what `resolver` chooses, with TLS 1.2 and 1.3.
pub(super) fn server(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, DemoError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(DemoError::certificate)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Nobody comes back with a ticket here.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Presents one certificate to everybody, as most mail hosts do.
#[derive(Debug)]
pub(super) struct Always(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Chooses by the name that the client asks for (SNI); a name that is not known gets an alert.
#[derive(Debug)]
pub(super) struct BySite(pub(super) Arc<Stage>);

impl ResolvesServerCert for BySite {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.site(hello.server_name()?).map(|site| site.certificate)
    }
}
