//! The landing page: plain HTML, no script, no style.

use std::fmt::Write as _;

use super::{
    Links,
    selection::{Rows, Selection, ShownState},
};
use crate::{monitor::Snapshot, present::row::Row, verdict::State};

/// The page. A selection that cannot be read is none.
pub(super) fn page(snapshot: &Snapshot, links: &Links, metrics_path: &str, query: &str) -> String {
    let selection = Selection::parse(query).unwrap_or_default();
    let Rows { rows, total, by_state, .. } = selection.rows(snapshot);
    let version = env!("CARGO_PKG_VERSION");
    let mut html = String::with_capacity(HEAD_BYTES + rows.len() * ROW_BYTES);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>smtptls-exporter</title></head>\n<body>\n\
         <h1>smtptls-exporter {version}</h1>\n\
         <p>Watches the transport security of e-mail: MTA-STS, STARTTLS, TLSRPT.</p>\n\
         <ul>\n<li><a href=\"{}\">Metrics</a></li>\n<li><a href=\"{}\">Health</a></li>\n\
         <li><a href=\"{}\">Readiness</a></li>\n</ul>\n\
         <p>{}</p>\n<table>\n<caption>{} of {total} domains</caption>\n\
         <thead><tr><th scope=\"col\">Domain</th><th scope=\"col\">Delivery</th><th scope=\"col\">Worst finding</th></tr></thead>\n\
         <tbody>\n",
        Escaped(&links.to(metrics_path)),
        links.to("/-/healthy"),
        links.to("/-/ready"),
        states(&selection, &by_state, links),
        rows.len()
    );
    for row in rows.into_iter().map(|state| Row::of(state)) {
        let delivery = row.delivery.map_or("not probed yet", State::as_str);
        let _ = write!(html, "<tr><td>{}</td><td>{delivery}</td><td>", Escaped(row.domain.as_str()));
        if let Some(finding) = row.worst {
            let _ = write!(html, "{}: {}", finding.severity, finding.code);
        }
        html.push_str("</td></tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    html
}

const HEAD_BYTES: usize = 1024;
const ROW_BYTES: usize = 128;

/// How many domains are in each state, as links to them.
fn states(selection: &Selection, by_state: &[(ShownState, usize)], links: &Links) -> String {
    let mut all = String::new();
    for (state, count) in by_state.iter().filter(|(_, count)| *count > 0) {
        let query = Selection { state: Some(*state), ..selection.clone() }.query();
        let word = state.state().map_or("not probed yet", State::as_str);
        let _ = write!(all, "<a href=\"{}\">{word} {count}</a> ", Escaped(&links.to(&format!("/{query}"))));
    }
    all
}

/// Text that HTML shows as it is, inside quotes too.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;

    #[test]
    fn the_worst_comes_first_and_each_domain_once() {
        let html = page(&fixture::snapshot(), &Links::default(), "/metrics", "");
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is missing in {html}"));
        let dark = at("<tr><td>dark.example</td><td>unknown</td><td></td></tr>");
        let broken = at("<tr><td>broken.example</td><td>unprotected</td><td>error: sts-record-invalid</td></tr>");
        let healthy = at("<tr><td>example.com</td><td>protected</td><td>info: policy-mx-unused</td></tr>");
        let new = at("<tr><td>new.example</td><td>not probed yet</td><td></td></tr>");
        assert!(dark < broken && broken < healthy && healthy < new);
        assert!(html.contains("6 of 6 domains") && html.contains("href=\"/metrics\""));
    }

    #[test]
    fn a_query_selects() {
        let html = page(&fixture::snapshot(), &Links::default(), "/metrics", "state=unprotected");
        assert!(html.contains("broken.example") && !html.contains("dark.example"), "{html}");
        assert!(html.contains("<a href=\"/?state=unknown\">unknown 1</a>"), "{html}");
        let all = page(&fixture::snapshot(), &Links::default(), "/metrics", "state=nonsense");
        assert!(all.contains("6 of 6 domains"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let html = page(&Snapshot::default(), &Links::default(), "/\"><script>'&", "");
        assert!(html.contains("href=\"/&quot;&gt;&lt;script&gt;&#39;&amp;\""), "{html}");
    }
}
