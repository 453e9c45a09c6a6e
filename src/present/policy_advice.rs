//! What `policy suggest` says: what is to be mended, the policy, the records, the web server, and the plan with its dates.

mod plan;
mod records;

use serde::Serialize;

use self::{
    plan::{plan, steps},
    records::{dns, id, record_notes, txt_records},
};
use super::{
    Look, json,
    text::{Glyph, Page, Role},
    web_server, words,
};
use crate::{
    protocol::mta_sts::{Mode, MxPattern},
    terms::{MxHost, Timestamp},
    verdict::suggest::{ModeReason, Need, Obstacle, ObstacleKind, PolicySuggestion, policy_body},
};

/// Where texts begin that stand below a heading.
const TEXT: usize = 4;

/// The suggestion for people.
pub fn report(suggestion: &PolicySuggestion, look: Look) -> String {
    let mut page = Page::new(look);
    head(&mut page, suggestion);
    obstacles(&mut page, suggestion);
    if let Some(body) = suggestion.body() {
        publish(&mut page, suggestion, &body);
    } else if !dns(suggestion).is_empty() {
        heading(&mut page, "The records");
        copied(&mut page, &dns(suggestion).join("\n"));
    }
    plan(&mut page, suggestion);
    page.finish()
}

/// The suggestion for programs.
///
/// # Errors
/// Only where memory is short: every value can be written.
pub fn to_json(suggestion: &PolicySuggestion) -> serde_json::Result<String> {
    let domain = &suggestion.domain;
    let web = suggestion.policy.as_ref().map(|_| WebView {
        url: web_server::url(domain),
        file: web_server::file(domain),
        nginx: web_server::nginx(domain),
        caddy: web_server::caddy(domain),
        static_host: web_server::static_host(domain),
    });
    json::to_text(&SuggestionView {
        domain: domain.as_str(),
        need: need_word(suggestion.need),
        policy: suggestion.body(),
        mode: suggestion.policy.as_ref().map(|policy| policy.mode.as_str()),
        max_age: suggestion.policy.as_ref().map(|policy| policy.max_age.0),
        id: suggestion.policy.as_ref().map(|_| id(suggestion)),
        unchanged: suggestion.unchanged,
        txt: txt_records(suggestion).into_iter().map(|(name, value)| TxtView { name, value }).collect(),
        dns: dns(suggestion),
        steps: steps(suggestion).into_iter().map(|(when, text)| format!("{when}: {text}")).collect(),
        published: suggestion.published.as_deref().map(policy_body),
        obstacles: suggestion.obstacles.iter().map(obstacle_view).collect(),
        left_out: suggestion.left_out,
        dropped: suggestion.dropped.iter().map(ToString::to_string).collect(),
        planned: suggestion.planned.iter().map(ToString::to_string).collect(),
        foreign: suggestion
            .foreign
            .iter()
            .map(|(host, provider)| ForeignView {
                host: host.as_str(),
                provider: provider.map(|provider| provider.name),
            })
            .collect(),
        web,
        plan: PlanView {
            publish: suggestion.plan.publish.whole_seconds(),
            enforce_from: suggestion.plan.enforce_from.map(Timestamp::whole_seconds),
            lengthen_from: suggestion.plan.lengthen_from.map(Timestamp::whole_seconds),
        },
    })
}

#[derive(Debug, Serialize)]
struct SuggestionView<'a> {
    domain: &'a str,
    /// `policy`, `withdrawal`, `nothing`, `mail-host` or `look`.
    need: &'static str,
    /// The body to serve; `null` where there is none.
    policy: Option<String>,
    mode: Option<&'static str>,
    max_age: Option<u64>,
    id: Option<&'a str>,
    /// The policy that is served already means the same.
    unchanged: bool,
    txt: Vec<TxtView>,
    /// All records as lines of a zone file.
    dns: Vec<String>,
    steps: Vec<String>,
    /// The policy that is served now; `null` where there is none.
    published: Option<String>,
    obstacles: Vec<ObstacleView<'a>>,
    /// Mail hosts that were not looked at, and are missing in the policy.
    left_out: usize,
    dropped: Vec<String>,
    planned: Vec<String>,
    foreign: Vec<ForeignView<'a>>,
    web: Option<WebView>,
    plan: PlanView,
}

#[derive(Debug, Serialize)]
struct TxtView {
    name: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct ObstacleView<'a> {
    host: &'a str,
    addresses: Vec<String>,
    kind: &'static str,
    detail: &'a str,
    fix: &'a str,
}

#[derive(Debug, Serialize)]
struct ForeignView<'a> {
    host: &'a str,
    provider: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct WebView {
    url: String,
    file: String,
    nginx: String,
    caddy: String,
    static_host: String,
}

#[derive(Debug, Serialize)]
struct PlanView {
    publish: Timestamp,
    enforce_from: Option<Timestamp>,
    lengthen_from: Option<Timestamp>,
}

const fn need_word(need: Need) -> &'static str {
    match need {
        Need::Policy => "policy",
        Need::Withdrawal => "withdrawal",
        Need::Nothing => "nothing",
        Need::MailHost => "mail-host",
        Need::Look => "look",
    }
}

fn obstacle_view(obstacle: &Obstacle) -> ObstacleView<'_> {
    ObstacleView {
        host: &obstacle.host,
        addresses: obstacle.addresses.iter().map(ToString::to_string).collect(),
        kind: obstacle.kind.as_str(),
        detail: &obstacle.detail,
        fix: &obstacle.fix,
    }
}

fn head(page: &mut Page, suggestion: &PolicySuggestion) {
    let mut line = page.start();
    line.push(Role::Strong, suggestion.domain.as_str()).push(Role::Plain, "   ").push(Role::Good, &title(suggestion));
    page.end(&line);
    for sentence in sentences(suggestion) {
        page.paragraph(2, Role::Plain, &sentence);
    }
}

fn title(suggestion: &PolicySuggestion) -> String {
    match (&suggestion.policy, suggestion.need) {
        (Some(policy), _) if suggestion.unchanged => format!("PUBLISHED ALREADY: MODE {}", policy.mode).to_uppercase(),
        (Some(policy), _) => {
            format!("SUGGESTED: MODE {}, {}", policy.mode, words::span(policy.max_age.duration())).to_uppercase()
        }
        (None, Need::Nothing) => "NOTHING TO PUBLISH".to_owned(),
        (None, Need::Look) => "NOT SEEN".to_owned(),
        (None, _) => "NO MAIL HOST".to_owned(),
    }
}

/// Why it is this policy, and what it leaves in or out.
fn sentences(suggestion: &PolicySuggestion) -> Vec<String> {
    let mut said = vec![because(suggestion)];
    if suggestion.policy.as_ref().is_some_and(|policy| policy.mode != Mode::None) {
        said.extend(hosts(suggestion));
    }
    said
}

fn because(suggestion: &PolicySuggestion) -> String {
    let published = suggestion.published.as_ref().map(|policy| policy.mode);
    let text = match (suggestion.need, suggestion.because) {
        (Need::Nothing, _) => {
            "The domain takes no mail (a null MX, RFC 7505), and no policy is in force. Senders return mail to it at once: \
             it needs neither a policy nor a record."
        }
        (Need::Look, _) => "The MX records could not be looked up, so that nothing can be suggested. Ask again later.",
        (Need::MailHost, _) => {
            "No mail host was found: a policy has nothing to list. Publish an MX record that names the host, or a null MX \
             where the domain is to take no mail (RFC 7505)."
        }
        (Need::Withdrawal, _) => {
            "The domain takes no mail (a null MX), and a policy is announced or may still be held. Mode none tells senders to \
             forget it; after that record and host can go."
        }
        (_, ModeReason::InForce) => {
            "The policy is in enforce already, and stays there: a step back to testing would take the protection away."
        }
        (_, ModeReason::Ready) => "All that enforce asks for has held for long enough: it loses no mail.",
        (_, ModeReason::Asked) => asked(suggestion, published),
        (_, ModeReason::Unread) => {
            "A policy is announced that cannot be read. If it was in enforce, serve that again (--mode enforce): testing would take \
             the protection away. A monitor that has watched the domain knows: name its folder with --state.dir."
        }
        (_, _) if published == Some(Mode::Testing) => {
            "The policy is in testing: senders deliver whatever they find, and report what enforce would have refused. Whether \
             enforce is safe is known by a monitor that has watched the domain: name its folder with --state.dir."
        }
        (_, _) => {
            "Testing comes first: senders deliver whatever they find, and report what enforce would have refused."
        }
    };
    text.to_owned()
}

fn asked(suggestion: &PolicySuggestion, published: Option<Mode>) -> &'static str {
    match suggestion.policy.as_ref().map(|policy| policy.mode) {
        Some(Mode::Enforce) if suggestion.has_to_wait() => {
            "Enforce was asked for. Do not publish it before what stands below is mended: until then mail is lost."
        }
        Some(Mode::Enforce) if published.is_none_or(|mode| mode == Mode::None) => {
            "Enforce was asked for without testing before. What no probe sees shows in testing by reports, and in enforce by \
             mail that does not come."
        }
        Some(Mode::Enforce) if published == Some(Mode::Testing) => {
            "Enforce was asked for, and no probe sees what would stand against it. Let the reports of the last two weeks have the \
             last word: each failure in them is mail that enforce refuses."
        }
        Some(Mode::Testing) if published == Some(Mode::Enforce) => {
            "Testing was asked for. The policy is in enforce now: this is a step back, and takes the protection away."
        }
        Some(Mode::None) => {
            "Mode none was asked for: senders behave as if there were no policy. It is the way to leave MTA-STS."
        }
        _ => "The mode was asked for.",
    }
}

/// Which hosts are in it and which are not.
fn hosts(suggestion: &PolicySuggestion) -> Vec<String> {
    let mut said = Vec::new();
    if suggestion.left_out > 0 {
        said.push(format!(
            "{} not looked at and missing in the policy: raise probe.max_mx and ask again.",
            words::count(suggestion.left_out, "mail host") + if suggestion.left_out == 1 { " was" } else { " were" }
        ));
    }
    if !suggestion.planned.is_empty() {
        let planned: Vec<&str> = suggestion.planned.iter().map(MxHost::as_str).collect();
        said.push(format!("It lists {} already, as planned in the configuration.", words::list(&planned)));
    }
    if !suggestion.dropped.is_empty() {
        let dropped: Vec<&str> = suggestion.dropped.iter().map(MxPattern::as_str).collect();
        said.push(format!(
            "It leaves out {}, which the published policy lists and no MX record needs; keep what is for a host to come.",
            words::list(&dropped)
        ));
    }
    if let Some(text) = foreign(suggestion) {
        said.push(text);
    }
    said
}

/// What only a provider can do. Certificates and TLS of its hosts are its own; policy, records and policy host stay with the domain.
fn foreign(suggestion: &PolicySuggestion) -> Option<String> {
    let names: Vec<&str> = suggestion.foreign.iter().map(|(host, _)| host.as_str()).collect();
    let (_, first) = suggestion.foreign.first()?;
    let same = suggestion.foreign.iter().all(|(_, provider)| provider == first);
    let known = first.filter(|_| same).map(|provider| provider.name);
    let (runs, who) = (known.unwrap_or("somebody else"), known.unwrap_or("their operator"));
    let mut text = format!(
        "{} {} run by {runs}. Policy, records and policy host are yours to publish; certificate, TLS and TLSA records of \
         those hosts only {who} can change, and new host names have to come into the policy before they are used.",
        words::list(&names),
        if names.len() == 1 { "is" } else { "are" },
    );
    // Exact names are safer, and who follows the manual should know that both work.
    let documented = first.filter(|_| same).and_then(|provider| provider.documented_pattern);
    let covered = documented.and_then(MxPattern::parse);
    if let Some(pattern) = covered.filter(|pattern| suggestion.foreign.iter().all(|(host, _)| pattern.matches(host))) {
        text.push_str(&format!(
            " Its manual has \"mx: {pattern}\", which covers the hosts of all its customers; the exact name is enough."
        ));
    }
    Some(text)
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    let mut line = page.start();
    line.pad(2).push(Role::Strong, title);
    page.end(&line);
}

/// A text to be copied: it begins in the first column, because blanks there mean something in policies and zone files.
fn copied(page: &mut Page, text: &str) {
    page.blank();
    for line in text.lines() {
        page.verbatim(0, Role::Plain, line);
    }
}

fn obstacles(page: &mut Page, suggestion: &PolicySuggestion) {
    let (unseen, pressing): (Vec<&Obstacle>, Vec<&Obstacle>) =
        suggestion.obstacles.iter().partition(|obstacle| obstacle.kind == ObstacleKind::NotSeen);
    for (title, glyph, list) in [("Mend first", Glyph::Bad, pressing), ("Not seen", Glyph::Warning, unseen)] {
        if list.is_empty() || suggestion.need != Need::Policy {
            continue;
        }
        heading(page, title);
        for obstacle in list {
            let addresses: String = obstacle.addresses.iter().map(|address| format!(" [{address}]")).collect();
            let text = match obstacle.detail.contains(&obstacle.host) {
                true => obstacle.detail.clone(),
                false => format!("{}{addresses}: {}", obstacle.host, obstacle.detail),
            };
            page.marked(2, glyph, &text);
            page.paragraph(6, Role::Plain, &obstacle.fix);
            if let Some((_, provider)) = suggestion.foreign.iter().find(|(host, _)| host.as_str() == obstacle.host) {
                let who = provider.map_or("whoever runs this host", |provider| provider.name);
                let testing = suggestion.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Testing);
                let stay = if testing { ", and stay in testing until it is done" } else { "" };
                page.paragraph(6, Role::Plain, &format!("Only {who} can do this: ask there{stay}."));
            }
        }
    }
}

fn publish(page: &mut Page, suggestion: &PolicySuggestion, body: &str) {
    let domain = &suggestion.domain;
    heading(page, &format!("The policy, at {}", web_server::url(domain)));
    copied(page, body);
    heading(page, "The records, as lines of a zone file");
    copied(page, &dns(suggestion).join("\n"));
    let notes = record_notes(suggestion);
    if !notes.is_empty() {
        page.blank();
        notes.iter().for_each(|note| page.paragraph(TEXT, Role::Plain, note));
    }
    if suggestion.policy_host.serves {
        return;
    }
    heading(page, "The web server, one of these");
    page.paragraph(TEXT, Role::Plain, &format!("Put the policy into {}.", web_server::file(domain)));
    for text in [web_server::nginx(domain), web_server::caddy(domain), web_server::static_host(domain)] {
        copied(page, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        facts::LookupOutcome,
        present::fixture,
        verdict::{
            Assessment,
            suggest::{Wishes, suggest_policy},
        },
    };

    /// No policy, no record, and no policy host either.
    fn bare(name: &str) -> Assessment {
        let mut seen = fixture::unprotected(name);
        let mut host = (*fixture::healthy(name).policy.host.unwrap()).clone();
        host.addresses.ip4.as_mut().unwrap().outcome = LookupOutcome::NxDomain;
        host.fetches.clear();
        seen.policy.host = Some(Arc::new(host));
        seen
    }

    fn shown(seen: &Assessment, wishes: &Wishes<'_>) -> String {
        report(&suggest_policy(seen, wishes, fixture::NOW), Look { unicode: true, ..Look::default() })
    }

    #[test]
    fn a_domain_without_a_policy() {
        insta::assert_snapshot!("suggest_first", shown(&bare("example.com"), &Wishes::default()));
    }

    #[test]
    fn a_domain_with_a_bad_backup() {
        let mut seen = fixture::backup_expired("example.com");
        seen.policy.current = None;
        seen.policy.in_force = None;
        let cname = std::mem::take(&mut seen.sts_record.cname);
        seen.sts_record = crate::verdict::RecordAssessment { cname, ..fixture::unprotected("example.com").sts_record };
        insta::assert_snapshot!("suggest_bad_backup", shown(&seen, &Wishes::default()));
    }

    /// It may be in enforce: what cannot be read is no policy in testing.
    #[test]
    fn an_announced_policy_that_cannot_be_read_is_not_taken_for_none() {
        let mut seen = fixture::healthy("example.com");
        seen.policy.current = None;
        seen.policy.in_force = None;
        let text = shown(&seen, &Wishes::default()).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("If it was in enforce, serve that again (--mode enforce)"), "{text}");
        assert!(text.contains("--state.dir") && !text.contains("Testing comes first"), "{text}");
    }

    #[test]
    fn only_who_is_in_testing_is_told_to_stay_there() {
        let mut seen = fixture::backup_expired("example.com");
        let provider = "mx2.provider.example";
        seen.mx[1].host = Some(provider.parse().unwrap());
        seen.mx[1].target = provider.to_owned();
        let told = |mode: Mode| {
            let text = shown(&seen, &Wishes { mode: Some(mode), ..Wishes::default() });
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(
            told(Mode::Testing).contains("ask there, and stay in testing until it is done."),
            "{}",
            told(Mode::Testing)
        );
        let enforce = told(Mode::Enforce);
        assert!(enforce.contains("can do this: ask there.") && !enforce.contains("stay in testing"), "{enforce}");
    }

    #[test]
    fn a_domain_that_is_well_protected() {
        insta::assert_snapshot!("suggest_unchanged", shown(&fixture::healthy("example.com"), &Wishes::default()));
    }

    #[test]
    fn a_policy_that_lacks_a_host() {
        insta::assert_snapshot!("suggest_testing", shown(&fixture::testing("example.com"), &Wishes::default()));
    }

    #[test]
    fn a_domain_that_takes_no_mail() {
        insta::assert_snapshot!("suggest_no_mail", shown(&fixture::no_mail("example.com"), &Wishes::default()));
    }

    #[test]
    fn a_domain_that_was_not_seen() {
        insta::assert_snapshot!("suggest_unknown", shown(&fixture::unknown("example.com"), &Wishes::default()));
    }

    #[test]
    fn hosted_mail() {
        let mut seen = bare("example.com");
        let host = "example-com.mail.protection.outlook.com";
        let path = fixture::path(host, "192.0.2.50", crate::facts::TlsVersion::Tls13, 90);
        seen.mx = vec![fixture::mx(0, host, vec![path])];
        seen.mx_records = Some(1);
        insta::assert_snapshot!("suggest_hosted", shown(&seen, &Wishes::default()));
    }

    #[test]
    fn to_leave() {
        let wishes = Wishes { mode: Some(Mode::None), ..Wishes::default() };
        insta::assert_snapshot!("suggest_none", shown(&fixture::healthy("example.com"), &wishes));
    }

    #[test]
    fn for_programs() {
        let suggestion = suggest_policy(&bare("example.com"), &Wishes::default(), fixture::NOW);
        insta::assert_snapshot!("suggest_json", to_json(&suggestion).unwrap());
    }

    #[test]
    fn nothing_is_left_out_of_the_json_where_there_is_no_policy() {
        let suggestion = suggest_policy(&fixture::no_mail("example.com"), &Wishes::default(), fixture::NOW);
        let value: serde_json::Value = serde_json::from_str(&to_json(&suggestion).unwrap()).unwrap();
        assert_eq!((&value["policy"], &value["txt"]), (&serde_json::Value::Null, &serde_json::json!([])));
        assert_eq!(value["need"], "nothing");
    }

    #[test]
    fn lines_to_copy_begin_in_the_first_column() {
        let text = shown(&bare("example.com"), &Wishes::default());
        for line in [
            "version: STSv1",
            "mode: testing",
            "max_age: 86400",
            "_mta-sts.example.com. ",
            "server {",
            "mta-sts.example.com {",
        ] {
            assert!(text.contains(&format!("\n{line}")), "{line}");
        }
    }
}
