//! Small pieces of the sentences that findings are made of.

use std::{fmt::Display, time::Duration};

use crate::terms::Timestamp;

/// The day of a point in time, `2026-11-23`.
pub(crate) fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

/// The minute from which something holds, rounded up: `2026-11-28, 03:12 UTC`. The day alone would be hours too early.
pub(crate) fn minute(at: Timestamp) -> String {
    const MINUTE: Duration = Duration::from_secs(60);
    let below = at.unix_milliseconds().rem_euclid(60_000).unsigned_abs();
    let up = if below == 0 { at } else { at + (MINUTE - Duration::from_millis(below)) };
    let text = up.to_string();
    match text.split_once('T').and_then(|(day, time)| Some((day, time.get(..5)?))) {
        Some((day, time)) => format!("{day}, {time} UTC"),
        None => text,
    }
}

/// A length of time as a person says it: days, else hours, else minutes.
pub(crate) fn length(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        // Under two days, hours say more.
        s if s >= 2 * DAY => (s / DAY, "day"),
        s if s >= 2 * HOUR => (s / HOUR, "hour"),
        s if s >= 2 * MINUTE => (s / MINUTE, "minute"),
        s => (s, "second"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// `3 days ago (2026-11-20)`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago ({})", length(now.since(at)), day(at))
}

/// `in 9 days (2026-12-02)`.
pub(crate) fn ahead(at: Timestamp, now: Timestamp) -> String {
    format!("in {} ({})", length(at.since(now)), day(at))
}

/// An id to publish next: the time, in the letters that RFC 8461 §3.1 allows.
pub(crate) fn next_id(now: Timestamp) -> String {
    let digits: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    // 20261123T200000Z: to the second, so that two changes on one day differ.
    digits
}

/// `a`, `a and b`, `a, b and c`, or `a, b and 7 more` beyond `most`.
pub(crate) fn list<T: Display>(items: &[T], most: usize) -> String {
    let shown: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    let more = items.len().saturating_sub(most);
    match shown.split_last() {
        None => String::new(),
        Some((last, rest)) if more == 0 && rest.is_empty() => last.clone(),
        Some((last, rest)) if more == 0 => format!("{} and {last}", rest.join(", ")),
        Some(_) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_what_people_say() {
        let now = Timestamp::from_unix_seconds(1_795_464_000);
        assert_eq!(ago(now - Duration::from_secs(3 * 86_400), now), "3 days ago (2026-11-20)");
        assert_eq!(ahead(now + Duration::from_secs(90_000), now), "in 25 hours (2026-11-24)");
        assert_eq!(length(Duration::from_secs(1)), "1 second");
    }

    #[test]
    fn a_minute_is_never_too_early() {
        let at = Timestamp::from_unix_seconds(1_795_464_000);
        assert_eq!(minute(at), "2026-11-23, 20:00 UTC");
        assert_eq!(minute(at + Duration::from_millis(1)), "2026-11-23, 20:01 UTC");
        assert_eq!(minute(at + Duration::from_secs(4 * 3600 - 1)), "2026-11-24, 00:00 UTC");
    }

    #[test]
    fn the_next_id_follows_the_grammar() {
        let id = next_id(Timestamp::from_unix_seconds(1_795_464_000));
        assert_eq!(id, "20261123T200000Z");
        assert!(crate::terms::PolicyId::parse(&id).is_some());
    }

    #[test]
    fn lists_stay_short() {
        assert_eq!(list(&["a"], 2), "a");
        assert_eq!(list(&["a", "b"], 2), "a and b");
        assert_eq!(list(&["a", "b", "c"], 3), "a, b and c");
        assert_eq!(list(&["a", "b", "c"], 2), "a, b and 1 more");
    }
}
