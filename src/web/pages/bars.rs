//! A small plot: one bar a row, with its name and its number. It is readable on a phone, and needs no colour to be understood.

use maud::{Markup, html};

use super::table::grouped;

/// The width of the drawing; about that of a phone, so that text is not shrunk there.
const WIDTH: u32 = 420;
const ROW: u32 = 24;
/// Where bars begin: names stand before.
const START: u32 = 176;
/// Room for the number behind the longest bar.
const NUMBER: u32 = 60;

/// A row of the plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// At most 25 characters, as many as the longest result type has.
    pub(super) name: String,
    pub(super) value: u64,
    /// It tells of trouble.
    pub(super) bad: bool,
}

/// The plot. `title` says what is counted; it is read to those who do not see the bars, with every number.
pub(super) fn plot(title: &str, bars: &[Bar]) -> Markup {
    let height = ROW * u32::try_from(bars.len()).unwrap_or(0) + 4;
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0);
    let words: Vec<String> = bars.iter().map(|bar| format!("{}: {}", bar.name, grouped(bar.value))).collect();
    html! {
        svg.plot.bars viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label={ (title) ". " (words.join(", ")) } {
            title { (title) }
            @for (y, bar) in (0_u32..).map(|row| row * ROW).zip(bars) {
                @let width = width(bar.value, most);
                text.value x=(START - 8) y=(y + 17) text-anchor="end" { (bar.name) }
                rect.bar.bad[bar.bad] x=(START) y=(y + 4) width=(width) height=(ROW - 8) {}
                text x=(START + width + 6) y=(y + 17) { (grouped(bar.value)) }
            }
            line.axis x1=(START) y1="0" x2=(START) y2=(height) {}
        }
    }
}

/// What is there has a bar, however short.
fn width(value: u64, most: u64) -> u32 {
    let full = u64::from(WIDTH - START - NUMBER);
    let share = u128::from(value) * u128::from(full) / u128::from(most.max(1));
    let least = u32::from(value > 0);
    u32::try_from(share).unwrap_or(0).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_and_grow_with_their_value() {
        let values = [0, 1, 2, 1000, u64::MAX - 1, u64::MAX];
        let widths = values.map(|value| width(value, u64::MAX));
        assert!(widths.is_sorted() && widths[0] == 0 && widths[1] > 0, "{widths:?}");
        assert_eq!(widths[5], WIDTH - START - NUMBER);
        assert_eq!(width(0, 0), 0);
    }

    #[test]
    fn every_number_is_also_said() {
        let bar = |name: &str, value| Bar { name: name.into(), value, bad: false };
        let html = plot("Certificates", &[bar("<7 days", 12_000), bar("later", 0)]).into_string();
        assert!(html.contains("aria-label=\"Certificates. &lt;7 days: 12,000, later: 0\""), "{html}");
        assert_eq!(html.matches("<rect").count(), 2);
        assert!(!html.contains("style"));
    }
}
