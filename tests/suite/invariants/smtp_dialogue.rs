//! The dialogue with a mail host (RFC 5321, RFC 3207), whatever the host says and however it is cut.

use smtptls_exporter::{
    facts::{Phase, ProtocolFault, SmtpOutcome, TlsFailure},
    protocol::smtp::{Dialogue, Step, Transcript},
};

use super::{SEPARATOR, check_stored, is_printable, smtp_reply::check_pending};

const EHLO: &[u8] = b"EHLO probe.example\r\n";
const STARTTLS: &[u8] = b"STARTTLS\r\n";

/// The three things that are ever said before the leave-taking: MAIL is not among them.
const SAID: [&[u8]; 3] = [EHLO, STARTTLS, EHLO];

/// How the handshake goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Handshake {
    Established,
    Failed,
    FailedOnClearText,
    TimedOut,
}

/// What comes when nothing is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Silence {
    Closed,
    TimedOut,
}

/// A deadline passes before one of the first steps; later ones are alike.
const INTERRUPTED_STEPS: usize = 12;

/// What the server sends, a [`SEPARATOR`] after each piece that is read at once.
pub fn smtp_dialogue(bytes: &[u8]) {
    let pieces: Vec<&[u8]> = bytes.split(|byte| *byte == SEPARATOR).collect();
    for handshake in [Handshake::Established, Handshake::Failed, Handshake::FailedOnClearText, Handshake::TimedOut] {
        for silence in [Silence::Closed, Silence::TimedOut] {
            play(&pieces, handshake, silence, None);
        }
    }
    for step in 0..INTERRUPTED_STEPS {
        play(&pieces, Handshake::Established, Silence::Closed, Some(step));
    }
    let whole = pieces.concat();
    let single: Vec<&[u8]> = whole.chunks(1).collect();
    play(&single, Handshake::Established, Silence::Closed, None);
    check_helo_name(&String::from_utf8_lossy(bytes));
}

fn play(pieces: &[&[u8]], handshake: Handshake, silence: Silence, interrupted: Option<usize>) {
    let mut dialogue = Dialogue::new("probe.example");
    let mut coming = pieces.iter();
    // In clear, then inside TLS.
    let (mut received, mut said) = (Vec::new(), 0);
    let mut cleartext = false;
    let mut encrypted = false;
    // Each step but a few is a read, and each read but the last takes a piece.
    let most = pieces.len() + SAID.len() + 3;
    let mut is_over = false;
    for step in 0.. {
        assert!(step <= most, "no end");
        if interrupted == Some(step) && !is_over {
            dialogue.timed_out();
            is_over = true;
        }
        match dialogue.step() {
            Step::Send(bytes) => {
                assert!(!is_over, "sent after the end: {}", bytes.escape_ascii());
                assert_eq!(Some(&bytes.as_slice()), SAID.get(said), "out of turn");
                let replies = replies(&received);
                match said {
                    0 => assert_eq!(codes(&replies)[..1], [220], "EHLO answers a banner"),
                    1 => assert_eq!(codes(&replies)[..2], [220, 250], "STARTTLS answers a reply to EHLO"),
                    _ => assert!(encrypted && received.is_empty(), "the second EHLO begins anew"),
                }
                said += 1;
            }
            Step::Read => {
                assert!(!is_over, "read after the end");
                check_pending(&received);
                match (coming.next(), silence) {
                    (Some(piece), _) => {
                        received.extend_from_slice(piece);
                        dialogue.receive(piece);
                    }
                    (None, Silence::Closed) => {
                        dialogue.broke(ProtocolFault::Closed);
                        is_over = true;
                    }
                    (None, Silence::TimedOut) => {
                        dialogue.timed_out();
                        is_over = true;
                    }
                }
            }
            Step::StartTls => {
                assert!(!is_over && !encrypted && said == 2, "the handshake answers a 220 to STARTTLS");
                let replies = replies(&received);
                assert_eq!(codes(&replies)[..3], [220, 250, 220]);
                cleartext = received.len() > replies[2].end;
                received.clear();
                match handshake {
                    Handshake::Established => {
                        encrypted = true;
                        dialogue.tls_established();
                    }
                    Handshake::Failed | Handshake::FailedOnClearText => {
                        let instead = handshake == Handshake::FailedOnClearText;
                        cleartext |= instead;
                        dialogue.tls_failed(TlsFailure::Other("refused".into()), instead);
                        is_over = true;
                    }
                    Handshake::TimedOut => {
                        dialogue.timed_out();
                        is_over = true;
                    }
                }
            }
            Step::End => break,
        }
    }
    check_the_end(dialogue, &received, cleartext, encrypted);
}

fn check_the_end(mut dialogue: Dialogue, received: &[u8], cleartext: bool, encrypted: bool) {
    assert_eq!(dialogue.step(), Step::End);
    dialogue.receive(b"250 more\r\n");
    assert_eq!(dialogue.step(), Step::End, "nothing wakes it again");
    let farewell = dialogue.farewell();
    let Transcript { outcome, banner, capabilities, cleartext_after_starttls, said } = dialogue.into_transcript();
    let outcome = outcome.expect("an end has an outcome");
    check_stored(&outcome);
    check_stored(&banner);
    check_stored(&said);
    assert!(said.len() <= 4 && said.iter().all(|said| said.text.as_bytes().len() <= 1024), "{said:?}");
    assert_eq!(said.is_empty(), banner.is_none(), "the banner comes first");
    let listens = match &outcome {
        SmtpOutcome::Done => {
            assert!(encrypted && codes(&replies(received))[0] == 250);
            true
        }
        SmtpOutcome::Rejected { phase, code, .. } => {
            assert!(matches!(phase, Phase::Banner | Phase::Ehlo) && (400..600).contains(code));
            true
        }
        SmtpOutcome::StarttlsRefused { code, .. } => {
            assert!((400..600).contains(code));
            true
        }
        SmtpOutcome::StarttlsNotOffered => {
            assert!(capabilities.as_ref().is_some_and(|words| !words.contains(&"STARTTLS".to_owned())));
            true
        }
        SmtpOutcome::ProtocolError { fault, .. } => {
            matches!(fault, ProtocolFault::UnexpectedCode(_) | ProtocolFault::NoReply(_))
        }
        _ => false,
    };
    assert_eq!(farewell, listens.then_some(&b"QUIT\r\n"[..]), "{outcome:?}");
    assert_eq!(cleartext_after_starttls, cleartext, "{outcome:?}");
    assert!(capabilities.is_none_or(|words| words.iter().all(|word| is_printable(word))));
}

/// A whole reply, as little as has to be known of it.
struct Seen {
    code: u16,
    /// Where it ends in the stream.
    end: usize,
}

/// The whole replies at the start of a stream that was taken without a fault up to the last of them.
fn replies(stream: &[u8]) -> Vec<Seen> {
    let mut end = 0;
    let mut replies = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        end += line.len();
        let code = line.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
        let Some(code) = code else { break };
        if line[3] != b'-' {
            replies.push(Seen { code, end });
        }
    }
    replies
}

fn codes(replies: &[Seen]) -> Vec<u16> {
    replies.iter().map(|reply| reply.code).collect()
}

/// A configured name stays one argument of one command line (RFC 5321 §4.5.3.1.4).
fn check_helo_name(name: &str) {
    let mut dialogue = Dialogue::new(name);
    dialogue.receive(b"220 mx\r\n");
    let Step::Send(command) = dialogue.step() else { panic!("EHLO is next") };
    let argument = command.strip_prefix(b"EHLO ").and_then(|rest| rest.strip_suffix(b"\r\n")).unwrap();
    assert!(command.len() <= 512 && argument.iter().all(u8::is_ascii_graphic), "{}", command.escape_ascii());
}
