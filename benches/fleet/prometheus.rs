//! What a Prometheus takes of the monitor, minute by minute: that it is scraped costs memory and time too.

use std::time::Duration;

use crate::{meter, product::Product, report::row};

/// In so many seconds all parts are taken once.
pub(crate) const ROUND: u64 = 60;
/// So many samples one target may have, by docs/metrics-size.md.
pub(crate) const SAMPLES_OF_A_PART: usize = 800_000;
/// What a domain of the summary level has at most.
const SERIES_A_DOMAIN: u64 = 15;

/// As many parts as a Prometheus would be told to take.
pub(crate) fn parts(domains: u64) -> u32 {
    (domains * SERIES_A_DOMAIN).div_ceil(SAMPLES_OF_A_PART as u64) as u32
}

/// It takes one part after the other, spread over the minute.
pub(crate) struct Prometheus {
    parts: u32,
    took: Vec<f64>,
    cpu: Duration,
}

impl Prometheus {
    pub(crate) const fn new(parts: u32) -> Self {
        Self { parts, took: Vec::new(), cpu: Duration::ZERO }
    }

    /// Takes what is due so many seconds after the start.
    pub(crate) fn scrape(&mut self, product: &Product, seconds: u64) {
        let before = meter::own_thread();
        while (self.took.len() as u64) < (seconds * u64::from(self.parts)).div_ceil(ROUND) {
            let part = self.took.len() as u32 % self.parts + 1;
            self.took.push(tokio::task::block_in_place(|| product.take(part, self.parts)).as_secs_f64());
        }
        self.cpu += meter::own_thread() - before;
    }

    pub(crate) fn tell(&mut self, looks: u64) {
        row("parts of the exposition", f64::from(self.parts));
        row("parts taken in gzip", self.took.len() as f64);
        row("CPU of that, s in all", self.cpu.as_secs_f64());
        if looks > 0 {
            row("… ms a look", self.cpu.as_secs_f64() * 1e3 / looks as f64);
        }
        row("a part in gzip, the middle of all, s", meter::quantile(&mut self.took, 0.5));
        row("… at its longest, s", meter::quantile(&mut self.took, 1.0));
    }
}
