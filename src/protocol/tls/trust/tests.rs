use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, NameConstraints, date_time_ymd,
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

/// A leaf without dates in common with its issuers: the path is judged without its dates.
#[test]
fn a_leaf_out_of_the_time_of_its_issuers() {
    let root = root("Root");
    let roots = trusting(&[root.der()]);
    for (intermediate_years, leaf_years, expected) in [
        // The issuer was renewed with the same key after the leaf had ended.
        ((2026, 2030), (2024, 2025), PathToRoot::Trusted { not_after: year(2025) }),
        ((2020, 2029), (2030, 2031), PathToRoot::Trusted { not_after: year(2029) }),
        // 2050 and later are GeneralizedTime.
        ((2020, 2029), (2049, 2051), PathToRoot::Trusted { not_after: year(2029) }),
        ((2020, 2029), (2051, 2052), PathToRoot::Trusted { not_after: year(2029) }),
        ((2025, 2026), (2023, 2024), PathToRoot::IntermediateExpired),
        ((2027, 2028), (2023, 2024), PathToRoot::IntermediateExpired),
        ((2027, 2028), (2029, 2030), PathToRoot::IntermediateExpired),
    ] {
        let intermediate = intermediate("Intermediate", &root, intermediate_years);
        let leaf = leaf(&intermediate, leaf_years);
        let chain = [&leaf, intermediate.der()];
        assert_eq!(path(&chain, &roots), expected, "{intermediate_years:?} {leaf_years:?}");
        assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa, "{intermediate_years:?} {leaf_years:?}");
        assert_eq!(path(&[&leaf], &roots), PathToRoot::MissingIntermediate);
    }
}

#[test]
fn intermediates_that_were_never_valid_together() {
    let root = root("Root");
    let first = intermediate("First", &root, (2012, 2013));
    for (years, expected) in [(2020, 2030), (2014, 2015)].map(|years| (years, PathToRoot::IntermediateExpired)) {
        let second = intermediate("Second", &first, years);
        let leaf = leaf(&second, NOW_YEARS);
        let chain = [&leaf, second.der(), first.der()];
        assert_eq!(path(&chain, &trusting(&[root.der()])), expected);
        assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa);
    }
}

#[test]
fn the_renewed_intermediate_is_found_beside_the_old_one() {
    let root = root("Root");
    let key = KeyPair::generate().unwrap().serialize_pem();
    let issue = |years| {
        let mut params = params("Intermediate", years, true);
        // Alike in all but the dates.
        params.serial_number = Some(1.into());
        CertifiedIssuer::signed_by(params, KeyPair::from_pem(&key).unwrap(), &root).unwrap()
    };
    let (older, old, new) = (issue((2012, 2013)), issue((2014, 2015)), issue((2026, 2030)));
    let leaf = leaf(&old, (2024, 2025));
    let roots = trusting(&[root.der()]);
    for chain in [[&leaf, old.der(), new.der()], [&leaf, new.der(), old.der()]] {
        assert_eq!(path(&chain, &roots), PathToRoot::Trusted { not_after: year(2025) });
    }
    for chain in [[&leaf, old.der(), older.der()], [&leaf, older.der(), old.der()]] {
        assert_eq!(path(&chain, &roots), PathToRoot::IntermediateExpired);
    }
}

#[test]
fn without_dates_all_else_is_still_asked_for() {
    let root = root("Root");
    let roots = trusting(&[root.der()]);
    let years = (2024, 2025);
    let good = intermediate("Intermediate", &root, (2026, 2030));
    let refused = |chain: &[&Der]| {
        let path = path(chain, &roots);
        assert!(matches!(path, PathToRoot::Refused(_)), "{path:?}");
    };

    let impostor = intermediate("Intermediate", &root, (2026, 2030));
    refused(&[&leaf(&impostor, years), good.der()]);
    let expired_impostor = intermediate("Intermediate", &root, (2012, 2013));
    refused(&[&leaf(&impostor, years), expired_impostor.der()]);
    let other_root = self::root("Root");
    let foreign = intermediate("Intermediate", &other_root, (2026, 2030));
    refused(&[&leaf(&foreign, years), foreign.der()]);

    let key = KeyPair::generate().unwrap();
    let authority = params("mx.example.com", years, true).signed_by(&key, &good).unwrap();
    refused(&[authority.der(), good.der()]);
    let mut mail = params("mx.example.com", years, false);
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    refused(&[mail.signed_by(&key, &good).unwrap().der(), good.der()]);
    let no_authority =
        CertifiedIssuer::signed_by(params("Server", (2026, 2030), false), KeyPair::generate().unwrap(), &root).unwrap();
    refused(&[&leaf(&no_authority, years), no_authority.der()]);

    let mut short = params("Short", (2026, 2030), true);
    short.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = CertifiedIssuer::signed_by(short, KeyPair::generate().unwrap(), &root).unwrap();
    let below = intermediate("Below", &short, (2026, 2030));
    refused(&[&leaf(&below, years), below.der(), short.der()]);
    assert!(path(&[&leaf(&short, years), short.der()], &roots).is_trusted());

    let mut constrained = params("Constrained", (2026, 2030), true);
    let subtree = |name: &str| vec![GeneralSubtree::DnsName(name.to_owned())];
    constrained.name_constraints =
        Some(NameConstraints { permitted_subtrees: subtree("example.org"), excluded_subtrees: Vec::new() });
    let constrained = CertifiedIssuer::signed_by(constrained, KeyPair::generate().unwrap(), &root).unwrap();
    refused(&[&leaf(&constrained, years), constrained.der()]);

    let own = params("mx.example.com", years, false).self_signed(&key).unwrap();
    assert_eq!(path(&[own.der()], &roots), PathToRoot::SelfSigned);
    assert_eq!(path(&[own.der()], &trusting(&[own.der()])), PathToRoot::Trusted { not_after: year(2025) });
}

#[test]
fn dates_that_the_sender_wrote_are_not_believed() {
    let root = root("Root");
    let roots = trusting(&[root.der()]);
    let expired = intermediate("Intermediate", &root, (2012, 2013));
    let leaf = leaf(&expired, (2024, 2025));
    let sent = [leaf.clone(), expired.der().clone()];
    let undated = Undated::all(&sent);
    let copies: Vec<Der> = undated.certificates().iter().map(|copy| copy.clone().into_owned()).collect();
    let (leaf_copy, expired_copy) = (&copies[0], &copies[1]);
    assert!(leaf_copy != &leaf && expired_copy != expired.der());
    for chain in [[&leaf, expired.der(), expired_copy], [&leaf, expired_copy, expired.der()]] {
        let path = path(&chain, &roots);
        assert!(matches!(path, PathToRoot::IntermediateExpired | PathToRoot::Refused(_)), "{path:?}");
    }
    for chain in [[leaf_copy, expired.der(), &leaf], [&leaf, expired_copy, leaf_copy]] {
        assert!(matches!(path(&chain, &roots), PathToRoot::Refused(_)));
    }
}

/// Many certificates with one name allow more paths than can be tried; the search ends without trust.
#[test]
fn a_hostile_chain_comes_to_an_end() {
    let root = root("Root");
    let everyone = |by: &Authority, years| -> Vec<Authority> {
        (1..MAX_CHAIN).map(|_| intermediate("Everyone", by, years)).collect()
    };
    let stranger = self::root("Everyone");
    for authorities in [everyone(&stranger, (2012, 2013)), everyone(&root, (2026, 2027))] {
        let leaf = leaf(&stranger, (2024, 2025));
        let chain: Vec<&Der> = std::iter::once(&leaf).chain(authorities.iter().map(Authority::der)).collect();
        let path = path(&chain, &trusting(&[root.der()]));
        assert!(matches!(path, PathToRoot::Refused(_)), "{path:?}");
    }
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
