//! Sessions and failures by day, as stacked bars.

use maud::{Markup, html};

use super::{FOOT, LEFT, Percent, TimeAxis, Told, frame, time_marks};
use crate::{terms::Timestamp, verdict::Sessions};

const DAY: i64 = 86_400;
/// The height of the plot without the labels of its time, in pixels.
const HEIGHT: u32 = 150;
/// Room above the highest bar, for its number.
const TOP: u32 = 12;
/// A number that is not zero is never too small to be seen.
const LEAST: f64 = 2.0;
/// Of the width of a day, the bar takes so much.
const BAR: f64 = 0.78;

/// One day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct DayBar {
    /// Days since 1970.
    pub(in crate::web) day: i64,
    /// What reports say of it; nothing where none speaks of it, which is not the same as no session.
    pub(in crate::web) said: Option<Sessions>,
    /// All but the latest reporters have spoken.
    pub(in crate::web) complete: bool,
}

impl DayBar {
    /// All sessions: a report that tells of more failures than sessions is not held to its word.
    fn all(&self) -> u64 {
        self.said.map_or(0, |said| said.sessions.max(said.failed))
    }

    fn words(&self) -> String {
        let day = date(self.day);
        let still = if self.complete { "" } else { " so far" };
        match self.said {
            None => format!("{day}: no report{still}"),
            Some(said) => format!("{day}: {} sessions, {} failed{still}", self.all(), said.failed),
        }
    }
}

/// The plot. The days follow each other, the earliest first. Without a day it is nothing.
pub(in crate::web) fn sessions(told: Told<'_>, days: &[DayBar]) -> Markup {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return html! {} };
    let most = nice(days.iter().map(DayBar::all).max().unwrap_or(0));
    let axis = TimeAxis::new(midnight(first.day), midnight(last.day.saturating_add(1)));
    let bottom = HEIGHT;
    let height = |number: u64| -> f64 {
        let whole = f64::from(HEIGHT - TOP);
        let share = number as f64 / most as f64 * whole;
        if number == 0 { 0.0 } else { share.clamp(LEAST, whole) }
    };
    let level = |number: u64| f64::from(bottom) - height(number);
    let width = (100.0 - LEFT) / days.len() as f64;
    let content = html! {
        @for number in levels(most) {
            line class="grid" x1=(Percent(LEFT)) x2="100%" y1=(pixels(level(number))) y2=(pixels(level(number))) {}
            text x=(Percent(LEFT - 1.5)) y=(pixels(level(number) + 4.0)) text-anchor="end" { (short(number)) }
        }
        (time_marks(&axis, TOP, bottom))
        @for (number, day) in days.iter().enumerate() {
            @let left = LEFT + width * number as f64;
            @let bar = Percent(left + width * (1.0 - BAR) / 2.0);
            g class=(if day.complete { "day" } else { "day pending" }) {
                title { (day.words()) }
                // The whole column answers to the pointer, however small the bar.
                rect class="touch" x=(Percent(left)) width=(Percent(width)) y=(TOP) height=(bottom - TOP) {}
                @match day.said {
                    None => {
                        rect class="bar gap" x=(bar) width=(Percent(width * BAR)) y=(TOP) height=(bottom - TOP) {}
                    }
                    Some(said) => {
                        @let failed = height(said.failed);
                        // What failed stands below; the rest on top of it, and both together never above the plot.
                        @let good = day.all().saturating_sub(said.failed);
                        @let rest = (height(day.all()) - failed).max(if good > 0 { LEAST } else { 0.0 })
                            .min(f64::from(HEIGHT - TOP) - failed);
                        @if good > 0 {
                            rect class="bar" x=(bar) width=(Percent(width * BAR))
                                y=(pixels(f64::from(bottom) - failed - rest)) height=(pixels(rest)) {}
                        }
                        @if said.failed > 0 {
                            rect class="bar bad" x=(bar) width=(Percent(width * BAR))
                                y=(pixels(f64::from(bottom) - failed)) height=(pixels(failed)) {}
                        }
                    }
                }
            }
        }
        line class="axis" x1=(Percent(LEFT)) x2="100%" y1=(bottom) y2=(bottom) {}
    };
    frame(told, HEIGHT + FOOT, &content)
}

fn midnight(day: i64) -> Timestamp {
    Timestamp::from_unix_seconds(day.saturating_mul(DAY))
}

/// A day as RFC 3339 writes it.
fn date(day: i64) -> String {
    let text = midnight(day).to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

/// A length in pixels, to a tenth.
fn pixels(length: f64) -> String {
    format!("{length:.1}")
}

/// The next number of 1, 2, 4, 5 or 10 times a power of ten: the end of the axis. It can be halved.
fn nice(most: u64) -> u64 {
    let most = most.max(2);
    let mut power: u64 = 1;
    loop {
        for factor in [2, 4, 10] {
            match power.checked_mul(factor) {
                Some(end) if end >= most => return end,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        power = match power.checked_mul(10) {
            Some(power) => power,
            None => return u64::MAX,
        };
    }
}

/// The numbers beside the axis.
const fn levels(most: u64) -> [u64; 3] {
    [0, most / 2, most]
}

/// A number in at most four signs and a unit: `950`, `1.5k`, `20M`.
fn short(number: u64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let text = if value < 10.0 && unit > 0 { format!("{value:.1}") } else { format!("{value:.0}") };
    let text = text.strip_suffix(".0").unwrap_or(&text);
    format!("{text}{}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::reading::{elements, numbers},
        *,
    };

    const TOLD: Told<'_> = Told { id: "s", title: "Sessions <b>", description: "Many \"of\" them" };

    fn day(day: i64, said: Option<(u64, u64)>) -> DayBar {
        let said = said.map(|(sessions, failed)| Sessions { sessions, failed });
        DayBar { day, said, complete: true }
    }

    fn plot(days: &[DayBar]) -> String {
        sessions(TOLD, days).into_string()
    }

    #[test]
    fn each_day_has_its_mark_and_no_report_is_not_no_session() {
        let text = plot(&[
            day(20_000, Some((100, 5))),
            day(20_001, None),
            day(20_002, Some((0, 0))),
            DayBar { complete: false, ..day(20_003, Some((7, 7))) },
        ]);
        assert_eq!(elements(&text, "day").len(), 4);
        assert_eq!(elements(&text, "gap").len(), 1);
        assert_eq!(elements(&text, "bar").len(), 4, "{text}");
        assert_eq!(elements(&text, "bad").len(), 2);
        assert_eq!(elements(&text, "pending").len(), 1);
        for words in [
            "2024-10-04: 100 sessions, 5 failed</title>",
            "2024-10-05: no report</title>",
            "2024-10-06: 0 sessions, 0 failed</title>",
            "2024-10-07: 7 sessions, 7 failed so far</title>",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn a_reader_who_cannot_see_it_learns_what_it_is() {
        let text = plot(&[day(20_000, Some((1, 0)))]);
        for part in [
            "role=\"img\"",
            "aria-label=\"Sessions &lt;b&gt;\"",
            "<title>Sessions &lt;b&gt;</title>",
            "aria-describedby=\"s-description\"",
            "<desc id=\"s-description\">Many &quot;of&quot; them</desc>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("style="), "the policy of the page forbids it");
        assert_eq!(plot(&[]), "");
    }

    #[test]
    fn the_axis_ends_at_a_round_number_that_can_be_halved() {
        for (most, end) in [(0, 2), (1, 2), (2, 2), (3, 4), (5, 10), (11, 20), (95, 100), (101, 200), (399, 400)] {
            assert_eq!(nice(most), end, "{most}");
        }
        assert_eq!(nice(u64::MAX), u64::MAX);
        for (number, text) in [
            (0, "0"),
            (950, "950"),
            (1000, "1k"),
            (1500, "1.5k"),
            (20_000, "20k"),
            (2_000_000, "2M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    fn said() -> impl Strategy<Value = Option<(u64, u64)>> {
        let number = prop_oneof![0_u64..20, 0_u64..1_000_000, Just(u64::MAX)];
        proptest::option::of((number.clone(), number))
    }

    proptest! {
        #[test]
        fn bars_stay_in_the_plot(first in -1_000_i64..40_000, all in proptest::collection::vec(said(), 1..60)) {
            let days: Vec<DayBar> =
                all.iter().enumerate().map(|(place, said)| day(first + i64::try_from(place).unwrap(), *said)).collect();
            let text = plot(&days);
            prop_assert_eq!(elements(&text, "day").len(), days.len());
            for class in ["bar", "touch"] {
                let (x, width) = (numbers(&text, class, "x"), numbers(&text, class, "width"));
                for (x, width) in x.iter().zip(&width) {
                    prop_assert!(*x >= LEFT - 0.01 && x + width <= 100.02, "{class} {x} {width}");
                }
                let (y, height) = (numbers(&text, class, "y"), numbers(&text, class, "height"));
                for (y, height) in y.iter().zip(&height) {
                    prop_assert!(*y >= f64::from(TOP) - 0.1 && y + height <= f64::from(HEIGHT) + 0.1, "{class} {y} {height}");
                    prop_assert!(*height >= 0.0, "{class}");
                }
            }
        }

        #[test]
        fn more_is_never_lower(numbers_of in proptest::collection::vec(1_u64..1_000_000_000, 2..40)) {
            let days: Vec<DayBar> =
                numbers_of.iter().enumerate().map(|(place, n)| day(i64::try_from(place).unwrap(), Some((*n, 0)))).collect();
            let heights = numbers(&plot(&days), "bar", "height");
            prop_assert_eq!(heights.len(), numbers_of.len(), "what is not zero is seen");
            let mut both: Vec<(u64, f64)> = numbers_of.into_iter().zip(heights).collect();
            both.sort_by_key(|(number, _)| *number);
            for pair in both.windows(2) {
                prop_assert!(pair[0].1 <= pair[1].1, "{both:?}");
            }
        }

        #[test]
        fn a_label_fits_beside_the_axis(number: u64) {
            prop_assert!(short(nice(number)).len() <= 4, "{}", short(nice(number)));
        }
    }
}
