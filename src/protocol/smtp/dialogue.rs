//! The dialogue that this monitor has with a mail host: banner, EHLO, STARTTLS, TLS, EHLO, QUIT.
//!
//! A state machine without a socket: the driver does what [`Dialogue::step`] says and tells what came of it. MAIL is never
//! sent.

use super::{Progress, Reply, ReplyReader, keywords};
use crate::{
    facts::{Phase, ProtocolFault, Said, SmtpOutcome, TlsFailure},
    terms::Octets,
};

/// RFC 5321 §4.5.3.1.4: a command line is at most 512 octets; what is left of that for the name after `EHLO `.
const MAX_HELO_NAME: usize = 505;

/// How much of the text of one reply is kept. Replies to EHLO have 100 to 400 octets; what is longer is no more use, and every
/// address of every mail host has up to four replies in memory.
const MAX_KEPT: usize = 1024;

/// The keyword of RFC 3207 §4.
const STARTTLS: &str = "STARTTLS";

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Read, and tell [`Dialogue::receive`], [`Dialogue::broke`] or [`Dialogue::timed_out`].
    Read,
    /// Begin the handshake, and tell [`Dialogue::tls_established`], [`Dialogue::tls_failed`] or [`Dialogue::timed_out`].
    StartTls,
    /// Nothing more. The outcome is known.
    End,
}

/// What a dialogue brought to light.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// How it ended; nothing where the driver stopped before the end.
    pub outcome: Option<SmtpOutcome>,
    /// The text of the banner's first line.
    pub banner: Option<Octets>,
    /// The keywords of the first EHLO.
    pub capabilities: Option<Vec<String>>,
    /// Clear text followed the 220 to STARTTLS.
    pub cleartext_after_starttls: bool,
    /// Each command with its reply, the banner first. What came without being asked for is not among them.
    pub said: Vec<Said>,
}

/// One dialogue, from the open connection to the end.
#[derive(Clone, Debug)]
pub struct Dialogue {
    helo_name: String,
    phase: Phase,
    /// Something has to be sent before the next reply is read.
    outgoing: Option<String>,
    /// The command that the next reply answers; empty before the banner.
    command: String,
    reader: ReplyReader,
    transcript: Transcript,
}

impl Dialogue {
    /// A dialogue over a connection that was just opened. `helo_name` is a host name or an address literal; characters that
    /// could end the command line are left out.
    pub fn new(helo_name: &str) -> Self {
        Self {
            helo_name: helo_name.chars().filter(char::is_ascii_graphic).take(MAX_HELO_NAME).collect(),
            phase: Phase::Banner,
            outgoing: None,
            command: String::new(),
            reader: ReplyReader::default(),
            transcript: Transcript::default(),
        }
    }

    /// Where the dialogue is: for deadlines and for what a failure is called.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What to do next.
    pub fn step(&mut self) -> Step {
        loop {
            // First: after a deadline nothing is sent, even what was due.
            if self.transcript.outcome.is_some() {
                return Step::End;
            }
            if let Some(command) = self.outgoing.take() {
                let bytes = format!("{command}\r\n").into_bytes();
                self.command = command;
                return Step::Send(bytes);
            }
            if self.phase == Phase::Tls {
                return Step::StartTls;
            }
            match self.reader.read() {
                Progress::Complete(reply) => self.take(&reply),
                Progress::NeedMore => return Step::Read,
                Progress::Fault(fault) => self.broke(fault),
            }
        }
    }

    /// Bytes came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// The connection ended, or what came is no SMTP.
    pub fn broke(&mut self, fault: ProtocolFault) {
        self.end(SmtpOutcome::ProtocolError { phase: self.phase, fault });
    }

    /// The deadline of the phase passed.
    pub fn timed_out(&mut self) {
        self.end(SmtpOutcome::Timeout(self.phase));
    }

    /// What comes first inside TLS, whatever the handshake shows: the driver may send it along with the end of that.
    pub fn greeting_within_tls(&self) -> Vec<u8> {
        format!("{}\r\n", self.ehlo()).into_bytes()
    }

    /// The handshake is finished: what is known about the server counts no more (RFC 3207 §4.2), EHLO comes again.
    pub fn tls_established(&mut self) {
        self.phase = Phase::EhloTls;
        self.outgoing = Some(self.ehlo());
    }

    /// The handshake failed. `cleartext` says that text came in its place: what followed the 220 in a packet of its own.
    pub fn tls_failed(&mut self, failure: TlsFailure, cleartext: bool) {
        self.transcript.cleartext_after_starttls |= cleartext;
        self.end(SmtpOutcome::HandshakeFailed(failure));
    }

    /// The command that takes leave, where the server waits for one: not after a timeout, when it is still busy (it would take the command
    /// for one that came too early), not where it does not stop talking, and not after a failed handshake.
    pub fn farewell(&self) -> Option<&'static [u8]> {
        match self.transcript.outcome {
            Some(
                SmtpOutcome::Done
                | SmtpOutcome::Rejected { .. }
                | SmtpOutcome::StarttlsNotOffered
                | SmtpOutcome::StarttlsRefused { .. }
                | SmtpOutcome::ProtocolError {
                    fault: ProtocolFault::UnexpectedCode(_) | ProtocolFault::NoReply(_), ..
                },
            ) => Some(b"QUIT\r\n"),
            _ => None,
        }
    }

    /// What was learnt.
    pub fn into_transcript(self) -> Transcript {
        self.transcript
    }

    fn take(&mut self, reply: &Reply) {
        self.transcript.said.push(said(self.phase, std::mem::take(&mut self.command), reply));
        match self.phase {
            Phase::Connect | Phase::Banner => self.take_banner(reply),
            Phase::Ehlo => self.take_ehlo(reply),
            Phase::Starttls => self.take_starttls(reply),
            Phase::Tls | Phase::EhloTls => match reply.code {
                250 => self.end(SmtpOutcome::Done),
                code => self.broke(ProtocolFault::UnexpectedCode(code)),
            },
        }
    }

    fn take_banner(&mut self, reply: &Reply) {
        self.transcript.banner = reply.lines.first().cloned();
        match reply.code {
            220 => {
                self.phase = Phase::Ehlo;
                self.outgoing = Some(self.ehlo());
            }
            _ => self.reject(reply),
        }
    }

    fn take_ehlo(&mut self, reply: &Reply) {
        // A server that knows no EHLO (500, 502) is not asked again with HELO: that offers no STARTTLS (RFC 5321 §4.1.4).
        if reply.code != 250 {
            return self.reject(reply);
        }
        let offered = keywords(reply);
        let starttls = offered.iter().any(|keyword| keyword == STARTTLS);
        self.transcript.capabilities = Some(offered);
        if starttls {
            self.phase = Phase::Starttls;
            self.outgoing = Some(STARTTLS.to_owned());
        } else {
            self.end(SmtpOutcome::StarttlsNotOffered);
        }
    }

    fn take_starttls(&mut self, reply: &Reply) {
        match reply.code {
            220 => {
                // What came along with the 220 was sent in clear and must not be taken for protected (RFC 3207 §6).
                self.transcript.cleartext_after_starttls = self.reader.has_rest();
                self.reader.discard();
                self.phase = Phase::Tls;
            }
            code if reply.is_rejection() => self.end(SmtpOutcome::StarttlsRefused { code, text: reply.text() }),
            code => self.broke(ProtocolFault::UnexpectedCode(code)),
        }
    }

    fn reject(&mut self, reply: &Reply) {
        if reply.is_rejection() {
            self.end(SmtpOutcome::Rejected { phase: self.phase, code: reply.code, text: reply.text() });
        } else {
            self.broke(ProtocolFault::UnexpectedCode(reply.code));
        }
    }

    /// The first end counts.
    fn end(&mut self, outcome: SmtpOutcome) {
        self.transcript.outcome.get_or_insert(outcome);
    }

    fn ehlo(&self) -> String {
        format!("EHLO {}", self.helo_name)
    }
}

fn said(phase: Phase, command: String, reply: &Reply) -> Said {
    let lines: Vec<&[u8]> = reply.lines.iter().map(Octets::as_bytes).collect();
    let mut text = lines.join(&b'\n');
    let cut = text.len() > MAX_KEPT;
    text.truncate(MAX_KEPT);
    // The text stands in memory until the next probe: no room for what could still be written.
    text.shrink_to_fit();
    Said { phase, command, code: reply.code, text: Octets(text), cut }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays a server's side, one piece for each read, and returns what was sent and what was learnt.
    fn play(pieces: &[&str]) -> (Vec<String>, Transcript) {
        let mut dialogue = Dialogue::new("probe.example");
        let mut pieces = pieces.iter();
        let mut sent = Vec::new();
        loop {
            match dialogue.step() {
                Step::Send(bytes) => sent.push(String::from_utf8(bytes).unwrap()),
                Step::Read => match pieces.next() {
                    Some(piece) => dialogue.receive(piece.as_bytes()),
                    None => dialogue.broke(ProtocolFault::Closed),
                },
                Step::StartTls => dialogue.tls_established(),
                Step::End => break,
            }
        }
        sent.extend(dialogue.farewell().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()));
        (sent, dialogue.into_transcript())
    }

    fn outcome(pieces: &[&str]) -> SmtpOutcome {
        play(pieces).1.outcome.unwrap()
    }

    const BANNER: &str = "220 mx ESMTP\r\n";
    const OFFER: &str = "250-mx\r\n250 STARTTLS\r\n";

    #[test]
    fn the_whole_way() {
        let (sent, transcript) = play(&[BANNER, OFFER, "220 go\r\n", "250 mx\r\n"]);
        assert_eq!(sent, ["EHLO probe.example\r\n", "STARTTLS\r\n", "EHLO probe.example\r\n", "QUIT\r\n"]);
        assert_eq!(transcript.outcome, Some(SmtpOutcome::Done));
        assert_eq!(transcript.banner, Some("mx ESMTP".into()));
        assert_eq!(transcript.capabilities, Some(vec!["STARTTLS".into()]));
        assert!(!transcript.cleartext_after_starttls);
    }

    #[test]
    fn what_was_said_is_kept_in_order() {
        let (_, transcript) = play(&["220-mx\r\n220 hello\r\n", OFFER, "220 go\r\n", "250 mx\r\n"]);
        let said = |phase, command: &str, code, text: &str| Said {
            phase,
            command: command.into(),
            code,
            text: text.into(),
            cut: false,
        };
        assert_eq!(
            transcript.said,
            [
                said(Phase::Banner, "", 220, "mx\nhello"),
                said(Phase::Ehlo, "EHLO probe.example", 250, "mx\nSTARTTLS"),
                said(Phase::Starttls, "STARTTLS", 220, "go"),
                said(Phase::EhloTls, "EHLO probe.example", 250, "mx"),
            ]
        );
        let (_, transcript) = play(&["554 go away\r\n"]);
        assert_eq!(transcript.said, [said(Phase::Banner, "", 554, "go away")]);
        let (_, transcript) = play(&["SSH-2.0-x\r\n"]);
        assert!(transcript.said.is_empty(), "no reply");
    }

    #[test]
    fn no_reply_fills_the_memory() {
        let flood: String = (0..100).map(|_| format!("250-{}\r\n", "x".repeat(1000))).collect();
        let (_, transcript) = play(&[BANNER, &flood, "250 STARTTLS\r\n", "220 go\r\n", "250 mx\r\n"]);
        let kept: Vec<(usize, bool)> =
            transcript.said.iter().map(|said| (said.text.as_bytes().len(), said.cut)).collect();
        assert_eq!(kept, [(8, false), (MAX_KEPT, true), (2, false), (2, false)]);
        assert_eq!(transcript.outcome, Some(SmtpOutcome::Done));
    }

    #[test]
    fn a_multi_line_banner_is_one_reply() {
        let (sent, transcript) =
            play(&["220-mx\r\n", "220-be patient\r\n220 ready\r\n", OFFER, "220 go\r\n", "250 mx\r\n"]);
        assert_eq!(sent.len(), 4);
        assert_eq!(transcript.banner, Some("mx".into()));
    }

    #[test]
    fn a_rejection_is_about_this_client() {
        for code in [421, 450, 530, 554] {
            assert_eq!(
                outcome(&[&format!("{code} no\r\n")]),
                SmtpOutcome::Rejected { phase: Phase::Banner, code, text: "no".into() }
            );
            assert_eq!(
                outcome(&[BANNER, &format!("{code}-no\r\n{code} way\r\n")]),
                SmtpOutcome::Rejected { phase: Phase::Ehlo, code, text: "no way".into() }
            );
        }
        let (sent, _) = play(&[BANNER, "502 what?\r\n"]);
        assert_eq!(sent, ["EHLO probe.example\r\n", "QUIT\r\n"], "no HELO");
    }

    #[test]
    fn starttls_missing_and_refused_are_two_things() {
        assert_eq!(outcome(&[BANNER, "250-mx\r\n250 SIZE\r\n"]), SmtpOutcome::StarttlsNotOffered);
        assert_eq!(outcome(&[BANNER, "250 STARTTLS\r\n"]), SmtpOutcome::StarttlsNotOffered);
        for code in [421, 454, 501, 554] {
            assert_eq!(
                outcome(&[BANNER, OFFER, &format!("{code} not now\r\n")]),
                SmtpOutcome::StarttlsRefused { code, text: "not now".into() }
            );
        }
    }

    #[test]
    fn unexpected_codes_and_ends_name_the_phase() {
        let error = |phase, fault| SmtpOutcome::ProtocolError { phase, fault };
        assert_eq!(outcome(&["250 hello\r\n"]), error(Phase::Banner, ProtocolFault::UnexpectedCode(250)));
        assert_eq!(outcome(&[BANNER, "354 go\r\n"]), error(Phase::Ehlo, ProtocolFault::UnexpectedCode(354)));
        assert_eq!(outcome(&[BANNER, OFFER, "250 ok\r\n"]), error(Phase::Starttls, ProtocolFault::UnexpectedCode(250)));
        assert_eq!(
            outcome(&[BANNER, OFFER, "220 go\r\n", "503 no\r\n"]),
            error(Phase::EhloTls, ProtocolFault::UnexpectedCode(503))
        );
        assert_eq!(outcome(&[]), error(Phase::Banner, ProtocolFault::Closed));
        assert_eq!(outcome(&[BANNER]), error(Phase::Ehlo, ProtocolFault::Closed));
        assert_eq!(outcome(&[BANNER, OFFER]), error(Phase::Starttls, ProtocolFault::Closed));
        assert_eq!(outcome(&[BANNER, OFFER, "220 go\r\n"]), error(Phase::EhloTls, ProtocolFault::Closed));
    }

    #[test]
    fn text_after_the_220_is_seen_and_thrown_away() {
        let (sent, transcript) = play(&[BANNER, OFFER, "220 go\r\n250 injected\r\n", "250 mx\r\n"]);
        assert!(transcript.cleartext_after_starttls);
        assert_eq!(transcript.outcome, Some(SmtpOutcome::Done));
        assert_eq!(sent.len(), 4);
        let (_, transcript) = play(&[BANNER, OFFER, "220 go\r\n250 injected\r\n"]);
        assert_eq!(
            transcript.outcome,
            Some(SmtpOutcome::ProtocolError { phase: Phase::EhloTls, fault: ProtocolFault::Closed }),
            "the injected reply answers nothing"
        );
    }

    #[test]
    fn a_name_cannot_add_a_command() {
        let mut dialogue = Dialogue::new("x\r\nMAIL FROM:<>");
        dialogue.receive(b"220 mx\r\n");
        assert_eq!(dialogue.step(), Step::Send(b"EHLO xMAILFROM:<>\r\n".to_vec()));
    }

    #[test]
    fn the_greeting_within_tls_is_known_before() {
        let mut dialogue = Dialogue::new("x");
        for reply in [BANNER, OFFER, "220 go\r\n"] {
            dialogue.receive(reply.as_bytes());
            while let Step::Send(_) = dialogue.step() {}
        }
        let greeting = dialogue.greeting_within_tls();
        dialogue.tls_established();
        assert_eq!(dialogue.step(), Step::Send(greeting));
    }

    #[test]
    fn nothing_is_sent_after_a_deadline() {
        let mut dialogue = Dialogue::new("x");
        for reply in [BANNER, OFFER, "220 go\r\n"] {
            dialogue.receive(reply.as_bytes());
            while let Step::Send(_) = dialogue.step() {}
        }
        dialogue.tls_established();
        dialogue.timed_out();
        assert_eq!(dialogue.step(), Step::End, "the second EHLO was due");
    }

    #[test]
    fn no_farewell_where_nobody_listens() {
        let mut dialogue = Dialogue::new("x");
        dialogue.timed_out();
        assert_eq!(dialogue.step(), Step::End);
        assert_eq!(dialogue.farewell(), None);
        assert_eq!(dialogue.into_transcript().outcome, Some(SmtpOutcome::Timeout(Phase::Banner)));
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_dialogue(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut dialogue = Dialogue::new("probe.example");
            let mut pieces = pieces.into_iter();
            loop {
                match dialogue.step() {
                    Step::Send(_) => {}
                    Step::Read => match pieces.next() {
                        Some(piece) => dialogue.receive(&piece),
                        None => dialogue.broke(ProtocolFault::Closed),
                    },
                    Step::StartTls => dialogue.tls_established(),
                    Step::End => break,
                }
            }
            prop_assert!(dialogue.into_transcript().outcome.is_some());
        }
    }
}
