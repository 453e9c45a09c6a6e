//! What changed: the JSON of the log, and a section of the report for people.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::text::{Look, Page, Role};
use crate::{
    store,
    terms::{PolicyDomain, Timestamp},
    verdict::{Change, ChangeSubject},
};

/// A page of the log as a JSON document, one line:
///
/// `{"changes":[{"at","domain","host","address","kind","before","after"}],"next","more"}`. What does not apply is null and never
/// left out. `next`: the cursor to go on from; null where nothing was found yet and the question had none.
///
/// # Errors
/// None is known to happen; the writer of JSON says so all the same.
pub fn page_json(page: &store::Page) -> serde_json::Result<String> {
    let view = PageView {
        changes: page.changes.iter().map(|stored| ChangeView::of(&stored.change)).collect(),
        next: page.next.map(|next| next.to_string()),
        more: page.more,
    };
    serde_json::to_string(&view).map(|text| text + "\n")
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Changes")]
pub(crate) struct PageView<'a> {
    /// The oldest first, in the order of writing.
    changes: Vec<ChangeView<'a>>,
    /// `after` for what follows; null while there is nothing.
    next: Option<String>,
    /// There are more at once.
    more: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
struct ChangeView<'a> {
    /// When the probe was made that showed it.
    at: Timestamp,
    /// Of this domain; null where it is about a host.
    domain: Option<&'a str>,
    /// Of this mail host; null where it is about a domain.
    host: Option<&'a str>,
    /// Of this address of the host.
    address: Option<IpAddr>,
    /// record, policy, mx or delivery of a domain, tlsa of a host, certificate of an address.
    kind: &'static str,
    /// In a few words, escaped; null where nothing was.
    before: Option<&'a str>,
    /// As `before`; null where nothing is.
    after: Option<&'a str>,
}

impl<'a> ChangeView<'a> {
    fn of(change: &'a Change) -> Self {
        let (domain, host, address) = match &change.subject {
            ChangeSubject::Domain(domain) => (Some(domain.as_str()), None, None),
            ChangeSubject::Host(host) => (None, Some(host.as_str()), None),
            ChangeSubject::Address(host, address) => (None, Some(host.as_str()), Some(*address)),
        };
        Self {
            at: change.at,
            domain,
            host,
            address,
            kind: change.kind.as_str(),
            before: change.before.as_deref(),
            after: change.after.as_deref(),
        }
    }
}

/// What changed of a domain and its mail hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub domain: PolicyDomain,
    /// When a monitor looked last.
    pub since: Timestamp,
    /// What is different now.
    pub now: Vec<Change>,
    /// What the monitor saw change lately, the latest first.
    pub log: Vec<Change>,
}

/// A section for the report: since when, and each change from what was to what is. `named`: whose it is stands there too, as in a
/// report on several domains, in which a domain without any change has no section.
///
/// No line is wider than [`WIDTH`](super::WIDTH), unless a single word is.
pub fn section(changed: &Changed, named: bool, look: Look) -> String {
    if named && changed.now.is_empty() && changed.log.is_empty() {
        return String::new();
    }
    let whose = if named { format!("{}: changed", changed.domain) } else { "Changed".to_owned() };
    let mut page = Page::new(look);
    page.blank();
    let title = match changed.now.is_empty() {
        true => format!("{whose} since {}: nothing", changed.since),
        false => format!("{whose} since {}", changed.since),
    };
    let mut line = page.start();
    line.pad(2).push(Role::Strong, &title);
    page.end(&line);
    for change in &changed.now {
        page.paragraph(4, Role::Plain, &sentence(change, look));
    }
    if !changed.log.is_empty() {
        page.paragraph(2, Role::Plain, "Before that:");
    }
    for change in &changed.log {
        page.paragraph(4, Role::Plain, &format!("{}  {}", change.at, sentence(change, look)));
    }
    page.finish()
}

fn sentence(change: &Change, look: Look) -> String {
    let whose = match &change.subject {
        ChangeSubject::Domain(_) => String::new(),
        ChangeSubject::Host(host) => format!(" of {host}"),
        ChangeSubject::Address(host, address) => format!(" of {host} ({address})"),
    };
    let arrow = if look.unicode { "→" } else { "->" };
    let [before, after] = [&change.before, &change.after].map(|text| text.as_deref().unwrap_or("none"));
    format!("{}{whose}: {before} {arrow} {after}", change.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        present::WIDTH,
        store::{Cursor, StoredChange},
        terms::MxHost,
        verdict::ChangeKind,
    };

    const AT: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn change(subject: ChangeSubject, kind: ChangeKind, before: Option<&str>, after: Option<&str>) -> Change {
        Change { at: AT, subject, kind, before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }

    fn domain() -> PolicyDomain {
        PolicyDomain::parse("example.com").unwrap()
    }

    fn host() -> MxHost {
        MxHost::parse("mx.example.com").unwrap()
    }

    #[test]
    fn json_says_null_and_leaves_nothing_out() {
        let address = ChangeSubject::Address(host(), "192.0.2.1".parse().unwrap());
        let changes = [
            change(ChangeSubject::Domain(domain()), ChangeKind::Record, Some("v=STSv1; id=1"), None),
            change(ChangeSubject::Host(host()), ChangeKind::Tlsa, None, Some("3 1 1 ab12cd34…")),
            change(address, ChangeKind::Certificate, Some("\"\\x1b"), Some("\u{1b}\u{202e}")),
        ];
        let changes =
            changes.into_iter().enumerate().map(|(id, change)| StoredChange { id: i64::try_from(id).unwrap(), change });
        let page = store::Page { changes: changes.collect(), next: Some(Cursor { id: 2, at: AT }), more: true };
        let text = page_json(&page).unwrap();
        assert!(text.bytes().filter(u8::is_ascii_control).eq([b'\n']), "{text}");
        let at = "2026-09-21T14:13:20Z";
        let expected = serde_json::json!({
            "changes": [
                {"at": at, "domain": "example.com", "host": null, "address": null, "kind": "record",
                 "before": "v=STSv1; id=1", "after": null},
                {"at": at, "domain": null, "host": "mx.example.com", "address": null, "kind": "tlsa",
                 "before": null, "after": "3 1 1 ab12cd34…"},
                {"at": at, "domain": null, "host": "mx.example.com", "address": "192.0.2.1", "kind": "certificate",
                 "before": "\"\\x1b", "after": "\u{1b}\u{202e}"},
            ],
            "next": "2.1790000000000", "more": true,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        let nothing = page_json(&store::Page::default()).unwrap();
        assert_eq!(nothing, "{\"changes\":[],\"next\":null,\"more\":false}\n");
    }

    #[test]
    fn people_read_since_when_and_from_what_to_what() {
        let now = change(
            ChangeSubject::Domain(domain()),
            ChangeKind::Policy,
            Some("enforce, max_age 604800, mx.example.com"),
            Some("testing, max_age 86400, mx.example.com, mx2.example.com"),
        );
        let log = change(ChangeSubject::Host(host()), ChangeKind::Tlsa, None, Some("3 1 1 ab12cd34"));
        let mut changed = Changed { domain: domain(), since: AT, now: vec![now], log: vec![log] };
        let text = section(&changed, false, Look { unicode: true, ..Look::default() });
        assert_eq!(
            text,
            "\n  Changed since 2026-09-21T14:13:20Z\n    \
             policy: enforce, max_age 604800, mx.example.com → testing, max_age 86400,\n    \
             mx.example.com, mx2.example.com\n  \
             Before that:\n    \
             2026-09-21T14:13:20Z tlsa of mx.example.com: none → 3 1 1 ab12cd34\n"
        );
        changed.now.clear();
        changed.log.clear();
        assert_eq!(section(&changed, false, Look::default()), "\n  Changed since 2026-09-21T14:13:20Z: nothing\n");
        assert_eq!(section(&changed, true, Look::default()), "");
        changed.now.push(change(ChangeSubject::Domain(domain()), ChangeKind::Mx, None, Some("10 mx.example.com")));
        let text = section(&changed, true, Look::default());
        assert_eq!(text, "\n  example.com: changed since 2026-09-21T14:13:20Z\n    mx: none -> 10 mx.example.com\n");
    }

    #[test]
    fn what_peers_sent_cannot_move_the_cursor_of_a_terminal() {
        let text = Some("\u{1b}[2J\u{202e}\u{9b}1m\r\n");
        let hostile = change(ChangeSubject::Domain(domain()), ChangeKind::Record, text, text);
        let changed = Changed { domain: domain(), since: AT, now: vec![hostile.clone()], log: vec![hostile] };
        for unicode in [false, true] {
            let text = section(&changed, false, Look { unicode, ..Look::default() });
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r']), "{text:?}");
            assert!(unicode || text.is_ascii(), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
    }
}
