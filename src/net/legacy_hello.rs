//! Handshakes as senders have them that know only TLS 1.2 and older, as far as they are clear text.

use std::{io, net::IpAddr};

use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{SmtpProber, starttls::Pace};
use crate::{
    facts::{Phase, TlsFacts, TlsFailure, TlsVersion},
    protocol::tls::{Choice, ClientHello, FlightEnd, FlightFault, FlightReader, alert_name, close_notify},
    terms::MxHost,
};

/// One read: the usual answer fits in.
const READ_SIZE: usize = 4096;

/// How far the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The server has chosen.
    Choice,
    /// Its certificates are here.
    Chain,
}

/// What a server did with a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It chose. The certificates, leaf first; none where they were not awaited or did not come.
    Chosen(Choice, Vec<CertificateDer<'static>>),
    /// It did not.
    Failed(TlsFailure),
    /// It said nothing in time.
    Timeout,
}

impl SmtpProber {
    /// What the server offers to senders that know no TLS 1.3, but key exchange by RSA and DHE and CBC ciphers, and older
    /// versions; nothing where it does not shake hands with them either.
    ///
    /// The handshake is broken off after the certificates: nobody proved to hold their key.
    pub(super) async fn offered_to_others(&self, host: &MxHost, address: IpAddr) -> Option<TlsFacts> {
        let mut pace = Pace::new(&self.options.timeouts, Instant::now());
        let tcp = self.reach_tls(address, &mut pace).await.ok()?;
        let hello = ClientHello { version: TlsVersion::Tls12, server_name: Some(host.as_str()) };
        let answer = say_hello(tcp, hello, Until::Chain, pace.deadline(Phase::Tls)).await;
        let Answer::Chosen(choice, chain) = answer else { return None };
        let chain = self.tls.chain(&chain).ok()?;
        Some(TlsFacts { version: choice.version, cipher: choice.cipher.to_owned(), chain, completed: false })
    }
}

/// Says hello, reads the answer as far as wanted, and goes.
pub(super) async fn say_hello(mut tcp: TcpStream, hello: ClientHello<'_>, until: Until, deadline: Instant) -> Answer {
    let mut reader = FlightReader::new(hello.version);
    let read = timeout_at(deadline, exchange(&mut tcp, hello, until, &mut reader)).await;
    if let Some(choice) = reader.choice() {
        // What came after the choice, or did not come, takes nothing of it away. The connection ends here: whether the last
        // word arrives changes nothing.
        let _ = timeout_at(deadline, take_leave(&mut tcp, choice.version)).await;
        return Answer::Chosen(choice, reader.chain().to_vec());
    }
    match (read, reader.end()) {
        (_, Some(FlightEnd::Alert(description))) => Answer::Failed(TlsFailure::Alert(alert_name(*description))),
        (_, Some(FlightEnd::Fault(fault @ FlightFault::NotTls(_)))) => {
            Answer::Failed(TlsFailure::NotTls(fault.to_string()))
        }
        (_, Some(FlightEnd::Fault(fault))) => Answer::Failed(TlsFailure::Other(fault.to_string())),
        (Err(_), _) => Answer::Timeout,
        (Ok(Err(_)), _) => Answer::Failed(TlsFailure::Closed("by a reset".into())),
        (Ok(Ok(())), _) => Answer::Failed(TlsFailure::Closed("before the handshake was finished".into())),
    }
}

async fn exchange(
    tcp: &mut TcpStream,
    hello: ClientHello<'_>,
    until: Until,
    reader: &mut FlightReader,
) -> io::Result<()> {
    // A server that closed has often said why before: a failed write is told only where nothing can be read.
    let sent = tcp.write_all(&hello.to_record(rand::random())).await;
    let mut buffer = [0; READ_SIZE];
    while reader.end().is_none() && (until == Until::Chain || reader.choice().is_none()) {
        match tcp.read(&mut buffer).await? {
            0 => return sent,
            count => reader.receive(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(())
}

async fn take_leave(tcp: &mut TcpStream, version: TlsVersion) -> io::Result<()> {
    tcp.write_all(&close_notify(version)).await?;
    tcp.shutdown().await
}
