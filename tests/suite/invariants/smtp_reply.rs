//! Replies of an SMTP server (RFC 5321 §4.2).

use smtptls_exporter::protocol::smtp::{MAX_LINE, MAX_LINES, Progress, Reply, ReplyReader, keywords};

use super::{check_stored, is_printable};

/// What a server sends, which is read whole, in halves and byte by byte.
pub fn smtp_reply(bytes: &[u8]) {
    let (replies, end) = read(&[bytes]);
    let third = bytes.len() / 3;
    assert_eq!(read(&[&bytes[..third], &bytes[third..]]), (replies.clone(), end.clone()));
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single), (replies.clone(), end.clone()));

    for reply in &replies {
        assert!((100..600).contains(&reply.code) && (1..=MAX_LINES).contains(&reply.lines.len()));
        assert!(reply.lines.iter().all(|line| line.as_bytes().len() < MAX_LINE && !line.as_bytes().contains(&b'\n')));
        assert_eq!(reply.is_rejection(), reply.code >= 400);
        let keywords = keywords(reply);
        assert!(keywords.len() < reply.lines.len());
        assert!(keywords.iter().all(|word| is_printable(word) && !word.contains(' ') && !word.is_empty()));
        let wire = printed(reply);
        // A long line that came without CR may be too long with it.
        if wire.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() <= MAX_LINE) {
            assert_eq!(read(&[&wire]).0, std::slice::from_ref(reply));
        }
    }
    match end {
        Progress::NeedMore => check_pending(bytes),
        Progress::Fault(fault) => check_stored(&fault),
        Progress::Complete(_) => unreachable!("read until there is none"),
    }
}

/// However much came, little is waiting: less than a line and less than a reply's lines.
pub(super) fn check_pending(received: &[u8]) {
    let lines: Vec<&[u8]> = received.split_inclusive(|byte| *byte == b'\n').collect();
    let unfinished = lines.last().filter(|line| !line.ends_with(b"\n")).map_or(0, |line| line.len());
    let whole = &lines[..lines.len() - usize::from(unfinished > 0)];
    let waiting = whole.iter().rev().take_while(|line| line.get(3) == Some(&b'-')).count();
    assert!(unfinished < MAX_LINE && waiting < MAX_LINES, "{unfinished} bytes and {waiting} lines are kept");
}

/// The replies in the pieces, and why there is no more.
fn read(pieces: &[&[u8]]) -> (Vec<Reply>, Progress) {
    let mut reader = ReplyReader::default();
    let mut replies = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.read() {
                Progress::Complete(reply) => replies.push(reply),
                Progress::NeedMore => break,
                fault @ Progress::Fault(_) => return (replies, fault),
            }
        }
    }
    (replies, Progress::NeedMore)
}

fn printed(reply: &Reply) -> Vec<u8> {
    let last = reply.lines.len() - 1;
    let lines = reply.lines.iter().enumerate().map(|(index, line)| {
        let separator = if index == last { ' ' } else { '-' };
        [format!("{}{separator}", reply.code).as_bytes(), line.as_bytes(), b"\r\n"].concat()
    });
    lines.collect::<Vec<_>>().concat()
}
