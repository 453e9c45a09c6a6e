//! The invariants of the parsers, over the seeds of `fuzz/`, over stored data, and over noise.
//!
//! Stored data is not part of this repository: `SMTPTLS_CORPUS` names its folder. `SMTPTLS_SEED=1` copies what fits each
//! parser to `fuzz/corpus`, where the fuzzer begins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::TestRunner};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use smtptls_exporter::{
    facts::TlsVersion,
    protocol::{
        dane::{DaneResult, verify_bytes},
        tls::{FlightEnd, FlightReader, Roots, chain_facts},
    },
    terms::Octets,
};

use crate::{
    corpus::{corpus, rows, unescaped},
    invariants::{SEPARATOR, TARGETS, Target},
};

/// Inputs that are made up for each parser. The fuzzer tries millions; these are to see at once what a change breaks.
const CASES: u32 = 2000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let seeds: Vec<_> = files(&fuzz().join("seeds").join(name)).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{name}");
    seeds
}

/// The inputs on which the invariant breaks; the panics themselves say how.
fn broken<'a>((name, invariant): Target, inputs: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<String> {
    let breaks = |bytes: &&Vec<u8>| std::panic::catch_unwind(|| invariant(bytes)).is_err();
    inputs.into_iter().filter(breaks).map(|bytes| format!("{name}: {}", bytes.escape_ascii())).collect()
}

#[test]
fn seeds_hold() {
    let broken: Vec<String> = TARGETS.into_iter().flat_map(|target| broken(target, &seeds(target.0))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Else nothing would be seen where a forged chain is trusted.
#[test]
fn the_chains_among_the_seeds_are_trusted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/certificates/chain");
    let der = |name: &str| fs::read(folder.join(name)).unwrap();
    let roots = Roots::from_pem(&der("root.pem")).unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    for leaf in ["leaf.der", "expired.der", "endless.der"] {
        let facts = chain_facts(&[der(leaf), der("issuer.der")], &roots, now).unwrap();
        assert!(facts.path.is_trusted(), "{leaf}: {:?}", facts.path);
    }
}

/// Else a verdict would be missing where the fuzzer looks for wrong ones.
#[test]
fn every_verdict_is_among_the_seeds() {
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let mut words: BTreeSet<&str> = BTreeSet::new();
    for seed in seeds("tlsa_verify") {
        let verdict = verify_bytes(&seed, now).unwrap();
        words.insert(match verdict.result {
            DaneResult::Match { depth: Some(0), .. } => "leaf",
            DaneResult::Match { depth: Some(_), .. } => "issuer",
            DaneResult::Match { depth: None, .. } => "own anchor",
            DaneResult::ChainInvalid { .. } => "chain",
            DaneResult::Mismatch { passed_over: Some(_) } => "agility",
            DaneResult::Mismatch { passed_over: None } => "mismatch",
            DaneResult::EncryptOnly => "encrypt",
        });
        words.extend((!verdict.stale.is_empty()).then_some("stale"));
        words.extend((!verdict.rollover.is_empty()).then_some("rollover"));
    }
    let all = ["leaf", "issuer", "own anchor", "chain", "agility", "mismatch", "encrypt", "stale", "rollover"];
    assert_eq!(words, all.into_iter().collect());
}

#[test]
fn every_end_of_a_handshake_is_among_the_seeds() {
    let read = |seed: Vec<u8>| {
        let mut reader = FlightReader::new(TlsVersion::Tls12);
        reader.receive(&seed);
        match reader.end() {
            None => "open",
            Some(FlightEnd::Complete) if reader.chain().is_empty() => "no certificate",
            Some(FlightEnd::Complete) => "certificates",
            Some(FlightEnd::Alert(_)) => "alert",
            Some(FlightEnd::Fault(_)) => "fault",
        }
    };
    let ends: BTreeSet<&str> = seeds("tls_flight").into_iter().map(read).collect();
    assert_eq!(ends, ["open", "no certificate", "certificates", "alert", "fault"].into_iter().collect());
}

#[test]
fn every_target_is_fuzzed() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("invariants::{name}(bytes)")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
    for folder in ["fuzz_targets", "seeds"] {
        let found = files(&fuzz().join(folder)).into_iter().map(|path| path.file_stem().unwrap().to_owned());
        let names = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(found.collect::<BTreeSet<_>>(), names, "{folder}");
    }
}

/// Bytes of any kind, or a seed in which one stretch is exchanged, or the beginning of one seed and the end of another.
fn nearly_right(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Octets> {
    let noise =
        prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b" \t\r\n.;:=,-*\\\"0aZ"[..])], 0..8);
    let one = prop::sample::select(seeds.clone());
    let exchanged =
        (one.clone(), any::<prop::sample::Index>(), 0usize..12, noise).prop_map(|(seed, at, length, noise)| {
            let at = at.index(seed.len() + 1);
            let end = (at + length).min(seed.len());
            [&seed[..at], &noise, &seed[end..]].concat()
        });
    let crossed = (one, prop::sample::select(seeds), any::<(prop::sample::Index, prop::sample::Index)>()).prop_map(
        |(head, tail, (end, start))| {
            [&head[..end.index(head.len() + 1)], &tail[start.index(tail.len() + 1)..]].concat()
        },
    );
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..300), 4 => exchanged, 2 => crossed].prop_map(Octets)
}

#[test]
fn any_bytes_hold() {
    let mut broken = Vec::new();
    for (name, invariant) in TARGETS {
        // A chain costs signatures.
        let cases = if matches!(name, "certificate" | "tlsa_verify") { CASES / 4 } else { CASES };
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = TestRunner::new(config).run(&nearly_right(seeds(name)), |bytes| {
            invariant(bytes.as_bytes());
            Ok(())
        });
        if let Err(error) = outcome {
            broken.push(format!("{name}: {error}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_corpus_holds() {
    let Some(corpus) = corpus() else { return };
    let mut inputs = stored(&corpus);
    // The escapes have to bear all of it.
    inputs.insert("octets", inputs.values().flatten().cloned().collect());
    let broken: Vec<String> =
        TARGETS.into_iter().flat_map(|target| broken(target, inputs.get(target.0).into_iter().flatten())).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(inputs["policy"].len() > 100 && inputs["sts_record"].len() > 50 && inputs["certificate"].len() > 20);
    assert!(inputs["tlsa_verify"].len() > 30);
    if std::env::var_os("SMTPTLS_SEED").is_some() {
        inputs.remove("octets");
        for (name, inputs) in inputs {
            let folder = fuzz().join("corpus").join(name);
            fs::create_dir_all(&folder).unwrap();
            for (number, input) in inputs.iter().enumerate() {
                fs::write(folder.join(format!("stored_{number}")), input).unwrap();
            }
        }
    }
}

/// What the corpus has for each parser, in the form in which its invariant takes it.
fn stored(corpus: &Path) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut inputs: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target, input| inputs.entry(target).or_default().push(input);
    for path in files(&corpus.join("policies")).iter().filter(|path| path.extension().is_some_and(|end| end == "txt")) {
        add("policy", fs::read(path).unwrap());
    }
    for row in rows(&corpus.join("peer_cases/policy_cases.tsv")) {
        add("policy", unescaped(&row[0]));
    }
    for row in rows(&corpus.join("records/records.tsv")) {
        let records: Vec<Vec<u8>> = row[1].split(" || ").map(unescaped).collect();
        let target = if row[0].starts_with("mta-sts") { "sts_record" } else { "tlsrpt_record" };
        add(target, records.join(&SEPARATOR));
    }
    for row in rows(&corpus.join("peer_cases/mx_match_cases.tsv")) {
        for pattern in row[0].split(' ') {
            add("mx_pattern", format!("{pattern}\n{}", row[1]).into_bytes());
        }
        add("dns_name", row[1].clone().into_bytes());
    }
    for row in rows(&corpus.join("peer_cases/content_type_cases.tsv")) {
        add("media_type", row[0].clone().into_bytes());
    }
    let tlsa_cases = rows(&corpus.join("tlsa_cases/tlsa_cases.tsv"));
    for path in ["certs", "tlsa_cases"].iter().flat_map(|folder| files(&corpus.join(folder))) {
        if path.extension().is_some_and(|end| end == "pem") {
            let pem = fs::read(&path).unwrap();
            let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).map(|der| der.unwrap().to_vec()).collect();
            add("certificate", chain.concat());
            add("tls_flight", flight(&chain));
            let case = path.file_stem().unwrap().to_str().unwrap();
            for row in tlsa_cases.iter().filter(|row| row[0] == case) {
                let records: Vec<Vec<u8>> = row[3].split(" ; ").map(rdata).collect();
                add("tlsa", records.join(&SEPARATOR));
                add("tlsa_verify", packed(&records, &chain));
            }
        }
    }
    inputs
}

/// The RDATA of a record as a zone file has it.
fn rdata(text: &str) -> Vec<u8> {
    let parts: Vec<&str> = text.split(' ').collect();
    let numbers = parts[..3].iter().map(|number| number.parse().unwrap());
    let pairs = parts[3].as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    numbers.chain(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap())).collect()
}

/// As `verify_bytes` takes them.
fn packed(records: &[Vec<u8>], chain: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(records.len()).unwrap()];
    for piece in records.iter().chain(chain) {
        bytes.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(piece);
    }
    bytes
}

/// A server's answer with these certificates, a record a message (RFC 5246 §7.4.2, §7.4.3).
fn flight(chain: &[Vec<u8>]) -> Vec<u8> {
    let message = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let record = u16::try_from(4 + body.len()).unwrap().to_be_bytes();
        [&[22, 3, 3][..], &record, &[kind, 0], &length, body].concat()
    };
    let with_length = |bytes: &[u8]| [&[0][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let list: Vec<u8> = chain.iter().flat_map(|der| with_length(der)).collect();
    let hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2b, 0]].concat();
    [message(2, &hello), message(11, &with_length(&list))].concat()
}
