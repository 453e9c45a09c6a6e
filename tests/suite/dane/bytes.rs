//! Any bytes get a verdict or none.

use proptest::prelude::*;
use smtptls_exporter::protocol::dane::{DaneResult, verify_bytes};

use super::pki::{Leaf, der, matched, now, record, root};

fn packed(records: &[Vec<u8>], chain: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(records.len()).unwrap()];
    for piece in records.iter().map(Vec::as_slice).chain(chain.iter().copied()) {
        bytes.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(piece);
    }
    bytes
}

fn sample() -> Vec<u8> {
    let root = root("Root");
    let (leaf, root) = (Leaf::new().by(&root), der(&root));
    let rdata = [[2, 0, 0], [2, 1, 0], [2, 0, 1], [3, 1, 1]].map(|parameters| {
        let named = if parameters[0] == 2 { &root } else { &leaf };
        [&parameters, record(parameters, named).data.as_bytes()].concat()
    });
    packed(&rdata, &[&leaf, &root])
}

#[test]
fn what_is_packed_is_judged() {
    let verdict = verify_bytes(&sample(), now()).unwrap();
    assert_eq!(verdict.result, matched(3, 0));
    assert_eq!(verify_bytes(&[], now()), None);
    assert_eq!(verify_bytes(&packed(&[vec![3, 1, 1]], &[]), now()), None);
    let leaf = Leaf::new().self_signed();
    assert_eq!(verify_bytes(&packed(&[vec![3, 1]], &[&leaf]), now()).unwrap().result, DaneResult::EncryptOnly);
}

thread_local! {
    static SAMPLE: Vec<u8> = sample();
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = verify_bytes(&bytes, now());
    }

    #[test]
    fn damaged_records_and_chains(damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = SAMPLE.with(Clone::clone);
        for (place, byte) in damage {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        if let Some(verdict) = verify_bytes(&bytes, now()) {
            let shown = format!("{verdict:?}");
            prop_assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", shown);
        }
    }
}
