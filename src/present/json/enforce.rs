//! Whether enforce would lose mail, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    present::timeline::is_watched,
    terms::Timestamp,
    verdict::{Assessment, EnforceCondition},
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EnforceReadiness")]
pub(super) struct EnforceView<'a> {
    /// Every required condition holds: enforce would lose no mail.
    ready: bool,
    /// … and the advisory ones.
    confident: bool,
    /// Since when it is ready without a break; `null` while it is not.
    since: Option<Timestamp>,
    conditions: Vec<ConditionView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EnforceCondition")]
struct ConditionView<'a> {
    /// As the metric `smtptls_sts_enforce_condition` calls it.
    name: &'a str,
    /// It has to hold for `ready`; else it is advice.
    required: bool,
    met: bool,
    /// Why, or why not, in words.
    reason: &'a str,
}

/// Nothing where it is not asked, or where one look cannot tell.
pub(super) fn enforce(assessment: &Assessment) -> Option<EnforceView<'_>> {
    let history = &assessment.history;
    let enforce = history.enforce.as_ref().filter(|_| is_watched(history, assessment.checked_at))?;
    Some(EnforceView {
        ready: enforce.ready,
        confident: enforce.confident,
        since: enforce.since.map(Timestamp::whole_seconds),
        conditions: enforce.conditions.iter().map(condition).collect(),
    })
}

fn condition(EnforceCondition { name, required, met, reason }: &EnforceCondition) -> ConditionView<'_> {
    ConditionView { name, required: *required, met: *met, reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::present::{fixture, json::assessment};

    fn told(seen: &Assessment) -> Value {
        serde_json::to_value(assessment(seen)).unwrap()["enforce"].clone()
    }

    #[test]
    fn whether_it_can_go_to_enforce_is_told_once_it_was_watched() {
        let mut testing = fixture::almost_ready("example.com");
        let enforce = told(&testing);
        assert_eq!((&enforce["ready"], &enforce["since"]), (&json!(false), &json!(null)));
        let known = testing.history.enforce.clone().unwrap().conditions;
        let conditions = enforce["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), known.len());
        for (shown, condition) in conditions.iter().zip(&known) {
            let EnforceCondition { name, required, met, reason } = condition;
            assert_eq!(shown, &json!({"name": name, "required": required, "met": met, "reason": reason}));
        }
        testing.history.known_since = Some(testing.checked_at - Duration::from_secs(1800));
        assert_eq!(told(&testing), json!(null), "one look cannot tell");
        let enforced = fixture::healthy("example.com");
        assert_eq!(told(&enforced), json!(null), "nobody asks");
    }
}
