use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;
type Der = CertificateDer<'static>;

/// Years of validity, both at 1 January.
type Years = (i32, i32);

fn params(name: &str, (from, until): Years, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(params(name, (2010, 2040), true), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, by: &Authority, years: Years) -> Authority {
    CertifiedIssuer::signed_by(params(name, years, true), KeyPair::generate().unwrap(), by).unwrap()
}

fn leaf(by: &Authority, years: Years) -> Der {
    params("mx.example.com", years, false).signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
}

fn self_signed(is_ca: bool) -> Der {
    params("mx.example.com", NOW_YEARS, is_ca).self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn trusting(roots: &[&Der]) -> Roots {
    Roots::from_anchors(roots.iter().map(|der| anchor_from_trusted_cert(der).unwrap().to_owned()).collect())
}

const NOW_YEARS: Years = (2026, 2027);

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn year(year: i32) -> Timestamp {
    format!("{year}-01-01T00:00:00Z").parse().unwrap()
}

fn path(chain: &[&Der], roots: &Roots) -> PathToRoot {
    chain_facts(chain, roots, now()).unwrap().path
}

#[test]
fn the_earliest_end_on_the_way_counts() {
    let root = root("Root");
    let roots = trusting(&[root.der()]);
    for (intermediate_years, leaf_years, end) in [
        ((2020, 2030), (2026, 2027), 2027),
        ((2020, 2027), (2026, 2028), 2027),
        // The leaf's own dates are no matter of the path.
        ((2020, 2030), (2024, 2025), 2025),
        ((2020, 2030), (2027, 2028), 2028),
        // Both are over: at the leaf's end the intermediate was valid.
        ((2020, 2026), (2024, 2025), 2025),
    ] {
        let intermediate = intermediate("Intermediate", &root, intermediate_years);
        let leaf = leaf(&intermediate, leaf_years);
        assert_eq!(
            path(&[&leaf, intermediate.der()], &roots),
            PathToRoot::Trusted { not_after: year(end) },
            "{intermediate_years:?} {leaf_years:?}"
        );
    }
    assert_eq!(path(&[&leaf(&root, NOW_YEARS)], &roots), PathToRoot::Trusted { not_after: year(2027) });
}

#[test]
fn order_and_strangers_in_the_chain_do_not_matter() {
    let (root, stranger) = (root("Root"), root("Stranger"));
    let first = intermediate("First", &root, (2020, 2030));
    let second = intermediate("Second", &first, (2020, 2029));
    let expired = intermediate("Expired stranger", &stranger, (2012, 2013));
    let leaf = leaf(&second, NOW_YEARS);
    let chain = [&leaf, expired.der(), first.der(), root.der(), stranger.der(), second.der()];
    assert_eq!(path(&chain, &trusting(&[root.der()])), PathToRoot::Trusted { not_after: year(2027) });
    assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa);
}

#[test]
fn failures_are_told_apart() {
    let root = root("Root");
    let roots = trusting(&[root.der()]);
    let intermediate_ok = intermediate("Intermediate", &root, (2020, 2030));
    let good = leaf(&intermediate_ok, NOW_YEARS);
    assert_eq!(path(&[&good], &roots), PathToRoot::MissingIntermediate);
    assert_eq!(path(&[&good, root.der()], &roots), PathToRoot::MissingIntermediate);
    assert_eq!(path(&[&good, intermediate_ok.der()], &Roots::default()), PathToRoot::UnknownCa);
    assert_eq!(path(&[&good, intermediate_ok.der(), root.der()], &Roots::default()), PathToRoot::UnknownCa);
    for is_ca in [false, true] {
        assert_eq!(path(&[&self_signed(is_ca)], &roots), PathToRoot::SelfSigned);
    }
}

#[test]
fn an_intermediate_out_of_date() {
    let root = root("Root");
    for years in [(2020, 2026), (2027, 2030)] {
        let intermediate = intermediate("Intermediate", &root, years);
        let leaf = leaf(&intermediate, (2025, 2028));
        let chain = [&leaf, intermediate.der()];
        assert_eq!(path(&chain, &trusting(&[root.der()])), PathToRoot::IntermediateExpired, "{years:?}");
        assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa, "{years:?}: its dates are not all");
    }
    let never = intermediate("Intermediate", &root, (2012, 2013));
    let leaf = leaf(&never, NOW_YEARS);
    assert_eq!(path(&[&leaf, never.der()], &trusting(&[root.der()])), PathToRoot::IntermediateExpired);
}

#[test]
fn the_same_names_with_another_key_are_refused() {
    let (root, other) = (root("Root"), root("Root"));
    let leaf = leaf(&other, NOW_YEARS);
    assert!(matches!(path(&[&leaf], &trusting(&[root.der()])), PathToRoot::Refused(_)));
}

#[test]
fn an_authority_as_server_certificate() {
    let root = root("Root");
    let key = KeyPair::generate().unwrap();
    let leaf = params("mx.example.com", NOW_YEARS, true).signed_by(&key, &root).unwrap();
    assert!(matches!(path(&[leaf.der()], &trusting(&[root.der()])), PathToRoot::Refused(_)));
}

#[test]
fn a_self_signed_certificate_among_the_roots() {
    let plain = self_signed(false);
    assert_eq!(path(&[&plain], &trusting(&[&plain])), PathToRoot::Trusted { not_after: year(2027) });
    let authority = self_signed(true);
    assert!(
        matches!(path(&[&authority], &trusting(&[&authority])), PathToRoot::Refused(_)),
        "trusted, yet no server's"
    );
}

#[test]
fn what_cannot_be_read_is_counted() {
    let root = root("Root");
    let leaf = leaf(&root, NOW_YEARS);
    let garbage = CertificateDer::from(b"garbage".to_vec());
    let facts = chain_facts(&[&leaf, &garbage, root.der()], &trusting(&[root.der()]), now()).unwrap();
    assert_eq!((facts.others.len(), facts.unreadable), (1, 1));
    assert!(facts.path.is_trusted());
    let many: Vec<&Der> = std::iter::repeat_n(&leaf, 100).collect();
    let facts = chain_facts(&many, &trusting(&[root.der()]), now()).unwrap();
    assert_eq!((facts.others.len(), facts.unreadable), (MAX_CHAIN - 1, 100 - MAX_CHAIN));
    assert!(chain_facts(&[&garbage], &Roots::default(), now()).is_err());
    assert!(chain_facts::<&Der>(&[], &Roots::default(), now()).is_err());
}

#[test]
fn a_judgement_holds_between_two_dates() {
    let root = root("Root");
    let intermediate = intermediate("Intermediate", &root, (2020, 2030));
    let facts = chain_facts(&[&leaf(&intermediate, NOW_YEARS), intermediate.der()], &Roots::default(), now()).unwrap();
    let window = validity_window(&facts, now());
    assert_eq!(window, year(2026)..year(2027) + Duration::from_secs(1));
    assert_eq!(validity_window(&facts, year(2028)).start, year(2027) + Duration::from_secs(1));
}

#[test]
fn roots_from_pem() {
    let (first, second) = (root("First"), root("Second"));
    let pem = format!("a comment\n{}{}", first.pem(), second.pem());
    assert_eq!(Roots::from_pem(pem.as_bytes()).unwrap().len(), 2);
    assert_eq!(Roots::from_pem(b"").unwrap_err(), RootsPemError::Empty);
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(Roots::from_pem(key.as_bytes()).unwrap_err(), RootsPemError::Empty, "a key is no root");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Roots::from_pem(broken.as_bytes()), Err(RootsPemError::Certificate { index: 1, .. })));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(Roots::from_pem(cut.as_bytes()), Err(RootsPemError::Pem(_))));
}
