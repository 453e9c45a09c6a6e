//! What every page has around it: the head, the way to the other pages, the time that it shows; and the parts that pages share.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    present::{is_dangerous, words},
    terms::Timestamp,
    verdict::{Severity, State},
    web::links::Links,
};

/// What a browser may do with a page: show it with the one style sheet, and send its forms back here. No script can run, whatever
/// text a peer gets into a page.
pub(in crate::web) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                                         base-uri 'none'; frame-ancestors 'none'";

/// The style sheet.
pub(in crate::web) const STYLE: &str = include_str!("../assets/style.css");

/// What the style sheet of this build is called by caches: a hash of it.
pub(in crate::web) static STYLE_TAG: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    STYLE.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
});

/// The entry of the navigation under which a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Nav {
    /// The list of domains, and each one of them.
    Domains,
    /// The mail hosts.
    Hosts,
    /// The certificates.
    Certificates,
    /// What reports say fails.
    Failures,
    /// No list leads to the page.
    Elsewhere,
}

impl Nav {
    const ALL: [(Self, &str, &str); 4] = [
        (Self::Domains, "/", "Domains"),
        (Self::Hosts, "/hosts", "Mail hosts"),
        (Self::Certificates, "/certificates", "Certificates"),
        (Self::Failures, "/failures", "Reported failures"),
    ];
}

/// A whole page. `title` stands before the name of the program; the content brings its own `h1`.
pub(in crate::web) fn page(title: &str, links: &Links, now: Timestamp, here: Nav, content: &Markup) -> Markup {
    harmless(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · smtptls-exporter" }
                link rel="stylesheet" href={ (links.to("/assets/style.css")) "?v=" (*STYLE_TAG) };
                // Without one, browsers ask for /favicon.ico.
                link rel="icon" href="data:,";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div {
                        a.brand href=(links.to("/")) { "smtptls-exporter" }
                        nav aria-label="Pages" {
                            ul {
                                @for (nav, path, name) in Nav::ALL {
                                    li {
                                        a href=(links.to(path)) aria-current=[(here == nav).then_some("true")] { (name) }
                                    }
                                }
                            }
                        }
                    }
                }
                main #content tabindex="-1" { (content) }
                footer.foot {
                    "As of " time datetime=(now) { (exact(now)) } " · smtptls-exporter " (env!("CARGO_PKG_VERSION"))
                }
            }
        }
    })
}

/// The same without what could change how the text around it is shown, such as marks of writing direction. Peers' bytes arrive
/// escaped; this is the last fence.
fn harmless(page: Markup) -> Markup {
    let dangerous = |character: char| character != '\n' && is_dangerous(character);
    if !page.0.contains(dangerous) {
        return page;
    }
    let mut shown = String::with_capacity(page.0.len());
    for character in page.0.chars() {
        match dangerous(character) {
            // `\u{202e}`: nothing in it means anything in HTML.
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    PreEscaped(shown)
}

/// A state as a badge: its sign, and the words that `check` has for it. Nothing: not probed yet.
pub(in crate::web) fn badge(state: Option<State>) -> Markup {
    let (class, sign, words) = match state {
        None => ("new", "…", "not probed yet"),
        Some(state) => (state.as_str(), sign(state), words::state(state)),
    };
    html! { span class={ "badge " (class) } { i aria-hidden="true" { (sign) } (words) } }
}

/// The sign of a state: each has its own shape.
const fn sign(state: State) -> &'static str {
    match state {
        State::Protected => "●",
        State::Partial => "◐",
        State::Blocked => "✕",
        State::Unprotected => "○",
        State::NoMail => "–",
        State::Unknown => "?",
    }
}

/// The sign of a severity, as `check` prints it, with its word for those who do not see it.
pub(in crate::web) fn severity(severity: Severity) -> Markup {
    let sign = match severity {
        Severity::Error => "✗",
        Severity::Warning => "!",
        Severity::Info => "·",
    };
    html! {
        span class={ "sign " (severity.as_str()) } aria-hidden="true" { (sign) }
        span.hidden { (severity.as_str()) ": " }
    }
}

/// `2026-11-26 13:50:03 UTC`.
pub(in crate::web) fn exact(at: Timestamp) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}

/// A point in time in words, with the exact value behind them.
pub(in crate::web) fn time(at: Timestamp, words: &str) -> Markup {
    html! { time datetime=(at) title=(exact(at)) { (words) } }
}

/// A box in which something wide scrolls, also by keyboard. `label` says what is in it.
pub(in crate::web) fn scroll(label: &str, content: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (content) } }
}

/// A line to copy, such as a record to publish.
pub(in crate::web) fn record(line: &str) -> Markup {
    html! { pre.record tabindex="0" { code { (line) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::fixture::NOW, web::Mount};

    fn whole() -> String {
        let mount = Mount::new(None, Some("/mail".parse().unwrap()));
        page("<b>", mount.links(), NOW, Nav::Hosts, &html! { h1 { "x" } }).into_string()
    }

    #[test]
    fn a_page_has_its_landmarks_and_links_below_the_prefix() {
        let html = whole();
        for part in ["<html lang=\"en\">", "<header", "<nav aria-label=", "<main id=\"content\"", "<footer"] {
            assert_eq!(html.matches(part).count(), 1, "{part}");
        }
        assert!(html.contains("<title>&lt;b&gt; · smtptls-exporter</title>"), "{html}");
        assert!(html.contains("<a href=\"/mail/hosts\" aria-current=\"true\">"), "{html}");
        assert_eq!(html.matches("aria-current").count(), 1);
        for link in html.split("href=\"").skip(1) {
            let inside = link.starts_with("/mail/") || link.starts_with('#') || link.starts_with("data:,");
            assert!(inside, "{link}");
        }
    }

    #[test]
    fn the_policy_lets_a_page_do_all_that_it_does_and_no_more() {
        let html = whole();
        assert!(!html.contains("<script") && !html.contains("style=") && !html.contains(" on"), "{html}");
        for source in ["script-src", "unsafe", "http", "*"] {
            assert!(!POLICY.contains(source), "{source}");
        }
        assert!(POLICY.starts_with("default-src 'none';"));
    }

    #[test]
    fn every_state_has_a_sign_and_words_of_its_own() {
        let all: Vec<String> =
            State::ALL.into_iter().map(Some).chain([None]).map(|state| badge(state).into_string()).collect();
        let parts = |place: usize| {
            let part = |html: &String| {
                html.split(['<', '>']).filter(|part| !part.trim().is_empty()).nth(place).map(str::to_owned)
            };
            all.iter().map(part).collect::<std::collections::BTreeSet<_>>().len()
        };
        // The sign stands in the `i`, the words behind it.
        assert_eq!((parts(2), parts(4)), (7, 7), "{all:?}");
        assert!(all.iter().any(|html| html.contains("partly deliverable")));
    }

    #[test]
    fn the_style_is_small_and_asks_nobody() {
        assert!(STYLE.len() < 12_000, "{} bytes", STYLE.len());
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert_eq!(STYLE_TAG.len(), 16);
    }
}
