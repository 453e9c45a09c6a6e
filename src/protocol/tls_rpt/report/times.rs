//! The times of a report, in the forms in which they come (FLD-03).

use jiff::{
    civil::{Date, DateTime},
    fmt::rfc2822,
    tz::TimeZone,
};

use super::{Quirk, quirk::Seen};
use crate::terms::Timestamp;

/// Seconds since 1970 reach this number in the year 5138; what is larger counts milliseconds.
const SECONDS_MOST: i64 = 100_000_000_000;

/// The last second of a day that is given without a time.
const END_OF_DAY: (i8, i8, i8) = (23, 59, 59);

/// Reads a time; nothing where it is none. Without a zone it is taken as UTC; a day as its end begins with its first second, and
/// as an end with its last.
pub(super) fn read_time(text: &str, is_end: bool, quirks: &mut Seen) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        if !is_rfc_3339(text) {
            quirks.add(Quirk::DateFormat);
        }
        return Some(of(time));
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() <= "2026-01-11".len()
    {
        quirks.add(Quirk::DateFormat);
        let (hour, minute, second) = if is_end { END_OF_DAY } else { (0, 0, 0) };
        return utc(date.at(hour, minute, second, 0));
    }
    if let Ok(date_time) = text.parse::<DateTime>() {
        quirks.add(Quirk::DateWithoutZone);
        if !is_rfc_3339(&format!("{text}Z")) {
            quirks.add(Quirk::DateFormat);
        }
        return utc(date_time);
    }
    let other = if let Ok(number) = text.parse::<i64>() {
        let in_seconds = number.unsigned_abs() < SECONDS_MOST.unsigned_abs();
        Some(if in_seconds { Timestamp::from_unix_seconds(number) } else { Timestamp::from_unix_milliseconds(number) })
    } else {
        rfc2822::parse(text).ok().map(|zoned| of(zoned.timestamp()))
    };
    if other.is_some() {
        quirks.add(Quirk::DateFormat);
    }
    other
}

fn of(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_unix_milliseconds(time.as_millisecond())
}

fn utc(date_time: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(date_time).ok().map(of)
}

/// `date-time` of RFC 3339 §5.6, of a text that is known to be a time.
fn is_rfc_3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let zone = matches!(bytes, [.., b'Z' | b'z'] | [.., b'+' | b'-', _, _, b':', _, _]);
    let seconds = at(17).is_ascii_digit() && at(18).is_ascii_digit();
    let date = at(4) == b'-' && at(7) == b'-' && matches!(at(10), b'T' | b't');
    zone && seconds && date && at(13) == b':' && at(16) == b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, is_end: bool) -> (Option<String>, Vec<&'static str>) {
        let mut quirks = Seen::default();
        let time = read_time(text, is_end, &mut quirks).map(|time| time.to_string());
        (time, quirks.into_quirks().into_iter().map(Quirk::as_str).collect())
    }

    #[test]
    fn rfc_3339_has_no_quirk() {
        for (text, time) in [
            ("2026-01-11T00:00:00Z", "2026-01-11T00:00:00Z"),
            ("2026-01-11T00:00:00.25Z", "2026-01-11T00:00:00Z"),
            ("2026-01-11t01:00:00+01:00", "2026-01-11T00:00:00Z"),
            ("2026-01-10T19:00:00-05:00", "2026-01-11T00:00:00Z"),
        ] {
            assert_eq!(read(text, false), (Some(time.to_owned()), vec![]), "{text}");
        }
    }

    #[test]
    fn other_forms_are_read_and_told() {
        for (text, time, quirks) in [
            ("2026-01-11T00:00:00", "2026-01-11T00:00:00Z", vec!["date-without-zone"]),
            ("2026-01-11 00:00:00", "2026-01-11T00:00:00Z", vec!["date-without-zone", "date-format"]),
            ("2026-01-11 00:00:00Z", "2026-01-11T00:00:00Z", vec!["date-format"]),
            ("2026-01-11", "2026-01-11T00:00:00Z", vec!["date-format"]),
            ("1768089600", "2026-01-11T00:00:00Z", vec!["date-format"]),
            ("1768089600000", "2026-01-11T00:00:00Z", vec!["date-format"]),
            ("Sun, 11 Jan 2026 01:00:00 +0100", "2026-01-11T00:00:00Z", vec!["date-format"]),
        ] {
            assert_eq!(read(text, false), (Some(time.to_owned()), quirks), "{text}");
        }
        assert_eq!(read("2026-01-11", true).0.as_deref(), Some("2026-01-11T23:59:59Z"));
        for text in ["", "yesterday", "2026-13-11T00:00:00Z", "T", "99999999999999999999"] {
            assert_eq!(read(text, false), (None, vec![]), "{text}");
        }
    }
}
