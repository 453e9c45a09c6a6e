//! Lives along the time: for each subject a line, on it a bar from the beginning of a validity to its end.

use maud::{Markup, html};

use super::{FOOT, LEFT, Percent, TimeAxis, Told, frame, time_marks};
use crate::terms::Timestamp;

/// A line with its name, in pixels.
const ROW: u32 = 40;
/// The name stands above the bar.
const NAME: u32 = 14;
/// A bar.
const THICK: u32 = 14;
/// Room above the first line.
const TOP: u32 = 4;
/// The shortest bar, in percent of the width: what is there is seen.
const LEAST: f64 = 0.6;
/// So much of a name fits beside each other on a narrow phone.
const NAME_MOST: usize = 42;

/// One subject.
#[derive(Clone, Debug)]
pub(in crate::web) struct Lifeline {
    /// What it is called.
    pub(in crate::web) name: String,
    /// What it had and has, in any order.
    pub(in crate::web) bars: Vec<Bar>,
}

/// One life.
#[derive(Clone, Debug)]
pub(in crate::web) struct Bar {
    /// Its beginning.
    pub(in crate::web) from: Timestamp,
    /// Its end.
    pub(in crate::web) to: Timestamp,
    /// How it looks.
    pub(in crate::web) look: BarLook,
    /// What it is, in words.
    pub(in crate::web) words: String,
}

/// How a bar looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum BarLook {
    /// In use, and as it should be.
    Good,
    /// In use, and near its end.
    Ending,
    /// In use, and of no use to a sender.
    Bad,
    /// Of the past.
    Former,
}

impl BarLook {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "bar",
            Self::Ending => "bar ending",
            Self::Bad => "bar bad",
            Self::Former => "bar former",
        }
    }
}

/// The plot, a line for each subject, with the present as a line through all. What lies outside the axis ends at its edge. Without
/// a subject it is nothing.
pub(in crate::web) fn lifelines(told: Told<'_>, axis: &TimeAxis, lines: &[Lifeline], now: Timestamp) -> Markup {
    let Ok(count) = u32::try_from(lines.len()) else { return html! {} };
    if count == 0 {
        return html! {};
    }
    let bottom = TOP + ROW.saturating_mul(count);
    let present = Percent(axis.place(now));
    let content = html! {
        (time_marks(axis, TOP, bottom))
        @for (number, line) in (0..count).zip(lines) {
            @let top = TOP + ROW * number;
            @for bar in &line.bars {
                @let from = axis.place(bar.from);
                @let to = axis.place(bar.to.max(bar.from));
                @let start = from.min(100.0 - LEAST);
                rect class=(bar.look.class()) x=(Percent(start)) width=(Percent((to - start).max(LEAST)))
                    y=(top + NAME + 2) height=(THICK) rx="2" {
                    title { (line.name) ": " (bar.words) }
                }
            }
        }
        @if axis.holds(now) {
            line class="now" x1=(present) x2=(present) y1=(TOP) y2=(bottom) {
                title { "now" }
            }
        }
        // Above all lines, so that it can be read.
        @for (number, line) in (0..count).zip(lines) {
            text class="name" x="0" y=(TOP + ROW * number + NAME - 3) { (shortened(&line.name)) }
        }
        line class="axis" x1=(Percent(LEFT)) x2="100%" y1=(bottom) y2=(bottom) {}
    };
    frame(told, bottom + FOOT, &content)
}

/// A name, cut in its middle where it is too long: its beginning tells the host, its end the address.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let Some(over) = letters.len().checked_sub(NAME_MOST).filter(|over| *over > 0) else { return name.to_owned() };
    let head = NAME_MOST / 2;
    let tail = head + over + 1;
    let part = |letters: Option<&[char]>| letters.unwrap_or_default().iter().collect::<String>();
    format!("{}…{}", part(letters.get(..head)), part(letters.get(tail..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::reading::{elements, numbers},
        *,
    };
    use crate::web::pages::plot::{LETTER, NARROWEST};

    const TOLD: Told<'_> = Told { id: "c", title: "Certificates", description: "…" };
    const DAY: i64 = 86_400;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_unix_seconds(day * DAY)
    }

    fn bar(from: i64, to: i64, look: BarLook) -> Bar {
        Bar { from: at(from), to: at(to), look, words: format!("<{from}> & \"{to}\"") }
    }

    fn plot(lines: &[Lifeline]) -> String {
        lifelines(TOLD, &TimeAxis::new(at(20_000), at(20_100)), lines, at(20_050)).into_string()
    }

    #[test]
    fn every_life_has_a_bar_of_its_look() {
        let lines = [
            Lifeline {
                name: "mx1".into(),
                bars: vec![bar(20_010, 20_090, BarLook::Good), bar(1, 20_020, BarLook::Former)],
            },
            Lifeline { name: "mx2".into(), bars: vec![bar(20_030, 20_040, BarLook::Bad)] },
            Lifeline { name: "mx3".into(), bars: Vec::new() },
        ];
        let text = plot(&lines);
        assert_eq!(elements(&text, "bar").len(), 3);
        assert_eq!(elements(&text, "name").len(), 3);
        assert_eq!((elements(&text, "former").len(), elements(&text, "bad").len()), (1, 1));
        assert_eq!(elements(&text, "now").len(), 1);
        assert_eq!(numbers(&text, "former", "x"), [LEFT], "what began before begins at the edge");
        assert_eq!(plot(&[]), "");
        let later = lifelines(TOLD, &TimeAxis::new(at(1), at(2)), &lines, at(20_050)).into_string();
        assert!(!later.contains("now"), "the present is not in it");
    }

    #[test]
    fn hostile_names_stay_text() {
        let name = "\"><script>alert(1)</script>'&".to_owned();
        let text = plot(&[Lifeline { name, bars: vec![bar(20_010, 20_090, BarLook::Good)] }]);
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("&lt;20010&gt; &amp; &quot;20090&quot;"), "{text}");
    }

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        let name = "inbound-smtp-relay-number-one.europe-west.mail-protection.example.com [2001:db8::1]";
        let short = shortened(name);
        assert!(short.starts_with("inbound-smtp-relay") && short.ends_with("[2001:db8::1]"), "{short}");
        assert_eq!(short.chars().count(), NAME_MOST);
        assert!(NAME_MOST as f64 * LETTER <= NARROWEST);
        assert_eq!(shortened("mx.example"), "mx.example");
        assert_eq!(shortened(&"ä".repeat(NAME_MOST)), "ä".repeat(NAME_MOST));
    }

    proptest! {
        #[test]
        fn bars_stay_in_the_plot(all in proptest::collection::vec((-5_000_000_i64..5_000_000, -5_000_000_i64..5_000_000), 1..30)) {
            let bars = all.iter().map(|(from, to)| bar(*from, *to, BarLook::Good)).collect();
            let text = plot(&[Lifeline { name: "x".into(), bars }]);
            let (x, width) = (numbers(&text, "bar", "x"), numbers(&text, "bar", "width"));
            prop_assert_eq!(x.len(), all.len());
            for (x, width) in x.iter().zip(&width) {
                prop_assert!(*x >= LEFT - 0.01 && x + width <= 100.02 && *width > 0.0, "{x} {width}");
            }
        }

        #[test]
        fn a_longer_life_is_no_shorter_bar(from in 20_000_i64..20_100, one in 0_i64..200, more in 0_i64..200) {
            let bars = vec![bar(from, from + one, BarLook::Good), bar(from, from + one + more, BarLook::Good)];
            let width = numbers(&plot(&[Lifeline { name: "x".into(), bars }]), "bar", "width");
            prop_assert!(width[0] <= width[1]);
        }
    }
}
