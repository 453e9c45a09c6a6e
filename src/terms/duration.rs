//! A length of time as people write it in a configuration: `90s`, `10m`, `2w`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration that reads as humantime does and prints the same way, with the day as its largest unit save for whole years
/// (`90d`, `1h 30m`, `2y`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Why a text is no duration; the text and what was expected are in the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration ({reason}); write for example 30s, 10m, 1h 30m or 90d")]
pub struct HumanDurationError {
    text: String,
    reason: String,
}

impl HumanDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl From<HumanDuration> for Duration {
    fn from(value: HumanDuration) -> Self {
        value.0
    }
}

impl FromStr for HumanDuration {
    type Err = HumanDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match humantime::parse_duration(text.trim()) {
            Ok(duration) => Ok(Self(duration)),
            Err(error) => Err(HumanDurationError { text: text.to_owned(), reason: error.to_string() }),
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As humantime reads `1y`: 365.25 days.
        const YEAR: u64 = 31_557_600;
        let (seconds, nanoseconds) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        if seconds >= YEAR && seconds % YEAR == 0 && nanoseconds == 0 {
            return write!(f, "{}y", seconds / YEAR);
        }
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (nanoseconds / 1_000_000, "ms"),
            (nanoseconds / 1000 % 1000, "us"),
            (nanoseconds % 1000, "ns"),
        ];
        let mut separator = "";
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count}{unit}")?;
            separator = " ";
        }
        if self.0.is_zero() { f.write_str("0s") } else { Ok(()) }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("90s".parse(), Ok(HumanDuration::from_secs(90)));
        assert_eq!("1h 30m".parse(), Ok(HumanDuration::from_secs(5400)));
        assert_eq!("2y".parse::<HumanDuration>().map(|d| d.0.as_secs() / 86_400), Ok(730));
    }

    #[test]
    fn prints_what_it_reads_in_days_and_smaller() {
        for text in ["0s", "90d", "2y", "1h 30m", "10m", "250ms", "1d 1s", "1s 2us 3ns"] {
            assert_eq!(text.parse::<HumanDuration>().map(|duration| duration.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn says_what_was_expected() {
        let error = "soon".parse::<HumanDuration>().map_err(|e| e.to_string());
        assert!(error.is_err_and(|text| text.contains("\"soon\"") && text.contains("10m")));
        assert!("10".parse::<HumanDuration>().is_err(), "a bare number has no unit");
    }
}
