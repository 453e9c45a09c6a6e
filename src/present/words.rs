//! The words and numbers of reports.

use std::time::Duration;

use jiff::tz::Offset;

use crate::{terms::Timestamp, verdict::State};

const MINUTE: u64 = 60;
const MINUTE_MILLISECONDS: i64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What a state is called before people.
pub const fn state(state: State) -> &'static str {
    match state {
        State::Protected => "protected",
        State::Partial => "partly deliverable",
        State::Blocked => "refused",
        State::Unprotected => "not protected",
        State::NoMail => "takes no mail",
        State::Unknown => "not seen",
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

/// `1 address`, `2 addresses`.
pub(crate) fn addresses(number: usize) -> String {
    format!("{number} {}", if number == 1 { "address" } else { "addresses" })
}

/// `a`, `a and b`, `a, b and c`, `a, b, c and 4 more`.
pub(crate) fn list<S: AsRef<str>>(items: &[S]) -> String {
    /// More names than that nobody reads in a sentence.
    const SHOWN: usize = 3;
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first, .., last] if items.len() <= SHOWN => {
            let inner: Vec<&str> = items.iter().take(items.len() - 1).skip(1).map(S::as_ref).collect();
            let head = std::iter::once(first.as_ref()).chain(inner).collect::<Vec<_>>().join(", ");
            format!("{head} and {}", last.as_ref())
        }
        _ => {
            let head: Vec<&str> = items.iter().take(SHOWN).map(S::as_ref).collect();
            format!("{} and {} more", head.join(", "), items.len() - SHOWN)
        }
    }
}

/// A length of time in its largest unit that does not mislead: 7 days, 36 hours, 5 minutes. Rounded down.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = |number: u64, one: &str| count(usize::try_from(number).unwrap_or(usize::MAX), one);
    if seconds >= 2 * DAY || seconds == DAY {
        unit(seconds / DAY, "day")
    } else if seconds >= 2 * HOUR || seconds == HOUR {
        unit(seconds / HOUR, "hour")
    } else if seconds >= 2 * MINUTE || seconds == MINUTE {
        unit(seconds / MINUTE, "minute")
    } else {
        unit(seconds, "second")
    }
}

/// `2 Dec`, or `2 Dec 2027` outside the present year.
pub(crate) fn date(time: Timestamp, now: Timestamp) -> String {
    let civil = |time: Timestamp| jiff::Timestamp::from_second(time.unix_seconds()).map(|t| Offset::UTC.to_datetime(t));
    match (civil(time), civil(now)) {
        (Ok(day), Ok(today)) if day.year() == today.year() => day.strftime("%-d %b").to_string(),
        (Ok(day), _) => day.strftime("%-d %b %Y").to_string(),
        _ => time.to_string(),
    }
}

/// `2 Dec, 14:05 UTC`: the minute from which something holds, rounded up. A day alone would be too early.
pub(crate) fn moment(time: Timestamp, now: Timestamp) -> String {
    let below = time.unix_milliseconds().rem_euclid(MINUTE_MILLISECONDS);
    let up = if below == 0 { 0 } else { MINUTE_MILLISECONDS - below };
    let up = time + Duration::from_millis(up.unsigned_abs());
    match jiff::Timestamp::from_second(up.unix_seconds()) {
        Ok(at) => format!("{}, {} UTC", date(up, now), Offset::UTC.to_datetime(at).strftime("%H:%M")),
        Err(_) => time.to_string(),
    }
}

/// `3 days ago (20 Nov)`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago ({})", span(now.since(time)), date(time, now))
}

/// A duration of a check in seconds, to one decimal place.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        let cases = [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (119, "119 seconds"),
            (3_600, "1 hour"),
            (86_399, "23 hours"),
            (86_400, "1 day"),
            (100_000, "27 hours"),
            (604_800, "7 days"),
            (31_557_600, "365 days"),
        ];
        for (seconds, words) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn dates_have_a_year_only_where_it_is_another() {
        let now = Timestamp::from_unix_seconds(1_795_464_000);
        assert_eq!(date(now + Duration::from_secs(9 * DAY), now), "2 Dec");
        assert_eq!(date(now + Duration::from_secs(60 * DAY), now), "22 Jan 2027");
        assert_eq!(ago(now - Duration::from_secs(3 * DAY), now), "3 days ago (20 Nov)");
    }

    #[test]
    fn what_holds_from_a_moment_on_is_never_told_too_early() {
        let now = Timestamp::from_unix_seconds(1_795_464_000);
        assert_eq!(moment(now + Duration::from_secs(9 * DAY), now), "2 Dec, 20:00 UTC");
        assert_eq!(moment(now + Duration::from_secs(1), now), "23 Nov, 20:01 UTC");
        assert_eq!(moment(now + Duration::from_millis(60_001), now), "23 Nov, 20:02 UTC");
        assert_eq!(moment(now + Duration::from_secs(4 * HOUR - 1), now), "24 Nov, 00:00 UTC");
    }

    #[test]
    fn lists_end() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(list::<&str>(&[]), "");
    }
}
