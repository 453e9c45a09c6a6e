//! Mails one behind the other in a file (RFC 4155).

use std::borrow::Cow;

/// The mails of an mbox. A line that begins with `From ` at the beginning or behind an empty line starts one; in the mails a `>` before
/// `From ` is taken away again, as writers put it there. What stands before the first such line is a mail too.
pub fn split_mbox(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        loop {
            let here = rest?;
            let here = if here.starts_with(b"From ") { after_line(here) } else { here };
            let end = next_start(here);
            rest = end.and_then(|end| here.get(end..));
            let mail = here.get(..end.unwrap_or(here.len())).unwrap_or_default();
            if !mail.trim_ascii().is_empty() {
                return Some(unquoted(mail));
            }
        }
    })
}

fn after_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(end + 1..)).unwrap_or_default()
}

/// Where the next mail starts.
fn next_start(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut behind_empty_line = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if at > 0 && behind_empty_line && line.starts_with(b"From ") {
            return Some(at);
        }
        behind_empty_line = matches!(line, b"\n" | b"\r\n");
        at += line.len();
    }
    None
}

/// Without the `>` that a writer put before `From ` (the "mboxrd" form).
fn unquoted(mail: &[u8]) -> Cow<'_, [u8]> {
    let is_quoted = |line: &[u8]| {
        let depth = line.iter().take_while(|byte| **byte == b'>').count();
        depth > 0 && line.get(depth..).is_some_and(|rest| rest.starts_with(b"From "))
    };
    let lines = || mail.split_inclusive(|byte| *byte == b'\n');
    if !lines().any(is_quoted) {
        return Cow::Borrowed(mail);
    }
    let plain = |line| if is_quoted(line) { line.get(1..).unwrap_or_default() } else { line };
    Cow::Owned(lines().flat_map(plain).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        split_mbox(text.as_bytes()).map(|mail| String::from_utf8_lossy(&mail).into_owned()).collect()
    }

    #[test]
    fn mails_stand_between_from_lines() {
        let two = "From a Mon\nA: 1\n\n>From x\n>>From y\nFrom z\n\nFrom b Tue\r\nB: 2\r\n\r\nbody\r\n";
        assert_eq!(split(two), ["A: 1\n\nFrom x\n>From y\nFrom z\n\n", "B: 2\r\n\r\nbody\r\n"]);
        assert_eq!(split("A: 1\n\nbody"), ["A: 1\n\nbody"]);
        assert_eq!(split("From a\n\nFrom b\n\nFrom c\nC: 3\n"), ["C: 3\n"]);
        assert!(split("").is_empty() && split("From ").is_empty());
    }
}
