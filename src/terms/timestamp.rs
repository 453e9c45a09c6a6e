//! A point in time.

use std::{
    borrow::Cow,
    fmt,
    num::NonZeroU64,
    ops::{Add, Sub},
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// A point in time to the millisecond, printed as RFC 3339 in UTC with whole seconds, and serialised with its milliseconds, so
/// that what is stored comes back as it was; in formats that nobody reads, as those milliseconds.
///
/// Outside the years -9999 to 9999, which RFC 3339 cannot say, it prints as `@` and the seconds since 1970. Whatever it prints
/// it reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// The milliseconds, moved so that their order stays and the first of all is 1: then a time that may be missing takes no more room
    /// than one that is there.
    moved: NonZeroU64,
}

/// From the milliseconds to what stands for them.
const MOVED: u64 = 1 << 63;

impl Timestamp {
    /// From seconds since 1970 (negative before).
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_unix_milliseconds(seconds.saturating_mul(1000))
    }

    /// From milliseconds since 1970 (negative before). The first number of all stands for the one after it.
    pub const fn from_unix_milliseconds(milliseconds: i64) -> Self {
        match NonZeroU64::new(milliseconds.cast_unsigned() ^ MOVED) {
            Some(moved) => Self { moved },
            None => Self { moved: NonZeroU64::MIN },
        }
    }

    /// Seconds since 1970, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.unix_milliseconds().div_euclid(1000)
    }

    /// Milliseconds since 1970.
    pub const fn unix_milliseconds(self) -> i64 {
        (self.moved.get() ^ MOVED).cast_signed()
    }

    /// The same without its milliseconds: what people and programs are shown.
    pub const fn whole_seconds(self) -> Self {
        Self::from_unix_seconds(self.unix_seconds())
    }

    /// The time that passed since `earlier`; zero where it lies later.
    pub fn since(self, earlier: Self) -> Duration {
        let milliseconds = self.unix_milliseconds().saturating_sub(earlier.unix_milliseconds());
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_unix_milliseconds(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timestamp").field("milliseconds", &self.unix_milliseconds()).finish()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let milliseconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Self::from_unix_milliseconds(milliseconds)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_milliseconds(self.unix_milliseconds().saturating_add(milliseconds))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_milliseconds(self.unix_milliseconds().saturating_sub(milliseconds))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not `jiff::Timestamp`, which ends a day before 9999-12-31T23:59:59Z: that is how a certificate says that it has no end
        // (RFC 5280 §4.1.2.5).
        match EPOCH.checked_add(SignedDuration::from_secs(self.unix_seconds())) {
            Ok(date_time) => write!(f, "{date_time}Z"),
            Err(_) => write!(f, "@{}", self.unix_seconds()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<jiff::Timestamp>() {
            Ok(parsed) => Ok(Self::from_unix_milliseconds(parsed.as_millisecond())),
            Err(error) => read_remote(text).ok_or_else(|| format!("{text:?} is no RFC 3339 time: {error}")),
        }
    }
}

/// A time that `jiff::Timestamp` cannot hold, where it is written as [`Timestamp`] prints it or is serialised.
fn read_remote(text: &str) -> Option<Timestamp> {
    if let Some((seconds, part)) = text.strip_prefix('@').and_then(|time| time.split_once('.')) {
        let (seconds, part): (i64, i64) = (seconds.parse().ok()?, part.parse().ok()?);
        // The first second of all is not whole.
        let milliseconds = i64::try_from(i128::from(seconds) * 1000 + i128::from(part)).ok()?;
        let is_remote = jiff::Timestamp::from_millisecond(milliseconds).is_err();
        let is_as_written = part != 0 && text == format!("@{seconds}.{part:03}") && (0..1000).contains(&part);
        return (is_remote && is_as_written).then(|| Timestamp::from_unix_milliseconds(milliseconds));
    }
    let seconds = match text.strip_prefix('@') {
        Some(seconds) => seconds.parse().ok()?,
        None => text.strip_suffix('Z')?.parse::<DateTime>().ok()?.duration_since(EPOCH).as_secs(),
    };
    let time = Timestamp::from_unix_seconds(seconds);
    (time.to_string() == text).then_some(time)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.unix_milliseconds());
        }
        match jiff::Timestamp::from_millisecond(self.unix_milliseconds()) {
            Ok(timestamp) => serializer.collect_str(&timestamp),
            Err(_) => match self.unix_milliseconds().rem_euclid(1000) {
                0 => serializer.collect_str(self),
                part => serializer.collect_str(&format_args!("@{}.{part:03}", self.unix_seconds())),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self::from_unix_milliseconds);
        }
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc_3339() {
        let time = Timestamp::from_unix_seconds(1_795_464_000);
        assert_eq!(time.to_string(), "2026-11-23T20:00:00Z");
        assert_eq!("2026-11-23T20:00:00Z".parse(), Ok(time));
        assert_eq!("2026-11-23T21:00:00+01:00".parse(), Ok(time));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn the_end_of_a_certificate_without_end_is_a_time_too() {
        // RFC 5280 §4.1.2.5.
        let endless = Timestamp::from_unix_seconds(253_402_300_799);
        assert_eq!(endless.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!("9999-12-31T23:59:59Z".parse(), Ok(endless));
        assert_eq!((endless + Duration::from_secs(1)).to_string(), "@253402300800");
        for seconds in [i64::MIN, -377_705_116_801, -377_705_116_800, 253_402_300_800, i64::MAX] {
            let time = Timestamp::from_unix_seconds(seconds);
            assert_eq!(time.to_string().parse().map(Timestamp::unix_seconds), Ok(time.unix_seconds()), "{time}");
        }
        for text in ["@0", "@", "@-", "@+253402300800", "9999-12-31", "9999-12-31Z", "9999-12-31 23:59:59Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_millisecond_is_lost_in_serialisation() {
        for (milliseconds, text) in [(1_795_464_000_023, "2026-11-23T20:00:00.023Z"), (0, "1970-01-01T00:00:00Z")] {
            let time = Timestamp::from_unix_milliseconds(milliseconds);
            assert_eq!(serde_json::to_value(time).unwrap(), text);
            assert_eq!(serde_json::from_value::<Timestamp>(text.into()).unwrap(), time);
            let bytes = postcard::to_stdvec(&time).unwrap();
            assert_eq!((postcard::from_bytes::<Timestamp>(&bytes), bytes.len() <= 6), (Ok(time), true));
        }
        // Beyond what RFC 3339 can say too: a report may hold any number.
        for milliseconds in
            [2_022_957_880_687_192_466, -2_022_957_880_687_192_466, 253_402_300_799_999, i64::MAX, i64::MIN]
        {
            let time = Timestamp::from_unix_milliseconds(milliseconds);
            let written = serde_json::to_value(time).unwrap();
            assert_eq!(serde_json::from_value::<Timestamp>(written.clone()).unwrap(), time, "{written}");
        }
        for text in [
            "@253402300800.1",
            "@253402300800.000",
            "@253402300800.0001",
            "@0.500",
            "@253402300800.-01",
            "@.5",
            "@1.2.3",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_does_not_wrap() {
        let epoch = Timestamp::default();
        assert_eq!(epoch.since(epoch + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((epoch + Duration::from_secs(90)).since(epoch), Duration::from_secs(90));
        assert_eq!((epoch - Duration::from_secs(1)).unix_seconds(), -1);
        assert!((epoch + Duration::MAX) > epoch);
    }
}
