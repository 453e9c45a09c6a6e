//! What other programs make of DANE, and this one must not.

use smtptls_exporter::{
    facts::{Security, TlsaRecord},
    verdict::{Code, DaneWord, Outcome, Severity, State},
};

use super::{
    case::{A1, MX1, World, codes, find},
    signed::{bogus, issuer, leaf, namesake, own, tlsa_name, trusted, untrusted},
};
use crate::dane::pki::{record, stranger};

/// Usage, selector and matching type.
fn every_combination() -> impl Iterator<Item = [u8; 3]> {
    (0..4).flat_map(|usage| (0..2).flat_map(move |selector| (0..3).map(move |matching| [usage, selector, matching])))
}

/// The certificate that each usage speaks of, and one that is none of the chain.
fn records(parameters: [u8; 3]) -> (TlsaRecord, TlsaRecord) {
    let of = if parameters[0].is_multiple_of(2) { issuer() } else { leaf(MX1) };
    (record(parameters, &of), record(parameters, &namesake()))
}

/// Misbehaviour 18: DANE without DNSSEC; usage and selector ignored; the rules of PKIX for DANE-EE.
#[test]
fn each_usage_selector_and_matching_type_in_a_signed_and_an_unsigned_zone() {
    for parameters in every_combination() {
        let (right, wrong) = records(parameters);
        for (record, is_right) in [(&right, true), (&wrong, false)] {
            let signed = World::bare().with_dane(std::slice::from_ref(record));
            let seen = signed.assess();
            let address = &seen.mx[0].addresses[0];
            let expected = match (parameters[0], is_right) {
                // RFC 7672 §3.1.3: not for SMTP, whatever they are of.
                (0 | 1, _) => (Outcome::Open, DaneWord::EncryptOnly, State::Unprotected),
                (_, true) => (Outcome::Secure, DaneWord::Match, State::Protected),
                (_, false) => (Outcome::Refused, DaneWord::Mismatch, State::Blocked),
            };
            assert_eq!(
                (address.dane, address.dane_word.unwrap(), seen.delivery),
                expected,
                "{parameters:?} {is_right}"
            );

            for unsigned in [
                signed.clone().edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure),
                signed.clone().addresses_are(MX1, Security::Insecure),
            ] {
                let seen = unsigned.assess();
                let address = &seen.mx[0].addresses[0];
                let said = (address.dane, address.dane_word.unwrap(), seen.delivery);
                assert_eq!(said, (Outcome::Open, DaneWord::NotApplicable, State::Unprotected), "{parameters:?}");
                let dane: Vec<&str> = codes(&seen).into_iter().filter(|code| code.starts_with("dane-")).collect();
                assert_eq!(dane, ["dane-insecure"], "{parameters:?} {is_right}");
            }
        }
    }
}

/// A digest of the right bytes under the wrong selector or usage is of nothing.
#[test]
fn selector_and_usage_are_heeded() {
    let swapped =
        |parameters: [u8; 3], under: [u8; 3]| TlsaRecord { data: own(parameters, MX1).data, ..stranger(under) };
    for record in [
        swapped([3, 0, 1], [3, 1, 1]),
        swapped([3, 1, 1], [3, 0, 1]),
        // The leaf is no issuer of itself, and the issuer no leaf.
        own([2, 1, 1], MX1),
        record([3, 1, 1], &issuer()),
    ] {
        let seen = World::bare().with_dane(&[record]).assess();
        assert_eq!(seen.delivery, State::Blocked, "{:#?}", seen.findings);
        assert!(find(&seen, Code::DaneMismatch).is_some());
    }
}

/// RFC 7672 §3.1.1: no root, no name, no date.
#[test]
fn dane_ee_asks_for_the_key_alone() {
    let world = World::bare().with_dane(&[own([3, 1, 1], MX1)]).chain(A1, |_| {
        let mut chain = untrusted(&[&leaf(MX1)]);
        chain.leaf.names = vec!["localhost".to_owned()];
        super::case::expired(chain)
    });
    let seen = world.assess();
    assert_eq!((seen.delivery, seen.worst()), (State::Protected, Some(Severity::Info)), "{:#?}", seen.findings);
}

/// Misbehaviour 19: a record for the next key is no mismatch, and the same record twice is no rollover.
#[test]
fn a_rollover_is_neither_a_mismatch_nor_a_duplicate() {
    let live = own([3, 1, 1], MX1);
    let next = record([3, 1, 1], &namesake());
    for records in [vec![live.clone(), next.clone()], vec![next.clone(), live.clone()]] {
        let seen = World::bare().with_dane(&records).assess();
        let dane: Vec<&str> = codes(&seen).into_iter().filter(|code| code.starts_with("dane-")).collect();
        assert_eq!((seen.delivery, dane), (State::Protected, vec!["dane-rollover"]));
        assert_eq!(find(&seen, Code::DaneRollover).unwrap().severity, Severity::Info);
        assert_eq!(seen.mx[0].addresses[0].dane_word, Some(DaneWord::Match));
    }
    let seen = World::bare().with_dane(&[live.clone(), live.clone()]).assess();
    assert_eq!((seen.delivery, find(&seen, Code::DaneRollover)), (State::Protected, None));
    // When the new key goes live, the old record is the one that is left.
    let moved = World::bare().with_dane(&[live, next]).chain(A1, |_| trusted(&[&namesake(), &issuer()]));
    assert_eq!(moved.assess().delivery, State::Protected);
    // Without the record beforehand it is a mismatch.
    let hasty = World::bare().with_dane(&[own([3, 1, 1], MX1)]).chain(A1, |_| trusted(&[&namesake(), &issuer()]));
    assert_eq!(hasty.assess().delivery, State::Blocked);
}

/// Misbehaviour 47: bogus is neither verified nor "try again", and it is told.
#[test]
fn a_bogus_answer_is_told_as_bogus() {
    let world = World::bare().signed().tlsa_lookup(MX1, bogus(&tlsa_name(MX1)));
    let seen = world.assess();
    assert_eq!((seen.delivery, seen.senders.dane.state), (State::Blocked, State::Blocked));
    let finding = find(&seen, Code::DnssecBogus).expect("it is said that validation fails");
    assert_eq!((finding.severity, finding.result_type), (Severity::Error, Some("dnssec-invalid")));
    assert_eq!(finding.subject.name(), MX1);
    assert!(finding.detail.contains(&tlsa_name(MX1)) && finding.detail.contains("has ended"), "{}", finding.detail);
    assert_eq!(find(&seen, Code::DaneMismatch), None);

    let world = World::bare().with_dane(&[own([3, 1, 1], MX1)]);
    let addresses = world.host_lookup(MX1, |seen| {
        seen.addresses.ip4 = Some(bogus(MX1));
        seen.addresses.ip6 = Some(bogus(MX1));
    });
    let seen = addresses.assess();
    assert_eq!((seen.delivery, seen.senders.dane.paths.refused), (State::Blocked, 1));
    assert_eq!(find(&seen, Code::DnssecBogus).map(|finding| finding.subject.name()), Some(MX1));
}
