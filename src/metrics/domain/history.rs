//! The rows of a domain that tell of time: what changed and when, what senders may hold and until when, and whether enforce is safe.

use super::table::{DOMAIN, Source, Source::Assessment as Judged, counter, row};
use crate::{
    metrics::{
        registry::{
            Level::{Normal, Summary},
            Row, Samples,
        },
        text::Value,
    },
    terms::Timestamp,
    verdict::Assessment,
};

/// A sample of what follows from the past, where it is known.
fn time(out: &mut Samples<'_>, at: Option<Timestamp>) {
    out.set(at.map(Value::at));
}

/// Since when the mode that is exported as `smtptls_sts_policy_mode` is in force.
fn mode_since(seen: &Assessment, out: &mut Samples<'_>) {
    let in_force = seen.policy.in_force.as_ref().map(|policy| policy.mode);
    let known = seen.history.mode.filter(|known| Some(known.mode) == in_force);
    time(out, known.map(|known| known.since));
}

fn conditions(seen: &Assessment, out: &mut Samples<'_>) {
    for condition in seen.history.enforce.iter().flat_map(|enforce| &enforce.conditions) {
        out.put(&[condition.name], condition.met);
    }
}

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    counter(
        "smtptls_sts_record_id_changes_total",
        "Changes of the id of the _mta-sts record that were seen since the domain is watched.",
        Judged(|seen, out| out.put(&[], seen.history.id_changes.total)),
    ),
    row(
        Normal,
        "smtptls_sts_record_id_change_timestamp_seconds",
        DOMAIN,
        "When the last change of the id of the _mta-sts record was seen.",
        "until a change was seen",
        Judged(|seen, out| time(out, seen.history.id_changes.last_at)),
    ),
    counter(
        "smtptls_sts_policy_changes_total",
        "Changes of the policy by meaning (mode, max_age, set of mx), its coming and going among them, that were seen since the domain is watched.",
        Judged(|seen, out| out.put(&[], seen.history.policy_changes.total)),
    ),
    row(
        Normal,
        "smtptls_sts_policy_change_timestamp_seconds",
        DOMAIN,
        "When the last change of the policy by meaning was seen.",
        "until a change was seen",
        Judged(|seen, out| time(out, seen.history.policy_changes.last_at)),
    ),
    row(
        Normal,
        "smtptls_sts_policy_mode_since_timestamp_seconds",
        DOMAIN,
        "First observation of the policy in its present mode.",
        "while smtptls_sts_policy_mode is missing",
        Judged(mode_since),
    ),
    row(
        Normal,
        "smtptls_sts_policy_cache_expiry_timestamp_seconds",
        DOMAIN,
        "Latest expiry of any policy in enforce in a conforming sender's cache: it moves with every probe while the policy is served. Cached.",
        "where no policy in enforce was ever seen",
        Judged(|seen, out| time(out, seen.history.cache_expiry)),
    ),
    row(
        Summary,
        "smtptls_sts_policy_protected_until_timestamp_seconds",
        DOMAIN,
        "When the first senders that refresh daily lose the policy in enforce, if nothing renews it from now on: compare with this where the policy host is dead. Cached.",
        "unless the last policy is in enforce and senders may hold it",
        Judged(|seen, out| time(out, seen.history.protected_until)),
    ),
    row(
        Normal,
        "smtptls_sts_policy_safe_to_remove_timestamp_seconds",
        DOMAIN,
        "From when record and policy may go without loss of mail, while the policy is withdrawn in order: mode none at every address under a new id. Cached.",
        "while that order is not kept",
        Judged(|seen, out| time(out, seen.history.safe_to_remove.map(|safe| safe.at))),
    ),
    row(
        Summary,
        "smtptls_sts_policy_id_stale",
        DOMAIN,
        "Whether the policy changed, the id did not, and the time for an orderly publication is over. Cached.",
        "where no policy was ever seen",
        Judged(|seen, out| out.set(seen.history.id_stale)),
    ),
    row(
        Normal,
        "smtptls_sts_enforce_ready",
        DOMAIN,
        "Whether every required condition holds for mode enforce. Cached.",
        "unless the policy is in mode testing",
        Judged(|seen, out| out.set(seen.history.enforce.as_ref().map(|enforce| enforce.ready))),
    ),
    row(
        Normal,
        "smtptls_sts_enforce_condition",
        &["domain", "condition"],
        "Whether the condition for mode enforce holds: 0 too where its evidence is missing. All are required but reports-seen and max-age-suitable, which are advice. Cached.",
        "unless the policy is in mode testing",
        Judged(conditions),
    ),
];
