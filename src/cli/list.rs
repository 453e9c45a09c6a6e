//! A list of domains in a file: one a line, `#` begins a comment.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::terms::PolicyDomain;

/// The largest list that is read: a million lines of usual names, and far from what hurts.
pub const MAX_LIST_BYTES: u64 = 32 << 20;
/// The most domains of one check: each of them takes part of a second and some kilobytes.
pub const MAX_DOMAINS: usize = 100_000;
/// The most errors that are shown: nobody mends more at once, and a binary file has one in every line.
const MAX_ERRORS: usize = 20;

/// The domains of a list; `-` is standard input.
///
/// # Errors
/// A text for the user, one line for each line of the list that is wrong, with its file and number.
pub fn read(path: &Path) -> Result<Vec<PolicyDomain>, String> {
    let (name, text) = if path.as_os_str() == "-" {
        ("standard input".to_owned(), bounded(io::stdin().lock()))
    } else {
        (path.display().to_string(), File::open(path).and_then(bounded))
    };
    let text = text.map_err(|error| format!("{name}: {error}"))?;
    parse(&text, &name)
}

fn bounded(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MAX_LIST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LIST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("a list of at most {MAX_LIST_BYTES} bytes was expected"),
        ));
    }
    Ok(text)
}

/// The domains of the text of a list named `name`.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str, name: &str) -> Result<Vec<PolicyDomain>, String> {
    let mut domains = Vec::new();
    let mut errors = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        match PolicyDomain::parse(content) {
            Ok(domain) => domains.push(domain),
            Err(error) => errors.push(format!("{name}:{}: {error}", number + 1)),
        }
    }
    if errors.is_empty() {
        return Ok(domains);
    }
    let more = errors.len().saturating_sub(MAX_ERRORS);
    errors.truncate(MAX_ERRORS);
    if more > 0 {
        errors.push(format!("{name}: and {more} more lines"));
    }
    Err(errors.join("\n"))
}

/// Each domain once, at its first place.
///
/// # Errors
/// More than [`MAX_DOMAINS`], or none.
pub fn distinct(domains: impl IntoIterator<Item = PolicyDomain>) -> Result<Vec<PolicyDomain>, String> {
    let mut seen = HashSet::new();
    let distinct: Vec<PolicyDomain> = domains.into_iter().filter(|domain| seen.insert(domain.clone())).collect();
    match distinct.len() {
        0 => Err("the list holds no domain".to_owned()),
        count if count > MAX_DOMAINS => {
            Err(format!("{count} domains are too many for one check; at most {MAX_DOMAINS} were expected"))
        }
        _ => Ok(distinct),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(domains: &[PolicyDomain]) -> Vec<&str> {
        domains.iter().map(PolicyDomain::as_str).collect()
    }

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        let text = "\u{feff}# ours\r\nExample.com.\r\n\r\n  b\u{fc}cher.example  # a customer\nexample.org";
        let domains = parse(text, "list").unwrap();
        assert_eq!(names(&domains), ["example.com", "xn--bcher-kva.example", "example.org"]);
    }

    #[test]
    fn every_bad_line_is_named() {
        let error = parse("example.com\n192.0.2.1\n\nbad..name\u{1b}[2J\n", "hosts.txt").unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("hosts.txt:2: ") && lines[1].starts_with("hosts.txt:4: "), "{error}");
        assert!(!error.contains('\u{1b}'));
        let error = parse(&"..\n".repeat(1000), "x").unwrap_err();
        assert_eq!(error.lines().count(), MAX_ERRORS + 1);
        assert!(error.ends_with("and 980 more lines"));
    }

    #[test]
    fn a_domain_is_asked_once() {
        let domains = parse("b.example\na.example\nB.example\n", "x").unwrap();
        assert_eq!(names(&distinct(domains).unwrap()), ["b.example", "a.example"]);
        assert!(distinct(Vec::new()).is_err());
    }

    #[test]
    fn lists_have_limits() {
        let many = (0..=MAX_DOMAINS).map(|number| PolicyDomain::parse(&format!("d{number}.example")).unwrap());
        assert!(distinct(many).unwrap_err().contains("100001 domains"));
        assert!(bounded(io::repeat(b'a')).is_err());
        assert!(bounded(&b"\xff"[..]).is_err(), "no text");
    }

    #[test]
    fn files_are_read_by_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "example.com").unwrap();
        assert_eq!(names(&read(file.path()).unwrap()), ["example.com"]);
        let error = read(Path::new("/nonexistent/list")).unwrap_err();
        assert!(error.starts_with("/nonexistent/list: "), "{error}");
    }
}
