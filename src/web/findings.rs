//! `GET /api/v1/findings`: the active findings of all domains, the worst first.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use http::StatusCode;

use super::{
    api::Answer,
    parameters::{self, Kind, PLACE, Parameter, one_of},
};
use crate::{
    monitor::{ActiveFinding, DomainState, KnownDomain, Snapshot},
    present::json::{
        lists::{FindingsView, finding_of_domain},
        one_line,
    },
    terms::PolicyDomain,
    verdict::{Code, Finding, Severity, known_codes},
};

/// How many findings an answer holds where the question names no number.
const LIMIT: usize = 100;
/// … and at most: about a megabyte.
const LIMIT_MOST: usize = 1000;

/// So many domains are opened for one answer. Each that is opened has findings that fit, unless it is judged otherwise by now than when
/// its summary was made: then an answer with few findings could open a whole fleet. It ends early instead, and says where to go on.
const OPENED_MOST: usize = 2 * LIMIT_MOST;

/// The parameters.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "code", says: "Only findings of this code", kind: Kind::Word(|| known_codes().to_vec()) },
    Parameter {
        name: "severity",
        says: "Only findings of this severity",
        kind: Kind::Word(|| Severity::ALL.map(Severity::as_str).to_vec()),
    },
    Parameter { name: "domain", says: "Only findings of this domain", kind: Kind::Text },
    Parameter { name: "group", says: "Only findings of domains of this group", kind: Kind::Text },
    Parameter {
        name: "limit",
        says: "How many findings at most",
        kind: Kind::Number { most: LIMIT_MOST, default: LIMIT },
    },
    Parameter {
        name: "after",
        says: "Only what follows in the same list, with the same other parameters",
        kind: Kind::Place,
    },
];

#[derive(Debug, Default)]
struct Wanted {
    code: Option<Code>,
    severity: Option<Severity>,
    domain: Option<PolicyDomain>,
    group: Option<String>,
    most: usize,
    after: Option<Place>,
}

/// The place of a finding: what it is sorted by, so that going on behind it neither skips nor repeats a finding that stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// 0 is an error.
    badness: usize,
    domain: PolicyDomain,
    code: String,
    address: Option<IpAddr>,
    subject: String,
    /// Among equals.
    number: usize,
}

/// Answers the question with the parameters of the query.
///
/// 400: a parameter is wrong. 404: the domain that a parameter names is not configured.
pub(super) fn answer(query: &str, snapshot: &Snapshot) -> Answer {
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(wrong) => return Answer::error(StatusCode::BAD_REQUEST, &wrong),
    };
    if wanted.domain.as_ref().is_some_and(|domain| !snapshot.domains.contains(domain.as_str())) {
        return Answer::error(StatusCode::NOT_FOUND, "no such domain is configured");
    }
    let found = found(&wanted, snapshot);
    let matching = found.iter().map(|domain| domain.findings).sum();
    // Where the last answer ended: what lies before that domain need not be opened.
    let from = wanted.after.as_ref().map_or(0, |place| {
        found.partition_point(|one| (one.badness, one.known.domain()) < (place.badness, &place.domain))
    });
    let mut shown: Vec<(Arc<DomainState>, Places)> = Vec::new();
    let (mut count, mut more, mut unopened) = (0, false, None);
    for (opened, one) in found.get(from..).unwrap_or_default().iter().enumerate() {
        if count >= wanted.most {
            more = true;
            break;
        }
        if opened >= OPENED_MOST {
            unopened = Some(Place::before(one));
            break;
        }
        let state = snapshot.open(one.known);
        let mut places = places(&wanted, &state, one.badness);
        if let Some(after) = &wanted.after {
            places.retain(|(place, _)| place > after);
        }
        more = places.len() > wanted.most - count;
        places.truncate(wanted.most - count);
        count += places.len();
        shown.push((state, places));
        if more {
            break;
        }
    }
    let findings = shown.iter().flat_map(|(state, places)| {
        let all = state.assessment.iter().flat_map(|seen| seen.active()).collect::<Vec<_>>();
        places.iter().filter_map(move |(_, at)| Some(finding_of_domain(state, all.get(*at)?)))
    });
    let last = shown.iter().rev().find_map(|(_, places)| places.last()).map(|(place, _)| place);
    let view = FindingsView {
        findings: findings.collect(),
        matching,
        next: unopened.as_ref().or_else(|| last.filter(|_| more)).map(Place::to_string),
    };
    Answer::found(one_line(&view))
}

/// Findings of a domain: the place of each in the list, and which of those that count it is.
type Places = Vec<(Place, usize)>;

/// A domain with findings that fit, of one severity.
struct Found<'a> {
    badness: usize,
    known: &'a Arc<KnownDomain>,
    /// How many.
    findings: usize,
}

/// Which domains have findings that fit, in the order of the list: told by what lies open of each.
fn found<'a>(wanted: &Wanted, snapshot: &'a Snapshot) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for known in snapshot.domains.iter() {
        if wanted.domain.as_ref().is_some_and(|domain| domain != known.domain())
            || wanted.group.as_ref().is_some_and(|group| group != known.group())
        {
            continue;
        }
        let active = known.summary.as_ref().map_or(&[][..], |seen| &seen.active);
        for severity in Severity::ALL.into_iter().filter(|one| wanted.severity.is_none_or(|wanted| wanted == *one)) {
            let fits =
                |one: &&ActiveFinding| one.severity == severity && wanted.code.is_none_or(|code| code == one.code);
            let findings = active.iter().filter(fits).count();
            if findings > 0 {
                found.push(Found { badness: badness(severity), known, findings });
            }
        }
    }
    found.sort_unstable_by(|one, other| (one.badness, one.known.domain()).cmp(&(other.badness, other.known.domain())));
    found
}

/// The places of the findings of a domain that fit, of one severity, in order; each with its number among those that count.
fn places(wanted: &Wanted, state: &DomainState, badness: usize) -> Places {
    let mut places = Places::new();
    for (at, finding) in state.assessment.iter().flat_map(|seen| seen.active()).enumerate() {
        if wanted.code.is_none_or(|code| code == finding.code) && self::badness(finding.severity) == badness {
            places.push((Place::of(state, finding), at));
        }
    }
    places.sort();
    let mut number = 0;
    for at in 1..places.len() {
        if let Some([(before, _), (place, _)]) = places.get_mut(at - 1..=at) {
            let same = Place { number: 0, ..before.clone() } == *place;
            number = if same { number + 1 } else { 0 };
            place.number = number;
        }
    }
    places
}

/// 0 is an error.
fn badness(severity: Severity) -> usize {
    Severity::ALL.iter().position(|known| *known == severity).unwrap_or(Severity::ALL.len())
}

/// Reads the parameters; what is wrong, and what was expected, for the one who asked.
fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted { most: LIMIT, ..Wanted::default() };
    parameters::read(query, &[PARAMETERS], |name, text| {
        match name {
            "code" => wanted.code = Some(text.parse().map_err(|_| "the code of a finding".to_owned())?),
            "severity" => wanted.severity = Some(one_of(text, &Severity::ALL, Severity::as_str)?),
            "domain" => wanted.domain = Some(PolicyDomain::parse(text).map_err(|_| "the name of a domain".to_owned())?),
            "group" => wanted.group = Some(text.to_owned()),
            "limit" => wanted.most = parameters::number(text, LIMIT_MOST)?,
            _ => wanted.after = Some(text.parse()?),
        }
        Ok(())
    })?;
    Ok(wanted)
}

impl Place {
    /// Before all findings of a domain of one severity.
    fn before(one: &Found<'_>) -> Self {
        let domain = one.known.domain().clone();
        let (code, subject) = (String::new(), String::new());
        Self { badness: one.badness, domain, code, address: None, subject, number: 0 }
    }

    fn of(state: &DomainState, finding: &Finding) -> Self {
        Self {
            badness: badness(finding.severity),
            domain: state.domain.clone(),
            code: finding.code.as_str().to_owned(),
            address: finding.subject.address(),
            subject: finding.subject.name().to_owned(),
            number: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { badness, domain, code, address, subject, number } = self;
        write!(f, "{badness}/{domain}/{code}/")?;
        if let Some(address) = address {
            write!(f, "{address}")?;
        }
        // Last: a mail host may be named by any text.
        write!(f, "/{number}/{subject}")
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.splitn(6, '/');
            Some(Self {
                badness: parts.next()?.parse().ok()?,
                domain: PolicyDomain::parse(parts.next()?).ok()?,
                code: parts.next()?.to_owned(),
                address: match parts.next()? {
                    "" => None,
                    address => Some(address.parse().ok()?),
                },
                number: parts.next()?.parse().ok()?,
                subject: parts.next()?.to_owned(),
            })
        };
        read().ok_or_else(|| PLACE.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        metrics::fixture,
        monitor::Roll,
        verdict::{Assessment, Subject},
    };

    fn of(query: &str, snapshot: &Snapshot) -> (u16, Value) {
        let Answer { status, body } = answer(query, snapshot);
        assert!(body.ends_with("}\n") && body.matches('\n').count() == 1, "one line: {body}");
        (status.as_u16(), serde_json::from_str(&body).unwrap())
    }

    fn ask(query: &str) -> (u16, Value) {
        of(query, &fixture::snapshot())
    }

    #[test]
    fn the_worst_of_all_domains_comes_first() {
        let (status, answer) = ask("");
        let findings = answer["findings"].as_array().unwrap();
        assert_eq!(status, 200);
        assert_eq!((&answer["matching"], &answer["next"]), (&json!(findings.len()), &Value::Null));
        let severities: Vec<_> = findings.iter().map(|finding| finding["severity"].as_str().unwrap()).collect();
        let order = |word: &&str| ["error", "warning", "info"].iter().position(|known| known == word);
        assert!(severities.is_sorted_by_key(order) && severities.contains(&"error") && severities.contains(&"info"));
        let keys: Vec<&str> = findings[0].as_object().unwrap().keys().map(String::as_str).collect();
        for key in ["domain", "code", "severity", "subject", "address", "since", "detail", "fix"] {
            assert!(keys.contains(&key), "{key} in {keys:?}");
        }
        assert!(findings.iter().all(|finding| finding["accepted"] == false));
        let count: usize = fixture::snapshot()
            .states()
            .iter()
            .map(|state| state.assessment.iter().flat_map(|seen| seen.active()).count())
            .sum();
        assert_eq!(findings.len(), count, "each that counts, once");
    }

    #[test]
    fn filters_and_what_is_wrong_with_them() {
        for (query, key, value) in [
            ("severity=error", "severity", "error"),
            ("domain=Broken.Example.", "domain", "broken.example"),
            ("code=sts-record-invalid", "code", "sts-record-invalid"),
            ("group=a+%22b%22%5C%0A<i>".replace('+', "%20").as_str(), "domain", "example.com"),
        ] {
            let (status, answer) = ask(query);
            let found = answer["findings"].as_array().unwrap();
            assert_eq!(status, 200, "{query}");
            assert!(!found.is_empty() && found.iter().all(|finding| finding[key] == value), "{query}: {answer}");
        }
        for (query, status, expected) in [
            ("domain=other.example", 404, "no such domain"),
            ("domain=a..b", 400, "the name of a domain"),
            ("code=mx-nul", 400, "the code of a finding"),
            ("severity=bad", 400, "one of error"),
            ("after=1", 400, "the \"next\" of an answer before"),
            ("limit=1001", 400, "from 1 to 1000"),
            ("state=blocked", 400, "expected code, severity, domain, group, limit, after"),
        ] {
            let (found, said) = ask(query);
            assert_eq!(found, status, "{query}");
            assert!(said["error"].as_str().unwrap().contains(expected), "{query}: {said}");
        }
    }

    #[test]
    fn pages_follow_each_other_where_findings_are_alike_too() {
        let alike = |subject: &str| fixture::finding(Code::MxCname, Severity::Error, Subject::Mx(subject.to_owned()));
        let at = |address: &str| {
            let subject = Subject::MxAddress(fixture::host("mx.example"), fixture::address(address));
            fixture::finding(Code::CertificateExpired, Severity::Warning, subject)
        };
        let findings = vec![
            alike("a/b & c#"),
            alike("a/b & c#"),
            alike("a/b & c#"),
            at("2001:db8::1"),
            at("192.0.2.1"),
            alike("b"),
        ];
        let seen = Assessment { findings, ..fixture::dark("a.example") };
        let mut world = fixture::snapshot();
        world.put(fixture::domain_state("a.example", Some(seen)));
        let all = of("", &world).1["findings"].clone();
        let (mut paged, mut query) = (Vec::new(), "limit=1".to_owned());
        loop {
            let page = of(&query, &world).1;
            paged.extend(page["findings"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else { break };
            query = format!("limit=1&after={}", parameters::encoded(next));
        }
        assert_eq!(Value::Array(paged), all);
    }

    /// Summaries that promise what the states no longer have must not have a whole fleet opened at once.
    #[test]
    fn an_answer_opens_so_many_domains_and_says_where_to_go_on() {
        let mut world = fixture::snapshot();
        world.domains = Roll::default();
        let promised = ActiveFinding { code: Code::MxCname, severity: Severity::Error, host: None };
        let quiet = (0..OPENED_MOST + 5).map(|number| format!("d{number:04}.example"));
        let mut known = Vec::new();
        for name in quiet.chain(["last.example".to_owned()]) {
            let finding = fixture::finding(Code::MxCname, Severity::Error, Subject::Mx("a".to_owned()));
            let findings = if name == "last.example" { vec![finding] } else { Vec::new() };
            let mut one = Snapshot { domains: Roll::default(), ..world.clone() };
            one.put(fixture::domain_state(&name, Some(Assessment { findings, ..fixture::dark(&name) })));
            let mut one = KnownDomain::clone(one.domains.get(&name).unwrap());
            one.summary.as_mut().unwrap().active = [promised.clone()].into();
            known.push(Arc::new(one));
        }
        world.domains = known.into_iter().collect();
        let first = of("", &world).1;
        assert_eq!(first["findings"], json!([]));
        let next = first["next"].as_str().unwrap();
        assert!(next.contains(&format!("d{OPENED_MOST:04}.example")), "{next}");
        let second = of(&format!("after={}", parameters::encoded(next)), &world).1;
        assert_eq!((&second["findings"][0]["domain"], &second["next"]), (&json!("last.example"), &Value::Null));
    }

    proptest! {
        #[test]
        fn any_query_is_an_answer(query: String) {
            let _ = ask(&query);
            let _ = query.parse::<Place>();
        }
    }
}
