//! The clear part of a handshake (RFC 5246 §7.4): what is offered, and what a server makes of it, however it is cut.

use std::collections::BTreeSet;

use smtptls_exporter::{
    facts::TlsVersion,
    protocol::tls::{ClientHello, FlightEnd, FlightFault, FlightReader, MAX_CHAIN},
};

use super::SEPARATOR;

const VERSIONS: [(TlsVersion, u16); 4] = [
    (TlsVersion::Tls10, 0x0301),
    (TlsVersion::Tls11, 0x0302),
    (TlsVersion::Tls12, 0x0303),
    // Told by an extension that is never sent.
    (TlsVersion::Tls13, 0x0303),
];

/// RFC 5746 §3.3: it stands among the suites, and is none.
const SCSV: u16 = 0x00ff;

/// After so much there is an end, whatever came: twice the longest message, and a whole record that is still waiting.
const MOST_BYTES: usize = 2 * 0xffff + 5 + (1 << 14) + 2048;

/// What a server sends. A [`SEPARATOR`] ends a reading, and belongs to it.
pub fn tls_flight(bytes: &[u8]) {
    let hellos = VERSIONS.map(|(version, wire)| (version, wire, check_hello(version, wire, bytes)));
    for (version, wire, suites) in &hellos {
        check_answer(*version, *wire, suites, bytes);
        check_choices(*version, *wire, suites, bytes);
    }
    let [.., (_, _, suites), (_, _, newer)] = &hellos;
    assert_eq!(suites, newer, "TLS 1.3 counts as 1.2");
    assert_eq!(seen(&read(TlsVersion::Tls12, &[bytes])), seen(&read(TlsVersion::Tls13, &[bytes])));
    check_flood(bytes);
}

fn read(asked: TlsVersion, pieces: &[&[u8]]) -> FlightReader {
    let mut reader = FlightReader::new(asked);
    for piece in pieces {
        reader.receive(piece);
    }
    reader
}

/// All that can be seen of a reader.
/// How it ended, what was chosen, and the certificates.
type Seen = (Option<FlightEnd>, Option<(TlsVersion, &'static str)>, Vec<Vec<u8>>);

fn seen(reader: &FlightReader) -> Seen {
    let choice = reader.choice().map(|choice| (choice.version, choice.cipher));
    (reader.end().cloned(), choice, reader.chain().iter().map(|der| der.to_vec()).collect())
}

fn check_answer(asked: TlsVersion, wire: u16, suites: &BTreeSet<u16>, bytes: &[u8]) {
    let mut reader = read(asked, &[bytes]);
    let whole = seen(&reader);
    let third = bytes.len() / 3;
    let split: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == SEPARATOR).collect();
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for pieces in [split, single, vec![&bytes[..third], &bytes[third..]]] {
        assert_eq!(seen(&read(asked, &pieces)), whole, "{} pieces", pieces.len());
    }
    if whole.0.is_some() {
        for more in [bytes, b"\x16\x03\x01\0\x04\0\0\0\0", b"\x15\x03\x01\0\x02\x02\x28"] {
            reader.receive(more);
            assert_eq!(seen(&reader), whole, "what follows the end changes nothing");
        }
    }

    let (end, choice, chain) = whole;
    let messages = messages(bytes);
    if let Some((version, cipher)) = choice {
        // RFC 5246 §7.4.1.3: the first message that counts.
        let hello = messages.iter().find(|(kind, _)| *kind != 0).expect("a choice is made in a ServerHello");
        let session = usize::from(hello.1[34]);
        let chosen = (number(&hello.1[..2]), number(&hello.1[35 + session..37 + session]));
        let known = VERSIONS.iter().find(|(known, _)| *known == version).unwrap();
        assert_eq!((hello.0, known.1), (2, chosen.0), "{version:?} {cipher}");
        assert!(known.1 <= wire && suites.contains(&chosen.1), "{version:?} {cipher} was not offered");
        assert!(cipher.starts_with("TLS_") && (wire > 0x0302 || cipher.ends_with("_CBC_SHA")), "{cipher}");
    }
    assert!(chain.len() <= MAX_CHAIN && (chain.is_empty() || end == Some(FlightEnd::Complete)));
    let certificates = messages.iter().find(|(kind, _)| *kind == 11);
    for der in &chain {
        let list = &certificates.expect("certificates stand in a message").1;
        assert!(der.is_empty() || list.windows(der.len()).any(|window| window == der));
    }
    match end {
        Some(FlightEnd::Complete) => assert!(choice.is_some()),
        Some(FlightEnd::Fault(FlightFault::WrongVersion(version))) => {
            assert!(choice.is_none() && !(0x0301..=wire).contains(&version));
        }
        Some(FlightEnd::Fault(FlightFault::WrongCipher(cipher))) => {
            assert!(choice.is_none() && !suites.contains(&cipher));
        }
        Some(FlightEnd::Alert(_) | FlightEnd::Fault(_)) | None => {}
    }
    let told = reader.end().map_or_else(String::new, |end| match end {
        FlightEnd::Fault(fault) => fault.to_string(),
        _ => String::new(),
    });
    assert!(super::is_printable(&told), "{told:?}");
}

/// The messages in the whole records at the start of a stream, up to the first record that holds something else.
fn messages(mut stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut content = Vec::new();
    while let [kind @ (21 | 22), 3, _, high, low, rest @ ..] = stream {
        let length = usize::from(number(&[*high, *low]));
        let Some((inside, after)) = rest.split_at_checked(length) else { break };
        if *kind == 22 {
            content.extend_from_slice(inside);
        }
        stream = after;
    }
    let mut messages = Vec::new();
    let mut rest = content.as_slice();
    while let [kind, 0, high, low, tail @ ..] = rest {
        let Some((body, after)) = tail.split_at_checked(usize::from(number(&[*high, *low]))) else { break };
        messages.push((*kind, body.to_vec()));
        rest = after;
    }
    messages
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes.try_into().unwrap())
}

/// The hello is sound for any name, and says what it was made of. Returns the suites that it offers.
fn check_hello(version: TlsVersion, wire: u16, bytes: &[u8]) -> BTreeSet<u16> {
    let mut random = [0; 32];
    random.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let name = String::from_utf8_lossy(bytes);
    let hello = ClientHello { version, server_name: Some(&name) }.to_record(random);
    let Some(FlightEnd::Fault(FlightFault::OutOfOrder)) = read(version, &[&hello]).end() else {
        panic!("an echo is no answer");
    };
    let messages = messages(&hello);
    let [(1, body)] = messages.as_slice() else { panic!("one ClientHello in one record") };
    assert_eq!(hello.len(), 5 + 4 + body.len());
    assert_eq!((number(&body[..2]), &body[2..34], body[34]), (wire, &random[..], 0));
    let (suites, rest) = body[37..].split_at(usize::from(number(&body[35..37])));
    assert_eq!((&rest[..2], usize::from(number(&rest[2..4]))), (&[1, 0][..], rest.len() - 4));
    let mut rest = &rest[4..];
    let (mut numbers, mut sent) = (BTreeSet::new(), None);
    while let [a, b, c, d, tail @ ..] = rest {
        let (content, after) = tail.split_at(usize::from(number(&[*c, *d])));
        assert!(numbers.insert(number(&[*a, *b])), "RFC 5246 §7.4.1.4: each extension once");
        if number(&[*a, *b]) == 0 {
            assert_eq!(usize::from(number(&content[..2])), content.len() - 2);
            assert_eq!((content[2], usize::from(number(&content[3..5]))), (0, content.len() - 5));
            sent = Some(&content[5..]);
        }
        rest = after;
    }
    assert!(rest.is_empty() && !numbers.contains(&43), "no supported_versions");
    assert_eq!(sent, Some(name.as_bytes()).filter(|name| (1..=255).contains(&name.len())));
    let suites: BTreeSet<u16> = suites.chunks(2).map(number).filter(|suite| *suite != SCSV).collect();
    assert!(suites.len() > 8);
    suites
}

/// A server that answers rightly is understood, whichever version and suite it takes.
fn check_choices(asked: TlsVersion, wire: u16, suites: &BTreeSet<u16>, bytes: &[u8]) {
    let byte = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let offered = suites.iter().nth(usize::from(byte(0)) % suites.len()).unwrap();
    let any = number(&[byte(1), byte(2)]);
    for (version, cipher) in
        [(wire, *offered), (0x0301, *offered), (wire, any), (number(&[3, byte(3) % 5]), *offered), (any, *offered)]
    {
        let mut body = [&version.to_be_bytes()[..], &[7; 32], &[byte(4) % 33]].concat();
        body.extend(vec![8; usize::from(byte(4) % 33)]);
        body.extend([&cipher.to_be_bytes()[..], &[0]].concat());
        let length = u8::try_from(body.len()).unwrap();
        let answer = [&[22, 3, 1, 0, length + 4, 2, 0, 0, length], &body[..]].concat();
        let reader = read(asked, &[&answer]);
        let is_right = (0x0301..=wire).contains(&version) && suites.contains(&cipher);
        assert_eq!((reader.choice().is_some(), reader.end().is_none()), (is_right, is_right), "{version} {cipher}");
    }
}

/// A server that says the same for ever is not listened to for ever; so little is ever kept.
fn check_flood(bytes: &[u8]) {
    let mut reader = FlightReader::new(TlsVersion::Tls12);
    let mut received = 0;
    while reader.end().is_none() && !bytes.is_empty() {
        assert!(received <= MOST_BYTES, "no end after {received} bytes");
        reader.receive(bytes);
        received += bytes.len();
    }
}
