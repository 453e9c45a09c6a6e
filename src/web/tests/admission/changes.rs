//! Changes that nobody wants: files that are cut or half written, keys that are no PEM, and sessions that outlive them.

use rustls::HandshakeKind;

use super::*;
use crate::{net::ServerCertificate, web::check_web_config};

#[tokio::test]
async fn what_is_closed_is_not_opened_while_it_runs() {
    let pki = Pki::new();
    let verified = tls("  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n");
    for (before, after, expected) in [
        (users(), String::new(), "basic_auth_users"),
        (users(), "basic_auth_users:\n".to_owned(), "basic_auth_users"),
        (tls(""), String::new(), "tls_server_config"),
        (tls("") + &users(), tls(""), "basic_auth_users"),
        (tls("") + &users(), users(), "tls_server_config"),
        // As a disk that is full leaves it.
        (verified.clone(), verified.split_inclusive('\n').take(3).collect(), "client_auth_type"),
    ] {
        let guarded = Guarded::start(pki.folder(), &before);
        fs::write(in_folder(&guarded.folder, "web.yml"), &after).unwrap();
        let said = guarded.admission.refresh().await.unwrap_err();
        assert!(said.contains(expected) && said.contains("takes a restart"), "{said}");
        assert_eq!(guarded.admission.refresh().await.unwrap_err(), said);
        assert_eq!(guarded.gauge("smtptls_web_config_last_reload_successful"), 0.0);
        match before.contains("cert_file") {
            true => assert!(guarded.admission.in_force().tls().is_some()),
            false => assert_eq!(guarded.ask("GET", "/metrics", "").await.0, 401),
        }
        // A start goes by the file as it is: whoever means it starts again.
        Admission::open(&in_folder(&guarded.folder, "web.yml"), Telemetry::new().unwrap()).unwrap();
        guarded.write("web.yml", &before);
        guarded.admission.refresh().await.unwrap();
        assert_eq!(guarded.gauge("smtptls_web_config_last_reload_successful"), 1.0);
    }
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_in_force() {
    let guarded = Guarded::start(TempDir::new().unwrap(), &users());
    let path = in_folder(&guarded.folder, "web.yml");
    let (rest, eve) = (Duration::from_millis(500), users().replace("ann", "eve"));
    let slow = Admission::open_with(&path, Telemetry::new().unwrap(), rest).unwrap();
    // Valid as far as it has come, and not what is meant.
    fs::write(&path, &eve).unwrap();
    let refreshing = tokio::spawn({
        let slow = Arc::clone(&slow);
        async move { slow.refresh().await }
    });
    tokio::time::sleep(rest / 2).await;
    let begun = slow.in_force();
    fs::write(&path, format!("{}  bob: '{}'\n", users(), bcrypt::hash("wort", 4).unwrap())).unwrap();
    refreshing.await.unwrap().unwrap();
    let names: Vec<_> = [&begun, &slow.in_force()].iter().map(|one| format!("{one:?}")).collect();
    assert!(!names[0].contains("eve") && !names[1].contains("eve") && names[1].contains("bob"), "{names:?}");
}

#[tokio::test]
async fn a_file_that_never_rests_is_told_and_looked_at_again() {
    let guarded = Guarded::start(TempDir::new().unwrap(), &users());
    let stop = CancellationToken::new();
    let writing = tokio::spawn({
        let (path, stop) = (in_folder(&guarded.folder, "web.yml"), stop.clone());
        async move {
            for number in 0_u64.. {
                if stop.is_cancelled() {
                    return;
                }
                // Of another length each time: the clock of a file system may stand still for a moment.
                fs::write(&path, format!("{}#{}\n", users(), "x".repeat((number % 64) as usize))).unwrap();
                tokio::time::sleep(REST / 10).await;
            }
        }
    });
    tokio::time::sleep(REST).await;
    let said = guarded.admission.refresh().await.unwrap_err();
    assert!(said.contains("being written"), "{said}");
    stop.cancel();
    writing.await.unwrap();
    guarded.admission.refresh().await.unwrap();
}

#[tokio::test]
async fn no_octet_of_a_key_is_told_where_it_is_no_pem() {
    let pki = Pki::new();
    let server = pki.issue(|_| {});
    let lines: Vec<&str> = server.key.lines().collect();
    let folded = lines.join(" ");
    let inline = |style: &str| {
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        format!("tls_server_config:\n  cert_file: server.crt\n  key: {style}\n{lines}")
    };
    let unclosed = format!("{}\n{}\n", lines[0].trim_end_matches('-'), lines[1..].join("\n"));
    let open = lines[..lines.len() - 1].join("\n");
    for (name, content, text) in [
        ("other", String::new(), inline(">")),
        ("server.key", folded.clone(), tls("")),
        ("server.key", format!("-----BEGIN {folded}"), tls("")),
        ("server.key", unclosed, tls("")),
        ("server.key", open, tls("")),
        // The key in the place of the certificate.
        ("server.crt", folded.clone(), tls("")),
    ] {
        let guarded = Guarded::start(pki.folder(), &tls(""));
        fs::write(in_folder(&guarded.folder, name), &content).unwrap();
        guarded.write("web.yml", &text);
        let mut told = vec![guarded.admission.refresh().await.unwrap_err()];
        told.push(check_web_config(&in_folder(&guarded.folder, "web.yml")).unwrap_err());
        if !content.is_empty() {
            let [chain, key] = ["server.crt", "server.key"].map(|name| in_folder(&guarded.folder, name));
            told.push(ServerCertificate::load(&chain, &key).unwrap_err().to_string());
        }
        for said in told {
            assert!(said.contains("can be read: "), "{said}");
            for secret in lines[1..lines.len() - 1].iter().flat_map(|line| line.as_bytes().windows(6)) {
                let decimal = format!("{secret:?}");
                let base64 = std::str::from_utf8(secret).unwrap();
                assert!(!said.contains(base64) && !said.contains(decimal.trim_matches(['[', ']'])), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_shows_a_certificate_shows_it_in_each_connection() {
    let pki = Pki::new();
    let verified = tls("  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n");
    let client = pki.issue(|_| {});
    for (text, client, resumes) in [(tls(""), None, true), (verified, Some(&client), false)] {
        let guarded = Guarded::start(pki.folder(), &text);
        for version in [&TLS12, &TLS13] {
            // Its sessions are kept in it.
            let config = pki.config(client, &[version]);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut stream = connect_with(&guarded.server, Arc::clone(&config)).await.unwrap();
                stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
                let mut answer = Vec::new();
                timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
                assert!(answer.starts_with(HEALTHY.as_bytes()));
                kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            }
            let second = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
            assert_eq!(kinds, [HandshakeKind::Full, second], "{text}");
        }
    }
}
