//! The axis of time: where a moment stands, and which days are marked.

use jiff::{ToSpan, civil::Date, tz::Offset};

use super::{LEFT, Percent};
use crate::terms::Timestamp;

const DAY: i64 = 86_400;
/// A shorter span has no sensible marks.
const SHORTEST: i64 = DAY;
/// So many labels stand beside each other on a narrow phone.
const MOST_LABELS: i64 = 5;
/// Closer to an end than this (percent of the axis) a label would be cut off.
const MARGIN: f64 = 7.0;

/// A span of time along the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct TimeAxis {
    from: Timestamp,
    to: Timestamp,
}

/// A mark.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Where it stands.
    pub(super) at: Percent,
    /// What is written below it; nothing where it would be cut off.
    pub(super) label: Option<String>,
}

/// From one mark to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Days(i64),
    Months(i64),
}

impl Step {
    /// The narrowest first. Weeks begin on Monday.
    const ALL: [Self; 14] = [
        Self::Days(1),
        Self::Days(2),
        Self::Days(7),
        Self::Days(14),
        Self::Months(1),
        Self::Months(2),
        Self::Months(3),
        Self::Months(6),
        Self::Months(12),
        Self::Months(24),
        Self::Months(36),
        Self::Months(60),
        Self::Months(120),
        Self::Months(1200),
    ];

    /// The shortest that it can be, in days.
    const fn days(self) -> i64 {
        match self {
            Self::Days(days) => days,
            Self::Months(months) => months * 30,
        }
    }

    /// Whether a day is marked.
    fn marks(self, date: Date) -> bool {
        match self {
            // Days since Monday, 5 January 1970.
            Self::Days(days) => (days_of(date) - 4).rem_euclid(days) == 0,
            Self::Months(months) => {
                let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
                date.day() == 1 && month.rem_euclid(months) == 0
            }
        }
    }

    fn label(self, date: Date) -> String {
        let format = match self {
            Self::Days(_) => "%-d %b",
            Self::Months(months) if months % 12 == 0 => "%Y",
            Self::Months(_) if date.month() == 1 => "Jan %Y",
            Self::Months(_) => "%b",
        };
        date.strftime(format).to_string()
    }
}

/// Days since 1970.
fn days_of(date: Date) -> i64 {
    const EPOCH: Date = jiff::civil::date(1970, 1, 1);
    date.duration_since(EPOCH).as_hours() / 24
}

impl TimeAxis {
    /// From one moment to another, a day at least.
    pub(in crate::web) fn new(from: Timestamp, to: Timestamp) -> Self {
        let shortest = Timestamp::from_unix_seconds(from.unix_seconds().saturating_add(SHORTEST));
        Self { from, to: to.max(shortest) }
    }

    /// Where a moment stands. What lies outside stands at the end.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let milliseconds = |time: Timestamp| time.unix_milliseconds() as f64;
        let (from, to) = (milliseconds(self.from), milliseconds(self.to));
        let part = (milliseconds(at) - from) / (to - from);
        LEFT + part.clamp(0.0, 1.0) * (100.0 - LEFT)
    }

    /// Whether a moment lies within.
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.to
    }

    /// The marks: as many as a narrow phone has room for.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let days = (self.to.unix_seconds().saturating_sub(self.from.unix_seconds())) / DAY + 1;
        let fits = |step: &&Step| days <= step.days() * MOST_LABELS;
        let step = Step::ALL.iter().find(fits).copied().unwrap_or(Step::Months(1200));
        // What the calendar cannot say has no marks.
        let date = |time: Timestamp| {
            let time = jiff::Timestamp::from_second(time.unix_seconds()).ok()?;
            Some(Offset::UTC.to_datetime(time).date())
        };
        let (Some(mut day), Some(last)) = (date(self.from), date(self.to)) else { return Vec::new() };
        let mut ticks = Vec::new();
        while day <= last {
            let at = Timestamp::from_unix_seconds(days_of(day) * DAY);
            if step.marks(day) && self.holds(at) {
                ticks.push(self.tick(at, step.label(day)));
            }
            // From the first month on, whole months are passed over.
            let stride = match step {
                Step::Months(_) if day.day() == 1 => 1.month(),
                _ => 1.day(),
            };
            let Ok(next) = day.checked_add(stride) else { break };
            day = next;
        }
        ticks
    }

    fn tick(&self, at: Timestamp, label: String) -> Tick {
        let place = self.place(at);
        let part = (place - LEFT) / (100.0 - LEFT) * 100.0;
        let whole = (MARGIN..=100.0 - MARGIN).contains(&part);
        Tick { at: Percent(place), label: whole.then_some(label) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::web::pages::plot::{LETTER, NARROWEST};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn labels(from: &str, to: &str) -> Vec<String> {
        TimeAxis::new(at(from), at(to)).ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn marks_are_days_weeks_months_or_years() {
        let cases: [(&str, &str, &[&str]); 6] = [
            ("2026-11-20T12:00:00Z", "2026-11-24T12:00:00Z", &["21 Nov", "22 Nov", "23 Nov", "24 Nov"]),
            ("2026-10-25T00:00:00Z", "2026-11-24T00:00:00Z", &["2 Nov", "9 Nov", "16 Nov"]),
            ("2026-09-01T00:00:00Z", "2026-11-09T00:00:00Z", &["14 Sep", "28 Sep", "12 Oct", "26 Oct"]),
            ("2026-10-15T00:00:00Z", "2027-03-01T00:00:00Z", &["Nov", "Dec", "Jan 2027", "Feb"]),
            ("2025-12-20T00:00:00Z", "2026-12-20T00:00:00Z", &["Apr", "Jul", "Oct"]),
            ("2020-06-01T00:00:00Z", "2030-06-01T00:00:00Z", &["2022", "2025", "2028"]),
        ];
        for (from, to, expected) in cases {
            assert_eq!(labels(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 is a Monday.
        let ticks = labels("2026-10-28T00:00:00Z", "2026-11-30T00:00:00Z");
        assert!(ticks.contains(&"23 Nov".to_owned()) || ticks.contains(&"16 Nov".to_owned()), "{ticks:?}");
        for label in &ticks {
            let day: Date = format!("2026-11-{:0>2}", label.split(' ').next().unwrap()).parse().unwrap();
            assert_eq!(day.weekday(), jiff::civil::Weekday::Monday, "{label}");
        }
    }

    #[test]
    fn a_moment_has_its_place_and_what_is_outside_stands_at_the_end() {
        let axis = TimeAxis::new(at("2026-11-01T00:00:00Z"), at("2026-11-11T00:00:00Z"));
        assert_eq!(axis.place(at("2026-11-01T00:00:00Z")), LEFT);
        assert_eq!(axis.place(at("2026-11-06T00:00:00Z")), LEFT + (100.0 - LEFT) / 2.0);
        assert_eq!(axis.place(at("2026-11-11T00:00:00Z")), 100.0);
        assert_eq!(axis.place(at("1926-11-11T00:00:00Z")), LEFT);
        assert_eq!(axis.place(at("9999-12-31T23:59:59Z")), 100.0);
    }

    #[test]
    fn no_span_is_too_short_or_too_long() {
        let now = at("2026-11-01T10:00:00Z");
        assert_eq!(TimeAxis::new(now, now).place(now), LEFT);
        assert!(TimeAxis::new(now, at("2026-01-01T00:00:00Z")).ticks().len() <= 2, "turned round");
        let always = TimeAxis::new(Timestamp::from_unix_seconds(i64::MIN), Timestamp::from_unix_seconds(i64::MAX));
        assert_eq!(always.ticks(), []);
        let long = TimeAxis::new(at("0001-01-01T00:00:00Z"), at("9990-01-01T00:00:00Z"));
        assert!(!long.ticks().is_empty());
    }

    proptest! {
        #[test]
        fn labels_never_touch_on_a_narrow_phone(from in 0_i64..4_000_000_000, days in 1_i64..36_500) {
            let from = Timestamp::from_unix_seconds(from);
            let to = Timestamp::from_unix_seconds(from.unix_seconds() + days * DAY);
            let ticks = TimeAxis::new(from, to).ticks();
            let edges: Vec<(f64, f64)> = ticks
                .iter()
                .filter_map(|tick| {
                    let half = tick.label.as_ref()?.chars().count() as f64 * LETTER / 2.0;
                    let middle = tick.at.0 / 100.0 * NARROWEST;
                    Some((middle - half, middle + half))
                })
                .collect();
            for pair in edges.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0, "{ticks:?}");
            }
            for (_, end) in edges {
                prop_assert!(end <= NARROWEST + 8.0, "{ticks:?}");
            }
            for pair in ticks.windows(2) {
                prop_assert!(pair[0].at < pair[1].at);
            }
        }
    }
}
