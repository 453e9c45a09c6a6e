//! The extensions that a server announces in its reply to EHLO (RFC 5321 §4.1.1.1).

use super::Reply;
use crate::terms::Octets;

/// The EHLO keywords of a 250 reply, in upper case, parameters left out, bytes outside printable ASCII escaped.
///
/// The first line is the server's greeting, never a keyword, whatever it says: `250 STARTTLS` alone offers nothing.
pub fn keywords(reply: &Reply) -> Vec<String> {
    reply.lines.iter().skip(1).filter_map(keyword).collect()
}

fn keyword(line: &Octets) -> Option<String> {
    let first = line.as_bytes().split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    Some(Octets(first.to_ascii_uppercase()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Vec<String> {
        keywords(&Reply { code: 250, lines: lines.iter().map(|&line| line.into()).collect() })
    }

    #[test]
    fn keywords_in_any_spelling() {
        assert_eq!(
            of(&["mx.example.com hello", "SIZE 1000", "8bitmime", "AUTH=LOGIN", "StartTLS"]),
            ["SIZE", "8BITMIME", "AUTH=LOGIN", "STARTTLS"]
        );
        assert_eq!(of(&["mx", "STARTTLS required", "", " PIPELINING"]), ["STARTTLS", "PIPELINING"]);
    }

    #[test]
    fn the_greeting_is_no_keyword() {
        assert!(of(&["STARTTLS"]).is_empty());
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn bytes_are_harmless() {
        let reply = Reply { code: 250, lines: vec!["mx".into(), Octets(b"x\x1b[2J\xff".to_vec())] };
        assert_eq!(keywords(&reply), ["X\\x1b[2J\\xff"]);
    }
}
