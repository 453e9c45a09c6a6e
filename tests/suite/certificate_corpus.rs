//! Chains of real sites. They are not part of this repository: `SMTPTLS_CORPUS` names the folder that has them, and without it
//! there is nothing to read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use smtptls_exporter::{
    facts::PathToRoot,
    protocol::tls::{Roots, chain_facts, names_match, read_certificate},
    terms::Timestamp,
};

/// The files of the corpus that end so; nothing without a corpus.
fn files(ending: &str) -> Vec<PathBuf> {
    let Some(corpus) = std::env::var_os("SMTPTLS_CORPUS") else { return Vec::new() };
    let folder = Path::new(&corpus).join("certs");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending))).collect();
    assert!(!files.is_empty(), "no {ending} in {}", folder.display());
    files
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

#[test]
fn every_certificate_is_read() {
    for file in files(".pem") {
        let chain = chain(&fs::read_to_string(&file).unwrap());
        assert!(!chain.is_empty(), "{}", file.display());
        for der in &chain {
            let facts = read_certificate(der).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(facts.not_before < facts.not_after && facts.key.bits > 0, "{}: {facts:?}", file.display());
        }
        let facts = chain_facts(&chain, &Roots::default(), "2026-06-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!((facts.unreadable, facts.path.is_trusted()), (0, false), "{}", file.display());
        let self_signed = file.to_str().is_some_and(|name| name.contains("self-signed"));
        assert_eq!(facts.path == PathToRoot::SelfSigned, self_signed, "{}: {:?}", file.display(), facts.path);
    }
}

#[test]
fn chains_of_big_sites_are_trusted() {
    for file in files(".limbo.json") {
        let case: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let pems = |key: &str| -> String {
            case[key].as_array().unwrap().iter().map(|pem| pem.as_str().unwrap().to_owned() + "\n").collect()
        };
        let roots = Roots::from_pem(pems("trusted_certs").as_bytes()).unwrap();
        let sent = format!("{}\n{}", case["peer_certificate"].as_str().unwrap(), pems("untrusted_intermediates"));
        let time: Timestamp = case["validation_time"].as_str().unwrap().parse().unwrap();
        assert_eq!(case["expected_result"], "SUCCESS");
        let facts = chain_facts(&chain(&sent), &roots, time).unwrap();
        assert!(facts.path.is_trusted(), "{}: {:?}", file.display(), facts.path);
        assert!(names_match(&facts.leaf.names, case["expected_peer_name"]["value"].as_str().unwrap()));
        assert!(!names_match(&facts.leaf.names, "mx.example.com"));
    }
}
