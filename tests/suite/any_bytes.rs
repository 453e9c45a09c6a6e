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
    protocol::tls::{Roots, chain_facts},
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
        let cases = if name == "certificate" { CASES / 4 } else { CASES };
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
    for path in ["certs", "tlsa_cases"].iter().flat_map(|folder| files(&corpus.join(folder))) {
        if path.extension().is_some_and(|end| end == "pem") {
            let pem = fs::read(&path).unwrap();
            let chain = CertificateDer::pem_slice_iter(&pem).map(|der| der.unwrap().to_vec());
            add("certificate", chain.collect::<Vec<_>>().concat());
        }
    }
    inputs
}
