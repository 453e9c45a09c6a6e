//! A mail host whose TLS is that of the OpenSSL command: versions, ciphers and keys that rustls has not.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::TcpStream,
    task::JoinHandle,
};

/// How long the command may take to listen, on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// `openssl s_server` behind an SMTP dialogue; both end when this is dropped.
pub(crate) struct OpensslPeer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    front: JoinHandle<()>,
    server: Child,
}

/// Certificates made by the command, in a folder of their own.
pub(crate) struct OpensslPki(TempDir);

/// Whether the command is here, in the version that these tests know.
pub(crate) fn is_here() -> bool {
    let version = Command::new("openssl").arg("version").output();
    version.is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3."))
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl OpensslPki {
    /// A root with a SHA-256 signature and nothing else.
    pub(crate) fn new() -> Self {
        let pki = Self(TempDir::new().unwrap());
        let subject = ["-subj", "/CN=OpenSSL Test Root", "-days", "400", "-sha256"];
        let files = ["-keyout", "root-key.pem", "-out", "root.pem", "-addext", "keyUsage=critical,keyCertSign"];
        openssl(pki.0.path(), &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &subject, &files].concat());
        pki
    }

    pub(crate) fn root_pem(&self) -> Vec<u8> {
        std::fs::read(self.0.path().join("root.pem")).unwrap()
    }

    /// Makes `NAME.pem` and `NAME-key.pem`: a key of this kind, signed by the root with this digest.
    pub(crate) fn issue(&self, name: &str, host: &str, key: &[&str], digest: &[&str]) {
        let (key_file, request, certificate) =
            (format!("{name}-key.pem"), format!("{name}.csr"), format!("{name}.pem"));
        let folder = self.0.path();
        openssl(folder, &[&["genpkey", "-out", &key_file][..], key].concat());
        let subject = format!("/CN={host}");
        let names = format!("subjectAltName=DNS:{host}");
        openssl(folder, &["req", "-new", "-key", &key_file, "-subj", &subject, "-addext", &names, "-out", &request]);
        let signed = ["x509", "-req", "-in", &request, "-CA", "root.pem", "-CAkey", "root-key.pem", "-days", "90"];
        let kept = ["-copy_extensions", "copy", "-out", &certificate];
        openssl(folder, &[&signed[..], &kept, digest].concat());
    }
}

impl OpensslPeer {
    /// Starts `openssl s_server` with the certificate `name` and these flags, and the dialogue before it.
    pub(crate) async fn start(pki: &OpensslPki, name: &str, flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}-key.pem")])
            .args(flags)
            .current_dir(pki.0.path())
            // The system's configuration may forbid what is to be shown.
            .env("OPENSSL_CONF", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Instant::now();
        while TcpStream::connect(behind).await.is_err() {
            assert!(started.elapsed() < START, "openssl s_server {flags:?} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let front = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // How a connection ends is the client's to tell.
                tokio::spawn(async move { converse(client, behind).await });
            }
        });
        Self { address, connections, front, server }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many SMTP connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for OpensslPeer {
    fn drop(&mut self) {
        self.front.abort();
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The dialogue in clear, then whatever the command says. Inside TLS it answers nothing: it prints what it gets.
async fn converse(client: TcpStream, behind: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    client.write_all(b"220 mx.example ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.trim_end().to_ascii_uppercase().as_str() {
            "STARTTLS" => break client.write_all(b"220 go ahead\r\n").await?,
            "QUIT" => return client.write_all(b"221 bye\r\n").await,
            _ => client.write_all(b"250-mx.example\r\n250 STARTTLS\r\n").await?,
        }
    }
    let mut server = TcpStream::connect(behind).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
