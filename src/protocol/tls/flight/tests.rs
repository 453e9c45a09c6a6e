use proptest::prelude::*;

use super::*;

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1, length[0], length[1]], content].concat()
}

fn with_length3(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[1..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], with_length3(body)].concat()
}

/// RFC 5246 §7.4.1.3, with a session ID and an extension (renegotiation_info).
fn server_hello(version: u16, cipher: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([9; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend(cipher.to_be_bytes());
    body.extend([0, 0, 5, 0xff, 1, 0, 1, 0]);
    message(2, &body)
}

fn certificates(chain: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = chain.iter().flat_map(|der| with_length3(der)).collect();
    message(11, &with_length3(&list))
}

fn read(asked: TlsVersion, bytes: &[u8]) -> FlightReader {
    let mut reader = FlightReader::new(asked);
    reader.receive(bytes);
    reader
}

fn end(bytes: &[u8]) -> Option<FlightEnd> {
    read(TlsVersion::Tls12, bytes).end
}

const RSA_AES: u16 = 0x002f;
const GCM: u16 = 0xc02f;

#[test]
fn a_usual_answer() {
    let chain: [&[u8]; 2] = [b"leaf", b"issuer"];
    let messages = [server_hello(0x0303, GCM), certificates(&chain), message(14, b"")];
    let choice = Choice { version: TlsVersion::Tls12, cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" };
    let one_record = record(22, &messages.concat());
    let one_each: Vec<u8> = messages.iter().flat_map(|message| record(22, message)).collect();
    let fragments: Vec<u8> = messages.concat().chunks(7).flat_map(|piece| record(22, piece)).collect();
    for bytes in [one_record, one_each, fragments] {
        let reader = read(TlsVersion::Tls12, &bytes);
        assert_eq!((reader.choice(), reader.end()), (Some(choice), Some(&FlightEnd::Complete)));
        assert_eq!(reader.chain().iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>(), chain);
    }
}

#[test]
fn the_negotiated_version_counts_not_the_one_asked_for() {
    for (asked, chosen, expected) in [
        (TlsVersion::Tls11, 0x0301, TlsVersion::Tls10),
        (TlsVersion::Tls11, 0x0302, TlsVersion::Tls11),
        (TlsVersion::Tls12, 0x0301, TlsVersion::Tls10),
    ] {
        let reader = read(asked, &record(22, &server_hello(chosen, RSA_AES)));
        assert_eq!(reader.choice().map(|choice| choice.version), Some(expected));
        assert_eq!(reader.end(), None, "the certificate is to come");
    }
}

#[test]
fn what_was_not_offered_is_no_choice() {
    for (asked, version, cipher, expected) in [
        (TlsVersion::Tls10, 0x0302, RSA_AES, FlightFault::WrongVersion(0x0302)),
        (TlsVersion::Tls12, 0x0304, RSA_AES, FlightFault::WrongVersion(0x0304)),
        (TlsVersion::Tls12, 0x0300, RSA_AES, FlightFault::WrongVersion(0x0300)),
        (TlsVersion::Tls10, 0x0301, GCM, FlightFault::WrongCipher(GCM)),
        // RC4, and the numbers that only signal something.
        (TlsVersion::Tls12, 0x0303, 0x0005, FlightFault::WrongCipher(5)),
        (TlsVersion::Tls12, 0x0303, 0x00ff, FlightFault::WrongCipher(0xff)),
    ] {
        let reader = read(asked, &record(22, &server_hello(version, cipher)));
        assert_eq!((reader.choice(), reader.end()), (None, Some(&FlightEnd::Fault(expected))));
    }
}

#[test]
fn alerts_end_it_and_warnings_do_not() {
    assert_eq!(end(&record(21, &[2, 40])), Some(FlightEnd::Alert(40)));
    assert_eq!(end(&record(21, &[1, 0])), Some(FlightEnd::Alert(0)));
    let warned = [record(21, &[1, 112]), record(22, &server_hello(0x0303, GCM))].concat();
    assert!(read(TlsVersion::Tls12, &warned).choice().is_some());
    assert_eq!(end(&record(21, &[1, 112, 2, 80])), Some(FlightEnd::Alert(80)));
    assert_eq!(end(&record(21, &[1, 112, 2])), Some(FlightFault::Malformed.into()));
    let after_hello = [record(22, &server_hello(0x0303, GCM)), record(21, &[2, 80])].concat();
    let reader = read(TlsVersion::Tls12, &after_hello);
    assert!(reader.choice().is_some() && reader.chain().is_empty());
    assert_eq!(reader.end(), Some(&FlightEnd::Alert(80)));
}

#[test]
fn what_is_no_tls_shows_at_once() {
    assert_eq!(end(b"2"), Some(FlightFault::NotTls(b'2').into()));
    assert_eq!(end(b"\x16H"), Some(FlightFault::NotTls(b'H').into()));
    assert_eq!(end(b"\x16\x03\x01"), None);
    assert_eq!(end(b"\x16\x03\x01\x00\x00"), Some(FlightFault::Malformed.into()));
    assert_eq!(end(&record(20, &[1])), Some(FlightFault::NotTls(20).into()));
}

#[test]
fn order_and_lengths_are_watched() {
    assert_eq!(end(&record(22, &certificates(&[b"leaf"]))), Some(FlightFault::OutOfOrder.into()));
    let hello = server_hello(0x0303, GCM);
    assert_eq!(end(&record(22, &[hello.clone(), hello.clone()].concat())), Some(FlightFault::OutOfOrder.into()));
    let early = [record(22, &hello), record(20, &[1])].concat();
    assert_eq!(end(&early), Some(FlightFault::OutOfOrder.into()), "ChangeCipherSpec");
    assert_eq!(end(&record(22, &message(2, &[3, 3]))), Some(FlightFault::Malformed.into()));
    let bare = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    assert!(read(TlsVersion::Tls12, &record(22, &message(2, &bare))).choice().is_some(), "no extensions");
    let compressed = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 1]].concat();
    assert_eq!(end(&record(22, &message(2, &compressed))), Some(FlightFault::Malformed.into()));
    let mut odd = certificates(&[b"leaf"]);
    odd[6] += 1;
    assert_eq!(end(&record(22, &[hello.clone(), odd].concat())), Some(FlightFault::Malformed.into()));
    // RFC 5246 §7.4.2 leaves a list without certificates to the client; anonymous servers send no list.
    let none = read(TlsVersion::Tls12, &record(22, &[hello.clone(), certificates(&[])].concat()));
    assert!(none.chain().is_empty() && none.end() == Some(&FlightEnd::Complete));
    let without = read(TlsVersion::Tls12, &record(22, &[hello, message(12, b"key")].concat()));
    assert!(without.chain().is_empty() && without.end() == Some(&FlightEnd::Complete));
}

#[test]
fn limits_hold() {
    assert_eq!(end(&[22, 3, 1, 0x48, 0x01]), Some(FlightFault::RecordTooLong.into()));
    assert_eq!(end(&[22, 3, 1, 0x48, 0x00]), None, "the longest record");
    assert_eq!(end(&record(22, &[11, 1, 0, 0])), Some(FlightFault::MessageTooLong.into()));
    assert_eq!(end(&record(21, &[1, 112]).repeat(MAX_FLIGHT)), Some(FlightFault::TooManyBytes.into()));
    assert_eq!(end(&record(22, &message(0, b"")).repeat(MAX_FLIGHT)), Some(FlightFault::TooManyBytes.into()));
    let many: Vec<&[u8]> = vec![b"x"; MAX_CHAIN + 5];
    let reader = read(TlsVersion::Tls12, &record(22, &[server_hello(0x0303, GCM), certificates(&many)].concat()));
    assert_eq!(reader.chain().len(), MAX_CHAIN);
}

/// All that can be asked of a reader.
fn told(reader: &FlightReader) -> (Option<Choice>, Vec<CertificateDer<'static>>, Option<FlightEnd>) {
    (reader.choice(), reader.chain().to_vec(), reader.end().cloned())
}

fn in_pieces(bytes: &[u8], cuts: &[usize]) -> FlightReader {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut reader = FlightReader::new(TlsVersion::Tls12);
    let mut from = 0;
    for to in cuts.into_iter().chain([bytes.len()]) {
        reader.receive(&bytes[from..to]);
        from = to;
    }
    reader
}

/// Bytes that look like an answer more often than chance would have it.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(record(22, &server_hello(0x0303, GCM))),
        Just(record(22, &server_hello(0x0301, RSA_AES))),
        Just(record(22, &certificates(&[b"leaf", b"issuer"]))),
        Just(record(21, &[1, 112])),
        Just(record(21, &[2, 40])),
        Just(record(22, &server_hello(0x0303, GCM)[..20])),
        Just(record(22, &server_hello(0x0303, GCM)[20..])),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| record(22, &bytes)),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(TlsVersion::Tls12, &bytes);
    }

    #[test]
    fn any_split_gives_the_same(bytes in answers(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = read(TlsVersion::Tls12, &bytes);
        prop_assert_eq!(told(&in_pieces(&bytes, &cuts)), told(&whole));
        let single: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(told(&in_pieces(&bytes, &single)), told(&whole));
    }

    #[test]
    fn a_damaged_answer_is_read(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = record(22, &[server_hello(0x0303, GCM), certificates(&[b"leaf", b"issuer"])].concat());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read(TlsVersion::Tls12, &bytes);
    }
}
