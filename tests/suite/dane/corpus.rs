//! Chains with TLSA records from the tests of OpenSSL, Exim and Stalwart, judged as SMTP has it.
//!
//! The files are not here: `SMTPTLS_CORPUS` names the folder that holds them, and the test says that it was skipped where it is
//! not set.

use std::{fs, path::Path};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use smtptls_exporter::{
    facts::TlsaRecord,
    protocol::{
        dane::{ChainFault, DaneResult, RecordSight, Unusable, verify},
        tls::{Roots, chain_facts},
    },
    terms::{Octets, Timestamp},
};

/// What a case comes to.
#[derive(Debug, PartialEq)]
enum Expected {
    /// By the record at the first place, at this depth of the chain as sent.
    Match(usize),
    /// By a record that brings its own anchor.
    MatchFromDns,
    Mismatch,
    Name,
    /// No record is usable: the others use PKIX-TA(0) and PKIX-EE(1), which SMTP does not (RFC 7672 §3.1.3).
    EncryptOnly,
}

use Expected::{EncryptOnly, Match, MatchFromDns, Mismatch, Name};

/// Every case of the table. Where we say another thing than the table does, RFC 7672 §3.1.3 is why: its word stands beside.
const CASES: [(&str, Expected); 37] = [
    ("openssl_dane_001", Match(0)),
    ("openssl_dane_003", Match(0)),
    ("openssl_dane_005", Match(0)),
    ("openssl_dane_006", Match(0)),
    ("openssl_dane_008", Mismatch),
    ("openssl_dane_009", Mismatch),
    ("openssl_dane_011", Match(0)),
    ("openssl_dane_014", Match(0)),
    ("openssl_dane_015", Match(1)),
    ("openssl_dane_016", Match(1)),
    ("openssl_dane_017", Match(1)),
    ("openssl_dane_018", Match(1)),
    ("openssl_dane_020", Match(2)),
    ("openssl_dane_023", EncryptOnly), // match
    ("openssl_dane_025", EncryptOnly), // match
    ("openssl_dane_026", EncryptOnly), // match
    ("openssl_dane_027", EncryptOnly), // match
    ("openssl_dane_028", EncryptOnly), // match
    ("openssl_dane_030", EncryptOnly), // match
    ("openssl_dane_035", EncryptOnly), // match
    ("openssl_dane_036", EncryptOnly), // match
    ("openssl_dane_037", EncryptOnly), // match
    ("openssl_dane_039", EncryptOnly), // match
    ("openssl_dane_041", EncryptOnly), // fail
    ("openssl_dane_043", Match(0)),
    ("openssl_dane_046", Match(2)),
    ("openssl_dane_047", MatchFromDns),
    ("openssl_dane_048", MatchFromDns),
    ("openssl_dane_049", MatchFromDns),
    ("openssl_dane_050", MatchFromDns),
    ("openssl_dane_053", Name),
    ("stalwart_real_mail.ietf.org", Match(0)),
    // The record is the one of a leaf that is not there: what comes first is an intermediate.
    ("stalwart_real_mail.ietf.org_noleaf", Mismatch),
    ("exim_dane512ee", Match(0)),
    ("exim_dane256ee", Match(0)),
    ("exim_dane256ta", Match(2)),
    // The same with a name that the leaf does not have: Exim's table leaves names out.
    ("exim_dane256ta", Name),
];

/// Within every certificate that has to be valid, and long after the end of the real leaf, which DANE-EE(3) does not mind.
const NOW: &str = "2026-06-01T00:00:00Z";

#[test]
fn cases_of_other_programs() {
    let Some(corpus) = std::env::var_os("SMTPTLS_CORPUS") else {
        eprintln!("skipped: SMTPTLS_CORPUS is not set");
        return;
    };
    let folder = Path::new(&corpus).join("tlsa_cases");
    let table = fs::read_to_string(folder.join("tlsa_cases.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let known = |name: &str| CASES.iter().any(|(case, _)| *case == name);
    assert!(rows.iter().all(|row| known(row[0])), "a case that is not listed");
    for (place, (case, expected)) in CASES.iter().enumerate() {
        let row = rows.iter().find(|row| row[0] == *case).unwrap_or_else(|| panic!("{case} is not in the table"));
        let name = match (row[1], place == CASES.len() - 1) {
            (_, true) => "mx.other.example",
            (name, false) if name.starts_with('(') => "server1.example.com",
            (name, false) => name,
        };
        assert_eq!(judge(&folder, row, name), *expected, "{case}");
        let says = match expected {
            EncryptOnly => continue,
            Match(_) | MatchFromDns if row[5] == "digest-match" => continue,
            Name if row[5] == "digest-match" => continue,
            Match(_) | MatchFromDns => "match",
            Mismatch | Name => "fail",
        };
        assert_eq!(row[5], says, "{case}: the table agrees");
    }
}

/// Like the table: no certificate of it may be lost.
#[test]
fn every_chain_is_read() {
    let Some(corpus) = std::env::var_os("SMTPTLS_CORPUS") else { return };
    let folder = Path::new(&corpus).join("tlsa_cases");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut read = 0;
    for file in files.filter(|path| path.extension().is_some_and(|ending| ending == "pem")) {
        let chain: Vec<CertificateDer<'_>> =
            CertificateDer::pem_file_iter(&file).unwrap().map(Result::unwrap).collect();
        let facts = chain_facts(&chain, &Roots::default(), now()).unwrap();
        assert_eq!((facts.unreadable, facts.der.len()), (0, chain.len()), "{}", file.display());
        read += 1;
    }
    assert_eq!(read, 38);
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn judge(folder: &Path, row: &[&str], name: &str) -> Expected {
    let case = row[0];
    let pem = folder.join(format!("{case}.pem"));
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(pem).unwrap().map(Result::unwrap).collect();
    assert_eq!(chain.len().to_string(), row[4], "{case}");
    let records: Vec<TlsaRecord> = row[3].split(" ; ").map(record).collect();
    let facts = chain_facts(&chain, &Roots::default(), now()).unwrap();
    let verdict = verify(&records, &facts, &[name], now());
    match verdict.result {
        DaneResult::Match { record: 0, depth: Some(depth) } => Match(depth),
        DaneResult::Match { record: 0, depth: None } => MatchFromDns,
        DaneResult::Mismatch { passed_over: None } => Mismatch,
        DaneResult::ChainInvalid { fault: ChainFault::Name, further, .. } if further.is_empty() => Name,
        DaneResult::EncryptOnly => {
            let usage = |sight: &RecordSight| matches!(sight, RecordSight::Unusable(Unusable::Usage(0 | 1)));
            assert!(verdict.records.iter().all(usage), "{case}: {verdict:?}");
            EncryptOnly
        }
        other => panic!("{case}: {other:?}"),
    }
}

/// As in a zone file.
fn record(text: &str) -> TlsaRecord {
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |place: usize| parts[place].parse().unwrap();
    let pairs = parts[3].as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let data = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    TlsaRecord { usage: number(0), selector: number(1), matching: number(2), data: Octets(data) }
}
