//! Plots as SVG: pure functions from data and time to markup.
//!
//! Along the time everything stands in percent of the width, across it in pixels: so the plot fills a phone and a wide screen alike,
//! and its letters keep their size on both. Colours are classes of the style sheet; nothing has a style of its own, which the
//! `Content-Security-Policy` would forbid.

mod axis;
mod lifelines;
mod sessions;

use std::fmt;

use maud::{Markup, html};

pub(in crate::web) use self::{
    axis::TimeAxis,
    lifelines::{Bar, BarLook, Lifeline, lifelines},
    sessions::{DayBar, sessions},
};

/// Where the plot begins: to the left of it stand the numbers. On the narrowest phone it is some 35 pixels, room for `1.5k`.
const LEFT: f64 = 11.0;
/// The narrowest plot for which labels must not touch: a phone of 320 pixels without its margins.
#[cfg(test)]
const NARROWEST: f64 = 288.0;
/// The widest letter of a label, in pixels.
#[cfg(test)]
const LETTER: f64 = 6.5;
/// The room below a plot for the labels of its time.
const FOOT: u32 = 20;

/// A place or length along the width, in percent of it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(in crate::web) struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}%", self.0)
    }
}

/// What a plot is called, and what a reader learns who cannot see it.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Told<'a> {
    /// Its id in the page.
    pub(in crate::web) id: &'a str,
    /// What it shows, in a few words.
    pub(in crate::web) title: &'a str,
    /// What is to be seen in it, in a sentence.
    pub(in crate::web) description: &'a str,
}

/// The frame of every plot.
fn frame(told: Told<'_>, height: u32, content: &Markup) -> Markup {
    let description = format!("{}-description", told.id);
    html! {
        svg id=(told.id) class="plot" role="img" aria-label=(told.title) aria-describedby=(description) width="100%"
            height=(height) xmlns="http://www.w3.org/2000/svg" {
            title { (told.title) }
            desc id=(description) { (told.description) }
            (content)
        }
    }
}

/// The lines and labels of the time, from `top` to `bottom` (pixels).
fn time_marks(axis: &TimeAxis, top: u32, bottom: u32) -> Markup {
    html! {
        @for tick in axis.ticks() {
            line class="grid" x1=(tick.at) x2=(tick.at) y1=(top) y2=(bottom) {}
            @if let Some(label) = &tick.label {
                text x=(tick.at) y=(bottom + FOOT - 5) text-anchor="middle" { (label) }
            }
        }
    }
}

/// Numbers that stand in the markup of a plot, for the tests of its geometry.
#[cfg(test)]
pub(super) mod reading {
    /// The values of an attribute in every element of a class, without their unit.
    pub(in super::super) fn numbers(markup: &str, class: &str, attribute: &str) -> Vec<f64> {
        let wanted = format!(" {attribute}=\"");
        elements(markup, class)
            .iter()
            .map(|element| {
                let (_, rest) = element.split_once(&wanted).unwrap_or_else(|| panic!("{attribute}: {element}"));
                rest.split('"').next().unwrap().trim_end_matches('%').parse().unwrap()
            })
            .collect()
    }

    /// The opening tags of a class.
    pub(in super::super) fn elements<'a>(markup: &'a str, class: &str) -> Vec<&'a str> {
        let is_of = |tag: &&str| {
            tag.split_once("class=\"")
                .and_then(|(_, rest)| rest.split('"').next())
                .is_some_and(|classes| classes.split(' ').any(|one| one == class))
        };
        markup.split('<').filter_map(|tag| tag.split('>').next()).filter(is_of).collect()
    }
}
