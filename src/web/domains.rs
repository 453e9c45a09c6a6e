//! `GET /api/v1/domains`: the domains in a line each, filtered, sorted and in pages.

use std::sync::Arc;

use http::StatusCode;

use super::{
    api::Answer,
    parameters::{self, Kind, Parameter},
    selection::{self, Place, Rows, Selection},
};
use crate::{
    monitor::{DomainState, Snapshot},
    present::json::{
        lists::{DomainsView, domain_row},
        one_line,
    },
    terms::Timestamp,
};

/// How many domains an answer holds where the question names no number.
const LIMIT: usize = 100;
/// … and at most: about half a megabyte.
const LIMIT_MOST: usize = 1000;

/// The parameters, beside those of a selection.
pub(super) const PAGING: &[Parameter] = &[
    Parameter {
        name: "limit",
        says: "How many domains at most",
        kind: Kind::Number { most: LIMIT_MOST, default: LIMIT },
    },
    Parameter {
        name: "after",
        says: "Only what follows in the same list, with the same other parameters",
        kind: Kind::Place,
    },
];

#[derive(Debug)]
struct Wanted {
    selection: Selection,
    most: usize,
    after: Option<Place>,
}

/// Answers the question with the parameters of the query.
///
/// 400: a parameter is wrong.
pub(super) fn answer(query: &str, snapshot: &Snapshot, now: Timestamp) -> Answer {
    let Wanted { selection, most, after } = match wanted(query) {
        Ok(wanted) => wanted,
        Err(wrong) => return Answer::error(StatusCode::BAD_REQUEST, &wrong),
    };
    let Rows { rows, total, by_state, groups, findings } = selection.rows(snapshot);
    let rest = match &after {
        Some(place) => selection.behind(place, &rows, snapshot),
        None => &rows,
    };
    let page = rest.get(..most).unwrap_or(rest);
    let next = page.last().filter(|_| rest.len() > most).map(|last| selection.place(last, snapshot).to_string());
    let shown: Vec<Arc<DomainState>> = page.iter().map(|known| snapshot.open(known)).collect();
    let view = DomainsView {
        domains: shown.iter().map(|state| domain_row(state, now)).collect(),
        matching: rows.len(),
        configured: total,
        states: by_state.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
        groups,
        findings: findings.into_iter().map(|(code, count)| (code.as_str(), count)).collect(),
        next,
    };
    Answer::found(one_line(&view))
}

/// Reads the parameters; what is wrong, and what was expected, for the one who asked.
fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted { selection: Selection::default(), most: LIMIT, after: None };
    parameters::read(query, &[selection::PARAMETERS, PAGING], |name, text| {
        match name {
            "limit" => wanted.most = parameters::number(text, LIMIT_MOST)?,
            "after" => wanted.after = Some(text.parse()?),
            _ => wanted.selection.take(name, text)?,
        }
        Ok(())
    })?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::fixture::{self, NOW};

    fn ask(query: &str) -> (u16, Value) {
        let Answer { status, body } = answer(query, &fixture::snapshot(), NOW);
        assert!(body.ends_with("}\n") && body.matches('\n').count() == 1, "one line: {body}");
        (status.as_u16(), serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn a_domain_is_a_line_with_what_a_list_shows() {
        let (status, answer) = ask("q=broken");
        assert_eq!((status, &answer["matching"], &answer["configured"]), (200, &json!(1), &json!(6)));
        let row = &answer["domains"][0];
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "certificate",
                "checked_at",
                "dane",
                "delivery",
                "domain",
                "due_at",
                "findings",
                "group",
                "headline",
                "mode",
                "worst"
            ]
        );
        assert_eq!((&row["domain"], &row["group"]), (&json!("broken.example"), &Value::Null));
        assert_eq!((&row["delivery"], &row["worst"]["code"]), (&json!("unprotected"), &json!("sts-record-invalid")));
        assert!(row["headline"].as_str().unwrap().len() > 5);
        assert_eq!(answer["states"]["unprotected"], 1);
        assert_eq!(answer["states"]["blocked"], 0, "a state that nobody is in is there as well");
    }

    #[test]
    fn a_domain_that_was_not_probed_is_all_null() {
        let (_, answer) = ask("state=not-probed");
        let nothing = json!({"domain": "new.example", "group": null, "delivery": null, "mode": null, "headline": null,
            "worst": null, "findings": {"error": 0, "warning": 0, "info": 0}, "certificate": null, "dane": null,
            "checked_at": null, "due_at": null});
        assert_eq!(answer["domains"], json!([nothing]));
    }

    #[test]
    fn pages_follow_each_other() {
        let of = |answer: &Value| -> Vec<String> {
            let rows = answer["domains"].as_array().unwrap().iter();
            rows.map(|row| row["domain"].as_str().unwrap().to_owned()).collect()
        };
        let all = of(&ask("sort=-domain").1);
        assert_eq!(all.len(), 6);
        let (mut paged, mut query) = (Vec::new(), "sort=-domain&limit=2".to_owned());
        loop {
            let page = ask(&query).1;
            assert_eq!(page["matching"], 6, "on all pages together");
            paged.extend(of(&page));
            let Some(next) = page["next"].as_str() else { break };
            query = format!("sort=-domain&limit=2&after={}", parameters::encoded(next));
        }
        assert_eq!(paged, all);
    }

    #[test]
    fn what_is_wrong_with_a_question_is_said() {
        for (query, expected) in [
            ("limit=0", "from 1 to 1000"),
            ("after=x", "the \"next\" of an answer before"),
            ("state=bad", "one of blocked"),
            ("page=1", "severity, mx, sort, limit, after"),
        ] {
            let (status, said) = ask(query);
            assert_eq!(status, 400, "{query}");
            assert!(said["error"].as_str().unwrap().contains(expected), "{query}: {said}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_an_answer(query: String) {
            let _ = ask(&query);
        }
    }
}
